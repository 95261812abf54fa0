#!/usr/bin/env python3
"""Summaries of patch features that exist already: of an earlier run, or of another tool in TRIDENT's layout.

Below --files lies a file `<sample>.h5` for each patch size and encoder of a slide, with `features` (N, D) and `coords`
(N, 2). No slide is opened. A slide without files, or with a damaged one, is a row in the tables, not the end.
"""

import sys
from pathlib import Path

import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_features import Summary, find_extremes, first_half, read_patch_features, summarise, write_summary
from hx_io import write_tsv
from hx_join import dropped_table
from hx_rows import read_slides
from hx_sizes import size_text

STAGE = "summarise_patches"
COLUMNS = ["sample", "donor", "tissue_id", "status", "reason", "n_patches"]


def find_files(folder: Path, samples: list[str]) -> dict[str, list[Path]]:
    """Feature files of each sample, anywhere below `folder`."""
    files: dict[str, list[Path]] = {sample: [] for sample in samples}
    others = []
    for path in sorted(folder.rglob("*.h5")):
        files.get(path.stem, others).append(path)
    if others:
        log.info("%d files belong to no slide of this batch: %s", len(others), preview(path.name for path in others))
    return files


def summarise_slide(sample: str, paths: list[Path]) -> dict[tuple[str, str], Summary]:
    """Summaries of one slide by patch size and encoder, one file in memory at a time.

    Raises:
        DataError: every fault of every file; two files of one size and encoder.
    """
    faults, summaries, read = Faults(), {}, {}
    for path in paths:
        try:
            patches = read_patch_features(path)
        except DataError as error:
            for fault in error.faults:
                faults.add(fault)
            continue
        key = patches.size, patches.origin.encoder
        if key in summaries:
            faults.add(f"{path} and {read[key]}: both {size_text(key[0])} of encoder {key[1]}: keep one")
        half = first_half(sample, patches.coords)
        extremes = find_extremes(patches.features, patches.coords)
        summaries[key] = summarise(patches.features, half, patches.origin, extremes=extremes)
        read[key] = path
    faults.stop()
    return summaries


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--slides", required=True, type=Path, help="rows of slides.tsv: the slides of this batch")
    arguments.add_argument("--files", required=True, type=Path, help="folder, <sample>.h5 anywhere below it")
    arguments.add_argument("--batch-id", required=True, help="first part of the names of the tables")
    arguments.add_argument("--outdir", type=Path, default=Path("."), help="where to write")
    args = arguments.parse_args(argv)
    slides = read_slides(args.slides, with_files=False)
    files, rows, dropped = find_files(args.files, slides["sample"].tolist()), [], []
    for _, slide in slides.iterrows():
        sample = slide["sample"]
        row = {name: slide[name] for name in ("sample", "donor", "tissue_id")} | {"n_patches": 0}
        try:
            if not files[sample]:
                raise DataError(f"no file {sample}.h5 of patch features")
            summaries = summarise_slide(sample, files[sample])
        except DataError as error:
            reason = "; ".join(error.faults).replace(f"{args.files}/", "")
            log.warning("%s: %s", sample, reason)
            dropped.append((sample, "slide", reason))
            rows.append(row | {"status": "unreadable", "reason": reason})
            continue
        write_summary(args.outdir / "summaries" / f"{sample}.summary.h5", sample, summaries)
        counts: dict[str, int] = {}
        for (size, _), summary in summaries.items():
            counts[size] = max(summary.n, counts.get(size, 0))
        rows.append(row | {"status": "ok", "reason": "", "n_patches": sum(counts.values())})
    write_tsv(pd.DataFrame(rows, columns=COLUMNS), args.outdir / f"{args.batch_id}.extract.tsv")
    write_tsv(dropped_table(dropped, STAGE), args.outdir / f"{args.batch_id}.dropped.tsv")


if __name__ == "__main__":
    sys.exit(main())
