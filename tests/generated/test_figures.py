"""Figures of notebook 5: the groups of elements, and that what is drawn is what was given."""

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from matgan.chemistry.elements import N_ELEMENTS
from matgan.generated.figures import GROUPS, by_model, pair_map, recovery_curves
from matgan.generated.measures import over_seeds


def test_every_element_is_in_one_group():
    assert sorted(np.concatenate(list(GROUPS.values()))) == list(range(N_ELEMENTS))


def test_points_and_intervals_stand_where_the_summary_says():
    values = {("a", "real"): [0.5, 0.7], ("a", "model"): [0.2, 0.2], ("b", "real"): [0.9, 0.9]}
    rows = [
        (data, "neutral", model, seed, value)
        for (data, model), pair in values.items()
        for seed, value in enumerate(pair)
    ]
    table = pd.DataFrame(rows, columns=["data", "measure", "model", "seed", "value"])
    table["weights"] = ""  # samples of one model
    figure = by_model(over_seeds(table), {"a": "A", "b": "B"}, ["neutral"], "share")
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["real", "model"]
    assert left.lines[0].get_xdata().tolist() == [0.6, 0.2]
    assert left.lines[0].get_ydata().tolist() == [0, 1]
    assert right.lines[0].get_xdata().tolist() == [0.9]
    low, high = left.collections[0].get_segments()[0][:, 0]
    assert high - 0.6 == 0.6 - low > 1  # two values: t of one degree of freedom, 12.7
    plt.close(figure)


def test_recovery_curves_leave_out_what_a_logarithm_cannot_show():
    table = pd.DataFrame(
        {
            "data": ["a"] * 4,
            "model": ["swap", "swap", "WGAN, ours", "WGAN, ours"],
            "samples": [10, 100, 10, 100],
            "recovered": [0.0, 0.01, 0.02, 0.2],
        }
    )
    figure = recovery_curves(table, {"a": "A"})
    drawn = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert drawn == {"swap": [[100, 0.01]], "WGAN, ours": [[10, 0.02], [100, 0.2]]}
    plt.close(figure)


def test_pair_map_shows_every_group():
    figure, axes = plt.subplots()
    values = np.arange(len(GROUPS) ** 2, dtype=float).reshape(len(GROUPS), -1)
    pair_map(values, axes, "pairs")
    assert axes.images[0].get_array().ravel().tolist() == values.ravel().tolist()
    assert [t.get_text() for t in axes.get_xticklabels()] == list(GROUPS)
    plt.close(figure)
