"""Gated trees: when the gate answers, what it answers, and what is refused."""

import numpy as np
import pytest
from sklearn.base import clone

from matgan.representation.encoder.trees import GatedTrees

QUICK = {"max_iter": 60, "learning_rate": 0.1, "patience": 10}


def zero_inflated(n, seed):
    """The target is 0 where the first feature is negative, else three times the second."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    return X, np.where(X[:, 0] < 0, 0.0, 5 + 3 * X[:, 1])


def test_a_common_value_gets_a_gate():
    (X, y), (X_val, y_val), (X_test, y_test) = (zero_inflated(n, n) for n in (800, 300, 301))
    model = GatedTrees(**QUICK).fit(X, y, X_val, y_val)
    assert model.gate_ is not None and model.common_ == 0 and 0.2 <= model.threshold_ <= 0.8
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
    assert model.gate_ is None
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
