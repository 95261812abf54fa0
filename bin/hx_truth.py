#!/usr/bin/env python3
"""Were the planted truths of a simulated cohort found? Reads truth.json of simulate_cohort.py; tolerates nothing."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import mannwhitneyu, rankdata

from hx_cli import DataError, Faults, preview
from hx_donors import common_donors, feature_settings, named_generator, read_genes, usable
from hx_join import tissue_id
from hx_linear import standardise

PERMUTATIONS = 999
FOUND_P = 0.05
RULE = (
    f"found = yes when the AUROC exceeds .5 with a permutation p of at most {FOUND_P} (donors of the feature shuffled "
    f"{PERMUTATIONS} times, so that genes of one module may depend on each other)"
)
COLUMNS = [
    *("property", "found", "tissue_id", "size", "encoder", "aggregation", "feature", "r_drawn", "n", "planted_genes"),
    *("unplanted_genes", "auroc", "p_mannwhitney", "p_permutation", "link", "mode", "setting"),
]


@dataclass(frozen=True)
class Truth:
    """What was planted. drawn: tissue_id, donor and, for each property, the value that the slide was drawn from.

    genes: genes planted for each property. link: what links image and genes for each property. other: genes planted
    for something else (a SNP).
    """

    mode: str
    drawn: pd.DataFrame
    genes: dict[str, list[str]]
    link: dict[str, str]
    other: set[str]


def read_truth(path: Path) -> Truth:
    """Read truth.json: mode, properties.<name>.{genes, link}, snps[].gene, pieces[].{donor, tissue, <name>.drawn}.

    Raises:
        DataError: no such file, no JSON, or any of these keys is lacking.
    """
    try:
        content = json.loads(Path(path).read_text())
        properties = content["properties"]
        pieces = [
            {
                "tissue_id": tissue_id(piece["tissue"]),
                "donor": piece["donor"],
                **{name: float(piece[name]["drawn"]) for name in properties},
            }
            for piece in content["pieces"]
        ]
        truth = Truth(
            mode=content["mode"],
            drawn=pd.DataFrame(pieces, columns=["tissue_id", "donor", *properties]),
            genes={name: list(planted["genes"]) for name, planted in properties.items()},
            link={name: planted["link"] for name, planted in properties.items()},
            other={snp["gene"] for snp in content["snps"]} - {""},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no truth.json of simulate_cohort.py ({type(error).__name__}: {error})") from error
    if truth.drawn.duplicated(["tissue_id", "donor"]).any() or not np.isfinite(truth.drawn[list(properties)]).all(
        axis=None
    ):
        raise DataError(f"{path}: pieces: one finite drawn value a donor, tissue and property is expected")
    return truth


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive item scores above another one, ties half: (..., items) scores and an (items,) mask."""
    rank = rankdata(score, axis=-1)[..., positive].sum(axis=-1)
    n = np.count_nonzero(positive)
    return (rank - n * (n + 1) / 2) / (n * (len(positive) - n))


def recovery(
    features: np.ndarray, drawn: np.ndarray, genes: np.ndarray, planted: np.ndarray, name: str
) -> dict[str, float | int]:
    """Find the feature of a property, then ask whether the genes planted for it rank above the others.

    The feature is the one of largest |r| with the drawn value: expression plays no part in the choice. Genes are then
    ranked by |r| with it. Both p values are one-sided: Mann-Whitney's takes genes as independent, the permutation's
    shuffles the donors of the feature.

    Args:
        features: (donors, features) unit matrix of `standardise`.
        drawn: (donors,) value that the slides were drawn from.
        genes: (donors, genes) unit matrix.
        planted: (genes,) bool.
        name: of the comparison; the permutations depend on it alone.
    """
    r_drawn = features.T @ standardise(drawn[:, None]).unit[:, 0]
    best = int(np.argmax(np.round(np.abs(r_drawn), 12)))
    feature = features[:, best]
    score = np.abs(genes.T @ feature)
    observed = float(auroc(score, planted))
    orders = named_generator(0, name).permuted(np.tile(np.arange(len(drawn)), (PERMUTATIONS, 1)), axis=1)
    null = auroc(np.abs(feature[orders] @ genes), planted)
    return {
        "best": best,
        "r_drawn": float(r_drawn[best]),
        "auroc": observed,
        "p_mannwhitney": float(mannwhitneyu(score[planted], score[~planted], alternative="greater").pvalue),
        "p_permutation": (1 + np.count_nonzero(null >= observed - 1e-12)) / (1 + PERMUTATIONS),
    }


def recovered(
    truth: Truth, features: AnnData, expression: AnnData, prefix: str, aggregations: list[str], source: tuple[str, str]
) -> list[dict]:
    """A row (COLUMNS) for each property, encoder and aggregation of one tissue and patch size.

    Genes planted for a property are compared with the genes planted for nothing.

    Args:
        prefix: <tissue_id>.<size>. source: names of the two files, for messages.

    Raises:
        DataError: the tables are not of the cohort of truth.json.
    """
    tissue, size = prefix.rsplit(".", 1)
    donors = common_donors(features, expression, source)
    drawn = truth.drawn[truth.drawn["tissue_id"] == tissue].set_index("donor")
    genes, _ = read_genes(expression, donors, source[1])
    of_property = {name: np.isin(genes.id, planted) for name, planted in truth.genes.items()}
    planted_for_anything = truth.other.union(*truth.genes.values())
    unplanted = ~np.isin(genes.id, sorted(planted_for_anything))
    faults = Faults()
    if lacking := sorted(set(donors) - set(drawn.index)):
        faults.add(f"truth.json has no piece of {tissue} of donor {preview(lacking)}: give the truth of this cohort")
    for name in (name for name, mask in of_property.items() if not mask.any()):
        faults.add(f"{source[1]} has none of the genes planted for {name}: give the expression of this cohort")
    if not unplanted.any():
        faults.add(f"{source[1]} has no gene that is planted for nothing: there is none to compare with")
    faults.stop()
    rows = []
    for part in feature_settings(features, donors, size, aggregations, source[0]):
        setting = f"{prefix}.{part.encoder}.{part.aggregation}"
        keep, _, _ = usable(part.values, part.name, "feature", setting)
        if not keep.any():
            continue
        unit = standardise(part.values[:, keep]).unit
        for name, mask in of_property.items():
            compared = mask | unplanted
            values = drawn.loc[donors, name].to_numpy()
            numbers = recovery(unit, values, genes.normal.unit[:, compared], mask[compared], f"{setting}.{name}")
            found = numbers["auroc"] > 0.5 and numbers["p_permutation"] <= FOUND_P
            row = {"property": name, "found": "yes" if found else "no", "tissue_id": tissue, "size": size}
            row |= {"encoder": part.encoder, "aggregation": part.aggregation, "setting": setting}
            row |= {"feature": part.name[keep][numbers.pop("best")], "n": len(donors), **numbers}
            row |= {"planted_genes": int(mask.sum()), "unplanted_genes": int(unplanted.sum())}
            rows.append({**row, "link": truth.link[name], "mode": truth.mode})
    return rows
