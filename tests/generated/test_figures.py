"""Figures of notebook 5: the groups of elements, and that what is drawn is what was given."""

import matplotlib
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from matgan.generated.figures import ablation_bars, search_map

mpl.use("Agg")


from matgan.chemistry.elements import N_ELEMENTS
from matgan.generated.figures import ELEMENT_GROUPS, by_model, pair_map, recovery_curves
from matgan.generated.measures import over_seeds


def test_every_element_is_in_one_group():
    assert sorted(np.concatenate(list(ELEMENT_GROUPS.values()))) == list(range(N_ELEMENTS))


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
    values = np.arange(len(ELEMENT_GROUPS) ** 2, dtype=float).reshape(len(ELEMENT_GROUPS), -1)
    pair_map(values, axes, "pairs")
    assert axes.images[0].get_array().ravel().tolist() == values.ravel().tolist()
    assert [t.get_text() for t in axes.get_xticklabels()] == list(ELEMENT_GROUPS)
    plt.close(figure)


# --- sweeps ---------------------------------------------------------------------------------------


matplotlib.use("Agg")


def test_the_map_shows_each_value_at_its_learning_rate_and_batch_size():
    rows = [
        {
            "learning rate": rate, "batch size": size, "lowest test loss": rate * size,
            "decodable": 0.5, "effective rank": size, "small-data error (eV)": 1.0,
        }
        for rate in (0.1, 0.01)
        for size in (32, 64, 128)
    ]  # fmt: skip
    figure = search_map(pd.DataFrame(rows))
    first, *_ = figure.axes
    assert [t.get_text() for t in first.get_xticklabels()] == ["32", "64", "128"]
    assert [t.get_text() for t in first.get_yticklabels()] == ["0.01", "0.1"]
    assert [t.get_text() for t in first.texts][:3] == ["0.32", "0.64", "1.3"]
    plt.close(figure)


def test_a_bar_that_was_not_measured_says_so_and_the_control_is_a_line():
    table = pd.DataFrame(
        {
            "change": ["paper as printed", "slots"],
            "decodable": [0.01, 1.0],
            **{name: [np.nan, 0.9] for name in ("unique", "neutral", "balanced", "AUC, counts")},
            **{f"{name}, shuffled": 0.6 for name in ("neutral", "balanced", "AUC, counts")},
        }
    )
    figure = ablation_bars(table)
    by_title = {axes.get_title(): axes for axes in figure.axes}
    assert [t.get_text() for t in by_title["neutral"].texts] == ["too few decode"]
    assert by_title["neutral"].lines[0].get_xdata()[0] == 0.6
    assert not by_title["decodable"].texts
    assert [bar.get_width() for bar in by_title["unique"].patches] == [0, 0.9]
    plt.close(figure)
