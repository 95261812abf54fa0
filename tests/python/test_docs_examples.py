"""The examples of docs/developing.md are run as they stand there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from hx_encoder import Encoder

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "developing.md").read_text()


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Runs the example below a heading, in a folder of its own: what it defines, by name."""
    monkeypatch.chdir(tmp_path)

    def run(heading: str) -> dict:
        code = re.search(rf"^## {heading}\n.*?^```python\n(.*?)^```", TEXT, re.M | re.S)[1]
        assert len([line for line in code.splitlines() if line.strip()]) < 20
        names: dict = {}
        exec(compile(code, f"docs/developing.md: {heading}", "exec"), names)
        return names

    return run


def test_encoder(example):
    example("Add an encoder")
    patches = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    encoder = Encoder(Path("mean_colour.onnx"), name="colour")
    assert (encoder.name, encoder.px, encoder.width) == ("colour", 64, 3)
    np.testing.assert_allclose(encoder.encode(patches), patches.mean(axis=(1, 2)), rtol=1e-5)


def test_statistic(example):
    rank_correlation = example("Add a statistic")["rank_correlation"]
    rng = np.random.default_rng(0)
    features, genes = rng.integers(0, 9, (40, 2)).astype(float), rng.normal(size=(40, 3))
    expected = spearmanr(np.hstack([features, genes])).statistic[:2, 2:]
    np.testing.assert_allclose(rank_correlation(features, genes), expected, atol=1e-12)
    # With a covariate: ranks, less what a regression on it explains, correlated.
    design = np.column_stack([np.ones(40), np.arange(40.0)])
    ranks = rankdata(np.hstack([features, genes]), axis=0)
    left = ranks - design @ np.linalg.lstsq(design, ranks)[0]
    expected = np.corrcoef(left, rowvar=False)[:2, 2:]
    np.testing.assert_allclose(rank_correlation(features, genes, design[:, 1:]), expected, atol=1e-12)


def test_section(example):
    rows = pd.DataFrame({"feature": ["a", "b"], "gene": ["x", "y<"], "rho": [0.1, -0.5]})
    shown = example("Add a section to the report")["rank_section"](rows)
    assert [row["rho"] for row in shown["data"].values()] == [-0.5, 0.1]
    assert shown["data"][next(iter(shown["data"]))]["gene"] == "y&lt;"
