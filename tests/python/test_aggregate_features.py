"""Donors from the summaries of their slides, and from tables of slide-level features."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from aggregate_features import main, pool
from hx_companions import COMPANIONS
from hx_companions import ORIGIN as TEXTURE_ORIGIN
from hx_features import STATISTICS, Origin, first_half, read_summary, summarise, write_summary
from hx_io import read_table

ORIGIN = Origin("raw", "mixed10", "random", "ab" * 32, "area 299 px; x/127.5-1")
COHORT = ["donor", "tissue", "tissue_id", "samples", "rna_sample", "fold", "age", "centre", "rin"]


def patches(seed: int, n: int, width: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, size=(n, width)).astype(np.float32)


def marks(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed + 1000).random(n) < 0.5


def put_cohort(path: Path, rows: list[tuple[str, str]], tissue: str = "Lung") -> Path:
    """Rows of donor and samples, and a donor of another tissue after them."""
    table = [
        (donor, tissue, tissue, samples, f"R{donor}", i % 5, 20 + i, f"B{i}", "" if i else "7.5")
        for i, (donor, samples) in enumerate(rows)
    ]
    table.append(("Z1", "Liver", "Liver", "SZ", "RZ1", 0, 50, "B1", "6"))
    pd.DataFrame(table, columns=COHORT).to_csv(path, sep="\t", index=False)
    return path


def put_summary(folder: Path, sample: str, n: int, seed: int, encoders: dict[str, Origin] | None = None) -> None:
    encoders = encoders or {"raw": ORIGIN, "lab": Origin("lab")}
    summaries = {}
    for i, (name, origin) in enumerate(encoders.items()):
        features = patches(seed + 100 * i, n)
        features[:, 2] = 4.0
        summaries["256", name] = summarise(features, marks(seed, n), origin)
    write_summary(folder / f"{sample}.summary.h5", sample, summaries)


def aggregate(folder: Path, *options: str, tissue: str = "Lung") -> int:
    return main([
        "--cohort", str(folder / "cohort.tsv"), "--tissue-id", tissue, *options,
        "--out", str(folder / "out.h5ad"), "--dropped", str(folder / "dropped.tsv"),
        "--feature-summary", str(folder / "summary.tsv"), "--feature-histograms", str(folder / "histograms.tsv"),
    ])  # fmt: skip


def test_pooling_slides_is_pooling_their_patches():
    parts = [patches(seed, n) for seed, n in ((1, 40), (2, 7), (3, 1))]
    first = [marks(seed, len(part)) for seed, part in enumerate(parts)]
    pooled = pool([summarise(part, half, ORIGIN) for part, half in zip(parts, first, strict=True)])
    every, half = np.concatenate(parts).astype(float), np.concatenate(first)
    for name, values in {
        "mean": every.mean(axis=0),
        "max": every.max(axis=0),
        "std": every.std(axis=0),
        "half1": every[half].mean(axis=0),
        "half2": every[~half].mean(axis=0),
        "median": np.average([np.median(part, axis=0) for part in parts], axis=0, weights=[40, 7, 1]),
    }.items():
        np.testing.assert_allclose(pooled[name], values, rtol=2e-6, err_msg=name)


def test_pooling_where_a_half_is_empty():
    one = summarise(patches(1, 1), np.array([True]), ORIGIN)
    two = summarise(patches(2, 1), np.array([True]), ORIGIN)
    pooled = pool([one, two])
    np.testing.assert_allclose(pooled["half1"], (patches(1, 1) + patches(2, 1))[0] / 2, rtol=1e-6)
    assert np.isnan(pooled["half2"]).all()


def test_donors_from_summaries(tmp_path):
    put_cohort(tmp_path / "cohort.tsv", [("D2", "S2"), ("D1", "S1b;S1a"), ("D3", "S3")])
    folder = tmp_path / "s" / "deep"
    for seed, (sample, n) in enumerate({"S1a": 9, "S1b": 4, "S2": 5, "S3": 6, "SZ": 3}.items()):
        put_summary(folder, sample, n, seed)
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "256") == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert table.obs_names.tolist() == ["D1", "D2", "D3"] and table.obs.index.name == "donor"
    assert table.var_names.tolist() == [f"{name}_000{i}" for name in ("lab", "raw") for i in range(3)]
    assert table.var["encoder"].tolist() == ["lab"] * 3 + ["raw"] * 3
    assert table.var["weights_sha256"].tolist() == [""] * 3 + ["ab" * 32] * 3
    assert table.var["index"].tolist() == [0, 1, 2, 0, 1, 2]
    assert table.var["dead"].tolist() == [False, False, True] * 2
    assert table.obs["samples"].tolist() == ["S1b;S1a", "S2", "S3"]
    assert table.obs["n_slides"].tolist() == [2, 1, 1] and table.obs["n_patches"].tolist() == [13, 5, 6]
    assert table.obs["fold"].tolist() == [1, 0, 2] and table.obs["age"].tolist() == [21, 20, 22]
    assert table.obs["centre"].tolist() == ["B1", "B0", "B2"]
    np.testing.assert_array_equal(table.obs["rin"], [np.nan, 7.5, np.nan])
    assert sorted(table.layers) == sorted(set(STATISTICS) - {"mean"})
    alone = read_summary(folder / "S2.summary.h5", "256")[1]
    both = pool([read_summary(folder / f"{s}.summary.h5", "256")[1]["raw"] for s in ("S1b", "S1a")])
    for name in STATISTICS:
        values = table.X if name == "mean" else table.layers[name]
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[1], np.concatenate([alone[e].statistics[name] for e in ("lab", "raw")]))
        np.testing.assert_array_equal(values[0, 3:], both[name])
    assert table.uns["tissue_id"] == "Lung" and table.uns["size"] == "256"
    assert table.uns["encoders"]["raw"]["preprocess"] == ORIGIN.preprocess
    assert table.var["weights_hash"].tolist() == [""] * 3 + ["abababab"] * 3
    assert table.var["redundant"].dtype == bool and table.var["reliability"].dtype == np.float64
    assert np.isnan(table.var["reliability"].to_numpy()[[2, 5]]).all()
    assert table.obs["classifier_split"].tolist() == [""] * 3 and table.obs["at_every_size"].tolist() == [True] * 3
    summary = read_table(tmp_path / "summary.tsv")
    assert summary["aggregation"].tolist() == ["mean", "median", "max", "std"] * 2
    assert set(summary["n_donors"]) == {"3"} and set(summary["n_dead"]) == {"1"} and set(summary["size"]) == {"256"}
    histograms = read_table(tmp_path / "histograms.tsv")
    assert list(histograms) == ["encoder", "aggregation", "what", "left", "right", "count"]
    assert read_table(tmp_path / "dropped.tsv").empty
    before = (tmp_path / "out.h5ad").read_bytes()
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "256") == 0
    assert (tmp_path / "out.h5ad").read_bytes() == before
    assert str(tmp_path).encode() not in before


def test_companions_have_labels(tmp_path):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1"), ("D2", "S2")])
    for sample in ("S1", "S2"):
        rows = np.random.default_rng(1).random((5, len(COMPANIONS)))
        summaries = {
            ("256", "texture"): summarise(rows, marks(1, 5), TEXTURE_ORIGIN),
            ("256", "raw"): summarise(rows, marks(1, 5), ORIGIN),
        }
        write_summary(tmp_path / "s" / f"{sample}.summary.h5", sample, summaries)
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "256") == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert table.var["label"].tolist() == [""] * len(COMPANIONS) + [one.label for one in COMPANIONS]
    assert table.var_names[-1] == f"texture_{len(COMPANIONS) - 1:04d}"


def test_slides_without_features_are_listed(tmp_path):
    rows = [("D1", "S1"), ("D2", "S2"), ("D3", "S3;S3b"), ("D4", "S4"), ("D5", "S5"), ("D6", "")]
    put_cohort(tmp_path / "cohort.tsv", rows)
    for seed, (sample, n) in enumerate({"S1": 9, "S2": 0, "S3": 4, "S3b": 0}.items()):
        put_summary(tmp_path / "s", sample, n, seed)
    put_summary(tmp_path / "s", "S5", 3, 9, {"raw": ORIGIN})
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "256") == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert table.obs_names.tolist() == ["D1", "D3"]
    assert table.obs["samples"].tolist() == ["S1", "S3"] and table.obs["n_patches"].tolist() == [9, 4]
    dropped = read_table(tmp_path / "dropped.tsv")
    assert set(dropped["stage"]) == {"aggregate_features"}
    told = dict(zip(dropped["id"], dropped["kind"] + ": " + dropped["reason"], strict=True))
    assert told == {
        "D2": "donor: Lung: no patch of 256 px",
        "D4": "donor: Lung: no summary of its features",
        "D5": "donor: Lung: no features of encoder lab at 256 px",
        "D6": "donor: Lung: no slide",
        "S2": "slide: no patch of 256 px",
        "S3b": "slide: no patch of 256 px",
        "S4": "slide: no summary of its features",
        "S5": "slide: no features of encoder lab at 256 px",
    }


def test_reliability_of_drawn_slides(tmp_path):
    """A feature that a slide has throughout is reliable, one of which each patch is noise is not."""
    rng, donors = np.random.default_rng(11), 60
    put_cohort(tmp_path / "cohort.tsv", [(f"D{i:02d}", f"S{i:02d}") for i in range(donors)])
    for i in range(donors):
        features = rng.standard_normal((40, 200)).astype(np.float32)
        features[:, :100] += rng.standard_normal(100)
        xy = np.column_stack([np.arange(40) * 256, np.zeros(40, int)])
        summary = summarise(features, first_half(f"S{i:02d}", xy), ORIGIN)
        write_summary(tmp_path / "s" / f"S{i:02d}.summary.h5", f"S{i:02d}", {("256", "raw"): summary})
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "256") == 0
    reliability = anndata.read_h5ad(tmp_path / "out.h5ad").var["reliability"].to_numpy()
    assert np.median(reliability[:100]) == pytest.approx(1 / (1 + 1 / 40), abs=0.01)
    assert abs(np.median(reliability[100:])) < 0.1


def test_donors_at_every_size(tmp_path, capsys):
    slides = {"S1": (4, 4, 4), "S2a": (4, 0, 4), "S2b": (4, 4, None), "S3": (4, 4, 0), "S4": (4, None, 4)}
    cohort = [("D1", "S1"), ("D2", "S2a;S2b"), ("D3", "S3"), ("D4", "S4"), ("D5", "S5")]
    put_cohort(tmp_path / "cohort.tsv", cohort)
    for sample, counts in slides.items():
        summaries = {
            (size, "raw"): summarise(patches(1, n), marks(1, n), ORIGIN)
            for size, n in zip(("128", "256", "1024"), counts, strict=True)
            if n is not None
        }
        write_summary(tmp_path / "s" / f"{sample}.summary.h5", sample, summaries)
    options = ("--summaries", str(tmp_path / "s"), "--size", "128")
    for sizes, kept in (("128,256,1024", [1, 1, 0, 0]), ("256", [1, 1, 1, 0]), ("1024", [1, 1, 0, 1])):
        assert aggregate(tmp_path, *options, "--sizes", sizes) == 0
        obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
        assert obs.index.tolist() == ["D1", "D2", "D3", "D4"]
        assert obs["at_every_size"].tolist() == [bool(one) for one in kept], sizes
    with pytest.raises(SystemExit) as left:
        aggregate(tmp_path, *options, "--sizes", "128,64um")
    assert left.value.code == 2
    # A slide that has no patches of another encoder there is not at that size.
    both = {
        (size, name): summarise(patches(1, n), marks(1, n), Origin(name))
        for size, name, n in (("128", "raw", 4), ("128", "lab", 4), ("256", "raw", 4), ("256", "lab", 0))
    }
    write_summary(tmp_path / "t" / "S1.summary.h5", "S1", both)
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "t"), "--size", "128", "--sizes", "128,256") == 0
    assert anndata.read_h5ad(tmp_path / "out.h5ad").obs["at_every_size"].tolist() == [False]


def test_whom_the_encoder_saw(tmp_path, capsys):
    put_cohort(tmp_path / "cohort.tsv", [(f"D{i}", f"S{i}") for i in range(5)])
    for i in range(5):
        put_summary(tmp_path / "s", f"S{i}", 4, i)
    rows = ["D0\ttrain\tS0", "D1\tvalidation\tS1", "D2\tvalidation\tS2", "D2\tboth\tT2", "D3\ttrain\tS3"]
    rows += ["D3\tvalidation\tT3", "E9\ttrain\tS9"]
    (tmp_path / "d.tsv").write_text("donor\tsplit\tsample\n" + "\n".join(rows) + "\n")
    options = ("--summaries", str(tmp_path / "s"), "--size", "256", "--training-donors", str(tmp_path / "d.tsv"))
    assert aggregate(tmp_path, *options) == 0
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert obs["classifier_split"].tolist() == ["train", "validation", "train", "train", ""]
    (tmp_path / "d.tsv").write_text("donor\tsplit\nD0\ttest\nD1\ttrain\nD2\t\n")
    assert aggregate(tmp_path, *options) == 65
    error = capsys.readouterr().err
    assert "2 faults" in error and "d.tsv, row 2: split 'test' of donor D0" in error and "row 4" in error
    (tmp_path / "d.tsv").write_text("id\tpart\nD0\ttest\n")
    assert aggregate(tmp_path, *options) == 65
    assert "no column donor, split" in capsys.readouterr().err


def test_a_size_without_any_patch_gives_a_table_without_donors(tmp_path, capsys):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1"), ("D2", "S2")])
    for sample in ("S1", "S2"):
        put_summary(tmp_path / "s", sample, 0, 1)
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "256") == 0
    assert anndata.read_h5ad(tmp_path / "out.h5ad").shape == (0, 6)
    assert len(read_table(tmp_path / "dropped.tsv")) == 4
    assert "no donor is left" in capsys.readouterr().err


def test_one_patch_each(tmp_path):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1"), ("D2", "S2")])
    for seed, sample in enumerate(("S1", "S2")):
        summary = summarise(patches(seed, 1), first_half(sample, np.zeros((1, 2), int)), ORIGIN)
        write_summary(tmp_path / "s" / f"{sample}.summary.h5", sample, {(4096, "raw"): summary})
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "4096") == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert np.isfinite(table.X).all() and (table.layers["std"] == 0).all()
    halves = np.isnan(table.layers["half1"]).all(axis=1), np.isnan(table.layers["half2"]).all(axis=1)
    assert (halves[0] ^ halves[1]).all()


def test_faulty_summaries(tmp_path, capsys):
    put_cohort(tmp_path / "cohort.tsv", [(f"D{i}", f"S{i}") for i in range(5)])
    folder = tmp_path / "s"
    for i in range(3):
        put_summary(folder, f"S{i}", 4, i)
    put_summary(folder, "S3", 4, 3, {"raw": Origin("raw", weights_sha256="cd" * 32), "lab": Origin("lab")})
    put_summary(folder, "S4", 4, 4)
    (folder / "S1.summary.h5").write_bytes(b"no")
    (folder / "S4.summary.h5").replace(folder / "S0.summary.h5")
    assert aggregate(tmp_path, "--summaries", str(folder), "--size", "256") == 65
    error = capsys.readouterr().err
    assert "3 faults" in error
    for text in ("S1.summary.h5: no summary", "holds slide S4", "cdcd", "one encoder file"):
        assert text in error


def test_an_encoder_that_most_slides_lack_is_a_fault(tmp_path, capsys):
    put_cohort(tmp_path / "cohort.tsv", [(f"D{i}", f"S{i}") for i in range(4)])
    for i in range(3):
        put_summary(tmp_path / "s", f"S{i}", 4, i, {"raw": ORIGIN})
    put_summary(tmp_path / "s", "S3", 4, 3)
    assert aggregate(tmp_path, "--summaries", str(tmp_path / "s"), "--size", "256") == 65
    assert "encoder lab at 256 px is in 1 of 4 slides only" in capsys.readouterr().err


def test_faulty_cohort_and_options(tmp_path, capsys):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1"), ("D1", "S2")])
    put_summary(tmp_path / "s", "S1", 4, 0)
    here = ("--summaries", str(tmp_path / "s"))
    assert aggregate(tmp_path, *here, "--size", "256") == 65
    assert "rows 2, 3: donor D1 stands more than once" in capsys.readouterr().err
    assert aggregate(tmp_path, *here, "--size", "256", tissue="Spleen") == 65
    assert "no row of tissue Spleen: it has Liver, Lung" in capsys.readouterr().err
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1")])
    assert aggregate(tmp_path, *here, "--size", "512") == 65
    told = "no features at 512 px of any of 1 slides: S1: name the sizes that were extracted in --patch_sizes"
    assert told in capsys.readouterr().err
    for options in ((*here,), (*here, "--size", "2x"), ("--tables", "a.tsv", "--size", "256"), ("--size", "256")):
        with pytest.raises(SystemExit) as left:
            aggregate(tmp_path, *options)
        assert left.value.code == 2


def tables(folder: Path, *names: str) -> tuple[str, ...]:
    return ("--tables", *(str(folder / name) for name in names), "--features-name", "nuclear")


@pytest.mark.parametrize("key", ["sample", "Image", "SLIDE_ID", "Tissue Sample ID"])
def test_tables_by_sample(tmp_path, key):
    put_cohort(tmp_path / "cohort.tsv", [("D2", "S2"), ("D1", "S1;S1b"), ("D3", "S3")])
    rows = [
        ["Lung", "S2", "0.1", "x", "7"],
        ["Lung", "S1", "1e-3", "y", "7"],
        ["Lung", "S1b", "2e-3", "x", "7"],
        ["Lung", "S9", "", "x", ""],
        ["Liver", "SZ", "", "x", ""],
    ]
    pd.DataFrame(rows, columns=["tissue", key, "Area: mean", "class", "flat"]).to_csv(
        tmp_path / "f.tsv", sep="\t", index=False
    )
    assert aggregate(tmp_path, *tables(tmp_path, "f.tsv")) == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert table.obs_names.tolist() == ["D1", "D2"]
    assert table.var_names.tolist() == ["Area: mean", "flat"]
    assert set(table.var["encoder"]) == {"nuclear"} and table.var["dead"].tolist() == [False, True]
    assert table.X.dtype == np.float64
    np.testing.assert_array_equal(table.X[:, 0], [(1e-3 + 2e-3) / 2, 0.1])
    assert not table.layers
    assert table.obs["samples"].tolist() == ["S1;S1b", "S2"] and table.obs["n_slides"].tolist() == [2, 1]
    assert table.uns["size"] == "-" and table.uns["files"] == "f.tsv"
    dropped = read_table(tmp_path / "dropped.tsv")
    assert dropped[["id", "kind"]].to_numpy().tolist() == [["D3", "donor"]]


def test_tables_by_donor_and_tissue_in_every_format(tmp_path):
    rows = [("D1", "Lung", 1.5, 2), ("D1", "Lung", 2.5, 4), ("D2", "Lung", 3.25, 6), ("D1", "Liver", 9.0, 9)]
    frame = pd.DataFrame(rows, columns=["donor", "tissue", "a", "b"])
    frame.to_csv(tmp_path / "f.csv", index=False)
    frame.to_parquet(tmp_path / "f.parquet")
    obs = frame[["donor", "tissue"]].set_index(pd.Index([f"r{i}" for i in range(4)]))
    data = anndata.AnnData(frame[["a", "b"]].to_numpy(), obs=obs, var=pd.DataFrame(index=["a", "b"]))
    data.write_h5ad(tmp_path / "f.h5ad")
    put_cohort(tmp_path / "cohort.tsv", [("D1", ""), ("D2", "")])
    for name in ("f.csv", "f.parquet", "f.h5ad"):
        assert aggregate(tmp_path, *tables(tmp_path, name)) == 0
        table = anndata.read_h5ad(tmp_path / "out.h5ad")
        np.testing.assert_array_equal(table.X, [[2, 3], [3.25, 6]], err_msg=name)
        assert table.obs["n_slides"].tolist() == [2, 1] and table.obs["samples"].tolist() == ["", ""]


def test_h5ad_by_the_names_of_its_rows(tmp_path):
    data = anndata.AnnData(np.float32([[1], [2]]), obs=pd.DataFrame(index=["S1", "S2"]), var=pd.DataFrame(index=["a"]))
    data.write_h5ad(tmp_path / "f.h5ad")
    put_cohort(tmp_path / "cohort.tsv", [("D2", "S2"), ("D1", "S1")])
    assert aggregate(tmp_path, *tables(tmp_path, "f.h5ad")) == 0
    assert anndata.read_h5ad(tmp_path / "out.h5ad").X.tolist() == [[1], [2]]


def test_several_tables_stand_side_by_side_or_below_one_another(tmp_path):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1"), ("D2", "S2")])
    (tmp_path / "a.tsv").write_text("sample\tx\nS1\t1\n")
    (tmp_path / "b.tsv").write_text("sample\tx\nS2\t2\n")
    (tmp_path / "c.tsv").write_text("sample\ty\nS1\t3\nS2\t4\n")
    assert aggregate(tmp_path, *tables(tmp_path, "c.tsv", "a.tsv", "b.tsv")) == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert table.var_names.tolist() == ["x", "y"] and table.X.tolist() == [[1, 3], [2, 4]]


def test_nothing_is_imputed(tmp_path):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1"), ("D2", "S2"), ("D3", "S3"), ("D4", "S4a;S4b")])
    (tmp_path / "f.tsv").write_text(
        "sample\tx\ty\tz\nS1\t1\t2\tNA\nS2\tNA\t\tnan\nS3\t5\t.\t3\nS4a\t2\tN/A\t1\nS4b\tNA\t7\t2\n"
    )
    assert aggregate(tmp_path, *tables(tmp_path, "f.tsv")) == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert table.obs_names.tolist() == ["D1", "D3", "D4"] and table.var_names.tolist() == ["x"]
    assert table.X[:, 0].tolist() == [1, 5, 2]
    dropped = read_table(tmp_path / "dropped.tsv")
    told = dict(zip(dropped["id"], dropped["kind"] + ": " + dropped["reason"], strict=True))
    assert told == {
        "D2": "donor: Lung: no value in the tables of features",
        "y": "feature: missing in 1 of 3 donors",
        "z": "feature: missing in 1 of 3 donors",
    }


def test_faulty_tables(tmp_path, capsys):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1"), ("D2", "S2"), ("D3", "S3")])
    (tmp_path / "a.tsv").write_text("sample\tx\ty\nS1\t1\tinf\nS2\t1,5\t2\nS3\t3\t4\n")
    (tmp_path / "b.tsv").write_text("name\tx\nS1\t1\n")
    (tmp_path / "c.tsv").write_text("sample\tclass\nS1\tyes\n")
    assert aggregate(tmp_path, *tables(tmp_path, "a.tsv", "b.tsv", "c.tsv")) == 65
    error = capsys.readouterr().err
    for text in ("a.tsv, row 3, column x: '1,5'", "a.tsv, row 2, column y: 'inf'", "b.tsv, row 1", "c.tsv: no numeric"):
        assert text in error
    (tmp_path / "d.tsv").write_text("sample\tx\nS1\t1\nS2\t2\n")
    (tmp_path / "e.tsv").write_text("sample\tx\nS1\t1\n")
    assert aggregate(tmp_path, *tables(tmp_path, "d.tsv", "e.tsv")) == 65
    assert "sample S1 has several values of x" in capsys.readouterr().err
    (tmp_path / "g.tsv").write_text("sample\tx\nT1\t1\n")
    assert aggregate(tmp_path, *tables(tmp_path, "g.tsv")) == 65
    assert "no row of a donor of Lung" in capsys.readouterr().err
    (tmp_path / "h.tsv").write_text("sample\tx\ty\nS1\t1\t\nS2\t\t2\n")
    assert aggregate(tmp_path, *tables(tmp_path, "h.tsv")) == 65
    assert "each of 2 features is missing in a donor" in capsys.readouterr().err
    frame = pd.DataFrame({"sample": ["S1", "S2"], "x": [1.0, np.inf]})
    frame.to_parquet(tmp_path / "i.parquet")
    assert aggregate(tmp_path, *tables(tmp_path, "i.parquet")) == 65
    assert "i.parquet, row 3, column x: 'inf'" in capsys.readouterr().err


def test_real_nuclear_features(real_data, tmp_path):
    """All six GTEx tables at once: the donors of one tissue, each value as it stands in its table."""
    paths = sorted((real_data / "gtex" / "nuclear_features").glob("*.tsv"))
    source = read_table(next(path for path in paths if path.stem == "Thyroid"))
    donors = source["Image"].str.extract(r"^(GTEX-[^-]+)")[0]
    put_cohort(tmp_path / "cohort.tsv", list(zip(donors, source["Image"], strict=True)), tissue="Thyroid")
    options = ("--tables", *map(str, paths), "--features-name", "nuclear")
    assert aggregate(tmp_path, *options, tissue="Thyroid") == 0
    table = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert table.shape == (len(source), 24) and not table.var["dead"].any()
    expected = source.drop(columns=["tissue", "Image"]).set_index(donors.to_numpy()).loc[table.obs_names].astype(float)
    pd.testing.assert_frame_equal(table.to_df(), expected, check_names=False, check_exact=True)


def test_factors_of_the_slides_travel_with_the_donors(tmp_path, capsys):
    put_cohort(tmp_path / "cohort.tsv", [("D1", "S1;S2"), ("D2", "S3")])
    for seed, sample in enumerate(("S1", "S2", "S3")):
        put_summary(tmp_path / "s", sample, 4, seed)
    status = pd.DataFrame(
        {"sample": ["S1", "S2", "S3"], "status": "ok", "focus": [1, 3, 5], "scanner": ["A 1", "A 1", ""]}
    )
    status.to_csv(tmp_path / "status.tsv", sep="\t", index=False)
    here = ("--summaries", str(tmp_path / "s"), "--size", "256", "--slide-status", str(tmp_path / "status.tsv"))
    assert aggregate(tmp_path, *here) == 0
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert obs["slide_focus"].tolist() == [2, 5] and obs["slide_scanner"].tolist() == ["A 1", ""]
    (tmp_path / "status.tsv").write_text("sample\tfocus\nS1\t1\n")
    assert aggregate(tmp_path, *here) == 65
    assert "status.tsv, row 1: no column status" in capsys.readouterr().err
