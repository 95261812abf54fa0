#!/usr/bin/env python3
"""Arguments that the command lines on a tissue and patch size share."""

from argparse import ArgumentParser
from pathlib import Path

from hx_cli import comma_list
from hx_donors import PREFIX_HELP, setting_prefix


def add_sides(arguments: ArgumentParser) -> None:
    """--features, --expression, --setting-prefix and --aggregations: what is tested against what."""
    add = arguments.add_argument
    add("--features", type=Path, required=True, help="<tissue_id>.<size>.h5ad of aggregate_features.py")
    add("--expression", type=Path, required=True, help="<tissue_id>.expression.h5ad of prepare_expression.py")
    add("--setting-prefix", required=True, type=setting_prefix, help=PREFIX_HELP)
    add("--aggregations", type=comma_list, default="mean,median", help="mean (X) and layers of --features")


def add_design(arguments: ArgumentParser) -> None:
    """--design: the covariates that both sides are given."""
    told = "<tissue_id>.<size>.design.tsv of adjust_confounders.py; none: nothing is adjusted for"
    arguments.add_argument("--design", type=Path, help=told)
