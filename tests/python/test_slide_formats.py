"""Formats of slides: every one that the docs name is opened, measured against what was drawn, and keeps its secrets."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest
from slide_formats_made import (
    CANARY,
    PATIENT,
    structured,
    write_bif,
    write_dicom,
    write_generic,
    write_mirax,
    write_ndpi,
    write_philips,
    write_scn,
    write_svs,
    write_vms,
)

import hx_formats
import hx_scale
from hx_formats import READABLE_SUFFIXES, SlideError, dicom_series, link_companions
from hx_header import header_factors
from hx_slide import Slide

# name: (file, writer, vendor, mpp, its source, corner of the drawn picture, a property of its scanner or its date)
FORMATS = {
    "aperio": ("s.svs", write_svs, "aperio", 0.25, "vendor", (0, 0), "aperio.Date"),
    "generic-tiff": ("s.tif", write_generic, "generic-tiff", 0.5, "tiff", (0, 0), None),
    "philips": ("s.tiff", write_philips, "philips", 0.25, "vendor", (0, 0), "philips.DICOM_DEVICE_SERIAL_NUMBER"),
    "leica": ("s.scn", write_scn, "leica", 0.5, "vendor", (128, 64), "leica.creation-date"),
    "ventana": ("s.bif", write_bif, "ventana", 0.25, "vendor", (0, 0), "ventana.UnitNumber"),
    "hamamatsu-ndpi": ("s.ndpi", write_ndpi, "hamamatsu", 0.25, "vendor", (0, 0), "tiff.Make"),
    "hamamatsu-vms": ("s.vms", write_vms, "hamamatsu", 0.25, "vendor", (0, 0), None),
    "mirax": ("s.mrxs", write_mirax, "mirax", 0.25, "vendor", (0, 0), "mirax.GENERAL.SLIDE_CREATIONDATETIME"),
    "dicom": ("0.dcm", lambda path, picture: write_dicom(path.parent, picture), "dicom", 0.25, "vendor", (0, 0), None),
}
HEIGHT, WIDTH = 512, 640


@pytest.fixture(scope="module")
def picture():
    return structured(HEIGHT, WIDTH)


@pytest.fixture(scope="module", params=FORMATS)
def made(request, picture, tmp_path_factory):
    """A slide of one format: path, and its row of FORMATS."""
    name, write, *expected = FORMATS[request.param]
    path = tmp_path_factory.mktemp(request.param) / name
    return write(path, picture), *expected


def difference(pixels, expected):
    return float(np.abs(pixels.astype(int) - expected).mean())


def test_size_scale_and_pixels(made, picture):
    path, vendor, mpp, source, (left, top), _ = made
    assert path.suffix in READABLE_SUFFIXES
    with Slide(path) as slide:
        assert slide.vendor == vendor
        assert (slide.width, slide.height) == (WIDTH + 2 * left, HEIGHT + 2 * top)
        assert slide.scale.x == slide.scale.y == pytest.approx(mpp, rel=1e-3) and slide.scale.source == source
        assert slide.warnings == ()
        pixels = slide.read(left, top, WIDTH, HEIGHT)
        own = difference(pixels, picture)
        # Nearer to what was drawn than to the same shifted by a pixel either way.
        assert own < 1.5
        assert own < 0.4 * difference(pixels[:, :-1], picture[:, 1:])
        assert own < 0.4 * difference(pixels[1:], picture[:-1])
        for level in range(1, len(slide.dimensions)):
            low, factor = slide.read_level(level)
            if max(factor) > 8:
                break
            y, x = (round(corner / factor[0]) for corner in (top, left))
            h, w = (int(side / factor[0]) for side in (HEIGHT, WIDTH))
            means = picture[: h * round(factor[0]), : w * round(factor[0])]
            means = means.reshape(h, round(factor[0]), w, round(factor[0]), 3).mean(axis=(1, 3))
            assert difference(low[y : y + h, x : x + w], means) < 4


def test_what_was_not_scanned_has_the_colour_of_the_glass(made):
    path, _, _, _, (left, top), _ = made
    with Slide(path, background=np.array([1, 2, 3])) as slide:
        assert (slide.read(-100, -100, 64, 64) == (1, 2, 3)).all()
        if left:
            assert (slide.read(left // 4, top // 4, 16, 16) == (1, 2, 3)).all()


def test_label_macro_and_patient_are_never_read(made, monkeypatch):
    path, *_, technical = made

    def forbidden(self):
        raise AssertionError("an associated image was asked for")

    monkeypatch.setattr(openslide.OpenSlide, "associated_images", property(forbidden))
    with openslide.OpenSlide(path) as plain:
        secret = [name for name, value in plain.properties.items() if PATIENT in value]
        labelled = [name for name in plain.properties if name.startswith("openslide.associated.")]
    with Slide(path) as slide:
        assert bool(secret) == (slide.vendor != "generic-tiff")
        assert bool(labelled) == (slide.vendor != "generic-tiff")
        assert not set(secret) & set(slide.properties)
        assert not any(PATIENT in value for value in slide.properties.values())
        assert not any("associated" in name or "label" in name.lower() for name in slide.properties)
        assert technical is None or technical in slide.properties
        seen = [slide.overview.pixels, slide.thumbnail(200).pixels, slide.read(0, 0, slide.width, slide.height)]
        seen += [slide.read_level(level).pixels for level in range(len(slide.dimensions))]
        seen += [strip.pixels for strip in slide.strips(2.0)]
        for pixels in seen:
            assert np.abs(pixels.astype(int) - CANARY).sum(axis=2).min() > 100


def test_no_source_file_asks_for_associated_images():
    for path in Path(hx_formats.__file__).parent.glob("*.py"):
        assert "associated_images" not in path.read_text(), path.name


def test_private_fields_are_told_from_technical_ones():
    private = [
        *("dicom.PatientName", "dicom.PatientBirthDate", "dicom.StudyDate", "dicom.AccessionNumber", "aperio.User"),
        *("aperio.Title", "aperio.Filename", "openslide.comment", "openslide.barcode", "tiff.ImageDescription"),
        *("philips.PIM_DP_UFS_BARCODE", "hamamatsu.Reference", "mirax.GENERAL.SLIDE_NAME", "ventana.UserName"),
        *("dicom.OperatorsName", "dicom.InstitutionName", "leica.barcode", "aperio.ImageID", "mirax.GENERAL.SLIDE_ID"),
        *("openslide.associated.label.width", "a.field.nobody.foresaw"),
    ]
    technical = ["openslide.mpp-x", "openslide.level[0].tile-width", "openslide.background-color", "tiff.XResolution"]
    technical += ["aperio.Date", "aperio.ScanScope ID", "philips.DICOM_DEVICE_SERIAL_NUMBER", "dicom.Manufacturer"]
    assert list(hx_scale.technical(dict.fromkeys(private + technical, "x"))) == technical


def test_the_header_tells_scanner_and_day_from_what_a_slide_keeps(made):
    with openslide.OpenSlide(made[0]) as plain, Slide(made[0]) as slide:
        assert header_factors(slide.properties) == header_factors(plain.properties)
        if slide.vendor in ("aperio", "leica", "mirax"):
            assert header_factors(slide.properties)["scan_date"] == "2015-03-04"


def test_overlapping_tiles_of_a_bif_are_laid_over_one_another(tmp_path):
    picture = structured(256, 8 * 56 + 8)
    with Slide(write_bif(tmp_path / "s.bif", picture, overlap=8)) as slide:
        assert (slide.width, slide.height) == (456, 256)
        assert difference(slide.read(0, 0, 456, 256), picture) < 1.5


def test_tiles_that_a_mirax_scanner_left_out_are_glass(tmp_path, picture):
    with Slide(write_mirax(tmp_path / "s.mrxs", picture, holes=((2, 3), (5, 5)))) as slide:
        hole = slide.read(2 * 64, 3 * 64, 64, 64)
        assert (hole == slide.background).all()
        assert difference(slide.read(3 * 64, 3 * 64, 64, 64), picture[192:256, 192:256]) < 1.5
        assert slide.bad_tiles == set()


def aperio(tmp_path, picture, **stated):
    return Slide(write_svs(tmp_path / "s.svs", picture, **stated))


def test_aperio_without_mpp_takes_the_resolution_of_its_tags(tmp_path, picture):
    with aperio(tmp_path, picture, mpp=None, resolution=0.274) as slide:
        assert slide.scale.source == "tiff" and slide.scale.x == pytest.approx(0.274, rel=1e-3)
        assert slide.scale.warnings == () and slide.magnification() == 40


def test_aperio_goes_before_tags_and_the_sheet_before_both(tmp_path, picture):
    with aperio(tmp_path, picture, mpp=0.5, resolution=0.274) as slide:
        assert (slide.scale.x, slide.scale.source) == (0.5, "vendor")
    with Slide(tmp_path / "s.svs", mpp=0.3) as slide:
        assert (slide.scale.x, slide.scale.source) == (0.3, "sheet")


@pytest.mark.parametrize("tags", [0.0274, 352.8])
def test_absurd_tags_are_ignored_with_a_warning(tmp_path, picture, tags):
    # 0.0274 for 0.274 is seen in public data; 352.8 is 72 dots an inch, a default of picture software.
    with aperio(tmp_path, picture, mpp=None, resolution=tags) as slide:
        assert slide.scale.x is None and slide.scale.source == "none"
        assert len(slide.warnings) == 2 and "outside 0.1-2: ignored" in slide.warnings[0]


def test_an_absurd_vendor_scale_gives_way_to_the_tags(tmp_path, picture):
    with aperio(tmp_path, picture, mpp=25, resolution=0.25) as slide:
        assert slide.scale.source == "tiff" and "25 x 25 of the vendor" in slide.warnings[0]


def test_companions_of_formats_that_are_one_file(tmp_path, picture):
    write_svs(tmp_path / "s.svs", picture)
    (tmp_path / "s").mkdir()
    (tmp_path / "apart").mkdir()
    link_companions(tmp_path / "s.svs", [tmp_path / "apart" / "s.jpg"])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["apart", "s", "s.svs"]


def staged(tmp_path, files):
    """Each file in a folder of its own by a link, as a task gets them."""
    places = []
    for i, file in enumerate(files):
        place = tmp_path / f"slides{i + 1}" / file.name
        place.parent.mkdir()
        place.symlink_to(file)
        places.append(place)
    return places


@pytest.mark.parametrize(
    ("write", "name", "names"),
    [
        (write_mirax, "s.mrxs", ["s"]),
        (write_vms, "s.vms", ["s(1,0).jpg", "s.jpg", "s_macro.jpg", "s_map.jpg"]),
        (lambda path, picture: write_dicom(path.parent, picture), "0.dcm", ["1.dcm", "2.dcm"]),
    ],
)
def test_companions_are_named_and_linked_where_each_file_is_staged_apart(tmp_path, picture, write, name, names):
    (tmp_path / "home").mkdir()
    (tmp_path / "other").mkdir()
    path = write(tmp_path / "home" / name, picture)
    write_dicom(path.parent, picture, series="1.9", z="other-")  # another series in the same folder
    places = staged(tmp_path, [path, *(path.with_name(one) for one in names), tmp_path / "home" / "other-1.dcm"])
    for _ in range(2):  # the second time there is nothing to do
        link_companions(places[0], places[1:])
    assert sorted(one.name for one in places[0].parent.iterdir()) == sorted([name, *names])
    with Slide(places[0]) as slide:
        assert len(slide.dimensions) >= 2 and difference(slide.read(0, 0, WIDTH, HEIGHT), picture) < 1.5


def test_a_name_that_something_else_has_is_not_overwritten(tmp_path, picture):
    path = write_mirax(tmp_path / "s.mrxs", picture)
    place, folder = staged(tmp_path, [path, tmp_path / "s"])
    (place.parent / "s").mkdir()
    with pytest.raises(SlideError, match="two files of this name"):
        link_companions(place, [folder])


def test_a_mirax_file_without_its_folder(tmp_path, picture):
    write_mirax(tmp_path / "s.mrxs", picture)
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(SlideError, match=r"s\.mrxs: its folder s is not beside it"):
        Slide(tmp_path / "s.mrxs")


def test_a_vms_file_without_its_pictures(tmp_path, picture):
    path = write_vms(tmp_path / "s.vms", picture)
    (tmp_path / "s_map.jpg").unlink()
    with pytest.raises(SlideError, match=r"s_map\.jpg") as error:
        Slide(path)
    assert str(tmp_path) not in str(error.value)


def test_names_in_a_vms_file_cannot_lead_out_of_its_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.jpg").touch()
    vms = tmp_path / "in" / "s.vms"
    vms.write_text(f"[Virtual Microscope Specimen]\nMapFile=../secret.jpg\nImageFile={tmp_path}/secret.jpg\n")
    (tmp_path / "secret").mkdir()
    link_companions(vms, [tmp_path / "secret.jpg"])
    assert [one.name for one in vms.parent.iterdir()] == ["s.vms"]


def test_series_of_a_dicom_file(tmp_path, picture):
    path = write_dicom(tmp_path, picture, series="1.2.826.0.1")
    assert dicom_series(path) == "1.2.826.0.1"
    data = path.read_bytes()
    at = data.index(b"\x20\x00\x0e\x00UI")
    decoy = b"\x20\x00\x0e\x00UI\x02\x009\x00"
    item = b"\xfe\xff\x00\xe0" + b"\xff" * 4 + decoy + b"\xfe\xff\x0d\xe0" + bytes(4)
    ended = b"\xfe\xff\xdd\xe0" + bytes(4)
    nested = b"\x08\x00\x15\x11SQ\0\0" + b"\xff" * 4 + item + ended  # a referenced series before the file's own
    path.write_bytes(data[:at] + nested + data[at:])
    assert dicom_series(path) == "1.2.826.0.1"
    for cut in (b"", data[:100], data[:140], data[:at]):
        path.write_bytes(cut)
        assert dicom_series(path) is None


def test_names_of_formats_need_no_openslide():
    code = "import sys; sys.modules['openslide'] = None; sys.modules['numpy'] = None; import hx_formats, hx_scale"
    subprocess.run([sys.executable, "-c", code], cwd=Path(hx_formats.__file__).parent, check=True)
    assert len(READABLE_SUFFIXES) == len(set(READABLE_SUFFIXES)) == 13
