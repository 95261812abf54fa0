"""docs/scaling.md is what its generator makes of the stored measurements, and the generator's arithmetic."""

import json
import sys
from pathlib import Path

import pytest
from scaling_doc import COHORTS, NUMBERS, PAGE, machine_cost, page, shown

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_generator_makes():
    text = PAGE.read_text()
    assert text == page(text, json.loads(NUMBERS.read_text()))


def test_every_cohort_has_an_estimate():
    estimates = json.loads(NUMBERS.read_text())["estimates"]
    assert list(estimates) == [str(slides) for slides in COHORTS]
    assert all(value > 0 for of in estimates.values() for value in of.values())


def test_cost_of_a_machine():
    """500 times the core seconds of a patch, in hours, on a GPU worth 1,000 patches a second, are half an hour."""
    core_s = json.loads((ROOT / "assets" / "costs.json").read_text())["encode_core_seconds_per_patch"]
    of = {"encoding_h": 500 * core_s, "training_h": 0, "reading_h": 24, "statistics_h": 8, "slides_tb": 2}
    of |= {"results_tb": 0.5, "result_files": 600, "work_files": 400}
    machine = {"gpus": 1, "patches_per_second": 1000, "cores": 1, "cores_with_gpu": 4, "gpu_hour": 2}
    machine |= {"core_hour": 0.1, "gb_month": 0.02, "per_1000_requests": 0.005}
    cost = machine_cost(of, machine)
    assert cost["gpu_h"] == pytest.approx(0.5)
    assert cost["days"] == pytest.approx((24 + 8) / 24)  # one core reads longer than the GPU encodes
    assert cost["compute"] == pytest.approx(0.5 * 2 + (24 + 8 - 0.5 * 4) * 0.1)
    assert cost["storage"] == pytest.approx((2 + 0.5 + 0.5) * 1000 * 0.02 + 0.005)


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (12.34, "12.3"), (123456, "123,000"), (999, "999")])
def test_numbers_have_three_digits(value, text):
    assert shown(value) == text


def test_the_made_cohort_is_gtexs():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from bench_scale import DONORS, SLIDES, TISSUES, made_rows

    rows = made_rows(SLIDES)
    assert len({row["sample"] for row in rows}) == len({row["slide"] for row in rows}) == SLIDES
    assert len({row["tissue"] for row in rows}) == TISSUES
    assert len({(row["donor"], row["tissue"]) for row in rows}) == SLIDES
    assert len({row["donor"] for row in rows}) <= DONORS
