#!/usr/bin/env python3
"""Input of the nf-test suites, made by the commands of bin/ themselves: tests/data/made, not under version control."""

import shutil
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "tests" / "data" / "made"
sys.path[:0] = [str(ROOT / "bin"), str(ROOT / "tests" / "python")]

from causality_made import made_module_input  # noqa: E402
from encoders_made import write_encoder  # noqa: E402
from qtl_made import correlated, drawn_dosage, image_of, names, write_dosage  # noqa: E402

import aggregate_features  # noqa: E402
import associate  # noqa: E402
import check_cohort  # noqa: E402
import describe_features  # noqa: E402
import enrich  # noqa: E402
import extract_features  # noqa: E402
import predict_expression  # noqa: E402
import prepare_expression  # noqa: E402
import segment_tissue  # noqa: E402
import shared_variance  # noqa: E402
import simulate_cohort  # noqa: E402
import summarise  # noqa: E402
from hx_io import read_table, write_tsv  # noqa: E402
from hx_training import TrainingPatches, no_patches, training_name, write_training  # noqa: E402


def run(command, *arguments: object) -> None:
    """Run a command's main; stop when it does not succeed."""
    code = command.main([str(argument) for argument in arguments])
    if code:
        sys.exit(f"{command.__name__} left with {code}")


def read_donors(tissue: str) -> list[str]:
    """Donors of the cohort in a tissue, who have features and expression."""
    table = read_table(MADE / "check" / "cohort.tsv")
    return table.loc[table["tissue_id"] == tissue, "donor"].tolist()


def make_training() -> None:
    """Training patches as three batches give them: noise, one hue a tissue; the last batch has none."""
    rng = np.random.default_rng(1)
    for number, tissue in enumerate(("Lung", "Muscle_Skeletal", "Spleen")):
        pixels = rng.integers(60, 160, (40, 96, 96, 3), dtype=np.uint8)
        pixels[..., number] += 90
        donors = np.array([f"GTEX-{row // 4:04d}" for row in range(40)], object)
        patches = TrainingPatches(
            *("256", 96, "area", pixels),
            coords=np.array([(256 * (row % 4), 0) for row in range(40)]),
            sample=np.array([f"{donor}-{number}" for donor in donors], object),
            donor=donors,
            tissue_id=np.full(40, tissue, object),
            fold=np.arange(40) // 4 % 5,
        )
        name = training_name("256", f"{tissue}.b0")
        write_training(MADE / "training" / name, patches if number < 2 else no_patches("256", 96, "area"))


def make_tcga() -> None:
    """A download of the GDC in small: a sample sheet and the counts of two samples."""
    folder = MADE / "tcga"
    rows = ["File ID\tFile Name\tProject ID\tCase ID\tSample ID\tSample Type"]
    for number, case in enumerate(("TCGA-CR-0001", "TCGA-CR-0002")):
        name = f"{number}.rna_seq.augmented_star_gene_counts.tsv"
        rows.append(f"{number}\t{name}\tTCGA-HNSC\t{case}\t{case}-01A\tPrimary Tumor")
        counts = (
            "# gene-model: GENCODE v36\ngene_id\tgene_name\tunstranded\nN_unmapped\t\t1\nENSG1.1\tA\t2\nENSG2.1\tB\t3\n"
        )
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / name).write_text(counts)
    (folder / "gdc_sample_sheet.tsv").write_text("\n".join(rows) + "\n")


def make_qtl() -> None:
    """Genotypes, features and a design of 80 donors, more than the cohort has; a variant goes with a feature."""
    rng, donors, folder = np.random.default_rng(3), names(80), MADE / "qtl"
    folder.mkdir(parents=True)
    dosage, values = drawn_dosage(rng, 300, 80, low=0.2), correlated(rng, 80, 12)
    values[:, 0] = 3 * dosage[100] + rng.normal(size=80)
    write_dosage(folder / "genotypes.h5", dosage, donors, step=200_000)
    image_of(values, donors).write_h5ad(folder / "Lung.256.h5ad")
    (folder / "design.tsv").write_text("\n".join(["donor", *donors]) + "\n")


def main() -> None:
    shutil.rmtree(MADE, ignore_errors=True)
    make_tcga()
    make_qtl()
    made_module_input(MADE / "causality")
    make_training()
    cohort = MADE / "cohort"
    run(
        simulate_cohort,
        "--mode",
        "signal",
        "--tissues",
        1,
        "--donors",
        12,
        "--slide-px",
        512,
        "--seed",
        1,
        "--outdir",
        cohort,
    )
    expression = cohort / "gene_tpm.gct.gz"
    covariates = [cohort / "sample_attributes.txt", cohort / "subject_phenotypes.txt"]
    run(
        check_cohort,
        "--samplesheet",
        cohort / "samplesheet.csv",
        "--expression",
        expression,
        "--expression-unit",
        "tpm",
        "--covariates",
        *covariates,
        "--slide-batches",
        1,
        "--seed",
        1,
        "--outdir",
        MADE / "check",
    )

    # One batch, its slides under the names that the engine stages them by.
    slides = read_table(MADE / "check" / "slides.tsv").sort_values("sample").reset_index(drop=True)
    paths = [cohort / name for name in slides["slide"]]
    slides["slide"] = [f"slides{i}/{path.name}" for i, path in enumerate(paths, 1)]
    tissue, batch = slides.loc[0, "tissue_id"], slides.loc[0, "batch"]
    columns = ["sample", "donor", "tissue", "tissue_id", "slide", "mpp", "batch", "fold", "tissue_geojson"]
    write_tsv(slides[columns].assign(parts="", training="4"), MADE / "batch.tsv")
    for name, path in zip(slides["slide"], paths, strict=True):
        (MADE / "batch" / name).parent.mkdir(parents=True)
        shutil.copy(path, MADE / "batch" / name)
    run(
        segment_tissue,
        "--slides",
        MADE / "batch.tsv",
        "--slide-dir",
        MADE / "batch",
        "--patch-sizes",
        "128,256",
        "--max-patches",
        4,
        "--training-px",
        96,
        "--batch-id",
        batch,
        "--seed",
        1,
        "--outdir",
        MADE / "segment",
    )
    write_encoder(MADE / "tiny.onnx")
    run(
        extract_features,
        "--slides",
        MADE / "batch.tsv",
        "--slide-dir",
        MADE / "batch",
        "--patches",
        MADE / "segment",
        "--encoders",
        MADE / "tiny.onnx",
        "--save-patch-features",
        "float32",
        "--batch-id",
        batch,
        "--outdir",
        MADE / "extract",
    )
    run(
        aggregate_features,
        "--cohort",
        MADE / "check" / "cohort.tsv",
        "--tissue-id",
        tissue,
        "--size",
        256,
        "--summaries",
        MADE / "extract",
        "--out",
        MADE / "features" / f"{tissue}.256.h5ad",
        "--dropped",
        MADE / "features" / "aggregate.dropped.tsv",
        "--feature-summary",
        MADE / "features" / f"{tissue}.256.feature_summary.tsv",
        "--feature-histograms",
        MADE / "features" / f"{tissue}.256.feature_histograms.tsv",
    )
    run(
        prepare_expression,
        "--expression",
        expression,
        "--expression-unit",
        "tpm",
        "--cohort",
        MADE / "check" / "cohort.tsv",
        "--tissue-id",
        tissue,
        "--out",
        MADE / "expression" / f"{tissue}.expression.h5ad",
        "--histograms",
        MADE / "expression" / f"{tissue}.gene_histograms.tsv",
        "--sex-check",
        MADE / "expression" / f"{tissue}.sex_check.tsv",
        "--dropped",
        MADE / "expression" / "expression.dropped.tsv",
    )
    run(
        associate,
        "--features",
        MADE / "features" / f"{tissue}.256.h5ad",
        "--expression",
        MADE / "expression" / f"{tissue}.expression.h5ad",
        "--setting-prefix",
        f"{tissue}.256",
        "--outdir",
        MADE / "associations",
    )
    run(
        describe_features,
        *("--features", MADE / "features" / f"{tissue}.256.h5ad", "--setting-prefix", f"{tissue}.256"),
        *("--primary", "256,tiny,mean", "--summaries", MADE / "extract" / "summaries", "--sizes", "128,256"),
        *("--associations", MADE / "associations" / f"{tissue}.256.association_genes.parquet"),
        *("--outdir", MADE / "description"),
    )
    (MADE / "design.tsv").write_text("\n".join(["donor", *read_donors(tissue)]) + "\n")
    run(
        shared_variance,
        *("--features", MADE / "features" / f"{tissue}.256.h5ad"),
        *("--expression", MADE / "expression" / f"{tissue}.expression.h5ad"),
        *("--design", MADE / "design.tsv", "--setting-prefix", f"{tissue}.256", "--aggregations", "mean"),
        *("--primary", "256,tiny,mean", "--outdir", MADE / "shared_variance"),
    )
    run(
        predict_expression,
        *("--features", MADE / "features" / f"{tissue}.256.h5ad"),
        *("--expression", MADE / "expression" / f"{tissue}.expression.h5ad"),
        *("--design", MADE / "design.tsv", "--cohort", MADE / "check" / "cohort.tsv"),
        *("--setting-prefix", f"{tissue}.256", "--primary", "256,tiny,mean", "--outdir", MADE / "prediction"),
    )
    run(
        enrich,
        *("--features", MADE / "features" / f"{tissue}.256.h5ad"),
        *("--expression", MADE / "expression" / f"{tissue}.expression.h5ad"),
        *("--gene-sets", cohort / "gene_sets.gmt", "--setting-prefix", f"{tissue}.256"),
        *("--primary", "256,tiny,mean", "--settings", "all", "--gsea-features", 0, "--outdir", MADE / "enrichment"),
    )
    run(
        summarise,
        "--cohort",
        MADE / "check",
        "--dropped",
        MADE / "check" / "dropped.tsv",
        "--tables",
        MADE / "associations",
        "--features",
        MADE / "features",
        "--expression",
        MADE / "expression",
        "--outdir",
        MADE / "summarise",
    )
    print(f"made: {MADE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
