"""Looking up the nearest known compositions: the control for data with near-duplicates."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from matgan.chemistry.inputs import Compositions


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
    suspicious : {"raise", "warn", "allow"}
        As in `matgan.chemistry.composition.amounts_matrix`.
    on_error : {"raise", "nan", "drop"}
        What to do with a row that is no composition: stop with an error, predict NaN, or leave it
        out. With the last two such rows are not learned from.
    """

    def __init__(self, k: int = 5, on_error: str = "raise", suspicious: str = "raise"):
        self.k = k
        self.on_error = on_error
        self.suspicious = suspicious

    def fit(self, X, y):
        """Keep n compositions, in any form that `amounts_matrix` takes, and y (n,).

        Raises
        ------
        CompositionError
            With on_error="raise": the first row that is no composition.
        ValueError
            k is no such number; y is of another length or shape, or has a value that is no finite
            number; no composition is left.
        """
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or self.k < 1:
            raise ValueError(f"k must be a whole number from 1 up, not {self.k!r}")
        given = Compositions(X, self.on_error, self.suspicious)
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=float, ensure_min_samples=0))
        check_consistent_length(given.good, y)
        rows, amounts = given.read()
        if not len(rows):
            raise ValueError("there are no compositions to learn from")
        self.columns_ = []
        for column in _fractions(amounts).T:
            known = np.flatnonzero(column)
            self.columns_.append((known, column[known]))
        self.y_ = y[rows]
        return self

    def predict(self, X) -> np.ndarray:
        """Predictions (n,) for n compositions, in order."""
        check_is_fitted(self)
        given = Compositions(X, self.on_error, self.suspicious)
        rows, amounts = given.read()
        k = min(self.k, len(self.y_))
        shared = np.empty(len(self.y_))
        out = np.empty(len(given))
        for row, x in zip(rows, _fractions(amounts), strict=True):
            shared[:] = 0
            for element in np.flatnonzero(x):
                known, shares = self.columns_[element]
                shared[known] += np.minimum(shares, x[element])
            near = np.argpartition(shared, len(shared) - k)[len(shared) - k :]
            distance = 2 - 2 * shared[near]
            same = distance < 1e-5  # rounding of float32 fractions
            weight = same if same.any() else 1 / distance
            out[row] = np.average(self.y_[near], weights=weight)
        return given.finish(out)


def _fractions(amounts: np.ndarray) -> np.ndarray:
    """Atomic fractions; rows that sum to 1, in single precision too, are left as they are."""
    amounts = amounts.astype(float, copy=False)
    atoms = amounts.sum(axis=1, keepdims=True)
    return np.where(np.abs(atoms - 1) < 1e-6, amounts, amounts / atoms)
