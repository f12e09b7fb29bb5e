"""Figures of embeddings: what they draw, read back from the figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan import ELEMENTS
from matgan.chemistry.periodic_table import by_block, periodic_table
from matgan.representation.figures import element_map, family_maps, similarity_maps, with_intervals

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_family_maps_draw_every_point_in_its_colour():
    points = RNG.normal(size=(30, 2))
    labels = np.repeat(["a", "b"], 15)
    figure = family_maps({str(i): points + i for i in range(4)}, labels)
    drawn = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in drawn] == ["0", "1", "2", "3"]
    spots = drawn[1].collections[0]
    where = np.asarray(spots.get_offsets())
    back = [int(np.abs(points + 1 - place).sum(1).argmin()) for place in where]
    assert sorted(back) == list(range(30))
    colours = {label: set() for label in "ab"}
    for row, colour in zip(back, spots.get_facecolors(), strict=True):
        colours[labels[row]].add(tuple(colour))
    assert len(colours["a"]) == len(colours["b"]) == 1 and colours["a"] != colours["b"]


def test_elements_stand_where_their_points_are():
    points = RNG.normal(size=(85, 2))
    axes = plt.figure().add_subplot()
    element_map(points, axes, "title", ("x", "y"))
    drawn = {text.get_text(): text for text in axes.texts}
    assert drawn["Fe"].get_position() == pytest.approx(points[ELEMENTS.index("Fe")])
    block = periodic_table()["block"]
    assert drawn["Fe"].get_color() == drawn["Zn"].get_color() != drawn["Na"].get_color()
    assert block["Fe"] == block["Zn"] != block["Na"]
    assert (points >= [axes.get_xlim()[0], axes.get_ylim()[0]]).all()


def test_similarities_are_cosines_in_the_order_of_blocks():
    table = pd.DataFrame(RNG.normal(size=(85, 6)), index=list(ELEMENTS))
    figure = similarity_maps({"one": table, "two": -3 * table})
    shown = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    order = by_block()
    a, b = table.loc[order[2]], table.loc[order[70]]
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    assert shown[2, 70] == shown[70, 2] == pytest.approx(cosine)
    assert np.isnan(np.diagonal(shown)).all()
    other = next(axes for axes in figure.axes if axes.get_title() == "two")
    np.testing.assert_allclose(np.ma.filled(other.images[0].get_array(), np.nan), shown)


def test_intervals_reach_from_low_to_high():
    rows = [("x", "p", 2.0, 1.5, 3.0), ("x", "q", 1.0, np.nan, np.nan), ("y", "p", 4.0, 3.0, 4.5)]
    table = pd.DataFrame(rows, columns=["task", "features", "v", "v_low", "v_high"])
    axes = plt.figure().add_subplot()
    with_intervals(table, "v", "task", "features", axes)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["x", "y"]
    (middles, _, (bars,)), (_, _, (single,)) = axes.containers
    np.testing.assert_allclose(middles.get_xdata(), [2, 4])
    ends = [segment[:, 0] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[1.5, 3.0], [3.0, 4.5]])
    np.testing.assert_allclose(single.get_segments()[0][:, 0], 1)  # no interval: a point
