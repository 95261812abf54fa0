"""The simulated cohort's model: planted effect sizes against closed forms, and modes that link nothing they may not."""

import numpy as np
import pytest
from scipy import stats

from hx_cohort_model import (
    DONOR_SHARE,
    DRAWING_R2,
    GENE_R2,
    MODULE_GENES,
    PROPERTIES,
    RIN_R2,
    SNP_LATENT_R2,
    SNP_NOISE_SHARE,
    draw_dosage,
    gene_catalogue,
    simulate_tables,
    snp_acts_on,
    snp_catalogue,
    stream,
)

MANY = [f"D{k}" for k in range(4000)]


@pytest.fixture(scope="module")
def large() -> dict:
    """One tissue of 4000 donors in each mode, seed 5: a correlation's standard error is .016."""
    return {mode: simulate_tables(5, mode, MANY, ["Lung"]) for mode in ("signal", "null", "confounded")}


def correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson r of every row of x with every row of y."""
    x, y = (np.atleast_2d(a) - np.atleast_2d(a).mean(axis=1, keepdims=True) for a in (x, y))
    return x @ y.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))


def log_module(tables, target: str) -> np.ndarray:
    return np.log2(tables.tpm[(tables.genes["module"] == target).to_numpy()])


def r2_of(y: np.ndarray, *x: np.ndarray) -> float:
    """R2 of y on several predictors, by least squares."""
    design = np.column_stack([np.ones(len(y)), *x])
    return 1 - np.var(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) / np.var(y)


def test_planted_r2_of_small_cohorts_is_the_declared_one_on_average():
    """36 donors, 60 seeds: in a sample of n the expected R2 of one predictor is r2 + (1 - r2)(1 - 2 r2) / n, about."""
    drawn, gene = [], []
    for seed in range(60):
        tables = simulate_tables(seed, "signal", MANY[:36], ["Lung"])
        for target in PROPERTIES:
            latent = tables.pieces[f"{target}_image"].to_numpy()
            drawn.append(correlations(latent, tables.pieces[f"{target}_drawn"].to_numpy())[0, 0] ** 2)
            gene.append((correlations(latent, log_module(tables, target)) ** 2).mean())
    for values, declared in ((drawn, DRAWING_R2), (gene, GENE_R2)):
        expected = declared + (1 - declared) * (1 - 2 * declared) / 36
        assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(len(values)) + 0.003)


@pytest.mark.parametrize("mode", ["signal", "null", "confounded"])
@pytest.mark.parametrize("target", PROPERTIES)
def test_each_side_of_a_latent_has_its_effect_in_every_mode(large, mode, target):
    tables = large[mode]
    columns = tables.pieces[[f"{target}_{side}" for side in ("image", "expression", "drawn")]]
    image, expression, drawn = columns.to_numpy().T
    assert correlations(image, drawn)[0, 0] ** 2 == pytest.approx(DRAWING_R2, abs=0.03)
    r2 = correlations(expression, log_module(tables, target)) ** 2
    assert r2.shape == (1, MODULE_GENES)
    assert r2.mean() == pytest.approx(GENE_R2, abs=0.02)
    for values in (image, expression, drawn):
        assert (values.mean(), values.std()) == pytest.approx((0, 1), abs=0.07)


def test_signal_links_each_property_to_its_module_alone(large):
    tables = large["signal"]
    drawn = tables.pieces[[f"{p}_drawn" for p in PROPERTIES]].to_numpy().T
    r = correlations(drawn, np.log2(tables.tpm))
    own = np.array([(tables.genes["module"] == p).to_numpy() for p in PROPERTIES])
    assert r[own].mean() == pytest.approx(np.sqrt(DRAWING_R2 * GENE_R2), abs=0.02)
    pleiotropic = (tables.genes["snp_role"] == "both").to_numpy()
    assert np.abs(r[:, ~pleiotropic][~own[:, ~pleiotropic]]).max() < 0.08


def test_stain_follows_centre_and_rin_follows_ischaemia(large):
    pieces = large["signal"].pieces
    by_centre = pieces.groupby("centre")["stain_drawn"].transform("mean")
    assert by_centre.var() / pieces["stain_drawn"].var() == pytest.approx(DRAWING_R2, abs=0.03)
    r = correlations(pieces["rin"].to_numpy(), pieces["ischaemia_expression"].to_numpy())[0, 0]
    assert r == pytest.approx(-np.sqrt(RIN_R2), abs=0.03)


@pytest.mark.parametrize("mode", ["signal", "null", "confounded"])
def test_snps_act_as_their_roles_say(large, mode):
    tables = large[mode]
    pieces, log_tpm = tables.pieces, np.log2(tables.tpm)

    def dosage(role: str) -> np.ndarray:
        return tables.dosage[(tables.snps["role"] == role).to_numpy()].astype(float)

    arm = (1 - DRAWING_R2) * SNP_NOISE_SHARE
    assert r2_of(pieces["cell_proportion_drawn"].to_numpy(), *dosage("feature")) == pytest.approx(arm, abs=0.04)
    assert r2_of(pieces["lesion_area_drawn"].to_numpy(), *dosage("both")) == pytest.approx(arm, abs=0.04)
    for role in ("expression", "both"):
        names = tables.snps.loc[tables.snps["role"] == role, "gene"]
        rows = [tables.genes.index[tables.genes["gene"] == name][0] for name in names]
        r2 = np.mean([r2_of(log_tpm[row], g) for row, g in zip(rows, dosage(role), strict=True)])
        assert r2 == pytest.approx(GENE_R2 if "gene" in snp_acts_on(role, mode) else 0, abs=0.03)
    share = 0.5 if mode == "confounded" else 1.0
    image, expression = (pieces[f"cell_proportion_{side}"].to_numpy() for side in ("image", "expression"))
    assert r2_of(image, *dosage("mediated")) == pytest.approx(SNP_LATENT_R2 * share, abs=0.04)
    assert r2_of(expression, *dosage("mediated")) == pytest.approx(SNP_LATENT_R2 if mode == "signal" else 0, abs=0.04)


def test_mediation_is_full(large):
    """SNP -> module activity -> drawing: given the latent, the mediated SNPs say nothing about the drawing."""
    pieces = large["signal"].pieces
    latent, drawn = pieces["cell_proportion_image"].to_numpy(), pieces["cell_proportion_drawn"].to_numpy()
    snps = large["signal"].dosage[(large["signal"].snps["role"] == "mediated").to_numpy()].astype(float)
    assert r2_of(drawn, latent, *snps) - r2_of(drawn, latent) < 0.003


def test_null_rejects_at_its_level_over_a_thousand_cohorts():
    """1000 cohorts of 36 donors: no image-side variable goes with any expression-side variable more than by chance."""
    cohorts, n = 1000, 36
    p_values = {}
    for block in range(20):
        tables = simulate_tables(block, "null", [f"D{k}" for k in range(n * cohorts // 20)], ["Lung"])
        pieces = tables.pieces
        image = {p: pieces[f"{p}_drawn"].to_numpy() for p in PROPERTIES}
        image |= {"stain": pieces["stain_drawn"].to_numpy(), "recorded": pieces["ischaemia_recorded"].to_numpy()}
        image |= {"centre": (pieces["centre"] == "D1").to_numpy(dtype=float)}
        expression = {p: log_module(tables, p)[0] for p in PROPERTIES} | {"rin": pieces["rin"].to_numpy()}
        pleiotropic = np.flatnonzero(tables.genes["snp_role"] == "both")[0]
        expression |= {"pleiotropic": np.log2(tables.tpm[pleiotropic])}
        for a, x in image.items():
            for b, y in expression.items():
                x_s, y_s = (stats.zscore(v.reshape(-1, n), axis=1) for v in (x, y))
                t = (r := (x_s * y_s).mean(axis=1)) * np.sqrt((n - 2) / (1 - r**2))
                p_values.setdefault((a, b), []).append(2 * stats.t.sf(np.abs(t), n - 2))
    assert len(p_values) == 30
    # Bonferroni over the pairs at 1 %; every pair's rate alone, then all together.
    low, high = stats.binom.ppf([0.005 / 30, 1 - 0.005 / 30], cohorts, 0.05)
    found = {pair: int((np.concatenate(values) < 0.05).sum()) for pair, values in p_values.items()}
    assert {pair: count for pair, count in found.items() if not low <= count <= high} == {}
    assert 0.045 < np.mean(list(found.values())) / cohorts < 0.055


def test_null_changes_the_expression_side_alone():
    """Same drawings, covariates and genotypes as `signal`; same marginals and same module structure of expression."""
    signal, null = (simulate_tables(3, mode, MANY[:500], ["Lung", "Thyroid"]) for mode in ("signal", "null"))
    same = [c for c in signal.pieces if c.endswith(("_drawn", "_image")) or c in ("centre", "ischaemia_recorded")]
    assert len(same) == 9
    assert signal.pieces[same].equals(null.pieces[same])
    assert np.array_equal(signal.dosage, null.dosage)
    for tables in (signal, null):
        log_tpm = np.log2(tables.tpm[:, :500])
        assert log_tpm.std(axis=1) / tables.genes["sd"].to_numpy() == pytest.approx(np.ones(400), abs=0.15)
        inside = np.corrcoef(log_module(tables, "lesion_area")[:, :500])
        assert inside[np.triu_indices(MODULE_GENES, 1)].mean() == pytest.approx(GENE_R2, abs=0.06)


@pytest.mark.parametrize("quadratic", [False, True])
def test_confounded_links_through_ischaemia_and_centre_alone(quadratic):
    pieces = simulate_tables(7, "confounded", MANY, ["Lung"], quadratic=quadratic).pieces
    action, i = pieces["ischaemia_image"].to_numpy(), pieces["ischaemia_recorded"].to_numpy()
    assert action == pytest.approx((i**2 - 1) / np.sqrt(2) if quadratic else i)
    confounders = [action] + [(pieces["centre"] == c).to_numpy(dtype=float) for c in ("B1", "C1")]
    design = np.column_stack([np.ones(len(pieces)), *confounders])
    for target in ("cell_proportion", "lesion_area"):
        sides = pieces[[f"{target}_image", f"{target}_expression"]].to_numpy()
        assert np.corrcoef(sides.T)[0, 1] == pytest.approx(0.5, abs=0.05)
        left = sides - design @ np.linalg.lstsq(design, sides, rcond=None)[0]
        assert np.corrcoef(left.T)[0, 1] == pytest.approx(0, abs=0.05)
    straight = r2_of(action, i)
    assert straight == pytest.approx(0, abs=0.02) if quadratic else straight == pytest.approx(1)


@pytest.mark.parametrize("reliability", [1.0, 0.8, 0.6])
def test_recorded_ischaemia_has_the_reliability_asked_for(reliability):
    pieces = simulate_tables(2, "confounded", MANY, ["Lung"], reliability=reliability).pieces
    true, recorded = pieces["ischaemia_image"].to_numpy(), pieces["ischaemia_recorded"].to_numpy()
    assert np.corrcoef(true, recorded)[0, 1] ** 2 == pytest.approx(reliability, abs=0.03)
    # Classical: the error is added to the truth, so the truth's slope on the record is the reliability.
    assert np.polyfit(true, recorded, 1)[0] == pytest.approx(1, abs=0.05)
    assert np.polyfit(recorded, true, 1)[0] == pytest.approx(reliability, abs=0.03)


def test_tissues_of_a_donor_share_their_declared_part():
    pieces = simulate_tables(4, "signal", MANY, ["Lung", "Thyroid"]).pieces
    first, second = pieces[pieces["tissue"] == "Lung"], pieces[pieces["tissue"] == "Thyroid"]
    assert (first["centre"].to_numpy() == second["centre"].to_numpy()).all()
    for target in PROPERTIES:
        expected = DONOR_SHARE[target]
        if target == "cell_proportion":  # its SNPs are the donor's too
            expected = expected * (1 - SNP_LATENT_R2) + SNP_LATENT_R2
        r = np.corrcoef(first[f"{target}_image"], second[f"{target}_image"])[0, 1]
        assert r == pytest.approx(expected, abs=0.05)


def test_genotypes_are_in_hardy_weinberg_proportions_and_linked_in_blocks():
    snps = snp_catalogue()
    dosage = draw_dosage(snps, 5000, stream(1, "test"))
    frequency = snps["frequency"].to_numpy()
    assert dosage.mean(axis=1) / 2 == pytest.approx(frequency, abs=0.025)
    assert (dosage == 1).mean(axis=1) == pytest.approx(2 * frequency * (1 - frequency), abs=0.04)
    r2 = np.corrcoef(dosage) ** 2
    block = (snps["chrom"].astype(str) + ":" + (snps["pos"] // 1_000_000).astype(str)).to_numpy()
    same = block[:, None] == block[None, :]
    assert np.diag(r2, 1)[block[1:] == block[:-1]].mean() > 0.2
    assert r2[~same].max() < 0.01
    planted = snps[snps["role"] != ""]
    assert planted["role"].value_counts().to_dict() == dict.fromkeys(("feature", "expression", "both", "mediated"), 3)
    assert planted["frequency"].min() >= 0.35 and len(set(block[planted.index])) == len(planted)


def test_genes_look_like_a_gtex_table():
    genes = gene_catalogue()
    assert len(genes) == 400
    assert genes["gene"].str.fullmatch(r"ENSG\d{11}\.\d+").all()
    assert genes["gene"].is_unique and genes["symbol"].is_unique
    assert genes["module"].value_counts().drop("").to_dict() == dict.fromkeys(PROPERTIES, MODULE_GENES)
    tpm = simulate_tables(1, "signal", MANY[:50], ["Lung"]).tpm
    assert tpm.min() > 0
    medians = np.median(tpm, axis=1)
    assert 0.1 < np.quantile(medians, 0.05) < 1 < np.quantile(medians, 0.5) < 30 < np.quantile(medians, 0.95) < 1000
    # log2(TPM + 1), which the pipeline works on, keeps the planted effects: the genes that carry them are expressed.
    assert genes.loc[genes["module"] != "", "mean"].min() >= 3.5


def test_a_seed_fixes_everything_but_genes_and_roles():
    one, again, other = (simulate_tables(seed, "signal", MANY[:20], ["Lung"]) for seed in (1, 1, 2))
    assert one.pieces.equals(again.pieces) and np.array_equal(one.tpm, again.tpm)
    assert not np.array_equal(one.tpm, other.tpm) and not np.array_equal(one.dosage, other.dosage)
    assert one.genes.equals(other.genes) and one.snps.equals(other.snps)
    one.genes["module"] = "spoilt"
    assert (gene_catalogue()["module"] != "spoilt").all()


@pytest.mark.parametrize(("mode", "reliability"), [("nul", 1.0), ("null", 0.0), ("null", 1.2)])
def test_wrong_arguments_are_refused(mode, reliability):
    with pytest.raises(ValueError, match="is one of signal, null, confounded"):
        simulate_tables(1, mode, ["D1"], ["Lung"], reliability=reliability)
