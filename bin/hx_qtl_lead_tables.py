#!/usr/bin/env python3
"""Tables of the leads of a scan of genotypes, and of the variants around them. None holds an individual."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from hx_fdr import bh
from hx_linear import r2_of_rows
from hx_qtl import KEPT_P, TESTED, Imputed
from hx_qtl_leads import (
    NEAR,
    carriers,
    clump,
    effects,
    embedding_effects,
    embedding_log_p_without,
    log_p_without,
)
from hx_qtl_tables import GENOME_WIDE, SUGGESTIVE, Part
from hx_qtl_traits import EMBEDDING

CANDIDATES = 5000  # tests, significant or with p <= SUGGESTIVE, the strongest, that are looked into
MOST_LEADS = 100
MOST_LOCI = 10  # leads, the strongest, whose neighbourhood is written
REACH = 500_000  # bases on each side of a lead
LOCUS_TOP, LOCUS_POINTS = 100, 300  # variants of a neighbourhood: the strongest, and in all
LEADS = [
    *("setting", "half", "trait", "kind", "locus", "variant", "chrom", "pos", "ref", "alt", "n", "dof"),
    *("alt_frequency", "mac", "carriers", "missing", "variants", "beta", "se", "r2", "p", "nlog10p", "q"),
    *("p_family", "significant", "p_5e8", "p_leave_one_out"),
]
LOCUS = ["setting", "half", "trait", "lead", "variant", "chrom", "pos", "nlog10p", "r2"]
Fetch = Callable[[np.ndarray], Imputed]  # genotypes of the variants at some places, ascending


def candidates(part: Part) -> pd.DataFrame:
    """Tests that are significant or have p <= SUGGESTIVE, strongest first: variant, column (of the traits; their number
    is the embedding), p, p_family, q.

    q is Benjamini-Hochberg over all tests of the part; too large where more than a fiftieth of many tests is
    significant, for p above hx_qtl.KEPT_P is not there.
    """
    strong, of_embedding = part.scanned.tallies[0].strong, part.embedding[0]
    with_family = part.family.p_embedding(of_embedding)
    index = np.flatnonzero((of_embedding <= KEPT_P) | (with_family <= part.alpha))
    table = pd.DataFrame(
        {
            "variant": np.concatenate([strong.row, index]),
            "column": np.concatenate([strong.column, np.full(len(index), len(part.columns.name))]),
            "p": np.concatenate([part.table.p(strong.r), of_embedding[index]]),
            "p_family": np.concatenate([part.family.p_traits(strong.r), with_family[index]]),
        }
    )
    table["q"] = bh(table["p"].to_numpy(), tests=int(part.family.tests.sum()))
    shown = (table["p"] <= SUGGESTIVE) | (table["p_family"] <= part.alpha)
    table = table[shown].sort_values(["p", "column", "variant"], kind="stable")
    return table.head(CANDIDATES).reset_index(drop=True)


def lead_table(part: Part, variants: pd.DataFrame, fetch: Fetch) -> pd.DataFrame:
    """A row a lead: the strongest variant of a trait in its neighbourhood, of `candidates`, strongest first.

    beta, se: of the rank-normal trait a copy of `alt`; empty for the embedding. r2: share of the variance of the trait,
    or of the embedding, that covariates leave. p_leave_one_out: the largest p when a carrier of the rarer allele is
    left out, each in turn. variants: those that the lead stands for, itself included.
    """
    table = candidates(part)
    if not len(table):
        return pd.DataFrame(columns=LEADS)
    index = np.unique(table["variant"])
    block = fetch(index)
    place = np.searchsorted(index, table["variant"])
    chrom, pos = (variants[name].to_numpy()[table["variant"]] for name in ("chrom", "pos"))
    rows = []
    for column, own in table.groupby("column", sort=True):
        at = own.index.to_numpy()
        values = block.values[place[at]].astype(np.float64)
        for group in clump(-np.log10(own["p"].to_numpy()), chrom[at], pos[at], values):
            rows.append({"row": at[group[0]], "column": column, "variants": len(group)})
    leads = pd.DataFrame(rows).sort_values("row", ignore_index=True).head(MOST_LEADS)
    told = [_lead(part, variants, block, place[row.row], row.column, table.loc[row.row]) for row in leads.itertuples()]
    out = pd.DataFrame(told).assign(variants=leads["variants"])
    return out.assign(locus=loci(out["chrom"].to_numpy(), out["pos"].to_numpy()))[LEADS]


def _lead(part: Part, variants: pd.DataFrame, block: Imputed, place: int, column: int, test: pd.Series) -> dict:
    """Row of a lead, its numbers computed again in double precision."""
    name, kind, _ = part.names()[column]
    of, values = variants.iloc[int(test["variant"])], block.values[place].astype(np.float64)
    out = np.flatnonzero(carriers(Imputed(*(part_of[place : place + 1] for part_of in block)))[0])
    called, n = int(block.called[place]), len(values)
    row = {"setting": part.setting, "half": part.half, "trait": name, "kind": kind, "variant": of["id"]}
    row |= {name: of[name] for name in ("chrom", "pos", "ref", "alt")} | {"n": n, "dof": part.traits.normal.dof}
    row |= {"alt_frequency": block.copies[place] / (2 * called), "missing": n - called, "carriers": len(out)}
    row["mac"] = min(block.copies[place], 2 * called - block.copies[place])
    if kind == EMBEDDING:
        share, log_p = embedding_effects(values[None], part.traits)
        row |= {"beta": np.nan, "se": np.nan, "r2": share[0]}
        without = embedding_log_p_without(values, part.traits, out)
    else:
        of_trait = effects(values[None], part.traits, np.array([column]))
        row |= {"beta": of_trait.beta[0], "se": of_trait.se[0], "r2": of_trait.r[0] ** 2}
        log_p = of_trait.log_p
        without = log_p_without(values, part.traits.normal.unit[:, column], part.traits.space, out).max()
    row |= {"p": np.exp(log_p[0]), "nlog10p": -log_p[0] / np.log(10), "q": test["q"], "p_family": test["p_family"]}
    row["significant"] = "yes" if test["p_family"] <= part.alpha else "no"
    return row | {"p_5e8": "yes" if row["p"] <= GENOME_WIDE else "no", "p_leave_one_out": np.exp(without)}


def loci(chrom: np.ndarray, pos: np.ndarray) -> np.ndarray:
    """(leads,) number of the place of each lead, strongest first: leads of several traits within NEAR share one."""
    first: list[int] = []
    out = np.zeros(len(pos), int)
    for k in range(len(pos)):
        same = [j for j in first if chrom[j] == chrom[k] and abs(int(pos[j]) - int(pos[k])) <= NEAR]
        out[k] = out[same[0]] if same else len(first) + 1
        first += [] if same else [k]
    return out


def locus_table(part: Part, leads: pd.DataFrame, variants: pd.DataFrame, fetch: Fetch) -> pd.DataFrame:
    """Tested variants within REACH of each of the MOST_LOCI strongest leads: p with the lead's trait, r2 with the lead.

    Of many, the LOCUS_TOP strongest and others evenly spread, LOCUS_POINTS in all.
    """
    names, tables = [name for name, _, _ in part.names()], []
    tested = part.scanned.status == TESTED
    for lead in leads.drop_duplicates("locus").head(MOST_LOCI).itertuples():
        near = (variants["chrom"] == lead.chrom) & ((variants["pos"] - lead.pos).abs() <= REACH)
        index = np.flatnonzero(near.to_numpy() & tested)
        values = fetch(index).values.astype(np.float64)
        column = names.index(lead.trait)
        if lead.kind == EMBEDDING:
            log_p = embedding_effects(values, part.traits)[1]
        else:
            log_p = effects(values, part.traits, np.full(len(index), column)).log_p
        own = int(np.flatnonzero(variants["id"].to_numpy()[index] == lead.variant)[0])
        r2 = r2_of_rows(values, values[own])
        shown = _thinned(log_p)
        of = variants.iloc[index[shown]]
        head = {"setting": part.setting, "half": part.half, "trait": lead.trait, "lead": lead.variant}
        head |= {"variant": of["id"].to_numpy(), "chrom": lead.chrom, "pos": of["pos"].to_numpy()}
        head |= {"nlog10p": np.round(-log_p[shown] / np.log(10), 4), "r2": np.round(r2[shown], 4)}
        tables.append(pd.DataFrame(head))
    return pd.concat(tables)[LOCUS] if tables else pd.DataFrame(columns=LOCUS)


def _thinned(log_p: np.ndarray) -> np.ndarray:
    """Places, ascending, of the variants that are written."""
    order = np.argsort(log_p, kind="stable")
    rest = np.sort(order[LOCUS_TOP:])
    more = min(len(rest), LOCUS_POINTS - LOCUS_TOP)
    spread = rest[np.linspace(0, len(rest) - 1, more).astype(int)] if more else rest[:0]
    return np.union1d(order[:LOCUS_TOP], spread)
