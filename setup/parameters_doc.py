#!/usr/bin/env python3
"""Write docs/parameters.md from nextflow_schema.json (`make parameters`)."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def page() -> str:
    """Text of docs/parameters.md."""
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    lines = [
        "# Parameters",
        "",
        "Generated from `nextflow_schema.json` by `make parameters`; `nextflow run . --help` prints the same.",
        "",
    ]
    for group in schema["$defs"].values():
        lines += [
            f"## {group['title']}",
            "",
            group["description"],
            "",
            "| parameter | type | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, p in group["properties"].items():
            kind = ", ".join(f"`{choice}`" for choice in p["enum"]) if "enum" in p else p["type"]
            default = (
                f"`{json.dumps(p['default']) if isinstance(p['default'], bool) else p['default']}`"
                if p.get("default") not in (None, "")
                else ""
            )
            lines.append(f"| `--{name}` | {kind} | {default} | {p['description'].replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (ROOT / "docs" / "parameters.md").write_text(page())
