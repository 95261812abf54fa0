#!/usr/bin/env python3
"""Tables of a scan of genotypes: a row a trait, points of the QQ and Manhattan plots, variants by what became of them.

None holds an individual: no donor, no genotype and no value of a trait.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from hx_pvalue import PTable, detectable_r, lambda_gc
from hx_qtl import STATUS, Scanned
from hx_qtl_null import Family, gate
from hx_qtl_traits import EMBEDDING, Columns, Traits
from hx_scan import upper_quantile

detectable = lru_cache(8)(detectable_r)  # the traits of a scan have few different thresholds
GENOME_WIDE, SUGGESTIVE = 5e-8, 1e-5
QQ_POINTS = 60
MANHATTAN_WINDOW = 3_000_000  # bases, of which the strongest variant is kept
MANHATTAN_TOP = 500  # variants, the strongest with p <= SUGGESTIVE, that are kept beside
SUMMARY = [
    *("setting", "control", "tissue_id", "size", "encoder", "aggregation", "weights", "scope", "half", "trait", "kind"),
    *("share", "features", "n", "dof", "adjusted_for", "min_mac", "min_maf", "genes", "tests", "family_tests"),
    *("permutations", "alpha", "threshold_p", "hits", "hits_5e8", "hits_suggestive", "leads"),
    *("best_variant", "best_p", "best_p_family"),
    *("lambda_gc", "lambda_low", "lambda_high", "gate", "detectable_r2", "detectable_r2_5e8"),
]
QQ = ["setting", "control", "half", "trait", "rank", "expected_nlog10p", "observed_nlog10p"]
MANHATTAN = ["setting", "half", "test", "variant", "chrom", "pos", "place", "nlog10p"]
COUNTS = ["setting", "half", "status", "variants"]


@dataclass(frozen=True)
class Part:
    """What was tested in some of the donors.

    half: '' for all donors, A or B for the half that was tested. genes: (T + 1,) genes whose neighbourhood is tested
    with each trait, NaN where the whole genome is. embedding: of each tally, (V,) p of the embedding, NaN where it was
    not tested. limits: lambda's (hx_qtl_null), NaN where it is not judged.
    """

    setting: str
    half: str
    columns: Columns
    traits: Traits
    scanned: Scanned
    embedding: list[np.ndarray]
    family: Family
    genes: np.ndarray
    limits: tuple[float, float]
    alpha: float

    @property
    def table(self) -> PTable:
        return self.family.table

    def names(self) -> list[tuple[str, str, float]]:
        """(name, kind, share of the embedding's variance) of the traits and, where there is one, the embedding."""
        own = list(zip(self.columns.name, self.columns.kind, self.columns.share, strict=True))
        return own + [(EMBEDDING, EMBEDDING, np.nan)] * bool(self.traits.root.shape[1])


def summary_rows(part: Part, place: int, variants: pd.DataFrame, told: dict[str, object]) -> list[dict]:
    """A row a trait of a tally, by its place; told: what they have in common."""
    family, rows, tally, of_embedding = part.family, [], part.scanned.tallies[place], part.embedding[place]
    lambdas, by_trait = tally.lambdas(part.table), tally.strong_by_trait()
    for column, (name, kind, share) in enumerate(part.names()):
        if kind == EMBEDDING:
            p = of_embedding[~np.isnan(of_embedding)]
            adjusted = family.p_embedding(p)
            value = lambda_gc(float(np.median(p))) if len(p) else np.nan
            best = int(np.nanargmin(of_embedding)) if len(p) else -1
            best_p, best_family = (of_embedding[best], adjusted.min()) if len(p) else (np.nan, np.nan)
        else:
            chosen = by_trait[column]
            p, adjusted, value = part.table.p(chosen.r), family.p_traits(chosen.r), lambdas[column]
            best, r = int(tally.best.row[column]), tally.best.r[column : column + 1]
            best_p, best_family = float(part.table.p(r)[0]), float(family.p_traits(r)[0])
        threshold = family.threshold(part.alpha, kind == EMBEDDING)
        row = {"half": part.half, "trait": name, "kind": kind, "share": share, "n": len(part.traits.normal.unit)}
        row |= {"dof": part.traits.normal.dof, "genes": part.genes[column], "tests": int(family.tests[column])}
        row |= {"family_tests": int(family.tests.sum()), "permutations": len(family.null), "alpha": part.alpha}
        row |= {"threshold_p": threshold, "hits": int((adjusted <= part.alpha).sum())}
        row |= {"hits_5e8": int((p <= GENOME_WIDE).sum()), "hits_suggestive": int((p <= SUGGESTIVE).sum())}
        row |= {"lambda_gc": value, "lambda_low": part.limits[0], "lambda_high": part.limits[1]}
        row["gate"] = gate(value, *part.limits)
        if best >= 0:
            row |= {"best_variant": variants["id"].iloc[best], "best_p": best_p, "best_p_family": best_family}
        if kind != EMBEDDING and threshold > 0:
            row["detectable_r2"] = detectable(threshold, part.traits.normal.dof) ** 2
            row["detectable_r2_5e8"] = detectable(GENOME_WIDE, part.traits.normal.dof) ** 2
        rows.append(told | row)
    return rows


def qq_rows(part: Part, place: int, control: str) -> pd.DataFrame:
    """Points of each trait at up to 60 log-spaced ranks; expected p of rank k of m tests is (k - .5) / m."""
    tally, rows = part.scanned.tallies[place], []
    by_trait, of_embedding = tally.strong_by_trait(), np.sort(part.embedding[place])  # NaN last
    for column, (name, kind, _) in enumerate(part.names()):
        tests = int(tally.tests[column])
        if not tests:
            continue
        rank = np.unique(np.round(np.geomspace(1, tests, QQ_POINTS)).astype(np.int64))
        if kind == EMBEDDING:
            observed = -np.log10(of_embedding[rank - 1])
        else:
            largest = np.sort(np.abs(by_trait[column].r))[::-1]
            r = upper_quantile(tally.histogram[column], rank)
            r[rank <= len(largest)] = largest[rank[rank <= len(largest)] - 1]
            observed = part.table.nlog10p(r)
        head = {"setting": part.setting, "control": control, "half": part.half, "trait": name, "rank": rank}
        head |= {"expected_nlog10p": -np.log10((rank - 0.5) / tests), "observed_nlog10p": np.round(observed, 4)}
        rows.append(pd.DataFrame(head))
    return pd.concat(rows)[QQ] if rows else pd.DataFrame(columns=QQ)


def manhattan_rows(part: Part, variants: pd.DataFrame) -> pd.DataFrame:
    """The strongest variant of each MANHATTAN_WINDOW, and the strongest below SUGGESTIVE: by their best trait (`test`
    trait), and by the embedding. `place`: millions of bases along the chromosomes."""
    chrom, pos = variants["chrom"].to_numpy(), variants["pos"].to_numpy(np.int64)
    start, ends = {}, 0
    for name in dict.fromkeys(chrom):
        start[name] = ends
        ends += int(pos[chrom == name].max())
    offset = np.array([start[name] for name in chrom], dtype=np.int64)
    rows, tally = [], part.scanned.tallies[0]
    for test, values in (("trait", part.table.nlog10p(np.nan_to_num(tally.largest))), (EMBEDDING, None)):
        if values is None:
            values = -np.log10(part.embedding[0])
        else:
            values[np.isnan(tally.largest)] = np.nan
        tested = np.flatnonzero(~np.isnan(values))
        ordered = tested[np.argsort(-values[tested], kind="stable")]
        window = (offset[ordered] + pos[ordered]) // MANHATTAN_WINDOW
        first = ordered[np.unique(window, return_index=True)[1]]
        top = ordered[:MANHATTAN_TOP]
        shown = np.union1d(first, top[values[top] >= -np.log10(SUGGESTIVE)])
        head = {"setting": part.setting, "half": part.half, "test": test, "variant": variants["id"].to_numpy()[shown]}
        head |= {"chrom": chrom[shown], "pos": pos[shown], "place": np.round((offset + pos)[shown] / 1e6, 3)}
        rows.append(pd.DataFrame(head | {"nlog10p": np.round(values[shown], 4)}))
    return pd.concat(rows)[MANHATTAN]


def count_rows(part: Part) -> pd.DataFrame:
    """Variants by status."""
    number = np.bincount(part.scanned.status, minlength=len(STATUS))
    rows = [(part.setting, part.half, told, number[code]) for code, told in STATUS.items()]
    return pd.DataFrame(rows, columns=COUNTS)
