"""Encoder `texture` on its way through extraction: no file, measured on the blocks that patches are cut from."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import openslide
import pandas as pd
import pytest
from encoders_made import write_encoder
from extraction_made import SIDE, contents, coords, extract, put_slides
from slides_made import corrupt_tile, write_slide

from hx_cli import DataError
from hx_companion_pixels import measure_patches
from hx_companions import COMPANIONS, NAMES, ORIGIN
from hx_draw import SlideSpec, draw_slide
from hx_encoder import BUILT_IN, named_file, open_encoders
from hx_features import read_extremes, read_patch_features, read_summary
from hx_grid import Grid, write_patches
from hx_io import read_table

SIZES = (64, 128, 256, 512, 96)  # 96 nests with none
GLASS = np.array([243, 242, 244])
MPP = 0.47


def put_patches(folder: Path, sizes: tuple[int, ...] = SIZES, shift: float = 0.0, mpp: float = MPP) -> Path:
    """Patch files of S1 with a tissue fraction that differs between patches."""
    for size in sizes:
        xy = coords(size)
        xy = xy[(xy + size <= SIDE).all(axis=1)]
        told = {"name": "S1", "size_name": str(size), "patch_size_level0": size, "mpp_x": mpp, "background": GLASS}
        fraction = (np.arange(len(xy)) % 5 / 5 + shift).astype(np.float32)
        path = folder / f"{size}px" / "patches" / "S1_patches.h5"
        write_patches(path, Grid(str(size), size, xy, fraction), told)
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_slide(folder / "S1.tif", draw_slide(SlideSpec(SIDE), np.random.default_rng(1)).image)
    put_patches(folder / "patches")
    write_encoder(folder / "tiny.onnx")
    put_slides(folder / "slides.tsv", ["S1"])
    return folder


def run(cohort: Path, outdir: Path, **changed: object) -> Path:
    assert extract(cohort, outdir, **{"encoders": ["texture"], **changed}) == 0
    return outdir


@pytest.fixture(scope="module")
def extracted(cohort, tmp_path_factory) -> Path:
    return run(cohort, tmp_path_factory.mktemp("extracted"))


def read(outdir: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    found = read_patch_features(outdir / f"{size}px" / "features_texture" / "S1.h5")
    assert found.origin == ORIGIN and found.features.shape[1] == len(COMPANIONS)
    return found.features, found.coords


def test_features_are_those_of_the_pixels_alone(cohort, extracted):
    for size in SIZES:
        features, xy = read(extracted, size)
        assert len(features) == (SIDE // size) ** 2
        with openslide.OpenSlide(cohort / "S1.tif") as slide:
            for i in range(0, len(xy), 1 + len(xy) // 12):
                patch = np.asarray(slide.read_region(tuple(xy[i].tolist()), 0, (size, size)))[..., :3]
                fraction = np.array([np.float32(i % 5 / 5)])
                alone = measure_patches(patch, np.zeros((1, 2), int), np.array([size]), fraction, GLASS, MPP)
                np.testing.assert_array_equal(features[i], alone[0])


def test_bytes_do_not_depend_on_threads_or_other_sizes(cohort, extracted, tmp_path):
    assert contents(run(cohort, tmp_path / "threads", threads=3)) == contents(extracted)
    few = run(cohort, tmp_path / "few", patches=put_patches(tmp_path / "p", (128, 96)))
    for size in (128, 96):
        path = Path(f"{size}px/features_texture/S1.h5")
        assert (few / path).read_bytes() == (extracted / path).read_bytes()


def test_beside_a_network_each_gets_its_own(cohort, extracted, tmp_path):
    both = contents(run(cohort, tmp_path / "both", encoders=["texture", f"tiny@128={cohort / 'tiny.onnx'}"]))
    alone = contents(run(cohort, tmp_path / "alone", encoders=[f"tiny@128={cohort / 'tiny.onnx'}"]))
    of_texture = {name: value for name, value in contents(extracted).items() if "summary" not in name}
    of_tiny = {name: value for name, value in alone.items() if "features_tiny" in name}
    assert len(of_tiny) == 1 and len(of_texture) == len(SIZES)
    assert {name: value for name, value in both.items() if "summary" not in name} == of_texture | of_tiny


def test_patches_of_a_damaged_block_are_read_alone(cohort, extracted, tmp_path):
    shutil.copy(cohort / "S1.tif", tmp_path)
    corrupt_tile(tmp_path / "S1.tif", 0, 5)  # at (256, 256)
    out = run(cohort, tmp_path / "out", slide_dir=tmp_path)
    assert read_table(out / "Lung.b3.extract.tsv")["status"].tolist() == ["partial"]
    for size in (128, 256):
        (features, xy), (whole, all_xy) = read(out, size), read(extracted, size)
        kept = ~((all_xy + size > 256) & (all_xy < 512)).all(axis=1)
        assert 0 < len(xy) < len(all_xy)
        np.testing.assert_array_equal(xy, all_xy[kept])
        np.testing.assert_array_equal(features, whole[kept])


def test_extremes_are_of_the_features(extracted):
    path = extracted / "summaries" / "S1.summary.h5"
    for size in SIZES:
        features, xy = read(extracted, size)
        found = read_extremes([path], str(size), "texture", range(len(NAMES)))["S1"]
        np.testing.assert_array_equal(found.values[[0, 2]], [features.max(axis=0), features.min(axis=0)])
        np.testing.assert_array_equal(found.coords[0], xy[features.argmax(axis=0)])
        np.testing.assert_array_equal(found.values[1], np.sort(features, axis=0)[-2])


CHANGES = {
    "fractions": (lambda f: {"patches": put_patches(f / "p", shift=0.01)}, 0),
    "mpp": (lambda f: {"patches": put_patches(f / "p", mpp=0.48)}, 0),
    "resize": (lambda _: {"resize": "bilinear"}, len(SIZES)),
    "nothing": (lambda _: {}, len(SIZES)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_taken_over(cohort, extracted, tmp_path, change, capsys):
    make, taken = CHANGES[change]
    options = make(tmp_path) | {"save_patch_features": "none"}
    whole = run(cohort, tmp_path / "whole", **options)
    out = run(cohort, tmp_path / "out", summaries=extracted / "summaries", **options)
    assert contents(out) == contents(whole)
    assert f"taken over: {taken} of {len(SIZES)} summaries" in capsys.readouterr().err


def test_summaries_without_extremes_are_taken_over(cohort, extracted, tmp_path, capsys):
    shutil.copytree(extracted / "summaries", tmp_path / "earlier")
    with h5py.File(tmp_path / "earlier" / "S1.summary.h5", "a") as file:
        for size in SIZES:
            del file[f"{size}/texture/extreme_values"], file[f"{size}/texture/extreme_coords"]
    out = run(cohort, tmp_path / "out", summaries=tmp_path / "earlier", save_patch_features="none")
    path = out / "summaries" / "S1.summary.h5"
    assert read_extremes([path], "128", "texture", [0]) == {}
    assert read_summary(path, "128")[1]["texture"].n == (SIDE // 128) ** 2
    assert "no extreme patches in the earlier summaries of S1" in capsys.readouterr().err


def test_patch_files_of_other_tools_lack_the_tissue(cohort, tmp_path):
    put_patches(tmp_path / "p", (128,))
    with h5py.File(tmp_path / "p/128px/patches/S1_patches.h5", "a") as file:
        del file["tissue_fraction"]
    out = run(cohort, tmp_path / "out", patches=tmp_path / "p")
    row = read_table(out / "Lung.b3.extract.tsv").iloc[0]
    assert row["status"] == "unreadable"
    assert "128 px has no tissue_fraction, which encoder texture needs: give the files of segment" in row["reason"]
    assert run(cohort, tmp_path / "tiny", patches=tmp_path / "p", encoders=[cohort / "tiny.onnx"])


def test_slides_that_tell_no_scale(cohort, tmp_path):
    """Then 0.5 micrometres a pixel are assumed, as everywhere."""
    nominal, told = (
        run(cohort, tmp_path / name, patches=put_patches(tmp_path / f"{name}p", (128,), mpp=mpp))
        for name, mpp in (("a", np.nan), ("b", 0.5))
    )
    assert contents(nominal) == contents(told)


def test_names_of_encoders(tmp_path):
    assert [one.name for one in open_encoders([named_file("texture")])] == ["texture"]
    assert named_file("./texture").path == Path("texture") and named_file("texture").path is None
    path = write_encoder(tmp_path / "a.onnx")
    assert [one.name for one in open_encoders([named_file("texture"), named_file(str(path))])] == ["texture", "tiny"]
    with pytest.raises(DataError, match=r"encoders of one name, texture"):
        open_encoders([named_file("texture")] * 2)
    for given in (f"texture={path}", f"texture@128={path}"):
        with pytest.raises(DataError, match=r"a\.onnx: encoder texture is built in: give it another name"):
            open_encoders([named_file(given)])
    assert all(one.width == len(one.measure(np.zeros((8, 8, 3), np.uint8), np.zeros((1, 2), int), np.array([8]),
               np.ones(1), GLASS, 0.5)[0]) for one in BUILT_IN.values())  # fmt: skip


def test_real_slides(real_data, cohort, tmp_path):
    """Both real slides: what a pathologist sees in them is in the numbers."""
    sizes, rows, means = (
        {"CMU-1-Small-Region": (2220, 2967, 0.499), "TCGA-CR-7395-01A-01-TS1": (4443, 3567, np.nan)},
        [],
        {},
    )
    for sample, (width, height, mpp) in sizes.items():
        rows.append(
            {"sample": sample, "donor": sample, "tissue": "T", "tissue_id": "T", "slide": f"{sample}.svs", "mpp": ""}
        )
        steps = np.meshgrid(np.arange(0, width - 255, 256), np.arange(0, height - 255, 256))
        xy = np.stack(steps, axis=-1).reshape(-1, 2).astype(np.int64)
        told = {"name": sample, "size_name": "256", "patch_size_level0": 256, "mpp_x": mpp}
        path = tmp_path / "p" / f"{sample}_patches.h5"
        write_patches(path, Grid("256", 256, xy, np.ones(len(xy), np.float32)), told)
    pd.DataFrame(rows).to_csv(tmp_path / "slides.tsv", sep="\t", index=False)
    folders = {"slide_dir": real_data / "slides", "patches": tmp_path / "p", "slides": tmp_path / "slides.tsv"}
    out = run(cohort, tmp_path / "out", **folders)
    for sample in sizes:
        features = read_patch_features(out / "256px" / "features_texture" / f"{sample}.h5").features
        assert np.isfinite(features).all()
        tissue = features[features[:, NAMES.index("white")] < 0.5]
        means[sample] = dict(zip(NAMES, tissue.mean(axis=0).tolist(), strict=True))
    skin, tumour = means.values()
    assert skin["haematoxylin"] > 1.5 * tumour["haematoxylin"] and skin["eosin"] < tumour["eosin"]
    assert skin["hue"] < -40 < tumour["hue"] < -20  # violet against pink
    assert skin["contrast_fine"] > tumour["contrast_fine"] and 2000 < skin["nuclei"] < 9000
    assert 18 < skin["nucleus_area"] < 50
