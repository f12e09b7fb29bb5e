"""Figures of powder patterns say the numbers that they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan.powder import figures


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_patterns_are_stacked_one_above_the_other():
    angles = np.linspace(5, 90, 50)
    drawn = {"a": np.arange(50.0), "b": 3 * np.arange(50.0)}
    axes = figures.stacked_patterns(angles, drawn).axes[0]
    first, second = (line.get_ydata() for line in axes.lines)
    assert (first.min(), first.max()) == pytest.approx((1, 1.9))  # each scaled to its own maximum
    assert (second.min(), second.max()) == pytest.approx((0, 0.9))
    assert [text.get_text() for text in axes.texts] == ["a", "b"]


def test_a_confusion_has_a_row_for_each_truth_that_sums_to_one():
    axes = figures.confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ["x", "y"], "t").axes[
        0
    ]
    assert [text.get_text() for text in axes.texts] == ["0.67", "0.33", "0.00", "1.00"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x (3)", "y (1)"]


def test_bars_are_the_accuracies():
    table = pd.DataFrame({"model": ["a", "b"], "label": ["space_group"] * 2, "top1": [0.25, 0.5]})
    axes = figures.accuracy_bars(table, "model", "title").axes[0]
    assert sorted(bar.get_height() for bar in axes.patches if bar.get_height()) == [0.25, 0.5]


def test_every_training_is_a_dot_and_every_published_error_a_line():
    table = pd.DataFrame({"model": "m", "property": "gap", "mae": [0.4, 0.5, 0.6]})
    panels = figures.property_errors(table, {"gap": "band gap (eV)"}, {"other": {"gap": 0.3}}).axes
    dots = np.concatenate([c.get_offsets()[:, 0] for c in panels[0].collections])
    assert sorted(dots[np.isfinite(dots)]) == pytest.approx([0.4, 0.5, 0.6])
    assert any(set(line.get_xdata()) == {0.3} for line in panels[0].lines)


def test_reliability_has_a_panel_for_each_label_and_a_line_for_each_temperature():
    stated = np.linspace(0, 1, 50)
    one = pd.DataFrame(
        {"temperature": 1.0, "label": "a_b", "stated": stated, "correct": stated > 0.5}
    )
    table = pd.concat([one, one.assign(temperature=2.0), one.assign(label="c")])
    panels = figures.reliability(table, bins=2).axes
    assert [axes.get_title() for axes in panels] == ["a b (50 patterns)", "c (50 patterns)"]
    assert [len(axes.containers) for axes in panels] == [2, 1]
    x, y = panels[0].containers[0].lines[0].get_data()
    assert x == pytest.approx([stated[:25].mean(), stated[25:].mean()])
    assert y.tolist() == [0, 1]
    texts = [text.get_text() for text in panels[0].get_legend().get_texts()]
    # within each tenth, all are stated too low or all too high
    error = np.abs(stated - (stated > 0.5)).mean()
    assert f"temperature 1.00: error {error:.3f}" in texts
