"""The simulated cohort as files: GTEx formats, slides that OpenSlide reads, planted truth and named defects."""

import csv
import gzip
import json
from pathlib import Path

import cv2
import numpy as np
import openslide
import pandas as pd
import pytest

from hx_cohort_model import PROPERTIES
from hx_io import read_table
from hx_join import ID_PATTERN, match_expression, one_rna_per_donor
from hx_positions import read_positions
from hx_pyramid import pyramid, write_pyramid
from simulate_cohort import main

DONORS, PX = 6, 512
TABLES = [
    "gene_positions.tsv",
    "gene_sets.gmt",
    "gene_tpm.gct.gz",
    "genotypes.vcf.gz",
    "pathology.csv",
    "sample_attributes.txt",
    "samplesheet.csv",
    "subject_phenotypes.txt",
]


def simulate(folder: Path, mode: str, *more: str) -> Path:
    command = ["--mode", mode, "--donors", str(DONORS), "--slide-px", str(PX), "--outdir", str(folder), *more]
    assert main(command) == 0
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("signal"), "signal", "--threads", "2")


@pytest.fixture(scope="module")
def truth(cohort) -> dict:
    return json.loads((cohort / "truth.json").read_text())


@pytest.fixture(scope="module")
def sheet(cohort) -> pd.DataFrame:
    return pd.read_csv(cohort / "samplesheet.csv", dtype=str)


@pytest.fixture(scope="module")
def expression(cohort) -> pd.DataFrame:
    return pd.read_csv(cohort / "gene_tpm.gct.gz", sep="\t", skiprows=2, index_col=0)


@pytest.fixture(scope="module")
def attributes(cohort) -> pd.DataFrame:
    return read_table(cohort / "sample_attributes.txt").set_index("SAMPID")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_bytes_whatever_the_threads(cohort, tmp_path):
    first, second = contents(cohort), contents(simulate(tmp_path, "signal", "--threads", "1"))
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert [name for name in first if "/" not in name] == sorted([*TABLES, "truth.json"])


def test_null_has_the_same_slides_and_other_expression(cohort, tmp_path):
    signal, null = contents(cohort), contents(simulate(tmp_path, "null"))
    assert sorted(signal) == sorted(null)
    changed = {name for name in signal if signal[name] != null[name]}
    # RNA quality stands in the attributes; it belongs to the expression side.
    assert changed == {"gene_tpm.gct.gz", "sample_attributes.txt", "truth.json"}
    planted = json.loads(null["truth.json"])
    assert {p["link"] for p in planted["properties"].values()} == {"none"}
    piece = planted["pieces"][0]
    assert all(piece[p]["image"] != piece[p]["expression"] for p in PROPERTIES)
    for snp in planted["snps"]:
        assert snp["acts_on"] == (["gene"] if snp["role"] == "expression" else ["drawing"])


def test_one_confounded_tissue_is_a_cohort_too(tmp_path):
    options = ["--seed", "2", "--reliability", "0.6", "--quadratic", "--tissues", "1"]
    other = contents(simulate(tmp_path, "confounded", *options))
    planted = json.loads(other["truth.json"])
    assert (planted["seed"], planted["parameters"]["reliability"], planted["parameters"]["quadratic"]) == (2, 0.6, True)
    assert {p["link"] for p in planted["properties"].values()} == {"ischaemia and centre"}
    assert len({piece["donor"] for piece in planted["pieces"]}) == DONORS + 4
    assert sum(name.endswith(".tif") for name in other) == DONORS + 4


def test_openslide_reads_levels_resolution_and_colour(cohort, sheet, truth):
    unreadable = set(truth["defects"]["truncated_slide"]["slides"])
    for sample, path in zip(sheet["sample"], sheet["slide"], strict=True):
        if sample in unreadable:
            continue
        with openslide.OpenSlide(cohort / path) as slide:
            assert slide.properties["openslide.vendor"] == "generic-tiff"
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
            assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
            assert slide.level_dimensions == ((PX, PX), (PX // 2, PX // 2), (PX // 4, PX // 4))
            assert truth["slides"][sample]["levels"] == [list(size) for size in slide.level_dimensions]
            glass = np.asarray(slide.read_region((0, 0), 0, (12, 12)))
            assert glass[..., :3].mean() == pytest.approx(243, abs=2) and glass[..., 3].min() == 255


def test_jpeg_keeps_the_pixels(tmp_path):
    y, x = np.mgrid[0:600, 0:700]
    image = np.stack([120 + 100 * np.sin(x / 40), 120 + 100 * np.cos(y / 50), 100 + (x + y) / 15], -1).astype(np.uint8)
    assert write_pyramid(image, tmp_path / "a.tif", 0.25) == [(700, 600), (350, 300), (175, 150)]
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        for level, expected in enumerate(pyramid(image)):
            height, width = expected.shape[:2]
            pixels = np.asarray(slide.read_region((0, 0), level, (width, height)))[..., :3]
            assert np.abs(pixels.astype(int) - expected).mean() < 3
    write_pyramid(image, tmp_path / "b.tif", 0.25)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(
    ("side", "sizes"),
    [(512, [512, 256, 128]), (1536, [1536, 768, 384]), (4096, [4096, 2048, 1024, 512, 256])],
)
def test_pyramid_has_three_levels_or_more(side, sizes):
    assert [len(level) for level in pyramid(np.zeros((side, side, 3), np.uint8))] == sizes


def test_an_image_too_small_for_a_pyramid_is_refused():
    with pytest.raises(ValueError, match="2 x 3 px: too small for 3 levels"):
        pyramid(np.zeros((3, 2, 3), np.uint8))


def test_every_sound_donor_is_matched_by_the_join(sheet, expression, attributes, truth):
    assert sheet["sample"].is_unique and all(ID_PATTERN.match(s) for s in sheet["sample"])
    assert sheet.columns.tolist() == ["sample", "donor", "tissue", "slide"]
    samples = expression.columns[1:]
    rin = {s: float(x) for s, x in attributes["SMRIN"].items() if x}
    joined = match_expression(sheet, samples, rin, attributes["SMTSD"].to_dict())
    unmatched = sheet.loc[joined["rna"] == "", "sample"].tolist()
    assert unmatched == truth["defects"]["slide_without_rna"]["slides"]
    assert set(joined["rule"]) == {"piece", "piece_5_to_6", ""}
    kept = sheet[joined["rna"] != ""].assign(rna=joined["rna"])
    kept["tissue_id"] = kept["tissue"]
    chosen = kept.assign(rna=one_rna_per_donor(kept, rin)).groupby(["tissue", "donor"])["rna"].agg(set)
    assert (chosen.map(len) == 1).all()
    assert chosen.groupby("tissue").size().tolist() == [DONORS + 1, DONORS + 1]  # the blank or truncated slide's too
    best = {piece["sampid"] for piece in truth["pieces"]}
    assert set().union(*chosen) <= best


def test_every_defect_is_there(cohort, sheet, expression, attributes, truth):
    defects = truth["defects"]
    blank, cut = defects["blank_slide"]["slides"][0], defects["truncated_slide"]["slides"][0]
    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(cohort / "slides" / f"{cut}.tif")
    with openslide.OpenSlide(cohort / "slides" / f"{blank}.tif") as slide:
        assert np.asarray(slide.read_region((0, 0), 0, (PX, PX))).min() > 225
    assert truth["slides"][blank]["outline"] == []
    without, lonely = defects["slide_without_rna"], defects["rna_without_slide"]
    assert without["rna_samples"] == [] and len(without["slides"]) == 1
    assert not expression.columns.str.startswith(without["slides"][0]).any()
    assert lonely["slides"] == [] and lonely["rna_samples"][0] in expression
    assert not (sheet["donor"] == lonely["donor"]).any()

    twice = defects["duplicate"]
    assert [slide[-1] for slide in twice["slides"]] == ["5", "6"]
    better, worse = twice["rna_samples"]
    assert float(attributes.loc[better, "SMRIN"]) > float(attributes.loc[worse, "SMRIN"])
    r = np.corrcoef(np.log2(expression[better]), np.log2(expression[worse]))[0, 1]
    assert 0.85 < r < 0.98

    missing = {"no_ischaemia": ["SMTSISCH", "SMTSPAX"], "no_rin_no_autolysis": ["SMRIN", "SMATSSCR"]}
    rna = attributes[attributes["SMAFRZE"] == "RNASEQ"]
    for name, columns in missing.items():
        assert (rna.loc[defects[name]["rna_samples"], columns] == "").all(axis=None)
        assert (rna[columns] == "").sum().tolist() == [1, 1]
    subjects = read_table(cohort / "subject_phenotypes.txt").set_index("SUBJID")
    assert subjects.index[subjects["DTHHRDY"] == ""].tolist() == [defects["no_hardy"]["donor"]]
    note = rna.loc[defects["unbalanced_quote"]["rna_samples"][0], "SMPTHNTS"]
    assert note.count('"') == 1
    pen = truth["slides"][defects["pen"]["slides"][0]]
    assert pen["nuclei"] > 0


def test_expression_is_a_gct(cohort, expression, truth):
    with gzip.open(cohort / "gene_tpm.gct.gz", "rt") as handle:
        assert handle.readline() == "#1.2\n"
        assert handle.readline().split() == [str(len(expression)), str(expression.shape[1] - 1)]
    assert (cohort / "gene_tpm.gct.gz").read_bytes()[4:8] == bytes(4)  # no time stamp
    assert expression.columns[1:].str.fullmatch(r"GTEX-S\d{4}-\d{4}-SM-[A-Z0-9]{5}").all()
    assert expression.columns.is_unique
    assert not expression.columns[1:].is_monotonic_increasing  # a join by position must fail
    for target in PROPERTIES:
        genes = truth["properties"][target]["genes"]
        assert len(genes) == 20 and expression.index.isin(genes).sum() == 20


def test_sample_attributes_are_gtex_rows(attributes, expression, truth):
    rna = attributes[attributes["SMAFRZE"] == "RNASEQ"]
    assert sorted(rna.index) == sorted(expression.columns[1:])
    others = attributes[attributes["SMAFRZE"] != "RNASEQ"]
    assert (others["SMAFRZE"] == "WGS").sum() == DONORS + 4 and any(name.startswith("K-562") for name in others.index)
    assert (others[["SMRIN", "SMTSISCH", "SMMAPRT"]] == "").all(axis=None)
    assert set(rna["SMTSD"]) == set(truth["parameters"]["tissues"])
    skin = rna[rna["SMTSD"] == "Skin - Sun Exposed (Lower leg)"]
    assert set(skin["SMTS"]) == {"Skin"}
    assert pd.to_datetime(rna["SMNABTCHD"], format="%m/%d/%Y").between("2012-01-01", "2013-01-01").all()
    minutes = {piece["sampid"]: 480 * np.exp(0.6 * piece["ischaemia_recorded"]) for piece in truth["pieces"]}
    recorded = rna.loc[rna["SMTSISCH"] != "", "SMTSISCH"].astype(float)
    shared = recorded.index.intersection(list(minutes))
    assert recorded[shared].to_numpy() == pytest.approx([minutes[s] for s in shared], abs=0.51)
    centres = {piece["sampid"]: piece["centre"] for piece in truth["pieces"]}
    assert all(rna.loc[s, "SMCENTER"] == centres[s] for s in shared)


def test_pathology_is_the_portals_table(cohort, sheet, truth):
    with open(cohort / "pathology.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == [
        "Tissue Sample ID", "Tissue", "Subject ID", "Sex", "Age Bracket", "Hardy Scale", "Pathology Categories",
        "Pathology Notes",
    ]  # fmt: skip
    assert sorted(row["Tissue Sample ID"] for row in rows) == sorted(sheet["sample"])
    for row in rows:
        share = truth["slides"][row["Tissue Sample ID"]]["lesion_share"]
        assert ("edema" in row["Pathology Categories"].split(", ")) == (share >= 0.30)
        assert ("patchy edema" in row["Pathology Notes"]) == (share >= 0.30)
        assert row["Sex"] in ("male", "female")
    assert "no tissue on slide" in {row["Pathology Notes"] for row in rows}


def test_genotypes_are_a_vcf_of_the_donors(cohort, truth):
    lines = gzip.open(cohort / "genotypes.vcf.gz", "rt").read().splitlines()
    assert lines[0] == "##fileformat=VCFv4.2"
    header = next(line for line in lines if line.startswith("#CHROM")).split("\t")
    assert header[9:] == sorted({f"GTEX-S{k:04d}" for k in range(1, DONORS + 5)})
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert len(rows) == 300 and {len(row) for row in rows} == {len(header)}
    assert {row[2] for row in rows} >= {snp["id"] for snp in truth["snps"]}
    assert all(row[2] == f"{row[0]}_{row[1]}_{row[3]}_{row[4]}_b38" for row in rows)
    calls = [call for row in rows for call in row[9:]]
    assert set(calls) == {"0/0", "0/1", "1/1", "./."}
    assert 0 < calls.count("./.") / len(calls) < 0.02


def test_genes_with_a_snp_of_their_own_lie_near_it(cohort, expression, truth):
    positions = read_positions(cohort / "gene_positions.tsv")
    assert positions.attrs["build"] == "GRCh38"
    assert sorted(positions["gene"]) == sorted(expression.index)
    by_gene = positions.set_index("gene")
    own = [snp for snp in truth["snps"] if snp["gene"]]
    assert len(own) == 6
    for snp in own:
        chrom, pos = snp["id"].split("_")[:2]
        place = by_gene.loc[snp["gene"]]
        assert f"chr{place['chrom']}" == chrom
        assert max(abs(place["start"] - int(pos)), abs(place["end"] - int(pos))) <= 100_000
    assert positions["chrom"].nunique() == 22


def test_gene_sets_hold_the_modules_and_random_sets(cohort, expression, truth):
    sets = {line.split("\t")[0]: line.split("\t")[2:] for line in (cohort / "gene_sets.gmt").read_text().splitlines()}
    assert len(sets) == 43
    symbol = expression["Description"]
    for target in PROPERTIES:
        assert sorted(sets[f"SIM_{target.upper()}"]) == sorted(symbol[truth["properties"][target]["genes"]])
    assert all(15 <= len(members) <= 40 and set(members) <= set(symbol) for members in sets.values())


def test_what_was_drawn_is_what_truth_says(cohort, sheet, truth):
    """Read from the slides' pixels: hue and the outline; from truth.json: nuclei against their latent."""
    pieces = {piece["sample"]: piece for piece in truth["pieces"]}
    hue, drawn_hue, density, drawn_density = [], [], [], []
    for sample, path in zip(sheet["sample"], sheet["slide"], strict=True):
        seen = truth["slides"][sample]
        # The duplicate's second slide is of the same piece.
        piece = pieces[sample if sample in pieces else sample[:-1] + "6"]
        if not seen["outline"] or sample in truth["defects"]["truncated_slide"]["slides"]:
            continue
        assert seen["hue"] == pytest.approx(np.clip(piece["ischaemia"]["drawn"], -2.5, 2.5), abs=1e-5)
        asked = max(0.22 + 0.09 * np.clip(piece["lesion_area"]["drawn"], -2.5, 2.5), 0)
        assert seen["lesion_share"] == pytest.approx(asked, abs=0.01)
        with openslide.OpenSlide(cohort / path) as slide:
            image = np.asarray(slide.read_region((0, 0), 0, (PX, PX)))[..., :3]
        mask = np.zeros((PX, PX), np.uint8)
        cv2.fillPoly(mask, [np.array(polygon) for polygon in seen["outline"]], 1)
        assert mask.sum() * 0.25e-6 == pytest.approx(seen["tissue_mm2"], rel=0.02)
        if sample not in truth["defects"]["pen"]["slides"]:
            assert image[mask == 0].mean() > 235 > 215 > image[mask == 1].mean()
            red, _, blue = np.median(image[mask == 1], axis=0)
            hue.append(blue - red)
            drawn_hue.append(piece["ischaemia"]["drawn"])
        density.append(np.log(seen["nuclei_per_mm2"]))
        drawn_density.append(piece["cell_proportion"]["drawn"])
    assert np.corrcoef(hue, drawn_hue)[0, 1] > 0.8
    assert np.corrcoef(density, drawn_density)[0, 1] > 0.85


def test_truth_states_what_was_planted(truth):
    assert truth["mode"] == "signal" and truth["seed"] == 1
    assert truth["effects"]["latent_to_drawing_r2"] == 0.7 and truth["effects"]["latent_to_gene_r2"] == 0.3
    assert {p["link"] for p in truth["properties"].values()} == {"latent"}
    assert all(piece[p]["image"] == piece[p]["expression"] for piece in truth["pieces"] for p in PROPERTIES)
    assert {snp["role"] for snp in truth["snps"]} == {"feature", "expression", "both", "mediated"}
    skin, muscle = "Skin - Sun Exposed (Lower leg)", "Esophagus - Muscularis"
    assert truth["class_texture"]["elongation"] == {skin: 1.0, muscle: 5.0}
    assert len(truth["pieces"]) == 2 * DONORS + 4 and len(truth["slides"]) == 2 * DONORS + 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "signal", "--donors", "5"], "--donors 5: 6 to 9000"),
        (["--mode", "signal", "--slide-px", "300"], "--slide-px 300: 512 to 8192"),
        (["--mode", "signal", "--tissues", "0"], "--tissues 0: 1 to 6"),
        (["--mode", "signal", "--threads", "0"], "--threads 0: at least 1"),
        (["--mode", "null", "--reliability", "0.8"], "belong to --mode confounded"),
        (["--mode", "signal", "--quadratic"], "belong to --mode confounded"),
        (["--mode", "confounded", "--reliability", "0.7"], "invalid choice"),
        (["--mode", "sham"], "invalid choice"),
        ([], "--mode"),
    ],
)
def test_wrong_use_is_a_usage_error(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--outdir", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
