#!/usr/bin/env python3
"""Settings of one tissue side by side over all patch sizes: shared variance on the donors that every size has.

<tissue_id>.scales.tsv: each setting with p_familywise, which takes account of looking at all settings: it compares the
statistic with the maximum over settings under the same permutation of the donors. <tissue_id>.comparisons.tsv: pairs of
settings that differ in size, encoder or aggregation alone, at an equal number of PCs, with a jackknife interval and the
p of flipped signs; the study's two claims are the declared rows, all others are exploratory.
"""

import sys
from pathlib import Path

import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, primary_setting
from hx_donors import named_generator
from hx_gather import Kind, gather
from hx_io import write_tsv
from hx_join import dropped_table
from hx_scales import COMPARISONS, SCALES, comparisons_table, scales_table
from hx_shared_tables import JACKKNIFE, KEY, NULL, ROW, read_arrays

STAGE = "combine_scales"


def compared_rows(folder: Path) -> pd.DataFrame:
    """Rows of all sizes' shared_variance.tsv on the donors that are compared: those at every size, else all.

    Raises:
        DataError: no table, one without the columns, or two tissues.
    """
    faults = Faults()
    found = gather(folder, {"shared_variance": Kind(ROW)}, faults).get("shared_variance")
    if found is None:
        faults.add(f"{folder}: no <tissue_id>.<size>.shared_variance.tsv: give the folder that its stage wrote to")
    faults.stop()
    if found["tissue_id"].nunique() > 1:
        raise DataError(f"{folder}: tables of {', '.join(sorted(set(found['tissue_id'])))}: give those of one tissue")
    rows = found[found["control"] == "none"].sort_values("donors", ascending=False, kind="stable")
    return rows.drop_duplicates(KEY).sort_values(KEY, ignore_index=True)


def arrays(folder: Path, kind: str, schema: object, rows: pd.DataFrame) -> dict:
    """read_arrays of all files of a kind. DataError: a row has none, or they have not one length."""
    found = read_arrays(list(folder.glob(f"*.shared_variance_{kind}.parquet")), schema)
    keys = list(rows[KEY].itertuples(index=False, name=None))
    if lacking := sorted({key[0] for key in keys if key not in found}):
        raise DataError(f"{folder}: shared_variance_{kind}.parquet lacks {', '.join(lacking)}: run the stage again")
    if len({len(found[key]) for key in keys}) > 1:
        raise DataError(f"{folder}: shared_variance_{kind}.parquet of several runs: run the stage again for each size")
    return found


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--tables", type=Path, required=True, help="folder of the tables of shared_variance.py, all sizes of a tissue")
    add("--tissue-id", required=True, help="tissue that they are of")
    add(
        "--primary",
        type=primary_setting,
        default="256,retrained,mean",
        help="size,encoder,aggregation of the declared analysis",
    )
    add("--seed", type=int, default=1, help="seed of the flipped signs")
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    rows = compared_rows(args.tables)
    scales, comparisons = pd.DataFrame(columns=SCALES), pd.DataFrame(columns=COMPARISONS)
    dropped = []
    if len(rows):
        nulls = arrays(args.tables, "null", NULL, rows)
        scales = scales_table(rows, nulls)
        replicates = arrays(args.tables, "jackknife", JACKKNIFE, rows)
        generator = named_generator(args.seed, f"{args.tissue_id}.signs")
        comparisons = comparisons_table(rows, replicates, args.primary, generator)
        common = rows["donors_hash"].mode()[0]
        why = "is on other donors than most: compared with those of the same donors alone"
        odd = sorted(set(rows.loc[rows["donors_hash"] != common, "setting"]))
        dropped = [(setting, "setting", f"{args.tissue_id}: {why}") for setting in odd]
    log.info("%s: %d rows, %d comparisons", args.tissue_id, len(scales), len(comparisons))
    out = f"{args.outdir}/{args.tissue_id}"
    write_tsv(scales, f"{out}.scales.tsv")
    write_tsv(comparisons, f"{out}.comparisons.tsv")
    write_tsv(dropped_table(dropped, STAGE), f"{out}.{STAGE}.dropped.tsv")


if __name__ == "__main__":
    sys.exit(main())
