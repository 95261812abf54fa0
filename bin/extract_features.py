#!/usr/bin/env python3
"""Features of all patches of a batch of slides: level 0 of a slide is decoded once for all patch sizes and encoders.

Reader threads decode and resize while encoders run; batches mix sizes and slides. Writes a summary per slide and, with
--save-patch-features, the features of each patch. A slide that fails is a row in the tables, not the end of the batch.
With --summaries, what an earlier run computed is not computed again, and the summaries are those of a run without it.
"""

import sys
from pathlib import Path

import cv2
import pandas as pd

from hx_cli import command, log, parser
from hx_encoder import named_file, open_encoders
from hx_extraction import Extraction
from hx_io import write_tsv
from hx_jobs import Job, find_patches
from hx_join import dropped_table
from hx_rows import read_slides
from hx_takeover import take_over

STAGE = "extract_features"
COLUMNS = ["sample", "donor", "tissue_id", "status", "reason", "n_patches", "n_bad_patches"]


def dropped(jobs: list[Job]) -> pd.DataFrame:
    """Slides that failed here and patches that could not be read. A slide without patches was dropped before."""
    rows = []
    for job in jobs:
        sample = job.row["sample"]
        if job.fault:
            rows.append((sample, "slide", job.fault))
            continue
        for size, index in job.bad:
            x, y = job.grids[size].coords[index]
            rows.append((f"{sample}:{size}:{x}:{y}", "patch", "pixels cannot be read"))
    return dropped_table(rows, STAGE)


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--slides", required=True, type=Path, help="rows of slides.tsv: the slides of this batch")
    arguments.add_argument("--slide-dir", required=True, type=Path, help="folder with the files of the slides")
    arguments.add_argument("--patches", required=True, type=Path, help="folder, <sample>_patches.h5 anywhere below")
    add_encoders = {"type": named_file, "nargs": "+", "metavar": "[NAME[@SIZE]=]ONNX"}
    arguments.add_argument("--encoders", required=True, **add_encoders, help="a file an encoder; `texture` has none")
    arguments.add_argument("--resize", choices=["area", "bilinear"], default="area", help="bilinear: the study's")
    arguments.add_argument(
        "--save-patch-features", choices=["none", "float16", "float32"], default="none", help="keep those of each patch"
    )
    arguments.add_argument("--summaries", type=Path, help="folder of <sample>.summary.h5 of an earlier run")
    arguments.add_argument("--micro-batch", type=int, default=32, help="patches in a call on the GPU")
    arguments.add_argument("--threads", type=int, default=1, help="CPU cores; features do not depend on it")
    arguments.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="what runs the encoders")
    arguments.add_argument("--batch-id", required=True, help="first part of the names of the tables")
    arguments.add_argument("--outdir", type=Path, default=Path("."), help="where to write")
    args = arguments.parse_args(argv)
    if args.micro_batch < 1 or args.threads < 1:
        arguments.error("--micro-batch and --threads must be 1 or more")
    if args.summaries and args.save_patch_features != "none":
        arguments.error("--summaries goes with --save-patch-features none: summaries hold no features of patches")
    jobs = find_patches(args.patches, read_slides(args.slides))
    encoders = open_encoders(args.encoders, args.device, args.micro_batch)
    if args.summaries:
        take_over(jobs, encoders, args.summaries, args.resize)
    cv2.setNumThreads(1)
    extraction = Extraction(jobs, encoders, args)
    extraction.run()
    rows = [extraction.rows[job.row["sample"]] for job in jobs]
    for row in rows:
        if row["status"] not in ("ok", "no_tissue"):
            log.warning("%s: %s: %s", row["sample"], row["status"], row["reason"])
    write_tsv(pd.DataFrame(rows, columns=COLUMNS), args.outdir / f"{args.batch_id}.extract.tsv")
    write_tsv(dropped(jobs), args.outdir / f"{args.batch_id}.dropped.tsv")


if __name__ == "__main__":
    sys.exit(main())
