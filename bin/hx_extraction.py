#!/usr/bin/env python3
"""The engine of extract_features.py: reads slides, runs encoders and writes features, all at the same time."""

import argparse
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from hx_cli import log
from hx_encoder import AnyEncoder, BuiltIn
from hx_features import PatchFeatures, find_extremes, first_half, summarise, write_patch_features, write_summary
from hx_formats import SlideError
from hx_grid import Read, iter_blocks, resize_patch
from hx_jobs import Job, encoders_of, origin_of, patches_told
from hx_sizes import size_folder, size_text
from hx_slide import open_slide

CPU_BATCH = 8  # patches that a CPU thread takes at a time: small, so that all threads end together
BATCHES_AHEAD = 6  # beyond two a model thread: what readers prepare while the model works
PROGRESS_SECONDS = 10.0


class Batch(NamedTuple):
    """Patches to encode: `given` is what each encoder is given of each, by its key; `places` (job, size, index)."""

    given: list[dict[int | str, np.ndarray]]
    places: list[tuple[Job, str, int]]


class Extraction:
    """Runs the encoders over the slides of `jobs` and writes their files; `run` returns when all is done."""

    def __init__(self, jobs: list[Job], encoders: list[AnyEncoder], args: argparse.Namespace):
        self.jobs, self.encoders, self.args = jobs, encoders, args
        self.workers = args.threads if args.device == "cpu" else 1
        self.batch = CPU_BATCH if args.device == "cpu" else args.micro_batch
        self.saved = None if args.save_patch_features == "none" else np.dtype(args.save_patch_features)
        self.rows: dict[str, dict[str, object]] = {}
        for job in jobs:
            for size in job.grids:
                missing = [one for one in encoders_of(encoders, size) if (size, one.name) not in job.taken]
                if missing:
                    job.wanted[size] = missing
                for encoder in missing:
                    if isinstance(encoder, BuiltIn) and np.isnan(job.grids[size].fraction).any():
                        told = f"the patch file of {size_text(size)} has no tissue_fraction, which encoder"
                        job.fault = job.fault or f"{told} {encoder.name} needs: give the files of segment_tissue.py"
        self.patches = sum(job.to_read for job in jobs if not job.fault)
        self._lock = threading.Lock()
        self._done, self._model_seconds = 0, 0.0
        self._began = self._told = time.perf_counter()

    def run(self) -> None:
        """Read in this thread (and the readers of iter_blocks), encode in others. Raises what an encoder raises."""
        waiting: deque[Future] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for batch in self._batches():
                    waiting.append(pool.submit(self._encode, batch))
                    if len(waiting) > 2 * self.workers + BATCHES_AHEAD:
                        waiting.popleft().result()
                while waiting:
                    waiting.popleft().result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._tell(force=True)

    def _batches(self) -> Iterator[Batch]:
        batch = Batch([], [])
        for job in self.jobs:
            job.open, given = job.to_read + 1, 0
            if not job.fault:
                for size, encoders in job.wanted.items():
                    for encoder in encoders:
                        shape = len(job.grids[size].coords), encoder.width
                        job.features[size, encoder.name] = np.empty(shape, np.float32)
                try:
                    for size, index, prepared in self._read(job):
                        if prepared is None:
                            job.bad.append((size, index))
                            continue
                        given += 1
                        batch.given.append(prepared)
                        batch.places.append((job, size, index))
                        if len(batch.places) == self.batch:
                            yield batch
                            batch = Batch([], [])
                except SlideError as error:
                    job.fault = job.fault or str(error)
            # What was not handed on will not come; the 1 is the reading itself.
            self._settle(job, job.to_read - given + 1)
        if batch.places:
            yield batch

    def _read(self, job: Job) -> Iterator[tuple[str, int, dict[int | str, np.ndarray] | None]]:
        """Size, index and what encoders are given, by their key, of each patch that is wanted; None: cannot be read.

        A slide of which all was taken over is not opened.
        """
        if job.taken and not job.wanted:
            return
        grids = [job.grids[size] for size in job.wanted]
        names = {grid.size: grid.name for grid in grids}
        wanted = {grid.size: job.wanted[grid.name] for grid in grids}
        sides = {
            size: sorted({one.px for one in ones if not isinstance(one, BuiltIn)}) for size, ones in wanted.items()
        }

        def survey(block: np.ndarray, read: Read) -> dict[tuple[int, int], dict[str, np.ndarray]]:
            found: dict[tuple[int, int], dict[str, np.ndarray]] = {place: {} for place in read.patches}
            for encoder in self.encoders:
                places = [place for place in read.patches if encoder in wanted[place[0]]]
                if places and isinstance(encoder, BuiltIn):
                    patches = [(job.grids[names[side]], index) for side, index in places]
                    corners = np.array([grid.coords[index] for grid, index in patches]) - (read.x, read.y)
                    fractions = np.array([grid.fraction[index] for grid, index in patches])
                    lengths = np.array([side for side, _ in places])
                    rows = encoder.measure(block, corners, lengths, fractions, slide.background, job.um)
                    for place, row in zip(places, rows, strict=True):
                        found[place][encoder.key] = row
            return found

        def prepare(patch: np.ndarray, measured: dict[str, np.ndarray]) -> dict[int | str, np.ndarray]:
            return measured | {px: resize_patch(patch, px, self.args.resize) for px in sides[len(patch)]}

        with open_slide(self.args.slide_dir, job.row, job.background) as slide:
            for side, index, prepared in iter_blocks(slide, grids, prepare, self.args.threads, survey):
                yield names[side], index, prepared

    def _encode(self, batch: Batch) -> None:
        began = time.perf_counter()
        for encoder in self.encoders:
            rows = [row for row, (job, size, _) in enumerate(batch.places) if encoder in job.wanted[size]]
            if not rows:
                continue
            features = encoder.encode(np.stack([batch.given[row][encoder.key] for row in rows]))
            with np.errstate(over="ignore"):
                sound = np.isfinite(features if self.saved is None else features.astype(self.saved)).all(axis=1)
            places = [batch.places[row] for row in rows]
            for (job, size, index), values, good in zip(places, features, sound, strict=True):
                job.features[size, encoder.name][index] = values
                if not good:
                    x, y = job.grids[size].coords[index]
                    fit = "do not fit float16: save float32" if np.isfinite(values).all() else "are not finite"
                    told = f"features of encoder {encoder.name} {fit} ({size_text(size)} patch at {x}, {y})"
                    job.fault = job.fault or told
        seconds = time.perf_counter() - began
        with self._lock:
            self._done += len(batch.places)
            self._model_seconds += seconds
        for job, count in Counter(place[0] for place in batch.places).items():
            self._settle(job, count)
        self._tell()

    def _settle(self, job: Job, count: int) -> None:
        """Cross `count` off what is open of a slide; whoever crosses off the last writes it."""
        with self._lock:
            job.open -= count
            last = job.open == 0
        if last:
            row = self._finish(job)
            with self._lock:
                self.rows[job.row["sample"]] = row

    def _finish(self, job: Job) -> dict[str, object]:
        sample, bad = job.row["sample"], set(job.bad)
        if bad and len(bad) == job.total:
            job.fault = job.fault or "no patch could be read"
        lost = [size for size, _ in bad if any(size == taken for taken, _ in job.taken)]
        if lost:
            named = f"{len(lost)} patches could be read by the run of its earlier summary and cannot be read now"
            job.fault = job.fault or f"{named}: copy the slide again, or leave that summary out"
        row = {name: job.row[name] for name in ("sample", "donor", "tissue_id")}
        row |= {"status": "unreadable", "reason": job.fault, "n_patches": 0, "n_bad_patches": len(bad)}
        if job.fault:
            job.features = {}
            return row
        if not job.grids:
            return row | {"status": "no_tissue", "reason": "no patch file"}
        summaries = dict(job.taken)
        for size, encoders in job.wanted.items():
            grid = job.grids[size]
            kept = np.array([(size, index) not in bad for index in range(len(grid.coords))], dtype=bool)
            coords = grid.coords[kept]
            first = first_half(sample, coords)
            for encoder in encoders:
                origin, features = origin_of(encoder, self.args.resize), job.features.pop((size, encoder.name))[kept]
                told, extremes = patches_told(job, size, encoder, kept), find_extremes(features, coords)
                summaries[size, encoder.name] = summarise(features, first, origin, told, extremes)
                if self.saved is not None:
                    path = self.args.outdir / size_folder(size) / f"features_{encoder.name}" / f"{sample}.h5"
                    values = features.astype(self.saved)
                    write_patch_features(path, PatchFeatures(sample, size, grid.size, values, coords, origin))
        write_summary(self.args.outdir / "summaries" / f"{sample}.summary.h5", sample, summaries)
        count = job.total - len(bad)
        if not count:
            return row | {"status": "ok", "reason": ""}
        return row | {
            "status": "partial" if bad else "ok",
            "reason": f"{len(bad)} patches could not be read" if bad else "",
            "n_patches": count,
        }

    def _tell(self, force: bool = False) -> None:
        """Log progress, at most every PROGRESS_SECONDS."""
        with self._lock:
            now = time.perf_counter()
            if not force and now - self._told < PROGRESS_SECONDS:
                return
            self._told, seconds = now, now - self._began
            rate = self._done / seconds
            waiting = max(0.0, 1 - self._model_seconds / (seconds * self.workers))
            left = f"{(self.patches - self._done) / rate / 60:.1f} min left" if rate and not force else "done"
            log.info(
                "%d of %d slides, %d of %d patches, %.1f patches/s, %s, models waited for pixels %.0f %% of the time",
                *(len(self.rows), len(self.jobs), self._done, self.patches, rate, left, 100 * waiting),
            )
