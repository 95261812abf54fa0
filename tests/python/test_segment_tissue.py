"""segment_tissue: the files and the QC row of every slide, good or bad."""

import hashlib
import json
import shutil

import cv2
import h5py
import numpy as np
import openslide
import pandas as pd
import pytest
from slide_formats_made import write_mirax
from slides_made import GLASS, corrupt_tile, ellipse, glass, stain, write_slide

from hx_draw import SlideSpec, draw_slide
from hx_grid import read_patches, resize_patch
from hx_slide import Slide
from hx_training import read_training
from segment_tissue import FOCUS_PX, FOCUS_WINDOWS, main, tissue_mask

TRIDENT = {
    *("patch_size", "patch_size_level0", "level0_magnification", "target_magnification", "overlap"),
    *("name", "savetodir", "level0_width", "level0_height"),
}
CLAM = {"patch_level", "downsample", "downsampled_level_dim", "level_dim", "custom_downsample", "save_path"}
TRUTH = ellipse(1536, 1536, (760, 700), (550, 500))


def table(path, rows):
    """Write a slides.tsv: rows of (sample, slide, mpp)."""
    lines = ["sample\tdonor\ttissue\ttissue_id\tslide\tmpp\tbatch"]
    lines += [f"{sample}\tD-{sample}\tLung\tLung\t{slide}\t{mpp}\tLung.b3" for sample, slide, mpp in rows]
    path.write_text("\n".join(lines) + "\n")


def run(folder, *more, out="out"):
    return main(
        [
            *("--slides", str(folder / "slides.tsv"), "--slide-dir", str(folder / "slides"), "--batch-id", "Lung.b3"),
            *("--outdir", str(folder / out), *more),
        ]
    )


def quality(folder, out="out"):
    table = pd.read_csv(folder / out / "Lung.b3.slides_qc.tsv", sep="\t").set_index("sample")
    text = ["status", "reason", "warnings"]
    return table.assign(**table[text].fillna(""))


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """A good slide, one with ink, and every kind of bad slide; segmented at three sizes."""
    folder = tmp_path_factory.mktemp("batch")
    slides = folder / "slides"
    slides.mkdir()
    good = stain(glass(1536, 1536), TRUTH)
    write_slide(slides / "good.tif", good)
    inked = good.copy()
    inked[512:768, 300:1200] = (30, 60, 160)
    write_slide(slides / "ink.tif", inked, mpp=None)
    write_slide(slides / "blank.tif", glass(1024, 1024, (246, 228, 236)))
    write_slide(slides / "tiny.tif", glass(16, 16), factors=(), tile=16)
    write_slide(slides / "bit.tif", stain(glass(1536, 1280), ellipse(1536, 1280, (512, 768), (40, 700))))
    (slides / "empty.tif").touch()
    whole = (slides / "good.tif").read_bytes()
    (slides / "short.tif").write_bytes(whole[: len(whole) // 2])
    (slides / "end.tif").write_bytes(whole[:-20])
    (slides / "text.tif").write_text("no slide")
    write_slide(slides / "part.tif", good, factors=())
    corrupt_tile(slides / "part.tif", 0, 8)  # columns 512-767, rows 256-511
    names = ["good", "ink", "blank", "tiny", "bit", "empty", "short", "end", "text", "part", "gone"]
    table(folder / "slides.tsv", [(f"S.{n}", f"{n}.tif", "0.25" if n == "ink" else "") for n in reversed(names)])
    assert run(folder, "--patch-sizes", "512,128,2048", "--threads", "2") == 0
    return folder


def test_every_slide_has_a_row_and_every_lost_slide_is_listed(batch):
    rows = quality(batch)
    assert rows["status"].to_dict() == {
        "S.bit": "no_tissue",
        "S.blank": "no_tissue",
        "S.empty": "unreadable",
        "S.end": "unreadable",
        "S.gone": "unreadable",
        "S.good": "ok",
        "S.ink": "ok",
        "S.part": "partial",
        "S.short": "unreadable",
        "S.text": "unreadable",
        "S.tiny": "unreadable",
    }
    assert rows.index.is_monotonic_increasing
    for sample, reason in {"bit": "no patch of any size", "blank": "nothing but glass", "empty": "0 bytes"}.items():
        assert reason in rows.loc[f"S.{sample}", "reason"]
    assert "no such file" in rows.loc["S.gone", "reason"] and "cut short" in rows.loc["S.short", "reason"]
    dropped = pd.read_csv(batch / "out" / "Lung.b3.dropped.tsv", sep="\t")
    assert dropped.columns.tolist() == ["id", "kind", "stage", "reason"]
    assert dropped["id"].tolist() == [s for s in rows.index if rows.loc[s, "status"] not in ("ok", "partial")]
    assert set(dropped["kind"]) == {"slide"} and set(dropped["stage"]) == {"segment_tissue"}
    assert dropped["reason"].str.contains("unreadable: empty.tif: empty file").any()


def test_measures_of_a_good_slide(batch):
    row = quality(batch).loc["S.good"]
    assert (row["width"], row["height"], row["levels"], row["mpp_source"]) == (1536, 1536, 3, "tiff")
    assert row["vendor"] == "generic-tiff"
    assert float(row["mpp"]) == pytest.approx(0.5) and row["magnification"] == 20
    assert row["tissue_mm2"] == pytest.approx(TRUTH.sum() * 0.25e-6, rel=0.02)
    assert row["tissue_fraction"] == pytest.approx(TRUTH.mean(), rel=0.02)
    assert [row[name] for name in ("red", "green", "blue")] == pytest.approx([200, 120, 165], abs=4)
    assert row["glass_source"] == "glass" and list(bytes.fromhex(row["glass"][1:])) == pytest.approx(GLASS, abs=2)
    assert row["focus"] > 0 and row["pen_fraction"] == 0 and row["n_bad_tiles"] == 0
    assert row["warnings"] == "no patch of 2048 px" and row["n_patches_2048"] == 0


def test_patch_files_hold_the_grid_and_both_families_of_attributes(batch):
    row = quality(batch).loc["S.good"]
    for size in (128, 512, 2048):
        path = batch / "out" / f"{size}px" / "patches" / "S.good_patches.h5"
        sample, grid, attributes = read_patches(path)
        assert (sample, grid.size, len(grid.coords)) == ("S.good", size, row[f"n_patches_{size}"])
        assert set(attributes) >= TRIDENT | CLAM
        assert attributes["patch_size"] == size and attributes["patch_level"] == 0
        assert attributes["target_magnification"] == attributes["level0_magnification"] == 20
        assert attributes["level_dim"].tolist() == [1536, 1536] and attributes["downsample"].tolist() == [1, 1]
        assert (attributes["level0_width"], attributes["mpp_x"]) == (1536, pytest.approx(0.5))
        assert (grid.coords % size == 0).all() and (grid.fraction >= 0.5 - 1e-6).all()
        expected = [TRUTH[y : y + size, x : x + size].mean() for x, y in grid.coords]
        np.testing.assert_allclose(grid.fraction, expected, atol=0.08)
        with h5py.File(path) as file:
            assert file["pen_fraction"].shape == file["tissue_fraction"].shape == (len(grid.coords),)
    for sample in ("S.blank", "S.short", "S.bit"):
        assert not list((batch / "out").rglob(f"{sample}_patches.h5"))


def test_pictures_show_the_outline(batch):
    thumbnail = cv2.imread(str(batch / "out" / "thumbnails" / "S.good.jpg"))
    assert max(thumbnail.shape[:2]) <= 1400
    green = (thumbnail[..., 1].astype(int) - thumbnail.max(axis=2, where=[True, False, True], initial=0)) > 60
    y, x = np.nonzero(green)
    scale = 1536 / thumbnail.shape[1]
    assert (x.min() * scale, x.max() * scale) == pytest.approx((210, 1310), abs=25)
    assert (y.min() * scale, y.max() * scale) == pytest.approx((200, 1200), abs=25)
    mask = cv2.imread(str(batch / "out" / "masks" / "S.good.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (96, 96) and set(np.unique(mask)) == {0, 255}
    content = json.loads((batch / "out" / "geojson" / "S.good.geojson").read_text())
    assert len(content["features"]) == 1
    assert content["features"][0]["properties"]["area_mm2"] == pytest.approx(TRUTH.sum() * 0.25e-6, rel=0.02)
    assert json.loads((batch / "out" / "geojson" / "S.blank.geojson").read_text())["features"] == []
    assert (batch / "out" / "thumbnails" / "S.blank.jpg").exists()
    assert (batch / "out" / "figures" / "S.good.figure2.jpg").exists()
    assert not (batch / "out" / "figures" / "S.blank.figure2.jpg").exists()
    assert not (batch / "out" / "thumbnails" / "S.short.jpg").exists()


def test_ink_is_a_warning_and_is_flagged_per_patch_but_not_cut_out(batch):
    row = quality(batch).loc["S.ink"]
    assert "pen: " in row["warnings"] and row["mpp_source"] == "sheet"
    assert 0.6 < row["pen_fraction"] / (256 * 900 / TRUTH.sum()) < 1.05  # what mixes with tissue is not seen
    with h5py.File(batch / "out" / "128px" / "patches" / "S.ink_patches.h5") as file:
        inked, coords = file["pen_fraction"][:], file["coords"][:]
    assert inked.max() > 0.75 and (inked[(coords[:, 1] < 384) | (coords[:, 1] > 768)] == 0).all()
    good = quality(batch).loc["S.good", "n_patches_128"]
    assert len(coords) >= good


def test_damaged_tiles_are_counted(batch):
    row = quality(batch).loc["S.part"]
    assert row["n_bad_tiles"] >= 1 and "damaged tiles" in row["reason"]
    _, grid, _ = read_patches(batch / "out" / "128px" / "patches" / "S.part_patches.h5")
    inside = (grid.coords[:, 0] // 256 == 2) & (grid.coords[:, 1] // 256 == 1)
    assert not inside.any() and len(grid.coords) > 30


def test_nothing_depends_on_threads_or_on_the_folder(batch, tmp_path):
    shutil.copytree(batch / "slides", tmp_path / "slides")
    shutil.copy(batch / "slides.tsv", tmp_path)
    assert run(tmp_path, "--patch-sizes", "128,512,2048", "--threads", "1") == 0
    assert not any(str(batch).encode() in path.read_bytes() for path in (batch / "out").rglob("*.*"))
    assert digests(tmp_path / "out") == digests(batch / "out")


@pytest.fixture
def one(batch, tmp_path):
    """The good slide alone."""
    (tmp_path / "slides").mkdir()
    shutil.copy(batch / "slides" / "good.tif", tmp_path / "slides")
    table(tmp_path / "slides.tsv", [("A", "good.tif", "")])
    return tmp_path


def test_max_patches_is_per_size_and_follows_the_seed(one):
    assert run(one, "--patch-sizes", "128,256", "--max-patches", "9", "--seed", "1", out="a") == 0
    assert run(one, "--patch-sizes", "256", "--max-patches", "9", "--seed", "1", out="b") == 0
    assert run(one, "--patch-sizes", "128,256", "--max-patches", "9", "--seed", "2", out="c") == 0
    a, b, c = (read_patches(one / out / "256px" / "patches" / "A_patches.h5")[1].coords.tolist() for out in "abc")
    assert a == b != c and len(a) == 9  # a size more or less changes nothing
    assert quality(one, "a").loc["A", ["n_patches_128", "n_patches_256"]].tolist() == [9, 9]


def test_the_studys_choices(one):
    assert run(one, "--patch-sizes", "128", "--segmentation", "otsu", "--patch-rule", "centre") == 0
    _, grid, attributes = read_patches(one / "out" / "128px" / "patches" / "A_patches.h5")
    assert (attributes["segmentation"], attributes["patch_rule"]) == ("otsu", "centre")
    centre = grid.coords + 64
    assert TRUTH[centre[:, 1], centre[:, 0]].mean() > 0.9


def test_a_wrong_scale_of_the_sheet_is_a_warning(one):
    table(one / "slides.tsv", [("A", "good.tif", "250")])
    assert run(one, "--patch-sizes", "128") == 0
    row = quality(one).loc["A"]
    assert "mpp 250 x 250 of the sheet is outside" in row["warnings"] and row["mpp_source"] == "tiff"


def test_faults_of_the_table_come_at_once(one, capsys):
    table(one / "slides.tsv", [("A", "good.tif", "1"), ("A", "good.tif", "half"), ("B", "b.tif", "")])
    assert run(one) == 65
    message = capsys.readouterr().err
    assert "row 3: sample 'A'" in message and "row 3: slide 'good.tif'" in message and "'half'" in message
    (one / "slides.tsv").write_text("sample\tslide\nA\tgood.tif\n")
    assert run(one) == 65
    assert "no column donor, tissue, tissue_id, mpp" in capsys.readouterr().err


def test_sizes_in_micrometres_are_one_field_of_view_at_any_scale(one):
    shutil.copy(one / "slides" / "good.tif", one / "slides" / "fine.tif")
    table(one / "slides.tsv", [("A", "good.tif", "0.5"), ("B", "fine.tif", "0.2527"), ("C", "good.tif", "0.5")][:2])
    assert run(one, "--patch-sizes", "64um,128um") == 0
    for sample, sides in (("A", (128, 256)), ("B", (253, 506))):
        for name, side in zip(("64um", "128um"), sides, strict=True):
            _, grid, attributes = read_patches(one / "out" / name / "patches" / f"{sample}_patches.h5")
            assert (grid.name, grid.size, attributes["size_name"]) == (name, side, name)
            assert len(grid.coords) == quality(one).loc[sample, f"n_patches_{name}"] > 0
    write_slide(one / "slides" / "none.tif", stain(glass(1536, 1536), TRUTH), mpp=None)
    table(one / "slides.tsv", [("A", "good.tif", ""), ("B", "none.tif", "")])
    assert run(one, "--patch-sizes", "64um,8um", out="b") == 0
    rows = quality(one, "b")
    assert rows.loc["A", "status"] == "ok" and rows.loc["A", "n_patches_8um"] > 0
    assert rows.loc["B", "status"] == "unreadable" and "column mpp" in rows.loc["B", "reason"]
    assert run(one, "--patch-sizes", "2um", out="c") == 0
    assert "at least 16" in quality(one, "c").loc["A", "reason"]


def with_columns(folder, **columns):
    path = folder / "slides.tsv"
    rows = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    rows.assign(**columns).to_csv(path, sep="\t", index=False)


def test_a_slide_without_a_pyramid_is_decoded_once(tmp_path, monkeypatch):
    """Each pixel of level 0, for strips, overview and pictures; the windows in which focus is measured aside."""
    (tmp_path / "slides").mkdir()
    write_slide(
        tmp_path / "slides" / "a.tif", stain(glass(3000, 2500), ellipse(3000, 2500, (1200, 1500), (900, 1100))), ()
    )
    table(tmp_path / "slides.tsv", [("A", "a.tif", "")])
    decoded, windows = np.zeros((3000, 2500), np.uint8), []
    read_region = openslide.OpenSlide.read_region

    def counting(self, location, level, size):
        if size == (FOCUS_PX, FOCUS_PX):
            windows.append(location)
        else:
            (x, y), (w, h) = location, size
            decoded[y : y + h, x : x + w] += 1
        return read_region(self, location, level, size)

    monkeypatch.setattr(openslide.OpenSlide, "read_region", counting)
    assert run(tmp_path, "--patch-sizes", "256") == 0
    assert (decoded == 1).all() and len(windows) == FOCUS_WINDOWS
    thumbnail = cv2.imread(str(tmp_path / "out" / "thumbnails" / "A.jpg"))
    assert thumbnail.shape == (1400, 1166, 3)
    figure = cv2.imread(str(tmp_path / "out" / "figures" / "A.figure2.jpg"))
    assert figure.shape[0] > 900  # the panels are full size


def test_an_edited_outline_takes_the_place_of_the_segmentation(one):
    ring = [[0, 0], [512, 0], [512, 768], [0, 768], [0, 0]]
    (one / "slides" / "edited.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    (one / "slides" / "not.geojson").write_text("tissue here")
    for name in ("b.tif", "c.tif"):
        shutil.copy(one / "slides" / "good.tif", one / "slides" / name)
    table(one / "slides.tsv", [("A", "good.tif", ""), ("B", "b.tif", ""), ("C", "c.tif", "")])
    with_columns(one, tissue_geojson=["edited.geojson", "not.geojson", ""])
    assert run(one, "--patch-sizes", "256") == 0
    rows = quality(one)
    assert rows["status"].tolist() == ["ok", "unreadable", "ok"]  # the rest of the batch goes on
    assert "tissue_geojson not.geojson: no readable GeoJSON" in rows.loc["B", "reason"]
    assert rows["segmentation"].fillna("").tolist() == ["geojson", "", "glass"]
    _, grid, attributes = read_patches(one / "out" / "256px" / "patches" / "A_patches.h5")
    assert grid.coords.tolist() == [[x, y] for y in (0, 256, 512) for x in (0, 256)]
    assert attributes["segmentation"] == "geojson"
    assert rows.loc["A", "tissue_mm2"] == pytest.approx(512 * 768 * 0.25e-6, rel=0.05)


def test_files_that_belong_to_a_slide_are_found_beside_it(tmp_path):
    (tmp_path / "slides").mkdir()
    write_mirax(tmp_path / "slides" / "a.mrxs", stain(glass(1536, 1536), TRUTH))
    (tmp_path / "slides" / "slides2").mkdir()
    (tmp_path / "slides" / "a").rename(tmp_path / "slides" / "slides2" / "a")
    table(tmp_path / "slides.tsv", [("A", "a.mrxs", "")])
    assert run(tmp_path, "--patch-sizes", "256", out="alone") == 0
    assert quality(tmp_path, "alone").loc["A", "status"] == "unreadable"
    with_columns(tmp_path, parts="slides2/a")
    assert run(tmp_path, "--patch-sizes", "256") == 0
    assert quality(tmp_path).loc["A", ["status", "vendor"]].tolist() == ["ok", "mirax"]


def test_training_patches_are_cut_in_the_same_pass(one):
    shutil.copy(one / "slides" / "good.tif", one / "slides" / "b.tif")
    write_slide(one / "slides" / "blank.tif", glass(600, 600))
    table(one / "slides.tsv", [("A", "good.tif", ""), ("B", "b.tif", ""), ("C", "blank.tif", "")])
    with_columns(one, fold=["3", "0", "1"], training="4")
    assert run(one, "--patch-sizes", "128,2048", "--training-px", "96", "--max-patches", "2") == 0
    patches = read_training(one / "out" / "training" / "128.Lung.b3.training.h5")
    assert patches.pixels.shape == (8, 96, 96, 3) and patches.sample.tolist() == ["A"] * 4 + ["B"] * 4
    assert patches.fold.tolist() == [3] * 4 + [0] * 4  # not thinned by --max-patches
    x, y = patches.coords[0]
    with Slide(one / "slides" / "good.tif") as slide:
        np.testing.assert_array_equal(patches.pixels[0], resize_patch(slide.read(int(x), int(y), 128, 128), 96))
    assert len(read_training(one / "out" / "training" / "2048.Lung.b3.training.h5").coords) == 0
    with_columns(one, training="0")
    assert run(one, "--patch-sizes", "128", out="none") == 0
    assert not (one / "none" / "training").exists()


def test_blur_and_folds_are_flagged_and_nothing_is_cut_out_for_them(tmp_path):
    drawn = draw_slide(SlideSpec(px=2048), np.random.default_rng(5)).image
    blurred = cv2.GaussianBlur(drawn, (0, 0), 16)
    (tmp_path / "slides").mkdir()
    write_slide(tmp_path / "slides" / "sharp.tif", drawn)
    write_slide(tmp_path / "slides" / "blurred.tif", np.hstack([drawn[:, :1024], blurred[:, 1024:]]))
    table(tmp_path / "slides.tsv", [("A", "sharp.tif", ""), ("B", "blurred.tif", "")])
    assert run(tmp_path, "--patch-sizes", "256") == 0
    rows = quality(tmp_path)
    assert rows.loc["A", "blur_fraction"] < 0.05 < 0.25 < rows.loc["B", "blur_fraction"]
    assert "blur: " in rows.loc["B", "warnings"] and "blur" not in rows.loc["A", "warnings"]
    assert abs(rows.loc["A", "n_patches_256"] - rows.loc["B", "n_patches_256"]) <= 2
    with h5py.File(tmp_path / "out" / "256px" / "patches" / "B_patches.h5") as file:
        flagged, x = file["blur_fraction"][:], file["coords"][:, 0]
        assert flagged[x < 768].mean() < 0.1 and flagged[x >= 1280].mean() > 0.5
        assert set(file) == {"coords", "tissue_fraction", "pen_fraction", "blur_fraction", "fold_fraction"}
    assert rows[["haematoxylin", "eosin"]].gt(0).all(axis=None)


@pytest.mark.parametrize("seed", range(4))
def test_the_mask_is_the_true_outline_of_a_drawn_slide(tmp_path, seed):
    spec = SlideSpec(px=1536, stain=(1.0, 0.85, 1.15, 0.9)[seed])
    drawn = draw_slide(spec, np.random.default_rng(seed))
    truth = np.zeros((1536, 1536), np.uint8)
    cv2.fillPoly(truth, drawn.outline, 1)
    with Slide(write_slide(tmp_path / "a.tif", drawn.image)) as slide:
        mask, _ = tissue_mask(slide, "glass", None)
    found, truth = cv2.resize(mask.view(np.uint8), truth.shape, interpolation=cv2.INTER_NEAREST) > 0, truth > 0
    assert (found & truth).sum() / (found | truth).sum() >= 0.95


@pytest.mark.parametrize("colour", [(243, 228, 236), (246, 242, 220), (225, 226, 228)], ids=["pink", "yellow", "grey"])
def test_blank_glass_of_any_colour_gives_no_patch(tmp_path, colour):
    (tmp_path / "slides").mkdir()
    noise = np.random.default_rng(0).normal(0, 3, (1024, 1024, 3))
    blank = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    write_slide(tmp_path / "slides" / "a.tif", blank)
    table(tmp_path / "slides.tsv", [("A", "a.tif", "")])
    assert run(tmp_path, "--patch-sizes", "128,256,512") == 0
    row = quality(tmp_path).loc["A"]
    assert row["status"] == "no_tissue" and not list(tmp_path.rglob("*_patches.h5"))


@pytest.mark.parametrize(
    "option",
    [
        *("--training-px=0", "--patch-sizes=128,64um"),
        *("--patch-sizes=0", "--patch-sizes=128,x", "--patch-sizes=128,128", "--patch-sizes=", "--patch-sizes=-128"),
        *("--min-tissue=0", "--min-tissue=1.1", "--max-patches=-1", "--threads=0", "--segmentation=magic"),
    ],
)
def test_usage_errors(one, option):
    with pytest.raises(SystemExit) as error:
        run(one, option)
    assert error.value.code == 2


def test_real_slides(real_data, tmp_path):
    shutil.copytree(real_data / "slides", tmp_path / "slides")
    table(tmp_path / "slides.tsv", [("C", "CMU-1-Small-Region.svs", ""), ("T", "TCGA-CR-7395-01A-01-TS1.svs", "")])
    assert run(tmp_path, "--patch-sizes", "128,256,512,1024", "--threads", "2") == 0
    rows = quality(tmp_path)
    assert rows["status"].tolist() == ["ok", "ok"] and "no mpp" in rows.loc["T", "warnings"]
    counts = rows[[f"n_patches_{size}" for size in (128, 256, 512, 1024)]]
    assert (counts.loc["C"] >= [145, 35, 7, 1]).all() and (counts.loc["C"] <= [175, 45, 12, 3]).all()
    assert rows.loc["C", ["scanner", "scan_date"]].tolist() == ["Aperio CPAPERIOCS", "2009-12-29"]
    assert (counts.loc["T"] >= [600, 150, 35, 6]).all() and (counts.loc["T"] <= [640, 170, 42, 9]).all()
