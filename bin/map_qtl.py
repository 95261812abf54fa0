#!/usr/bin/env python3
"""Look for variants of the genome that go with what images show: features of one tissue against genotypes.

Traits are the leading principal components of the declared setting's features given the covariates, features named by
--qtl-features, and the embedding: all features of the setting at once, one variance-component test a variant. Each is
transformed by ranks first; covariates and genotype components are then in the model on both sides. Every variant of
--genotypes with --min-mac and --min-maf in the donors tested is tested with every trait. Its p_family says how often
the strongest of all these tests would be as strong by chance: by traits permuted together (--permutations), else by the
number of tests. --scope cis tests variants within 1 Mb of genes that go with the trait in the other half of the donors;
published, as the 2017 study did, within 50 bases of genes found in the same donors. lambda out of its limits says that
p values are not to be trusted. The control permute_genotypes gives the genotypes to the wrong donors. No table holds a
donor's genotype or trait.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_arguments import add_design, add_features, add_limits, bad_limits
from hx_cli import DataError, comma_list, command, log, parser, preview, primary_setting
from hx_controls import CONTROLS
from hx_donors import (
    Features,
    adjusted_for,
    aggregated,
    feature_settings,
    is_primary,
    named_generator,
    read_annotated,
    read_design,
    space_of,
    usable,
)
from hx_genotypes import blocks, read_genotypes
from hx_io import write_tsv
from hx_join import dropped_table
from hx_linear import ResidualSpace, residual_space
from hx_positions import positions_beside
from hx_pvalue import PTable
from hx_qtl import Imputed, Limits, imputed, scan_genotypes
from hx_qtl_donors import genotyped_donors, too_small, with_components
from hx_qtl_lead_tables import LEADS, LOCUS, lead_table, locus_table
from hx_qtl_null import Family, LambdaNull, MaxNull
from hx_qtl_scope import CIS, GENOME, SCOPES, GeneScope, split
from hx_qtl_tables import COUNTS, MANHATTAN, QQ, SUMMARY, Part, count_rows, manhattan_rows, qq_rows, summary_rows
from hx_qtl_traits import Columns, Traits, carrying, columns_of, traits_of

STAGE = "map_qtl"
PERMUTE_GENOTYPES = "permute_genotypes"
TABLES = {
    "qtl_summary": SUMMARY, "qtl_leads": LEADS, "qtl_locus": LOCUS, "qtl_qq": QQ, "qtl_manhattan": MANHATTAN,
    "qtl_variants": COUNTS,
}  # fmt: skip


class MapQtl:
    """Works through the declared setting of a tissue and patch size; `run` fills the tables."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.tissue, self.size = args.setting_prefix.rsplit(".", 1)
        self.features, self.genotypes = read_annotated(args.features), read_genotypes(args.genotypes)
        self.tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
        self.dropped: list[tuple] = []
        self.scope = None
        if args.scope != GENOME:
            positions = positions_beside(args.positions, self.genotypes)
            expression = read_annotated(args.expression), args.expression.name
            self.scope = GeneScope(args.scope, *expression, positions, self.genotypes.variants, args.alpha)

    def run(self) -> None:
        args, given = self.args, read_design(self.args.design)
        donors, self.dropped = genotyped_donors(self.features, given, self.genotypes, args.features.name, args.design)
        if reason := too_small(len(donors), 0, "features and genotypes"):
            return self._not_mapped(reason)
        self.design = with_components(given, self.genotypes, donors)
        space = residual_space(None if self.design is None else self.design.loc[donors].to_numpy(), len(donors))
        if reason := too_small(len(donors), space.covariate_rank, "features and genotypes"):
            return self._not_mapped(reason)
        aggregation = args.primary.split(",")[2]
        wanted = feature_settings(self.features, donors, self.size, [aggregation], args.features.name)
        parts = [part for part in wanted if is_primary(part, self.size, args.primary)]
        if not parts:
            log.warning("%s: not the primary setting %s: nothing is mapped", args.setting_prefix, args.primary)
        for part in parts:
            self._setting(part, donors, space)

    def _not_mapped(self, reason: str) -> None:
        log.warning("%s: %s: nothing is mapped", self.args.setting_prefix, reason)
        self.dropped.append((self.args.setting_prefix, "size", f"not mapped: {reason}"))

    def _setting(self, part: Features, donors: np.ndarray, space: ResidualSpace) -> None:
        """Test the traits of a setting in all donors, or in each half near genes of the other."""
        args = self.args
        setting = f"{args.setting_prefix}.{part.encoder}.{part.aggregation}"
        told = {"setting": setting, "tissue_id": self.tissue, "size": self.size, "encoder": part.encoder}
        told |= {"aggregation": part.aggregation, "weights": self.features.uns["encoders"][part.encoder]["weights"]}
        halves = [("", np.ones(len(donors), bool), np.ones(len(donors), bool))]
        if args.scope == CIS:
            first = split(named_generator(args.seed, f"{setting}.halves"), len(donors))
            halves = [("A", first, ~first), ("B", ~first, first)]
        if self.scope:
            halves = [(half, tested, other & self.scope.expressed(donors)) for half, tested, other in halves]
        for _, tested, other in halves:
            reason = too_small(tested.sum(), space.covariate_rank, "genotypes in a half of them")
            if reason := reason or too_small(other.sum(), space.covariate_rank, "expression to find genes by"):
                return self._not_mapped(reason)
        # All donors, and their halves where there are any.
        rows = [np.ones(len(donors), bool), *(tested for _, tested, _ in halves if not tested.all())]
        spaces = [space, *(space_of(self.design, donors[own], setting) for own in rows[1:])]
        embedding = part.values[:, self._usable(part.name, part.values, rows, spaces, setting)]
        named = named_features(self.features, args.qtl_features, donors, part.aggregation, args.features.name)
        names = np.array(args.qtl_features, dtype=object)
        keep = self._usable(names, named, rows, spaces, setting)
        columns = columns_of(embedding, space, args.qtl_pcs if embedding.shape[1] else 0, named[:, keep], names[keep])
        if not len(columns.name):
            return self._not_mapped("no feature varies")
        for (half, tested, other), own in zip(halves, spaces[-len(halves) :], strict=True):
            within = None
            if self.scope:
                chosen = columns._replace(values=columns.values[other])
                theirs = space_of(self.design, donors[other], setting)
                within = self.scope.tests(chosen, embedding[other], donors[other], theirs)
            traits = traits_of(columns.values[tested], embedding[tested], own)
            self._tested(half, columns, traits, donors[tested], within, told | {"features": embedding.shape[1]})

    def _usable(
        self, names: np.ndarray, values: np.ndarray, rows: list[np.ndarray], spaces: list[ResidualSpace], setting: str
    ) -> np.ndarray:
        """(columns,) bool: the column carries something in all donors and in each part of them; others are listed."""
        keep, lost, _ = usable(values, names, "feature", setting, spaces[0])
        self.dropped += lost
        for own, space in zip(rows, spaces, strict=True):
            carries = keep.copy()
            carries[keep] = carrying(values[np.ix_(own, keep)], space)
            reason = f"constant, or spanned by the covariates, in {own.sum()} donors of {setting}"
            self.dropped += [(name, "feature", reason) for name in names[keep & ~carries]]
            keep = carries
        return keep

    def _tested(
        self, half: str, columns: Columns, traits: Traits, donors: np.ndarray, within: tuple | None, told: dict
    ) -> None:
        """Scan the genotypes of some donors, all or `within` (which tests, genes of each trait); fill the tables."""
        args, panel, table = self.args, traits.panel(), PTable(traits.normal.dof)
        name, unit = f"{told['setting']}.{half}", traits.normal.unit
        allowed, genes = within or (None, np.full(len(columns.name) + 1, np.nan))
        nulls = []
        if args.scope == GENOME:
            generator = named_generator(args.seed, f"{name}.lambda")
            nulls.append(LambdaNull(traits.space, unit[:, 0], generator, len(self.genotypes.variants)))
        if args.permutations:
            generator = named_generator(args.seed, f"{name}.maximum")
            nulls.append(MaxNull(traits.space, unit, generator, args.permutations))
        panels = {"none": panel}
        if PERMUTE_GENOTYPES in args.controls:
            order = named_generator(args.seed, f"{name}.{PERMUTE_GENOTYPES}").permutation(len(donors))
            panels[PERMUTE_GENOTYPES] = panel.permuted(order)
        variants, limits = self.genotypes.variants, Limits(args.min_mac, args.min_maf)
        rows = blocks(self.genotypes, donors, keep=None if allowed is None else allowed.any(axis=1))
        scanned = scan_genotypes(rows, len(variants), list(panels.values()), limits, nulls, allowed, args.threads)
        embedding = [np.exp(traits.embedding_log_p(tally.ratio)) for tally in scanned.tallies]
        tests = scanned.tallies[0].tests
        null = nulls[-1].values() if args.permutations else np.empty(0)
        family = Family(tests, null, 2 if args.scope == CIS else 1, table)
        judged = args.scope == GENOME and tests.any()
        spread = nulls[0].limits(table, np.count_nonzero(tests)) if judged else (np.nan, np.nan)
        part = Part(told["setting"], half, columns, traits, scanned, embedding, family, genes, spread, args.alpha)
        told = told | {"scope": args.scope, "min_mac": args.min_mac, "min_maf": args.min_maf}
        self._fill(part, list(panels), donors, told | {"adjusted_for": adjusted_for(self.design)})

    def _fill(self, part: Part, controls: list[str], donors: np.ndarray, told: dict[str, object]) -> None:
        """Rows of every table."""
        variants = self.genotypes.variants

        def fetch(index: np.ndarray) -> Imputed:
            keep = np.zeros(len(variants), bool)
            keep[index] = True
            return imputed(np.vstack([dosage for _, dosage in blocks(self.genotypes, donors, keep=keep)]))

        leads = lead_table(part, variants, fetch)
        for place, control in enumerate(controls):
            rows = pd.DataFrame(summary_rows(part, place, variants, told | {"control": control}))
            if control == "none":
                significant = leads[leads["significant"] == "yes"]["trait"].value_counts()
                rows["leads"] = rows["trait"].map(significant).fillna(0).astype(int)
            self.tables["qtl_summary"].append(rows)
            self.tables["qtl_qq"].append(qq_rows(part, place, control))
            told_by_trait = ", ".join(f"{row.trait} {row.hits}" for row in rows.itertuples())
            log.info("%s %s, control %s: hits: %s", part.setting, part.half, control, told_by_trait)
        self.tables["qtl_leads"].append(leads)
        self.tables["qtl_locus"].append(locus_table(part, leads, variants, fetch))
        self.tables["qtl_manhattan"].append(manhattan_rows(part, variants))
        self.tables["qtl_variants"].append(count_rows(part))


def named_features(features: AnnData, names: list[str], donors: np.ndarray, aggregation: str, file: str) -> np.ndarray:
    """(donors, names) values of features of any encoder. DataError: a name that the file does not have."""
    if unknown := sorted(set(names) - set(features.var_names)):
        raise DataError(
            f"{file}: no feature {preview(unknown)}: --qtl-features names features of the primary patch size"
        )
    return aggregated(features[donors, names], aggregation)


def qtl_controls(text: str) -> list[str]:
    """Comma-separated controls of the run, of which permute_genotypes concerns this command (argparse type)."""
    names = comma_list(text)
    if unknown := sorted(set(names) - {"none", PERMUTE_GENOTYPES, *CONTROLS}):
        raise argparse.ArgumentTypeError(f"{preview(unknown)}: choose from none, {PERMUTE_GENOTYPES}")
    return names


def run(args: argparse.Namespace) -> None:
    """Read, scan, write."""
    work, out = MapQtl(args), f"{args.outdir}/{args.setting_prefix}"
    work.run()
    for name, columns in TABLES.items():
        found = [table for table in work.tables[name] if len(table)]
        table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
        write_tsv(table.reindex(columns=columns), f"{out}.{name}.tsv")
    write_tsv(dropped_table(work.dropped, STAGE), f"{out}.{STAGE}.dropped.tsv")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_features(arguments)
    add_design(arguments)
    add("--genotypes", type=Path, required=True, help="genotypes.h5 of prepare_genotypes.py")
    add("--primary", type=primary_setting, required=True, help="size,encoder,aggregation of the declared analysis")
    add("--qtl-pcs", type=int, default=10, help="leading components of the embedding that are traits, at most 20")
    add("--qtl-features", type=comma_list, default="", help="features of the primary size that are traits as well")
    add_limits(arguments)
    told = "all variants; near genes of the other half of the donors; near genes of the same donors, as published"
    add("--scope", choices=SCOPES, default=GENOME, help=told)
    add("--positions", type=Path, help="gene positions (GTF, BED or TSV), for the scopes cis and published")
    add("--expression", type=Path, help="<tissue_id>.expression.h5ad, for the same")
    told = "of all traits together, for the family-wise p; 0: by the number of tests"
    add("--permutations", type=int, default=1000, help=told)
    add("--controls", type=qtl_controls, default=PERMUTE_GENOTYPES, help=f"{PERMUTE_GENOTYPES}, or none")
    add(
        "--alpha", type=float, default=0.05, help="largest family-wise p of a hit, and q of a gene near which is tested"
    )
    add("--seed", type=int, default=1, help="seed of permutations, halves and controls")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if not (0 < args.alpha < 1 and args.threads >= 1 and 0 <= args.qtl_pcs <= 20):
        arguments.error("--alpha lies between 0 and 1, --qtl-pcs between 0 and 20; --threads is at least 1")
    if wrong := bad_limits(args.min_mac, args.min_maf):
        arguments.error(wrong)
    if not (args.permutations == 0 or args.permutations >= 100):
        arguments.error("--permutations is 0 or at least 100")
    args.qtl_features = list(dict.fromkeys(args.qtl_features))
    if args.scope != GENOME and not (args.positions and args.expression):
        arguments.error(f"--scope {args.scope} needs --positions and --expression")
    for path in (args.design, args.positions, args.expression):
        if path and not path.is_file():
            arguments.error(f"{path}: no such file")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
