#!/usr/bin/env python3
"""Enriched terms of all settings against each other, and a row a gene across everything. Frames in, frames out."""

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_enrichment import TERM_Q
from hx_overlap import OVERLAP, agreement, exact_sets
from hx_sizes import size_value

AXES = ("tissue_id", "size", "encoder", "aggregation")
# How a term of a setting was found.
BY = {"genes_found": "over-represented among all genes found", "camera": "by camera, with any feature"}
KEY = ["by", "collection", "differ_in"]
TERM_OVERLAPS = [*KEY, "setting", "other", *(name for name in OVERLAP if name != "p_overlap")]
TERM_SETS = [*KEY, "alike", "members", "number", "of", "terms", "examples"]
GENE_SUMMARY = [
    *("gene", "symbol", "tissues_found", "settings_found", "best_setting", "best_size", "best_feature", "r", "gene_p"),
    *("delta_r2", "delta_r2_setting", "prediction_q", "marker_set", "terms_found", "terms"),
]
EXAMPLES = 3


class Place(NamedTuple):
    """A setting: its parts and name."""

    tissue_id: str
    size: str
    encoder: str
    aggregation: str

    @property
    def name(self) -> str:
        return ".".join(self)


class TermSet(NamedTuple):
    """Sets that a setting found in a collection, of `tested` ones."""

    by: str
    collection: str
    place: Place
    tested: int
    found: frozenset[str]


def place_of(setting: str) -> Place:
    """<tissue_id>.<size>.<encoder>.<aggregation>; an encoder's name may hold dots."""
    tissue, size, rest = setting.split(".", 2)
    return Place(tissue, size, *rest.rsplit(".", 1))


def found_terms(lists: pd.DataFrame, terms: pd.DataFrame, summary: pd.DataFrame, pairs: pd.DataFrame) -> list[TermSet]:
    """What each setting found in each way and collection, nothing too.

    Args:
        lists, terms: gene_lists and enrichment_lists. summary, pairs: enrichment_summary and the rows of
            enrichment.parquet with q_camera.
    """
    rows = []
    for row in lists[(lists["kind"] == "setting") & (lists["sets"] > 0)].itertuples():
        mine = terms[(terms["list"] == row.list) & (terms["collection"] == row.collection) & (terms["q"] <= TERM_Q)]
        rows.append(TermSet("genes_found", row.collection, place_of(row.list), int(row.sets), frozenset(mine["set"])))
    tested = summary[(summary["test"] == "camera") & (summary["control"] == "none") & (summary["sets"] > 0)]
    for row in tested.itertuples():
        mine = pairs[(pairs["setting"] == row.setting) & (pairs["collection"] == row.collection)]
        rows.append(TermSet("camera", row.collection, place_of(row.setting), int(row.sets), frozenset(mine["set"])))
    return sorted(rows, key=lambda each: (each.by, each.collection, _order(each.place)))


def _order(place: Place) -> tuple:
    return (place.tissue_id, size_value(place.size), place.encoder, place.aggregation)


def term_overlaps(found: Iterable[TermSet]) -> pd.DataFrame:
    """TERM_OVERLAPS of every two settings that differ in one of tissue, size, encoder and aggregation alone.

    tested: sets of the setting that tests fewer; the sets of two tissues differ by genes that one of them does not
    test. A term's genes are those of others, so that no p is given.
    """
    rows = []
    for one, other in combinations(found, 2):
        differ = [name for name, a, b in zip(AXES, one.place, other.place, strict=True) if a != b]
        if (one.by, one.collection) != (other.by, other.collection) or len(differ) != 1:
            continue
        head = {"by": one.by, "collection": one.collection, "differ_in": differ[0]}
        head |= {"setting": one.place.name, "other": other.place.name}
        sizes = len(one.found), len(other.found), len(one.found & other.found)
        rows.append(head | agreement(min(one.tested, other.tested), *sizes, with_p=False))
    return pd.DataFrame(rows, columns=TERM_OVERLAPS)


def term_sets(found: Iterable[TermSet], names: dict[str, str]) -> pd.DataFrame:
    """TERM_SETS: terms found in exactly each combination of tissues (sizes, encoders), all else alike: an UpSet plot.

    alike: what the settings have in common; members: the combination; of: settings compared. names: {set: term}.
    """
    groups: dict[tuple, list[TermSet]] = {}
    for each in found:
        for k, axis in enumerate(AXES):
            alike = (*each.place[:k], "*", *each.place[k + 1 :])
            groups.setdefault((each.by, each.collection, axis, ".".join(alike)), []).append(each)
    rows = []
    for (by, collection, axis, alike), members in groups.items():
        things = np.array(sorted(frozenset().union(*(each.found for each in members))), dtype=object)
        if len(members) < 2 or not len(things):
            continue
        mask = np.array([[name in each.found for name in things] for each in members])
        for inside, count in zip(*exact_sets(mask), strict=True):
            exact = things[(mask == inside[:, None]).all(axis=0)]
            places = [getattr(each.place, axis) for each, is_in in zip(members, inside, strict=True) if is_in]
            examples = "; ".join(names.get(name, name) for name in exact[:EXAMPLES])
            rows.append((by, collection, axis, alike, ";".join(places), len(places), len(members), count, examples))
    return pd.DataFrame(rows, columns=TERM_SETS).sort_values([*KEY, "alike"], kind="stable", ignore_index=True)


def gene_summary(
    cards: pd.DataFrame, prediction: pd.DataFrame, markers: pd.DataFrame, terms: pd.DataFrame
) -> pd.DataFrame:
    """GENE_SUMMARY: a row a gene that any setting found or any model predicts (q <= .05).

    The best setting is that of smallest gene_p over tissues; delta_r2 the largest gain among the models in which the
    gene's q <= .05; marker_set the cell type whose markers the gene tracks; terms those of smallest p of lists of
    genes found that hold it.

    Args:
        cards: gene_cards of all tissues. prediction: prediction_genes. markers: marker_hits. terms: enrichment_lists.
        Each may be empty.
    """
    best = cards.sort_values(["gene_p", "tissue_id"], kind="stable").drop_duplicates("gene").set_index("gene")
    by_gene = cards.groupby("gene")
    best = best.assign(tissues_found=by_gene["tissue_id"].nunique(), settings_found=by_gene["settings_found"].sum())
    best = best.rename(columns={"feature": "best_feature"})
    best = best.reindex(columns=[name for name in GENE_SUMMARY if name in best.columns])
    gained = prediction[prediction["q"] <= TERM_Q].sort_values(["delta_r2", "setting"], ascending=[False, True])
    gained = gained.drop_duplicates("gene").set_index("gene")
    gained = gained.rename(columns={"setting": "delta_r2_setting", "q": "prediction_q"})
    table = best.join(gained[["delta_r2", "delta_r2_setting", "prediction_q"]], how="outer")
    table["symbol"] = table["symbol"].fillna(gained["symbol"])
    tracked = markers[markers["tracks"] == "yes"].assign(_r=markers["r_marker"].abs())
    tracked = tracked.sort_values(["_r", "setting"], ascending=[False, True]).drop_duplicates("gene").set_index("gene")
    table["marker_set"] = tracked["term"].reindex(table.index)
    table["best_size"] = [place_of(name).size if isinstance(name, str) else None for name in table["best_setting"]]
    rows = terms[(terms["kind"] == "setting") & (terms["q"] <= TERM_Q)].sort_values(["p", "set"])
    named: dict[str, dict[str, None]] = {}
    for term, genes in zip(rows["term"], rows["genes"], strict=True):
        for gene in genes.split(";"):
            named.setdefault(gene, {})[term] = None
    label = table["symbol"].where(table["symbol"].fillna("") != "", table.index.to_series())
    of = [list(named.get(name, {})) for name in label]
    table["terms_found"] = [len(found) for found in of]
    table["terms"] = ["; ".join(found[:EXAMPLES]) for found in of]
    counts = ["tissues_found", "settings_found"]
    table[counts] = table[counts].fillna(0).astype(int)
    table = table.rename_axis("gene").reset_index().reindex(columns=GENE_SUMMARY)
    return table.sort_values(["tissues_found", "gene_p", "gene"], ascending=[False, True, True], ignore_index=True)
