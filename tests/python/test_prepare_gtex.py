"""GTEx files as downloaded to a samplesheet: joins, conflicts, aliquots, covariates."""

import gzip
from pathlib import Path

import pandas as pd
import pytest
from test_check_cohort import MATCHED

from check_cohort import main as check_cohort
from hx_io import read_table
from prepare_gtex import losses, main, midpoint, slide_list, slide_name

GCT = "#1.2\n1\t{n}\nName\tDescription\t{names}\nENSG1.1\tG1\t{values}\n"
SUBJECTS = "SUBJID\tSEX\tAGE\tDTHHRDY\nGTEX-A1AA\t1\t60-69\t0\nGTEX-B2BB\t2\t20-29\t\nGTEX-C3CC\t2\t70-79\t4\n"


class Download:
    """GTEx files in a folder, and prepare_gtex on them."""

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

    def text(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def run(self) -> int:
        names, values = "\t".join(self.rna), "\t".join("1" for _ in self.rna)
        given = ["--expression", self.text("x.gct", GCT.format(n=len(self.rna), names=names, values=values))]
        more = ["--attributes", self.attributes] if self.attributes else []
        out = ["--outdir", str(self.folder / "out")]
        return main([*given, "--subjects", self.subjects, *more, "--slides", *self.lists, *out])

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
    conflict = "tissue conflict: the slide lists give this piece two tissues"
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
    download.attributes = download.text("a.txt", "SUBJID\tSMRIN\nx\t1\n")
    download.lists += [download.text("bad.txt", "GTEX-A1AA-0126\n"), download.text("bad.csv", "a,b\n1,2\n"),
                       download.text("half.csv", "Image,b\nGTEX-A1AA-0126,2\n")]  # fmt: skip
    assert download.run() == 65
    told = capsys.readouterr().err
    for expected in (
        "s.txt, row 3: AGE 'old' is no value GTEx knows",
        "s.txt, row 5: SEX '3' is no value GTEx knows",
        "s.txt, row 5: DTHHRDY '7' is no value GTEx knows",
        "s.txt, rows 2, 5: GTEX-A1AA stands more than once",
        "a.txt, row 1: no column SAMPID",
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
    assert "slides are GTEX-Z9ZZ-0126, expression columns GTEX-A1AA-0126-SM-1" in capsys.readouterr().err


def test_real_slide_lists(real_data, tmp_path):
    gtex = real_data / "gtex"
    (expression,), (subjects,) = gtex.glob("*.gct.gz"), gtex.glob("*SubjectPhenotypesDS.txt")
    given = ["--expression", str(expression), "--subjects", str(subjects)]

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

    # facts of the data, counted by set operations on the files alone
    header = gzip.decompress(expression.read_bytes()).decode().split("\n")[2]
    pieces = {"-".join(name.split("-")[:3]) for name in header.split("\t")}
    siblings = {f"{piece[:-1]}5" for piece in pieces if piece.endswith("6")}
    seed = slide_list(str(gtex / "seed_slide_list.txt"))
    expected = seed[seed["sample"].isin(pieces | siblings)]["tissue"].value_counts().to_dict()
    report, sheet, dropped = prepared("seed", [gtex / "seed_slide_list.txt"])
    check_accounts(report, sheet, dropped, listed=2134)
    assert sheet["tissue"].value_counts().to_dict() == expected == {
        "Artery - Tibial": 337, "Lung": 318, "Heart - Left Ventricle": 233, "Breast - Mammary Tissue": 210,
        "Stomach": 193, "Testis": 184, "Pancreas": 183, "Liver": 129, "Brain - Cerebellum": 125, "Ovary": 99,
    }  # fmt: skip

    report, sheet, dropped = prepared("portal", [gtex / "GTEx_portal_histology_265.csv"])
    check_accounts(report, sheet, dropped, listed=265)
    assert set(sheet["sample"]) == set(report["slide"]) & (pieces | siblings)
    assert len(sheet) == 130 and (report["rule"] == "piece_5_to_6").sum() == 1
