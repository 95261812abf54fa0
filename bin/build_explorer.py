#!/usr/bin/env python3
"""Make the explorer: explorer/index.html with data beside it, which opens from a folder without a server or a network.

What can be browsed is every tissue and patch size at the encoder and aggregation of the primary setting; the other
settings are listed with links to their tables. Tables that are missing, empty or of another version are named on the
page.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pandas as pd

from hx_cli import DataError, command, log, parser, primary_setting, skipped_stage
from hx_disclosure import FEW, INTERNAL, Disclosure, add_arguments, read_pseudonyms
from hx_explorer_data import FORMAT, pack, pack_pairs, write_data
from hx_explorer_files import Files
from hx_explorer_index import KINDS, gathered, lacking, pictures_of, settings
from hx_explorer_points import read_values, setting_points
from hx_explorer_tables import P_COLUMNS, read_prefix, setting_tables
from hx_explorer_traits import P_COLUMNS as TRAIT_P
from hx_explorer_traits import read_traits, trait_tables
from hx_io import atomic, read_names, read_table

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "explorer"


def copy_page(assets: Path, outdir: Path) -> None:
    """The page itself: index.html, its scripts and its style.

    Raises:
        DataError: a folder without index.html.
    """
    if not (assets / "index.html").is_file():
        raise DataError(f"{assets}: no index.html: give assets/explorer")
    for path in sorted(assets.iterdir()):
        with atomic(outdir / path.name) as temporary:
            shutil.copyfile(path, temporary)


def write_setting(
    name: str, tables: dict[str, pd.DataFrame], traits: dict[str, pd.DataFrame], points: dict | None, to: Path
) -> dict:
    """Data files of a setting: .tables, and .pairs, .traits and .points where there are any. What of these there is."""
    pairs = tables["pairs"]
    packed = {kind: pack(table, P_COLUMNS[kind]) for kind, table in tables.items() if kind != "pairs"}
    write_data(f"{name}.tables", packed, to)
    if len(pairs):
        sides = len(tables["genes"]), len(tables["features"])
        write_data(f"{name}.pairs", pack_pairs(pairs, *sides, P_COLUMNS["pairs"]), to)
    if traits:
        write_data(f"{name}.traits", {kind: pack(table, TRAIT_P[kind]) for kind, table in traits.items()}, to)
    if points is not None:
        write_data(f"{name}.points", points, to)
    return {"tables": True, "pairs": bool(len(pairs)), "traits": bool(traits), "points": points is not None}


def disclosure_of(args: argparse.Namespace, files: Files) -> Disclosure:
    """Who may be named, by slides.tsv and cohort.tsv among the tables.

    Raises:
        DataError: they are not there for a run to be shared; or of read_pseudonyms.
    """
    if args.disclosure == INTERNAL:
        return Disclosure()
    if lacking := [name for name in ("slides.tsv", "cohort.tsv") if name not in files.by_name]:
        raise DataError(f"{args.tables}: no {', '.join(lacking)}: without it, ids cannot be hidden from the explorer")
    slides, cohort = (read_table(files.by_name[name]) for name in ("slides.tsv", "cohort.tsv"))
    donors = {*slides["donor"], *cohort["donor"]}
    samples = dict(zip(slides["sample"], slides["donor"], strict=True))
    given = read_pseudonyms(args.pseudonyms, donors)
    return Disclosure(args.disclosure, donors, samples, given, ids=cohort.get("rna_sample", ()))


def build(args: argparse.Namespace, files: Files, disclosure: Disclosure) -> int:
    """Write all data files; number of settings that can be browsed."""
    kinds, skipped, data = gathered(files), dict(args.skipped), args.outdir / "data"
    for old in data.glob("*.js"):
        old.unlink()  # of another run, perhaps one that showed donors
    rows = settings(kinds, args.primary)
    if disclosure.shareable and len(rows):
        rows["n"] = rows["n"].where(rows["n"] >= FEW)
    if rows.empty:
        files.note("", "no table tells of a setting that ran: there is nothing to browse")
    parts, pictures, links = {}, {}, {}
    names = sorted(read_names(args.pictures)) if args.pictures else []
    models = kinds.get("confounder_model", pd.DataFrame(columns=["tissue_id", "size", *KINDS["confounder_model"]]))
    for (tissue, size), group in rows.groupby(["tissue_id", "size"], sort=False):
        prefix = f"{tissue}.{size}"
        lacking(files, prefix, skipped)
        found, traits, read = read_prefix(files, prefix), read_traits(files, prefix), None
        if args.features and args.expression and found.pairs is not None:
            read = read_values(files, (args.features, args.expression), prefix, bool(group["adjusted_for"].any()))
        model = models[(models["tissue_id"] == tissue) & (models["size"] == size)]
        links[prefix] = files.links(prefix)
        for _, row in group[group["browsed"] == "yes"].iterrows():
            tables = setting_tables(found, prefix, row["setting"], files)
            points = read and setting_points(read, tables, row, model, disclosure.shareable, files)
            shown = trait_tables(traits, row["setting"], disclosure.shareable)
            parts[row["setting"]] = write_setting(row["setting"], tables, shown, points, data)
            pictures[row["setting"]] = pictures_of(
                tables["described"], names, prefix, disclosure.shareable, files.by_name
            )
    index = {
        "format": FORMAT,
        "settings": pack(rows),
        "primary": args.primary,
        "parts": parts,
        "pictures": pictures,
        "links": links,
        "skipped": args.skipped,
        "notes": [(of, disclosure.text(text)) for of, text in files.notes],
        "shareable": disclosure.shareable,
    }
    write_data("index", index, data)
    return len(parts)


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--tables", type=Path, required=True, help="folder below which the tables of all stages lie: results/, say")
    add("--features", type=Path, help="folder with <tissue_id>.<size>.h5ad, for the values behind a pair")
    add("--expression", type=Path, help="folder with <tissue_id>.expression.h5ad, likewise")
    add(
        "--pictures",
        type=Path,
        help="file that lists the pictures of the features, paths below description/; drawn with the same --disclosure",
    )
    add("--primary", type=primary_setting, default="256,retrained,mean", help="size,encoder,aggregation of the verdict")
    add("--skipped", type=skipped_stage, nargs="*", default=[], help="'stage: why' of each stage that was left out")
    add_arguments(arguments)
    add("--assets", type=Path, default=ASSETS, help="folder with the page itself")
    add("--outdir", type=Path, default=Path("explorer"))
    args = arguments.parse_args(argv)
    files = Files(args.tables)
    disclosure = disclosure_of(args, files)
    copy_page(args.assets, args.outdir)
    count = build(args, files, disclosure)
    log.info("%s: %d settings to browse", args.outdir / "index.html", count)


if __name__ == "__main__":
    sys.exit(main())
