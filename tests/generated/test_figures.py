"""Figures of generated compositions: what is drawn is what was given."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from matgan.generated.figures import (
    ablation_bars,
    by_model,
    elements_per_formula,
    loss_curves,
    neutral_and_balanced,
    pair_map,
    pair_maps,
    recovery_curves,
    screened,
    search_map,
    singular_values,
    training_curves,
)
from matgan.generated.measures import over_seeds
from matgan.generated.models import OURS, REAL, SHUFFLED
from matgan.generated.pairs import ELEMENT_GROUPS

matplotlib.use("Agg")


def test_points_and_intervals_stand_where_the_summary_says():
    values = {
        ("oqmd", "real"): [0.5, 0.7],
        ("oqmd", "model"): [0.2, 0.2],
        ("mp", "real"): [0.9, 0.9],
    }
    rows = [
        (data, "neutral", model, seed, value)
        for (data, model), pair in values.items()
        for seed, value in enumerate(pair)
    ]
    table = pd.DataFrame(rows, columns=["data", "measure", "model", "seed", "value"])
    table["weights"] = ""  # samples of one model
    figure = by_model(over_seeds(table), ["neutral"], "share", {"mp": {"here": 0.3, "there": 0.4}})
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["real", "model"]
    assert left.lines[0].get_xdata().tolist() == [0.6, 0.2]
    assert left.lines[0].get_ydata().tolist() == [0, 1]
    assert right.lines[0].get_xdata().tolist() == [0.9]
    assert [t.get_text() for t in right.texts] == ["here", "there"]
    assert [line.get_xdata()[0] for line in right.lines[-2:]] == [0.3, 0.4]
    assert not left.texts
    low, high = left.collections[0].get_segments()[0][:, 0]
    assert high - 0.6 == 0.6 - low > 1  # two values: t of one degree of freedom, 12.7
    plt.close(figure)


def test_recovery_curves_leave_out_what_a_logarithm_cannot_show():
    table = pd.DataFrame(
        {
            "data": ["mp"] * 4,
            "model": ["swap", "swap", "WGAN, ours", "WGAN, ours"],
            "samples": [10, 100, 10, 100],
            "recovered": [0.0, 0.01, 0.02, 0.2],
            "low": [np.nan, np.nan, 0.01, 0.1],
            "high": [np.nan, np.nan, 0.03, 0.3],
        }
    )
    figure = recovery_curves(table)
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
            "change": ["as printed", "slots"],
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


# --- for a reader in a hurry; screening ----------------------------------------------------------


def summary_of(**rates):
    names = {"shuffled": SHUFFLED, "ours": OURS, "real": REAL}
    rows = [
        ("mp", "balanced", names[name], mean, mean - 0.01, mean + 0.01, "samples", 3)
        for name, mean in rates.items()
    ]
    columns = ["data", "measure", "model", "mean", "low", "high", "interval over", "n"]
    return pd.DataFrame(rows, columns=columns)


def test_the_title_says_the_numbers_of_the_bars():
    figure = neutral_and_balanced(summary_of(shuffled=0.42, ours=0.61, real=0.7))
    assert "42% of shuffled, 61% of generated, 70% of real ones" in figure.get_suptitle()
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.42, 0.61, 0.7]
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts[1::2] == ["42%", "61%", "70%"]
    without = neutral_and_balanced(summary_of(shuffled=0.42, real=0.7))
    assert "generated" not in without.get_suptitle()
    plt.close("all")


def test_maps_that_were_not_made_are_named():
    values = np.zeros((len(ELEMENT_GROUPS),) * 2)
    figure = pair_maps({("mp", REAL): values, ("mp", SHUFFLED): values}, (REAL, OURS, SHUFFLED))
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles[1] == f"Materials Project: {OURS}: not run"
    assert [len(axes.images) for axes in figure.axes[:3]] == [1, 0, 1]
    plt.close(figure)


def test_sizes_are_shares():
    sizes = {"mp": {REAL: np.array([2, 3, 3, 3])}}
    (line,) = elements_per_formula(sizes).axes[0].lines
    assert line.get_ydata().tolist() == [0, 0, 0.25, 0.75]
    many = {f"model {k}": np.array([2, 3]) for k in range(9)}
    assert len(elements_per_formula({"mp": many}).axes[0].lines) == 9  # none is left out
    plt.close("all")


def test_a_screening_shows_what_is_kept_and_what_is_known():
    kept = {OURS: pd.DataFrame({"predicted": [0.5, 0.5, 1.5]})}
    known = pd.DataFrame({"target": [1.0, 2.0], "predicted": [1.1, 2.2], "half": [0.1, 0.2]})
    figure = screened(kept, "gap (eV)", np.array([0, 1, 2.0]), known, "two known", most=2)
    left, right = figure.axes
    assert left.get_xlabel() == "predicted gap (eV)"
    assert right.get_title() == "two known"
    assert sorted(right.lines[0].get_xdata().tolist()) == [1, 2]
    plt.close(figure)


def test_loss_curves_show_the_untrained_networks_too():
    history = pd.DataFrame({"iteration": [0, 10, 100], "test_total_loss": [1e5, -2.0, 0.3]})
    axes = loss_curves({"paper": history}).axes[0]
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [0.5, 10, 100])
    np.testing.assert_array_equal(line.get_ydata(), [1e5, 2.0, 0.3])


def test_a_reference_is_dashed_and_named():
    history = pd.DataFrame({"iteration": [0, 10], "test_total_loss": [1e5, 1.0]})
    axes = loss_curves({"paper": history}, reference=("paper: 0.3", 0.3)).axes[0]
    assert axes.lines[1].get_ydata()[0] == 0.3 and axes.lines[1].get_linestyle() == "--"
    assert [text.get_text() for text in axes.texts] == ["paper: 0.3"]


def test_singular_values_are_over_the_largest():
    T = np.stack([np.diag([4.0, 2.0, 1.0]), np.diag([5.0, 0.5, 0.05])])
    watched = {"T": T, "iteration": np.array([0, 7])}
    one, two = singular_values({"paper": watched, "ours": watched}).axes
    assert [axes.get_title() for axes in (one, two)] == ["paper", "ours"]
    for axes in (one, two):
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [1, 0.5, 0.25])
        np.testing.assert_allclose(axes.lines[1].get_ydata(), [1, 0.1, 0.01])
        assert [line.get_label() for line in axes.lines] == ["0", "7"]


def test_each_setting_has_a_colour_and_one_line_a_training():
    history = pd.DataFrame(
        {
            "iteration": [0, 10],
            "test_total_loss": [1e5, 1.0],
            "effective_rank": [70.0, 2.0],
            "mean_amount_generated": [40.0, 5.0],
        }
    )
    figure = training_curves({"code": [history, history * 2], "ours": [history]})
    for axes, last in zip(figure.axes, (1.0, 2.0, 5.0), strict=True):
        assert [line.get_color() for line in axes.lines] == ["C0", "C0", "C1"]
        assert [line.get_ydata()[-1] for line in axes.lines] == [last, 2 * last, last]
        assert axes.lines[0].get_xdata()[0] == 0.5
    (first, *_), dashed = (
        f.axes[0].lines for f in (figure, training_curves({"a": [history]}, 0.3))
    )
    assert first.get_linestyle() == "-" and dashed[1].get_ydata()[0] == 0.3
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["code", "ours"]
    plt.close("all")
