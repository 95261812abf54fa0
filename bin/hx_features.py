#!/usr/bin/env python3
"""Features of the patches of a slide, their summary, and the files of both."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from hx_cli import DataError, Faults
from hx_io import atomic, sha1_bucket
from hx_join import ID_PATTERN, gathered

STATISTICS = ("mean", "median", "max", "std", "half1", "half2")
COLUMNS_AT_A_TIME = 128  # 40,000 patches of so many features are 41 MB of float64
EXTREMES = 2  # patches of a slide at each end: what a gallery over a cohort takes of one donor at most


@dataclass(frozen=True)
class Origin:
    """Where features come from: attributes of every features file and of every summary.

    weights: imagenet, random or file. preprocess: how pixels become the network's input. '' where it is not told.
    """

    encoder: str
    layer: str = ""
    weights: str = ""
    weights_sha256: str = ""
    preprocess: str = ""


class Extremes(NamedTuple):
    """The patches of one slide, size and encoder with the highest and the lowest value of each feature.

    values: float32 (4, D). coords: int32 (4, D, 2), x and y at level 0. Rows: highest, second highest, lowest, second
    lowest; of equal ones the first in reading order. NaN and -1 where the slide has fewer patches.
    """

    values: np.ndarray
    coords: np.ndarray


class Summary(NamedTuple):
    """The patches of one slide, size and encoder: `n` of them, `n_half1` in the first half.

    statistics: float32 (D,) each of STATISTICS. All NaN when n is 0; half1 or half2 when that half is empty.
    patches: which patches they are, see patches_sha256; '' where it is not told. extremes: None where they were not
    read, or not written, as by earlier versions.
    """

    n: int
    n_half1: int
    statistics: dict[str, np.ndarray]
    origin: Origin
    patches: str = ""
    extremes: Extremes | None = None


class PatchFeatures(NamedTuple):
    """`features` (N, D) float16 or float32 and `coords` (N, 2) int64 of the patches of one slide, size and encoder.

    `size` is the name of the size (see hx_sizes), `side` its level-0 pixels on this slide.
    """

    sample: str
    size: str
    side: int
    features: np.ndarray
    coords: np.ndarray
    origin: Origin


def first_half(sample: str, coords: np.ndarray) -> np.ndarray:
    """(N,) bool: patches of the first half of a slide, for split-half reliability.

    A patch's half is the parity of SHA-1 of "sample:x:y", so that no other patch changes it.
    """
    halves = [sha1_bucket(f"{sample}:{x}:{y}", 2) for x, y in coords.tolist()]
    return np.array(halves, dtype=int) == 0


def patches_sha256(coords: np.ndarray, side: int, background: np.ndarray | None = None, *, also: bytes = b"") -> str:
    """SHA-256 of which pixels of a slide its patches are: the same for the same patches of the same slide.

    Args:
        coords: int64 (N, 2) as x, y, in the order of the patches.
        side: of a patch, in level-0 pixels; one patch at (0, 0) tells nothing of it.
        background: RGB (3,) that off-slide and transparent pixels take; None where the slide alone decides.
        also: what else of the slide its features depend on.
    """
    digest = hashlib.sha256(np.ascontiguousarray(coords, "<i8").tobytes())
    digest.update(f"{side} {'' if background is None else np.asarray(background).tolist()}".encode())
    digest.update(also)
    return digest.hexdigest()


def summarise(
    features: np.ndarray, first: np.ndarray, origin: Origin, patches: str = "", extremes: Extremes | None = None
) -> Summary:
    """Summary of patch features (N, D); `first` (N,) bool marks the first half. Sums are float64.

    std is the population's (ddof 0): patches are all of the slide, not a sample of it.
    """
    n, width = features.shape
    statistics = {name: np.full(width, np.nan, np.float32) for name in STATISTICS}
    for start in range(0, width if n else 0, COLUMNS_AT_A_TIME):
        columns = slice(start, start + COLUMNS_AT_A_TIME)
        block = features[:, columns].astype(np.float64)
        statistics["mean"][columns] = block.mean(axis=0)
        statistics["median"][columns] = np.median(block, axis=0)
        statistics["max"][columns] = block.max(axis=0)
        statistics["std"][columns] = block.std(axis=0)
        for name, half in (("half1", first), ("half2", ~first)):
            if half.any():
                statistics[name][columns] = block[half].mean(axis=0)
    return Summary(n, int(first.sum()), statistics, origin, patches, extremes)


def find_extremes(features: np.ndarray, coords: np.ndarray) -> Extremes:
    """Highest and lowest patches of each feature, of features (N, D) without NaN and coords (N, 2)."""
    n, width = features.shape
    values = np.full((2 * EXTREMES, width), np.nan, np.float32)
    places = np.full((2 * EXTREMES, width, 2), -1, np.int32)
    order = np.lexsort((coords[:, 0], coords[:, 1]))
    for start in range(0, width if n else 0, COLUMNS_AT_A_TIME):
        columns = slice(start, start + COLUMNS_AT_A_TIME)
        block = features[order, columns].T.astype(np.float32)
        rows = np.arange(len(block))
        for sign, first in ((1, 0), (-1, EXTREMES)):
            rest = sign * block
            for row in range(first, first + min(n, EXTREMES)):
                best = rest.argmax(axis=1)  # the first of equal ones
                values[row, columns], places[row, columns] = block[rows, best], coords[order[best]]
                rest[rows, best] = -np.inf
    return Extremes(values, places)


def write_summary(path: Path, sample: str, summaries: Mapping[tuple[str, str], Summary]) -> None:
    """Write `<sample>.summary.h5`: a group `/<size>/<encoder>` for each key of `summaries`."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["sample"] = sample
        for (size, encoder), summary in sorted(summaries.items()):
            group = file.create_group(f"{size}/{encoder}")
            counts = {"n": summary.n, "n_half1": summary.n_half1, "patches_sha256": summary.patches}
            group.attrs.update({**counts, **asdict(summary.origin)})
            for name in STATISTICS:
                group.create_dataset(name, data=summary.statistics[name])
            if summary.extremes is not None:
                group.create_dataset("extreme_values", data=summary.extremes.values)
                group.create_dataset("extreme_coords", data=summary.extremes.coords)


def read_summary(path: Path, size: str, extremes: bool = False) -> tuple[str, dict[str, Summary]]:
    """Sample of a summary file, and its summaries of one patch size by encoder, with their extremes where asked for.

    Raises:
        DataError: no such file, or not one of write_summary.
    """
    try:
        with h5py.File(path) as file:
            groups = file[size] if size in file else {}
            return str(file.attrs["sample"]), {name: _read_group(groups[name], extremes) for name in sorted(groups)}
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: no summary of patch features ({error}): make it anew from the features") from error


def read_extremes(paths: list[Path], size: str, encoder: str, columns: Sequence[int]) -> dict[str, Extremes]:
    """Extremes of some features of one size and encoder, by sample, from the summaries of slides.

    Args:
        paths: files of write_summary.
        columns: indices of the features, in the order in which they are wanted.

    Returns:
        Samples in the order of `paths`; without those that have no such features, or whose summary has no extremes.

    Raises:
        DataError: damaged files, files with fewer features; all at once.
    """
    faults, found = Faults(), {}
    for path in paths:
        with gathered(faults):
            sample, encoders = read_summary(path, size, extremes=True)
            extremes = encoders[encoder].extremes if encoder in encoders else None
            if extremes is None:
                continue
            width = extremes.values.shape[1]
            if beyond := [column for column in columns if not 0 <= column < width]:
                raise DataError(f"{path}: {width} features of encoder {encoder}: there is no number {beyond[0]}")
            found[sample] = Extremes(extremes.values[:, list(columns)], extremes.coords[:, list(columns)])
    faults.stop()
    return found


def _read_group(group: h5py.Group, with_extremes: bool) -> Summary:
    statistics = {name: group[name][:].astype(np.float32, copy=False) for name in STATISTICS}
    if len({values.shape for values in statistics.values()}) != 1 or statistics["mean"].ndim != 1:
        raise ValueError(f"statistics of different lengths in {group.name}")
    origin = Origin(**{name: str(group.attrs[name]) for name in Origin.__dataclass_fields__})
    patches = str(group.attrs.get("patches_sha256", ""))
    counts = int(group.attrs["n"]), int(group.attrs["n_half1"])
    extremes = None
    if with_extremes and "extreme_values" in group:
        extremes = Extremes(group["extreme_values"][:], group["extreme_coords"][:])
        shape = 2 * EXTREMES, len(statistics["mean"])
        if extremes.values.shape != shape or extremes.coords.shape != (*shape, 2):
            raise ValueError(f"extremes of another shape in {group.name}")
    return Summary(*counts, statistics, origin, patches, extremes)


def write_patch_features(path: Path, patches: PatchFeatures) -> None:
    """Write `<sample>.h5`, features as they are (float16 or float32); TRIDENT's layout, contiguous."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        features = file.create_dataset("features", data=patches.features)
        features.attrs.update({"name": patches.sample, **asdict(patches.origin)})
        coords = file.create_dataset("coords", data=patches.coords)
        told = {"name": patches.sample, "size_name": patches.size, "patch_level": 0}
        coords.attrs.update({**told, "patch_size": patches.side, "patch_size_level0": patches.side})


def read_patch_features(path: Path) -> PatchFeatures:
    """Read patch features in TRIDENT's layout: `features` (N, D) and `coords` (N, 2), our own or another tool's.

    The sample is the file's stem. The patch size is attribute patch_size_level0, else patch_size where patch_level is 0
    or not told, on coords or features. The encoder is attribute encoder of features, else of the file, else told by the
    folder (features_<encoder>).

    Raises:
        DataError: every fault of the file at once.
    """
    try:
        with h5py.File(path) as file:
            lacking = [name for name in ("features", "coords") if not isinstance(file.get(name), h5py.Dataset)]
            if lacking:
                named = " and ".join(lacking)
                raise DataError(f"{path}: no dataset {named}: `features` (N, D) and `coords` (N, 2) are needed")
            features, coords = file["features"][:], file["coords"][:]
            on_features, on_coords, on_file = (_attributes(part) for part in (file["features"], file["coords"], file))
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{path}: no readable HDF5 file of patch features ({error}): copy or make it again") from error
    faults = []
    if features.ndim != 2 or features.dtype.kind != "f" or not features.shape[1]:
        faults.append(f"{path}: features are {features.dtype} {features.shape}: floating-point (N, D) is needed")
    elif not np.isfinite(features).all():
        bad = int(np.count_nonzero(~np.isfinite(features).all(axis=1)))
        faults.append(f"{path}: NaN or infinite features in {bad} of {len(features)} patches: extract them again")
    if coords.ndim != 2 or coords.shape[1] != 2 or len(coords) != len(features):
        faults.append(f"{path}: coords are {coords.shape}, features {features.shape}: a row (x, y) a patch is needed")
    side = _patch_size({**on_features, **on_coords})
    if side is None:
        faults.append(f"{path}: no patch size: set attribute patch_size_level0 (level-0 pixels) on `coords`")
    folder = path.parent.name.removeprefix("features_") if path.parent.name.startswith("features_") else ""
    encoder = str(on_features.get("encoder") or on_file.get("encoder") or folder)
    if not ID_PATTERN.match(encoder):
        told = f"encoder {encoder!r}" if encoder else "no encoder's name"
        faults.append(f"{path}: {told}: set attribute encoder on `features` (letters, digits, dot, underscore, dash)")
    if faults:
        raise DataError(*faults)
    told = {name: str(on_features.get(name, "")) for name in ("layer", "weights", "weights_sha256", "preprocess")}
    kept = features if features.dtype in (np.float16, np.float32) else features.astype(np.float32)
    size = str(on_coords.get("size_name", side))
    return PatchFeatures(path.stem, size, side, kept, coords.astype(np.int64), Origin(encoder, **told))


def _attributes(part: h5py.Dataset | h5py.File) -> dict[str, object]:
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in part.attrs.items()}


def _patch_size(attributes: Mapping[str, object]) -> int | None:
    """Side of a patch in level-0 pixels; None when it is not told, or told in pixels of another level."""
    size = attributes.get("patch_size_level0")
    if size is None and int(attributes.get("patch_level", 0)) == 0:
        size = attributes.get("patch_size")
    return int(size) if isinstance(size, (int, float, np.number)) and size > 0 and int(size) == size else None
