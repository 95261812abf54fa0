#!/usr/bin/env python3
"""Technical factors that a slide's header tells: which scanner, which day.

Only the properties named here are read. Names, numbers and bar codes of patients, accessions, operators and labels are
not among them, nor free text that may hold any of these. What OpenSlide 4 calls a property is taken from its drivers.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

FIRST_YEAR = 1995  # before there were slide scanners: a date that was taken out (1900, 1970) or never set
LONGEST = 40  # a scanner's part of a name beyond this is something else
YEAR_FIRST = ("%Y-%m-%d", "%Y:%m:%d", "%Y/%m/%d", "%Y%m%d")
MONTH_FIRST = ("%m/%d/%Y", "%m/%d/%y")
DAY_FIRST = ("%d/%m/%Y",)


class Header(NamedTuple):
    """How a vendor tells the scanner: maker, properties of model and of serial (the first that is there), of the date.

    `maker` is a property's name when it has a dot in it.
    """

    maker: str
    model: tuple[str, ...]
    serial: tuple[str, ...]
    dates: tuple[tuple[str, tuple[str, ...]], ...]


TIFF_DATE = ("tiff.DateTime", YEAR_FIRST)
# Keys are values of openslide.vendor. Aperio and Ventana write the month first, MIRAX the day.
HEADERS = {
    "aperio": Header(
        "Aperio", ("aperio.ScannerType",), ("aperio.ScanScope ID",), (("aperio.Date", MONTH_FIRST), TIFF_DATE)
    ),
    "hamamatsu": Header(
        "Hamamatsu",
        ("hamamatsu.Product", "tiff.Model"),
        ("hamamatsu.NDP.S/N",),
        (("hamamatsu.Created", YEAR_FIRST), TIFF_DATE),
    ),
    "leica": Header("Leica", ("leica.device-model",), (), (("leica.creation-date", YEAR_FIRST), TIFF_DATE)),
    "mirax": Header(
        "3DHISTECH",
        (
            "mirax.GENERAL.SCANNER_HARDWARE_VERSION",
            "mirax.NONHIERLAYER_0_SECTION.SCANNER_HARDWARE_VERSION",
            "mirax.NONHIERLAYER_1_SECTION.SCANNER_HARDWARE_VERSION",
        ),
        (
            "mirax.GENERAL.SCANNER_HARDWARE_ID",
            "mirax.NONHIERLAYER_0_SECTION.SCANNER_HARDWARE_ID",
            "mirax.NONHIERLAYER_1_SECTION.SCANNER_HARDWARE_ID",
        ),
        (("mirax.GENERAL.SLIDE_CREATIONDATETIME", DAY_FIRST + YEAR_FIRST),),
    ),
    "philips": Header(
        "Philips",
        ("philips.DICOM_MANUFACTURERS_MODEL_NAME",),
        ("philips.DICOM_DEVICE_SERIAL_NUMBER",),
        (("philips.DICOM_ACQUISITION_DATETIME", YEAR_FIRST),),
    ),
    # ventana.BuildDate is the software's.
    "ventana": Header(
        "Ventana", ("ventana.ScannerModel",), ("ventana.UnitNumber",), (("ventana.ScanDate", MONTH_FIRST), TIFF_DATE)
    ),
    "trestle": Header("Trestle", (), (), (TIFF_DATE,)),
    "sakura": Header("Sakura", (), (), (("sakura.Date", YEAR_FIRST),)),
    "dicom": Header(
        "dicom.Manufacturer",
        ("dicom.ManufacturerModelName",),
        ("dicom.DeviceSerialNumber",),
        (("dicom.AcquisitionDateTime", YEAR_FIRST), ("dicom.AcquisitionDate", YEAR_FIRST)),
    ),
    "zeiss": Header(
        "Zeiss",
        (
            "zeiss.Information.Instrument.Microscopes.Microscope:1.Name",
            "zeiss.Information.Instrument.Microscopes.Microscope:1.System",
        ),
        (),
        (
            ("zeiss.Information.Image.AcquisitionDateAndTime", YEAR_FIRST),
            ("zeiss.Information.Document.CreationDate", YEAR_FIRST),
        ),
    ),
    "huron": Header("Huron", ("tiff.Model",), ("huron.DeviceID",), (TIFF_DATE,)),
    "generic-tiff": Header("tiff.Make", ("tiff.Model",), (), (TIFF_DATE,)),
}


def header_factors(properties: Mapping[str, str]) -> dict[str, str]:
    """Scanner and day of the scan as the header tells them.

    Args:
        properties: of OpenSlide; openslide.vendor says which others are read.

    Returns:
        `scanner`: maker, model and serial number, as far as told ("Aperio SS1302"); `scan_date`: YYYY-MM-DD. Either is
        "" where it is not told or not to be made out.
    """
    header = HEADERS.get(properties.get("openslide.vendor", ""))
    if header is None:
        return {"scanner": "", "scan_date": ""}
    maker = _first(properties, (header.maker,)) if "." in header.maker else header.maker
    model, serial = _first(properties, header.model), _first(properties, header.serial)
    # Told as "Leica SCN400" of maker Leica: the name once.
    if model.casefold().startswith(maker.casefold()):
        maker = ""
    # A maker alone says no more than the vendor of the format.
    scanner = " ".join(part for part in (maker, model, serial) if part) if model or serial else ""
    dates = (_date(properties.get(name, ""), formats) for name, formats in header.dates)
    return {"scanner": scanner, "scan_date": next((date for date in dates if date), "")}


def _first(properties: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first of the properties with a usable value, white space as single blanks."""
    for name in names:
        # Leica lists a model for each part of the device.
        text = " ".join(properties.get(name, "").split(";")[0].split())
        if text and text.isprintable() and len(text) <= LONGEST:
            return text
    return ""


def _date(text: str, formats: tuple[str, ...]) -> str:
    """The day that a text begins with, YYYY-MM-DD; "" when none of the formats fits or it is before FIRST_YEAR."""
    found = re.match(r"\s*(\d{1,4}([-:/])\d{1,2}\2\d{1,4}(?=$|[ T])|\d{8}(?=$|\d{6}|[ T]))", text)
    for layout in formats if found else ():
        try:
            day = datetime.strptime(found[1], layout)
        except ValueError:
            continue
        if day.year >= FIRST_YEAR:
            return day.date().isoformat()
    return ""
