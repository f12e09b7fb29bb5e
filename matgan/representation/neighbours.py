"""Looking up the nearest known compositions: the control for data with near-duplicates."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class NearestCompositions(RegressorMixin, BaseEstimator):
    """Mean target of the k nearest compositions, weighted by inverse distance.

    The distance of two compositions is the sum of the differences of their atomic fractions,
    Σ|x_e - x'_e|, from 0 to 2. Where known compositions equal the one in question, these alone
    count. For non-negative rows that sum to 1 the distance is 2 - 2 Σ min(x_e, x'_e), and only
    elements that both hold add to the sum: a query costs the entries of its elements' columns, not
    a pass over all the numbers, as scikit-learn's exact search does.

    Parameters
    ----------
    k : int
    """

    def __init__(self, k: int = 5):
        self.k = k

    def fit(self, X, y):
        """Keep X (n, d), atomic fractions, and y (n,).

        Raises
        ------
        ValueError
            A row of X has a negative number or does not sum to 1.
        """
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), y_numeric=True)
        self._check(X)
        self.columns_ = []
        for column in X.T:
            rows = np.flatnonzero(column)
            self.columns_.append((rows, column[rows].astype(float)))
        self.y_ = np.asarray(y, float)
        return self

    def predict(self, X) -> np.ndarray:
        """Predictions (n,) for atomic fractions (n, d)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        self._check(X)
        k = min(self.k, len(self.y_))
        shared = np.empty(len(self.y_))
        out = np.empty(len(X))
        for i, x in enumerate(X):
            shared[:] = 0
            for element in np.flatnonzero(x):
                rows, fractions = self.columns_[element]
                shared[rows] += np.minimum(fractions, x[element])
            near = np.argpartition(shared, len(shared) - k)[len(shared) - k :]
            distance = 2 - 2 * shared[near]
            same = distance < 1e-5  # rounding of float32 fractions
            weight = same if same.any() else 1 / distance
            out[i] = np.average(self.y_[near], weights=weight)
        return out

    @staticmethod
    def _check(X: np.ndarray) -> None:
        wrong = (X < 0).any(axis=1) | (np.abs(X.sum(axis=1) - 1) > 1e-4)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(f"row {row} holds no atomic fractions: they are >= 0 and sum to 1")
