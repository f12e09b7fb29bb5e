"""Figures of models of crystals say the numbers that they were given."""

import matplotlib.pyplot as plt
import pandas as pd

from matgan.crystals import figures


def test_each_error_stands_at_its_value_beside_the_claimed_range():
    rows = [("a", "random", "m", 0.03), ("a", "random", "n", 0.05), ("a", "left out", "m", 0.08)]
    summary = pd.DataFrame(rows, columns=["dataset", "split", "features", "mae"])
    summary = summary.assign(mae_low=summary["mae"] - 0.01, mae_high=summary["mae"] + 0.02)
    (axes,) = figures.model_errors(summary, {"a": (0.02, 0.034)}).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.03, 0.05], [0.08]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["n", "m"]
    bars = [path.vertices[:, 0].tolist() for c in axes.collections for path in c.get_paths()]
    assert [round(x, 3) for x in bars[0]] == [0.02, 0.05]
    (band,) = axes.patches
    assert (band.get_x(), round(band.get_x() + band.get_width(), 3)) == (0.02, 0.034)
    plt.close("all")
