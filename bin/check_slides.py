#!/usr/bin/env python3
"""Join what became of every slide, and stop when too many failed or when scanners saw fields of different size.

A status table holds a row a slide: sample, status (ok, partial, no_tissue, unreadable), reason, warnings and any
other columns. Its kind is the last part of its name before .tsv: all `<batch>.slides_qc.tsv` are one kind. A slide's
status is the worst of its kinds. A slide has failed when its status is neither ok nor partial.
"""

import sys
from pathlib import Path

import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_io import read_table, write_tsv

STATUSES = ["ok", "partial", "no_tissue", "unreadable"]  # from best to worst
IDENTITY = ["sample", "donor", "tissue", "tissue_id", "slide", "batch"]
JOINED = ["status", "reason", "warnings"]
SAME_MPP = 1.05  # scales whose ratio is at most this are one: what calibration of one scanner model varies by


def read_kinds(paths: list[Path]) -> dict[str, pd.DataFrame]:
    """Status tables by kind, indexed by sample. DataError names every fault of every file."""
    faults, parts = Faults(), {}
    for path in sorted(paths, key=lambda path: (path.name, str(path))):
        kind = path.name.removesuffix(".tsv").rsplit(".", 1)[-1]
        try:
            table = read_table(path)
        except DataError as error:
            for fault in error.faults:
                faults.add(fault)
            continue
        missing = [column for column in ("sample", "status") if column not in table]
        if missing:
            faults.add(f"{path}, row 1: no column {', '.join(missing)}: give the status tables of slide tasks")
            continue
        for row in table.index[~table["status"].isin(STATUSES)]:
            faults.add(f"{path}, row {row + 2}: status {table['status'][row]!r}: must be one of {', '.join(STATUSES)}")
        parts.setdefault(kind, []).append(table.assign(_file=str(path)))
    kinds = {}
    for kind, tables in sorted(parts.items(), key=lambda item: (item[0] != "slides_qc", item[0])):
        table = pd.concat(tables, ignore_index=True).fillna("")
        for sample, rows in table[table["sample"].duplicated(keep=False)].groupby("sample"):
            faults.add(f"{', '.join(rows['_file'].unique())}: slide {sample} has {len(rows)} rows: keep one")
        kinds[kind] = table.drop(columns="_file").drop_duplicates("sample").set_index("sample")
    faults.stop()
    return kinds


def join_status(slides: pd.DataFrame, kinds: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """All slides with status, reason, warnings and the columns of every kind; the order of `slides` by sample.

    A column that two kinds share (a count of bad tiles, say) gets the kind's name in front, except for the first kind.

    Raises:
        DataError: a slide has no status, or a status table has a slide that is not in `slides`.
    """
    joined = slides.sort_values("sample", ignore_index=True)
    faults = Faults()
    known = {sample for table in kinds.values() for sample in table.index}
    for sample in joined["sample"][~joined["sample"].isin(known)]:
        faults.add(f"slide {sample} has no row in any status table: the task of its batch wrote none, run it again")
    for sample in sorted(known - set(joined["sample"])):
        faults.add(f"slide {sample} of the status tables is not in slides.tsv: give the tables of this cohort only")
    faults.stop()
    if any("mpp" in table for table in kinds.values()):
        joined = joined.drop(columns="mpp", errors="ignore")  # what the slide task used goes before what the sheet says
    tables = [table.reindex(joined["sample"], fill_value="") for table in kinds.values()]
    rank = pd.DataFrame([table["status"].map({name: i for i, name in enumerate(STATUSES)}) for table in tables])
    joined["status"] = [STATUSES[int(worst)] for worst in rank.max()]
    for column in JOINED[1:]:
        texts = pd.DataFrame([table[column] for table in tables if column in table], columns=joined["sample"])
        joined[column] = ["; ".join(dict.fromkeys(filter(None, texts[sample]))) for sample in texts]
    for kind, table in zip(kinds, tables, strict=True):
        for column in table.columns.difference([*IDENTITY, *JOINED], sort=False):
            joined[f"{kind}_{column}" if column in joined else column] = table[column].to_numpy()
    return joined


def failures(status: pd.DataFrame, limit: float) -> list[str]:
    """Messages for a run that has to stop, one a failed slide; none when their share is at most `limit`."""
    failed = status[~status["status"].isin(["ok", "partial"])]
    if len(failed) <= limit * len(status):
        return []
    total = (
        f"{len(failed)} of {len(status)} slides failed ({len(failed) / len(status):.1%}), more than "
        f"--max-failed-slides {limit:g} allows: mend or take out these slides, or allow more"
    )
    return [total, *(f"slide {row.sample} ({row.slide}): {row.status}: {row.reason}" for row in failed.itertuples())]


def mixed_scales(status: pd.DataFrame) -> list[str]:
    """Messages for a run whose usable slides differ in micrometres a pixel by more than 5 %; none when they do not.

    A patch of so many pixels is then another field of view on each scanner, and features tell scanners apart.
    """
    usable = status[status["status"].isin(["ok", "partial"])]
    mpp = pd.to_numeric(usable["mpp"] if "mpp" in usable else pd.Series(dtype=float), errors="coerce")
    mpp = mpp.dropna().sort_values(kind="stable")
    if len(mpp) < len(usable):
        told = len(usable) - len(mpp), len(usable)
        log.warning("%d of %d slides tell no mpp: whether scales are mixed is unknown", *told)
    if mpp.empty or mpp.max() <= SAME_MPP * mpp.min():
        return []
    groups: list[list] = []
    for row, value in mpp.items():
        if not groups or value > SAME_MPP * mpp[groups[-1][0]]:
            groups.append([])
        groups[-1].append(row)
    listed = "; ".join(
        f"{len(rows)} slides of mpp {mpp[rows[0]]:.3g} ({preview(usable.loc[rows, 'sample'], 3)})" for rows in groups
    )
    return [
        f"slides differ in scale: {listed}: a patch of as many pixels is another field of view on each: give sizes in "
        "micrometres (--patch_um 64,128), take slides out of the samplesheet, or accept it (--allow_mixed_mpp)"
    ]


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--slides", required=True, type=Path, help="slides.tsv of check_cohort")
    arguments.add_argument("--status", required=True, nargs="+", type=Path, help="status tables of all batches")
    arguments.add_argument("--max-failed-slides", type=float, default=0.1, help="largest share that may fail, 0 to 1")
    arguments.add_argument("--allow-mixed-mpp", action="store_true", help="slides may differ in micrometres a pixel")
    arguments.add_argument("--outdir", type=Path, default=Path("."), help="where slide_status.tsv goes")
    args = arguments.parse_args(argv)
    if not 0 <= args.max_failed_slides <= 1:
        arguments.error("--max-failed-slides must lie in 0 to 1")
    slides = read_table(args.slides)
    missing = [column for column in ("sample", "slide") if column not in slides]
    if missing:
        raise DataError(f"{args.slides}, row 1: no column {', '.join(missing)}: give the slides.tsv of check_cohort")
    status = join_status(slides, read_kinds(args.status))
    if "excluded" in status:
        # Read, so that --exclude extracts nothing anew, and left out of everything after that.
        status = status[status["excluded"] != "yes"].drop(columns="excluded")
    write_tsv(status, args.outdir / "slide_status.tsv")
    counts = status["status"].value_counts()
    log.info("%d slides: %s", len(status), ", ".join(f"{counts[name]} {name}" for name in STATUSES if name in counts))
    faults = failures(status, args.max_failed_slides) + ([] if args.allow_mixed_mpp else mixed_scales(status))
    if faults:
        raise DataError(*faults)


if __name__ == "__main__":
    sys.exit(main())
