"""Figures of sites say the numbers that they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan.crystals.sites import figures
from matgan.crystals.sites.fingerprints import site_fingerprints


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_line_for_each_site(crystals):
    sites = site_fingerprints(crystals.take([0]))
    figure = figures.fingerprints(sites, [str(z) for z in sites.number])
    assert [len(axes.lines) for axes in figure.axes] == [len(sites)] * 4
    drawn = figure.axes[0].lines[0].get_ydata()
    assert drawn.sum() == pytest.approx(sites.shape[0][-22:-6].sum())


def test_errors_stand_at_their_means_with_their_ends():
    rows = pd.DataFrame(
        {"view": ["a", "a", "b"], "held out": "structures", "error": [0.2, 0.4, 0.5]}
    )
    (axes,) = figures.site_errors(rows, 0.31).axes
    points = np.array(axes.containers[0].lines[0].get_xdata(), float)
    np.testing.assert_allclose(points, [0.3, 0.5])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b", "a"]
    columns = {"group, share": 0.5, "group, expected": 0.1}
    figure = figures.reasonable_errors(rows.assign(**columns), ["group"])
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [0.5, 0.1]


def test_rankings_have_both_shares():
    rows = pd.DataFrame({"method": ["x", "x", "y"], "top_1": [0.2, 0.4, 0.7], "top_10": 0.9})
    first, ten = figures.rankings(rows, (0.27, 0.59)).axes
    points = np.array(first.containers[0].lines[0].get_xdata(), float)
    np.testing.assert_allclose(points, [0.7, 0.3])
    assert ten.lines[-1].get_xdata()[0] == 0.59
