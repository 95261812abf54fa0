"""Image locks against the root lock and the groups of pyproject.toml; rules of the Dockerfiles; the built images."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "containers"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGES = sorted(set(PYPROJECT["dependency-groups"]) - {"dev"})
LINUX = [
    {
        "sys_platform": "linux",
        "platform_machine": machine,
        "platform_system": "Linux",
        "os_name": "posix",
        "python_version": "3.11",
        "python_full_version": "3.11.14",
        "implementation_name": "cpython",
    }
    for machine in ("x86_64", "aarch64")
]
MODULES = {
    "slides": ["anndata", "cv2", "h5py", "imagecodecs", "openslide", "pandas", "scipy.ndimage", "tifffile"],
    "deep": ["h5py", "keras", "onnx", "pandas", "tensorflow", "tf2onnx"],
    "encode": ["cv2", "h5py", "onnxruntime", "openslide", "pandas"],
    "stats": ["anndata", "gprofiler", "gseapy", "h5py", "pandas", "pyarrow.parquet", "scipy.stats", "threadpoolctl"],
    "report": ["multiqc"],
}


def locked(lock: Path) -> list[tuple[Requirement, list[str]]]:
    """Pinned requirements of a lock file, each with its hashes."""
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    parts = [entry.split("--hash=") for entry in entries if entry.strip()]
    return [(Requirement(first), [value.strip() for value in rest]) for first, *rest in parts]


def versions(lock: Path, environment: dict[str, str]) -> dict[str, str]:
    """Version of each package that the lock installs in an environment of pip's markers."""
    return {
        canonicalize_name(r.name): str(r.specifier)
        for r, _ in locked(lock)
        if r.marker is None or r.marker.evaluate(environment)
    }


def instructions(image: str) -> list[str]:
    """Instructions of an image's Dockerfile, continuation lines joined, comments left out."""
    text = (CONTAINERS / image / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [line for line in lines.replace("\\\n", " ").splitlines() if line.strip()]


def test_one_folder_an_image() -> None:
    assert sorted(p.name for p in CONTAINERS.iterdir() if p.is_dir()) == IMAGES == sorted(MODULES)


@pytest.mark.parametrize("environment", LINUX, ids=lambda e: e["platform_machine"])
@pytest.mark.parametrize("image", IMAGES)
def test_lock_holds_the_group_in_the_versions_of_the_root_lock(image: str, environment: dict[str, str]) -> None:
    root = versions(ROOT / "requirements.lock", environment)
    mine = versions(CONTAINERS / image / "requirements.lock", environment)
    assert {name: version for name, version in mine.items() if root.get(name) != version} == {}
    group = [Requirement(text) for text in PYPROJECT["dependency-groups"][image]]
    wanted = [r for r in group if r.marker is None or r.marker.evaluate(environment)]
    assert [r.name for r in wanted if canonicalize_name(r.name) not in mine] == []
    assert [
        r.name for r in wanted if not r.specifier.contains(mine[canonicalize_name(r.name)].removeprefix("=="))
    ] == []


@pytest.mark.parametrize("image", IMAGES)
def test_lock_is_pinned_and_hashed_and_names_no_host(image: str) -> None:
    lock = CONTAINERS / image / "requirements.lock"
    assert [r.name for r, _ in locked(lock) if not re.fullmatch(r"==[^*,]+", str(r.specifier)) or r.url] == []
    assert [
        r.name
        for r, hashes in locked(lock)
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes)
    ] == []
    text = lock.read_text()
    assert "://" not in text and "#" not in text


@pytest.mark.parametrize("image", IMAGES)
def test_dockerfile_rules(image: str) -> None:
    lines = instructions(image)
    text = "\n".join(lines)
    assert [line for line in lines if line.startswith("FROM ")] == ["FROM python:3.11-slim-bookworm"]
    assert re.search(r"apt-get install -y --no-install-recommends\b.*\bprocps\b", text)
    assert re.search(r"pip install .*--require-hashes -r \S+/requirements\.lock", text)
    assert [line for line in lines if line.startswith(("COPY ", "ADD "))] == [
        "COPY requirements.lock /opt/histogex/requirements.lock"
    ]
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert f'org.opencontainers.image.title="histogex/{image}"' in text
    assert f'org.opencontainers.image.licenses="{PYPROJECT["project"]["license"]}"' in text
    raw = (CONTAINERS / image / "Dockerfile").read_text()
    assert not re.search(r"^# *syntax=|--mount=|:latest|https?_proxy|_CERT|CA_BUNDLE|://", raw, re.M | re.I)


@pytest.mark.parametrize("script", ["build.sh", "lock.sh"])
def test_scripts_refuse_an_unknown_image(script: str, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" = info ]\n')
    docker.chmod(0o755)
    run = subprocess.run(
        ["bash", CONTAINERS / script, "nosuch"],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert run.returncode == 2
    assert "no image nosuch" in run.stderr


def test_build_says_when_docker_does_not_answer(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    run = subprocess.run(
        ["bash", CONTAINERS / "build.sh"], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert run.returncode == 2
    assert "docker" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_built_image_serves_any_user_without_network_home_or_writable_files(image: str) -> None:
    tag = f"histogex/{image}:{PYPROJECT['project']['version']}-cpu"
    inspect = ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", tag]
    if not shutil.which("docker") or subprocess.run(inspect, capture_output=True).returncode:
        pytest.skip(f"{tag} is not built here (make images)")
    imports = ", ".join(MODULES[image])
    command = f"ps --version && pip check && cd /tmp && python -c 'import {imports}' && find /tmp -type f"
    run = subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            "--network",
            "none",
            "--read-only",
            "--tmpfs",
            "/tmp:mode=1777",
            "-u",
            "1234:1234",
            "-e",
            "HOME=/nonexistent",
            tag,
            "bash",
            "-euc",
            command,
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("ps from procps") and lines[1:] == ["No broken requirements found."]
    assert "telemetry" not in run.stderr
    labels = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout
    assert f'"org.opencontainers.image.version":"{PYPROJECT["project"]["version"]}"' in labels
