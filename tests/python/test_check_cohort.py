"""CHECK_COHORT: who is analysed, every loss listed, every fault at once."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from check_cohort import main
from hx_io import read_table

MATCHED = {
    "Esophagus_Muscularis": 460,
    "Heart_Atrial_Appendage": 427,
    "Muscle_Skeletal": 797,
    "Nerve_Tibial": 615,
    "Skin_Not_Sun_Exposed_Suprapubic": 601,
    "Thyroid": 650,
}


class Cohort:
    """A small cohort on disk: donors x 2 tissues, RNA samples R<sample>; tests change `sheet` and `columns`."""

    def __init__(self, folder: Path, donors: int = 10):
        self.folder = folder
        self.sheet = pd.DataFrame([
            {"sample": f"{t[:2]}{i:02d}", "donor": f"D{i:02d}", "tissue": t, "slide": f"{t[:2]}{i:02d}.tif",
             "rna_sample": f"R{t[:2]}{i:02d}"}
            for t in ("Lung", "Artery - Tibial") for i in range(donors)
        ])  # fmt: skip
        self.columns = [*self.sheet["rna_sample"], "Rother"]
        self.unit = "tpm"
        self.values = None

    def text(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def expression(self) -> str:
        values = self.values
        if values is None:
            values = np.random.default_rng(1).gamma(1.0, 9.0, size=(4, len(self.columns)))
        table = pd.DataFrame(values, columns=self.columns, index=[f"g{i}" for i in range(len(values))])
        return self.text("expression.tsv", table.rename_axis("gene").to_csv(sep="\t"))

    def run(self, *more: str, sheet: bool = True) -> int:
        with_sheet = ["--samplesheet", self.text("sheet.csv", self.sheet.to_csv(index=False))] if sheet else []
        out = ["--outdir", str(self.folder / "out")]
        return main([*with_sheet, "--expression", self.expression(), "--expression-unit", self.unit, *more, *out])

    def table(self, name: str) -> pd.DataFrame:
        return read_table(self.folder / "out" / f"{name}.tsv")

    def dropped(self, kind: str) -> dict[str, str]:
        table = self.table("dropped")
        assert (table["stage"] == "check_cohort").all()
        return dict(table.loc[table["kind"] == kind, ["id", "reason"]].to_numpy())

    def check_accounts(self, tissues: int = 2) -> None:
        """Nothing is lost and nothing is told twice: in = kept + dropped, of every kind."""
        slides, cohort, dropped = (self.table(name) for name in ("slides", "cohort", "dropped"))
        gone = {kind: part["id"].tolist() for kind, part in dropped.groupby("kind")}
        slides = slides[slides["excluded"] == "no"]
        assert sorted([*slides["sample"], *gone.get("slide", [])]) == sorted(self.sheet["sample"])
        assert sorted([*cohort["rna_sample"], *gone.get("rna", [])]) == sorted(self.columns)
        pairs = self.sheet.drop_duplicates(["donor", "tissue"])
        assert len(cohort) + len(gone.get("donor", [])) == len(pairs)
        assert cohort["tissue_id"].nunique() + len(gone.get("tissue", [])) == tissues == len(self.table("matching"))
        assert not cohort.duplicated(["donor", "tissue_id"]).any()
        assert ";".join(cohort["samples"]).count(";") + 1 == len(slides)


@pytest.fixture
def cohort(tmp_path):
    return Cohort(tmp_path)


def test_tables(cohort):
    assert cohort.run("--seed", "3", "--slide-batches", "4") == 0
    cohort.check_accounts()
    slides, table = cohort.table("slides"), cohort.table("cohort")
    expected = ["sample", "donor", "tissue", "tissue_id", "slide", "mpp", "tissue_geojson", "excluded", "fold", "batch"]
    assert list(slides.columns) == expected and set(slides["excluded"]) == {"no"}
    folds = dict(zip(table["donor"], table["fold"], strict=True))
    assert slides["fold"].tolist() == [folds[donor] for donor in slides["donor"]]
    assert list(table.columns) == ["donor", "tissue", "tissue_id", "samples", "rna_sample", "fold"]
    assert slides["tissue_id"].tolist() == ["Artery_Tibial"] * 10 + ["Lung"] * 10
    assert table["donor"].tolist() == [f"D{i:02d}" for i in range(10)] * 2
    for row in slides.itertuples():
        assert row.batch == f"{row.tissue_id}.b{int(hashlib.sha1(row.sample.encode()).hexdigest(), 16) % 4}"
    for row in table.itertuples():
        assert int(row.fold) == int(hashlib.sha1(f"3:{row.donor}".encode()).hexdigest(), 16) % 5
    assert cohort.dropped("rna") == {"Rother": "no slide in the cohort"}
    matching = cohort.table("matching").set_index("tissue_id")
    assert matching.loc["Lung"].tolist() == ["Lung", "10", "10", "10", "10", "10", "10", "rna_sample:10"]


def test_same_input_same_bytes_in_any_order(cohort):
    cohort.run()
    before = {path.name: path.read_bytes() for path in (cohort.folder / "out").iterdir()}
    cohort.sheet = cohort.sheet.sample(frac=1, random_state=2)
    cohort.columns = cohort.columns[::-1]
    cohort.run()
    assert before == {path.name: path.read_bytes() for path in (cohort.folder / "out").iterdir()}


def test_a_new_slide_moves_no_other(cohort):
    cohort.run()
    before = cohort.table("slides").set_index("sample")["batch"]
    cohort.sheet.loc[len(cohort.sheet)] = ["Lu10", "D10", "Lung", "x.tif", "RLu10"]
    cohort.columns.append("RLu10")
    cohort.run()
    after = cohort.table("slides").set_index("sample")["batch"]
    assert after.drop("Lu10").equals(before)


def test_one_tissue_is_normal_and_columns_may_be_donors(cohort):
    cohort.sheet = cohort.sheet[:10].drop(columns="rna_sample")
    cohort.columns = cohort.sheet["donor"].tolist()
    assert cohort.run() == 0
    cohort.check_accounts(tissues=1)
    assert cohort.table("matching")["rule"].tolist() == ["donor:10"]


def test_columns_that_are_donors_of_two_tissues_are_refused(cohort, capsys):
    cohort.sheet = cohort.sheet.drop(columns="rna_sample")
    cohort.columns = cohort.sheet["donor"].drop_duplicates().tolist()
    assert cohort.run() == 65
    assert "columns are donors, but there are several tissues" in capsys.readouterr().err
    assert cohort.run("--tissues", "Lung") == 0


def test_losses_are_listed(tmp_path):
    cohort = Cohort(tmp_path, donors=14)
    missing = cohort.text("missing.tsv", "sample\treason\nLu00\tslide not found: Lu00.tif\nAr00\t\n")
    exclude = cohort.text("exclude.txt", "# withdrawn\nD01\nLu02  # pen\nRAr03\nAr05.tif\nNOBODY\n")
    cohort.columns.remove("RLu04")
    assert cohort.run("--missing", missing, "--exclude", exclude) == 0
    cohort.check_accounts()
    assert cohort.dropped("slide") == {
        "Lu00": "slide not found: Lu00.tif",
        "Ar00": "slide not found",
        "Lu01": "D01 is excluded by --exclude",
        "Ar01": "D01 is excluded by --exclude",
        "Lu02": "Lu02 is excluded by --exclude",
        "Ar03": "RAr03 is excluded by --exclude",
        "Lu04": "rna_sample RLu04 is no column of the expression files",
        "Ar05": "Ar05.tif is excluded by --exclude",
    }
    rna = cohort.dropped("rna")
    assert rna["RLu00"] == "slide Lu00: slide not found: Lu00.tif" and rna["RAr03"] == "RAr03 is excluded by --exclude"
    assert len(cohort.table("dropped").query("kind == 'donor'")) == 8 and not cohort.dropped("tissue")


def test_exclusions_change_no_batch_and_are_counted_by_kind(tmp_path):
    """Slide tasks get rows of slides.tsv: where these stay, no slide is read again."""
    cohort = Cohort(tmp_path, donors=14)
    assert cohort.run() == 0
    before = cohort.table("slides")
    assert cohort.table("exclusions").empty
    exclude = cohort.text("exclude.txt", "D01\nLu02\nRAr03\nAr05.tif\nNOBODY\nRother\n")
    assert cohort.run("--exclude", exclude) == 0
    cohort.check_accounts()
    after = cohort.table("slides")
    assert after.drop(columns="excluded").equals(before.drop(columns="excluded"))
    assert after.loc[after["excluded"] == "yes", "sample"].tolist() == ["Ar01", "Ar03", "Ar05", "Lu01", "Lu02"]
    used = set(";".join(cohort.table("cohort")["samples"]).split(";"))
    assert used == set(after.loc[after["excluded"] == "no", "sample"])
    assert cohort.table("exclusions").to_numpy().tolist() == [
        ["Ar05.tif", "slide", "1"], ["D01", "donor", "2"], ["Lu02", "slide", "1"], ["NOBODY", "unknown", "0"],
        ["RAr03", "rna", "1"], ["Rother", "rna", "0"],
    ]  # fmt: skip
    assert cohort.dropped("rna")["Rother"] == "Rother is excluded by --exclude"


def test_exclusions_are_told(tmp_path, capsys):
    cohort = Cohort(tmp_path, donors=14)
    exclude = cohort.text("exclude.txt", "D01\nLu02\nRAr03\nNOBODY\n")
    assert cohort.run("--exclude", exclude) == 0
    told = capsys.readouterr().err
    assert "exclude.txt: 1 donors, 1 slides, 1 RNA samples, 1 unknown ids" in told
    assert "exclude.txt: no donor, slide or RNA sample here: NOBODY" in told
    assert "4 slides are out of the analysis, but still segmented" in told
    assert cohort.run("--exclude", exclude, "--slide-optional") == 0
    assert "still segmented" not in capsys.readouterr().err


def test_a_tissue_that_exclusions_empty_keeps_its_slides(cohort):
    exclude = cohort.text("exclude.txt", "Lu00\nLu01\nLu02\n")
    assert cohort.run("--exclude", exclude) == 0
    cohort.check_accounts()
    assert set(cohort.table("cohort")["tissue_id"]) == {"Artery_Tibial"}
    slides = cohort.table("slides")
    assert len(slides) == 20 and (slides["excluded"] == "yes").sum() == 10
    assert cohort.dropped("tissue") == {"Lung": "tissue left out: 7 of at least 8 donors with slide and expression"}


def test_what_becomes_of_covariates(cohort):
    table = pd.DataFrame({
        "donor": [f"D{i:02d}" for i in range(10)],
        "SEX": ["1", "2"] * 5,
        "AGE": ["20-29", "60-69"] * 4 + ["70-79", ""],
        "height": range(160, 170),
        "centre": "B1",
    })  # fmt: skip
    assert cohort.run("--covariates", cohort.text("c.tsv", table.to_csv(sep="\t", index=False))) == 0
    fate = cohort.table("covariate_summary").query("tissue_id == 'Lung'").set_index("column")
    assert fate["used"].to_dict() == {"SEX": "yes", "AGE": "yes", "height": "yes", "centre": "no"}
    assert fate.loc["AGE", ["transform", "missing", "rule"]].tolist() == [
        "midpoint of bracket", "1", "median for 1 of 10 donors",
    ]  # fmt: skip
    assert fate.loc["centre", "reason"] == "constant: B1 in all donors"
    lie = cohort.table("covariates_by_tissue")
    assert lie.query("tissue_id == 'Lung' and column == 'SEX'")["value"].tolist() == ["0.5", "0.5"]
    cohort.run()
    assert cohort.table("covariate_summary").empty and cohort.table("covariates_by_tissue").empty


def test_losses_short_of_a_tissue(cohort):
    missing = cohort.text("missing.tsv", "sample\treason\nLu00\tslide not found: Lu00.tif\n")
    cohort.columns.remove("RLu04")
    assert cohort.run("--missing", missing) == 0
    cohort.check_accounts()
    assert cohort.dropped("donor") == {
        "D00": "Lung: slide not found: Lu00.tif",
        "D04": "Lung: rna_sample RLu04 is no column of the expression files",
    }
    assert cohort.table("matching").set_index("tissue_id").loc["Lung", "slides_usable"] == "9"


def test_a_small_tissue_is_dropped_with_all_that_is_in_it(cohort):
    cohort.sheet = cohort.sheet[:17]
    assert cohort.run() == 0
    cohort.check_accounts()
    reason = "tissue left out: 7 of at least 8 donors with slide and expression"
    assert cohort.dropped("tissue") == {"Artery_Tibial": reason}
    assert cohort.dropped("slide")["Ar00"] == reason and cohort.dropped("rna")["RAr00"] == f"slide Ar00: {reason}"


def test_an_empty_tissue_is_dropped(cohort):
    cohort.columns = cohort.columns[:10]
    assert cohort.run() == 0
    cohort.check_accounts()
    assert cohort.dropped("tissue")["Artery_Tibial"].startswith("empty: rna_sample RAr00 is no column")


def test_tissues_by_name_or_id(cohort, capsys):
    for name in ("Artery - Tibial", "Artery_Tibial"):
        assert cohort.run("--tissues", name) == 0
        cohort.check_accounts()
        assert set(cohort.table("cohort")["tissue_id"]) == {"Artery_Tibial"}
    assert cohort.dropped("tissue") == {"Lung": "empty: its tissue is not among --tissues"}
    assert cohort.run("--tissues", "Lung,Livre") == 65
    assert "--tissues Livre: no such tissue: the cohort has Artery - Tibial, Lung" in capsys.readouterr().err


def test_several_slides_of_a_donor_are_pooled_with_the_rna_of_best_rin(cohort):
    cohort.sheet.loc[len(cohort.sheet)] = ["Lu00b", "D00", "Lung", "Lu00b.tif", "RLu00b"]
    cohort.columns.append("RLu00b")
    attributes = cohort.text("SampleAttributesDS.txt", "SAMPID\tSMTSD\tSMRIN\nRLu00\tLung\t6.1\nRLu00b\tLung\t7.9\n")
    assert cohort.run("--covariates", attributes) == 0
    cohort.check_accounts()
    row = cohort.table("cohort").query("donor == 'D00' and tissue_id == 'Lung'").iloc[0]
    assert (row["samples"], row["rna_sample"], row["SMRIN"]) == ("Lu00;Lu00b", "RLu00b", "7.9")
    assert cohort.dropped("rna")["RLu00"] == "RLu00b stands for this donor and tissue"


def test_tissue_conflicts_are_dropped(cohort):
    attributes = cohort.text("a.txt", "SAMPID\tSMTSD\nRLu00\tThyroid\nRLu01\tLung\n")
    assert cohort.run("--covariates", attributes) == 0
    cohort.check_accounts()
    assert cohort.dropped("slide") == {"Lu00": "tissue conflict: slide Lung, RNA sample RLu00 Thyroid"}


def test_all_faults_come_at_once(cohort, capsys):
    sheet = cohort.sheet.assign(mpp="0.5")
    sheet.loc[0, "sample"] = "Lu/00"
    sheet.loc[1, "donor"] = "D 1"
    sheet.loc[3, "sample"] = sheet.loc[2, "sample"]
    sheet.loc[4, "tissue"] = ""
    sheet.loc[5, "mpp"] = "20x"
    sheet.loc[6, "slide"] = ""
    sheet.loc[8, "slide"] = sheet.loc[7, "slide"]
    sheet.loc[9, "slide"] = "elsewhere/Lu02.tif"  # no fault: files lie in folders of their own
    sheet.loc[14, "slide"] = "Lu15.vsi"
    sheet.loc[10, "tissue"] = "Artery/Tibial"
    sheet.loc[12, "rna_sample"] = sheet.loc[11, "rna_sample"]
    sheet.loc[13, "donor"] = ""
    cohort.sheet, cohort.unit = sheet, "counts"
    covariates = cohort.text("covariates.tsv", "who\tage\nD00\t3\n")
    assert cohort.run("--covariates", covariates, "--tissues", "Lung,Kidney") == 65
    told = capsys.readouterr().err
    at = f"{cohort.folder}/sheet.csv, row"
    for expected in (
        f"{at} 2: sample 'Lu/00': use letters",
        f"{at} 3: donor 'D 1': use letters",
        f"{at}s 4, 5: sample Lu02 stands more than once",
        f"{at} 6: tissue is blank",
        f"{at} 7: mpp '20x'",
        f"{at} 8: slide is blank",
        f"{at}s 9, 10: slide Lu07.tif belongs to several samples",
        f"{at} 16: slide Lu15.vsi: not a format that can be read (.avs",
        "tissues 'Artery/Tibial', 'Artery - Tibial' have one tissue_id, Artery_Tibial",
        f"{at} 15: donor is blank",
        "--tissues Kidney: no such tissue",
        "covariates.tsv, row 1: no column sample, donor, SAMPID or SUBJID",
        "expression.tsv, row 2 (g0)",
        "is no whole number, in a file declared as counts",
    ):
        assert expected in told, expected
    assert not (cohort.folder / "out").exists()


def test_one_rna_sample_of_two_donors(cohort, capsys):
    cohort.sheet.loc[1, "rna_sample"] = "RLu00"
    assert cohort.run() == 65
    told = capsys.readouterr().err
    assert "sheet.csv, rows 2, 3: RNA sample RLu00 belongs to several donors or tissues (D00 Lung, D01 Lung)" in told


def test_ids_that_differ_in_case_only(cohort, capsys):
    cohort.sheet.loc[1, "sample"] = "LU00"
    assert cohort.run() == 65
    assert "rows 2, 3: sample Lu00, LU00 stands more than once" in capsys.readouterr().err


def test_missing_columns_and_rows(cohort, capsys):
    cohort.sheet = cohort.sheet.drop(columns=["donor", "slide"])
    assert cohort.run() == 65
    assert "sheet.csv, row 1: no column donor, slide among sample, tissue, rna_sample" in capsys.readouterr().err
    cohort.sheet = Cohort(cohort.folder).sheet[:0]
    assert cohort.run() == 65
    assert "no row below the header" in capsys.readouterr().err
    cohort.sheet = Cohort(cohort.folder).sheet.drop(columns="slide")
    assert cohort.run("--slide-optional") == 0
    assert cohort.run("--slide-optional", "--missing", cohort.text("m.tsv", "sample\nx\n")) == 65
    assert "m.tsv, row 1: no column reason" in capsys.readouterr().err


def test_no_overlap_names_both_kinds_of_ids(cohort, capsys):
    cohort.columns = ["T1", "T2", "T3", "T4"]
    assert cohort.run() == 65
    told = capsys.readouterr().err
    assert "no sample in common: expression columns are T1, T2, T3 and 1 more" in told
    assert "rna_sample RAr00, RAr01, RAr02 and 17 more; sample Ar00" in told and "donor D00" in told
    assert told.count("  * ") == 1


def test_wrong_unit_is_told_beside_no_overlap(cohort, capsys):
    cohort.columns, cohort.values = ["T1", "T2"], np.array([[1.5, -2.0], [3.0, 4.0]])
    assert cohort.run() == 65
    told = capsys.readouterr().err
    assert "no sample in common" in told and "row 2 (g0): -2 is negative, in a file declared as tpm" in told


def test_too_few_donors(cohort, capsys):
    whole = cohort.sheet
    cohort.sheet = whole[:1]
    assert cohort.run() == 65
    assert "one donor (D00) with slide and expression: at least 8 are needed" in capsys.readouterr().err
    cohort.sheet = whole[4:14]
    assert cohort.run() == 65
    assert "no tissue has 8 donors with slide and expression (Artery - Tibial 4, Lung 6)" in capsys.readouterr().err


def test_no_slide_left(cohort, capsys):
    lines = "".join(f"{sample}\tslide not found\n" for sample in cohort.sheet["sample"])
    assert cohort.run("--missing", cohort.text("missing.tsv", "sample\treason\n" + lines)) == 65
    assert "no slide is left (slide not found)" in capsys.readouterr().err


def test_neither_sheet_nor_features_is_a_usage_error(cohort):
    with pytest.raises(SystemExit) as left:
        cohort.run(sheet=False)
    assert left.value.code == 2


def features(cohort: Cohort, name: str, **columns) -> str:
    return cohort.text(name, pd.DataFrame(columns).to_csv(sep="\t", index=False))


def test_feature_tables_without_a_sheet(cohort):
    path = features(cohort, "f.tsv", Donor=cohort.sheet["donor"], tissue=cohort.sheet["tissue"], area=1.5)
    cohort.columns = cohort.sheet["donor"].drop_duplicates().tolist()
    assert cohort.run("--features", path, "--tissues", "Lung", sheet=False) == 0
    assert cohort.table("slides").empty
    table = cohort.table("cohort")
    assert table["donor"].tolist() == [f"D{i:02d}" for i in range(10)] and (table["samples"] == "").all()
    assert len(cohort.dropped("donor")) == 10 and not cohort.dropped("slide")


def test_feature_tables_of_samples(cohort, capsys):
    names = [*cohort.sheet["sample"][1:], "strange"]
    path = features(cohort, "f.tsv", slide_ID=names, area=1.5)
    cohort.sheet = cohort.sheet.drop(columns="slide")
    assert cohort.run("--features", path) == 0
    cohort.check_accounts()
    assert cohort.dropped("slide") == {"Lu00": "no row in the tables of --features"}
    assert "1 of 20 rows of the feature tables are of no sample of the samplesheet" in capsys.readouterr().err
    assert cohort.run("--features", path, sheet=False) == 65
    assert "f.tsv, row 1: no column donor, tissue" in capsys.readouterr().err
    twice = features(cohort, "g.tsv", sample=["Lu00", "Lu00"], donor="D00", tissue="Lung")
    empty = features(cohort, "h.tsv", sample=[], donor=[], tissue=[])
    assert cohort.run("--features", twice, empty, sheet=False) == 65
    told = capsys.readouterr().err
    assert "g.tsv, rows 2, 3: sample Lu00 stands more than once" in told and "h.tsv: no row below the header" in told


def test_samples_in_several_feature_tables_are_one_slide_each(cohort):
    keys = {name: cohort.sheet[name] for name in ("sample", "donor", "tissue")}
    paths = [features(cohort, "f.tsv", **keys, area=1.0), features(cohort, "g.tsv", **keys, ratio=1.0)]
    cohort.columns = cohort.sheet["sample"].tolist()
    assert cohort.run("--features", *paths, sheet=False) == 0
    assert len(cohort.table("slides")) == 20 and cohort.table("matching")["rule"].tolist() == ["sample:10"] * 2


def test_without_expression_every_slide_goes_on(cohort, capsys):
    """New slides of a prediction: no RNA to match, no least number of donors; what --tissues leaves out is listed."""
    cohort.sheet = cohort.sheet[:13]
    sheet = cohort.text("sheet.csv", cohort.sheet.to_csv(index=False))
    assert main(["--samplesheet", sheet, "--tissues", "Artery_Tibial", "--outdir", str(cohort.folder / "out")]) == 0
    assert cohort.table("slides")["sample"].tolist() == ["Ar00", "Ar01", "Ar02"]
    assert (cohort.table("cohort")["rna_sample"] == "").all() and len(cohort.table("cohort")) == 3
    assert len(cohort.dropped("slide")) == 10 and list(cohort.dropped("tissue")) == ["Lung"]
    exclude = cohort.text("exclude.txt", "D00\nD01\nD02\n")
    given = ["--samplesheet", sheet, "--tissues", "Artery_Tibial", "--exclude", exclude]
    assert main([*given, "--outdir", str(cohort.folder / "out")]) == 65
    assert "no slide is left (D00 is excluded by --exclude" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["--samplesheet", sheet, "--expression", cohort.expression()])
    assert stopped.value.code == 2 and "--expression needs --expression-unit" in capsys.readouterr().err


def test_real_nuclear_features_match_real_rna(real_data, tmp_path):
    gtex = real_data / "gtex"
    tables = sorted(map(str, (gtex / "nuclear_features").glob("*.tsv")))
    (expression,), (subjects,) = gtex.glob("*.gct.gz"), gtex.glob("*SubjectPhenotypesDS.txt")
    given = ["--features", *tables, "--expression", str(expression), "--expression-unit", "counts"]
    assert main([*given, "--covariates", str(subjects), "--outdir", str(tmp_path)]) == 0
    slides, cohort, dropped, matching = (
        read_table(tmp_path / f"{name}.tsv") for name in ("slides", "cohort", "dropped", "matching")
    )
    assert cohort.groupby("tissue_id")["donor"].nunique().to_dict() == MATCHED
    assert cohort["tissue_id"].value_counts().to_dict() == MATCHED
    assert dict(zip(matching["tissue_id"], matching["matched_donors"].astype(int), strict=True)) == MATCHED
    # a slide's portal id is the first three fields of its RNA sample id: the join, said another way
    for row in cohort.itertuples():
        assert "-".join(row.rna_sample.split("-")[:3]) == row.samples and row.samples.startswith(row.donor + "-")
    listed = pd.concat(pd.read_csv(path, sep="\t") for path in tables)
    gone = {kind: part["id"].tolist() for kind, part in dropped.groupby("kind")}
    assert sorted([*slides["sample"], *gone["slide"]]) == sorted(listed["Image"])
    assert len(cohort) + len(gone["rna"]) == 17382
    assert (dropped["reason"] != "").all()
    assert (cohort[["SEX", "AGE"]] != "").all(axis=None)
    fates, lie = (read_table(tmp_path / f"{name}.tsv") for name in ("covariate_summary", "covariates_by_tissue"))
    assert (fates["used"] == "yes").all() and set(fates["column"]) == {"SEX", "AGE", "DTHHRDY"}
    assert set(fates.loc[fates["column"] == "AGE", "transform"]) == {"midpoint of bracket"}
    for tissue, part in cohort.groupby("tissue_id"):
        told = lie[(lie["tissue_id"] == tissue) & (lie["column"] == "SEX") & (lie["level"] == "1")]["value"].item()
        assert float(told) == pytest.approx((part["SEX"] == "1").mean(), rel=1e-5)
