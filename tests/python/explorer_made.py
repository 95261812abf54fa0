"""A small run with every table that the explorer reads, and a reader of its data files."""

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from test_summarise import ATTACK, ID, make_run

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
    add_people(folder / "run" / "h5ad" / f"{ID}.256.h5ad")
    donors = pd.read_csv(folder / "run" / "cohort" / "cohort.tsv", sep="\t")
    write_tsv(donors.assign(rna_sample=donors["donor"] + "-RNA"), results / "cohort.tsv")
    write_tsv(pd.DataFrame({"sample": donors["donor"] + "-1", "donor": donors["donor"]}), results / "slides.tsv")
    return [
        "--tables", str(results), "--features", f"{folder}/run/h5ad", "--expression", f"{folder}/run/h5ad",
        "--pictures", f"{folder}/pictures.txt", "--primary", "256,raw,mean", "--outdir", f"{folder}/explorer",
    ]  # fmt: skip


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
