"""Small genotype files for tests, as PLINK bed and as VCF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

BITS = np.array([3, 2, 0, 1], dtype=np.uint8)  # of 0, 1, 2 copies of A1 and of a missing call
GENOTYPES = np.array(["0/0", "0/1", "1/1", "./."])
HEADER = ["##fileformat=VCFv4.2", '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']


def variants(count: int, chroms: int = 22, step: int = 10_000) -> list[tuple[str, int, str, str, str]]:
    """(chrom, pos, id, ref, alt) of SNPs, in order, spread over the first `chroms` chromosomes, from 1 Mb on."""
    each = -(-count // chroms)
    places = [(str(k // each + 1), 1_000_000 + step * (k % each)) for k in range(count)]
    return [(chrom, pos, f"chr{chrom}_{pos}_A_G_b38", "A", "G") for chrom, pos in places]


def write_bed(prefix: Path, copies: np.ndarray, donors: Sequence[str], rows: Sequence[tuple], fid: str = "") -> Path:
    """bed, bim and fam of (V, S) copies of alt (A1), -1 = missing; the path of the bed."""
    bits = np.full((len(copies), -(-len(donors) // 4) * 4), 0, dtype=np.uint8)
    bits[:, : len(donors)] = BITS[copies]
    four = bits.reshape(len(copies), -1, 4) << np.array([0, 2, 4, 6], dtype=np.uint8)
    prefix.with_suffix(".bed").write_bytes(b"\x6c\x1b\x01" + four.sum(axis=2, dtype=np.uint8).tobytes())
    prefix.with_suffix(".bim").write_text("".join(f"{c}\t{i}\t0\t{p}\t{a}\t{r}\n" for c, p, i, r, a in rows))
    prefix.with_suffix(".fam").write_text("".join(f"{fid or name} {name} 0 0 0 -9\n" for name in donors))
    return prefix.with_suffix(".bed")


def write_vcf(
    path: Path, cells: np.ndarray, donors: Sequence[str], rows: Sequence[tuple], form: str = "GT", more: Sequence = ()
) -> Path:
    """VCF of (V, S) copies of alt (-1 = missing), or of text cells; `more` are further header lines."""
    text = cells if cells.dtype.kind in "UO" else GENOTYPES[cells]
    lines = [
        *HEADER,
        *more,
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *donors]),
    ]
    for (chrom, pos, name, ref, alt), row in zip(rows, text, strict=True):
        lines.append("\t".join([f"chr{chrom}", str(pos), name, ref, alt, ".", "PASS", ".", form, *row]))
    path.write_text("\n".join(lines) + "\n")
    return path


def draw(frequency: np.ndarray, donors: int, rng: np.random.Generator) -> np.ndarray:
    """(V, donors, 2) alleles in Hardy-Weinberg proportions."""
    return (rng.random((len(frequency), donors, 2)) < frequency[:, None, None]).astype(np.int8)


def child(parents: np.ndarray, a: int, b: int, rng: np.random.Generator) -> np.ndarray:
    """(V, 2) alleles of a child of two columns of (V, S, 2), SNPs unlinked."""
    rows = np.arange(len(parents))
    picks = rng.integers(0, 2, (2, len(parents)))
    return np.stack([parents[rows, a, picks[0]], parents[rows, b, picks[1]]], axis=1)


def families(snps: int = 3000, seed: int = 7, strangers: int = 10) -> np.ndarray:
    """(snps, 2 x strangers + 4) copies: strangers of each of two populations, then two full sibs of 0 and 1, a half-sib
    by 0 and 2, and donor 3 once more.
    """
    rng = np.random.default_rng(seed)
    ancestral = rng.uniform(0.2, 0.8, snps)
    other = np.clip(ancestral + rng.normal(0, 0.1, snps), 0.05, 0.95)
    people = np.concatenate([draw(ancestral, strangers, rng), draw(other, strangers, rng)], axis=1)
    born = [child(people, 0, 1, rng), child(people, 0, 1, rng), child(people, 0, 2, rng), people[:, 3]]
    return np.concatenate([people, np.stack(born, axis=1)], axis=1).sum(axis=2).astype(np.int8)
