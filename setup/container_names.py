#!/usr/bin/env python3
"""Write conf/containers.config: the image and the conda environment of every process, from modules/*/main.nf.

A module names its image by tag. The file puts the registry of --container_registry in front, and where they are given
the registry of a release by default and digests in place of tags:
container_names.py [--registry ghcr.io/lab histogex/stats:0.1.0-cpu=sha256:… …]. Without them images are named by tag,
as `make images` builds them.
"""

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "conf" / "containers.config"
DEVICE = "${task.accelerator ? 'cuda' : 'cpu'}"
HEAD = """\
// The image and the conda environment of every process. Written by setup/container_names.py from the container lines of
// modules/*/main.nf: never edit it. Names with a tag are of images that `make images` builds; `make release` puts in
// their place the digests of what it pushed, and where it pushed them. Selectors are in brackets so that none is spelt
// like one of another file, which would replace it. Closures: a profile or a later file may set the registry.
process {
"""
BLOCK = """\
    withName: '({processes})' {{
        container = {{ (params.container_registry ?: '{registry}').replaceFirst('([^/])$', '$1/') + {image} }}
        conda     = {{ "${{projectDir}}/containers/{folder}/environment.yml" }}
    }}
"""


def folder_of(image: str) -> str:
    """Folder of containers/ whose files make an image: histogex/encode:0.1.0-cuda is of encode-cuda, -cpu of encode."""
    name, device = re.fullmatch(r"histogex/(\w+):[^:]+-(cpu|cuda)", image).groups()
    return name if device == "cpu" else f"{name}-{device}"


def images_of_modules() -> dict[str, str]:
    """Process -> image as its module names it; one that depends on the device holds the text of DEVICE."""
    found = {}
    for path in sorted((ROOT / "modules").glob("*/main.nf")):
        text = path.read_text()
        (process,) = re.findall(r"(?m)^process (\w+) \{", text)
        (found[process],) = re.findall(r'(?m)^    container "(histogex/.*)"$', text)
    return found


def devices(image: str) -> list[str]:
    """The images that a module's name may stand for: that of the CPU first."""
    return [image.replace(DEVICE, device) for device in ("cpu", "cuda")] if DEVICE in image else [image]


def by_digest(image: str, digests: dict[str, str]) -> str:
    """The name with the digest where there is one: histogex/stats@sha256:…"""
    return f"{image.split(':')[0]}@{digests[image]}" if image in digests else image


def config(registry: str = "", digests: dict[str, str] | None = None) -> str:
    """Text of conf/containers.config: for what `make images` builds, or for what was pushed to a registry."""
    digests = digests or {}
    modules = images_of_modules()
    blocks = []
    for image in sorted(set(modules.values())):
        pushed = registry if any(one in digests for one in devices(image)) else ""
        processes = "|".join(process for process, its in modules.items() if its == image)
        name, *cuda = [f"'{by_digest(one, digests)}'" for one in devices(image)]
        folder, *cuda_folder = map(folder_of, devices(image))
        if cuda:
            name = f"(task.accelerator ? {cuda[0]} : {name})"
            folder = f"${{task.accelerator ? '{cuda_folder[0]}' : '{folder}'}}"
        blocks.append(BLOCK.format(registry=pushed, processes=processes, image=name, folder=folder))
    return HEAD + "".join(blocks) + "}\n"


def main() -> None:
    """Refuses a digest that is none or of an image that no process uses, and a registry that would break the file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--registry", default="", help="registry and namespace that the images were pushed to")
    arguments.add_argument("digests", nargs="*", metavar="IMAGE=DIGEST", help="histogex/NAME:VERSION-DEVICE=sha256:…")
    args = arguments.parse_args()
    known = {one for image in images_of_modules().values() for one in devices(image)}
    digests = dict(word.partition("=")[::2] for word in args.digests)
    for image, digest in digests.items():
        if image not in known or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
            arguments.error(f"{image}={digest}: no image of a process, or no digest")
    if not re.fullmatch(r"[\w.:/-]*", args.registry):
        arguments.error(f"--registry {args.registry}: letters, digits and . : / - _ alone")
    CONFIG.with_suffix(".tmp").write_text(config(args.registry, digests))
    CONFIG.with_suffix(".tmp").rename(CONFIG)


if __name__ == "__main__":
    main()
