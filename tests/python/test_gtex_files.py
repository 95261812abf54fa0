"""What a file of a GTEx download is, and which files do not go together; tables of every release."""

import gzip

import pandas as pd
import pytest

from hx_cli import DataError
from hx_gtex_files import gtex_file, gtex_files, not_together, of_role
from hx_gtex_tables import donors_of, read_attributes, read_changes, read_histology, read_subjects

GCT = "#1.2\n1\t2\nName\tDescription\t{names}\nENSG1.1\tG1\t1\t2\n"
PAIR = ("GTEX-A1AA-0126-SM-1", "GTEX-B2BB-0126-SM-2")


def write(folder, name: str, text: str) -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


def gct(folder, name: str, samples=PAIR, by_tissue: bool = False) -> str:
    text = GCT.format(names="\t".join(samples))
    if by_tissue:
        text = text.replace("Name", "id\tName").replace("ENSG", "0\tENSG")
    return write(folder, name, text)


@pytest.mark.parametrize(
    ("name", "role", "release", "unit"),
    [
        ("GTEx_Analysis_v6p_RNA-seq_RNA-SeQCv1.1.8_gene_rpkm.gct.gz", "expression", "v6p", "rpkm"),
        ("GTEx_Analysis_2016-01-15_v7_RNASeQCv1.1.8_gene_tpm.gct.gz", "expression", "v7", "tpm"),
        ("GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.gct.gz", "expression", "v8", "counts"),
        ("GTEx_Analysis_2022-06-06_v10_RNASeQCv2.4.2_gene_tpm_non_lcm.gct", "expression", "v10", "tpm"),
        ("gene_reads_v10_adipose_subcutaneous.gct.gz", "expression", "v10", "counts"),
        ("gene_tpm_v11_lung.gct.gz", "expression", "v11", "tpm"),
        ("gene_reads_adult_gtex_v11_lung_gct.gz", "expression", "v11", "counts"),
        ("GTEx_Analysis_v8_STARv2.5.3a_junctions.gct.gz", "", "v8", ""),
        ("GTEx_Analysis_v8_exon_reads.gct.gz", "", "v8", "counts"),
    ],
)
def test_expression_files_of_every_release(tmp_path, name, role, release, unit):
    found = gtex_file(gct(tmp_path, name))
    assert (found.role, found.release, found.unit) == (role, release, unit)
    assert found.samples == (PAIR if role else ())


def test_files_of_one_tissue_and_medians(tmp_path):
    assert gtex_file(gct(tmp_path, "gene_tpm_2017-06-05_v8_lung.gct.gz", by_tissue=True)).samples == PAIR
    medians = gtex_file(gct(tmp_path, "gene_median_tpm.gct.gz", ("Adipose - Subcutaneous", "Lung")))
    assert medians.role == "" and "no GTEx sample among its columns" in medians.note


def test_parquet_of_v11(tmp_path):
    table = pd.DataFrame({"Name": ["ENSG1.1"], "Description": ["G1"], PAIR[0]: [1.0], PAIR[1]: [2.0]})
    path = tmp_path / "GTEx_Analysis_2025-08-22_v11_RNASeQCv2.4.3_gene_tpm.parquet"
    table.to_parquet(path)
    found = gtex_file(str(path))
    assert (found.role, found.samples, found.release) == ("expression", PAIR, "v11")


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("SAMPID\tSMATSSCR\tSMTSD\tSMAFRZE\n", "sample attributes"),
        ("# Study accession: phs000424\n\n##\tphv1\ndbGaP_Sample_ID\tSAMPID\tSMRIN\n", "sample attributes"),
        ("SUBJID\tGENDER\tAGE\tDTHHRDY\n", "subject phenotypes"),
        ("\ufeffSUBJID\tSEX\tAGE\tDTHHRDY\r\n", "subject phenotypes"),
        ("SAMPID\tSMTSD_V8\n", "tissue changes"),
        ("Tissue Sample ID,Tissue,Subject ID,Pathology Categories,Pathology Notes\n", "histology table"),
        ('"Tissue ID","Tissue Sample ID","Tissue","Pathology Notes"\n', "histology table"),
        ("GTEX-R55G-0826 Lung\n", "slide list"),
        ("GTEX.R55G.0826 Lung\n", "slide list"),
        ("tissue\tImage\tarea\n", "slide list"),
        ("#chr\tstart\tend\tgene_id\tGTEX-A1AA\n", ""),
        ("ID\tGTEX-A1AA\n", ""),
        ("\n", ""),
    ],
)
def test_tables_are_known_by_their_header(tmp_path, text, role):
    assert gtex_file(write(tmp_path, "some.txt", text)).role == role
    assert gtex_file(write(tmp_path, "some.txt.gz", text)).role == role


def test_binary_and_damaged_files(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\x00\x01\x02")
    assert gtex_file(str(tmp_path / "a.txt")).role == ""
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"SUBJID\tSEX\n" * 9)[:-12])
    with pytest.raises(DataError, match=r"b\.txt\.gz: the gzip file is cut short"):
        gtex_file(str(tmp_path / "b.txt.gz"))


def test_two_releases_in_a_folder_are_refused_by_both_names(tmp_path, caplog):
    caplog.set_level("INFO")
    paths = [
        write(tmp_path, "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt", "SUBJID\tSEX\n"),
        write(tmp_path, "GTEx_v7_Annotations_SubjectPhenotypesDS.txt", "SUBJID\tSEX\n"),
        gct(tmp_path, "v8_gene_tpm.gct"),
        gct(tmp_path, "v8_lung_gene_tpm.gct", (PAIR[0], "GTEX-Z9ZZ-0126-SM-9")),
        gct(tmp_path, "v6p_gene_rpkm.gct", ("GTEX-C3CC-0126-SM-3", "GTEX-C3CC-0226-SM-4")),
        gct(tmp_path, "v10_gene_tpm.gct", ("GTEX-D4DD-0126-SM-3", "GTEX-D4DD-0226-SM-4")),
        write(tmp_path, "notes.txt", "hello\n"),
    ]
    with pytest.raises(DataError) as raised:
        gtex_files(paths)
    told = "\n".join(raised.value.faults).replace(str(tmp_path) + "/", "")
    for expected in (
        "v8_Annotations_SubjectPhenotypesDS.txt and GTEx_v7_Annotations_SubjectPhenotypesDS.txt: both are subject",
        "v6p_gene_rpkm.gct and v8_gene_tpm.gct: rpkm and tpm by their names",
        "v10_gene_tpm.gct and v8_gene_tpm.gct: v10 and v8 by their names",
        "v8_gene_tpm.gct and v8_lung_gene_tpm.gct: 1 samples stand in both (GTEX-A1AA-0126-SM-1)",
    ):
        assert expected in told, expected
    assert "not used: notes.txt: no header of a GTEx file: it begins with 'hello'" in caplog.text
    assert "read v8_gene_tpm.gct as expression (2 samples)" in caplog.text


def test_named_expression_replaces_that_of_the_folder(tmp_path):
    folder, named = gct(tmp_path, "a_tpm.gct"), gct(tmp_path, "b_reads.gct")
    files = gtex_files([folder], [named])
    assert of_role(files, "expression") == [named] and not_together(files) == []


def test_attributes_of_newer_release_than_expression_are_a_warning(tmp_path, caplog):
    gtex_files([gct(tmp_path, "v8_gene_tpm.gct"), write(tmp_path, "v11_SampleAttributesDS.txt", "SAMPID\tSMTSD\n")])
    assert "expression is of v8, sample attributes of v11" in caplog.text


# tables

ATTRIBUTES = (
    "SAMPID\tSMRIN\tSMTS\tSMTSD\tSMPTHNTS\tSMAFRZE\n"
    'GTEX-A1AA-0126-SM-1\t7.1\tLung\tLung\t2 pieces, "clean\tRNASEQ\n'
    "GTEX.B2BB.0126.SM.2\t6.0\tLung\tLung\tx\tRNASEQ\n"
    "GTEX-B2BB-0126-SM-3\t\tLung\tLung\tx\tEXCLUDE\n"
    "GTEX-B2BB-0003-SM-4\t\tBlood\tWhole Blood\t\tWGS\n"
    "GTEX-B2BB-0005-SM-5\t8.0\tBlood\tWhole Blood\t\tRNASEQ\n"
    "GTEX-B2BB-0008-SM-6\t9.0\tSkin\tCells - Transformed fibroblasts\t\tRNASEQ\n"
    "GTEX-C3CC-0126-SM-7\t\tLung\tLung\t\t\n"
    "K-562-SM-8\t9.9\tBone Marrow\tCells - Leukemia cell line (CML)\t\tRNASEQ\n"
    "K-562-SM-8\t9.9\tBone Marrow\tCells - Leukemia cell line (CML)\t\tRNASEQ\n"
)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("comments", ["", "# Study accession: phs000424\n\n##\tphv1\n"])
def test_attributes_rows_that_are_no_rna_of_a_slide_are_counted(tmp_path, ends, bom, comments, caplog):
    caplog.set_level("INFO")
    path = write(tmp_path, "a.txt", bom + (comments + ATTRIBUTES).replace("\n", ends))
    found = read_attributes(path)
    assert list(found.table.index) == ["GTEX-A1AA-0126-SM-1", "GTEX-B2BB-0126-SM-2"]
    assert found.table["SMPTHNTS"].tolist() == ['2 pieces, "clean', "x"]
    assert found.skipped == {
        "blood or cell line: no slide is made of it": 2,
        "no GTEx sample (K-562 and other controls)": 2,
        "not in the RNA-seq freeze (SMAFRZE EXCLUDE)": 1,
        "not in the RNA-seq freeze (SMAFRZE WGS)": 1,
        "not in the RNA-seq freeze (SMAFRZE blank)": 1,
    }
    assert found.refused["GTEX-B2BB-0126-SM-3"] == "not in the RNA-seq freeze (SMAFRZE EXCLUDE)"
    assert f"{path}: 2 rows skipped: blood or cell line" in caplog.text


def test_freeze_of_v6_no_freeze_and_unknown_freeze(tmp_path, caplog):
    v6 = read_attributes(write(tmp_path, "v6.txt", ATTRIBUTES.replace("RNASEQ", "USE ME")))
    assert len(v6.table) == 2
    without = "\n".join(line.rsplit("\t", 1)[0] for line in ATTRIBUTES.splitlines())
    assert len(read_attributes(write(tmp_path, "none.txt", without)).table) == 4
    assert "SMAFRZE is never" not in caplog.text
    unknown = read_attributes(write(tmp_path, "odd.txt", ATTRIBUTES.replace("RNASEQ", "ODD")))
    assert len(unknown.table) == 4 and "SMAFRZE is never RNASEQ or USE ME" in caplog.text


def test_a_sample_twice_in_the_attributes(tmp_path):
    path = write(tmp_path, "a.txt", "# c\n" + ATTRIBUTES + "GTEX-A1AA-0126-SM-1\t1\tLung\tLung\t\tRNASEQ\n")
    with pytest.raises(DataError, match=r"a\.txt, rows 3, 12: GTEX-A1AA-0126-SM-1 stands more than once"):
        read_attributes(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SUBJID\tGENDER\tAGE\tDTHHRDY\nGTEX-A1AA\t1\t60-69\t0\n", ["GTEX-A1AA", "male", "64.5", "0"]),
        ("SUBJID\tSEX\tAGE\tDTHHRDY\nGTEX.A1AA\t2\t20-29\t\n", ["GTEX-A1AA", "female", "24.5", ""]),
        (
            "# dbGaP\n##\tphv\ndbGaP_Subject_ID\tSUBJID\tCOHORT\tSEX\tAGE\tRACE\tBMI\tTRISCHD\tDTHHRDY\n"
            "1\tGTEX-A1AA\tPostmortem\t2\t61\t3\t24.4\t615\t99\n",
            ["GTEX-A1AA", "female", "61", "", "Postmortem", "3", "24.4", "615"],
        ),
    ],
)
def test_subjects_of_every_release(tmp_path, text, expected):
    table = read_subjects(write(tmp_path, "s.txt", text))
    assert table.iloc[0].tolist() == expected
    assert list(table.columns) == ["donor", "sex", "age", "hardy", "COHORT", "RACE", "BMI", "TRISCHD"][: len(expected)]


def test_histology_in_words_and_donors_without_phenotypes(tmp_path, caplog):
    path = write(
        tmp_path,
        "portal.csv",
        "Tissue Sample ID,Tissue,Subject ID,Sex,Age Bracket,Hardy Scale,Pathology Categories,Pathology Notes\n"
        'GTEX-A1AA-0126,Lung,GTEX-A1AA,female,60-69,Fast death - natural causes,"fibrosis, cyst","2 pieces, x"\n'
        "GTEX.B2BB.0126,Lung,GTEX-B2BB,male,20-29,,,\n",
    )
    histology = read_histology([path])
    assert histology.loc[0, ["donor", "sex", "age", "hardy", "categories", "row"]].tolist() == [
        "GTEX-A1AA", "female", "64.5", "2", "fibrosis, cyst", 2,
    ]  # fmt: skip
    assert histology.loc[1, ["sample", "hardy", "notes"]].tolist() == ["GTEX-B2BB-0126", "", ""]
    assert donors_of(None, histology).loc["GTEX-B2BB"].tolist() == ["male", "24.5", ""]
    subjects = read_subjects(write(tmp_path, "s.txt", "SUBJID\tSEX\tAGE\tDTHHRDY\tBMI\nGTEX-A1AA\t1\t61\t2\t30\n"))
    donors = donors_of(subjects, histology)
    assert donors.loc["GTEX-A1AA"].tolist() == ["male", "61", "2", "30"]
    assert donors.loc["GTEX-B2BB"].tolist() == ["male", "24.5", "", ""]
    assert "sex of 1 donors differs between subject phenotypes (which count) and histology table" in caplog.text
    bad = write(tmp_path, "bad.csv", 'Tissue Sample ID,Tissue,Sex,Pathology Notes\nGTEX-A1AA-0126,Lung,x,"2 pieces\n')
    good_but_for = write(tmp_path, "odd.csv", "Tissue Sample ID,Tissue,Sex,Pathology Notes\nGTEX-A1AA-0126,Lung,x,y\n")
    with pytest.raises(DataError) as raised:
        read_histology([bad, good_but_for])
    told = "\n".join(raised.value.faults)
    assert "bad.csv, row 2: unexpected end of data: check the quotes" in told
    assert "odd.csv, row 2: Sex 'x' is no value GTEx knows" in told


def test_tissue_changes(tmp_path):
    text = "SAMPID\tSMTSD_V8\nGTEX.A1AA.0126.SM.1\tLung\n"
    assert read_changes(write(tmp_path, "c.txt", text)) == {"GTEX-A1AA-0126-SM-1": "Lung"}
    with pytest.raises(DataError, match="rows 2, 3: GTEX-A1AA-0126-SM-1 stands more than once"):
        read_changes(write(tmp_path, "c.txt", text + "GTEX-A1AA-0126-SM-1\tLiver\n"))
