"""What a run needs before its first task: container engines, the virtual environment; and the image of each process."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from container_names import devices, images_of_modules
from engine import FAST_JVM, ROOT

ABSENT = re.compile(r"python|docker|podman|apptainer|singularity|conda|mamba")
# Says what lies beside it, and fails where there is a file named for it with .fails.
FAKE = """\
#!/bin/sh
cat "$0.says"
[ ! -e "$0.fails" ]
"""
# Each case: what a command on PATH says and whether it fails (null: there is none), and what is then made of it.
CHECKS = """\
include { condaFaults; engineFaults; environmentFaults; toolFaults } from '%s'

def command(name, said, fails) {
    def path = file("${launchDir}/${name}")
    path.text = '''%s'''
    path.setPermissions('rwxr-xr-x')
    file("${path}.says").text = said
    if (fails) { file("${path}.fails").text = '' }
}

def show(name, faults) {
    println("CASE ${name}: ${faults.join(' ').replaceAll('\\\\s+', ' ')}")
}

workflow {
    show('no container here', toolFaults())
    show('no docker', engineFaults('docker'))
    show('no conda', condaFaults([useMamba: true]))
    command('docker', 'permission denied', true)
    show('docker fails', engineFaults('docker'))
    command('apptainer', 'apptainer version 1.3', false)
    show('apptainer', engineFaults('apptainer'))
    show('another engine', engineFaults('sarus'))
    command('python3', 'h5py scipy', false)
    show('packages missing', environmentFaults())
    command('python3', '', false)
    show('all packages', environmentFaults())
    command('python3', 'AssertionError: 3.9', true)
    show('old python', environmentFaults())
}
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands of this machine but for ABSENT."""
    folder = tmp_path_factory.mktemp("tools")
    for place in os.environ["PATH"].split(os.pathsep):
        for path in Path(place).glob("*"):
            link = folder / path.name
            if not ABSENT.match(path.name) and not link.is_symlink():
                link.symlink_to(path)
    return folder


def bare_nextflow(tools: Path, folder: Path, *arguments: object) -> tuple[int, str]:
    """Exit code and text of nextflow in `folder` with the commands of `folder` and `tools` alone."""
    words = shlex.split((ROOT / ".venv" / "engine.env").read_text())
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    kept = {name: os.environ[name] for name in ("JAVA_HOME", "NXF_HOME") if name in os.environ}
    environment = {**kept, **settings, "HOME": str(folder), "NXF_OPTS": FAST_JVM, "PATH": f"{folder}:{tools}"}
    command = [settings["HISTOGEX_NEXTFLOW"], *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def found(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the checks find in each case of CHECKS."""
    folder = tmp_path_factory.mktemp("checks")
    (folder / "main.nf").write_text(CHECKS % (ROOT / "subworkflows" / "checks.nf", FAKE))
    code, text = bare_nextflow(tools, folder, "run", "main.nf", "-ansi-log", "false")
    assert code == 0, text
    return dict(re.findall(r"^CASE ([^:]+): (.*)$", text, re.M))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "no container here",
            "and there is no .*/.venv/bin/python3 nor any python3 on PATH: run 'make setup' in /.*-profile docker",
        ),
        ("no docker", "'docker' is not on PATH: install it .* or run without a container engine: 'make setup'"),
        ("no conda", "'mamba' is not on PATH, or does not work: install it"),
        ("docker fails", "'docker version' fails with 1: start it .* It says: permission denied"),
        ("apptainer", ""),
        ("another engine", ""),
        ("packages missing", "there is no .*; the python3 on PATH lacks h5py, scipy: run 'make setup'"),
        ("all packages", ""),
        ("old python", r"python3 does not serve \(Python 3.11 or newer is needed\): .* It says: AssertionError: 3.9"),
    ],
)
def test_what_is_missing_is_said_with_its_fix(found: dict[str, str], case: str, said: str):
    assert re.fullmatch(f".*{said}.*" if said else "", found[case]), found[case]


def test_a_run_without_its_tools_stops_before_any_task(tools: Path, tmp_path: Path):
    code, text = bare_nextflow(tools, tmp_path, "run", ROOT, "-profile", "test,docker", "-ansi-log", "false")
    assert code == 2, text
    assert "Tasks cannot run here:\n  * 'docker' is not on PATH" in text
    assert "Submitted process" not in text
    assert not list((tmp_path / "results-test").glob("**/params.json"))


@pytest.mark.parametrize(
    ("registry", "profiles"),
    [("localhost:5000/lab", "test,docker,gpu"), pytest.param("ghcr.io/lab/", "test,docker", marks=pytest.mark.slow)],
)
def test_every_process_gets_the_image_of_its_module_from_the_registry(tmp_path: Path, registry: str, profiles: str):
    """As the engine resolves it: by tag, or by digest after a release. That it suits, test_containers.py shows."""
    words = ["inspect", ROOT, "-profile", profiles, "--container_registry", registry]
    command = [ROOT / "setup" / "nextflow", *words]
    environment = {**os.environ, "NXF_OPTS": FAST_JVM}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    resolved = json.loads(done.stdout[done.stdout.index("{\n") : done.stdout.rindex("\n}") + 2])["processes"]
    aliases = dict(
        (alias, name)
        for path in (ROOT / "subworkflows").glob("*.nf")
        for name, alias in re.findall(r"\b([A-Z_]+) as ([A-Z_]+)", path.read_text())
    )
    wanted = images_of_modules()
    seen = set()
    for process in resolved:
        alias = process["name"].rsplit(":", 1)[-1]
        name = aliases.get(alias, alias)
        image = devices(wanted[name])[-1 if "gpu" in profiles else 0]
        released = re.escape(image.split(":")[0]) + "@sha256:[0-9a-f]{64}"
        assert re.fullmatch(f"{registry.rstrip('/')}/({re.escape(image)}|{released})", process["container"]), process
        seen.add(name)
    assert len(seen) > 25 and {"TRAIN_CLASSIFIER", "EXTRACT_FEATURES", "MULTIQC"} < seen
