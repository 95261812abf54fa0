#!/usr/bin/env python3
"""Pictures of slides: numbers in, BGR uint8 pictures out. Text is drawn in the font that Pillow brings along."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hx_grid import Grid, resize_patch
from hx_io import atomic
from hx_sizes import size_text
from hx_slide import Overview
from hx_tissue import outlines

JPEG_QUALITY = 90
GRID_PX = 12  # patches smaller than this on the thumbnail are not drawn
PANEL_PX = 900  # longer side of a panel of figure 2
PANEL_MARGIN = 0.04  # glass around the piece of tissue, share of its longer side
ENLARGED = 4  # a crop is enlarged at most so much: beyond it nothing is to be seen
DOT_PX = 7  # patches nearer to each other than this make no separate dots
BAR_SHARE = 0.3  # a scale bar is at most so much of a panel's width
EXAMPLE_PX, EXAMPLE_GAP, LABEL_PX, HEADING_PX = 160, 6, 26, 44
BLUE, GREEN = (255, 110, 20), (60, 200, 60)  # BGR; both stand out from haematoxylin, eosin and black
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (110, 110, 110)


class ExampleRow(NamedTuple):
    """A row of a contact sheet: its label, a remark beside it, and uint8 RGB (n, px, px, 3)."""

    label: str
    remark: str
    patches: np.ndarray


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write a BGR picture; the same picture gives the same bytes."""
    with atomic(path) as temporary:
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        temporary.write_bytes(encoded.tobytes())


def draw_grid(thumbnail: Overview, mask: np.ndarray, factor: tuple[float, float], grids: Sequence[Grid]) -> np.ndarray:
    """Thumbnail with the patches of one size in grey, tissue outlined in green, holes in blue.

    Args:
        thumbnail: the whole slide.
        mask: tissue, bool (h, w); a pixel of it spans `factor` level-0 pixels.
        grids: drawn is the smallest size that can be seen.
    """
    picture = np.ascontiguousarray(thumbnail.pixels[..., ::-1])
    scale = 1 / np.array(thumbnail.factor)
    visible = [grid for grid in grids if grid.size * scale.min() >= GRID_PX and len(grid.coords)]
    if visible:
        grid = min(visible, key=lambda grid: grid.size)
        for corner in grid.coords:
            first, last = (np.round(point * scale).astype(int).tolist() for point in (corner, corner + grid.size))
            cv2.rectangle(picture, first, last, (90, 90, 90), 1, cv2.LINE_AA)
    for piece in outlines(mask, factor):
        for ring, colour in ((piece.ring, (0, 160, 0)), *((hole, (220, 60, 0)) for hole in piece.holes)):
            cv2.polylines(picture, [np.round(ring * scale).astype(np.int32)], True, colour, 2, cv2.LINE_AA)
    return picture


def largest_piece(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Box (left, top, right, bottom) around the largest connected piece of a mask; None when it is empty."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if len(stats) < 2:
        return None
    left, top, width, height, _ = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])].tolist()
    return left, top, left + width, top + height


def figure_2(
    picture: Overview, mask: np.ndarray, factor: tuple[float, float], grids: Sequence[Grid], mpp: float | None
) -> np.ndarray | None:
    """The study's figure 2 for any slide: the largest piece of tissue, with what else lies in its box.

    A: tissue on black, holes black too. B: the same with a blue dot at the centre of each patch of one size, the
    smallest whose dots stay apart. White bar: micrometres, where `mpp` is known. None when there is no tissue.

    Args:
        picture: the whole slide, at any resolution.
        mask: tissue, bool (h, w); a pixel of it spans `factor` level-0 pixels.
        grids: patches of every size.
        mpp: micrometres a level-0 pixel.
    """
    box = largest_piece(mask)
    if box is None:
        return None
    corners = np.array(box, float).reshape(2, 2) * factor
    corners += np.array([[-1], [1]]) * PANEL_MARGIN * (corners[1] - corners[0]).max()
    span = corners[1] - corners[0]
    scale = min(PANEL_PX / span.max(), ENLARGED / min(picture.factor))
    width, height = np.maximum(np.round(span * scale), 1).astype(int).tolist()
    tissue = _crop(picture.pixels, picture.factor, corners[0], scale, (width, height))
    inside = _crop(mask.astype(np.float32), factor, corners[0], scale, (width, height))
    # Where the mask is enlarged, its edge becomes a step two panel pixels wide instead of stairs.
    step = max(1.0, min(factor) * scale / 2)
    cover = np.clip((inside - 0.5) * step + 0.5, 0, 1)[..., None]
    first = (tissue[..., ::-1] * cover).round().astype(np.uint8)
    second = first.copy()
    shown, centres = _dots(grids, corners, scale)
    if shown is not None:
        radius = float(np.clip(shown.size * scale / 5, 1.6, 5))
        for x, y in centres:
            # Positions in 1/16 of a pixel, so that the dots stand on a regular grid.
            at = (round((x - 0.5) * 16), round((y - 0.5) * 16))
            cv2.circle(second, at, round(radius * 16), BLUE, -1, cv2.LINE_AA, 4)
    below = 40
    panels = [cv2.copyMakeBorder(panel, 44, below, 0, 0, cv2.BORDER_CONSTANT) for panel in (first, second)]
    least = max(width, 300)  # room for the text of a narrow piece
    for i, panel in enumerate(panels):
        left = (least - width) // 2
        panels[i] = cv2.copyMakeBorder(panel, 0, 0, left, least - width - left, cv2.BORDER_CONSTANT)
    words = [[(12, 6, 32, GREEN, "A")], [(12, 6, 32, GREEN, "B")]]
    if mpp is not None:
        um = bar_length(BAR_SHARE * least / scale * mpp)
        bar, level = round(um / mpp * scale), height + 44 + below // 2
        cv2.rectangle(panels[0], (14, level - 2), (13 + bar, level + 2), WHITE, -1)
        words[0].append((24 + bar, level - 11, 18, WHITE, f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} um"))
    if shown is not None:
        count = f"{len(centres):,} patch{'es' * (len(centres) != 1)} of {size_text(shown.name)}"
        words[1].append((14, height + 44 + below // 2 - 11, 18, WHITE, count))
    for panel, texts in zip(panels, words, strict=True):
        _write(panel, texts)
    gap = np.full((panels[0].shape[0], 8, 3), 255, np.uint8)
    return np.hstack([panels[0], gap, panels[1]])


def _crop(
    values: np.ndarray, factor: tuple[float, float], corner: np.ndarray, scale: float, size: tuple[int, int]
) -> np.ndarray:
    """A part of a picture of the whole slide at `scale` pixels a level-0 pixel; outside of the slide its edge goes on.

    Shrinking takes means of areas first, so that nothing is skipped.
    """
    shrink = scale * np.array(factor)
    if shrink.max() < 1:
        smaller = tuple(max(1, round(side * by)) for side, by in zip(values.shape[1::-1], shrink, strict=True))
        factor = tuple(f * o / n for f, o, n in zip(factor, values.shape[1::-1], smaller, strict=True))
        values = cv2.resize(values, smaller, interpolation=cv2.INTER_AREA)
    # From the centre of a panel pixel to the picture's pixel, both counted at their centres.
    (ax, ay), (cx, cy) = 1 / (scale * np.array(factor)), corner / factor
    matrix = np.array([[ax, 0, cx + ax / 2 - 0.5], [0, ay, cy + ay / 2 - 0.5]])
    border = cv2.BORDER_REPLICATE if values.ndim == 3 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(values, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)


def _dots(grids: Sequence[Grid], corners: np.ndarray, scale: float) -> tuple[Grid | None, np.ndarray]:
    """The grid to show, and the centres of its patches in the box in panel pixels, (n, 2)."""
    full = sorted((grid for grid in grids if len(grid.coords)), key=lambda grid: grid.size)
    if not full:
        return None, np.empty((0, 2))
    grid = next((grid for grid in full if grid.size * scale >= DOT_PX), full[-1])
    centres = grid.coords + grid.size / 2
    return grid, ((centres - corners[0]) * scale)[((centres > corners[0]) & (centres < corners[1])).all(axis=1)]


def bar_length(longest: float) -> float:
    """The greatest of 1, 2, 5, 10, 20 … that is at most `longest`; a power of ten below 1 likewise."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(power * max(step for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9)))


def _write(picture: np.ndarray, texts: Sequence[tuple[int, int, int, tuple[int, int, int], str]]) -> None:
    """Write texts (left, top, height of the line, BGR, text) into a BGR picture."""
    image = Image.fromarray(picture[..., ::-1])
    draw = ImageDraw.Draw(image)
    for left, top, height, colour, text in texts:
        draw.text((left, top), text, colour[::-1], ImageFont.load_default(height))
    picture[:] = np.asarray(image)[..., ::-1]


def contact_sheet(title: str, rows: Sequence[ExampleRow]) -> np.ndarray:
    """Example patches, a labelled row for each entry of `rows`; a row is as wide as it has patches."""
    columns = max([8, *(len(row.patches) for row in rows)])
    width = EXAMPLE_GAP + columns * (EXAMPLE_PX + EXAMPLE_GAP)
    step = LABEL_PX + EXAMPLE_PX + EXAMPLE_GAP
    sheet = np.full((HEADING_PX + len(rows) * step + EXAMPLE_GAP, width, 3), 255, np.uint8)
    texts = [(EXAMPLE_GAP, 10, 22, BLACK, title)]
    font = ImageFont.load_default(17)
    for i, row in enumerate(rows):
        top = HEADING_PX + i * step
        texts.append((EXAMPLE_GAP, top + 2, 17, BLACK, row.label))
        texts.append((EXAMPLE_GAP + round(font.getlength(row.label)) + 14, top + 2, 17, GREY, row.remark))
        for j, patch in enumerate(row.patches):
            small = resize_patch(patch, EXAMPLE_PX)
            left, upper = EXAMPLE_GAP + j * (EXAMPLE_PX + EXAMPLE_GAP), top + LABEL_PX
            sheet[upper : upper + EXAMPLE_PX, left : left + EXAMPLE_PX] = small[..., ::-1]
    _write(sheet, texts)
    return sheet
