#!/usr/bin/env python3
"""One row a donor: the features of all encoders at one patch size, or a table of slide-level features.

From summaries: X is the mean over a donor's patches, layers hold median, max, std and the means of two halves of the
patches. A donor's slides are pooled: means, halves and medians weighted by patches, the largest maximum, and the
standard deviation of all patches together. From tables: X alone. Beside it, what the features are worth: split-half
reliability, dead and redundant features, their spread and correlations.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_companions import feature_labels
from hx_feature_table import join_donors, read_feature_table
from hx_features import STATISTICS, Origin
from hx_io import atomic, write_tsv
from hx_join import ID_PATTERN, dropped_table, gathered
from hx_linear import finite_columns
from hx_pool import donors_at_every_size, pool, read_summaries
from hx_reliability import feature_tables
from hx_rows import COHORT_COLUMNS, table_with, tissue_rows
from hx_sizes import is_size, size_names, size_text
from hx_slide_factors import slide_factors

STAGE = "aggregate_features"
HASH_LENGTH = 8  # characters of the weights' SHA-256 that people compare by eye


class Donors(NamedTuple):
    """What becomes the AnnData: rows are donors.

    values: (donors, features) by statistic, `mean` is X. obs: index donor. var: index feature name. encoders: origin by
    name. dropped: (id, kind, reason).
    """

    values: dict[str, np.ndarray]
    obs: pd.DataFrame
    var: pd.DataFrame
    encoders: dict[str, Origin]
    dropped: list[tuple[str, str, str]]


def slides_of(cohort: pd.DataFrame) -> dict[str, list[str]]:
    """Samples of each donor of rows of cohort.tsv."""
    return {row.donor: [sample for sample in row.samples.split(";") if sample] for row in cohort.itertuples()}


def from_summaries(folder: Path, cohort: pd.DataFrame, size: str) -> Donors:
    """Donors of a tissue from the summaries of their slides at one patch size.

    Raises:
        DataError: as read_summaries; no slide of the tissue has a summary.
    """
    names = slides_of(cohort)
    samples = sorted(sample for listed in names.values() for sample in listed)
    found, lost = read_summaries(folder, samples, size)
    if not found:
        sought = f"{len(samples)} slides: {preview(samples, 3)}"
        raise DataError(
            f"{folder}: no features at {size_text(size)} of any of {sought}: "
            "name the sizes that were extracted in --patch_sizes"
        )
    dropped = [(sample, "slide", reason) for sample, reason in lost.items()]
    widths, origins = {}, {}
    for encoders in found.values():
        for name, summary in encoders.items():
            widths[name], origins[name] = len(summary.statistics["mean"]), summary.origin
    rows, pooled = [], []
    for donor, listed in names.items():
        used = [sample for sample in listed if sample in found and sample not in lost]
        if not used:
            reason = preview(dict.fromkeys(lost[sample] for sample in listed)) or "no slide"
            dropped.append((donor, "donor", reason))
            continue
        parts = [pool([found[sample][name] for sample in used]) for name in sorted(widths)]
        pooled.append([np.concatenate([part[s] for part in parts]) for s in STATISTICS])
        patches = sum(max(summary.n for summary in found[sample].values()) for sample in used)
        rows.append((donor, ";".join(used), len(used), patches))
    obs = pd.DataFrame(rows, columns=["donor", "samples", "n_slides", "n_patches"]).set_index("donor")
    width = sum(widths.values())
    stacked = np.array(pooled, np.float32).reshape(len(rows), len(STATISTICS), width)
    var = pd.DataFrame(
        [
            (f"{name}_{index:04d}", name, origins[name].weights_sha256, index, label)
            for name in sorted(widths)
            for index, label in enumerate(feature_labels(origins[name], widths[name]))
        ],
        columns=["feature", "encoder", "weights_sha256", "index", "label"],
    ).set_index("feature")
    values = {name: np.ascontiguousarray(stacked[:, i]) for i, name in enumerate(STATISTICS)}
    return Donors(values, obs, var, dict(sorted(origins.items())), dropped)


def from_tables(paths: list[Path], cohort: pd.DataFrame, encoder: str) -> Donors:
    """Donors of a tissue from tables of slide-level features, which stand under the name of an encoder.

    Donors without any value are dropped, then features that a donor lacks: nothing is imputed.

    Raises:
        DataError: every fault of every table; no donor or no feature is left.
    """
    faults, tables = Faults(), []
    for path in sorted(paths):
        with gathered(faults):
            tables.append(read_feature_table(path))
    faults.stop()
    joined = join_donors(tables, cohort)
    values, names = joined.values.to_numpy(np.float64), joined.values.columns.to_numpy(object)
    known = ~np.isnan(values).all(axis=1)
    complete = finite_columns(values[known])
    dropped = [(donor, "donor", "no value in the tables of features") for donor in cohort["donor"][~known]]
    for name, lacking in zip(names[~complete], np.isnan(values[known][:, ~complete]).sum(axis=0), strict=True):
        dropped.append((name, "feature", f"missing in {lacking} of {known.sum()} donors"))
    if not known.any() or not complete.any():
        raise DataError(
            f"{preview(map(str, paths), 3)}: each of {len(names)} features is missing in a donor of the tissue: "
            "fill the gaps, or exclude the donors that lack them"
        )
    where = np.flatnonzero(known)
    obs = pd.DataFrame(
        {
            "samples": [";".join(joined.samples[i]) for i in where],
            "n_slides": [joined.rows[i] for i in where],
        },
        index=pd.Index(cohort["donor"].to_numpy()[known], name="donor"),
    )
    var = pd.DataFrame(
        {"encoder": encoder, "weights_sha256": "", "index": np.flatnonzero(complete), "label": ""},
        index=pd.Index(names[complete], name="feature"),
    )
    return Donors({"mean": values[known][:, complete]}, obs, var, {encoder: Origin(encoder)}, dropped)


def with_cohort(obs: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    """`obs` with fold and covariates of the cohort. A covariate whose filled cells are all numbers becomes numeric."""
    rows = cohort.set_index("donor").loc[obs.index]
    obs = obs.assign(fold=rows["fold"].astype(int))
    for name in rows.columns.difference([*COHORT_COLUMNS, *obs.columns], sort=False):
        numbers = pd.to_numeric(rows[name].replace("", None), errors="coerce")
        obs[name] = rows[name] if (numbers.isna() & (rows[name] != "")).any() else numbers.astype(float)
    return obs


def classifier_splits(path: Path) -> dict[str, str]:
    """`train` or `validation` by donor, from a table with columns donor and split (train, validation or both).

    A donor may stand in several rows, one a slide: it counts as trained on when any patch of it was.

    Raises:
        DataError: a column is missing, or another word; every row at once.
    """
    table, faults = table_with(path, ["donor", "split"], "give donor and split (train or validation)"), Faults()
    splits: dict[str, str] = {}
    for row, (donor, split) in enumerate(zip(table["donor"], table["split"], strict=True), start=2):
        if split not in ("train", "validation", "both"):
            faults.add(f"{path}, row {row}: split {split!r} of donor {donor}: write train, validation or both")
        elif split != "validation" or donor not in splits:
            splits[donor] = "validation" if split == "validation" else "train"
    faults.stop()
    return splits


@command
def main(argv: list[str] | None) -> None:
    import anndata

    arguments = parser(__doc__)
    arguments.add_argument("--cohort", required=True, type=Path, help="cohort.tsv of check_cohort.py")
    arguments.add_argument("--tissue-id", required=True, help="tissue to aggregate")
    arguments.add_argument("--size", default="-", help="patch size, 256 (pixels) or 128um; `-` for tables")
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--summaries", type=Path, help="folder, <sample>.summary.h5 anywhere below it")
    source.add_argument("--tables", type=Path, nargs="+", help="slide-level features: TSV, CSV, Parquet or h5ad")
    arguments.add_argument("--features-name", default="features", help="name of the encoder of --tables")
    arguments.add_argument("--sizes", type=size_names, help="all patch sizes of the run, 128,256,…: who has them all")
    arguments.add_argument("--training-donors", type=Path, help="TSV of donor, split: whom a retrained encoder saw")
    arguments.add_argument("--slide-status", type=Path, help="rows of slide_status.tsv: factors of the slides")
    arguments.add_argument("--out", required=True, type=Path, help="h5ad to write")
    arguments.add_argument("--dropped", required=True, type=Path, help="TSV of slides, donors and features left out")
    arguments.add_argument("--feature-summary", required=True, type=Path, help="TSV: a row an encoder x aggregation")
    arguments.add_argument("--feature-histograms", required=True, type=Path, help="TSV: correlations and SD, by bin")
    args = arguments.parse_args(argv)
    if (args.size == "-") != bool(args.tables) or not (args.size == "-" or is_size(args.size)):
        arguments.error("--size must be a patch size (256, 128um) with --summaries, and `-` with --tables")
    if not ID_PATTERN.match(args.features_name):
        arguments.error("--features-name: use letters, digits, dot, underscore and dash")

    cohort = tissue_rows(args.cohort, args.tissue_id)
    splits = classifier_splits(args.training_donors) if args.training_donors else {}
    everywhere = set(cohort["donor"])
    if args.tables:
        donors = from_tables(args.tables, cohort, args.features_name)
    else:
        donors = from_summaries(args.summaries, cohort, args.size)
        sizes = sorted({args.size, *(args.sizes or [])})
        everywhere = donors_at_every_size(args.summaries, slides_of(cohort), sizes, list(donors.encoders))
    obs = donors.obs.assign(
        classifier_split=[splits.get(donor, "") for donor in donors.obs.index],
        at_every_size=donors.obs.index.isin(everywhere),
    )
    if args.slide_status:
        status = table_with(args.slide_status, ["sample", "status"], "give rows of slide_status.tsv")
        obs = obs.join(slide_factors(status, cohort.set_index("donor")["samples"]))
    values = donors.values["mean"]
    hashes = donors.var["weights_sha256"].str[:HASH_LENGTH]
    var, summary, histograms = feature_tables(
        donors.values, donors.var.assign(weights_hash=hashes), args.tissue_id, args.size
    )
    table = anndata.AnnData(
        X=values,
        obs=with_cohort(obs, cohort),
        var=var,
        layers={name: layer for name, layer in donors.values.items() if name != "mean"},
        uns={
            "tissue": cohort["tissue"].iloc[0],
            "tissue_id": args.tissue_id,
            "size": args.size,
            "encoders": {name: asdict(origin) for name, origin in donors.encoders.items()},
            "files": ";".join(sorted(path.name for path in args.tables or [])),
        },
    )
    with atomic(args.out) as temporary:
        table.write_h5ad(temporary, convert_strings_to_categoricals=False)
    # A donor may be lost in one tissue and not in another.
    dropped = [(i, kind, f"{args.tissue_id}: {why}" if kind == "donor" else why) for i, kind, why in donors.dropped]
    write_tsv(dropped_table(dropped, STAGE), args.dropped)
    write_tsv(summary, args.feature_summary)
    write_tsv(histograms, args.feature_histograms)
    if not len(values):
        log.warning("%s: no slide has a patch of %s: no donor is left", args.tissue_id, size_text(args.size))
    message = "%s, size %s: %d of %d donors, %d features (%d dead), %d rows in dropped"
    log.info(
        message, args.tissue_id, args.size, len(values), len(cohort), len(var), var["dead"].sum(), len(donors.dropped)
    )


if __name__ == "__main__":
    sys.exit(main())
