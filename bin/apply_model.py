#!/usr/bin/env python3
"""Predict the genes of a model of predict_expression.py for new donors, from the image features of their slides alone.

The features must be those that the model was made of: same tissue, patch size, encoder weights, layer, preprocessing
and aggregation; anything else is refused. A row a donor and gene: predicted log2 value and rank-normal score, with the
R2 that the model reached for that gene in held-out donors of the training cohort, and what of it was gained over the
covariates alone: the rest of it goes with them and may not hold in another cohort.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_donors import read_annotated
from hx_io import write_tsv
from hx_predict_model import ORIGIN, Model, donor_hash, read_model

LABEL = "predicted, not measured"


def matching_features(model: Model, table: AnnData, names: tuple[str, str]) -> np.ndarray:
    """(donors, features) values in the order of the model's features; `names`: of the two files, for messages.

    Raises:
        DataError: everything in which the features are not those of the model, at once.
    """
    told, (of_model, of_table), faults = model.told, names, Faults()
    for name, kind in (("tissue_id", "tissue"), ("size", "patch size")):
        found = str(table.uns.get(name, ""))
        if found != told[name]:
            fix = "give slides of that tissue" if name == "tissue_id" else f"extract with --patch_sizes {told[name]}"
            faults.add(f"{of_table}: {kind} {found or 'not told'}, {of_model} is of {told[name]}: {fix}")
    encoders = table.uns.get("encoders", {})
    origin = encoders.get(told["encoder"])
    if origin is None:
        have = preview(sorted(encoders)) or "none"
        fix = "name it in --encoders, or a table's in --features_name"
        faults.add(f"{of_table}: no features of encoder {told['encoder']}, which {of_model} needs, but {have}: {fix}")
    else:
        for name in ORIGIN[1:]:
            found = str(origin.get(name, ""))
            if found != told[name]:
                what = f"{name} of encoder {told['encoder']} is {found or 'not told'}, of {of_model}"
                fix = "extract with the encoder of the training run (--weights, --retrained_weights, --encoders)"
                faults.add(f"{of_table}: {what} {told[name] or 'not told'}: {fix}")
    aggregation = told["aggregation"]
    if aggregation not in ("mean", "given", *table.layers):
        have = preview(["mean", *sorted(table.layers)], 9)
        faults.add(f"{of_table}: no aggregation {aggregation}, which {of_model} needs, but {have}: aggregate again")
    lacking = [name for name in model.feature if name not in table.var_names]
    if lacking and origin is not None:
        share = f"{len(lacking)} of {len(model.feature)} features of {of_model}"
        faults.add(f"{of_table}: lacks {share}: {preview(lacking)}: give all of them, without gaps")
    faults.stop()
    part = table[:, list(model.feature)]
    values = part.X if aggregation in ("mean", "given") else part.layers[aggregation]
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        donors = table.obs_names[~np.isfinite(values).all(axis=1)]
        raise DataError(f"{of_table}: NaN or infinite features of donor {preview(donors)}: extract their slides again")
    return values


def donor_table(model: Model, table: AnnData, values: np.ndarray) -> pd.DataFrame:
    """A row a donor: how unlike the training donors its features are, and whether it was one of them."""
    distance = model.distance(values)
    seen = np.isin([donor_hash(donor) for donor in table.obs_names], model.training)
    return pd.DataFrame(
        {
            "donor": table.obs_names.to_numpy(dtype=object),
            "samples": table.obs["samples"].to_numpy() if "samples" in table.obs else "",
            "distance": distance,
            "farthest_training": model.farthest,
            "beyond_training": np.where(distance > model.farthest, "yes", "no"),
            "in_training": np.where(seen, "yes", "no"),
        }
    )


def gene_table(model: Model, donors: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """A row a donor and gene, donors first."""
    scores, log2 = model.predict(values)
    n, genes = scores.shape
    each = {name: np.tile(model.numbers[name], n) for name in ("r2cv_image", "delta_r2", "q")}
    return pd.DataFrame(
        {
            "donor": np.repeat(donors["donor"].to_numpy(), genes),
            "samples": np.repeat(donors["samples"].to_numpy(), genes),
            "gene": np.tile(model.gene, n),
            "symbol": np.tile(model.symbol, n),
            "predicted_log2": log2.ravel(),
            "predicted_score": scores.ravel(),
            "training_r2cv": each["r2cv_image"],
            "training_delta_r2": each["delta_r2"],
            "training_q": each["q"],
            "in_training": np.repeat(donors["in_training"].to_numpy(), genes),
            "label": LABEL,
        }
    )


def run(args: argparse.Namespace) -> None:
    """Read, check, predict, write."""
    model, table = read_model(args.model), read_annotated(args.features)
    if not table.n_obs:
        raise DataError(f"{args.features.name}: no donor has features: see the losses of its slides")
    table = table[sorted(table.obs_names)]
    values = matching_features(model, table, (args.model.name, args.features.name))
    donors = donor_table(model, table, values)
    out = f"{args.outdir}/{model.told['setting']}"
    write_tsv(gene_table(model, donors, values), f"{out}.predicted.tsv")
    write_tsv(donors, f"{out}.predicted_donors.tsv")
    for column, what in (("beyond_training", "are farther from the training donors than any of these"),
                         ("in_training", "were training donors: their predictions are too good")):  # fmt: skip
        if (some := donors.loc[donors[column] == "yes", "donor"]).any():
            log.warning("%d of %d donors (%s) %s", len(some), len(donors), preview(some), what)
    best = model.numbers["r2cv_image"].max(initial=0)
    message = "%s: %d genes of %d donors, %s; R2 in held-out training donors up to %.2f"
    log.info(message, model.told["setting"], len(model.gene), len(donors), LABEL, best)


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True, help="<setting>.model.h5 of predict_expression.py")
    arguments.add_argument("--features", type=Path, required=True, help="<tissue_id>.<size>.h5ad of the new slides")
    arguments.add_argument("--outdir", type=Path, default=Path("."))
    run(arguments.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
