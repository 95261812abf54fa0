"""map_qtl.py and its sections: what is written, what a control gives, and every way input can be bad."""

import shutil
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from qtl_made import correlated, drawn_dosage, image_of, names, planted, variant_table, write_dosage
from test_shared_variance import design_of, expression_of

import map_qtl
from hx_cli import Faults
from hx_gather import gather
from hx_linear import residual_space, standardise
from hx_mqc import write_sections
from hx_pvalue import detectable_r
from hx_qtl import imputed
from hx_qtl_lead_tables import LEADS, LOCUS
from hx_qtl_leads import effects
from hx_qtl_sections import TABLES, qtl_sections
from hx_qtl_tables import COUNTS, MANHATTAN, QQ, SUMMARY
from hx_qtl_traits import normal, traits_of

DONORS = 600
CAUSAL, FEATURE = 321, "raw_0002"
PREFIX = "Lung.128"
COLUMNS = {
    "qtl_summary": SUMMARY, "qtl_leads": LEADS, "qtl_locus": LOCUS, "qtl_qq": QQ, "qtl_manhattan": MANHATTAN,
    "qtl_variants": COUNTS,
}  # fmt: skip


def made(seed: int = 0, n: int = DONORS, variants: int = 800, share: float = 0.06):
    """Copies, features of which one has a planted variant, design."""
    rng = np.random.default_rng(seed)
    dosage, covariates = drawn_dosage(rng, variants, n, low=0.1), rng.normal(size=(n, 3))
    features = np.exp(correlated(rng, n, 12) / 3) + 0.3 * covariates[:, :1]
    if CAUSAL < variants:
        left = residual_space(covariates, n).residuals(dosage[[CAUSAL]].T.astype(float))[:, 0]
        features[:, 2] = np.exp(planted(left, share, rng) * np.sqrt(n))
    dosage[:20, : n // 20] = 255
    dosage[5] = 255
    dosage[6] = np.arange(n) % 40 == 0
    return dosage, features, design_of(covariates, names(n))


def run(folder: Path, dosage, features, design, *extra: str, pcs=None, out: str = "out", more=None, donors=None) -> int:
    folder.mkdir(exist_ok=True)
    donors = donors or names(len(features))
    write_dosage(folder / "genotypes.h5", dosage, names(dosage.shape[1]), pcs, **({"step": 200_000} | (more or {})))
    image_of(features, donors).write_h5ad(folder / f"{PREFIX}.h5ad")
    given = []
    if design is not None:
        design.to_csv(folder / "design.tsv", sep="\t", float_format="%.17g")
        given = ["--design", f"{folder}/design.tsv"]
    return map_qtl.main(
        ["--features", f"{folder}/{PREFIX}.h5ad", "--genotypes", f"{folder}/genotypes.h5", "--setting-prefix", PREFIX,
         "--primary", "128,raw,mean", "--qtl-pcs", "2", "--outdir", f"{folder}/{out}", *given, *extra]
    )  # fmt: skip


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{PREFIX}.{name}.tsv", sep="\t", keep_default_na=True)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("qtl")
    assert run(folder, *made(), "--qtl-features", FEATURE, pcs=np.random.default_rng(3).normal(size=(DONORS, 2))) == 0
    return folder


def test_tables(mapped):
    out = mapped / "out"
    for name, columns in COLUMNS.items():
        assert list(read(out, name)) == columns
    summary = read(out, "qtl_summary")
    assert summary["trait"].tolist() == ["PC1", "PC2", FEATURE, "embedding"] * 2
    assert summary["control"].tolist() == ["none"] * 4 + ["permute_genotypes"] * 4
    assert set(summary["adjusted_for"]) == {"C0;C1;C2;genotype_pc1;genotype_pc2"} and set(summary["dof"]) == {593}
    real, control = summary[:4].set_index("trait"), summary[4:]
    assert real["hits"].to_dict() == {"PC1": 0, "PC2": 0, FEATURE: 1, "embedding": 0} and control["hits"].sum() == 0
    assert real["leads"].tolist() == [0, 0, 1, 0] and real.loc[FEATURE, "best_variant"] == f"rs{CAUSAL}"
    assert set(real["gate"]) == {"ok"} and set(real["tests"]) == {798} and set(real["permutations"]) == {1000}
    limit = real["threshold_p"].iloc[0]
    assert 0.3 * 0.05 / 3192 < limit < 3 * 0.05 / 3192
    assert real["detectable_r2"].iloc[0] == pytest.approx(detectable_r(limit, 593) ** 2, rel=1e-6)
    counts = read(out, "qtl_variants").set_index("status")["variants"]
    assert counts["tested"] == 798 and counts["no genotype in these donors"] == 1 and counts.sum() == 800
    assert counts["MAC below --min-mac"] == 1
    qq = read(out, "qtl_qq")
    for _, part in qq.groupby(["control", "trait"]):
        assert part["rank"].max() == 798 and part["observed_nlog10p"].is_monotonic_decreasing
    manhattan = read(out, "qtl_manhattan")
    assert manhattan.groupby("test")["nlog10p"].max()["trait"] == pytest.approx(
        -np.log10(real.loc[FEATURE, "best_p"]), abs=2e-3
    )
    assert not len(read(out, "map_qtl.dropped"))


def test_the_lead_against_the_arrays(mapped):
    """6 % of the variance in 600 donors is found, with the numbers of the full model."""
    lead = read(mapped / "out", "qtl_leads").iloc[0]
    dosage, features, design = made()
    covariates = np.column_stack([design.to_numpy(), np.random.default_rng(3).normal(size=(DONORS, 2))])
    traits = traits_of(features[:, [2]], np.empty((DONORS, 0)), residual_space(covariates, DONORS))
    variant = dosage[[CAUSAL]].astype(np.float32)
    of = effects(imputed(variant).values.astype(float), traits, np.array([0]))
    assert lead["variant"] == f"rs{CAUSAL}" and lead["trait"] == FEATURE and lead["locus"] == 1
    assert lead["beta"] == pytest.approx(of.beta[0]) and lead["se"] == pytest.approx(of.se[0])
    assert lead["p"] == pytest.approx(np.exp(of.log_p[0])) and lead["r2"] == pytest.approx(of.r[0] ** 2)
    assert lead["significant"] == lead["p_5e8"] == "yes" and lead["p"] < lead["p_leave_one_out"] < 1e-5
    assert lead["q"] == pytest.approx(lead["p"] * 3192, rel=0.01)
    assert lead["p_family"] == pytest.approx(1 / 1001 * 4 / 3)
    table = variant_table(dosage).iloc[CAUSAL]
    assert lead["mac"] == table["mac"] and lead["alt_frequency"] == pytest.approx(table["alt_frequency"])
    rarer = dosage[CAUSAL] if table["alt_frequency"] <= 0.5 else 2 - dosage[CAUSAL]
    assert lead["carriers"] == (rarer > 0).sum() and lead["missing"] == 0 and lead["n"] == DONORS
    locus = read(mapped / "out", "qtl_locus")
    near = locus[locus["lead"] == lead["variant"]]
    assert near["variant"].tolist() == [f"rs{k}" for k in range(CAUSAL - 2, CAUSAL + 3)]
    own = near[near["variant"] == lead["variant"]].iloc[0]
    assert own["r2"] == 1 and own["nlog10p"] == pytest.approx(lead["nlog10p"], abs=1e-4)


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_planted_effect_is_found_and_nothing_else(tmp_path, seed):
    extra = ("--qtl-features", FEATURE, "--qtl-pcs", "0", "--permutations", "0")
    assert run(tmp_path, *made(seed), *extra) == 0
    summary = read(tmp_path / "out", "qtl_summary").set_index(["control", "trait"])
    assert summary.loc[("none", FEATURE), "best_variant"] == f"rs{CAUSAL}"
    assert summary.loc[("none", FEATURE), "hits"] == 1 and summary["hits"].sum() <= 2
    assert summary.loc[("none", FEATURE), "threshold_p"] == pytest.approx(0.05 / (2 * 798))


def test_a_scan_of_few_tests_shows_what_is_significant_at_a_large_p(tmp_path):
    """8 variants with 4 traits: p of .05 / 32 = 1.6e-3 is significant, far above the p that a genome asks for."""
    rng = np.random.default_rng(4)
    dosage, features = drawn_dosage(rng, 8, 300, low=0.2), correlated(rng, 300, 12)
    space = residual_space(None, 300)
    variant = standardise(normal(dosage[[3]].T.astype(float)), space).unit[:, 0]
    noise = space.residuals(rng.normal(size=(300, 1)))[:, 0]
    noise -= variant * (variant @ noise)
    features[:, 2] = np.sqrt(0.032) * variant + np.sqrt(0.968) * noise / np.linalg.norm(noise)
    more = ("--qtl-features", FEATURE, "--permutations", "0")
    assert run(tmp_path, dosage, features, None, *more) == 0
    row = read(tmp_path / "out", "qtl_summary").query("control == 'none'").set_index("trait").loc[FEATURE]
    assert row["family_tests"] == 32 and 1e-3 < row["best_p"] < row["threshold_p"] == pytest.approx(0.05 / 32)
    assert row["best_variant"] == "rs3" and row["hits"] == 1 and row["leads"] == 1
    lead = read(tmp_path / "out", "qtl_leads").set_index("trait").loc[FEATURE]
    assert lead["significant"] == "yes" and lead["p_family"] == pytest.approx(32 * row["best_p"], rel=1e-3)


def test_same_bytes(mapped):
    again = mapped / "again"
    pcs = np.random.default_rng(3).normal(size=(DONORS, 2))
    assert run(again, *made(), "--qtl-features", FEATURE, pcs=pcs) == 0
    first = {path.name: path.read_bytes() for path in (mapped / "out").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (again / "out").iterdir()} and len(first) == 7


def test_no_table_holds_a_donor_or_a_value_of_one(mapped):
    for path in (mapped / "out").glob("*.tsv"):
        text = path.read_text()
        assert not any(f"{name}\t" in text or f"\t{name}" in text for name in names(DONORS))
    sections = qtl_sections(gather(mapped / "out", TABLES, Faults()))
    assert not any(name in str(sections) for name in names(DONORS))


def test_donors_that_only_one_side_has(tmp_path):
    dosage, features, design = made(n=100, variants=40)
    donors = [*names(90), *(f"X{k}" for k in range(10))]
    assert run(tmp_path, dosage, features, design.iloc[:80], donors=donors) == 0
    dropped = read(tmp_path / "out", "map_qtl.dropped")
    reasons = dropped["reason"].value_counts().to_dict()
    assert reasons == {
        "in Lung.128.h5ad, not in genotypes.h5": 10,
        "in Lung.128.h5ad, not among the donors of design.tsv": 10,
    }
    assert set(read(tmp_path / "out", "qtl_summary")["n"]) == {80}


def test_genotype_components_of_the_design_are_not_added_again(tmp_path):
    dosage, features, design = made(n=100, variants=40)
    pcs = np.random.default_rng(0).normal(size=(100, 3))
    assert run(tmp_path, dosage, features, design.assign(genotype_pc1=pcs[:, 0]), pcs=pcs) == 0
    assert set(read(tmp_path / "out", "qtl_summary")["adjusted_for"]) == {"C0;C1;C2;genotype_pc1"}
    assert run(tmp_path, dosage, features, None, pcs=pcs, out="alone") == 0
    told = read(tmp_path / "alone", "qtl_summary")["adjusted_for"]
    assert set(told) == {"genotype_pc1;genotype_pc2;genotype_pc3"}
    assert run(tmp_path, dosage, features, None, out="nothing") == 0
    assert read(tmp_path / "nothing", "qtl_summary")["adjusted_for"].isna().all()


def test_a_tissue_of_too_few_donors_is_a_loss(tmp_path):
    dosage, features, design = made(n=29, variants=40)
    assert run(tmp_path, dosage, features, design) == 0
    assert read(tmp_path / "out", "map_qtl.dropped")["reason"].tolist() == [
        "not mapped: 29 donors have features and genotypes, at least 30 are needed"
    ]
    for name, columns in COLUMNS.items():
        table = read(tmp_path / "out", name)
        assert list(table) == columns and not len(table)
    assert run(tmp_path, dosage, features[:12], design, out="none", donors=[f"X{k}" for k in range(12)]) == 0
    assert "not mapped: 0 donors" in read(tmp_path / "none", "map_qtl.dropped")["reason"].tolist()[-1]
    # A file without a variant, too, is no crash.
    assert run(tmp_path, made(n=40)[0][:0], *made(n=40)[1:], out="empty") == 0
    summary = read(tmp_path / "empty", "qtl_summary")
    assert not summary["tests"].any() and summary["lambda_gc"].isna().all() and summary["gate"].isna().all()
    dosage, features, design = made(n=40, variants=40)
    wide = design_of(np.random.default_rng(0).normal(size=(40, 36)), names(40))
    assert run(tmp_path, dosage, features, wide, out="wide") == 0
    reason = read(tmp_path / "wide", "map_qtl.dropped")["reason"].iloc[0]
    assert reason.endswith("36 covariates leave 2 residual degrees of freedom")


def test_another_size_than_the_primary_maps_nothing(tmp_path, capsys):
    assert run(tmp_path, *made(n=60, variants=30), "--primary", "256,raw,mean") == 0
    assert "not the primary setting" in capsys.readouterr().err and not len(read(tmp_path / "out", "qtl_summary"))


def test_features_that_carry_nothing_are_listed(tmp_path):
    dosage, features, design = made(n=80, variants=60)
    features[:, 4], features[:, 5] = 1.5, design["C0"]
    features[3, 6] = np.nan
    assert run(tmp_path, dosage, features, design, "--qtl-features", "raw_0004,raw_0001,raw_0001") == 0
    dropped = read(tmp_path / "out", "map_qtl.dropped").set_index("id")["reason"]
    assert "constant" in dropped["raw_0004"].iloc[0] and "NaN" in dropped["raw_0006"]
    assert "spanned by the covariates" in dropped["raw_0005"]
    summary = read(tmp_path / "out", "qtl_summary")
    assert set(summary["trait"]) == {"PC1", "PC2", "raw_0001", "embedding"} and set(summary["features"]) == {9}
    assert run(tmp_path, dosage, features[:, 4:5], design, out="none") == 0
    assert "no feature varies" in read(tmp_path / "none", "map_qtl.dropped")["reason"].tolist()[1]
    assert run(tmp_path, dosage, features[:, :1], design, out="one") == 0
    assert read(tmp_path / "one", "qtl_summary")["trait"].tolist() == ["PC1", "PC1"]


@pytest.mark.parametrize("wrong", ["donors", "feature", "genotypes", "features", "design"])
def test_bad_input(tmp_path, capsys, wrong):
    dosage, features, design = made(n=60, variants=30)
    extra, donors = (), None
    if wrong == "donors":
        donors = [f"GTEX-{k}" for k in range(60)]
    if wrong == "feature":
        extra = ("--qtl-features", "raw_0001,raw_9999,nuclear")
    if wrong in ("genotypes", "features"):
        bad = tmp_path / "bad.h5"
        bad.write_text("not HDF5")
        extra = (f"--{wrong}", str(bad))
    if wrong == "design":
        design = design.astype(object)
        design.iloc[3, 0] = "young"
    assert run(tmp_path, dosage, features, design, *extra, donors=donors) == 65
    told = {
        "donors": "no donor in common: Lung.128.h5ad has 60 (GTEX-0", "feature": "no feature nuclear, raw_9999",
        "genotypes": "bad.h5: not a readable genotypes file", "features": "bad.h5: no readable h5ad",
        "design": "covariates of a model are numbers",
    }[wrong]  # fmt: skip
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra", [("--scope", "cis"), ("--permutations", "50"), ("--controls", "shuffle"), ("--min-maf", "0.6"),
              ("--qtl-pcs", "21"), ("--primary", "256"), ("--positions", "nowhere.tsv"), ("--alpha", "0")]
)  # fmt: skip
def test_usage(tmp_path, extra):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, *made(n=60, variants=30), *extra)
    assert stopped.value.code == 2


# Genes


def with_genes(folder: Path, n: int, seed: int = 0, build: str = ""):
    """A gene near the planted variant that goes with its feature, others elsewhere that do not; 30 donors lack RNA."""
    dosage, features, design = made(seed, n, share=0.35)
    rng = np.random.default_rng(seed + 50)
    genes = rng.normal(size=(n, 30)) + 5
    genes[:, 4] = np.log(features[:, 2]) + 0.5 * rng.normal(size=n)
    folder.mkdir(exist_ok=True)
    expression_of(genes)[:-30].write_h5ad(folder / "Lung.expression.h5ad")
    start = 1 + 3_000_000 * np.arange(30)
    start[4] = variant_table(dosage, step=200_000)["pos"][CAUSAL] + 10_000
    positions = pd.DataFrame({"gene": [f"S{k}_id" for k in range(30)], "chrom": "1", "start": start})
    positions = positions.assign(end=start + 2000, strand="+")
    positions.to_csv(folder / "positions.tsv", sep="\t", index=False)
    return dosage, features, design


def genes_of(folder: Path) -> list[str]:
    given = ["--positions", f"{folder}/positions.tsv", "--expression", f"{folder}/Lung.expression.h5ad"]
    return [*given, "--qtl-features", FEATURE]


@pytest.fixture(scope="module")
def near_genes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cis")
    # Its own names: expression_of has those of test_shared_variance.
    dosage, features, design = with_genes(folder, 300)
    table = anndata.read_h5ad(folder / "Lung.expression.h5ad")
    table.obs_names = names(len(table))
    table.write_h5ad(folder / "Lung.expression.h5ad")
    for scope in ("cis", "published"):
        assert run(folder, dosage, features, design, "--scope", scope, *genes_of(folder), out=scope) == 0
    return folder


def test_scope_cis_tests_each_half_near_genes_of_the_other(near_genes):
    summary = read(near_genes / "cis", "qtl_summary")
    real = summary[summary["control"] == "none"].set_index(["half", "trait"])
    assert set(summary["half"]) == {"A", "B"} and set(summary["n"]) == {150} and set(summary["scope"]) == {"cis"}
    assert summary["gate"].isna().all() and summary["lambda_low"].isna().all()
    for half in "AB":
        row = real.loc[(half, FEATURE)]
        # 11 variants lie within 1 Mb of a gene of 2 kb: one each 200 kb.
        assert row["genes"] >= 1 and 10 <= row["tests"] <= 11 * row["genes"] and row["hits"] == 1
        assert row["best_variant"] == f"rs{CAUSAL}"
    leads = read(near_genes / "cis", "qtl_leads")
    assert set(leads["half"]) == {"A", "B"} and set(leads["variant"]) == {f"rs{CAUSAL}"}
    assert (leads.loc[leads["kind"] == "feature", "p_family"] >= 2 / 1001).all()
    counts = read(near_genes / "cis", "qtl_variants").set_index(["half", "status"])["variants"]
    assert counts[("A", "outside the scope")] > 600


def test_scope_published_tests_within_50_bases_of_genes_of_the_same_donors(near_genes):
    summary = read(near_genes / "published", "qtl_summary")
    real = summary[summary["control"] == "none"].set_index("trait")
    assert summary["half"].isna().all() and set(summary["n"]) == {300}
    # The gene lies 10 kb from the variant: nothing is within 50 bases.
    assert (
        real.loc[FEATURE, "genes"] == 1
        and real["tests"].sum() == 0
        and not len(read(near_genes / "published", "qtl_leads"))
    )
    text = str(qtl_sections(gather(near_genes / "published", TABLES, Faults())))
    assert "SAME donors" in text and "no QTL" in text


def test_positions_of_another_build_are_refused(near_genes, tmp_path, capsys):
    for name in ("positions.tsv", "Lung.expression.h5ad"):
        shutil.copy(near_genes / name, tmp_path / name)
    gtf = '##genome-build GRCh37\n1\tx\tgene\t100\t900\t.\t+\t.\tgene_id "S1_id";\n'.replace("##", "#!")
    (tmp_path / "positions.gtf").write_text(gtf)
    extra = [*genes_of(tmp_path), "--positions", f"{tmp_path}/positions.gtf", "--scope", "cis"]
    assert run(tmp_path, *made(n=60, variants=30), *extra) == 65
    assert "has positions of GRCh37, genotypes.h5 of GRCh38" in capsys.readouterr().err


def test_halves_of_too_few_donors_are_a_loss(near_genes, tmp_path):
    for name in ("positions.tsv", "Lung.expression.h5ad"):
        shutil.copy(near_genes / name, tmp_path / name)
    assert run(tmp_path, *made(n=58, variants=30), "--scope", "cis", *genes_of(tmp_path)) == 0
    reason = read(tmp_path / "out", "map_qtl.dropped")["reason"].iloc[0]
    assert reason == "not mapped: 29 donors have genotypes in a half of them, at least 30 are needed"


# The report


def test_sections(mapped, tmp_path):
    tables = gather(mapped / "out", TABLES, Faults())
    shown = qtl_sections(tables)
    assert [section["id"] for section in shown] == [
        "qtl_verdict", "qtl", "qtl_leads", "qtl_qq", "qtl_manhattan", "qtl_locus"
    ]  # fmt: skip
    write_sections(shown, tmp_path)
    verdict = shown[0]["data"]
    detectable = read(mapped / "out", "qtl_summary")["detectable_r2"].iloc[0]
    assert "1 lead among 3 traits and the embedding and 798 variants" in verdict and "alert" not in verdict
    assert f"With 600 donors a variant with {100 * detectable:.1f} % of a trait" in verdict
    assert shown[1]["data"][f"{FEATURE}, Lung"]["control_hits"] == 0
    assert shown[2]["data"][f"rs{CAUSAL}, Lung"]["significant"] == "yes"
    assert len(shown[3]["data"]) == 8 and len(shown[4]["data"]) == 2
    assert shown[5]["data"][0][f"rs{CAUSAL}"]["color"] == "#D55E00"


def test_sections_say_what_could_have_been_found_and_that_lambda_is_out(mapped):
    tables = gather(mapped / "out", TABLES, Faults())
    summary = tables["qtl_summary"].assign(leads=0)
    summary.loc[0, ["gate", "lambda_gc"]] = ["inflated", 1.31]
    tables = {"qtl_summary": summary, "qtl_leads": tables["qtl_leads"].assign(carriers=4, missing=3)}
    verdict, traits, leads = qtl_sections(tables)
    assert "no QTL" in verdict["data"] and "would have been found with 80 % power" in verdict["data"]
    assert "alert-danger" in verdict["data"] and "PC1 1.310" in verdict["data"]
    assert traits["data"]["PC1, Lung"]["gate"] == "inflated"
    first = leads["data"][f"rs{CAUSAL}, Lung"]
    assert first["carriers"] == first["missing"] == "&lt; 5" and first["mac"] > 100
    nearly = {"qtl_summary": summary, "qtl_leads": tables["qtl_leads"].assign(carriers=594, missing=5)}
    assert qtl_sections(nearly)[2]["data"][f"rs{CAUSAL}, Lung"]["carriers"] == "all but &lt; 5"
    assert qtl_sections({}) == []
    assert normal(np.ones((3, 1))).tolist() == [[0], [0], [0]]
