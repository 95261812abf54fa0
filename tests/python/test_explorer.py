"""build_explorer.py and hx_explorer*: data files hold the numbers of the tables, and the page is told of faults."""

import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from explorer_made import ID, SETTING, changed, column, content, frame, make_explorer_run, numbers
from test_summarise import ATTACK

from build_explorer import main
from hx_explorer_data import lines_of, pack, pack_column, write_data
from hx_explorer_index import pictures_of
from hx_explorer_points import MAX_LEVELS, OTHER, binned_points, factors
from hx_explorer_tables import MAX_PAIRS


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("explorer")
    arguments = make_explorer_run(folder)
    assert main(arguments) == 0
    return folder, arguments


def parquet(run: tuple[Path, list[str]], kind: str) -> pd.DataFrame:
    table = pd.read_parquet(run[0] / "results" / f"{ID}.256.{kind}.parquet")
    table = table[table["setting"] == SETTING].drop(columns="setting").reset_index(drop=True)
    return table.astype({name: str for name in table.select_dtypes("category")})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b", "c"], "text"),
        (["a", "a", None, "a", "b", "a"], "level"),
        ([1, 2, 40_000], "integer"),
        ([1, -2, 32_767], "short"),
        ([1.5, np.nan, -3], "number"),
        ([True, False, True, True, False, False], "level"),
    ],
)
def test_columns_come_back(values, kind):
    packed = pack_column(pd.Series(values))
    assert packed["kind"] == kind
    want = [{True: "yes", False: "no"}.get(v, v) if isinstance(v, bool) else "" if v is None else v for v in values]
    np.testing.assert_array_equal(column(packed), np.array(want, dtype=column(packed).dtype))


def test_small_p_are_kept_and_nan_stays():
    packed = pack_column(pd.Series([1.0, 1e-300, np.nan, 0.0]), is_p=True)
    logs = numbers(packed["values"], "f4")
    np.testing.assert_allclose(logs, [0, 300, np.nan, np.inf])


def test_missing_columns_are_left_out_and_no_line_end_splits_a_text():
    table = pd.DataFrame({"gene": ["a\nb", None], "empty": [np.nan, np.nan]})
    packed = pack(table)
    assert list(packed["columns"]) == ["gene"] and packed["rows"] == 2
    assert lines_of(["a\nb", None, "c\u2028d"]) == "a b\n\nc d"


def test_no_text_can_end_a_script(tmp_path):
    write_data("x", {"a": "</script><script>alert(1)</script>"}, tmp_path / "data")
    assert content(tmp_path, "x") == {"a": "</script><script>alert(1)</script>"}


def test_genes_are_those_of_the_table(run):
    table, predicted = parquet(run, "association_genes"), parquet(run, "prediction_genes")
    tables = content(run[0] / "explorer", f"{SETTING}.tables")
    genes, features = frame(tables["genes"]).set_index("gene"), frame(tables["features"])
    table = table.set_index("gene").loc[genes.index]
    assert len(genes) == len(table) and table["nlog10p"].round(9).is_monotonic_decreasing
    for name in ("r", "beta", "ci_low", "ci_high", "nlog10p", "gene_q", "hits"):
        np.testing.assert_allclose(genes[name], table[name], rtol=2e-5, err_msg=name)
    np.testing.assert_allclose(genes["p"], table["p"], rtol=1e-4)
    assert list(features["feature"][genes["best_feature"]]) == list(table["best_feature"])
    assert ATTACK in set(genes["symbol"])
    both = predicted.set_index("gene")
    np.testing.assert_allclose(genes.loc[both.index, "delta_r2"], both["delta_r2"], rtol=1e-6)
    np.testing.assert_allclose(genes.loc[both.index, "prediction_q"], both["q"], rtol=1e-5)
    assert genes["delta_r2"].isna().sum() == 1  # the gene without a prediction


def test_pairs_are_those_of_the_table(run):
    table = parquet(run, "associations").set_index(["gene", "feature"]).sort_index()
    tables = content(run[0] / "explorer", f"{SETTING}.tables")
    genes, features = frame(tables["genes"]), frame(tables["features"])
    packed = content(run[0] / "explorer", f"{SETTING}.pairs")
    pairs = frame(packed["table"])
    assert len(pairs) == len(table) <= MAX_PAIRS
    starts = {side: numbers(packed[f"{side}s"], "i4") for side in ("gene", "feature")}
    places = {"gene": np.arange(len(pairs)), "feature": numbers(packed["by_feature"], "i4")}
    for side, of in (("gene", genes), ("feature", features)):
        assert len(starts[side]) == len(of) + 1 and starts[side][-1] == len(pairs)
        for k in range(len(of)):
            own = pairs.iloc[places[side][starts[side][k] : starts[side][k + 1]]]
            assert (own[side] == k).all() and own["nlog10p"].round(6).is_monotonic_decreasing
    pairs["gene"] = genes["gene"].to_numpy()[pairs["gene"]]
    pairs["feature"] = features["feature"].to_numpy()[pairs["feature"]]
    pairs = pairs.set_index(["gene", "feature"]).sort_index()
    for name in ("r", "beta", "ci_low", "ci_high", "nlog10p"):
        np.testing.assert_allclose(pairs[name], table[name], rtol=2e-5, err_msg=name)
    hit = table["q_tree"].notna() | table["q"].notna()
    hits = hit.groupby("feature").sum()
    np.testing.assert_array_equal(features.set_index("feature")["hits"].sort_index(), hits.sort_index())
    assert hit.any()
    best = table.reset_index().sort_values("nlog10p", ascending=False).drop_duplicates("feature").set_index("feature")
    np.testing.assert_allclose(features["r"], best.loc[features["feature"], "r"], rtol=1e-5)


def test_points_have_the_r_of_the_tables(run):
    tables, explorer = content(run[0] / "explorer", f"{SETTING}.tables"), run[0] / "explorer"
    points = content(explorer, f"{SETTING}.points")
    blocks = {
        kind: pd.DataFrame(
            numbers(points[kind]["values"], "i2").reshape(-1, points["rows"]).T / 1000,
            columns=points[kind]["names"].split("\n"),
        )
        for kind in ("genes", "features")
    }
    table = parquet(run, "associations")
    kept = table[table["gene"].isin(blocks["genes"]) & table["feature"].isin(blocks["features"])]
    assert len(kept) > 50
    for row in kept.itertuples():
        r = np.corrcoef(blocks["genes"][row.gene], blocks["features"][row.feature])[0, 1]
        assert r == pytest.approx(row.r, abs=2e-3)
    assert set(points["factors"]) == {"AGE", "SMCENTER"}
    assert set(column(points["factors"]["SMCENTER"])) == {"<b>B1</b>", "C1"}
    first = frame(tables["genes"])["gene"][0]
    assert first in blocks["genes"]


def test_index_lists_all_settings_and_browses_the_primary_ones(run):
    index = content(run[0] / "explorer", "index")
    rows = frame(index["settings"])
    assert len(rows) == 4 and set(rows["aggregation"]) == {"mean", "median"}
    assert set(index["parts"]) == {f"{ID}.{size}.raw.mean" for size in ("256", "1024")}
    assert list(rows["setting"][rows["primary"] == "yes"]) == [SETTING]
    assert list(rows["size"]) == ["256", "256", "1024", "1024"]
    summary = pd.read_csv(run[0] / "results" / f"{ID}.256.association_summary.tsv", sep="\t")
    real = summary[(summary["setting"] == SETTING) & (summary["control"] == "none")].iloc[0]
    row = rows[rows["setting"] == SETTING].iloc[0]
    assert (row["n"], row["hits"], row["genes_found"]) == (real["n"], real["hits"], real["genes_found"])
    hrefs = [href for _, href in index["links"][f"{ID}.256"]]
    assert f"../associations/{ID}.256.associations.parquet" in hrefs


def test_pictures_are_found_by_the_rank_of_their_feature(run):
    index = content(run[0] / "explorer", "index")
    described = frame(content(run[0] / "explorer", f"{SETTING}.tables")["described"])["feature"]
    pictures = index["pictures"][SETTING]
    assert [p["what"] for p in pictures[described[0]]] == ["patches", "slides", "map"]
    assert [p["what"] for p in pictures[described[1]]] == ["patches"]
    assert pictures[described[0]][2]["of"] == "S1"
    for picture in chain.from_iterable(pictures.values()):
        assert (run[0] / "explorer" / picture["src"]).is_file()
    names = (run[0] / "pictures.txt").read_text().split()
    shared = pictures_of(pd.DataFrame({"feature": described}), names, f"{ID}.256", True)
    assert {p["what"] for p in chain.from_iterable(shared.values())} == {"patches", "slides"}


def test_a_run_to_be_shared_shows_no_donor(run, tmp_path):
    shutil.copytree(run[0] / "explorer", tmp_path / "explorer")
    (tmp_path / "explorer" / "data" / f"{SETTING}.points.js").rename(tmp_path / "explorer" / "data" / "old.points.js")
    arguments = changed([*run[1], "--disclosure", "shareable"], "--outdir", tmp_path / "explorer")
    assert main(arguments) == 0
    points = content(tmp_path / "explorer", f"{SETTING}.points")
    assert points["kind"] == "bins" and set(points["factors"]) == {"AGE"}
    assert min(n for bins in points["bins"] for n in bins[0]) >= 5
    donors = set(pd.read_csv(run[0] / "results" / "cohort.tsv", sep="\t")["donor"])
    text = "".join(path.read_text() for path in (tmp_path / "explorer").rglob("*.js"))
    assert donors and not [donor for donor in donors if donor in text] and "/maps/" not in text
    internal = "".join(path.read_text() for path in (run[0] / "explorer" / "data").glob("*.js"))
    assert all(donor in internal for donor in donors)  # the same search finds them where they are


def test_bins_are_those_of_their_donors():
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(60, 2)), columns=["f", "g"])
    genes = pd.DataFrame({"a": 3 * features["f"] + 1})
    pairs = pd.DataFrame({"gene": ["a", "a", "x"], "feature": ["f", "g", "f"]})
    bins = binned_points(genes, features, pairs, pd.DataFrame({"age": features["f"], "sex": ["m"] * 60}))
    assert bins["genes"] == "a\na" and bins["features"] == "f\ng" and list(bins["factors"]) == ["age"]
    n, x, low, middle, high = map(np.array, bins["bins"][0])
    assert sum(n) == 60
    np.testing.assert_allclose(middle, 3 * x + 1, rtol=0.02, atol=0.02)  # three significant digits
    assert (low <= middle).all() and (middle <= high).all()
    np.testing.assert_allclose(bins["factors"]["age"]["f"], x)


def test_factors_of_a_level_a_donor_or_of_one_do_not_colour():
    from anndata import AnnData

    batch = [f"B{k // 3}" for k in range(18)] + [f"C{k}" for k in range(20)] + ["", None]
    obs = pd.DataFrame({"batch": batch}, index=[f"D{k}" for k in range(40)])
    obs.loc["D38", "batch"] = "C0"
    model = pd.DataFrame({"factor": ["batch"], "kind": "categorical"})
    told = factors(AnnData(np.zeros((40, 1)), obs), obs.index.to_numpy(), model)["batch"]
    assert told.nunique() == MAX_LEVELS and set(told[:18]) == {f"B{k}" for k in range(6)}
    assert (told == OTHER).sum() == 40 - 18 - 1 - 2 - 4 and pd.isna(told[39])  # C0 twice, and four of the C1 to C19
    obs = pd.DataFrame(
        {"many": [f"L{k}" for k in range(20)], "one": "a", "sex": [1.0, 2.0] * 10, "age": range(20)},
        index=[f"D{k}" for k in range(20)],
    )
    model = pd.DataFrame({"factor": ["many", "one", "sex", "age", "lost"], "kind": "categorical"})
    model.loc[model["factor"] == "age", "kind"] = "numeric"
    found = factors(AnnData(np.zeros((20, 1)), obs), obs.index.to_numpy(), model)
    assert list(found) == ["sex", "age"] and set(found["sex"]) == {"1", "2"}


def test_same_input_same_bytes(run, tmp_path):
    assert main(changed(run[1], "--outdir", tmp_path / "explorer")) == 0
    one = {path.name: path.read_bytes() for path in (run[0] / "explorer").rglob("*") if path.is_file()}
    other = {path.name: path.read_bytes() for path in (tmp_path / "explorer").rglob("*") if path.is_file()}
    assert one == other


def test_the_page_names_its_files_and_nothing_of_the_network():
    page = Path(__file__).resolve().parents[2] / "assets" / "explorer"
    html = (page / "index.html").read_text()
    for path in page.iterdir():
        assert path.name == "index.html" or f'"{path.name}"' in html
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "innerHTML" not in text and "fetch(" not in text
