"""Prediction intervals: stated by a model, or calibrated on held-out rows; and how good they are.

Split conformal prediction is the yardstick: whatever a model says, its intervals hold the share
that is asked for, as long as the held-out rows and the new ones are exchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from scipy import stats

INTERVAL_LEVELS = np.arange(1, 10) / 10  # of the intervals: 10% to 90%
Kind = Literal["constant", "normalised", "shifted"]


@dataclass(frozen=True)
class Forecast:
    """What a model says of n rows, in the unit of the target.

    Attributes
    ----------
    centre : (n,) predictions
    spread : (n,) how uncertain each is; no number below 0
    low, high : (9, n) ends of the intervals at each of `INTERVAL_LEVELS`
    """

    centre: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(INTERVAL_LEVELS), len(self.centre))
        if self.spread.shape != shape[1:] or not self.low.shape == self.high.shape == shape:
            raise ValueError(f"the ends of {shape[1]} intervals must be {shape}")


def gaussian(centre: np.ndarray, spread: np.ndarray) -> Forecast:
    """Intervals of normal distributions: centre ± z times spread, both (n,)."""
    half = stats.norm.ppf((1 + INTERVAL_LEVELS) / 2)[:, None] * spread
    return Forecast(centre, spread, centre - half, centre + half)


def between_quantiles(quantiles: np.ndarray) -> Forecast:
    """Intervals between predicted quantiles.

    Parameters
    ----------
    quantiles : (n, 19) at 5%, 10% to 95%; where they cross they are put in order (Chernozhukov,
        Fernández-Val and Galichon, Econometrica 78, 1093, 2010)

    Raises
    ------
    ValueError
        Another number of quantiles.
    """
    if quantiles.ndim != 2 or quantiles.shape[1] != 19:
        raise ValueError(f"19 quantiles of each row are needed, not {quantiles.shape}")
    ordered = np.sort(quantiles, axis=1).T
    low, high = ordered[8::-1], ordered[10:]
    return Forecast(ordered[9], (high[-1] - low[-1]) / 2, low, high)


def conformal_quantile(values: np.ndarray, level: float, groups: np.ndarray | None = None) -> float:
    """The bound that a new row's score stays below with probability `level` or more.

    Parameters
    ----------
    values : (n,) scores of held-out rows
    level : between 0 and 1
    groups : (n,) labels, or None
        None: the ⌈(n + 1) level⌉-th smallest score, for rows that are exchangeable (Vovk et al.
        2005; Lei et al., J. Am. Stat. Assoc. 113, 1094, 2018). With groups, such as chemical
        systems, for any row of a new group: each of G groups weighs 1 / (G + 1), whatever its size
        (Dunn, Wasserman and Ramdas, J. Am. Stat. Assoc. 118, 2491, 2023; Lee, Barber and Willett,
        arXiv:2306.06342).

    Returns
    -------
    float : infinite where there are too few rows, or groups

    Raises
    ------
    ValueError
        No scores, one that is NaN, groups of another length, or a level that is no share.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise ValueError(f"scores must be (n,) numbers, not {values!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    codes = np.arange(len(values))
    if groups is not None:
        if len(groups) != len(values):
            raise ValueError(f"{len(groups)} groups of {len(values)} scores")
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(codes)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(1 / sizes[codes[order]])  # groups, as far as they lie below
    place = np.searchsorted(below, level * (len(sizes) + 1) - 1e-9)
    return float(values[order[place]]) if place < len(values) else np.inf


def conformal(
    new: Forecast,
    held: Forecast,
    y: np.ndarray,
    kind: Kind = "normalised",
    groups: np.ndarray | None = None,
) -> Forecast:
    """The same predictions with intervals by split conformal prediction.

    Parameters
    ----------
    new, held : of new rows, and of m held-out rows by the same model
    y : (m,) their targets
    kind : {"constant", "normalised", "shifted"}
        One width for all; widths in proportion to the spread (Papadopoulos et al. 2008); or the
        stated ends, all moved out by the same amount (conformalised quantile regression, Romano,
        Patterson and Candès 2019).
    groups : (m,) of the held-out rows, see `conformal_quantile`

    Raises
    ------
    ValueError
        Another kind, or as many targets as there are no held-out rows.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {get_args(Kind)}, not {kind!r}")
    y = np.asarray(y, dtype=float)
    if y.shape != held.centre.shape:
        raise ValueError(f"{y.shape} targets of {held.centre.shape} held-out rows")
    if kind == "shifted":
        outside = np.maximum(held.low - y, y - held.high)
        by = [
            conformal_quantile(s, at, groups)
            for s, at in zip(outside, INTERVAL_LEVELS, strict=True)
        ]
        middle = (new.low + new.high) / 2  # an interval moved in by more than its half is a point
        low = np.minimum(new.low - np.array(by)[:, None], middle)
        return replace(new, low=low, high=2 * middle - low)
    before, now = (
        np.ones(len(one.spread)) if kind == "constant" else np.maximum(one.spread, 1e-12)
        for one in (held, new)
    )
    distance = np.abs(y - held.centre) / before
    factors = np.array([conformal_quantile(distance, level, groups) for level in INTERVAL_LEVELS])
    half = factors[:, None] * now
    spread = now if kind == "constant" else new.spread
    return Forecast(new.centre, spread, new.centre - half, new.centre + half)


def interval_scores(forecast: Forecast, y: np.ndarray) -> dict[str, float]:
    """How good intervals are.

    Returns
    -------
    dict: mae; coverage (share inside of the 90% interval) and width (its mean); interval_score
    (mean of width + 20 times the distance of what lies outside: Gneiting and Raftery, J. Am. Stat.
    Assoc. 102, 359, 2007, Equation 43: lowest for the true quantiles); calibration_error (mean
    distance of level and share inside, over all levels); rank (Spearman's correlation of spread and
    absolute error; NaN where all spreads are one)
    """
    y = np.asarray(y, dtype=float)
    inside = ((forecast.low <= y) & (y <= forecast.high)).mean(axis=1)
    low, high = forecast.low[-1], forecast.high[-1]
    outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return {
        "mae": float(np.abs(y - forecast.centre).mean()),
        "coverage": float(inside[-1]),
        "width": float((high - low).mean()),
        "interval_score": float((high - low + 2 / (1 - INTERVAL_LEVELS[-1]) * outside).mean()),
        "calibration_error": float(np.abs(inside - INTERVAL_LEVELS).mean()),
        "rank": rank_of_errors(forecast.spread, np.abs(y - forecast.centre)),
    }


def rank_of_errors(spread: np.ndarray, error: np.ndarray) -> float:
    """Spearman's correlation of uncertainties and absolute errors; NaN where all of one are equal.

    An error is one draw: with the very spreads that draws of normal distributions have, the
    correlation stays below 1.
    """
    if np.ptp(spread) <= 1e-12 * np.abs(spread).max() or np.ptp(error) == 0:
        return float("nan")
    return float(stats.spearmanr(spread, error).statistic)
