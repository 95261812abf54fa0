"""Rules of the house that files alone can show."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from bin_lines import wrong_modules

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "modules").glob("*/main.nf"))


def test_bin_lines_name_every_imported_helper():
    assert wrong_modules() == {}


def test_bin_files_are_executable():
    not_executable = [p.name for p in (ROOT / "bin").glob("*.py") if not p.stat().st_mode & 0o111]
    assert not_executable == []


@pytest.mark.parametrize("module", MODULES, ids=lambda p: p.parent.name)
def test_module_has_its_parts(module: Path):
    text = module.read_text()
    process = module.parent.name.upper()
    assert f"process {process} {{" in text
    assert re.search(r"^    container ", text, re.M)
    assert re.search(r"^    stub:$", text, re.M)
    assert "emit: versions" in text
    tests = (module.parent / "tests" / "main.nf.test").read_text()
    assert f'process "{process}"' in tests
    assert 'options "-stub"' in tests
    assert "process.failed" in tests
    assert tests.count("test(") >= 3


def test_schema_and_config_agree():
    """Every parameter stands in both, with the same default."""
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    declared = {name: p for group in schema["$defs"].values() for name, p in group["properties"].items()}
    block = re.search(r"^params \{\n(.*?)^\}", (ROOT / "nextflow.config").read_text(), re.M | re.S)[1]
    config = dict(re.findall(r"^    (\w+) +=\s(.*)$", block, re.M))
    assert set(config) == set(declared)
    for name, text in config.items():
        value = text.strip().strip("'")
        default = declared[name].get("default")
        if name == "trace_report_suffix":
            continue
        shown = "null" if default is None else json.dumps(default) if isinstance(default, bool) else str(default)
        assert value == shown, name


def test_schema_is_json_schema():
    import jsonschema

    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {ref["$ref"].rsplit("/", 1)[1] for ref in schema["allOf"]} == set(schema["$defs"])


def test_samplesheet_schema_is_what_the_reader_takes():
    """Forms read the schema, CHECK_COHORT the sheet: the same columns, the same ids."""
    from hx_join import ID_PATTERN
    from hx_sheet import COLUMNS

    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    sheet = json.loads((ROOT / schema["$defs"]["entry"]["properties"]["input"]["schema"]).read_text())["items"]
    assert set(sheet["properties"]) == set(COLUMNS)
    assert set(sheet["required"]) <= set(COLUMNS)
    for name in ("sample", "donor"):
        assert sheet["properties"][name]["pattern"].rstrip("$") == ID_PATTERN.pattern.removesuffix("\\Z")


def test_parameter_page_is_generated_from_the_schema():
    from parameters_doc import page

    assert (ROOT / "docs" / "parameters.md").read_text() == page()


def test_versions_agree():
    config = (ROOT / "nextflow.config").read_text()
    version = re.search(r"^    version += '([^']+)'", config, re.M)[1]
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    for module in MODULES:
        images = re.findall(r"histogex/\w+:([\w.]+)-", module.read_text())
        assert images == [version], module


def test_no_parameter_is_read_outside_the_entry_workflow():
    """Subworkflows and processes get values."""
    for path in [*MODULES, *(ROOT / "subworkflows").glob("*.nf")]:
        text = re.sub(r"//.*", "", path.read_text())
        assert set(re.findall(r"\bparams\.(?!nf|json)(\w+)", text)) == set(), path


def test_files_stay_short():
    """A file of over 300 lines is two ideas (some slack for a docstring)."""
    paths = [*(ROOT / "bin").glob("*.py"), *MODULES, *(ROOT / "subworkflows").glob("*.nf"), ROOT / "main.nf"]
    long = {p.name: n for p in paths if (n := len(p.read_text().splitlines())) > 320}
    assert long == {}
    assert len((ROOT / "main.nf").read_text().splitlines()) <= 150


def test_repository_names_no_registry_and_no_foreign_path():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    forbidden = re.compile(r"pypi\.org|pythonhosted|repo1?\.maven|registry\.npmjs|/root/|/home/\w+/work")
    for name in tracked:
        path = ROOT / name
        if name == "tests/python/test_structure.py" or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        assert not forbidden.search(text), name
        if name != ".ci/run":
            assert "../shared" not in text, name


def test_published_parameters_are_the_studys_choices():
    import yaml

    published = yaml.safe_load((ROOT / "assets" / "params_published.yml").read_text())
    assert published == {
        "patch_sizes": "128,256,512,1024,2048,4096",
        "segmentation": "otsu",
        "patch_rule": "centre",
        "resize": "bilinear",
        "aggregations": "mean,median",
        "encoders": "raw,retrained",
        "weights": "imagenet",
        "classifier_patches": 5000,
        "classifier_split": "patch",
        "classifier_head_optimizer": "rmsprop",
        "freeze_below": 172,
        "retrained_from": "128",
        "confounders": "published",
        "confounder_model": "published",
        "gene_filter": "published",
        "correction": "bonferroni",
        "alpha": 0.0001,
    }
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    declared = {name: p for group in schema["$defs"].values() for name, p in group["properties"].items()}
    for name, value in published.items():
        allowed = declared[name].get("enum")
        assert name in declared and (allowed is None or value in allowed)


def test_every_process_has_a_stage_in_the_table_of_times():
    from stage_times import STAGES

    files = [*(ROOT / "modules").glob("*/main.nf"), *(ROOT / "subworkflows").glob("*.nf")]
    text = "\n".join(path.read_text() for path in files)
    named = re.findall(r"(?m)^process (\w+)", text) + re.findall(r"\bas (\w+) \}", text)
    assert sorted(named) == sorted(process for processes in STAGES.values() for process in processes)
