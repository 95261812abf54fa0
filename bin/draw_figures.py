#!/usr/bin/env python3
"""Figures and the table of the 2017 study, drawn from a run's tables for a publication.

Each is written as SVG, PDF and PNG beside a TSV of what it shows; figures.tsv lists them all, with the tables that each
was drawn from, or why it was left out. Nothing is estimated anew: what a figure shows stands in the tables.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

import hx_figure_cells as cells
import hx_figure_data as data
import hx_figure_lines as lines
import hx_figure_pictures as pictures
from hx_cli import DataError, command, log, parser, primary_setting, skipped_stage
from hx_disclosure import INTERNAL, MODES, SHAREABLE
from hx_figure import save, styled
from hx_figure_bars import MOST_ENCODERS, encoder_order, stacked_bars
from hx_figure_data import LeftOut, Place, Tables
from hx_figure_table import first_table
from hx_io import read_table, write_tsv

COLUMNS = ["figure", "tissue_id", "setting", "title", "files", "data", "tables", "left_out"]
GALLERY, TISSUE = ".slides.png", ".figure2.jpg"  # what DRAW_FEATURES and SEGMENT_TISSUE call their pictures
Drawn = tuple[pd.DataFrame, Figure]


class Plan(NamedTuple):
    """A figure to draw: name of its files, the place that it is of (None: all tissues), the tables behind it."""

    name: str
    place: Place | None
    title: str
    tables: tuple[str, ...]
    draw: Callable[[], Drawn]

    @property
    def stem(self) -> str:
        return self.name if self.place is None else f"{self.name}.{self.place.tissue_id}"


class Given(NamedTuple):
    """What figures are drawn from: tables; pictures {(prefix, number of the feature): path}, {sample: path}."""

    tables: Tables
    galleries: dict[tuple[str, int], Path]
    tissues: dict[str, Path]
    aggregation: str
    shareable: bool


def places(tables: Tables) -> list[Place]:
    """Tissues and their settings of the verdict.

    Raises:
        DataError: there is no verdict: the folder is not of a run. LeftOut: it names no tissue.
    """
    if "verdict.tsv" not in tables.by_name:
        raise DataError(f"{tables.folder}: there is no verdict.tsv: give the results of a run, or its summary/")
    rows = tables.read("verdict", ["tissue_id", "setting"])
    return [Place(row.tissue_id, row.setting) for row in rows.sort_values("tissue_id").itertuples()]


def read_galleries(path: Path | None) -> dict[tuple[str, int], Path]:
    """{(prefix, number): path} of a table prefix, picture; names of pictures are <number>.<feature>.slides.png.

    Raises:
        DataError: other columns, another name, or no such file.
    """
    if path is None:
        return {}
    table, faults, found = read_table(path), [], {}
    if list(table.columns) != ["prefix", "picture"]:
        raise DataError(f"{path}, row 1: two columns, prefix and picture, are expected")
    for row in table.itertuples():
        picture = Path(row.picture)
        number = picture.name.split(".")[0]
        if not (number.isdigit() and picture.name.endswith(GALLERY) and picture.is_file()):
            faults.append(f"{path}, row {row.Index + 2}: {picture}: no file <number>.<feature>{GALLERY}")
            continue
        found[row.prefix, int(number)] = picture
    if faults:
        raise DataError(*faults)
    return found


def with_encoders(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the encoders that bars are drawn of: the first few, raw and retrained before others."""
    return rows[rows["encoder"].isin(encoder_order(rows["encoder"])[:MOST_ENCODERS])]


def variance_figures(given: Given) -> Iterator[Plan]:
    """Figure 3 by the study's formula, and calibrated."""

    def published() -> Drawn:
        rows = with_encoders(data.published_parts(given.tables, given.aggregation))
        return rows, stacked_bars(rows, "explained by chance")

    def calibrated() -> Drawn:
        rows = with_encoders(data.calibrated_parts(given.tables, given.aggregation))
        return rows, stacked_bars(rows, "explained, donors shuffled")

    told = "Variance of expression that image features and technical factors explain"
    yield Plan("figure3_published", None, f"{told}, the study's statistic", ("shared_variance",), published)
    yield Plan("figure3_calibrated", None, f"{told}, less what chance explains", ("shared_variance",), calibrated)


def accuracy_figure(given: Given) -> Plan:
    def draw() -> Drawn:
        rows = data.accuracy(given.tables)
        return rows, lines.accuracy(rows)

    return Plan("accuracy_by_size", None, "Accuracy of the tissue classifier by patch size", ("classifier",), draw)


def picture_figures(given: Given, place: Place) -> Iterator[Plan]:
    """Figures 1a, 1b and 2 of a tissue."""

    def slides() -> Drawn:
        feature = data.tracked_feature(given.tables, place)
        rows = data.tracked_slides(given.tables, place, feature, given.shareable)
        picture = given.galleries.get((place.prefix, int(feature["number"])))
        if picture is None:
            raise LeftOut(f"no picture of the slides of {feature['feature']}: without slides there is none to show")
        return rows, pictures.picture_figure(pictures.read_picture(picture))

    def scatter() -> Drawn:
        feature = data.tracked_feature(given.tables, place)
        rows = data.tracked_points(given.tables, place, feature, given.shareable)
        return rows, pictures.feature_scatter(rows)

    def tissue() -> Drawn:
        rows, path = data.shown_slide(given.tables, place, given.tissues, given.shareable)
        return rows, pictures.picture_figure(pictures.read_picture(path))

    of = place.tissue_id
    described = ("descriptions", "gallery_slides")
    yield Plan("figure1a", place, f"Slides of the highest and lowest values of a feature, {of}", described, slides)
    described = ("descriptions", "description_points")
    yield Plan("figure1b", place, f"A feature against what it tracks, {of}", described, scatter)
    yield Plan("figure2", place, f"Tissue and centres of its patches, {of}", ("slide_status",), tissue)


def tissue_figures(given: Given, place: Place) -> Iterator[Plan]:
    """Figures of a tissue's tables: factor curve, Table 1, counts, components, genes."""

    def plan(
        name: str,
        title: str,
        kind: str,
        rows_of: Callable[[Tables, Place], pd.DataFrame],
        draw: Callable[[pd.DataFrame], Figure],
    ) -> Plan:
        def drawn() -> Drawn:
            rows = rows_of(given.tables, place)
            return rows, draw(rows)

        return Plan(name, place, f"{title}, {place.tissue_id}", (kind,), drawn)

    yield plan("figure4", "Variance by technical factors", "factor_curve", data.factor_curve, lines.factor_curves)
    yield plan("table1", "Terms of a feature's genes", "enrichment_table1", data.first_table, first_table)
    yield plan("counts_by_size", "Hits by patch size", "setting_counts", data.counts, lines.counts)
    yield plan("pc_factors", "Components by factors", "factor_pcs", data.component_cells, cells.component_cells)
    yield plan(
        "gene_histograms", "Genes by mean and SD", "gene_histograms", data.gene_histograms, cells.gene_histograms
    )


def plans(given: Given, tissues: list[Place]) -> Iterator[Plan]:
    """All figures of a run, as the list has them."""
    for place in tissues:
        yield from picture_figures(given, place)
    yield from variance_figures(given)
    for place in tissues:
        yield from tissue_figures(given, place)
    yield accuracy_figure(given)


def draw(plan: Plan, outdir: Path) -> dict[str, str]:
    """Write a figure's files; its row of figures.tsv (COLUMNS)."""
    row = {"figure": plan.name, "title": plan.title, "tables": ";".join(f"{kind}.tsv" for kind in plan.tables)}
    if plan.place is not None:
        row |= {"tissue_id": plan.place.tissue_id, "setting": plan.place.setting}
    try:
        rows, figure = plan.draw()
    except LeftOut as why:
        log.info("%s left out: %s", plan.stem, why)
        return row | {"left_out": str(why)}
    write_tsv(rows, outdir / f"{plan.stem}.tsv")
    return row | {"files": ";".join(save(figure, outdir, plan.stem, plan.title)), "data": f"{plan.stem}.tsv"}


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--tables", type=Path, required=True, help="folder below which summary/ and the tables of stages lie: results/")
    add("--galleries", type=Path, help=f"TSV: prefix (<tissue_id>.<size>), picture (…{GALLERY} of draw_features.py)")
    add("--tissues", type=Path, help=f"folder with <sample>{TISSUE} of segment_tissue.py: a slide a tissue is shown")
    add("--primary", type=primary_setting, default="256,retrained,mean", help="size,encoder,aggregation of the verdict")
    add("--skipped", type=skipped_stage, nargs="*", default=[], help="'stage: why' of each stage that was left out")
    add("--disclosure", choices=MODES, default=INTERNAL, help="whether single donors are shown")
    add("--outdir", type=Path, default=Path("figures"))
    args: argparse.Namespace = arguments.parse_args(argv)
    tables = Tables(args.tables, dict(args.skipped))
    tissues = sorted(args.tissues.glob(f"*{TISSUE}")) if args.tissues else []
    given = Given(
        tables,
        read_galleries(args.galleries),
        {path.name.removesuffix(TISSUE): path for path in tissues},
        args.primary.split(",")[2],
        args.disclosure == SHAREABLE,
    )
    rows, known = [], []
    try:
        known = places(tables)
    except LeftOut as why:
        log.info("figures of a tissue left out: %s", why)
        rows.append({"figure": "(figures of a tissue)", "tables": "verdict.tsv", "left_out": str(why)})
    with styled():
        rows += [draw(plan, args.outdir) for plan in plans(given, known)]
    write_tsv(pd.DataFrame(rows, columns=COLUMNS), args.outdir / "figures.tsv")
    log.info("%d figures, %d left out", *(sum(("files" in row) == there for row in rows) for there in (True, False)))


if __name__ == "__main__":
    sys.exit(main())
