#!/usr/bin/env python3
"""The engine's own cost of a cohort of the size of GTEx: a stub run of growing parts of it, and a resume of each.

    .venv/bin/python benchmarks/bench_scale.py --scratch /tmp/scale [--parts 16,8,4,2,1] [--write]

Slides are empty files and every task is its stub, but for CHECK_COHORT, which reads the samplesheet (its stub knows
two slides): 25,713 slides of 948 donors and 40 tissues, six patch sizes, two encoders, no patch features kept. What is
measured, from /proc, is the Java process of the engine alone: wall time, CPU time without that of its tasks, peak
memory; and tasks and files. Stubs take a tenth of a second and more each of the same two cores, which the engine of a
true run does not feel. --write stores the rows in docs/scaling.json, from which setup/scaling_doc.py makes a table of
docs/scaling.md. Work folders of a part are deleted when it is done. Exit 1 where the whole misses a bar: 4 GB, 15
minutes, 5 minutes for the resume.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ["main.nf", "nextflow.config", "nextflow_schema.json", "subworkflows", "modules", "bin", "conf", "assets"]
SLIDES, TISSUES, DONORS = 25713, 40, 948
MEASURES = ROOT / "docs" / "scaling.json"
BARS = {"peak_gb": 4, "minutes": 15, "resume_minutes": 5}
# A compiler and a collector that two cores have time for: half the CPU time of a short run.
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# One core a stub, whatever its process asks for, so that both cores are at work.
CONFIG = "process.resourceLimits = [cpus: 1, memory: '500 MB', time: '1 h']\n"


def copy_project(target: Path) -> None:
    """The checkout, with CHECK_COHORT as it is in place of its stub."""
    target.mkdir(parents=True)
    for name in PROJECT:
        source = ROOT / name
        shutil.copytree(source, target / name) if source.is_dir() else shutil.copy2(source, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    module = target / "modules" / "check_cohort" / "main.nf"
    head, script = module.read_text().split("    stub:")[0].split("    script:")
    module.write_text(f"{head}    script:{script}    stub:{script}}}\n")


def made_rows(slides: int) -> list[dict]:
    """Rows of a samplesheet: donors in turns, so that tissues differ by one slide at most."""
    rows = []
    for number in range(slides):
        donor, tissue = number // TISSUES % DONORS, number % TISSUES
        name = f"GTEX-{donor:05d}-{tissue:02d}{number // (TISSUES * DONORS):02d}"
        rows.append({"sample": name, "donor": f"GTEX-{donor:05d}", "tissue": f"Tissue {tissue:02d}"})
        rows[-1] |= {"slide": f"slides/{tissue:02d}/{name}.svs", "rna_sample": name}
    return rows


def make_cohort(folder: Path, slides: int) -> None:
    """Samplesheet, empty slides, and an expression table of one gene."""
    rows = made_rows(slides)
    for row in rows:
        path = folder / row["slide"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with open(folder / "samplesheet.csv", "w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    names = "\t".join(row["rna_sample"] for row in rows)
    (folder / "expression.tsv").write_text(f"gene\t{names}\nENSG00000000003.14" + "\t1.5" * len(rows) + "\n")


def engine_process(parent: int) -> int | None:
    """Process id of the Java below the launcher; None before it is there."""
    waiting = [parent]
    while waiting:
        pid = waiting.pop()
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "java":
                return pid
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except FileNotFoundError:  # it has ended since
            continue
    return None


def process_cost(pid: int) -> tuple[float, float]:
    """Seconds of CPU without those of children, and peak memory in GB, of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak * 1024 / 1e9


def engine_run(folder: Path, name: str, heap: str, *options: str) -> dict:
    """Run the flow on the cohort of the folder: wall and CPU seconds, peak memory, tasks run and cached."""
    command = [str(ROOT / "setup" / "nextflow"), "-log", str(folder / f"{name}.log"), "run", str(folder / "project")]
    command += ["-c", str(folder / "bench.config"), "-stub", "-ansi-log", "false", "-w", str(folder / "work"), *options]
    command += ["--input", "samplesheet.csv", "--expression", "expression.tsv", "--outdir", "results"]
    command += ["--encoders", "raw,retrained", "--trace_report_suffix", name]
    environment = {**os.environ, "NXF_OPTS": f"{JVM} -Xmx{heap}", "NXF_OFFLINE": "true"}
    start, cpu, peak = time.monotonic(), 0.0, 0.0
    with open(folder / f"{name}.out", "w") as output:
        run = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while run.poll() is None:
            time.sleep(0.5)
            pid = engine_process(run.pid)
            try:
                cpu, memory = process_cost(pid) if pid else (cpu, 0.0)
                peak = max(peak, memory)  # one that is just ending has none any more
            except FileNotFoundError:  # it has ended since
                continue
    wall = time.monotonic() - start
    if run.returncode:
        sys.exit(f"{folder}/{name}.out: the run ended with {run.returncode}")
    with open(folder / "results" / "pipeline_info" / f"execution_trace_{name}.txt", newline="") as handle:
        tasks = list(csv.DictReader(handle, delimiter="\t"))
    busy = sum(int(task["realtime"]) for task in tasks if task["status"] == "COMPLETED") / 1000
    cached = sum(task["status"] == "CACHED" for task in tasks)
    return {
        "minutes": wall / 60,
        "cpu_s": cpu,
        "peak_gb": peak,
        "tasks": len(tasks),
        "cached": cached,
        "stub_s": busy,
    }


def entries(folder: Path) -> int:
    """Files, links and folders below a folder: its inodes."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def measure(scratch: Path, part: int, heap: str) -> dict:
    """One row of the table: a part of the cohort, run and resumed."""
    folder = scratch / f"part{part}"
    shutil.rmtree(folder, ignore_errors=True)
    copy_project(folder / "project")
    (folder / "bench.config").write_text(CONFIG)
    slides = SLIDES // part
    make_cohort(folder, slides)
    first = engine_run(folder, "first", heap)
    files = {"work_inodes": entries(folder / "work"), "result_files": entries(folder / "results")}
    again = engine_run(folder, "again", heap, "-resume")
    if again["cached"] != again["tasks"]:
        sys.exit(f"{folder}: {again['tasks'] - again['cached']} tasks were run again by -resume")
    shutil.rmtree(folder / "work")
    shutil.rmtree(folder / "slides")
    resumed = {f"resume_{name}": again[name] for name in ("minutes", "cpu_s", "peak_gb")}
    row = {"part": part, "slides": slides, "heap": heap, **first, **files, **resumed}
    return {
        name: round(value, 2) if isinstance(value, float) else value for name, value in row.items() if name != "cached"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scratch", type=Path, required=True, help="folder for the runs; the whole needs 2 GB and 2 million inodes"
    )
    parser.add_argument("--parts", default="16,8,4,2,1", help="parts of the cohort: 16 is a sixteenth")
    parser.add_argument("--heap", default="3g", help="most memory that Java may take for objects")
    parser.add_argument("--write", action="store_true", help="store the rows in docs/scaling.json")
    args = parser.parse_args()
    stored = json.loads(MEASURES.read_text()) if MEASURES.exists() else {}
    missed = False
    for part in map(int, args.parts.split(",")):
        row = measure(args.scratch, part, args.heap)
        print(json.dumps(row), flush=True)
        missed |= part == 1 and any(row[name] > most for name, most in BARS.items())
        if args.write:
            rows = [*(old for old in stored.get("head", []) if old["part"] != part), row]
            stored["head"] = sorted(rows, key=lambda old: -old["part"])
            MEASURES.write_text(json.dumps(stored, indent=2) + "\n")
    sys.exit(missed)


if __name__ == "__main__":
    main()
