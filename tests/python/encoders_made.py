"""Small ONNX encoders with a known truth, made without TensorFlow."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PX, WIDTH, STEP = 64, 8, 16
METADATA = {
    "name": "tiny",
    "layer": "pool",
    "width": str(WIDTH),
    "weights": "random",
    "weights_sha256": "ab" * 32,
    "input_px": str(PX),
    "preprocess": "x/127.5-1",
}


def kernels(width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Kernels of the only convolution, float32 (width, 3, STEP, STEP)."""
    return np.random.default_rng(seed).normal(0, 0.1, (width, 3, STEP, STEP)).astype(np.float32)


def expected(patches: np.ndarray, width: int = WIDTH, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Features of the encoder of `write_encoder`, by another way: float64 (n, width)."""
    n, px = patches.shape[:2]
    x = (patches / 127.5 - 1).reshape(n, px // STEP, STEP, px // STEP, STEP, 3)
    maps = np.einsum("nhiwjc,kcij->nhwk", x, kernels(width, seed).astype(np.float64), optimize=True)
    return scale * np.maximum(maps, 0).mean(axis=(1, 2))


def write_encoder(
    path: Path,
    metadata: dict[str, str] | None = METADATA,
    px: int = PX,
    width: int = WIDTH,
    seed: int = 0,
    scale: float = 1.0,
    shape: tuple = ("N", None, None, 3),
    kind: int = TensorProto.UINT8,
    out_kind: int = TensorProto.FLOAT,
    flatten: bool = True,
    extra_output: bool = False,
    operator: str = "Relu",
) -> Path:
    """Convolution with stride = kernel, ReLU, mean over the patch, times `scale`; the other arguments spoil it."""
    nodes = [
        helper.make_node("Cast", ["patches"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["x", "half"], ["unit"]),
        helper.make_node("Sub", ["unit", "one"], ["centred"]),
        helper.make_node("Transpose", ["centred"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "kernels"], ["maps"], strides=[STEP, STEP]),
        helper.make_node(operator, ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten" if flatten else "Identity", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["features"], to=out_kind),
    ]
    constants = {
        "half": np.float32(127.5),
        "one": np.float32(1),
        "scale": np.float32(scale),
        "kernels": kernels(width, seed),
    }
    sides = [px if side is None else side for side in shape]
    outputs = [helper.make_tensor_value_info("features", out_kind, None)]
    if extra_output:
        outputs.append(helper.make_tensor_value_info("pooled", TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("patches", kind, sides)],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def point_outside(path: Path, secret: Path) -> Path:
    """Make an encoder read its kernels from a file outside its folder, as a hostile one would."""
    model = onnx.load(path)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "kernels")
    count = len(tensor.raw_data)
    secret.write_bytes(bytes(count))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", f"../{secret.name}"), ("length", str(count))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path
