"""Ids, folds, batches, and the join of slides with RNA samples."""

import re

import pandas as pd
import pytest

from hx_cli import DataError, Faults
from hx_covariates import join_covariates, read_covariates, rna_annotation, rna_rin
from hx_join import (
    DROPPED_COLUMNS,
    ID_PATTERN,
    best_rna,
    donor_fold,
    dropped_table,
    gathered,
    gtex_donor,
    gtex_piece,
    key_columns,
    match_expression,
    one_rna_per_donor,
    piece_keys,
    read_keys,
    slide_batch,
    tissue_id,
    unused_rna,
)


def slides(*rows: tuple[str, ...], columns: str = "sample donor tissue rna_sample") -> pd.DataFrame:
    return pd.DataFrame([(*row, *[""] * (len(columns.split()) - len(row))) for row in rows], columns=columns.split())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # names of GTEx's own per-tissue files
        ("Skin - Sun Exposed (Lower leg)", "Skin_Sun_Exposed_Lower_leg"),
        ("Skin - Not Sun Exposed (Suprapubic)", "Skin_Not_Sun_Exposed_Suprapubic"),
        ("Brain - Spinal cord (cervical c-1)", "Brain_Spinal_cord_cervical_c-1"),
        ("Brain - Anterior cingulate cortex (BA24)", "Brain_Anterior_cingulate_cortex_BA24"),
        ("Cells - EBV-transformed lymphocytes", "Cells_EBV-transformed_lymphocytes"),
        ("Lung", "Lung"),
        ("Muscle_Skeletal", "Muscle_Skeletal"),
        ("Niere/Rinde v1.2", "Niere_Rinde_v1_2"),
        ("Ovário", "Ovario"),
        ("肺", ""),
        (" - ", ""),
    ],
)
def test_tissue_id(name, expected):
    assert tissue_id(name) == expected
    assert not expected or (ID_PATTERN.match(expected) and tissue_id(expected) == expected and "." not in expected)


def test_id_pattern():
    for good in ("S1", "GTEX-1117F-0126", "a.b_c-d", "9"):
        assert ID_PATTERN.match(good)
    for bad in ("", "a b", "a/b", "-a", ".a", "a\n", "ä", "a;b", "$(x)"):
        assert not ID_PATTERN.match(bad)


@pytest.mark.parametrize(
    ("name", "donor", "piece"),
    [
        ("GTEX-1117F-0226-SM-5GZZ7", "GTEX-1117F", "GTEX-1117F-0226"),
        ("GTEX-1117F-0126", "GTEX-1117F", "GTEX-1117F-0126"),
        ("GTEX-1117F-0126.svs", "GTEX-1117F", "GTEX-1117F-0126"),
        ("GTEX.1117F.0226.SM.5GZZ7", "GTEX-1117F", "GTEX-1117F-0226"),
        ("GTEX-1192X-0011-R10a-SM-DO941", "GTEX-1192X", ""),
        ("GTEX-R55G-0826-SM-2TC5M", "GTEX-R55G", "GTEX-R55G-0826"),
        ("GTEX-1117F", "GTEX-1117F", ""),
        ("GTEX-1117F-01266", "GTEX-1117F", ""),
        ("K-562-SM-2AXVE", "", ""),
        ("TCGA-A2-A04R-01Z", "", ""),
    ],
)
def test_gtex_ids(name, donor, piece):
    assert (gtex_donor(name), gtex_piece(name)) == (donor, piece)


def test_piece_keys_never_drop_the_last_digit():
    assert piece_keys("GTEX-N7MS-0325") == ["GTEX-N7MS-0325", "GTEX-N7MS-0326"]
    assert piece_keys("GTEX-N7MS-0326") == ["GTEX-N7MS-0326"]
    tissues = slides(*((f"GTEX-14A6H-{n}", "GTEX-14A6H", f"T{n}") for n in (5010, 5013, 5016, 5019)))
    matched = match_expression(tissues, [f"GTEX-14A6H-{n}-SM-1" for n in (5010, 5013, 5016, 5019)])
    assert matched["rna"].tolist() == [f"{sample}-SM-1" for sample in tissues["sample"]]


def test_folds_and_batches_depend_on_the_id_alone():
    # `printf 1:GTEX-1117F | sha1sum`; 16 is 1 modulo 5, so that the sum of the digits gives the fold
    digits = "a0faf9345999bb1de0d58705338b7dda2b48575e"
    assert donor_fold("GTEX-1117F", 1) == sum(int(digit, 16) for digit in digits) % 5
    folds = [donor_fold(f"D{i}", 1) for i in range(1000)]
    assert set(folds) == set(range(5)) and min(map(folds.count, range(5))) > 150
    assert folds != [donor_fold(f"D{i}", 2) for i in range(1000)]
    assert re.fullmatch(r"Lung\.b[0-7]", slide_batch("Lung", "S1", 8))


def test_rules_in_their_order():
    table = slides(
        ("S1", "D1", "Lung", "R1"),
        ("S2", "D2", "Lung"),
        ("GTEX-AAAA-0126", "GTEX-AAAA", "Lung"),
        ("GTEX-BBBB-0125", "GTEX-BBBB", "Lung"),
        ("S5", "D5", "Lung"),
        ("S6", "D6", "Lung"),
        ("S7", "D7", "Lung", "R7"),
    )
    columns = ["R1", "S1", "S2", "D2", "GTEX-AAAA-0126-SM-1", "GTEX-BBBB-0126-SM-1", "D5", "D7"]
    matched = match_expression(table, columns)
    assert matched["rna"].tolist() == ["R1", "S2", "GTEX-AAAA-0126-SM-1", "GTEX-BBBB-0126-SM-1", "D5", "", ""]
    assert matched["rule"].tolist() == ["rna_sample", "sample", "piece", "piece_5_to_6", "donor", "", ""]
    assert "no RNA sample" in matched["reason"][5]
    assert matched["reason"][6] == "rna_sample R7 is no column of the expression files"
    assert (matched["reason"][:5] == "").all()


def test_donor_rule_only_for_one_tissue():
    two = slides(("S1", "D1", "Lung"), ("S2", "D1", "Liver"))
    matched = match_expression(two, ["D1"])
    assert (matched["rna"] == "").all() and matched["reason"].str.contains("several tissues").all()
    assert (match_expression(two[:1], ["D1"])["rule"] == "donor").all()


def test_dots_of_r_are_dashes_in_gtex_ids():
    table = slides(
        ("S1", "GTEX-AAAA", "Lung", "GTEX.AAAA.0126.SM.1"),
        ("GTEX.BBBB.0126.SM.1", "GTEX-BBBB", "Lung"),
        ("x", "GTEX.CCCC", "Lung"),
        ("y", "K.562", "Lung"),
    )
    columns = ["GTEX-AAAA-0126-SM-1", "GTEX-BBBB-0126-SM-1", "GTEX-CCCC", "K-562"]
    for known in (columns, [name.replace("GTEX-", "GTEX.") for name in columns]):
        matched = match_expression(table, known)
        assert matched["rule"].tolist() == ["rna_sample", "sample", "donor", ""]
        assert matched["rna"].tolist() == [*known[:3], ""]


def test_exact_piece_before_its_sibling():
    rna = ["GTEX-AAAA-0126-SM-1", "GTEX-AAAA-0125-SM-1"]
    both = match_expression(slides(("GTEX-AAAA-0125", "GTEX-AAAA", "Lung")), rna)
    assert both["rna"][0] == "GTEX-AAAA-0125-SM-1"


def test_best_rin_then_first_by_name():
    assert best_rna(["b", "a", "c"], {"a": 6.0, "b": 7.5}) == "b"
    assert best_rna(["b", "a"], {}) == "a"
    assert best_rna(["b", "a"], {"a": 7.0, "b": 7.0}) == "a"
    columns = ["GTEX-AAAA-0126-SM-2", "GTEX-AAAA-0126-SM-1"]
    table = slides(("GTEX-AAAA-0126", "GTEX-AAAA", "Lung"))
    assert match_expression(table, columns)["rna"][0] == "GTEX-AAAA-0126-SM-1"
    matched = match_expression(table, columns, rin={"GTEX-AAAA-0126-SM-2": 8.0, "GTEX-AAAA-0126-SM-1": 6.0})
    assert matched["rna"][0] == "GTEX-AAAA-0126-SM-2" and len(matched["candidates"][0]) == 2


def test_rna_of_another_tissue_is_refused():
    table = slides(("GTEX-111FC-0426", "GTEX-111FC", "Artery - Tibial"))
    matched = match_expression(table, ["GTEX-111FC-0426-SM-1"], rna_tissue={"GTEX-111FC-0426-SM-1": "Thyroid"})
    assert matched["rna"][0] == ""
    assert matched["reason"][0] == "tissue conflict: slide Artery - Tibial, RNA sample GTEX-111FC-0426-SM-1 Thyroid"


def test_one_rna_per_donor_pools_slides_and_unused_rna_is_listed():
    table = pd.DataFrame({
        "sample": ["S1", "S2", "S3", "S4"],
        "donor": ["D1", "D1", "D2", "D3"],
        "tissue_id": ["Lung"] * 4,
        "rna": ["R1", "R2", "R3", ""],
        "candidates": [("R1",), ("R2",), ("R3",), ("R4",)],
        "reason": ["", "", "", "slide not found"],
    })  # fmt: skip
    chosen = one_rna_per_donor(table[:3], {"R1": 5.0, "R2": 8.0})
    assert chosen.tolist() == ["R2", "R2", "R3"]
    rows = table.assign(rna_used=[*chosen, ""])
    assert unused_rna(["R1", "R2", "R3", "R4", "R5"], rows) == [
        ("R1", "R2 stands for this donor and tissue"),
        ("R4", "slide S4: slide not found"),
        ("R5", "no slide in the cohort"),
    ]


def test_empty_cohort():
    none = slides()
    assert match_expression(none, ["R1"]).empty
    assert one_rna_per_donor(none.assign(rna="", tissue_id="")).empty


def test_key_columns():
    assert key_columns(["tissue", "Image", "x"]) == {"sample": "Image", "tissue": "tissue"}
    assert key_columns(["Tissue Sample ID", "Tissue", "Subject ID"]) == {
        "sample": "Tissue Sample ID", "tissue": "Tissue", "donor": "Subject ID"}  # fmt: skip
    assert key_columns(["SLIDE_ID", "sample"])["sample"] == "sample"
    assert key_columns(["SAMPID", "SMTSD"]) == {"rna_sample": "SAMPID", "tissue": "SMTSD"}


def test_read_keys_of_every_format(tmp_path):
    import anndata
    import numpy as np

    table = pd.DataFrame({"Image": ["GTEX-AAAA-0126", "GTEX-BBBB-0126"], "Tissue": "Lung", "area": [1.0, 2.0]})
    table.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    obs = table[["Tissue"]].set_index(table["Image"])
    anndata.AnnData(np.ones((2, 1)), obs=obs).write_h5ad(tmp_path / "a.h5ad")
    for name in ("a.tsv", "a.csv", "a.parquet", "a.h5ad"):
        keys = read_keys(tmp_path / name)
        assert keys["sample"].tolist() == table["Image"].tolist(), name
        assert keys["donor"].tolist() == ["GTEX-AAAA", "GTEX-BBBB"], name
        assert keys["tissue"].tolist() == ["Lung", "Lung"], name
    table[["area"]].to_csv(tmp_path / "none.tsv", sep="\t", index=False)
    with pytest.raises(DataError, match=r"none.tsv, row 1: no column sample or donor among area"):
        read_keys(tmp_path / "none.tsv")


def test_dropped_table_is_sorted_and_gathered_goes_on():
    table = dropped_table([("b", "slide", "x"), ("a", "slide", "y"), ("c", "donor", "z")], "stage")
    assert list(table.columns) == DROPPED_COLUMNS and table["id"].tolist() == ["c", "a", "b"]
    faults = Faults()
    for text in ("one", "two"):
        with gathered(faults):
            raise DataError(text)
    assert faults.messages == ["one", "two"]


# covariates


def write(path, text: str) -> str:
    path.write_text(text)
    return str(path)


COHORT = pd.DataFrame({"donor": ["D1", "D2"], "tissue_id": ["Lung", "Lung"]})
SLIDES = pd.DataFrame({
    "sample": ["S1", "S1b", "S2"], "donor": ["D1", "D1", "D2"], "tissue_id": "Lung", "rna": ["R1", "R1", "R2"],
})  # fmt: skip


def test_covariates_by_sample_rna_sample_and_donor(tmp_path, caplog):
    tables = read_covariates([
        write(tmp_path / "a.tsv", "sample\tarea\nS1b\t7\nS1\t5\nS2\t6\n"),
        write(tmp_path / "b.txt", 'SAMPID\tSMTSD\tSMRIN\tSMPTHNTS\nR1\tLung\t7.5\t2 pieces, "clean\nR2\tLung\t\tx\n'),
        write(tmp_path / "c.txt", "SUBJID\tSEX\tAGE\nD1\t1\t60-69\n"),
    ])  # fmt: skip
    assert rna_rin(tables) == {"R1": 7.5}
    assert rna_annotation(tables, "tissue") == {"R1": "Lung", "R2": "Lung"}
    joined = join_covariates(COHORT, SLIDES, tables)
    assert list(joined.columns) == ["donor", "tissue_id", "area", "SMRIN", "SMPTHNTS", "SEX", "AGE"]
    assert joined.iloc[0].tolist() == ["D1", "Lung", "5", "7.5", '2 pieces, "clean', "1", "60-69"]
    assert joined.iloc[1].tolist() == ["D2", "Lung", "6", "", "x", "", ""]
    assert "no row for 0 of 2 donors x tissues; slides of 1 disagree" in caplog.text
    assert "no row for 1 of 2 donors x tissues" in caplog.text


def test_covariates_by_donor_and_tissue_and_rna_ids_in_a_sample_column(tmp_path):
    text = "donor\ttissue\tage\nD1\tLiver\t1\nD1\tLung\t2\nD2\tLung\t3\n"
    tables = read_covariates([write(tmp_path / "a.tsv", text)])
    assert join_covariates(COHORT, SLIDES, tables)["age"].tolist() == ["2", "3"]
    tables = read_covariates([write(tmp_path / "b.tsv", "sample\trin\nR1\t7\nR2\t8\n")])
    assert join_covariates(COHORT, SLIDES, tables)["rin"].tolist() == ["7", "8"]


def test_a_table_of_samples_is_never_joined_by_donor(tmp_path):
    tables = read_covariates([write(tmp_path / "a.tsv", "sample\tdonor\trin\nOTHER\tD1\t7\n")])
    with pytest.raises(DataError, match=r"no row belongs to the cohort: sample there is OTHER, here S1, S1b, S2"):
        join_covariates(COHORT, SLIDES, tables)


def test_covariate_faults_come_at_once(tmp_path):
    paths = [
        write(tmp_path / "a.tsv", "sample\tage\tfold\nS1\t1\t2\n"),
        write(tmp_path / "b.tsv", "donor\tage\nD1\t1\n"),
        write(tmp_path / "c.tsv", "who\tx\nD1\t1\n"),
    ]
    with pytest.raises(DataError) as raised:
        read_covariates(paths)
    told = "\n".join(raised.value.faults)
    assert len(raised.value.faults) == 3
    assert "a.tsv, row 1: a column is called 'fold'" in told
    assert "column age stands in both" in told
    assert "c.tsv, row 1: no column sample, donor, SAMPID or SUBJID among who, x" in told
    tables = read_covariates([write(tmp_path / "d.tsv", "donor\tage\nD1\t1\nD2\t2\nD1\t3\nD9\t1\nD9\t1\n")])
    with pytest.raises(DataError, match=r"d.tsv, rows 2, 4: D1 stands more than once: keep one row"):
        join_covariates(COHORT, SLIDES, tables)
