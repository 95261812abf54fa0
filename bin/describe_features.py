#!/usr/bin/env python3
"""What the features behind the best hits see: one sentence each, and the slides and patches that show it.

Each chosen feature is regressed, donor by donor, on companions (the encoder `texture`), covariates and pathology; the
sentence names what predicts it in donors held out, with its score, or says that nothing does. Beside the sentences:
which slides and patches the galleries show (drawn by draw_features.py), clusters and a tree of the features, and
principal components of the donors.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from anndata import AnnData

from hx_candidates import companions, covariates, pathology
from hx_choice import chosen_features, primary_of
from hx_cli import DataError, comma_list, command, log, parser, primary_setting
from hx_describe import Candidate
from hx_donors import PREFIX_HELP, aggregated, read_annotated, setting_prefix
from hx_feature_tree import components, factor_shares, structure
from hx_features import Summary, read_extremes, read_summary
from hx_gallery import across_sizes, drawn_slides, map_slides, mosaic, pick_patches, pick_slides
from hx_io import write_tsv
from hx_join import dropped_table
from hx_linear import finite_columns
from hx_sentences import Sentences
from hx_sizes import size_names

STAGE = "describe_features"
MOSAIC = 40  # slides of a mosaic: five rows of eight
NETWORK = ("layer", "weights_sha256")  # of an origin: of the same network at two sizes or not


def listed_slides(obs: pd.DataFrame) -> dict[str, str]:
    """{sample: donor} of the slides that the donors' features come from."""
    if "samples" not in obs:
        return {}
    return {sample: str(donor) for donor, cell in obs["samples"].items() for sample in str(cell).split(";") if sample}


def read_slides(
    folder: Path, size: str, donor_of: Mapping[str, str]
) -> tuple[dict[str, Path], dict[str, dict[str, Summary]]]:
    """Files of the summaries of the listed slides, and their summaries of one size, by sample."""
    paths = {path.name.removesuffix(".summary.h5"): path for path in sorted(folder.rglob("*.summary.h5"))}
    paths = {sample: path for sample, path in paths.items() if sample in donor_of}
    found = {sample: read_summary(path, size)[1] for sample, path in paths.items()}
    return paths, {sample: summaries for sample, summaries in found.items() if summaries}


class Pictures:
    """Chooses the slides and patches that show the features; `tables` are those that draw_features.py reads."""

    def __init__(self, args: argparse.Namespace, features: AnnData, chosen: pd.DataFrame, aggregation: str):
        self.args, self.features, self.chosen, self.aggregation = args, features, chosen, aggregation
        self.size = args.setting_prefix.rsplit(".", 1)[1]
        self.donor_of = listed_slides(features.obs)
        self.paths, self.summaries = read_slides(args.summaries, self.size, self.donor_of)
        self.lost: list[tuple[str, str, str]] = []

    def tables(self) -> dict[str, pd.DataFrame]:
        """gallery_patches, gallery_slides, drawn_slides."""
        values = self._slide_values()
        # Without extremes of its patches a slide is in no gallery.
        patches = self._patches()
        if patches.empty:
            told = "no extremes of patches in the summaries: extract the features again"
            self.lost.append((self.args.setting_prefix, "gallery", told))
        slides = pick_slides(values, self.donor_of)
        drawn = sorted({*patches["sample"], *slides["sample"]})
        slides = pd.concat([slides, mosaic(values, [s for s in drawn if s in values.index], self.donor_of, MOSAIC)])
        mapped = map_slides(slides[slides["panel"] != "mosaic"], self.args.map_slides)
        folds = self.features.obs["fold"].to_dict()
        table = drawn_slides(patches, slides, mapped, self.donor_of, folds)
        return {"gallery_patches": patches, "gallery_slides": slides, "drawn_slides": table}

    def _slide_values(self) -> pd.DataFrame:
        """Value of each slide (index) and chosen feature, by the aggregation; slides that lack an encoder left out."""
        rows = {}
        indices = self._indices()
        for sample, summaries in sorted(self.summaries.items()):
            if all(encoder in summaries and summaries[encoder].n for encoder in indices):
                of = {encoder: summaries[encoder].statistics[self.aggregation] for encoder in indices}
                rows[sample] = [float(of[row.encoder][self._index(row.feature)]) for row in self.chosen.itertuples()]
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(self.chosen["feature"]), dtype=float)

    def _index(self, feature: str) -> int:
        return int(self.features.var.loc[feature, "index"])

    def _indices(self) -> dict[str, list[str]]:
        """Chosen features by encoder."""
        return {name: rows["feature"].tolist() for name, rows in self.chosen.groupby("encoder", sort=False)}

    def _patches(self) -> pd.DataFrame:
        parts = []
        paths = list(self.paths.values())
        for encoder, names in self._indices().items():
            columns = [self._index(name) for name in names]
            of_size = read_extremes(paths, self.size, encoder, columns)
            parts.append(pick_patches(of_size, self.donor_of, names, self.size))
            others = [size for size in self.args.sizes if size != self.size and self._same_network(encoder, size)]
            if others:
                across = {size: read_extremes(paths, size, encoder, columns) for size in others}
                across = {size: across.get(size, of_size) for size in self.args.sizes if size in {*others, self.size}}
                parts.append(across_sizes(across, self.donor_of, names))
        return pd.concat(parts, ignore_index=True)

    def _same_network(self, encoder: str, size: str) -> bool:
        """Whether an encoder is one network at this size and another: feature k is then the same feature."""
        for sample, path in sorted(self.paths.items()):
            here, there = self.summaries.get(sample, {}).get(encoder), read_summary(path, size)[1].get(encoder)
            if here and there:
                return all(getattr(here.origin, name) == getattr(there.origin, name) for name in NETWORK)
        return False


def structure_tables(
    features: AnnData, candidates: list[Candidate], prefix: str, encoder: str, aggregation: str
) -> dict[str, pd.DataFrame]:
    """feature_structure, _clusters, _correlations, _tree, feature_pcs, feature_pc_factors of a setting."""
    part = features[:, (features.var["encoder"] == encoder).to_numpy()]
    values = aggregated(part, aggregation)
    finite = finite_columns(values)
    names = part.var_names.to_numpy(object)[finite]
    found = structure(values[:, finite], names)
    living = int((found.table["dead"] == "no").sum())
    told = {
        "donors": len(values),
        "features": len(names),
        "dead": len(names) - living,
        "clusters": int(found.table["cluster"].max()) if living else 0,
        "largest_cluster": int(found.table["cluster_size"].max()) if living else 0,
        "effective": found.effective,
    }
    tables = {
        "feature_structure": pd.DataFrame([told]),
        "feature_clusters": found.table,
        "feature_correlations": found.matrix,
        "feature_tree": pd.DataFrame(found.tree, columns=["left", "right", "height", "leaves"]),
    }
    if living >= 2 and len(values) >= 3:
        scores, share = components(values[:, finite])
        pcs = pd.DataFrame(scores, columns=[f"PC{k + 1}" for k in range(scores.shape[1])])
        pcs.insert(0, "donor", part.obs_names.to_numpy(str))
        tables["feature_pcs"] = pcs.assign(**{c.name: c.shown for c in candidates})
        tables["feature_pc_factors"] = factor_shares(scores, share, candidates)
    for table in tables.values():
        table.insert(0, "setting", f"{prefix}.{encoder}.{aggregation}")
    return tables


def run(args: argparse.Namespace) -> None:
    features = read_annotated(args.features)
    prefix, name = args.setting_prefix, args.features.name
    named = list(dict.fromkeys(args.describe))
    chosen = chosen_features(features, prefix, args.primary, args.associations, named, args.count, name)
    encoder, aggregation = primary_of(features, prefix, args.primary)
    if aggregation not in ("mean", "given", *features.layers):
        raise DataError(f"{name}: no layer {aggregation}: choose another aggregation with --primary")
    lost: list[tuple[str, str, str]] = []
    own = companions(features, aggregation)
    if not own:
        lost.append((prefix, "companions", "no encoder texture: sentences speak of covariates and pathology alone"))
    samples = features.obs["samples"].astype(str) if "samples" in features.obs else pd.Series(dtype=str)
    known = [*own, *covariates(features.obs, bool(own)), *pathology(args.annotations, samples)]
    sentences = Sentences(features, known, aggregation, args.seed)
    for row in chosen.to_dict("records"):
        sentences.add(row)
    for row in sentences.rows:
        log.info("%s: %s", row["feature"], row["sentence"])
    tables = sentences.tables() | structure_tables(features, known, prefix, encoder, aggregation)
    if args.summaries is None:
        lost.append((prefix, "gallery", "no slides behind the features: no gallery and no map"))
    else:
        pictures = Pictures(args, features, chosen, aggregation)
        tables |= pictures.tables()
        lost += pictures.lost
    for kind, table in tables.items():
        write_tsv(table, args.outdir / f"{prefix}.{kind}.tsv")
    write_tsv(dropped_table(lost, STAGE), args.outdir / f"{prefix}.describe_features.dropped.tsv")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--features", type=Path, required=True, help="<tissue_id>.<size>.h5ad of aggregate_features.py")
    add("--setting-prefix", type=setting_prefix, required=True, help=PREFIX_HELP)
    add("--primary", type=primary_setting, required=True, help="size,encoder,aggregation of the declared analysis")
    add("--associations", type=Path, help="<tissue_id>.<size>.association_genes.parquet: the best hits")
    add("--describe", type=comma_list, default="", help="names of further features")
    add("--count", type=int, default=12, help="features of the best hits")
    add("--annotations", type=Path, help="annotations.tsv: pathology, a row a slide")
    add("--summaries", type=Path, help="folder, <sample>.summary.h5 anywhere below it; none: no gallery and no map")
    add("--sizes", type=size_names, default=[], help="all patch sizes of the run, 128,256,…")
    add("--map-slides", type=int, default=2, help="slides to map the features on")
    add("--seed", type=int, default=1, help="of the permutations")
    add("--outdir", type=Path, default=Path("."), help="where to write")
    args = arguments.parse_args(argv)
    if args.count < 1 or args.map_slides < 0:
        arguments.error("--count must be 1 or more, --map-slides 0 or more")
    run(args)


if __name__ == "__main__":
    sys.exit(main())
