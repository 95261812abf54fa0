#!/usr/bin/env python3
"""Units of expression values: what values and file names say against the declared one, and against each other."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hx_cli import preview
from hx_matrix_base import MOST_FAULTS

UNITS = ("tpm", "rpkm", "fpkm", "counts", "log2")
# log2 of any expression unit stays below this: 2^40 is 1e12, and no library has as many reads.
LOG2_MAX = 40.0
# From this number of genes on a file is a transcriptome and its column sums mean something; below it is a panel.
TRANSCRIPTOME_GENES = 5000
# TPM of all genes sum to 1e6 by definition (Wagner, Kin and Lynch 2012). Rounding moves the sum by less than COMPLETE;
# of samples in another unit few come as near, and genes left out show as sums of many sizes below it.
MILLION = 1e6
TPM_SUM_MAX = 1.1 * MILLION
COMPLETE = 1e-3
FAR_OFF = 1e-2
# GTEx's names: gene_rpkm.gct.gz, gene_tpm.gct.gz, gene_reads.gct.gz.
_NAMED = re.compile(r"(?<![a-z])(tpm|rpkm|fpkm|reads|counts)(?![a-z])")


class UnitCheck:
    """Compares the values of one file with the declared unit, a block of genes at a time.

    >>> check = UnitCheck("counts")
    >>> check.add(["G1"], [4], np.array([[3.0, 0.5]]))
    >>> check.faults("a.gct")[0][:47]
    'a.gct, row 4 (G1): 0.5 is no whole number, in a'
    """

    def __init__(self, declared: str):
        if declared not in UNITS:
            raise ValueError(f"unit {declared!r}: one of {', '.join(UNITS)} is expected")
        self.declared = declared
        self.negative: list[tuple[int, str, float]] = []
        self.fraction: list[tuple[int, str, float]] = []
        self.n_negative = self.n_fraction = self.n_genes = 0
        self.highest: tuple[float, int, str] = (-np.inf, 0, "")
        self.sums: np.ndarray | float = 0.0

    def add(self, genes: Sequence[str], rows: Sequence[int], values: np.ndarray) -> None:
        """Take in values (genes, samples) float64, finite."""
        if values.size == 0:
            return
        self.n_genes += len(genes)
        self.sums = self.sums + values.sum(axis=0)
        for where, kept, count in (
            ((values < 0).any(axis=1), self.negative, "n_negative"),
            ((values != np.floor(values)).any(axis=1), self.fraction, "n_fraction"),
        ):
            setattr(self, count, getattr(self, count) + int(where.sum()))
            for gene in np.flatnonzero(where)[: MOST_FAULTS - len(kept)]:
                cells = values[gene]
                bad = cells < 0 if kept is self.negative else cells != np.floor(cells)
                kept.append((rows[gene], genes[gene], float(cells[bad][0])))
        peaks = values.max(axis=1)
        peak = int(peaks.argmax())
        if peaks[peak] > self.highest[0]:
            self.highest = (float(peaks[peak]), rows[peak], genes[peak])

    @property
    def whole_transcriptome(self) -> bool:
        return self.n_genes >= TRANSCRIPTOME_GENES

    def complete(self) -> np.ndarray:
        """(samples,) bool: the values of all genes sum to a million, as those of TPM alone do."""
        return np.abs(np.atleast_1d(self.sums) / MILLION - 1) < COMPLETE

    def far_off(self) -> np.ndarray:
        """(samples,) bool: they do not, by more than rounding explains."""
        return np.abs(np.atleast_1d(self.sums) / MILLION - 1) > FAR_OFF

    def faults(self, path: str | Path, row_word: str = "row") -> list[str]:
        """What speaks against the declared unit, each with file, row and fix; [] when nothing does."""
        if self.n_genes == 0:
            return []
        unit, told = self.declared, []
        peak, row, gene = self.highest
        at = f"{path}, {row_word} {row} ({gene})"
        whole = self.n_fraction == 0 and peak > 0

        def rows(bad: list[tuple[int, str, float]], total: int, text: str) -> None:
            told.extend(f"{path}, {row_word} {row} ({gene}): {value:g} {text}" for row, gene, value in bad)
            if total > len(bad):
                told.append(f"{path}: {total - len(bad)} further rows like these")

        if unit != "log2":
            fix = f"is negative, in a file declared as {unit}: "
            like_log2 = "are these log2 values? declare --expression_unit log2"
            rows(self.negative[:3], self.n_negative, fix + ("mend it" if self.n_fraction == 0 else like_log2))
        if unit == "counts" and not self.n_negative:
            fix = "is no whole number, in a file declared as counts: declare tpm, rpkm or fpkm, or round them"
            rows(self.fraction[:3], self.n_fraction, fix)
        if unit != "counts" and whole and not self.n_negative:
            told.append(f"{at}: {peak:g}, and all values are whole, in a file declared as {unit}: declare counts")
        elif unit == "log2" and peak > LOG2_MAX:
            told.append(f"{at}: {peak:g} is too high for log2 values (at most {LOG2_MAX:g}): declare tpm, rpkm or fpkm")
        elif unit not in ("counts", "log2") and self.whole_transcriptome:
            told += self._transcriptome_faults(path, at, peak)
        elif unit == "tpm" and float(np.max(self.sums)) > TPM_SUM_MAX:
            told.append(self._above_a_million(path))
        return told

    def _transcriptome_faults(self, path: str | Path, at: str, peak: float) -> list[str]:
        """Faults of many genes in tpm, rpkm or fpkm: their sums tell TPM from the others."""
        complete, far_off = self.complete(), self.far_off()
        if peak < LOG2_MAX:
            return [f"{at}: {peak:g} is the highest of {self.n_genes} genes: are these log2 values? declare log2"]
        if len(complete) > 1 and complete.all() and self.declared != "tpm":
            told = "the values of every sample sum to 1e6, as TPM do"
            return [f"{path}: {told}, in a file declared as {self.declared}: declare tpm"]
        if self.declared == "tpm" and float(np.max(self.sums)) > TPM_SUM_MAX:
            return [self._above_a_million(path)]
        # A tenth of the samples exact to a thousandth and all others off: no choice of genes does that.
        if complete.sum() > max(1, 0.1 * len(complete)) and far_off.any() and (complete | far_off).all():
            told = f"the values of {complete.sum()} samples sum to 1e6, as TPM do, those of {far_off.sum()} do not"
            return [f"{path}: {told}: TPM and RPKM mixed: give one unit"]
        return []

    def _above_a_million(self, path: str | Path) -> str:
        top = float(np.max(self.sums))
        return f"{path}: the values of a sample sum to {top:.4g}, TPM sum to at most 1e6: declare rpkm, fpkm or counts"


def named_unit(path: str | Path) -> str:
    """Unit that a file's name tells; '' when it tells none, or several. fpkm counts as rpkm: they are one formula.

    >>> named_unit("GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_tpm.gct.gz"), named_unit("reads_to_tpm.tsv")
    ('tpm', '')
    """
    found = {{"reads": "counts", "fpkm": "rpkm"}.get(word, word) for word in _NAMED.findall(Path(path).name.lower())}
    return found.pop() if len(found) == 1 else ""


def name_faults(paths: Iterable[str | Path], declared: str) -> list[str]:
    """What the names of files say against each other, or against the declared unit; [] when nothing does."""
    named = {path: named_unit(path) for path in sorted(paths, key=str)}
    told = sorted({unit for unit in named.values() if unit})
    if len(told) > 1:
        groups = (preview(Path(p).name for p, unit in named.items() if unit == one) + f" ({one})" for one in told)
        return [f"{' and '.join(groups)}: units mixed, by the files' names: give files of one unit"]
    if told and declared not in ("log2", *told) and (declared, *told) != ("fpkm", "rpkm"):
        paths = preview(path for path, unit in named.items() if unit)
        fix = f"declare --expression_unit {told[0]}, or rename the file if its name is wrong"
        return [f"{paths}: by its name the unit is {told[0]}, {declared} is declared: {fix}"]
    return []


def mixed_faults(checks: Mapping[str | Path, UnitCheck], declared: str) -> list[str]:
    """What the values of files say against each other; [] when nothing does.

    Args:
        checks: by path, of the files that are read, each with all its values. Files of one annotation: TPM of all of
            them sum to a million.
    """
    large = {path: check for path, check in checks.items() if check.whole_transcriptome}
    tpm = [path for path, check in large.items() if check.complete().all()]
    others = [path for path, check in large.items() if check.far_off().all()]
    if declared in ("tpm", "rpkm", "fpkm") and tpm and others:
        fix = "TPM and RPKM mixed, or files of different genes: give one unit"
        return [f"{preview(tpm)}: values sum to 1e6, as TPM do; {preview(others)}: they do not: {fix}"]
    return []
