"""combine_enrichment.py and hx_term_overlap: terms across settings, genes across everything."""

from pathlib import Path

import pandas as pd
import pytest
from enrichment_made import tables, write_gmt
from test_enrich_cli import PLANTED, SYMBOLS, random_sets

import combine_enrichment
import enrich
from hx_term_overlap import Place, TermSet, gene_summary, place_of, term_overlaps, term_sets


def test_names_of_settings():
    assert place_of("Lung.256.raw.mean") == ("Lung", "256", "raw", "mean")
    assert place_of("Lung.64um.my.own.encoder.median") == ("Lung", "64um", "my.own.encoder", "median")
    assert place_of("Lung.-.nuclear.given").name == "Lung.-.nuclear.given"


def found(setting: str, *terms: str, tested: int = 100, by: str = "camera") -> TermSet:
    return TermSet(by, "gene_sets", place_of(setting), tested, frozenset(terms))


def test_overlaps_by_hand():
    sets = [
        found("Lung.256.raw.mean", "A", "B", "C"), found("Lung.512.raw.mean", "B", "C", "D", "E", tested=80),
        found("Skin.256.raw.mean"), found("Skin.512.texture.mean", "A"),
    ]  # fmt: skip
    rows = term_overlaps([*sets, found("Lung.512.raw.mean", "A", by="genes_found")])
    assert rows["differ_in"].tolist() == ["size", "tissue_id"]
    row = rows.iloc[0]
    assert (row["tested"], row["first"], row["second"], row["shared"]) == (80, 3, 4, 2)
    assert row["jaccard"] == pytest.approx(2 / 5) and row["expected"] == pytest.approx(12 / 80)
    assert pd.isna(rows.iloc[1]["jaccard"])


def test_sets_by_hand():
    sets = [
        found("Lung.256.raw.mean", "A", "B", "C"), found("Skin.256.raw.mean", "B", "C", "D"),
        found("Liver.256.raw.mean", "B"), found("Liver.512.raw.mean"),
    ]  # fmt: skip
    rows = term_sets(sets, {"B": "bee", "C": "see"})
    tissues = rows[(rows["differ_in"] == "tissue_id") & (rows["alike"] == "*.256.raw.mean")].set_index("members")
    assert tissues["terms"].to_dict() == {"Lung": 1, "Lung;Skin": 1, "Lung;Skin;Liver": 1, "Skin": 1}
    assert tissues.loc["Lung;Skin", "examples"] == "see" and (tissues["of"] == 3).all()
    # Of one place, or of nothing, there is no row.
    assert set(rows["alike"]) == {"*.256.raw.mean", "Liver.*.raw.mean"}
    assert term_sets([found("Lung.256.raw.mean"), found("Skin.256.raw.mean")], {}).empty
    assert isinstance(sets[0].place, Place)


def test_genes_by_hand():
    """Best setting over tissues; the largest gain among models that hold; marker sets; terms of smallest p."""
    cards = pd.DataFrame(
        [
            ("Lung", "E1", "G1", 3, "Lung.256.raw.mean", "raw_0001", 0.6, 1e-9),
            ("Skin", "E1", "G1", 1, "Skin.512.raw.mean", "raw_0007", 0.4, 1e-4),
            ("Skin", "E2", "", 2, "Skin.512.raw.mean", "raw_0002", 0.5, 1e-6),
        ],
        columns=combine_enrichment.CARDS,
    )
    prediction = pd.DataFrame(
        [("Lung.256.raw.mean", "E1", "G1", 0.1, 0.01), ("Skin.256.raw.mean", "E1", "G1", 0.3, 0.02),
         ("Skin.512.raw.mean", "E1", "G1", 0.9, 0.5), ("Lung.256.raw.mean", "E3", "G3", 0.2, 0.03)],
        columns=combine_enrichment.PREDICTION,
    )  # fmt: skip
    markers = pd.DataFrame(
        [("Lung.256.raw.mean", "E1", "macrophage", -0.7, "yes"), ("Lung.256.raw.mean", "E2", "B cell", 0.2, "no")],
        columns=["setting", "gene", "term", "r_marker", "tracks"],
    )
    terms = pd.DataFrame(
        [("setting", "X", "second", 1e-3, 0.01, "G1;E2"), ("setting", "Y", "first", 1e-5, 0.001, "G1"),
         ("setting", "Y", "never", 1e-2, 0.3, "G1"), ("factor", "Z", "other", 1e-9, 1e-7, "G1")],
        columns=["kind", "set", "term", "p", "q", "genes"],
    )  # fmt: skip
    table = gene_summary(cards, prediction, markers, terms).set_index("gene")
    assert table.index.tolist() == ["E1", "E2", "E3"]
    first = table.loc["E1"]
    assert (first["tissues_found"], first["settings_found"], first["best_setting"]) == (2, 4, "Lung.256.raw.mean")
    assert (first["best_size"], first["best_feature"], first["r"]) == ("256", "raw_0001", 0.6)
    assert (first["delta_r2"], first["delta_r2_setting"], first["prediction_q"]) == (0.3, "Skin.256.raw.mean", 0.02)
    assert (first["marker_set"], first["terms_found"], first["terms"]) == ("macrophage", 2, "first; second")
    assert table.loc["E2", "terms"] == "second" and pd.isna(table.loc["E2", "marker_set"])
    assert table.loc["E3", "symbol"] == "G3" and table.loc["E3", "settings_found"] == 0
    assert gene_summary(cards.iloc[:0], prediction.iloc[:0], markers.iloc[:0], terms).empty


def put(folder: Path, prefix: str, gmt: Path, planted: list[str], seed: int) -> None:
    image, expression = tables(SYMBOLS, {"raw_0003": planted}, seed=seed)
    tissue = prefix.split(".")[0]
    folder.mkdir(exist_ok=True)
    image.write_h5ad(folder / f"{prefix}.h5ad")
    expression.write_h5ad(folder / f"{tissue}.expression.h5ad")
    options = ["--features", f"{folder}/{prefix}.h5ad", "--expression", f"{folder}/{tissue}.expression.h5ad"]
    options += [
        "--setting-prefix",
        prefix,
        "--primary",
        "256,raw,mean",
        "--gene-sets",
        str(gmt),
        "--gsea-features",
        "0",
    ]
    assert enrich.main([*options, "--aggregations", "mean", "--controls", "none", "--outdir", str(folder)]) == 0


def test_two_tissues_and_two_sizes(tmp_path):
    sets = {"1": PLANTED[:20], "2": SYMBOLS[50:70], **random_sets(1, SYMBOLS)}
    gmt = write_gmt(tmp_path / "sets.gmt", sets)
    folder = tmp_path / "tables"
    put(folder, "Lung.256", gmt, PLANTED, 0)
    put(folder, "Skin.256", gmt, PLANTED + SYMBOLS[50:70], 1)
    put(folder, "Lung.512", gmt, PLANTED, 2)
    assert combine_enrichment.main(["--tables", str(folder), "--outdir", f"{tmp_path}/out"]) == 0
    read = {name: pd.read_csv(tmp_path / f"out/{name}.tsv", sep="\t", dtype={"members": str})
            for name in ("term_overlaps", "term_sets", "gene_summary")}  # fmt: skip
    overlaps = read["term_overlaps"].set_index(["by", "differ_in"])
    # Features of size 512 are not tested: it is not the primary one; its list of genes is.
    assert list(overlaps.index) == [("camera", "tissue_id"), ("genes_found", "size"), ("genes_found", "tissue_id")]
    row = overlaps.loc[("genes_found", "tissue_id")]
    assert (row["first"], row["second"], row["shared"], row["tested"]) == (1, 2, 1, 32)
    rows = read["term_sets"].query("by == 'genes_found' and differ_in == 'tissue_id'").set_index("members")
    assert rows["examples"].to_dict() == {"Lung;Skin": "about 1", "Skin": "about 2"}
    assert read["gene_summary"].empty  # neither gene_cards nor prediction_genes are there


def test_what_is_lacking_is_named(tmp_path, capsys):
    assert combine_enrichment.main(["--tables", str(tmp_path)]) == 65
    error = capsys.readouterr().err
    assert "no *.gene_lists.tsv" in error and "no *.enrichment_summary.tsv" in error
