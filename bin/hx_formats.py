#!/usr/bin/env python3
"""File formats of slides: names that can be read, and formats of one file with a folder or further files beside it.

Pure Python, so that a cohort can be checked where OpenSlide is not installed.
"""

import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

# Endings of the formats that OpenSlide 4 reads (openslide.org/formats): Aperio, Argos, DICOM, Hamamatsu, Huron, Leica,
# MIRAX, Philips, Sakura, Trestle, Ventana, Zeiss, tiled TIFF.
READABLE_SUFFIXES = (
    *(".avs", ".bif", ".czi", ".dcm", ".mrxs", ".ndpi", ".scn"),
    *(".svs", ".svslide", ".tif", ".tiff", ".vms", ".vmu"),
)
KEY_FILE_BYTES = 1 << 16  # OpenSlide reads no longer .vms or .vmu either
LONG_LENGTHS = b"OB OD OF OL OW SQ SV UC UN UR UT UV".split()  # DICOM PS3.5 section 7.1.2
ENDLESS = 0xFFFFFFFF
SERIES = (0x0020, 0x000E)


class SlideError(Exception):
    """A slide that cannot be used; the message says why."""


def link_companions(path: str | Path, others: Iterable[str | Path]) -> None:
    """Put symbolic links beside a slide file to those of `others` that belong to it, so that OpenSlide finds them.

    Tasks get each file in a folder of its own. What is linked already stays, and nothing is overwritten.

    Args:
        path: the slide file.
        others: files and folders of any slides; those of other slides are passed over.

    Raises:
        SlideError: something else has the name that a companion needs.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        wanted = {path.stem}
    elif suffix in (".vms", ".vmu"):
        wanted = set(_named_files(path))
    elif suffix != ".dcm":
        return
    for other in sorted(map(Path, others)):
        if _same_series(path, other) if suffix == ".dcm" else other.name in wanted:
            _link(path.with_name(other.name), other)


def _link(link: Path, target: Path) -> None:
    try:
        # Absolute: a relative path would start from wherever a staged folder really lies.
        link.symlink_to(os.path.abspath(target))
    except FileExistsError:
        if not link.exists() or not link.samefile(target):
            raise SlideError(f"{link.name}: two files of this name belong beside one slide: rename one") from None


def _named_files(path: Path) -> list[str]:
    """File names in a Hamamatsu .vms or .vmu: picture files, map, macro (OpenSlide wants it), optimisation file."""
    with open(path, "rb") as file:
        text = file.read(KEY_FILE_BYTES).decode("utf-8", "replace")
    key = r"ImageFile(?:\([\d,]*\))?|MapFile|MacroImage|OptimisationFile"
    names = re.findall(rf"(?m)^(?:{key})[ \t]*=[ \t]*(.*?)[ \t\r]*$", text)
    # A name is one file beside the .vms, never a way out of its folder.
    return sorted({name for name in names if name and Path(name).name == name})


def _same_series(path: Path, other: Path) -> bool:
    if other.suffix.lower() != ".dcm" or not other.is_file() or other.samefile(path):
        return False
    return dicom_series(other) == dicom_series(path) is not None


def dicom_series(path: Path) -> str | None:
    """Series Instance UID (0020,000E) of a DICOM file with explicit value representations; None where there is none.

    Nothing beyond it is read. Encoding: DICOM PS3.5 sections 7.1.2 and 7.5, PS3.10 section 7.1.
    """
    with open(path, "rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
        try:
            for tag, value in _elements(file):
                if tag == SERIES:
                    return value.rstrip(b" \0").decode("ascii")
                if tag > SERIES:
                    break
        except (struct.error, UnicodeDecodeError):
            pass
    return None


def _elements(file: BinaryIO) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Tag and value of the top elements of a data set, sequences without their value."""
    while head := file.read(8):
        group, element, kind, length = struct.unpack("<HH2sH", head)
        if kind in LONG_LENGTHS:
            (length,) = struct.unpack("<I", file.read(4))
        if length == ENDLESS:
            _skip_sequence(file)
            yield (group, element), b""
        elif (group, element) == SERIES:
            yield SERIES, file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
            yield (group, element), b""


def _skip_sequence(file: BinaryIO) -> None:
    """Go behind the end of a sequence of undefined length: items, each of a known length or of elements and an end."""
    while True:
        group, element, length = struct.unpack("<HHI", file.read(8))
        if (group, element) == (0xFFFE, 0xE0DD):
            return
        if length != ENDLESS:
            file.seek(length, os.SEEK_CUR)
            continue
        while True:
            group, element, kind, length = struct.unpack("<HH2sH", file.read(8))
            if group == 0xFFFE:
                break
            if kind in LONG_LENGTHS:
                (length,) = struct.unpack("<I", file.read(4))
            if length == ENDLESS:
                _skip_sequence(file)
            else:
                file.seek(length, os.SEEK_CUR)
