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


def test_singular_values_are_over_the_largest():
    T = np.stack([np.diag([4.0, 2.0, 1.0]), np.diag([5.0, 0.5, 0.05])])
    _, axes = plt.subplots()
    figures.singular_values({"T": T, "iteration": np.array([0, 7])}, axes, "paper")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1, 0.5, 0.25])
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [1, 0.1, 0.01])
