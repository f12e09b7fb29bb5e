"""Scaling of a network's inputs."""

from __future__ import annotations

import numpy as np

INPUT_SCALINGS = (None, "standard", "max-abs", "robust", "common")
LIMIT = 5.0  # no training value of a "standard" or "robust" column lies further out


def input_scale(X: np.ndarray, how: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale of each column, so that (X - shift) * scale suits a network.

    Parameters
    ----------
    X : (n, d) array, the training part
    how : {None, "standard", "max-abs", "robust", "common"}
        None: as it is; "standard": mean 0, standard deviation 1; "max-abs": largest absolute value
        1; "robust": median 0, distance of the quartiles 1; "common": one factor for all columns,
        which keeps their proportions: root mean square of the whole matrix 1.

    Returns
    -------
    shift, scale : (d,) float64 arrays

    Raises
    ------
    ValueError
        An unknown `how`.

    Notes
    -----
    A one-hot column of an element that few training compounds hold has a tiny standard deviation
    and quartiles of 0: scaled by them, its values would lie dozens of units out. "standard" and
    "robust" therefore shrink such a column until its training values lie within 5. A column that
    does not vary gets the scale 0 (but not with None or "common"): the network could learn nothing
    from it, so nothing must reach it where a test value differs.
    """
    if how not in INPUT_SCALINGS:
        raise ValueError(f"input_scaling must be one of {INPUT_SCALINGS}, not {how!r}")
    shift, scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
    if how is None:
        return shift, scale
    if how == "common":
        size = np.sqrt(np.mean(np.square(X, dtype=float)))
        return shift, scale / size if size > 0 else scale
    low, high = X.min(axis=0).astype(float), X.max(axis=0).astype(float)
    if how == "max-abs":
        unit = np.maximum(np.abs(low), np.abs(high))
    else:
        if how == "standard":
            shift, unit = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
        else:
            first, shift, third = np.percentile(X, [25, 50, 75], axis=0)
            unit = third - first
        unit = np.maximum(unit, np.maximum(high - shift, shift - low) / LIMIT)
    varies = (high > low) & (unit > 0)
    return shift, np.where(varies, 1 / np.where(varies, unit, 1), 0)
