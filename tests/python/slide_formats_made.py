"""Small slides with drawn pixels in the formats of scanners, made of what OpenSlide needs to know and read them.

Each has a label and a macro picture where the format has room for one, all of one colour: CANARY, which no slide has.
"""

import base64
import struct
from pathlib import Path

import cv2
import numpy as np
import tifffile
from slides_made import write_slide

CANARY = (0, 255, 30)
PATIENT = "SURNAME^GIVEN"
TILE = 64
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def structured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """RGB uint8 (height, width, 3): blots of a few pixels, what JPEG keeps and a shift does not, in hues."""
    rng = np.random.default_rng(seed)
    blots = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 3)
    hues = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), 30)
    picture = 150 + 25 * (blots / blots.std())[..., None] + 20 * hues / hues.std()
    return np.clip(picture, 40, 250).round().astype(np.uint8)


def canary(height: int = 96, width: int = 128) -> np.ndarray:
    """RGB uint8 (height, width, 3) of the colour CANARY."""
    return np.full((height, width, 3), CANARY, np.uint8)


def halved(picture: np.ndarray, factor: int) -> np.ndarray:
    """Picture shrunk by a factor that divides its sides."""
    return cv2.resize(picture, (picture.shape[1] // factor, picture.shape[0] // factor), interpolation=cv2.INTER_AREA)


def _jpeg(picture: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", picture[..., ::-1], [*JPEG, *options])[1].tobytes()


def _page(tif: tifffile.TiffWriter, picture: np.ndarray, tiled: bool = True, **options: object) -> None:
    layout = {"tile": (TILE, TILE)} if tiled else {"rowsperstrip": 16}
    compressed = {"compression": "jpeg", "compressionargs": {"level": 95}, "photometric": "rgb"}
    tif.write(picture, **({"metadata": None, "software": False} | layout | compressed | options))


def write_svs(
    path: Path,
    picture: np.ndarray,
    mpp: float | None = 0.25,
    resolution: float | None = None,
    factors: tuple[int, ...] = (4,),
) -> Path:
    """Aperio: description of pipe-separated fields; thumbnail, label and macro in strips. resolution: mpp in tags."""
    height, width = picture.shape[:2]
    fields = ["AppMag = 40", "ScanScope ID = SS1234", "Date = 03/04/15", "Time = 10:11:12", f"Title = {PATIENT}"]
    fields += [f"MPP = {mpp:.4f}"] if mpp else []
    first = f"Aperio Image Library v11.2.1\r\n{width}x{height} ({TILE}x{TILE}) JPEG/RGB Q=95|" + "|".join(fields)
    tags = {"resolution": (1e4 / resolution, 1e4 / resolution), "resolutionunit": "CENTIMETER"} if resolution else {}
    with tifffile.TiffWriter(path) as tif:
        _page(tif, picture, description=first, **tags)
        _page(tif, canary(), tiled=False, description="Aperio Image Library v11.2.1\r\n-> 128x96 - ")
        for factor in factors:
            small = halved(picture, factor)
            text = f"{width}x{height} -> {small.shape[1]}x{small.shape[0]} JPEG/RGB Q=95"
            _page(tif, small, description=f"Aperio Image Library v11.2.1\r\n{text}")
        for kind, subfile in (("label", 1), ("macro", 9)):
            text = f"Aperio Image Library v11.2.1\r\n{kind} 128x96"
            _page(tif, canary(), tiled=False, description=text, subfiletype=subfile)
    return path


def write_generic(path: Path, picture: np.ndarray, mpp: float | None = 0.5) -> Path:
    """Tiled pyramidal TIFF without a vendor's header."""
    return write_slide(path, picture, factors=(4,), mpp=mpp, tile=TILE)


def write_philips(path: Path, picture: np.ndarray, mpp: float = 0.25, factors: tuple[int, ...] = (2, 4)) -> Path:
    """Philips TIFF: XML in the description with a pixel spacing a level, label and macro as base64 JPEG."""

    def attribute(name: str, value: str) -> str:
        return f'<Attribute Name="{name}" Group="0x0028" Element="0x0030" PMSVR="IString">{value}</Attribute>'

    def levels() -> str:
        spacing = [attribute("DICOM_PIXEL_SPACING", f'"{mpp * f / 1e3}" "{mpp * f / 1e3}"') for f in (1, *factors)]
        objects = [f'<DataObject ObjectType="PixelDataRepresentation">{one}</DataObject>' for one in spacing]
        return attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", f"<Array>{''.join(objects)}</Array>")

    picture64 = base64.b64encode(_jpeg(canary())).decode()
    wsi = attribute("PIM_DP_IMAGE_TYPE", "WSI") + attribute("DICOM_PIXEL_SPACING", f'"{mpp / 1e3}" "{mpp / 1e3}"')
    images = [wsi + levels()]
    images += [
        attribute("PIM_DP_IMAGE_TYPE", kind) + attribute("PIM_DP_IMAGE_DATA", picture64)
        for kind in ("LABELIMAGE", "MACROIMAGE")
    ]
    scanned = "".join(f'<DataObject ObjectType="DPScannedImage">{image}</DataObject>' for image in images)
    top = attribute("DICOM_MANUFACTURER", "PHILIPS") + attribute("DICOM_DEVICE_SERIAL_NUMBER", "FMT0099")
    top += attribute("PIM_DP_UFS_BARCODE", base64.b64encode(PATIENT.encode()).decode())
    xml = f'<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">{top}'
    xml += attribute("PIM_DP_SCANNED_IMAGES", f"<Array>{scanned}</Array>") + "</DataObject>"
    with tifffile.TiffWriter(path) as tif:
        _page(tif, picture, description=xml, software="Philips DP v1.0")
        for factor in factors:
            _page(tif, halved(picture, factor), subfiletype=1, description=f"level={factor}")
        _page(tif, canary(), tiled=False, description="Label", subfiletype=1)
        _page(tif, canary(), tiled=False, description="Macro", subfiletype=1)
    return path


def write_scn(path: Path, picture: np.ndarray, mpp: float = 0.5, corner: tuple[int, int] = (128, 64)) -> Path:
    """Leica SCN: one scanned area (its corner in pixels, x and y) on a larger slide, laid out in nanometres."""
    nm = round(mpp * 1000)
    height, width = picture.shape[:2]
    slide = ((width + 2 * corner[0]) * nm, (height + 2 * corner[1]) * nm)
    light = "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
    light += "<illuminationSource>brightfield</illuminationSource></illuminationSettings>"
    settings = f"<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>{light}</scanSettings>"
    device = '<device model="Leica SCN400" version="1.5"/><creationDate>2015-03-04T10:11:12Z</creationDate>'

    def image(first: int, shapes: list[tuple[int, int]], offset: tuple[int, int], size: tuple[int, int]) -> str:
        pages = [f'<dimension sizeX="{w}" sizeY="{h}" r="{i}" ifd="{first + i}"/>' for i, (w, h) in enumerate(shapes)]
        view = f'<view sizeX="{size[0]}" sizeY="{size[1]}" offsetX="{offset[0]}" offsetY="{offset[1]}" spacingZ="0"/>'
        return f"<image>{device}{settings}<pixels>{''.join(pages)}</pixels>{view}</image>"

    small = halved(picture, 4)
    main = image(
        1,
        [(width, height), (small.shape[1], small.shape[0])],
        (corner[0] * nm, corner[1] * nm),
        (width * nm, height * nm),
    )
    macro = image(0, [(128, 96)], (0, 0), slide)
    xml = '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
    xml += f'<collection name="{PATIENT}" sizeX="{slide[0]}" sizeY="{slide[1]}">'
    xml += f"<barcode>{base64.b64encode(PATIENT.encode()).decode()}</barcode>{macro}{main}</collection></scn>"
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        _page(tif, canary(), description=xml)
        for factor, level in ((1, picture), (4, small)):
            resolution = 1e4 / (mpp * factor)
            _page(tif, level, resolution=(resolution, resolution), resolutionunit="CENTIMETER")
    return path


def write_bif(path: Path, picture: np.ndarray, mpp: float = 0.25, overlap: int = 0) -> Path:
    """Ventana BIF: one scanned area of whole tiles that overlap in x; tiles are numbered as a snake from the bottom.

    The picture's width is tiles x (TILE - overlap) + overlap, its height a multiple of TILE.
    """
    step = TILE - overlap
    across, down = (picture.shape[1] - overlap) // step, picture.shape[0] // TILE
    tiles = np.concatenate([picture[:, i * step : i * step + TILE] for i in range(across)], axis=1)

    def tile_number(column: int, row: int) -> int:
        row = down - row - 1
        return row * across + (across - column - 1 if row % 2 else column) + 1

    joints = [("RIGHT", (c, r), (c + 1, r), overlap) for r in range(down) for c in range(across - 1)]
    joints += [("UP", (c, r), (c, r - 1), 0) for r in range(1, down) for c in range(across)]
    joint = "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{way}" Tile1="{tile_number(*one)}" '
        f'Tile2="{tile_number(*two)}" OverlapX="{shared}" OverlapY="0"/>'
        for way, one, two, shared in joints
    )
    area = f'<ImageInfo AOIScanned="1" AOIIndex="0" NumRows="{down}" NumCols="{across}" Width="{TILE}" '
    area += f'Height="{TILE}" Pos-X="0" Pos-Y="0">{joint}</ImageInfo>'
    level0 = f'<EncodeInfo Ver="2"><SlideStitchInfo>{area}</SlideStitchInfo>'
    level0 += '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    iscan = f'<iScan Magnification="40" ScanRes="{mpp}" UnitNumber="2000515" BuildDate="01/02/2013" '
    iscan += f'UserName="{PATIENT}" Barcode1D="{PATIENT}"><AOI0/></iScan>'
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        _page(tif, canary(), tiled=False, description="Label Image", extratags=[_text(700, iscan)])
        _page(tif, tiles, description="level=0 mag=40 quality=95", extratags=[_text(700, level0)])
        _page(tif, halved(tiles, 2), description="level=1 mag=20 quality=95")
    return path


def _text(tag: int, text: str) -> tuple[int, str, int, bytes, bool]:
    data = text.encode() + b"\0"
    return tag, "B", len(data), data, True


def write_ndpi(path: Path, picture: np.ndarray, mpp: float = 0.25, tile: int = TILE) -> Path:
    """Hamamatsu NDPI: one JPEG a level, cut by restart markers into tiles `tile` wide and 8 high, and a macro."""
    with tifffile.TiffWriter(path) as tif:
        for factor, lens in ((1, 40.0), (4, 10.0), (0, -1.0)):
            level = halved(picture, factor) if factor else canary()
            data = _jpeg(level, cv2.IMWRITE_JPEG_RST_INTERVAL, (tile if factor == 1 else level.shape[1]) // 8)
            tif.write(
                iter([data]),
                shape=level.shape,
                dtype=np.uint8,
                rowsperstrip=level.shape[0],
                photometric="ycbcr",
                subsampling=(1, 1),
                compression="jpeg",
                resolution=(1e4 / (mpp * max(factor, 1)),) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
                software=False,
                extratags=[
                    *((271, "s", 0, "Hamamatsu", True), (272, "s", 0, "C13210", True)),
                    *((65420, "I", 1, 1, True), (65421, "f", 1, lens, True), (65424, "i", 1, 0, True)),
                    (65427, "s", 0, PATIENT, True),
                ],
            )
    return path


def write_vms(path: Path, picture: np.ndarray, mpp: float = 0.25, columns: int = 2) -> Path:
    """Hamamatsu VMS: an ini file, the picture as `columns` JPEGs with restart markers, a map and a macro picture."""
    side = picture.shape[1] // columns
    restart = (cv2.IMWRITE_JPEG_RST_INTERVAL, TILE // 8)
    names = {}
    for i in range(columns):
        suffix = f"({i},0)" if i else ""
        names[f"ImageFile{suffix}"] = f"{path.stem}{suffix}.jpg"
        (path.parent / f"{path.stem}{suffix}.jpg").write_bytes(_jpeg(picture[:, i * side : (i + 1) * side], *restart))
    names["MapFile"], names["MacroImage"] = f"{path.stem}_map.jpg", f"{path.stem}_macro.jpg"
    (path.parent / names["MapFile"]).write_bytes(_jpeg(halved(picture, 16), cv2.IMWRITE_JPEG_RST_INTERVAL, 1))
    (path.parent / names["MacroImage"]).write_bytes(_jpeg(canary()))
    fields = {
        "NoLayers": 1,
        "NoJpegColumns": columns,
        "NoJpegRows": 1,
        **names,
        "PhysicalWidth": round(picture.shape[1] * mpp * 1000),
        "PhysicalHeight": round(picture.shape[0] * mpp * 1000),
        "SourceLens": 40,
        "Reference": PATIENT,
    }
    path.write_text("[Virtual Microscope Specimen]\n" + "".join(f"{key}={value}\n" for key, value in fields.items()))
    return path


def write_mirax(path: Path, picture: np.ndarray, mpp: float = 0.25, holes: tuple[tuple[int, int], ...] = ()) -> Path:
    """MIRAX: an empty .mrxs, and a folder with an ini file, an index and the JPEGs of all tiles in one data file.

    holes: (column, row) of level-0 tiles that the scanner left out.
    """
    folder, slide_id = path.with_suffix(""), "0" * 32
    folder.mkdir()
    path.write_bytes(_jpeg(canary()))
    across, down = picture.shape[1] // TILE, picture.shape[0] // TILE
    data, pages = bytearray(), []
    for level, concat in enumerate((1, 2)):
        entries, small = [], halved(picture, concat)
        for row in range(0, down, concat):
            for column in range(0, across, concat):
                if not level and (column, row) in holes:
                    continue
                y, x = row // concat * TILE, column // concat * TILE
                tile = _jpeg(small[y : y + TILE, x : x + TILE])
                entries.append(struct.pack("<4i", row * across + column, len(data), len(tile), 0))
                data += tile
        pages.append(entries)
    label = _jpeg(canary())
    label_at = len(data)
    data += label
    (folder / "Data0000.dat").write_bytes(data)
    head = 5 + len(slide_id)
    table = head + 8  # of the pointers to the levels, then of the pointer to the label
    index = bytearray(b"01.02" + slide_id.encode() + struct.pack("<2i", table, table + 4 * len(pages)))
    start = table + 4 * (len(pages) + 1)
    blocks = [struct.pack("<2i", len(entries), 0) + b"".join(entries) for entries in pages]
    blocks.append(struct.pack("<8i", 1, 0, 0, 0, label_at, len(label), 0, 0))
    body = bytearray()
    for block in blocks:
        index += struct.pack("<i", start + len(body))
        body += struct.pack("<2i", 0, start + len(body) + 8) + block
    (folder / "Index.dat").write_bytes(index + body)
    general = {"SLIDE_ID": slide_id, "SLIDE_NAME": PATIENT, "IMAGENUMBER_X": across, "IMAGENUMBER_Y": down}
    general |= {"OBJECTIVE_MAGNIFICATION": 20, "SLIDE_CREATIONDATETIME": "04/03/2015 10:11:12"}
    sections = {"GENERAL": general}
    sections["HIERARCHICAL"] = {"HIER_COUNT": 1, "NONHIER_COUNT": 1, "INDEXFILE": "Index.dat"}
    sections["HIERARCHICAL"] |= {"HIER_0_NAME": "Slide zoom level", "HIER_0_COUNT": len(pages)}
    sections["HIERARCHICAL"] |= {"NONHIER_0_NAME": "Scan data layer", "NONHIER_0_COUNT": 1}
    sections["HIERARCHICAL"] |= {"NONHIER_0_VAL_0": "ScanDataLayer_SlideBarcode", "NONHIER_0_VAL_0_SECTION": "LABEL"}
    sections["LABEL"] = {"BARCODE_IMAGE_TYPE": "JPEG"}
    for level in range(len(pages)):
        sections["HIERARCHICAL"][f"HIER_0_VAL_{level}_SECTION"] = f"LEVEL{level}"
        sections[f"LEVEL{level}"] = {
            "IMAGE_CONCAT_FACTOR": min(level, 1),
            "OVERLAP_X": 0,
            "OVERLAP_Y": 0,
            "MICROMETER_PER_PIXEL_X": mpp * 2**level,
            "MICROMETER_PER_PIXEL_Y": mpp * 2**level,
            "IMAGE_FILL_COLOR_BGR": 0xE6F0FA,
            "DIGITIZER_WIDTH": TILE,
            "DIGITIZER_HEIGHT": TILE,
            "IMAGE_FORMAT": "JPEG",
        }
    sections["DATAFILE"] = {"FILE_COUNT": 1, "FILE_0": "Data0000.dat"}
    lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for name, keys in sections.items()]
    (folder / "Slidedat.ini").write_text("\ufeff" + "".join(lines), encoding="utf-8")
    return path


def write_dicom(folder: Path, picture: np.ndarray, mpp: float = 0.25, series: str = "1.2.3.4", z: str = "") -> Path:
    """DICOM whole-slide microscopy, uncompressed: two levels and a label, a file each, in explicit little endian.

    Names start with `z`; the file of level 0 is returned.
    """

    def element(tag: int, kind: str, value: bytes | str | int | float) -> bytes:
        if kind == "US":
            data = struct.pack("<H", value)
        elif kind == "UL":
            data = struct.pack("<I", value)
        elif kind == "FL":
            data = struct.pack("<f", value)
        else:
            data = value if isinstance(value, bytes) else str(value).encode()
        data += (b"\0" if kind in ("UI", "OB", "OW") else b" ") * (len(data) % 2)
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode()
        if kind in ("OB", "OW", "SQ", "UN"):
            return head + struct.pack("<HI", 0, len(data)) + data
        return head + struct.pack("<H", len(data)) + data

    def item(*elements: bytes) -> bytes:
        data = b"".join(elements)
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data

    def instance(number: int, pixels: np.ndarray, flavour: str, spacing: float) -> bytes:
        height, width = pixels.shape[:2]
        rows, columns = -(-height // TILE), -(-width // TILE)
        padded = np.zeros((rows * TILE, columns * TILE, 3), np.uint8)
        padded[:height, :width] = pixels
        frames = padded.reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)
        uid = f"{series}.{number}"
        storage, syntax = "1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.1.2.1"
        meta = element(0x00020001, "OB", b"\0\1") + element(0x00020002, "UI", storage)
        meta += element(0x00020003, "UI", uid) + element(0x00020010, "UI", syntax)
        meta += element(0x00020012, "UI", "1.2.3")
        body = [
            element(0x00080008, "CS", f"ORIGINAL\\PRIMARY\\{flavour}\\NONE"),
            element(0x00080016, "UI", storage),
            element(0x00080018, "UI", uid),
            element(0x00080060, "CS", "SM"),
            element(0x00100010, "PN", PATIENT),
            element(0x0020000D, "UI", "1.2.3.9"),
            element(0x0020000E, "UI", series),
            element(0x00209311, "CS", "TILED_FULL"),
            element(0x00280002, "US", 3),
            element(0x00280004, "CS", "RGB"),
            element(0x00280006, "US", 0),
            element(0x00280008, "IS", rows * columns),
            element(0x00280010, "US", TILE),
            element(0x00280011, "US", TILE),
            element(0x00280100, "US", 8),
            element(0x00280101, "US", 8),
            element(0x00280102, "US", 7),
            element(0x00280103, "US", 0),
            element(0x00480006, "UL", width),
            element(0x00480007, "UL", height),
            element(0x00480303, "UL", 1),
            element(
                0x52009229,
                "SQ",
                item(element(0x00289110, "SQ", item(element(0x00280030, "DS", f"{spacing / 1e3}\\{spacing / 1e3}")))),
            ),
            element(0x7FE00010, "OB", frames.tobytes()),
        ]
        start = element(0x00020000, "UL", len(meta))
        return bytes(128) + b"DICM" + start + meta + b"".join(body)

    for name, data in {
        "0.dcm": instance(1, picture, "VOLUME", mpp),
        "1.dcm": instance(2, halved(picture, 4), "VOLUME", mpp * 4),
        "2.dcm": instance(3, canary(), "LABEL", mpp),
    }.items():
        (folder / f"{z}{name}").write_bytes(data)
    return folder / f"{z}0.dcm"
