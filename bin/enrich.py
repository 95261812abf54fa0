#!/usr/bin/env python3
"""Gene sets that stand behind the associations of one tissue and patch size.

The genes of a feature are its hits, as associate.py counts them. Every set is tested against every feature of the
primary setting (--settings all: of every setting) in four ways: camera by signed t (`camera`, the headline) and by r2
(`strength`), with the correlation of the set's genes estimated from their residuals; over-representation among the
feature's hits with the tested genes as universe (`ora`); the set's score (`score`). q_<test> is Benjamini-Hochberg over
all features x sets of a collection, q_<test>_feature over the sets of a feature. --marker-sets are a collection of
their own, before --gene-sets. Over-representation also in all genes found in each setting and in the genes of each
factor (--confounder-genes). Pre-ranked GSEA (--gsea-features) and g:Profiler (--gprofiler) are of the primary setting;
the network is touched by --gprofiler alone, and where it fails a row says so.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from anndata import AnnData
from threadpoolctl import threadpool_limits

import hx_enrich_tables as tables
from hx_arguments import add_design, add_sides
from hx_association import Tested, associate_pairs
from hx_cli import DataError, comma_list, command, log, parser, preview
from hx_controls import CONTROLS, control_list, shuffled_order
from hx_donors import (
    Features,
    feature_settings,
    is_primary,
    read_annotated,
    sides_of,
    too_few,
    usable,
)
from hx_enrich_lists import GENE_LISTS, LISTS, GeneList, factor_lists, gene_list_table, gmt_text, list_table, query_ids
from hx_enrichment import TERM_Q, enrich, hit_matrix, prepare
from hx_gene_sets import Collection, collection_of
from hx_gprofiler import GPROFILER, STATUS, URL, ask, question, status_row
from hx_gsea import GSEA, gsea_table
from hx_io import atomic, write_tsv
from hx_join import dropped_table
from hx_linear import Standardised, standardise
from hx_markers import MARKER_HITS, marker_hits

STAGE = "enrich"
MARKERS, GENE_SETS = "markers", "gene_sets"


class Enrichment:
    """Works through the settings of a tissue and patch size; `run` fills the tables."""

    def __init__(self, args: argparse.Namespace, features: AnnData, expression: AnnData, writer: pq.ParquetWriter):
        self.args, self.features, self.expression, self.writer = args, features, expression, writer
        self.tissue, self.size = args.setting_prefix.rsplit(".", 1)
        self.parts: dict[str, list[pd.DataFrame]] = {
            name: [pd.DataFrame(columns=names)] for name, names in COLUMNS.items()
        }
        self.lists: list[GeneList] = []
        self.dropped: list[tuple] = []

    def run(self) -> None:
        args = self.args
        self.side, _ = sides_of(args, self.features, self.expression)
        donors, genes = self.side.donors, self.side.genes
        self.prepared = [prepare(c, genes.normal.unit, self.side.space.dim) for c in self._collections()]
        if args.confounder_genes:
            self.lists += factor_lists(args.confounder_genes, genes.id, args.setting_prefix)
        for part in feature_settings(self.features, donors, self.size, args.aggregations, args.features.name):
            self._setting(part)
        found = [list_table(self.lists, genes, each.sets) for each in self.prepared]
        terms = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=LISTS)
        self._add("enrichment_lists", terms)
        self._add("gene_lists", gene_list_table(self.lists, len(genes.id), [p.sets for p in self.prepared], terms))

    def _collections(self) -> list[Collection]:
        """Markers first; DataError where a file that was asked for has no tested gene."""
        args = self.args
        known = pd.DataFrame({"gene": self.side.genes.id, "symbol": self.side.genes.symbol})
        found = []
        for name, path in ((MARKERS, args.marker_sets), (GENE_SETS, args.gene_sets)):
            if path is None:
                continue
            try:
                sets, dropped = collection_of(name, path, known)
            except DataError as error:
                if name == MARKERS or not args.bundled_sets:
                    raise
                log.warning("no gene set is tested: %s", error)
                self.dropped.append((name, "gene_sets", f"{error} (--gene_sets)"))
                continue
            found.append(sets)
            self.dropped += dropped
        return found

    def _add(self, name: str, table: pd.DataFrame) -> None:
        if len(table):
            self.parts[name].append(table)

    def _setting(self, part: Features) -> None:
        args, side = self.args, self.side
        setting = f"{args.setting_prefix}.{part.encoder}.{part.aggregation}"
        keep, _, _ = usable(part.values, part.name, "feature", setting, side.space)
        if not keep.any():
            log.warning("%s: none of %d features varies: nothing is tested", setting, len(part.name))
            return
        names, values = part.name[keep], part.values[:, keep]
        primary = is_primary(part, self.size, args.primary)
        image = standardise(values, side.space)
        tested = self._tested(image)
        found = np.flatnonzero(tested.gene_q <= args.alpha)
        found = found[np.lexsort((found, tested.gene_p[found]))]
        self.lists.append(GeneList("setting", setting, "", setting, found))
        if not primary and args.settings == "primary":
            return
        head = {
            "setting": setting, "control": "none", "tissue_id": self.tissue, "size": self.size,
            "encoder": part.encoder, "aggregation": part.aggregation, **side.numbers(),
            "analysis": "primary" if primary else "exploratory", "features": len(names),
        }  # fmt: skip
        table = self._features(head, names, image, tested)
        if not primary:
            return
        if "shuffle_donors" in args.controls:
            order = shuffled_order("shuffle_donors", args.seed, setting, np.zeros(len(values), np.int64))
            wrong = standardise(values[order], side.space)
            self._features(head | {"control": "shuffle_donors"}, names, wrong, self._tested(wrong))
        self._primary(setting, names, image, tested, table)

    def _tested(self, image: Standardised) -> Tested:
        args, side = self.args, self.side
        return associate_pairs(
            side.genes.normal.unit, image.unit, side.space.dim - 1, args.alpha, args.correction, 1, 1
        )

    def _features(self, head: dict, names: np.ndarray, image: Standardised, tested: Tested) -> pd.DataFrame:
        """All features x sets; stored and returned unless it is a control."""
        side = self.side
        genes = side.genes.normal.unit
        hits = hit_matrix(tested.hits, len(names), genes.shape[1])
        head = head | {"features_with_hits": int(np.count_nonzero(np.diff(hits.indptr))), "alpha": self.args.alpha}
        kept = []
        for each, found in zip(
            self.prepared, enrich(genes, image.unit, side.space.dim - 1, hits, self.prepared), strict=True
        ):
            self._add("enrichment_summary", pd.DataFrame(tables.summary_rows(head, genes.shape[1], each, found)))
            if head["control"] == "none":
                kept.append(tables.enrichment_table(head["setting"], names, hits, each, found))
                self.writer.write_table(kept[-1])
                count = found.counts[tables.HEADLINE]["found"]
                log.info("%s, %s: %d features x sets found", head["setting"], each.sets.name, count)
        frames = [part.to_pandas().astype(dict.fromkeys(tables.TEXT, str)) for part in kept]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=tables.ENRICHMENT.names)

    def _primary(
        self, setting: str, names: np.ndarray, image: Standardised, tested: Tested, table: pd.DataFrame
    ) -> None:
        """Table 1, markers, GSEA and g:Profiler of the primary setting."""
        args, genes = self.args, self.side.genes
        sets = [each.sets for each in self.prepared]
        first = tables.table1(table, genes, tested.hits, names, sets)
        self._add("enrichment_table1", first)
        self._add("enrichment_top", tables.top_table(table))
        for markers in (each for each in sets if each.name == MARKERS):
            found = marker_hits(setting, genes, names, image, tested.hits, markers, TERM_Q)
            self._add("marker_hits", found)
        shown = list(dict.fromkeys(first["feature"]))
        chosen = self._chosen(shown, names)
        rankings = {}
        for feature in chosen:
            r = genes.normal.unit.T @ image.unit[:, np.flatnonzero(names == feature)[0]]
            t = r * np.sqrt((self.side.space.dim - 1) / np.maximum((1 - r) * (1 + r), 1e-15))
            rankings |= {(feature, "t"): t, (feature, "r2"): r * r}
        self._add("gsea", gsea_table(setting, rankings, genes.id, genes.symbol, sets, args.seed, args.threads))
        if args.gprofiler:
            self._gprofiler(setting, names, tested, shown)

    def _chosen(self, shown: list[str], names: np.ndarray) -> list[str]:
        """Features of --gsea-features: the first so many of Table 1, or those that are named."""
        wanted = self.args.gsea_features
        if isinstance(wanted, int):
            return shown[:wanted]
        mine = [name for name in wanted if name in set(names)]
        if not mine:
            raise DataError(
                f"--gsea-features {preview(wanted)}: no such feature in the primary setting: it has {preview(names)}"
            )
        return mine

    def _gprofiler(self, setting: str, names: np.ndarray, tested: Tested, shown: list[str]) -> None:
        """Send the hits of the features of Table 1, the genes of the setting and those of the factors."""
        args, genes = self.args, self.side.genes
        ids = query_ids(genes)
        queries = {}
        for feature in shown:
            mine = tested.hits.take(tested.hits.column == np.flatnonzero(names == feature)[0])
            queries[f"feature {feature}"] = ids[mine.row[np.lexsort((mine.row, -np.round(np.abs(mine.r), 12)))]]
        queries |= {each.label: ids[each.genes] for each in self.lists if each.kind == "factor" or each.name == setting}
        queries = {name: list(found) for name, found in queries.items() if len(found)}
        if not queries:
            log.info("%s: no genes to send to g:Profiler", setting)
            return
        asked = question(queries, ids.tolist(), args.gprofiler_organism)
        answer = ask(asked, args.gprofiler_url, args.gprofiler_cache, args.outdir / "gprofiler")
        self._add("gprofiler", answer.table.assign(setting=setting))
        self._add("gprofiler_status", pd.DataFrame([status_row(setting, asked, args.gprofiler_url, answer)]))


COLUMNS = {
    "enrichment_summary": tables.SUMMARY,
    "enrichment_table1": tables.TABLE1,
    "enrichment_top": tables.TOP,
    "enrichment_lists": LISTS,
    "gene_lists": GENE_LISTS,
    "marker_hits": MARKER_HITS,
    "gsea": GSEA,
    "gprofiler": ["setting", *GPROFILER],
    "gprofiler_status": STATUS,
}


def run(args: argparse.Namespace) -> None:
    """Read, test, write."""
    features, out = read_annotated(args.features), f"{args.outdir}/{args.setting_prefix}"
    with (
        atomic(f"{out}.enrichment.parquet") as path,
        pq.ParquetWriter(path, tables.ENRICHMENT, compression="zstd") as writer,
    ):
        work = Enrichment(args, features, read_annotated(args.expression), writer)
        if reason := too_few(features):
            log.warning("%s: %s: nothing is tested", args.features.name, reason)
            work.dropped.append((args.setting_prefix, "size", reason))
        else:
            work.run()
    for name, names in COLUMNS.items():
        parts = work.parts[name]
        write_tsv(pd.concat(parts[1:] or parts, ignore_index=True)[names], f"{out}.{name}.tsv")
    with atomic(f"{out}.gene_lists.gmt") as path:
        path.write_text(gmt_text(work.lists, work.side.genes) if work.lists else "")
    write_tsv(dropped_table(work.dropped, STAGE), f"{out}.{STAGE}.dropped.tsv")


def count_or_names(text: str) -> int | list[str]:
    """'3' or 'raw_0003,raw_0100' (argparse type)."""
    return int(text) if text.strip().isdigit() else comma_list(text)


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_sides(arguments)
    add_design(arguments)
    add("--confounder-genes", type=Path, help="<prefix>.confounder_genes.parquet of adjust_confounders.py")
    add("--gene-sets", type=Path, required=True, help="GMT file, by symbol or Ensembl id")
    add("--bundled-sets", action="store_true", help="nobody asked for --gene-sets: where none fits, go on without")
    add("--marker-sets", type=Path, help="GMT file of cell types: tested first, a family of their own")
    add("--controls", type=control_list, default="shuffle_donors", help=f"of {', '.join(CONTROLS)}; the first alone")
    add("--primary", default="256,retrained,mean", help="size,encoder,aggregation of the declared analysis")
    add("--settings", choices=["primary", "all"], default="primary", help="whose features are tested")
    add("--correction", choices=["tree", "bh", "bonferroni"], default="tree", help="decides the hits, see associate.py")
    add("--alpha", type=float, default=0.05, help="level of --correction; terms are found at q <= .05")
    add("--gsea-features", type=count_or_names, default=1, help="so many of Table 1, or names: have pre-ranked GSEA")
    add("--gprofiler", action="store_true", help="send the lists to g:Profiler as well")
    add("--gprofiler-organism", default="hsapiens", help="as g:Profiler names it")
    add("--gprofiler-url", default=URL, help="of the server or a mirror")
    add("--gprofiler-cache", type=Path, help="folder of answers of an earlier run")
    add("--seed", type=int, default=1, help="seed of the control and of GSEA")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if not 0 < args.alpha < 1 or args.threads < 1:
        arguments.error("--alpha lies between 0 and 1; --threads is at least 1")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
