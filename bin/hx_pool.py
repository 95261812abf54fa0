#!/usr/bin/env python3
"""The slides of a donor as one: reading their summaries, pooling them, and which donors have patches of every size."""

from pathlib import Path

import h5py
import numpy as np

from hx_cli import DataError, Faults
from hx_features import Summary, read_summary
from hx_join import gathered
from hx_sizes import size_text


def pool(slides: list[Summary]) -> dict[str, np.ndarray]:
    """Statistics of all patches of a donor from those of its slides, float32 (D,) each; every n is above 0.

    The variance of all patches is the mean variance within slides plus the variance of the slides' means, both weighted
    by n. The median of all patches is not to be had from summaries: it is the weighted mean of the slides' medians.
    """
    if len(slides) == 1:
        return slides[0].statistics

    def stack(name: str) -> np.ndarray:
        return np.array([slide.statistics[name] for slide in slides], np.float64)

    def weighted(values: np.ndarray, weights: list[int]) -> np.ndarray:
        used = np.array(weights) > 0
        if not used.any():
            return np.full(values.shape[1], np.nan)
        return np.average(values[used], axis=0, weights=np.array(weights)[used])

    n, first = [slide.n for slide in slides], [slide.n_half1 for slide in slides]
    mean = weighted(stack("mean"), n)
    pooled = {
        "mean": mean,
        "median": weighted(stack("median"), n),
        "max": stack("max").max(axis=0),
        "std": np.sqrt(weighted(stack("std") ** 2 + (stack("mean") - mean) ** 2, n)),
        "half1": weighted(stack("half1"), first),
        "half2": weighted(stack("half2"), [all_ - half for all_, half in zip(n, first, strict=True)]),
    }
    return {name: values.astype(np.float32) for name, values in pooled.items()}


def read_summaries(folder: Path, samples: list[str], size: str) -> tuple[dict[str, dict[str, Summary]], dict[str, str]]:
    """Summaries of one size by sample and encoder, and why samples have none. Files lie anywhere below `folder`.

    Raises:
        DataError: damaged files; encoders that differ between slides in weights, layer, preprocessing or width.
    """
    files = summary_files(folder)
    faults, found, lost = Faults(), {}, {}
    for sample in samples:
        if sample not in files:
            lost[sample] = "no summary of its features"
            continue
        with gathered(faults):
            told, encoders = read_summary(files[sample], size)
            if told != sample:
                faults.add(f"{files[sample]}: holds slide {told}, its name says {sample}: rename the file")
            elif encoders:
                found[sample] = encoders
            else:
                lost[sample] = f"no features at {size_text(size)}"
    first: dict[str, tuple[str, object]] = {}
    for sample, encoders in found.items():
        for name, summary in encoders.items():
            like = (summary.origin, len(summary.statistics["mean"]))
            other, expected = first.setdefault(name, (sample, like))
            if like != expected:
                faults.add(
                    f"{files[sample]}: encoder {name} at {size_text(size)} is {like}, "
                    f"in {files[other].name} it is {expected}: "
                    "make the features of all slides with one encoder file and one kind of resizing"
                )
    for name in first:
        lacking = [sample for sample, encoders in found.items() if name not in encoders]
        if 2 * len(lacking) > len(found):
            faults.add(
                f"{folder}: encoder {name} at {size_text(size)} is in {len(found) - len(lacking)} of {len(found)} "
                "slides only: add it for the others, or take it out"
            )
        for sample in lacking:
            lost.setdefault(sample, f"no features of encoder {name} at {size_text(size)}")
    faults.stop()
    for sample, encoders in found.items():
        if any(not summary.n for summary in encoders.values()):
            lost.setdefault(sample, f"no patch of {size_text(size)}")
    return found, lost


def summary_files(folder: Path) -> dict[str, Path]:
    """Summary files anywhere below `folder`, by sample."""
    return {path.name.removesuffix(".summary.h5"): path for path in sorted(folder.rglob("*.summary.h5"))}


def donors_at_every_size(folder: Path, slides: dict[str, list[str]], sizes: list[str], encoders: list[str]) -> set[str]:
    """Donors that have, at each of `sizes`, a slide with patch features of all `encoders`.

    Only the counts are read, not the statistics, which would be gigabytes for a large tissue.

    Args:
        slides: samples by donor.

    Raises:
        DataError: a damaged file.
    """
    files, faults, of_sample = summary_files(folder), Faults(), {}
    for sample in sorted({sample for listed in slides.values() for sample in listed} & files.keys()):
        with gathered(faults):
            of_sample[sample] = _sizes_with_patches(files[sample], sizes, encoders)
    faults.stop()
    return {
        donor
        for donor, listed in slides.items()
        if set(sizes) <= set().union(*(of_sample.get(sample, set()) for sample in listed))
    }


def _sizes_with_patches(path: Path, sizes: list[str], encoders: list[str]) -> set[str]:
    try:
        with h5py.File(path) as file:
            groups = {size: file[size] for size in sizes if size in file}
            return {
                size
                for size, group in groups.items()
                if all(name in group and group[name].attrs["n"] > 0 for name in encoders)
            }
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: no summary of patch features ({error}): make it anew from the features") from error
