"""GTEx files as downloaded to a samplesheet: joins, conflicts, aliquots, covariates."""

import csv
import gzip
from pathlib import Path

import pandas as pd
import pytest
from test_check_cohort import MATCHED

from check_cohort import main as check_cohort
from hx_gtex_join import losses
from hx_gtex_slides import FOLDERS, TISSUES, folder_tissue, slide_name
from hx_gtex_tables import midpoint
from hx_io import read_table
from hx_join import tissue_id
from prepare_gtex import main

GCT = "#1.2\n1\t{n}\nName\tDescription\t{names}\nENSG1.1\tG1\t{values}\n"
SUBJECTS = "SUBJID\tSEX\tAGE\tDTHHRDY\nGTEX-A1AA\t1\t60-69\t0\nGTEX-B2BB\t2\t20-29\t\nGTEX-C3CC\t2\t70-79\t4\n"


class Download:
    """GTEx files in a folder, and prepare_gtex on them; lists are named one by one, or lie in the folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rna = [f"GTEX-{d}-{p}-SM-{a}" for d, p, a in (
            ("A1AA", "0126", "1"), ("A1AA", "0126", "2"), ("A1AA", "0326", "3"), ("B2BB", "0126", "4"),
            ("C3CC", "0126", "5"), ("C3CC", "0526", "6"),
        )] + ["K-562-SM-7", "GTEX-A1AA-0011-R10a-SM-8"]  # fmt: skip
        self.lists = [
            self.text("portal.csv", 'Tissue Sample ID,Tissue,Pathology Notes\nGTEX-A1AA-0126,Lung,"2 pieces, ""x"\n'),
            self.text("seed.txt", "GTEX-B2BB-0125 Lung\nGTEX-C3CC-0126 Artery - Tibial\n"),
        ]
        self.subjects = self.text("subjects.txt", SUBJECTS)
        self.attributes = None
        self.more: list[str] = []

    def text(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def gct(self, name: str = "x.gct") -> str:
        names, values = "\t".join(self.rna), "\t".join("1" for _ in self.rna)
        return self.text(name, GCT.format(n=len(self.rna), names=names, values=values))

    def run(self, *options: str) -> int:
        files = [self.gct(), self.subjects, *self.more, *([self.attributes] if self.attributes else [])]
        lists = ["--slides", *self.lists] if self.lists else []
        return main(["--files", *files, *lists, *options, "--outdir", str(self.folder / "out")])

    def found(self, *paths: str) -> tuple[str, str]:
        """Slide files that the folder holds: option --found; no list says which slides to use."""
        self.lists = []
        return "--found", self.text("found.txt", "".join(f"{path}\n" for path in paths))

    def attributes_of(self, **columns: list[str]) -> None:
        """SampleAttributesDS of the RNA samples; SMTSD is Lung unless it is given."""
        table = pd.DataFrame({"SAMPID": self.rna, "SMTSD": "Lung", "SMAFRZE": "RNASEQ", **columns})
        self.attributes = self.text("attributes.txt", table.to_csv(sep="\t", index=False, quoting=3))

    def table(self, name: str) -> pd.DataFrame:
        return read_table(self.folder / "out" / name)


@pytest.fixture
def download(tmp_path):
    return Download(tmp_path)


def check_accounts(report: pd.DataFrame, sheet: pd.DataFrame, dropped: pd.DataFrame, listed: int) -> None:
    """Every listed row is kept or dropped, and says why; every donor x tissue is in the sheet or dropped."""
    assert len(report) == listed == len(sheet) + (dropped["kind"] == "slide").sum()
    assert ((report["status"] == "kept") == (report["reason"] == "")).all()
    assert sorted(report.loc[report["status"] == "kept", "slide"]) == sorted(sheet["sample"])
    pairs = report[report["SUBJID"] != ""].drop_duplicates(["SUBJID", "tissue"])
    kept = sheet.drop_duplicates(["donor", "tissue"])
    assert len(pairs) == len(kept) + (dropped["kind"] == "donor").sum()
    assert (sheet.groupby(["donor", "tissue"])["rna_sample"].nunique() == 1).all()


def test_lists_are_joined_by_piece(download):
    assert download.run() == 0
    sheet, report = download.table("samplesheet.csv"), download.table("join_report.tsv")
    assert list(sheet.columns) == ["sample", "donor", "tissue", "slide", "rna_sample"]
    assert sheet.to_numpy().tolist() == [
        ["GTEX-C3CC-0126", "GTEX-C3CC", "Artery - Tibial", "slides/GTEX-C3CC-0126.svs", "GTEX-C3CC-0126-SM-5"],
        ["GTEX-A1AA-0126", "GTEX-A1AA", "Lung", "slides/GTEX-A1AA-0126.svs", "GTEX-A1AA-0126-SM-1"],
        ["GTEX-B2BB-0125", "GTEX-B2BB", "Lung", "slides/GTEX-B2BB-0125.svs", "GTEX-B2BB-0126-SM-4"],
    ]
    assert report["rule"].tolist() == ["piece", "piece_5_to_6", "piece"]
    assert report["key"].tolist() == ["GTEX-A1AA-0126", "GTEX-B2BB-0126", "GTEX-C3CC-0126"]
    assert report["others"].tolist() == ["GTEX-A1AA-0126-SM-2", "", ""]
    assert report[["file", "row"]].to_numpy().tolist() == [["portal.csv", "2"], ["seed.txt", "1"], ["seed.txt", "2"]]
    covariates = download.table("covariates.tsv")
    assert covariates.to_numpy().tolist() == [
        ["GTEX-A1AA", "male", "64.5", "0"], ["GTEX-B2BB", "female", "24.5", ""], ["GTEX-C3CC", "female", "74.5", "4"],
    ]  # fmt: skip


def test_losses_are_listed(download):
    download.lists.append(download.text(
        "nuclear.tsv",
        "tissue\tImage\tarea\nLung\tGTEX-A1AA-0126.svs\t1\nLung\tGTEX-A1AA-0926\t1\nLiver\tGTEX-C3CC-0525\t1\n"
        "Testis\tGTEX-C3CC-0526\t1\nLung\tK-562\t1\n\tGTEX-B2BB-0526\t1\nBrain\tGTEX-A1AA-0011\t1\n",
    ))  # fmt: skip
    assert download.run() == 0
    sheet, report, dropped = (download.table(n) for n in ("samplesheet.csv", "join_report.tsv", "gtex.dropped.tsv"))
    check_accounts(report, sheet, dropped, listed=10)
    slides = dropped[dropped["kind"] == "slide"].set_index("id")["reason"].to_dict()
    conflict = "tissue conflict: this piece is listed as Liver and as Testis"
    assert slides == {
        "GTEX-A1AA-0126": "listed before",
        "GTEX-A1AA-0926": "no RNA sample of this piece",
        "GTEX-C3CC-0525": conflict,
        "GTEX-C3CC-0526": conflict,
        "K-562": "no GTEx slide id (GTEX-donor-piece)",
        "GTEX-B2BB-0526": "no tissue",
        "GTEX-A1AA-0011": "no RNA sample of this piece",
    }
    assert (dropped["stage"] == "prepare_gtex").all()
    assert len(sheet) == 3


def test_attributes_decide_between_aliquots_and_tissues(download):
    rin, notes = ("6.1", "8.2", "9.0", "7.0", "7.7", "", "", ""), ['2 pieces, "clean', *"bcdefgh"]
    lines = zip(download.rna, rin, ["Lung"] * 8, notes, map(str, range(8)), strict=True)
    rows = "".join("\t".join(line) + "\n" for line in lines)
    download.attributes = download.text("attributes.txt", "SAMPID\tSMRIN\tSMTSD\tSMPTHNTS\tSMTSISCH\n" + rows)
    download.lists.append(download.text("more.txt", "GTEX-A1AA-0326 Lung\n"))
    assert download.run() == 0
    sheet = download.table("samplesheet.csv")
    # one RNA sample a donor and tissue, that of best RIN, for both slides of the donor
    assert sheet["rna_sample"].tolist() == ["GTEX-A1AA-0326-SM-3", "GTEX-A1AA-0326-SM-3", "GTEX-B2BB-0126-SM-4"]
    report = download.table("join_report.tsv").set_index("slide")
    assert report.loc["GTEX-A1AA-0126", "others"] == "GTEX-A1AA-0126-SM-1;GTEX-A1AA-0126-SM-2"
    assert report.loc["GTEX-C3CC-0126", "reason"].startswith("tissue conflict: slide Artery - Tibial, RNA sample")
    covariates = download.table("covariates.tsv")
    assert list(covariates.columns) == ["sample", "donor", "sex", "age", "hardy", "SMRIN", "SMTSISCH"]
    assert covariates.iloc[0].tolist() == ["GTEX-A1AA-0126", "GTEX-A1AA", "male", "64.5", "0", "9.0", "2"]


def test_slide_names_and_ages():
    assert slide_name("AdiposeTissue/GTEX-N7MS-0325.svs") == "GTEX-N7MS-0325"
    assert slide_name("GTEX-N7MS-0325_2.svs") == "GTEX-N7MS-0325"
    assert slide_name("TCGA-A2-A04R") == ""
    assert [midpoint(age) for age in ("60-69", "61-70", "33", "")] == ["64.5", "65.5", "33", ""]


def test_subjects_of_older_releases_and_donors_that_are_absent(download, capsys):
    download.subjects = download.text("subjects.txt", "SUBJID\tGENDER\tAGE\tDTHHRDY\nGTEX-A1AA\tfemale\t64\t2\n")
    assert download.run() == 0
    assert "2 donors are not in the subject phenotypes" in capsys.readouterr().err
    assert download.table("covariates.tsv").iloc[0].tolist() == ["GTEX-A1AA", "female", "64", "2"]


def test_faults_come_at_once(download, capsys):
    download.subjects = download.text("s.txt", SUBJECTS.replace("20-29", "old") + "GTEX-A1AA\t3\t60-69\t7\n")
    download.attributes = download.text("a.txt", "SAMPID\tSMTSD\nGTEX-A1AA-0126-SM-1\tx\nGTEX-A1AA-0126-SM-1\ty\n")
    download.lists += [download.text("bad.txt", "GTEX-A1AA-0126\n"), download.text("bad.csv", "a,b\n1,2\n"),
                       download.text("half.csv", "Image,b\nGTEX-A1AA-0126,2\n")]  # fmt: skip
    assert download.run() == 65
    told = capsys.readouterr().err
    for expected in (
        "s.txt, row 3: AGE 'old' is no value GTEx knows",
        "s.txt, row 5: SEX '3' is no value GTEx knows",
        "s.txt, row 5: DTHHRDY '7' is no value GTEx knows",
        "s.txt, rows 2, 5: GTEX-A1AA stands more than once",
        "a.txt, rows 2, 3: GTEX-A1AA-0126-SM-1 stands more than once",
        "bad.txt, row 1: GTEX-A1AA-0126 has no tissue",
        "bad.csv, row 1: no column sample or donor among a, b",
        "half.csv, row 1: no column of tissues",
    ):
        assert expected in told, expected
    download.subjects = download.text("s.txt", "SUBJID\tAGE\nGTEX-A1AA\t1\n")
    assert download.run() == 65
    assert "s.txt, row 1: no column of sex, hardy" in capsys.readouterr().err


def test_no_slide_with_rna(download, capsys):
    download.lists = [download.text("seed.txt", "GTEX-Z9ZZ-0126 Lung\n")]
    assert download.run() == 65
    told = capsys.readouterr().err
    assert "no slide has an RNA sample (no RNA sample of this piece): slides are GTEX-Z9ZZ-0126, expression" in told


def test_what_a_join_cannot_do_without_is_asked_for_at_once(download, capsys):
    portal = download.text("portal.csv", "Tissue Sample ID,Tissue,Pathology Notes\n")
    assert main(["--files", download.text("x.txt", "hello"), "--donor-tissue", "--outdir", str(download.folder)]) == 65
    told = capsys.readouterr().err
    for expected in ("none is an expression file", "none tells donors", "none names slides", "needs the tissue of RNA"):
        assert expected in told, expected
    assert main(["--files", portal, "--outdir", str(download.folder)]) == 65
    told = capsys.readouterr().err
    assert "none is an expression file" in told and "none tells donors" not in told and "names slides" not in told


# slides in a folder


def test_folders_name_tissues():
    assert len(set(TISSUES)) == len(TISSUES) == 40 and set(FOLDERS.values()) <= set(TISSUES)
    for tissue in TISSUES:
        assert folder_tissue(f"a/{tissue_id(tissue)}/GTEX-A1AA-0126.svs") == tissue
    assert folder_tissue("s3://lung/slides/SuprapubicSkin/GTEX-A1AA-0125.svs") == "Skin - Not Sun Exposed (Suprapubic)"
    assert folder_tissue("/data/lung/slides/GTEX-A1AA-0126.svs") == "" == folder_tissue("GTEX-A1AA-0126.svs")


def test_slide_files_take_their_tissue_from_folder_list_table_or_rna(download, capsys):
    portal = 'Tissue Sample ID,Tissue,Subject ID,Pathology Notes\nGTEX-B2BB-0126,Spleen,GTEX-B2BB,"x, y"\n'
    download.more = [
        download.text("portal.csv", portal),
        download.text("mine.txt", "GTEX-A1AA-0326 Liver\nGTEX-Z9ZZ-0126 Lung\n"),
    ]
    download.attributes_of(SMTSD=["Lung", "Lung", "Liver", "Spleen", "Testis", "Testis", "", ""])
    found = download.found(
        *("/d/slides/Lung/GTEX-A1AA-0126.svs", "/d/slides/GTEX-A1AA-0326.svs", "/d/slides/GTEX-B2BB-0125.svs"),
        *("/d/slides/GTEX-C3CC-0526.tiff", "/d/slides/dicom/1.dcm", "/d/genotypes.vcf.gz"),
        *("/d/slides/copy/GTEX-C3CC-0526.svs", "/d/slides/Heart/GTEX-C3CC-0126.svs", "/d/slides/GTEX-A1AA-0011.svs"),
    )
    assert download.run(*found) == 0
    report = download.table("join_report.tsv").set_index("slide")
    assert report["tissue_from"].groupby(level=0).first().to_dict() == {
        "GTEX-A1AA-0126": "folder", "GTEX-A1AA-0326": "list", "GTEX-B2BB-0125": "histology table",
        "GTEX-C3CC-0526": "RNA", "GTEX-C3CC-0126": "folder", "GTEX-A1AA-0011": "", "GTEX-Z9ZZ-0126": "list",
    }  # fmt: skip
    sheet = download.table("samplesheet.csv").set_index("sample")
    assert sheet["slide"].to_dict() == {
        "GTEX-A1AA-0126": "/d/slides/Lung/GTEX-A1AA-0126.svs",
        "GTEX-A1AA-0326": "/d/slides/GTEX-A1AA-0326.svs",
        "GTEX-B2BB-0125": "/d/slides/GTEX-B2BB-0125.svs",
        "GTEX-C3CC-0526": "/d/slides/GTEX-C3CC-0526.tiff",
    }
    dropped = download.table("gtex.dropped.tsv")
    assert dropped[dropped["kind"] == "slide"].groupby("id")["reason"].agg(list).to_dict() == {
        "GTEX-A1AA-0011": ["no tissue"],
        "GTEX-C3CC-0126": ["tissue conflict: slide Heart - Left Ventricle, RNA sample GTEX-C3CC-0126-SM-5 Testis"],
        "GTEX-C3CC-0526": ["listed before"],
        "GTEX-Z9ZZ-0126": ["no file of this slide among the slides"],
    }
    told = capsys.readouterr().err
    assert "not used: genotypes.vcf.gz: neither a slide nor a table" in told and "not used: 1.dcm" in told
    # the pathologist's row of the sibling block speaks for the slide ending in 5
    annotations = download.table("annotations.tsv")
    assert annotations[["sample", "annotated_slide"]].to_numpy().tolist() == [["GTEX-B2BB-0125", "GTEX-B2BB-0126"]]
    roles = download.table("gtex_files.tsv").set_index("file")["role"].to_dict()
    assert roles == {"x.gct": "expression", "subjects.txt": "subject phenotypes", "portal.csv": "histology table",
                     "mine.txt": "slide list", "attributes.txt": "sample attributes"}  # fmt: skip


def test_folder_and_list_that_disagree_are_a_conflict(download):
    download.more = [download.text("mine.txt", "GTEX-B2BB-0126 Liver\n")]
    assert download.run(*download.found("/d/Lung/GTEX-B2BB-0125.svs", "/d/Lung/GTEX-A1AA-0126.svs")) == 0
    report = download.table("join_report.tsv").set_index("slide")
    assert report.loc["GTEX-B2BB-0125", "reason"] == "tissue conflict: this piece is listed as Liver and as Lung"
    assert download.table("samplesheet.csv")["sample"].tolist() == ["GTEX-A1AA-0126"]


def test_two_slides_of_a_piece_stay_slides_of_one_donor(download, capsys):
    assert download.run(*download.found("/d/Lung/GTEX-B2BB-0125.svs", "/d/Lung/GTEX-B2BB-0126.svs")) == 0
    sheet, report = download.table("samplesheet.csv"), download.table("join_report.tsv")
    assert sheet["sample"].tolist() == ["GTEX-B2BB-0125", "GTEX-B2BB-0126"] and sheet["rna_sample"].nunique() == 1
    assert report["siblings"].tolist() == ["GTEX-B2BB-0126", "GTEX-B2BB-0125"]
    told = capsys.readouterr().err
    assert "1 pieces have several slides (2), all kept as slides of one donor and tissue" in told


# what the attributes of a release say


def test_excluded_samples_are_no_candidates(download):
    download.attributes_of(
        SMAFRZE=["RNASEQ", "EXCLUDE", "RNASEQ", "EXCLUDE", *["RNASEQ"] * 4], SMRIN=["5", "9"] + [""] * 6
    )
    download.lists = [download.text("l.txt", "GTEX-A1AA-0126 Lung\nGTEX-B2BB-0126 Lung\n")]
    assert download.run() == 0
    report = download.table("join_report.tsv").set_index("slide")
    assert report.loc["GTEX-A1AA-0126", "SAMPID"] == "GTEX-A1AA-0126-SM-1"
    assert report.loc["GTEX-B2BB-0126", "reason"] == (
        "its RNA sample GTEX-B2BB-0126-SM-4 is not used: not in the RNA-seq freeze (SMAFRZE EXCLUDE)"
    )


def test_ids_with_dots_are_those_with_dashes(download):
    download.attributes_of(SMRIN=["6.1", "8.2", "", "7.0", "", "", "", ""])
    download.rna = [name.replace("-", ".") for name in download.rna]
    download.subjects = download.text("subjects.txt", SUBJECTS.replace("GTEX-", "GTEX."))
    download.lists = [download.text("l.txt", "GTEX.A1AA.0126 Lung\nGTEX-B2BB-0125.svs Lung\n")]
    assert download.run() == 0
    sheet = download.table("samplesheet.csv")
    assert sheet[["sample", "donor", "rna_sample"]].to_numpy().tolist() == [
        ["GTEX-A1AA-0126", "GTEX-A1AA", "GTEX-A1AA-0126-SM-2"], ["GTEX-B2BB-0125", "GTEX-B2BB", "GTEX-B2BB-0126-SM-4"],
    ]  # fmt: skip
    covariates = download.table("covariates.tsv")
    assert covariates[["sex", "SMRIN"]].to_numpy().tolist() == [["male", "8.2"], ["female", "7.0"]]


def test_newest_tissue_label_wins_and_changes_are_listed(download, capsys):
    """A1AA: relabelled to Liver. B2BB: listed as changed, but the attributes still bear the label of v8."""
    download.attributes_of(SMTSD=["Liver", "Liver", "Lung", "Lung", *["Lung"] * 4])
    changed = ("GTEX-A1AA-0126-SM-1", "GTEX.A1AA.0126.SM.2", "GTEX-B2BB-0126-SM-4")
    rows = "".join(f"{name}\tLung\n" for name in changed)
    download.more = [download.text("changes.txt", f"SAMPID\tSMTSD_V8\n{rows}")]
    lists = "GTEX-A1AA-0126 {}\nGTEX-B2BB-0126 Lung\nGTEX-C3CC-0126 Lung\n"
    download.lists = [download.text("l.txt", lists.format("Lung"))]
    assert download.run() == 0
    report = download.table("join_report.tsv").set_index("slide")
    assert report.loc["GTEX-A1AA-0126", "reason"] == (
        "tissue conflict: slide Lung, RNA sample GTEX-A1AA-0126-SM-1, GTEX-A1AA-0126-SM-2 Liver (in v8 Lung)"
    )
    assert report.loc["GTEX-B2BB-0126", "reason"] == (
        "its RNA sample GTEX-B2BB-0126-SM-4 is not used: relabelled after v8 (there Lung), "
        "the newest label is not at hand"
    )
    assert report.loc["GTEX-C3CC-0126", ["status", "SMTSD_V8"]].tolist() == ["kept", ""]
    told = capsys.readouterr().err
    assert "GTEX-A1AA-0126-SM-1: Lung in v8, now Liver" in told
    download.lists = [download.text("l.txt", lists.format("Liver"))]
    assert download.run() == 0
    report = download.table("join_report.tsv").set_index("slide")
    assert report.loc["GTEX-A1AA-0126", ["status", "SMTSD", "SMTSD_V8"]].tolist() == ["kept", "Liver", "Lung"]


def test_donor_and_tissue_join_only_when_asked_and_only_one_to_one(download, capsys):
    """A1AA: one slide without RNA of its piece and one Liver sample. C3CC: two Lung samples. B2BB: two slides."""
    download.attributes_of(SMTSD=["Lung", "Lung", "Liver", "Spleen", "Lung", "Lung", "", ""])
    download.lists = [download.text("l.txt", (
        "GTEX-A1AA-0926 Liver\nGTEX-A1AA-0126 Lung\nGTEX-C3CC-0926 Lung\nGTEX-B2BB-0926 Spleen\nGTEX-B2BB-0826 Spleen\n"
    ))]  # fmt: skip
    assert download.run() == 0
    assert download.table("samplesheet.csv")["sample"].tolist() == ["GTEX-A1AA-0126"]
    assert download.run("--donor-tissue") == 0
    report = download.table("join_report.tsv").set_index("slide")
    assert report["rule"].to_dict() == {
        "GTEX-A1AA-0926": "donor_tissue", "GTEX-A1AA-0126": "piece", "GTEX-C3CC-0926": "", "GTEX-B2BB-0926": "",
        "GTEX-B2BB-0826": "",
    }  # fmt: skip
    assert report.loc["GTEX-A1AA-0926", "SAMPID"] == "GTEX-A1AA-0326-SM-3"
    assert (report.loc[report["rule"] == "", "reason"] == "no RNA sample of this piece").all()
    told = capsys.readouterr().err
    assert "joined by donor_tissue: 1 slides of 1 donors" in told
    assert "joined by piece: 1 slides of 1 donors" in told


def test_dbgap_phenotypes_are_carried_and_columns_do_not_stand_twice(download):
    download.subjects = download.text(
        "phs000424.txt",
        "# c\n##\tphv\ndbGaP_Subject_ID\tSUBJID\tSEX\tAGE\tBMI\tSMRIN\tDTHHRDY\n1\tGTEX-A1AA\t1\t61\t24.4\t3\t2\n",
    )
    download.attributes_of(SMRIN=["6.1", "8.2", *[""] * 6], dbGaP_Sample_ID="x")
    assert download.run() == 0
    covariates = download.table("covariates.tsv").set_index("sample")
    assert covariates.loc["GTEX-A1AA-0126"].tolist() == ["GTEX-A1AA", "male", "61", "2", "24.4", "3"]
    assert list(covariates.columns) == ["donor", "sex", "age", "hardy", "BMI", "SMRIN"]


def test_real_slide_lists(real_data, tmp_path):
    gtex = real_data / "gtex"
    (expression,), (subjects,) = gtex.glob("*.gct.gz"), gtex.glob("*SubjectPhenotypesDS.txt")
    given = ["--files", str(expression), str(subjects)]

    def prepared(name: str, lists: list[Path]) -> tuple[pd.DataFrame, ...]:
        folder = tmp_path / name
        assert main([*given, "--slides", *map(str, lists), "--outdir", str(folder)]) == 0
        return tuple(read_table(folder / n) for n in ("join_report.tsv", "samplesheet.csv", "gtex.dropped.tsv"))

    nuclear = sorted((gtex / "nuclear_features").glob("*.tsv"))
    report, sheet, dropped = prepared("nuclear", nuclear)
    check_accounts(report, sheet, dropped, listed=5106)
    assert sorted(sheet.groupby("tissue")["donor"].nunique()) == sorted(MATCHED.values())
    assert losses(report).equals(dropped)
    ages = read_table(tmp_path / "nuclear" / "covariates.tsv")
    assert set(ages["age"]) == {"24.5", "34.5", "44.5", "54.5", "64.5", "74.5"}
    assert set(ages["sex"]) == {"male", "female"}

    sheet_path = str(tmp_path / "nuclear" / "samplesheet.csv")
    more = ["--samplesheet", sheet_path, "--features", *map(str, nuclear), "--expression", str(expression)]
    more += ["--covariates", str(tmp_path / "nuclear" / "covariates.tsv"), "--expression-unit", "counts"]
    assert check_cohort([*more, "--outdir", str(tmp_path)]) == 0
    cohort = read_table(tmp_path / "cohort.tsv")
    assert cohort["tissue_id"].value_counts().to_dict() == MATCHED
    assert list(cohort.columns[-3:]) == ["sex", "age", "hardy"]

    # facts of the data, counted in plain Python on the files alone
    with gzip.open(expression, "rt") as handle:
        header = next(line for number, line in enumerate(handle) if number == 2)
    pieces = {"-".join(name.split("-")[:3]) for name in header.split("\t")}
    siblings = {f"{piece[:-1]}5" for piece in pieces if piece.endswith("6")}
    counted = {}
    for line in (gtex / "seed_slide_list.txt").read_text().splitlines():
        slide, tissue = line.split(" ", 1)
        counted[tissue] = counted.get(tissue, 0) + (slide in pieces or slide in siblings)
    report, sheet, dropped = prepared("seed", [gtex / "seed_slide_list.txt"])
    check_accounts(report, sheet, dropped, listed=2134)
    assert len(sheet) == 2011
    assert sheet["tissue"].value_counts().to_dict() == counted == {
        "Artery - Tibial": 337, "Lung": 318, "Heart - Left Ventricle": 233, "Breast - Mammary Tissue": 210,
        "Stomach": 193, "Testis": 184, "Pancreas": 183, "Liver": 129, "Brain - Cerebellum": 125, "Ovary": 99,
    }  # fmt: skip

    report, sheet, dropped = prepared("portal", [gtex / "GTEx_portal_histology_265.csv"])
    check_accounts(report, sheet, dropped, listed=265)
    assert set(sheet["sample"]) == set(report["slide"]) & (pieces | siblings)
    assert len(sheet) == 130 and (report["rule"] == "piece_5_to_6").sum() == 1


def test_real_folder_in_one_go(real_data, tmp_path, capsys):
    """All files of the folder: the list says which slides, the histology table what pathologists saw on them."""
    gtex = real_data / "gtex"
    files = sorted(str(path) for path in gtex.iterdir() if path.is_file())
    assert main(["--files", *files, "--outdir", str(tmp_path)]) == 0
    roles = read_table(tmp_path / "gtex_files.tsv")["role"].tolist()
    assert sorted(roles) == ["expression", "histology table", "slide list", "subject phenotypes"]
    sheet, annotations = read_table(tmp_path / "samplesheet.csv"), read_table(tmp_path / "annotations.tsv")
    assert len(sheet) == 2011
    with open(gtex / "GTEx_portal_histology_265.csv", newline="", encoding="utf-8") as handle:
        seen = {row["Tissue Sample ID"]: row["Pathology Categories"] for row in csv.DictReader(handle)}
    both = sorted(set(seen) & set(sheet["sample"]))
    assert annotations["sample"].tolist() == both and len(both) == 72
    fibrosis = annotations.set_index("sample")["category_fibrosis"].to_dict()
    assert fibrosis == {s: "" if not seen[s] else str(int("fibrosis" in seen[s].split(", "))) for s in both}
    # donors of both tables agree in sex, age and Hardy scale, written as words in the one and as codes in the other
    assert "differs between subject phenotypes" not in capsys.readouterr().err
