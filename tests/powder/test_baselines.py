"""Baselines: each against what it must say on patterns whose classes are known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from matgan.powder import baselines, figures
from matgan.powder.patterns import encode_pattern

COUNTS = {"first": 3, "second": 5}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    classes = np.stack([rng.integers(0, 3, 150), rng.integers(0, 5, 150)], 1)
    patterns = 0.05 * rng.random((150, 100))
    patterns[np.arange(150), 5 + 10 * classes[:, 0]] = 1
    patterns[np.arange(150), 52 + 10 * classes[:, 1]] = 0.8
    return encode_pattern(patterns), classes


def test_the_majority_is_always_the_same(data):
    _, classes = data
    scores = baselines.majority(classes, COUNTS, 7)
    for i, label in enumerate(COUNTS):
        assert (scores[label].argmax(1) == np.bincount(classes[:, i]).argmax()).all()
        assert scores[label].sum(1) == pytest.approx(1)


def test_coarse_patterns_are_means_of_roots():
    codes = np.array([[0, 255, 51, 204, 7]], dtype=np.uint8)
    assert baselines.coarse(codes, 2)[0] == pytest.approx([0.5, 0.5])


def test_the_nearest_is_scikit_learns(data):
    _, classes = data
    x = np.random.default_rng(1).random((150, 30)).astype(np.float32)
    scores = baselines.nearest(x[:100], classes[:100], COUNTS, x[100:])
    for i, label in enumerate(COUNTS):
        model = KNeighborsClassifier(1, metric="cosine").fit(x[:100], classes[:100, i])
        assert (scores[label].argmax(1) == model.predict(x[100:])).all()


def test_all_learn_what_is_plain_to_see(data):
    codes, classes = data
    x = baselines.coarse(codes, 5)
    for learn in (baselines.nearest, baselines.forest):
        table = baselines.accuracies(
            "m", learn(x[:100], classes[:100], COUNTS, x[100:]), classes[100:], data="test"
        )
        assert list(table["label"]) == ["first", "second"]
        assert set(table["data"]) == {"test"}
        assert (table["top1"] > 0.9).all()
        assert (table["top5"] >= table["top1"]).all()


def test_a_forest_that_has_not_seen_a_class_gives_it_nothing(data):
    codes, classes = data
    x = baselines.coarse(codes, 5)
    few = classes[:, 0] != 1
    scores = baselines.forest(x[few], classes[few], COUNTS, x, trees=5)
    assert (scores["first"][:, 1] == 0).all()
    assert scores["first"].sum(1) == pytest.approx(1)


def test_tree_by_tree_it_is_the_forest_of_scikit_learn(data):
    codes, classes = data
    x, rows = baselines.coarse(codes, 5), np.arange(len(codes)) < 60
    whole = RandomForestClassifier(7, random_state=3).fit(x[rows], classes[rows])
    ours = baselines.forest(x[rows], classes[rows], COUNTS, x, trees=7, seed=3)
    for score, known, share in zip(
        ours.values(), whole.classes_, whole.predict_proba(x), strict=True
    ):
        assert score[:, known] == pytest.approx(share)


def test_figures_say_what_they_show(data):
    codes, classes = data
    figure = figures.confusion(classes[:, 0], classes[:, 0], ["a", "b", "c"], "title")
    axes = figure.axes[0]
    assert axes.get_xlabel() == "found"
    assert [t.get_text() for t in axes.texts] == [
        "1.00" if i == j else "0.00" for i in range(3) for j in range(3)
    ]
    grid = np.linspace(5, 90, 100)
    figure = figures.stacked_patterns(grid, {"one": codes[0] / 255, "two": codes[1] / 255})
    assert figure.axes[0].get_xlabel() == "2θ (degrees, Cu Kα)"
    assert [t.get_text() for t in figure.axes[0].texts] == ["one", "two"]
    table = baselines.accuracies("m", baselines.majority(classes, COUNTS, 150), classes)
    bars = figures.accuracy_bars(table, "model", "title").axes[0].patches
    heights = sorted(bar.get_height() for bar in bars if bar.get_height() > 0)
    assert heights == pytest.approx(sorted(table["top1"]))


def test_latent_maps_show_each_point_in_each_space():
    points = np.random.default_rng(0).normal(size=(12, 2))
    names = np.array(["cubic", "trigonal"])[np.arange(12) % 2]
    figure = figures.latent_maps({"one": points, "two": -points}, names, ("cubic", "trigonal"))
    for axes, expected in zip(figure.axes, (points, -points), strict=True):
        for i, drawn in enumerate(axes.collections):
            assert np.allclose(drawn.get_offsets(), expected[i::2])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cubic", "trigonal"]
    figure = figures.latent_maps({"one": points}, points[:, 0], "gap (eV)")
    assert np.allclose(figure.axes[0].collections[0].get_array(), points[:, 0])
    assert figure.axes[-1].get_ylabel() == "gap (eV)"


def test_errors_stand_beside_the_published_ones():
    table = pd.DataFrame(
        {"model": ["a", "a", "b"], "property": ["gap", "e", "gap"], "mae": [0.3, 0.1, 0.4]}
    )
    figure = figures.property_errors(
        table, {"gap": "band gap (eV)", "e": "energy (eV/atom)"}, {"other": {"gap": 0.2, "e": 0.05}}
    )
    gap, energy = figure.axes
    assert sorted(x for c in gap.collections for x in c.get_offsets()[:, 0]) == [0.3, 0.4]
    assert [line.get_xdata()[0] for axes in (gap, energy) for line in axes.lines] == [0.2, 0.05]
    assert energy.get_xlabel() == "mean absolute error of the energy (eV/atom)"
