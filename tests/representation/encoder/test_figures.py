"""The figure of small tasks shows the ratios that its tables give."""

import numpy as np
import pandas as pd

from matgan.representation.encoder.figures import error_ratios


def test_points_are_errors_over_the_peers():
    tasks = ["gaps", "energies", "moduli"]
    errors = pd.DataFrame({"trees": [1.0, 3.0, np.nan], "encoder": [2.0, 2.0, 4.0]}, index=tasks)
    peers = pd.DataFrame({"Roost": [2.0, 3.0, 8.0], "CrabNet": [2.0, 2.0, 5.0]}, index=tasks)
    figure = error_ratios(errors, peers, "CrabNet")
    (axes,) = figure.axes
    drawn = {line.get_label(): line.get_xdata() for line in axes.lines if len(line.get_xdata()) > 2}
    assert list(drawn) == ["Roost", "trees", "encoder"]
    np.testing.assert_allclose(drawn["trees"], [0.5, 1.5, np.nan])
    np.testing.assert_allclose(drawn["encoder"], [1, 1, 0.8])
    np.testing.assert_allclose(drawn["Roost"], [1, 1.5, 1.6])
    assert [label.get_text() for label in axes.get_yticklabels()] == tasks
    top, bottom = axes.get_ylim()[::-1]
    assert top < bottom  # the first task on top
