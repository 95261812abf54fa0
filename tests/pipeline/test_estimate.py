"""docs/scaling.md and `--estimate` say the same."""

import json

from scaling_doc import NUMBERS, estimate


def test_the_stored_estimate_is_the_present_one():
    """Where this fails, costs have changed: setup/scaling_doc.py --estimate."""
    assert estimate(2000) == json.loads(NUMBERS.read_text())["estimates"]["2000"]
