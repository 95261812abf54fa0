"""What the report must say, and must never say, of associations."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from test_summarise import make_run

from hx_association_sections import association_sections, control_rows
from hx_report import all_settings, calibration
from summarise import main

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("verdict", "settings", "calibration", "genes", "controls", "listed_genes")  # tables of tests


@pytest.fixture(scope="module")
def sections(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("report")
    assert main(make_run(folder)) == 0
    paths = (folder / "out" / "multiqc").glob("*_mqc.json")
    return {path.name.removesuffix("_mqc.json"): json.loads(path.read_text()) for path in paths}


def test_every_table_of_tests_prints_what_it_can_detect(sections):
    for name in FAMILIES:
        assert "detectable_r" in sections[name]["headers"], name
        assert all(0 < row["detectable_r"] < 1 for row in sections[name]["data"].values()), name


def test_no_text_calls_anything_independent_of_confounders(sections):
    claim = re.compile(
        r"(independent|free) (of|from) (all |the |any |measured |known )*(confound|covariate|technical)", re.I
    )
    assert claim.search("hits independent of the measured confounders")
    texts = {name: json.dumps(content) for name, content in sections.items()}
    places = [*(ROOT / "bin").glob("hx_*sections.py"), ROOT / "bin" / "hx_report.py", *(ROOT / "assets").glob("*.toml")]
    for name, text in {**texts, **{path.name: path.read_text() for path in places}}.items():
        for found in claim.finditer(" ".join(re.sub(r'"\s*f?"', "", text).split())):
            raise AssertionError(f"{name}: {found.group()}")


def summary() -> pd.DataFrame:
    """Rows of a setting and all controls that can run."""
    hits = {"none": 50, "shuffle_donors": 0, "shuffle_within": 1, "unadjusted": 90, "unadjusted_within": 60}
    rows = pd.DataFrame({"control": [*hits, "wrong_tissue"], "hits": [*hits.values(), 7]})
    fixed = {"setting": "Lung.256.raw.mean", "tissue_id": "Lung", "size": "256", "encoder": "raw", "pairs": 100}
    fixed |= {"aggregation": "mean", "strata": "", "n": 90, "dof": 80, "genes_found": 5, "genes_with_hit": 5}
    fixed |= {"features_with_hit": 3, "lambda_gc": 1.0, "share_p05": 0.05, "share_p001": 0.001, "detectable_r": 0.4}
    return rows.assign(**fixed, listed_genes=2, listed_found=1, listed_hits=3)


def test_counts_of_every_control_stand_beside_the_real_ones():
    rows = all_settings(summary())
    assert len(rows) == 1
    shown = {name: rows[name].iloc[0] for name in rows if "hits" in name and name != "listed_hits"}
    assert shown == {
        "hits": 50, "control_hits": 0, "hits_shuffle_within": 1, "hits_unadjusted": 90, "hits_unadjusted_within": 60,
        "hits_wrong_tissue": 7,
    }  # fmt: skip
    assert not calibration(summary())["control"].str.startswith("unadjusted").any()


def test_controls_say_how_to_read_them():
    controls = control_rows(summary(), summary().iloc[:1])
    assert controls["control"].tolist() == [
        "none", "shuffle_donors", "shuffle_within", "unadjusted", "unadjusted_within", "wrong_tissue",
    ]  # fmt: skip
    (section,) = association_sections({"controls": controls})
    for text in ("unadjusted_within beside unadjusted", "recorded with error", "as strong as ischaemia", "robustness"):
        assert text in section["description"]
    assert "listed_found" in section["headers"]
    few = controls[~controls["control"].str.startswith("unadjusted")].assign(listed_genes=0)
    (section,) = association_sections({"controls": few})
    assert "recorded with error" not in section["description"] and "listed_found" not in section["headers"]
