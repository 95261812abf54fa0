"""Technical factors of slides by donor."""

import numpy as np
import pandas as pd
import pytest

from hx_slide_factors import slide_factors

STATUS = pd.DataFrame({
    "sample": ["S1", "S2", "S3", "S4", "S5"],
    "status": ["ok", "partial", "unreadable", "ok", "ok"],
    "tissue_mm2": ["2", "4", "", "7", "1"],
    "focus": ["100", "", "", "30", "1"],
    "scanner": ["A 1", "A 2", "", "", "Z"],
    "scan_date": ["2012-05-01", "2011-01-31", "", "", ""],
})  # fmt: skip


def test_means_and_texts_of_the_usable_slides():
    found = slide_factors(STATUS, pd.Series({"D2": "S4", "D1": "S1;S2;S3", "D3": "S3", "D4": "gone"}))
    assert found.index.tolist() == ["D2", "D1", "D3", "D4"]
    assert list(found.columns) == ["slide_tissue_mm2", "slide_focus", "slide_scanner", "slide_scan_date"]
    assert found["slide_tissue_mm2"].tolist() == pytest.approx([7, 3, np.nan, np.nan], nan_ok=True)
    assert found["slide_focus"].tolist() == pytest.approx([30, 100, np.nan, np.nan], nan_ok=True)
    assert found["slide_scanner"].tolist() == ["", "A 1;A 2", "", ""]
    assert found.loc["D1", "slide_scan_date"] == "2011-01-31;2012-05-01"


def test_tables_without_measures_give_no_columns():
    assert slide_factors(STATUS[["sample", "status"]], pd.Series({"D1": "S1"})).shape == (1, 0)
