#!/usr/bin/env python3
"""Confounders of one tissue and patch size: what each explains of image and expression, and the model to adjust for.

Every factor that the cohort's covariates and the slides give has rows in the ledger; the model holds some of them. Its
columns, for all later stages, are in <prefix>.design.tsv. --confounder-model `full` takes all of --confounders;
`significant` those of them with an effect on image or expression (permutation, Benjamini-Hochberg); `forward` those of
a forward selection on either side (Blanchet et al. 2008); both choose by the data that they then adjust, and are
labelled post-selection. `published` is the study's: numeric columns as straight lines, donors without a gap alone.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from anndata import AnnData
from threadpoolctl import threadpool_limits

import hx_confounder_tables as tables
import hx_design as design
from hx_arguments import add_sides
from hx_cli import DataError, comma_list, command, log, parser, preview
from hx_confounder_tables import View
from hx_donors import (
    Genes,
    common_donors,
    feature_settings,
    named_generator,
    read_annotated,
    read_genes,
    too_few,
    usable,
)
from hx_factor_pcs import leading_pcs
from hx_factors import declared
from hx_io import write_parquet, write_tsv
from hx_join import MIN_DONORS, dropped_table
from hx_ledger import kernel_of
from hx_linear import Standardised, standardise
from hx_rows import COHORT_COLUMNS, tissue_rows
from hx_selection import narrowed
from hx_variance import jackknife_groups

NAME = pa.dictionary(pa.int32(), pa.string())
GENES = pa.schema([(name, NAME if name in ("gene", "symbol", "factor") else pa.float64()) for name in tables.GENES])


def covariates(cohort: pd.DataFrame, obs: pd.DataFrame, donors: np.ndarray, where: str) -> pd.DataFrame:
    """Covariates of the donors: text of the cohort's columns, and the factors of their slides.

    Raises:
        DataError: donors without a row.
    """
    rows = cohort.set_index("donor")
    lacking = sorted(set(donors) - set(rows.index))
    if lacking:
        raise DataError(f"{where}: no row of donor {preview(lacking)}: give the cohort.tsv that the features came from")
    told = rows.columns.difference(COHORT_COLUMNS, sort=False)
    slides = [name for name in obs if declared(name)[0] == "slide" and name not in told]
    # Blank in all rows where no encoder was trained.
    slides = [name for name in slides if name != "classifier_split" or (obs.loc[donors, name] != "").any()]
    return rows.loc[donors, told].join(obs.loc[donors, slides])


def image_views(
    features: AnnData, donors: np.ndarray, prefix: str, aggregations: list[str], name: str, seed: int
) -> tuple[list[View], list[tuple]]:
    """Two views a setting (principal components, and standardised features), and the features that are dropped."""
    views, dropped = [], []
    size = prefix.rsplit(".", 1)[1]
    for part in feature_settings(features, donors, size, aggregations, name):
        setting = f"{prefix}.{part.encoder}.{part.aggregation}"
        keep, lost, _ = usable(part.values, part.name, "feature", setting)
        dropped += lost
        if not keep.any():
            log.warning("%s: none of %d features varies: no row", setting, len(part.name))
            continue
        of = standardise(part.values[:, keep])
        place = (part.encoder, part.aggregation)
        views.append(by_covariance(of, setting, "image_pcs", place, seed))
        views.append(View(setting, "features", *place, kernel_of(of.unit), of.unit, part.name[keep]))
    return views, dropped


def by_covariance(of: Standardised, setting: str, view: str, place: tuple[str, str], seed: int) -> View:
    """The view of principal components, in which a column weighs by its variance."""
    values = of.unit * of.sd
    kernel = kernel_of(values)
    pcs = leading_pcs(values, kernel, named_generator(seed, f"{setting}.{view}.noise"))
    return View(setting, view, *place, kernel, pcs=pcs)


def expression_views(genes: Genes, prefix: str, seed: int) -> list[View]:
    """Principal components of log2 values, and standardised rank-normal genes."""
    return [
        by_covariance(genes.log2, prefix, "expression_pcs", ("", ""), seed),
        View(prefix, "genes", "", "", kernel_of(genes.normal.unit), genes.normal.unit, genes.id),
    ]


def chosen_terms(
    args: argparse.Namespace, table: pd.DataFrame, name: str
) -> tuple[list[design.Term], list[tuple], np.ndarray]:
    """Terms with their roles, (id, kind, reason) of what is left out, and the (n,) mask of donors that stay.

    Raises:
        DataError: a column of --confounders that the cohort has not. NoRoom: too few complete donors.
    """
    published = args.confounder_model == "published"
    wanted = args.confounders
    if published and wanted == ["default"]:
        wanted = ["published"]
    if wanted[0] not in ("default", "none", "published"):
        absent = [column for column in wanted if column not in table]
        if absent:
            raise DataError(
                f"--confounders {preview(absent)}: no such column in {name}: it has {preview(table.columns, 60)}"
            )
    terms, refused, complete = design.read_terms(table, published)
    if complete.sum() < MIN_DONORS:
        raise design.NoRoom(
            f"{name}: {complete.sum()} donors have a number in every numeric covariate, at least {MIN_DONORS} are "
            "needed: --confounder_model full keeps donors with gaps"
        )
    terms, collinear = design.without_collinear(design.with_roles(terms, wanted, args.adjust_also))
    tissue = args.setting_prefix.rsplit(".", 1)[0]
    return terms, [(column, "factor", f"{tissue}: {reason}") for column, reason in [*refused, *collinear]], complete


def run(args: argparse.Namespace) -> None:
    """Read, choose the model, account for every factor, write; leave the size out where its donors are too few.

    A size without donors has tables of their headers alone. One whose donors leave the model no room has no design
    either, so that no later stage takes it up; of the declared analysis that is an error.
    """
    features = read_annotated(args.features)
    if reason := too_few(features):
        log.warning("%s: %s: nothing is adjusted", args.features.name, reason)
        write_all(args, {}, pd.DataFrame(columns=["donor"]), [(args.setting_prefix, "size", reason)])
        return
    try:
        account(args, features)
    except design.NoRoom as error:
        if args.setting_prefix.rsplit(".", 1)[1] in ("-", args.primary.split(",")[0]):
            raise
        log.warning("%s: this size is left out", error)
        write_all(args, {}, None, [(args.setting_prefix, "size", f"{error}: the size is left out")])


def account(args: argparse.Namespace, features: AnnData) -> None:
    """Choose the model, account for every factor, write.

    Raises:
        NoRoom: the donors are too few for the model.
    """
    tissue = args.setting_prefix.rsplit(".", 1)[0]
    expression = read_annotated(args.expression)
    donors = common_donors(features, expression, (args.features.name, args.expression.name))
    cohort = tissue_rows(args.cohort, tissue)
    table = covariates(cohort, features.obs, donors, args.cohort.name)
    terms, dropped, complete = chosen_terms(args, table, args.cohort.name)
    gap = "lacks a numeric covariate: the published model takes complete donors alone"
    dropped += [(donor, "donor", f"{tissue}: {gap}") for donor in donors[~complete]]
    donors = donors[complete]
    genes, lost = read_genes(expression, donors, args.expression.name)
    views, more = image_views(features, donors, args.setting_prefix, args.aggregations, args.features.name, args.seed)
    dropped += lost + more
    views += expression_views(genes, args.setting_prefix, args.seed)
    pcs = [view for view in views if view.view.endswith("_pcs")]
    n, model = len(donors), args.confounder_model
    if model in design.SELECTED:
        sides = {side: [v.kernel for v in pcs if v.view.startswith(side)] for side in ("image", "expression")}
        terms = narrowed(terms, sides, model, args.seed, f"{tissue}.selection")
        model = f"{model} (post-selection)"
    columns, labels = design.model_columns(terms, n)
    if 0 < args.confounder_pcs < len(labels):
        terms = design.through_pcs(terms, args.confounder_pcs, n)
        columns, labels = design.model_columns(terms, n)
    design.check_dof(labels, n, args.setting_prefix)
    log.info("%s: %d donors, %d factors, %d columns in the model", args.setting_prefix, n, len(terms), len(labels))

    folds = cohort.set_index("donor").loc[donors, "fold"].astype(int).to_numpy()
    groups = jackknife_groups(named_generator(args.seed, f"{tissue}.jackknife"), n)
    of_genes = tables.gene_table(genes.normal.unit, genes.id, genes.symbol, terms)
    assumptions, points = tables.assumption_tables(pcs, terms, args.seed, tissue)
    found = {
        "confounder_ledger": tables.ledger_table(views, terms, folds, groups, args.seed, tissue),
        "factor_curve": tables.curve_table(pcs, terms, folds, args.seed, tissue),
        "confounder_model": tables.model_table(terms, n, len(labels)),
        "confounder_assumptions": assumptions,
        "confounder_points": points,
        "confounder_genes": tables.top_genes(of_genes).assign(n=n),
        "factor_pcs": tables.pc_table(pcs, terms),
        "genes": of_genes,
    }
    matrix = pd.DataFrame(columns, columns=labels).map("{:.17g}".format)
    matrix.insert(0, "donor", donors)
    write_all(args, {name: part.assign(model=model) for name, part in found.items()}, matrix, dropped)


def write_all(
    args: argparse.Namespace, found: dict[str, pd.DataFrame], matrix: pd.DataFrame | None, dropped: list[tuple]
) -> None:
    """Write every table under its name; those that were not made with their header alone.

    matrix: the design, cells of text: write_tsv keeps 10 digits of numbers, the residual space needs all of them. None:
        there is no design, nor one of an earlier run.
    """
    out = f"{args.outdir}/{args.setting_prefix}"
    for name, names in tables.COLUMNS.items():
        write_tsv(found[name][names] if name in found else pd.DataFrame(columns=names), f"{out}.{name}.tsv")
    genes = found.get("genes", pd.DataFrame(columns=tables.GENES))[tables.GENES]
    write_parquet(pa.Table.from_pandas(genes, GENES, preserve_index=False), f"{out}.confounder_genes.parquet")
    if matrix is None:
        Path(f"{out}.design.tsv").unlink(missing_ok=True)
    else:
        write_tsv(matrix, f"{out}.design.tsv")
    write_tsv(dropped_table(dropped, "adjust_confounders"), f"{out}.adjust_confounders.dropped.tsv")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_sides(arguments)
    add("--cohort", type=Path, required=True, help="cohort.tsv of check_cohort.py, with the covariates")
    add(
        "--confounders", type=comma_list, default="default",
        help="default (age, sex, Hardy scale, centre, ischaemic time, RIN, collection date, genotype PCs), none, "
        "published (every numeric column and the centre), or names of columns",
    )  # fmt: skip
    add("--confounder-model", choices=design.MODELS, default="full", help="which of --confounders are adjusted for")
    add("--adjust-also", type=comma_list, default="", help=f"of {', '.join(design.ALSO)}: in the model as well")
    add("--confounder-pcs", type=int, default=0, help="adjust for so many principal components of the model; 0: for it")
    add("--primary", default="256,retrained,mean", help="size,encoder,aggregation of the declared analysis")
    add("--seed", type=int, default=1, help="seed of permutations, noise and jackknife groups")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    unknown = sorted(set(args.adjust_also) - set(design.ALSO))
    if unknown:
        arguments.error(f"--adjust-also {preview(unknown)}: choose from {', '.join(design.ALSO)}")
    alone = {"default", "none", "published"} & set(args.confounders)
    if not args.confounders or (alone and len(args.confounders) > 1):
        arguments.error("--confounders: give default, none or published alone, or names of columns")
    if args.confounder_pcs < 0 or args.threads < 1:
        arguments.error("--confounder-pcs is at least 0, --threads at least 1")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
