"""describe_features.py: sentences, structure and the choice of pictures on a small cohort of drawn slides."""

from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from description_made import make_cohort

from describe_features import main
from hx_candidates import companions, covariates, pathology
from hx_choice import nearest
from hx_cli import DataError
from hx_companions import COMPANIONS
from hx_io import read_table

HUES = np.random.default_rng(3).permutation(np.linspace(-2, 2, 24)).tolist()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, HUES)
    return folder


def describe(cohort: Path, outdir: Path, **changed: object) -> int:
    options = {
        "features": cohort / "Lung.64.h5ad",
        "setting-prefix": "Lung.64",
        "primary": "64,raw,mean",
        "associations": cohort / "genes.parquet",
        "summaries": cohort / "summaries",
        "sizes": "64,128",
        "outdir": outdir,
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    return main([str(part) for name, value in options.items() if value is not None for part in (f"--{name}", value)])


def read(outdir: Path, kind: str) -> pd.DataFrame:
    return read_table(outdir / f"Lung.64.{kind}.tsv")


def test_sentences_slides_and_patches_of_the_best_hits(cohort, tmp_path):
    assert describe(cohort, tmp_path) == 0
    rows = read(tmp_path, "descriptions")
    assert rows["feature"].tolist() == ["raw_0000", "raw_0001"]
    assert rows["chosen_for"].tolist() == ["best feature of ISCH1", "best feature of CELL2"]
    first = rows.iloc[0]
    assert first["term"] == "SMTSISCH" and first["group"] == "handling" and first["technical"] == "no"
    assert first["sentence"].startswith("tracks SMTSISCH (rho .9")
    assert float(first["r2_cv"]) > 0.7
    terms, points = read(tmp_path, "description_terms"), read(tmp_path, "description_points")
    assert terms.loc[terms["feature"] == "raw_0000", "order"].tolist()[0] == "1"
    assert (points["feature"] == "raw_0000").sum() == 24

    patches = read(tmp_path, "gallery_patches")
    assert set(patches["panel"]) == {"highest", "lowest", "sizes"}
    assert set(patches.loc[patches["panel"] == "sizes", "size"]) == {"64", "128"}
    assert patches.groupby(["feature", "panel", "size", "donor"]).size().max() == 2
    slides = read(tmp_path, "gallery_slides")
    hue = dict(zip([f"S{k:02d}" for k in range(24)], HUES, strict=True))
    high, low = (
        slides[(slides["feature"] == "raw_0000") & (slides["panel"] == side)]["sample"].map(hue)
        for side in ("highest", "lowest")
    )
    assert len(high) == len(low) == 5 and high.min() > 0.8 and low.max() < -0.8
    drawn = read(tmp_path, "drawn_slides")
    assert set(drawn["sample"]) == {*patches["sample"], *slides["sample"]}
    mapped = drawn.loc[drawn["map"] == "yes", "sample"]
    assert sorted(mapped.map(hue)) == pytest.approx([low.iloc[0], high.iloc[0]])
    assert read(tmp_path, "feature_structure")[["features", "dead"]].iloc[0].tolist() == ["4", "1"]
    lost = read(tmp_path, "describe_features.dropped")
    assert lost["reason"].tolist() == ["no encoder texture: sentences speak of covariates and pathology alone"]


def test_the_same_bytes_twice(cohort, tmp_path):
    for name in ("a", "b"):
        assert describe(cohort, tmp_path / name) == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 13
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in files)


def test_named_features_follow_the_best(cohort, tmp_path):
    assert describe(cohort, tmp_path, describe="raw_0002,raw_0000,raw_0003") == 0
    rows = read(tmp_path, "descriptions")
    assert rows["feature"].tolist() == ["raw_0000", "raw_0001", "raw_0002", "raw_0003"]
    assert rows["chosen_for"].tolist()[2:] == ["named", "named"]
    assert rows["sentence"].iloc[3] == "not described: constant over donors, or not finite"


def test_unknown_features_get_the_nearest_names(cohort, tmp_path, capsys):
    assert describe(cohort, tmp_path, describe="raw_0005,rwa_0001") == 65
    told = capsys.readouterr().err
    assert "2 faults" in told
    assert "raw_0005: no such feature in Lung.64.h5ad; nearest names: raw_0003, raw_0002, raw_0001" in told
    assert "rwa_0001: no such feature" in told and "raw_0001" in told.split("rwa_0001")[1]


def test_without_associations_the_most_reliable_are_described(cohort, tmp_path):
    assert describe(cohort, tmp_path, associations=None, count=2) == 0
    assert read(tmp_path, "descriptions")["chosen_for"].tolist() == ["among the most reliable"] * 2


def test_without_summaries_there_is_no_gallery(cohort, tmp_path):
    assert describe(cohort, tmp_path, summaries=None) == 0
    assert not (tmp_path / "Lung.64.drawn_slides.tsv").exists()
    assert "no slides behind the features: no gallery and no map" in set(
        read(tmp_path, "describe_features.dropped")["reason"]
    )


def test_summaries_of_an_earlier_version_have_slides_but_no_patches(cohort, tmp_path):
    for path in (cohort / "summaries").iterdir():
        (tmp_path / "old").mkdir(exist_ok=True)
        (tmp_path / "old" / path.name).write_bytes(path.read_bytes())
        with h5py.File(tmp_path / "old" / path.name, "a") as file:
            for size in file:
                for name in ("extreme_values", "extreme_coords"):
                    del file[size]["raw"][name]
    assert describe(cohort, tmp_path, summaries=tmp_path / "old") == 0
    assert read(tmp_path, "gallery_patches").empty
    assert len(read(tmp_path, "gallery_slides"))
    assert "no extremes of patches" in read(tmp_path, "describe_features.dropped")["reason"].iloc[-1]


def test_few_donors_are_not_described(cohort, tmp_path):
    table = anndata.read_h5ad(cohort / "Lung.64.h5ad")[:12].copy()
    table.write_h5ad(tmp_path / "Lung.64.h5ad")
    assert describe(cohort, tmp_path, features=tmp_path / "Lung.64.h5ad") == 0
    assert (
        read(tmp_path, "descriptions")["sentence"].tolist() == ["not described: 12 donors, at least 20 are needed"] * 2
    )


def test_networks_that_differ_between_sizes_are_not_compared(cohort, tmp_path):
    for path in (cohort / "summaries").iterdir():
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
        with h5py.File(tmp_path / "other" / path.name, "a") as file:
            file["128/raw"].attrs["weights_sha256"] = "cd" * 32
    assert describe(cohort, tmp_path, summaries=tmp_path / "other") == 0
    assert set(read(tmp_path, "gallery_patches")["panel"]) == {"highest", "lowest"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"count": 0}, 2), ({"primary": "64,raw"}, 2), ({"map_slides": -1}, 2), ({"primary": "64,raw,max"}, 65)],
)
def test_wrong_options(cohort, tmp_path, changed, code):
    if code == 2:
        with pytest.raises(SystemExit) as stopped:
            describe(cohort, tmp_path, **changed)
        assert stopped.value.code == 2
    else:
        assert describe(cohort, tmp_path, **changed) == code


def test_nearest_names():
    names = np.array(["raw_0001", "raw_0200", "retrained_0001", "area mean"])
    assert nearest("raw_0150", names) == ["raw_0200", "raw_0001"]
    assert nearest("aera mean", names) == ["area mean"]
    assert nearest("zzz", names) == []


def test_companions_are_named_by_their_labels():
    n = 30
    rng = np.random.default_rng(0)
    labels = [companion.label for companion in COMPANIONS[:4]]
    var = pd.DataFrame(
        {"encoder": ["raw", *["texture"] * 4], "label": ["", *labels]}, index=[f"f{k}" for k in range(5)]
    )
    values = rng.gamma(2, 1, (n, 5))
    values[:, 4] = 3.0
    found = companions(anndata.AnnData(values, var=var), "mean")
    assert [candidate.name for candidate in found] == labels[:3]
    assert [candidate.technical for candidate in found] == [True, True, True]
    np.testing.assert_allclose(found[0].shown, values[:, 1])
    assert (np.argsort(found[0].values) == np.argsort(values[:, 1])).all()
    assert companions(anndata.AnnData(values, var=var.drop(columns="label")), "mean") == []


def test_slide_factors_are_technical_and_library_metrics_left_out():
    rng = np.random.default_rng(0)
    names = ["SMRIN", "SMMAPRT", "slide_focus", "slide_scanner", "AGE"]
    obs = pd.DataFrame({name: rng.normal(7, 1, 40) for name in names}, index=[f"D{k}" for k in range(40)])
    obs["slide_scanner"] = ["A", "B"] * 20
    found = {c.name: (c.group, c.technical) for c in covariates(obs, measured=False)}
    assert found == {
        "SMRIN": ("rna_library", False),
        "slide focus": ("slide", True),
        "slide scanner=B": ("slide", True),
        "AGE": ("donor", False),
    }
    assert "slide focus" not in {c.name for c in covariates(obs, measured=True)}


def test_pathology_is_the_worst_of_a_donors_slides(tmp_path):
    donors = [f"D{k}" for k in range(20)]
    samples = pd.Series([f"S{k};T{k}" for k in range(20)], index=donors)
    lines = ["sample\tannotated_slide\tcategory_fibrosis"]
    lines += [f"S{k}\tx\t0" for k in range(20)] + [f"T{k}\tx\t{int(k < 8)}" for k in range(19)]
    (tmp_path / "annotations.tsv").write_text("\n".join(lines) + "\n")
    found = pathology(tmp_path / "annotations.tsv", samples)
    assert [(c.name, c.group) for c in found] == [("category fibrosis", "pathology")]
    np.testing.assert_array_equal(found[0].shown, np.arange(20) < 8)
    assert pathology(None, samples) == []
    (tmp_path / "wrong.tsv").write_text("sample\tcategory\nS1\tmuch\n")
    with pytest.raises(DataError, match="annotations are numbers"):
        pathology(tmp_path / "wrong.tsv", samples)
    (tmp_path / "none.tsv").write_text("slide\tcategory\nS1\t1\n")
    with pytest.raises(DataError, match="no column sample"):
        pathology(tmp_path / "none.tsv", samples)
