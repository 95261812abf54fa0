"""The tissue classifier: gradients, stages, checkpoints, changes of patches; with a small base."""

import functools
import shutil
import zipfile

import numpy as np
import pytest
from classifier_made import PX, cohort, coloured, textured, tiny_base

import hx_classifier as fit
import hx_classifier_model as net_model
import hx_inception as net
from hx_augment import KINDS, STAINS, changed, draw_changes
from hx_cli import DataError, TemporaryFailure

import keras  # isort: skip
import tensorflow as tf  # isort: skip

CLASSES = 2


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    net_model.use_device("cpu", 1, mixed_precision=False)


@pytest.fixture(scope="module")
def patches():
    return cohort(textured, donors=10, per_slide=4)


@pytest.fixture(scope="module")
def data(patches) -> fit.Data:
    labels = (patches.tissue_id == "Skin").astype(np.int64)
    return fit.Data(patches.pixels, labels, patches.fold != 0)


@functools.cache
def first_weights() -> list[np.ndarray]:
    base = tiny_base(PX)
    net.draw_weights(base, 1)
    net.set_statistics(base, net.reference_drawing(1, px=PX))
    return base.get_weights()


def network(grey: bool = False) -> net_model.Network:
    base = tiny_base(PX)
    base.set_weights(first_weights())
    return net_model.build(base, CLASSES, grey, seed=1)


def pooled_of(made: net_model.Network, data: fit.Data) -> np.ndarray:
    return net_model.Predictor(made.pooled, 16)(data.pixels, np.arange(len(data.labels)))


def train(data, settings, folder, resume=None, made=None):
    made = made or network()
    history = fit.train(made, data, pooled_of(made, data), settings, "key", folder, resume)
    return made.classifier.get_weights(), history


def assert_same(ours, others):
    for one, other in zip(ours, others, strict=True):
        np.testing.assert_array_equal(one, other)


SHORT = fit.Settings(head_epochs=2, base_epochs=2, head_rate=0.05, rate=0.05)


def test_micro_batches_change_nothing_but_rounding(data):
    """61 patches: the last batch is smaller."""
    rows, found = np.flatnonzero(data.train)[:61], {}
    for micro in (32, 16, 8):
        made = network()
        settings = fit.Settings(micro_batch=micro)
        stage = fit.Stage(made.logits, made.logits.trainable_variables, fit.sgd(0.05, 0.9), settings, fit.BASE)
        losses = [stage.run_epoch(data.pixels, data.labels, rows, epoch)[0] for epoch in (1, 2)]
        found[micro] = [np.array(losses), *made.logits.get_weights()]
    for micro in (16, 8):
        assert max(np.abs(a - b).max() for a, b in zip(found[32], found[micro], strict=True)) < 1e-5
    moved = zip(found[32][1:], network().logits.get_weights(), strict=True)
    assert max(np.abs(a - b).max() for a, b in moved) > 0.005


def test_a_step_is_that_of_keras(data):
    """One batch an epoch, so that order does not matter; Keras' own loop with BatchNorm frozen, beta with it."""
    ours, reference, rows = network(), network(), np.flatnonzero(data.train)
    for layer in reference.base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    variables = [v for v in ours.logits.trainable_variables if v.name != "beta"]
    settings = fit.Settings(batch=64, micro_batch=16)
    stage = fit.Stage(ours.logits, variables, fit.sgd(0.1, 0.9), settings, fit.BASE)
    reference.logits.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    for epoch in (1, 2, 3):
        loss, _ = stage.run_epoch(data.pixels, data.labels, rows, epoch)
        expected = reference.logits.train_on_batch(data.pixels[rows], data.labels[rows])
        assert loss == pytest.approx(float(expected), rel=1e-4)
    for one, other in zip(ours.logits.get_weights(), reference.logits.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_batch_statistics_stay_and_the_base_moves_in_stage_2_alone(data, tmp_path):
    made = network()
    first = [v.numpy() for v in made.base.variables]
    train(data, fit.Settings(2, 0, head_rate=0.05), tmp_path / "a", made=made)
    assert_same(first, [v.numpy() for v in made.base.variables])
    train(data, fit.Settings(0, 1, rate=0.05), tmp_path / "b", made=made)
    for variable, value in zip(made.base.variables, first, strict=True):
        moved = not np.array_equal(variable.numpy(), value)
        assert moved == (not variable.name.startswith("moving")), variable.path


def test_frozen_layers_stay(data, tmp_path):
    """Counted without activations: input, conv, BatchNorm, then the second conv is layer 3."""
    made = network()
    first = made.base.get_weights()
    train(data, fit.Settings(0, 1, rate=0.05, freeze_below=3), tmp_path, made=made)
    same = [np.array_equal(one, other) for one, other in zip(first, made.base.get_weights(), strict=True)]
    names = [v.name for v in made.base.weights]
    assert names == ["kernel", "beta", "moving_mean", "moving_variance"] * 2
    assert same == [True, True, True, True, False, False, True, True]


def test_cached_features_train_the_head_as_patches_do(data):
    """Stage 1 on pooled features is stage 1 on patches."""
    one, other = network(), network()
    rows, heads = np.flatnonzero(data.train), []
    for made, model, inputs in ((one, one.head, pooled_of(one, data)), (other, other.logits, data.pixels)):
        variables = made.head.trainable_variables
        stage = fit.Stage(model, variables, fit.sgd(0.05, 0.9), SHORT, fit.HEAD)
        losses = [stage.run_epoch(inputs, data.labels, rows, epoch)[0] for epoch in (1, 2)]
        heads.append([losses, *made.head.get_weights()])
    for first, second in zip(*heads, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "killed"),
    [
        (SHORT, (1, 2, 3)),
        (fit.Settings(2, 0, "rmsprop", 1e-3, augment=KINDS), (1,)),
    ],
    ids=["sgd", "rmsprop, changed patches"],
)
def test_a_resumed_training_ends_with_the_same_weights(data, tmp_path, monkeypatch, settings, killed):
    """Killed after any epoch, also between the stages; and once more before the next attempt saved an epoch."""
    save, epochs = fit.save_checkpoint, []

    def saved(folder, *rest):
        save(folder, *rest)
        epochs.append(shutil.copytree(folder, tmp_path / f"after{len(epochs) + 1}"))

    monkeypatch.setattr(fit, "save_checkpoint", saved)
    whole, history = train(data, settings, tmp_path / "whole")
    assert [(e.stage, e.epoch) for e in history] == [("head", 1), ("head", 2), ("base", 1), ("base", 2)][: len(epochs)]

    def dies(folder, *rest):
        save(folder, *rest)
        raise KeyboardInterrupt

    for epoch in killed:
        first, second, third = (tmp_path / f"{place}{epoch}" for place in ("after", "second", "third"))
        monkeypatch.setattr(fit, "save_checkpoint", dies)
        with pytest.raises(KeyboardInterrupt):
            train(data, settings, second, first)
        monkeypatch.setattr(fit, "save_checkpoint", save)
        resumed, told = train(data, settings, third, second)
        assert_same(whole, resumed)
        assert told == history


def test_a_checkpoint_of_something_else_is_not_gone_on_from(data, tmp_path, caplog):
    settings = fit.Settings(1, 0)
    whole, _ = train(data, settings, tmp_path / "a")
    fit.save_checkpoint(tmp_path / "b", "another", fit.Checkpoint([np.zeros(1)], [], []))
    again, _ = train(data, settings, tmp_path / "c", tmp_path / "b")
    assert_same(whole, again)
    assert "other patches, weights or settings" in caplog.text
    assert fit.load_checkpoint(tmp_path / "none", "key") is None


def test_a_damaged_checkpoint_is_told(tmp_path):
    fit.save_checkpoint(tmp_path, "key", fit.Checkpoint([np.arange(1e4)], [], [fit.Epoch("head", 1, 0, 0, 0, 0)]))
    path = tmp_path / fit.CHECKPOINT
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"checkpoint\.h5: damaged"):
        fit.load_checkpoint(tmp_path, "key")


def test_a_loss_that_is_not_finite_stops(data, tmp_path):
    with pytest.raises(DataError, match="learning rate"):
        train(data, fit.Settings(0, 4, rate=1e12), tmp_path)


def test_out_of_memory_is_temporary():
    for error in (
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[32]"),
        tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ):
        with pytest.raises(TemporaryFailure, match="--micro-batch"), net_model.out_of_memory_is_temporary():
            raise error
    with pytest.raises(tf.errors.InternalError), net_model.out_of_memory_is_temporary():
        raise tf.errors.InternalError(None, None, "no such kernel")


def test_half_precision_learns_the_same(data, tmp_path):
    settings = fit.Settings(0, 2, rate=0.05, micro_batch=16)
    _, full = train(data, settings, tmp_path / "full")
    try:
        keras.config.set_dtype_policy("mixed_float16")
        made = network()
        weights, half = train(data, settings, tmp_path / "half", made=made)
        resumed, _ = train(data, settings, tmp_path / "more", tmp_path / "half")
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same(weights, resumed)
    assert {w.dtype for w in weights} == {np.dtype("float32")}
    np.testing.assert_allclose([e[2:] for e in half], [e[2:] for e in full], atol=0.05)
    assert not np.array_equal(half[-1][2:], full[-1][2:])


def test_cross_fitted_heads_see_no_patch_of_their_fold(data):
    patches = cohort(coloured, donors=10)
    data = data._replace(pixels=patches.pixels)
    pooled = pooled_of(network(), data)
    settings = fit.Settings(head_epochs=4, head_optimizer="rmsprop", head_rate=1e-3)
    probabilities = fit.cross_fit(pooled, data.labels, patches.fold, CLASSES, settings)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.mean(probabilities.argmax(axis=1) == data.labels) > 0.9
    # What is in fold 3 changes nothing for fold 3 but through its own pixels.
    labels = np.where(patches.fold == 3, 1 - data.labels, data.labels)
    other = fit.cross_fit(pooled, labels, patches.fold, CLASSES, settings)
    np.testing.assert_array_equal(other[patches.fold == 3], probabilities[patches.fold == 3])
    assert np.abs(other - probabilities)[patches.fold != 3].max() > 0
    # A tissue of one fold alone is unknown to the head that should judge it.
    keep = (data.labels == 0) | (patches.fold == 2)
    few = fit.cross_fit(pooled[keep], data.labels[keep], patches.fold[keep], CLASSES, settings)
    np.testing.assert_array_equal(np.isnan(few[:, 0]), data.labels[keep] == 1)


def test_grey_networks_do_not_see_colour(data):
    pixels, rows = data.pixels[:4], np.arange(4)
    swapped = np.random.default_rng(0).permuted(pixels, axis=3)
    grey, colour = (net_model.Predictor(network(grey).logits, 4) for grey in (True, False))
    np.testing.assert_allclose(grey(pixels, rows), grey(swapped, rows), atol=1e-5)
    assert np.abs(colour(pixels, rows) - colour(255 - pixels, rows)).max() > 1e-3
    same = np.repeat(pixels[..., :1], 3, axis=3)
    np.testing.assert_allclose(grey(same, rows), colour(same, rows), atol=1e-5)


def test_logits_are_turned_into_probabilities_once(data):
    made, rows = network(), np.arange(8)
    logits = net_model.Predictor(made.logits, 3)(data.pixels, rows)
    probabilities = net_model.Predictor(made.classifier, 8)(data.pixels, rows)
    np.testing.assert_allclose(fit.softmax(logits), probabilities, atol=1e-6)
    loss = -np.log(probabilities[rows, data.labels[:8]]).mean()
    assert fit.cross_entropy(logits, data.labels[:8]) == pytest.approx(loss, rel=1e-4)
    assert net_model.Predictor(made.features, 8)(data.pixels, rows[:0]).shape == (0, 1024)


def test_the_keras_file_is_safe_and_the_same_every_time(data, tmp_path):
    made = network(grey=True)
    for name in ("a.keras", "b.keras"):
        net_model.write_keras(made.classifier, tmp_path / name)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        assert b"date" not in archive.read("metadata.json")
    loaded = keras.saving.load_model(tmp_path / "a.keras", safe_mode=True)
    rows = np.arange(5)
    ours, others = (net_model.Predictor(model, 5)(data.pixels, rows) for model in (made.classifier, loaded))
    np.testing.assert_array_equal(ours, others)


def test_changes_are_flips_turns_and_stain(data):
    pixels = data.pixels[:6] // 2 + 60
    neutral = draw_changes([1, 2, 3], 6, ())
    np.testing.assert_array_equal(changed(pixels, neutral).numpy(), pixels)
    for column, expected in ((0, pixels[:, :, ::-1]), (1, pixels[:, ::-1])):
        once = neutral.copy()
        once[:, column] = 1
        np.testing.assert_array_equal(changed(pixels, once).numpy(), expected)
    turned = neutral.copy()
    turned[:, 2] = [0, 1, 2, 3, 0, 1]
    expected = [np.rot90(patch, k) for patch, k in zip(pixels, [0, 1, 2, 3, 0, 1], strict=True)]
    np.testing.assert_array_equal(changed(pixels, turned).numpy(), expected)
    stained = draw_changes([5], 6, ("stain",))
    assert np.ptp(stained[:, 3:], axis=0).min() > 0 and not stained[:, :3].any()
    for patch, row, found in zip(pixels, stained, changed(pixels, stained).numpy(), strict=True):
        density = -np.log((patch.astype(float) + 1) / 256)
        amounts = np.linalg.solve(STAINS.T, density.reshape(-1, 3).T).T * row[3:6] + row[6:]
        expected = 256 * np.exp(-(amounts @ STAINS)) - 1
        assert np.abs(found.reshape(-1, 3) - expected).max() < 0.51


def test_changes_are_drawn_by_key_and_kind():
    first = draw_changes([1, 2, 3], 400, KINDS)
    np.testing.assert_array_equal(first, draw_changes([1, 2, 3], 400, KINDS))
    assert not np.array_equal(first, draw_changes([1, 2, 4], 400, KINDS))
    np.testing.assert_array_equal(draw_changes([1, 2, 3], 400, ("rotations",))[:, 2], first[:, 2])
    assert np.abs(np.bincount(first[:, 2].astype(int)) / 400 - 0.25).max() < 0.08
    assert np.abs(first[:, :2].mean(axis=0) - 0.5).max() < 0.08
    assert 0.95 <= first[:, 3:6].min() and first[:, 3:6].max() <= 1.05


def test_a_gpu_that_is_not_there_is_told():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(DataError, match="--device cuda"):
        net_model.use_device("cuda", 1, mixed_precision=False)


@pytest.mark.slow
def test_the_studys_count_of_layers():
    """172 layers of Keras 1 are those before block mixed8's end; 0 leaves all in training."""
    base = net_model.net.inception(75)
    every = base.trainable_variables
    assert len([layer for layer in base.layers if not isinstance(layer, keras.layers.Activation)]) == 217
    assert [v.path for v in fit.base_variables(base, 0)] == [v.path for v in every]
    names = [layer.name for layer in base.layers]
    after = [v for layer in base.layers[names.index("mixed8") + 1 :] for v in layer.trainable_variables]
    assert [v.path for v in fit.base_variables(base, 172)] == [v.path for v in after]
    assert fit.base_variables(base, 217) == []
