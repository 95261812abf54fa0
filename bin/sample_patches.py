#!/usr/bin/env python3
"""Gather the training patches of one size that segment_tissue.py cut: at most --patches a tissue, spread over donors.

Writes <size>.training.h5, its rows as <size>.training.tsv, counts a tissue and fold, and a contact sheet. A tissue
without any patch of the size is a row of <size>.dropped.tsv. The classifier works on what is there.
"""

import sys
from pathlib import Path

import pandas as pd

from hx_cli import command, log, parser, preview
from hx_io import write_tsv
from hx_join import FOLDS, dropped_table
from hx_overlay import ExampleRow, contact_sheet, write_jpeg
from hx_sizes import is_size, size_text
from hx_training import TrainingPatches, batch_tissue, choose, gather, read_pixels

STAGE = "sample_patches"
EXAMPLES = 8  # patches a tissue on the contact sheet


def row_table(rows: TrainingPatches) -> pd.DataFrame:
    """A row a patch: sample, donor, tissue_id, fold, x, y."""
    text = {name: getattr(rows, name) for name in ("sample", "donor", "tissue_id", "fold")}
    return pd.DataFrame({**text, "x": rows.coords[:, 0], "y": rows.coords[:, 1]})


def count_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row a tissue: donors, slides, patches, and its donors in each fold."""
    counts = []
    for tissue, part in table.groupby("tissue_id", sort=True):
        donors = part.drop_duplicates("donor")["fold"].value_counts()
        folds = {f"donors_fold{fold}": int(donors.get(fold, 0)) for fold in range(FOLDS)}
        slides = part["sample"].nunique()
        counts.append(
            {"tissue_id": tissue, "donors": sum(folds.values()), "slides": slides, "patches": len(part)} | folds
        )
    columns = ["tissue_id", "donors", "slides", "patches", *(f"donors_fold{fold}" for fold in range(FOLDS))]
    return pd.DataFrame(counts, columns=columns)


def examples(path: Path, rows: TrainingPatches, counts: pd.DataFrame, seed: int) -> list[ExampleRow]:
    """Up to EXAMPLES patches of every tissue, of different donors as far as there are."""
    chosen = choose(rows, EXAMPLES, seed)
    sheet = []
    for row in counts.itertuples():
        of_tissue = [i for i in chosen if rows.tissue_id[i] == row.tissue_id]
        numbers = [f"{n:,} {word}{'s' * (n != 1)}" for n, word in ((row.slides, "slide"), (row.donors, "donor"))]
        patches = f"{row.patches:,} patch{'es' * (row.patches != 1)}"
        sheet.append(ExampleRow(row.tissue_id, f"{patches}, {numbers[0]}, {numbers[1]}", read_pixels(path, of_tissue)))
    return sheet


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--files", required=True, type=Path, nargs="+", help="training patches, a file a batch")
    arguments.add_argument("--size", required=True, help="patch size of the files, such as 256 or 128um")
    arguments.add_argument("--patches", type=int, default=1000, help="at most so many a tissue")
    arguments.add_argument("--seed", type=int, default=1, help="of the choice that --patches makes")
    arguments.add_argument("--outdir", type=Path, default=Path("."), help="where to write")
    args = arguments.parse_args(argv)
    if args.patches < 1 or not is_size(args.size):
        arguments.error("--patches must be 1 or more, --size a patch size such as 256 or 128um")
    out = args.outdir / f"{args.size}.training.h5"
    rows = gather(args.files, args.size, args.patches, args.seed, out)
    table = row_table(rows)
    counts = count_table(table)
    absent = {batch_tissue(path.name, args.size) for path in args.files} - {None, *counts["tissue_id"]}
    if absent:
        log.warning("no training patch of %s: %s", size_text(args.size), preview(sorted(absent)))
    losses = [(tissue, "tissue", f"no training patch of {size_text(args.size)} on any slide") for tissue in absent]
    write_tsv(table, args.outdir / f"{args.size}.training.tsv")
    write_tsv(counts, args.outdir / f"{args.size}.training_counts.tsv")
    write_tsv(dropped_table(losses, STAGE), args.outdir / f"{args.size}.dropped.tsv")
    sheet = contact_sheet(f"Training patches of {size_text(args.size)}", examples(out, rows, counts, args.seed))
    write_jpeg(args.outdir / f"contact_sheet_{args.size}_mqc.jpg", sheet)


if __name__ == "__main__":
    sys.exit(main())
