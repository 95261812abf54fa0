"""Encoders: making them, opening them, and features that depend on the patch alone."""

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

from hx_cli import DataError, TemporaryFailure
from hx_encoder import ORT_ERRORS, Encoder, named_file, open_encoders
from hx_io import file_sha256
from prepare_encoder import is_imagenet
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
        ({"metadata": {**METADATA, "name": "../raw"}}, "'../raw'"),
        ({"operator": "NoSuchOperator"}, "NoSuchOperator"),
    ],
)
def test_a_model_that_is_no_encoder_is_refused(tmp_path, spoil, told):
    path = write_encoder(tmp_path / "bad.onnx", **spoil)
    with pytest.raises(DataError) as caught:
        Encoder(path)
    assert "bad.onnx" in str(caught.value) and told in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"PK\x03\x04", None], ids=["empty", "pickle", "zip", "no"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.onnx"):
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
        open_encoders([(None, path) for path in paths])
    assert len(caught.value.faults) == 3
    assert "encoders of one name, tiny" in str(caught.value)


def test_encoders_come_sorted_by_name(tmp_path):
    paths = [
        write_encoder(tmp_path / f"{i}.onnx", metadata={**METADATA, "name": name}) for i, name in enumerate("cab")
    ]
    files = [named_file(str(path)) for path in paths]
    assert [encoder.name for encoder in open_encoders(files)] == ["a", "b", "c"]
    given = [named_file(f"{name}={path}") for name, path in zip("zyx", paths, strict=True)]
    assert [(encoder.name, encoder.origin.encoder) for encoder in open_encoders(given)] == [(n, n) for n in "xyz"]


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
    options = ["--weights", str(tmp_path / "w.h5"), "--weights-sha256", "0" * 64, "--encoder", "a b"]
    assert prepare_encoder([*options, "--out", str(tmp_path / "raw.onnx")]) == 65
    error = capsys.readouterr().err
    assert "SHA-256" in error and "2 faults" in error
    assert not is_imagenet(tmp_path / "w.h5")


def test_a_checksum_of_random_weights_makes_no_sense(tmp_path, capsys):
    options = ["--weights", "random", "--weights-sha256", "0" * 64, "--out", str(tmp_path / "raw.onnx")]
    assert prepare_encoder(options) == 65
    assert "--weights-sha256" in capsys.readouterr().err


BIN = Path(__file__).resolve().parents[2] / "bin"


@pytest.mark.slow
def test_the_random_encoder(tmp_path, monkeypatch):
    """Two processes make the same bytes; the ONNX file does what the Keras model does; its features are alive."""
    import hx_inception as net

    paths, made, write = [tmp_path / "one.onnx", tmp_path / "two.onnx"], [], net.write_onnx
    command = [sys.executable, BIN / "prepare_encoder.py", "--weights", "random", "--out", paths[0]]
    with subprocess.Popen(command) as other:
        monkeypatch.setattr(net, "write_onnx", lambda model, *rest: made.append(model) or write(model, *rest))
        assert prepare_encoder(["--weights", "random", "--out", str(paths[1])]) == 0
        assert other.wait() == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    told = {entry.key: entry.value for entry in onnx.load(paths[0]).metadata_props}
    base = next(layer for layer in made[0].layers if layer.name == "inception_v3")
    assert told == {
        "name": "raw",
        "layer": "mixed10",
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

    net.use_one_cpu_thread()
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
