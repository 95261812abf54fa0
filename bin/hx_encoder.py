#!/usr/bin/env python3
"""Runs an encoder: one ONNX file with its preprocessing inside, through onnxruntime, on CPU or GPU; or one built in.

On CPU every patch is a call of its own on one thread, so its features are a function of the patch and the file alone:
bit-identical for any batch size, composition and thread count. It costs nothing (measured on 2 cores, InceptionV3:
6.3 patches per 2 CPU seconds against 5.7 in batches of 32 over 2 threads), as long as the caller runs `encode` in as
many threads as it has cores. On GPU a call always holds `micro_batch` patches, the last one filled up with blanks, so
that cuDNN chooses the same kernels for each.

An encoder that is built in (BUILT_IN) needs no file: readers measure its features on the block that patches are cut
from, before they hand the patches on.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from hx_cli import DataError, Faults, TemporaryFailure
from hx_companion_pixels import measure_patches
from hx_companions import COMPANIONS, ORIGIN, TEXTURE
from hx_features import Origin
from hx_io import file_sha256
from hx_join import ID_PATTERN, gathered
from hx_sizes import is_size

CONTRACT = "one input uint8 (N, S, S, 3) with N free and S fixed, one output float32 (N, D)"
# Errors of onnxruntime have no common class.
ORT_ERRORS = tuple(
    error
    for error in vars(ort_errors).values()
    if isinstance(error, type) and issubclass(error, Exception) and error.__module__ == ort_errors.__name__
)
FOREIGN = {
    b"\x80": "a pickle, which can run code",
    b"PK\x03\x04": "a zip file (of Keras or PyTorch)",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (of Keras)",
}
# A model may ask for any amount of memory; encoders of the field take 224 to 1,024 px and give up to 4,096 features.
MAX_INPUT_PX, MAX_WIDTH, MAX_BYTES = 4096, 1 << 16, (1 << 31) - 1  # the last is protobuf's own limit
OUT_OF_MEMORY = re.compile(r"out of memory|failed to allocate|ALLOC_FAILED|bad allocation|bad_alloc", re.I)


class Encoder:
    """An opened ONNX encoder. `encode` may be called from several threads at once.

    Attributes: name, size (of the patches that it is for, None: all), px (side of its input; also `key`, by which
    readers hand on what it is given), width (number of features), origin, metadata (all of the file's metadata_props,
    text by key; a retrained one's have classes, training_donors and split as well).

    Args:
        path: file; metadata_props as prepare_encoder.py writes them. A file without them is named by its stem and its
            weights by its own SHA-256.
        device: "cpu" or "cuda".
        micro_batch: patches in a call on the GPU.
        name: goes before the name in the file.
        size: name of the patch size that it is for, see hx_sizes.

    Raises:
        DataError: no ONNX model, or not one that takes patches and gives features; every fault at once.
        TemporaryFailure: out of memory.
    """

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        micro_batch: int = 32,
        name: str | None = None,
        size: str | None = None,
    ):
        self.path, self.size = Path(path), size
        self._session = _session(self.path, device)
        self._batch = 1 if device == "cpu" else micro_batch
        told = self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.name = name or told.get("name") or self.path.stem
        faults = Faults()
        if not ID_PATTERN.match(self.name):
            faults.add(f"{path}: encoder name {self.name!r}: use letters, digits, dot, underscore and dash")
        self.px = self.key = self._input_px(faults)
        if self.px and told.get("input_px", str(self.px)) != str(self.px):
            faults.add(f"{path}: input of {self.px} px, its metadata say {told['input_px']}: make it anew")
        faults.stop()
        self.origin = Origin(
            self.name,
            told.get("layer", ""),
            told.get("weights", "file"),
            told.get("weights_sha256") or file_sha256(self.path),
            told.get("preprocess", "inside the graph"),
        )
        self.width = self._probe(told.get("width"))

    def encode(self, patches: np.ndarray) -> np.ndarray:
        """Features float32 (n, width) of patches uint8 (n, px, px, 3).

        Raises:
            DataError: the model refuses the patches.
            TemporaryFailure: out of memory.
        """
        features = np.empty((len(patches), self.width), np.float32)
        for start in range(0, len(patches), self._batch):
            part = patches[start : start + self._batch]
            if len(part) < self._batch:
                blank = np.zeros((self._batch - len(part), *part.shape[1:]), np.uint8)
                features[start:] = self._run(np.concatenate([part, blank]))[: len(part)]
            else:
                features[start : start + self._batch] = self._run(part)
        return features

    def _run(self, patches: np.ndarray) -> np.ndarray:
        try:
            return self._session.run(None, {self._session.get_inputs()[0].name: patches})[0]
        except ORT_ERRORS as error:
            raise _translated(error, f"{self.path}: fails on {len(patches)} patches of {self.px} px") from error

    def _input_px(self, faults: Faults) -> int:
        """Side S of the input; what is wrong with input and output goes to `faults`."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        for what, nodes in (("input", inputs), ("output", outputs)):
            if len(nodes) != 1:
                names = ", ".join(node.name for node in nodes)
                faults.add(f"{self.path}: {len(nodes)} {what}s ({names}): {CONTRACT} is needed")
        shape = list(inputs[0].shape) if inputs else []
        sides = [side for side in shape[1:3] if isinstance(side, int)]
        if inputs and (
            inputs[0].type != "tensor(uint8)"
            or len(shape) != 4
            or shape[3] != 3
            or len(set(sides)) != 1
            or len(sides) != 2
            or isinstance(shape[0], int)
        ):
            faults.add(f"{self.path}: input {inputs[0].name} is {inputs[0].type} {shape}: {CONTRACT} is needed")
        if sides and max(sides) > MAX_INPUT_PX:
            faults.add(f"{self.path}: input of {max(sides)} px: at most {MAX_INPUT_PX} are taken")
        if outputs and outputs[0].type != "tensor(float)":
            faults.add(f"{self.path}: output {outputs[0].name} is {outputs[0].type}: {CONTRACT} is needed")
        return sides[0] if sides else 0

    def _probe(self, told_width: str | None) -> int:
        """Width of the features, from running the model on blank patches: a declared shape may be wrong or free."""
        found = self._run(np.zeros((self._batch, self.px, self.px, 3), np.uint8))
        if found.ndim != 2 or len(found) != self._batch or not found.shape[1]:
            raise DataError(f"{self.path}: {self._batch} patches give an output {found.shape}: {CONTRACT} is needed")
        if found.shape[1] > MAX_WIDTH:
            raise DataError(f"{self.path}: {found.shape[1]} features: at most {MAX_WIDTH} are taken")
        if told_width and told_width != str(found.shape[1]):
            raise DataError(f"{self.path}: {found.shape[1]} features, its metadata say {told_width}: make it anew")
        return found.shape[1]


class BuiltIn(NamedTuple):
    """An encoder without a file, for patches of all sizes. `key`, `width`, `origin`: as of Encoder.

    measure(block, corners, sides, fractions, glass, um) gives the features float32 (n, width) of n patches of a block;
    arguments as of hx_companion_pixels.measure_patches. They must not depend on what else is in the block.
    """

    name: str
    width: int
    origin: Origin
    measure: Callable[..., np.ndarray]
    size: None = None

    @property
    def key(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """What stands for its file in messages."""
        return f"{self.name} (built in)"

    def encode(self, measured: np.ndarray) -> np.ndarray:
        """Features (n, width): those that were measured."""
        return measured


BUILT_IN = {TEXTURE: BuiltIn(TEXTURE, len(COMPANIONS), ORIGIN, measure_patches)}
AnyEncoder = Encoder | BuiltIn


class EncoderFile(NamedTuple):
    """A file as the command line names it; the name in the file and all patch sizes where it does not.

    `path` is None for an encoder that is built in.
    """

    name: str | None
    size: str | None
    path: Path | None


def named_file(text: str) -> EncoderFile:
    """'FILE', 'NAME=FILE', for the patches of one size 'NAME@SIZE=FILE', or a name of BUILT_IN (argparse type)."""
    if text in BUILT_IN:
        return EncoderFile(text, None, None)
    key, equals, path = text.partition("=")
    name, at, size = key.partition("@")
    if equals and ID_PATTERN.match(name) and (is_size(size) if at else True):
        return EncoderFile(name, size or None, Path(path))
    return EncoderFile(None, None, Path(text))


def open_encoders(files: list[EncoderFile], device: str = "cpu", micro_batch: int = 32) -> list[AnyEncoder]:
    """Open files, sorted by name and size. DataError names the faults of all; two of one name and size are a fault."""
    faults, encoders = Faults(), []
    for name, size, path in files:
        with gathered(faults):
            encoder = Encoder(path, device, micro_batch, name, size) if path else BUILT_IN[name]
            if path and encoder.name in BUILT_IN:
                faults.add(f"{path}: encoder {encoder.name} is built in: give it another name, NAME={path}")
            encoders.append(encoder)
    for i, one in enumerate(encoders):
        for other in encoders[:i]:
            if one.name == other.name and (one.size == other.size or None in (one.size, other.size)):
                faults.add(f"{other.path}, {one.path}: encoders of one name, {one.name}: give each its own")
    faults.stop()
    return sorted(encoders, key=lambda encoder: (encoder.name, encoder.size or ""))


def _session(path: Path, device: str) -> ort.InferenceSession:
    if not path.is_file():
        raise DataError(f"{path}: no such encoder: make it with prepare_encoder.py")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: {path.stat().st_size} bytes: an ONNX file holds at most {MAX_BYTES}")
    with open(path, "rb") as handle:
        head = handle.read(8)
    foreign = next((name for start, name in FOREIGN.items() if head.startswith(start)), None)
    if foreign:
        raise DataError(f"{path}: {foreign}, which is never loaded here: export the model to ONNX")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    providers: list = ["CPUExecutionProvider"]
    if device == "cuda":
        if "CUDAExecutionProvider" not in ort.get_available_providers():
            raise DataError("--device cuda: this onnxruntime has no CUDA provider: use the GPU image, or --device cpu")
        # The exhaustive search times kernels, and so may choose others the next time.
        providers.insert(0, ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}))
    try:
        session = ort.InferenceSession(path, options, providers=providers)
    except ORT_ERRORS as error:
        raise _translated(error, f"{path}: cannot be opened as an ONNX model; export it again") from error
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise DataError("--device cuda: onnxruntime finds no usable GPU or CUDA library here: use --device cpu")
    return session


def _translated(error: Exception, message: str) -> DataError | TemporaryFailure:
    reason = " ".join(str(error).split())[:400]
    if OUT_OF_MEMORY.search(reason):
        return TemporaryFailure(f"{message}: out of memory, try a smaller --micro-batch: {reason}")
    return DataError(f"{message}: {reason}")
