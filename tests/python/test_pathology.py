"""Pathologists' notes as numbers: negation, severity, percentages, pieces, categories."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from hx_io import read_table
from hx_pathology import annotate, categories, contradictions, merge_forms, pieces_of, read_note

# Sixty notes of GTEx_portal_histology_265.csv, read by a person: what each affirms, denies, leaves open, and degrees.
READ = Path(__file__).parents[1] / "data" / "pathology_notes_read.tsv"


@pytest.mark.parametrize(
    ("text", "affirmed", "negated"),
    [
        ("no abnormalities", set(), {"abnormalities"}),
        ("NOT thyroid; parathyroid", {"parathyroid"}, {"thyroid"}),
        ("free of fat", set(), {"fat"}),
        ("Negative for malignancy", set(), {"malignancy"}),
        ("gland without inflammation", {"gland"}, {"inflammation"}),
        ("inflammation not seen", set(), {"inflammation"}),
        ("urothelium absent", set(), {"urothelium"}),
        ("no significant inflammation; clean specimen", {"clean"}, {"inflammation"}),
        ("No fat, prominent fibrosis", {"fibrosis"}, {"fat"}),
        ("no necrosis but severe autolysis", {"autolysis"}, {"necrosis"}),
        ("9.5x8.1mm. no fat. fibrosis", {"fibrosis"}, {"fat"}),
        ("endometrium in one; other without endometrium", {"endometrium"}, set()),
        ("fibrosis is present", {"fibrosis"}, set()),
        ("Hashimoto’s thyroiditis", {"hashimoto", "thyroiditis"}, set()),
        # more than five words after the negation
        ("no ducts in any of the fibrosis", {"fibrosis"}, {"ducts"}),
        ("2 pieces, 8x6mm", set(), set()),
        ("", set(), set()),
    ],
)
def test_negation(text, affirmed, negated):
    note = read_note(text)
    assert (note.words, note.negated) == (affirmed, negated)


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("trace fat", {"fat": 1}),
        ("minimal inflammation", {"inflammation": 1}),
        ("Mild focal fibrosis", {"fibrosis": 2}),
        ("mild-moderate emphysema", {"emphysema": 2.5}),
        ("moderate autolysis & saponification", {"autolysis": 3}),
        ("Mod. steatosis", {"steatosis": 3}),
        ("severe vascular congestion", {"vascular": 4, "congestion": 4}),
        ("fibrosis (severe)", {"fibrosis": 4}),
        ("epithelium slightly sloughed", {"sloughed": 2}),
        ("mild congestion; marked congestion", {"congestion": 4}),
        ("no severe inflammation", {}),
        ("fibrosis", {}),
    ],
)
def test_severity(text, severity):
    assert read_note(text).severity == severity


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("~10% fat", {"fat": 10}),
        ("fat is 50% of aliquot", {"fat": 50}),
        ("~10% of aliquot is adipose", {"adipose": 10}),
        ("30—40% steatotic", {"steatotic": 35}),
        ("40 & 60% adipose", {"adipose": 50}),
        ("90+% fat", {"fat": 90}),
        ("Focal fibrosis, 20%. 9x7 mm", {"fibrosis": 20}),
        ("50-60% macrovesicular steatosis", {"macrovesicular": 55, "steatosis": 55}),
        ("about 20% intermingled fat", {"fat": 20}),
        ("Cortex is ~75% of specimen, 25% adipose", {"cortex": 75, "adipose": 25}),
        ("90% adipose; other has 20% adipose", {"adipose": 55}),
        ("mucosa is ~ 1.5% of thickness", {"mucosa": 1.5}),
        ("120% fat", {}),
    ],
)
def test_percent(text, percent):
    assert read_note(text).percent == percent


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("2 pieces, 8x6mm", 2),
        ("2  ~10x8mm pieces, all cortex.", 2),
        ("2   ~6.5x4.5mm aliquots", 2),
        ("6  ~6-10x4mm pieces", 6),
        ("2,~6x8 mm pieces", 2),
        ("Two pieces: 26x5mm", 2),
        ("1 of the 3 pieces has mucosa", 3),
        ("Two of five sections", 5),
        ("2 ~8 mm pieces.", 2),
        ("10 x 4mm pieces (3)", np.nan),
        ("13x5 mm; cortex", np.nan),
        ("(1-2) cortex", np.nan),
    ],
)
def test_pieces(text, pieces):
    np.testing.assert_equal(pieces_of(text), pieces)


def test_a_blank_category_cell_is_unlabelled_not_negative():
    table = categories(["fibrosis, cyst", "", "no_abnormalities", " Fibrosis"])
    assert list(table.columns) == ["cyst", "fibrosis", "no_abnormalities"]
    np.testing.assert_equal(table.to_numpy(), [[1, 1, 0], [np.nan] * 3, [0, 0, 1], [0, 1, 0]])


def test_contradictions_are_listed():
    told = contradictions(
        ["a", "b", "c", "d"],
        ["cyst, no_abnormalities", "no_abnormalities, clean_specimens", "", ""],
        ["Thyroid", "Thyroid", "Thyroid", "Artery - Tibial"],
        ["", "", "NOT thyroid; fat", "no thyroid, not visible"],
    )
    assert told.to_numpy().tolist() == [
        ["a", "cyst, no_abnormalities", "no_abnormalities beside cyst"],
        ["c", "NOT thyroid; fat", "the note says that it is not thyroid, listed as Thyroid"],
    ]


def test_annotation_columns_and_their_counts():
    """Six slides: fat in three notes (once as fats), negated in one; one slide without note, two without categories."""
    cells = ["fibrosis", "fibrosis, cyst", "", "cyst", "", "cyst"]
    notes = ["~10% fat; mild fibrosis", "fats, severe fibrosis", "no fat", "20% fat", "", "2 pieces"]
    table, counts = annotate(cells, notes, least=2)
    expected = {
        "category_cyst": [0, 1, np.nan, 1, np.nan, 1],
        "category_fibrosis": [1, 1, np.nan, 0, np.nan, 0],
        "note_fat": [1, 1, 0, 1, np.nan, 0],
        "note_fibrosis": [1, 1, 0, 0, np.nan, 0],
        "severity_fibrosis": [2, 4, 0, 0, np.nan, 0],
        "percent_fat": [10, np.nan, 0, 20, np.nan, np.nan],
        "pieces": [np.nan] * 5 + [2],
    }
    assert list(table.columns) == list(expected)
    for name, values in expected.items():
        np.testing.assert_equal(table[name].to_numpy(), values, err_msg=name)
    fat = counts.set_index("column").loc["note_fat"]
    assert fat.to_dict() == {"kind": "note", "present": 3, "absent": 2, "blank": 1, "negated": 1}
    # a word needs as many notes without it: fat stands in 3 of 5, so that with 3 it is no column
    assert "note_fat" not in annotate(cells, notes, least=3)[0]


def test_no_slide_at_all():
    table, counts = annotate([], [], 10)
    assert list(table.columns) == ["pieces"] and table.empty and len(counts) == 1


def test_real_notes(real_data):
    """265 slides of the portal; numbers counted here by regular expressions over the raw text."""
    with open(real_data / "gtex" / "GTEx_portal_histology_265.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    cells, notes = [row["Pathology Categories"] for row in rows], [row["Pathology Notes"] for row in rows]
    table, counts = annotate(cells, notes, least=10)
    assert len(table) == 265
    unlabelled = sum(not cell for cell in cells)
    named = {"fibrosis": 11, "steatosis": 11, "atrophy": 12, "spermatogenesis": 10, "adenoma": 1}
    for label, expected in named.items():
        column = table[f"category_{label}"]
        assert (column == 1).sum() == expected == sum(label in re.split(", *", cell) for cell in cells)
        assert column.isna().sum() == unlabelled == 159
    labels = {label for cell in cells for label in re.split(", *", cell) if label}
    assert len(labels) == 29 == (counts["kind"] == "category").sum()
    # 24 notes hold the word fat; in 2 of them it is negated and nowhere affirmed
    fat = [bool(re.search(r"\bfat\b", note, re.I)) for note in notes]
    none = [bool(re.search(r"\bno fat\b", note, re.I)) for note in notes]
    assert (sum(fat), sum(none)) == (24, 2)
    assert (table["note_fat"] == 1).sum() == 22 and counts.set_index("column").loc["note_fat", "negated"] == 2
    assert table.loc[np.array(fat) & ~np.array(none), "note_fat"].eq(1).all()
    preserved = sum(bool(re.search(r"\bpreserved\b", note, re.I)) for note in notes)
    assert (table["note_preserved"] == 1).sum() == preserved == 23
    assert (table["percent_fat"] > 0).sum() == 17 and table["percent_fat"].max() == 95
    # pieces: each note with a count of pieces or aliquots at its beginning
    leading = [re.match(r"(\d) +(?:pieces?|aliquots?)\b", note) for note in notes]
    for note, found, value in zip(notes, leading, table["pieces"], strict=True):
        assert found is None or value == int(found[1]), note
    assert sum(found is not None for found in leading) > 50
    against = contradictions([row["Tissue Sample ID"] for row in rows], cells, [row["Tissue"] for row in rows], notes)
    assert against.empty


def test_forms_of_a_finding_are_one_column():
    notes = [read_note(text) for text in ("atrophic ducts, no autolysis", "~80% autolyzed", "mild saponifcation; duct")]
    merged = merge_forms(notes)
    assert merged[0].words == {"atrophy", "duct"} and merged[0].negated == {"autolysis"}
    assert merged[1].percent == {"autolysis": 80} and merged[2].severity == {"saponification": 2}


def single(words):
    """Words without the s of a plural, so that the reader need not know which form the parser takes."""
    return {w[:-1] if w.endswith("s") and not w.endswith(("is", "ss", "us")) else w for w in words}


def numbers(cell):
    return {word: float(value) for word, value in (pair.split("=") for pair in cell.split(";") if pair)}


def test_notes_read_by_eye(real_data):
    """Precision and recall over all findings that the reader names in any of the sixty notes."""
    with open(real_data / "gtex" / "GTEx_portal_histology_265.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    parsed = merge_forms([read_note(row["Pathology Notes"]) for row in rows])
    notes = dict(zip([row["Tissue Sample ID"] for row in rows], parsed, strict=True))
    truth = read_table(READ).set_index("sample")
    assert len(truth) == 60
    words = {kind: [single(filter(None, cell.split(";"))) for cell in truth[kind]] for kind in ("present", "denied")}
    known = set().union(*words["present"], *words["denied"])
    counts = {kind: np.zeros(3, int) for kind in ("present", "denied", "severity", "percent")}
    for sample, present, denied in zip(truth.index, *words.values(), strict=True):
        note, row = notes[sample], truth.loc[sample]
        fair = known - single(filter(None, row["uncertain"].split(";")))
        for kind, said, wanted in (("present", note.words, present), ("denied", note.negated, denied)):
            got = single(said) & fair
            counts[kind] += len(got & wanted), len(got - wanted), len(wanted - got)
        for kind in ("severity", "percent"):
            got = {pair for pair in getattr(note, kind).items() if single([pair[0]]) <= fair}
            wanted = set(numbers(row[kind]).items())
            counts[kind] += len(got & wanted), len(got - wanted), len(wanted - got)
        np.testing.assert_equal(note.pieces, float(row["pieces"] or "nan"), err_msg=sample)
    rates = {kind: (hit / (hit + wrong), hit / (hit + missed)) for kind, (hit, wrong, missed) in counts.items()}
    assert counts["present"].sum() == 130 and rates["present"][0] == 1 and rates["present"][1] > 0.98
    assert counts["denied"].tolist() == [9, 0, 0] and counts["severity"].tolist() == [19, 0, 0]
    # a share of two tissues, and one that stands far from its word, are missed; none is wrong
    assert rates["percent"][0] == 1 and rates["percent"][1] > 0.8
