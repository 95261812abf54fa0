"""Over-representation, camera and gene sets: functions against scipy, limma and by hand."""

import gzip

import numpy as np
import pandas as pd
import pytest
from enrichment_made import BUNDLED, write_gmt
from scipy import sparse, stats

import hx_enrichment
from hx_camera import Moments, Scores, camera_t, set_correlations, set_scores, unit_scores
from hx_cli import DataError
from hx_enrich import hypergeometric_p, over_represented, overlaps
from hx_enrichment import enrich, hit_matrix, prepare, t_to_p
from hx_gene_sets import Collection, collection_of, read_gmt
from hx_linear import residual_space, standardise
from hx_scan import Pairs


def membership(sets: list[np.ndarray], genes: int) -> sparse.csr_array:
    ends = np.cumsum([0, *map(len, sets)])
    return sparse.csr_array((np.ones(ends[-1]), np.concatenate(sets).astype(np.int32), ends), shape=(len(sets), genes))


def made(sets: list[np.ndarray], genes: int) -> Collection:
    names = np.array([f"S{k}" for k in range(len(sets))], dtype=object)
    return Collection("made", names, names, membership(sets, genes), "symbol")


# Over-representation


def test_hypergeometric_against_scipy():
    """O13: 1e-8, from certain to 1e-200, small universes and large."""
    rng = np.random.default_rng(0)
    for universe in (7, 59, 2000, 20000):
        m, n = rng.integers(1, universe + 1, (2, 3000))
        m[:1500], n[:1500] = np.minimum(m[:1500], 1 + m[:1500] % 300), np.minimum(n[:1500], 1 + n[:1500] % 400)
        x = rng.integers(np.maximum(0, m + n - universe), np.minimum(m, n) + 1)
        oracle = stats.hypergeom.sf(x - 1, universe, m, n)
        ours = hypergeometric_p(x, universe, m, n)
        known = oracle > 1e-290
        np.testing.assert_allclose(ours[known], oracle[known], rtol=1e-8)
        assert (ours[~known] < 1e-280).all()
    fisher = stats.fisher_exact([[4, 13], [3, 1980]], "greater").pvalue
    assert hypergeometric_p(np.array([4]), 2000, np.array([17]), np.array([7]))[0] == pytest.approx(fisher, rel=1e-9)
    assert hypergeometric_p(np.array([0, 5]), 10, np.array([5, 5]), np.array([5, 10])).tolist() == [1, 1]


def test_impossible_overlaps_are_refused():
    for x, m, n in ((6, 5, 8), (0, 8, 5), (3, 11, 4)):
        with pytest.raises(ValueError, match="parts of the universe"):
            hypergeometric_p(np.array([x]), 10, np.array([m]), np.array([n]))


@pytest.mark.parametrize("universe", [40, 700])
def test_every_pair_of_small_p_is_found(universe):
    """The cut by the normal quantile passes over none, in any corner of sizes; other pairs are left out."""
    rng = np.random.default_rng(1)
    shares = np.append(rng.uniform(size=60), [1, 1 / universe])
    hits = sparse.csr_array((rng.uniform(size=(62, universe)) < shares[:, None]).astype(float))
    sets = sparse.csr_array((rng.uniform(size=(50, universe)) < rng.uniform(size=(50, 1))).astype(float))
    for level in (0.05, 0.2):
        which, set_, x, p = over_represented(hits, sets, level)
        common = (hits @ sets.T).toarray()
        oracle = stats.hypergeom.sf(common - 1, universe, sets.sum(axis=1)[None, :], hits.sum(axis=1)[:, None])
        assert set(zip(which, set_, strict=True)) == set(zip(*np.nonzero(oracle <= level), strict=True))
        np.testing.assert_allclose(p, oracle[which, set_], rtol=1e-8)
        np.testing.assert_array_equal(x, common[which, set_])
        np.testing.assert_array_equal(overlaps(hits, sets, which, set_), common[which, set_])
        assert (np.diff(which * 50 + set_) > 0).all()
    with pytest.raises(ValueError, match="p_max"):
        over_represented(hits, sets, 0.01)


# Camera


def test_camera_against_limma():
    """R 4.2.2, limma 3.54.1 (oracle O14): g <- 1:200; stat <- sin(g*0.7)*2 + ifelse(g<=20, 1, 0) + cos(g*1.3);

    cameraPR(stat, set, inter.gene.cor=rho)$PValue, sets 1:20, seq(5,200,by=7), c(3,50,51,120,199).
    """
    g = np.arange(1, 201)
    stat = np.sin(g * 0.7) * 2 + (g <= 20) + np.cos(g * 1.3)
    sets = membership([np.arange(20), np.arange(5, 201, 7) - 1, np.array([3, 50, 51, 120, 199]) - 1], 200)
    limma = {
        (0.05, 0.01, 0.2): [0.021449686714489054, 0.97566258177537568, 0.77480408643372289],
        (0.0, 0.1, 0.0): [0.0018396068821060396, 0.98517625315454793, 0.7027063524495516],
    }
    for rho, p in limma.items():
        t = camera_t(sets @ stat[:, None], np.diff(sets.indptr), Moments.of(stat[:, None]), np.array(rho))[:, 0]
        np.testing.assert_allclose(2 * stats.t.sf(np.abs(t), 198), p, rtol=1e-10)
        np.testing.assert_allclose(t_to_p(t, 198), p, rtol=1e-10)
        assert (np.sign(t) == [1, -1, 1]).all()


def test_correlation_of_a_set_against_limma():
    """R: y <- outer(1:60, 1:24, function(i,j) sin(i*j*0.37) + ifelse(i<=12, 1.5*cos(j*0.9), 0)); design with an

    intercept and cos((1:24)*0.31); interGeneCorrelation(y[set,], design)$correlation.
    """
    i, j = np.arange(1, 61)[:, None], np.arange(1, 25)[None, :]
    y = np.sin(i * j * 0.37) + np.where(i <= 12, 1.5 * np.cos(j * 0.9), 0)
    space = residual_space(np.cos(np.arange(1, 25) * 0.31)[:, None], 24)
    unit = standardise(y.T, space).unit
    members = membership([np.arange(12), np.arange(1, 60, 5), np.arange(40)], 60)
    scores = set_scores(unit, members)
    found = set_correlations(unit, members, scores, space.dim)
    np.testing.assert_allclose(found.signed[:2], [0.67386406132942689, 0.0098604338752312781], rtol=1e-10)
    # Sets larger and smaller than the number of donors, by hand.
    for k, genes in enumerate((np.arange(12), np.arange(1, 60, 5), np.arange(40))):
        c = np.corrcoef(unit[:, genes].T)[~np.eye(len(genes), dtype=bool)]
        expected = (space.dim * np.mean(c**2) - 1) / (space.dim - 1)
        assert found.strength[k] == pytest.approx(max(expected, 0), abs=1e-12)
    np.testing.assert_allclose(unit_scores(scores, np.array([12, 12, 40])) ** 2 @ np.ones(24), 1)


def test_statistics_of_genes():
    """signed is limma's zscoreT: R zscoreT(c(-3.2, 0.1, 1.5, 8), df=21); strength is normal and orders by r2."""
    t = np.array([-3.2, 0.1, 1.5, 8])
    limma = [-2.855012248873762370, 0.098805312173418397, 1.444851577099923290, 5.361896228543519882]
    signed, strength = Scores(21).of(t / np.sqrt(21 + t * t))
    np.testing.assert_allclose(signed, limma, rtol=1e-6)
    np.testing.assert_allclose(strength, stats.norm.isf(2 * stats.t.sf(np.abs(t), 21)), atol=1e-5)
    r = np.linspace(-1, 1, 4001)
    signed, strength = Scores(100).of(r)
    assert np.isfinite(signed).all() and np.isfinite(strength).all()
    assert (np.diff(signed) > 0).all()
    assert (np.diff(strength[2000:]) > 0).all() and np.allclose(strength, strength[::-1], atol=1e-9)


def test_two_of_a_null_feature_go_together_as_set_correlations_say():
    """The correlation, over random directions, of two genes' r, and of their squares."""
    rng = np.random.default_rng(2)
    unit = standardise(rng.normal(size=(12, 2)) @ np.array([[1, 0.6], [0, 0.8]])).unit
    members = membership([np.arange(2)], 2)
    rho = set_correlations(unit, members, set_scores(unit, members), 11)
    f = rng.normal(size=(12, 200_000))
    f -= f.mean(axis=0)
    r = unit.T @ (f / np.linalg.norm(f, axis=0))
    assert np.corrcoef(r)[0, 1] == pytest.approx(rho.signed[0], abs=0.01)
    assert np.corrcoef(r**2)[0, 1] == pytest.approx(rho.strength[0], abs=0.01)


# All features x sets


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    genes, features = rng.normal(size=(40, 150)), rng.normal(size=(40, 30))
    genes[:, :20] += 1.2 * features[:, [4]]
    genes[:, 20:40] += np.where(np.arange(20) % 2, 1, -1) * features[:, [7]]
    sets = [np.arange(20), np.arange(20, 40), *(np.sort(rng.choice(150, 5 + k, replace=False)) for k in range(25))]
    unit = standardise(genes).unit, standardise(features).unit
    r = unit[0].T @ unit[1]
    gene, feature = np.nonzero(np.abs(r) > 0.35)
    return *unit, made(sets, 150), hit_matrix(Pairs(gene, feature, r[gene, feature]), 30, 150)


def test_all_pairs_against_single_tests(drawn, monkeypatch):
    """Every number of every pair, each from its own formula; q against statsmodels; in tiles as at once."""
    from statsmodels.stats.multitest import multipletests

    genes, features, sets, hits = drawn
    monkeypatch.setattr(hx_enrichment, "TOP", 100)
    each = prepare(sets, genes, 39)
    found = enrich(genes, features, 38, hits, [each], tile=7)[0]
    assert len(found.feature) == 30 * 27
    r = genes.T @ features
    signed, strength = Scores(38).of(r)
    table = pd.DataFrame({"feature": found.feature, "set": found.set, **found.columns})
    for row in table.sample(80, random_state=0).itertuples():
        inside = np.isin(np.arange(150), sets.genes_of(row.set))
        x, m, n = int(hits[[row.feature]].toarray()[0][inside].sum()), int(inside.sum()), hits[[row.feature]].nnz
        assert row.overlap == x
        assert row.p_ora == pytest.approx(stats.hypergeom.sf(x - 1, 150, m, n), rel=1e-8)
        for name, z, rho, p in (
            ("camera", signed[:, row.feature], each.rho.signed, lambda t: 2 * stats.t.sf(abs(t), 38)),
            ("strength", strength[:, row.feature], each.rho.strength, lambda t: stats.t.sf(t, 38)),
        ):
            # The textbook's two-sample t with a pooled variance, its first variance inflated.
            a, b = z[inside], z[~inside]
            pooled = ((m - 1) * a.var(ddof=1) + (150 - m - 1) * b.var(ddof=1)) / 148
            t = (a.mean() - b.mean()) / np.sqrt(pooled * ((1 + (m - 1) * rho[row.set]) / m + 1 / (150 - m)))
            assert getattr(row, f"t_{name}") == pytest.approx(t, rel=1e-9)
            assert getattr(row, f"p_{name}") == pytest.approx(p(t), rel=1e-7)
        score = stats.pearsonr(genes[:, inside].sum(axis=1), features[:, row.feature])
        assert (row.r_score, row.p_score) == pytest.approx((score.statistic, score.pvalue), rel=1e-8)
    for test in hx_enrichment.TESTS:
        q = multipletests(table[f"p_{test}"], method="fdr_bh")[1]
        np.testing.assert_allclose(table[f"q_{test}"], np.where(q <= 0.05, q, np.nan), rtol=1e-7)
        counts = found.counts[test]
        assert (counts["tests"], counts["found"]) == (810, (q <= 0.05).sum())
        assert counts["share_p05"] == pytest.approx((table[f"p_{test}"] <= 0.05).mean())
    for test in hx_enrichment.BY_FEATURE:
        q = table.groupby("feature")[f"p_{test}"].transform(lambda p: multipletests(p, method="fdr_bh")[1])
        np.testing.assert_allclose(table[f"q_{test}_feature"], np.where(q <= 0.05, q, np.nan), rtol=1e-7)
    whole = enrich(genes, features, 38, hits, [each], tile=30)[0]
    np.testing.assert_array_equal(whole.set, found.set)
    np.testing.assert_allclose(whole.columns["t_camera"], found.columns["t_camera"], atol=1e-12)


def test_what_is_planted_is_found(drawn):
    """Genes that rise together: by camera. Half up, half down: by strength and over-representation alone."""
    genes, features, sets, hits = drawn
    found = enrich(genes, features, 38, hits, [prepare(sets, genes, 39)])[0]
    table = pd.DataFrame({"feature": found.feature, "set": found.set, **found.columns})
    first = table.sort_values("p_camera").iloc[0]
    assert (first["feature"], first["set"]) == (4, 0) and first["q_camera"] < 0.01 and first["q_ora"] < 0.01
    both = table[(table["feature"] == 7) & (table["set"] == 1)].iloc[0]
    assert both["q_strength"] < 0.01 and both["q_ora"] < 0.01 and not both["q_camera"] <= 0.05
    # What is kept of a null feature is its best five.
    assert (table.groupby("feature").size() >= 5).all() and len(table) < 300


def test_rows_have_a_ceiling(drawn, monkeypatch, caplog):
    genes, features, sets, hits = drawn
    monkeypatch.setattr(hx_enrichment, "MAX_ROWS", 10)
    found = enrich(genes, features, 38, hits, [prepare(sets, genes, 39)])[0]
    assert len(found.feature) == 10 and (0, 4) in set(zip(found.set, found.feature, strict=True))
    assert "the 10 of smallest p are kept" in caplog.text


def test_no_set_and_no_hit(drawn):
    genes, features, sets, _ = drawn
    none = hit_matrix(Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0)), 30, 150)
    empty = prepare(made([np.zeros(0, int)], 150), genes, 39)
    empty = empty.__class__(
        Collection("e", empty.sets.set[:0], empty.sets.term[:0], sparse.csr_array((0, 150)), ""),
        empty.rho,
        empty.scores,
    )
    found = enrich(genes, features, 38, none, [empty, prepare(sets, genes, 39)])
    assert len(found[0].feature) == 0 and found[0].counts["camera"]["tests"] == 0
    assert found[1].counts["ora"] == {"found": 0, "features": 0, "sets": 0, "tests": 810, "share_p05": 0}
    assert (found[1].columns["p_ora"] == 1).all()


# Gene sets


def genes_table(symbols: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"gene": [f"ENSG{k:011d}.{k}" for k in range(len(symbols))], "symbol": symbols})


def test_gmt_of_windows_with_faults(tmp_path):
    """CRLF, BOM, gzip, blank lines, a gene twice: read; empty and repeated sets: left out and named by row."""
    text = (
        "\ufeffA\tfirst\tX\tY\tX\t\r\n\r\nB\t\tX\r\nC\tnothing\r\nA\tagain\tY\tX\r\nB\thttps://b\tZ\r\nD\tna\tX\tQ\r\n"
    )
    (tmp_path / "s.gmt.gz").write_bytes(gzip.compress(text.encode()))
    sets, dropped = read_gmt(tmp_path / "s.gmt.gz")
    assert [(s.name, s.term, s.genes) for s in sets] == [
        ("A", "first", ("X", "Y")), ("B", "B", ("X",)), ("D", "D", ("Q", "X")),
    ]  # fmt: skip
    told = {(name, reason) for name, kind, reason in dropped if kind == "gene_set"}
    assert ("C", "s.gmt.gz, row 4: no gene in it") in told
    assert {name for name, _ in told} == {"A", "B", "C"}
    assert any("row 5" in reason and "with the same genes" in reason for _, reason in told)
    assert any("row 6" in reason and "with other genes" in reason for _, reason in told)


def test_files_that_are_no_gmt(tmp_path):
    (tmp_path / "s.gmt").write_text("ABL1\nBRAF\n\tx\tA\n")
    with pytest.raises(DataError) as error:
        read_gmt(tmp_path / "s.gmt")
    assert len(error.value.faults) == 3 and "row 1: name, description and genes" in error.value.faults[0]
    (tmp_path / "s.gmt").write_text("\n")
    with pytest.raises(DataError, match="no gene set in it"):
        read_gmt(tmp_path / "s.gmt")


def test_sets_by_symbol_and_by_id(tmp_path):
    """The same sets by symbol, by versioned and by bare id; a symbol of two genes is both; unknown genes are told."""
    genes = genes_table(["A", "B", "C", "D", "E", "F", "F", ""])
    by_symbol = write_gmt(tmp_path / "a.gmt", {"S": ["A", "B", "F", "NOT"], "T": ["C", "D"]})
    found, dropped = collection_of("x", by_symbol, genes, least=2, most=4)
    assert found.matched_by == "symbol"
    assert [found.genes_of(k).tolist() for k in (0, 1)] == [[0, 1, 5, 6], [2, 3]]
    assert dropped == [("x", "genes_of_sets", "1 of 6 genes of a.gmt are not tested: NOT")]
    ids = ["ENSG00000000000", "ENSG00000000001.77", "ENSG00000000005", "ENSG00000000006"]
    found, _ = collection_of("x", write_gmt(tmp_path / "b.gmt", {"S": ids}), genes, least=2, most=4)
    assert found.matched_by == "Ensembl id" and found.genes_of(0).tolist() == [0, 1, 5, 6]
    found, dropped = collection_of("x", by_symbol, genes, least=3, most=3)
    assert len(found.set) == 0
    assert [reason.split(":")[0] for _, _, reason in dropped[1:]] == [
        "1 of 2 sets of a.gmt have fewer than 3 tested genes", "1 of 2 sets of a.gmt have more than 3 tested genes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sets", "symbols", "seen"),
    [
        (["Abl1", "Brca2"], ["ABL1", "BRCA2"], "differ in upper and lower case alone"),
        (["ENSMUSG00000000001", "ENSMUSG00000000002"], ["ABL1"], "it has Ensembl ids (ENSMUSG00000000001"),
        (["25", "675"], ["ABL1"], "it has Entrez ids (25, 675), the expression has Ensembl ids"),
        (["TP53", "MYC"], ["", ""], "and no symbols"),
    ],
)  # fmt: skip
def test_no_overlap_says_what_was_seen_and_what_is_expected(tmp_path, sets, symbols, seen):
    with pytest.raises(DataError) as error:
        collection_of("x", write_gmt(tmp_path / "s.gmt", {"S": sets}), genes_table(symbols))
    assert seen in str(error.value) and "none of its 2 genes is tested" in str(error.value)


def test_a_small_universe_is_told(tmp_path, caplog):
    path = write_gmt(tmp_path / "s.gmt", {"S": ["A", "B"]})
    collection_of("x", path, genes_table(["A", "B", "C", "D"]), least=2)
    assert "4 genes are tested: a set is compared with few others" in caplog.text


def test_the_bundled_sets():
    sets, dropped = read_gmt(BUNDLED)
    assert len(sets) == 6773 and dropped == []
    lamellar = next(each for each in sets if each.name == "GO:0042599")
    assert lamellar.term == "lamellar body" and {"SFTPA1", "LAMP3", "NAPSA", "CTSH"} <= set(lamellar.genes)
