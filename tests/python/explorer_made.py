"""A small run with every table that the explorer reads, and a reader of its data files."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from test_summarise import ATTACK, ID, make_run

from build_explorer import main
from hx_explorer_tables import LEDGER
from hx_io import write_tsv

SETTING = f"{ID}.256.raw.mean"
PICTURES = ("01.{0}.patches", "01.{0}.slides", "02.{1}.patches", "01.{0}.unknown")


def make_explorer_run(folder: Path) -> list[str]:
    """Tables of a run below <folder>/results; arguments of build_explorer.py."""
    make_run(folder / "run")
    results = folder / "results"
    (folder / "run" / "associations").rename(results)
    genes = pd.read_parquet(results / f"{ID}.256.association_genes.parquet")
    genes = genes[genes["setting"] == SETTING]
    names = list(pd.unique(genes.sort_values("p")["best_feature"].astype(str)))
    rng = np.random.default_rng(1)
    predicted = pd.DataFrame(
        {"setting": SETTING, "gene": genes["gene"].astype(str), "r2cv": rng.normal(size=len(genes))}
    )
    predicted = predicted.assign(delta_r2=rng.normal(size=len(genes)), q=rng.uniform(size=len(genes)))
    predicted.iloc[1:].to_parquet(results / f"{ID}.256.prediction_genes.parquet")
    terms = pd.DataFrame({"setting": SETTING, "collection": "gene_sets", "feature": names[:3] * 4})
    terms["set"] = [f"SET_{k // 3}" for k in range(12)]
    terms["term"] = ["=1+1", *[ATTACK] * 11]
    terms = terms.assign(size=20, direction=["up", "down"] * 6, rho=0.01, p_camera=np.linspace(1e-7, 0.9, 12))
    terms["q_camera"] = [1e-5, 0.04, *[np.nan] * 10]
    terms.to_parquet(results / f"{ID}.256.enrichment.parquet")
    ledger = [
        (of, view, factor, "factor", "yes", given, "donor", value, value - 0.02, value + 0.02, 0.01)
        for of, view in ((SETTING, "image_pcs"), (f"{ID}.256", "expression_pcs"))
        for given in ("nothing", "model")
        for factor, value in (("AGE", 0.2), ("SMCENTER", -0.01))
    ]
    write_tsv(pd.DataFrame(ledger, columns=["setting", *LEDGER]), results / f"{ID}.256.confounder_ledger.tsv")
    model = pd.DataFrame({"factor": ["AGE", "SMCENTER"], "in_model": "no", "kind": ["numeric", "categorical"]})
    write_tsv(model, results / f"{ID}.256.confounder_model.tsv")
    described = pd.DataFrame({"setting": SETTING, "feature": names[:2], "label": ["", "eosin"], "chosen_for": "named"})
    described = described.assign(sentence=[ATTACK, "tracks eosin"], technical="no", r2_cv=[0.1, 0.2], p=[0.01, 0.02])
    write_tsv(described, results / f"{ID}.256.descriptions.tsv")
    pictures = [f"{ID}.256/galleries/{name.format(*names)}.png" for name in PICTURES]
    pictures += [f"{ID}.256/maps/S1.01.{names[0]}.png", f"{ID}.256/maps/S1.14.CELL3.predicted.png"]
    for name in pictures:
        path = folder / "description" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (200, 120, 160)).save(path)
    (folder / "pictures.txt").write_text("\n".join(pictures) + "\n")
    add_traits(results, names)
    add_people(folder / "run" / "h5ad" / f"{ID}.256.h5ad")
    donors = pd.read_csv(folder / "run" / "cohort" / "cohort.tsv", sep="\t")
    write_tsv(donors.assign(rna_sample=donors["donor"] + "-RNA"), results / "cohort.tsv")
    write_tsv(pd.DataFrame({"sample": donors["donor"] + "-1", "donor": donors["donor"]}), results / "slides.tsv")
    return [
        "--tables", str(results), "--features", f"{folder}/run/h5ad", "--expression", f"{folder}/run/h5ad",
        "--pictures", f"{folder}/pictures.txt", "--primary", "256,raw,mean", "--outdir", f"{folder}/explorer",
    ]  # fmt: skip


def add_traits(results: Path, features: list[str]) -> None:
    """Tables of variants, causes and labels of the primary setting: a lead, a pair, a label with hits."""
    traits = [("PC1", "pc"), (features[0], "feature"), ("embedding", "embedding")]
    qtl = pd.DataFrame(traits, columns=["trait", "kind"]).assign(setting=SETTING, tissue_id=ID, scope="genome", half="")
    qtl = qtl.assign(n=40, tests=90, hits=[0, 2, 0], leads=[0, 1, 0], gate=["ok", "inflated", "ok"], lambda_gc=1.2)
    qtl = qtl.assign(lambda_low=0.9, lambda_high=1.1, detectable_r2=[0.3, 0.25, np.nan], alpha=0.05, threshold_p=1e-4)
    qtl = qtl.assign(best_variant="rs1", best_p=[0.01, 1e-6, 0.2], best_p_family=[0.9, 0.002, 1])
    both = pd.concat([qtl.assign(control="none"), qtl.assign(control="permute_genotypes", hits=[0, 0, 1])])
    write_tsv(both, results / f"{ID}.256.qtl_summary.tsv")
    lead = {"setting": SETTING, "half": "", "trait": features[0], "variant": "=rs1", "chrom": "2", "pos": 230_000_001}
    lead |= {"alt": "G", "n": 40, "mac": 21, "carriers": 3, "missing": 0, "beta": 0.8, "se": 0.1, "r2": 0.3, "p": 1e-6}
    write_tsv(pd.DataFrame([lead | {"q": 1e-4, "p_family": 0.002}]), results / f"{ID}.256.qtl_leads.tsv")
    points = pd.DataFrame({"setting": SETTING, "half": "", "test": ["trait"] * 4 + ["embedding"] * 2})
    points = points.assign(variant=[f"rs{k}" for k in range(6)], chrom=["1", "1", "2", "2", "1", "2"], pos=range(6))
    points = points.assign(place=[1, 2, 300, 301, 1, 300], nlog10p=[1.0, 2, 6, 0.5, 1, 2])
    write_tsv(points, results / f"{ID}.256.qtl_manhattan.tsv")
    gene = pd.read_parquet(results / f"{ID}.256.association_genes.parquet")["gene"].astype(str)[0]
    ends = {"first": gene, "first_kind": "gene", "first_label": ATTACK, "second": features[0], "second_kind": "feature"}
    pairs = [ends | {"second_label": features[0], "n": 40, "r": 0.5, "p": 1e-4, "verdict": "gene_to_feature"}]
    pairs[0] |= {"status": "OK", "reason": "two instruments agree"}
    pairs.append({"first": "x", "second": "y", "verdict": "", "status": "UNKNOWN_NAME", "reason": "no such gene"})
    write_tsv(pd.DataFrame(pairs).assign(setting=SETTING), results / f"{ID}.256.causality_pairs.tsv")
    there = {"setting": SETTING, "direction": "gene_to_feature", "exposure": gene, "outcome": features[0]}
    there |= {"source": "cohort", "method": "2sls", "status": "TESTED", "p": 1e-3, "effect": 0.4, "ci_low": 0.2}
    back = {
        **there,
        "exposure": features[0],
        "outcome": gene,
        "direction": "feature_to_gene",
        "status": "NO_INSTRUMENT",
    }
    back |= {"p": np.nan, "effect": np.nan, "ci_low": np.nan, "reason": "no variant goes with it"}
    rows = pd.DataFrame([{**there, "ci_high": 0.6, "slope": 0.5}, back])
    write_tsv(rows, results / f"{ID}.256.causality_estimates.tsv")
    assumed = {name: there[name] for name in ("setting", "direction", "exposure", "outcome", "source")}
    assumed |= {"assumption": "relevance", "state": "held", "told": "F 30"}
    write_tsv(pd.DataFrame([assumed]), results / f"{ID}.256.causality_assumptions.tsv")
    labels = pd.DataFrame({"setting": SETTING, "label": ["AGE", ATTACK], "kind": ["number", "binary"], "n": [40, 38]})
    labels = labels.assign(positives=[20, 3], hits=[1, 0], best_feature=features[:2], best_r=0.5, best_p=[1e-5, 0.3])
    labels = labels.assign(best_q=[0.01, 0.8], alpha=0.05, features=50, share_p05=0.06)
    both = pd.concat([labels.assign(control="none"), labels.assign(control="shuffle_donors", hits=0)])
    write_tsv(both, results / f"{ID}.256.annotation_summary.tsv")
    goes = pd.DataFrame({"setting": SETTING, "label": ["AGE", "AGE", ATTACK], "feature": features[:3], "r": 0.5})
    goes = goes.assign(p=[1e-5, 0.1, 0.3], q=[0.01, 0.5, 0.8], beta=0.4, n=40)
    goes.to_parquet(results / f"{ID}.256.annotation_features.parquet")
    scores = labels[["setting", "label", "kind"]].assign(level="", metric=["R2", "AUROC"], image=[0.2, 0.7], both=0.6)
    scores = scores.assign(expression=0.5, confounders=0.4, p_image=0.01, gain_image=0.1, p_gain_image=0.02)
    write_tsv(scores, results / f"{ID}.256.annotation_prediction.tsv")


def changed(arguments: list[str], option: str, value: object) -> list[str]:
    """Arguments with another value of an option."""
    at = arguments.index(option)
    return [*arguments[: at + 1], str(value), *arguments[at + 2 :]]


def broken(run: tuple[Path, list[str]], to: Path, change: Callable[[Path], object]) -> Path:
    """The explorer of a copy of the run's tables, after `change` of their folder."""
    shutil.copytree(run[0] / "results", to / "results")
    change(to / "results")
    arguments = changed(changed(run[1], "--tables", to / "results"), "--outdir", to / "explorer")
    assert main(arguments) == 0
    return to / "explorer"


def notes(explorer: Path) -> str:
    """What the page says of what is not there."""
    return "\n".join(f"{of}: {text}" for of, text in content(explorer, "index")["notes"])


def add_people(path: Path) -> None:
    """Two factors of the donors, one a number and one a name, in an h5ad."""
    from anndata import read_h5ad

    table = read_h5ad(path)
    table.obs["AGE"] = np.linspace(20, 70, table.n_obs)
    table.obs["SMCENTER"] = ["<b>B1</b>", "C1"] * (table.n_obs // 2) + ["C1"] * (table.n_obs % 2)
    table.write_h5ad(path)


def content(explorer: Path, name: str) -> dict:
    """What data/<name>.js hands over."""
    text = (explorer / "data" / f"{name}.js").read_text()
    head = f"histogex.put({json.dumps(name)},"
    assert text.startswith(head) and text.endswith(");\n") and "<" not in text
    return json.loads(text[len(head) : -3])


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=f"<{kind}")


def column(packed: dict) -> np.ndarray:
    """Values of a packed column."""
    match packed["kind"]:
        case "text":
            return np.array(packed["text"].split("\n"), dtype=object)
        case "level":
            levels = np.array([*packed["levels"].split("\n"), ""], dtype=object)
            return levels[numbers(packed["codes"], "i4")]
        case "integer":
            return numbers(packed["values"], "i4")
        case "short":
            return numbers(packed["values"], "i2")
        case "number":
            return numbers(packed["values"], "f4")
        case "p":
            return 10.0 ** -numbers(packed["values"], "f4").astype(float)
        case other:
            raise AssertionError(other)


def frame(packed: dict) -> pd.DataFrame:
    return pd.DataFrame(
        {name: column(values) for name, values in packed["columns"].items()}, index=range(packed["rows"])
    )
