#!/usr/bin/env python3
"""The tissue classifier as a network: InceptionV3, mean over the patch, Dense 1024 ReLU, softmax over the tissues."""

import contextlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

import hx_inception as net  # before Keras: it sets how TensorFlow starts
from hx_cli import DataError, TemporaryFailure
from hx_io import atomic

import keras  # isort: skip
import tensorflow as tf  # isort: skip

HEAD_WIDTH = 1024
LAYER = "dense1024"
OUT_OF_MEMORY = re.compile(r"out of memory|failed to allocate|ALLOC_FAILED|\bOOM\b", re.I)


class Rows(Protocol):
    """Patches uint8 (n, px, px, 3), or their pooled features float32 (n, D), taken by row numbers."""

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


class Network(NamedTuple):
    """One classifier seen as models that share weights; patches are uint8 (n, px, px, 3).

    pooled: patches -> mean of the base's last layer. head: that -> logits. logits: patches -> logits. features:
    patches -> output of the dense layer, (n, 1024). classifier: patches -> probabilities.
    """

    base: keras.Model
    pooled: keras.Model
    head: keras.Model
    logits: keras.Model
    features: keras.Model
    classifier: keras.Model


def use_device(device: str, threads: int, mixed_precision: bool) -> None:
    """Choose "cpu" or "cuda" before anything runs. The CPU is deterministic: the same bytes for the same `threads`.

    Raises:
        DataError: cuda without a usable GPU.
    """
    keras.utils.clear_session()  # layers are numbered from 1, so that files are the same
    if device == "cpu":
        net.use_cpu(threads)
    else:
        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:
            raise DataError("--device cuda: TensorFlow finds no usable GPU here: use the GPU image, or --device cpu")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    keras.config.set_dtype_policy("mixed_float16" if mixed_precision else "float32")


def head_of(width: int, classes: int, seed: int) -> keras.Model:
    """Pooled features (n, width) -> Dense 1024 ReLU -> logits (n, classes), Glorot-uniform by `seed`.

    Float32 under any policy: half precision is too coarse for what is exported.
    """

    def dense(units: int, place: int, **options) -> keras.layers.Dense:
        first = keras.initializers.GlorotUniform(seed=1000 * seed + place)
        return keras.layers.Dense(units, kernel_initializer=first, dtype="float32", **options)

    pooled = keras.Input((width,), name="pooled")
    features = dense(HEAD_WIDTH, 1, activation="relu", name="features")(pooled)
    return keras.Model(pooled, dense(classes, 2, name="logits")(features), name="head")


def build(base: keras.Model, classes: int, grey: bool, seed: int) -> Network:
    """The classifier on `base`, a model of patches in [-1, 1]. `grey`: it sees the mean of R, G and B alone."""
    patches = keras.Input(base.input_shape[1:], dtype="uint8", name="patches")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaled")(patches)
    if grey:
        mean = keras.ops.mean(scaled, axis=-1, keepdims=True)
        scaled = keras.layers.Concatenate(name="grey")([mean, mean, mean])
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled", dtype="float32")(base(scaled))
    head = head_of(pooled.shape[-1], classes, seed)
    features = head.get_layer("features")(pooled)
    logits = head.get_layer("logits")(features)
    probabilities = keras.layers.Softmax(name="tissue", dtype="float32")(logits)
    outputs = (pooled, logits, features, probabilities)
    to_pooled, to_logits, to_features, classifier = (keras.Model(patches, output) for output in outputs)
    return Network(base, to_pooled, head, to_logits, to_features, classifier)


def base_variables(base: keras.Model, freeze_below: int) -> list[keras.Variable]:
    """Trainable variables of the base but for its first layers, as Keras 1 counted them.

    There a convolution and its ReLU were one layer: InceptionV3 had 217, not 311, and 172, the study's number, froze
    all up to the block `mixed8`, which today's 249 does.
    """
    place, variables = 0, []
    for layer in base.layers:
        if place >= freeze_below:
            variables += layer.trainable_variables
        place += not isinstance(layer, keras.layers.Activation)
    return variables


def full_precision(network: Network, grey: bool) -> Network:
    """The InceptionV3 classifier of `build` once more, in float32: after mixed precision, for export."""
    keras.config.set_dtype_policy("float32")
    px, classes = network.classifier.input_shape[1], network.classifier.output_shape[-1]
    copy = build(net.inception(px), classes, grey, seed=0)
    copy.classifier.set_weights(network.classifier.get_weights())
    return copy


@contextlib.contextmanager
def out_of_memory_is_temporary() -> Iterator[None]:
    """Raise TemporaryFailure where TensorFlow runs out of memory, on the GPU or beside it."""
    try:
        yield
    except tf.errors.OpError as error:
        if isinstance(error, tf.errors.ResourceExhaustedError) or OUT_OF_MEMORY.search(str(error)):
            raise TemporaryFailure(f"out of memory, try a smaller --micro-batch: {str(error)[:400]}") from error
        raise


class Predictor:
    """Output of a model, traced once: call with inputs and row numbers, get float32 (len(rows), D)."""

    def __init__(self, model: keras.Model, micro_batch: int):
        shape = [None, *model.input_shape[1:]]
        self._width, self._micro_batch = model.output_shape[-1], micro_batch
        self._call = tf.function(lambda x: model(x, training=False), [tf.TensorSpec(shape, model.input.dtype)])

    def __call__(self, inputs: Rows, rows: np.ndarray) -> np.ndarray:
        output = np.empty((len(rows), self._width), np.float32)
        for start in range(0, len(rows), self._micro_batch):
            part = slice(start, start + self._micro_batch)
            output[part] = self._call(inputs[rows[part]]).numpy()
        return output


def write_keras(model: keras.Model, path: Path) -> None:
    """Save a model as .keras, which loads in safe mode; without the times of day and memory addresses of Keras' own."""
    with atomic(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            parts = {name: archive.read(name) for name in sorted(archive.namelist())}
        told = json.loads(parts["metadata.json"])
        parts["metadata.json"] = json.dumps({"keras_version": told["keras_version"]}).encode()
        # Objects that a configuration shares are numbered by their addresses.
        numbers: dict[bytes, int] = {}
        parts["config.json"] = re.sub(
            rb'(?<="shared_object_id": )\d+',
            lambda found: b"%d" % numbers.setdefault(found[0], len(numbers) + 1),
            parts["config.json"],
        )
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in parts.items():
                archive.writestr(zipfile.ZipInfo(name), content)
