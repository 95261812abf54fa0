#!/usr/bin/env python3
"""Figures of features: numbers and pixels in, RGB uint8 pictures out. The same input gives the same bytes.

Text is drawn in the font that Pillow brings along. Colours of values are viridis (van der Walt & Smith 2015): equal
steps of value are equal steps of lightness, also to colour-blind readers and in grey.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hx_io import atomic
from hx_overlay import bar_length

WHITE, BLACK, GREY, PALE = (255, 255, 255), (0, 0, 0), (90, 90, 90), (225, 225, 225)
POINT = (0, 114, 178)
TITLE_PX, TEXT_PX, SMALL_PX = 24, 18, 15
GAP, MARGIN = 8, 16
BAR_SHARE = 0.4  # a scale bar is at most so much of a picture's width
WEBP_QUALITY = 70  # letters stay sharp, at a third of the bytes of a JPEG of like looks
TICKS = 5


class Tile(NamedTuple):
    """A square picture (px, px, 3), its caption, and the micrometres that a pixel of it spans (None: not known)."""

    pixels: np.ndarray
    caption: str
    um: float | None


class Row(NamedTuple):
    """Tiles under a heading."""

    heading: str
    tiles: Sequence[Tile]


@functools.cache
def font(px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(px)


def width_of(text: str, px: int) -> int:
    """Pixels that a line of text is wide."""
    return int(np.ceil(font(px).getlength(text)))


def write(picture: np.ndarray, texts: Sequence[tuple[float, float, int, tuple[int, int, int], str]]) -> None:
    """Write texts (left, top, height of the line, RGB, text) into a picture."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for left, top, height, colour, text in texts:
        draw.text((left, top), text, colour, font(height))
    picture[:] = np.asarray(image)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture as PNG; no time stamp in it."""
    with atomic(path) as temporary:
        encoded = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
        temporary.write_bytes(encoded.tobytes())


def webp(picture: np.ndarray) -> bytes:
    """The picture as a WebP file."""
    quality = [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY]
    return cv2.imencode(".webp", np.ascontiguousarray(picture[..., ::-1]), quality)[1].tobytes()


def wrapped(text: str, px: int, width: int) -> list[str]:
    """Lines of a text, none wider than `width` pixels unless it is one word."""
    lines: list[str] = []
    for word in text.split():
        if lines and width_of(f"{lines[-1]} {word}", px) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


def headed(picture: np.ndarray, title: str, under: str) -> np.ndarray:
    """The picture under a title and a smaller text, with a margin."""
    least = max(picture.shape[1], min(width_of(title, TITLE_PX), 900))
    lines = wrapped(under, TEXT_PX, least)
    titles = wrapped(title, TITLE_PX, least)
    top = MARGIN + len(titles) * (TITLE_PX + 6) + len(lines) * (TEXT_PX + 5) + GAP
    out = np.full((top + picture.shape[0] + MARGIN, least + 2 * MARGIN, 3), 255, np.uint8)
    out[top : top + picture.shape[0], MARGIN : MARGIN + picture.shape[1]] = picture
    texts = [(MARGIN, MARGIN + i * (TITLE_PX + 6), TITLE_PX, BLACK, line) for i, line in enumerate(titles)]
    start = MARGIN + len(titles) * (TITLE_PX + 6) + 2
    texts += [(MARGIN, start + i * (TEXT_PX + 5), TEXT_PX, GREY, line) for i, line in enumerate(lines)]
    write(out, texts)
    return out


def length_text(um: float) -> str:
    """50 um, 2 mm."""
    return f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} um"


def scale_bar(picture: np.ndarray, um: float | None, px: int = SMALL_PX) -> None:
    """Draw a scale bar into the lower left corner, on a white plate that any tissue lets it be read on.

    Args:
        um: micrometres a pixel; None draws nothing.
    """
    height, width = picture.shape[:2]
    if um is None:
        return
    longest = BAR_SHARE * width * um
    length = bar_length(longest)
    bar, label = max(1, round(length / um)), length_text(length)
    plate = max(bar, width_of(label, px)) + 10
    tall = px + 14
    left, top = 4, height - tall - 4
    picture[top : top + tall, left : left + plate] = WHITE
    picture[height - 12 : height - 8, left + 5 : left + 5 + bar] = BLACK
    write(picture, [(left + 5, top, px, BLACK, label)])


def fitted(picture: np.ndarray, px: int, fill: Sequence[int]) -> tuple[np.ndarray, float]:
    """The picture inside a square of `px` pixels, the rest in the colour `fill`; and pixels of the old a new one."""
    height, width = picture.shape[:2]
    scale = px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (px - size[0]) // 2, (px - size[1]) // 2
    out = np.empty((px, px, 3), np.uint8)
    out[:] = np.asarray(fill, np.uint8)
    out[top : top + size[1], left : left + size[0]] = small
    return out, 1 / scale


def sheet(rows: Sequence[Row], px: int, columns: int) -> np.ndarray:
    """Rows of tiles of `px` pixels, each with its scale bar and caption; a row is broken after `columns` tiles."""
    columns = max(1, min(columns, max(len(row.tiles) for row in rows)))
    cell = px + GAP, px + 2 * SMALL_PX + 8 + GAP
    lines = [-(-max(len(row.tiles), 1) // columns) for row in rows]
    heading = TEXT_PX + 12
    height = sum(heading * bool(row.heading) + n * cell[1] for row, n in zip(rows, lines, strict=True))
    out = np.full((height, columns * cell[0] - GAP, 3), 255, np.uint8)
    texts, top = [], 0
    for row, count in zip(rows, lines, strict=True):
        if row.heading:
            texts.append((0, top + 4, TEXT_PX, BLACK, row.heading))
            top += heading
        for i, tile in enumerate(row.tiles):
            x, y = i % columns * cell[0], top + i // columns * cell[1]
            pixels = tile.pixels.copy()
            scale_bar(pixels, tile.um)
            cv2.rectangle(pixels, (0, 0), (px - 1, px - 1), PALE, 1)
            out[y : y + px, x : x + px] = pixels
            texts += [
                (x + 1, y + px + 2 + k * (SMALL_PX + 2), SMALL_PX, GREY, line)
                for k, line in enumerate(tile.caption.split("\n")[:2])
            ]
        top += count * cell[1]
    write(out, texts)
    return out


def beside(*pictures: np.ndarray, gap: int = 3 * GAP) -> np.ndarray:
    """Pictures side by side on white, their tops on one line."""
    height = max(picture.shape[0] for picture in pictures)
    parts = []
    for picture in pictures:
        below, right = height - picture.shape[0], gap if parts is not None else 0
        parts.append(cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=WHITE))
    return np.hstack(parts)[:, :-gap]


def below(*pictures: np.ndarray, gap: int = 2 * GAP) -> np.ndarray:
    """Pictures under each other on white, their left edges on one line."""
    width = max(picture.shape[1] for picture in pictures)
    parts = [
        cv2.copyMakeBorder(picture, 0, gap, 0, width - picture.shape[1], cv2.BORDER_CONSTANT, value=WHITE)
        for picture in pictures
    ]
    return np.vstack(parts)[:-gap]


def colours(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """RGB uint8 (n, 3) of values between `low` and `high`; those beyond take the colour of the end."""
    span = high - low
    place = np.full(np.shape(values), 128.0) if span <= 0 else 255 * (np.asarray(values, float) - low) / span
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    return table[np.clip(np.round(place), 0, 255).astype(int)]


def ticks(low: float, high: float) -> np.ndarray:
    """About TICKS round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return np.array([low])
    step = bar_length((high - low) / (TICKS - 1)) if (high - low) else 1.0
    first = np.ceil(low / step - 1e-9)
    return step * np.arange(first, np.floor(high / step + 1e-9) + 1)


def number(value: float) -> str:
    """A value as a short text: four significant digits."""
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}"


def colour_bar(height: int, low: float, high: float, label: str) -> np.ndarray:
    """Vertical bar of the colours from `low` (bottom) to `high`, its ticks, and what it shows over it."""
    lines = wrapped(label, SMALL_PX, 170)
    top = len(lines) * (SMALL_PX + 3) + 12
    out = np.full((height, 190, 3), 255, np.uint8)
    long = height - top - SMALL_PX
    out[top : top + long, 4:26] = colours(np.linspace(high, low, long), low, high)[:, None]
    cv2.rectangle(out, (4, top), (26, top + long - 1), GREY, 1)
    texts = [(2, i * (SMALL_PX + 3), SMALL_PX, BLACK, line) for i, line in enumerate(lines)]
    for value in ticks(low, high):
        share = 0.5 if high <= low else (value - low) / (high - low)
        y = round(top + (1 - share) * (long - 1))
        cv2.line(out, (26, y), (31, y), GREY, 1)
        texts.append((36, y - SMALL_PX // 2 - 2, SMALL_PX, BLACK, number(value)))
    write(out, texts)
    return out


def scatter(
    x: np.ndarray,
    y: np.ndarray,
    names: tuple[str, str],
    title: str,
    px: int = 420,
    bars: np.ndarray | None = None,
) -> np.ndarray:
    """Points of (n,) x and y with axes named `names`, as in the study's figure 1b; `bars` (n, 2): ends of each in y."""
    left, top, bottom = 92, TEXT_PX + 14, 64
    out = np.full((top + px + bottom, left + px + MARGIN, 3), 255, np.uint8)
    bounds = []
    for values in (x, y if bars is None else bars):
        low, high = float(values.min()), float(values.max())
        pad = 0.05 * (high - low) or 0.5
        bounds.append((low - pad, high + pad))
    (x0, x1), (y0, y1) = bounds
    cv2.rectangle(out, (left, top), (left + px, top + px), GREY, 1)
    texts = [(left, 4, TEXT_PX, BLACK, title)]
    for value in ticks(x0, x1):
        at = round(left + (value - x0) / (x1 - x0) * px)
        cv2.line(out, (at, top + px), (at, top + px + 5), GREY, 1)
        text = number(value)
        texts.append((at - width_of(text, SMALL_PX) / 2, top + px + 8, SMALL_PX, BLACK, text))
    for value in ticks(y0, y1):
        at = round(top + (y1 - value) / (y1 - y0) * px)
        cv2.line(out, (left - 5, at), (left, at), GREY, 1)
        text = number(value)
        texts.append((left - 9 - width_of(text, SMALL_PX), at - SMALL_PX // 2 - 2, SMALL_PX, BLACK, text))
    label = names[0]
    texts.append((left + (px - width_of(label, TEXT_PX)) / 2, top + px + 32, TEXT_PX, BLACK, label))
    write(out, texts)
    side = np.full((TEXT_PX + 8, px, 3), 255, np.uint8)
    write(side, [((px - width_of(names[1], TEXT_PX)) / 2, 0, TEXT_PX, BLACK, names[1])])
    turned = np.rot90(side)
    out[top : top + px, 0 : turned.shape[1]] = turned
    layer = out.copy()

    def place(a: float, b: float) -> tuple[int, int]:
        return round(16 * (left + (a - x0) / (x1 - x0) * px)), round(16 * (top + (y1 - b) / (y1 - y0) * px))

    if bars is not None:
        for a, (low, high) in zip(x, bars, strict=True):
            cv2.line(layer, place(a, low), place(a, high), POINT, 2, cv2.LINE_AA, 4)
    for a, b in zip(x, y, strict=True):
        cv2.circle(layer, place(a, b), 16 * 5, POINT, -1, cv2.LINE_AA, 4)
    return cv2.addWeighted(layer, 0.65, out, 0.35, 0)
