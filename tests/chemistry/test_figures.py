import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element

from matgan import ELEMENTS
from matgan.chemistry import elements, figures


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_every_element_stands_in_its_period_and_group():
    assert set(ELEMENTS) <= set(elements.PLACE)
    assert len(set(elements.PLACE.values())) == len(elements.PLACE)
    for symbol, (column, row) in elements.PLACE.items():
        element = Element(symbol)
        if row < 7:
            assert (column + 1, row + 1) == (element.group, element.row), symbol
        else:  # the f block, without lanthanum and actinium
            first = Element("La" if row == 7 else "Ac").Z
            assert column == element.Z - first + 2, symbol


def test_the_periodic_table_says_the_values_it_was_given():
    figure = figures.on_periodic_table(pd.Series({"H": 12.0, "Fe": 3456.0}), "compounds", log=True)
    said = {text.get_text() for text in figure.axes[0].texts}
    assert {"H", "Fe", "12", "3,456"} <= said
    assert figure.axes[1].get_ylabel() == "compounds"


def test_the_count_matrix_of_figure_1_marks_its_three_entries():
    figure = figures.count_matrix_of("KZn2Ru")
    marks = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert marks == {
        symbol: (ELEMENTS.index(symbol) + 0.5, count - 0.5)
        for symbol, count in {"K": 1, "Zn": 2, "Ru": 1}.items()
    }


def test_sizes_and_energies_are_counts_with_the_cut_dashed():
    counts = np.zeros((3, len(ELEMENTS)), dtype=int)
    counts[0, :2], counts[1, :2], counts[2, :3] = (1, 1), (1, 2), (1, 1, 4)
    energies = pd.Series([-1.0, 1.0, -1.0, 1.0, -50.0])
    elements, atoms, spread = figures.sizes_and_energies(counts, energies, n_sigma=1).axes
    assert [bar.get_height() for bar in elements.containers[0]] == [2, 1]
    assert [bar.get_height() for bar in atoms.containers[0]] == [5, 1, 1]
    cuts = [line.get_xdata()[0] for line in spread.lines]
    assert cuts == pytest.approx([-10 - np.std(energies, ddof=1), -10 + np.std(energies, ddof=1)])
    assert all(line.get_linestyle() == "--" for line in spread.lines)
