#!/usr/bin/env python3
"""Fine-tune InceptionV3 to tell the tissues of a cohort apart, for one patch size, and score it.

Stage 1 trains the head (Dense 1024 ReLU, softmax over the tissues), stage 2 the base with it. Written to --outdir:
<size>.retrained.onnx (patches -> the 1,024 features before the softmax), <size>.classifier.keras (all of it), and
tables: .classifier, .confusion, .curves, .calibration, .slides. The weights kept are the last epoch's, as the study's:
choosing the epoch on the validation patches would make their accuracy optimistic; the best epoch is told.
"""

import hashlib
import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import hx_classifier_scores as scores
from hx_classifier_split import SPLITS, check_tissues, training_rows
from hx_cli import Faults, comma_list, command, log, parser
from hx_io import write_tsv
from hx_join import ID_PATTERN, gathered
from hx_training import TrainingPatches, read_pixels, read_training_rows
from hx_weights import check_file, weights_name

if TYPE_CHECKING:  # it starts TensorFlow
    from hx_classifier_model import Network

MIN_PX = 75  # InceptionV3 has nothing left of a smaller patch


class Pixels:
    """Pixels of a training file, read when asked for: `pixels[rows]` is uint8 (len(rows), px, px, 3)."""

    def __init__(self, path: Path):
        self._path = path

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return read_pixels(self._path, rows.tolist())


def digest(**parts: object) -> str:
    """SHA-256 of what a checkpoint must agree in with the training that goes on from it."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=np.ndarray.tolist).encode()).hexdigest()


def sides(patches: TrainingPatches, train: np.ndarray) -> dict[str, int]:
    """Numbers of donors, slides and patches that train and that validate."""
    counts = {}
    for side, rows in (("train", train), ("validation", ~train)):
        counts[f"{side}_donors"] = len(set(patches.donor[rows]))
        counts[f"{side}_slides"] = len(set(patches.sample[rows]))
        counts[f"{side}_patches"] = int(rows.sum())
    return counts


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--training", required=True, type=Path, help="<size>.training.h5 of sample_patches.py")
    add("--weights", required=True, help="where the base starts: `random`, or a file of Keras weights of InceptionV3")
    add("--weights-sha256", help="SHA-256 that the weights file must have")
    add("--tissues", type=comma_list, default=[], help="tissue ids that the file must hold, all and no other")
    add("--split", choices=SPLITS, default="donor", help="what is on one side alone; patch is the study's way")
    add("--head-epochs", type=int, default=10, help="of stage 1")
    add("--base-epochs", type=int, default=30, help="of stage 2")
    add(
        "--head-optimizer", choices=["sgd", "rmsprop"], default="sgd", help="of stage 1; rmsprop is in the study's code"
    )
    add("--head-learning-rate", type=float, help="of stage 1; 1e-4 with sgd, 1e-3 with rmsprop unless given")
    add("--learning-rate", type=float, default=1e-4, help="of stage 2 (SGD)")
    add("--momentum", type=float, default=0.9, help="of SGD")
    add("--freeze-below", type=int, default=0, help="layers of the base that stage 2 freezes, as Keras 1 counted them: "
        "0 none (the paper), 172 all up to block mixed8 (its code)")  # fmt: skip
    add("--augment", type=comma_list, default=[], help="comma-separated, of flips, rotations, stain")
    add("--grey", action="store_true", help="the network sees the mean of R, G and B alone")
    add("--batch", type=int, default=32, help="patches a step")
    add("--micro-batch", type=int, default=32, help="patches held by the device at once; changes rounding alone")
    add("--mixed-precision", action="store_true", help="half precision, on a GPU")
    add("--seed", type=int, default=1, help="of the split by patch, the head, the order, and random weights")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
    add("--threads", type=int, default=1, help="CPU threads; the same bytes for the same number")
    add("--checkpoint", type=Path, help="folder for a checkpoint after every epoch; OUTDIR/checkpoint unless given")
    add("--resume-from", type=Path, help="folder of the checkpoint of an earlier attempt")
    add("--encoder", default="retrained", help="name of the encoder in the ONNX file")
    add("--variant", help="label of a control: tables only, named <size>.<label>.*")
    add("--outdir", required=True, type=Path, help="folder to write to")
    args = arguments.parse_args(argv)
    _check_options(arguments, args)
    patches, suffix, sha256 = _check_input(args)
    _train_and_write(args, patches, suffix, sha256)


def _check_options(arguments: ArgumentParser, args: Namespace) -> None:
    """Usage errors."""
    for name in ("head_epochs", "base_epochs", "freeze_below", "seed"):
        if getattr(args, name) < 0:
            arguments.error(f"--{name.replace('_', '-')} must be 0 or more")
    if not args.head_epochs + args.base_epochs:
        arguments.error("--head-epochs and --base-epochs are both 0: nothing would be trained")
    for name in ("batch", "micro_batch", "threads"):
        if getattr(args, name) < 1:
            arguments.error(f"--{name.replace('_', '-')} must be 1 or more")
    for name in ("head_learning_rate", "learning_rate"):
        if (value := getattr(args, name)) is not None and not value > 0:
            arguments.error(f"--{name.replace('_', '-')} must be above 0")
    if not 0 <= args.momentum < 1:
        arguments.error("--momentum must be from 0 to below 1")
    if unknown := sorted(set(args.augment) - {"flips", "rotations", "stain"}):
        arguments.error(f"--augment: {', '.join(unknown)}: of flips, rotations, stain")
    if args.mixed_precision and args.device == "cpu":
        arguments.error("--mixed-precision needs --device cuda: a CPU would only lose precision by it")
    for name in ("encoder", "variant"):
        if (value := getattr(args, name)) is not None and not ID_PATTERN.match(value):
            arguments.error(f"--{name} {value!r}: use letters, digits, dot, underscore, dash; letter or digit first")


def _check_input(args: Namespace) -> tuple[TrainingPatches, str, str]:
    """(patches without pixels, suffix and SHA-256 of the weights file or ''); DataError with all faults of both."""
    faults, suffix, sha256, patches = Faults(), "", "", None
    if args.weights != "random":
        with gathered(faults):
            suffix, sha256 = check_file(Path(args.weights), args.weights_sha256, imagenet=False)
    elif args.weights_sha256:
        faults.add("--weights-sha256 is about a file, but --weights is `random`: leave one of them out")
    with gathered(faults):
        patches = read_training_rows(args.training)
        if len(patches.fold) and patches.px < MIN_PX:
            faults.add(f"{args.training}: patches of {patches.px} px, InceptionV3 needs {MIN_PX}: cut them larger")
        check_tissues(args.training, patches, args.split, args.tissues, args.seed)
    faults.stop()
    return patches, suffix, sha256


def _train_and_write(args: Namespace, patches: TrainingPatches, suffix: str, sha256: str) -> None:
    # TensorFlow starts only when all else is in order.
    import hx_classifier as fit
    import hx_classifier_model as model
    import hx_inception as net

    settings = fit.Settings(
        head_epochs=args.head_epochs,
        base_epochs=args.base_epochs,
        head_optimizer=args.head_optimizer,
        head_rate=args.head_learning_rate or fit.HEAD_RATES[args.head_optimizer],
        rate=args.learning_rate,
        momentum=args.momentum,
        batch=args.batch,
        micro_batch=min(args.batch, args.micro_batch),
        freeze_below=args.freeze_below,
        augment=tuple(sorted(args.augment)),
        seed=args.seed,
    )
    model.use_device(args.device, args.threads, args.mixed_precision)
    tissues = sorted(set(patches.tissue_id))
    labels = np.searchsorted(tissues, patches.tissue_id.astype(str)).astype(np.int64)
    train = training_rows(patches, args.split, args.seed)
    base = net.inception(patches.px)
    path = Path(args.weights) if suffix else None
    net.first_weights(base, path, suffix, args.seed)
    weights = weights_name(path)
    network = model.build(base, len(tissues), args.grey, args.seed)
    data = fit.Data(Pixels(args.training), labels, train)
    everything = np.arange(len(labels))
    key = digest(
        settings={name: value for name, value in asdict(settings).items() if name != "micro_batch"},
        columns=[getattr(patches, name) for name in ("coords", "sample", "tissue_id", "fold")],
        others=[patches.size, patches.px, patches.resize, args.split, args.grey, args.mixed_precision],
        weights=sha256 or net.weights_sha256(base),
    )
    with model.out_of_memory_is_temporary():
        pooled = model.Predictor(network.pooled, settings.micro_batch)(data.pixels, everything)
        held_out = fit.cross_fit(pooled, labels, patches.fold, len(tissues), settings)
        folder = args.checkpoint or args.outdir / "checkpoint"
        history = fit.train(network, data, pooled, settings, key, folder, args.resume_from)
        check = np.flatnonzero(~train)
        probabilities = fit.softmax(model.Predictor(network.logits, settings.micro_batch)(data.pixels, check))
    found, confusion, calibration = scores.score_tables(tissues, labels[check], patches.sample[check], probabilities)
    slides, able = scores.slide_table(patches.sample, patches.donor, labels, tissues, train, held_out)
    last, best = history[-1], max(history, key=lambda epoch: epoch.val_accuracy)
    row = {
        "size": patches.size,
        "variant": args.variant or "",
        "split": args.split,
        "classes": ";".join(tissues),
        **sides(patches, train),
        **found,
        "epoch": f"{last.stage} {last.epoch}",
        "best_epoch": f"{best.stage} {best.epoch}",
        "best_epoch_accuracy": best.val_accuracy,
        "head_epochs": settings.head_epochs,
        "base_epochs": settings.base_epochs,
        "freeze_below": settings.freeze_below,
        "augment": ";".join(settings.augment),
        "grey": "yes" if args.grey else "no",
        "weights": weights,
        "suspicious_slides": int((slides["suspicious"] == "yes").sum()) if able else "",
        "device": "gpu" if args.device == "cuda" else "cpu",
        "px": patches.px,
        "seed": args.seed,
    }
    name = f"{patches.size}.{args.variant}" if args.variant else patches.size
    tables = {
        "classifier": pd.DataFrame([row]),
        "confusion": confusion,
        "curves": pd.DataFrame(history),
        "calibration": calibration,
        "slides": slides,
    }
    for what, table in tables.items():
        write_tsv(table, args.outdir / f"{name}.{what}.tsv")
    if not args.variant:
        _write_models(args, patches, network, tissues, train, weights)
    log.info("%s: patch accuracy %.3f, chance %.3f", name, found["patch_accuracy"], found["chance"])


def _write_models(
    args: Namespace, patches: TrainingPatches, network: "Network", tissues: list[str], train: np.ndarray, weights: str
) -> None:
    import hx_classifier_model as model
    import hx_inception as net

    if args.mixed_precision:
        network = model.full_precision(network, args.grey)
    metadata = {
        "name": args.encoder,
        "layer": model.LAYER,
        "width": str(network.features.output_shape[-1]),
        "weights": weights,
        "weights_sha256": net.weights_sha256(network.features),
        "input_px": str(patches.px),
        "preprocess": f"mean(R,G,B) {net.PREPROCESS}" if args.grey else net.PREPROCESS,
        "classes": ";".join(tissues),
        "training_donors": ";".join(sorted(set(patches.donor[train]))),
        "split": args.split,
        "size": patches.size,
    }
    net.write_onnx(network.features, metadata, args.outdir / f"{patches.size}.retrained.onnx")
    model.write_keras(network.classifier, args.outdir / f"{patches.size}.classifier.keras")


if __name__ == "__main__":
    sys.exit(main())
