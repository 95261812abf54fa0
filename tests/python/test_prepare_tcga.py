"""Files of the GDC as downloaded to a samplesheet and counts: joins by case and sample type, aliquots, faults."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hx_expression import sample_names
from hx_io import read_table
from hx_tcga import barcode, read_clinical, tissue_name
from prepare_tcga import main, star_counts, write_counts

SHEET = "File ID\tFile Name\tData Category\tData Type\tProject ID\tCase ID\tSample ID\tSample Type\n"
STAR = (
    "# gene-model: GENCODE v36\n"
    "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\tstranded_second\ttpm_unstranded\n"
    "N_unmapped\t\t\t9\t9\t9\t\nN_multimapping\t\t\t9\t9\t9\t\nN_noFeature\t\t\t9\t9\t9\t\nN_ambiguous\t\t\t9\t9\t9\t\n"
    "ENSG1.5\tA1\tprotein_coding\t{}\t1\t2\t0.5\nENSG2.1\tB2\tlncRNA\t{}\t1\t2\t0.5\n"
)


class Download:
    """A download of the GDC: the sheet, counts in folders of their own, slides by name."""

    def __init__(self, folder: Path):
        self.folder, self.rows, self.counts, self.more = folder, "", [], []
        self.slides: list[str] = []

    def text(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return str(path)

    def rna(self, name: str, sample: str, *values: int, project: str = "TCGA-HNSC") -> None:
        file = f"{name}.rna_seq.augmented_star_gene_counts.tsv"
        self.rows += f"u{name}\t{file}\tTranscriptome Profiling\tGene Expression Quantification\t{project}\t"
        self.rows += f"{sample[:12]}\t{sample}\tPrimary Tumor\n"
        self.counts.append(self.text(f"u{name}/{file}", STAR.format(*values)))

    def run(self, *options: str) -> int:
        tables = [self.text("gdc_sample_sheet.tsv", SHEET + self.rows), *self.more]
        found = self.text("found.txt", "".join(f"{name}\n" for name in self.slides))
        given = ["--tables", *tables, "--counts", *self.counts, "--found", found]
        return main([*given, *options, "--outdir", str(self.folder / "out")])

    def table(self, name: str) -> pd.DataFrame:
        return read_table(self.folder / "out" / name)


@pytest.fixture
def download(tmp_path):
    made = Download(tmp_path)
    made.rna("a", "TCGA-CR-7395-01A", 10, 20)
    made.rna("b", "TCGA-CR-7395-01B", 11, 21)
    made.rna("c", "TCGA-CR-7395-11A", 12, 22)
    made.rna("e", "TCGA-CV-0001-01A", 14, 24)
    made.rna("d", "TCGA-CV-0001-01A", 13, 23)
    made.rna("f", "TCGA-CV-0002-06A", 15, 25)
    made.slides = [
        "/d/s/u1/TCGA-CR-7395-01Z-00-DX1.BE3661A3-0000.svs",
        "/d/s/u2/TCGA-CR-7395-01B-01-TS1.AAAA.svs",
        "/d/s/u3/TCGA-CV-0001-01Z-00-DX1.CCCC.svs",
        "/d/s/u4/TCGA-CV-0001-01Z-00-DX2.DDDD.svs",
        "/d/s/u5/TCGA-CR-7395-11A-01-BS1.EEEE.svs",
        "/d/s/u6/TCGA-CV-0002-01Z-00-DX1.FFFF.svs",
        "/d/s/u7/TCGA-ZZ-9999-01Z-00-DX1.GGGG.svs",
        "/d/s/u8/other.svs",
        "/d/s/u8/logs/u8.parcel",
    ]
    return made


def test_barcodes():
    assert barcode("TCGA-CR-7395-01A-01-TS1.svs").__dict__ == {
        "case": "TCGA-CR-7395", "site": "CR", "type": "01", "vial": "A", "kind": "TS",
    }  # fmt: skip
    assert barcode("TCGA-A2-A04R-01Z-00-DX1").preservation == "ffpe"
    assert barcode("TCGA-A2-A04R-01A-11R-A115-07").kind == "" == barcode("TCGA-A2-A04R-11B").preservation
    assert barcode("TCGA-A2-A04R") is None and barcode("GTEX-1117F-0126") is None
    assert tissue_name("TCGA-HNSC", "11") == "TCGA-HNSC normal" and tissue_name("X", "40") == "X type 40"


def test_slides_and_rna_of_one_case_and_type(download, capsys):
    """FFPE slides: two are of one case, of which two aliquots of one sample are there; 01 has RNA of 06 only."""
    assert download.run() == 0
    sheet = download.table("samplesheet.csv")
    assert sheet.to_numpy().tolist() == [
        ["TCGA-CR-7395-01Z-00-DX1", "TCGA-CR-7395", "TCGA-HNSC primary", download.slides[0], "TCGA-CR-7395-01A"],
        ["TCGA-CV-0001-01Z-00-DX1", "TCGA-CV-0001", "TCGA-HNSC primary", download.slides[2], "TCGA-CV-0001-01A"],
        ["TCGA-CV-0001-01Z-00-DX2", "TCGA-CV-0001", "TCGA-HNSC primary", download.slides[3], "TCGA-CV-0001-01A"],
    ]
    report = download.table("join_report.tsv").set_index("slide")
    assert len(report) == 8
    assert report.loc["TCGA-CR-7395-01Z-00-DX1", ["rule", "others"]].tolist() == ["case_and_type", "TCGA-CR-7395-01B"]
    dropped = download.table("tcga.dropped.tsv")
    assert dropped[dropped["kind"] == "slide"].set_index("id")["reason"].to_dict() == {
        "TCGA-CR-7395-01B-01-TS1": "a TS slide (frozen), not among those asked for",
        "TCGA-CR-7395-11A-01-BS1": "a BS slide (frozen), not among those asked for",
        "TCGA-CV-0002-01Z-00-DX1": "no RNA of sample type 01 (of its case there is 06)",
        "TCGA-ZZ-9999-01Z-00-DX1": "its case is in no sample sheet",
        "other": "no barcode of a TCGA slide",
    }
    assert dropped.loc[dropped["kind"] == "donor", "id"].tolist() == ["TCGA-CV-0002", "TCGA-ZZ-9999"]
    counts = pd.read_parquet(download.folder / "out" / "expression.parquet")
    # of two aliquots of one sample the first by file name
    assert counts.to_dict("list") == {
        "gene_id": ["ENSG1.5", "ENSG2.1"], "gene_name": ["A1", "B2"],
        "TCGA-CR-7395-01A": [10, 20], "TCGA-CV-0001-01A": [13, 23],
    }  # fmt: skip
    assert sample_names(download.folder / "out" / "expression.parquet") == ["TCGA-CR-7395-01A", "TCGA-CV-0001-01A"]
    told = capsys.readouterr().err
    assert "8 slides, 6 files of counts; 1 other files are not used" in told
    assert "1 further aliquots are not used, the first by file name counts: e.rna_seq" in told


def test_frozen_slides_take_the_rna_of_their_vial_and_types_never_mix(download):
    assert download.run("--slides", "frozen") == 0
    sheet = download.table("samplesheet.csv")
    assert sheet[["sample", "tissue", "rna_sample"]].to_numpy().tolist() == [
        ["TCGA-CR-7395-11A-01-BS1", "TCGA-HNSC normal", "TCGA-CR-7395-11A"],
        ["TCGA-CR-7395-01B-01-TS1", "TCGA-HNSC primary", "TCGA-CR-7395-01B"],
    ]
    assert set(download.table("join_report.tsv")["rule"]) == {"vial", ""}
    # with all slides a case and type still has one RNA sample, that of a frozen slide's vial
    assert download.run("--slides", "all") == 0
    sheet = download.table("samplesheet.csv").set_index("sample")
    assert sheet.loc["TCGA-CR-7395-01Z-00-DX1", "rna_sample"] == "TCGA-CR-7395-01B"
    assert (sheet.groupby(["donor", "tissue"])["rna_sample"].nunique() == 1).all()
    covariates = download.table("covariates.tsv").set_index("sample")
    assert covariates.loc["TCGA-CR-7395-01Z-00-DX1"].tolist() == ["TCGA-CR-7395", "CR", "ffpe"]
    assert covariates.loc["TCGA-CR-7395-01B-01-TS1"].tolist() == ["TCGA-CR-7395", "CR", "frozen"]


def test_clinical_table(download, capsys):
    """Two rows a case (treatments): what differs is left out, what agrees or is stated once stays."""
    download.more = [download.text("clinical.tsv", (
        "case_id\tcase_submitter_id\tproject_id\tgender\tage_at_index\ttreatment_type\tajcc_pathologic_stage\trace\tempty\n"
        "1\tTCGA-CR-7395\tTCGA-HNSC\tmale\t61\tA\tStage I\tnot reported\t'--\n"
        "1\tTCGA-CR-7395\tTCGA-HNSC\tmale\t61\tB\t'--\twhite\t'--\n"
    ))]  # fmt: skip
    assert download.run() == 0
    covariates = download.table("covariates.tsv").set_index("sample")
    assert covariates.loc["TCGA-CR-7395-01Z-00-DX1"].to_dict() == {
        "donor": "TCGA-CR-7395", "tissue_source_site": "CR", "preservation": "ffpe", "sex": "male", "age": "61",
        "ajcc_pathologic_stage": "Stage I", "race": "white",
    }  # fmt: skip
    assert covariates.loc["TCGA-CV-0001-01Z-00-DX1", "sex"] == ""
    told = capsys.readouterr().err
    assert "1 columns differ between rows of a case and are left out: treatment_type" in told
    assert "1 cases are not in the clinical table" in told
    newer = "cases.submitter_id\tdemographic.gender\tdemographic.age_at_index\nTCGA-CR-7395\tfemale\t50\n"
    assert read_clinical(download.text("new.tsv", newer)).loc["TCGA-CR-7395"].to_dict() == {
        "sex": "female",
        "age": "50",
    }


def test_newer_sheets_and_compressed_counts(download):
    """Columns by header, whatever their order and number; .tsv.gz counts; a pooled sample is passed over."""
    file = "g.rna_seq.augmented_star_gene_counts.tsv.gz"
    download.counts.append(download.text(f"ug/{file}", STAR.format(7, 8)))
    download.more = [download.text("sheet2.tsv", (
        "Sample ID\tTissue Type\tProject ID\tFile Name\tCase ID\n"
        f"TCGA-CV-0003-01A\tTumor\tTCGA-LUAD\t{file}\tTCGA-CV-0003\n"
        "TCGA-CV-0004-01A, TCGA-CV-0004-01B\tTumor\tTCGA-LUAD\tpooled.rna_seq.augmented_star_gene_counts.tsv\tx\n"
    ))]  # fmt: skip
    download.counts.append(download.text("p/pooled.rna_seq.augmented_star_gene_counts.tsv", STAR.format(1, 1)))
    download.slides.append("/d/s/u9/TCGA-CV-0003-01Z-00-DX1.HHHH.svs")
    assert download.run() == 0
    sheet = download.table("samplesheet.csv").set_index("sample")
    assert sheet.loc["TCGA-CV-0003-01Z-00-DX1", "tissue"] == "TCGA-LUAD primary"
    assert pd.read_parquet(download.folder / "out" / "expression.parquet")["TCGA-CV-0003-01A"].tolist() == [7, 8]


def test_faults_come_at_once(download, capsys):
    download.rows += download.rows.split("\n")[0].replace("TCGA-CR-7395-01A", "TCGA-CR-7395-01C") + "\n"
    download.more = [download.text(f"c{k}.tsv", "case_submitter_id\tx\nTCGA-CR-7395\t1\n") for k in (1, 2)]
    assert download.run() == 65
    told = capsys.readouterr().err
    assert "file a.rna_seq.augmented_star_gene_counts.tsv stands there with samples TCGA-CR-7395-01A" in told
    assert "c1.tsv and " in told and "both are clinical tables" in told


def test_counts_that_cannot_be_read_or_differ_in_genes(download, capsys):
    Path(download.counts[0]).write_text("hello\n")
    Path(download.counts[4]).write_text(STAR.format(1, 2).replace("ENSG2.1", "ENSG3.1"))
    Path(download.counts[3]).write_text(STAR.format("x", 2))
    download.slides.append("/d/s/TCGA-CV-0002-06Z-00-DX1.svs")
    assert download.run() == 65
    told = capsys.readouterr().err
    assert "a.rna_seq.augmented_star_gene_counts.tsv: no file of STAR counts" in told
    assert "d.rna_seq.augmented_star_gene_counts.tsv and " in told  # the first that can be read sets the genes
    assert "f.rna_seq.augmented_star_gene_counts.tsv: their genes differ" in told
    with pytest.raises(Exception, match="'x' is no count"):
        star_counts(download.counts[3])
    assert not list((download.folder / "out").iterdir()), "no scratch file stays"


def test_no_sheet_and_no_slide(download, capsys):
    tables = [download.text("t.tsv", "a\tb\n")]
    found = download.text("found.txt", "")
    assert main(["--tables", *tables, "--counts", *download.counts, "--found", found]) == 65
    told = capsys.readouterr().err
    assert "no sample sheet among the tables" in told and "not used: t.tsv" in told
    download.slides = ["/d/TCGA-CV-0002-01Z-00-DX1.svs"]
    assert download.run() == 65
    assert "no slide has RNA (no RNA of sample type 01 (of its case there is 06))" in capsys.readouterr().err


def test_counts_of_many_genes_are_written_block_by_block(tmp_path, monkeypatch):
    """Values against a table read by pandas, with blocks smaller than the table."""
    import prepare_tcga

    monkeypatch.setattr(prepare_tcga, "GENES_AT_A_TIME", 7)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**40, (50, 3))
    head = STAR.split("ENSG1")[0]
    paths = []
    for k in range(3):
        rows = "".join(f"ENSG{g}.1\tG{g}\tx\t{v}\t0\t0\t0\n" for g, v in enumerate(values[:, k]))
        paths.append(str(tmp_path / f"{k}.tsv"))
        Path(paths[-1]).write_text(head + rows)
    write_counts(["A", "B", "C"], paths, tmp_path / "e.parquet")
    table = pd.read_parquet(tmp_path / "e.parquet")
    np.testing.assert_array_equal(table[["A", "B", "C"]], values)
    assert table["gene_id"].tolist() == [f"ENSG{g}.1" for g in range(50)]


def test_real_slide_name(real_data):
    (slide,) = (real_data / "slides").glob("TCGA-*.svs")
    code = barcode(slide.name)
    assert (code.case, code.type, code.vial, code.preservation) == ("TCGA-CR-7395", "01", "A", "frozen")
