#!/usr/bin/env python3
"""Values of the donors behind the strongest pairs of a setting, for scatter plots, and what colours them.

In a run to be shared no donor is shown: of a pair there are quartiles of the gene's values in bins of donors.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_bins import bins_of
from hx_cli import DataError
from hx_disclosure import BINS, FEW, in_bins
from hx_donors import aggregated, common_donors, read_annotated, read_design, side_of, usable
from hx_explorer_data import base64_of, lines_of, pack_column
from hx_explorer_files import Files
from hx_linear import standardise

POINT_GENES = 200  # of a setting, the strongest
POINT_FEATURES = 400  # that go with them
SCALE = 1000  # values are int16 thousandths of a standard deviation
MAX_LEVELS = 12  # of a factor that colours points, OTHER included
OTHER = "(other)"  # the rarer levels of a factor that has more
BINNED_PAIRS = 3  # of a gene, in a run to be shared


def chosen_pairs(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Stored pairs (places of gene and feature) of the POINT_GENES first genes with POINT_FEATURES features.

    tables: of hx_explorer_tables.setting_tables: genes by p, pairs by strength.
    """
    pairs = tables["pairs"]
    if pairs.empty or tables["genes"].empty:
        return pd.DataFrame(columns=["gene", "feature"])
    pairs = pairs.loc[(pairs["gene"] >= 0) & (pairs["gene"] < POINT_GENES), ["gene", "feature"]]
    kept = pd.unique(pairs["feature"])[:POINT_FEATURES]
    return pairs[pairs["feature"].isin(kept)].reset_index(drop=True)


def read_values(
    files: Files, folders: tuple[Path, Path], prefix: str, adjusted: bool
) -> tuple[AnnData, AnnData, pd.DataFrame | None] | None:
    """(features, expression, design) of a prefix; None, with a note, where one of them is not there.

    folders: with <tissue_id>.<size>.h5ad, and with <tissue_id>.expression.h5ad.
    """
    tissue = prefix.rsplit(".", 1)[0]
    names = (folders[0] / f"{prefix}.h5ad", folders[1] / f"{tissue}.expression.h5ad")
    design = files.by_name.get(f"{prefix}.design.tsv")
    lacking = [path.name for path in names if not path.is_file()]
    lacking += [f"{prefix}.design.tsv"] if adjusted and design is None else []
    if lacking:
        files.note(prefix, f"no {', '.join(lacking)}: the values behind a pair cannot be drawn")
        return None
    return read_annotated(names[0]), read_annotated(names[1]), read_design(design) if adjusted else None


def residuals(
    features: AnnData,
    expression: AnnData,
    design: pd.DataFrame | None,
    encoder: str,
    aggregation: str,
    wanted: tuple[pd.Series, pd.Series],
    where: str,
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Donors, and residuals given the covariates of wanted genes and features: (donors, genes), (donors, features).

    As in top_hits.tsv: of a feature in its standard deviations, of a gene those of its rank-normal value. The
    correlation of two columns is r of the tables. Genes and features without values are left out.

    Raises:
        DataError: of common_donors and side_of.
    """
    names = (f"{where}.h5ad", f"{where.rsplit('.', 1)[0]}.expression.h5ad")
    donors = common_donors(features, expression, names, design)
    genes = expression[:, expression.var_names.isin(wanted[0])]
    side, _ = side_of(genes, donors, design, (names[1], where))
    part = features[donors, features.var_names.isin(wanted[1]) & (features.var["encoder"] == encoder).to_numpy()]
    values = aggregated(part, aggregation)
    keep, _, _ = usable(values, part.var_names.to_numpy(object), "feature", where, side.space)
    image, scale = standardise(values[:, keep], side.space), np.sqrt(len(donors) - 1)
    normal = side.genes.normal
    gene_values = pd.DataFrame(normal.unit * normal.left * normal.sd * scale, columns=side.genes.id)
    return donors, gene_values, pd.DataFrame(image.unit * image.left * scale, columns=part.var_names[keep])


def factors(features: AnnData, donors: np.ndarray, model: pd.DataFrame) -> pd.DataFrame:
    """(donors, factors) of the ledger that can colour points: numbers, and names of two levels or more.

    Of more than MAX_LEVELS levels the commonest are kept, the others are OTHER; a factor that names every donor, or one
    level alone, is left out. model: columns factor and kind of confounder_model.tsv.
    """
    kinds = dict(zip(model["factor"], model["kind"], strict=True))
    found = {}
    for name, kind in kinds.items():
        if name not in features.obs:
            continue
        column = features.obs.loc[donors, name].reset_index(drop=True)
        if pd.api.types.is_numeric_dtype(column) and kind != "categorical":
            found[name] = column.astype(float)
        elif pd.api.types.is_numeric_dtype(column):
            found[name] = column.map(lambda value: None if pd.isna(value) else f"{value:g}")
        else:
            found[name] = column.astype(object)
        if not pd.api.types.is_numeric_dtype(found[name]):
            counts = found[name].value_counts().rename_axis("level").reset_index()
            if len(counts) < 2 or counts["count"].max() < 2:
                del found[name]
            elif len(counts) > MAX_LEVELS:
                order = counts.astype({"level": str}).sort_values(["count", "level"], ascending=[False, True])
                common = found[name].astype(str).isin(order["level"].head(MAX_LEVELS - 1))
                found[name] = found[name].where(common | found[name].isna(), OTHER)
    return pd.DataFrame(found, index=range(len(donors)))


def donor_points(
    donors: np.ndarray, genes: pd.DataFrame, features: pd.DataFrame, colours: pd.DataFrame
) -> dict[str, object]:
    """Every donor's values, int16 thousandths, a block of all donors a gene or feature."""
    return {
        "kind": "donors",
        "rows": len(donors),
        "donors": lines_of(donors),
        "factors": {name: pack_column(column) for name, column in colours.items()},
        **{kind: _block(table) for kind, table in (("genes", genes), ("features", features))},
    }


def _block(table: pd.DataFrame) -> dict[str, str]:
    values = np.clip(np.round(table.to_numpy().T * SCALE), -32767, 32767)
    return {"names": lines_of(table.columns), "values": base64_of(values, "i2")}


def binned_points(genes: pd.DataFrame, features: pd.DataFrame, pairs: pd.DataFrame, colours: pd.DataFrame) -> dict:
    """Pairs (columns gene, feature: names, the strongest first) in bins of donors by the feature: see in_bins.

    BINNED_PAIRS of each gene. Factors that are numbers and known of all donors colour a bin by their median; names do
    not, for a share of few donors counts people.
    """
    pairs = pairs[pairs["gene"].isin(genes.columns) & pairs["feature"].isin(features.columns)]
    pairs = pairs.groupby("gene", sort=False).head(BINNED_PAIRS)
    numeric = colours.select_dtypes("number").dropna(axis=1)
    found = [in_bins(features[feature], genes[gene]) for gene, feature in pairs.itertuples(index=False, name=None)]
    medians = {feature: _medians(features[feature], numeric) for feature in pd.unique(pairs["feature"])}
    return {
        "kind": "bins",
        "genes": lines_of(pairs["gene"]),
        "features": lines_of(pairs["feature"]),
        "bins": [[table[name].tolist() for name in ("n", "x", "low", "middle", "high")] for table in found],
        "factors": {
            name: {feature: values[:, k].tolist() for feature, values in medians.items()}
            for k, name in enumerate(numeric)
        },
    }


def _medians(feature: pd.Series, factors: pd.DataFrame) -> np.ndarray:
    """(bins, factors) medians in the bins of in_bins, three significant digits: a thousand pairs share them."""
    place, values = bins_of(feature.to_numpy(), BINS), factors.to_numpy()
    kept = [k for k in range(place.max() + 1) if np.count_nonzero(place == k) >= FEW]
    rows = [np.median(values[place == k], axis=0) for k in kept]
    return np.array([[float(f"{v:.3g}") for v in row] for row in rows]).reshape(len(kept), values.shape[1])


def setting_points(
    read: tuple[AnnData, AnnData, pd.DataFrame | None],
    tables: dict[str, pd.DataFrame],
    setting: pd.Series,
    model: pd.DataFrame,
    shareable: bool,
    files: Files,
) -> dict[str, object] | None:
    """Points of a setting (row with setting, tissue_id, size, encoder, aggregation); None where there is none."""
    pairs = chosen_pairs(tables)
    if pairs.empty:
        return None
    names = pd.DataFrame(
        {
            "gene": tables["genes"]["gene"].to_numpy()[pairs["gene"]],
            "feature": tables["features"]["feature"].to_numpy()[pairs["feature"]],
        }
    )
    where = f"{setting['tissue_id']}.{setting['size']}"
    try:
        donors, genes, features = residuals(
            *read, setting["encoder"], setting["aggregation"], (names["gene"], names["feature"]), where
        )
    except DataError as error:
        files.note(setting["setting"], f"the values behind a pair cannot be drawn: {error}")
        return None
    colours = factors(read[0], donors, model)
    if shareable:
        return binned_points(genes, features, names, colours)
    return donor_points(donors, genes, features, colours)
