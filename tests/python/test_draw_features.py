"""draw_features.py: galleries, maps and their files, from drawn slides and described features."""

import json
import re
from dataclasses import replace
from pathlib import Path

import anndata
import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
from description_made import make_cohort
from PIL import ImageDraw
from scipy.stats import spearmanr
from test_feature_map import model_of

import describe_features
from draw_features import main
from hx_cards import scatter_of
from hx_disclosure import EVERYTHING, Disclosure, numbered
from hx_feature_map import PREDICTED
from hx_features import read_summary
from hx_io import read_table
from hx_picture import number as short
from hx_predict_model import donor_hash, write_model

HUES = np.random.default_rng(3).permutation(np.linspace(-2, 2, 20)).tolist()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, HUES)
    argv = ["--features", folder / "Lung.64.h5ad", "--setting-prefix", "Lung.64", "--primary", "64,raw,mean"]
    argv += ["--associations", folder / "genes.parquet", "--summaries", folder / "summaries", "--sizes", "64,128"]
    assert describe_features.main([str(part) for part in [*argv, "--outdir", folder / "tables"]]) == 0
    return folder


def draw(cohort: Path, outdir: Path, **changed: object) -> int:
    options = {
        "tables": cohort / "tables",
        "setting-prefix": "Lung.64",
        "slides": cohort / "slides.tsv",
        "slide-dir": cohort,
        "patch-features": cohort / "patch_features",
        "sizes": "64,128",
        "outdir": outdir,
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    return main([str(part) for name, value in options.items() if value is not None for part in (f"--{name}", value)])


def mapped(cohort: Path) -> list[str]:
    table = read_table(cohort / "tables" / "Lung.64.drawn_slides.tsv")
    return table.loc[table["map"] == "yes", "sample"].tolist()


def losses(outdir: Path) -> list[str]:
    return read_table(outdir / "Lung.64.draw_features.dropped.tsv")["reason"].tolist()


@pytest.fixture(scope="module")
def models(cohort, tmp_path_factory) -> Path:
    """A model whose training donors are the cohort's, of which fold 2's genes have coefficients of their own."""
    path = tmp_path_factory.mktemp("models") / "Lung.64.raw.mean.model.h5"
    base = model_of(4)
    folds = [base.folds[0]._replace(fold=k) for k in range(5)]
    trained = np.array([donor_hash(f"D{k:02d}") for k in range(10)], object)
    write_model(replace(base, folds=folds, training=trained), path)
    return path


@pytest.fixture(scope="module")
def drawn(cohort, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    assert draw(cohort, folder) == 0
    return folder


def test_galleries_maps_and_files(cohort, drawn):
    samples, tmp_path = mapped(cohort), drawn
    names = {path.name for path in (tmp_path / "galleries").iterdir()}
    kinds = {"slides", "patches", "mosaic", "sizes"}
    assert {f"01.raw_0000.{kind}.png" for kind in {*kinds, "scatter"}} < names
    assert {f"02.raw_0001.{kind}.png" for kind in kinds} < names
    assert {"correlations.png", "patch_components.png"} < names
    for sample in samples:
        found = {path.name for path in (tmp_path / "maps").glob(f"{sample}.*")}
        assert found == {
            *(f"{sample}.{name}.png" for name in ("01.raw_0000", "02.raw_0001", "components")),
            *(f"{sample}.geojson", f"{sample}.h5ad"),
        }
        picture = cv2.imread(str(tmp_path / "maps" / f"{sample}.01.raw_0000.png"))
        assert min(picture.shape[:2]) > 300
        values = anndata.read_h5ad(tmp_path / "maps" / f"{sample}.h5ad")
        with h5py.File(cohort / "patch_features" / "64px" / "features_raw" / f"{sample}.h5") as file:
            np.testing.assert_array_equal(values[:, "raw_0000"].X[:, 0], file["features"][:, 0])
        assert len(json.loads((tmp_path / "maps" / f"{sample}.geojson").read_text())["features"]) == len(values)
    maps = pd.read_csv(tmp_path / "Lung.64.feature_maps.tsv", sep="\t")
    assert len(maps) == 4 and maps["what"].eq("feature").all()
    for row in maps.itertuples():
        mean = read_summary(cohort / "summaries" / f"{row.sample}.summary.h5", "64")[1]["raw"].statistics["mean"]
        assert row.mean == pytest.approx(mean[int(row.name[4:])], rel=1e-6)
    section = json.loads((tmp_path / "multiqc" / "feature_cards_Lung_mqc.json").read_text())
    assert section["parent_id"] == "feature_cards" and section["data"].count("data:image/webp;base64,") == 3
    assert losses(tmp_path) == []


def test_components_of_the_patches_are_told_without_names(cohort, drawn):
    """Those of the maps' h5ad files, patch by patch; covariates are those of the slide's donor."""
    text = (drawn / "Lung.64.patch_pcs.tsv").read_text()
    donors = read_table(cohort / "tables" / "Lung.64.drawn_slides.tsv").set_index("sample")["donor"]
    assert not any(name in text for name in (*donors, *donors.index))
    table = pd.read_csv(drawn / "Lung.64.patch_pcs.tsv", sep="\t")
    known = pd.read_csv(cohort / "tables" / "Lung.64.feature_pcs.tsv", sep="\t").set_index("donor")
    for number, sample in enumerate(sorted(mapped(cohort)), 1):
        own, values = table[table["slide"] == number], anndata.read_h5ad(drawn / "maps" / f"{sample}.h5ad")
        assert len(own) == len(values)
        np.testing.assert_allclose(np.sort(own["PC1"]), np.sort(values.obsm["X_pca"][:, 0]), rtol=1e-5, atol=1e-6)
        assert (own["PC1"].to_numpy() != values.obsm["X_pca"][:, 0]).any()  # in another order
        assert own["AGE"].to_numpy() == pytest.approx(known.loc[donors[sample], "AGE"])


def test_the_same_bytes_whatever_the_threads(cohort, drawn, tmp_path):
    assert draw(cohort, tmp_path, threads=3) == 0
    files = [path.relative_to(drawn) for path in drawn.rglob("*") if path.is_file()]
    assert len(files) > 15
    differing = [f for f in files if (drawn / f).read_bytes() != (tmp_path / f).read_bytes()]
    assert differing == []


def test_mosaic_goes_by_the_planted_hue(cohort):
    slides = read_table(cohort / "tables" / "Lung.64.gallery_slides.tsv")
    rows = slides[(slides["panel"] == "mosaic") & (slides["feature"] == "raw_0000")]
    hue = [HUES[int(sample[1:])] for sample in rows["sample"]]
    assert len(rows) >= 12
    assert spearmanr(rows["rank"].astype(int), hue).statistic >= 0.95


def test_without_slides_maps_are_drawn_from_coordinates_alone(cohort, tmp_path):
    assert draw(cohort, tmp_path, slides=None, slide_dir=None) == 0
    assert losses(tmp_path) == ["no slides: galleries are skipped, maps are drawn from coordinates alone"]
    assert len(list((tmp_path / "maps").glob("*.geojson"))) == 2
    galleries = {path.name for path in (tmp_path / "galleries").iterdir()}
    scatters = {"01.raw_0000.scatter.png", "02.raw_0001.scatter.png"}
    assert galleries <= {*scatters, "correlations.png", "patch_components.png"}


def test_without_patch_features_there_is_no_map(cohort, tmp_path):
    assert draw(cohort, tmp_path, patch_features=None) == 0
    assert losses(tmp_path) == ["no patch features of size 64: no map"] * 2
    assert not (tmp_path / "maps").exists()


def test_a_damaged_slide_is_a_grey_tile_and_a_row(cohort, tmp_path):
    slides = read_table(cohort / "slides.tsv")
    (tmp_path / "slides").mkdir()
    for name in slides["slide"]:
        (tmp_path / name).write_bytes((cohort / name).read_bytes())
    broken = mapped(cohort)[0]
    (tmp_path / "slides" / f"{broken}.tif").write_bytes(b"no slide")
    assert draw(cohort, tmp_path / "out", slide_dir=tmp_path, patch_features=None) == 0
    assert [reason.startswith("not drawn: ") for reason in losses(tmp_path / "out")].count(True) == 1
    assert (tmp_path / "out" / "galleries" / "01.raw_0000.slides.png").exists()


def test_additive_map_of_a_gene_has_the_prediction_as_its_mean(cohort, models, tmp_path):
    """Out of fold for donors that the model was trained on, of the whole model for others."""
    assert draw(cohort, tmp_path, slides=None, models=models, map_genes="S0") == 0
    maps = pd.read_csv(tmp_path / "Lung.64.feature_maps.tsv", sep="\t")
    rows = maps[maps["what"] == PREDICTED]
    assert rows["name"].tolist() == ["S0", "S0"]
    base = model_of(4)
    for row in rows.itertuples():
        mean = read_summary(cohort / "summaries" / f"{row.sample}.summary.h5", "64")[1]["raw"].statistics["mean"]
        slide = mean[1:].astype(float)
        expected = base.predict(slide[None])[0][0, 0]
        if int(row.sample[1:]) < 10:
            fold = base.folds[0]
            expected = fold.intercept[0] + ((slide[1:] - fold.mean) / fold.scale) @ fold.beta[:, 0].astype(float)
        assert row.mean == pytest.approx(expected, abs=1e-6)
        picture = tmp_path / row.picture
        assert picture.name.endswith(".S0.predicted.png") and picture.exists()
    values = anndata.read_h5ad(tmp_path / "maps" / f"{rows['sample'].iloc[0]}.h5ad")
    assert values.var.loc["S0", "what"] == "predicted, not measured"


def test_genes_that_cannot_be_mapped(cohort, models, tmp_path, capsys):
    assert draw(cohort, tmp_path, models=models, map_genes="TP53,S1", slides=None) == 0
    rows = read_table(tmp_path / "Lung.64.draw_features.dropped.tsv")
    rows = rows[rows["kind"] == "gene"]
    assert rows["id"].tolist() == ["S1", "TP53"] and rows["reason"].str.contains("Lung.64.raw.mean: no map").all()
    assert draw(cohort, tmp_path, map_genes="S0", slides=None) == 0
    assert "no prediction model of this tissue and size: no map" in losses(tmp_path)
    median = tmp_path / "median.model.h5"
    write_model(model_of(4, setting="Lung.64.raw.median", aggregation="median"), median)
    assert draw(cohort, tmp_path, models=median, map_genes="S0", slides=None) == 65
    assert "no additive map of a model on the median: a mean alone" in capsys.readouterr().err
    assert draw(cohort, tmp_path, slides=None, models=median) == 0
    assert "no additive map of a model on the median" in losses(tmp_path)


def test_tables_that_are_not_there(cohort, tmp_path, capsys):
    assert draw(cohort, tmp_path, tables=tmp_path) == 65
    assert "give the folder that describe_features.py wrote to" in capsys.readouterr().err


def test_shareable_pictures_name_nobody(cohort, tmp_path, monkeypatch):
    told = []
    original = ImageDraw.ImageDraw.text

    def text(self, place, words, *rest, **more):
        told.append(str(words))
        return original(self, place, words, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    slides = read_table(cohort / "slides.tsv")
    ids = {*slides["sample"], *slides["donor"]}
    assert draw(cohort, tmp_path / "internal", patch_features=None) == 0
    internal, told = told, []
    (tmp_path / "donors.txt").write_text("\n".join(slides["donor"]))
    options = {"disclosure": "shareable", "donors": tmp_path / "donors.txt", "patch_features": None}
    assert draw(cohort, tmp_path / "shareable", **options) == 0
    assert {words for words in internal if ids & set(words.split())} and not [w for w in told if ids & set(w.split())]
    # Pseudonyms of two digits, numbered among all donors; no value under a picture.
    names = {words for words in told if re.fullmatch(r"P\d\d", words)}
    assert len(names) > 5 and names <= set(numbered(slides["donor"], 1).values())
    values = read_table(cohort / "tables" / "Lung.64.gallery_slides.tsv")["value"].astype(float).map(short)
    assert set(values) & set(internal) and not set(values) & set(told)
    section = (tmp_path / "shareable" / "multiqc" / "feature_cards_Lung_mqc.json").read_text()
    assert not [name for name in ids if name in re.sub(r"base64,[^\"]*", "", section)]


def test_a_shareable_scatter_has_no_point_a_donor():
    points = pd.DataFrame({"setting": "s", "feature": "f", "scale": "", "term_value": np.arange(40.0)})
    points["value"] = np.random.default_rng(0).normal(size=40)
    row = {"setting": "s", "feature": "f", "term": "eosin", "rho": 0.1}
    drawn = []
    for disclosure in (EVERYTHING, Disclosure("shareable")):
        picture = scatter_of(points, row, disclosure)
        blue = ((picture[..., 2] > 190) & (picture[..., 0] < 120)).astype(np.uint8)
        drawn.append(cv2.connectedComponents(cv2.erode(blue, np.ones((5, 5), np.uint8)))[0] - 1)
    assert drawn[0] > 20 and 0 < drawn[1] <= 10
    assert scatter_of(points.iloc[:3], row, Disclosure("shareable")) is None


def test_pseudonyms_of_pictures(cohort, tmp_path, capsys):
    (tmp_path / "map.tsv").write_text("donor\tpseudonym\nD00\tred\n")
    options = {"patch_features": None, "pseudonyms": tmp_path / "map.tsv"}
    assert draw(cohort, tmp_path, disclosure="shareable", **options) == 65
    assert "no pseudonym of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        draw(cohort, tmp_path, **options)
