#!/usr/bin/env python3
"""Compare two results folders: parameters, versions, inputs, donors, headline numbers, effects of pairs and genes.

Features go by their names: where the weights of an encoder are not the same in both, a pair of one run is another pair
of the other, and the comparison is refused unless the pairs of that encoder are left out (--pairs-of). What a folder
lacks, or has from another version, is said. Donors are counted, not named; counts of fewer than five are not given.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

import hx_compare_runs as compare
from hx_cli import DataError, Faults, comma_list, command, log, parser, preview
from hx_compare_files import Results
from hx_compare_page import density, page
from hx_disclosure import few
from hx_io import atomic, write_tsv
from hx_picture import write_png

ALL, NONE = "all", "none"  # of --pairs-of
NOTES = ["run", "note"]
MATCHING = ["tissue_id", "slides", "donors", "donors_kept"]
VERDICT = ["tissue_id", "setting"]
CLAIMS = ["claim", "tissue_id", "verdict"]


class Effect(NamedTuple):
    """What is compared of a table <folder>/<prefix>.<kind>: `value` of the rows with the same `keys`.

    of: its name; unit: what a row is; signed: whether the sign of the value says something.
    """

    of: str
    unit: str
    folder: str
    kind: str
    keys: list[str]
    value: str
    signed: bool


PAIRS = Effect(
    "pairs", "r of a feature and a gene", "associations", "associations.parquet", ["feature", "gene"], "r", True
)
GENES = (
    Effect(
        *("best_feature", "r2 of a gene's best feature", "associations", "association_genes.parquet", ["gene"]),
        *("r2", False),
    ),
    Effect(
        *("prediction", "gain in R2 of a gene, held-out donors", "prediction", "prediction_genes.parquet", ["gene"]),
        *("delta_r2", True),
    ),
)


def encoder_of(setting: str) -> str:
    """Encoder of <tissue_id>.<size>.<encoder>.<aggregation>."""
    return setting.rsplit(".", 2)[1]


def comparable(a: Results, b: Results, wanted: list[str]) -> dict[str, set[str]]:
    """{prefix: encoders whose pairs can be compared}: of those wanted, the ones of the same weights in both runs.

    wanted: names of encoders, [ALL] or [NONE].

    Raises:
        DataError: weights of one differ, or neither run has it; all at once.
    """
    if wanted == [NONE]:
        return {}
    faults, found, known = Faults(), {}, set()
    prefixes = (set(run.prefixes(PAIRS.folder, PAIRS.kind)) for run in (a, b))
    for prefix in sorted(set.intersection(*prefixes)):
        one, other = a.weights(prefix), b.weights(prefix)
        known |= {*one, *other}
        both = sorted(name for name in one if name in other and (wanted == [ALL] or name in wanted))
        found[prefix] = {name for name in both if one[name] == other[name]}
        for name in both:
            if name not in found[prefix]:
                faults.add(
                    f"{prefix}: encoder {name} has weights {one[name][:12]} in A and {other[name][:12]} in B: features "
                    "of one name are not the same ones: leave it out of --pairs-of, and its pairs are not compared"
                )
    for name in wanted:
        if known and name not in {ALL, *known}:
            faults.add(f"--pairs-of {name}: neither run has that encoder, but {preview(sorted(known))}")
    faults.stop()
    return found


def common_settings(
    a: Results, b: Results, effect: Effect, encoders: dict[str, set[str]] | None
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(setting, rows of a, rows of b) of what both runs have; encoders: by prefix, those whose features compare."""
    prefixes = [set(run.prefixes(effect.folder, effect.kind)) for run in (a, b)]
    for run, lacking in ((a, prefixes[1] - prefixes[0]), (b, prefixes[0] - prefixes[1])):
        for prefix in sorted(lacking):
            run.note(f"no {effect.folder}/{prefix}.{effect.kind}")
    for prefix in sorted(prefixes[0] & prefixes[1]):
        columns = ["setting", *effect.keys, effect.value]
        tables = [run.parquet(f"{effect.folder}/{prefix}.{effect.kind}", columns) for run in (a, b)]
        settings = [set(table["setting"].astype(str)) for table in tables]
        for run, mine, others in ((a, *settings), (b, *settings[::-1])):
            for setting in sorted(others - mine):
                run.note(f"{prefix}.{effect.kind} has no row of {setting}")
        for setting in sorted(settings[0] & settings[1]):
            if encoders is None or encoder_of(setting) in encoders.get(prefix, ()):
                one, other = (table[table["setting"] == setting] for table in tables)
                yield setting, one, other


def headline(run: Results) -> dict[tuple[str, str], object]:
    """{(tissue, item): value} of summary/verdict.tsv, and the verdict on each claim of summary/claims.tsv."""
    found = compare.by_item(run.table("summary/verdict.tsv", VERDICT), "tissue_id")
    claims = run.table("summary/claims.tsv", CLAIMS)
    return found | {
        (str(row.tissue_id), f"claim {row.claim}"): row.verdict for row in claims[CLAIMS].itertuples(index=False)
    }


def inputs(run: Results, show_donors: bool) -> dict[tuple[str, str], object]:
    """{(tissue, item): value} of cohort/matching.tsv; small counts are not given unless donors are shown."""
    found = compare.by_item(run.table("cohort/matching.tsv", MATCHING), "tissue_id", ("tissue", "rule"))
    if show_donors:
        return found
    return {key: few(int(n)) if isinstance(n, int | float) and n == n else n for key, n in found.items()}


def effects(
    a: Results, b: Results, encoders: dict[str, set[str]], drawn: set[str], outdir: Path
) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[str, str]]]:
    """(EFFECTS, BINS, pictures) of all common settings.

    encoders: by prefix, those whose pairs are compared. drawn: settings with a picture; all where it is empty.
    """
    rows, bins, pictures = [], [], []
    for effect in (PAIRS, *GENES):
        of_features = encoders if effect is PAIRS else None
        for setting, one, other in common_settings(a, b, effect, of_features):
            both, only_a, only_b = compare.common_values(one, other, effect.keys, effect.value)
            row = {"setting": setting, "of": effect.of, "unit": effect.unit, "common": len(both)}
            rows.append(row | {"only_a": only_a, "only_b": only_b} | compare.effect(both, effect.signed))
            if both.empty:
                continue
            edges = compare.bin_edges(both, effect.signed)
            counts = compare.binned(both, edges)
            bins.append(compare.bin_rows(setting, effect.of, counts, edges))
            if drawn and setting not in drawn:
                continue
            name = f"{setting}.{effect.of}.png"
            write_png(outdir / name, density(counts, edges, (f"A: {effect.value}", f"B: {effect.value}"), setting))
            pictures.append((name, f"{setting}: {effect.unit} in A against B; the line is where both are the same."))
    table = pd.DataFrame(rows, columns=compare.EFFECTS)
    return table, pd.concat(bins) if bins else pd.DataFrame(columns=compare.BINS), pictures


def read_both(paths: list[Path]) -> list[Results]:
    """Both folders. DataError: what is wrong with either."""
    runs, faults = [], Faults()
    for path in paths:
        try:
            runs.append(Results(path))
        except DataError as error:
            for fault in error.faults:
                faults.add(fault)
    faults.stop()
    return runs


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("a", type=Path, metavar="A", help="results folder of a run")
    add("b", type=Path, metavar="B", help="results folder of another")
    add("--outdir", type=Path, default=Path("comparison"), help="folder for the tables, pictures and index.html")
    add(
        "--pairs-of",
        type=comma_list,
        default=ALL,
        metavar="ENCODERS",
        help=f"encoders whose pairs of a feature and a gene are compared, comma-separated; {ALL}, or {NONE}",
    )
    add("--show-donors", action="store_true", help="name the donors, and give counts of a few of them")
    args = arguments.parse_args(argv)
    a, b = read_both([args.a, args.b])

    encoders = comparable(a, b, args.pairs_of)
    parameters = compare.side_by_side(*({("", name): v for name, v in run.parameters().items()} for run in (a, b)))
    versions = compare.side_by_side(*(run.versions() for run in (a, b)))
    cohorts = (run.table("cohort/cohort.tsv", ["donor", "tissue_id"]) for run in (a, b))
    donors, ids = compare.donor_rows(*cohorts, args.show_donors)
    verdicts = [headline(run) for run in (a, b)]
    tables = {
        "parameters": parameters,
        "versions": versions,
        "inputs": compare.side_by_side(*(inputs(run, args.show_donors) for run in (a, b))),
        "donors": donors,
        **({"donor_ids": ids} if args.show_donors else {}),
        "headline": compare.side_by_side(*verdicts),
    }
    drawn = {str(value) for verdict in verdicts for (_, item), value in verdict.items() if item == "setting"}
    tables["effects"], tables["effect_bins"], pictures = effects(a, b, encoders, drawn, args.outdir)
    notes = [(name, text) for name, run in (("A", a), ("B", b)) for text in run.notes]
    tables["notes"] = pd.DataFrame(notes, columns=NOTES)
    for name, table in tables.items():
        write_tsv(table, args.outdir / f"{name}.tsv")
    with atomic(args.outdir / "index.html") as temporary:
        temporary.write_text(page((str(args.a), str(args.b)), shown(tables), pictures))
    log.info("%d common settings, %d notes: %s", tables["effects"]["setting"].nunique(), len(notes), args.outdir)


def shown(tables: dict[str, pd.DataFrame]) -> list[tuple[str, str, pd.DataFrame]]:
    """Sections of the page."""
    sections = [
        ("What could not be read", "Of these files nothing is compared.", tables["notes"]),
        ("Headline numbers", "summary/verdict.tsv and summary/claims.tsv; difference is B less A.", tables["headline"]),
        (
            "Effects",
            "Of what both runs have: correlation, slope of B on A, share of the same sign. Pairs are those that both "
            "stored: hits and the strongest of each gene and feature; runs that share donors agree by that alone.",
            tables["effects"],
        ),
        ("Donors", "Of cohort/cohort.tsv.", tables["donors"]),
        ("Inputs", "Counts of cohort/matching.tsv.", tables["inputs"]),
    ]
    for name, told in (("parameters", "Values"), ("versions", "Versions")):
        rows = tables[name]
        differ = rows[rows["same"] == "no"]
        text = f"{told} that differ, {len(differ)} of {len(rows)}; all are in {name}.tsv. Files go by their paths."
        sections.append((name.capitalize(), text, differ))
    return sections


if __name__ == "__main__":
    sys.exit(main())
