"""test_causality.py, the files it takes and the report's sections: what is written, and every way input can be bad."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from causality_made import (
    FOUND,
    PREFIX,
    REGION,
    arguments,
    made_cohort,
    pairs_file,
    read_tables,
    standard,
    study,
    written,
)

import hx_cohort_model as model
import test_causality as command
from hx_causality import NO_INSTRUMENT, SHARED_CAUSE, TESTED, UNDETERMINED, WEAK
from hx_causality_sections import TABLES, causality_sections
from hx_causality_sources import REFUSED, USED, header_of, of_trait, read_source
from hx_causality_tables import NOT_TESTED, OK, UNKNOWN_NAME
from hx_cli import Faults
from hx_expression import rank_inverse_normal
from hx_fdr import bh
from hx_gather import gather
from hx_genotypes import write_genotypes
from hx_linear import residual_space
from hx_mqc import write_sections

PAIRS = [(f"G{k}", f"raw_000{k}") for k in range(5)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("causality")
    return folder, made_cohort(folder)


@pytest.fixture(scope="module")
def tables(cohort) -> dict[str, pd.DataFrame]:
    folder, _ = cohort
    pairs = pairs_file(folder, [*PAIRS, ("SYM5", "raw_0000"), ("raw_0000", "G0"), ("G0", "G1")])
    assert command.main(arguments(folder, pairs=pairs)) == 0
    return read_tables(folder)


def rows_of(table: pd.DataFrame, exposure: str, outcome: str) -> pd.DataFrame:
    return table[(table["exposure"] == exposure) & (table["outcome"] == outcome)]


def test_pairs(tables):
    pairs = tables["causality_pairs"].set_index(["first", "second"])
    # The pair that stands twice, the other way round, is one.
    assert pairs.index.tolist() == [*PAIRS, ("G5", "raw_0000"), ("G0", "G1")]
    assert pairs["verdict"].tolist()[:3] == FOUND
    assert set(pairs["verdict"].iloc[3:]) == {UNDETERMINED} and set(pairs["status"]) == {OK}
    assert set(pairs["n"]) == {1000} and set(pairs["adjusted_for"]) == {"AGE;SEX"}
    assert pairs.loc[("G5", "raw_0000"), "first_label"] == "SYM5"
    assert (pairs["p"].iloc[:4] < 1e-6).all() and pairs["p"].iloc[4] > 0.01


def test_no_verdict_says_causal(cohort, tables):
    folder, _ = cohort
    for path in (folder / "out").glob("*.tsv"):
        assert "causal" not in path.read_text().replace(path.name, "").lower(), path.name


def test_estimates(tables):
    found = tables["causality_estimates"]
    assert len(found) == 14
    one = rows_of(found, "G0", "raw_0000").iloc[0]
    assert (one["status"], one["method"], one["source"]) == (TESTED, "2sls_crossfitted", "cohort")
    # The planted effect, .5 standard deviations, is in the set and not far from the estimate.
    assert abs(one["effect"] - 0.5) < 0.15 and one["ci_low"] < 0.5 < one["ci_high"] and one["instruments"] == 3
    assert one["set_shape"] == "bounded" and one["confidence_set"].startswith("[") and one["steiger_z"] > 2
    assert 0 < one["flip_reliability"] < 1
    for direction in ("gene_to_feature", "feature_to_gene"):
        rows = found[(found["direction"] == direction) & (found["status"] == TESTED)]
        np.testing.assert_allclose(rows["q"], bh(rows["p"].to_numpy()), rtol=1e-8)
    assert found.loc[found["status"] != TESTED, "q"].isna().all()
    single = rows_of(found, "G3", "raw_0003").iloc[0]
    assert single["instruments"] == 1 and np.isnan(single["heterogeneity_p"])
    weak = rows_of(found, "G4", "raw_0004").iloc[0]
    assert weak["status"] == WEAK and weak["f"] < 10 and "below 10" in weak["reason"]
    none = found[found["status"] == NO_INSTRUMENT].set_index("exposure")
    assert none.loc["G5", "reason"] == "no position of G5" and "raw_0004" in none.index
    assert none[["effect", "p", "f", "q"]].isna().all().all()


def test_assumptions_and_instruments(tables):
    assumptions = tables["causality_assumptions"]
    one = rows_of(assumptions, "G0", "raw_0000").set_index("assumption")["state"].to_dict()
    assert one == {
        "relevance": "held", "independent_selection": "held", "no_confounding_of_variants": "untestable",
        "no_pleiotropy": "held", "no_heritable_common_cause": "untestable", "direction": "held",
        "same_variant": "untestable",
    }  # fmt: skip
    single = rows_of(assumptions, "G3", "raw_0003").set_index("assumption")["state"]
    assert single["no_pleiotropy"] == "untestable"
    assert rows_of(assumptions, "G4", "raw_0004").set_index("assumption")["state"]["relevance"] == "failed"
    variants = tables["causality_instruments"]
    planted = {f"rs{k}" for k in range(3)}
    assert planted <= set(rows_of(variants, "G0", "raw_0000")["variant"])
    reverse = rows_of(variants, "raw_0000", "G0")
    assert set(reverse["variant"]) <= {f"rs{REGION + k}" for k in range(3)}
    assert (reverse["folds"] >= 8).all() and (reverse["f"] > 10).all()


def test_no_table_names_a_donor(cohort, tables):
    folder, made = cohort
    text = "".join(path.read_text() for path in (folder / "out").glob("*.tsv"))
    assert not any(donor in text for donor in made["donors"])


def test_the_same_bytes(cohort):
    folder, _ = cohort
    pairs = pairs_file(folder, PAIRS[:2], "two.tsv")
    for out in ("a", "b"):
        assert command.main(arguments(folder, out, pairs=pairs)) == 0
    for path in (folder / "a").glob("*.tsv"):
        assert path.read_bytes() == (folder / "b" / path.name).read_bytes()


def test_the_strongest_associations_are_the_pairs(cohort):
    folder, _ = cohort
    genes = pd.DataFrame({"gene": ["G2", "G0", "G1", "G3"], "best_feature": [f"raw_000{k}" for k in (2, 0, 1, 3)]})
    genes["setting"] = f"{PREFIX}.raw.mean"
    genes["gene_p"], genes["gene_q"] = [1e-5, 1e-9, 0.2, 1e-4], [1e-4, 1e-8, 0.2, 1e-3]
    genes.loc[len(genes)] = ["G4", "raw_0004", f"{PREFIX}.raw.median", 1e-30, 1e-30]
    genes.to_parquet(folder / "genes.parquet")
    assert command.main(arguments(folder, "strong", associations=folder / "genes.parquet", top=2)) == 0
    pairs = read_tables(folder, "strong")["causality_pairs"]
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == [("G0", "raw_0000"), ("G2", "raw_0002")]
    genes.iloc[2:3].to_parquet(folder / "none.parquet")
    assert command.main(arguments(folder, "none", associations=folder / "none.parquet")) == 0
    assert len(read_tables(folder, "none")["causality_pairs"]) == 0


def test_annotations_are_traits(cohort):
    """Of some donors alone: what is asked of them is asked of those, with covariates of those."""
    folder, made = cohort
    lesion = standard(made["features"][1]) + np.random.default_rng(0).normal(0, 0.3, 1000)
    stage = (made["genes"][0] > 0).astype(float)
    table = pd.DataFrame({"donor": made["donors"], "lesion": lesion, "stage": stage})
    table.loc[900:, "lesion"] = np.nan
    table.to_csv(folder / "annotations.tsv", sep="\t", index=False)
    pairs = pairs_file(folder, [("G1", "lesion"), ("stage", "raw_0001"), ("note", "G0")], "annotated.tsv")
    line = arguments(folder, "annotated", pairs=pairs, annotations=folder / "annotations.tsv")
    assert command.main(line) == 0
    found = read_tables(folder, "annotated")
    pairs = found["causality_pairs"].set_index("first")
    assert pairs.loc["G1", "n"] == 900 and pairs.loc["stage", "n"] == 1000
    assert pairs.loc["G1", "verdict"] in ("annotation_to_gene", UNDETERMINED)
    assert pairs.loc["note", "status"] == UNKNOWN_NAME
    directions = set(found["causality_estimates"]["direction"])
    assert directions == {"gene_to_annotation", "annotation_to_gene", "annotation_to_feature", "feature_to_annotation"}


def test_annotations_that_are_no_numbers_by_donor_are_refused(cohort, tmp_path, capsys):
    folder, made = cohort
    pairs = pairs_file(tmp_path, PAIRS[:1], "pairs.tsv")
    path = tmp_path / "annotations.tsv"
    for table, told in (
        (
            {"donor": made["donors"][:2], "a": ["1", "x"], "b": ["no", ""]},
            ("row 3: a 'x' is no number", "row 2: b 'no'"),
        ),
        ({"donor": made["donors"][:1] * 2, "a": ["1", "2"]}, ("every donor once",)),
    ):
        pd.DataFrame(table).to_csv(path, sep="\t", index=False)
        assert command.main(arguments(folder, "refused", pairs=pairs, annotations=path)) == 65
        said = capsys.readouterr().err
        assert all(part in said for part in told)


def test_variants_spanned_by_covariates_are_no_instruments(cohort, tmp_path):
    """A covariate that is a copy of the first instrument: the others are left, and nothing is made of rounding."""
    folder, made = cohort
    design = pd.read_csv(folder / "design.tsv", sep="\t").assign(copy=made["dosage"][0], other=made["dosage"][REGION])
    design.to_csv(tmp_path / "design.tsv", sep="\t", index=False)
    pairs = pairs_file(folder, PAIRS[:1], "one.tsv")
    assert command.main(arguments(folder, "spanned", pairs=pairs, design=tmp_path / "design.tsv")) == 0
    variants = read_tables(folder, "spanned")["causality_instruments"]
    assert set(variants.query("exposure == 'G0'")["variant"]) == {"rs1", "rs2"}
    assert set(variants.query("exposure == 'raw_0000'")["variant"]) <= {f"rs{REGION + k}" for k in (1, 2)}


# Summaries of other studies


@pytest.fixture(scope="module")
def summary(cohort) -> pd.DataFrame:
    _, made = cohort
    return study(made, "G0", made["genes"][0], range(3))


def external(cohort, name: str, table: pd.DataFrame, *header: str, **more) -> tuple[dict, pd.DataFrame]:
    """Tables of a run with one summary file, and the estimates of the first pair by it."""
    folder, _ = cohort
    path = written(folder / f"{name}.tsv", table, *header)
    line = arguments(folder, name, pairs=pairs_file(folder, PAIRS[:1], "one.tsv"), summaries=path, **more)
    assert command.main(line) == 0
    found = read_tables(folder, name)
    estimates = found["causality_estimates"]
    return found, estimates[(estimates["source"] == path.name) & (estimates["exposure"] == "G0")]


def test_instruments_of_another_study(cohort, summary):
    found, rows = external(cohort, "other", summary, "donor_overlap: none", "build: GRCh38")
    assert rows["method"].tolist() == ["ivw_random", "ivw_fixed", "egger", "weighted_median"]
    head = rows.iloc[0]
    assert head["status"] == TESTED and head["instruments"] == 3 and head["overlap"] == "none"
    assert head["effect"] > 0 and head["p"] < 1e-6 and head["q"] == pytest.approx(head["p"])
    assert (
        head["heterogeneity_p"] > 0.01 and np.isfinite(head[["i2gx", "intercept_p", "steiger_z"]].astype(float)).all()
    )
    sources = found["causality_sources"].iloc[0]
    assert (sources["status"], sources["rows"], sources["shared_donors"]) == (USED, 3, 0)
    states = found["causality_assumptions"].query("source == 'other.tsv'").set_index("assumption")["state"]
    assert states["independent_selection"] == "held" and "failed" not in set(states)
    assert found["causality_pairs"]["verdict"].tolist() == ["gene_to_feature"]
    variants = found["causality_instruments"].query("source == 'other.tsv'")
    assert variants["variant"].tolist() == ["rs0", "rs1", "rs2"]


def test_overlap_is_a_failed_assumption(cohort, summary):
    for name, text, shared in (("partly", "partial, n=120", 120), ("fully", "full", np.nan)):
        found, rows = external(cohort, name, summary, f"donor_overlap: {text}")
        states = found["causality_assumptions"].query(f"source == '{name}.tsv'").set_index("assumption")
        assert states.loc["independent_selection", "state"] == "failed"
        assert rows["overlap"].iloc[0] == text.split(",")[0]
        np.testing.assert_equal(float(found["causality_sources"]["shared_donors"].iloc[0]), float(shared))


def test_one_instrument_of_another_study(cohort, summary):
    found, rows = external(cohort, "single", summary.iloc[:1], "donor_overlap: none", genotypes=None, positions=None)
    assert rows["status"].tolist() == [NO_INSTRUMENT] and "neither genotypes nor a file" in rows["reason"].iloc[0]
    found, rows = external(cohort, "single", summary.iloc[:1], "donor_overlap: none")
    assert rows["method"].tolist() == ["wald_second_order", "wald_first_order"]
    assert rows["se"].iloc[0] >= rows["se"].iloc[1]
    states = found["causality_assumptions"].query("source == 'single.tsv'").set_index("assumption")["state"]
    assert states["no_pleiotropy"] == "untestable"


def test_summaries_alone(cohort, summary):
    """Without genotypes: exposure and outcome both of summary files."""
    folder, made = cohort
    outcome = study(made, "raw_0000", made["features"][0], range(3), noise=1)
    written(folder / "outcome.tsv", outcome, "donor_overlap: none")
    path = written(folder / "exposure.tsv", summary, "donor_overlap: none")
    line = arguments(
        folder, "alone", pairs=pairs_file(folder, PAIRS[:1], "one.tsv"), genotypes=None, positions=None,
        summaries=[path, folder / "outcome.tsv"],
    )  # fmt: skip
    assert command.main(line) == 0
    found = read_tables(folder, "alone")
    estimates = found["causality_estimates"]
    own = estimates[estimates["source"] == "cohort"]
    assert set(own["status"]) == {NO_INSTRUMENT} and set(own["reason"]) == {"no genotypes are given"}
    rows = estimates[estimates["source"] == "exposure.tsv, outcome of outcome.tsv"]
    # Without genotypes no linkage is known: within 10 Mb one variant stands for all.
    assert rows["method"].tolist()[0] == "wald_second_order" and rows["linked"].iloc[0] == 2
    assert found["causality_pairs"]["verdict"].tolist() == [UNDETERMINED]


def test_alleles_and_linkage_of_another_study(cohort, summary):
    _, made = cohort
    # The first two on the other strand, the second by its other allele; alleles of the next two do not match; the last
    # one is at a place without a variant.
    other = pd.concat([summary, study(made, "G0", made["genes"][0], range(5 * REGION, 5 * REGION + 2))])
    other = other.assign(effect_allele=list("CTAAG"), other_allele=list("TCCTA")).reset_index(drop=True)
    other.loc[1, "beta"] *= -1
    other.loc[[3, 4], "beta"], other.loc[4, "pos"] = 0.2, 99
    _, rows = external(cohort, "alleles", other, "donor_overlap: none")
    head = rows.iloc[0]
    assert (head["unmatched"], head["mismatched"], head["instruments"]) == (1, 2, 2)
    assert "1 unmatched, 2 mismatched" in head["reason"]
    assert head["method"] == "ivw_random" and head["p"] < 1e-4


def test_palindromic_variants_are_counted(cohort, summary):
    """A/T with a frequency near one half: its strand cannot be told; nothing is left, and no number is given."""
    folder, made = cohort
    variants = made["variants"].assign(alt="T")
    units = (100 * made["dosage"]).astype(np.uint8)
    path, pcs = folder / "palindromic.h5", np.zeros((1000, 0))
    write_genotypes(path, made["donors"], variants, lambda a, b: units[a:b], pcs, "GRCh38", {})
    table = summary.assign(effect_allele="T", eaf=0.46)
    _, rows = external(cohort, "palindromes", table, "donor_overlap: none", genotypes=path)
    assert rows["status"].tolist() == [NO_INSTRUMENT] and "3 palindromic" in rows["reason"].iloc[0]
    assert rows[["effect", "p"]].isna().all().all()


def test_colocalisation_in_a_whole_region(cohort):
    """All variants of the gene's region, one of them behind the gene: it goes with the feature, no other one does."""
    folder, made = cohort
    places = [*range(6 * REGION, 7 * REGION), *range(8 * REGION, 9 * REGION)]
    table = study(made, "G3", made["genes"][3], places).assign(se=0.035, n=1000)
    path = written(folder / "region.tsv", table, "donor_overlap: none")
    line = arguments(folder, "region", pairs=pairs_file(folder, [("G3", "raw_0003")], "g3.tsv"), summaries=path)
    assert command.main(line) == 0
    estimates = read_tables(folder, "region")["causality_estimates"].query("exposure == 'G3'")
    other, own = (estimates[estimates["source"] == name].iloc[0] for name in ("region.tsv", "cohort"))
    assert other["instruments"] == 1 and other["method"] == "wald_second_order"
    for row in (other, own):
        assert row["coloc_h4"] > 0.5 and row["coloc_h3"] < 0.1


@pytest.mark.parametrize(
    "header, change, reason",
    [
        ([], {}, "no line donor_overlap: write `# donor_overlap: none`"),
        (["donor_overlap: some"], {}, "donor_overlap is 'some'"),
        (["donor_overlap: partial"], {}, "partial without n"),
        (["donor_overlap: none"], {"beta": None}, "no column beta"),
        (["donor_overlap: none"], {"se": "x"}, "no row with beta, se and a position"),
        (["donor_overlap: none", "build: GRCh37"], {}, "positions of GRCh37, genotypes of GRCh38"),
    ],
)
def test_a_summary_file_that_cannot_be_used(cohort, summary, header, change, reason):
    table = summary
    for column, value in change.items():
        table = table.drop(columns=column) if value is None else table.assign(**{column: value})
    found, rows = external(cohort, "refused", table, *header)
    source = found["causality_sources"].iloc[0]
    assert source["status"] == REFUSED and reason in source["reason"]
    assert rows.empty and found["dropped"].iloc[-1]["kind"] == "summary"
    assert found["causality_pairs"]["verdict"].tolist() == ["gene_to_feature"]  # by the cohort's own instruments


def test_gtex_is_not_independent_of_gtex(tmp_path, summary):
    gtex = summary.rename(columns={"trait": "gene_id", "variant": "variant_id", "beta": "slope", "se": "slope_se"})
    fastqtl = written(tmp_path / "other.tsv", gtex, "donor_overlap: none")
    gtex["variant_id"] = [f"chr1_{place}_C_T_b38" for place in range(len(gtex))]
    files = {
        "columns.tsv": written(tmp_path / "columns.tsv", gtex, "donor_overlap: none"),
        "named": written(tmp_path / "GTEx_v8.egenes.tsv", summary, "donor_overlap: none"),
        "source": written(tmp_path / "s.tsv", summary, "donor_overlap: none", "source: GTEx v8"),
        "undeclared": written(tmp_path / "Lung.v8.signif_variant_gene_pairs.txt", gtex),
    }
    for path in files.values():
        found = read_source(path, ["GTEX-1117F", "GTEX-111CU"])
        assert found.status == REFUSED and "not independent" in found.reason, path
        assert found.rows.empty
    # What FastQTL wrote for another study has the same columns but not the ids.
    assert read_source(fastqtl, ["GTEX-1117F"]).status == USED
    # For another cohort it is a study like any other, and declared as overlapping it is said to.
    assert read_source(files["columns.tsv"], ["TCGA-01"]).status == USED
    overlapping = written(tmp_path / "GTEx_own.tsv", summary, "donor_overlap: full")
    assert read_source(overlapping, ["GTEX-1117F"]).overlap == "full"


def test_names_and_headers_of_summary_files(tmp_path, summary):
    assert header_of("# donor_overlap: None\n#build:GRCh38\nbeta\n# no: more\n") == {
        "donor_overlap": "None",
        "build": "GRCh38",
    }
    placed = (
        summary[["trait", "beta", "se"]]
        .assign(trait="ENSG00000000001.7")
        .assign(variant_id=["chr1_5_C_T_b38", "chr1_6_A_G_b38", "chr2_7_A_C_b38"])
    )
    found = read_source(written(tmp_path / "a.tsv", placed, "donor_overlap: none"), [])
    assert found.rows["effect_allele"].tolist() == ["T", "G", "C"] and found.rows["pos"].tolist() == [5, 6, 7]
    assert found.rows["chrom"].tolist() == ["1", "1", "2"] and (found.rows["p"] < 1e-10).all()
    assert [len(of_trait(found, [name])) for name in ("ENSG00000000001.9", "ENSG00000000001", "G0")] == [3, 3, 0]
    weak = pd.concat([placed, placed.iloc[:1].assign(beta=0.0), placed.iloc[:1].assign(se="")])
    found = read_source(written(tmp_path / "weak.tsv", weak, "donor_overlap: none"), [])
    assert (len(found.rows), found.unusable) == (3, 2)
    (tmp_path / "binary").write_bytes(b"\xff\x00\xfe")
    assert read_source(tmp_path / "binary", []).status == REFUSED


# Bad input


def test_unknown_names_have_a_row_with_the_nearest(cohort):
    folder, _ = cohort
    rows = [("G00", "raw_0000"), ("G0", "raw_00000"), ("G0", "SYM0"), ("feature:raw_0001", "gene:G1")]
    assert command.main(arguments(folder, "unknown", pairs=pairs_file(folder, rows, "unknown.tsv"))) == 0
    found = read_tables(folder, "unknown")["causality_pairs"]
    assert found["status"].tolist() == [UNKNOWN_NAME, UNKNOWN_NAME, NOT_TESTED, OK]
    assert "is called G00; nearest: G0" in found["reason"][0] and "nearest: raw_0000" in found["reason"][1]
    assert found["reason"][2] == "both names are those of one trait"
    assert found["verdict"].isna().tolist() == [True, True, True, False]


def test_a_name_of_two_kinds_is_not_guessed(cohort):
    folder, made = cohort
    pd.DataFrame({"donor": made["donors"], "G0": np.arange(1000.0)}).to_csv(folder / "g.tsv", sep="\t", index=False)
    pairs = pairs_file(folder, [("G0", "raw_0000")], "one.tsv")
    assert command.main(arguments(folder, "two", pairs=pairs, annotations=folder / "g.tsv")) == 0
    found = read_tables(folder, "two")["causality_pairs"]
    assert "2 traits are called G0: write gene:G0 or annotation:G0" in found["reason"][0]


def test_constant_traits_and_too_few_donors(cohort, tmp_path):
    folder, made = cohort
    annotation = pd.DataFrame({"donor": made["donors"], "flat": 1.0, "few": np.nan})
    annotation.loc[:20, "few"] = np.arange(21.0)
    annotation.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    pairs = pairs_file(tmp_path, [("G0", "flat"), ("G0", "few")])
    assert command.main(arguments(folder, "flat", pairs=pairs, annotations=tmp_path / "a.tsv")) == 0
    found = read_tables(folder, "flat")["causality_pairs"]
    assert found["status"].tolist() == [NOT_TESTED, NOT_TESTED]
    assert found["reason"][0] == "flat: constant, or spanned by the covariates" and "21 donors" in found["reason"][1]


def test_donors_without_genotypes_are_lost_by_name(cohort, tmp_path):
    folder, made = cohort
    units = (100 * made["dosage"][:, :900]).astype(np.uint8)
    path = tmp_path / "fewer.h5"
    donors = made["donors"][:900]
    write_genotypes(path, donors, made["variants"], lambda a, b: units[a:b], np.zeros((900, 0)), "GRCh38", {})
    pairs = pairs_file(folder, PAIRS[:1], "one.tsv")
    assert command.main(arguments(folder, "fewer", pairs=pairs, genotypes=path)) == 0
    found = read_tables(folder, "fewer")
    assert found["causality_pairs"]["n"].tolist() == [900] and (found["dropped"]["kind"] == "donor").sum() == 100
    stranger = units[:, :1]
    write_genotypes(path, ["X1"], made["variants"], lambda a, b: stranger[a:b], np.zeros((1, 0)), "GRCh38", {})
    assert command.main(arguments(folder, "nobody", pairs=pairs, genotypes=path)) == 0
    assert "0 donors" in read_tables(folder, "nobody")["causality_pairs"]["reason"][0]


@pytest.mark.parametrize(
    "text, fault",
    [
        ("a\tb\nG0\tG1\n", "columns exposure and outcome are expected"),
        ("exposure\toutcome\n", "no pair in it"),
        ("exposure\toutcome\nG0\tG0\n\tG1\n", "row 3: '' and 'G1'"),
    ],
)
def test_bad_lists_of_pairs(cohort, capsys, text, fault):
    folder, _ = cohort
    (folder / "bad.tsv").write_text(text)
    assert command.main(arguments(folder, pairs=folder / "bad.tsv")) == 65
    assert fault in capsys.readouterr().err


def test_other_faults_of_input(cohort, capsys, tmp_path):
    folder, _ = cohort
    pairs = pairs_file(folder, PAIRS[:1], "one.tsv")
    positions = (folder / "positions.tsv").read_text()
    (tmp_path / "b37.tsv").write_text("# build: GRCh37\n" + positions)
    assert command.main(arguments(folder, pairs=pairs, positions=tmp_path / "b37.tsv")) == 65
    assert "GRCh37" in capsys.readouterr().err
    pd.DataFrame({"donor": ["D0001", "D0001"], "x": 1}).to_csv(tmp_path / "twice.tsv", sep="\t", index=False)
    assert command.main(arguments(folder, pairs=pairs, annotations=tmp_path / "twice.tsv")) == 65
    assert "every donor once" in capsys.readouterr().err
    expression = anndata.read_h5ad(folder / "Lung.expression.h5ad")
    del expression.layers["int"]
    expression.write_h5ad(tmp_path / "plain.h5ad")
    assert command.main(arguments(folder, pairs=pairs, expression=tmp_path / "plain.h5ad")) == 65
    assert "no layer `int`" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        command.main(arguments(folder))
    assert left.value.code == 2 and "--pairs or --associations" in capsys.readouterr().err


def test_too_few_donors_with_features(cohort, tmp_path):
    folder, _ = cohort
    image = anndata.read_h5ad(folder / f"{PREFIX}.h5ad")[:5].copy()
    image.write_h5ad(tmp_path / f"{PREFIX}.h5ad")
    pairs = pairs_file(folder, PAIRS[:1], "one.tsv")
    assert command.main(arguments(folder, "tiny", pairs=pairs, features=tmp_path / f"{PREFIX}.h5ad")) == 0
    found = read_tables(folder, "tiny")
    assert len(found["causality_pairs"]) == 0 and "5 donors have features" in found["dropped"]["reason"][0]


# The simulated cohort


def test_roles_of_the_simulated_snps(tmp_path):
    """449 donors, the drawn cell proportion and lesion area as features: what each role of a SNP makes of its pair.

    One SNP a gene is one instrument: an effect that is there, and the pleiotropy of `both`, are left undetermined, and
    so is what `expression` does, whose gene has nothing to do with the image.
    """
    donors = [f"D{k:03d}" for k in range(449)]
    cohort = model.simulate_tables(3, "signal", donors, ["Thyroid"])
    snps, genes = cohort.snps, cohort.genes
    folder = tmp_path
    variants = snps[["id", "pos", "ref", "alt"]].assign(
        chrom=snps["chrom"].astype(str), alt_frequency=cohort.dosage.mean(axis=1) / 2, missing=0, mac=50.0, hwe_p=0.5
    )
    units = (100 * cohort.dosage).astype(np.uint8)
    write_genotypes(
        folder / "genotypes.h5", donors, variants, lambda a, b: units[a:b], np.zeros((449, 0)), "GRCh38", {}
    )
    owned = snps[snps["gene"] != ""]
    positions = pd.DataFrame({"gene": owned["gene"], "chrom": owned["chrom"], "start": owned["pos"] - 500})
    positions.assign(end=owned["pos"] + 500, strand="+").to_csv(folder / "positions.tsv", sep="\t", index=False)
    log2 = np.log2(cohort.tpm + 1)
    expression = anndata.AnnData(log2.T.copy(), obs=pd.DataFrame(index=donors))
    expression.var_names, expression.var["symbol"] = genes["gene"].tolist(), genes["symbol"].tolist()
    expression.layers["int"] = rank_inverse_normal(log2).T
    expression.write_h5ad(folder / "Lung.expression.h5ad")
    drawn = cohort.pieces[["cell_proportion_drawn", "lesion_area_drawn"]].to_numpy()
    image = anndata.AnnData(drawn, obs=pd.DataFrame(index=donors))
    image.var_names, image.var["encoder"] = ["raw_0000", "raw_0001"], "raw"
    image.uns = {"encoders": {"raw": {"weights": "imagenet"}}, "tissue_id": "Lung", "size": "128"}
    image.write_h5ad(folder / f"{PREFIX}.h5ad")
    of_role = {role: owned.loc[owned["role"] == role, "gene"].tolist() for role in ("expression", "both")}
    module = genes.loc[genes["module"] == "cell_proportion", "gene"].tolist()[:3]
    rows = [(gene, "raw_0001") for gene in of_role["both"] + of_role["expression"]]
    rows += [(gene, "raw_0000") for gene in module]
    line = arguments(folder, pairs=pairs_file(folder, rows), design=None)
    assert command.main(line) == 0
    tables = read_tables(folder)
    found = tables["causality_estimates"].set_index(["exposure", "direction"])
    forward = found.xs("gene_to_feature", level="direction")
    both, alone = forward.loc[of_role["both"]], forward.loc[of_role["expression"]]
    # The SNP tells the gene (30 % of it), and its own SNP is the instrument.
    assert set(both["status"]) | set(alone["status"]) == {TESTED} and (forward["instruments"].dropna() <= 1).all()
    instruments = tables["causality_instruments"]
    for gene in of_role["both"] + of_role["expression"]:
        mine = instruments[(instruments["exposure"] == gene) & (instruments["direction"] == "gene_to_feature")]
        assert owned.set_index("gene").loc[gene, "id"] in set(mine["variant"])
    # SNPs of `both` act on the drawing, too (5 % of it each): found, by pleiotropy; those of `expression` are not.
    assert (both["p"] < 0.05).sum() >= 2 and (alone["p"] > 0.01).all()
    # Genes of the module have no SNP of their own near: no position, no number.
    assert set(forward.loc[module, "status"]) == {NO_INSTRUMENT}
    assert not set(tables["causality_pairs"]["verdict"]) & {"gene_to_feature", SHARED_CAUSE}
    assert residual_space(None, 449).dim == 448 == both["n"].iloc[0] - 1


# The report


def test_sections(cohort, tables, tmp_path):
    folder, made = cohort
    faults = Faults()
    gathered = gather(folder / "out", TABLES, faults)
    faults.stop()
    assert set(gathered) == set(TABLES)
    shown = causality_sections(gathered)
    assert [one["id"] for one in shown] == ["causality_verdicts", "causality_estimates", "causality_assumptions"]
    write_sections(shown, tmp_path)
    text = "".join(path.read_text() for path in tmp_path.glob("*.json"))
    assert not any(donor in text for donor in made["donors"])
    verdicts = json.loads((tmp_path / "causality_verdicts_mqc.json").read_text())
    assert len(verdicts["data"]) == 7 and "at least two instruments" in verdicts["description"]
    rows = list(verdicts["data"].values())
    assert rows[0]["verdict"] == "gene_to_feature"
    assert (
        causality_sections({}) == [] and causality_sections({"causality_pairs": gathered["causality_pairs"][:0]}) == []
    )


def test_refused_sources_are_shown(cohort, summary):
    folder, _ = cohort
    external(cohort, "shown", summary)
    shown = causality_sections(gather(folder / "shown", TABLES, Faults()))
    assert [one["id"] for one in shown][-1] == "causality_sources"
    assert "no line donor_overlap" in json.dumps(shown[-1]["data"])
