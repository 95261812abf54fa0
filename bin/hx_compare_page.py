#!/usr/bin/env python3
"""The page of a comparison of two runs, and its pictures: values of one run against those of the other."""

import numpy as np
import pandas as pd

from hx_mqc import escape
from hx_picture import (
    BLACK,
    GREY,
    MARGIN,
    SMALL_PX,
    TEXT_PX,
    beside,
    colour_bar,
    colours,
    number,
    ticks,
    width_of,
    write,
)

CELL_PX = 10
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #8886; padding: .2rem .7rem; text-align: left; vertical-align: top; }
img { background: #fff; max-width: 100%; }
"""


def density(counts: np.ndarray, edges: np.ndarray, names: tuple[str, str], title: str) -> np.ndarray:
    """RGB picture of a (bins, bins) table of counts: a to the right, b upwards, log10 of the count as colour.

    Empty bins are white; the line is where both are the same.
    """
    side, (left, top, bottom) = CELL_PX * len(counts), (92, 2 * TEXT_PX + 14, 64)
    out = np.full((top + side + bottom, left + side + MARGIN, 3), 255, np.uint8)
    shown = np.log10(np.maximum(counts, 1))
    cells = colours(shown, 0.0, float(shown.max()))
    cells[counts == 0] = 255
    block = np.repeat(np.repeat(cells.swapaxes(0, 1)[::-1], CELL_PX, axis=0), CELL_PX, axis=1)
    diagonal = np.arange(side)
    block[side - 1 - diagonal, diagonal] = GREY
    out[top : top + side, left : left + side] = block
    out[[top - 1, top + side], left - 1 : left + side + 1] = GREY
    out[top - 1 : top + side + 1, [left - 1, left + side]] = GREY
    texts = [(left, 4, TEXT_PX, BLACK, title), (left, TEXT_PX + 8, SMALL_PX, BLACK, f"{counts.sum():,} of both runs")]
    low, high = float(edges[0]), float(edges[-1])
    for value in ticks(low, high):
        at, text = round((value - low) / (high - low) * (side - 1)), number(value)
        out[top + side : top + side + 5, left + at] = GREY
        out[top + side - 1 - at, left - 5 : left] = GREY
        texts.append((left + at - width_of(text, SMALL_PX) / 2, top + side + 8, SMALL_PX, BLACK, text))
        texts.append((left - 9 - width_of(text, SMALL_PX), top + side - at - SMALL_PX // 2, SMALL_PX, BLACK, text))
    texts.append((left + (side - width_of(names[0], TEXT_PX)) / 2, top + side + 32, TEXT_PX, BLACK, names[0]))
    write(out, texts)
    upright = np.full((TEXT_PX + 8, side, 3), 255, np.uint8)
    write(upright, [((side - width_of(names[1], TEXT_PX)) / 2, 0, TEXT_PX, BLACK, names[1])])
    turned = np.rot90(upright)
    out[top : top + side, : turned.shape[1]] = turned
    return beside(out, colour_bar(side, 0.0, float(shown.max()), "log10 of the number in a bin"))


def html_table(rows: pd.DataFrame, most: int = 200) -> str:
    """The first rows as an HTML table; a sentence where there is none."""
    if rows.empty:
        return "<p>No row.</p>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in rows)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in rows.head(most).itertuples(index=False, name=None)
    )
    cut = f"<p>The first {most} of {len(rows)} rows.</p>" if len(rows) > most else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{cut}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def page(names: tuple[str, str], sections: list[tuple[str, str, pd.DataFrame]], pictures: list[tuple[str, str]]) -> str:
    """The whole page. sections: (heading, sentence, rows); pictures: (file beside the page, what it shows)."""
    parts = [f"<h1>Two runs compared</h1><p>A: {escape(names[0])}<br>B: {escape(names[1])}</p>"]
    for heading, told, rows in sections:
        parts.append(f"<h2>{escape(heading)}</h2><p>{escape(told)}</p>{html_table(rows)}")
    parts += [
        f'<figure><img src="{escape(name)}" alt="{escape(told)}"><figcaption>{escape(told)}</figcaption></figure>'
        for name, told in pictures
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>HistoGEx: two runs compared</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body>{''.join(parts)}</body></html>\n"
    )
