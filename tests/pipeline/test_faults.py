"""What happens to a run: tasks that are killed, hang or find no room, a second run in the same folder."""

import csv
import fcntl
import os
import subprocess

from engine import FAST_JVM, ROOT, nextflow

# Each process fails in its way when it is tried for the first time.
FAULTS = """
process KILLED {
    output: path 'done.txt'
    script: "[ ${task.attempt} -gt 1 ] || kill -9 \\$\\$; echo ${task.memory.toGiga()} > done.txt"
}
process FULL {
    output: path 'done.txt'
    script: "[ ${task.attempt} -gt 1 ] || exit 75; touch done.txt"
}
process HANGS {
    output: path 'done.txt'
    script: "[ ${task.attempt} -gt 1 ] || sleep 600; touch done.txt"
}
process BAD {
    input: path others
    script: "exit 65"
}
workflow { BAD(KILLED().mix(FULL(), HANGS()).collect().map { paths -> paths[0] }) }
"""


def test_what_is_temporary_is_retried_and_bad_data_are_not(tmp_path):
    """The rules of conf/base.config: SIGKILL (out of memory) with twice the memory, exit 75, a time limit; never 65."""
    (tmp_path / "main.nf").write_text(FAULTS)
    limit = "process { withName: HANGS { time = { 3.s * task.attempt } } }"
    trace = "trace { enabled = true; file = 'trace.txt'; fields = 'name,status,exit,attempt,memory' }"
    base = f"params.gpu = false\nincludeConfig '{ROOT / 'conf' / 'base.config'}'\n"
    (tmp_path / "nextflow.config").write_text(f"{base}{limit}\n{trace}\n")
    command = [str(ROOT / "setup" / "nextflow"), "run", "main.nf", "-ansi-log", "false"]
    environment = {**os.environ, "NXF_OPTS": FAST_JVM}
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300)
    with open(tmp_path / "trace.txt", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    tried = {(row["name"], row["attempt"]): (row["status"], row["exit"]) for row in rows}
    assert run.returncode == 1, run.stdout
    assert tried.pop(("KILLED", "1")) == ("FAILED", "137")
    assert tried.pop(("FULL", "1")) == ("FAILED", "75")
    assert tried.pop(("HANGS", "1"))[0] == "FAILED"
    assert tried.pop(("BAD", "1")) == ("FAILED", "65")
    assert tried == {(name, "2"): ("COMPLETED", "0") for name in ("KILLED", "FULL", "HANGS")}
    memory = {row["attempt"]: row["memory"] for row in rows if row["name"] == "KILLED"}
    assert memory == {"1": "4 GB", "2": "8 GB"}


def test_a_second_run_in_the_same_results_is_refused(cohort, tiny_encoder, tmp_path):
    """Before task 1, while another process holds the lock; params.json of the run at work stays as it is."""
    told = tmp_path / "results" / "pipeline_info"
    told.mkdir(parents=True)
    (told / "params.json").write_text("of the first run")
    arguments = ["--input", cohort / "samplesheet.csv", "--expression", cohort / "gene_tpm.gct.gz"]
    with open(told / ".lock", "w") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        run = nextflow(tmp_path, "results", *arguments, "--encoders", f"tiny=onnx:{tiny_encoder}")
    assert run.code == 2 and "another run is at work in it" in run.text
    assert (told / "params.json").read_text() == "of the first run"
    assert not run.tasks
