#!/usr/bin/env python3
"""InceptionV3 without its top as an encoder of patches, in Keras, and any Keras encoder as an ONNX file.

Importing this module starts TensorFlow (5-10 s): only what makes encoders does.
"""

import hashlib
import logging
import os
import tempfile
from pathlib import Path

import numpy as np

from hx_cli import DataError
from hx_io import atomic

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import onnx
import tensorflow as tf
import tf2onnx

INPUT_PX = 299
LAYER = "mixed10"  # the last layer of InceptionV3 before its classifier
PREPROCESS = "x/127.5-1"
# Layers [1, 7, 12, 65, 166] of the study's InceptionV3, that of Keras 1, as places in today's. 65 is the first branch
# of mixed3. The study gives 166 as 8 x 8 x 320, which only the first branch of mixed8 is.
STUDY_LAYERS = {
    "layer1": ("Activation", 0),
    "layer7": ("MaxPooling2D", 0),
    "layer12": ("MaxPooling2D", 1),
    "layer65": ("branch", "mixed3"),
    "layer166": ("branch", "mixed8"),
}
REFERENCE_PATCHES = 32
OPSET = 17

GLASS, EOSIN, STROMA, BLOOD, NUCLEUS, FAT = (
    np.array(colour, np.float32)
    for colour in ((243, 241, 244), (228, 150, 190), (196, 96, 150), (186, 52, 74), (84, 58, 132), (250, 248, 250))
)


def use_cpu(threads: int = 1) -> None:
    """Make TensorFlow deterministic: it splits sums over a batch by thread, so last bits follow the thread count."""
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def reference_drawing(seed: int, patches: int = REFERENCE_PATCHES, px: int = INPUT_PX) -> np.ndarray:
    """Patches that hold, at many scales, what tissue holds: uint8 (patches, px, px, 3), the same for the same seed.

    Each is a pair of stain colours mixed by a wave, with soft blobs (nuclei, cells, holes) and noise over it.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    row, column = np.mgrid[:px, :px].astype(np.float32)
    grounds, spots = [GLASS, EOSIN, EOSIN, STROMA, BLOOD], [NUCLEUS, NUCLEUS, NUCLEUS, FAT, BLOOD]
    drawn = np.empty((patches, px, px, 3), np.uint8)
    for patch in drawn:
        low, high = (grounds[rng.integers(len(grounds))] for _ in range(2))
        waves, angle, phase = np.exp(rng.uniform(np.log(0.3), np.log(60))), *rng.uniform(0, 2 * np.pi, 2)
        along = (np.cos(angle) * column + np.sin(angle) * row) / px
        mix = (0.5 + 0.5 * np.sin(2 * np.pi * waves * along + phase))[..., None].astype(np.float32)
        picture = low * (1 - mix) + high * mix
        for _ in range(int(np.exp(rng.uniform(0, np.log(250))))):
            radius, stretch = px * np.exp(rng.uniform(np.log(0.008), np.log(0.15))), np.exp(rng.uniform(-0.7, 0.7))
            angle, (y, x), colour = rng.uniform(0, np.pi), rng.uniform(0, px, 2), spots[rng.integers(len(spots))]
            reach = 1.5 * radius * max(stretch, 1 / stretch)
            window = tuple(slice(max(0, int(at - reach)), int(at + reach) + 1) for at in (y, x))
            dy, dx = row[window] - y, column[window] - x
            u = (np.cos(angle) * dx + np.sin(angle) * dy) / (radius * stretch)
            v = (np.cos(angle) * dy - np.sin(angle) * dx) / (radius / stretch)
            opaque = np.clip(4 * (1 - np.hypot(u, v)), 0, 1)[..., None].astype(np.float32)
            picture[window] += opaque * (colour - picture[window])
        noise = rng.uniform(-1, 1, (px, px, 1)) + rng.uniform(-1, 1, (px, px, 3))
        patch[:] = np.clip(picture * rng.uniform(0.85, 1.05) + rng.uniform(0, 18) * noise, 0, 255)
    return drawn


def inception(px: int = INPUT_PX) -> keras.Model:
    """InceptionV3 without its top (Szegedy et al. 2016, arXiv:1512.00567), weights not set: input in [-1, 1].

    px: side of its input, at least 75.
    """
    return keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(px, px, 3))


def feature_map(base: keras.Model, layer: str) -> keras.KerasTensor:
    """Output of a layer of `inception`, (n, height, width, channels): mixed0 … mixed10, or one of STUDY_LAYERS.

    The study's layers are found by their place in the graph: Keras numbers the names of single layers anew in each
    session (conv2d_94), and today's network has 311 layers where that of Keras 1 had 217.
    """
    if layer not in STUDY_LAYERS:
        return base.get_layer(layer).output
    kind, at = STUDY_LAYERS[layer]
    if kind == "branch":
        return base.get_layer(at).input[0]
    return [one for one in base.layers if isinstance(one, getattr(keras.layers, kind))][at].output


def encoder(base: keras.Model, layer: str = LAYER, pooling: str = "mean") -> keras.Model:
    """uint8 patches (n, 299, 299, 3) -> mean or max of a layer over the patch, float32 (n, channels); scaling inside.

    See `feature_map` for `layer`; the default, the last one, has 2048 channels.
    """
    patches = keras.Input((INPUT_PX, INPUT_PX, 3), dtype="uint8", name="patches")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(patches)
    trunk = base if layer == LAYER else keras.Model(base.input, feature_map(base, layer), name=f"{base.name}_{layer}")
    pool = {"mean": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
    return keras.Model(patches, pool(name="features")(trunk(scaled)))


def draw_weights(base: keras.Model, seed: int) -> None:
    """Set the kernels to He-uniform draws (He et al. 2015, arXiv:1502.01852, eq. 10): limit sqrt(6 / fan-in)."""
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    for layer in base.layers:
        if isinstance(layer, keras.layers.Conv2D):
            height, width, channels, _ = layer.kernel.shape
            limit = np.sqrt(6 / (height * width * channels))
            layer.kernel.assign((limit * (2 * rng.random(layer.kernel.shape) - 1)).astype(np.float32))


def set_statistics(base: keras.Model, patches: np.ndarray) -> None:
    """Set the moving mean and variance of every BatchNorm layer to those of `patches`, uint8 (n, 299, 299, 3).

    One pass in training mode: each layer normalises by the statistics of this batch before the next one sees it.
    Without it a network of drawn weights gives features of 1e-4 and about one in seven that is always 0.
    """
    layers = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    base(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(patches), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def weights_sha256(base: keras.Model) -> str:
    """SHA-256 over the shapes and float32 values of all weights, in the order of the layers."""
    digest = hashlib.sha256()
    for values in base.get_weights():
        digest.update(repr(values.shape).encode())
        digest.update(np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()


def load_weights(base: keras.Model, path: Path, suffix: str) -> None:
    """Load weights from a file whose content is of the format that Keras knows by `suffix`: .h5, .weights.h5 or .keras.

    A .keras file is a whole model: it is opened in safe mode, which runs no code of the file.

    Raises:
        DataError: damaged, unsafe, or of another architecture.
    """
    try:
        # Keras tells formats apart by the name alone, and a staged file may have any.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / f"weights{suffix}"
            link.symlink_to(path.resolve())
            if suffix == ".keras":
                base.set_weights(keras.saving.load_model(link, compile=False, safe_mode=True).get_weights())
            else:
                base.load_weights(link)
    # A foreign file can make Keras raise anything; whatever it is, the file is at fault.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"{path}: cannot be loaded as weights of InceptionV3 without its top ({reason}): give the weights of "
            "keras.applications.InceptionV3(include_top=False)"
        ) from error
    if not all(np.isfinite(values).all() for values in base.get_weights()):
        raise DataError(f"{path}: weights that are NaN or infinite: the file is damaged, or its training diverged")


def first_weights(base: keras.Model, path: Path | None, suffix: str, seed: int) -> None:
    """Set the weights of `base`: those of a file (see load_weights), or drawn ones where there is none."""
    if path is not None:
        load_weights(base, path, suffix)
        return
    draw_weights(base, seed)
    set_statistics(base, reference_drawing(seed, px=base.input_shape[1]))


def write_onnx(model: keras.Model, metadata: dict[str, str], path: Path) -> None:
    """Write an encoder (see `encoder`) as ONNX with `metadata` as its metadata_props; batch size free.

    The same bytes for the same model in any process that makes no other.
    """
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="patches")
    proto, _ = tf2onnx.convert.from_keras(model, input_signature=[signature], opset=OPSET)
    for tensor in (*proto.graph.input, *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "N"
    number_names(proto.graph)
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    onnx.checker.check_model(proto, full_check=True)
    with atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))


def number_names(graph: onnx.GraphProto) -> None:
    """Name nodes and inner tensors by their place in the graph, and sort constants by first use.

    tf2onnx numbers them through a process, and among equal constants keeps one by its memory address.
    """
    names = {tensor.name: tensor.name for tensor in (*graph.input, *graph.output)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    used = []

    def named(name: str) -> str:
        if name and name not in names:
            names[name] = f"{'constant' if name in constants else 'tensor'}_{len(names)}"
            used.extend([constants[name]] if name in constants else [])
        return names.get(name, "")

    for place, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{place}"
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in used]
    for tensor in kept:
        tensor.name = names[tensor.name]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    graph.name = "encoder"
