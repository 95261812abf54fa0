#!/usr/bin/env python3
"""One row a donor: the features of all encoders at one patch size, or a table of slide-level features.

From summaries: X is the mean over a donor's patches, layers hold median, max, std and the means of two halves of the
patches. A donor's slides are pooled: means, halves and medians weighted by patches, the largest maximum, and the
standard deviation of all patches together. From tables: X alone.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_feature_table import join_donors, read_feature_table
from hx_features import STATISTICS, Origin, Summary, read_summary
from hx_io import atomic, write_tsv
from hx_join import ID_PATTERN, dropped_table, gathered
from hx_linear import finite_columns, varying_columns
from hx_rows import COHORT_COLUMNS, tissue_rows
from hx_sizes import is_size, size_text

STAGE = "aggregate_features"


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


def pool(slides: list[Summary]) -> dict[str, np.ndarray]:
    """Statistics of all patches of a donor from those of its slides, float32 (D,) each; every n is above 0.

    The variance of all patches is the mean variance within slides plus the variance of the slides' means, both weighted
    by n. The median of all patches is not to be had from summaries: it is the weighted mean of the slides' medians.
    """
    if len(slides) == 1:
        return slides[0].statistics

    def stack(name: str) -> np.ndarray:
        return np.array([slide.statistics[name] for slide in slides], np.float64)

    def weighted(values: np.ndarray, weights: list[int]) -> np.ndarray:
        used = np.array(weights) > 0
        if not used.any():
            return np.full(values.shape[1], np.nan)
        return np.average(values[used], axis=0, weights=np.array(weights)[used])

    n, first = [slide.n for slide in slides], [slide.n_half1 for slide in slides]
    mean = weighted(stack("mean"), n)
    pooled = {
        "mean": mean,
        "median": weighted(stack("median"), n),
        "max": stack("max").max(axis=0),
        "std": np.sqrt(weighted(stack("std") ** 2 + (stack("mean") - mean) ** 2, n)),
        "half1": weighted(stack("half1"), first),
        "half2": weighted(stack("half2"), [all_ - half for all_, half in zip(n, first, strict=True)]),
    }
    return {name: values.astype(np.float32) for name, values in pooled.items()}


def read_summaries(folder: Path, samples: list[str], size: str) -> tuple[dict[str, dict[str, Summary]], dict[str, str]]:
    """Summaries of one size by sample and encoder, and why samples have none. Files lie anywhere below `folder`.

    Raises:
        DataError: damaged files; encoders that differ between slides in weights, layer, preprocessing or width.
    """
    files = {path.name.removesuffix(".summary.h5"): path for path in sorted(folder.rglob("*.summary.h5"))}
    faults, found, lost = Faults(), {}, {}
    for sample in samples:
        if sample not in files:
            lost[sample] = "no summary of its features"
            continue
        with gathered(faults):
            told, encoders = read_summary(files[sample], size)
            if told != sample:
                faults.add(f"{files[sample]}: holds slide {told}, its name says {sample}: rename the file")
            elif encoders:
                found[sample] = encoders
            else:
                lost[sample] = f"no features at {size_text(size)}"
    first: dict[str, tuple[str, object]] = {}
    for sample, encoders in found.items():
        for name, summary in encoders.items():
            like = (summary.origin, len(summary.statistics["mean"]))
            other, expected = first.setdefault(name, (sample, like))
            if like != expected:
                faults.add(
                    f"{files[sample]}: encoder {name} at {size_text(size)} is {like}, "
                    f"in {files[other].name} it is {expected}: "
                    "make the features of all slides with one encoder file and one kind of resizing"
                )
    for name in first:
        lacking = [sample for sample, encoders in found.items() if name not in encoders]
        if 2 * len(lacking) > len(found):
            faults.add(
                f"{folder}: encoder {name} at {size_text(size)} is in {len(found) - len(lacking)} of {len(found)} "
                "slides only: add it for the others, or take it out"
            )
        for sample in lacking:
            lost.setdefault(sample, f"no features of encoder {name} at {size_text(size)}")
    faults.stop()
    for sample, encoders in found.items():
        if any(not summary.n for summary in encoders.values()):
            lost.setdefault(sample, f"no patch of {size_text(size)}")
    return found, lost


def from_summaries(folder: Path, cohort: pd.DataFrame, size: str) -> Donors:
    """Donors of a tissue from the summaries of their slides at one patch size.

    Raises:
        DataError: as read_summaries; no slide of the tissue has a summary.
    """
    names = {row.donor: [s for s in row.samples.split(";") if s] for row in cohort.itertuples()}
    samples = sorted(sample for listed in names.values() for sample in listed)
    found, lost = read_summaries(folder, samples, size)
    if not found:
        sought = f"{len(samples)} slides: {preview(samples, 3)}"
        raise DataError(f"{folder}: no features at {size_text(size)} of any of {sought}")
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
            (f"{name}_{index:04d}", name, origins[name].weights_sha256, index)
            for name in sorted(widths)
            for index in range(widths[name])
        ],
        columns=["feature", "encoder", "weights_sha256", "index"],
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
        {"encoder": encoder, "weights_sha256": "", "index": np.flatnonzero(complete)},
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
    arguments.add_argument("--out", required=True, type=Path, help="h5ad to write")
    arguments.add_argument("--dropped", required=True, type=Path, help="TSV of slides, donors and features left out")
    args = arguments.parse_args(argv)
    if (args.size == "-") != bool(args.tables) or not (args.size == "-" or is_size(args.size)):
        arguments.error("--size must be a patch size (256, 128um) with --summaries, and `-` with --tables")
    if not ID_PATTERN.match(args.features_name):
        arguments.error("--features-name: use letters, digits, dot, underscore and dash")

    cohort = tissue_rows(args.cohort, args.tissue_id)
    if args.tables:
        donors = from_tables(args.tables, cohort, args.features_name)
    else:
        donors = from_summaries(args.summaries, cohort, args.size)
    values = donors.values["mean"]
    dead = ~varying_columns(values) if len(values) else np.zeros(values.shape[1], dtype=bool)
    table = anndata.AnnData(
        X=values,
        obs=with_cohort(donors.obs, cohort),
        var=donors.var.assign(dead=dead),
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
    if not len(values):
        log.warning("%s: no slide has a patch of %s: no donor is left", args.tissue_id, size_text(args.size))
    message = "%s, size %s: %d of %d donors, %d features (%d dead), %d rows in dropped"
    log.info(message, args.tissue_id, args.size, len(values), len(cohort), len(dead), dead.sum(), len(donors.dropped))


if __name__ == "__main__":
    sys.exit(main())
