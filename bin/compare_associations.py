#!/usr/bin/env python3
"""Do the associations of one tissue, patch size or cohort hold in another?

Sides are <tissue_id>.<size> with features, expression, model and associations. For every ordered pair of sides that
--across asks for, and every encoder (of the same weights) and aggregation that both have, the strongest hits of the
first are looked up in the second, with the second's donors and covariates: share of true ones (pi1), signs, replicated.
Beside that, how far the genes that both found agree, and how far chance would make them.
"""

import sys
from collections.abc import Iterator
from functools import cached_property
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_cli import DataError, command, log, parser, preview
from hx_donors import Side, common_donors, feature_settings, read_annotated, read_design, side_of, usable
from hx_io import write_tsv
from hx_linear import paired_correlations, standardise
from hx_overlap import OVERLAP, gene_agreement
from hx_pvalue import PTable, detectable_r
from hx_results import association_rows, prefixes, result_file
from hx_sharing import REPLICATED, sharing

STRONGEST = 10_000  # hits of a setting that are looked up
ACROSS = {"tissues": ("size",), "sizes": ("tissue_id",), "cohorts": ("tissue_id", "size")}
COLUMNS = [
    *("across", "encoder", "aggregation", "found_in", "looked_up_in", "shared_donors", "n", "dof", "hits", "pairs"),
    *("detectable_r", "pi1", "same_sign", "sign_p", "replicated"),
    *(f"genes_{name}" for name in OVERLAP),
]


class Place:
    """One <tissue_id>.<size> of a cohort, read when asked for. Files lie below `folder`, as their stages name them."""

    def __init__(self, folder: Path, cohort: str, name: str):
        self.cohort, self.name = cohort, name
        self.tissue_id, self.size = name.rsplit(".", 1)
        self._folder = folder

    @property
    def label(self) -> str:
        return f"{self.cohort}:{self.name}" if self.cohort else self.name

    @cached_property
    def features(self) -> AnnData:
        return read_annotated(result_file(self._folder, f"{self.name}.h5ad"))

    @cached_property
    def _side(self) -> Side:
        path = result_file(self._folder, f"{self.tissue_id}.expression.h5ad")
        designs = sorted(self._folder.rglob(f"{self.name}.design.tsv"))
        expression, design = read_annotated(path), read_design(designs[0] if designs else None)
        donors = common_donors(self.features, expression, (f"{self.name}.h5ad", path.name), design)
        return side_of(expression, donors, design, (path.name, self.label))[0]

    @property
    def donors(self) -> np.ndarray:
        return self._side.donors

    def weights(self) -> dict[str, str]:
        """{encoder: SHA-256 of its weights}, by name; features of other weights are other features."""
        var = self.features.var.drop_duplicates("encoder").sort_values("encoder")
        return dict(zip(var["encoder"].astype(str), var["weights_sha256"].astype(str), strict=True))

    def hits(self) -> pd.DataFrame:
        """Strongest hits of every setting: setting, feature, gene, r."""
        columns = ["setting", "feature", "gene", "r", "q_tree"]
        table = association_rows(self._folder, self.name, "associations", columns)
        table = table[table["q_tree"].notna()].astype({"setting": str, "feature": str, "gene": str})
        order = table["r"].abs().mul(-1)
        return table.assign(_order=order).sort_values(["_order", "feature", "gene"]).drop(columns=["_order", "q_tree"])

    @cached_property
    def gene_q(self) -> pd.DataFrame:
        """q of each gene (index), a column a setting; NaN where it was not tested."""
        table = association_rows(self._folder, self.name, "association_genes", ["setting", "gene", "gene_q"])
        return table.astype({"setting": str, "gene": str}).pivot(index="gene", columns="setting", values="gene_q")

    def look_up(self, encoder: str, aggregation: str, hits: pd.DataFrame) -> tuple[pd.DataFrame, int, int] | None:
        """Hits with a feature and gene here, their r and p here as r_there, p_there; n; dof. None: no such setting."""
        side = self._side
        if aggregation not in ("mean", "given", *self.features.layers):
            return None
        parts = feature_settings(self.features, side.donors, self.size, [aggregation], self.name)
        part = next((part for part in parts if part.encoder == encoder), None)
        if part is None:
            return None
        keep, _, _ = usable(part.values, part.name, "feature", self.name, side.space)
        where = [
            pd.Index(names).get_indexer(hits[c]) for names, c in ((part.name[keep], "feature"), (side.genes.id, "gene"))
        ]
        known = (where[0] >= 0) & (where[1] >= 0)
        feature, gene = where[0][known], where[1][known]
        hits, order = hits[known], np.argsort(feature, kind="stable")
        image = standardise(part.values[:, keep], side.space)
        r = np.empty(len(order))
        r[order] = paired_correlations(image.unit, side.genes.normal.unit, feature[order], gene[order])
        return hits.assign(r_there=r, p_there=PTable(image.dof).p(r)), len(side.donors), image.dof


def sides_of(folder: Path, cohort: str) -> list[Place]:
    """Sides whose associations lie below a folder, by name."""
    return [Place(folder, cohort, name) for name in prefixes(folder)]


def genes_in_common(one: Place, other: Place, encoder: str, aggregation: str, alpha: float) -> dict[str, float | int]:
    """`gene_agreement` of the genes found by a setting of both; {} where the other has none."""
    settings = [f"{place.name}.{encoder}.{aggregation}" for place in (one, other)]
    if settings[1] not in other.gene_q:
        return {}
    both = pd.concat([place.gene_q[name] for place, name in zip((one, other), settings, strict=True)], axis=1)
    q = both.to_numpy().T
    return {f"genes_{name}": value for name, value in gene_agreement(tuple(~np.isnan(q)), tuple(q <= alpha)).items()}


def pairs_of(here: list[Place], there: list[Place] | None, across: str) -> Iterator[tuple[Place, Place]]:
    """Ordered pairs that are alike in all that --across does not vary."""
    same = ACROSS[across]
    everything = (
        permutations(here, 2) if there is None else ((a, b) for x in here for y in there for a, b in ((x, y), (y, x)))
    )
    for one, other in everything:
        if all(getattr(one, name) == getattr(other, name) for name in same):
            yield one, other


def compared(one: Place, other: Place, across: str, alpha: float) -> Iterator[dict]:
    """A row (COLUMNS) for each setting of `one` that `other` has too, made by the same weights."""
    hits = one.hits()
    shared = len(set(one.donors) & set(other.donors))
    theirs = other.weights()
    for encoder, weights in one.weights().items():
        if theirs.get(encoder) != weights:
            continue
        settings = sorted({name for name in hits["setting"] if name.startswith(f"{one.name}.{encoder}.")})
        for setting in settings:
            mine = hits[hits["setting"] == setting]
            aggregation = setting.rsplit(".", 1)[1]
            found = other.look_up(encoder, aggregation, mine.head(STRONGEST))
            if found is None:
                continue
            table, n, dof = found
            yield {
                "across": across, "encoder": encoder, "aggregation": aggregation, "found_in": one.label,
                "looked_up_in": other.label, "shared_donors": shared, "n": n, "dof": dof, "hits": len(mine),
                "detectable_r": detectable_r(REPLICATED, dof),
                **sharing(table["r"].to_numpy(), table["r_there"].to_numpy(), table["p_there"].to_numpy()),
                **genes_in_common(one, other, encoder, aggregation, alpha),
            }  # fmt: skip


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--results", type=Path, required=True, help="folder with features, expression, models and associations")
    add("--replication", type=Path, help="the same of a second cohort, for --across cohorts")
    add("--across", choices=list(ACROSS), required=True, help="what the two sides of a comparison differ in")
    add("--alpha", type=float, default=0.05, help="largest q of a gene that is found")
    add("--out", type=Path, required=True, help="TSV, a row a setting and ordered pair of sides")
    args = arguments.parse_args(argv)
    if (args.across == "cohorts") != bool(args.replication):
        arguments.error("--replication and --across cohorts belong together")
    here = sides_of(args.results, "this" if args.replication else "")
    there = sides_of(args.replication, "replication") if args.replication else None
    rows, twice = [], {}
    for one, other in pairs_of(here, there, args.across):
        if there is not None and (both := sorted(set(one.donors) & set(other.donors))):
            twice[one.name] = both
            continue
        rows += compared(one, other, args.across, args.alpha)
    if twice:
        raise DataError(
            *(
                f"{name}: {len(both)} donors are in both cohorts ({preview(both, 5)}), they replicate themselves: "
                "leave them out of one run (--exclude)"
                for name, both in sorted(twice.items())
            )
        )
    write_tsv(pd.DataFrame(rows, columns=COLUMNS), args.out)
    log.info("%d comparisons across %s", len(rows), args.across)


if __name__ == "__main__":
    sys.exit(main())
