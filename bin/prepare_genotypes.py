#!/usr/bin/env python3
"""Genotypes of the cohort's donors: checked, counted, without close relatives, in one file that is read in blocks.

Writes genotypes.h5 (hx_genotypes.py says what is in it), genotype_pcs.tsv, genotype_counts.tsv, genotype_relatives.tsv
and prepare_genotypes.dropped.tsv. VCF and BCF: copies of ALT by GT, where a row has none by DS. PLINK: copies of A1,
which is taken as `alt`; A2 is `ref`. Missing stays missing. Only autosomal variants of two alleles are kept.
"""

import argparse
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import hx_genotype_sites as quality
from hx_build import BUILDS, check_builds, chrom_rank, settle_build
from hx_cli import DataError, Faults, command, log, parser, preview
from hx_genotype_blocks import Store, read_blocks
from hx_genotype_files import Source, build_of_ids, match_donors, open_sources
from hx_genotypes import MIN_DONORS, VARIANT_COLUMNS, as_dosage, write_genotypes
from hx_io import read_names, write_tsv
from hx_join import dropped_table, gathered
from hx_kinship import DUPLICATE, ENOUGH, RELATIVES, close_pairs, genotype_pcs, king_robust, kinship_threshold
from hx_ld import long_range, prune, thinned
from hx_positions import read_positions

STAGE = "prepare_genotypes"
MAF = 0.05  # of SNPs that stand for ancestry and relatedness
_SIZE = 4096


@contextlib.contextmanager
def decoded(
    sources: Sequence[Source], places: Sequence[np.ndarray], counts: Counter, folder: Path, threads: int
) -> Iterator[Store]:
    """All variants of all files but rare ones in a temporary file below `folder`, sorted.

    Raises:
        DataError: faults of all files at once, or no variant.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".genotypes.", dir=folder) as scratch:
        store, faults = Store(Path(scratch) / "units", len(places[0])), Faults()
        for source, columns in zip(sources, places, strict=True):
            with gathered(faults):
                for block in read_blocks(source, columns, counts, threads):
                    store.add(quality.without_rare(block, counts))
        faults.stop()
        if not store.close():
            raise DataError(quality.none_left(counts))
        yield store


class Preparation:
    """Donors and variants that are left, step by step, and what was lost on the way."""

    def __init__(self, args: argparse.Namespace, store: Store, donors: list[str], build: str, counts: Counter) -> None:
        self.args, self.store, self.build, self.counts = args, store, build, counts
        self.names = np.array(donors, dtype=object)
        self.columns = np.arange(len(donors))
        self.lost: list[tuple[str, str, str]] = []
        self.call_rate = quality.donor_call_rate(store, len(donors))
        self.duplicate, counts["swapped_duplicate"] = quality.duplicates(store.variants)
        self.relatives = pd.DataFrame(columns=RELATIVES)

    @property
    def donors(self) -> np.ndarray:
        """Names of the donors that are left."""
        return self.names[self.columns]

    def drop_uncalled(self) -> None:
        """Leave out donors of a low call rate. DataError: nobody is left."""
        low = self.call_rate < quality.CALL_RATE
        for name, rate in zip(self.names[low], self.call_rate[low], strict=True):
            self.lost.append((name, "donor", f"call rate {rate:.3f} of the genotypes is below {quality.CALL_RATE}"))
        self.counts["donors_low_call_rate"] = int(low.sum())
        self.columns = np.flatnonzero(~low)
        if low.all():
            rates = preview(f"{name} {rate:.3f}" for name, rate in zip(self.names, self.call_rate, strict=True))
            raise DataError(f"genotypes: the call rate of all {len(low)} donors is below {quality.CALL_RATE}: {rates}")

    def count_sites(self) -> None:
        """Numbers of every variant over the donors that are left."""
        counted = quality.tally_all(self.store, self.columns)
        self.sites = quality.sites(self.store.variants, counted, len(self.columns), self.duplicate)

    def choose_snps(self) -> None:
        """SNPs for kinship and principal components."""
        table = self.sites
        snp = (table["ref"].str.len() == 1) & (table["alt"].str.len() == 1)
        common = np.minimum(table["alt_frequency"], 1 - table["alt_frequency"]) >= MAF
        pos, chrom = table["pos"].to_numpy(np.int64), chrom_rank(table["chrom"])
        good = (snp & common & (table["reason"] == 0)).to_numpy()
        linked = long_range(chrom, pos, self.build)
        self.counts["long_range_ld"] = int((good & linked).sum())
        candidates = thinned(np.flatnonzero(good & ~linked))
        with threadpool_limits(1):  # small products: waiting for one another costs more than a second thread gives
            self.snps = prune(candidates, chrom, pos, lambda rows: as_dosage(self.store.rows(rows, self.columns)))
        self.counts["pruned"] = len(self.snps)

    def drop_relatives(self) -> None:
        """Leave out one of each close pair."""
        threshold = kinship_threshold(len(self.snps))
        if threshold is None or threshold == DUPLICATE:
            told = "nothing is known of relatedness" if threshold is None else "only duplicates and twins are found"
            log.warning("%d SNPs are left after pruning, fewer than %d: %s", len(self.snps), ENOUGH, told)
        if threshold is None or len(self.columns) < 2:
            return
        kinship = king_robust(self.store.blocks(self.snps, self.columns, _SIZE), len(self.columns))
        donors = self.donors
        self.relatives, gone = close_pairs(kinship, donors, self.call_rate[self.columns], threshold)
        self.counts["close_pairs"] = len(self.relatives)
        self.counts["duplicate_pairs"] = int((self.relatives["kinship"] >= DUPLICATE).sum())
        self.counts["donors_related"] = len(gone)
        for name in donors[gone]:
            mine = self.relatives[(self.relatives["donor1"] == name) | (self.relatives["donor2"] == name)]
            others = [
                f"{b if a == name else a} ({kind}, kinship {value:.3f})"
                for a, b, value, kind in mine[["donor1", "donor2", "kinship", "relation"]].to_numpy()
            ]
            self.lost.append((name, "donor", f"genotypes of a close relative: {preview(others)}"))
        if len(self.relatives):
            log.warning("%d pairs of close relatives, %d donors left out", len(self.relatives), len(gone))
        self.columns = np.delete(self.columns, gone)
        if len(gone):
            self.count_sites()

    def pcs(self) -> np.ndarray:
        """(S, K) genotype principal components; K = 0 with fewer SNPs than ENOUGH."""
        if len(self.snps) < ENOUGH:
            log.warning("no genotype PCs: %d SNPs are left after pruning, fewer than %d", len(self.snps), ENOUGH)
            return np.zeros((len(self.columns), 0))
        blocks = (as_dosage(units) for units in self.store.blocks(self.snps, self.columns, _SIZE))
        return genotype_pcs(blocks, len(self.columns), self.args.pcs)

    def write(self) -> None:
        """Write all files."""
        counts, out, table = self.counts, self.args.outdir, self.sites
        kept = np.flatnonzero(table["reason"] == 0)
        for code, reason in enumerate(quality.REASONS, 1):
            counts[reason] += int((table["reason"] == code).sum())
        if len(kept) == 0:
            raise DataError(quality.none_left(counts))
        pcs, donors = self.pcs(), self.donors
        good = table.iloc[kept].reset_index(drop=True)
        common = (good["mac"] >= 20) & (good["mac"] >= 0.05 * 2 * (len(donors) - good["missing"]))
        counts.update(
            donors_kept=len(donors),
            kept=len(kept),
            missing=int(good["missing"].sum()),
            mac_20_maf_5=int(common.sum()),
            swapped_id=quality.swapped_ids(good),
            pcs=pcs.shape[1],
        )
        if len(donors) < MIN_DONORS:
            why = f"{len(donors)} donors have genotypes: MAP_QTL needs {MIN_DONORS} and will refuse them"
            log.warning(why)
            self.lost.append(("cohort", "donors", why))
        for reason in (*quality.LEFT_OUT, "swapped_id"):
            if counts[reason]:
                log.info("%d %s: %s", counts[reason], quality.ITEMS[reason][0], quality.ITEMS[reason][1])
        write_genotypes(
            out / "genotypes.h5",
            donors,
            good[VARIANT_COLUMNS],
            lambda first, last: self.store.rows(kept[first:last], self.columns),
            pcs,
            self.build,
            {item: int(counts[item]) for item in quality.ITEMS},
        )
        columns = {f"genotype_pc{k + 1}": pcs[:, k] for k in range(pcs.shape[1])}
        write_tsv(pd.DataFrame({"donor": donors, **columns}), out / "genotype_pcs.tsv")
        write_tsv(quality.counts_table(counts), out / "genotype_counts.tsv")
        write_tsv(self.relatives, out / "genotype_relatives.tsv")
        write_tsv(dropped_table(self.lost, STAGE), out / f"{STAGE}.dropped.tsv")
        log.info("%d variants of %d donors, build %s, %d PCs", len(kept), len(donors), self.build, pcs.shape[1])


def run(args: argparse.Namespace) -> None:
    """Read, check, write."""
    cohort = read_names(args.donors)
    if not cohort:
        raise DataError(f"{args.donors}: no donor in it: a donor a line is expected")
    sources = open_sources(args.genotypes)
    matched, places = match_donors(sources, cohort)
    evidence = {where: build for source in sources for where, build in source.evidence.items()}
    build = settle_build("genotypes", args.build, evidence, {})
    positions = read_positions(args.positions) if args.positions else None
    if positions is not None:
        check_builds(("genotypes", build), (str(args.positions), positions.attrs["build"]))
    counts = Counter(
        donors_of_cohort=len(cohort),
        donors_without_genotypes=len(cohort) - len(matched),
        samples_in_files=len(sources[0].samples),
        samples_of_no_donor=len(sources[0].samples) - len(matched),
    )
    with decoded(sources, places, counts, args.outdir, args.threads) as store:
        last = store.variants.groupby("chrom")["pos"].max().to_dict()
        build = settle_build(
            "genotypes", args.build, {**evidence, "variant ids": build_of_ids(store.variants["id"])}, last
        )
        if positions is not None:
            check_builds(("genotypes", build), (str(args.positions), positions.attrs["build"]))
        work = Preparation(args, store, matched, build, counts)
        work.lost += [(name, "donor", "no genotypes of this name") for name in sorted(cohort - set(matched))]
        work.drop_uncalled()
        work.count_sites()
        work.choose_snps()
        work.drop_relatives()
        work.write()


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--genotypes", nargs="+", type=Path, required=True, help="VCF, BCF or PLINK .bed files; one or several")
    add("--donors", type=Path, required=True, help="text file: the donors of the cohort, one a line")
    add("--build", choices=["auto", *BUILDS], default="auto", help="of the genome; auto: as the files say")
    add("--positions", type=Path, help="gene positions (GTF, BED, TSV), whose build is compared")
    add("--pcs", type=int, default=5, metavar="K", help="genotype principal components")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if args.pcs < 0 or args.threads < 1:
        arguments.error("--pcs is at least 0, --threads at least 1")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
