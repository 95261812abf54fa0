"""hx_training and hx_training_cut: the file of training patches, the choice among donors, and the pixels."""

import hashlib
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from slides_made import corrupt_tile, ellipse, glass, stain, write_slide

import hx_training
from hx_cli import DataError
from hx_grid import Grid, patch_grid, resize_patch, thin
from hx_join import donor_fold
from hx_slide import Slide
from hx_training import (
    TrainingPatches,
    batch_tissue,
    choose,
    gather,
    no_patches,
    read_pixels,
    read_training,
    read_training_rows,
    training_name,
    write_training,
)
from hx_training_cut import cut_training

PX = 8


def made(slides: list[tuple[str, str, str, int]], px: int = PX, size: str = "256", seed: int = 1) -> TrainingPatches:
    """Random patches: (sample, donor, tissue, number of patches) a slide; not sorted."""
    rng = np.random.default_rng([seed, *map(ord, "".join(one[0] for one in slides))])
    rows = [(s, d, t, int(x), int(y)) for s, d, t, n in slides for x, y in np.argwhere(np.ones((n, 1))) * 256]
    rng.shuffle(rows)
    text = {name: np.array([row[i] for row in rows], object) for i, name in enumerate(("sample", "donor", "tissue_id"))}
    return TrainingPatches(
        *(size, px, "area", rng.integers(0, 256, (len(rows), px, px, 3), dtype=np.uint8)),
        coords=np.array([row[3:] for row in rows], np.int64).reshape(-1, 2),
        **text,
        fold=np.array([donor_fold(row[1], seed) for row in rows], np.int64),
    )


def by_key(patches: TrainingPatches) -> dict[tuple, tuple]:
    """Everything about a patch, by what names it."""
    return {
        patches.key(i): (patches.donor[i], patches.tissue_id[i], int(patches.fold[i]), patches.pixels[i].tobytes())
        for i in range(len(patches.coords))
    }


def test_a_file_comes_back_sorted_and_whole(tmp_path):
    patches = made([("b", "D2", "Lung", 5), ("a", "D1", "Ærø", 12), ("a-1", "D1", "Lung", 3)])
    path = tmp_path / "sub" / "256.Lung.b0.training.h5"
    write_training(path, patches)
    back = read_training(path)
    assert by_key(back) == by_key(patches) and len(back.coords) == 20
    keys = [(back.sample[i], back.coords[i, 1], back.coords[i, 0]) for i in range(20)]
    assert keys == sorted(keys)
    assert back[:3] == ("256", PX, "area")
    assert back.pixels.dtype == np.uint8 and back.coords.dtype == back.fold.dtype == np.int64
    rows = read_training_rows(path)
    assert rows.pixels is None and rows.donor.tolist() == back.donor.tolist()
    np.testing.assert_array_equal(read_pixels(path, [7, 2, 2]), back.pixels[[7, 2, 2]])
    with h5py.File(path) as file:
        assert {name: str(file[name].dtype) for name in ("pixels", "coords", "fold", "sample")} == {
            **{"pixels": "uint8", "coords": "int64", "fold": "int64", "sample": "object"}
        }
        assert all(dataset.chunks is None and dataset.compression is None for dataset in file.values())
        assert dict(file.attrs) == {"size": "256", "px": PX, "resize": "area", "schema_version": 1}


def test_the_same_patches_give_the_same_bytes(tmp_path):
    parts = [made([("b", "D2", "Lung", 5)]), made([("a", "D1", "Lung", 4)])]
    write_training(tmp_path / "1.h5", *parts)
    write_training(tmp_path / "2.h5", *parts[::-1])
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    assert by_key(read_training(tmp_path / "1.h5")) == by_key(parts[0]) | by_key(parts[1])
    with pytest.raises(ValueError, match="agree"):
        write_training(tmp_path / "3.h5", parts[0], made([("c", "D", "Lung", 1)], size="512"))
    assert not list(tmp_path.glob(".*"))


def test_no_patches_is_a_file(tmp_path):
    write_training(tmp_path / "empty.h5", no_patches("128um", PX, "bilinear"))
    back = read_training(tmp_path / "empty.h5")
    assert back[:3] == ("128um", PX, "bilinear") and back.pixels.shape == (0, PX, PX, 3) and back.coords.shape == (0, 2)


def test_names_of_files_tell_the_tissue():
    assert batch_tissue(training_name("256", "Skin_Not.Sun.b12"), "256") == "Skin_Not.Sun"
    assert batch_tissue(training_name("256", "Lung.b1"), "128") is None
    assert batch_tissue("mine.h5", "256") is None


def broken(path, change):
    """A sound file, then changed."""
    write_training(path, made([("a", "D1", "Lung", 4), ("b", "D2", "Lung", 4)]))
    with h5py.File(path, "r+") as file:
        change(file)


def put(name, values):
    """Replace a dataset."""

    def change(file):
        del file[name]
        if values is not None:
            file[name] = values

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("donor", None), "no donor"),
        (put("donor", np.arange(8)), "no readable file"),
        (put("donor", ["D"] * 7 + [""]), "donor not given"),
        (put("pixels", np.zeros((8, PX, PX + 1, 3), np.uint8)), "pixels are uint8"),
        (put("pixels", np.zeros((8, PX, PX, 3), np.float32)), "pixels are float32"),
        (put("fold", np.full(8, 5)), "from 0 to 4"),
        (put("fold", np.int64(3)), "no readable file"),
        (put("coords", np.zeros((8, 2))), "coords are float64"),
        (put("coords", np.zeros((8, 2), np.int64)), "not sorted"),
        (lambda file: file.attrs.update(size="big", resize="cubic"), "size is 'big'"),
        (lambda file: file.attrs.update(schema_version=2), "schema_version 2"),
        (lambda file: file.attrs.__delitem__("px"), "no px"),
    ],
)
def test_other_files_are_refused(tmp_path, change, words):
    broken(tmp_path / "x.h5", change)
    with pytest.raises(DataError, match=words) as caught:
        read_training(tmp_path / "x.h5")
    assert all("x.h5" in fault for fault in caught.value.faults)


def test_all_faults_of_a_file_come_at_once(tmp_path):
    broken(tmp_path / "x.h5", lambda file: file.attrs.update(size="big", resize="cubic"))
    with pytest.raises(DataError) as caught:
        read_training_rows(tmp_path / "x.h5")
    assert len(caught.value.faults) == 2


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "x.h5").write_text("not HDF5")
    with pytest.raises(DataError, match="no readable file"):
        read_training_rows(tmp_path / "x.h5")
    with pytest.raises(DataError, match="no readable file"):
        read_training_rows(tmp_path / "absent.h5")
    write_training(tmp_path / "y.h5", made([("a", "D1", "Lung", 40)]))
    (tmp_path / "y.h5").write_bytes((tmp_path / "y.h5").read_bytes()[:3000])
    with pytest.raises(DataError, match=r"y\.h5"):
        read_training(tmp_path / "y.h5")


def slow_choice(patches: TrainingPatches, per_tissue: int, seed: int) -> set[tuple]:
    """Oracle: donors dealt one patch after another by hand."""

    def digest(text):
        return hashlib.sha1(f"{seed}:{text}".encode()).digest()

    taken = set()
    for tissue in set(patches.tissue_id):
        hands = {}
        for i in np.flatnonzero(patches.tissue_id == tissue):
            hands.setdefault(patches.donor[i], []).append(i)
        for hand in hands.values():
            hand.sort(key=lambda i: digest(f"{patches.sample[i]}:{patches.coords[i, 0]}:{patches.coords[i, 1]}"))
        count = 0
        while count < per_tissue and any(hands.values()):
            for donor in sorted(hands, key=digest):
                if hands[donor] and count < per_tissue:
                    taken.add(patches.key(hands[donor].pop(0)))
                    count += 1
    return taken


SLIDES = [
    *[(f"L{i}", f"D{i}", "Lung", 10) for i in range(6)],
    ("L6", "D6", "Lung", 2),
    ("L0b", "D0", "Lung", 10),
    *[(f"S{i}", f"D{i}", "Spleen", 3) for i in range(4)],
]


@pytest.mark.parametrize("per_tissue", [1, 5, 7, 30, 1000])
@pytest.mark.parametrize("seed", [1, 2])
def test_donors_take_turns(per_tissue, seed):
    patches = made(SLIDES)
    chosen = choose(patches, per_tissue, seed)
    assert {patches.key(i) for i in chosen} == slow_choice(patches, per_tissue, seed)
    counts = Counter((patches.tissue_id[i], patches.donor[i]) for i in chosen)
    have = Counter(zip(patches.tissue_id, patches.donor, strict=True))
    for tissue in ("Lung", "Spleen"):
        total = sum(n for (one, _), n in counts.items() if one == tissue)
        assert total == min(per_tissue, int((patches.tissue_id == tissue).sum()))
        # A donor has one patch less than another only where turns ran out, or where it has no more.
        most = max(n for (one, _), n in counts.items() if one == tissue)
        assert all(counts[key] >= min(n, most - 1) for key, n in have.items() if key[0] == tissue)


def test_choice_does_not_depend_on_the_order_of_rows_or_on_other_tissues():
    patches = made(SLIDES)
    order = np.random.default_rng(0).permutation(len(patches.coords))
    arrays = ("pixels", "coords", "sample", "donor", "tissue_id", "fold")
    other = patches._replace(**{name: getattr(patches, name)[order] for name in arrays})
    keys = [patches.key(i) for i in choose(patches, 9, 1)]
    assert keys == [other.key(i) for i in choose(other, 9, 1)]
    lung = np.flatnonzero(patches.tissue_id == "Lung")
    alone = patches._replace(**{name: getattr(patches, name)[lung] for name in arrays})
    assert [alone.key(i) for i in choose(alone, 9, 1)] == [key for key in keys if key[0].startswith("L")]
    assert keys != [patches.key(i) for i in choose(patches, 9, 2)]


def test_the_first_of_a_choice_are_of_different_donors():
    patches = made(SLIDES)
    lung = [patches.donor[i] for i in choose(patches, 7, 1) if patches.tissue_id[i] == "Lung"]
    assert len(set(lung)) == 7


def written(folder, batches: list[TrainingPatches]) -> list:
    """Files of batches."""
    paths = []
    for i, batch in enumerate(batches):
        paths.append(folder / training_name(batch.size, f"T.b{i}"))
        write_training(paths[-1], batch)
    return paths


def test_gathering_files_equals_the_choice_from_all(tmp_path):
    batches = [made(SLIDES[:4]), made(SLIDES[4:9]), no_patches("256", PX, "area"), made(SLIDES[9:])]
    paths = written(tmp_path, batches)
    rows = gather(paths, "256", 12, 1, tmp_path / "out.h5")
    everything = {key: value for batch in batches for key, value in by_key(batch).items()}
    write_training(tmp_path / "all.h5", *batches)
    wanted = slow_choice(read_training(tmp_path / "all.h5"), 12, 1)
    back = read_training(tmp_path / "out.h5")
    assert by_key(back) == {key: everything[key] for key in wanted} and len(wanted) == 24
    assert rows.pixels is None and rows.sample.tolist() == back.sample.tolist()
    # Neither the order of files nor how slides are spread over them matters.
    gather(paths[::-1], "256", 12, 1, tmp_path / "again.h5")
    gather([tmp_path / "all.h5"], "256", 12, 1, tmp_path / "one.h5")
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()


def test_gathering_holds_one_patch_in_memory(tmp_path):
    write_training(tmp_path / "a.h5", made([("a", "D1", "Lung", 50), ("b", "D2", "Lung", 50)], px=299))  # 27 MB
    tracemalloc.start()
    gather([tmp_path / "a.h5"], "256", 600, 1, tmp_path / "out.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([made(SLIDES[:1]), made(SLIDES[1:2], px=9)], "differ in px"),
        ([made(SLIDES[:1]), made(SLIDES[1:2])._replace(resize="bilinear")], "differ in resize"),
        ([made(SLIDES[:1], size="512"), made(SLIDES[1:2], size="128")], "patches of size 512, not 256"),
        ([made(SLIDES[:2]), made(SLIDES[1:3])], "hold the same patches"),
        ([made([("L1", "D1", "Lung", 2)]), made([("L2", "D1", "Lung", 2)], seed=3)], "donor D1 has two folds"),
        ([], "no files"),
    ],
)
def test_files_that_do_not_go_together_are_refused(tmp_path, batches, words):
    with pytest.raises(DataError, match=words):
        gather(written(tmp_path, batches), "256", 12, 1, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_a_slide_of_two_tissues_is_refused(tmp_path):
    first, second = made([("L1", "D1", "Lung", 2)]), made([("L1", "D1", "Liver", 2)])
    paths = written(tmp_path, [first, second._replace(coords=second.coords + 256 * 50)])
    with pytest.raises(DataError, match="slide L1 has two origins"):
        gather(paths, "256", 12, 1, tmp_path / "out.h5")


@pytest.fixture(scope="module")
def slide_file(tmp_path_factory):
    picture = stain(glass(2000, 2300), ellipse(2000, 2300, (1150, 1000), (1000, 850)))
    return write_slide(tmp_path_factory.mktemp("slide") / "s.tif", picture)


def grids_of(slide: Slide, sizes=(64, 128, 512)) -> list[Grid]:
    """Patches in an ellipse a little smaller than the tissue."""
    mask = ellipse(200, 230, (115, 100), (95, 80))
    return [patch_grid(mask, (10, 10), (slide.width, slide.height), size) for size in sizes]


def cut(slide: Slide, grids: list[Grid], limit: int = 6, **other) -> dict[str, TrainingPatches]:
    """Patches of one slide as segment_tissue cuts them."""
    settings = {"px": 100, "resize": "area", "seed": 1, "sample": "S-1", "donor": "D1", "tissue_id": "Lung", "fold": 3}
    return cut_training(slide, grids, limit, **settings | other)


@pytest.mark.parametrize("resize", ["area", "bilinear"])
def test_pixels_are_those_that_extraction_sees(slide_file, resize):
    with Slide(slide_file) as slide:
        grids = grids_of(slide)
        patches = cut(slide, grids, resize=resize)
        assert list(patches) == ["64", "128", "512"]
        for grid in grids:
            one = patches[grid.name]
            wanted = thin(grid, 6, 1, "S-1:training").coords
            np.testing.assert_array_equal(one.coords, wanted)
            for (x, y), pixels in zip(one.coords.tolist(), one.pixels, strict=True):
                alone = resize_patch(slide.read(x, y, grid.size, grid.size), 100, resize)
                np.testing.assert_array_equal(pixels, alone)
            assert one[:3] == (grid.name, 100, resize) and set(one.fold) == {3} and set(one.sample) == {"S-1"}


def test_patches_of_a_cut_can_be_written_as_they_are(slide_file, tmp_path):
    with Slide(slide_file) as slide:
        for name, patches in cut(slide, grids_of(slide)).items():
            write_training(tmp_path / name, patches)
            assert by_key(read_training(tmp_path / name)) == by_key(patches)
            assert all(one < other for one, other in pairwise([patches.key(i) for i in range(len(patches.coords))]))


def test_the_choice_is_apart_from_that_of_max_patches_and_of_other_slides(slide_file):
    with Slide(slide_file) as slide:
        (grid,) = grids_of(slide, (64,))
        mine = cut(slide, [grid])["64"].coords
        assert len(mine) == 6
        assert mine.tolist() != thin(grid, 6, 1, "S-1").coords.tolist()
        assert mine.tolist() != cut(slide, [grid], sample="S-2")["64"].coords.tolist()
        assert mine.tolist() != cut(slide, [grid], seed=2)["64"].coords.tolist()
        assert mine.tolist() == cut(slide, grids_of(slide), donor="D2", threads=3)["64"].coords.tolist()
        assert len(cut(slide, [grid], limit=10**6)["64"].coords) == len(grid.coords)
        none = cut(slide, [grid], limit=0)["64"]
        assert none.pixels.shape == (0, 100, 100, 3) and none.coords.shape == (0, 2)


def test_sizes_in_micrometres_keep_their_name(slide_file):
    with Slide(slide_file) as slide:
        (grid,) = grids_of(slide, (128,))
        patches = cut(slide, [grid._replace(name="64um")])
        assert list(patches) == ["64um"] and patches["64um"].size == "64um"


def test_unreadable_patches_are_left_out(slide_file, tmp_path):
    path = tmp_path / "bad.tif"
    path.write_bytes(slide_file.read_bytes())
    corrupt_tile(path, 0, 4 * 9 + 4)  # of 9 tiles a row: x and y from 1024 to 1280
    with Slide(path) as slide:
        grids = grids_of(slide, (128, 512))
        patches = cut(slide, grids, limit=1000)
        for grid in grids:
            whole = grid.coords.tolist()
            bad = [(x, y) for x, y in whole if x < 1280 and x + grid.size > 1024 and y < 1280 and y + grid.size > 1024]
            one = patches[grid.name]
            assert bad and one.coords.tolist() == [xy for xy in whole if tuple(xy) not in bad]
            assert len(one.pixels) == len(one.fold) == len(one.donor) == len(one.coords)
            for (x, y), pixels in zip(one.coords[:40].tolist(), one.pixels, strict=False):
                np.testing.assert_array_equal(pixels, resize_patch(slide.read(x, y, grid.size, grid.size), 100))


def test_reading_rows_needs_no_slide_library():
    # TRAIN_CLASSIFIER reads these files in an image without OpenSlide and OpenCV.
    code = "import sys, hx_training; print([n for n in ('cv2', 'openslide', 'PIL') if n in sys.modules])"
    folder = Path(hx_training.__file__).parent
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
