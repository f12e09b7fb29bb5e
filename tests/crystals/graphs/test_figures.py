"""Figures of crystal graphs show the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan.crystals.graphs import figures

VALUES = pd.DataFrame({"A": [-0.5, 0.2, np.nan], "B": [0.1, 0.4, 0.3]}, ["Ba", "Ti", "Cu"])


def test_the_lowest_error_is_on_top_and_lines_are_drawn():
    summary = pd.DataFrame(
        {"features": ["a", "b"], "mae": [0.1, 0.3], "mae_low": [0.05, np.nan]}
        | {"mae_high": [0.15, np.nan]}
    )
    axes = figures.errors_beside(summary, {"the review": 0.2}).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b", "a"]
    assert axes.get_legend().get_texts()[0].get_text() == "the review"
    assert axes.get_xlim()[0] == 0 and axes.get_xlim()[1] > 0.3


def test_a_square_has_two_halves_in_their_own_colours():
    figure = figures.two_sites_on_table(VALUES, "eV/atom")
    halves = {tuple(np.round(p.get_facecolor(), 3)) for p in figure.axes[0].patches}
    colours = plt.get_cmap("RdBu_r")
    for value in (-0.5, 0.2, 0.1, 0.4, 0.3):
        assert tuple(np.round(colours(value + 0.5), 3)) in halves  # from -0.5 to 0.5
    symbols = {t.get_text(): t.get_color() for t in figure.axes[0].texts}
    assert symbols["Ba"] == "black" and symbols["Ne"] == "0.7"


def test_each_element_is_at_its_two_contributions():
    other = VALUES + 1
    left, right = figures.contributions_beside(VALUES, other, ("one", "other")).axes
    assert {t.get_text(): t.get_position() for t in left.texts} == {
        "Ba": (-0.5, 0.5),
        "Ti": (0.2, 1.2),
    }
    assert [t.get_text() for t in right.texts] == ["Ba", "Ti", "Cu"]


def test_a_learning_curve_goes_through_the_means():
    rows = pd.DataFrame({"features": "a", "n_train": [10, 10, 20], "mae": [0.4, 0.2, 0.1]})
    axes = figures.error_curve(rows, {"the review": 0.099}).axes[0]
    x, y = axes.lines[0].get_data()
    assert list(x) == [10, 20] and list(y) == pytest.approx([0.3, 0.1])
