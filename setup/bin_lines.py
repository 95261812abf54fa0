#!/usr/bin/env python3
"""The `# bin:` line of every module: the helpers that its command imports, directly or through another helper.

Nextflow re-runs a task for a file of bin/ only when the script names the file. `bin_lines.py` checks all modules,
`bin_lines.py --write` corrects them.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / "bin"


def imports(script: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """Files of bin/ that `script` (a file name) imports, directly or through another."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((BIN / script).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        found |= {f"{name}.py" for name in names if (BIN / f"{name}.py").exists()}
    for name in sorted(found - seen - {script}):
        found |= imports(name, seen | found | {script})
    return found - {script}


def expected_line(module_text: str) -> str:
    """The `# bin:` line that a module with this text must have."""
    script = module_text.split("stub:")[0]
    commands = {
        name for name in re.findall(r"\b([a-z_]+\.py)\b", re.sub(r"# bin:.*", "", script)) if (BIN / name).exists()
    }
    helpers = set().union(*(imports(name) for name in commands)) - commands
    return f"# bin: {' '.join(sorted(helpers))}"


def wrong_modules(write: bool = False) -> dict[str, tuple[str, str]]:
    """Module -> (its line, the line it must have), for every module where they differ."""
    wrong = {}
    for path in sorted((ROOT / "modules").glob("*/main.nf")):
        text = path.read_text()
        lines = re.findall(r"# bin:.*", text)
        expected = expected_line(text)
        if lines != [expected]:
            wrong[path.parent.name] = (" | ".join(lines), expected)
            if write:
                path.write_text(re.sub(r"# bin:.*", expected, text))
    return wrong


if __name__ == "__main__":
    differing = wrong_modules(write="--write" in sys.argv)
    for module, (line, expected) in differing.items():
        print(f"{module}: '{line}' -> '{expected}'")
    sys.exit(bool(differing) and "--write" not in sys.argv)
