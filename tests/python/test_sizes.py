"""Patch sizes by name."""

import argparse

import pytest

from hx_sizes import size_folder, size_names, size_sides, size_text, size_value


def test_names():
    assert size_names("1024,128, 256") == ["128", "256", "1024"]
    assert size_names("1000um,64um") == ["64um", "1000um"]
    for text in ("", "128,128", "0", "-5", "128,64um", "12.5um", "1e3", "64µm"):
        with pytest.raises(argparse.ArgumentTypeError, match="whole numbers"):
            size_names(text)
    assert [size_value(name) for name in ("-", "128", "64um")] == [0, 128, 64]
    assert [size_folder(name) for name in ("128", "64um")] == ["128px", "64um"]
    assert [size_text(name) for name in ("128", "64um")] == ["128 px", "64 um"]


def test_pixels_are_pixels_whatever_the_scale():
    assert size_sides(["128", "4096"], None) == size_sides(["128", "4096"], 0.25) == {"128": 128, "4096": 4096}


@pytest.mark.parametrize("mpp", [0.2527, 0.25, 0.499, 0.5, 1.0])
def test_micrometres_nest_and_are_right_to_half_a_pixel_of_the_smallest(mpp):
    names = ["64um", "128um", "256um", "300um", "512um", "2048um"]
    sides = size_sides(names, mpp)
    for name in set(names) - {"300um"}:
        assert sides[name] % sides["64um"] == 0
        assert sides[name] * mpp == pytest.approx(int(name[:-2]), rel=0.5 * mpp / 64 + 1e-9)
    assert sides["300um"] == round(300 / mpp)


def test_sizes_that_a_slide_cannot_have():
    with pytest.raises(ValueError, match="column mpp"):
        size_sides(["64um"], None)
    with pytest.raises(ValueError, match="at least 16"):
        size_sides(["4um"], 0.5)
    with pytest.raises(ValueError, match="one number of pixels"):
        size_sides(["1000um", "1001um"], 2.0)
