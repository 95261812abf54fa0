"""The genotypes file: what is written is read back, in blocks, by donor, and missing is never a number."""

import h5py
import numpy as np
import pandas as pd
import pytest

import hx_genotypes
from hx_cli import DataError
from hx_genotypes import blocks, read_genotypes, write_genotypes

DONORS = ["D1", "D2", "D3", "D4", "D5"]
UNITS = np.array([0, 100, 200, 255, 37, 163], dtype=np.uint8)


def made(path, variants: int = 50, ids=None):
    """A small file, its (variants, donors) uint8."""
    units = np.random.default_rng(3).choice(UNITS, (variants, len(DONORS)))
    table = pd.DataFrame(
        {
            "id": ids or [f"rs{k}" for k in range(variants)],
            "chrom": ["1"] * (variants // 2) + ["10"] * (variants - variants // 2),
            "pos": np.arange(variants) + 1,
            "ref": "A",
            "alt": ["G" if k % 2 else "GTTT" for k in range(variants)],
            "alt_frequency": 0.25,
            "missing": (units == 255).sum(axis=1),
            "mac": 2.5,
            "hwe_p": 0.5,
        }
    )
    pcs = np.arange(10.0).reshape(5, 2)
    write_genotypes(path, DONORS, table, lambda a, b: units[a:b], pcs, "GRCh38", {"read": variants}, size=7)
    return units, table, pcs


def copies(units: np.ndarray) -> np.ndarray:
    return np.where(units == 255, np.nan, units / 100)


def test_what_is_written_is_read(tmp_path):
    units, table, pcs = made(tmp_path / "g.h5")
    found = read_genotypes(tmp_path / "g.h5")
    assert found.donors.tolist() == DONORS and found.build == "GRCh38"
    assert np.array_equal(found.pcs, pcs)
    pd.testing.assert_frame_equal(found.variants, table, check_dtype=False)
    rows, values = next(blocks(found, DONORS))
    assert np.array_equal(rows, np.arange(50)) and values.dtype == np.float32
    np.testing.assert_array_equal(values, copies(units).astype(np.float32))
    assert np.isnan(values[units == 255]).all() and (values[units == 200] == 2).all()


def test_blocks_follow_the_donors_and_variants_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(hx_genotypes, "_SPARSE", 2)
    units, _, _ = made(tmp_path / "g.h5")
    found, order = read_genotypes(tmp_path / "g.h5"), ["D4", "D1", "D5"]
    keep = np.zeros(50, dtype=bool)
    keep[[0, 1, 2, 3, 4, 5, 30, 31, 49]] = True
    parts = list(blocks(found, order, size=4, keep=keep))
    assert all(len(rows) <= 4 and rows[-1] - rows[0] < 8 for rows, _ in parts)
    assert np.array_equal(np.concatenate([rows for rows, _ in parts]), np.flatnonzero(keep))
    np.testing.assert_array_equal(
        np.concatenate([values for _, values in parts]), copies(units)[keep][:, [3, 0, 4]].astype(np.float32)
    )
    assert list(blocks(found, order, keep=np.zeros(50, dtype=bool))) == []


def test_long_and_other_names_survive(tmp_path):
    long = "chr1_" + "ACGT" * 200 + "_A_b38"
    ids = [long, "Größe", *(f"rs{k}" for k in range(48))]
    made(tmp_path / "g.h5", ids=ids)
    assert read_genotypes(tmp_path / "g.h5").variants["id"].tolist() == ids


def test_the_same_bytes(tmp_path):
    made(tmp_path / "a.h5")
    made(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_bad_files_and_unknown_donors_are_named(tmp_path):
    made(tmp_path / "g.h5")
    with pytest.raises(DataError, match="no genotypes of donor D9"):
        next(blocks(read_genotypes(tmp_path / "g.h5"), ["D1", "D9"]))
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(DataError, match="not a readable genotypes file"):
        read_genotypes(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="not a genotypes file of HistoGEx"):
        read_genotypes(tmp_path / "other.h5")
    with h5py.File(tmp_path / "g.h5", "a") as file:
        del file["donors"]
        file["donors"] = np.array(["D1"], dtype=object)
    with pytest.raises(DataError, match="50 variants and 1 donors"):
        read_genotypes(tmp_path / "g.h5")
