import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element

from matgan import ELEMENTS, plots


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_every_element_stands_in_its_period_and_group():
    assert set(ELEMENTS) <= set(plots.PLACE)
    assert len(set(plots.PLACE.values())) == len(plots.PLACE)
    for symbol, (column, row) in plots.PLACE.items():
        element = Element(symbol)
        if row < 7:
            assert (column + 1, row + 1) == (element.group, element.row), symbol
        else:  # the f block, without lanthanum and actinium
            first = Element("La" if row == 7 else "Ac").Z
            assert column == element.Z - first + 2, symbol


def test_the_periodic_table_says_the_values_it_was_given():
    figure = plots.periodic_table(pd.Series({"H": 12.0, "Fe": 3456.0}), "compounds", log=True)
    said = {text.get_text() for text in figure.axes[0].texts}
    assert {"H", "Fe", "12", "3,456"} <= said
    assert figure.axes[1].get_ylabel() == "compounds"


def test_the_count_matrix_of_figure_1_marks_its_three_entries():
    figure = plots.count_matrix_of("KZn2Ru")
    marks = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert marks == {
        symbol: (ELEMENTS.index(symbol) + 0.5, count - 0.5)
        for symbol, count in {"K": 1, "Zn": 2, "Ru": 1}.items()
    }


def test_loss_curves_show_the_untrained_networks_too():
    history = pd.DataFrame({"iteration": [0, 10, 100], "test_total_loss": [1e5, -2.0, 0.3]})
    axes = plots.loss_curves({"paper": history}).axes[0]
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [0.5, 10, 100])
    np.testing.assert_array_equal(line.get_ydata(), [1e5, 2.0, 0.3])


def test_singular_values_are_over_the_largest():
    T = np.stack([np.diag([4.0, 2.0, 1.0]), np.diag([5.0, 0.5, 0.05])])
    _, axes = plt.subplots()
    plots.singular_values({"T": T, "iteration": np.array([0, 7])}, axes, "paper")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1, 0.5, 0.25])
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [1, 0.1, 0.01])
