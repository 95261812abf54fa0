"""sample_patches.py: the files it writes for one patch size, and what it refuses."""

import cv2
import numpy as np
import pandas as pd
import pytest

from hx_io import read_table
from hx_join import donor_fold
from hx_training import TrainingPatches, no_patches, read_training, training_name, write_training
from sample_patches import main

PX = 12


def batch(tissue: str, donors: int, each: int, colour: tuple[int, int, int], px: int = PX) -> TrainingPatches:
    """`each` patches of one slide of every donor, all of one colour."""
    rows = [(f"{tissue}-{d}", f"D{d}", tissue, 256 * i, 0) for d in range(donors) for i in range(each)]
    text = {name: np.array([row[i] for row in rows], object) for i, name in enumerate(("sample", "donor", "tissue_id"))}
    return TrainingPatches(
        *("256", px, "area", np.full((len(rows), px, px, 3), colour, np.uint8)),
        coords=np.array([row[3:] for row in rows], np.int64),
        **text,
        fold=np.array([donor_fold(row[1], 1) for row in rows], np.int64),
    )


@pytest.fixture
def files(tmp_path):
    paths = []
    for i, part in enumerate(
        (batch("Lung", 11, 4, (200, 40, 40)), batch("Skin", 3, 2, (40, 200, 40)), no_patches("256", PX, "area"))
    ):
        tissue = ("Lung", "Skin", "Spleen")[i]
        paths.append(tmp_path / f"parts{i}" / training_name("256", f"{tissue}.b0"))
        write_training(paths[-1], part)
    return paths


def run(files, out, *more: str) -> int:
    return main(["--files", *map(str, files), "--size", "256", "--patches", "20", "--outdir", str(out), *more])


def test_all_files_of_a_size(files, tmp_path):
    out = tmp_path / "out"
    assert run(files, out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        *("256.dropped.tsv", "256.training.h5", "256.training.tsv", "256.training_counts.tsv"),
        "contact_sheet_256_mqc.jpg",
    ]
    patches, table = read_training(out / "256.training.h5"), read_table(out / "256.training.tsv")
    assert table.columns.tolist() == ["sample", "donor", "tissue_id", "fold", "x", "y"]
    assert table["sample"].tolist() == patches.sample.tolist() and len(table) == 26
    assert table[["x", "y"]].astype(int).to_numpy().tolist() == patches.coords.tolist()
    assert (table["fold"].astype(int) == [donor_fold(donor, 1) for donor in table["donor"]]).all()
    counts = read_table(out / "256.training_counts.tsv").set_index("tissue_id").astype(int)
    assert counts.loc["Lung", ["donors", "slides", "patches"]].tolist() == [11, 11, 20]
    assert counts.loc["Skin", ["donors", "slides", "patches"]].tolist() == [3, 3, 6]
    folds = pd.Series([donor_fold(f"D{d}", 1) for d in range(11)]).value_counts()
    assert counts.loc["Lung"].iloc[3:].tolist() == [folds.get(fold, 0) for fold in range(5)]


def test_a_tissue_without_patches_is_a_loss_and_fewer_than_asked_for_is_not(files, tmp_path):
    assert run(files, tmp_path) == 0
    dropped = read_table(tmp_path / "256.dropped.tsv")
    assert dropped.to_numpy().tolist() == [
        ["Spleen", "tissue", "sample_patches", "no training patch of 256 px on any slide"]
    ]


def test_only_batches_without_patches(files, tmp_path):
    assert run(files[2:], tmp_path) == 0
    assert len(read_training(tmp_path / "256.training.h5").coords) == 0
    assert read_table(tmp_path / "256.training_counts.tsv").empty
    assert len(read_table(tmp_path / "256.dropped.tsv")) == 1


def test_contact_sheet_has_a_row_a_tissue_with_eight_patches(files, tmp_path):
    assert run(files, tmp_path) == 0
    sheet = cv2.imread(str(tmp_path / "contact_sheet_256_mqc.jpg"))[..., ::-1].astype(int)
    for colour, shown in (((200, 40, 40), 8), ((40, 200, 40), 6)):
        close = (np.abs(sheet - colour).max(axis=2) < 30).astype(np.uint8)
        close = cv2.morphologyEx(close, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
        assert cv2.connectedComponents(close)[0] - 1 == shown


def test_the_same_input_gives_the_same_bytes_in_any_order(files, tmp_path):
    assert run(files, tmp_path / "1") == run(files[::-1], tmp_path / "2") == 0
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name
    assert run(files, tmp_path / "3", "--seed", "2") == 0
    other = (tmp_path / "3" / "256.training.tsv").read_bytes()
    assert other != (tmp_path / "1" / "256.training.tsv").read_bytes()


def test_files_that_do_not_go_together(files, tmp_path, capsys):
    write_training(tmp_path / "wide.h5", batch("Liver", 1, 1, (9, 9, 9), px=13))
    assert run([*files, tmp_path / "wide.h5"], tmp_path / "out") == 65
    told = capsys.readouterr().err
    assert "differ in px" in told and "wide.h5" in told
    assert not (tmp_path / "out").exists()


def test_every_wrong_file_is_named(files, tmp_path, capsys):
    (tmp_path / "text.h5").write_text("sample,donor")
    assert run([files[0], tmp_path / "text.h5", tmp_path / "absent.h5"], tmp_path / "out") == 65
    told = capsys.readouterr().err
    assert "text.h5" in told and "absent.h5" in told and "2 faults" in told
    assert main(["--files", str(files[0]), "--size", "512", "--outdir", str(tmp_path)]) == 65
    assert "patches of size 256, not 512" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--patches", "0"], ["--size", "big"], ["--patches", "many"]])
def test_wrong_options_are_usage_errors(files, tmp_path, wrong):
    with pytest.raises(SystemExit) as left:
        run(files, tmp_path, *wrong)
    assert left.value.code == 2
