"""Figures show the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from matgan.microstructure import figures
from matgan.microstructure.mechanics import two_phases


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


VOLUME = np.random.default_rng(0).random((5, 6, 7)) < 0.5


def test_slices_are_the_first_planes():
    figure = figures.volume_slices({"one": VOLUME, "two": ~VOLUME})
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), ~VOLUME[:, :, 0])
    field = np.random.default_rng(1).random(VOLUME.shape)
    figure = figures.strain_slices(VOLUME, {"true": field, "found": 2 * field})
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), 2 * field[:, :, 0])
    limits = [figure.axes[i].images[0].get_clim() for i in (1, 2)]
    assert limits[0] == limits[1]


def test_stiffness_lies_between_its_bounds():
    pair, kinds = two_phases(50), np.array(["noise", "ring", "noise"])
    figure = figures.stiffness_by_fraction(np.array([0.3, 0.5, 0.7]), np.ones(3), kinds, pair)
    lines = figure.axes[0].lines
    assert lines[0].get_ydata()[[0, -1]] == pytest.approx([m.uniaxial for m in pair])
    assert [line.get_label() for line in lines[2:]] == ["noise", "ring"]
    assert lines[2].get_xdata().tolist() == [0.3, 0.7]


def test_errors_and_the_reviews_stand_in_one_row():
    table = pd.DataFrame({"method": ["a", "b", "a"], "percent": [3.0, 5.0, 4.0]})
    figure = figures.method_errors(table, "percent", "error (%)", {"b": 6.8})
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    points = {(x, y) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)}
    assert {(3.0, 0), (4.0, 0), (3.5, 0), (5.0, 1), (6.8, 1)} <= points


def test_kernels_and_shells():
    kernels = np.random.default_rng(0).normal(size=(7, 3, 3, 3))
    figure = figures.kernel_slices(kernels, "kernels")
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 7
    np.testing.assert_array_equal(shown[3], kernels[3, :, :, 1])
    figure = figures.shell_lines({"MKS": np.array([4.0, 2.0, 1.0])})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1, 0.5, 0.25]


def test_images_stand_in_a_row_for_each_source():
    drawn = {"one": np.stack([VOLUME[0], ~VOLUME[0]]), "two": np.ones((1, 12, 14), bool)}
    figure = figures.source_rows(drawn)
    axes = np.array(figure.axes).reshape(2, 2)
    assert [axes[0, 0].get_title(loc="left"), axes[1, 0].get_title(loc="left")] == ["one", "two"]
    np.testing.assert_array_equal(axes[0, 1].images[0].get_array(), ~VOLUME[0])
    assert not axes[1, 1].images


def test_curves_have_a_band_of_one_deviation():
    rows = [
        {"what": what, "source": source, "distance": d, "mean": 0.5 / (d + 1), "spread": 0.1}
        for what in ("a", "b")
        for source in ("real", "GAN")
        for d in range(3)
    ]
    figure = figures.statistics_curves(pd.DataFrame(rows), ("a", "b"))
    assert [axes.get_ylabel() for axes in figure.axes] == ["a", "b"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["real", "GAN"]
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.5 / 3 - 0.1, 0.6))


def test_absorption_shows_each_field_and_each_order():
    lengths = pd.DataFrame({"length": [2.0, 2.0, 4.0], "absorbed": [0.5, 0.7, 0.8]})
    orders = pd.DataFrame({"length": [2.0] * 2, "number": 0, "orders": [3, 4]})
    figure = figures.absorption_figure(lengths, orders.assign(absorbed=[0.5, 0.6]))
    left, right = figure.axes
    assert left.lines[1].get_ydata() == pytest.approx([0.6, 0.8])
    assert right.lines[0].get_ydata().tolist() == [0.5, 0.6]


def test_searches_and_labels_have_a_line_each():
    table = pd.DataFrame({"method": ["a", "a", "b"], "gain": [1.0, 3.0, 5.0], "n": [10, 10, 20]})
    axes = figures.search_dots(table, "gain", "gain (%)", 4.0).axes[0]
    assert axes.lines[1].get_xdata() == pytest.approx([2.0])
    assert axes.lines[-1].get_xdata() == pytest.approx([4.0, 4.0])
    axes = figures.learning_lines(table, "n", "gain", ("labels", "error")).axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx([2.0])
    assert [line.get_label() for line in axes.lines] == ["a", "b"]


def test_images_stand_in_rows():
    one, two = np.eye(4, dtype=bool), np.zeros((4, 4))
    long_name = "Gaussian field, phases only"
    figure = figures.image_rows({"sample": {"a": one, "b": two}, long_name: {"a": two}})
    shown = [axes.images[0].get_array() if axes.images else None for axes in figure.axes]
    np.testing.assert_array_equal(shown[0], one)
    np.testing.assert_array_equal(shown[2], two)
    assert shown[3] is None and figure.axes[0].get_ylabel() == "sample"
    assert figure.axes[2].get_ylabel() == "Gaussian field,\nphases only"
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", ""]


def test_errors_of_kinds_and_curves_of_losses():
    table = pd.DataFrame({"kind": list("aab"), "method": list("xxy"), "e": [1.0, 3.0, 5.0]})
    axes = figures.errors_by_kind(table, "e", "error (%)").axes[0]
    points = [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata())]
    assert [1.0, 3.0] in points and [2.0] in points and [5.0] in points
    curve = pd.Series({1: 0.5, 10: 0.1})
    figure = figures.synthesis_losses({"x": {"a": curve}, "y": {"a": 2 * curve}})
    assert figure.axes[1].lines[0].get_ydata().tolist() == [1.0, 0.2]
    assert list(figure.axes[1].lines[1].get_xdata()) == [5, 5]  # half of the way
    assert [axes.get_title() for axes in figure.axes] == ["x", "y"]
