"""What shows confounding where ischaemia is recorded with reliability .8: shuffle_within without the adjustment, and
robustness against a confounder as strong as ischaemia. Cohorts of simulate_cohort's modes, seeds 0..19, never chosen.
"""

from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
import pytest
from test_associate import PREFIX, run

from hx_association import associate_pairs, best_of_genes
from hx_best_pairs import standing
from hx_cohort_model import PROPERTIES, TISSUES, simulate_tables
from hx_cohort_tables import ischaemia_minutes
from hx_controls import Controls, strata
from hx_donors import Features, side_of
from hx_expression import rank_inverse_normal
from hx_linear import standardise
from hx_robustness import robustness_value

TISSUE, DONORS, SEEDS = next(iter(TISSUES)), 700, 20
WANTED = ["shuffle_donors", "shuffle_within"]


class Simulated(NamedTuple):
    """Features (donors, 40) that show what is drawn, expression, design of the default model, covariates, modules."""

    features: np.ndarray
    expression: anndata.AnnData
    design: pd.DataFrame
    cohort: pd.DataFrame
    module: np.ndarray


def simulated(seed: int, mode: str, donors: int = DONORS) -> Simulated:
    names = [f"D{k:04d}" for k in range(donors)]
    made = simulate_tables(seed, mode, names, [TISSUE], reliability=0.8)
    rng, pieces = np.random.default_rng(seed), made.pieces
    drawn = pieces[[f"{name}_drawn" for name in PROPERTIES]].to_numpy()
    features = drawn @ (rng.normal(size=(3, 40)) * (rng.random((3, 40)) < 0.4)) + rng.normal(size=(donors, 40))
    log2 = np.log2(made.tpm + 1)
    var = pd.DataFrame({"symbol": made.genes["symbol"].to_numpy()}, index=made.genes["gene"].to_numpy())
    expression = anndata.AnnData(log2.T.copy(), obs=pd.DataFrame(index=names), var=var)
    expression.layers["int"] = rank_inverse_normal(log2).T
    index = pd.Index(names, name="donor")
    centre = pieces["centre"].to_numpy()
    design = pd.DataFrame(
        {"SMTSISCH": pieces["ischaemia_recorded"].to_numpy(), "SMRIN": pieces["rin"].to_numpy()}, index
    )
    for name in ("C1", "D1"):
        design[f"SMCENTER={name}"] = (centre == name).astype(float)
    minutes = ischaemia_minutes(pieces["ischaemia_recorded"].to_numpy()).astype(str)
    return Simulated(
        features, expression, design, pd.DataFrame({"SMCENTER": centre, "SMTSISCH": minutes}, index),
        made.genes["module"].to_numpy(),
    )  # fmt: skip


def hits_of(side, values: np.ndarray):
    return associate_pairs(
        side.genes.normal.unit, standardise(values, side.space).unit, side.space.dim - 1, 0.05, "tree", 1, 10
    )


def looked_at(seed: int, mode: str) -> tuple[dict[str, int], pd.DataFrame]:
    """Hits of a cohort and of its controls; of the genes found t, t_ischaemia, robustness_alpha and the module."""
    made = simulated(seed, mode)
    donors = made.expression.obs_names.to_numpy(dtype=object)
    side, unadjusted = (side_of(made.expression, donors, d, ("e.h5ad", PREFIX))[0] for d in (made.design, None))
    controls = Controls(WANTED, seed, *strata(made.cohort), unadjusted)
    names = np.array([f"raw_{k:04d}" for k in range(40)])
    part = Features("raw", "mean", names, made.features)
    hits = {
        given.control: len(hits_of(given.side, given.values).hits.r)
        for given in controls.of("x", part, side, names, made.features)
    }
    tested = hits_of(side, made.features)
    hits["none"] = len(tested.hits.r)
    found = np.flatnonzero(tested.gene_q <= 0.05)
    pairs = best_of_genes(tested, len(side.genes.id))[0].take(found)
    dof, sign = side.space.dim - 1, np.sign(pairs.r)
    told = standing(side, made.features, np.arange(DONORS) % 2 == 0, pairs)
    return hits, pd.DataFrame(
        {
            "t": np.abs(pairs.r) * np.sqrt(dof / (1 - pairs.r**2)),
            "t_ischaemia": sign * told["t_ischaemia"],
            "robustness_alpha": robustness_value(pairs.r, dof, alpha=0.05),
            "module": made.module[found],
        }
    )


@pytest.fixture(scope="module")
def cohorts() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """{mode: (a row a cohort with hits by control, a row a gene found)}."""
    found = {}
    for mode in ("signal", "confounded"):
        parts = [looked_at(seed, mode) for seed in range(SEEDS)]
        found[mode] = pd.DataFrame([hits for hits, _ in parts]), pd.concat([genes for _, genes in parts])
    return found


@pytest.mark.slow
def test_strata_alone_make_most_of_the_unadjusted_hits_of_confounded_cohorts(cohorts):
    share = {}
    for mode, (hits, _) in cohorts.items():
        assert hits["shuffle_donors"].mean() <= 1 and (hits["unadjusted_within"] > hits["shuffle_donors"] + 20).all()
        share[mode] = hits["unadjusted_within"].sum() / hits["unadjusted"].sum()
    assert share["confounded"] > 0.5 and share["signal"] < 0.35


@pytest.mark.slow
def test_what_an_error_of_measurement_leaves_is_not_seen_within_strata(cohorts):
    """Adjustment takes out what is recorded, and the strata are of what is recorded: no hit of shuffle_within stays.

    The hits that do stay in confounded cohorts are all false; nothing but their robustness speaks against them.
    """
    hits, _ = cohorts["confounded"]
    assert hits["shuffle_within"].mean() <= 1
    assert hits["none"].sum() > 50 and (hits["none"] < 0.1 * hits["unadjusted"]).all()


@pytest.mark.slow
def test_robustness_tells_false_hits_from_true_ones(cohorts):
    false = cohorts["confounded"][1]
    true = cohorts["signal"][1].query("module in ['cell_proportion', 'lesion_area']")
    assert len(false) > 20 and len(true) > 700
    # A confounder as strong as recorded ischaemia would take the false hits away, and leave the true ones as they are.
    assert false["t_ischaemia"].median() < 1 and (false["t_ischaemia"] < 2).mean() > 0.6
    assert (true["t_ischaemia"] > 2).mean() > 0.99 and (true["t_ischaemia"] / true["t"]).median() > 0.95
    assert false["robustness_alpha"].quantile(0.9) < 0.15 < 0.2 < true["robustness_alpha"].quantile(0.1)


def test_the_stage_says_so_too(tmp_path):
    """Rows of the summary: hits without the adjustment and of their strata stand beside those with it."""
    made = simulated(0, "confounded")
    var = pd.DataFrame({"encoder": "raw"}, index=[f"raw_{k:04d}" for k in range(40)])
    image = anndata.AnnData(made.features, obs=made.expression.obs.copy(), var=var)
    image.uns["encoders"] = {"raw": {"weights": "random"}}
    made.design.to_csv(tmp_path / "design.tsv", sep="\t", float_format="%.17g")
    # The same thing under other names: strata and benchmarks know it.
    cohort = made.cohort.rename(columns={"SMCENTER": "Centre", "SMTSISCH": "ischemic_time"}).reset_index()
    cohort = cohort.assign(tissue="Lung", tissue_id="Lung", samples="s", rna_sample=cohort["donor"], fold="0")
    cohort["Hardy Scale"] = "2"
    cohort.to_csv(tmp_path / "cohort.tsv", sep="\t", index=False)
    options = ["--design", f"{tmp_path}/design.tsv", "--cohort", f"{tmp_path}/cohort.tsv"]
    options += ["--controls", ",".join(WANTED), "--aggregations", "mean"]
    assert run(tmp_path, image, made.expression, *options) == 0
    rows = pd.read_csv(tmp_path / "out" / f"{PREFIX}.association_summary.tsv", sep="\t", keep_default_na=False)
    rows = rows.set_index("control")
    assert set(rows.index) == {"none", *WANTED, "unadjusted", "unadjusted_within"}
    assert rows.loc["unadjusted_within", "strata"] == "centre;Hardy;ischaemia"
    assert rows.loc[["unadjusted", "unadjusted_within"], "adjusted_for"].tolist() == ["", ""]
    assert rows.loc["none", "adjusted_for"] == "SMCENTER;SMRIN;SMTSISCH"
    assert rows.loc["unadjusted", "dof"] == rows.loc["none", "dof"] + 4
    assert rows.loc["unadjusted_within", "hits"] > 100 and rows.loc["shuffle_within", "hits"] <= 5
    qq = pd.read_csv(tmp_path / "out" / f"{PREFIX}.association_qq.tsv", sep="\t")
    assert set(qq["control"]) == {"none", *WANTED}
