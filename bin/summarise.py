#!/usr/bin/env python3
"""Collect what the stages found and lost: tidy tables (summary/*.tsv) and report sections (multiqc/*_mqc.json).

Nothing is recomputed, but for a simulated cohort: with --truth, the planted truths are looked for in the features and
the expression.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

import hx_annotation_sections
import hx_association_sections
import hx_causality_sections
import hx_claims_sections
import hx_classifier_sections
import hx_cohort_sections
import hx_confounder_sections
import hx_description_sections
import hx_enrichment_sections
import hx_expression_sections
import hx_feature_sections
import hx_genotype_sections
import hx_hits_sections
import hx_prediction_sections
import hx_qtl_sections
import hx_report as report
import hx_scale_sections
import hx_sections as sections
import hx_settings_sections
import hx_term_sections
import hx_top_hits_sections
import hx_variance_sections
from hx_association import QQ, SUMMARY
from hx_claims import claims
from hx_cli import Faults, command, log, parser, primary_setting, skipped_stage
from hx_cohort_report import page_tables
from hx_disclosure import INTERNAL, Disclosure, add_arguments, read_pseudonyms
from hx_gather import gather, listed, read_all, typed
from hx_io import read_parquet, write_tsv
from hx_join import DROPPED_COLUMNS, gathered
from hx_methods import methods_section
from hx_mqc import write_sections
from hx_slide_sections import slide_sections
from hx_verdict import verdict

MATCHING = ["tissue", "tissue_id", "slides", "slides_usable", "donors", "matched_donors", "donors_kept", "rule"]
STATUS = ["sample", "tissue_id", "status", "reason"]
SECTIONS = (
    hx_classifier_sections,
    hx_feature_sections,
    hx_cohort_sections,
    hx_expression_sections,
    hx_confounder_sections,
    hx_variance_sections,
    hx_scale_sections,
    hx_association_sections,
    hx_settings_sections,
    hx_top_hits_sections,
    hx_prediction_sections,
    hx_enrichment_sections,
    hx_term_sections,
    hx_description_sections,
    hx_genotype_sections,
    hx_qtl_sections,
    hx_causality_sections,
    hx_annotation_sections,
    hx_claims_sections,
)
TABLES = {name: kind for module in SECTIONS for name, kind in module.TABLES.items()}
# Published by their stages for the whole cohort; no need of a copy.
ONLY_SHOWN = (
    "covariate_summary",
    "covariates_by_tissue",
    "exclusions",
    "annotations",
    "hidden_factors",
    "top_hits",
    "pc_associations",
    "enrichment_lists",
    "term_overlaps",
    "term_sets",
    "gene_summary",
    "description_terms",
    "genotype_counts",
)
TOP_GENES = 1000  # rows of summary/top_genes.tsv for each tissue


def read_genes(paths: list[Path], chosen: pd.DataFrame) -> pd.DataFrame:
    """Rows of the verdict's settings in the *.association_genes.parquet files."""
    wanted = set(chosen["setting"])
    tables = []
    for path in paths:
        names = {name: str for name in ("setting", "gene", "symbol", "best_feature")}
        table = read_parquet(path, needed=list(names))
        tables.append(table[table["setting"].isin(wanted)].astype(names))
    return pd.concat(tables, ignore_index=True)


def planted_truths(
    args: argparse.Namespace, settings: pd.DataFrame, chosen: pd.DataFrame
) -> tuple[pd.DataFrame, str, str]:
    """Planted truths in every tested setting, those of the verdict first; the rule by which one is found; the mode."""
    # scipy.stats and anndata cost 3 s; only simulated cohorts need them.
    from hx_donors import read_annotated
    from hx_truth import COLUMNS, RULE, read_truth, recovered

    truth = read_truth(args.truth)
    rows = []
    tested = settings[settings["tested"].astype(bool)]
    for (tissue, size), part in tested.groupby(["tissue_id", "size"], sort=True):
        prefix = f"{tissue}.{size}"
        names = (f"{prefix}.h5ad", f"{tissue}.expression.h5ad")
        features = read_annotated(args.features / names[0])
        expression = read_annotated(args.expression / names[1])
        rows += recovered(truth, features, expression, prefix, list(part["aggregation"].unique()), names)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table.assign(_other=~table["setting"].isin(set(chosen["setting"])), _size=report.size_order(table["size"]))
    order = ["_other", "tissue_id", "property", "_size", "encoder", "aggregation"]
    return table.sort_values(order, ignore_index=True).drop(columns=["_other", "_size"]), RULE, truth.mode


def read_associations(folder: Path, faults: Faults) -> dict[str, pd.DataFrame]:
    """association_summary and qq of all settings; a fault where there is none: the stage was not skipped."""
    summary = read_all(listed(folder, "*.association_summary.tsv", faults), SUMMARY, faults)
    qq = read_all(listed(folder, "*.association_qq.tsv", faults), QQ, faults)
    listed(folder, "*.association_genes.parquet", faults)
    return {"association_summary": typed(summary), "qq": typed(qq)}


def association_tables(
    found: Mapping[str, pd.DataFrame], folder: Path, chosen: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """What the report draws of the associations; found: of read_associations; chosen: the verdict's settings."""
    summary = found["association_summary"]
    genes = read_genes(sorted(folder.glob("*.association_genes.parquet")), chosen)
    return {
        "calibration": report.calibration(summary),
        "settings": report.all_settings(summary),
        "top_genes": report.top_genes(genes, chosen, TOP_GENES),
        "controls": hx_association_sections.control_rows(summary, chosen),
        "qq": found["qq"],
    }


def disclosure_of(
    args: argparse.Namespace, cohort: pd.DataFrame, dropped: pd.DataFrame, status: pd.DataFrame | None, faults: Faults
) -> Disclosure:
    """What the report may show, knowing every id of the run's tables."""
    slides = args.cohort / "slides.tsv"
    rows = [read_all([slides], ["sample", "donor"], faults)[["sample", "donor"]]] if slides.is_file() else []
    samples = {name: row.donor for row in cohort.itertuples() for name in row.samples.split(";") if name}
    samples |= {row.sample: row.donor for table in rows for row in table.itertuples()}
    ids = [*cohort.get("rna_sample", ()), *dropped.loc[dropped["kind"].isin(report.PEOPLE_KINDS), "id"]]
    ids += [] if status is None else list(status["sample"])
    donors = {*cohort["donor"], *samples.values()}
    given = {}
    with gathered(faults):
        given = read_pseudonyms(args.pseudonyms, cohort["donor"])
    return Disclosure(args.disclosure, donors, samples, given, ids=ids)


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--cohort", type=Path, required=True, help="folder with matching.tsv of check_cohort.py")
    add("--dropped", type=Path, nargs="*", default=[], help="dropped.tsv files of all stages")
    add("--status", type=Path, help="slide_status.tsv of check_slides.py; none where no slide was read")
    add("--tables", type=Path, required=True, help="folder with the tables of all stages after those")
    add("--truth", type=Path, help="truth.json of a simulated cohort; needs --features and --expression")
    add("--features", type=Path, help="folder with <tissue_id>.<size>.h5ad")
    add("--expression", type=Path, help="folder with <tissue_id>.expression.h5ad")
    add(
        "--primary",
        type=primary_setting,
        default="256,retrained,mean",
        help="size,encoder,aggregation that the verdict speaks of",
    )
    add("--skipped", type=skipped_stage, nargs="*", default=[], help="'stage: why' of each stage that was left out")
    add("--methods", type=Path, help="assets/methods.toml; without it the report has no methods text")
    add_arguments(arguments)
    add("--with-genotypes", action="store_true", help="the run has genotypes: an internal report carries a banner")
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if args.truth and not (args.features and args.expression):
        arguments.error("--truth needs --features and --expression")
    if args.pseudonyms and args.disclosure == INTERNAL:
        arguments.error("--pseudonyms are of a shareable report: add --disclosure shareable")

    faults, skipped = Faults(), dict(args.skipped)
    matching = typed(read_all([args.cohort / "matching.tsv"], MATCHING, faults))
    dropped = report.first_losses(read_all(args.dropped, DROPPED_COLUMNS, faults))
    status = read_all([args.status], STATUS, faults) if args.status else None
    associations = {} if "associate" in skipped else read_associations(args.tables, faults)
    cohort = read_all([args.cohort / "cohort.tsv"], ["donor", "tissue_id", "samples"], faults)
    stages = gather(args.cohort, hx_cohort_sections.TABLES, faults) | gather(args.tables, TABLES, faults)
    if "slides" in stages:
        stages["doubted"] = hx_classifier_sections.doubted(stages.pop("slides"))
    disclosure = disclosure_of(args, cohort, dropped, status, faults)
    faults.stop()
    found = stages | associations
    settings = report.settings_of(found, args.primary.split(",")[2])
    chosen = report.primary_settings(settings, args.primary)
    tables = {
        "verdict": verdict(chosen, matching, found, status),
        "flow": report.flow(matching, status, settings),
        "losses": report.losses(dropped),
        "dropped": dropped,
        "claims": claims(found, chosen, skipped),
        **page_tables(cohort, dropped, stages),
        **{name: table for name, table in stages.items() if name not in ONLY_SHOWN},
    }
    if associations:
        tables |= association_tables(associations, args.tables, chosen)
    shown = [
        *sections.disclosure(disclosure, args.with_genotypes),
        sections.verdict(tables["verdict"]),
        sections.flow(tables["flow"]),
        sections.losses(tables["losses"], dropped),
        *([sections.left_out(skipped)] if skipped else []),
        *hx_cohort_sections.cohort_sections(cohort, tables, stages),
        *slide_sections(status),
        *hx_classifier_sections.classifier_sections(stages, args.primary.split(",")[0]),
        *hx_feature_sections.feature_sections(stages),
        *hx_expression_sections.expression_sections(stages),
        *hx_confounder_sections.confounder_sections(stages, chosen),
        *hx_variance_sections.variance_sections(stages, chosen),
        *hx_scale_sections.scale_sections(stages),
        *(hx_hits_sections.hits_sections(tables, chosen) if associations else []),
        *hx_association_sections.association_sections(tables),
        *hx_settings_sections.settings_sections(stages, chosen),
        *hx_top_hits_sections.top_hits_sections(stages, chosen),
        *hx_prediction_sections.prediction_sections(stages),
        *hx_enrichment_sections.enrichment_sections(stages),
        *hx_term_sections.term_sections(stages),
        *hx_description_sections.description_sections(stages),
        *hx_genotype_sections.genotype_sections(stages),
        *hx_qtl_sections.qtl_sections(stages),
        *hx_causality_sections.causality_sections(stages),
        *hx_annotation_sections.annotation_sections(stages),
        *hx_claims_sections.claims_sections(tables["claims"]),
    ]
    if listed_files := sorted(args.tables.glob("*.listed_genes.parquet")):
        shown.insert(0, hx_association_sections.listed_section(read_genes(listed_files, chosen), chosen))
    if status is not None:
        tables["slide_status"] = status
    mode = None
    if args.truth:
        tables["planted_truths"], rule, mode = planted_truths(args, settings, chosen)
        shown.append(sections.planted_truths(tables["planted_truths"], rule, mode))
    if args.methods:
        shown.append(methods_section(args.methods, settings, found, status is not None, mode))
    for name, table in tables.items():
        write_tsv(table, args.outdir / "summary" / f"{name}.tsv")
    write_sections(shown, args.outdir / "multiqc", disclosure)
    log.info("%d tables, %d report sections, %d tissues", len(tables), len(shown), len(chosen))


if __name__ == "__main__":
    sys.exit(main())
