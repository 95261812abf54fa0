"""A full disk is told plainly and retried; other errors of the system keep their traceback."""

import errno
import os
import subprocess

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hx_cli import EXIT_TEMPORARY, command
from hx_io import atomic, write_json, write_parquet, write_tsv


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_temporary(code, capsys):
    def main(argv):
        raise OSError(code, os.strerror(code), "out.tsv")

    assert command(main)([]) == EXIT_TEMPORARY
    assert f"make room in {os.getcwd()}" in (text := capsys.readouterr().err) and "out.tsv" in text


def test_other_errors_of_the_system_are_not_hidden():
    def main(argv):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "out.tsv")

    with pytest.raises(PermissionError):
        command(main)([])


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


VALUES = np.random.default_rng(0).random((300, 300))


def write_h5(path):
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file["x"] = VALUES


def write_h5ad(path):
    with atomic(path) as temporary:
        anndata.AnnData(VALUES).write_h5ad(temporary)


WRITERS = {
    "a.h5": write_h5,
    "a.h5ad": write_h5ad,
    "a.tsv": lambda path: write_tsv(pd.DataFrame(VALUES), path),
    "a.json": lambda path: write_json(VALUES.tolist(), path),
    "a.parquet": lambda path: write_parquet(pa.table(pd.DataFrame(VALUES).rename(columns=str)), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full_ends_with_75_and_leaves_nothing(small_disk, name, capsys):
    def main(argv):
        WRITERS[name](small_disk / name)

    assert command(main)([]) == EXIT_TEMPORARY
    assert "make room" in capsys.readouterr().err
    assert not list(small_disk.iterdir())
