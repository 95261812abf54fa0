#!/usr/bin/env python3
"""What extraction takes over from the summaries of an earlier run: what this run would compute to the same numbers."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from hx_cli import DataError, Faults, log, preview
from hx_encoder import AnyEncoder
from hx_features import Origin, Summary, read_summary
from hx_jobs import Job, encoders_of, origin_of, patches_told
from hx_join import gathered
from hx_sizes import size_text, size_value


def take_over(jobs: list[Job], encoders: list[AnyEncoder], folder: Path, resize: str) -> None:
    """Fill `taken` of each job from `<sample>.summary.h5` in `folder`, and log what is left to compute and why.

    A slide may have no such file. A summary is taken over when it is of the same encoder (name, layer, weights,
    preprocessing with the resizing) over the same patches, all of them: one of a slide with unreadable patches is not.

    Raises:
        DataError: no such folder; every file that is damaged or of another slide.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give that of the summaries of an earlier run")
    faults, lacking = Faults(), []
    taken = asked = 0
    for job in jobs:
        path = folder / f"{job.row['sample']}.summary.h5"
        asked += sum(len(encoders_of(encoders, size)) for size in job.grids)
        if not path.exists():
            lacking.append(job.row["sample"])
            continue
        with gathered(faults):
            reasons = _take_over(job, encoders, path, resize)
            taken += len(job.taken)
            if reasons:
                log.info("%s: not taken over from %s: %s", job.row["sample"], path.name, "; ".join(reasons))
    faults.stop()
    log.info("taken over: %d of %d summaries of a size by an encoder", taken, asked)
    if bare := sorted({job.row["sample"] for job in jobs for one in job.taken.values() if one.extremes is None}):
        log.warning("no extreme patches in the earlier summaries of %s: galleries lack those slides", preview(bare))
    if lacking:
        log.info("%d of %d slides have no earlier summary: %s", len(lacking), len(jobs), preview(lacking))


def _take_over(job: Job, encoders: list[AnyEncoder], path: Path, resize: str) -> list[str]:
    """Fill `taken` of one job; what is not taken over, with its reason."""
    reasons = []
    for size, grid in sorted(job.grids.items(), key=lambda item: size_value(item[0])):
        sample, summaries = read_summary(path, size, extremes=True)
        if sample != job.row["sample"]:
            raise DataError(f"{path}: holds slide {sample}, its name says {job.row['sample']}: rename the file")
        for encoder in encoders_of(encoders, size):
            found = summaries.get(encoder.name)
            patches = patches_told(job, size, encoder, np.ones(len(grid.coords), bool))
            reason = _difference(found, origin_of(encoder, resize), encoder.width, len(grid.coords), patches)
            if reason:
                reasons.append(f"{size_text(size)} of {encoder.name}: {reason}")
            else:
                job.taken[size, encoder.name] = found
    return reasons


def _difference(found: Summary | None, origin: Origin, width: int, n: int, patches: str) -> str:
    """Why a summary is not the one of `n` patches (see patches_sha256) by the encoder of `origin`; '' when it is."""
    if found is None:
        return "not in it"
    other = [field.name for field in fields(Origin) if getattr(found.origin, field.name) != getattr(origin, field.name)]
    if other:
        return f"another encoder ({', '.join(other)})"
    if len(found.statistics["mean"]) != width:
        return f"{len(found.statistics['mean'])} features, {width} now"
    if not found.patches:
        return "it does not tell its patches"
    if found.n != n:
        return f"{found.n} patches, {n} now"
    return "" if found.patches == patches else "other patches"
