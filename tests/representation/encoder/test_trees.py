"""Gated trees: when the gate answers, what it answers, and what is refused."""

import numpy as np
import pytest
from sklearn.base import clone

from matgan.representation.encoder.trees import Answers, CrossFittedTrees, GatedTrees

QUICK = {"max_iter": 60, "learning_rate": 0.1, "patience": 10}


def zero_inflated(n, seed):
    """The target is 0 where the first feature is negative, else three times the second."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    return X, np.where(X[:, 0] < 0, 0.0, 5 + 3 * X[:, 1])


def test_a_common_value_gets_a_gate():
    (X, y), (X_val, y_val), (X_test, y_test) = (zero_inflated(n, n) for n in (800, 300, 301))
    model = GatedTrees(**QUICK).fit(X, y, X_val, y_val)
    assert model.common_ == 0 and 0.2 <= model.threshold_ <= 0.8
    found = model.predict(X_test)
    assert ((found == 0) == (y_test == 0)).mean() > 0.97
    plain = model.trees_.predict(X_test)
    assert np.abs(found - y_test).mean() < np.abs(plain - y_test).mean()
    again = clone(model).fit(X, y, X_val, y_val)
    np.testing.assert_array_equal(again.predict(X_test), found)


def test_no_common_value_no_gate():
    X = np.random.default_rng(0).normal(size=(400, 3))
    y = X[:, 0] + 0.1 * X[:, 1]
    model = GatedTrees(**QUICK).fit(X[:300], y[:300], X[300:], y[300:])
    assert model.gate_ is None and np.isnan(model.threshold_)
    assert np.abs(model.predict(X[300:]) - y[300:]).mean() < 0.3


def test_two_values_are_classes():
    X, y = zero_inflated(600, 1)
    model = GatedTrees(**QUICK).fit(X[:400], y[:400] > 0, X[400:], y[400:] > 0)
    assert set(np.unique(model.predict(X))) <= {0.0, 1.0}
    assert (model.predict(X[400:]) == (y[400:] > 0)).mean() > 0.97


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0], [np.inf, 1.0]])
def test_targets_are_finite_numbers(bad):
    X, y = zero_inflated(20, 0)
    with pytest.raises(ValueError, match="y_val must hold finite numbers, at least one"):
        GatedTrees(**QUICK).fit(X, y, X[: len(bad)], bad)


def test_the_best_threshold_by_hand():
    said = Answers(np.array([1.0, 1, 1, 1]), np.array([0.9, 0.7, 0.6, 0.1]), np.full(4, 3.0))
    y = np.array([0.0, 0.0, 3.0, 3.0])
    assert 0.6 <= said.best_threshold(0.0, y) < 0.7
    np.testing.assert_array_equal(said.predicted(0.0, 0.65), y)
    assert np.isnan(said.best_threshold(0.0, np.ones(4)))  # the plain answers are right
    assert np.isnan(Answers(said.plain).best_threshold(0.0, y))


def test_cross_fitted_trees_predict_each_row_by_those_that_did_not_see_it():
    X, y = zero_inflated(300, 3)
    model = CrossFittedTrees(GatedTrees(**QUICK), folds=3).fit(X, y)
    error, seen = (np.abs(found - y).mean() for found in (model.out_of_fold_, model.predict(X)))
    assert seen < error < 0.5 * np.abs(y - np.median(y)).mean()
    X_test, y_test = zero_inflated(300, 4)
    assert np.abs(model.predict(X_test) - y_test).mean() < 1.3 * error
    noise = np.random.default_rng(0).permutation(y)  # nothing to learn: nothing is learned
    blind = CrossFittedTrees(GatedTrees(**QUICK), folds=3).fit(X, noise)
    assert np.abs(blind.out_of_fold_ - noise).mean() > 0.9 * np.abs(y - np.median(y)).mean()
