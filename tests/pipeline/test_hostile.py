"""What somebody may put into a table, a file's name or a parameter to make the engine or a task execute something."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from engine import ROOT, nextflow

HOSTILE = (  # a double quote or a line end within a cell stops the engine's own reader of tables
    "$(touch CANARY)",
    "`touch CANARY`",
    "a;touch CANARY;b",
    "a'; touch CANARY; echo 'b",
    "a && touch CANARY",
    "a|touch CANARY",
    "a\ttouch CANARY",
    "../../CANARY",
    "--outdir=CANARY",
    "-rf",
    "*",
    "${PWD}",
    "a\\b",
    "\u202eb",
)
# Names of files that are odd and right: the engine and the tasks take them as they are.
LEGAL = ("a b.tif", "Größe µ.tif", "it's.tif", "a;touch CANARY;b.tif", "-rf.tif", "a[1]{2}.tif", "a&b(c)#d.tif")


def canaries(*folders: Path) -> list[Path]:
    """Files that something executed in a run would have left."""
    return [path for folder in (*folders, ROOT) for path in folder.rglob("CANARY*") if ".git" not in path.parts]


def sheet(path: Path, rows: list[dict]) -> Path:
    """A samplesheet with every column."""
    columns = ["sample", "donor", "tissue", "slide", "rna_sample", "mpp", "tissue_geojson"]
    with open(path, "w", newline="") as handle:
        writer = csv.DictWriter(handle, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def cohort_rows(cohort: Path) -> list[dict]:
    with open(cohort / "samplesheet.csv", newline="") as handle:
        return list(csv.DictReader(handle))


def test_hostile_parameters_are_refused_before_anything_runs(tmp_path):
    """Every text parameter at once: refused by its pattern, as no file, or for what a shell would read."""
    groups = json.loads((ROOT / "nextflow_schema.json").read_text())["$defs"].values()
    texts = {n for g in groups for n, p in g["properties"].items() if p["type"] == "string"}
    texts -= {"outdir", "trace_report_suffix", "gpu_container_options"}
    # Lists of names may hold quotes: they are quoted where they reach a command (see below).
    free = ["tissues", "describe_features", "map_genes", "qtl_features", "confounders", "adjust_also"]
    free += ["container_registry"]
    given = tmp_path / "given.json"
    odd = {name: ("x$(touch CANARY)", "a\ntouch CANARY")[k % 2] for k, name in enumerate(free) if name in texts}
    given.write_text(json.dumps(dict.fromkeys(sorted(texts), "a'; touch CANARY; '") | odd))
    run = nextflow(tmp_path, "results", "-params-file", given)
    assert run.code == 2, run.text
    refused = set(re.findall(r"^  \* --([a-z_0-9]+)", run.text, flags=re.M))
    assert texts - refused == set()
    assert not canaries(tmp_path)


def test_hostile_ids_and_paths_are_refused(cohort, tiny_encoder, tmp_path):
    """A samplesheet with a hostile cell in each column in turn: all named, nothing run but the check."""
    sound = [row | {"slide": str(cohort / row["slide"])} for row in cohort_rows(cohort)]
    rows = [
        sound[(9 * i + j) % len(sound)] | {"sample": f"X{i}-{j}", column: text}
        for i, text in enumerate(HOSTILE)
        for j, column in enumerate(("sample", "donor", "tissue", "slide", "rna_sample", "mpp", "tissue_geojson"))
    ]
    given = sheet(tmp_path / "hostile.csv", rows)
    # Names of tissues may be anything; they are in the command of this process.
    named = ["--tissues", "x'; touch CANARY; echo 'Lung", "--encoders", f"tiny=onnx:{tiny_encoder}"]
    run = nextflow(tmp_path, "results", "--input", given, "--expression", cohort / "gene_tpm.gct.gz", *named)
    assert run.code != 0
    assert set(run.tasks) == {"CHECK_COHORT"}, run.text
    said = run.log("CHECK_COHORT")
    for column in ("sample", "donor", "mpp"):
        assert said.count(f": {column} ") + said.count(f"column {column}") >= 5, said
    assert not canaries(tmp_path)


@pytest.mark.slow
def test_odd_names_of_files_work(cohort, tiny_encoder, tmp_path):
    """Slides, tables and results in places with blanks, quotes, letters of any script, `;` and a leading dash."""
    odd = tmp_path / "Daten; für 'x' (1)"
    odd.mkdir()
    truth = json.loads((cohort / "truth.json").read_text())
    named = json.dumps(truth["defects"])
    rows = [row for row in cohort_rows(cohort) if row["sample"] not in named and row["donor"] not in named]
    rows = [row for row in rows if row["tissue"] == rows[0]["tissue"]]
    for row, name in zip(rows, LEGAL, strict=False):
        shutil.copy(cohort / row["slide"], odd / name)
        row["slide"] = name
    for row in rows[len(LEGAL) :]:
        row["slide"] = str(cohort / row["slide"])
    expression = shutil.copy(cohort / "gene_tpm.gct.gz", odd / "TPM é; x.gct.gz")
    encoder = shutil.copy(tiny_encoder, odd / "an encoder.onnx")
    arguments = ["--input", sheet(odd / "my sheet.csv", rows), "--expression", expression]
    arguments += ["--encoders", f"tiny=onnx:{encoder}", "--patch_sizes", "256", "--max_patches", "2"]
    arguments += ["--slide_batches", "1", "--confounders", "none", "--only", "associate"]
    run = nextflow(tmp_path, "Ergebnisse é; 'y'", *arguments)
    assert run.code == 0, run.text
    made = {path.name.removesuffix(".summary.h5") for path in (run.outdir / "features" / "summaries").iterdir()}
    assert made == {row["sample"] for row in rows}
    assert not canaries(tmp_path / "work")


def test_containers_run_as_the_user_and_without_network():
    command = [str(ROOT / "setup" / "nextflow"), "config", str(ROOT), "-profile", "docker", "-flat"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert "docker.runOptions = '-u $(id -u):$(id -g) --network none'" in told
