"""What somebody may put into a table, a slide or a model to make a run execute, read or write something."""

import struct
from pathlib import Path

import pandas as pd
import pytest
from encoders_made import write_encoder
from slides_made import glass, write_slide

from check_cohort import main as check_cohort
from hx_cli import DataError
from hx_encoder import named_file, open_encoders
from hx_io import read_table, write_tsv
from hx_join import ID_PATTERN, tissue_id
from hx_slide import Slide, SlideError

HOSTILE = (
    "$(touch CANARY)",
    "`touch CANARY`",
    "a;touch CANARY",
    "a'b",
    'a"b',
    "a b",
    "../../CANARY",
    "/etc/passwd",
    "-rf",
    "--help",
    "a\nb",
    "é",
    "a‮b",
    ".hidden",
    "a\\b",
    "a|b",
    "a*",
)
FORMULAS = ("=1+1", "=HYPERLINK(1)", "+A1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", " =1", "--x")
PLAIN = ("-", "+", "-0.5", "-1e-05", "+3", ".5", "-inf", "x=1", "GTEX-1", "5'-UTR", "'quoted'", "")


@pytest.mark.parametrize("column", ["sample", "donor"])
def test_ids_that_a_shell_or_a_file_system_would_read_are_refused(tmp_path, monkeypatch, capsys, column):
    monkeypatch.chdir(tmp_path)
    rows = [{"sample": f"S{i}", "donor": f"D{i}", "tissue": "Lung", "slide": f"s{i}.svs"} for i in range(len(HOSTILE))]
    sheet = pd.DataFrame([row | {column: text} for row, text in zip(rows, HOSTILE, strict=True)])
    sheet.to_csv("sheet.csv", index=False)
    Path("tpm.tsv").write_text("gene\tS1\tS2\nG1\t1\t2\n")
    code = check_cohort(["--samplesheet", "sheet.csv", "--expression", "tpm.tsv", "--expression-unit", "tpm"])
    assert code == 65
    said = capsys.readouterr().err
    # A line end within quotes is not part of the cell: that id is a plain one.
    assert said.count(f": {column} ") == len(HOSTILE) - 1
    assert {path.name for path in tmp_path.rglob("*")} == {"sheet.csv", "tpm.tsv"}


@pytest.mark.parametrize("text", [*HOSTILE, *FORMULAS])
def test_a_tissue_of_any_name_makes_a_harmless_id(text):
    made = tissue_id(text)
    assert made == "" or ID_PATTERN.match(made)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_in_a_published_table_and_comes_back(tmp_path, text):
    write_tsv(pd.DataFrame({"gene": [text], "r": [-0.5]}), tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_text() == f"gene\tr\n'{text}\t-0.5\n"
    assert read_table(tmp_path / "t.tsv").loc[0, "gene"] == text


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_formula_stays_as_it_is(tmp_path, text):
    write_tsv(pd.DataFrame({"gene": [text], "r": [-0.5]}), tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_text() == f"gene\tr\n{text}\t-0.5\n"
    assert read_table(tmp_path / "t.tsv").loc[0, "gene"] == text


def with_tag(path: Path, tag: int, value: int) -> Path:
    """Give all pages of a little-endian classic TIFF another value of a tag of one number."""
    data = bytearray(path.read_bytes())
    (page,) = struct.unpack_from("<I", data, 4)
    while page:
        (count,) = struct.unpack_from("<H", data, page)
        for entry in range(page + 2, page + 2 + 12 * count, 12):
            if struct.unpack_from("<H", data, entry)[0] == tag:
                struct.pack_into("<HII", data, entry + 2, 4, 1, value)
        (page,) = struct.unpack_from("<I", data, page + 2 + 12 * count)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("tag", [256, 257])
def test_a_slide_that_declares_an_absurd_size_is_refused(tmp_path, tag):
    path = with_tag(write_slide(tmp_path / "s.tif", glass(512, 512), factors=()), tag, (1 << 31) - 256)
    with pytest.raises(SlideError, match=r"s\.tif: .*(larger than any slide|damaged|not a slide)"):
        Slide(path)


def test_a_slide_of_huge_tiles_is_refused(tmp_path):
    path = with_tag(with_tag(write_slide(tmp_path / "s.tif", glass(512, 512), factors=()), 322, 1 << 18), 323, 1 << 18)
    with pytest.raises(SlideError, match=r"s\.tif: (tiles of 262144 x 262144 px|damaged|not a slide)"):
        Slide(path)


def test_an_encoder_of_absurd_size_is_refused(tmp_path):
    with pytest.raises(DataError, match="input of 8192 px: at most 4096"):
        open_encoders([named_file(str(write_encoder(tmp_path / "wide.onnx", None, px=8192)))])
    with pytest.raises(DataError, match="65552 features: at most 65536"):
        open_encoders([named_file(str(write_encoder(tmp_path / "long.onnx", None, width=(1 << 16) + 16)))])
    with open(tmp_path / "large.onnx", "wb") as handle:
        handle.truncate(1 << 31)
    with pytest.raises(DataError, match="an ONNX file holds at most 2147483647"):
        open_encoders([named_file(str(tmp_path / "large.onnx"))])
