import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan.representation import benchmark_plots


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_errors_stand_in_the_row_of_their_features_with_the_papers_value():
    summary = pd.DataFrame(
        [("d", "random", "T", 1.0, 1.2), ("d", "random", "one-hot", 2.0, 2.5)],
        columns=["dataset", "split", "features", "mae", "mae_high"],
    )
    units = {"d": "MAE, gap (eV)"}
    figure = benchmark_plots.errors_with_intervals(summary, units, {("d", "T"): 0.5})
    axes = figure.axes[0]
    assert axes.get_xlabel() == "MAE, gap (eV)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one-hot", "T"]
    x, y = axes.containers[0].lines[0].get_data()
    assert list(x) == [1, 2]
    assert np.round(np.asarray(y, float)).tolist() == [1, 0]
    (cross,) = [line for line in axes.lines if line.get_label() == "paper"]
    assert cross.get_data()[0] == [0.5] and axes.get_xlim()[0] < 0.5


def test_learning_curves_are_means_over_the_repeats():
    curves = pd.DataFrame(
        [("d", "T", n, repeat, 10 / n + repeat) for n in (10, 100) for repeat in (0, 2)],
        columns=["dataset", "features", "n_train", "repeat", "mae"],
    )
    axes = benchmark_plots.learning_curves(curves, {"d": "MAE (K)"}).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_data(), ([10, 100], [2, 1.1]))
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_parity_draws_every_compound_and_the_diagonal():
    y = np.arange(50.0)
    figure = benchmark_plots.parity({"d": (y, y + 5)}, {"d": "gap (eV)"})
    axes = figure.axes[0]
    assert axes.get_xlabel() == "true gap (eV)"
    assert axes.collections[0].get_array().sum() == 50
    np.testing.assert_allclose(axes.lines[0].get_data(), ([0, 54], [0, 54]))
