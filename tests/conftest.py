"""Paths and data that all tests share."""

import os
import sys
from pathlib import Path

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # no test calls home
os.environ.setdefault("KERAS_HOME", "/tmp/keras")  # Keras would write its settings to the home folder
ROOT = Path(__file__).resolve().parents[1]
for folder in ("bin", "setup", "tests/python", "tests/pipeline"):
    sys.path.insert(0, str(ROOT / folder))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real slides and GTEx files, named by HISTOGEX_REAL_DATA; tests that need it are skipped without."""
    name = os.environ.get("HISTOGEX_REAL_DATA")
    if not name:
        pytest.skip("HISTOGEX_REAL_DATA is not set")
    folder = Path(name)
    if not (folder / "gtex").is_dir():
        pytest.fail(f"HISTOGEX_REAL_DATA={name}: no folder gtex in it")
    return folder
