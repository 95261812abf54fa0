#!/usr/bin/env python3
"""Genotype files as users have them: VCF, BCF and PLINK bed, opened, checked and matched with the cohort's donors."""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hx_build import UNKNOWN, build_of_lengths, id_alleles, named_build, plain_chrom
from hx_cli import DataError, Faults, preview
from hx_join import gathered, gtex_donor, plain_gtex

VCF_SUFFIX = re.compile(r"\.(vcf|vcf\.b?gz|bcf)$", re.IGNORECASE)
_BED_MAGIC = b"\x6c\x1b\x01"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BIM = ["chrom", "id", "cm", "pos", "alt", "ref"]
_IDS_ASKED = 1000  # ids of a file that are looked at for a build


@dataclass(frozen=True)
class Source:
    """One genotype file.

    Attributes:
        path: the VCF, BCF or bed.
        samples: names as in the file; of PLINK the IID.
        names: of each sample, the names that may be a donor's: the IID, and FID_IID.
        evidence: {what: build} that the file says of itself.
        variants: of PLINK: chrom, id, pos, ref (A2), alt (A1), a row a variant of the bed; None of a VCF.
    """

    path: Path
    samples: list[str]
    names: list[tuple[str, ...]]
    evidence: dict[str, str] = field(default_factory=dict)
    variants: pd.DataFrame | None = None


def open_sources(paths: Iterable[Path]) -> list[Source]:
    """Open genotype files: VCF (plain or gzipped), BCF, PLINK (.bed, or the name without suffix), sorted by name.

    .bim and .fam lie beside their .bed; named as well, they are taken as part of it.

    Raises:
        DataError: every fault of every file at once.
    """
    faults, sources, given = Faults(), [], sorted(set(paths))
    beds = {path if path.suffix == ".bed" else path.with_name(path.name + ".bed") for path in given if _is_plink(path)}
    for path in given:
        if path.suffix in (".bim", ".fam"):
            if path.with_suffix(".bed") not in beds:
                faults.add(
                    f"{path}: its .bed is not given: give {path.with_suffix('.bed').name}, .bim and .fam lie beside"
                )
        elif not _is_plink(path):
            with gathered(faults):
                sources.append(_open_vcf(path))
    for path in sorted(beds):
        with gathered(faults):
            sources.append(_open_plink(path))
    faults.stop()
    if not sources:
        raise DataError("no genotype file: give VCF, BCF or the .bed of PLINK")
    return sorted(sources, key=lambda source: source.path)


def _is_plink(path: Path) -> bool:
    if path.suffix == ".bed":
        return True
    return not VCF_SUFFIX.search(path.name) and path.with_name(path.name + ".bed").is_file()


def _open_vcf(path: Path) -> Source:
    """A VCF or BCF: samples and what its header says of the build."""
    import cyvcf2

    if not VCF_SUFFIX.search(path.name):
        raise DataError(f"{path}: .vcf, .vcf.gz, .bcf or .bed (or a name beside which a .bed lies) is expected")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    _check_whole(path)
    try:
        file = cyvcf2.VCF(str(path))
    except Exception as error:  # cyvcf2 raises bare Exceptions
        raise DataError(f"{path}: not a readable VCF or BCF ({error})") from error
    header, samples = file.raw_header, list(file.samples)
    lengths = {plain_chrom(n): int(b) for n, b in re.findall(r"##contig=<ID=([^,>]+),.*?length=(\d+)", header)}
    told = [line for line in header.split("\n") if line.startswith(("##reference", "##contig", "##assembly"))]
    file.close()
    if not samples:
        raise DataError(f"{path}: no samples in it: give a VCF with genotypes")
    if not re.search(r"##FORMAT=<ID=(GT|DS),", header):
        raise DataError(f"{path}: neither GT nor DS among the formats of its header: give a VCF with genotypes")
    evidence = {
        f"{path.name} (contig lengths)": build_of_lengths(lengths),
        f"{path.name} (header)": named_build("\n".join(told)),
    }
    return Source(path, samples, [(name,) for name in samples], evidence)


def _check_whole(path: Path) -> None:
    """DataError: a block-gzipped file without the empty block at its end was cut short; htslib only warns."""
    with open(path, "rb") as handle:
        head = handle.read(18)
        if head[:4] != b"\x1f\x8b\x08\x04":
            return
        handle.seek(0, 2)
        handle.seek(max(handle.tell() - len(_BGZF_END), 0))
        if handle.read() != _BGZF_END:
            raise DataError(f"{path}: the file is cut short (no end-of-file block): copy it again")


def _open_plink(bed: Path) -> Source:
    """A PLINK triplet whose three files agree. A1 (counted by PLINK) is taken as `alt`, A2 as `ref`."""
    bim, fam = bed.with_suffix(".bim"), bed.with_suffix(".fam")
    if missing := [str(path) for path in (bed, bim, fam) if not path.is_file()]:
        raise DataError(f"{bed}: {preview(missing)} is missing: .bed, .bim and .fam belong together")
    people = _columns(fam, ["fid", "iid"], 6)
    variants = _columns(bim, _BIM, 6)
    pos = pd.to_numeric(variants["pos"], errors="coerce")
    if pos.isna().any():
        rows = np.flatnonzero(pos.isna()) + 1
        raise DataError(f"{bim}, row {preview(rows)}: the position in column 4 is not a number")
    with open(bed, "rb") as handle:
        magic = handle.read(3)
        size = handle.seek(0, 2)
    if magic != _BED_MAGIC:
        why = "is sample-major" if magic[:2] == _BED_MAGIC[:2] else "does not begin as a bed of PLINK does"
        raise DataError(f"{bed}: {why}: write it with plink2 --make-bed")
    expected = 3 + len(variants) * -(-len(people) // 4)
    if size != expected:
        raise DataError(
            f"{bed}: {size} bytes, but {len(variants)} rows of {bim.name} and {len(people)} of {fam.name} make "
            f"{expected}: the three files are not of one set"
        )
    # Few distinct names: one string each.
    names = {name: plain_chrom(name) for name in variants["chrom"].unique()}
    table = variants.assign(chrom=variants["chrom"].map(names), pos=pos.abs().astype(np.int64))
    iids = people["iid"].tolist()
    pairs = [(iid, f"{fid}_{iid}") for fid, iid in zip(people["fid"], iids, strict=True)]
    return Source(bed, iids, pairs, {}, table[["chrom", "id", "pos", "ref", "alt"]])


def _columns(path: Path, names: list[str], columns: int) -> pd.DataFrame:
    """The first columns of a .bim or .fam, all text. DataError: rows of another number of cells."""
    try:
        table = pd.read_csv(
            path, sep=r"\s+", header=None, dtype=str, na_filter=False, quoting=3, names=range(columns), index_col=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {columns} columns in every row are expected ({error})") from error
    if (short := (table[columns - 1] == "") | table[columns - 1].isna()).any():
        rows = np.flatnonzero(short) + 1
        raise DataError(f"{path}, row {preview(rows)}: fewer than {columns} columns")
    return table.iloc[:, : len(names)].set_axis(names, axis=1)


def build_of_ids(ids: Iterable[str]) -> str:
    """The build that the first variant ids (chr1_13550_G_A_b38) name; UNKNOWN where they name none, or both."""
    found = {named[2] for named in map(id_alleles, itertools.islice(ids, _IDS_ASKED)) if named}
    return found.pop() if len(found) == 1 else UNKNOWN


def donor_of(names: Sequence[str], donors: set[str]) -> str:
    """The donor that a sample is of: a name that is a donor's, else a GTEx sample id of a donor; '' for none.

    >>> donor_of(("GTEX-1117F-0003-SM-6WBT7",), {"GTEX-1117F"}), donor_of(("7", "FAM1_7"), {"FAM1_7"})
    ('GTEX-1117F', 'FAM1_7')
    """
    for name in names:
        if name in donors or plain_gtex(name) in donors:
            return name if name in donors else plain_gtex(name)
    return next((gtex_donor(name) for name in names if gtex_donor(name) in donors), "")


def match_donors(sources: Sequence[Source], donors: set[str]) -> tuple[list[str], list[np.ndarray]]:
    """Donors with genotypes, sorted, and for each file the place of their samples in it, in that order.

    Raises:
        DataError: a file in which no sample matches a donor, two samples of one donor, or files of other donors.
    """
    faults, places = Faults(), []
    for source in sources:
        found: dict[str, list[int]] = {}
        for column, names in enumerate(source.names):
            if donor := donor_of(names, donors):
                found.setdefault(donor, []).append(column)
        if not found:
            faults.add(
                f"{source.path}: none of its {len(source.samples)} samples is a donor of the cohort: samples are "
                f"{preview(source.samples, 3)}, donors are {preview(sorted(donors), 3)}: rename one of the two"
            )
        for donor, columns in sorted(found.items()):
            if len(columns) > 1:
                several = preview(["/".join(dict.fromkeys(source.names[column])) for column in columns])
                faults.add(f"{source.path}: donor {donor} has {len(columns)} samples ({several}): leave one of them")
        places.append({donor: columns[0] for donor, columns in found.items()})
    for source, found in zip(sources[1:], places[1:], strict=True):
        if found and places[0] and set(found) != set(places[0]):
            other = sorted(set(found) ^ set(places[0]))
            faults.add(
                f"{source.path}: {len(found)} donors, {sources[0].path} has {len(places[0])}; in one of them alone: "
                f"{preview(other)}: files of one cohort have the same samples"
            )
    faults.stop()
    matched = sorted(places[0])
    return matched, [np.array([found[donor] for donor in matched], dtype=np.int64) for found in places]
