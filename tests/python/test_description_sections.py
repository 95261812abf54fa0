"""hx_description_sections: what the report shows of features that were described."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hx_cli import Faults
from hx_description_sections import TABLES, coloured, description_sections
from hx_gather import gather
from hx_io import write_tsv
from hx_mqc import write_sections

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tables(tmp_path) -> dict[str, pd.DataFrame]:
    """Tables of two tissues as the stages write them, gathered."""
    rng = np.random.default_rng(0)
    for tissue in ("Lung", "Skin"):
        setting = f"{tissue}.256.raw.mean"
        features = [f"raw_{k:04d}" for k in range(4)]
        described = pd.DataFrame({
            "setting": setting, "encoder": "raw", "feature": features[:2], "label": "", "chosen_for": "named",
            "sentence": ["tracks eosin <b> (rho .82)", "unexplained: nothing"], "technical": ["yes", ""],
            "r2_cv": [0.61, np.nan], "p": [0.001, 1.0], "term": ["eosin", ""], "group": ["companion", ""],
            "rho": [0.82, np.nan], "terms": [1, 0], "n": 30, "candidates": 20,
        })  # fmt: skip
        told = pd.DataFrame([(setting, 30, 4, 0, 3, 2, 2.5)])
        told.columns = ["setting", "donors", "features", "dead", "clusters", "largest_cluster", "effective"]
        r = np.corrcoef(rng.standard_normal((4, 30)))
        pairs = [(setting, a, b, r[i, j]) for i, a in enumerate(features) for j, b in enumerate(features)]
        pcs = pd.DataFrame(rng.standard_normal((30, 2)), columns=["PC1", "PC2"])
        pcs = pcs.assign(
            setting=setting, donor=[f"D{k}" for k in range(30)], AGE=rng.integers(20, 70, 30), sex=[0, 1] * 15
        )
        factors = [
            (setting, name, "donor", pc, 0.3, r2) for name, r2 in (("AGE", 0.1), ("sex", 0.4)) for pc in ("PC1", "PC2")
        ]
        maps = pd.DataFrame([(setting, "S1", "raw_0000", "feature", 9, 0.5, 0, 1, "maps/S1.01.raw_0000.png")])
        maps.columns = ["setting", "sample", "name", "what", "n_patches", "mean", "low", "high", "picture"]
        written = {
            "descriptions": described,
            "feature_structure": told,
            "feature_correlations": pd.DataFrame(pairs, columns=["setting", "feature", "other", "r"]),
            "feature_pcs": pcs,
            "feature_pc_factors": pd.DataFrame(
                factors, columns=["setting", "factor", "group", "component", "share", "r2"]
            ),
            "feature_maps": maps,
        }
        for kind, table in written.items():
            write_tsv(table, tmp_path / f"{tissue}.256.{kind}.tsv")
    faults = Faults()
    found = gather(tmp_path, TABLES, faults)
    faults.stop()
    return found


def test_sections_of_all_tables(tables):
    made = {part["id"]: part for part in description_sections(tables)}
    assert list(made) == [
        "descriptions",
        "feature_structure",
        *("feature_correlations_Lung", "feature_correlations_Skin"),
        *("feature_pcs_Lung", "feature_pcs_Skin"),
        "feature_maps",
    ]
    rows = made["descriptions"]["data"]
    assert rows["raw_0000, Lung"]["sentence"] == "tracks eosin &lt;b&gt; (rho .82)"
    assert rows["raw_0000, Lung"]["r2_cv"] == 0.61 and "r2_cv" not in rows["raw_0001, Lung"]
    matrix = made["feature_correlations_Lung"]["data"]
    assert len(matrix) == 4 and all(matrix[name][name] == 1 for name in matrix)
    points = made["feature_pcs_Skin"]
    # The factor that goes most with the components comes first; its two levels have the ends of the colours.
    assert [label["name"] for label in points["pconfig"]["data_labels"]] == ["sex", "AGE"]
    assert {group: len(found) for group, found in points["data"][0].items()} == {"0": 15, "1": 15}
    assert {found[0]["color"] for found in points["data"][0].values()} == {"#440154", "#fde725"}
    assert made["feature_maps"]["data"]["S1"]["mean"] == 0.5


def test_nothing_described_nothing_shown():
    assert description_sections({}) == []


def test_missing_tables_leave_the_others(tables):
    shown = description_sections({name: tables[name] for name in ("descriptions", "feature_pcs")})
    assert [part["id"] for part in shown] == ["descriptions", "feature_pcs_Lung", "feature_pcs_Skin"]
    assert shown[1]["pconfig"]["data_labels"] == [{"name": "donors"}]


def test_numbers_are_coloured_by_fifths():
    names, colours = coloured(pd.Series(np.arange(100.0)))
    assert len(set(names)) == 5 and [names.count(name) for name in dict.fromkeys(names)] == [20, 20, 20, 20, 20]
    assert colours[0] == "#440154" and colours[99] == "#fde725"


def test_multiqc_shows_them_in_their_place(tables, tmp_path):
    write_sections(description_sections(tables), tmp_path / "in")
    command = [
        Path(sys.executable).parent / "multiqc",
        "--no-version-check",
        "--quiet",
        "--filename",
        "multiqc_report",
        "--outdir",
        tmp_path / "out",
    ]
    config = ROOT / "assets" / "multiqc_config.yml"
    subprocess.run([*map(str, command), "--config", str(config), str(tmp_path / "in")], check=True)
    page = (tmp_path / "out" / "multiqc_report.html").read_text()
    wanted = ["descriptions", "feature_maps", "feature_structure", "feature_correlations", "feature_pcs"]
    places = [page.index(f'id="mqc-module-section-{name}"') for name in wanted]
    assert places == sorted(places)
    for tissue in ("Lung", "Skin"):
        assert f"feature_pcs_{tissue}" in page
    assert json.loads((tmp_path / "in" / "descriptions_mqc.json").read_text())["plot_type"] == "table"
