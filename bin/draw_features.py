#!/usr/bin/env python3
"""Galleries of the described features and their maps on the tissue.

Reads what describe_features.py chose, the slides that it names, and features of every patch of the few slides to map.
Galleries: highest and lowest slides and patches of the cohort, slides by rising value, patch sizes, scatter against
what the feature tracks. Maps: each patch in the colour of its value as PNG, GeoJSON (QuPath) and AnnData; genes of
--model are mapped as predicted, patch by patch. Without slides there are maps on white, and no gallery.
"""

import argparse
import base64
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hx_cards import (
    Words,
    card,
    mosaic_gallery,
    patches_gallery,
    scatter_of,
    sizes_gallery,
    slides_gallery,
)
from hx_cli import DataError, comma_list, command, log, parser
from hx_companions import COMPANIONS
from hx_disclosure import INTERNAL, Disclosure, add_arguments, read_pseudonyms
from hx_donors import PREFIX_HELP, setting_prefix
from hx_feature_map import file_name, genes_of
from hx_features import PatchFeatures
from hx_io import read_names, write_tsv
from hx_join import dropped_table
from hx_maps import COLUMNS, Maps, feature_values, gene_values, read_slides
from hx_mqc import escape, section, write_sections
from hx_patch_pcs import patch_picture, patch_table
from hx_picture import webp, write_png
from hx_predict_model import Model, read_model
from hx_rows import read_slides as read_rows
from hx_rows import table_with
from hx_sizes import size_names
from hx_slide_pictures import Views, view_all
from hx_tree_picture import tree_picture

STAGE = "draw_features"
GENES = 2  # mapped where none is named
CARDS = 3  # features of a tissue whose card is in the report
CARD_PX = 1200  # width of a card there
KINDS = {
    "descriptions": ["setting", "encoder", "feature", "sentence", "term", "rho"],
    "description_points": ["setting", "feature", "scale", "term_value", "value"],
    "gallery_patches": ["feature", "panel", "size", "rank", "sample", "donor", "x", "y", "value"],
    "gallery_slides": ["feature", "panel", "rank", "sample", "donor", "value"],
    "drawn_slides": ["sample", "donor", "fold", "map"],
    "feature_correlations": ["feature", "other", "r"],
    "feature_tree": ["left", "right", "height"],
    "feature_pcs": ["donor"],
}
PC = re.compile(r"PC\d+")
NUMBERS = ("rank", "x", "y", "value", "term_value", "rho", "fold", "r", "left", "right", "height")


def read_tables(folder: Path, prefix: str) -> dict[str, pd.DataFrame]:
    """Tables of describe_features.py by kind; {} of those that it did not write, but for the descriptions."""
    tables = {}
    for kind, columns in KINDS.items():
        path = folder / f"{prefix}.{kind}.tsv"
        if path.is_file() or kind == "descriptions":
            if not path.is_file():
                raise DataError(f"{path}: no such file: give the folder that describe_features.py wrote to")
            table = table_with(path, columns, "give the file as describe_features.py wrote it")
            numbers = {name: pd.to_numeric(table[name]) for name in NUMBERS if name in table}
            tables[kind] = table.assign(**numbers)
    return tables


def disclosure_of(args: argparse.Namespace, tables: dict[str, pd.DataFrame]) -> Disclosure:
    """What the pictures may show; donors are numbered among all of --donors, so that a number is the same in a run."""
    drawn = tables.get("drawn_slides", pd.DataFrame(columns=KINDS["drawn_slides"]))
    donors = {*drawn["donor"], *(read_names(args.donors) if args.donors else ())}
    samples = dict(zip(drawn["sample"], drawn["donor"], strict=True))
    return Disclosure(args.disclosure, donors, samples, read_pseudonyms(args.pseudonyms, drawn["donor"]))


class Drawing:
    """Draws the features of a tissue and size; `cards` are pictures for the report, `lost` what could not be drawn."""

    def __init__(self, args: argparse.Namespace, tables: dict[str, pd.DataFrame]):
        self.args, self.tables = args, tables
        self.size = args.setting_prefix.rsplit(".", 1)[1]
        self.cards: list[tuple[Words, np.ndarray]] = []
        self.lost: list[tuple[str, str, str]] = []
        self.disclosure = disclosure_of(args, tables)

    def run(self) -> pd.DataFrame:
        """Draw all; the table of maps."""
        args, tables = self.args, self.tables
        if "feature_tree" in tables and len(tables["feature_tree"]):
            picture = tree_picture(tables["feature_tree"], tables["feature_correlations"])
            write_png(args.outdir / "galleries" / "correlations.png", picture)
        drawn = tables.get("drawn_slides", pd.DataFrame(columns=KINDS["drawn_slides"]))
        mapped = drawn.loc[drawn["map"] == "yes", "sample"].tolist()
        views = self._views(set(mapped))
        self._galleries(views)
        return self._maps(drawn, mapped, views)

    def _views(self, mapped: set[str]) -> dict[str, Views]:
        args = self.args
        if args.slides is None:
            told = "no slides: galleries are skipped, maps are drawn from coordinates alone"
            self.lost.append((args.setting_prefix, "gallery", told))
            return {}
        rows = read_rows(args.slides)
        rows = rows[rows["sample"].isin(self.tables["drawn_slides"]["sample"])]
        views = view_all(args.slide_dir, rows, self.tables["gallery_patches"], mapped, args.sizes, args.threads)
        self.lost += [(sample, "slide", f"not drawn: {view.fault}") for sample, view in views.items() if view.fault]
        return views

    def _galleries(self, views: Mapping[str, Views]) -> None:
        tables, empty = self.tables, pd.DataFrame
        patches = tables.get("gallery_patches", empty(columns=KINDS["gallery_patches"]))
        slides = tables.get("gallery_slides", empty(columns=KINDS["gallery_slides"]))
        points = tables.get("description_points", empty(columns=KINDS["description_points"]))
        for rank, row in enumerate(tables["descriptions"].to_dict("records"), 1):
            feature = row["feature"]
            words = Words(
                f"{feature}, {row['label']}" if row.get("label") else feature, row["setting"], row["sentence"]
            )
            made = {"scatter": scatter_of(points, row, self.disclosure)}
            if views:
                made |= {
                    "slides": slides_gallery(views, slides, feature, self.disclosure),
                    "patches": patches_gallery(views, patches, feature, self.disclosure),
                    "mosaic": mosaic_gallery(views, slides, feature, self.disclosure),
                    "sizes": sizes_gallery(views, patches, feature, self.args.sizes, self.disclosure),
                }
            for name, picture in made.items():
                if picture is not None:
                    self._write(rank, feature, name, card(words, None, None, picture))
            if rank <= CARDS and any(picture is not None for picture in made.values()):
                parts = (made.get("slides"), made["scatter"], made.get("patches"))
                if any(part is not None for part in parts):
                    self.cards.append((words, card(words, *parts)))

    def _write(self, rank: int, feature: str, name: str, picture: np.ndarray) -> None:
        write_png(self.args.outdir / "galleries" / f"{file_name(rank, feature)}.{name}.png", picture)

    def _maps(self, drawn: pd.DataFrame, mapped: list[str], views: Mapping[str, Views]) -> pd.DataFrame:
        args = self.args
        slides = {} if args.patch_features is None else read_slides(args.patch_features, mapped, self.size)
        for sample in mapped:
            if sample not in slides:
                self.lost.append((sample, "map", f"no patch features of size {self.size}: no map"))
        maps = Maps(slides, views, args.outdir)
        chosen = self.tables["descriptions"]
        values = feature_values(slides, chosen)
        donors = drawn.set_index("sample")
        for path in sorted(args.models or []):
            model = read_model(path)
            if genes := self._genes(model):
                values += gene_values(slides, model, genes, donors)
        if not args.models:
            self.lost += [
                (name, "gene", "no prediction model of this tissue and size: no map") for name in args.map_genes
            ]
        if slides and len(chosen):
            maps.write(values, chosen["encoder"].iloc[0])
            self._patch_components(slides, chosen["encoder"].iloc[0], maps.scores, donors["donor"])
        for name, kind, why in self.lost:
            log.warning("%s %s: %s", kind, name, why)
        return pd.DataFrame(maps.rows, columns=COLUMNS)

    def _patch_components(
        self, slides: dict[str, dict[str, PatchFeatures]], encoder: str, scores: dict[str, np.ndarray], donor: pd.Series
    ) -> None:
        """Picture and table of the components of the patches that are mapped; none without patches of the encoder."""
        if not scores:
            return
        known = self.tables.get("feature_pcs", pd.DataFrame(columns=["donor"])).set_index("donor")
        others = {"setting", *(companion.label for companion in COMPANIONS)}
        covariates = known[[name for name in known if name not in others and not PC.fullmatch(name)]]
        factors = covariates.apply(pd.to_numeric).reindex(donor[list(scores)]).set_axis(list(scores))
        table = patch_table(slides, encoder, scores, factors)
        prefix = self.args.setting_prefix
        write_tsv(table, self.args.outdir / f"{prefix}.patch_pcs.tsv")
        # A slide's colour in a panel of a covariate would be its donor's value.
        shown = table.drop(columns=[str(name) for name in covariates]) if self.disclosure.shareable else table
        picture = patch_picture(shown, f"Components of the patches, {encoder} in {prefix}")
        if picture is not None:
            write_png(self.args.outdir / "galleries" / "patch_components.png", picture)
            words = Words("components of the patches", f"{prefix}.{encoder}", "coloured by companions and covariates")
            self.cards.append((words, picture))

    def _genes(self, model: Model) -> list[str]:
        """Genes to map by a model; [] of one that cannot be read patch by patch, unless its genes were asked for."""
        args, told = self.args, model.told
        if told["setting"] != f"{args.setting_prefix}.{told['encoder']}.{told['aggregation']}":
            raise DataError(f"{told['setting']}: a model of another tissue or size than {args.setting_prefix}")
        if told["aggregation"] != "mean" and not args.map_genes:
            self.lost.append((told["setting"], "map", f"no additive map of a model on the {told['aggregation']}"))
            return []
        genes, lost = genes_of(model, args.map_genes, GENES)
        self.lost += [(name, "gene", why) for name, why in lost]
        return genes


def cards_section(prefix: str, cards: list[tuple[Words, np.ndarray]]) -> dict:
    """The cards of a tissue, inside the report."""
    tissue, size = prefix.rsplit(".", 1)
    pictures = []
    for words, picture in cards:
        scale = min(1.0, CARD_PX / picture.shape[1])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        data = base64.b64encode(webp(small)).decode()
        alt = escape(f"{words.title}: {words.sentence}")
        pictures.append(f'<p><img src="data:image/webp;base64,{data}" alt="{alt}" style="max-width:100%"></p>')
    return section(
        f"feature_cards_{tissue}",
        f"Features of {escape(tissue)}, {escape(size)}",
        "Highest and lowest slides and patches of the cohort for the features behind the strongest genes, and each "
        "feature against what it tracks. Last, the principal components of the patches of the mapped slides.",
        "Pictures that all come from one donor, or that differ only in colour, would be wrong. All pictures are in "
        "description/.",
        "html",
        "".join(pictures),
        parent_id="feature_cards",
        parent_name="What features see",
        parent_description="",
    )


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--tables", type=Path, required=True, help="folder with the tables of describe_features.py")
    add("--setting-prefix", type=setting_prefix, required=True, help=PREFIX_HELP)
    add("--slides", type=Path, help="rows of slides.tsv of the drawn slides; none: no gallery")
    add("--slide-dir", type=Path, default=Path("."), help="folder with the files of the slides")
    add("--patch-features", type=Path, help="folder, <sample>.h5 of the slides to map anywhere below it")
    add("--models", type=Path, nargs="+", help="*.model.h5 of predict_expression.py, for maps of genes")
    add("--map-genes", type=comma_list, default="", help=f"ids or symbols; none: the {GENES} best predicted")
    add("--sizes", type=size_names, default=[], help="all patch sizes of the run, 128,256,…")
    add("--threads", type=int, default=1, help="slides read at a time")
    add_arguments(arguments)
    add("--donors", type=Path, help="donors of the whole run, a line each: pseudonyms are numbered among them")
    add("--outdir", type=Path, default=Path("."), help="where to write")
    args = arguments.parse_args(argv)
    if args.threads < 1:
        arguments.error("--threads must be 1 or more")
    if args.pseudonyms and args.disclosure == INTERNAL:
        arguments.error("--pseudonyms are of what is shareable: add --disclosure shareable")
    cv2.setNumThreads(1)
    drawing = Drawing(args, read_tables(args.tables, args.setting_prefix))
    maps = drawing.run()
    log.info("%s: %d cards, %d maps", args.setting_prefix, len(drawing.cards), len(maps))
    write_tsv(maps, args.outdir / f"{args.setting_prefix}.feature_maps.tsv")
    write_tsv(dropped_table(drawing.lost, STAGE), args.outdir / f"{args.setting_prefix}.draw_features.dropped.tsv")
    if drawing.cards:
        cards = cards_section(args.setting_prefix, drawing.cards)
        write_sections([cards], args.outdir / "multiqc", drawing.disclosure)


if __name__ == "__main__":
    sys.exit(main())
