"""Encoders: making them, opening them, and features that depend on the patch alone."""

import hashlib
import importlib.util
import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from encoders_made import METADATA, PX, WIDTH, expected, point_outside, write_encoder
from onnx import TensorProto
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

import hx_weights
from hx_cli import DataError, TemporaryFailure
from hx_encoder import ORT_ERRORS, Encoder, named_file, open_encoders
from hx_io import file_sha256
from prepare_encoder import LAYERS, layer_and_pooling
from prepare_encoder import main as prepare_encoder


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (23, PX, PX, 3), dtype=np.uint8)


def test_features_are_the_networks(tmp_path, patches):
    encoder = Encoder(write_encoder(tmp_path / "a.onnx"))
    features = encoder.encode(patches)
    assert features.shape == (23, WIDTH) and features.dtype == np.float32
    np.testing.assert_allclose(features, expected(patches), atol=1e-5)
    assert encoder.encode(patches[:0]).shape == (0, WIDTH)


def test_what_an_encoder_tells(tmp_path):
    encoder = Encoder(write_encoder(tmp_path / "a.onnx"))
    assert (encoder.name, encoder.px, encoder.width) == ("tiny", PX, WIDTH)
    origin = encoder.origin
    assert (origin.encoder, origin.layer, origin.weights, origin.preprocess) == ("tiny", "pool", "random", "x/127.5-1")
    assert origin.weights_sha256 == METADATA["weights_sha256"]


def test_a_retrained_encoder_tells_its_donors(tmp_path, patches):
    retrained = {"classes": "Lung;Skin", "training_donors": "D1;D2", "split": "donor"}
    encoder = Encoder(write_encoder(tmp_path / "a.onnx", metadata={**METADATA, "name": "retrained", **retrained}))
    assert retrained.items() <= encoder.metadata.items()
    assert encoder.origin.encoder == encoder.name == "retrained"
    np.testing.assert_allclose(encoder.encode(patches), expected(patches), atol=1e-5)
    assert Encoder(write_encoder(tmp_path / "b.onnx", metadata=None)).metadata == {}


def test_an_encoder_without_metadata_goes_by_its_file(tmp_path):
    path = write_encoder(tmp_path / "lab-model.v2.onnx", metadata=None)
    origin = Encoder(path).origin
    assert (origin.encoder, origin.weights_sha256) == ("lab-model.v2", file_sha256(path))


def test_features_do_not_depend_on_batch_company_or_thread(tmp_path, patches):
    path = write_encoder(tmp_path / "a.onnx", width=37, metadata=None)
    whole = Encoder(path).encode(patches)
    again = Encoder(path)
    for size in (1, 2, 7):
        parts = [again.encode(patches[i : i + size]) for i in range(0, len(patches), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(0).permutation(len(patches))
    np.testing.assert_array_equal(again.encode(patches[order]), whole[order])
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: again.encode(patches[i : i + 2]), range(0, 22, 2)))
    np.testing.assert_array_equal(np.concatenate(parts), whole[:22])


def test_calls_of_many_patches_all_have_one_size(tmp_path, patches, monkeypatch):
    """As on a GPU: the last call is filled up, and the filling leaves no trace."""
    encoder = Encoder(write_encoder(tmp_path / "a.onnx"))
    sizes, run = [], encoder._run
    monkeypatch.setattr(encoder, "_batch", 8)
    monkeypatch.setattr(encoder, "_run", lambda part: sizes.append(len(part)) or run(part))
    features = encoder.encode(patches)
    assert sizes == [8, 8, 8]
    np.testing.assert_allclose(features, expected(patches), atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"kind": TensorProto.FLOAT}, "uint8"),
        ({"shape": ("N", 3, None, None)}, "uint8 (N, S, S, 3)"),
        ({"shape": (4, None, None, 3)}, "N free"),
        ({"shape": ("N", "S", "S", 3)}, "S fixed"),
        ({"shape": ("N", None, 2 * PX, 3)}, "uint8 (N, S, S, 3)"),
        ({"out_kind": TensorProto.DOUBLE}, "float32"),
        ({"flatten": False}, "output"),
        ({"extra_output": True}, "2 outputs"),
        ({"metadata": {**METADATA, "width": "2048"}}, "2048"),
        ({"metadata": {**METADATA, "input_px": "299"}}, "299"),
        ({"metadata": {**METADATA, "name": "../raw"}}, "'../raw'"),
        ({"operator": "NoSuchOperator"}, "NoSuchOperator"),
    ],
)
def test_a_model_that_is_no_encoder_is_refused(tmp_path, spoil, told):
    path = write_encoder(tmp_path / "bad.onnx", **spoil)
    with pytest.raises(DataError) as caught:
        Encoder(path)
    assert "bad.onnx" in str(caught.value) and told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "ONNX"),
        (b"model", "ONNX"),
        (pickle.dumps([1]), "pickle"),
        (b"PK\x03\x04", "zip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (None, "no such"),
    ],
    ids=["empty", "text", "pickle", "zip", "HDF5", "no"],
)
def test_a_file_that_is_no_model_is_refused(tmp_path, content, told):
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.onnx: .*{told}"):
        Encoder(path)


def test_a_truncated_model_is_refused(tmp_path):
    path = write_encoder(tmp_path / "bad.onnx")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(DataError, match=r"bad\.onnx"):
        Encoder(path)


def test_a_model_cannot_read_files_outside_its_folder(tmp_path):
    (tmp_path / "models").mkdir()
    path = point_outside(write_encoder(tmp_path / "models" / "bad.onnx"), tmp_path / "secret.bin")
    with pytest.raises(DataError, match=r"bad\.onnx"):
        Encoder(path)


def test_faults_of_all_encoders_come_at_once(tmp_path):
    paths = [write_encoder(tmp_path / f"{name}.onnx") for name in ("a", "b")]
    paths.append(write_encoder(tmp_path / "c.onnx", out_kind=TensorProto.DOUBLE))
    paths.append(tmp_path / "d.onnx")
    with pytest.raises(DataError) as caught:
        open_encoders([named_file(str(path)) for path in paths])
    assert len(caught.value.faults) == 3
    assert "encoders of one name, tiny" in str(caught.value)


def test_encoders_come_sorted_by_name(tmp_path):
    paths = [write_encoder(tmp_path / f"{i}.onnx", metadata={**METADATA, "name": name}) for i, name in enumerate("cab")]
    files = [named_file(str(path)) for path in paths]
    assert [encoder.name for encoder in open_encoders(files)] == ["a", "b", "c"]
    given = [named_file(f"{name}={path}") for name, path in zip("zyx", paths, strict=True)]
    assert [(encoder.name, encoder.origin.encoder) for encoder in open_encoders(given)] == [(n, n) for n in "xyz"]


def test_an_encoder_of_one_patch_size(tmp_path):
    path = write_encoder(tmp_path / "a=b.onnx")
    assert named_file(f"retrained@128um={path}") == ("retrained", "128um", path)
    assert named_file(f"{tmp_path}/x@y=z.onnx") == (None, None, tmp_path / "x@y=z.onnx")
    files = [named_file(f"{name}={path}") for name in ("retrained@256", "retrained@128", "raw")]
    found = [(encoder.name, encoder.size) for encoder in open_encoders(files)]
    assert found == [("raw", None), ("retrained", "128"), ("retrained", "256")]
    for name in ("retrained@128", "retrained"):
        with pytest.raises(DataError, match="encoders of one name, retrained"):
            open_encoders([*files, named_file(f"{name}={path}")])


def test_a_gpu_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="--device cuda"):
        Encoder(write_encoder(tmp_path / "a.onnx"), device="cuda")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 123", TemporaryFailure),
        ("CUDA failure 2: out of memory", TemporaryFailure),
        ("CUDNN_STATUS_ALLOC_FAILED", TemporaryFailure),
        ("Non-zero status code returned while running Conv node", DataError),
    ],
)
def test_out_of_memory_can_be_tried_again(tmp_path, patches, monkeypatch, message, kind):
    encoder = Encoder(write_encoder(tmp_path / "a.onnx"))

    class Session:
        def get_inputs(self):
            return encoder_session.get_inputs()

        def run(self, *_):
            raise RuntimeException(message)

    encoder_session = encoder._session
    monkeypatch.setattr(encoder, "_session", Session())
    assert RuntimeException in ORT_ERRORS
    with pytest.raises(kind, match=r"a\.onnx"):
        encoder.encode(patches)


def torch_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps([1]))


def cut_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(10000)
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: path.write_bytes(pickle.dumps({"w": 1})), "pickle"),
        (torch_file, "pickle"),
        (lambda path: path.write_text("weights"), "no weights file of Keras"),
        (cut_hdf5, "damaged"),
        (lambda path: None, "no such weights file"),
    ],
)
def test_files_that_are_no_weights_are_refused(tmp_path, capsys, write, told):
    write(tmp_path / "w.h5")
    out = tmp_path / "raw.onnx"
    assert prepare_encoder(["--weights", str(tmp_path / "w.h5"), "--out", str(out)]) == 65
    error = capsys.readouterr().err
    assert told in error and "w.h5" in error
    assert not out.exists()


def test_a_wrong_checksum_is_refused(tmp_path, capsys):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = 1
    sha256, md5 = (hashlib.new(kind, (tmp_path / "w.h5").read_bytes()).hexdigest() for kind in ("sha256", "md5"))
    options = ["--weights", str(tmp_path / "w.h5"), "--weights-sha256", "0" * 64, "--weights-name", "imagenet"]
    assert prepare_encoder([*options, "--out", str(tmp_path / "raw.onnx")]) == 65
    error = capsys.readouterr().err
    assert "2 faults" in error
    for text in (sha256, "0" * 64, md5, "bcbd6486424b2319ff4ef7d526e38f63", "w.h5"):
        assert text in error
    assert not (tmp_path / "raw.onnx").exists()


def test_the_checksum_of_imagenet_is_that_of_keras():
    keras = Path(importlib.util.find_spec("keras").origin).parent  # found, not imported: that takes 10 s
    source = (keras / "src" / "applications" / "inception_v3.py").read_text()
    assert hx_weights.IMAGENET_MD5 in source.split("tf_kernels_notop.h5")[-1]


@pytest.mark.parametrize("option", [("--weights-sha256", "0" * 64), ("--weights-name", "imagenet")])
def test_a_checksum_of_random_weights_makes_no_sense(tmp_path, capsys, option):
    assert prepare_encoder(["--weights", "random", *option, "--out", str(tmp_path / "raw.onnx")]) == 65
    assert option[0] in capsys.readouterr().err


def test_names_of_encoders(tmp_path, capsys):
    assert layer_and_pooling("raw") == ("mixed10", "mean")
    assert layer_and_pooling("raw-mixed2-max") == ("mixed2", "max")
    assert layer_and_pooling("raw-layer166-mean") == ("layer166", "mean")
    for name in ("raw-mixed11-mean", "raw-mixed2", "raw-mixed2-median", "raw-conv2d_5-mean", "mine", "raw-", ""):
        with pytest.raises(SystemExit) as left:
            prepare_encoder(["--encoder", name, "--weights", "random", "--out", str(tmp_path / "a.onnx")])
        assert left.value.code == 2
        error = capsys.readouterr().err
        assert repr(name) in error and all(layer in error for layer in LAYERS)
    with pytest.raises(SystemExit) as left:
        prepare_encoder(["--weights", "random", "--seed", "-1", "--out", str(tmp_path / "a.onnx")])
    assert left.value.code == 2


BIN = Path(__file__).resolve().parents[2] / "bin"


@pytest.mark.slow
def test_the_random_encoder(tmp_path, monkeypatch):
    """Two processes make the same bytes; the ONNX file does what the Keras model does; its features are alive."""
    import hx_inception as net

    paths, made = [tmp_path / "one.onnx", tmp_path / "two.onnx"], []
    command = [sys.executable, BIN / "prepare_encoder.py", "--weights", "random", "--out"]
    with subprocess.Popen([*command, paths[0]]) as one, subprocess.Popen([*command, paths[1]]) as two:
        monkeypatch.setattr(net, "write_onnx", lambda model, *_: made.append(model))
        assert prepare_encoder(["--weights", "random", "--out", str(tmp_path / "none.onnx")]) == 0
        assert one.wait() == two.wait() == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    told = {entry.key: entry.value for entry in onnx.load(paths[0]).metadata_props}
    base = next(layer for layer in made[0].layers if layer.name == "inception_v3")
    assert told == {
        "name": "raw",
        "layer": "mixed10",
        "pooling": "mean",
        "width": "2048",
        "weights": "random",
        "weights_sha256": net.weights_sha256(base),
        "input_px": "299",
        "preprocess": "x/127.5-1",
        "seed": "1",
    }
    assert {layer.momentum for layer in base.layers if hasattr(layer, "momentum")} == {0.99}

    drawing = net.reference_drawing(99, patches=8)
    keras, encoder = np.asarray(made[0](drawing, training=False)), Encoder(paths[0])
    features = encoder.encode(drawing)
    spread = features.std(axis=0)
    live = spread > 0
    assert features.shape == (8, 2048)
    assert np.mean(~live) < 0.02
    assert (np.abs(features - keras)[:, live] / spread[live]).max() < 2e-3
    assert 0.1 < features.mean() < 10 and features.max() < 100
    assert np.median(spread) > 0.05
    np.testing.assert_array_equal(encoder.encode(drawing[3:5]), features[3:5])

    net.draw_weights(base, 2)
    assert net.weights_sha256(base) != told["weights_sha256"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_files_of_keras(tmp_path, monkeypatch, capsys):
    import keras
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    import hx_inception as net

    net.use_cpu()
    base = net.inception()
    net.draw_weights(base, 3)
    base.save_weights(tmp_path / "new.weights.h5")
    base.save(tmp_path / "whole.keras")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        save_weights_to_hdf5_group(file, base)
    written = {}
    monkeypatch.setattr(net, "write_onnx", lambda model, metadata, path: written.update(metadata, model=model))
    for name in ("new.weights.h5", "whole.keras", "old.h5"):
        path = tmp_path / name
        staged = tmp_path / f"staged_{name[:3]}"  # a staged file may have any name
        path.rename(staged)
        options = ["--weights", str(staged), "--weights-sha256", file_sha256(staged), "--out", "x.onnx"]
        assert prepare_encoder(options) == 0
        assert (written["weights"], written["weights_sha256"]) == ("file", file_sha256(staged))
        md5 = hashlib.md5(staged.read_bytes()).hexdigest()
        with monkeypatch.context() as patched:
            patched.setattr(hx_weights, "IMAGENET_MD5", md5)
            assert prepare_encoder([*options, "--weights-name", "imagenet"]) == 0
        assert written["weights"] == "imagenet"
        loaded = next(layer for layer in written["model"].layers if isinstance(layer, keras.Model))
        assert net.weights_sha256(loaded) == net.weights_sha256(base)

    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    other.save_weights(tmp_path / "other.weights.h5")
    other.save(tmp_path / "other.keras")
    keras.Sequential([keras.Input((8,)), keras.layers.Lambda(lambda x: x + 1)]).save(tmp_path / "code.keras")
    base.layers[1].kernel.assign(np.full(base.layers[1].kernel.shape, np.nan))
    base.save_weights(tmp_path / "nan.weights.h5")
    capsys.readouterr()
    for name in ("other.weights.h5", "other.keras", "code.keras", "nan.weights.h5"):
        assert prepare_encoder(["--weights", str(tmp_path / name), "--out", "x.onnx"]) == 65, name
        assert name in capsys.readouterr().err


# Height (and width), channels of what each layer gives for 299 px, from the paper's table 1 and the study's account.
SHAPES = {
    "layer1": (149, 32), "layer7": (73, 64), "layer12": (35, 192), "layer65": (17, 384), "layer166": (8, 320),
    "mixed0": (35, 256), "mixed1": (35, 288), "mixed2": (35, 288), "mixed3": (17, 768), "mixed4": (17, 768),
    "mixed5": (17, 768), "mixed6": (17, 768), "mixed7": (17, 768), "mixed8": (8, 1280), "mixed9": (8, 2048),
    "mixed10": (8, 2048),
}  # fmt: skip


@pytest.mark.slow
def test_layers_of_inception(tmp_path, monkeypatch):
    """Each layer has its place in any session; its encoder gives the mean or max over that layer's map."""
    import keras

    import hx_inception as net

    net.use_cpu()
    net.inception()  # from here on Keras numbers layers otherwise
    base = net.inception()
    net.draw_weights(base, 3)
    drawing = net.reference_drawing(99, patches=4)
    net.set_statistics(base, drawing)
    assert {layer: net.feature_map(base, layer).shape[1:] for layer in LAYERS} == {
        layer: (side, side, channels) for layer, (side, channels) in SHAPES.items()
    }
    maps = keras.Model(base.input, [net.feature_map(base, layer) for layer in LAYERS])
    values = dict(zip(LAYERS, maps(drawing / np.float32(127.5) - 1), strict=True))
    assert all(np.asarray(values[layer]).min() == 0 for layer in net.STUDY_LAYERS)  # after a ReLU, as in the study
    # A pooled stem holds the largest of each window of the map before it.
    stem = [one for one in base.layers if isinstance(one, keras.layers.Activation)]
    before = np.asarray(keras.Model(base.input, stem[2].output)(drawing[:1] / np.float32(127.5) - 1))
    windows = np.lib.stride_tricks.sliding_window_view(before[0], (3, 3), axis=(0, 1))[::2, ::2]
    np.testing.assert_allclose(np.asarray(values["layer7"])[0], windows.max(axis=(-2, -1)), rtol=1e-4, atol=1e-5)
    for layer, place in (("layer65", "mixed3"), ("layer166", "mixed8")):
        first = np.asarray(values[layer])
        np.testing.assert_array_equal(np.asarray(values[place])[..., : first.shape[-1]], first)
    written = []
    monkeypatch.setattr(net, "inception", lambda: base)
    monkeypatch.setattr(net, "draw_weights", lambda *_: None)
    monkeypatch.setattr(net, "set_statistics", lambda *_: None)
    for layer, pooling in (("layer1", "max"), ("mixed2", "mean"), ("layer166", "mean"), ("mixed10", "max")):
        name, path = f"raw-{layer}-{pooling}", tmp_path / f"{layer}.onnx"
        assert prepare_encoder(["--encoder", name, "--weights", "random", "--out", str(path)]) == 0
        encoder = Encoder(path)
        written.append(path.stat().st_size)
        assert (encoder.name, encoder.width) == (name, SHAPES[layer][1])
        assert (encoder.origin.layer, encoder.metadata["pooling"]) == (layer, pooling)
        assert encoder.origin.weights_sha256 == net.weights_sha256(base)
        pooled = getattr(np.asarray(values[layer]), pooling)(axis=(1, 2))
        found = encoder.encode(drawing)
        assert np.abs(found - pooled).max() <= 2e-3 * pooled.std(axis=0).mean()
    assert written == sorted(written) and written[0] < 1e5  # a file holds what its layer needs, no more
