#!/usr/bin/env python3
"""Files of a results folder that two runs are compared by; what cannot be read is noted, not refused."""

import json
from pathlib import Path

import h5py
import pandas as pd

from hx_cli import DataError
from hx_io import read_text
from hx_results_tables import read_or_say

PARTS = ("pipeline_info", "cohort", "summary", "associations")  # a folder with none of them is no results folder


class Results:
    """A results folder; `notes` is what must be said of its files: none is there, empty, or of another version."""

    def __init__(self, folder: Path):
        if not any((folder / name).is_dir() for name in PARTS):
            raise DataError(f"{folder}: no results folder, it has none of {', '.join(PARTS)}: give --outdir of a run")
        self.folder = folder
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def parameters(self) -> dict[str, object]:
        """pipeline_info/params.json."""
        path = self.folder / "pipeline_info" / "params.json"
        try:
            found = json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            self.note(f"{path.name} cannot be read ({error})")
            return {}
        if not isinstance(found, dict):
            self.note(f"no {path.name}" if found is None else f"{path.name} holds no parameters")
            return {}
        return found

    def versions(self) -> dict[tuple[str, str], str]:
        """{(process, package): version} of pipeline_info/*versions.yml: `process:`, `  package: version` under it."""
        found, paths = {}, sorted((self.folder / "pipeline_info").glob("*versions.yml"))
        if not paths:
            self.note("no *versions.yml")
        for path in paths:
            process = ""
            for line in read_text(path).split("\n"):
                name, colon, value = (part.strip().strip("'\"") for part in line.partition(":"))
                if colon and not value:
                    process = name
                elif colon:
                    found[process, name] = value
        return found

    def table(self, name: str, columns: list[str]) -> pd.DataFrame:
        """All columns of a TSV by its path below the folder; empty, and noted, where there is none to use."""
        return self._read(name, columns, None)

    def parquet(self, name: str, columns: list[str]) -> pd.DataFrame:
        """`columns` of a Parquet table by its path below the folder; empty, and noted, where there is none to use."""
        return self._read(name, columns, ())

    def _read(self, name: str, columns: list[str], more: tuple | None) -> pd.DataFrame:
        path = self.folder / name
        if path.is_file():
            found = read_or_say(path, name, columns, self.note, more)
        else:
            found = self.note(f"no {name}")
        return pd.DataFrame(columns=columns) if found is None else found

    def prefixes(self, folder: str, kind: str) -> list[str]:
        """<tissue_id>.<size> of the files <prefix>.<kind> in a folder, sorted."""
        return sorted(path.name.removesuffix(f".{kind}") for path in (self.folder / folder).glob(f"*.{kind}"))

    def weights(self, prefix: str) -> dict[str, str]:
        """{encoder: SHA-256 of its weights} of features/<prefix>.h5ad; {} where there is none to read."""
        path = self.folder / "features" / f"{prefix}.h5ad"
        if not path.is_file():
            self.note(f"no features/{path.name}: its weights are not known, its pairs are left out")
            return {}
        try:
            with h5py.File(path) as handle:
                encoders = handle["uns/encoders"]
                return {name: encoders[name]["weights_sha256"].asstr()[()] for name in sorted(encoders)}
        except (OSError, KeyError, TypeError) as error:
            self.note(f"features/{path.name} tells no weights ({error}): its pairs are left out")
            return {}
