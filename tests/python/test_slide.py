"""hx_slide: opening, scale, levels, pixels on the slide's own glass, recovery from bad tiles."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import openslide
import pytest
import tifffile
from slides_made import GLASS, corrupt_tile, ellipse, glass, stain, write_slide

import hx_rgba
import hx_slide
import hx_slide_file
from hx_slide import Slide, SlideError, TileError, composite


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A slide without compression and the very pixels it was written from; its size is no multiple of anything."""
    picture = stain(glass(1203, 1001), ellipse(1203, 1001, (500, 600), (350, 450)))
    picture = np.clip(picture, 0, 255).round().astype(np.uint8)
    return write_slide(tmp_path_factory.mktemp("exact") / "exact.tif", picture, compression=None), picture


def test_sizes_and_float_level_factors(exact):
    with Slide(exact[0]) as slide:
        assert (slide.width, slide.height) == (1001, 1203)
        assert slide.dimensions == ((1001, 1203), (251, 301), (63, 76))
        np.testing.assert_allclose(slide.factors[1], (1001 / 251, 1203 / 301))
        assert slide.factors[1][0] < 4


def test_field_of_view_is_exact_where_level_sizes_are_rounded_up(tmp_path):
    # 20001 = 4 x 5000 + 1: the level factor is 20001 / 5001 = 3.9994, which an integer would make 3.
    picture = glass(256, 20001, noise=0)
    lines = [2000, 19000, 19511]
    picture[:, lines] = 0
    with Slide(write_slide(tmp_path / "s.tif", picture, factors=(4,), compression=None)) as slide:
        patch = slide.read(19000, 0, 512, 256)
        assert np.flatnonzero(patch[0].sum(axis=1) == 0).tolist() == [0, 511]
        low = slide.read_level(1)
        assert low.factor[0] == pytest.approx(3.9994, abs=1e-4)
        dark = low.pixels[10].astype(int).sum(axis=1)
        at = [float(np.argmin(dark[a:b]) + a + 0.5) * low.factor[0] for a, b in ((0, 1000), (4700, 4800))]
        assert (at[1] - at[0]) / 17000 == pytest.approx(1, abs=0.001)


def test_read_gives_the_level_0_pixels(exact):
    path, picture = exact
    with Slide(path) as slide:
        np.testing.assert_array_equal(slide.read(100, 237, 431, 300), picture[237:537, 100:531])


def test_off_slide_pixels_have_the_colour_of_the_glass(exact):
    path, picture = exact
    with Slide(path) as slide:
        patch = slide.read(-50, 1100, 256, 256)
        np.testing.assert_array_equal(patch[:103, 50:], picture[1100:, :206])
        outside = np.ones((256, 256), bool)
        outside[:103, 50:] = False
        assert (patch[outside] == slide.background).all()
        assert np.abs(slide.background.astype(int) - GLASS).max() <= 2


def test_transparent_pixels_have_the_colour_of_the_glass(tmp_path):
    picture = np.dstack([glass(800, 800), np.full((800, 800), 255)])
    picture[200:400, 300:600] = 0
    with Slide(write_slide(tmp_path / "s.tif", picture, compression="adobe_deflate")) as slide:
        assert (slide.read(310, 210, 100, 100) == slide.background).all()
        low = slide.read_level(1).pixels
        assert low.min() > 200  # an edge of part transparent pixels is no dark rim either
        assert np.abs(low.astype(int) - GLASS).max() < 20


def test_composite_weighs_by_opacity():
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [10, 20, 30, 51]]], np.uint8)
    expected = [[[240, 230, 220], [10, 20, 30], [194, 188, 182]]]
    assert composite(rgba, np.array([240, 230, 220])).tolist() == expected


def test_a_given_background_goes_before_the_one_that_is_seen(exact):
    with Slide(exact[0], background=np.array([1, 2, 3])) as slide:
        assert (slide.read(-64, -64, 32, 32) == (1, 2, 3)).all()
        assert slide.overview.pixels.mean() > 100


def test_shrunk_levels_are_means_whatever_the_strips(exact, monkeypatch):
    path, picture = exact
    with Slide(path) as slide:
        whole = slide.read_level(0, 8)
    monkeypatch.setattr(hx_slide_file, "BLOCK_PIXELS", 1)
    with Slide(path) as slide:
        strips = slide.read_level(0, 8)
    np.testing.assert_array_equal(whole.pixels, strips.pixels)
    assert whole.pixels.shape == (151, 126, 3) and whole.factor == (8, 8)
    blocks = picture[:1200, :1000].reshape(150, 8, 125, 8, 3).mean(axis=(1, 3))
    assert np.abs(whole.pixels[:150, :125] - blocks).max() <= 0.51


@pytest.mark.parametrize("max_px", [50, 400, 5000])
def test_thumbnail_is_as_large_as_asked_and_not_larger_than_the_slide(exact, max_px):
    with Slide(exact[0]) as slide:
        picture, factor = slide.thumbnail(max_px)
        assert max(picture.shape[:2]) <= max_px and picture.shape[0] > 0.8 * min(max_px, 1203)
        assert picture.shape[1] * factor[0] == pytest.approx(1001, rel=0.02)


def test_overview_has_one_physical_scale(tmp_path):
    for mpp, side in ((0.5, 128), (0.25, 64), (None, 128)):
        with Slide(write_slide(tmp_path / "s.tif", glass(2048, 2048), mpp=mpp)) as slide:
            assert slide.overview.pixels.shape == (side, side, 3)


@pytest.mark.parametrize(
    ("sheet", "tag", "expected", "source", "warned"),
    [
        (0.3, 0.5, 0.3, "sheet", False),
        (None, 0.5, 0.5, "tiff", False),
        (0.0274, 0.5, 0.5, "tiff", True),
        (None, 0.0274, None, "none", True),
        (None, 352.8, None, "none", True),  # 72 dots an inch, a default of picture software
        (None, None, None, "none", True),
    ],
)
def test_scale_and_its_source(tmp_path, sheet, tag, expected, source, warned):
    with Slide(write_slide(tmp_path / "s.tif", glass(64, 64), mpp=tag, tile=16), mpp=sheet) as slide:
        assert slide.scale.source == source and bool(slide.scale.warnings) == warned
        assert slide.scale.x == (None if expected is None else pytest.approx(expected, rel=1e-3))
        assert slide.magnification() == {0.3: 40, 0.5: 20, None: 20}[expected]


def test_oblong_pixels_are_a_warning(tmp_path):
    path = tmp_path / "s.tif"
    options = {"resolution": (1e4 / 0.5, 1e4 / 0.6), "resolutionunit": "CENTIMETER", "tile": (64, 64)}
    tifffile.imwrite(path, glass(64, 64).astype(np.uint8), photometric="rgb", **options)
    with Slide(path) as slide:
        assert "not square" in slide.scale.warnings[0]


def test_a_damaged_tile_raises_and_spoils_nothing_else(tmp_path):
    path = write_slide(tmp_path / "s.tif", glass(1024, 1024))
    corrupt_tile(path, 0, 5)  # columns 256-511, rows 256-511
    with openslide.OpenSlide(path) as plain:
        with pytest.raises(openslide.OpenSlideError):
            plain.read_region((300, 300), 0, (10, 10))
        with pytest.raises(openslide.OpenSlideError):  # why Slide reopens: the handle fails for ever
            plain.read_region((0, 0), 0, (10, 10))
    with Slide(path) as slide:
        with pytest.raises(TileError, match=r"s\.tif: level 0, 10 x 10 px at \(300, 300\)"):
            slide.read(300, 300, 10, 10)
        assert slide.read(0, 0, 256, 256).min() > 200
        assert slide.read(512, 256, 256, 256).min() > 200


def test_a_failure_that_goes_away_is_not_seen(exact, monkeypatch):
    path, picture = exact

    class Flaky:
        def __init__(self, handle):
            self.handle = handle

        def __getattr__(self, name):
            return getattr(self.handle, name)

        def read_region(self, *_):
            raise openslide.OpenSlideError("connection reset")

    with Slide(path) as slide:
        slide._handle = broken = Flaky(slide._handle)
        np.testing.assert_array_equal(slide.read(0, 0, 64, 64), picture[:64, :64])
        assert slide._handle is not broken


def test_bad_tiles_at_the_end_of_every_strip(tmp_path, monkeypatch):
    monkeypatch.setattr(hx_slide_file, "BLOCK_PIXELS", 1)
    path = write_slide(tmp_path / "s.tif", glass(768, 512), factors=())
    for index in (1, 3, 5):
        corrupt_tile(path, 0, index)
    with Slide(path) as slide:
        assert slide.read_level(0, 4).pixels.shape == (192, 128, 3)
        assert slide.bad_tiles == {(0, 1, 0), (0, 1, 1), (0, 1, 2)}


def test_a_bad_tile_of_a_lower_level_is_made_from_the_next_finer_one(tmp_path):
    picture = stain(glass(2048, 2048), ellipse(2048, 2048, (600, 1400), (500, 500)))
    stored = {"factors": (4, 16), "compression": "adobe_deflate"}
    with Slide(write_slide(tmp_path / "whole.tif", picture, **stored)) as slide:
        expected = [slide.read_level(1).pixels, slide.overview.pixels]
    path = write_slide(tmp_path / "s.tif", picture, **stored)
    corrupt_tile(path, 1, 2)  # level 1 is 512 x 512: column 0, row 1
    corrupt_tile(path, 2, 0)  # all of level 2, from which the overview is
    with Slide(path) as slide:
        found = [slide.read_level(1).pixels, slide.overview.pixels]
        assert slide.bad_tiles == set() and slide.replaced_tiles == {(1, 0, 1), (2, 0, 0)}
        assert slide.warnings == ("2 damaged tiles of lower levels, made from finer ones",)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1)


def test_what_no_level_holds_shows_glass_and_is_counted_once(tmp_path):
    picture = stain(glass(2048, 2048), np.ones((2048, 2048), bool))
    path = write_slide(tmp_path / "s.tif", picture, factors=(4,))
    corrupt_tile(path, 1, 2)  # column 0, row 1: level-0 columns 0-1023, rows 1024-2047
    corrupt_tile(path, 0, 8 * 5 + 2)  # level-0 columns 512-767, rows 1280-1535
    with Slide(path) as slide:
        low = slide.read_level(1).pixels
        assert slide.bad_tiles == {(0, 2, 5)} and slide.replaced_tiles == {(1, 0, 1)}
        assert (low[321:383, 129:191] == slide.background).all()
        low[319:385, 127:193] = 0
        assert low.max(axis=2).max() < 250 and low.mean() < 170


def test_a_file_with_too_many_damaged_tiles_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(hx_slide_file, "MAX_BAD_TILES", 2)
    path = write_slide(tmp_path / "s.tif", glass(1024, 1024), factors=())
    for index in (0, 3, 5):
        corrupt_tile(path, 0, index)
    with Slide(path) as slide, pytest.raises(SlideError, match="more than 2 damaged tiles in level 0: copy"):
        _ = slide.overview


@pytest.mark.parametrize("alone", [0.0, 0.3, 0.7])
def test_resizing_weighs_colours_by_their_opacity(alone):
    # Two pixels, of which one is nearly clear: the mean has the colour of the other.
    rgba = np.array([[[200, 10, 60, 255], [0, 250, 0, round(alone * 255)]]], np.uint8)
    weight = np.array([255, round(alone * 255)])
    expected = (rgba[0, :, :3] * weight[:, None]).sum(axis=0) / weight.sum()
    small = hx_rgba.resize_rgba(rgba, (1, 1))[0, 0]
    assert np.abs(small[:3] - expected).max() <= 2 and abs(small[3] - weight.mean()) <= 1


def test_a_slide_of_which_nothing_can_be_read(tmp_path):
    path = write_slide(tmp_path / "s.tif", glass(256, 256), factors=())
    corrupt_tile(path, 0, 0)
    with Slide(path) as slide, pytest.raises(SlideError, match="no pixel of level 0"):
        _ = slide.overview


def test_files_that_are_no_slides(tmp_path):
    whole = write_slide(tmp_path / "whole.tif", glass(1024, 1024)).read_bytes()
    (tmp_path / "short.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "end.tif").write_bytes(whole[:-20])
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("not a slide")
    cv2.imwrite(str(tmp_path / "plain.png"), np.zeros((8, 8, 3), np.uint8))
    reasons = {"gone.tif": "no such file", "empty.tif": "0 bytes", "short.tif": "cut short", "end.tif": "damaged"}
    for name, reason in {**reasons, "text.tif": "not a slide", "plain.png": "not a slide", ".": "not a slide"}.items():
        with pytest.raises(SlideError, match=reason) as error:
            Slide(tmp_path / name)
        assert str(tmp_path) not in str(error.value)


def test_a_slide_of_a_few_pixels(tmp_path):
    with pytest.raises(SlideError, match=r"s\.tif: 16 x 16 px: too small for a slide"):
        Slide(write_slide(tmp_path / "s.tif", glass(16, 16), factors=(), tile=16))
    with Slide(write_slide(tmp_path / "s.tif", glass(20, 30), factors=(), tile=16)) as slide:
        assert slide.overview.pixels.shape == (2, 2, 3)
        assert [strip.pixels.shape for strip in slide.strips(1.0, multiple=64)] == [(10, 15, 3)]


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "lzma"])
def test_a_compression_that_openslide_does_not_read(tmp_path, compression):
    path = write_slide(tmp_path / "s.tif", glass(256, 256), factors=(), compression=compression)
    with pytest.raises(SlideError, match=r"s\.tif: compressed in a way that OpenSlide does not read: .*\d+"):
        Slide(path)


def counted(monkeypatch):
    """List that fills with (level, level-0 rows) of what is read of any slide from now on."""
    calls = []
    plain = openslide.OpenSlide.read_region

    def read_region(self, location, level, size):
        calls.append((level, size[0] * size[1]))
        return plain(self, location, level, size)

    monkeypatch.setattr(openslide.OpenSlide, "read_region", read_region)
    return calls


@pytest.mark.parametrize("blocks", [1, 1 << 17, 1 << 22])
@pytest.mark.parametrize("factors", [(), (4, 16)])
@pytest.mark.parametrize(("um", "multiple"), [(4.0, 1), (4.0, 64), (1.1, 7)])
def test_strips_are_the_whole_level_and_bring_the_overview(tmp_path, monkeypatch, blocks, factors, um, multiple):
    picture = stain(glass(1500, 1203), ellipse(1500, 1203, (500, 600), (350, 450)))
    path = write_slide(tmp_path / "s.tif", picture, factors=factors, mpp=0.47)
    monkeypatch.setattr(hx_slide_file, "BLOCK_PIXELS", blocks)
    with Slide(path) as slide:
        level, shrink = slide.level_for(um / 0.47)
        whole, overview = slide.read_level(level, shrink), slide.overview
    with Slide(path) as slide:
        calls = counted(monkeypatch)
        strips = list(slide.strips(um, multiple))
        tops = np.cumsum([0, *(len(strip.pixels) for strip in strips)])
        assert [strip.top for strip in strips] == tops[:-1].tolist()
        assert all(len(strip.pixels) % multiple == 0 for strip in strips[:-1])
        assert {strip.factor for strip in strips} == {whole.factor}
        if not factors:
            assert {level for level, _ in calls} == {0}
            assert sum(pixels for _, pixels in calls) == 1500 * 1203  # each pixel once
        before = len(calls)
        found = slide.overview
        assert bool(factors) or len(calls) == before
    np.testing.assert_array_equal(np.concatenate([strip.pixels for strip in strips]), whole.pixels)
    np.testing.assert_array_equal(found.pixels, overview.pixels)
    assert found.factor == overview.factor


def test_strips_of_a_slide_with_clear_parts_show_its_glass(tmp_path):
    picture = np.dstack([glass(800, 800), np.full((800, 800), 255)])
    picture[200:400, 300:600] = 0
    path = write_slide(tmp_path / "s.tif", picture, factors=(), compression="adobe_deflate")
    with Slide(path) as slide:
        strips = np.concatenate([strip.pixels for strip in slide.strips(2.0)])
        assert (strips[52:98, 77:148] == slide.background).all()
        np.testing.assert_array_equal(strips, slide.read_level(0, 4).pixels)


@pytest.mark.parametrize("mpp", [0.47, 0.2])
def test_strips_bring_the_picture_of_a_slide_without_a_pyramid(tmp_path, monkeypatch, mpp):
    picture = stain(glass(1500, 1203), ellipse(1500, 1203, (500, 600), (350, 450)))
    path = write_slide(tmp_path / "s.tif", picture, factors=(), mpp=mpp)
    with Slide(path) as slide:
        alone = [slide.thumbnail(px) for px in (400, 180)]
    with Slide(path) as slide:
        calls = counted(monkeypatch)
        for _ in slide.strips(4.0, 4, picture_px=400):
            pass
        found = [slide.thumbnail(px) for px in (400, 180, 40)]
        assert sum(pixels for _, pixels in calls) == 1500 * 1203
        slide.thumbnail(500)  # more than was asked for
        assert sum(pixels for _, pixels in calls) == 2 * 1500 * 1203
    np.testing.assert_array_equal(found[0].pixels, alone[0].pixels)
    assert found[0].factor == alone[0].factor and found[1].factor == pytest.approx(alone[1].factor, rel=0.01)
    assert [max(one.pixels.shape) for one in found] == [400, 180, 40]
    difference = np.abs(found[1].pixels.astype(int) - alone[1].pixels)
    assert found[1].pixels.shape == alone[1].pixels.shape and difference.mean() < 1.5


def test_a_whole_level_is_read_with_a_small_cache_of_its_own(tmp_path, monkeypatch):
    kept = []

    class Cache(openslide.OpenSlideCache):
        def __init__(self, capacity):
            kept.append(capacity >> 20)
            super().__init__(capacity)

    monkeypatch.setattr(openslide, "OpenSlideCache", Cache)
    path = write_slide(tmp_path / "s.tif", stain(glass(1024, 1024), np.ones((1024, 1024), bool)), factors=(4,))
    with Slide(path) as slide:
        before, during = slide._cache, []
        region = slide._region
        slide._region = lambda *where: during.append(slide._cache) or region(*where)
        assert slide.overview.pixels.shape == (64, 64, 3) and kept == [128, 32]
        assert before not in during and slide._cache is before
    # The widest levels need more: two rows of tiles of 256 px.
    for width, capacity in ((50_000, 97), (200_000, 128)):
        with Slide(path) as slide:
            slide.dimensions = ((width, 256),)
            slide._region = lambda level, x, y, w, h: np.full((h, w, 4), 255, np.uint8)
            slide.read_level(0, 16)
        assert kept[-2:] == [128, capacity]


def test_glass_of_a_large_overview_is_seen_in_a_part_of_it(tmp_path, monkeypatch):
    picture = stain(glass(2048, 2048), ellipse(2048, 2048, (1000, 1000), (800, 800)))
    path = write_slide(tmp_path / "s.tif", picture, mpp=2.0)
    with Slide(path) as slide:
        whole = slide.background
    monkeypatch.setattr(hx_slide, "GLASS_PIXELS", 1 << 16)
    with Slide(path) as slide:
        assert slide.overview.pixels.shape == (512, 512, 3)  # four times as many
        assert np.abs(slide.background.astype(int) - whole).max() <= 1 and slide.background_source == "glass"


def test_strips_left_early_do_no_harm(exact):
    with Slide(exact[0]) as slide:
        next(slide.strips(1.0))
        assert slide.overview.pixels.shape == (76, 63, 3)


def test_reading_from_threads_with_damaged_tiles_between(tmp_path):
    path = write_slide(tmp_path / "s.tif", stain(glass(1024, 1024), ellipse(1024, 1024, (500, 500), (400, 400))))
    corrupt_tile(path, 0, 6)
    cells = [(x, y) for y in range(0, 1024, 128) for x in range(0, 1024, 128)] * 3

    def read(cell):
        try:
            return slide.read(*cell, 128, 128).tobytes()
        except TileError:
            return b"bad"

    with Slide(path) as slide:
        one = [read(cell) for cell in cells]
    with Slide(path) as slide, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, cells)) == one
    assert one.count(b"bad") == 3 * 4


def test_real_slides(real_data):
    with Slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert (slide.width, slide.height, slide.dimensions) == (2220, 2967, ((2220, 2967),))
        assert (slide.scale.x, slide.scale.source, slide.magnification()) == (0.499, "vendor", 20)
        assert slide.background.tolist() == [246, 243, 243] and slide.background_source == "glass"
        assert slide.read(2100, 2900, 256, 256)[100:, 150:].min() > 240  # off the slide
    with Slide(real_data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        assert slide.factors[1] == pytest.approx((2.00045, 2.00056), abs=1e-5)
        assert slide.scale.source == "none" and slide.scale.warnings
        # the glass, not the white (255) with which the unscanned corners were filled
        assert slide.background.tolist() == [241, 236, 239] and slide.background_source == "glass"
