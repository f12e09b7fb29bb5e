"""Boosted trees for properties of which many values are one: a gate, then a regression."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.utils.validation import check_is_fitted

_SHARES = (0.05, 0.95)  # of the commonest value, between which a gate is tried
_THRESHOLDS = np.linspace(0.2, 0.8, 25)


class GatedTrees(RegressorMixin, BaseEstimator):
    """Boosted trees for the absolute error, which stop where a validation part gets no better.

    Where one value is common, as 0 is among band gaps, a classifier of this value and trees that
    learned the others are tried, too: they answer if they are better on the validation part, at the
    threshold that is best there. Of a target with two values the classifier alone answers.

    Parameters
    ----------
    learning_rate, max_iter, max_leaf_nodes, min_samples_leaf, max_features, l2 : of the trees
    patience : trees without a lower error after which the training stops
    random_state : int

    Attributes
    ----------
    trees_ : of all values
    gate_ : classifier of the common value; None: not there, or not better
    common_ : that value
    threshold_ : probability above which it is the answer
    """

    def __init__(
        self,
        learning_rate: float = 0.03,
        max_iter: int = 3000,
        max_leaf_nodes: int = 31,
        min_samples_leaf: int = 5,
        max_features: float = 0.2,
        l2: float = 1.0,
        patience: int = 100,
        random_state: int = 0,
    ):
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.l2 = l2
        self.patience = patience
        self.random_state = random_state

    def fit(self, X, y, X_val, y_val):
        """Learn from (n, d) features and (n,) targets, NaN features allowed; choose by the others.

        Raises
        ------
        ValueError
            No rows in one of the parts, or a target that is no finite number.
        """
        X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=float)
        X_val, y_val = np.asarray(X_val, dtype=np.float32), np.asarray(y_val, dtype=float)
        for name, part in (("y", y), ("y_val", y_val)):
            if not len(part) or not np.isfinite(part).all():
                raise ValueError(f"{name} must hold finite numbers, at least one")
        self.trees_ = self._trees(X, y, X_val, y_val)
        self.gate_, self.others_, self.threshold_ = None, None, np.nan
        values, counts = np.unique(y, return_counts=True)
        self.common_ = values[counts.argmax()]
        is_common, is_common_val = y == self.common_, y_val == self.common_
        if _SHARES[0] < is_common.mean() < _SHARES[1] and 0 < is_common_val.sum() < len(y_val):
            gate = HistGradientBoostingClassifier(**self._options())
            gate.fit(X, is_common, X_val=X_val, y_val=is_common_val)
            others = self._trees(X[~is_common], y[~is_common], X_val[~is_common_val],
                                 y_val[~is_common_val])  # fmt: skip
            value, probability = others.predict(X_val), gate.predict_proba(X_val)[:, 1]
            errors = [
                np.abs(np.where(probability > at, self.common_, value) - y_val).mean()
                for at in _THRESHOLDS
            ]
            plain = np.abs(self.trees_.predict(X_val) - y_val).mean()
            if min(errors) < plain:
                best = np.flatnonzero(np.isclose(errors, min(errors)))
                self.threshold_ = float(_THRESHOLDS[best].mean())
                self.gate_, self.others_ = gate, others
        return self

    def predict(self, X) -> np.ndarray:
        """(n,) predictions."""
        check_is_fitted(self, "trees_")
        X = np.asarray(X, dtype=np.float32)
        if self.gate_ is None:
            return self.trees_.predict(X)
        common = self.gate_.predict_proba(X)[:, 1] > self.threshold_
        return np.where(common, self.common_, self.others_.predict(X))

    def _options(self) -> dict:
        return {
            "learning_rate": self.learning_rate,
            "max_iter": self.max_iter,
            "max_leaf_nodes": self.max_leaf_nodes,
            "min_samples_leaf": self.min_samples_leaf,
            "max_features": self.max_features,
            "l2_regularization": self.l2,
            "early_stopping": True,
            "n_iter_no_change": self.patience,
            "random_state": self.random_state,
        }

    def _trees(self, X, y, X_val, y_val) -> HistGradientBoostingRegressor:
        trees = HistGradientBoostingRegressor(loss="absolute_error", **self._options())
        return trees.fit(X, y, X_val=X_val, y_val=y_val)
