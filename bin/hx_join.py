#!/usr/bin/env python3
"""Ids, and the join of slides with RNA samples: which column of an expression file belongs to which slide.

GTEx rules (checked on public slide lists against public RNA lists): a sample id is
`GTEX-<donor>-<piece>[-R##x]-SM-<aliquot>`; the first two fields are the donor, the first three the piece of tissue. A
slide's portal id is its piece. Slides of the TCIA/IDC set end in 5; the sibling block that went to RNA ends in 6. The
last digit is never dropped: pieces 5010, 5013, 5016 and 5019 of one donor are four tissues.
"""

import contextlib
import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from hx_cli import DataError, Faults, preview
from hx_io import read_parquet, read_table, reading, sha1_bucket

ID_PATTERN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")
FOLDS = 5
# Fewer donors leave nothing to test: with 8 (6 degrees of freedom) only |r| > 0.71 reaches p = 0.05, and five folds by
# donor are mostly empty.
MIN_DONORS = 8
DROPPED_COLUMNS = ["id", "kind", "stage", "reason"]

# Headers under which published tables keep our keys, in lower case.
KEY_SYNONYMS = {
    "sample": ("sample", "sample_id", "image", "image_id", "slide_id", "tissue sample id"),
    "rna_sample": ("rna_sample", "sampid"),
    "donor": ("donor", "donor_id", "subjid", "subject id"),
    "tissue": ("tissue", "smtsd"),
}

_GTEX = re.compile(r"^GTEX[-.](?P<donor>[A-Z0-9]+)(?:[-.](?P<piece>\d{4})(?!\d)(?P<rest>.*))?")
# Regions of one frozen brain share the piece 0011: none of them has a slide of its own.
_BRAIN_REGION = re.compile(r"^[-.]R\d+[a-z]?[-.]")


@contextlib.contextmanager
def gathered(faults: Faults) -> Iterator[None]:
    """Add the faults of a DataError to `faults` and go on, so that a user sees those of all files at once."""
    try:
        yield
    except DataError as error:
        for message in error.faults:
            faults.add(message)


@functools.cache
def tissue_id(name: str) -> str:
    """Tissue as GTEx names its files; '' when the name holds no ASCII letter or digit.

    Only letters, digits, `_` and inner `-` are left: a setting's name is split at its dots.

    >>> tissue_id("Skin - Sun Exposed (Lower leg)"), tissue_id("Brain - Spinal cord (cervical c-1)")
    ('Skin_Sun_Exposed_Lower_leg', 'Brain_Spinal_cord_cervical_c-1')
    """
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    joined = re.sub(r"(?:[^A-Za-z0-9-]|(?<![A-Za-z0-9])-|-(?![A-Za-z0-9]))+", "_", plain)
    return joined.strip("_-")


def plain_gtex(name: str) -> str:
    """A GTEx id with dashes, where R made dots of them; any other name as it is.

    >>> plain_gtex("GTEX.1117F.0226.SM.5GZZ7"), plain_gtex("K-562.x")
    ('GTEX-1117F-0226-SM-5GZZ7', 'K-562.x')
    """
    return name.replace(".", "-") if _GTEX.match(name) else name


def gtex_donor(name: str) -> str:
    """Donor of a GTEx slide or sample id (`GTEX-1117F`), '' for any other id. R's dots count as dashes."""
    found = _GTEX.match(name)
    return f"GTEX-{found['donor']}" if found else ""


def gtex_piece(name: str) -> str:
    """Piece of a GTEx slide or sample id (`GTEX-1117F-0126`), '' for other ids and for frozen-brain regions."""
    found = _GTEX.match(name)
    if not found or not found["piece"] or _BRAIN_REGION.match(found["rest"]):
        return ""
    return f"GTEX-{found['donor']}-{found['piece']}"


def piece_keys(slide: str) -> list[str]:
    """Pieces whose RNA belongs to a slide, best first: its own, then (last digit 5) the sibling block ending in 6."""
    piece = gtex_piece(slide)
    if not piece:
        return []
    return [piece, f"{piece[:-1]}6"] if piece.endswith("5") else [piece]


def donor_fold(donor: str, seed: int) -> int:
    """Cross-validation fold 0..4 of a donor: from its id and the seed alone, the same in every tissue."""
    return sha1_bucket(f"{seed}:{donor}", FOLDS)


def slide_batch(tissue: str, sample: str, batches: int) -> str:
    """Batch `<tissue_id>.b<number>` of a slide: adding a slide changes one batch. `tissue` is a tissue_id."""
    return f"{tissue}.b{sha1_bucket(sample, batches)}"


def key_columns(columns: Iterable[str], synonyms: Mapping[str, Sequence[str]] = KEY_SYNONYMS) -> dict[str, str]:
    """The columns of a table that hold our keys: {'sample': 'Image', 'tissue': 'tissue'}; case and order do not matter.

    Where several columns could hold one key, the synonym named first in `synonyms` (names in lower case) wins.
    """
    by_name = {column.strip().lower(): column for column in reversed(list(columns))}
    found = {key: [by_name[name] for name in names if name in by_name] for key, names in synonyms.items()}
    return {key: columns[0] for key, columns in found.items() if columns}


def best_rna(candidates: Iterable[str], rin: Mapping[str, float]) -> str:
    """The RNA sample to keep: highest RNA integrity number, else (none known, or equal) first by name."""
    return min(candidates, key=lambda name: (-rin.get(name, float("-inf")), name))


def match_expression(
    slides: pd.DataFrame,
    columns: Iterable[str],
    rin: Mapping[str, float] | None = None,
    rna_tissue: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Find the expression column of every slide.

    Rules, first that fits a slide: its `rna_sample` (then no other rule is tried); its `sample`; GTEx pieces; its
    `donor`, only when the slides are of one tissue. A slide without RNA of its own does not get that of another slide.
    In GTEx ids R's dots count as dashes, on both sides.

    Args:
        slides: columns sample, donor, tissue and, optionally, rna_sample ('' = not stated); all text.
        columns: names of the expression columns.
        rin: RNA integrity number by column name; decides between aliquots of a piece.
        rna_tissue: tissue by column name; candidates of another tissue than the slide's are refused.

    Returns:
        A row a slide, index as `slides`: rna ('' = none), rule (rna_sample, sample, piece, piece_5_to_6, donor, ''),
        candidates (tuple of all columns that fitted, also those of another tissue), reason ('' when matched).
    """
    rin, rna_tissue = rin or {}, rna_tissue or {}
    known = {plain_gtex(column): column for column in sorted(set(columns))}
    pieces: dict[str, list[str]] = defaultdict(list)
    for column in known.values():
        pieces[gtex_piece(column)].append(column)
    pieces.pop("", None)
    one_tissue = slides["tissue"].map(tissue_id).nunique() <= 1

    def candidates_of(sample: str, donor: str, stated: str) -> tuple[list[str], str, str]:
        if stated:
            column = known.get(plain_gtex(stated))
            missing = "" if column else f"rna_sample {stated} is no column of the expression files"
            return [column] if column else [], "rna_sample", missing
        if sample and plain_gtex(sample) in known:
            return [known[plain_gtex(sample)]], "sample", ""
        for key in piece_keys(sample):
            if key in pieces:
                return pieces[key], "piece" if key == gtex_piece(sample) else "piece_5_to_6", ""
        if plain_gtex(donor) in known:
            message = "expression columns are donors, but there are several tissues: name the column in rna_sample"
            return ([known[plain_gtex(donor)]], "donor", "") if one_tissue else ([], "", message)
        return [], "", "no RNA sample (tried rna_sample, sample, piece, donor)"

    stated = slides["rna_sample"] if "rna_sample" in slides else pd.Series("", index=slides.index)
    rows = []
    for sample, donor, tissue, rna in zip(slides["sample"], slides["donor"], slides["tissue"], stated, strict=True):
        candidates, rule, reason = candidates_of(sample, donor, rna)
        fitting = [c for c in candidates if tissue_id(rna_tissue.get(c, tissue)) == tissue_id(tissue)]
        if candidates and not fitting:
            other = preview(sorted({rna_tissue[c] for c in candidates}))
            reason = f"tissue conflict: slide {tissue}, RNA sample {preview(sorted(candidates))} {other}"
        best, rule = (best_rna(fitting, rin), rule) if fitting else ("", "")
        rows.append((best, rule, tuple(sorted(candidates)), reason))
    return pd.DataFrame(rows, columns=["rna", "rule", "candidates", "reason"], index=slides.index)


def one_rna_per_donor(slides: pd.DataFrame, rin: Mapping[str, float] | None = None) -> pd.Series:
    """One RNA sample a donor x tissue, for all of its slides together (they are pooled: never two rows a donor).

    Args:
        slides: columns donor, tissue_id, rna (of match_expression); only matched slides.
        rin: RNA integrity number by RNA sample.

    Returns:
        The chosen RNA sample of each row, index as `slides`.
    """
    keys = list(zip(slides["donor"], slides["tissue_id"], strict=True))
    candidates = defaultdict(set)
    for key, rna in zip(keys, slides["rna"], strict=True):
        candidates[key].add(rna)
    best = {key: best_rna(names, rin or {}) for key, names in candidates.items()}
    return pd.Series([best[key] for key in keys], index=slides.index, dtype=str)


def unused_rna(columns: Iterable[str], slides: pd.DataFrame) -> list[tuple[str, str]]:
    """Why each expression column is in no row of the cohort: [(column, reason)], sorted.

    Args:
        columns: names of all expression columns.
        slides: a row a slide that was looked at: sample, donor, rna_used ('' for a dropped slide), candidates, reason.
    """
    used = set(slides["rna_used"]) - {""}
    why: dict[str, str] = {}
    for sample, donor, rna, candidates, reason in zip(
        *(slides[column] for column in ("sample", "donor", "rna_used", "candidates", "reason")), strict=True
    ):
        named = f"slide {sample}" if sample else f"donor {donor}"
        for candidate in candidates:
            because = f"{rna} stands for this donor and tissue" if rna else f"{named}: {reason}"
            # A column that lost to another aliquot says so, whatever else happened to its slides.
            if rna or candidate not in why:
                why[candidate] = because
    return sorted((c, why.get(c, "no slide in the cohort")) for c in set(columns) - used)


def dropped_table(rows: Iterable[tuple[str, str, str]], stage: str) -> pd.DataFrame:
    """(id, kind, reason) rows as the content of a dropped.tsv, in a fixed order."""
    table = pd.DataFrame([(i, kind, stage, reason) for i, kind, reason in rows], columns=DROPPED_COLUMNS, dtype=str)
    return table.sort_values(["kind", "id", "reason"], ignore_index=True)


def read_keys(path: str | Path) -> pd.DataFrame:
    """Our keys of a table of slides or features: columns sample, donor, tissue, as far as it has them, all text.

    TSV, CSV, Parquet or h5ad (its obs; obs names are the samples when no column holds samples or donors). Headers as in
    KEY_SYNONYMS. A donor that is not given is read off a GTEx id. Index: 0-based row of data.

    Raises:
        DataError: neither samples nor donors, or a file that is not readable as its suffix says.
    """
    path = Path(path)
    if path.suffix == ".h5ad":
        import anndata

        with reading(path, "h5ad file"):
            table = anndata.read_h5ad(path, backed="r").obs
        if not {"sample", "donor"} & set(key_columns(table.columns)):
            table = table.assign(sample=table.index)
        table = table.reset_index(drop=True)
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with reading(path, "Parquet file"):
            names = key_columns(pq.read_schema(path).names)
        table = read_parquet(path, columns=sorted(set(names.values())))
    else:
        table = read_table(path)
    found = {key: column for key, column in key_columns(table.columns).items() if key in ("sample", "donor", "tissue")}
    if not {"sample", "donor"} & set(found):
        raise DataError(
            f"{path}, row 1: no column sample or donor among {preview(table.columns)}: "
            "name the column of slides `sample`, or give `donor` and `tissue`"
        )
    text = {key: table[column].astype(object).fillna("").astype(str).str.strip() for key, column in found.items()}
    keys = pd.DataFrame(text)
    if "donor" not in keys:
        donors = keys["sample"].map(gtex_donor)
        if donors.ne("").any():
            keys["donor"] = donors
    return keys
