"""hx_header: scanner and scan date of every vendor, and nothing else."""

import pytest

from hx_header import HEADERS, header_factors
from hx_slide import Slide

TOLD = {
    "aperio": ({"aperio.ScanScope ID": "SS1302", "aperio.Date": "04/07/14"}, "Aperio SS1302", "2014-04-07"),
    "aperio, new": (
        {"aperio.ScannerType": "GT450", "aperio.ScanScope ID": "SS45001", "aperio.Date": "07/24/2023"},
        "Aperio GT450 SS45001",
        "2023-07-24",
    ),
    "aperio, date in the TIFF tag alone": ({"tiff.DateTime": "2011:03:30 17:24:29"}, "", "2011-03-30"),
    "hamamatsu": (
        {"hamamatsu.Product": "C13210", "hamamatsu.NDP.S/N": "000123", "hamamatsu.Created": "2017/04/27"},
        "Hamamatsu C13210 000123",
        "2017-04-27",
    ),
    "hamamatsu, tags": (
        {"tiff.Model": "C10730-02", "tiff.DateTime": "2020:01:02 03:04:05"},
        "Hamamatsu C10730-02",
        "2020-01-02",
    ),
    "leica": (
        {"leica.device-model": "Leica SCN400;Leica SCN", "leica.creation-date": "2018-11-03T10:29:21.633Z"},
        "Leica SCN400",
        "2018-11-03",
    ),
    "mirax": (
        {
            "mirax.NONHIERLAYER_1_SECTION.SCANNER_HARDWARE_VERSION": "Pannoramic 250",
            "mirax.NONHIERLAYER_1_SECTION.SCANNER_HARDWARE_ID": "P250-17",
            "mirax.GENERAL.SLIDE_CREATIONDATETIME": "02/01/2020 03:04:05",
        },
        "3DHISTECH Pannoramic 250 P250-17",
        "2020-01-02",
    ),
    "philips": (
        {
            "philips.DICOM_DEVICE_SERIAL_NUMBER": "FMT0123",
            "philips.DICOM_ACQUISITION_DATETIME": "20200102030405.000000",
        },
        "Philips FMT0123",
        "2020-01-02",
    ),
    "ventana": (
        {
            "ventana.ScannerModel": "VENTANA DP 200",
            "ventana.UnitNumber": "2000515",
            "ventana.ScanDate": "8/30/2017 12:04:52 PM",
            "ventana.BuildDate": "11/29/2013 13:17:31",
        },
        "VENTANA DP 200 2000515",
        "2017-08-30",
    ),
    "trestle": ({"tiff.DateTime": "2005:11:30 10:00:00"}, "", "2005-11-30"),
    "sakura": ({"sakura.Date": "2013-05-06 10:11:12"}, "", "2013-05-06"),
    "dicom": (
        {
            "dicom.Manufacturer": "Leica Biosystems",
            "dicom.ManufacturerModelName": "Aperio GT450",
            "dicom.DeviceSerialNumber": "SS12",
            "dicom.AcquisitionDateTime": "20230724101112.123+0100",
        },
        "Leica Biosystems Aperio GT450 SS12",
        "2023-07-24",
    ),
    "zeiss": (
        {
            "zeiss.Information.Instrument.Microscopes.Microscope:1.Name": "Axioscan 7",
            "zeiss.Information.Image.AcquisitionDateAndTime": "2021-06-07T08:09:10.1234567Z",
        },
        "Zeiss Axioscan 7",
        "2021-06-07",
    ),
    "huron": (
        {"tiff.Model": "TissueScope LE", "huron.DeviceID": "LE120", "tiff.DateTime": "2019:02:03 04:05:06"},
        "Huron TissueScope LE LE120",
        "2019-02-03",
    ),
    "generic-tiff": (
        {"tiff.Make": "Motic", "tiff.Model": "EasyScan", "tiff.DateTime": "2022:02:03 04:05:06"},
        "Motic EasyScan",
        "2022-02-03",
    ),
}
PATIENT = (
    *("aperio.User", "aperio.Filename", "aperio.Title", "aperio.ImageID", "aperio.Slide", "aperio.Patient"),
    *("aperio.Barcode", "aperio.Rack", "aperio.DSR ID", "hamamatsu.Reference", "hamamatsu.Creator", "leica.barcode"),
    *("mirax.GENERAL.SLIDE_NAME", "mirax.GENERAL.SLIDE_ID", "mirax.GENERAL.SLIDE_BARCODE"),
    *("mirax.GENERAL.PROJECT_NAME", "mirax.NONHIERLAYER_1_LEVEL_3_SECTION.BARCODE_VALUE"),
    *("philips.PIM_DP_UFS_BARCODE", "philips.PIM_DP_SCANNER_OPERATOR_ID", "philips.DICOM_PATIENT_NAME"),
    *("ventana.Operator", "ventana.Barcode1D", "ventana.Barcode2D", "ventana.SlideID", "ventana.LabelBoundary"),
    *("sakura.Creator", "sakura.SlideId", "sakura.Description", "sakura.DiagnosisCode", "sakura.Keywords"),
    *("dicom.PatientName", "dicom.PatientID", "dicom.PatientBirthDate", "dicom.AccessionNumber", "dicom.StudyDate"),
    *("dicom.BarcodeValue", "dicom.OperatorsName", "dicom.ContainerIdentifier", "dicom.InstitutionName"),
    *("zeiss.Information.User.DisplayName", "zeiss.Information.Document.UserName", "zeiss.Information.Document.Name"),
    *("openslide.comment", "openslide.barcode", "tiff.ImageDescription", "tiff.Artist", "tiff.HostComputer"),
    *("tiff.DocumentName", "tiff.Copyright", "tiff.Software", "huron.Label", "trestle.Name"),
)


@pytest.mark.parametrize("name", TOLD)
def test_what_each_vendor_tells(name):
    properties, scanner, date = TOLD[name]
    vendor = name.split(",")[0]
    assert header_factors({"openslide.vendor": vendor} | properties) == {"scanner": scanner, "scan_date": date}


def test_every_vendor_is_tested():
    assert {name.split(",")[0] for name in TOLD} == set(HEADERS)


class Watched(dict):
    """Properties that note which of them are asked for, and that cannot be listed."""

    def __init__(self, values: dict[str, str]):
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, name: str, default: str = "") -> str:
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return super().__getitem__(name)

    def __iter__(self):
        raise AssertionError("all properties were listed")

    keys = values = items = __iter__


@pytest.mark.parametrize("vendor", [*HEADERS, "argos", ""])
def test_patient_fields_are_never_read(vendor):
    """Neither their values come out, nor are they asked for; where a date is looked for, a name is no date."""
    properties = Watched(
        {name: f"Doe^Jane 1950-01-02 {i}" for i, name in enumerate(PATIENT)} | {"openslide.vendor": vendor}
    )
    assert header_factors(properties) == {"scanner": "", "scan_date": ""}
    assert not properties.read & set(PATIENT)


def test_named_properties_hold_no_patient_field():
    named = {name for header in HEADERS.values() for name in (*header.model, *header.serial, *dict(header.dates))}
    words = ("patient", "barcode", "operator", "user", "label", "accession", "slide_name", "slide_id", "description")
    assert not [name for name in named if any(word in name.casefold() for word in words)]
    assert not named & set(PATIENT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "00/00/00",
        "13/40/2010",
        "02/30/2012",
        "XX/XX/XX",
        "2012-04-07",
        "04/07/1970",
        "01/01/1900",
        "4/7",
        "04-07-14",
    ],
)
def test_bad_dates_are_empty(text):
    assert header_factors({"openslide.vendor": "aperio", "aperio.Date": text})["scan_date"] == ""


@pytest.mark.parametrize(
    "text", ["0000:00:00 00:00:00", "1970:01:01 00:00:00", "2020:13:01", "today", "2020010", "2020:01/02"]
)
def test_bad_tiff_dates_are_empty(text):
    assert header_factors({"openslide.vendor": "generic-tiff", "tiff.DateTime": text})["scan_date"] == ""


def test_a_bad_date_gives_way_to_the_next():
    properties = {"openslide.vendor": "aperio", "aperio.Date": "00/00/00", "tiff.DateTime": "2011:03:30 17:24:29"}
    assert header_factors(properties)["scan_date"] == "2011-03-30"


@pytest.mark.parametrize(
    ("value", "scanner"),
    [("  SS\t13\n02 ", "Aperio SS 13 02"), ("x" * 41, ""), ("", ""), ("SS\x0013", ""), (";", "")],
)
def test_scanner_is_one_short_line(value, scanner):
    assert header_factors({"openslide.vendor": "aperio", "aperio.ScanScope ID": value})["scanner"] == scanner


def test_real_slides(real_data):
    told = {}
    for path in sorted((real_data / "slides").glob("*.svs")):
        with Slide(path) as slide:
            told[path.name[:3]] = header_factors(slide.properties)
    assert told["CMU"] == {"scanner": "Aperio CPAPERIOCS", "scan_date": "2009-12-29"}
    assert told["TCG"] == {"scanner": "", "scan_date": ""}  # nothing is left in its header
