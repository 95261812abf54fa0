#!/usr/bin/env python3
"""Print the versions.yml entry of a process: hx_versions.py --process NAME PACKAGE [PACKAGE ...]"""

import platform
import sys
from importlib.metadata import version

from hx_cli import command, parser


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--process", required=True, help="name of the process; a workflow prefix is cut off")
    arguments.add_argument("packages", nargs="*", metavar="PACKAGE", help="installed Python distributions")
    args = arguments.parse_args(argv)
    print(f'"{args.process.rsplit(":", 1)[-1]}":')
    print(f"  python: {platform.python_version()}")
    for package in sorted(args.packages):
        print(f"  {package}: {version(package)}")


if __name__ == "__main__":
    sys.exit(main())
