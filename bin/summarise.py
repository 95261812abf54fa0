#!/usr/bin/env python3
"""Collect what the stages found and lost: tidy tables (summary/*.tsv) and report sections (multiqc/*_mqc.json).

Nothing is recomputed, but for a simulated cohort: with --truth, the planted truths are looked for in the features and
the expression.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

import hx_report as report
import hx_sections as sections
from hx_association import QQ, SUMMARY
from hx_classifier_sections import classifier_sections
from hx_cli import Faults, command, log, parser
from hx_feature_sections import feature_sections
from hx_io import read_table, write_tsv
from hx_join import DROPPED_COLUMNS
from hx_methods import methods_section
from hx_mqc import write_sections
from hx_slide_sections import slide_sections

MATCHING = ["tissue", "tissue_id", "slides", "slides_usable", "donors", "matched_donors", "donors_kept", "rule"]
STATUS = ["sample", "tissue_id", "status", "reason"]
NAMES = {
    *("variant", "split", "grey", "classes", "epoch", "best_epoch", "augment", "device", "stage", "truth", "predicted"),
    *("sample", "donor", "held_out", "suspicious", "weights_hash"),
    *("setting", "control", "tissue_id", "tissue", "size", "encoder", "aggregation", "correction", "rule", "weights"),
    *("best_feature", "best_gene", "best_symbol"),
}
FEATURE_SUMMARY = ["tissue_id", "size", "encoder", "aggregation", "n_donors", "n_features", "reliability_median"]
CLASSIFIER = {  # tables of train_classifier.py that the report shows, and columns that they must have
    "classifier": ["split", "grey", "patch_accuracy", "slide_accuracy"],
    "curves": ["stage", "epoch", "accuracy", "val_accuracy"],
    "confusion": ["truth", "predicted", "patches"],
    "slides": ["sample", "donor", "tissue_id", "predicted", "suspicious"],
}
TOP_GENES = 1000  # rows of summary/top_genes.tsv for each tissue


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Columns as numbers, but for those that hold names."""
    return table.apply(lambda column: column if column.name in NAMES else pd.to_numeric(column))


def listed(folder: Path, pattern: str, faults: Faults) -> list[Path]:
    """Files of a folder by name; a fault when there is none."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        faults.add(f"{folder}: no {pattern}: give the folder that its stage wrote to")
    return paths


def read_all(paths: list[Path], columns: list[str], faults: Faults) -> pd.DataFrame:
    """One table of all files, by their names; a fault for each that is not there or lacks one of `columns`."""
    tables = [pd.DataFrame(columns=columns, dtype=str)]
    for path in sorted(paths, key=lambda p: (p.name, str(p))):
        if not path.is_file():
            faults.add(f"{path}: no such file")
            continue
        table = read_table(path)
        if lacking := [c for c in columns if c not in table]:
            faults.add(f"{path}, row 1: no column {', '.join(lacking)}: give the file as its stage wrote it")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def read_classifier(paths: list[Path], faults: Faults) -> dict[str, pd.DataFrame]:
    """Tables of all sizes and variants, with columns size and variant; {} where no classifier was trained.

    Files are named <size>[.<variant>].<what>.tsv. Of slides, those whose label is doubted.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(paths, key=lambda path: path.name):
        size, *variant, what = path.name.removesuffix(".tsv").split(".")
        if what in CLASSIFIER:
            table = read_all([path], CLASSIFIER[what], faults)
            parts.setdefault(what, []).append(table.assign(size=size, variant=".".join(variant)))
    tables = {what: typed(pd.concat(found, ignore_index=True)) for what, found in parts.items()}
    if "slides" in tables:
        slides = tables.pop("slides")
        tables["doubted"] = slides[(slides["suspicious"] == "yes") & (slides["variant"] == "")]
    return tables


def read_genes(paths: list[Path], chosen: pd.DataFrame) -> pd.DataFrame:
    """Rows of the verdict's settings in the *.association_genes.parquet files."""
    wanted = set(chosen["setting"])
    tables = []
    for path in paths:
        table = pd.read_parquet(path)
        names = {name: str for name in ("setting", "gene", "symbol", "best_feature")}
        tables.append(table[table["setting"].isin(wanted)].astype(names))
    return pd.concat(tables, ignore_index=True)


def planted_truths(args: argparse.Namespace, summary: pd.DataFrame, chosen: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Planted truths in every setting, those of the verdict first; and the rule by which one is found."""
    # scipy.stats and anndata cost 3 s; only simulated cohorts need them.
    from hx_donors import read_annotated
    from hx_truth import COLUMNS, RULE, read_truth, recovered

    truth = read_truth(args.truth)
    rows = []
    tested = report.real(summary).query("pairs > 0")
    for (tissue, size), part in tested.groupby(["tissue_id", "size"], sort=True):
        prefix = f"{tissue}.{size}"
        names = (f"{prefix}.h5ad", f"{tissue}.expression.h5ad")
        features = read_annotated(args.features / names[0])
        expression = read_annotated(args.expression / names[1])
        rows += recovered(truth, features, expression, prefix, list(part["aggregation"].unique()), names)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table.assign(_other=~table["setting"].isin(set(chosen["setting"])), _size=report.size_order(table["size"]))
    order = ["_other", "tissue_id", "property", "_size", "encoder", "aggregation"]
    return table.sort_values(order, ignore_index=True).drop(columns=["_other", "_size"]), RULE


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--cohort", type=Path, required=True, help="folder with matching.tsv of check_cohort.py")
    add("--dropped", type=Path, nargs="*", default=[], help="dropped.tsv files of all stages")
    add("--status", type=Path, help="slide_status.tsv of check_slides.py; none where no slide was read")
    add("--associations", type=Path, required=True, help="folder with the tables of associate.py")
    add("--feature-summaries", type=Path, nargs="*", default=[], help="feature_summary.tsv of aggregate_features.py")
    add("--classifier", type=Path, nargs="*", default=[], help="tables of train_classifier.py, all sizes")
    add("--truth", type=Path, help="truth.json of a simulated cohort; needs --features and --expression")
    add("--features", type=Path, help="folder with <tissue_id>.<size>.h5ad")
    add("--expression", type=Path, help="folder with <tissue_id>.expression.h5ad")
    add("--primary", default="256,retrained,mean", help="size,encoder,aggregation that the verdict speaks of")
    add("--methods", type=Path, help="assets/methods.toml; without it the report has no methods text")
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if args.primary.count(",") != 2:
        arguments.error(f"--primary {args.primary}: size,encoder,aggregation is expected")
    if args.truth and not (args.features and args.expression):
        arguments.error("--truth needs --features and --expression")

    faults = Faults()
    matching = read_all([args.cohort / "matching.tsv"], MATCHING, faults)
    dropped = report.first_losses(read_all(args.dropped, DROPPED_COLUMNS, faults))
    status = read_all([args.status], STATUS, faults) if args.status else None
    summary = read_all(listed(args.associations, "*.association_summary.tsv", faults), SUMMARY, faults)
    qq = read_all(listed(args.associations, "*.association_qq.tsv", faults), QQ, faults)
    quality = read_all(args.feature_summaries, FEATURE_SUMMARY, faults)
    classifier = read_classifier(args.classifier, faults)
    gene_files = listed(args.associations, "*.association_genes.parquet", faults)
    faults.stop()
    matching, summary, qq = typed(matching), typed(summary), typed(qq)
    chosen = report.primary_settings(summary, args.primary)
    tables = {
        "verdict": report.verdict(summary, matching, args.primary),
        "flow": report.flow(matching, status, summary),
        "losses": report.losses(dropped),
        "calibration": report.calibration(summary),
        "settings": report.all_settings(summary),
        "top_genes": report.top_genes(read_genes(gene_files, chosen), chosen, TOP_GENES),
        "qq": qq,
        "dropped": dropped,
        **classifier,
    }
    if len(quality):
        tables["feature_summary"] = typed(quality)
    shown = [
        sections.verdict(tables["verdict"]),
        sections.flow(tables["flow"]),
        sections.losses(tables["losses"]),
        *slide_sections(status),
        *classifier_sections(classifier, args.primary.split(",")[0]),
        *(feature_sections(tables["feature_summary"]) if len(quality) else []),
        sections.qq(qq, chosen),
        sections.calibration(tables["calibration"]),
        sections.settings(tables["settings"]),
        sections.genes(tables["top_genes"], len(chosen)),
    ]
    if status is not None:
        tables["slide_status"] = status
    mode = None
    if args.truth:
        tables["planted_truths"], rule = planted_truths(args, summary, chosen)
        shown.append(sections.planted_truths(tables["planted_truths"], rule))
        mode = tables["planted_truths"]["mode"].iloc[0]
    if args.methods:
        shown.append(methods_section(args.methods, summary, status is not None, mode))
    for name, table in tables.items():
        write_tsv(table, args.outdir / "summary" / f"{name}.tsv")
    write_sections(shown, args.outdir / "multiqc")
    log.info("%d tables, %d report sections, %d tissues", len(tables), len(shown), len(chosen))


if __name__ == "__main__":
    sys.exit(main())
