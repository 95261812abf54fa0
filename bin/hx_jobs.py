#!/usr/bin/env python3
"""What extraction is to do: a job a slide, its patches, and the encoders that they are for."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults
from hx_encoder import AnyEncoder, BuiltIn
from hx_features import Origin, Summary, patches_sha256
from hx_grid import Grid, read_patches
from hx_scale import NOMINAL_MPP
from hx_sizes import size_text


@dataclass(eq=False)
class Job:
    """One slide on its way.

    um: micrometres a pixel, as its patch files have them; NOMINAL_MPP where they tell none. fault: why the slide is
    given up; '' while all is well. taken: summaries of an earlier run, by name of the size and encoder, that are not
    computed again; wanted: encoders still to run, by size. features: (N, D) by size and encoder. bad: (size, index) of
    unreadable patches. open: what is still to be done, its patches and 1 for reading the slide.
    """

    row: pd.Series
    grids: dict[str, Grid] = field(default_factory=dict)
    background: np.ndarray | None = None
    um: float = NOMINAL_MPP
    fault: str = ""
    taken: dict[tuple[str, str], Summary] = field(default_factory=dict)
    wanted: dict[str, list[AnyEncoder]] = field(default_factory=dict)
    features: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    bad: list[tuple[str, int]] = field(default_factory=list)
    open: int = 0

    @property
    def total(self) -> int:
        return sum(len(grid.coords) for grid in self.grids.values())

    @property
    def to_read(self) -> int:
        return sum(len(self.grids[size].coords) for size in self.wanted)


def find_patches(folder: Path, slides: pd.DataFrame) -> list[Job]:
    """A job a slide, with the patch files that lie anywhere below `folder`. DataError: one sample and size twice."""
    files: dict[str, list[Path]] = {sample: [] for sample in slides["sample"]}
    for path in sorted(folder.rglob("*_patches.h5")):
        if (sample := path.name.removesuffix("_patches.h5")) in files:
            files[sample].append(path)
    jobs, faults = [], Faults()
    for _, row in slides.iterrows():
        job = Job(row)
        for path in files[row["sample"]]:
            try:
                sample, grid, attributes = read_patches(path)
            except DataError as error:
                job.fault = job.fault or str(error).replace(str(path), path.name)
                continue
            if sample != row["sample"]:
                job.fault = job.fault or f"{path.name} holds patches of {sample}: give the files of segment_tissue.py"
            if grid.name in job.grids:
                size = size_text(grid.name)
                faults.add(f"{path}: a second patch file of {sample} at {size} below {folder}: keep one")
            job.grids[grid.name] = grid
            job.background = attributes.get("background")
            um = attributes.get("mpp_x", np.nan)
            job.um = float(um) if um > 0 else NOMINAL_MPP
        jobs.append(job)
    faults.stop()
    return jobs


def encoders_of(encoders: list[AnyEncoder], size: str) -> list[AnyEncoder]:
    """Those that the patches of a size are for."""
    return [encoder for encoder in encoders if encoder.size in (None, size)]


def origin_of(encoder: AnyEncoder, resize: str) -> Origin:
    """Origin of the features of an encoder whose patches were resized by `resize`, if it is given resized ones."""
    if isinstance(encoder, BuiltIn):
        return encoder.origin
    return replace(encoder.origin, preprocess=f"{resize} {encoder.px} px; {encoder.origin.preprocess}")


def patches_told(job: Job, size: str, encoder: AnyEncoder, kept: np.ndarray) -> str:
    """patches_sha256 of the patches `kept` (N,) bool of a slide, with all else there that the features depend on."""
    grid, also = job.grids[size], b""
    if isinstance(encoder, BuiltIn):
        also = np.ascontiguousarray(grid.fraction[kept], "<f4").tobytes() + f"{job.um!r}".encode()
    return patches_sha256(grid.coords[kept], grid.size, job.background, also=also)
