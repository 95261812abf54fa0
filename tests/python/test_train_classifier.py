"""TRAIN_CLASSIFIER on patches with a known truth: what each split finds, what is refused, what is written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from classifier_made import PX, cohort, coloured, noise, textured, tiny_base, watermarked

from hx_classifier_split import check_tissues, training_rows
from hx_cli import DataError
from hx_encoder import Encoder
from hx_io import file_sha256, read_table
from hx_training import TrainingPatches, write_training
from train_classifier import main

BIN = Path(__file__).resolve().parents[2] / "bin"
QUICK = ["--weights", "random", "--head-optimizer", "rmsprop", "--learning-rate", "0.01"]


def plain(rng, slide, tissue):
    return noise(rng).clip(0, 255).astype(np.uint8)


@pytest.fixture
def tiny(monkeypatch):
    """A small base in place of InceptionV3."""
    import hx_classifier_model

    monkeypatch.setattr(hx_classifier_model.net, "inception", tiny_base)


@pytest.fixture
def quick(tiny, monkeypatch):
    """As tiny; no held-out predictions of all slides, which take five sixths of the time."""
    import hx_classifier

    monkeypatch.setattr(
        hx_classifier, "cross_fit", lambda pooled, labels, folds, classes, _: np.full((len(labels), classes), np.nan)
    )


def run(folder: Path, patches: TrainingPatches, *options: str, epochs: tuple[int, int] = (1, 1)) -> Path:
    """Train on the patches; the folder of the results."""
    training = folder / f"{patches.size}.training.h5"
    if not training.exists():
        write_training(training, patches)
    out = folder / f"out{len(list(folder.iterdir()))}"
    counts = ["--head-epochs", str(epochs[0]), "--base-epochs", str(epochs[1])]
    assert main(["--training", str(training), "--outdir", str(out), *QUICK, *counts, *options]) == 0
    return out


def scores_of(out: Path, name: str = "256") -> pd.Series:
    return pd.read_csv(out / f"{name}.classifier.tsv", sep="\t").iloc[0]


def test_a_texture_is_learnt_by_unseen_donors(tmp_path, quick):
    patches = cohort(textured, donors=15)
    found = scores_of(run(tmp_path, patches, epochs=(15, 4)))
    assert found["patch_accuracy"] > 0.9 and found["slide_accuracy"] > 0.9 and found["macro_f1"] > 0.9
    assert found["chance"] == 0.5 and found["train_donors"] == 12 and found["validation_slides"] == 6


def test_a_watermark_is_the_leak_of_a_split_by_patch(tmp_path, quick):
    """Slides can be told apart and tissues cannot: the split by donor says so, the study's does not."""
    patches = cohort(watermarked, donors=25, per_slide=8)
    donor = scores_of(run(tmp_path, patches, epochs=(25, 0)))
    patch = scores_of(
        run(tmp_path, patches, "--split", "patch", "--variant", "patch_split", epochs=(25, 0)), "256.patch_split"
    )
    assert donor["patch_accuracy"] < 0.7
    assert patch["patch_accuracy"] > 0.9
    assert patch["validation_patches"] == donor["validation_patches"] and patch["train_donors"] == 25
    assert donor["best_epoch_accuracy"] >= donor["patch_accuracy"]


def test_a_colour_is_lost_in_grey(tmp_path, quick):
    patches = cohort(coloured, donors=15)
    colour = scores_of(run(tmp_path, patches, epochs=(6, 0)))
    grey = scores_of(run(tmp_path, patches, "--grey", "--variant", "grey", epochs=(6, 0)), "256.grey")
    assert colour["patch_accuracy"] > 0.9
    assert grey["patch_accuracy"] < 0.75 and grey["grey"] == "yes"


def test_what_is_written(tmp_path, tiny):
    """Files, their columns and metadata; a swapped label is doubted; a second run gives the same bytes."""
    patches = cohort(coloured, donors=15)
    swapped = patches.sample == "D03-1"
    tissue = patches.tissue_id.copy()
    tissue[swapped] = "Lung"
    patches = patches._replace(tissue_id=tissue)
    options = ["--augment", "flips,rotations,stain", "--tissues", "Lung,Skin"]
    out, again = (run(tmp_path, patches, *options, epochs=(4, 2)) for _ in range(2))
    names = ["calibration.tsv", "classifier.keras", "classifier.tsv", "confusion.tsv", "curves.tsv"]
    names += ["retrained.onnx", "slides.tsv"]
    assert sorted(p.name for p in out.iterdir() if p.is_file()) == [f"256.{name}" for name in names]
    for name in names:
        assert (out / f"256.{name}").read_bytes() == (again / f"256.{name}").read_bytes(), name

    told = {entry.key: entry.value for entry in onnx.load(out / "256.retrained.onnx").metadata_props}
    donors = sorted(set(patches.donor[patches.fold != 0]))
    assert told.pop("training_donors").split(";") == donors and len(told.pop("weights_sha256")) == 64
    assert told == {
        "name": "retrained",
        "layer": "dense1024",
        "width": "1024",
        "weights": "random",
        "input_px": str(PX),
        "preprocess": "x/127.5-1",
        "classes": "Lung;Skin",
        "split": "donor",
        "size": "256",
    }
    import keras

    model = keras.saving.load_model(out / "256.classifier.keras", safe_mode=True)
    features = keras.Model(model.input, model.get_layer("features").output)
    encoder = Encoder(out / "256.retrained.onnx")
    ours, others = encoder.encode(patches.pixels[:6]), np.asarray(features(patches.pixels[:6]))
    assert ours.shape == (6, 1024)
    np.testing.assert_allclose(ours, others, atol=2e-3 * others.std())

    check = np.flatnonzero(patches.fold == 0)
    predicted = np.asarray(model(patches.pixels[check])).argmax(axis=1)
    table = scores_of(out)
    assert table["patch_accuracy"] == np.mean(predicted == (patches.tissue_id[check] == "Skin"))
    assert (table["epoch"], table["device"], table["px"], table["classes"]) == ("base 2", "cpu", PX, "Lung;Skin")
    curves = pd.read_csv(out / "256.curves.tsv", sep="\t")
    assert curves[["stage", "epoch"]].values.tolist() == [["head", i] for i in (1, 2, 3, 4)] + [
        ["base", 1],
        ["base", 2],
    ]
    assert curves["val_accuracy"].iloc[-1] == pytest.approx(table["patch_accuracy"])
    confusion = pd.read_csv(out / "256.confusion.tsv", sep="\t")
    assert confusion["patches"].sum() == table["validation_patches"] == len(check)
    assert pd.read_csv(out / "256.calibration.tsv", sep="\t")["n"].sum() == len(check)
    slides = read_table(out / "256.slides.tsv").set_index("sample")
    assert len(slides) == 30 and (slides["held_out"] == "yes").all()
    assert slides.index[slides["suspicious"] == "yes"].tolist() == ["D03-1"] and table["suspicious_slides"] == 1
    assert slides.loc["D03-1", "predicted"] == "Skin" and slides.loc["D00-0", "split"] == "validation"


def test_a_second_attempt_goes_on_with_half_the_micro_batch(tmp_path, quick, monkeypatch, capsys):
    """Out of memory in stage 2: exit 75, then the checkpoint of the attempt is gone on from."""
    import tensorflow as tf

    import hx_classifier

    patches = cohort(textured, donors=10)
    whole = scores_of(run(tmp_path, patches, epochs=(2, 2)))
    run_epoch = hx_classifier.Stage.run_epoch

    def full(self, inputs, labels, train, epoch):
        if self._stage == hx_classifier.BASE and epoch == 2 and self._settings.micro_batch == 32:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return run_epoch(self, inputs, labels, train, epoch)

    monkeypatch.setattr(hx_classifier.Stage, "run_epoch", full)
    training, out = str(tmp_path / "256.training.h5"), str(tmp_path / "killed")
    command = ["--training", training, "--outdir", out, *QUICK, "--head-epochs", "2", "--base-epochs", "2"]
    assert main([*command, "--checkpoint", str(tmp_path / "first")]) == 75
    assert "--micro-batch" in capsys.readouterr().err and not Path(out).exists()
    options = [
        "--checkpoint",
        str(tmp_path / "second"),
        "--resume-from",
        str(tmp_path / "first"),
        "--micro-batch",
        "16",
    ]
    assert main([*command, *options]) == 0
    assert "going on after epoch 1 of stage base" in capsys.readouterr().err
    resumed = scores_of(Path(out))
    assert resumed["patch_accuracy"] == whole["patch_accuracy"]
    assert resumed["ece"] == pytest.approx(whole["ece"], abs=1e-4)


def test_the_split_by_patch_has_as_many_of_each_tissue():
    patches = cohort(plain, donors=12, per_slide=5)
    donor, patch = (training_rows(patches, split, 1) for split in ("donor", "patch"))
    assert not set(patches.donor[donor]) & set(patches.donor[~donor])
    assert set(patches.fold[~donor]) == {0}
    for tissue in ("Lung", "Skin"):
        rows = patches.tissue_id == tissue
        assert (~patch[rows]).sum() == (~donor[rows]).sum()
    assert len(set(patches.sample[patch]) & set(patches.sample[~patch])) > 10
    assert not np.array_equal(patch, training_rows(patches, "patch", 2))
    # Rows of the other tissue change nothing.
    lung = patches.tissue_id == "Lung"
    alone = patches._replace(**{name: getattr(patches, name)[lung] for name in patches._fields[3:]})
    np.testing.assert_array_equal(training_rows(alone, "patch", 1), patch[lung])


@pytest.mark.parametrize("fold", [0, 3])
def test_a_tissue_with_all_or_no_donors_in_fold_0_has_a_fifth_validate(fold):
    patches = spoilt(fold=fold)
    lung = patches.tissue_id == "Lung"
    train = training_rows(patches, "donor", 1)
    assert len(set(patches.donor[lung & ~train])) == 2 and len(set(patches.donor[lung & train])) == 8
    assert not set(patches.donor[train]) & set(patches.donor[~train])
    assert (~training_rows(patches, "patch", 1)[lung]).sum() == (~train[lung]).sum()
    check_tissues("256.training.h5", patches, "donor", [], 1)
    # Which ones is drawn, unless other tissues tell.
    alone = patches._replace(**{name: getattr(patches, name)[lung] for name in patches._fields[3:]})
    assert len({tuple(training_rows(alone, "donor", seed)) for seed in range(5)}) > 1


def spoilt(**columns) -> TrainingPatches:
    patches = cohort(plain, donors=10, per_slide=2)
    lung = patches.tissue_id == "Lung"
    for name, value in columns.items():
        changed = getattr(patches, name).copy()
        changed[lung] = value
        patches = patches._replace(**{name: changed})
    return patches


def chained() -> TrainingPatches:
    """Three tissues of two donors each, every two of which share one: no set of donors leaves both sides to each."""
    patches = cohort(plain, donors=3, per_slide=2, tissues=("Fat", "Lung", "Skin"))
    absent = {("Fat", "D00"), ("Lung", "D01"), ("Skin", "D02")}
    rows = np.array([pair not in absent for pair in zip(patches.tissue_id, patches.donor, strict=True)])
    return patches._replace(**{name: getattr(patches, name)[rows] for name in patches._fields[3:]})


@pytest.mark.parametrize(
    ("patches", "split", "expected", "told"),
    [
        (spoilt(tissue_id="Skin"), "donor", [], ["1 tissues (Skin)", "--retrained_weights"]),
        (spoilt(donor="D07"), "donor", [], ["tissue Lung has patches of one donor (D07)", "split by patch"]),
        (chained(), "donor", [], ["has 2 donors", "on the training side", "split by patch"]),
        (spoilt(), "donor", ["Fat", "Lung", "Skin"], ["no patches of tissue Fat at size 256"]),
        (spoilt(), "patch", ["Skin"], ["patches of tissue Lung, which --tissues does not name"]),
    ],
)
def test_cohorts_that_cannot_be_split_are_refused(patches, split, expected, told):
    with pytest.raises(DataError) as caught:
        check_tissues("256.training.h5", patches, split, expected, 1)
    assert len(caught.value.faults) == 1
    for part in ("256.training.h5", *told):
        assert part in caught.value.faults[0]


def test_one_donor_can_be_split_by_patch():
    check_tissues("x", spoilt(donor="D07"), "patch", [], 1)
    patches = cohort(plain, donors=1, per_slide=1)
    with pytest.raises(DataError) as caught:
        check_tissues("x", patches, "patch", [], 1)
    assert len(caught.value.faults) == 2 and "one patch" in str(caught.value)


def test_all_faults_come_at_once(tmp_path, capsys):
    write_training(tmp_path / "a.h5", cohort(lambda *_: np.zeros((64, 64, 3), np.uint8), donors=1, px=64))
    (tmp_path / "w.h5").write_text("no weights")
    out = tmp_path / "out"
    command = ["--training", str(tmp_path / "a.h5"), "--outdir", str(out)]
    assert main([*command, "--weights", str(tmp_path / "w.h5")]) == 65
    error = capsys.readouterr().err
    assert "4 faults" in error and "w.h5: no weights file" in error and "64 px" in error
    assert main([*command, "--weights", "random", "--weights-sha256", "0" * 64]) == 65
    assert "--weights-sha256" in capsys.readouterr().err
    assert main(["--training", str(tmp_path / "w.h5"), "--outdir", str(out), "--weights", "random"]) == 65
    assert "w.h5" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--mixed-precision"],
        ["--micro-batch", "0"],
        ["--learning-rate", "0"],
        ["--momentum", "1"],
        ["--augment", "blur"],
        ["--variant", "../x"],
        ["--head-epochs", "0", "--base-epochs", "0"],
        ["--seed", "-1"],
    ],
)
def test_options_that_make_no_sense(tmp_path, options):
    with pytest.raises(SystemExit) as caught:
        main(["--training", "x", "--weights", "random", "--outdir", str(tmp_path), *options])
    assert caught.value.code == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_inceptionv3_itself(tmp_path):
    """Weights of a file, the study's freeze; two threads in two processes give the same bytes."""
    import hx_classifier_model
    import hx_inception as net

    write_training(tmp_path / "256.training.h5", cohort(textured, donors=5, per_slide=1))
    hx_classifier_model.use_device("cpu", 1, mixed_precision=False)
    base = hx_classifier_model.net.inception(75)  # weights do not depend on the side
    net.draw_weights(base, 1)
    net.set_statistics(base, net.reference_drawing(1, px=75))
    weights = tmp_path / "w.weights.h5"
    base.save_weights(weights)
    options = [
        "--weights",
        weights,
        "--weights-sha256",
        file_sha256(weights),
        "--threads",
        "2",
        "--freeze-below",
        "172",
    ]
    options += ["--head-epochs", "1", "--base-epochs", "1", "--micro-batch", "8"]
    command = [sys.executable, BIN / "train_classifier.py", "--training", tmp_path / "256.training.h5", *options]
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        subprocess.run([*command, "--outdir", out], check=True)
    for name in ("retrained.onnx", "classifier.keras", "classifier.tsv", "curves.tsv", "slides.tsv"):
        assert (outs[0] / f"256.{name}").read_bytes() == (outs[1] / f"256.{name}").read_bytes(), name
    encoder = Encoder(outs[0] / "256.retrained.onnx")
    assert (encoder.px, encoder.width, encoder.origin.weights) == (PX, 1024, "file")
    assert scores_of(outs[0])["freeze_below"] == 172

    base.layers[1].kernel.assign(base.layers[1].kernel * np.nan)
    base.save_weights(tmp_path / "nan.weights.h5")
    import keras

    keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]).save_weights(tmp_path / "other.weights.h5")
    for name in ("nan", "other"):
        command = ["--training", str(tmp_path / "256.training.h5"), "--outdir", str(tmp_path / "no")]
        assert main([*command, "--weights", str(tmp_path / f"{name}.weights.h5")]) == 65
