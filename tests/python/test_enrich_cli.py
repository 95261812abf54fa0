"""enrich.py: what is written, planted pathways, Table 1, markers, lists, GSEA; every way its input can be bad."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from enrichment_made import BUNDLED, LAMELLAR, tables, write_gmt
from scipy import stats

from enrich import COLUMNS, main
from hx_gene_sets import read_gmt
from hx_gsea import LABEL, prerank

PREFIX = "Lung.256"
SYMBOLS = [f"S{k}" for k in range(400)]
PLANTED = [f"S{k}" for k in range(40)]


def run(folder: Path, image, expression, gmt: Path, *extra: str) -> int:
    folder.mkdir(exist_ok=True)
    image.write_h5ad(folder / f"{PREFIX}.h5ad")
    expression.write_h5ad(folder / "Lung.expression.h5ad")
    return main(
        ["--features", f"{folder}/{PREFIX}.h5ad", "--expression", f"{folder}/Lung.expression.h5ad",
         "--setting-prefix", PREFIX, "--primary", "256,raw,mean", "--gene-sets", str(gmt), "--gsea-features", "0",
         "--outdir", f"{folder}/out", *extra]
    )  # fmt: skip


def written(folder: Path) -> dict[str, pd.DataFrame]:
    out = folder / "out"
    found = {
        name: pd.read_csv(out / f"{PREFIX}.{name}.tsv", sep="\t", keep_default_na=False, na_values=[""])
        for name in [*COLUMNS, "enrich.dropped"]
    }
    return found | {"enrichment": pd.read_parquet(out / f"{PREFIX}.enrichment.parquet")}


def random_sets(seed: int, symbols: list[str], number: int = 30) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    return {f"RANDOM{k}": sorted(rng.choice(symbols, 20, replace=False)) for k in range(number)}


def factor_genes(path: Path, expression, found: dict[str, list[str]]) -> Path:
    """confounder_genes.parquet: q = .001 of the genes found by a factor, .5 of the others; r2 falls along them."""
    parts = []
    for factor, symbols in found.items():
        table = pd.DataFrame({"gene": expression.var_names, "symbol": expression.var["symbol"].to_numpy()})
        mine = table["symbol"].isin(symbols)
        table = table.assign(factor=factor, r2=np.linspace(1, 0, len(table)), p=0.1, r2_unique=0.0, p_unique=1.0)
        parts.append(table.assign(q=np.where(mine, 0.001, 0.5), q_unique=1.0))
    pd.concat(parts).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Genes S0-S39 go with raw_0003; markers CELL hold half of them."""
    folder = tmp_path_factory.mktemp("enrich")
    image, expression = tables(SYMBOLS, {"raw_0003": PLANTED})
    gmt = write_gmt(folder / "sets.gmt", {"PLANTED": PLANTED[10:30], **random_sets(1, SYMBOLS)})
    markers = write_gmt(folder / "cells.gmt", {"CELL": PLANTED[:20], "OTHER": SYMBOLS[200:220]}, "\r\n")
    factors = factor_genes(folder / "f.parquet", expression, {"SMRIN": SYMBOLS[100:140], "AGE": []})
    options = ["--marker-sets", str(markers), "--confounder-genes", str(factors), "--gsea-features", "1"]
    assert run(folder, image, expression, gmt, *options) == 0
    return folder, image, expression, written(folder)


def test_planted_set_is_first(result):
    found = result[3]
    rows = found["enrichment"].query("collection == 'gene_sets'").astype({"set": str, "feature": str})
    for p in ("p_camera", "p_ora"):
        first = rows.sort_values(p).iloc[0]
        assert (first["feature"], first["set"]) == ("raw_0003", "PLANTED")
    assert first["q_camera"] < 0.01 and first["q_ora"] < 0.01 and first["direction"] == "up"
    assert (first["size"], first["overlap"], first["term"]) == (20, 20, "about PLANTED")
    x, n = int(first["overlap"]), int(first["genes_found"])
    assert first["p_ora"] == pytest.approx(stats.hypergeom.sf(x - 1, 400, 20, n), rel=1e-8)
    assert rows.query("set != 'PLANTED'")["q_camera"].isna().all()


def test_counts(result):
    summary = result[3]["enrichment_summary"]
    assert set(summary["control"]) == {"none", "shuffle_donors"} and set(summary["setting"]) == {f"{PREFIX}.raw.mean"}
    real = summary[summary["control"] == "none"]
    # Markers are tested, and told, first; the headline first among the tests.
    assert list(real["collection"].drop_duplicates()) == ["markers", "gene_sets"]
    assert list(real["test"])[:4] == ["camera", "ora", "strength", "score"] and list(real["headline"])[:2] == [
        "yes",
        "no",
    ]
    row = real.query("collection == 'gene_sets' and test == 'camera'").iloc[0]
    assert (row["tests"], row["found"], row["sets_found"], row["genes"], row["sets"]) == (310, 1, 1, 400, 31)
    assert (row["n"], row["dof"], row["analysis"]) == (80, 78, "primary")
    assert "400 genes tested" in row["caution"] and "correlation" in row["told"]
    control = summary.query("control == 'shuffle_donors' and test == 'camera'")
    assert (control["found"] == 0).all()


def test_markers_have_a_family_of_their_own_and_mark_hits(result):
    found = result[3]
    rows = found["enrichment"].query("collection == 'markers'").sort_values("p_camera")
    assert rows.iloc[0]["set"] == "CELL" and rows["q_camera"].notna().sum() == 1
    hits = found["marker_hits"].set_index("symbol")
    assert set(hits.index) >= set(PLANTED)
    assert (hits.loc[PLANTED, "tracks"] == "yes").all() and (hits.loc[PLANTED, "marker_set"] == "CELL").all()
    assert (hits.loc[PLANTED[:20], "in_set"] == "yes").all() and (hits.loc[PLANTED[20:], "in_set"] == "no").all()
    # By hand, with the set's other genes: values by rank, and what is left of r once the score is given.
    expression, image = result[2], result[1]
    values = pd.DataFrame(expression.layers["int"], columns=SYMBOLS)
    unit = (values - values.mean()) / values.std()
    for symbol in ("S3", "S33"):
        score = unit[[name for name in PLANTED[:20] if name != symbol]].sum(axis=1)
        assert hits.loc[symbol, "r_marker"] == pytest.approx(np.corrcoef(score, unit[symbol])[0, 1], rel=1e-9)
        x = image.X[:, 3].astype(float)
        left = [v - np.polyval(np.polyfit(score, v, 1), score) for v in (x, unit[symbol])]
        assert hits.loc[symbol, "r_given_marker"] == pytest.approx(np.corrcoef(left)[0, 1], rel=1e-5)
    assert (hits.loc[PLANTED, "r_given_marker"].abs() < hits.loc[PLANTED, "r"].abs()).all()


def test_table_1_of_the_study(result):
    row = result[3]["enrichment_table1"].query("collection == 'gene_sets'").iloc[0]
    assert (row["rank"], row["feature"], row["set"]) == (1, "raw_0003", "PLANTED") and row["q"] < 0.01
    genes = row["genes"].split(";")
    assert set(genes) == set(PLANTED[10:30])
    x, values = result[1].X[:, 3].astype(float), pd.DataFrame(result[2].layers["int"], columns=SYMBOLS)
    r = [abs(np.corrcoef(x, values[name])[0, 1]) for name in genes]
    assert r == sorted(r, reverse=True)


def test_lists_of_genes(result):
    """All genes found in a setting, also in those whose features are not tested, and the genes of each factor."""
    folder, _, _, found = result
    lists = found["gene_lists"].fillna({"given": ""}).set_index(["kind", "list", "given", "collection"])["genes"]
    for factor, genes in {"SMRIN": 40, "AGE": 0}.items():
        assert lists["factor", factor, "", "markers"] == lists["factor", factor, "", "gene_sets"] == genes
        assert lists["factor", factor, "model", "gene_sets"] == 0
    lists = found["gene_lists"].query("collection == 'gene_sets' and kind == 'setting'").set_index("list")
    assert lists.loc[f"{PREFIX}.raw.mean", "genes"] >= 38 and lists.loc[f"{PREFIX}.raw.mean", "sets"] == 31
    assert lists.loc[f"{PREFIX}.raw.median", "top_term"] == "about PLANTED"
    terms = found["enrichment_lists"]
    row = terms.query("kind == 'setting' and list == 'Lung.256.raw.mean' and set == 'PLANTED'").iloc[0]
    n = int(row["listed"])
    assert row["p"] == pytest.approx(stats.hypergeom.sf(int(row["overlap"]) - 1, 400, 20, n), rel=1e-8)
    assert row["expected"] == pytest.approx(n * 20 / 400) and row["universe"] == 400 and row["q"] < 0.01
    gmt = dict((line.split("\t")[0], line.split("\t")[2:]) for line in (folder / f"out/{PREFIX}.gene_lists.gmt").open())
    assert [name.strip() for name in gmt[f"{PREFIX}.SMRIN"]] == SYMBOLS[100:140]  # by falling R2
    assert set(PLANTED[5:35]) <= {name.strip() for name in gmt[f"{PREFIX}.raw.mean"]}


def test_gsea_is_labelled(result):
    table = result[3]["gsea"]
    assert set(table["ranking"]) == {"t", "r2"} and set(table["label"]) == {LABEL}
    assert set(table["feature"]) == set(result[3]["enrichment_table1"]["feature"].iloc[:1])
    first = table.query("collection == 'gene_sets' and ranking == 't'").iloc[0]
    assert first["set"] == "PLANTED" and first["nes"] > 0 and 0 < first["p_gsea"] < 1e-4
    assert set(first["leading_genes"].split(";")) <= set(PLANTED[10:30])


def test_the_lamellar_body_of_the_study(tmp_path):
    """Issue 9: its genes as those of a feature, among 3,000 real symbols: GO:0042599 is the first of all terms."""
    sets, _ = read_gmt(BUNDLED)
    others = sorted({gene for each in sets for gene in each.genes} - set(LAMELLAR))
    symbols = LAMELLAR + [str(gene) for gene in np.random.default_rng(0).choice(others, 2993, replace=False)]
    image, expression = tables(symbols, {"raw_0005": LAMELLAR}, donors=100, features=8)
    assert run(tmp_path, image, expression, BUNDLED, "--aggregations", "mean") == 0
    found = written(tmp_path)
    row = found["enrichment_table1"].iloc[0]
    assert (row["feature"], row["set"], row["term"]) == ("raw_0005", "GO:0042599", "lamellar body")
    assert row["q"] < 0.01 and set(row["genes"].split(";")) == {"SFTPA1", "SFTPB", "SFTPA2", "LAMP3", "CTSH", "NAPSA"}
    first = found["enrichment"].sort_values("p_camera").iloc[0]
    assert (first["feature"], first["set"]) == ("raw_0005", "GO:0042599") and first["q_camera"] < 0.01


def test_all_settings_and_the_same_bytes(result, tmp_path):
    _, image, expression, _ = result
    gmt = write_gmt(tmp_path / "sets.gmt", {"PLANTED": PLANTED, **random_sets(1, SYMBOLS)})
    for folder in ("a", "b"):
        options = ["--settings", "all", "--controls", "none", "--gsea-features", "raw_0003"]
        assert run(tmp_path / folder, image, expression, gmt, *options) == 0
    found = written(tmp_path / "a")
    assert set(found["enrichment"]["setting"]) == {f"{PREFIX}.raw.mean", f"{PREFIX}.raw.median"}
    assert set(found["enrichment_summary"]["analysis"]) == {"primary", "exploratory"}
    assert set(found["enrichment_table1"]["setting"]) == {f"{PREFIX}.raw.mean"}
    assert set(found["gsea"]["feature"]) == {"raw_0003"} and found["marker_hits"].empty
    files = sorted(path.name for path in (tmp_path / "a/out").iterdir())
    assert len(files) == len(COLUMNS) + 3
    for name in files:
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes(), name


def test_covariates_are_taken_out(result, tmp_path):
    """A covariate that is the planted feature itself leaves nothing to find."""
    _, image, expression, _ = result
    rng = np.random.default_rng(5)
    x = image.X[:, 3].astype(float)
    noisy = pd.DataFrame({"donor": image.obs_names, "AGE": x + 1e-3 * rng.normal(size=len(x))})
    noisy.to_csv(tmp_path / "design.tsv", sep="\t", index=False, float_format="%.17g")
    gmt = write_gmt(tmp_path / "sets.gmt", {"PLANTED": PLANTED, **random_sets(1, SYMBOLS)})
    assert run(tmp_path, image, expression, gmt, "--design", str(tmp_path / "design.tsv")) == 0
    found = written(tmp_path)
    assert found["enrichment_summary"].query("control == 'none'")["found"].sum() == 0
    assert (found["enrichment_summary"]["dof"] == 77).all()
    assert found["enrichment_table1"].empty and found["gsea"].empty


def test_no_overlap(result, tmp_path, capsys):
    """Sets that were asked for stop the run and say why; the bundled ones are left out with a row."""
    _, image, expression, _ = result
    gmt = write_gmt(tmp_path / "mouse.gmt", {"M": ["s1", "s2", "s3", "s4", "s5"]})
    assert run(tmp_path, image, expression, gmt) == 65
    assert "mouse.gmt: none of its 5 genes is tested" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert run(tmp_path, image, expression, gmt, "--bundled-sets") == 0
    found = written(tmp_path)
    assert found["enrichment"].empty and found["enrichment_lists"].empty and len(found["gene_lists"]) == 2
    assert "none of its 5 genes is tested" in found["enrich.dropped"]["reason"].iloc[0]
    assert run(tmp_path, image, expression, gmt, "--bundled-sets", "--marker-sets", str(gmt)) == 65


def test_sets_that_are_too_small_and_features_that_are_not_there(result, tmp_path, capsys):
    _, image, expression, _ = result
    gmt = write_gmt(tmp_path / "s.gmt", {"SMALL": ["S1", "S2"], "NONE": [], "PLANTED": PLANTED})
    assert run(tmp_path, image, expression, gmt, "--gsea-features", "raw_9999") == 65
    assert "--gsea-features raw_9999: no such feature in the primary setting" in capsys.readouterr().err
    assert run(tmp_path, image, expression, gmt) == 0
    dropped = written(tmp_path)["enrich.dropped"]
    assert "NONE" in set(dropped["id"]) and dropped["reason"].str.contains("1 of 2 sets .* fewer than 5").any()
    small = write_gmt(tmp_path / "t.gmt", {"SMALL": ["S1", "S2"]})
    assert run(tmp_path, image, expression, small) == 0
    found = written(tmp_path)
    assert found["enrichment"].empty and set(found["enrichment_summary"]["caution"]) == {
        "no set has enough of the genes tested"
    }


def test_sets_may_say_the_same(result, tmp_path):
    """Two sets of one description are two sets."""
    _, image, expression, _ = result
    gmt = tmp_path / "s.gmt"
    rows = [("A", PLANTED[:20]), ("B", PLANTED[20:]), ("C", SYMBOLS[90:120])]
    gmt.write_text("".join("\t".join([name, "drawn", *genes]) + "\n" for name, genes in rows))
    assert run(tmp_path, image, expression, gmt) == 0
    found = written(tmp_path)
    assert set(found["enrichment_table1"]["set"]) == {"A", "B"} and set(found["enrichment"]["term"]) == {"drawn"}


def test_too_few_donors_and_wrong_usage(result, tmp_path):
    _, image, expression, _ = result
    gmt = write_gmt(tmp_path / "s.gmt", {"PLANTED": PLANTED})
    assert run(tmp_path, image[:5].copy(), expression, gmt) == 0
    found = written(tmp_path)
    assert all(found[name].empty for name in COLUMNS) and found["enrich.dropped"]["kind"].tolist() == ["size"]
    with pytest.raises(SystemExit) as error:
        run(tmp_path, image, expression, gmt, "--alpha", "1.5")
    assert error.value.code == 2


def test_prerank_against_its_definition():
    """O15: enrichment scores to 1e-10, by the running sum; names in any case and terms with __ do no harm."""
    from test_enrich import made

    rng = np.random.default_rng(4)
    statistic = rng.normal(size=300)
    statistic[:20] += 2
    sets = made([np.arange(20), *(np.sort(rng.choice(300, size, replace=False)) for size in (5, 15, 40, 80))], 300)
    sets.set[1], sets.set[2] = "a__lower", "b__LOWER"
    names = np.array([f"gene{k % 150}" for k in range(300)], dtype=object)
    found = prerank(statistic, names, sets, seed=1, threads=1)
    assert found.index.tolist() == list(range(5)) and (found["p_gsea"] > 0).all() and found["p_gsea"][0] < 1e-3
    order = np.argsort(-statistic)
    for k in range(5):
        inside = np.isin(order, sets.genes_of(k))
        step = np.where(inside, np.abs(statistic[order]), 0)
        walk = np.cumsum(step / step.sum() - ~inside / (~inside).sum())
        assert found["es"][k] == pytest.approx(walk[np.abs(walk).argmax()], abs=1e-10)
        assert set(found["leading_genes"][k]) <= set(sets.genes_of(k))
    again = prerank(statistic, names, sets, seed=1, threads=2)
    pd.testing.assert_frame_equal(found.drop(columns="leading_genes"), again.drop(columns="leading_genes"))
    assert prerank(
        statistic, names, sets.__class__("none", sets.set[:0], sets.term[:0], sets.members[:0], ""), 1, 1
    ).empty


def test_real_gtex_genes(real_data, tmp_path):
    """59 real genes, real GO: a universe so small is told, and no term is called a finding without the warning."""
    import anndata

    from hx_expression import rank_inverse_normal

    counts = pd.read_csv(next((real_data / "gtex").glob("*acmg_59.gct.gz")), sep="\t", skiprows=2)
    nuclear = pd.read_csv(real_data / "gtex" / "nuclear_features" / "Thyroid.tsv", sep="\t")
    x = nuclear.select_dtypes("number").dropna(axis=1).iloc[:150]
    log2 = np.log2(counts.iloc[:, 2:152].to_numpy(float).T + 1)
    donors = pd.DataFrame(index=[f"D{k}" for k in range(150)])
    genes = pd.DataFrame({"symbol": counts["Description"].to_numpy()}, index=counts["Name"].to_numpy())
    expression = anndata.AnnData(log2, obs=donors, var=genes, layers={"int": rank_inverse_normal(log2.T).T})
    var = pd.DataFrame({"encoder": "raw"}, index=[f"raw_{k:04d}" for k in range(x.shape[1])])
    image = anndata.AnnData(x.to_numpy(np.float32), obs=donors, var=var, uns={"encoders": {"raw": {"weights": "file"}}})
    gmt = real_data / "gene_sets" / "GO_2022-07_size15-500.gmt"
    assert run(tmp_path, image, expression, gmt, "--aggregations", "mean") == 0
    found = written(tmp_path)
    summary = found["enrichment_summary"]
    assert summary["caution"].str.contains("59 genes tested|5. genes tested").all() and summary["sets"].min() > 100
    assert found["enrich.dropped"]["reason"].str.contains("fewer than 5 tested genes").any()
    assert json.loads(found["enrichment_lists"].to_json())
