"""Without a link from image to genes, features of real slides and drawn expression: p below .05 in 5 % of pairs."""

import anndata
import numpy as np
import pytest

from hx_association import associate_pairs
from hx_cohort_model import simulate_tables
from hx_expression import rank_inverse_normal
from hx_linear import standardise, varying_columns

PAIRINGS = 60


@pytest.mark.parametrize("size", [128, 256])
def test_share_of_small_p_over_seeded_pairings(first, size):
    """Slides of `null` are those of `signal`, byte for byte: features are read once, expression is drawn anew."""
    shares = []
    for path in sorted((first[3].outdir / "features").glob(f"*.{size}.h5ad")):
        table = anndata.read_h5ad(path)
        tissue = table.uns["tissue"]
        features = table.X[:, varying_columns(table.X)]
        for seed in range(PAIRINGS):
            drawn = simulate_tables(seed, "null", list(table.obs_names), [tissue])
            genes = standardise(rank_inverse_normal(np.log2(drawn.tpm + 1)).T)
            tested = associate_pairs(genes.unit, standardise(features).unit, genes.dof, 0.05, "bh", 1, 1)
            p = tested.table.p(tested.scan.strong.r)
            shares.append(np.count_nonzero(p < 0.05) / tested.scan.pairs)
    assert len(shares) >= 50
    assert 0.04 < np.mean(shares) < 0.06
