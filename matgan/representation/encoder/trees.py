"""Boosted trees for properties of which many values are one: a gate, then a regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

_SHARES = (0.05, 0.95)  # of the commonest value, between which a gate is tried
_THRESHOLDS = np.linspace(0.2, 0.8, 25)


@dataclass(frozen=True)
class Answers:
    """What the parts of gated trees say of n rows, (n,) each.

    Attributes
    ----------
    plain : by the trees of all values
    probability : that the value is the common one; None without a gate
    others : by the trees that learned the other values
    """

    plain: np.ndarray
    probability: np.ndarray | None = None
    others: np.ndarray | None = None

    def predicted(self, common: float, threshold: float) -> np.ndarray:
        """(n,) the common value where its probability is above the threshold; NaN: no gate."""
        if self.probability is None or self.others is None or np.isnan(threshold):
            return self.plain
        return np.where(self.probability > threshold, common, self.others)

    def best_threshold(self, common: float, y: np.ndarray) -> float:
        """Where the absolute error is lowest, the middle of equal ones; NaN: a gate is no help."""
        if self.probability is None:
            return np.nan
        errors = [np.abs(self.predicted(common, at) - y).mean() for at in _THRESHOLDS]
        if min(errors) >= np.abs(self.plain - y).mean():
            return np.nan
        return float(_THRESHOLDS[np.isclose(errors, min(errors))].mean())


class GatedTrees(RegressorMixin, BaseEstimator):
    """Boosted trees for the absolute error, which stop where a validation part gets no better.

    Where one value is common, as 0 is among band gaps, a classifier of this value and trees that
    learned the others are trained, too: they answer if they are better on the validation part, at
    the threshold that is best there. Of a target with two values the classifier alone answers.

    Parameters
    ----------
    learning_rate, max_iter, max_leaf_nodes, min_samples_leaf, max_features, l2 : of the trees
    patience : trees without a lower error after which the training stops
    random_state : int

    Attributes
    ----------
    trees_ : of all values
    gate_, others_ : classifier of the common value, trees of the others; None: no value is common
    common_ : that value
    threshold_ : probability above which it is the answer; NaN: the trees of all values answer
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
        self.gate_ = self.others_ = None
        values, counts = np.unique(y, return_counts=True)
        self.common_ = values[counts.argmax()]
        is_common, common_val = y == self.common_, y_val == self.common_
        if _SHARES[0] < is_common.mean() < _SHARES[1] and 0 < common_val.sum() < len(y_val):
            gate = HistGradientBoostingClassifier(**self._options())
            self.gate_ = gate.fit(X, is_common, X_val=X_val, y_val=common_val)
            self.others_ = self._trees(
                X[~is_common], y[~is_common], X_val[~common_val], y_val[~common_val]
            )
        self.threshold_ = self.answers(X_val).best_threshold(self.common_, y_val)
        return self

    def predict(self, X) -> np.ndarray:
        """(n,) predictions."""
        return self.answers(X).predicted(self.common_, self.threshold_)

    def answers(self, X) -> Answers:
        """What each part says of n rows."""
        check_is_fitted(self, "trees_")
        X = np.asarray(X, dtype=np.float32)
        if self.gate_ is None:
            return Answers(self.trees_.predict(X))
        probability = self.gate_.predict_proba(X)[:, 1]
        return Answers(self.trees_.predict(X), probability, self.others_.predict(X))

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


class CrossFittedTrees(RegressorMixin, BaseEstimator):
    """Gated trees of k folds, each stopped by the fold that it did not see; the mean answers.

    So no row is set aside for good, and the threshold is chosen on predictions for all rows, none
    of them by trees that learned from it.

    Parameters
    ----------
    trees : GatedTrees; None: as they are by default
    folds : k
    random_state : of the folds and the trees

    Attributes
    ----------
    members_ : the k fitted GatedTrees
    out_of_fold_ : (n,) predictions for the rows that were learned from
    common_, threshold_ : as of GatedTrees
    """

    def __init__(self, trees: GatedTrees | None = None, folds: int = 5, random_state: int = 0):
        self.trees = trees
        self.folds = folds
        self.random_state = random_state

    def fit(self, X, y):
        """Learn from (n, d) features and (n,) targets."""
        X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=float)
        values, counts = np.unique(y, return_counts=True)
        self.common_ = values[counts.argmax()]
        self.members_, said = [], []
        order = np.empty(0, dtype=int)
        splits = KFold(self.folds, shuffle=True, random_state=self.random_state).split(X)
        for fold, (learned, held) in enumerate(splits):
            member = clone(self.trees) if self.trees is not None else GatedTrees()
            member.set_params(random_state=self.random_state + fold)
            member.fit(X[learned], y[learned], X[held], y[held])
            self.members_.append(member)
            said.append(member.answers(X[held]))
            order = np.append(order, held)
        if any(member.common_ != self.common_ for member in self.members_):
            said = [Answers(part.plain) for part in said]  # no value is common in every fold
        together = _joined(said, np.concatenate)
        self.threshold_ = together.best_threshold(self.common_, y[order])
        self.out_of_fold_ = np.empty(len(y))
        self.out_of_fold_[order] = together.predicted(self.common_, self.threshold_)
        return self

    def predict(self, X) -> np.ndarray:
        """(n,) predictions."""
        check_is_fitted(self, "members_")
        said = [member.answers(X) for member in self.members_]
        together = _joined(said, lambda parts: np.mean(parts, axis=0))
        return together.predicted(self.common_, self.threshold_)


def _joined(said: list[Answers], how) -> Answers:
    """Answers of several as one; without a gate where one of them has none."""
    plain = how([part.plain for part in said])
    if any(part.probability is None for part in said):
        return Answers(plain)
    return Answers(plain, how([part.probability for part in said]), how([p.others for p in said]))
