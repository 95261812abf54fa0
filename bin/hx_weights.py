#!/usr/bin/env python3
"""Weights files of InceptionV3: what they are by their content, and whether they are the ones that were meant."""

import hashlib
import zipfile
from pathlib import Path

import h5py

from hx_cli import DataError, Faults
from hx_io import file_sha256

# MD5 of inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5, as keras.applications gives it.
IMAGENET_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
PICKLE = "a pickle, which can run code and is never read"
FIX = "give the .h5, .weights.h5 or .keras file of keras.applications.InceptionV3(include_top=False)"


def weights_suffix(path: Path) -> str:
    """Format of a weights file by its content, as the suffix by which Keras knows it: .h5, .weights.h5 or .keras.

    Raises:
        DataError: missing, damaged, a pickle, or of any other format.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such weights file: {FIX}")
    with open(path, "rb") as handle:
        head = handle.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        try:
            with h5py.File(path) as file:
                legacy = "layer_names" in file.attrs or "model_weights" in file
        except OSError as error:
            raise DataError(f"{path}: damaged HDF5 file ({error}): copy or download it again") from error
        return ".h5" if legacy else ".weights.h5"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if "config.json" in names and "model.weights.h5" in names:
            return ".keras"
        if any(name.endswith(".pkl") for name in names):
            raise DataError(f"{path}: a PyTorch file, in which is {PICKLE}: {FIX}")
    if head[:1] == b"\x80":
        raise DataError(f"{path}: {PICKLE}: {FIX}")
    raise DataError(f"{path}: no weights file of Keras: {FIX}")


def check_file(path: Path, sha256: str | None, imagenet: bool) -> tuple[str, str]:
    """(suffix, SHA-256) of a weights file.

    Args:
        sha256: SHA-256 that it must have.
        imagenet: it must be the ImageNet file of keras.applications, by its MD5.

    Raises:
        DataError: no weights file, or not the one that is stated; every fault at once.
    """
    suffix, found = weights_suffix(path), file_sha256(path)
    faults = Faults()
    if sha256 and found != sha256.lower():
        faults.add(f"{path}: SHA-256 is {found}, --weights-sha256 says {sha256}: copy or download the file again")
    if imagenet and (md5 := file_md5(path)) != IMAGENET_MD5:
        faults.add(
            f"{path}: MD5 is {md5}, that of Keras' ImageNet weights is {IMAGENET_MD5}: download "
            "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 again, or leave --weights-name out"
        )
    faults.stop()
    return suffix, found


def weights_name(path: Path | None) -> str:
    """imagenet (Keras' own file), file (another), or random where there is none."""
    if path is None:
        return "random"
    return "imagenet" if file_md5(path) == IMAGENET_MD5 else "file"


def file_md5(path: Path) -> str:
    """MD5 of a file's content, by which keras.applications knows its files."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()
