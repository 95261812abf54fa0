"""Report sections of gene sets: from what the commands write to what is shown."""

import json
import re
from pathlib import Path

import pytest
from enrichment_made import tables, write_gmt
from test_combine_enrichment import put
from test_enrich_cli import PLANTED, PREFIX, SYMBOLS, factor_genes, random_sets, run

import combine_enrichment
import hx_gprofiler
from hx_cli import Faults
from hx_enrichment_sections import TABLES, enrichment_sections
from hx_gather import gather
from hx_term_sections import TABLES as TERM_TABLES
from hx_term_sections import term_sections

CONFIG = Path(__file__).resolve().parents[2] / "assets" / "multiqc_config.yml"


def sections_of(folder: Path) -> dict[str, dict]:
    faults = Faults()
    found = gather(folder, TABLES | TERM_TABLES, faults)
    faults.stop()
    return {each["id"]: each for each in [*enrichment_sections(found), *term_sections(found)]}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections")
    image, expression = tables(SYMBOLS, {"raw_0003": PLANTED})
    gmt = write_gmt(folder / "sets.gmt", {"<PLANTED>": PLANTED[10:30], **random_sets(1, SYMBOLS)})
    markers = write_gmt(folder / "cells.gmt", {"CELL": PLANTED[:20], "OTHER": SYMBOLS[200:220]})
    factors = factor_genes(folder / "f.parquet", expression, {"SMRIN": PLANTED})
    options = ["--marker-sets", str(markers), "--confounder-genes", str(factors), "--gsea-features", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hx_gprofiler, "WAITS", ())
        options += ["--gprofiler", "--gprofiler-url", "http://127.0.0.1:9"]
        assert run(folder, image, expression, gmt, *options) == 0
    put(folder / "out", "Skin.256", gmt, PLANTED, 1)
    assert combine_enrichment.main(["--tables", f"{folder}/out", "--outdir", f"{folder}/out"]) == 0
    return sections_of(folder / "out")


def test_markers_are_the_first_section(shown):
    assert list(shown)[:4] == ["enrichment_markers", "marker_hits", "enrichment", "enrichment_table1"]
    first = next(iter(shown["enrichment_markers"]["data"].values()))
    assert first["term"] == "about CELL" and first["q_camera"] < 0.05
    assert "track one" in shown["marker_hits"]["description"]


def test_every_section_has_a_place_and_is_json(shown):
    places = set(re.findall(r"^  (\w+):$", CONFIG.read_text(), re.M))
    wanted = {"enrichment_top", "enrichment_lists", "gsea", "gprofiler_status", "term_sets_tissue_id", "term_sets"}
    assert wanted <= set(shown) <= places
    for each in shown.values():
        assert json.loads(json.dumps(each, allow_nan=False))


def test_warnings_are_said(shown):
    """GSEA's label, the small universe, the server that gave no answer, controls beside the real numbers."""
    assert "WARNING: p comes from permuting genes" in shown["gsea"]["description"]
    assert "CAUTION: 400 genes tested" in shown["enrichment"]["description"]
    assert "unreachable" in shown["gprofiler_status"]["data"] and "127.0.0.1:9" in shown["gprofiler_status"]["data"]
    row = next(row for row in shown["enrichment"]["data"].values() if row["collection"] == "gene_sets")
    assert row["test"] == "camera (headline)" and row["found"] >= 1 and row["control_found"] == 0


def test_terms_and_genes_are_shown(shown):
    table = next(iter(shown["enrichment_table1"]["data"].values()))
    assert table["feature"] == "raw_0003" and "more" in table["shown"]
    assert any("&lt;PLANTED&gt;" in name for name in shown["enrichment_table1"]["data"])
    lists = shown["enrichment_lists"]["data"].values()
    assert {row["kind"] for row in lists} == {"setting", "factor"}
    assert any(name.startswith("Lung + Skin") for name in shown["term_sets_tissue_id"]["data"])


def test_nothing_was_run(tmp_path):
    assert sections_of(tmp_path) == {}


def test_genes_across_everything(tmp_path):
    (tmp_path / "gene_summary.tsv").write_text(
        "gene\tsymbol\ttissues_found\tsettings_found\tbest_setting\tbest_feature\tr\tgene_p\tdelta_r2\tmarker_set\tterms\n"
        f"E1\tSFTPB\t1\t3\t{PREFIX}.raw.mean\traw_0003\t0.7\t1e-9\t0.2\t\tlamellar body\nE2\t\t0\t0\t\t\t\t\t0.1\t\t\n"
    )
    rows = sections_of(tmp_path)["gene_summary"]["data"]
    assert list(rows) == ["SFTPB", "E2"] and rows["SFTPB"]["terms"] == "lamellar body"
