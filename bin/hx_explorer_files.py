#!/usr/bin/env python3
"""Tables of a run as the explorer reads them: what is not there, or of another version, is noted, not refused."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hx_cli import DataError
from hx_results_tables import read_or_say

# Folder of the results that a kind of table is published to, and what it holds, for links.
PUBLISHED = {
    "associations.parquet": ("associations", "hits and the strongest pairs"),
    "association_genes.parquet": ("associations", "every gene with its best feature"),
    "association_summary.tsv": ("associations", "counts and calibration"),
    "prediction_genes.parquet": ("prediction", "prediction of every gene"),
    "enrichment.parquet": ("enrichment", "gene sets of the features"),
    "confounder_ledger.tsv": ("confounders", "variance by confounder"),
    "shared_variance.tsv": ("shared_variance", "shared variance"),
    "descriptions.tsv": ("description", "what features track"),
    "qtl_summary.tsv": ("qtl", "variants behind features"),
    "qtl_leads.tsv": ("qtl", "the strongest variants"),
    "causality_pairs.tsv": ("causality", "what acts on what"),
    "causality_estimates.tsv": ("causality", "effects by instruments"),
    "annotation_summary.tsv": ("annotations", "labels and image features"),
    "annotation_prediction.tsv": ("annotations", "labels predicted"),
    "annotation_features.parquet": ("annotations", "features that go with labels"),
}


class Files:
    """Tables below a folder by file name; `notes` is what the page must say of them: (of, text) rows."""

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder: give the one with the tables of a run")
        wanted = (path for path in sorted(folder.rglob("*")) if path.suffix in (".tsv", ".parquet"))
        self.by_name = {path.name: path for path in wanted}
        self.notes: list[tuple[str, str]] = []

    def note(self, of: str, text: str) -> None:
        """Remember once what to say; of: a prefix or setting, '' for the whole run."""
        if (of, text) not in self.notes:
            self.notes.append((of, text))

    def read(
        self,
        of: str,
        kind: str,
        columns: Sequence[str],
        more: Sequence[str] | None = (),
        may_be_empty: bool = False,
    ) -> pd.DataFrame | None:
        """Columns of <of>.<kind>; None where it is not there, holds no row or is not of this version.

        Args:
            kind: with its suffix, `associations.parquet` say.
            columns: that it must have. more: that are read where there are any; None for all.
            may_be_empty: no row is a result, which needs no note.
        """
        name = f"{of}.{kind}"
        if name not in self.by_name:
            return None
        return read_or_say(self.by_name[name], name, columns, lambda text: self.note(of, text), more, may_be_empty)

    def links(self, prefix: str) -> list[tuple[str, str]]:
        """(what, address from explorer/) of the published tables of a prefix."""
        return [
            (f"{text} ({prefix}.{kind})", f"../{folder}/{prefix}.{kind}")
            for kind, (folder, text) in PUBLISHED.items()
            if f"{prefix}.{kind}" in self.by_name
        ]


def of_setting(table: pd.DataFrame | None, setting: str) -> pd.DataFrame:
    """Rows of a setting, without the column; an empty frame where there is no table."""
    if table is None:
        return pd.DataFrame()
    return table[table["setting"] == setting].drop(columns="setting").reset_index(drop=True)
