"""The real engine, driven from pytest, on a small simulated cohort."""

import csv
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAST_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx1g"


@dataclass
class Run:
    """A finished `nextflow run`: exit code, all it printed, its results, and status and work folder by task name."""

    code: int
    text: str
    outdir: Path
    tasks: dict[str, str]
    folders: dict[str, Path]

    def ran(self) -> set[str]:
        """Names of the tasks that were run, not taken from the cache, without the workflow prefix."""
        return {name for name, status in self.tasks.items() if status == "COMPLETED"}

    def cached(self) -> set[str]:
        return {name for name, status in self.tasks.items() if status == "CACHED"}

    def log(self, name: str) -> str:
        """What a task printed."""
        return (self.folders[name] / ".command.log").read_text()


def _command(folder: Path, name: str, arguments: tuple, project: Path, resume: bool) -> tuple[list[str], str, dict]:
    suffix = f"run{len(list(folder.glob('*.log')))}"
    command = [str(ROOT / "setup" / "nextflow"), "-log", str(folder / f"{name}.{suffix}.log"), "run", str(project)]
    command += ["-ansi-log", "false", "-w", str(folder / "work"), *(["-resume"] if resume else [])]
    command += ["--outdir", str(folder / name), "--trace_report_suffix", suffix, *map(str, arguments)]
    return command, suffix, {**os.environ, "NXF_OPTS": FAST_JVM, "NXF_ANSI_LOG": "false"}


def killed(folder: Path, name: str, process: str, *arguments: object, project: Path = ROOT) -> None:
    """Start a run, and end it and its tasks by SIGKILL as soon as the second task of `process` is at work."""
    command, suffix, environment = _command(folder, name, arguments, project, False)
    log = folder / f"{name}.{suffix}.log"
    with open(folder / f"{name}.killed.txt", "w") as output:
        run = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            for _ in range(6000):
                if log.exists() and log.read_text(errors="replace").count(f"Submitted process > SLIDES:{process}") > 1:
                    break
                if run.poll() is not None:
                    raise AssertionError(f"ended by itself with {run.returncode}: {Path(output.name).read_text()}")
                time.sleep(0.1)
            time.sleep(1.5)  # in the middle of its work
        finally:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()


def nextflow(folder: Path, name: str, *arguments: object, project: Path = ROOT, resume: bool = False) -> Run:
    """Run the pipeline of `project` in `folder`; results in folder/name, work in folder/work."""
    outdir = folder / name
    command, suffix, environment = _command(folder, name, arguments, project, resume)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=1500)
    trace = outdir / "pipeline_info" / f"execution_trace_{suffix}.txt"
    tasks, folders = {}, {}
    if trace.exists():
        with open(trace, newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                name = row["name"].rsplit(":", 1)[-1]
                tasks[name] = row["status"]
                folders[name] = next((folder / "work").glob(f"{row['hash']}*"))
    return Run(done.returncode, done.stdout + done.stderr, outdir, tasks, folders)


def cohort_arguments(cohort: Path, sheet: Path, encoder: Path) -> list[object]:
    """Arguments of a run over slides of the simulated cohort with the tiny encoder."""
    return [
        "--input",
        sheet,
        "--expression",
        cohort / "gene_tpm.gct.gz",
        "--covariates",
        f"{cohort / 'sample_attributes.txt'},{cohort / 'subject_phenotypes.txt'}",
        "--truth",
        cohort / "truth.json",
        "--confounders",
        "none",
        "--patch_sizes",
        "128,256",
        "--max_patches",
        "6",
        "--slide_batches",
        "7",
        "--encoders",
        f"tiny=onnx:{encoder}",
        "--max_failed_slides",
        "0.4",
    ]


def sheet_without(cohort: Path, target: Path, left_out: set[str]) -> Path:
    """The cohort's samplesheet with absolute slide paths and without some samples."""
    with open(cohort / "samplesheet.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    with open(target, "w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        for row in rows:
            if row["sample"] not in left_out:
                writer.writerow({**row, "slide": cohort / row["slide"]})
    return target


def late_sample(cohort: Path) -> dict:
    """A sound slide that the first run does not have: of a donor with one slide of that tissue."""
    truth = json.loads((cohort / "truth.json").read_text())
    named = json.dumps(truth["defects"])
    with open(cohort / "samplesheet.csv", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["sample"] not in named and row["donor"] not in named]
    return rows[-1]
