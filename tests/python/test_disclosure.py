"""hx_disclosure and its gate: no report of a shareable run names a donor or shows a value of one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_summarise import ID, make_run, without

from hx_bins import bins_of
from hx_cli import DataError
from hx_disclosure import EVERYTHING, FEW, Disclosure, Finder, few, in_bins, numbered, read_pseudonyms
from hx_io import read_table, write_tsv
from hx_mqc import PEOPLE, RATIO, bars, disclosed, section, table, text, write_sections
from summarise import main

ROOT = Path(__file__).resolve().parents[2]
DONORS = ["GTEX-1117F", "GTEX-111CU", "SIM_7", "12", "AB12CD"]
SHAREABLE = Disclosure("shareable", DONORS, {"GTEX-1117F-0126": "GTEX-1117F"}, ids=["aliquot 9:x"])


# ids in texts


@pytest.mark.parametrize(
    ("told", "hidden"),
    [
        ("GTEX-1117F stands for this donor", "(id) stands for this donor"),
        ("slide GTEX-1117F-0126: no file /data/GTEX-1117F-0126.svs.", "slide (id): no file /data/(id)."),
        ("RNA sample GTEX-111CU-0226-SM-5GZZ7, Lung", "RNA sample (id), Lung"),  # an aliquot that no table names
        ("GTEX.1117F.0226 and SIM-7", "(id) and (id)"),  # R's dots
        ("GTEX-1117 is nobody here, nor SIM_71", "GTEX-1117 is nobody here, nor SIM_71"),
        ("aliquot 9:x", "(id)"),
        ("12 of 40 patches, p 0.12", "12 of 40 patches, p 0.12"),  # a number is not taken for an id
        ("", ""),
    ],
)
def test_ids_in_texts(told, hidden):
    assert SHAREABLE.text(told) == hidden
    assert EVERYTHING.text(told) == told


def test_ids_of_digits_are_found_in_texts_about_donors():
    assert SHAREABLE.text("slide 12: no file 12.svs of 128", short=True) == "slide (id): no file 12.svs of 128"


def test_short_ids_are_not_looked_for_in_longer_names():
    assert Finder(["A1"]).hide("HLA-A1 of A1") == "HLA-A1 of (id)"


def test_names():
    assert EVERYTHING.name("GTEX-1117F") == "GTEX-1117F"
    assert SHAREABLE.name("GTEX-1117F-0126") == SHAREABLE.name("GTEX-1117F") == numbered(DONORS, 1)["GTEX-1117F"]
    assert SHAREABLE.name("nobody") == "(id)"
    assert [few(n) for n in (0, 1, 4, 5)] == [0, "< 5", "< 5", 5]
    given = Disclosure("shareable", ["a1"], given={"a1": "Ann"})
    assert given.name("a1") == "Ann"



def test_numbers_of_donors_tell_nothing_of_their_order():
    donors = [f"D{k:03d}" for k in range(200)]
    names = numbered(donors, 1)
    assert sorted(names.values()) == [f"P{k:03d}" for k in range(1, 201)]
    ranks = [int(names[donor][1:]) for donor in donors]
    # |r| of 200 independent ranks exceeds .24 with p < .001.
    assert abs(np.corrcoef(ranks, range(200))[0, 1]) < 0.24
    assert numbered(reversed(donors), 1) == names != numbered(donors, 2)
    assert not set(numbered(["P01", "P2"], 1).values()) & {"P01", "P02"}


# bins


@pytest.mark.parametrize("n", [0, 3, 4, 5, 9, 10, 37, 200])
@pytest.mark.parametrize("ties", [False, True])
def test_no_bin_has_fewer_than_five(n, ties):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(2, n))
    x = np.round(x) if ties else x
    rows, place = in_bins(x, y), bins_of(x, 10)
    assert (rows["n"] >= FEW).all() and rows["n"].sum() == (n if n >= FEW else 0) and len(rows) <= 10
    for k, row in enumerate(rows.itertuples()):
        own = y[place == k]
        assert row.n == len(own) and row.x == pytest.approx(np.median(x[place == k]), rel=5e-3)
        assert [row.low, row.middle, row.high] == pytest.approx(np.percentile(own, [25, 50, 75]), rel=5e-3)
    for value in np.unique(x):
        assert len(set(place[x == value])) == 1
    if n == 200 and not ties:
        assert rows["n"].tolist() == [20] * 10


def test_missing_values_are_in_no_bin():
    x = np.arange(20.0)
    assert in_bins(np.where(x < 4, np.nan, x), x)["n"].sum() == 16


# the map of pseudonyms


def test_pseudonyms(tmp_path):
    path = tmp_path / "map.tsv"
    path.write_text("donor\tpseudonym\nD1\tred\nD2\tblue\nother\tgreen\n")
    assert read_pseudonyms(path, ["D2", "D1"]) == {"D1": "red", "D2": "blue", "other": "green"}
    assert read_pseudonyms(None, ["D1"]) == {}


def test_a_wrong_map_is_refused_with_all_faults(tmp_path):
    path = tmp_path / "map.tsv"
    rows = ["donor\tpseudonym", "D1\tred", "D2\tred", "D3\tD1", "D3\tx", "\ty", "D4\t", "D5\tcase D1"]
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataError) as refused:
        read_pseudonyms(path, ["D1", "D2", "D8", "D9"])
    faults = "\n".join(refused.value.faults)
    assert len(refused.value.faults) == 7
    assert "no pseudonym of 2 donors of the cohort: D8, D9" in faults
    assert "rows 2, 3: pseudonym 'red' stands more than once" in faults
    assert "rows 4, 5: donor 'D3' stands more than once" in faults
    assert "row 6: donor is blank" in faults and "row 7: pseudonym is blank" in faults
    assert "row 4: pseudonym 'D1' is or holds the id" in faults and "row 8: pseudonym 'case D1' is" in faults
    path.write_text("donor\tname\nD1\tred\n")
    with pytest.raises(DataError, match="columns donor, name: give two, donor and pseudonym"):
        read_pseudonyms(path, ["D1"])


# the gate of the sections


def test_columns_of_people():
    rows = pd.DataFrame({"n": [3, 40], "share": [0.5, 0.25], "most": [9.0, 8.0], "middle": [1.0, 2.0]})
    columns = {
        "n": {"title": "n", **PEOPLE}, "share": {"title": "share", **RATIO, "of": "n"},
        "most": {"title": "most", "only": "internal"}, "middle": {"title": "middle", "only": "shareable"},
    }  # fmt: skip
    made = table("t", "T", "Shown.", "Wrong.", rows, columns, "t.tsv", "Row", ["a", "b"])
    shared, kept = disclosed(made, SHAREABLE), disclosed(made, EVERYTHING)
    assert shared["data"] == {"a": {"n": "&lt; 5", "middle": 1.0}, "b": {"n": 40, "share": 0.25, "middle": 2.0}}
    assert kept["data"]["a"] == {"n": 3, "share": 0.5, "most": 9.0}
    assert list(shared["headers"]) == ["n", "share", "middle"] and list(kept["headers"]) == ["n", "share", "most"]
    for header in [*shared["headers"].values(), *kept["headers"].values()]:
        assert not {"people", "of", "only"} & set(header)


def test_tables_of_people_are_counted():
    rows = pd.DataFrame({"sample": [f"S{k}" for k in range(9)], "status": ["bad"] * 7 + ["worse"] * 2})
    rows["reason"] = [f"slide GTEX-1117F-{k:04d} is bad" for k in range(9)]
    made = table(
        "t", "T", "Shown.", "Wrong.", rows, {"status": {"title": "Status"}}, "t.tsv", "Slide", list(rows["sample"]),
        by=["status", "reason"],
    )  # fmt: skip
    shared = disclosed(made, SHAREABLE)
    assert [list(row.values()) for row in shared["data"].values()] == [
        ["bad", "slide (id) is bad", 7], ["worse", "slide (id) is bad", "&lt; 5"],
    ]  # fmt: skip
    assert list(disclosed(made, EVERYTHING)["data"]) == list(rows["sample"])


def test_bars_and_texts_of_people():
    frame = pd.DataFrame({"ok": [9, 4], "bad": [1, 0]}, index=["Lung", "Skin"])
    made = bars("b", "B", "Shown.", "Wrong.", frame, {"ok": "#000", "bad": "#111"}, "Slides", people=True)
    assert disclosed(made, SHAREABLE)["data"] == {"Lung": {"ok": 9, "bad": 0}, "Skin": {"ok": 0, "bad": 0}}
    assert "fewer than 5 are left out" in disclosed(made, SHAREABLE)["description"]
    assert disclosed(made, EVERYTHING)["data"]["Skin"]["ok"] == 4
    made = text("t", "T", "Shown.", "Wrong.", ["1 to 9"], ["9"])
    assert [disclosed(made, of)["data"] for of in (EVERYTHING, SHAREABLE)] == ["<p>1 to 9</p>", "<p>9</p>"]


def test_ids_anywhere_in_a_section_and_no_pixel_of_a_picture(tmp_path):
    pixels = "data:image/jpeg;base64,/9j/AB12CD/12+AA=="
    data = {"GTEX-1117F": {"x": "SIM_7"}, "GTEX-111CU": [["GTEX-1117F-0126 too", 1.5, None, True]]}
    made = section("s", "Of GTEX-1117F", "a", "b", "html", data, more={"html": f'<img src="{pixels}" alt="SIM_7">'})
    write_sections([made], tmp_path, SHAREABLE)
    found = json.loads((tmp_path / "s_mqc.json").read_text())
    assert found["section_name"] == "Of (id)"
    assert found["data"] == {"(id)": {"x": "(id)"}, "(id) (2)": [["(id) too", 1.5, None, True]]}
    assert found["more"]["html"] == f'<img src="{pixels}" alt="(id)">'
    write_sections([made], tmp_path)
    assert json.loads((tmp_path / "s_mqc.json").read_text())["data"] == data


# a whole report


def individual_tables(folder: Path, donors: list[str]) -> None:
    """Tables with a row a donor or slide, beside those of make_run."""
    rng, setting, tables = np.random.default_rng(5), f"{ID}.256.raw.mean", folder / "associations"
    n = len(donors)
    samples = [f"{donor}-slide" for donor in donors]
    write_tsv(
        pd.DataFrame({"sample": samples, "donor": donors, "tissue_id": ID, "rna_sample": [f"{d}-RNA" for d in donors]}),
        folder / "cohort" / "slides.tsv",
    )
    cohort = read_table(folder / "cohort" / "cohort.tsv")
    write_tsv(cohort.assign(samples=samples), folder / "cohort" / "cohort.tsv")
    status = read_table(folder / "slide_status.tsv").iloc[:n].assign(sample=samples)
    status.loc[2, ["status", "reason"]] = ["unreadable", f"cannot open /slides/{samples[2]}.svs"]
    write_tsv(status, folder / "slide_status.tsv")
    losses = read_table(folder / "check_cohort.dropped.tsv")
    more = [
        (f"{donors[3]}-0226-SM-5GZZ7", "rna", "check_cohort", f"{donors[3]}-RNA stands for this donor and tissue"),
        (f"{donors[4]}-0226-SM-5GZZ8", "rna", "check_cohort", f"{donors[4]}-RNA stands for this donor and tissue"),
        (samples[5], "slide", "check_cohort", f"tissue conflict: slide {ID}, RNA sample {donors[5]}-RNA Skin"),
        ("LOST-77", "donor", "check_cohort", "no slide"),
        (samples[6], "map", "draw_features", "no patch features of size 256: no map"),
    ]
    write_tsv(pd.concat([losses, pd.DataFrame(more, columns=losses.columns)]), folder / "check_cohort.dropped.tsv")
    rows = [(ID, "match", n - 2, "", "", "", np.nan, np.nan)]
    rows += [(ID, "mismatch", 1, donors[k], "male", "female", 7.77, 0.01) for k in (7, 8)]
    columns = ["tissue_id", "status", "donors", "donor", "recorded", "inferred", "xist", "y"]
    write_tsv(pd.DataFrame(rows, columns=columns), tables / f"{ID}.sex_check.tsv")
    pcs = pd.DataFrame({"setting": setting, "donor": donors, "PC1": rng.normal(size=n), "PC2": rng.normal(size=n)})
    pcs["AGE"] = rng.permutation(n) + 30.5
    write_tsv(pcs, tables / f"{ID}.256.feature_pcs.tsv")
    hit = {"setting": setting, "gene": "ENSG1", "symbol": "CELL1", "feature": "raw_0000", "r": 0.5, "r_split_half": 0.4}
    hit |= {"robustness": 0.2, "detectable_r": 0.6, "donor": donors}
    hits = pd.DataFrame(hit | {"feature_value": rng.normal(size=n), "gene_value": rng.normal(size=n)})
    write_tsv(hits, tables / f"{ID}.256.top_hits.tsv")
    factors = [(setting, "AGE", "donor", pc, 0.3, 0.4) for pc in ("PC1", "PC2")]
    columns = ["setting", "factor", "group", "component", "share", "r2"]
    write_tsv(pd.DataFrame(factors, columns=columns), tables / f"{ID}.256.feature_pc_factors.tsv")
    maps = pd.DataFrame({"setting": setting, "sample": samples[:2], "name": "raw_0000", "what": "feature"})
    maps = maps.assign(n_patches=9, mean=0.123456, picture=[f"maps/{sample}.png" for sample in samples[:2]])
    write_tsv(maps, tables / f"{ID}.256.feature_maps.tsv")
    classifier = {
        "split": "donor", "grey": "no", "patch_accuracy": 0.8, "slide_accuracy": 0.9, "chance": 0.5, "macro_f1": 0.8,
        "ece": 0.1, "train_donors": 9, "validation_donors": 3, "train_patches": 90, "epoch": "base 30",
        "best_epoch": "base 20", "weights": "imagenet", "device": "gpu",
    }  # fmt: skip
    write_tsv(pd.DataFrame([classifier]), tables / "256.classifier.tsv")
    curve = {"stage": ["head"], "epoch": [1], "accuracy": [0.6], "val_accuracy": [0.5]}
    write_tsv(pd.DataFrame(curve), tables / "256.curves.tsv")
    confusion = {"truth": [ID], "predicted": [ID], "patches": [8]}
    write_tsv(pd.DataFrame(confusion), tables / "256.confusion.tsv")
    doubted = {"sample": samples[9], "donor": donors[9], "tissue_id": ID, "predicted": "Skin", "suspicious": "yes"}
    doubted |= {"probability_own": 0.1, "probability_predicted": 0.9}
    write_tsv(pd.DataFrame([doubted]), tables / "256.slides.tsv")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[str], list[str]]:
    """A made run: its folder, the arguments of summarise.py, its donors. Reports are in internal/ and shareable/."""
    folder = tmp_path_factory.mktemp("disclosure")
    arguments = make_run(folder)
    donors = read_table(folder / "cohort" / "cohort.tsv")["donor"].tolist()
    individual_tables(folder, donors)
    arguments = without(arguments, "--outdir", "--truth", "--features", "--expression")
    for mode in ("internal", "shareable"):
        outdir = ["--outdir", str(folder / mode)]
        assert main([*arguments, "--disclosure", mode, "--with-genotypes", *outdir]) == 0
    return folder, arguments, donors


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def points_of(value: object) -> list[int]:
    """Number of points of each panel of a plot: pairs of numbers, or x and y, however they are grouped."""
    if isinstance(value, list) and value and all(isinstance(part, list | dict) for part in value):
        if any("x" in part for part in value if isinstance(part, dict)) or any(
            len(part) == 2 and not isinstance(part[0], list | dict) for part in value if isinstance(part, list) and part
        ):
            return [len(value)]
        return [count for part in value for count in points_of(part)]
    if isinstance(value, dict):
        if "x" in value:
            return [1]
        return [sum(count for part in value.values() for count in points_of(part))]
    return []


def test_no_section_of_a_shareable_report_names_anybody(run):
    folder, _, donors = run
    known = [*donors, "LOST-77", "5GZZ7", "5GZZ8"]
    shared, internal = texts(folder / "shareable" / "multiqc"), texts(folder / "internal" / "multiqc")
    assert {name for name, content in shared.items() if any(identity in content for identity in known)} == set()
    named = {name for name, content in internal.items() if any(identity in content for identity in known)}
    assert named == {
        f"{name}_mqc.json"
        for name in ("classifier_doubted", "feature_maps", "losses", "sex_check", "slide_problems", "tissue_conflicts",
                     "top_hits")
    }  # fmt: skip
    assert set(shared) == set(internal)
    assert all(identity in "".join(internal.values()) for identity in ("LOST-77", "5GZZ7"))


def test_no_plot_of_a_shareable_report_has_a_point_a_donor(run):
    folder, _, donors = run
    plotted = {}
    for mode in ("shareable", "internal"):
        contents = {name: json.loads(content) for name, content in texts(folder / mode / "multiqc").items()}
        plotted[mode] = {
            name
            for name, content in contents.items()
            if content["plot_type"] in ("scatter", "linegraph") and len(donors) in points_of(content["data"])
        }
    assert plotted["internal"] == {"top_hits_mqc.json", f"feature_pcs_{ID}_mqc.json"}
    assert plotted["shareable"] == set()


def test_values_of_single_donors_are_not_shown(run):
    folder, _, donors = run
    shared = "".join(texts(folder / "shareable" / "multiqc").values())
    internal = "".join(texts(folder / "internal" / "multiqc").values())
    ages = (f"{30.5:.4g}", f"{29.5 + len(donors):.4g}")  # the youngest and the oldest are the ends of no bin
    for value in ("7.77", "0.123456"):
        assert value in internal and value not in shared
    for age in ages:
        assert not re.search(rf"\b{re.escape(age)}\b", shared)
    content = json.loads((folder / "shareable" / "multiqc" / "sex_check_mqc.json").read_text())
    assert [row["count"] for row in content["data"].values()] == ["&lt; 5"]
    assert "38 match, &lt; 5 mismatch" in content["description"]


def test_losses_are_counted_over_ids(run):
    folder, _, _ = run
    rows = json.loads((folder / "shareable" / "multiqc" / "losses_mqc.json").read_text())["data"].values()
    told = {row["reason"]: (row["count"], row.get("examples", "")) for row in rows if row["kind"] == "rna"}
    assert told == {"(id) stands for this donor and tissue": ("&lt; 5", ""), "no slide": ("&lt; 5", "")}
    assert any(row["kind"] == "feature" and row["examples"] == "raw_0007" for row in rows)


def test_tables_of_the_results_keep_their_ids(run):
    folder, _, donors = run
    for name in ("dropped", "losses", "slide_status", "sex_check"):
        assert (folder / "shareable" / "summary" / f"{name}.tsv").read_bytes() == (
            folder / "internal" / "summary" / f"{name}.tsv"
        ).read_bytes()
    assert donors[7] in (folder / "shareable" / "summary" / "sex_check.tsv").read_text()


def test_banners(run, tmp_path):
    folder, arguments, _ = run
    told = json.loads((folder / "internal" / "multiqc" / "hx_disclosure_mqc.json").read_text())
    assert told["section_name"] == "INTERNAL REPORT" and "alert-danger" in told["data"]
    told = json.loads((folder / "shareable" / "multiqc" / "hx_disclosure_mqc.json").read_text())
    assert told["section_name"] == "Shareable report"
    assert main([*arguments, "--outdir", str(tmp_path)]) == 0  # internal, no genotypes
    assert not (tmp_path / "multiqc" / "hx_disclosure_mqc.json").exists()


def test_a_wrong_map_and_a_map_of_an_internal_report(run, tmp_path, capsys):
    _, arguments, donors = run
    (tmp_path / "map.tsv").write_text("donor\tpseudonym\n" + "".join(f"{d}\tp{k}x\n" for k, d in enumerate(donors[1:])))
    named = [*arguments, "--pseudonyms", str(tmp_path / "map.tsv"), "--outdir", str(tmp_path)]
    assert main([*named, "--disclosure", "shareable"]) == 65
    assert f"no pseudonym of 1 donors of the cohort: {donors[0]}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(named)
    assert stop.value.code == 2


def test_multiqc_makes_of_it_a_report_without_ids(run, tmp_path):
    folder, _, donors = run
    shutil.copytree(folder / "shareable" / "multiqc", tmp_path / "in")
    command = [
        Path(sys.executable).parent / "multiqc", "--quiet", "--config", ROOT / "assets" / "multiqc_config.yml",
        "--filename", "multiqc_report", "--outdir", tmp_path / "out", tmp_path / "in",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    page = (tmp_path / "out" / "multiqc_report.html").read_text()
    assert "&lt; 5" in page or "< 5" in page
    for path in files:
        parquet = path.suffix == ".parquet"
        content = pd.read_parquet(path).to_csv() if parquet else path.read_bytes().decode(errors="replace")
        assert not [identity for identity in [*donors, "LOST-77"] if identity in content], path.name
