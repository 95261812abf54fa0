#!/usr/bin/env python3
"""Ask by genetic instruments whether a gene acts on an image feature, the feature on the gene, or neither on the other.

Each pair of traits (gene, feature, annotation) is looked at both ways. A gene's instruments are variants within 1 Mb of
its transcription start site, those of a feature or annotation variants of the whole genome at p <= 5e-8. Variants are
picked in nine tenths of the donors and used in the last tenth, ten times (cross-fitted): picked in the donors that are
then tested, variants that do nothing reject in half of all cases. p is Anderson and Rubin's test of no effect, q
Benjamini-Hochberg over the pairs of a direction. --summaries gives variant-trait associations of other studies, each
with a line that declares its donor_overlap with the cohort. Effects are standard deviations of the outcome a standard
deviation of the exposure, of rank-normal values given the covariates. The verdict names a direction where at least two
instruments agree and no assumption that can be tested failed; where there is no instrument it says so.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_arguments import add_design, add_limits, add_sides, bad_limits
from hx_causality import NO_INSTRUMENT, TESTED, Direction, cohort_direction, slope_p, verdict_of
from hx_causality_external import Outcome, cohort_outcome, external_direction, file_outcome, wanted
from hx_causality_frame import Frame, Given, Judged
from hx_causality_sources import EMPTY, REFUSED, USED, Source, of_trait, read_source
from hx_causality_tables import (
    ASSUMPTIONS,
    ESTIMATES,
    INSTRUMENTS,
    NOT_TESTED,
    OK,
    PAIRS,
    SOURCES,
    UNKNOWN_NAME,
    Side,
    assumption_rows,
    estimate_rows,
    instrument_rows,
    name_of,
    pair_row,
    source_row,
)
from hx_causality_traits import (
    ANNOTATION,
    GENE,
    Catalogue,
    Pair,
    Trait,
    Unknown,
    read_annotations,
    read_pairs,
    strongest_pairs,
    traits_of,
    with_values,
)
from hx_cli import command, log, parser, primary_setting
from hx_donors import (
    adjusted_for,
    common_donors,
    feature_settings,
    is_primary,
    named_generator,
    read_annotated,
    read_design,
    too_few,
)
from hx_fdr import bh
from hx_genotypes import read_genotypes
from hx_io import write_tsv
from hx_join import dropped_table
from hx_mr_crossfit import MOST_SIGNALS
from hx_positions import positions_beside
from hx_qtl import Limits
from hx_qtl_donors import PC_PREFIX, with_components

STAGE = "test_causality"
COHORT = "cohort"


class Causality:
    """Works through the pairs of a tissue and patch size; `run` fills the tables."""

    def __init__(self, args: argparse.Namespace, features: AnnData):
        self.args, self.features = args, features
        self.size = args.setting_prefix.rsplit(".", 1)[1]
        self.expression, names = read_annotated(args.expression), (args.features.name, args.expression.name)
        self.design = read_design(args.design)
        self.donors = common_donors(self.features, self.expression, names, self.design)
        self.genotypes = self.positions = None
        self.dropped: list[tuple] = []
        if args.genotypes:
            self.genotypes = read_genotypes(args.genotypes)
            known = np.isin(self.donors, self.genotypes.donors)
            reason = f"no genotypes in {args.genotypes.name}"
            self.dropped += [(donor, "donor", reason) for donor in self.donors[~known]]
            self.donors = self.donors[known]
            self.design = with_components(self.design, self.genotypes, self.donors)
        if args.positions and self.genotypes is not None:
            self.positions = positions_beside(args.positions, self.genotypes)
        self.pcs = self.design is not None and any(name.startswith(PC_PREFIX) for name in self.design)
        self.sources = [self._source(path) for path in sorted(args.summaries, key=lambda path: path.name)]
        self.setting, self.rows = args.setting_prefix, {name: [] for name in TABLES}
        self.pairs: dict[int, dict[str, object]] = {}

    def _source(self, path: Path) -> Source:
        source = read_source(path, self.donors)
        build = "unknown" if self.genotypes is None else self.genotypes.build
        if source.status == USED and "unknown" not in (source.build, build) and source.build != build:
            reason = f"positions of {source.build}, genotypes of {build}: give the file in {build}"
            source = source._replace(status=REFUSED, reason=reason, rows=EMPTY)
        if source.status != USED:
            log.warning("%s is not used: %s", path.name, source.reason)
            self.dropped.append((path.name, "summary", source.reason))
        return source

    def run(self) -> None:
        args, catalogue = self.args, self._catalogue()
        names = self._names()
        pairs = [Pair(*(catalogue.find(name) for name in pair)) for pair in names]
        log.info("%s: %d pairs of %d donors", self.setting, len(pairs), len(self.donors))
        limits = Limits(args.min_mac, args.min_maf)
        given = Given(self.donors, self.design, self.genotypes, self.positions, limits, args.seed, args.setting_prefix)
        groups: dict[bytes, list[int]] = {}
        for k, pair in enumerate(pairs):
            unknown = [trait for trait in pair if isinstance(trait, Unknown)]
            if unknown:
                self._told(k, pair, UNKNOWN_NAME, "; ".join(trait.reason for trait in unknown))
            elif pair.first[:2] == pair.second[:2]:
                self._told(k, pair, NOT_TESTED, "both names are those of one trait")
            else:
                groups.setdefault(np.packbits(with_values(pair)).tobytes(), []).append(k)
        judged: list[Judged] = []
        for members in groups.values():
            traits = {trait[:2]: trait for k in members for trait in pairs[k]}
            frame = Frame(given, with_values(pairs[members[0]]), list(traits.values()))
            for k in members:
                pair = pairs[k]
                lacking = [trait.name for trait in pair if trait[:2] not in frame.x]
                if frame.reason or lacking:
                    spanned = f"{' and '.join(lacking)}: constant, or spanned by the covariates"
                    self._told(k, pair, NOT_TESTED, frame.reason or spanned)
                    continue
                both = [self._directions(pair, frame, forward) for forward in (True, False)]
                judged.append(Judged(k, pair, frame, *both))
        self._judge(sorted(judged, key=lambda one: one.place))
        self.rows["causality_pairs"] = [row for _, row in sorted(self.pairs.items())]
        self.rows["causality_sources"] = [source_row(source) for source in self.sources]

    def _told(self, place: int, pair: Pair, status: str, reason: str) -> None:
        self.pairs[place] = pair_row(self.setting, pair, status=status, reason=reason)

    def _catalogue(self) -> Catalogue:
        args = self.args
        aggregation = "given" if self.size == "-" else args.primary.split(",")[2]
        wanted = feature_settings(self.features, self.donors, self.size, [aggregation], args.features.name)
        self.settings = [
            f"{args.setting_prefix}.{part.encoder}.{part.aggregation}"
            for part in wanted
            if is_primary(part, self.size, args.primary)
        ]
        self.setting = ";".join(self.settings) or args.setting_prefix
        traits = traits_of(self.expression, self.features, self.donors, aggregation)
        if args.annotations:
            traits[ANNOTATION] = read_annotations(args.annotations, self.donors)
        return Catalogue(traits)

    def _names(self) -> list[tuple[str, str]]:
        """Names of the pairs: those of --pairs, else the strongest of the associations."""
        args = self.args
        if args.pairs:
            return read_pairs(args.pairs)
        found = [strongest_pairs(args.associations, setting, args.alpha, args.top) for setting in self.settings]
        return [pair for part in found for pair in part]

    def _directions(self, pair: Pair, frame: Frame, forward: bool) -> list[Side]:
        """What every source says of one direction, the cohort first."""
        exposure, outcome = pair if forward else pair[::-1]
        name = name_of(pair, forward)
        x, y = (frame.x[trait[:2]] for trait in (exposure, outcome))
        if frame.variants is None:
            found = Direction(NO_INSTRUMENT, "no genotypes are given")
        else:
            gene = exposure.kind == GENE
            candidates = frame.variants.of_gene(exposure.name) if gene else frame.genome[exposure[:2]]
            found = cohort_direction(x, y, candidates, frame.folds, len(frame.donors), MOST_SIGNALS, self.pcs)
        sides = [Side(exposure, outcome, name, COHORT, "", found)]
        slope = float(x @ y) / float(x @ x)
        for source in self.sources:
            rows = of_trait(source, exposure.names)
            if len(rows):
                rows = wanted(rows)
                told = self._outcome(rows, outcome, y, frame)
                generator = named_generator(self.args.seed, f"{source.name}.{exposure.name}.{outcome.name}")
                found = Direction(NO_INSTRUMENT, f"{source.name}: neither genotypes nor a file has the outcome")
                if told is not None:
                    found = external_direction(source, rows, told, slope, generator)
                named = source.name if told is None or not told.name else f"{source.name}, outcome of {told.name}"
                sides.append(Side(exposure, outcome, name, named, source.overlap, found))
        return sides

    def _outcome(self, rows: pd.DataFrame, outcome: Trait, y: np.ndarray, frame: Frame) -> Outcome | None:
        """The outcome's associations with the variants of some rows: of the cohort, else of a summary file."""
        if frame.variants is not None:
            variants = self.genotypes.variants
            return cohort_outcome(rows, variants, frame.variants.load, y, len(frame.donors), self.pcs)
        for source in self.sources:
            own = of_trait(source, outcome.names)
            if len(own):
                return file_outcome(rows, own, source.name)
        return None

    def _judge(self, judged: list[Judged]) -> None:
        """q over the pairs of a direction and source, verdicts, rows of every table."""
        every = [side for one in judged for side in (*one.forward, *one.back) if side.found.status == TESTED]
        q: dict[int, float] = {}
        for key in {(side.name, side.source) for side in every}:
            family = [side for side in every if (side.name, side.source) == key]
            q |= zip(map(id, family), bh(np.array([side.found.p for side in family])), strict=True)
        variants = None if self.genotypes is None else self.genotypes.variants
        for one in judged:
            x, y = (one.frame.x[trait[:2]] for trait in one.pair)
            p, alpha, parts = slope_p(x, y), self.args.alpha, (one.forward, one.back)
            values = [[q.get(id(side), np.nan) for side in part] for part in parts]
            found = [[side.found for side in part] for part in parts]
            told = verdict_of((one.pair.first.kind, one.pair.second.kind), *found, values, p <= alpha, alpha)
            numbers = {"n": len(one.frame.donors), "r": float(x @ y) / len(x), "p": p, "alpha": alpha}
            numbers |= {"adjusted_for": adjusted_for(self.design), "status": OK, **told._asdict()}
            self.pairs[one.place] = pair_row(self.setting, one.pair, **numbers)
            for side in (*one.forward, *one.back):
                self.rows["causality_estimates"] += estimate_rows(self.setting, side, q.get(id(side), np.nan))
                self.rows["causality_assumptions"] += assumption_rows(self.setting, side)
                self.rows["causality_instruments"] += instrument_rows(self.setting, side, variants)


TABLES = {
    "causality_pairs": PAIRS, "causality_estimates": ESTIMATES, "causality_assumptions": ASSUMPTIONS,
    "causality_instruments": INSTRUMENTS, "causality_sources": SOURCES,
}  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Read, work through the pairs, write."""
    features, out = read_annotated(args.features), f"{args.outdir}/{args.setting_prefix}"
    rows, dropped = {name: [] for name in TABLES}, []
    if reason := too_few(features):
        log.warning("%s: %s: nothing is asked", args.features.name, reason)
        dropped.append((args.setting_prefix, "size", reason))
    else:
        work = Causality(args, features)
        work.run()
        rows, dropped = work.rows, work.dropped
    for name, columns in TABLES.items():
        write_tsv(pd.DataFrame(rows[name], columns=columns), f"{out}.{name}.tsv")
    write_tsv(dropped_table(dropped, STAGE), f"{out}.{STAGE}.dropped.tsv")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_sides(arguments, aggregations=False)
    add_design(arguments)
    add("--primary", type=primary_setting, required=True, help="size,encoder,aggregation of the declared analysis")
    add("--genotypes", type=Path, help="genotypes.h5 of prepare_genotypes.py")
    add("--positions", type=Path, help="gene positions (GTF, BED or TSV); without them genes have no instrument")
    add("--associations", type=Path, help="<prefix>.association_genes.parquet: its genes found are the pairs")
    add("--pairs", type=Path, help="table exposure,outcome: names of genes, features, annotations; instead of those")
    add("--summaries", type=Path, nargs="*", default=[], help="associations of other studies, see hx_causality_sources")
    add("--annotations", type=Path, help="<prefix>.label_values.tsv: its columns are traits for --pairs")
    add("--top", type=int, default=100, help="pairs taken from --associations, the strongest")
    add("--alpha", type=float, default=0.05, help="largest q of a finding, and of a gene of --associations")
    add_limits(arguments)
    add("--seed", type=int, default=1, help="seed of folds and of the bootstrap of weighted medians")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if not 0 < args.alpha < 1 or args.top < 1 or args.threads < 1:
        arguments.error("--alpha lies between 0 and 1; --top and --threads are at least 1")
    if wrong := bad_limits(args.min_mac, args.min_maf):
        arguments.error(wrong)
    if not (args.pairs or args.associations):
        arguments.error("--pairs or --associations is needed: which traits to look at")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
