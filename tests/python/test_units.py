"""Units of expression values: detected by values and names, checked against the declared one."""

import numpy as np
import pandas as pd
import pytest
from expression_made import GENES, TABLE, VALUES, faults_of, gct_text, write

from hx_expression import check_expression, read_expression
from hx_units import TRANSCRIPTOME_GENES, UnitCheck, mixed_faults, name_faults, named_unit

COUNTS, LOG2 = np.floor(VALUES), np.log2(VALUES + 1)
WHOLE = np.tile(VALUES, (TRANSCRIPTOME_GENES // 30 + 1, 1)) + 0.01
TPM = WHOLE / WHOLE.sum(axis=0) * 1e6
RPKM = TPM * np.array([0.3, 0.45, 0.6, 0.8, 0.5, 0.7])


def checked(values, declared, genes=None, rows=None) -> UnitCheck:
    """The check of one file's values; rows are counted from 1."""
    check = UnitCheck(declared)
    rows = list(rows or range(1, len(values) + 1))
    check.add(list(genes or map("gene {}".format, rows)), rows, np.asarray(values, dtype=float))
    return check


def check_unit(values, declared, path="expression", genes=None, rows=None):
    return checked(values, declared, genes, rows).faults(path)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        *((VALUES, "tpm"), (VALUES, "rpkm"), (VALUES, "fpkm"), (COUNTS, "counts"), (LOG2, "log2"), (LOG2 - 3, "log2")),
        *((TPM, "tpm"), (np.round(TPM, 1), "tpm"), (TPM[:5000], "tpm"), (RPKM, "rpkm"), (RPKM, "fpkm")),
        *((RPKM, "tpm"), (TPM[:, :1], "rpkm")),  # what is left when genes were taken out; one sample by chance
    ],
)
def test_units_that_fit(values, unit):
    assert check_unit(values, unit) == []


def test_units_that_do_not_fit():
    for unit in ("tpm", "rpkm", "fpkm", "counts"):
        told = check_unit(LOG2 - 3, unit, "a.gct", GENES, range(4, 34))
        assert "a.gct, row " in told[0] and f"is negative, in a file declared as {unit}" in told[0]
        assert "declare --expression_unit log2" in told[0]
    assert "further rows like these" in check_unit(VALUES - 1e6, "tpm")[-1]
    told = check_unit(np.where(COUNTS == COUNTS[2, 1], -4, COUNTS), "counts", "a.gct", GENES, range(4, 34))
    assert f"row 6 ({GENES[2]}): -4 is negative, in a file declared as counts: mend it" in "\n".join(told)
    first = int(np.flatnonzero((VALUES != COUNTS).any(axis=1))[0])
    told = check_unit(VALUES, "counts", "a.gct", GENES, range(4, 34))
    assert f"row {first + 4} ({GENES[first]})" in told[0] and "is no whole number" in told[0]
    for unit in ("tpm", "rpkm", "fpkm", "log2"):
        assert "all values are whole" in check_unit(COUNTS, unit)[0] and "declare counts" in check_unit(COUNTS, unit)[0]
    assert "too high for log2 values" in check_unit(VALUES, "log2")[0]
    assert "TPM sum to at most 1e6" in check_unit(VALUES * 1e5 + 0.5, "tpm")[0]
    assert check_unit(VALUES * 1e5 + 0.5, "rpkm") == []
    whole = np.tile(LOG2, (TRANSCRIPTOME_GENES // 30 + 1, 1))
    assert "are these log2 values?" in check_unit(whole, "tpm")[0]
    with pytest.raises(ValueError, match="unit 'TPM'"):
        check_unit(VALUES, "TPM")


def test_sums_tell_tpm_from_rpkm():
    for unit in ("rpkm", "fpkm"):
        (told,) = check_unit(TPM, unit, "a.gct")
        assert (
            told
            == f"a.gct: the values of every sample sum to 1e6, as TPM do, in a file declared as {unit}: declare tpm"
        )
    mixed = np.hstack([TPM[:, :4], RPKM[:, 4:]])
    for unit in ("tpm", "rpkm"):
        assert "of 4 samples sum to 1e6, as TPM do, those of 2 do not: TPM and RPKM mixed" in check_unit(mixed, unit)[0]
    # Genes taken out of TPM leave sums of all sizes: one of them near a million proves nothing.
    assert check_unit(TPM * np.array([0.9, 0.95, 0.9995, 0.97, 0.98, 0.993]), "tpm") == []
    # Samples above a million, and sums of a panel, are nothing of the kind.
    assert "sum to at most 1e6" in check_unit(TPM * 1.5, "tpm")[0]
    assert check_unit(TPM[:30] / TPM[:30].sum(axis=0) * 1e6, "rpkm") == []


def test_files_of_two_units_are_refused():
    tpm, rpkm = checked(TPM, "tpm"), checked(RPKM, "tpm")
    (told,) = mixed_faults({"a.gct": tpm, "b.gct": rpkm, "c.gct": tpm}, "tpm")
    assert told.startswith("a.gct, c.gct: values sum to 1e6, as TPM do; b.gct: they do not: TPM and RPKM mixed")
    assert mixed_faults({"a.gct": tpm, "c.gct": tpm}, "tpm") == mixed_faults({"b.gct": rpkm}, "tpm") == []
    assert mixed_faults({"a.gct": checked(VALUES, "tpm"), "b.gct": rpkm}, "tpm") == []


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_tpm.gct.gz", "tpm"),
        ("GTEx_Analysis_v6p_RNA-seq_RNA-SeQCv1.1.8_gene_rpkm.gct.gz", "rpkm"),
        ("gene_reads_v10_adipose_subcutaneous.gct.gz", "counts"),
        ("uuid.FPKM-UQ.txt.gz", "rpkm"),
        ("uuid.rna_seq.augmented_star_gene_counts.tsv", "counts"),
        ("tpm_from_counts.tsv", ""),
        ("expression.tsv", ""),
        ("tpmt_discounts.tsv", ""),
    ],
)
def test_unit_of_a_name(name, unit):
    assert named_unit(f"/reads/tpm/{name}") == unit


def test_names_against_names_and_the_declared_unit():
    assert name_faults(["x/a_tpm.gct", "b.gct"], "tpm") == name_faults(["a_tpm.gct"], "log2") == []
    assert name_faults(["a_fpkm.gct"], "rpkm") == name_faults(["a_rpkm.gct"], "fpkm") == []
    (told,) = name_faults(["a_rpkm.gct"], "tpm")
    assert told.startswith("a_rpkm.gct: by its name the unit is rpkm, tpm is declared: declare --expression_unit rpkm")
    for declared in ("tpm", "rpkm", "log2"):
        (told,) = name_faults(["b_gene_tpm.gct", "a_gene_rpkm.gct"], declared)
        assert "a_gene_rpkm.gct (rpkm) and b_gene_tpm.gct (tpm): units mixed" in told


def test_rpkm_mixed_with_tpm_in_files(tmp_path):
    genes = [f"g{i}" for i in range(len(TPM))]
    tpm, rpkm = (pd.DataFrame(part, index=genes, columns=TABLE.columns) for part in (TPM, RPKM))
    a = write(tmp_path / "a.gct", gct_text(tpm[["S0", "S1"]], genes))
    b = write(tmp_path / "b.gct", gct_text(rpkm[["S2", "S3"]], genes))
    for read in (check_expression, read_expression):
        assert "TPM and RPKM mixed" in faults_of(read, [a, b], ["S0", "S1", "S2"], "tpm")
    b = b.rename(tmp_path / "b_rpkm.gct")
    a = a.rename(tmp_path / "a_tpm.gct")
    told = faults_of(check_expression, [a, b], ["S0", "S2"], "tpm")
    assert "b_rpkm.gct (rpkm) and a_tpm.gct (tpm): units mixed" in told
    check_expression([a, b], ["S0", "S1"], "tpm")  # nothing is read of the other file


def test_unit_check_does_not_depend_on_blocks():
    whole, parts = UnitCheck("counts"), UnitCheck("counts")
    whole.add(GENES, range(30), VALUES)
    for start in range(0, 30, 7):
        parts.add(GENES[start : start + 7], range(start, min(start + 7, 30)), VALUES[start : start + 7])
    assert whole.faults("a") == parts.faults("a") != []
