#!/usr/bin/env python3
"""Write containers/<image>/environment.yml from <image>/requirements.lock: conda_environment.py [IMAGE …]

Python comes from a conda channel, packages as the wheels of the lock, in the same versions: two solvers never agree.
"""

import sys
from pathlib import Path

CONTAINERS = Path(__file__).resolve().parents[1] / "containers"
HEAD = """\
# What the image {image} holds, for conda, mamba and micromamba. Written by setup/conda_environment.py: never edit it.
name: histogex-{image}
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
      - --only-binary=:all:
"""


def images() -> list[str]:
    """Images that have a lock."""
    return sorted(path.parent.name for path in CONTAINERS.glob("*/requirements.lock"))


def environment(image: str) -> str:
    """Text of an image's environment.yml: the lock's pinned packages with their markers, without the hashes."""
    lines = (CONTAINERS / image / "requirements.lock").read_text().splitlines()
    pinned = [line.removesuffix(" \\") for line in lines if line and not line.startswith((" ", "#"))]
    return HEAD.format(image=image) + "".join(f'      - "{line}"\n' for line in pinned)


if __name__ == "__main__":
    for name in sys.argv[1:] or images():
        (CONTAINERS / name / "environment.yml").write_text(environment(name))
