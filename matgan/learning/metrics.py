"""Errors of predictions: Equations 7 to 9."""

from __future__ import annotations

import numpy as np


def scores(y, predicted) -> dict[str, float]:
    """Mean absolute error, root mean square error, R² (Hu et al. 2020, Equations 7 to 9).

    Parameters
    ----------
    y, predicted : (n,) array-likes of finite numbers, in the unit of the target

    Returns
    -------
    dict with mae and rmse (in that unit) and r2 (at most 1; 0 for the mean of y; NaN where all y
    are equal, for which R² has no value)

    Raises
    ------
    ValueError
        Shapes that differ or are not (n,) with n > 0; a number that is not finite.
    """
    y, predicted = np.asarray(y, dtype=float), np.asarray(predicted, dtype=float)
    if y.shape != predicted.shape or y.ndim != 1 or not len(y):
        raise ValueError(f"y and predicted must both be (n,), not {y.shape} and {predicted.shape}")
    error = predicted - y
    if not np.isfinite(error).all():
        row = int(np.flatnonzero(~np.isfinite(error))[0])
        raise ValueError(f"row {row}: y is {y[row]}, predicted {predicted[row]}")
    squares, total = np.sum(error**2), np.sum((y - y.mean()) ** 2)
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(squares / len(y))),
        "r2": float(1 - squares / total) if total > 0 else float("nan"),
    }
