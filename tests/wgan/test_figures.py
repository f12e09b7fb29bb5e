"""Figures of a training run."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan.wgan import figures


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_loss_curves_show_the_untrained_networks_too():
    history = pd.DataFrame({"iteration": [0, 10, 100], "test_total_loss": [1e5, -2.0, 0.3]})
    axes = figures.loss_curves({"paper": history}).axes[0]
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [0.5, 10, 100])
    np.testing.assert_array_equal(line.get_ydata(), [1e5, 2.0, 0.3])


def test_a_reference_is_dashed_and_named():
    history = pd.DataFrame({"iteration": [0, 10], "test_total_loss": [1e5, 1.0]})
    axes = figures.loss_curves({"paper": history}, reference=("paper: 0.3", 0.3)).axes[0]
    assert axes.lines[1].get_ydata()[0] == 0.3 and axes.lines[1].get_linestyle() == "--"
    assert [text.get_text() for text in axes.texts] == ["paper: 0.3"]


def test_singular_values_are_over_the_largest():
    T = np.stack([np.diag([4.0, 2.0, 1.0]), np.diag([5.0, 0.5, 0.05])])
    watched = {"T": T, "iteration": np.array([0, 7])}
    one, two = figures.singular_values({"paper": watched, "ours": watched}).axes
    assert [axes.get_title() for axes in (one, two)] == ["paper", "ours"]
    for axes in (one, two):
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [1, 0.5, 0.25])
        np.testing.assert_allclose(axes.lines[1].get_ydata(), [1, 0.1, 0.01])
        assert [line.get_label() for line in axes.lines] == ["0", "7"]
