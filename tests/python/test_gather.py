"""hx_gather: one table a kind, of the files of all stages."""

import pytest

from hx_cli import Faults
from hx_gather import Kind, gather, typed
from hx_io import read_table


def test_files_of_a_kind_become_one_typed_table(tmp_path):
    (tmp_path / "256.curves.tsv").write_text("stage\tepoch\tloss\nhead\t1\t0.5\n")
    (tmp_path / "1024.grey.curves.tsv").write_text("stage\tepoch\tloss\nbase\t2\t\n")
    (tmp_path / "Lung.256.other.tsv").write_text("x\n1\n")
    faults = Faults()
    found = gather(tmp_path, {"curves": Kind(["stage"], ["size", "variant"]), "none": Kind(["x"])}, faults)
    assert list(found) == ["curves"] and not faults
    table = found["curves"]
    assert table["size"].tolist() == ["1024", "256"] and table["variant"].tolist() == ["grey", ""]
    assert table["loss"].isna().tolist() == [True, False] and table["loss"].dtype == float


def test_names_stay_text_and_so_do_mixed_columns(tmp_path):
    (tmp_path / "t.tsv").write_text("size\tn\tremark\n256\t3\t1\n512\t4\tmany\n")
    table = typed(read_table(tmp_path / "t.tsv"))
    assert table["size"].tolist() == ["256", "512"] and table["n"].tolist() == [3, 4]
    assert table["remark"].tolist() == ["1", "many"]


def test_a_column_that_is_missing_is_a_fault(tmp_path):
    (tmp_path / "a.curves.tsv").write_text("stage\nhead\n")
    faults = Faults()
    gather(tmp_path, {"curves": Kind(["stage", "epoch"])}, faults)
    with pytest.raises(Exception, match=r"a\.curves\.tsv, row 1: no column epoch"):
        faults.stop()
