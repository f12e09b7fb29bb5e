"""Figures of embeddings: what they draw, read back from the figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from matgan import ELEMENTS
from matgan.chemistry.elements import by_block, periodic_table
from matgan.representation import figures
from matgan.representation.figures import (
    COLOURS,
    colours_of,
    element_maps,
    family_maps,
    similarity_maps,
    with_intervals,
)

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


@pytest.mark.parametrize("n_maps", [1, 3, 5])
def test_family_maps_have_one_legend_and_no_ticks(n_maps):
    labels = ["other", "cuprate", "iron-based"] * 4
    figure = family_maps({str(i): RNG.normal(size=(12, 2)) for i in range(n_maps)}, labels)
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + figure.legends
    assert len(legends) == 1
    assert [text.get_text() for text in legends[0].get_texts()] == [
        "cuprate",
        "iron-based",
        "other",
    ]
    assert all(not len(axes.get_xticks()) for axes in figure.axes if axes.axison)


def test_superconductors_have_the_papers_colours():
    red, green, blue = to_rgb(colours_of(["iron-based", "cuprate"])["iron-based"])
    assert red > 0.6 > 3 * max(green, blue)
    red, green, blue = to_rgb(colours_of(["iron-based", "cuprate"])["cuprate"])
    assert blue > 0.6 > 1.5 * max(red, green)
    assert to_rgb(colours_of(["other"])["other"]) == (0, 0, 0)
    assert colours_of("ba") == {"a": COLOURS[0], "b": COLOURS[1]}


def test_elements_stand_where_their_points_are():
    points, share = RNG.normal(size=(85, 2)), np.array([0.5, 0.25])
    figure = element_maps(
        {"pca": (points, share), "t-SNE": (2 * points, None)}, 2, join=["Li", "K"]
    )
    pca, tsne = figure.axes
    drawn = {text.get_text(): text for text in pca.texts}
    assert drawn["Fe"].get_position() == pytest.approx(points[ELEMENTS.index("Fe")])
    block = periodic_table()["block"]
    assert drawn["Fe"].get_color() == drawn["Zn"].get_color() != drawn["Na"].get_color()
    assert block["Fe"] == block["Zn"] != block["Na"]
    assert (points >= [pca.get_xlim()[0], pca.get_ylim()[0]]).all()
    assert pca.get_xlabel() == "component 1 (50% of the variance)"
    np.testing.assert_array_equal(
        np.transpose(pca.lines[0].get_data()), points[[ELEMENTS.index("Li"), ELEMENTS.index("K")]]
    )
    assert not len(tsne.get_xticks()) and tsne.get_xlabel() == ""


def test_agreement_curves_have_a_panel_for_each_kind_and_the_band_of_chance():
    rows = [
        {"table": t, "same": same, "k": k, "purity": 0.1 * k, "low": 0.0, "high": 0.05 * k}
        for t in ("T", "random T")
        for same in ("group", "period")
        for k in (1, 2)
    ]
    group, period = figures.agreement_curves(pd.DataFrame(rows)).axes
    assert period.get_ylabel() == "share in the same period"
    np.testing.assert_allclose(group.lines[0].get_ydata(), [0.1, 0.2])
    assert group.collections[-1].get_paths()[0].vertices[:, 1].max() == pytest.approx(0.1)


def test_two_kinds_have_a_colour_each():
    points, first = RNG.normal(size=(6, 2)), np.array([True, False, True, True, False, False])
    figure = figures.two_kinds({"input": points}, first, ("balanced", "unbalanced"))
    spots = figure.axes[0].collections[0]
    drawn = {
        tuple(place): to_hex(colour)
        for place, colour in zip(spots.get_offsets(), spots.get_facecolors(), strict=True)
    }
    for point, kind in zip(points, first, strict=True):
        assert drawn[tuple(point)] == COLOURS[0 if kind else 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["balanced", "unbalanced"]


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


# --- benchmark ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_errors_stand_in_the_row_of_their_features_with_the_papers_value():
    summary = pd.DataFrame(
        [("d", "random", "T", 1.0, 1.2), ("d", "random", "one-hot", 2.0, 2.5)],
        columns=["dataset", "split", "features", "mae", "mae_high"],
    )
    units = {"d": "MAE, gap (eV)"}
    figure = figures.errors_with_intervals(summary, units, {("d", "T"): 0.5})
    axes = figure.axes[0]
    assert axes.get_xlabel() == "MAE, gap (eV)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one-hot", "T"]
    x, y = axes.containers[0].lines[0].get_data()
    assert list(x) == [1, 2]
    assert np.round(np.asarray(y, float)).tolist() == [1, 0]
    (cross,) = [line for line in axes.lines if line.get_label() == "paper"]
    assert cross.get_data()[0] == [0.5] and axes.get_xlim()[0] < 0.5


def test_standings_put_the_lowest_error_on_top_in_the_colour_of_its_kind():
    table = pd.DataFrame(
        {
            "dataset": ["one", "one", "one", "two"],
            "features": ["ours", "look-up", "theirs", "ours"],
            "kind": ["network", "plain", "published", "network"],
            "mae": [3.0, 2.0, 1.0, 5.0],
            "mae_low": [2.5, np.nan, np.nan, 4.0],
            "mae_high": [3.5, np.nan, np.nan, 6.0],
        }
    )
    first, second = figures.standings(table, {"one": "MAE (eV)", "two": "MAE (K)"}).axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["ours", "look-up", "theirs"]
    drawn = {}
    for bars in first.containers:
        (x,), (y,) = bars.lines[0].get_data()
        drawn[bars.get_label()] = x, y, bars.lines[0].get_color()
    assert {kind: mark[:2] for kind, mark in drawn.items()} == {
        "network": (3, 0), "plain": (2, 1), "published": (1, 2)
    }  # fmt: skip
    assert second.containers[0].lines[0].get_color() == drawn["network"][2]
    assert len({colour for _, _, colour in drawn.values()}) == 3
    (segment,) = first.containers[0].lines[2][0].get_segments()
    assert segment[:, 0].tolist() == [2.5, 3.5]


def test_learning_curves_are_means_over_the_repeats():
    curves = pd.DataFrame(
        [("d", "T", n, repeat, 10 / n + repeat) for n in (10, 100) for repeat in (0, 2)],
        columns=["dataset", "features", "n_train", "repeat", "mae"],
    )
    axes = figures.learning_curves(curves, {"d": "MAE (K)"}).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_data(), ([10, 100], [2, 1.1]))
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_of_one_number_of_compounds_points_stand_side_by_side():
    rows = [("d", name, 3000, repeat, mae + repeat) for name, mae in (("T", 1.0), ("C", 2.0))
            for repeat in (0, 1, 5)]  # fmt: skip
    curves = pd.DataFrame(rows, columns=["dataset", "features", "n_train", "repeat", "mae"])
    (axes,) = figures.learning_curves(curves, {"d": "MAE (K)"}).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["3,000"]
    points, _, (bars,) = axes.containers[1].lines
    np.testing.assert_allclose(points.get_xydata(), [(1, 4)])
    np.testing.assert_allclose(bars.get_segments(), [[(1, 2), (1, 7)]])


def test_parity_draws_every_compound_and_the_diagonal():
    y = np.arange(50.0)
    figure = figures.parity({"d": (y, y + 5)}, {"d": "gap (eV)"})
    axes = figure.axes[0]
    assert axes.get_xlabel() == "true gap (eV)"
    assert axes.collections[0].get_array().sum() == 50
    np.testing.assert_allclose(axes.lines[0].get_data(), ([0, 54], [0, 54]))


def test_effects_stand_at_their_labels_with_their_ends():
    rows = [("gaps", "g", b, n, 0.1, 0.05, 0.2) for b in ("none", "real") for n in (300, 1000)]
    rows.append(("gaps", "real", "none", 300, 0.4, 0.3, 0.5))  # another contrast: not drawn
    columns = ["data", "a", "b", "labels", "lower", "low", "high"]
    figure = figures.effects_by_size(pd.DataFrame(rows, columns=columns), "g")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["300", "1,000"]
    assert len(axes.containers) == 2  # beside none, beside real
    line, _, (bars,) = axes.containers[0].lines
    np.testing.assert_allclose(line.get_xydata(), [(300, 0.1), (1000, 0.1)])
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], [[0.05, 0.2]] * 2)
