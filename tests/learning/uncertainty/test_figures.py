"""Figures of uncertainties: every number of the tables is drawn, where it belongs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan.learning.uncertainty import figures


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {"data": data, "split": split, "method": method, "intervals": "stated", "repeat": r}
        | {"coverage": 0.5 + 0.1 * r, "rank": np.nan if method == "constant" else 0.1 * r}
        for data in ("gaps", "Tc")
        for split in ("random", "new systems")
        for method in ("ensemble", "constant")
        for r in range(3)
    )


def test_each_split_has_a_panel_and_each_of_the_data_a_mark(rows):
    figure = figures.coverages(rows)
    assert [axes.get_title() for axes in figure.axes] == ["random", "new systems"]
    for axes in figure.axes:
        means = [bar.lines[0].get_xdata(orig=False) for bar in axes.containers]
        np.testing.assert_allclose(means, 0.6)
        assert len(axes.containers) == 2
    assert len(figures.ranks(rows).axes[0].get_yticks()) == 1  # no rank, no line


def test_curves_are_means_over_the_repeats():
    rows = pd.DataFrame(
        {"data": "gaps", "strategy": name, "repeat": r, "labels": n, "mae": n * (r + k), "found": 0}
        for k, name in enumerate(("random", "diversity"))
        for r in (0, 2)
        for n in (10, 20)
    )
    top, _ = figures.label_curves(rows, {"gaps": "eV"}).axes
    assert [list(line.get_ydata()) for line in top.lines] == [[10, 20], [20, 40]]
    assert "eV" in top.get_ylabel()


def test_a_bar_is_as_long_as_what_the_element_adds():
    table = pd.DataFrame({"element": ["Zn", "S"], "adds": [0.5, 1.5], "deletion": [0.1, -0.2]})
    (axes,) = figures.contributions(table, "eV", {"adds": "A", "deletion": "B"}).axes
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[0.5, 1.5], [0.1, -0.2]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Zn", "S"]
