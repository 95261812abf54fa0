"""Scripts keep to the forms that Nextflow 24.10 and the strict parser of 26.x both take.

The strict parser cannot be had offline; these are the forms that it refuses or warns of, as its language reference
lists them, looked for in the text without comments and strings.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([ROOT / "main.nf", *ROOT.glob("subworkflows/*.nf"), *ROOT.glob("modules/*/main.nf")])
CONFIGS = sorted([ROOT / "nextflow.config", ROOT / "tests" / "nextflow.config", *ROOT.glob("conf/*.config")])
_COMMENT_OR_STRING = re.compile(
    r"(?P<doc>\"\"\".*?\"\"\"|'''.*?''')|(?P<text>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<comment>//[^\n]*|/\*.*?\*/|\A#![^\n]*)",
    re.S,
)
TYPES = "String|Integer|Long|Boolean|Map|List|Set|Path|File|Object|int|long|double|float|boolean"
FORBIDDEN = {
    "channel factory in capitals": r"\bChannel\s*\.",
    "loop": r"\b(?:for|while)\s*\(",
    "switch": r"\bswitch\s*\(",
    "increment": r"\+\+|--(?!\w)",
    "spread": r"[\[(,]\s*\*\s*[\w(]",
    "import": r"^[ \t]*import\s",
    "typed declaration": rf"^[ \t]*(?:def\s+)?(?:{TYPES})(?:<[^>]*>)?\s+\w+\s*=",
    "cast": rf"\((?:{TYPES})\)\s*\w",
    "implicit closure parameter": r"\bit\b",
    "shell section": r"^[ \t]*shell:",
    "feature flag": r"\bnextflow\.(?:enable|preview)\b",
    "unquoted env": r"\benv\s+[A-Za-z_]\w*",
    "env function": r"\benv\s*\(",
    "typed or newer syntax": r"^[ \t]*(?:output|params|topic)\s*\{",
    "class": r"^[ \t]*(?:class|interface|enum|record)\s+\w",
    "multi-line slashy string": r"=\s*~?\s*/[^/\n]*$",
}
FORBIDDEN_IN_CONFIG = {
    "definition": r"^[ \t]*def\s",
    "statement": r"^[ \t]*(?:if|for|while|switch|try)\s*\(",
    "import": r"^[ \t]*import\s",
}
TOP_LEVEL = re.compile(r"(?:include|workflow|process|def|}|\)|$)")


def bare(text: str) -> str:
    """The text with comments taken out and strings emptied; the number of lines stays."""

    def emptied(found: re.Match) -> str:
        lines = "\n" * found[0].count("\n")
        return lines if found["comment"] else f"''{lines}"

    return _COMMENT_OR_STRING.sub(emptied, text)


def faults(text: str, forbidden: dict[str, str]) -> list[str]:
    """`line: form` of what is not to be there."""
    code = bare(text)
    return sorted(
        f"{code.count(chr(10), 0, found.start()) + 1}: {name}"
        for name, pattern in forbidden.items()
        for found in re.finditer(pattern, code, re.M)
    )


def loose_statements(text: str) -> list[str]:
    """Lines outside all braces that declare nothing."""
    depth, loose = 0, []
    for line in bare(text).split("\n"):
        if depth == 0 and not TOP_LEVEL.match(line.strip()):
            loose.append(line)
        depth += sum(line.count(c) for c in "{([") - sum(line.count(c) for c in "})]")
    return loose


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_scripts_parse_in_old_and_new(path: Path):
    text = path.read_text()
    assert faults(text, FORBIDDEN) == []
    assert loose_statements(text) == []
    if path != ROOT / "main.nf":
        assert "onComplete" not in text  # taken in the entry workflow alone
    for process in re.split(r"^process ", bare(text), flags=re.M)[1:]:
        assert re.search(r"^\s*script:\s*$", process, re.M)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_configs_parse_in_old_and_new(path: Path):
    assert faults(path.read_text(), FORBIDDEN_IN_CONFIG) == []


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("ch = Channel.of(1)", "channel factory in capitals"),
        ("for (x in xs) { }", "loop"),
        ("while (true) { }", "loop"),
        ("switch (x) { }", "switch"),
        ("i++", "increment"),
        ("def all = [meta, *rest]", "spread"),
        ("import groovy.json.JsonSlurper", "import"),
        ("String name = x", "typed declaration"),
        ("def Map opts = x", "typed declaration"),
        ("def n = (int) x", "cast"),
        ("xs.map { it + 1 }", "implicit closure parameter"),
        ("shell:", "shell section"),
        ("nextflow.enable.dsl = 2", "feature flag"),
        ("env NAME", "unquoted env"),
        ("def home = env('HOME')", "env function"),
        ("output {", "typed or newer syntax"),
        ("class Thing {", "class"),
        ("def pattern = ~/a", "multi-line slashy string"),
    ],
)
def test_a_forbidden_form_is_seen(line: str, form: str):
    assert f"2: {form}" in faults(f"// first\n{line}\n", FORBIDDEN)


def test_strings_and_comments_are_no_code():
    assert faults('def x = \'for (a) Channel.of it\' // while (1)\n/* i++ */\n"""\nfor (x)\n"""\n', FORBIDDEN) == []
    assert loose_statements("params.x = 1\ndef f() {\n    x = 1\n}\n") == ["params.x = 1"]


@pytest.mark.parametrize("line", ["def x = 1", "if (x) { }", "import a.b"])
def test_a_forbidden_form_of_a_config_is_seen(line: str):
    assert len(faults(line, FORBIDDEN_IN_CONFIG)) == 1
