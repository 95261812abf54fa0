"""compare_settings.py and its sections: sizes, encoders and aggregations of a tissue side by side."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_associate import normal_columns

import associate
from compare_settings import TABLES, main
from hx_cli import Faults
from hx_fdr import bh, cauchy, cauchy_p
from hx_gather import gather
from hx_published_table import PUBLISHED_ROW
from hx_settings_sections import TABLES as SECTION_TABLES
from hx_settings_sections import settings_sections

ROOT = Path(__file__).resolve().parents[2]
TISSUE, DONORS, GENES = "Lung", 70, 40
PRIMARY = "256,raw,mean"


def names(donors: int = DONORS) -> list[str]:
    return [f"D{k:03d}" for k in range(donors)]


def drawn(sizes=("128", "256"), missing: int = 8, seed: int = 0):
    """{size: features} and expression: genes 0-9 go with a factor that raw sees at every size, and texture at none.

    The last `missing` donors have no features at the largest size.
    """
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=DONORS)
    log2 = rng.normal(5, 1, size=(DONORS, GENES))
    log2[:, :10] += 2.0 * factor[:, None]
    log2[:, 39] = 0.5 + 0.01 * rng.normal(size=DONORS)  # a gene that the study's filter leaves out
    var = pd.DataFrame({"symbol": [f"S{k}" for k in range(GENES)]}, index=[f"ENSG{k:04d}" for k in range(GENES)])
    expression = anndata.AnnData(log2, obs=pd.DataFrame(index=names()), var=var)
    expression.layers["int"] = normal_columns(log2)
    images = {}
    for size in sizes:
        values = rng.normal(size=(DONORS, 9))
        values[:, 2] += 2 * factor
        var = pd.DataFrame({"encoder": ["raw"] * 6 + ["texture"] * 3}, index=[f"f_{k:04d}" for k in range(9)])
        var["weights_sha256"] = ["ab"] * 6 + ["cd"] * 3
        image = anndata.AnnData(values, obs=pd.DataFrame(index=names()), var=var)
        image.layers["median"] = values + rng.normal(0, 0.3, values.shape)
        image.uns["encoders"] = {"raw": {"weights": "imagenet"}, "texture": {"weights": "none"}}
        images[size] = image if size != sizes[-1] or not missing else image[: DONORS - missing].copy()
    return images, expression


def put(folder: Path, images: dict, expression, *options: str, design=None, aggregations: str = "mean") -> None:
    """Files of a tissue, and its associations; design: covariates by donor, or None."""
    options = ("--aggregations", aggregations, "--controls", "none", *options)
    expression.write_h5ad(folder / f"{TISSUE}.expression.h5ad")
    for size, image in images.items():
        prefix = f"{TISSUE}.{size}"
        image.write_h5ad(folder / f"{prefix}.h5ad")
        more = []
        if design is not None:
            design.loc[list(image.obs_names)].to_csv(folder / f"{prefix}.design.tsv", sep="\t", float_format="%.17g")
            more = ["--design", f"{folder}/{prefix}.design.tsv"]
        given = ["--features", f"{folder}/{prefix}.h5ad", "--expression", f"{folder}/{TISSUE}.expression.h5ad"]
        assert associate.main([*given, "--setting-prefix", prefix, "--outdir", str(folder), *more, *options]) == 0


def run(folder: Path, *options: str) -> int:
    given = ["--results", str(folder), "--tissue-id", TISSUE, "--primary", PRIMARY, "--outdir", f"{folder}/out"]
    return main([*given, *options])


def read(folder: Path) -> dict[str, pd.DataFrame]:
    kinds = [*TABLES, "compare_settings.dropped"]
    return {
        kind: pd.read_csv(folder / "out" / f"{TISSUE}.{kind}.tsv", sep="\t", keep_default_na=False, na_values=[""])
        for kind in kinds
    }


@pytest.fixture(scope="module")
def two_sizes(tmp_path_factory):
    """128 with 70 donors, 256 with 62; two covariates."""
    folder = tmp_path_factory.mktemp("settings")
    design = pd.DataFrame(
        np.random.default_rng(5).normal(size=(DONORS, 2)), columns=["A", "B"], index=pd.Index(names(), name="donor")
    )
    put(folder, *drawn(), design=design, aggregations="mean,median")
    assert run(folder) == 0
    return folder, read(folder), design


def test_counts(two_sizes):
    """All donors: as in the summary. Donors of every size: as associate.py finds when it is given those alone."""
    folder, tables, _ = two_sizes
    counts = tables["setting_counts"].set_index(["donors", "setting"])
    summary = pd.concat(
        pd.read_csv(folder / f"{TISSUE}.{size}.association_summary.tsv", sep="\t") for size in ("128", "256")
    )
    real = summary[summary["control"] == "none"].set_index("setting")
    shown = ["n", "dof", "features", "genes", "pairs", "hits", "genes_found", "genes_with_hit", "features_with_hit"]
    pd.testing.assert_frame_equal(counts.loc["all"][shown], real.loc[counts.loc["all"].index, shown], check_like=True)
    assert set(counts.loc["every_size", "n"]) == {62} and len(counts.loc["every_size"]) == 8
    same = [s for s in real.index if ".256." in s]
    pd.testing.assert_frame_equal(counts.loc["every_size"].loc[same, shown], real.loc[same, shown])
    assert counts.loc["all", "analysis"].to_dict() == {s: "exploratory" for s in real.index} | {
        "Lung.256.raw.mean": "primary"
    }


def test_counts_on_equal_donors_against_associate(two_sizes, tmp_path):
    _, tables, design = two_sizes
    images, expression = drawn()
    put(tmp_path, {"128": images["128"][: DONORS - 8].copy()}, expression, design=design, aggregations="mean,median")
    oracle = pd.read_csv(tmp_path / f"{TISSUE}.128.association_summary.tsv", sep="\t").query("control == 'none'")
    counts = tables["setting_counts"].query("donors == 'every_size'").set_index("setting")
    for row in oracle.itertuples():
        ours = counts.loc[row.setting]
        assert (ours["n"], ours["dof"], ours["hits"], ours["genes_found"], ours["features_with_hit"]) == (
            *(62, 58, row.hits, row.genes_found, row.features_with_hit),
        )
        assert ours["detectable_r"] == pytest.approx(row.detectable_r, rel=1e-9)
    more = tables["setting_counts"].query("donors == 'all'").set_index("setting").loc["Lung.128.raw.mean", "n"]
    assert more == 70


def test_overlaps(two_sizes):
    folder, tables, _ = two_sizes
    overlaps = tables["setting_overlaps"]
    assert len(overlaps.query("donors == 'all' and of == 'genes'")) == 8 * 7 / 2
    # Hits of features of the same weights alone: 4 settings of each encoder.
    assert len(overlaps.query("donors == 'all' and of == 'hits'")) == 2 * 4 * 3 / 2
    stored = pd.concat(pd.read_parquet(folder / f"{TISSUE}.{s}.association_genes.parquet") for s in ("128", "256"))
    pairs = pd.concat(pd.read_parquet(folder / f"{TISSUE}.{s}.associations.parquet") for s in ("128", "256"))
    where = {"setting": "Lung.128.raw.mean", "other": "Lung.256.raw.mean"}
    found = [set(stored[(stored["setting"] == s) & (stored["gene_q"] <= 0.05)]["gene"]) for s in where.values()]
    row = overlaps[(overlaps[list(where)] == where.values()).all(axis=1) & (overlaps["donors"] == "all")]
    genes, hits = (row[row["of"] == of].iloc[0] for of in ("genes", "hits"))
    assert len(found[0] & found[1]) == genes["shared"] >= 8 and genes["tested"] == GENES
    assert genes["jaccard"] == pytest.approx(len(found[0] & found[1]) / len(found[0] | found[1]), rel=1e-9)
    sizes = len(found[0]), len(found[1])
    assert genes["p_overlap"] == pytest.approx(stats.hypergeom.sf(genes["shared"] - 1, GENES, *sizes), rel=1e-8)
    mine = [
        set(zip(part["feature"], part["gene"], strict=True))
        for part in (pairs[(pairs["setting"] == s) & pairs["q_tree"].notna()] for s in where.values())
    ]
    assert hits["shared"] == len(mine[0] & mine[1]) and hits["first"] == len(mine[0])
    assert hits["tested"] == 6 * GENES and np.isnan(hits["p_overlap"])
    assert (genes["differ_in"], genes["n"], genes["other_n"]) == ("size", 70, 62)
    assert set(overlaps["differ_in"]) == {
        *("size", "encoder", "aggregation", "size;encoder", "size;aggregation"),
        *("encoder;aggregation", "size;encoder;aggregation"),
    }


def test_size_sets_and_cards(two_sizes):
    folder, tables, _ = two_sizes
    genes = pd.concat(pd.read_parquet(folder / f"{TISSUE}.{s}.association_genes.parquet") for s in ("128", "256"))
    genes = genes.astype({"setting": str, "gene": str, "best_feature": str})
    raw = genes[genes["setting"].str.endswith("raw.mean") & (genes["gene_q"] <= 0.05)]
    sizes = raw.groupby("gene")["setting"].agg(lambda s: ";".join(sorted(name.split(".")[1] for name in s)))
    ours = tables["size_sets"].query("donors == 'all' and encoder == 'raw' and aggregation == 'mean'")
    assert ours.set_index("sizes")["genes"].to_dict() == sizes.value_counts().to_dict()
    assert set(ours["analysis"]) == {"primary"} and set(ours["of"]) == {2}
    cards = tables["gene_cards"].set_index("gene")
    found = genes[genes["gene_q"] <= 0.05]
    assert set(cards.index) == set(found["gene"])
    assert cards["settings_found"].to_dict() == found.groupby("gene").size().to_dict()
    assert (cards["settings_tested"] == 8).all()
    pairs = pd.concat(pd.read_parquet(folder / f"{TISSUE}.{s}.associations.parquet") for s in ("128", "256"))
    pairs = pairs.astype({"setting": str, "gene": str, "feature": str}).set_index(["setting", "feature", "gene"])
    for gene, card in cards.iterrows():
        of = found[found["gene"] == gene]
        best = of.loc[of["gene_p"] == of["gene_p"].min()].iloc[0]
        assert (card["best_setting"], card["feature"]) == (best["setting"], best["best_feature"])
        assert card["r"] == pytest.approx(best["r"], rel=1e-9)
        q_tree = pairs.loc[(card["best_setting"], card["feature"], gene), "q_tree"]
        assert card["q_tree"] == pytest.approx(q_tree, rel=1e-8, nan_ok=True)
        assert card["found_in"].split(";") == of["setting"].tolist()
    total = genes.assign(s=cauchy(genes["gene_p"])).groupby("gene")["s"].sum()
    p = pd.Series(cauchy_p(total.to_numpy(), 8), total.index)
    np.testing.assert_allclose(cards["p_settings"], p[cards.index], rtol=1e-8)
    np.testing.assert_allclose(cards["q_settings"], pd.Series(bh(p.to_numpy()), p.index)[cards.index], rtol=1e-8)


def test_published(two_sizes):
    """The study's genes alone, both variants of every setting, p of its best pair with n - 2 degrees of freedom."""
    folder, tables, design = two_sizes
    rows = tables["published_associations"]
    assert list(rows) == PUBLISHED_ROW and len(rows) == 2 * 8
    assert set(rows["genes"]) == {39} and set(rows["covariate_rank"]) == {2}
    row = rows.query("setting == 'Lung.256.raw.mean'").set_index("variant")
    assert row["dof"].to_dict() == {"published": 60, "calibrated": 58} and set(row["pairs"]) == {6 * 39}
    image = anndata.read_h5ad(folder / "Lung.256.h5ad")
    expression = anndata.read_h5ad(folder / "Lung.expression.h5ad")[image.obs_names]
    one = row.loc["published"]
    x = np.column_stack([np.ones(62), design.loc[list(image.obs_names)]])
    rest = [
        values - x @ np.linalg.lstsq(x, values, rcond=None)[0]
        for values in (image[:, one["top_feature"]].X[:, 0], expression[:, one["top_gene"]].X[:, 0])
    ]
    oracle = stats.pearsonr(*rest)
    assert (one["top_r"], one["top_r2"]) == pytest.approx((oracle.statistic, oracle.statistic**2), rel=1e-8)
    assert one["top_nlog10p"] == pytest.approx(-np.log10(oracle.pvalue), rel=1e-7)
    assert one["top_symbol"] == f"S{int(one['top_gene'][4:])}" and one["hits"] >= 8 and one["null_hits"] < 1


def test_equal_donors_are_not_tested_twice(tmp_path):
    put(tmp_path, *drawn(missing=0))
    assert run(tmp_path) == 0
    tables = read(tmp_path)
    for kind in ("setting_counts", "setting_overlaps", "size_sets"):
        assert set(tables[kind]["donors"]) == {"all"}
    assert tables["compare_settings.dropped"].empty


def test_one_size_of_given_features(tmp_path):
    """A feature table: one setting, no pair of settings."""
    images, expression = drawn(("-",), missing=0)
    image = images["-"][:, :6].copy()
    put(tmp_path, {"-": image}, expression)
    assert run(tmp_path) == 0
    tables = read(tmp_path)
    assert tables["setting_counts"]["setting"].tolist() == ["Lung.-.raw.given"]
    assert tables["setting_counts"]["analysis"].tolist() == ["primary"]
    assert tables["setting_overlaps"].empty and tables["size_sets"]["sizes"].tolist() == ["-"]
    assert len(tables["published_associations"]) == 2


def test_too_few_donors_at_every_size(tmp_path):
    """The other tables stand, and the reason with them; a size without donors is none of the sizes compared."""
    images, expression = drawn(("128", "256"), missing=0)
    images["128"] = images["128"][:37].copy()
    images["256"] = images["256"][33:].copy()
    put(tmp_path, images, expression)
    assert run(tmp_path) == 0
    tables = read(tmp_path)
    assert set(tables["setting_counts"]["donors"]) == {"all"}
    assert "4 donors were tested at every size" in tables["compare_settings.dropped"]["reason"].item()


def test_a_size_of_too_few_donors_does_not_count(tmp_path):
    images, expression = drawn(missing=8)
    images["4096"] = images["128"][:3].copy()
    put(tmp_path, images, expression)
    assert run(tmp_path) == 0
    counts = read(tmp_path)["setting_counts"]
    assert set(counts["size"]) == {128, 256} and set(counts.query("donors == 'every_size'")["n"]) == {62}


def test_corrections(tmp_path):
    """Hits are those of the correction of the run."""
    for correction in ("bh", "bonferroni"):
        folder = tmp_path / correction
        folder.mkdir()
        put(folder, *drawn(), "--correction", correction)
        assert run(folder) == 0
        tables = read(folder)
        assert tables["compare_settings.dropped"].empty  # as many hits are stored as are counted
        hits = tables["setting_overlaps"].query("of == 'hits' and donors == 'all' and setting == 'Lung.128.raw.mean'")
        count = tables["setting_counts"].query("setting == 'Lung.128.raw.mean' and donors == 'all'")["hits"].item()
        assert set(hits["first"]) == {count} and count > 0


def test_more_hits_than_are_stored(tmp_path):
    images, expression = drawn(missing=0)
    for image in images.values():  # two features a gene, of which its one top pair is one
        image.X[:, 3] = image.X[:, 2] + np.random.default_rng(0).normal(size=DONORS)
    put(tmp_path, images, expression, "--max-hits", "3", "--top", "1")
    assert run(tmp_path) == 0
    tables = read(tmp_path)
    assert (tables["compare_settings.dropped"]["kind"] == "setting").all()
    assert "Lung.128.raw.mean" in set(tables["compare_settings.dropped"]["id"])
    assert "Lung.128.raw.mean" not in set(tables["setting_overlaps"].query("of == 'hits'")["setting"])


def test_no_gene_that_the_study_would_test(tmp_path):
    images, expression = drawn(missing=0)
    expression.X = expression.X - expression.X.mean(axis=0)
    put(tmp_path, images, expression)
    assert run(tmp_path) == 0
    tables = read(tmp_path)
    assert tables["published_associations"].empty and list(tables["published_associations"]) == PUBLISHED_ROW
    assert "no gene of mean log2 above 1" in tables["compare_settings.dropped"]["reason"].item()


def test_same_input_same_bytes(two_sizes, tmp_path):
    folder, _, _ = two_sizes
    for name, threads in (("a", "1"), ("b", "1")):
        given = ["--results", str(folder), "--tissue-id", TISSUE, "--primary", PRIMARY]
        assert main([*given, "--threads", threads, "--outdir", str(tmp_path / name)]) == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_bad_input(two_sizes, tmp_path, capsys):
    assert run(tmp_path) == 65
    assert "no *.associations.parquet" in capsys.readouterr().err
    put(tmp_path, *drawn(missing=0))
    (tmp_path / "Skin.128.associations.parquet").write_bytes((tmp_path / "Lung.128.associations.parquet").read_bytes())
    assert run(tmp_path) == 65
    assert "associations of Skin.128: give those of Lung alone" in capsys.readouterr().err
    (tmp_path / "Skin.128.associations.parquet").unlink()
    summary = tmp_path / "Lung.128.association_summary.tsv"
    kept = summary.read_text()
    summary.write_text(kept.replace("\ttree\t0.05", "\tbh\t0.05"))
    assert run(tmp_path) == 65
    assert "several --correction or --alpha" in capsys.readouterr().err
    summary.write_text(kept.replace("\t70\t68", "\t71\t69"))
    assert run(tmp_path) == 65
    assert "71 donors, but features, expression and covariates have 70" in capsys.readouterr().err
    summary.write_text(kept)
    parquet = tmp_path / "Lung.128.association_genes.parquet"
    parquet.write_bytes(b"no table")
    assert run(tmp_path) == 65
    assert "Lung.128.association_genes.parquet: no table of associate.py" in capsys.readouterr().err
    parquet.unlink()
    assert run(tmp_path) == 65
    assert "no Lung.128.association_genes.parquet" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--results", str(tmp_path), "--tissue-id", TISSUE, "--primary", "256"])
    assert stop.value.code == 2


def test_files_of_several_runs(tmp_path, capsys):
    put(tmp_path, *drawn(missing=0))
    image = anndata.read_h5ad(tmp_path / "Lung.128.h5ad")
    image.var_names = [f"other_{name}" for name in image.var_names]
    image.write_h5ad(tmp_path / "Lung.128.h5ad")
    image = anndata.read_h5ad(tmp_path / "Lung.256.h5ad")
    image.var_names = [f"other_{name}" for name in image.var_names]
    image.write_h5ad(tmp_path / "Lung.256.h5ad")
    assert run(tmp_path) == 65
    assert "Lung.128.associations.parquet: features or genes that Lung.128.h5ad" in capsys.readouterr().err


def gathered(folder: Path) -> dict[str, pd.DataFrame]:
    faults = Faults()
    tables = gather(folder, SECTION_TABLES, faults)
    faults.stop()
    return tables


def chosen_rows() -> pd.DataFrame:
    return pd.DataFrame(
        [["Lung.256.raw.mean", "Lung", "256", "raw", "mean"]],
        columns=["setting", "tissue_id", "size", "encoder", "aggregation"],
    )


def test_sections(two_sizes):
    """What is shown is what the tables hold, on equal donors where sizes are compared."""
    folder, tables, _ = two_sizes
    shown = {part["id"]: part for part in settings_sections(gathered(folder / "out"), chosen_rows())}
    assert list(shown) == ["setting_counts", "overlap_sizes", "overlap_choices", "size_sets", "published_associations"]
    counts = tables["setting_counts"].set_index(["donors", "setting"])
    row = shown["setting_counts"]["data"]["Lung.128.raw.mean"]
    assert next(iter(shown["setting_counts"]["data"])) == "Lung.128.raw.mean"
    assert (row["n"], row["equal_n"]) == (70, 62)
    assert row["hits"] == counts.loc[("all", "Lung.128.raw.mean"), "hits"]
    assert row["equal_hits"] == counts.loc[("every_size", "Lung.128.raw.mean"), "hits"]
    pairs = tables["setting_overlaps"].query("donors == 'every_size' and of == 'genes'")
    pairs = pairs.set_index(["setting", "other"])["jaccard"]
    heat = shown["overlap_sizes"]
    assert (heat["xcats"], heat["ycats"]) == (["128", "256"], ["Lung, 128", "Lung, 256"])
    assert heat["data"][0][1] == heat["data"][1][0] == pairs[("Lung.128.raw.mean", "Lung.256.raw.mean")]
    assert heat["data"][0][0] is None
    choices = shown["overlap_choices"]["data"]
    assert all(name.startswith("Lung.256.") for name in choices) and len(choices) == 4
    sets = tables["size_sets"].query("donors == 'every_size' and encoder == 'raw' and aggregation == 'mean'")
    assert {name: parts["Lung"] for name, parts in shown["size_sets"]["data"].items()} == dict(
        zip(sets["sizes"].astype(str).str.replace(";", " + "), sets["genes"], strict=True)
    )
    published = shown["published_associations"]["data"]
    assert published["Lung.128.raw.mean"]["variant"] == "published"
    assert published["Lung.128.raw.mean (2)"]["variant"] == "calibrated"
    order = (ROOT / "assets" / "multiqc_config.yml").read_text()
    for name in shown:
        assert f"\n  {name}:\n" in order


def test_sections_of_equal_donors_and_of_nothing(tmp_path):
    put(tmp_path, *drawn(missing=0))
    assert run(tmp_path) == 0
    shown = {part["id"]: part for part in settings_sections(gathered(tmp_path / "out"), chosen_rows())}
    row = shown["setting_counts"]["data"]["Lung.128.raw.mean"]
    assert row["equal_hits"] == row["hits"] and "overlap_sizes" in shown
    assert settings_sections({}, chosen_rows()) == []
    empty = {kind: pd.DataFrame(columns=columns) for kind, columns in TABLES.items()}
    assert settings_sections(empty, chosen_rows()) == []


def test_one_size_has_no_section_of_sizes(tmp_path):
    images, expression = drawn(("256",), missing=0)
    put(tmp_path, images, expression)
    assert run(tmp_path) == 0
    shown = [part["id"] for part in settings_sections(gathered(tmp_path / "out"), chosen_rows())]
    assert shown == ["setting_counts", "overlap_choices", "published_associations"]
