import matplotlib.pyplot as plt
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
