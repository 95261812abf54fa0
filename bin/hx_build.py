#!/usr/bin/env python3
"""Builds of the human genome: names of chromosomes, their lengths, and which build a file was made with."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hx_cli import DataError

BUILDS = ("GRCh37", "GRCh38")
UNKNOWN = "unknown"
AUTOSOMES = tuple(str(number) for number in range(1, 23))
CHROMOSOMES = (*AUTOSOMES, "X", "Y", "MT")
# Bases of the chromosomes 1 to 22, X and Y (Genome Reference Consortium); that of the mitochondrion tells nothing.
_LENGTHS = {
    "GRCh37": (
        *(249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022),
        *(141213431, 135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753),
        *(81195210, 78077248, 59128983, 63025520, 48129895, 51304566, 155270560, 59373566),
    ),
    "GRCh38": (
        *(248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636),
        *(138394717, 133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345),
        *(83257441, 80373285, 58617616, 64444167, 46709983, 50818468, 156040895, 57227415),
    ),
}
LENGTHS = {build: dict(zip(CHROMOSOMES, lengths, strict=False)) for build, lengths in _LENGTHS.items()}
# PLINK's numbers; 25 is the pseudo-autosomal region of X.
_OTHER_NAMES = {"23": "X", "24": "Y", "25": "X", "26": "MT", "M": "MT", "XY": "X", "PAR1": "X", "PAR2": "X"}
_NAMED = {
    "GRCh37": re.compile(r"GRCh37|hg19|\bb37\b|hs37|human_g1k_v37", re.IGNORECASE),
    "GRCh38": re.compile(r"GRCh38|hg38|\bb38\b|hs38", re.IGNORECASE),
}
_VARIANT_ID = re.compile(r"(?:chr)?\w+_\d+_([ACGT]+)_([ACGT]+)_(b37|b38)\Z")


def plain_chrom(name: str) -> str:
    """Chromosome without `chr`, in the words of CHROMOSOMES where it is one of them.

    >>> [plain_chrom(name) for name in ("chr1", "X", "23", "chrM", "01", "GL000192.1")]
    ['1', 'X', 'X', 'MT', '1', 'GL000192.1']
    """
    bare = name[3:] if name[:3].lower() == "chr" else name
    bare = bare.upper() if bare.upper() in CHROMOSOMES or bare.upper() in _OTHER_NAMES else bare
    bare = bare.lstrip("0") if bare.isdigit() and bare != "0" else bare
    return _OTHER_NAMES.get(bare, bare)


def chrom_rank(chrom: Sequence[str] | pd.Series) -> np.ndarray:
    """Place of each chromosome in CHROMOSOMES; their number for any other."""
    places = {name: rank for rank, name in enumerate(CHROMOSOMES)}
    codes, names = pd.factorize(np.asarray(chrom, dtype=object))
    return np.array([places.get(name, len(CHROMOSOMES)) for name in names], dtype=np.int64)[codes]


def named_build(text: str) -> str:
    """The build that a header names; UNKNOWN when it names none, or both."""
    found = [build for build in BUILDS if _NAMED[build].search(text)]
    return found[0] if len(found) == 1 else UNKNOWN


def id_alleles(name: str) -> tuple[str, str, str] | None:
    """(ref, alt, build) of a variant id as GTEx writes it, None for any other id.

    >>> id_alleles("chr1_13550_G_A_b38"), id_alleles("rs123")
    (('G', 'A', 'GRCh38'), None)
    """
    found = _VARIANT_ID.match(name)
    return (found[1], found[2], "GRCh" + found[3][1:]) if found else None


def build_of_lengths(lengths: Mapping[str, int]) -> str:
    """The build whose lengths the chromosomes (plain names) have; UNKNOWN when they are those of none, or disagree."""
    found = {build for build in BUILDS for name, bases in lengths.items() if LENGTHS[build].get(name) == bases}
    return found.pop() if len(found) == 1 else UNKNOWN


def past_the_end(last: Mapping[str, int]) -> dict[str, str]:
    """{build: '20:64000000'}: builds that a file cannot be of, as the last position of a chromosome lies past its end.

    Args:
        last: largest position by chromosome (plain names).
    """
    found = {}
    for build in BUILDS:
        for name, pos in last.items():
            if pos > LENGTHS[build].get(name, pos):
                found.setdefault(build, f"{name}:{pos}")
    return found


def settle_build(what: str, stated: str, evidence: Mapping[str, str], last: Mapping[str, int]) -> str:
    """The build of a file, from what the user states, what the file says of itself, and its last positions.

    Args:
        what: the file, for messages.
        stated: auto, or a build.
        evidence: {where: build} of what the file says; UNKNOWN counts for nothing.
        last: largest position by chromosome (plain names).

    Raises:
        DataError: two of them disagree, or positions lie past the end of a chromosome in every build.
    """
    told = {where: build for where, build in evidence.items() if build != UNKNOWN}
    if stated != "auto":
        told = {"--build": stated, **told}
    ruled_out = past_the_end(last)
    if set(ruled_out) == set(BUILDS):
        places = " and ".join(f"{place} lies past the end in {build}" for build, place in ruled_out.items())
        raise DataError(f"{what}: {places}: positions of the human genome are expected")
    if len(set(told.values())) > 1:
        said = ", ".join(f"{where} says {build}" for where, build in told.items())
        raise DataError(f"{what}: {said}: give files of one build")
    build = next(iter(told.values()), UNKNOWN)
    if build in ruled_out:
        where = next(iter(told))
        other = next(each for each in BUILDS if each != build)
        raise DataError(
            f"{what}: {where} says {build}, but {ruled_out[build]} lies past the end of the chromosome there: "
            f"the file is of {other}"
        )
    if build == UNKNOWN and ruled_out:
        return next(each for each in BUILDS if each not in ruled_out)
    return build


def check_builds(genotypes: tuple[str, str], positions: tuple[str, str]) -> None:
    """(file, build) of genotypes and of gene positions. DataError: both are known and differ."""
    if UNKNOWN not in (genotypes[1], positions[1]) and genotypes[1] != positions[1]:
        raise DataError(
            f"{positions[0]} has positions of {positions[1]}, {genotypes[0]} of {genotypes[1]}: genes and variants lie "
            f"elsewhere in another build: give gene positions of {genotypes[1]}"
        )
