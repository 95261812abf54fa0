"""The report of a shareable run, made by the real engine, names no donor, slide or RNA sample."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from engine import nextflow

pytestmark = pytest.mark.slow
MADE_AGAIN = {"DRAW_FEATURES", "SUMMARISE", "BUILD_EXPLORER", "DRAW_FIGURES", "MULTIQC"}


def ids_of(results: Path) -> set[str]:
    """Donors, slides and RNA samples of cohort.tsv and slides.tsv."""
    found = set()
    for name in ("cohort", "slides"):
        with open(results / "cohort" / f"{name}.tsv", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                found |= {row.get(column) for column in ("donor", "sample", "rna_sample")}
    return found - {None, ""}


def named(results: Path, ids: set[str]) -> set[str]:
    """Files of the report, the explorer and the figures that hold any of the ids."""
    files = [results / "multiqc_report.html", *(results / "multiqc_report_data").rglob("*")]
    files += [*(results / "explorer").rglob("*"), *(results / "figures").rglob("*")]
    out = set()
    for path in files:
        if path.is_file():
            content = path.read_bytes().decode(errors="replace")
            if path.suffix == ".parquet":
                content = pd.read_parquet(path).to_csv()
            if any(identity in content for identity in ids):
                out.add(path.name)
    return out


def test_a_shareable_report_names_nobody(first, project_copy):
    folder, arguments, _, internal = first
    pseudonyms = folder / "pseudonyms.tsv"
    ids = ids_of(internal.outdir)
    donors = sorted(pd.read_csv(internal.outdir / "cohort" / "slides.tsv", sep="\t")["donor"].unique())
    pseudonyms.write_text("donor\tpseudonym\n" + "".join(f"{d}\tperson{k:02d}\n" for k, d in enumerate(donors)))
    for name, more in (("shared", []), ("mapped", ["--pseudonyms", pseudonyms])):
        run = nextflow(folder, name, *arguments, "--disclosure", "shareable", *more, project=project_copy, resume=True)
        assert run.code == 0, run.text
        assert {task.split(" ")[0] for task in run.ran()} <= MADE_AGAIN and "SUMMARISE" in str(run.ran())
        assert named(run.outdir, ids) == set()
        assert "Shareable report" in (run.outdir / "multiqc_report.html").read_text()
    # The same search finds them in the report that is not to be passed on.
    assert {"multiqc_report.html", "multiqc_data.json"} & named(internal.outdir, ids)


def test_pseudonyms_without_a_shareable_report_are_refused(tmp_path):
    (tmp_path / "map.tsv").write_text("donor\tpseudonym\nD1\tred\n")
    run = nextflow(tmp_path, "results", "--simulate", "signal", "--pseudonyms", tmp_path / "map.tsv")
    assert run.code == 2 and "--pseudonyms is of a report to share: add --disclosure shareable" in run.text
    run = nextflow(tmp_path, "results", "--simulate", "signal", "--disclosure", "shareable", "--pseudonyms", "none.tsv")
    assert run.code == 2 and "--pseudonyms: no such file or folder: none.tsv" in run.text
