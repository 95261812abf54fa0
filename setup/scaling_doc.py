#!/usr/bin/env python3
"""Write the tables of docs/scaling.md from docs/scaling.json: setup/scaling_doc.py [--estimate]

docs/scaling.json holds what benchmarks/bench_scale.py measured, what `--estimate` prints for cohorts of three sizes
(made anew by --estimate), and inputs that nobody measured: prices and rates. The text between the tables stays.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE, NUMBERS = ROOT / "docs" / "scaling.md", ROOT / "docs" / "scaling.json"
ENCODERS = "raw,retrained"
# Slides: tissues and batches a tissue, so that a batch has some eighty slides.
COHORTS = {2000: (4, 8), 25713: (40, 8), 1000000: (40, 320)}
PRINTED = {
    "tasks": r"tasks +(\d+)",
    "encodings": r"patch encodings +(\d+)",
    "reading_h": r"reading ([\d.]+)",
    "encoding_h": r"encoding ([\d.]+)",
    "training_h": r"training ([\d.]+)",
    "statistics_h": r"statistics ([\d.]+)",
    "slides_tb": r"slides read +([\d.]+)",
    "results_tb": r"results written +([\d.]+)",
    "result_files": r"files in results +about (\d+)",
    "work_files": r"files in work folder +about (\d+)",
}


def estimate(slides: int, project: Path = ROOT) -> dict[str, float]:
    """What `--estimate` prints for a cohort of that many slides."""
    tissues, batches = COHORTS[slides]
    with tempfile.TemporaryDirectory() as folder:
        with open(Path(folder) / "samplesheet.csv", "w", newline="") as handle:
            rows = csv.writer(handle)
            rows.writerow(["sample", "donor", "tissue", "slide"])
            rows.writerows([f"S{n}", f"D{n // tissues}", f"T{n % tissues}", f"S{n}.svs"] for n in range(slides))
        command = [str(ROOT / "setup" / "nextflow"), "run", str(project), "-ansi-log", "false", "--estimate"]
        command += ["--input", "samplesheet.csv", "--expression", "samplesheet.csv"]
        command += ["--encoders", ENCODERS, "--slide_batches", str(batches)]
        text = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, check=True).stdout
    found = {name: re.search(pattern, text) for name, pattern in PRINTED.items()}
    return {name: float(match[1]) if "." in match[1] else int(match[1]) for name, match in found.items()}


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: float) -> str:
    """Three digits, thousands apart."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def head_table(rows: list[dict]) -> str:
    """The engine's own cost by the part of the cohort."""
    header = [
        "slides",
        "tasks",
        "wall, min",
        "engine's CPU, s",
        "peak memory, GB",
        "entries in work folder",
        "in results",
    ]
    header += ["resume: wall, min", "CPU, s", "GB"]
    names = ["slides", "tasks", "minutes", "cpu_s", "peak_gb", "work_inodes", "result_files"]
    names += ["resume_minutes", "resume_cpu_s", "resume_peak_gb"]
    return table(header, [[measured(row[name]) for name in names] for row in rows])


def measured(value: float | None) -> str:
    """A measurement; null is one that was not made."""
    if value is None:
        return "not measured"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def cohort_table(estimates: dict[str, dict]) -> str:
    """What `--estimate` says of each cohort."""
    named = {
        "tasks": "tasks",
        "encodings": "patch encodings (patches x networks)",
        "reading_h": "core hours: reading slides",
        "encoding_h": "core hours: encoding, on CPU",
        "training_h": "core hours: training, on CPU",
        "statistics_h": "core hours: statistics",
        "slides_tb": "slides, TB",
        "results_tb": "results, TB; the work folder has as much",
        "result_files": "files in results",
        "work_files": "entries (inodes) in the work folder",
    }
    header = ["", *(f"{int(slides):,} slides" for slides in estimates)]
    return table(header, [[text, *(shown(of[name]) for of in estimates.values())] for name, text in named.items()])


def machine_cost(of: dict, machine: dict) -> dict[str, float]:
    """Hours and money of a cohort on some machines.

    GPU hours are the core hours of the networks over the cores that a GPU stands for: its patches a second times the
    core seconds of a patch. Reading runs beside encoding, statistics after both.
    """
    core_s = json.loads((ROOT / "assets" / "costs.json").read_text())["encode_core_seconds_per_patch"]
    gpu_h = (of["encoding_h"] + of["training_h"]) / (machine["patches_per_second"] * core_s)
    wall = max(gpu_h / machine["gpus"], of["reading_h"] / machine["cores"]) + of["statistics_h"] / machine["cores"]
    kept_tb = of["slides_tb"] + of["results_tb"]
    requests = (of["result_files"] + of["work_files"]) / 1000 * machine.get("per_1000_requests", 0)
    return {
        "gpu_h": gpu_h,
        "days": wall / 24,
        "compute": gpu_h * machine.get("gpu_hour", 0)
        + max(0, of["reading_h"] + of["statistics_h"] - gpu_h * machine.get("cores_with_gpu", 0))
        * machine.get("core_hour", 0),
        "storage": (kept_tb + of["results_tb"]) * 1000 * machine.get("gb_month", 0) + requests,
    }


def machine_table(estimates: dict[str, dict], machines: list[dict]) -> str:
    header = ["", "slides", "GPU hours", "days", "computing, USD", "storage for a month and requests, USD"]
    rows = []
    for machine in machines:
        for slides, of in estimates.items():
            cost = machine_cost(of, machine)
            money = [shown(cost[name]) if "gpu_hour" in machine else "own" for name in ("compute", "storage")]
            rows.append([machine["name"], f"{int(slides):,}", shown(cost["gpu_h"]), shown(cost["days"]), *money])
    return table(header, rows)


def input_table(machines: list[dict]) -> str:
    named = {
        "gpus": "GPUs at once",
        "patches_per_second": "patches a second on one (InceptionV3, 299 px; not measured here)",
        "cores": "CPU cores at once",
        "cores_with_gpu": "of them on a GPU's node, at its price",
        "gpu_hour": "USD an hour of a node with one GPU",
        "core_hour": "USD an hour of a core",
        "gb_month": "USD a GB and month",
        "per_1000_requests": "USD a thousand objects written",
    }
    header = ["input", *(machine["name"] for machine in machines)]
    return table(
        header, [[text, *(f"{machine.get(name, '')}" for machine in machines)] for name, text in named.items()]
    )


def tables(numbers: dict) -> dict[str, str]:
    return {
        "head": head_table(numbers["head"]),
        "cohorts": cohort_table(numbers["estimates"]),
        "inputs": input_table(numbers["machines"]),
        "machines": machine_table(numbers["estimates"], numbers["machines"]),
    }


def page(text: str, numbers: dict) -> str:
    """The page with its tables, each between `<!-- name -->` and `<!-- /name -->`, made anew."""
    for name, made in tables(numbers).items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, t=made: f"{m[1]}{t}\n{m[2]}", text, flags=re.S
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estimate", action="store_true", help="run --estimate for the cohorts again")
    numbers = json.loads(NUMBERS.read_text())
    if parser.parse_args().estimate:
        numbers["estimates"] = {str(slides): estimate(slides) for slides in COHORTS}
        NUMBERS.write_text(json.dumps(numbers, indent=2) + "\n")
    PAGE.write_text(page(PAGE.read_text(), numbers))


if __name__ == "__main__":
    main()
