"""What the job scripts ask for with the GPU switched on, under Docker and under Slurm; neither need be there."""

import os
import re
from pathlib import Path

import pytest
from engine import nextflow

GPU_PROCESSES = {"TRAIN_CLASSIFIER", "EXTRACT_FEATURES"}

# Runs the command of `docker run IMAGE COMMAND…` as it stands.
DOCKER = """\
#!/usr/bin/env bash
set -u
[ "$1" = run ] || exit 0
until [[ $1 == histogex/* ]]; do shift; done
shift
exec "$@"
"""
# Starts the job script in the background; the number of its process is the number of the job.
SBATCH = """\
#!/usr/bin/env bash
setsid bash "$1" > .command.log 2>&1 < /dev/null &
echo $! >> "$(dirname "$0")/jobs"
echo "Submitted batch job $!"
"""
# Number and state of every job: what `squeue --noheader -o '%i %t' -t all` prints.
SQUEUE = """\
#!/usr/bin/env bash
[[ "$*" == *"-o %i %t"* ]] || exit 2
for job in $(cat "$(dirname "$0")/jobs"); do
    if kill -0 $job 2> /dev/null; then echo "$job R"; else echo "$job CD"; fi
done
"""
SCANCEL = """\
#!/usr/bin/env bash
kill "$@"
"""


def job_scripts(folder: Path, commands: dict[str, str], *arguments: object) -> dict[str, list[str]]:
    """The job scripts of a stub run by name of the process, with `commands` in front of all others on PATH."""
    fake = folder / "commands"
    fake.mkdir()
    for name, text in commands.items():
        (fake / name).write_text(text)
        (fake / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(fake), prepend=os.pathsep)
        run = nextflow(folder, "results", "-stub", *arguments)
    assert run.code == 0, run.text
    scripts: dict[str, list[str]] = {}
    for path in (folder / "work").glob("*/*/.command.run"):
        text = path.read_text()
        name = re.search(r"^### name: '(?:\w+:)*(\w+)", text, re.MULTILINE)[1]
        scripts.setdefault(name, []).append(text)
    assert sum(len(texts) for texts in scripts.values()) == len(run.tasks)
    assert scripts.keys() > GPU_PROCESSES
    return scripts


def test_docker_gets_the_gpu_and_the_cuda_image_for_two_processes(tmp_path):
    scripts = job_scripts(tmp_path, {"docker": DOCKER}, "-profile", "test,docker,gpu")
    for name, texts in scripts.items():
        for text in texts:
            (call,) = re.findall(r"^\s*docker run .*", text, re.MULTILINE)
            image = re.search(r" histogex/\w+:[\d.]+-(\w+) ", call)[1]
            assert (image, "--gpus all" in call) == (("cuda", True) if name in GPU_PROCESSES else ("cpu", False)), name


def test_slurm_jobs_of_two_processes_ask_for_a_gpu(tmp_path):
    config = tmp_path / "slurm.config"
    config.write_text("process.executor = 'slurm'\nexecutor { pollInterval = '1 sec'; queueStatInterval = '2 sec' }\n")
    commands = {"sbatch": SBATCH, "squeue": SQUEUE, "scancel": SCANCEL}
    scripts = job_scripts(tmp_path, commands, "-profile", "test", "--gpu", "true", "-c", config)
    for name, texts in scripts.items():
        for text in texts:
            asked = re.findall(r"^#SBATCH .*gpu.*", text, re.MULTILINE)
            assert asked == (["#SBATCH --gres=gpu:1"] if name in GPU_PROCESSES else []), name
