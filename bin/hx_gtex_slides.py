#!/usr/bin/env python3
"""Which slides of GTEx are at hand, and of which tissue: lists, files in folders, the portal's histology table."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pandas as pd

from hx_cli import DataError
from hx_io import read_text
from hx_join import gtex_donor, gtex_piece, piece_keys, read_keys, tissue_id

LISTED = ["sample", "tissue", "tissue_from", "path", "missing", "file", "row"]
NO_FILE = "no file of this slide among the slides"
# Folders of slides as the imaging archives name them (letters alone count), where they differ from GTEx's own names.
FOLDERS = {
    "AdiposeTissue": "Adipose - Subcutaneous",
    "AdrenalGlands": "Adrenal Gland",
    "Aorta": "Artery - Aorta",
    "AtrialAppendage": "Heart - Atrial Appendage",
    "BreastMammaryTissue": "Breast - Mammary Tissue",
    "Colon": "Colon - Transverse",
    "CoronaryArtery": "Artery - Coronary",
    "Ectocervix": "Cervix - Ectocervix",
    "Endocervix": "Cervix - Endocervix",
    "EsophagealMucosa": "Esophagus - Mucosa",
    "FallopianTubes": "Fallopian Tube",
    "GastroesophagealJunction": "Esophagus - Gastroesophageal Junction",
    "Heart": "Heart - Left Ventricle",
    "Ileum": "Small Intestine - Terminal Ileum",
    "LeftVentricle": "Heart - Left Ventricle",
    "MammaryTissueBreast": "Breast - Mammary Tissue",
    "MinorSalivaryGlands": "Minor Salivary Gland",
    "Omentum": "Adipose - Visceral (Omentum)",
    "PituitaryGland": "Pituitary",
    "SigmoidColon": "Colon - Sigmoid",
    "SkeletalMuscle": "Muscle - Skeletal",
    "Skin": "Skin - Sun Exposed (Lower leg)",
    "SuprapubicSkin": "Skin - Not Sun Exposed (Suprapubic)",
    "ThyroidGland": "Thyroid",
    "TibialArtery": "Artery - Tibial",
    "TibialNerve": "Nerve - Tibial",
}
# GTEx's tissues that have slides (SMTSD).
TISSUES = (
    *("Adipose - Subcutaneous", "Adipose - Visceral (Omentum)", "Adrenal Gland", "Artery - Aorta"),
    *("Artery - Coronary", "Artery - Tibial", "Bladder", "Brain - Cerebellum", "Brain - Cortex"),
    *("Breast - Mammary Tissue", "Cervix - Ectocervix", "Cervix - Endocervix", "Colon - Sigmoid", "Colon - Transverse"),
    *("Esophagus - Gastroesophageal Junction", "Esophagus - Mucosa", "Esophagus - Muscularis", "Fallopian Tube"),
    *("Heart - Atrial Appendage", "Heart - Left Ventricle", "Kidney - Cortex", "Kidney - Medulla", "Liver", "Lung"),
    *("Minor Salivary Gland", "Muscle - Skeletal", "Nerve - Tibial", "Ovary", "Pancreas", "Pituitary", "Prostate"),
    *("Skin - Not Sun Exposed (Suprapubic)", "Skin - Sun Exposed (Lower leg)", "Small Intestine - Terminal Ileum"),
    *("Spleen", "Stomach", "Testis", "Thyroid", "Uterus", "Vagina"),
)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


_BY_LETTERS = {_letters(name): name for name in TISSUES} | {_letters(name): full for name, full in FOLDERS.items()}


def folder_tissue(path: str) -> str:
    """Tissue (SMTSD) that the folder of a slide names, '' when it names none.

    >>> folder_tissue("slides/AdiposeTissue/GTEX-N7MS-0325.svs"), folder_tissue("Lung/slides/GTEX-N7MS-0925.svs")
    ('Adipose - Subcutaneous', '')
    """
    return _BY_LETTERS.get(_letters(PurePosixPath(path).parent.name), "")


def slide_name(listed: str) -> str:
    """Portal id of a slide as it is listed: without folder, extension and suffixes; '' when it is no GTEx slide."""
    return gtex_piece(PurePosixPath(listed).name)


def slide_list(path: str) -> pd.DataFrame:
    """Read one list of slides: sample (id as listed), tissue, file, row; text.

    Raises:
        DataError: none of the lists that are known.
    """
    lines = read_text(path).split("\n")
    if gtex_donor(lines[0]):
        rows = [(number, *line.strip().split(None, 1)) for number, line in enumerate(lines, start=1) if line.strip()]
        short = [row for row in rows if len(row) < 3]
        if short:
            fix = "has no tissue: a slide id, a blank and the tissue are expected"
            raise DataError(*(f"{path}, row {number}: {name} {fix}" for number, name in short))
        listed = pd.DataFrame(rows, columns=["row", "sample", "tissue"]).assign(file=path)
        return listed[["sample", "tissue", "file", "row"]]
    keys = read_keys(path)
    lacking = {"sample", "tissue"} - set(keys)
    if lacking:
        raise DataError(
            f"{path}, row 1: no column of {' and '.join(sorted(lacking))}s: expected are Tissue Sample ID and Tissue, "
            "or Image and tissue, or lines of slide id, blank, tissue"
        )
    return keys[["sample", "tissue"]].assign(file=path, row=keys.index + 2)


def conflicts(claims: pd.DataFrame) -> dict[str, str]:
    """Pieces that lists, folders and histology tables give two tissues: {key: reason}.

    Slides of one piece, and the sibling block of one ending in 5, must agree: of two tissues one is wrong, and nothing
    here says which.

    Args:
        claims: sample (as listed), tissue.
    """
    named = pd.DataFrame({
        "key": [keys[-1] if (keys := piece_keys(slide_name(name))) else "" for name in claims["sample"]],
        "tissue_id": claims["tissue"].map(tissue_id).to_numpy(),
        "tissue": claims["tissue"].to_numpy(),
    })  # fmt: skip
    named = named[(named["key"] != "") & (named["tissue_id"] != "")].drop_duplicates(["key", "tissue_id"])
    several = named[named["key"].duplicated(keep=False)].groupby("key")["tissue"]
    return {key: f"tissue conflict: this piece is listed as {' and as '.join(sorted(names))}" for key, names in several}


def listed_slides(lists: Sequence[pd.DataFrame], histology: pd.DataFrame) -> pd.DataFrame:
    """Slides that lists name, or where there are none the histology table: LISTED, path '' and missing ''."""
    parts = [part.assign(tissue_from="list") for part in lists] or [histology.assign(tissue_from="histology table")]
    return pd.concat(parts, ignore_index=True).assign(path="", missing="")[LISTED]


def found_slides(
    paths: Sequence[str],
    lists: Sequence[pd.DataFrame],
    histology: pd.DataFrame,
    rna_tissue: Mapping[str, str],
) -> pd.DataFrame:
    """Slide files, then what lists name without there being a file.

    The tissue of a file is that of its folder, else what the histology table or a list says of its piece (or the
    sibling block's), else that of its RNA; `tissue_from` says which.

    Args:
        paths: slide files.
        lists: of slide_list.
        histology: of read_histology; slides that it alone knows are not looked for.
        rna_tissue: tissue (SMTSD) by piece.

    Returns:
        LISTED; missing says why a row must be left out: path '' where there is no file.
    """
    known = {"histology table": tissues_by_piece(histology), "list": {}, "RNA": rna_tissue}
    for part in lists:
        known["list"] |= tissues_by_piece(part)
    rows = []
    for path in sorted(paths):
        keys = piece_keys(slide_name(path))
        said = ((where.get(key, ""), source) for source, where in known.items() for key in keys)
        tissue, source = next((pair for pair in [(folder_tissue(path), "folder"), *said] if pair[0]), ("", ""))
        rows.append((path, tissue, source, path, "", path, ""))
    have = {slide_name(path) for path in paths}
    for part in lists:
        for name, tissue, file, row in part[["sample", "tissue", "file", "row"]].itertuples(index=False):
            if slide_name(name) not in have:
                rows.append((name, tissue, "list", "", NO_FILE, file, row))
    return pd.DataFrame(rows, columns=LISTED)


def tissues_by_piece(table: pd.DataFrame) -> dict[str, str]:
    """{piece: tissue} of a table with sample and tissue; what stands first counts."""
    pieces = table["sample"].map(slide_name)
    found = {piece: tissue for piece, tissue in zip(pieces[::-1], table["tissue"][::-1], strict=True) if tissue}
    found.pop("", None)
    return found
