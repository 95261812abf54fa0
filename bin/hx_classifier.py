#!/usr/bin/env python3
"""Training of the tissue classifier in two stages, with checkpoints that a killed task goes on from.

BatchNorm stays in inference mode in both stages and the gradients of an effective batch are summed over its
micro-batches: the micro-batch, which a task halves when it runs out of GPU memory, changes nothing but rounding.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from hx_augment import WIDTH, changed, draw_changes
from hx_classifier_model import Network, Predictor, Rows, base_variables, head_of
from hx_cli import DataError, log
from hx_io import atomic
from hx_join import FOLDS

import keras  # isort: skip
import tensorflow as tf  # isort: skip

HEAD_RATES = {"sgd": 1e-4, "rmsprop": 1e-3}  # the paper's; Keras' own, which the study's code took
HEAD, BASE, CROSS_FIT = 1, 2, 3  # what the draws of one seed are for
STAGES = {HEAD: "head", BASE: "base"}
CHECKPOINT = "checkpoint.h5"


@dataclass(frozen=True)
class Settings:
    """How to train.

    head_optimizer: sgd or rmsprop. batch: patches a step. micro_batch: patches that the device holds at once.
    freeze_below: layers of the base that keep their weights, in the study's counting (see `base_variables`).
    augment: of hx_augment.KINDS. seed: of the head, the order of patches and their changes.
    """

    head_epochs: int = 10
    base_epochs: int = 30
    head_optimizer: str = "sgd"
    head_rate: float = HEAD_RATES["sgd"]
    rate: float = 1e-4
    momentum: float = 0.9
    batch: int = 32
    micro_batch: int = 32
    freeze_below: int = 0
    augment: tuple[str, ...] = ()
    seed: int = 1


class Data(NamedTuple):
    """`pixels` of n patches, `labels` (n,) their class numbers, `train` (n,) bool: the others validate."""

    pixels: Rows
    labels: np.ndarray
    train: np.ndarray


class Epoch(NamedTuple):
    """Mean loss and accuracy of an epoch's steps, and of the validation patches after it."""

    stage: str
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class Checkpoint(NamedTuple):
    """State after the epochs in `history`; `optimizer` is that of the last epoch's stage."""

    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    history: list[Epoch]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log softmax(logits)[label], natural logarithm."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float64 (n, classes) of logits (n, classes)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class Stage:
    """Training of `variables`, some of those of `model`, which maps inputs to logits.

    Attributes: optimizer, whose variables are part of a checkpoint.
    """

    def __init__(
        self,
        model: keras.Model,
        variables: Sequence[keras.Variable],
        optimizer: keras.optimizers.Optimizer,
        settings: Settings,
        stage: int,
        augment: tuple[str, ...] = (),
    ):
        self.optimizer, self._settings, self._stage, self._augment = optimizer, settings, stage, augment
        mixed = keras.config.dtype_policy().name == "mixed_float16"
        if mixed:
            self.optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        self.optimizer.build(variables)
        sums = [tf.Variable(tf.zeros(v.shape)) for v in variables]
        kind = tf.as_dtype(model.input.dtype)
        self._signature = (
            tf.TensorSpec([None, *model.input_shape[1:]], kind),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None, WIDTH], tf.float32),
            tf.TensorSpec([], tf.float32),
        )

        @tf.function(input_signature=self._signature)
        def accumulate(inputs: tf.Tensor, labels: tf.Tensor, changes: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
            if augment:
                inputs = changed(inputs, changes)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([v.value for v in variables])
                logits = model(inputs, training=False)
                loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
                scaled = self.optimizer.scale_loss(loss * share)
            for total, gradient in zip(sums, tape.gradient(scaled, [v.value for v in variables]), strict=True):
                total.assign_add(gradient)
            right = tf.reduce_sum(tf.cast(tf.argmax(logits, axis=1) == labels, tf.float32))
            return tf.stack([loss, right])

        @tf.function
        def step() -> None:
            self.optimizer.apply([tf.convert_to_tensor(total) for total in sums], list(variables))
            for total in sums:
                total.assign(tf.zeros_like(total))

        self._accumulate: Callable[..., tf.Tensor] = accumulate
        self._step: Callable[[], None] = step

    def _micro_batches(self, inputs: Rows, labels: np.ndarray, train: np.ndarray, epoch: int) -> Iterator[tuple]:
        """An epoch's micro-batches with 1 / (size of its batch); `train` in an order of its own for every epoch."""
        settings, key = self._settings, [self._settings.seed, self._stage, epoch]
        order = np.random.Generator(np.random.PCG64([*key, 0])).permutation(len(train))
        changes = draw_changes([*key, 1], len(train), self._augment)
        for start in range(0, len(order), settings.batch):
            batch = order[start : start + settings.batch]
            for first in range(0, len(batch), settings.micro_batch):
                part = batch[first : first + settings.micro_batch]
                rows = train[part]
                yield inputs[rows], labels[rows], changes[part], np.float32(1 / len(batch))

    def run_epoch(self, inputs: Rows, labels: np.ndarray, train: np.ndarray, epoch: int) -> tuple[float, float]:
        """Train for one epoch, numbered from 1: (mean loss, accuracy) of its steps, as the weights were at each."""
        parts: Iterable[tuple] = self._micro_batches(inputs, labels, train, epoch)
        if not isinstance(inputs, np.ndarray):
            # Patches are read while the network works; from memory that would cost more than it saves.
            parts = tf.data.Dataset.from_generator(
                lambda parts=parts: parts, output_signature=self._signature
            ).prefetch(2)
        totals, seen = np.zeros(2), 0
        for part in parts:
            totals += self._accumulate(*part).numpy()
            seen += len(part[1])
            if seen % self._settings.batch == 0 or seen == len(train):
                self._step()
        return float(totals[0] / len(train)), float(totals[1] / len(train))


def sgd(rate: float, momentum: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(rate, momentum=momentum)


def head_optimizer(settings: Settings) -> keras.optimizers.Optimizer:
    if settings.head_optimizer == "rmsprop":
        return keras.optimizers.RMSprop(settings.head_rate)
    return sgd(settings.head_rate, settings.momentum)


def train(
    network: Network, data: Data, pooled: np.ndarray, settings: Settings, key: str, folder: Path, resume: Path | None
) -> list[Epoch]:
    """Train the head, then base and head; `network` holds the weights of the last epoch afterwards.

    The head is trained on `pooled`, float32 (n, D) of all patches, unless they are augmented: it is the same function.

    Args:
        key: what must agree for a checkpoint to be gone on from: data, first weights, settings.
        folder: a checkpoint is written there after every epoch.
        resume: folder of an earlier attempt's checkpoint; None or one without a checkpoint starts afresh.

    Raises:
        DataError: a loss that is not finite; a damaged checkpoint.
    """
    saved = load_checkpoint(resume, key) if resume else None
    history = list(saved.history) if saved else []
    if saved:
        network.classifier.set_weights(saved.weights)
        # This attempt may die before its first epoch: the next one looks here alone.
        save_checkpoint(folder, key, saved)
        log.info("going on after epoch %d of stage %s of %s", history[-1].epoch, history[-1].stage, resume)
    rows, check = np.flatnonzero(data.train), np.flatnonzero(~data.train)
    for number, epochs in ((HEAD, settings.head_epochs), (BASE, settings.base_epochs)):
        done = sum(epoch.stage == STAGES[number] for epoch in history)
        if done >= epochs:
            continue
        cached = number == HEAD and not settings.augment
        inputs, model = (pooled, network.head) if cached else (data.pixels, network.logits)
        variables = list(network.head.trainable_variables)
        if number == BASE:
            variables = base_variables(network.base, settings.freeze_below) + variables
        optimizer = head_optimizer(settings) if number == HEAD else sgd(settings.rate, settings.momentum)
        stage = Stage(model, variables, optimizer, settings, number, settings.augment)
        if done:
            for variable, value in zip(stage.optimizer.variables, saved.optimizer, strict=True):
                variable.assign(value)
        # The base does not change in the first stage, nor do patches that validate.
        valid, valid_inputs = (network.head, pooled) if number == HEAD else (network.logits, data.pixels)
        predict = Predictor(valid, settings.micro_batch)
        for epoch in range(done + 1, epochs + 1):
            started = time.monotonic()
            loss, accuracy = stage.run_epoch(inputs, data.labels, rows, epoch)
            rate = len(rows) / (time.monotonic() - started)
            logits, labels = predict(valid_inputs, check), data.labels[check]
            right = float(np.mean(logits.argmax(axis=1) == labels))
            history.append(Epoch(STAGES[number], epoch, loss, accuracy, cross_entropy(logits, labels), right))
            log.info("%s, epoch %d of %d: %s; %.1f patches/s", STAGES[number], epoch, epochs, history[-1][2:], rate)
            if not np.isfinite(history[-1][2:]).all():
                raise DataError(
                    f"stage {STAGES[number]}, epoch {epoch}: the loss is not finite, training diverged: lower the "
                    "learning rate, or check the weights and the patches"
                )
            state = [variable.numpy() for variable in stage.optimizer.variables]
            save_checkpoint(folder, key, Checkpoint(network.classifier.get_weights(), state, history))
    return history


def cross_fit(
    pooled: np.ndarray, labels: np.ndarray, folds: np.ndarray, classes: int, settings: Settings
) -> np.ndarray:
    """Probabilities float64 (n, classes) of each patch by a head that saw no patch of its fold.

    The base is the one before fine-tuning, which saw none of them either: `pooled` (n, D) are its features. Rows whose
    tissue is in no other fold are NaN: such a head does not know the tissue.
    """
    probabilities = np.full((len(labels), classes), np.nan)
    head = head_of(pooled.shape[1], classes, settings.seed)
    stage = Stage(head, head.trainable_variables, head_optimizer(settings), settings, CROSS_FIT)
    predict, variables = Predictor(head, settings.batch), (*head.variables, *stage.optimizer.variables)
    first = [variable.numpy() for variable in variables]
    for fold in range(FOLDS):
        train, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        held_out = held_out[np.isin(labels[held_out], labels[train])]
        if not len(held_out):
            continue
        for variable, value in zip(variables, first, strict=True):
            variable.assign(value)
        for epoch in range(1, settings.head_epochs + 1):
            stage.run_epoch(pooled, labels, train, epoch)
        probabilities[held_out] = softmax(predict(pooled, held_out))
    return probabilities


def save_checkpoint(folder: Path, key: str, checkpoint: Checkpoint) -> None:
    """Write `folder`/checkpoint.h5, or leave the one that is there whole."""
    with atomic(folder / CHECKPOINT) as temporary, h5py.File(temporary, "w") as file:
        file["key"] = key
        file["history"] = json.dumps(checkpoint.history)
        for name in ("weights", "optimizer"):
            group = file.create_group(name)
            for i, values in enumerate(getattr(checkpoint, name)):
                group[f"{i:04d}"] = values


def load_checkpoint(folder: Path, key: str) -> Checkpoint | None:
    """Checkpoint of save_checkpoint; None where there is none, or one of other data or settings (told in the log).

    Raises:
        DataError: damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        log.warning("%s: no checkpoint: training starts at its first epoch", folder)
        return None
    try:
        with h5py.File(path) as file:
            if file["key"].asstr()[()] != key:
                log.warning("%s: of other patches, weights or settings: training starts at its first epoch", path)
                return None
            history = [Epoch(*row) for row in json.loads(file["history"].asstr()[()])]
            weights, optimizer = ([file[name][i][()] for i in sorted(file[name])] for name in ("weights", "optimizer"))
            return Checkpoint(weights, optimizer, history)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged checkpoint ({error}): delete it, training then starts afresh") from error
