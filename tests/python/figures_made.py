"""A made run: every table that draw_figures.py reads, with numbers of which the tests know what they must show."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from hx_io import write_tsv

TISSUES = ("Lung", "Skin_Sun_Exposed_Lower_leg")
SIZES = ("256", "1024")
ENCODERS = ("raw", "retrained")
FACTORS = ("SMTSISCH", "SMRIN", "AGE", "SEX")
PRIMARY = "256,raw,mean"


def settings(tissues=TISSUES, sizes=SIZES, encoders=ENCODERS, aggregations=("mean", "median")) -> pd.DataFrame:
    rows = [(t, s, e, a) for t in tissues for s in sizes for e in encoders for a in aggregations]
    table = pd.DataFrame(rows, columns=["tissue_id", "size", "encoder", "aggregation"])
    return table.assign(setting=table.agg(".".join, axis=1))


def shared_variance(of: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Both directions, scalings, before and after adjustment, with donors shuffled beside; parts sum to 1."""
    parts = []
    for direction in ("expression_by_image", "image_by_expression"):
        for scaling in ("covariance", "standardised"):
            for adjusted in ("no", "yes"):
                for control in ("none", "shuffle_donors"):
                    n = len(of)
                    technical = rng.uniform(0.1, 0.3, n) * (adjusted == "yes")
                    share = rng.uniform(0.1, 0.5, n) if control == "none" else rng.uniform(-0.02, 0.02, n)
                    plug_in = rng.uniform(0.3, 0.5, n) * (adjusted == "yes")
                    numbers = {"adjusted_share": share, "ci_low": share - 0.05, "ci_high": share + 0.05}
                    numbers |= {"published": rng.uniform(0.8, 0.9, n), "published_null": rng.uniform(0.6, 0.8, n)}
                    numbers |= {"technical_share": plug_in, "technical": technical}
                    numbers |= {"shared": (1 - technical) * share, "rest": (1 - technical) * (1 - share)}
                    told = {"direction": direction, "scaling": scaling, "adjusted": adjusted, "control": control}
                    parts.append(of.assign(**told, donors="all", n=100, p=0.01, **numbers))
    return pd.concat(parts, ignore_index=True)


def curves(of: pd.DataFrame, factors=FACTORS) -> pd.DataFrame:
    """Factor curves of every setting and of the expression of every tissue and size."""
    rows = []
    places = [(s, "image_pcs") for s in of["setting"]]
    places += [(p, "expression_pcs") for p in dict.fromkeys(of["tissue_id"] + "." + of["size"])]
    for setting, view in places:
        for step, name in enumerate(("none", *factors)):
            r2 = 0.5 * (1 - 0.8**step)
            rows.append((setting, view, step, name, r2, r2 - 0.1 * step, 0.3 * r2))
    return pd.DataFrame(rows, columns=["setting", "view", "step", "factor", "r2", "cross_validated", "null"])


def components(of: pd.DataFrame, rng: np.random.Generator, factors=FACTORS, pcs=3) -> pd.DataFrame:
    """What factors explain of components, as curves()."""
    rows = []
    places = [(s, "image_pcs") for s in of["setting"]]
    places += [(p, "expression_pcs") for p in dict.fromkeys(of["tissue_id"] + "." + of["size"])]
    for setting, view in places:
        for pc in range(1, pcs + 1):
            for name in factors:
                rows.append((setting, view, pc, 0.4 / pc, name, rng.uniform(0, 0.6), 0.02, rng.uniform(0, 0.2)))
    return pd.DataFrame(rows, columns=["setting", "view", "pc", "share", "factor", "r2", "null", "q"])


def histograms(tissues, rng: np.random.Generator) -> pd.DataFrame:
    parts = []
    for tissue in tissues:
        for what, cut in (("mean", 1.0), ("sd", 0.8)):
            edges = np.linspace(0, 10 if what == "mean" else 3, 31)
            genes = rng.integers(0, 500, 30)
            told = {"tissue_id": tissue, "what": what, "left": edges[:-1], "right": edges[1:], "genes": genes}
            kept = np.where(edges[1:] > cut, genes, 0)
            parts.append(pd.DataFrame({**told, "kept": kept, "cut_off": cut, "applied": "yes"}))
    return pd.concat(parts, ignore_index=True)


def described(tissue: str, setting: str) -> dict[str, pd.DataFrame]:
    """Tables of describe_features.py of a tissue: raw_0002 tracks ischaemic time, raw_0001 something else, more."""
    rng = np.random.default_rng(5)
    rows = [(setting, "raw_0001", "white fraction", 0.9), (setting, "raw_0002", "SMTSISCH", -0.55)]
    descriptions = pd.DataFrame(
        [*rows, (setting, "raw_0003", "", np.nan)], columns=["setting", "feature", "term", "rho"]
    )
    x = rng.normal(6, 1, 40)
    points = pd.DataFrame({"donor": [f"GTEX-{k:04d}" for k in range(40)], "term_value": x, "value": 3 - 0.3 * x})
    points = points.assign(setting=setting, feature="raw_0002", term="SMTSISCH", scale="log2 minutes")
    slides = [
        ("raw_0002", p, r, f"GTEX-{r:04d}-0426", f"GTEX-{r:04d}", 1.0 * r)
        for p in ("highest", "lowest")
        for r in (1, 2)
    ]
    columns = ["feature", "panel", "rank", "sample", "donor", "value"]
    return {
        "descriptions": descriptions,
        "description_points": points,
        "gallery_slides": pd.DataFrame(slides, columns=columns),
    }


def tables(tissues=TISSUES, sizes=SIZES, encoders=ENCODERS, factors=FACTORS, pcs=3) -> dict[str, pd.DataFrame]:
    """File name without .tsv -> table."""
    rng = np.random.default_rng(7)
    of = settings(tissues, sizes, encoders)
    primary = [f"{t}.256.raw.mean" for t in tissues]
    found = {name: rng.integers(0, 200, len(of)) for name in ("hits", "genes_found", "features_with_hit")}
    names = [
        "surfactant homeostasis",
        "a term of a name so long that it takes more than one line of the table's column",
    ]
    first = [
        (s, f"raw_{k:04d}", "GO", names[j], 1e-5 / (k + 1), 1e-3, ";".join(f"GENE{i}" for i in range(4 + 12 * j)))
        for s in primary
        for k in (501, 671)
        for j in (0, 1)
    ]
    accuracy = [(s, "", "donor", "no", 0.5 + 0.05 * k, 0.6 + 0.05 * k, 0.4) for k, s in enumerate(sizes)]
    accuracy += [(s, "grey", "donor", "yes", 0.45 + 0.05 * k, 0.5 + 0.05 * k, 0.4) for k, s in enumerate(sizes)]
    status = [(f"GTEX-{k:04d}-0426", t, "ok", "glass", 0.5) for t in tissues for k in (1, 2)]
    out = {
        "verdict": pd.DataFrame({"tissue_id": tissues, "setting": primary}),
        "shared_variance": shared_variance(of, rng),
        "factor_curve": curves(of, factors),
        "factor_pcs": components(of, rng, factors, pcs),
        "gene_histograms": histograms(tissues, rng),
        "setting_counts": of.assign(donors="all", n=100, **found),
        "settings": of[["setting"]].assign(control_hits=1, control_genes_found=0),
        "enrichment_table1": pd.DataFrame(
            first, columns=["setting", "feature", "collection", "term", "p", "q", "genes"]
        ),
        "classifier": pd.DataFrame(
            accuracy, columns=["size", "variant", "split", "grey", "patch_accuracy", "slide_accuracy", "chance"]
        ),
        "slide_status": pd.DataFrame(status, columns=["sample", "tissue_id", "status", "segmentation", "mpp"]),
    }
    for tissue, setting in zip(tissues, primary, strict=True):
        out |= {f"{tissue}.256.{kind}": table for kind, table in described(tissue, setting).items()}
    return out


def picture(path: Path, value: int) -> Path:
    """A grey picture, 40 by 20."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 40, 3), value, np.uint8)).save(path)
    return path


def make_run(folder: Path, made: dict[str, pd.DataFrame] | None = None, tissues=TISSUES) -> list[str]:
    """Tables and pictures of a run below `folder`; arguments of draw_figures.py but --outdir."""
    for name, table in (tables(tissues) if made is None else made).items():
        write_tsv(table, folder / "results" / "summary" / f"{name}.tsv")
    rows = [f"{t}.256\t{picture(folder / t / '02.raw_0002.slides.png', 90)}" for t in tissues]
    (folder / "galleries.tsv").write_text("prefix\tpicture\n" + "".join(f"{row}\n" for row in rows))
    picture(folder / "tissues" / "GTEX-0001-0426.figure2.jpg", 200)
    return [
        "--tables",
        str(folder / "results"),
        "--galleries",
        str(folder / "galleries.tsv"),
        "--tissues",
        str(folder / "tissues"),
        "--primary",
        PRIMARY,
    ]
