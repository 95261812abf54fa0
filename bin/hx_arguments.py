#!/usr/bin/env python3
"""Arguments that the command lines on a tissue and patch size share."""

from argparse import ArgumentParser
from pathlib import Path

from hx_cli import comma_list
from hx_donors import PREFIX_HELP, setting_prefix


def add_features(arguments: ArgumentParser) -> None:
    """--features and --setting-prefix."""
    add = arguments.add_argument
    add("--features", type=Path, required=True, help="<tissue_id>.<size>.h5ad of aggregate_features.py")
    add("--setting-prefix", required=True, type=setting_prefix, help=PREFIX_HELP)


def add_sides(arguments: ArgumentParser, aggregations: bool = True) -> None:
    """--features, --expression, --setting-prefix and, where wanted, --aggregations: what is tested against what."""
    add = arguments.add_argument
    add_features(arguments)
    add("--expression", type=Path, required=True, help="<tissue_id>.expression.h5ad of prepare_expression.py")
    if aggregations:
        add("--aggregations", type=comma_list, default="mean,median", help="mean (X) and layers of --features")


def add_design(arguments: ArgumentParser) -> None:
    """--design: the covariates that both sides are given."""
    told = "<tissue_id>.<size>.design.tsv of adjust_confounders.py; none: nothing is adjusted for"
    arguments.add_argument("--design", type=Path, help=told)


def add_limits(arguments: ArgumentParser) -> None:
    """--min-mac and --min-maf: variants that are tested."""
    add = arguments.add_argument
    add("--min-mac", type=float, default=20, help="smallest count of the rarer allele in the donors tested")
    add("--min-maf", type=float, default=0.05, help="smallest frequency of the rarer allele in the donors tested")


def bad_limits(min_mac: float, min_maf: float) -> str:
    """What is wrong with them, '' for nothing."""
    good = min_mac >= 1 and 0 <= min_maf < 0.5
    return "" if good else "--min-mac is at least 1, --min-maf lies from 0 to below .5"
