#!/usr/bin/env python3
"""Training patches of the tissue classifier: their file, and the choice that spreads them over tissues and donors.

One format for what SEGMENT_TISSUE cuts from a batch of slides and for what SAMPLE_PATCHES gathers. A file holds patches
of one size, rows sorted by (sample, y, x). Files grow to gigabytes: gathering holds one patch in memory at a time.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from hx_cli import DataError, Faults, preview
from hx_io import atomic
from hx_join import FOLDS, gathered
from hx_sizes import is_size

SCHEMA_VERSION = 1
RESIZE = ("area", "bilinear")
TEXT = ("sample", "donor", "tissue_id")
DATASETS = ("pixels", "coords", *TEXT, "fold")


class TrainingPatches(NamedTuple):
    """n patches of one size.

    size: its name ('256', '128um'). px: side of `pixels`. resize: 'area' or 'bilinear', see hx_grid.resize_patch.
    pixels: uint8 (n, px, px, 3) RGB; None where only the rows were read. coords: int64 (n, 2), x and y of the top-left
    corner at level 0. sample, donor, tissue_id: text (n,), dtype object. fold: int64 (n,), 0..4, the donor's.
    """

    size: str
    px: int
    resize: str
    pixels: np.ndarray | None
    coords: np.ndarray
    sample: np.ndarray
    donor: np.ndarray
    tissue_id: np.ndarray
    fold: np.ndarray

    def key(self, row: int) -> tuple[str, int, int]:
        """What rows are sorted by."""
        x, y = self.coords[row].tolist()
        return self.sample[row], y, x


def training_name(size: str, batch: str) -> str:
    """Name of the file of a batch of slides; a batch is `<tissue_id>.b<number>`."""
    return f"{size}.{batch}.training.h5"


def batch_tissue(name: str, size: str) -> str | None:
    """The tissue_id in a name of training_name, which also stands for a batch without patches; None for other names."""
    match = re.fullmatch(rf"{re.escape(size)}\.(.+)\.b[0-9]+\.training\.h5", name)
    return match.group(1) if match else None


def no_patches(size: str, px: int, resize: str) -> TrainingPatches:
    """What a batch without any patch writes."""
    text = np.empty(0, object)
    pixels, coords = np.empty((0, px, px, 3), np.uint8), np.empty((0, 2), np.int64)
    return TrainingPatches(size, px, resize, pixels, coords, text, text, text, np.empty(0, np.int64))


def write_training(path: Path, *parts: TrainingPatches) -> None:
    """Write the patches of one or more parts, which agree in size, px and resize, as one sorted file."""
    rows, places = _merge(parts, [range(len(part.coords)) for part in parts])
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        pixels = _create(file, rows)
        for part, order in zip(parts, places, strict=True):
            for row, place in order:
                pixels[place] = part.pixels[row]


def _merge(
    parts: Sequence[TrainingPatches], picked: Sequence[Iterable[int]]
) -> tuple[TrainingPatches, list[list[tuple[int, int]]]]:
    """Picked rows of all parts in one order, without pixels; and for each part, (its row, place in the result)."""
    if len({part[:3] for part in parts}) != 1:
        raise ValueError("parts of one file must agree in size, px and resize")
    order = sorted((parts[i].key(row), i, row) for i, rows in enumerate(picked) for row in rows)
    places: list[list[tuple[int, int]]] = [[] for _ in parts]
    for place, (_, i, row) in enumerate(order):
        places[i].append((row, place))

    def column(name: str, empty: np.ndarray) -> np.ndarray:
        values = [getattr(parts[i], name)[row] for _, i, row in order]
        return np.array(values, empty.dtype).reshape(-1, *empty.shape[1:])

    blank = no_patches(*parts[0][:3])
    columns = {name: column(name, getattr(blank, name)) for name in DATASETS[1:]}
    return blank._replace(pixels=None, **columns), places


def _create(file: h5py.File, rows: TrainingPatches) -> h5py.Dataset:
    """Write all but the pixels; the dataset for those comes back."""
    file.attrs.update({"size": rows.size, "px": rows.px, "resize": rows.resize, "schema_version": SCHEMA_VERSION})
    for name in TEXT:
        file.create_dataset(name, data=getattr(rows, name), dtype=h5py.string_dtype())
    file.create_dataset("coords", data=rows.coords, dtype=np.int64)
    file.create_dataset("fold", data=rows.fold, dtype=np.int64)
    return file.create_dataset("pixels", shape=(len(rows.coords), rows.px, rows.px, 3), dtype=np.uint8)


def read_training(path: Path) -> TrainingPatches:
    """All of a training file, its pixels in memory.

    Raises:
        DataError: every fault of a file that write_training did not make, or that was cut short.
    """
    rows = read_training_rows(path)
    return rows._replace(pixels=read_pixels(path, range(len(rows.coords))))


def read_pixels(path: Path, rows: Sequence[int]) -> np.ndarray:
    """Pixels of some rows of a training file, in their order: uint8 (len(rows), px, px, 3)."""
    try:
        with h5py.File(path) as file:
            dataset = file["pixels"]
            pixels = np.empty((len(rows), *dataset.shape[1:]), np.uint8)
            for place, row in enumerate(rows):
                pixels[place] = dataset[row]
    except OSError as error:
        raise DataError(f"{path}: pixels cannot be read ({error}): copy or make it again") from None
    return pixels


def read_training_rows(path: Path) -> TrainingPatches:
    """All of a training file but its pixels. Raises: see read_training."""
    try:
        with h5py.File(path) as file:
            lacking = [name for name in DATASETS if not isinstance(file.get(name), h5py.Dataset)]
            lacking += [name for name in ("size", "px", "resize", "schema_version") if name not in file.attrs]
            if lacking:
                told = f"no {', '.join(lacking)}"
                raise DataError(f"{path}: not a file of training patches ({told}): give those of segment_tissue.py")
            version = int(file.attrs["schema_version"])
            if version != SCHEMA_VERSION:
                raise DataError(f"{path}: schema_version {version}, {SCHEMA_VERSION} can be read: make it again")
            rows = TrainingPatches(
                *(str(file.attrs["size"]), int(file.attrs["px"]), str(file.attrs["resize"]), None),
                coords=file["coords"][:],
                **{name: file[name].asstr()[:] for name in TEXT},
                fold=file["fold"][:],
            )
            shape, kind = file["pixels"].shape, file["pixels"].dtype
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{path}: no readable file of training patches ({error}): copy or make it again") from None
    faults = list(_faults(rows, shape, kind))
    if faults:
        raise DataError(*(f"{path}: {fault}: make it again with segment_tissue.py" for fault in faults))
    return rows._replace(coords=rows.coords.astype(np.int64), fold=rows.fold.astype(np.int64))


def _faults(rows: TrainingPatches, shape: tuple[int, ...], kind: np.dtype) -> Iterator[str]:
    count = len(rows.fold)
    if not is_size(rows.size):
        yield f"size is {rows.size!r}, which is no patch size"
    if rows.resize not in RESIZE:
        yield f"resize is {rows.resize!r}, which is none of {', '.join(RESIZE)}"
    if rows.px < 1 or kind != np.uint8 or shape != (count, rows.px, rows.px, 3):
        yield f"pixels are {kind} {shape}, {count} rows of {rows.px} px need uint8 {(count, rows.px, rows.px, 3)}"
    if rows.fold.ndim != 1 or rows.fold.dtype.kind not in "iu" or not np.isin(rows.fold, range(FOLDS)).all():
        yield f"fold is not a whole number from 0 to {FOLDS - 1} in every row"
    blank = [name for name in TEXT if getattr(rows, name).shape != (count,) or not all(getattr(rows, name))]
    if blank:
        yield f"{', '.join(blank)} not given in every one of {count} rows"
    if rows.coords.shape != (count, 2) or rows.coords.dtype.kind not in "iu":
        yield f"coords are {rows.coords.dtype} {rows.coords.shape}, {count} rows of whole x and y are needed"
    elif not blank:
        keys = [rows.key(row) for row in range(count)]
        if any(one >= other for one, other in pairwise(keys)):
            yield "rows are not sorted by sample, y and x, or one stands twice"


def choose(rows: TrainingPatches, per_tissue: int, seed: int) -> list[int]:
    """Rows of at most `per_tissue` patches a tissue, spread over its donors as evenly as they have patches.

    Round robin: the first patch of every donor, then the second of those that have one, until there are enough. Donors
    are in the order of SHA-1 of "seed:donor", the patches of one in that of "seed:sample:x:y": neither the order of
    rows nor other tissues matter. Sorted by tissue, and within it in the order of choice.
    """

    def digest(*parts: object) -> bytes:
        return hashlib.sha1(":".join(map(str, (seed, *parts))).encode()).digest()

    of_donor: dict[tuple[str, str], list[tuple[bytes, int]]] = defaultdict(list)
    for row, (x, y) in enumerate(rows.coords.tolist()):
        key = rows.tissue_id[row], rows.donor[row]
        of_donor[key].append((digest(rows.sample[row], x, y), row))
    turns: dict[str, list[tuple[int, bytes, int]]] = defaultdict(list)
    for (tissue, donor), patches in of_donor.items():
        place = digest(donor)
        turns[tissue] += [(turn, place, row) for turn, (_, row) in enumerate(sorted(patches))]
    return [row for tissue in sorted(turns) for _, _, row in sorted(turns[tissue])[:per_tissue]]


def gather(paths: Iterable[Path], size: str, per_tissue: int, seed: int, out: Path) -> TrainingPatches:
    """Write to `out` the patches of `size` that `choose` takes from files of training patches; its rows come back.

    The order of `paths` changes nothing. One patch is in memory at a time.

    Raises:
        DataError: every fault of the files, also against each other: mixed sizes, px or resize, a patch that stands
            twice, a donor with two folds (files of different --seed), a slide of two donors or tissues.
    """
    paths = sorted(paths)
    faults, parts = Faults(), []
    for path in paths:
        with gathered(faults):
            parts.append(read_training_rows(path))
            if parts[-1].size != size:
                faults.add(f"{path}: patches of size {parts[-1].size}, not {size}: leave it out or give its --size")
    faults.stop()
    if not parts:
        raise DataError(f"no files of training patches of size {size}: give those of segment_tissue.py")
    for name in ("px", "resize"):
        told = {getattr(part, name): path for path, part in zip(paths, parts, strict=True)}
        if len(told) > 1:
            each = "; ".join(f"{value} in {path}" for value, path in told.items())
            faults.add(f"patches differ in {name} ({each}): cut all slides with the same --{name}")
    faults.stop()
    _clashes(paths, parts, faults)
    faults.stop()
    everything, places = _merge(parts, [range(len(part.coords)) for part in parts])
    taken = set(choose(everything, per_tissue, seed))
    picked = [[row for row, place in of_part if place in taken] for of_part in places]
    rows, places = _merge(parts, picked)
    with atomic(out) as temporary, h5py.File(temporary, "w") as file:
        pixels = _create(file, rows)
        for path, order in zip(paths, places, strict=True):
            with h5py.File(path) as source:
                for row, place in order:
                    pixels[place] = source["pixels"][row]
    return rows


def _clashes(paths: list[Path], parts: list[TrainingPatches], faults: Faults) -> None:
    """Rows that cannot stand in one file."""
    seen: dict[tuple[str, int, int], Path] = {}
    twice: dict[tuple[Path, Path], list[str]] = defaultdict(list)
    origin: dict[str, dict[tuple[str, str], Path]] = defaultdict(dict)
    folds: dict[str, dict[int, Path]] = defaultdict(dict)
    for path, part in zip(paths, parts, strict=True):
        for row in range(len(part.coords)):
            key = part.key(row)
            if key in seen:
                twice[seen[key], path].append(f"{key[0]} at ({key[2]}, {key[1]})")
            seen[key] = path
            origin[key[0]].setdefault((part.donor[row], part.tissue_id[row]), path)
            folds[part.donor[row]].setdefault(int(part.fold[row]), path)
    for (first, second), which in twice.items():
        faults.add(f"{first} and {second} hold the same patches ({preview(which, 3)}): give each slide once")
    for sample, told in origin.items():
        if len(told) > 1:
            each = "; ".join(f"{donor}, {tissue} in {path}" for (donor, tissue), path in told.items())
            faults.add(f"slide {sample} has two origins ({each}): cut it again from one table of slides")
    for donor, told in folds.items():
        if len(told) > 1:
            each = "; ".join(f"{fold} in {path}" for fold, path in told.items())
            faults.add(f"donor {donor} has two folds ({each}): cut all slides with one --seed")
