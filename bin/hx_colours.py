#!/usr/bin/env python3
"""Colours that colour-blind readers tell apart: Okabe & Ito (2008, jfly.uni-koeln.de/color)."""

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
