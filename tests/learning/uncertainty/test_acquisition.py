"""Choosing labels: expected improvement against Monte Carlo, k-centres by brute force."""

from typing import ClassVar

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.ensemble import ExtraTreesRegressor

from matgan.learning.uncertainty.acquisition import (
    STRATEGIES,
    expected_improvement,
    labels_saved,
    learn_actively,
    most_diverse,
    to_label,
    tree_spread,
)

FOREST = ExtraTreesRegressor(10, random_state=0)


def test_expected_improvement_is_that_of_many_draws():
    mean, spread = np.array([0.0, 1.0, -1.0, 2.0]), np.array([1.0, 0.3, 2.0, 0.0])
    draws = np.random.default_rng(0).normal(size=(250_000, 4)) * spread + mean
    expected = np.maximum(draws - 0.8, 0).mean(0)
    np.testing.assert_allclose(expected_improvement(mean, spread, 0.8), expected, atol=5e-3)


def test_diverse_rows_are_the_farthest_ones():
    points = np.random.default_rng(0).normal(size=(60, 3))
    known = np.array([3, 17])
    taken = list(known)
    for row in most_diverse(points, known, 10):
        assert row == cdist(points, points[taken]).min(1).argmax()
        taken.append(row)
    with pytest.raises(ValueError, match="59 of 60 points"):
        most_diverse(points, known, 59)


def test_each_strategy_takes_what_it_is_named_for():
    random = np.random.default_rng(0)
    X, mean = random.normal(size=(30, 2)), random.normal(size=30)
    said, labelled = (mean, random.random(30)), np.arange(5)
    taken = {s: to_label(s, X, labelled, 1.0, said, 4, random) for s in STRATEGIES}
    for rows in taken.values():
        assert len(set(rows)) == 4 and min(rows) >= 5
    assert set(taken["uncertainty"]) == set(5 + np.argsort(-said[1][5:])[:4])
    worth = expected_improvement(*said, 1.0)[5:]
    assert set(taken["expected improvement"]) == set(5 + np.argsort(-worth)[:4])
    with pytest.raises(ValueError, match="strategies"):
        to_label("greed", X, labelled, 1.0, said, 4, random)
    with pytest.raises(ValueError, match="26 rows of 30"):
        to_label("random", X, labelled, 1.0, said, 26, random)


def test_a_forest_is_its_trees():
    X = np.random.default_rng(0).normal(size=(50, 2))
    forest = ExtraTreesRegressor(10, min_samples_leaf=3, random_state=0).fit(X, X[:, 0])
    mean, spread = tree_spread(forest, X)
    np.testing.assert_allclose(mean, forest.predict(X))
    each = np.stack([tree.predict(X) for tree in forest.estimators_])
    np.testing.assert_allclose(spread, each.std(0, ddof=1))


class Watched(ExtraTreesRegressor):
    """A forest that keeps the labels it learned from."""

    learned: ClassVar[list[np.ndarray]] = []

    def fit(self, X, y, sample_weight=None):
        Watched.learned.append(np.array(y))
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_label_counts_only_after_it_was_asked_for(strategy):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(200, 2)), random.normal(size=200)
    forest = Watched(10, random_state=0)
    rows = learn_actively(strategy, X, y, lambda forest: {}, forest, 20, 3, 10)
    assert [row["labels"] for row in rows] == [20, 30, 40, 50]
    seen = Watched.learned[-1]
    assert len(set(seen)) == 50 and np.isin(seen, y).all()
    others = np.where(np.isin(y, seen), y, 7.0)
    learn_actively(strategy, X, others, lambda forest: {}, forest, 20, 3, 10)
    np.testing.assert_array_equal(Watched.learned[-1], seen)
    again = learn_actively("random", X, y, lambda forest: {}, FOREST, 20, 0, 1)
    assert again[0]["found"] == rows[0]["found"]  # the first labels do not depend on the strategy


def test_expected_improvement_finds_a_peak():
    X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    y = np.exp(-20 * ((X - 0.5) ** 2).sum(1))
    found = {
        strategy: learn_actively(strategy, X, y, lambda f: {}, FOREST, 10, 5, 10)[-1]["found"]
        for strategy in ("random", "expected improvement")
    }
    assert found["expected improvement"] > found["random"]


def test_labels_saved_by_hand():
    labels = np.array([100.0, 200, 300, 400])
    slow, fast = np.array([4, 3, 2.5, 2]), np.array([4, 2, 1, 0.5])
    assert labels_saved(labels, slow, slow) == 0
    assert labels_saved(labels, fast, slow) == 0.5  # at 2, which the slow one has after 400
    assert labels_saved(labels, slow, fast) == -1
    assert labels_saved(labels, np.array([4, 3, 1, 0.5]), slow) == 0.375  # halfway to 300
