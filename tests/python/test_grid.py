"""hx_grid: tissue fractions, patch choice, the patch file, one decode for all sizes, resizing."""

import hashlib
import time

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image
from slides_made import corrupt_tile, ellipse, glass, stain, write_slide

import hx_grid
from hx_cli import DataError
from hx_grid import (
    Grid,
    iter_blocks,
    patch_fractions,
    patch_grid,
    plan_reads,
    read_patches,
    resize_patch,
    thin,
    write_patches,
)
from hx_slide import Slide

SIZES = [128, 256, 512, 1024, 2048, 4096]


def full_grid(width: int, height: int, size: int) -> Grid:
    """Every patch of a slide."""
    return patch_grid(np.ones((1, 1), bool), (width, height), (width, height), size, min_tissue=1e-6)


def brute_fractions(mask, factor, slide_size, size, fine=20):
    """Oracle: the mask painted at a fraction of a level-0 pixel."""
    step = 1 / fine
    x = (np.arange(0, slide_size[0], step) + step / 2, slide_size[0])
    y = (np.arange(0, slide_size[1], step) + step / 2, slide_size[1])
    painted = mask[(y[0] / factor[1]).astype(int)][:, (x[0] / factor[0]).astype(int)]
    shape = (-(-slide_size[1] // size), -(-slide_size[0] // size))
    result = np.zeros(shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            top, left, side = row * size * fine, column * size * fine, size * fine
            result[row, column] = painted[top : top + side, left : left + side].sum() / side**2
    return result


@pytest.mark.parametrize("factor", [(1.0, 1.0), (4.0, 4.0), (3.75, 4.2), (0.5, 0.7), (70.0, 45.0)])
@pytest.mark.parametrize("size", [5, 8, 64])
def test_fractions_are_exact_areas(factor, size):
    rng = np.random.default_rng(0)
    width, height = 70, 45
    mask = rng.random((int(np.ceil(height / factor[1])), int(np.ceil(width / factor[0])))) < 0.5
    result = patch_fractions(mask, factor, (width, height), size)
    np.testing.assert_allclose(result, brute_fractions(mask, factor, (width, height), size), atol=0.004)


def test_fractions_of_nested_sizes_add_up():
    mask = np.random.default_rng(1).random((130, 140)) < 0.3
    small = patch_fractions(mask, (16.003, 15.99), (2048, 2048), 128)
    large = patch_fractions(mask, (16.003, 15.99), (2048, 2048), 512)
    np.testing.assert_allclose(small.reshape(4, 4, 4, 4).mean(axis=(1, 3)), large, atol=1e-12)


def test_off_slide_area_is_no_tissue():
    mask = np.ones((10, 10), bool)  # its last pixels reach beyond a slide of 150 px
    np.testing.assert_allclose(patch_fractions(mask, (16, 16), (150, 150), 128)[1], [22 / 128, (22 / 128) ** 2])


def test_rule_fraction_keeps_what_reaches_the_limit_row_by_row():
    mask = np.zeros((8, 8), bool)
    mask[:4, :2] = mask[4:, :6] = True  # patch of 4 mask pixels: 1/2, 0, 1, 1/2
    grid = patch_grid(mask, (16, 16), (128, 128), 64, min_tissue=0.5)
    assert grid.coords.tolist() == [[0, 0], [0, 64], [64, 64]] and grid.coords.dtype == np.int64
    assert grid.fraction.tolist() == [0.5, 1, 0.5] and grid.fraction.dtype == np.float32
    assert patch_grid(mask, (16, 16), (128, 128), 64, min_tissue=0.51).coords.tolist() == [[0, 64]]


def test_rule_centre_looks_at_one_pixel_inside_the_slide():
    mask = np.zeros((8, 8), bool)
    mask[2, 2] = mask[6, 6] = True  # centres of (0, 0) and (64, 64)
    grid = patch_grid(mask, (16, 16), (128, 128), 64, "centre")
    assert grid.coords.tolist() == [[0, 0], [64, 64]] and grid.fraction.tolist() == [0.0625, 0.0625]
    assert patch_grid(mask, (16, 16), (96, 96), 64, "centre").coords.tolist() == [[0, 0]]  # (96, 96) is outside
    assert len(patch_grid(np.ones((1, 1), bool), (16, 16), (16, 16), 128, "centre").coords) == 0


def test_thin_takes_exactly_as_many_spread_over_the_tissue():
    grid = full_grid(128 * 64, 128 * 64, 128)
    few = thin(grid, 64, 1, "S1")
    assert len(few.coords) == 64 and len(np.unique(few.coords, axis=0)) == 64
    cells = np.bincount((few.coords // 1024 @ [1, 8]).ravel(), minlength=64)
    assert cells.tolist() == [1] * 64  # one in each of the 64 cells of an 8 x 8 grid
    order = few.coords @ [1, 10**6]
    assert (np.diff(order) > 0).all()  # row by row
    assert thin(grid, 0, 1, "S1") is grid and thin(grid, 10**6, 1, "S1") is grid


def test_thin_depends_on_seed_sample_and_size_alone():
    grid = full_grid(6400, 6400, 128)
    first = thin(grid, 50, 1, "S1").coords.tolist()
    assert thin(grid, 50, 1, "S1").coords.tolist() == first
    half = Grid("64", 64, grid.coords // 2, grid.fraction)
    others = [thin(grid, 50, 2, "S1"), thin(grid, 50, 1, "S2"), thin(half, 50, 1, "S1")]
    assert all((np.array(first) != other.coords * (128 // other.size)).any() for other in others)
    assert len(thin(grid, 1, 3, "x").coords) == 1


def test_thin_gives_every_patch_the_same_chance():
    grid = full_grid(128 * 10, 128 * 7, 128)
    counts = np.zeros(70)
    for seed in range(2000):
        counts[(thin(grid, 7, seed, "S").coords // 128) @ [1, 10]] += 1
    # 200 expected, binomial SD 13.4: the largest of 70 stays within 4.5 SD
    assert counts.sum() == 14000 and np.abs(counts - 200).max() < 60


def test_patch_file_keeps_everything_contiguous_and_the_same_bytes(tmp_path):
    grid = thin(full_grid(2000, 1000, 128), 20, 1, "S1")
    attributes = {"name": "S1", "patch_size_level0": 128, "mpp_x": 0.5}
    digests = []
    for name in ("a.h5", "b.h5"):
        write_patches(tmp_path / name, grid, attributes, pen_fraction=grid.fraction * 0)
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        time.sleep(1.1)  # a time stamp would differ
    assert digests[0] == digests[1]
    sample, back, found = read_patches(tmp_path / "a.h5")
    assert (sample, back.size, found["mpp_x"]) == ("S1", 128, 0.5)
    np.testing.assert_array_equal(back.coords, grid.coords)
    np.testing.assert_array_equal(back.fraction, grid.fraction)
    with h5py.File(tmp_path / "a.h5") as file:
        assert all(file[name].chunks is None and len(file[name]) == 20 for name in file)


def test_empty_patch_file(tmp_path):
    empty = Grid("4096", 4096, np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
    write_patches(tmp_path / "e.h5", empty, {"name": "S1", "patch_size_level0": 4096})
    assert read_patches(tmp_path / "e.h5")[1].coords.shape == (0, 2)


def test_a_patch_file_of_another_tool_without_fractions(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("coords", data=[[0, 256], [256, 256]]).attrs.update(name="T", patch_size_level0=256)
    sample, grid, _ = read_patches(tmp_path / "t.h5")
    assert sample == "T" and grid.coords.tolist() == [[0, 256], [256, 256]] and np.isnan(grid.fraction).all()


def test_files_that_are_no_patch_files(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = [1]
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file["coords"] = [[0, 0]]
    for name in ("text.h5", "other.h5", "bare.h5", "gone.h5"):
        with pytest.raises(DataError, match=rf"{name}.*not a patch file"):
            read_patches(tmp_path / name)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A slide of 4700 x 4300 px, just over one super-block, with JPEG tiles of 240 px, and its tissue."""
    truth = ellipse(4300, 4700, (2350, 2150), (2200, 1900))
    picture = stain(glass(4300, 4700), truth)
    path = write_slide(tmp_path_factory.mktemp("drawn") / "drawn.tif", picture, factors=(16,), tile=240)
    mask = cv2.resize(truth.astype(np.uint8), None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA) > 0
    return path, [patch_grid(mask, (16, 16), (4700, 4300), size) for size in SIZES]


class Counting:
    """A slide that notes what is read."""

    def __init__(self, slide):
        self.slide, self.reads = slide, []
        self.width, self.height = slide.width, slide.height

    def read(self, *region):
        self.reads.append(region)
        return self.slide.read(*region)


def test_one_decode_is_pixel_identical_to_separate_reads(drawn):
    path, grids = drawn
    seen = {grid.size: set() for grid in grids}
    with Slide(path) as slide, Slide(path) as other:
        counting = Counting(slide)
        for size, index, patch in iter_blocks(counting, grids):
            x, y = next(grid for grid in grids if grid.size == size).coords[index]
            assert patch.shape == (size, size, 3)
            if size > 128 or index % 7 == 0:
                np.testing.assert_array_equal(patch, other.read(int(x), int(y), size, size))
            seen[size].add(index)
    assert all(seen[grid.size] == set(range(len(grid.coords))) for grid in grids)
    assert all(x + w <= slide.width and y + h <= slide.height for x, y, w, h in counting.reads)
    pixels = sum(w * h for _, _, w, h in counting.reads)
    assert pixels < 1.05 * 4700 * 4300  # separate reads decode six times as much


def test_order_and_pixels_do_not_depend_on_threads(drawn):
    path, grids = drawn
    runs = []
    for threads in (1, 3):
        with Slide(path) as slide:
            prepared = iter_blocks(slide, grids[1:], lambda patch: resize_patch(patch, 32), threads)
            runs.append([(size, index, patch.tobytes()) for size, index, patch in prepared])
    assert runs[0] == runs[1] and len(runs[0]) == sum(len(grid.coords) for grid in grids[1:])


def test_stopping_early_leaves_no_thread_behind(drawn):
    path, grids = drawn
    with Slide(path) as slide:
        blocks = iter_blocks(slide, grids, threads=2)
        assert next(blocks)[0] in SIZES
        blocks.close()


def test_few_patches_are_read_by_themselves(drawn):
    _, grids = drawn
    few = [thin(grid, 3, 1, "S") for grid in grids[:2]]
    reads = plan_reads(few)
    assert sum(read.w * read.h for read in reads) <= 3 * 128**2 + 3 * 256**2
    assert sorted(patch for read in reads for patch in read.patches) == [(s, i) for s in (128, 256) for i in range(3)]


@pytest.mark.parametrize("sizes", [[100, 300], [128, 300, 224], [600, 40], [1, 7], [512]])
def test_any_set_of_sizes_is_read(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(hx_grid, "BLOCK_PX", 256)
    picture = glass(640, 600, noise=30).clip(0, 255).round().astype(np.uint8)
    if sizes == [1, 7]:
        picture = picture[:20, :30]
    with Slide(write_slide(tmp_path / "s.tif", picture, factors=(), compression=None)) as slide:
        grids = [full_grid(slide.width, slide.height, size) for size in sizes]
        count = 0
        for size, index, patch in iter_blocks(slide, grids):
            x, y = grids[sizes.index(size)].coords[index]
            inside = picture[y : y + size, x : x + size]
            np.testing.assert_array_equal(patch[: inside.shape[0], : inside.shape[1]], inside)
            assert (patch[inside.shape[0] :] == slide.background).all()
            count += 1
        assert count == sum(len(grid.coords) for grid in grids)


def test_patches_over_the_edge_are_never_black(tmp_path):
    picture = stain(glass(1000, 1100), ellipse(1000, 1100, (1000, 900), (500, 500)))
    with Slide(write_slide(tmp_path / "s.tif", picture)) as slide:
        patches = list(iter_blocks(slide, [full_grid(1100, 1000, size) for size in (256, 512)]))
    assert len(patches) == 5 * 4 + 3 * 2
    assert all(patch.max(axis=2).min() > 60 for _, _, patch in patches)


def test_a_damaged_tile_costs_only_the_patches_on_it(tmp_path):
    path = write_slide(tmp_path / "s.tif", glass(1024, 1024))
    corrupt_tile(path, 0, 5)  # columns 256-511, rows 256-511
    grids = [full_grid(1024, 1024, size) for size in (128, 512, 1024)]
    with Slide(path) as slide:
        lost = {(size, index) for size, index, patch in iter_blocks(slide, grids, resize_patch, 2) if patch is None}
    at = {(size, *grids[i].coords[index]) for i, size in enumerate((128, 512, 1024)) for s, index in lost if s == size}
    assert at == {(128, x, y) for x in (256, 384) for y in (256, 384)} | {(512, 0, 0), (1024, 0, 0)}


def test_no_patches_at_all():
    empty = Grid("128", 128, np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
    assert plan_reads([empty]) == [] and list(iter_blocks(None, [empty])) == [] and list(iter_blocks(None, [])) == []


@pytest.mark.parametrize(("size", "kernel"), [(128, cv2.INTER_CUBIC), (512, cv2.INTER_AREA)])
def test_resize_is_area_down_and_cubic_up(size, kernel):
    patch = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    np.testing.assert_array_equal(resize_patch(patch), cv2.resize(patch, (299, 299), interpolation=kernel))
    np.testing.assert_array_equal(resize_patch(patch, size), patch)


def test_resize_down_is_the_mean_of_the_area():
    patch = np.random.default_rng(0).integers(0, 256, (598, 598, 3), np.uint8)
    means = patch.reshape(299, 2, 299, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_patch(patch) - means).max() <= 0.5


def test_resize_bilinear_is_the_studys():
    patch = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)[:512, 100:612]
    expected = Image.fromarray(np.ascontiguousarray(patch)).resize((299, 299), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_patch(patch, method="bilinear"), np.asarray(expected))
