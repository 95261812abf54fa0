"""Image locks against the root lock, the groups of pyproject.toml and what the processes import; rules of the
Dockerfiles; names of images in conf/containers.config; the release; the built images."""

import ast
import functools
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import container_names
import pytest
from bin_lines import BIN
from conda_environment import environment, images
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
CUDA = [image for image in IMAGES if image.endswith("-cuda")]
BASE = re.search("^ARG BASE=(.*)$", (CONTAINERS / "stats" / "Dockerfile").read_text(), re.M)[1]
MODULES = {
    "slides": ["anndata", "cv2", "h5py", "imagecodecs", "openslide", "pandas", "scipy.ndimage", "tifffile"],
    "deep": ["h5py", "keras", "onnx", "pandas", "tensorflow", "tf2onnx"],
    "encode": ["cv2", "h5py", "onnxruntime", "openslide", "pandas"],
    "stats": ["anndata", "gprofiler", "gseapy", "h5py", "pandas", "pyarrow.parquet", "scipy.stats", "threadpoolctl"],
    "report": ["multiqc"],
}
# What one image alone is for: a process in it imports this, and no process of another image does.
PURPOSE = {"deep": "tensorflow", "encode": "onnxruntime"}
GPU_NAMES = {"onnxruntime": "onnxruntime-gpu", "tensorflow-cpu": "tensorflow"}
# Inside functions that only statistics call: tables of features as Parquet and h5ad.
OTHER_TABLES = {("hx_io.py", "pyarrow"), ("hx_join.py", "pyarrow"), ("hx_join.py", "anndata")}


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


@functools.cache
def foreign(name: str) -> frozenset[tuple[str, str]]:
    """(file, top-level package) of what a file of bin/ imports that is neither of bin/ nor of Python's own library."""
    modules: list[str] = []
    for node in ast.walk(ast.parse((BIN / name).read_text())):
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
    tops = {module.split(".")[0] for module in modules} - sys.stdlib_module_names
    return frozenset((name, top) for top in tops if not (BIN / f"{top}.py").exists())


@functools.cache
def installed() -> dict[str, list[str]]:
    """Distributions by the top-level package that they bring."""
    return packages_distributions()


def commands(process: str) -> tuple[set[str], set[str]]:
    """Commands of bin/ that a process runs, and the distributions whose versions it writes down."""
    script = (ROOT / "modules" / process.lower() / "main.nf").read_text().split("stub:")[0]
    script = re.sub("# bin:.*", "", script)
    (versions_of,) = re.findall(r"hx_versions\.py --process '[^']*' (.*) > versions\.yml", script)
    return {n for n in re.findall(r"\b[a-z_]+\.py\b", script) if (BIN / n).exists()}, set(versions_of.split())


def test_one_folder_an_image() -> None:
    assert sorted(p.name for p in CONTAINERS.iterdir() if p.is_dir()) == IMAGES
    assert sorted(MODULES) == sorted(set(IMAGES) - set(CUDA))


@pytest.mark.parametrize("environment", LINUX, ids=lambda e: e["platform_machine"])
@pytest.mark.parametrize("image", sorted(MODULES))
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


@pytest.mark.parametrize(("image", "library"), [("deep-cuda", "tensorflow"), ("encode-cuda", "onnxruntime-gpu")])
def test_lock_for_gpus_differs_from_that_for_cpus_in_the_library_alone(image: str, library: str) -> None:
    root = versions(ROOT / "requirements.lock", LINUX[0])
    cpu = versions(CONTAINERS / image.removesuffix("-cuda") / "requirements.lock", LINUX[0])
    mine = versions(CONTAINERS / image / "requirements.lock", LINUX[0])
    groups = PYPROJECT["dependency-groups"]
    added = set(groups[image]) - set(groups[image.removesuffix("-cuda")])
    assert [Requirement(text).name for text in added] == [library]
    own = {name for name in mine if name not in root}
    assert library in own and all(name == library or name.startswith("nvidia-") for name in own)
    assert "nvidia-cublas" in " ".join(own) and "nvidia-cudnn" in " ".join(own)
    assert {name: version for name, version in mine.items() if name not in own and root[name] != version} == {}
    of_cpu = {"deep-cuda": "tensorflow-cpu", "encode-cuda": "onnxruntime"}[image]
    assert set(cpu) - set(mine) == {of_cpu}
    # Wheels of onnxruntime for GPUs come out later.
    number = [[int(part) for part in text[2:].split(".")] for text in (mine[library], cpu[of_cpu])]
    assert number[0] == number[1] if image == "deep-cuda" else number[0] <= number[1]


def test_conda_environments_are_of_the_locks() -> None:
    assert images() == IMAGES
    for image in IMAGES:
        text = (CONTAINERS / image / "environment.yml").read_text()
        assert text == environment(image), f"{image}: run setup/conda_environment.py"
        listed = {canonicalize_name(r.name) for r in map(Requirement, re.findall(r'^      - "(.*)"$', text, re.M))}
        assert listed == {canonicalize_name(r.name) for r, _ in locked(CONTAINERS / image / "requirements.lock")}


@pytest.mark.parametrize("process", container_names.images_of_modules())
def test_image_of_a_process_holds_what_it_imports_and_is_the_one_for_it(process: str) -> None:
    scripts, reported = commands(process)
    line = re.search("# bin: (.*)", (ROOT / "modules" / process.lower() / "main.nf").read_text())[1]
    needed = set().union(*map(foreign, scripts | set(line.split())))
    distributions = installed()
    folders = [
        container_names.folder_of(image)
        for image in container_names.devices(container_names.images_of_modules()[process])
    ]
    for folder in folders:
        lock = versions(CONTAINERS / folder / "requirements.lock", LINUX[0])
        # The same modules under another name.
        lock |= {cpu: "" for cpu, gpu in GPU_NAMES.items() if gpu in lock}
        lacking = {
            (file, top)
            for file, top in needed - OTHER_TABLES
            if not {canonicalize_name(name) for name in distributions[top]} & lock.keys()
        }
        assert lacking == set()
        assert {name for name in reported if canonicalize_name(name) not in lock} == set()
    imported = {top for _, top in needed}
    (image,) = {folder.removesuffix("-cuda") for folder in folders}
    for name, library in PURPOSE.items():
        assert (image == name) == (library in imported)
    assert (image in ("slides", "encode")) == ("cv2" in imported)
    assert (image == "report") == (process == "MULTIQC")


def test_checks_before_the_first_task_look_for_every_package() -> None:
    text = (ROOT / "subworkflows" / "checks.nf").read_text()
    listed = re.findall(r"'(\w+)'", re.search(r"def packages\(\) \{\s+return \[(.*?)\]", text, re.S)[1])
    imported = {top for path in BIN.glob("*.py") for _, top in foreign(path.name)}
    # tifffile imports imagecodecs where a file needs it; multiqc is a command.
    assert sorted(listed) == sorted(imported | {"imagecodecs", "multiqc"})


def test_names_of_images_are_those_of_the_modules() -> None:
    """Written anew from what the file itself says was released, it is the same."""
    text = container_names.CONFIG.read_text()
    modules = container_names.images_of_modules()
    known = {one.split(":")[0] + one[-4:]: one for image in modules.values() for one in container_names.devices(image)}
    digests = dict(re.findall(r"'(histogex/\w+)@(sha256:[0-9a-f]{64})'", text))
    registry = next((name for name in re.findall(r"container_registry \?: '([^']*)'", text) if name), "")
    if not digests:
        assert text == container_names.config(), "run setup/container_names.py"
    assert {image.split(":")[0] for image in known.values()} >= digests.keys() and bool(digests) == bool(registry)


def test_a_digest_takes_the_place_of_the_tag() -> None:
    digests = {"histogex/encode:0.1.0-cuda": "sha256:" + "a" * 64, "histogex/report:0.1.0-cpu": "sha256:" + "b" * 64}
    version = PYPROJECT["project"]["version"]
    digests = {image.replace("0.1.0", version): digest for image, digest in digests.items()}
    lines = container_names.config("ghcr.io/lab", digests).splitlines()
    (report,) = [line for line in lines if "histogex/report" in line]
    assert "?: 'ghcr.io/lab')" in report and f"'histogex/report@sha256:{'b' * 64}'" in report
    (extract,) = [line for line in lines if "histogex/encode" in line]
    assert f"? 'histogex/encode@sha256:{'a' * 64}' : 'histogex/encode:{version}-cpu'" in extract
    assert all("?: '')" in line for line in lines if "histogex/stats" in line)


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
    assert lines[:2] == [f"ARG BASE={BASE}", "FROM ${BASE}"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", BASE)
    assert sum(line.startswith("FROM ") for line in lines) == 1
    assert re.search(r"apt-get install -y --no-install-recommends\b.*\bprocps\b", text)
    assert re.search(r"pip install .*--require-hashes -r \S+/requirements\.lock", text)
    assert [line for line in lines if line.startswith(("COPY ", "ADD "))] == [
        "COPY requirements.lock /opt/histogex/requirements.lock"
    ]
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert f'org.opencontainers.image.title="histogex/{image.removesuffix("-cuda")}"' in text
    assert "install -d -m 1777 /var/cache/histogex" in text and "XDG_CACHE_HOME=/var/cache/histogex" in text
    assert ("NVIDIA_DRIVER_CAPABILITIES=compute,utility" in text) == (image in CUDA)
    assert f'org.opencontainers.image.licenses="{PYPROJECT["project"]["license"]}"' in text
    raw = (CONTAINERS / image / "Dockerfile").read_text()
    assert not re.search(r"^# *syntax=|--mount=|:latest|https?_proxy|_CERT|CA_BUNDLE|://", raw, re.M | re.I)


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_finds_nothing(image: str) -> None:
    """Debian keeps one version of a package: procps cannot be pinned (DL3008)."""
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not on PATH")
    command = ["hadolint", "--ignore", "DL3008", CONTAINERS / image / "Dockerfile"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


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


DOCKER = """\
#!/bin/sh
echo "$@" >> "$0.calls"
case "$1 $*" in
  push*nosuch*) exit 1 ;;
  image*RepoDigests*) echo "localhost:1/lab/histogex/report@sha256:%s" ;;
  image*) echo 1000000 ;;
esac
"""


@pytest.mark.parametrize("registry", ["localhost:1/lab/", "nosuch", ""])
def test_release_writes_digests_only_of_what_was_pushed(registry: str, tmp_path: Path) -> None:
    for name in ("containers", "setup", "conf", "modules"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    docker = tmp_path / "docker"
    docker.write_text(DOCKER % ("c" * 64))
    docker.chmod(0o755)
    run = subprocess.run(
        ["bash", tmp_path / "containers" / "release.sh", "report"],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin", "REGISTRY": registry},
    )
    text = (tmp_path / "conf" / "containers.config").read_text()
    if registry != "localhost:1/lab/":
        assert run.returncode == (1 if registry else 2), run.stderr
        assert "was not pushed" in run.stderr if registry else "make release REGISTRY=" in run.stderr
        assert "sha256" not in text or not registry
        return
    assert run.returncode == 0, run.stderr
    assert f"?: 'localhost:1/lab').replaceFirst('([^/])$', '$1/') + 'histogex/report@sha256:{'c' * 64}'" in text
    tag = f"localhost:1/lab/histogex/report:{PYPROJECT['project']['version']}-cpu"
    assert f"push --quiet {tag}\n" in (tmp_path / "docker.calls").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("image", sorted(MODULES))
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
