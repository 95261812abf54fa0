"""hx_variance against the study's loop, least squares and refits (oracles O9, O10, O23, O24; trap T2)."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits
from variance_made import cohort

from hx_linear import residual_space
from hx_variance import (
    LANCZOS,
    adjusted,
    column_shares,
    column_squares,
    components_to,
    explained_by,
    gram,
    interval,
    jackknife,
    leave_out,
    parts,
    permutation_p,
    permutations,
    permuted_shares,
    principal,
    published_share,
    rotated_kernel,
)


def kernels(n: int = 45, confounders: int = 3, seed: int = 0, **more):
    """Residual space of a drawn cohort, kernels of its features and genes, and the cohort."""
    drawn = cohort(seed, n, confounders, shared=0.2, technical=0.2, **more)
    space = residual_space(drawn.covariates, n)
    return space, rotated_kernel(space, gram(drawn.features)), rotated_kernel(space, gram(drawn.genes)), drawn


def study(target: np.ndarray, predictor: np.ndarray, kept: float) -> float:
    """The study's S: PCA of each side, Pearson's r of every pair of PCs, weighted by the target's eigenvalues."""
    one, other = PCA(kept, svd_solver="full").fit(target), PCA(kept, svd_solver="full").fit(predictor)
    scores, others = one.transform(target), other.transform(predictor)
    total = 0.0
    for i, weight in enumerate(one.explained_variance_):
        total += weight * sum(stats.pearsonr(scores[:, i], others[:, j])[0] ** 2 for j in range(others.shape[1]))
    return total / one.explained_variance_.sum()


@pytest.mark.parametrize("kept", [0.95, 0.999])
@pytest.mark.parametrize("confounders", [0, 3])
@pytest.mark.parametrize(("features", "genes"), [(12, 60), (60, 12)])
def test_published_share_is_the_studys(kept, confounders, features, genes):
    """O9, both directions, before and after covariates are taken out of both sides."""
    space, image, expression, drawn = kernels(30, confounders, features=features, genes=genes)
    x, y = space.residuals(drawn.features), space.residuals(drawn.genes)
    pcs, others = principal(image), principal(expression)
    for target, predictor, values in ((others, pcs, (y, x)), (pcs, others, (x, y))):
        share, count = published_share(target, predictor, kept)
        assert share == pytest.approx(study(*values, kept), abs=1e-10)
        assert count == PCA(kept, svd_solver="full").fit(values[1]).n_components_


def test_explained_by_is_the_r2_of_redundancy_analysis():
    """O10: the fitted over the total sum of squares of least squares of every column on the PCs and the covariates."""
    space, image, expression, drawn = kernels()
    pcs, y = principal(image), space.residuals(drawn.genes)
    shares = explained_by(expression, pcs.scores[:, :8])
    each = column_shares(space, drawn.genes, pcs.scores[:, :8])
    for m in (1, 3, 8):
        fits = [sm.OLS(column, space.rotation @ pcs.scores[:, :m]).fit() for column in y.T]
        total = sum(fit.uncentered_tss for fit in fits)
        assert shares[m - 1] == pytest.approx(sum(fit.ess for fit in fits) / total, rel=1e-10)
    np.testing.assert_allclose(each, [fit.rsquared for fit in fits], rtol=1e-9)
    np.testing.assert_allclose(column_squares(space, drawn.genes), (y**2).sum(axis=0), rtol=1e-10)
    fit = sm.OLS(y[:, 0], np.column_stack([np.ones(45), space.rotation @ pcs.scores[:, :8]])).fit()
    plain = residual_space(None, 45)
    assert adjusted(fit.rsquared, 8, plain.dim) == pytest.approx(fit.rsquared_adj, rel=1e-12)


def test_shares_are_vegans():
    """O10: rda and RsquareAdj of R's vegan 2.6 on this drawn cohort, without and with Condition()."""
    drawn = cohort(7, 25, 2, shared=0.3, technical=0.2, features=10, genes=15)
    shares, left = [], []
    for covariates in (None, drawn.covariates):
        space = residual_space(covariates, 25)
        image, expression = (rotated_kernel(space, gram(v)) for v in (drawn.features, drawn.genes))
        share = explained_by(expression, principal(image).scores[:, :4])[-1]
        shares.append((share, float(adjusted(share, 4, space.dim))))
        left.append(np.trace(expression))
    assert shares[0] == pytest.approx((0.388651114462253, 0.266381337354703), rel=1e-12)
    assert shares[1][0] == pytest.approx(0.35251005016577, rel=1e-12)
    technical = 1 - left[1] / left[0]
    assert technical == pytest.approx(0.246222189373078, rel=1e-12)
    found = parts(float(adjusted(technical, 2, 24)), shares[1][1])
    assert found[:2] == pytest.approx((0.177696933861539, 0.171551657086485), rel=1e-12)


def test_adjusted_is_undefined_without_a_dimension_left():
    np.testing.assert_array_equal(np.isnan(adjusted(0.5, np.array([1, 18, 19, 25]), 20)), [False, False, True, True])


def test_components_to_is_scikit_learns_rule():
    values = np.random.default_rng(0).normal(size=(40, 25)) * np.geomspace(1, 1e-3, 25)
    variance = PCA().fit(values).explained_variance_
    for share in (0.5, 0.8, 0.95, 0.999, 0.999999):
        assert components_to(variance, share) == PCA(share, svd_solver="full").fit(values).n_components_
    assert components_to(np.array([1.0, 0, 0]), 0.999) == 1


def test_saturation_of_the_published_share():
    """T2: of independent sides the published S nears 1 with its null m / dim; the adjusted one at few PCs nears 0."""
    published, null, calibrated = [], [], []
    for seed in range(20):
        image = kernels(60, 0, seed, features=500)[1]
        noise = np.random.default_rng(100 + seed).normal(size=(60, 300))
        other = rotated_kernel(residual_space(None, 60), gram(noise))
        share, count = published_share(principal(other), principal(image), 0.999)
        published.append(share)
        null.append(count / len(image))
        calibrated.append(adjusted(explained_by(other, principal(image).scores[:, :5])[-1], 5, len(image)))
    assert np.mean(published) > 0.9
    assert np.mean(published) == pytest.approx(np.mean(null), abs=0.02)
    assert np.mean(calibrated) == pytest.approx(0, abs=0.01)


def test_permuted_shares_against_a_loop(monkeypatch):
    monkeypatch.setattr("hx_variance.BATCH_CELLS", 500)
    space, image, expression, _ = kernels()
    orders = permutations(np.random.default_rng(0), 30, space.dim)
    assert (np.sort(orders, axis=1) == np.arange(space.dim)).all()
    scores = principal(image).scores[:, :4]
    null = permuted_shares(principal(expression), scores, orders)
    for order, value in zip(orders, null, strict=True):
        moved = scores[order]
        assert value == pytest.approx(np.trace(moved.T @ expression @ moved) / np.trace(expression), rel=1e-10)
    assert permutation_p(null.max(), null) == pytest.approx(2 / 31)
    assert permutation_p(np.inf, null) == pytest.approx(1 / 31)
    assert permutation_p(0.0, null) == 1


@pytest.mark.parametrize("confounders", [0, 3])
@pytest.mark.parametrize(("n", "m"), [(45, 6), (130, 3)], ids=["all eigenvectors", "Lanczos"])
def test_jackknife_against_refits(confounders, n, m):
    """Leaving a group out in the rotated space is refitting covariates and PCs on the other donors."""
    space, image, expression, drawn = kernels(n, confounders)
    pcs, groups = principal(image), np.random.default_rng(1).permutation(n) % 9
    assert (pcs.rank >= LANCZOS * m) == (n == 130)
    found = jackknife(expression, leave_out(pcs, space.rotation, groups, m), m)
    for group in range(9):
        keep = groups != group
        left = residual_space(drawn.covariates[keep], int(keep.sum()))
        scores = principal(rotated_kernel(left, gram(drawn.features[keep]))).scores[:, :m]
        shares = explained_by(rotated_kernel(left, gram(drawn.genes[keep])), scores)
        np.testing.assert_allclose(found[group], adjusted(shares, np.arange(1, m + 1), left.dim), rtol=1e-8)


def test_jackknife_where_a_group_holds_a_level_or_a_feature():
    """Without the only donors of a level the model loses its dummy; without those of a feature a PC is missing."""
    drawn = cohort(0, 20, features=2)
    dummy = (np.arange(20) < 2).astype(float)
    features = np.column_stack([drawn.features[:, 0], np.where(np.arange(20) < 4, drawn.features[:, 1], 0)])
    space, groups = residual_space(dummy[:, None], 20), np.arange(20) // 4
    image, expression = (rotated_kernel(space, gram(v)) for v in (features, drawn.genes))
    replicates = leave_out(principal(image), space.rotation, groups, 2)
    assert [r.dim for r in replicates] == [15, 14, 14, 14, 14]
    assert [r.scores.shape[1] for r in replicates] == [1, 2, 2, 2, 2]
    shares = jackknife(expression, replicates, 2)
    assert np.isnan(shares[0, 1]) and np.isfinite(shares[1:]).all()
    assert np.isnan(interval(0.1, shares[:, 1])).all()


def test_interval():
    values = np.random.default_rng(0).normal(size=20)
    error = np.sqrt(19 / 20 * np.sum((values - values.mean()) ** 2))
    low, high, se = interval(0.3, values)
    assert se == pytest.approx(error, rel=1e-12)
    assert (low, high) == pytest.approx((0.3 + stats.t.ppf(0.025, 19) * error, 0.3 + stats.t.ppf(0.975, 19) * error))


def test_parts_sum_to_one():
    for technical, shared in np.random.default_rng(0).uniform(-0.1, 1, (200, 2)):
        found = parts(technical, shared)
        assert sum(found) == pytest.approx(1, abs=1e-15)
        assert found[1] == pytest.approx((1 - technical) * shared)


def test_invariances():
    """Order of donors and columns, shifts, rotated features, the number of threads change no share (O23, O24)."""
    drawn = kernels()[3]
    groups = np.arange(45) % 9

    def all_shares(features, genes, covariates, groups=groups):
        space = residual_space(covariates, 45)
        image, expression = (rotated_kernel(space, gram(v)) for v in (features, genes))
        pcs = principal(image)
        replicates = jackknife(expression, leave_out(pcs, space.rotation, groups, 3), 3)
        published = published_share(principal(expression), pcs, 0.999)
        return np.concatenate([explained_by(expression, pcs.scores[:, :10]), replicates.ravel(), published])

    reference = all_shares(*drawn)
    rng = np.random.default_rng(0)
    donors, columns = rng.permutation(45), rng.permutation(80)
    others = {
        "donors": all_shares(*(v[donors] for v in drawn), groups[donors]),
        "columns": all_shares(drawn.features[:, columns], drawn.genes, drawn.covariates[:, ::-1] * 1e6 + 5),
        "shifts": all_shares(3 * drawn.features + 7, drawn.genes * -2 + rng.normal(size=200), drawn.covariates),
        "rotation": all_shares(drawn.features @ np.linalg.qr(rng.normal(size=(80, 80)))[0], *drawn[1:]),
    }
    for name, other in others.items():
        np.testing.assert_allclose(other, reference, atol=1e-10, err_msg=name)
    for threads in (1, 2):
        with threadpool_limits(threads):
            np.testing.assert_allclose(all_shares(*drawn), reference, atol=1e-12)


def test_one_feature_and_one_gene():
    """One column a side: the share is the squared partial correlation."""
    space, _, _, drawn = kernels()
    x, y = drawn.features[:, :1], drawn.genes[:, :1]
    image, expression = (rotated_kernel(space, gram(v)) for v in (x, y))
    pcs = principal(image)
    assert pcs.rank == 1
    r = np.corrcoef(space.residuals(x)[:, 0], space.residuals(y)[:, 0])[0, 1]
    assert explained_by(expression, pcs.scores[:, :1])[0] == pytest.approx(r**2, rel=1e-9)
    assert published_share(principal(expression), pcs, 0.999)[0] == pytest.approx(r**2, rel=1e-9)
    orders = permutations(np.random.default_rng(0), 99, space.dim)
    assert np.isfinite(permuted_shares(principal(expression), pcs.scores[:, :1], orders)).all()


def test_a_spanned_column_has_no_share():
    space, _, _, drawn = kernels()
    values = np.column_stack([drawn.covariates @ [1.0, 2, 3], drawn.genes[:, 0]])
    squares = column_squares(space, values)
    assert squares[0] == 0 < squares[1]
    shares = column_shares(space, values, principal(rotated_kernel(space, gram(drawn.features))).scores[:, :2])
    assert np.isnan(shares[0]) and np.isfinite(shares[1])
