#!/usr/bin/env python3
"""Tables of a run of any size to measure with: drawn by the simulator's model, worked through by the stages' own CLIs.

    .venv/bin/python benchmarks/made_results.py /tmp/made --tissues 10 --distinct 4 --genes 20000 --donors 449

The model has 400 genes: a cohort of more is several of its cohorts on the same donors, each with latents of its own,
whose drawn values the features of the slides mix. No slide is drawn: the folder gets expression, covariates, genotypes
and a summary of patch features a slide, and then what check_cohort.py, prepare_expression.py, aggregate_features.py,
adjust_confounders.py and associate.py make of them at six patch sizes, and predict_expression.py, enrich.py,
associate_annotations.py, map_qtl.py and test_causality.py at that of the declared setting. results/ is laid out as a
run's. A tissue takes ten minutes of two slow cores: those past --distinct are copies of the others by other names.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

import hx_cohort_model as model
import hx_cohort_tables as tables
from hx_features import STATISTICS, Origin, Summary, write_summary

BIN = Path(__file__).resolve().parents[1] / "bin"
SIZES = ("128", "256", "512", "1024", "2048", "4096")
PRIMARY = "256,raw,mean"
CONFOUNDERS = "SEX,AGE,DTHHRDY,SMCENTER,SMTSISCH,SMRIN"
NOISE = 0.6  # standard deviation of what a feature holds beside the drawn values
SIZE_NOISE = 0.4  # of it at one patch size


def run(name: str, *arguments: object) -> None:
    """Run a CLI of bin/; its messages go to this process's."""
    subprocess.run([sys.executable, BIN / f"{name}.py", *map(str, arguments)], check=True)


def drawn_cohorts(genes: int, donors: list[str], tissues: list[str]) -> list[model.SimulatedTables]:
    """As many cohorts of the model as `genes` need, on the same donors."""
    blocks = range(-(-genes // model.GENES))
    return [model.simulate_tables(seed, "signal", donors, tissues) for seed in blocks]


def gene_names(cohorts: list[model.SimulatedTables], genes: int) -> pd.DataFrame:
    """Columns gene, symbol, module of the genes of all cohorts: ids of their own, CELL1_7 in the seventh cohort."""
    parts = [c.genes.assign(symbol=c.genes["symbol"] + (f"_{k}" if k else "")) for k, c in enumerate(cohorts)]
    names = pd.concat(parts, ignore_index=True).head(genes)
    return names.assign(gene=[f"ENSG{91_000_000_000 + 7 * k}.1" for k in range(genes)])[["gene", "symbol", "module"]]


def loadings(drawn: int, features: int) -> np.ndarray:
    """(drawn values, features): a feature holds one drawn value in full and two at a third."""
    rng, weights = np.random.default_rng(0), np.zeros((drawn, features))
    for k in range(features):
        first, *others = rng.choice(drawn, 3, replace=False)
        weights[first, k], weights[others, k] = 1, 1 / 3
    return weights


def write_summaries(folder: Path, samples: list[str], values: np.ndarray, seed: int) -> None:
    """<sample>.summary.h5 of every slide: values (slides, features), and noise of each size."""
    origin = Origin("raw", weights="random", weights_sha256=hashlib.sha256(b"drawn").hexdigest())
    rng, slides, features = np.random.default_rng(seed), *values.shape
    by_size = {size: values + SIZE_NOISE * rng.standard_normal((slides, features)) for size in SIZES}
    for k, sample in enumerate(samples):
        found = {}
        for size, rows in by_size.items():
            row = rows[k].astype(np.float32)
            statistics = dict.fromkeys(STATISTICS, row) | {"std": np.ones(features, np.float32)}
            found[size, "raw"] = Summary(400, 200, statistics, origin)
        write_summary(folder / f"{sample}.summary.h5", sample, found)


def write_cohort(folder: Path, args: argparse.Namespace) -> list[str]:
    """Files that a user would give, and the summaries of the slides; the tissues."""
    tissues = [f"Tissue {k:02d}" for k in range(args.tissues)]
    donors = [f"GTEX-S{k + 1:04d}" for k in range(args.donors)]
    cohorts = drawn_cohorts(args.genes, donors, tissues)
    pieces = cohorts[0].pieces
    names = gene_names(cohorts, args.genes)
    drawn = np.stack([c.pieces[f"{p}_drawn"] for c in cohorts for p in model.PROPERTIES], axis=1)
    weights = loadings(drawn.shape[1], args.features)
    pieces["sample"] = (
        pieces["donor"] + "-" + pieces["tissue"].map({t: f"{2 * k + 2:02d}26" for k, t in enumerate(tissues)})
    )
    pieces["sampid"] = [f"{sample}-SM-{tables.aliquot(sample)}" for sample in pieces["sample"]]
    sheet = pieces[["sample", "donor", "tissue"]].assign(rna_sample=pieces["sampid"])
    (folder / "samplesheet.csv").write_text(tables.comma_separated(sheet))
    rna = pieces.assign(note="", blank="")
    (folder / "attributes.txt").write_text(tables.tab_separated(tables.sample_attributes(rna, donors, 1)))
    (folder / "subjects.txt").write_text(tables.tab_separated(tables.subject_phenotypes(donors, [], 1)))
    (folder / "sets.gmt").write_text("".join(tables.gmt(part, seed) for seed, part in _parts(names)))
    missing = np.zeros(cohorts[0].dosage.shape, bool)
    (folder / "genotypes.vcf").write_text(tables.vcf(cohorts[0].snps, cohorts[0].dosage, donors, missing))
    renamed = dict(zip(cohorts[0].genes["gene"], names["gene"], strict=False))
    first, snps = (
        table.assign(gene=table["gene"].map(renamed).fillna("")) for table in (cohorts[0].genes, cohorts[0].snps)
    )
    (folder / "positions.tsv").write_text(tables.gene_positions(first[first["gene"] != ""], snps))
    for k, tissue in enumerate(tissues):
        own = np.flatnonzero(pieces["tissue"] == tissue)
        tpm = np.concatenate([c.tpm[:, own] for c in cohorts])[: args.genes].astype(np.float32)
        table = pd.DataFrame(tpm, columns=pieces["sampid"].to_numpy()[own])
        table.insert(0, "Description", names["symbol"])
        table.insert(0, "Name", names["gene"])
        table.to_parquet(folder / f"Tissue_{k:02d}.expression.parquet")
        noise = NOISE * np.random.default_rng(k).standard_normal((len(own), args.features))
        values = drawn[own] @ weights + noise
        (folder / "summaries").mkdir(exist_ok=True)
        write_summaries(folder / "summaries", list(pieces["sample"].to_numpy()[own]), values, k)
    return [f"Tissue_{k:02d}" for k in range(args.tissues)]


def without(options: list[object], *names: str) -> list[object]:
    """Options (name, value, name, value, …) but some."""
    pairs = zip(options[::2], options[1::2], strict=True)
    return [part for pair in pairs if pair[0] not in names for part in pair]


def _parts(names: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """(seed, genes) of each cohort: the planted sets of one of them must not lie in another."""
    yield from names.groupby(np.arange(len(names)) // model.GENES)


def work_through(folder: Path, tissue: str, args: argparse.Namespace) -> None:
    """All stages of a tissue."""
    results = folder / "results"
    cohort, expression = results / "cohort" / "cohort.tsv", results / "features" / f"{tissue}.expression.h5ad"
    aside = folder / "aside"
    losses = ["--dropped", aside / f"{tissue}.dropped.tsv"]
    run(
        "prepare_expression", "--expression", folder / f"{tissue}.expression.parquet", "--expression-unit", "tpm",
        "--cohort", cohort, "--tissue-id", tissue, "--out", expression, *losses,
        "--histograms", aside / f"{tissue}.gene_histograms.tsv", "--sex-check", aside / f"{tissue}.sex_check.tsv",
    )  # fmt: skip
    for size in SIZES:
        prefix = f"{tissue}.{size}"
        features = results / "features" / f"{prefix}.h5ad"
        run(
            "aggregate_features", "--cohort", cohort, "--tissue-id", tissue, "--size", size, "--out", features,
            "--summaries", folder / "summaries", *losses, "--feature-histograms", aside / f"{prefix}.histograms.tsv",
            "--feature-summary", results / "features" / f"{prefix}.feature_summary.tsv",
        )  # fmt: skip
        common = ["--features", features, "--expression", expression, "--setting-prefix", prefix]
        common += ["--aggregations", "mean", "--threads", args.threads]
        run(
            "adjust_confounders",
            *common,
            "--cohort",
            cohort,
            "--confounders",
            CONFOUNDERS,
            "--outdir",
            results / "confounders",
        )
        common += ["--design", results / "confounders" / f"{prefix}.design.tsv", "--primary", PRIMARY]
        run("associate", *common, "--cohort", cohort, "--outdir", results / "associations")
        if size != PRIMARY.split(",")[0]:
            continue
        run("predict_expression", *common, "--cohort", cohort, "--outdir", results / "prediction")
        run("enrich", *common, "--gene-sets", folder / "sets.gmt", "--outdir", results / "enrichment")
        run("associate_annotations", *common, "--table", cohort, "--outdir", results / "annotations")
        genotypes = ["--genotypes", results / "genotypes" / "genotypes.h5", "--positions", folder / "positions.tsv"]
        run("map_qtl", *without(common, "--aggregations", "--expression"), *genotypes, "--outdir", results / "qtl")
        pairs = ["--associations", results / "associations" / f"{prefix}.association_genes.parquet"]
        run("test_causality", *without(common, "--aggregations"), *genotypes, *pairs, "--outdir", results / "causality")


def copy_tissue(results: Path, of: str, to: str) -> None:
    """The tables and values of a tissue under the name of another."""
    for path in sorted(results.rglob(f"{of}.*")):
        copy = path.with_name(path.name.replace(of, to, 1))
        if path.suffix == ".tsv":
            copy.write_text(path.read_text().replace(of, to))
        elif path.suffix == ".parquet":
            table = pd.read_parquet(path)
            if "setting" in table:
                table["setting"] = table["setting"].astype(str).str.replace(of, to, regex=False).astype("category")
            table.to_parquet(copy)
        else:
            shutil.copyfile(path, copy)


def make_results(folder: Path, args: argparse.Namespace) -> Path:
    """<folder>/results; args: of add_arguments."""
    for name in ("results/cohort", "results/features", "aside"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    everyone, args.tissues = args.tissues, min(args.tissues, args.distinct)
    tissues = write_cohort(folder, args)
    files = sorted(folder.glob("*.expression.parquet"))
    run(
        "check_cohort", "--samplesheet", folder / "samplesheet.csv", "--slide-optional", "--expression", *files,
        "--expression-unit", "tpm", "--covariates", folder / "attributes.txt", folder / "subjects.txt",
        "--outdir", folder / "results" / "cohort",
    )  # fmt: skip
    (folder / "donors.txt").write_text("".join(f"GTEX-S{k + 1:04d}\n" for k in range(args.donors)))
    run(
        "prepare_genotypes", "--genotypes", folder / "genotypes.vcf", "--donors", folder / "donors.txt",
        "--positions", folder / "positions.tsv", "--outdir", folder / "results" / "genotypes",
    )  # fmt: skip
    for tissue in tissues:
        work_through(folder, tissue, args)
    for k in range(len(tissues), everyone):
        copy_tissue(folder / "results", tissues[k % len(tissues)], f"Tissue_{k:02d}")
    return folder / "results"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    add_arguments(arguments)
    args = arguments.parse_args()
    print(make_results(args.folder, args))


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Sizes of a cohort."""
    for name, value in (
        ("tissues", 10),
        ("distinct", 4),
        ("genes", 20000),
        ("features", 2048),
        ("donors", 449),
        ("threads", 2),
    ):
        arguments.add_argument(f"--{name}", type=int, default=value)


if __name__ == "__main__":
    main()
