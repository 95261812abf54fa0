"""What the report says of slides."""

import pandas as pd
import pytest

from hx_slide_sections import kinds_of, slide_counts, slide_problems, slide_quality, slide_sections

STATUS = pd.DataFrame(
    [
        ("S1", "Lung", "ok", "", "", "2.0", "100", "0.5", "A 1", "0", "0.1", "0"),
        ("S2", "Lung", "ok", "", "pen or ink, 3% of the tissue's area", "4.0", "300", "0.49", "A 2", "0.2", "0.3", ""),
        ("S3", "Lung", "unreadable", "empty file", "", "", "", "", "", "", "", ""),
        ("S4", "Skin", "partial", "1 damaged tile", "", "6.0", "50", "0.25", "", "0", "0", "0.5"),
    ],
    columns=[
        *("sample", "tissue_id", "status", "reason", "warnings", "tissue_mm2", "focus", "mpp", "scanner"),
        *("pen_fraction", "blur_fraction", "fold_fraction"),
    ],
)


def test_tables():
    assert slide_counts(STATUS).loc["Lung"].to_dict() == {"ok": 2, "partial": 0, "unreadable": 1}
    assert slide_problems(STATUS)["sample"].tolist() == ["S3", "S4", "S2"]  # the worst first
    quality = slide_quality(STATUS).set_index("tissue_id")
    lung = quality.loc["Lung"]
    assert (lung["slides"], lung["tissue_mm2"], lung["focus"], lung["scanners"]) == (2, 3.0, 200.0, 2)
    assert (lung["mpp_min"], lung["mpp_max"]) == (0.49, 0.5)
    assert lung[["pen", "blur"]].tolist() == pytest.approx([0.1, 0.2]) and lung["fold"] == 0
    assert quality.loc["Skin", "scanners"] == 0


def test_sections_follow_what_was_measured():
    assert [part["id"] for part in slide_sections(STATUS)] == ["slide_status", "slide_problems", "slide_quality"]
    given = STATUS[["sample", "tissue_id", "status", "reason"]]  # patch features were given: nothing was measured
    assert [part["id"] for part in slide_sections(given)] == ["slide_status", "slide_problems"]
    assert [part["id"] for part in slide_sections(None)] == ["slide_status"]


def test_warnings_are_counted_by_kind():
    assert kinds_of("pen: 3% of the tissue's area; no patch of 1024 px, 2048 px") == "pen; no patch of"
    assert kinds_of("mpp 0.1 x 0.2 of the tiff is outside; 12 damaged tiles") == "mpp; other" and kinds_of("") == ""


def test_scale_of_few_slides_has_no_percentile():
    many = pd.concat([STATUS[:1]] * 19 + [STATUS[1:2]], ignore_index=True).assign(sample=[f"S{k}" for k in range(20)])
    quality = slide_quality(many).iloc[0]
    assert quality[["mpp_p05", "mpp_p95"]].tolist() == pytest.approx([0.4995, 0.5])
    assert slide_quality(many[1:])[["mpp_p05", "mpp_p95"]].isna().all(axis=None)
