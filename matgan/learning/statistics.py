"""Scores of predictions; intervals and tests that say what may be chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

METRICS = ("mae", "rmse", "r2")


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
    return {
        "mae": float(mean_absolute_error(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
        "r2": float(r2_score(y, predicted)) if np.ptp(y) > 0 else float("nan"),
    }


def top_k(logits: np.ndarray, classes: np.ndarray, k: int = 1) -> float:
    """Share of rows whose class is among the k largest logits; of equal ones the first counts."""
    own = logits[np.arange(len(logits)), classes][:, None]
    first = np.arange(logits.shape[1]) < classes[:, None]
    return float((((logits > own) | ((logits == own) & first)).sum(1) < k).mean())


# --- means over repeats and seeds -----------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, and the two-sided p value for a mean of 0."""

    mean: float
    low: float
    high: float
    t: float
    p: float

    def columns(self, name: str) -> dict[str, float]:
        """For a table: the mean under `name`, the ends under `name`_low and `name`_high."""
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}


def corrected_resampled_ttest(
    differences: Sequence[float], test_train_ratio: float, level: float = 0.95
) -> Interval:
    """Corrected resampled t-test (Nadeau and Bengio, Machine Learning 52, 239, 2003).

    The training parts of repeated random splits overlap, so that J differences between two
    methods are not independent and the plain paired t-test finds too much. Their variance of the
    mean, s²/J, is replaced by (1/J + n_test/n_train) s²; J - 1 degrees of freedom.

    Parameters
    ----------
    differences : J >= 2 numbers, one for each split, both methods on the same splits
    test_train_ratio : n_test / n_train; 0 gives the plain paired t-test
    level : of the confidence interval

    Returns
    -------
    Interval
        With differences that are all equal, p is 0, or 1 where all are 0.

    Raises
    ------
    ValueError
        Fewer than two differences, one that is not finite, or a negative ratio.
    """
    d = np.asarray(differences, dtype=float)
    if d.ndim != 1 or len(d) < 2 or not np.isfinite(d).all():
        raise ValueError(f"differences must be two or more finite numbers, not {differences!r}")
    if not test_train_ratio >= 0:
        raise ValueError(f"test_train_ratio must not be negative: {test_train_ratio}")
    mean, degrees = d.mean(), len(d) - 1
    error = np.sqrt((1 / len(d) + test_train_ratio) * d.var(ddof=1))
    t = mean / error if error > 0 else np.copysign(np.inf, mean) if mean else 0.0
    low, high = mean, mean
    if error > 0:
        low, high = stats.t.interval(level, degrees, loc=mean, scale=error)
    return Interval(*map(float, (mean, low, high, t, 2 * stats.t.sf(abs(t), degrees))))


def mean_interval(
    values: Sequence[float], test_train_ratio: float = 0.0, level: float = 0.95
) -> Interval:
    """Mean of J results with its confidence interval by Student's t.

    With `test_train_ratio` 0 for independent results; with n_test / n_train for the results of
    repeated random splits of the same data, as in `corrected_resampled_ttest`. One result has no
    interval: all but its mean are NaN.
    """
    if len(values) == 1:
        return Interval(float(np.asarray(values)[0]), *[float("nan")] * 4)
    return corrected_resampled_ttest(values, test_train_ratio, level)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p values (Scand. J. Statist. 6, 65, 1979), in the order given.

    Of m sorted values the k-th smallest is multiplied by m - k + 1; none may be smaller than the
    one before it, or exceed 1. Values below α are significant at a family-wise error of α.
    """
    p = np.asarray(p, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p must be a list of numbers from 0 to 1, not {p}")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def summarise(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Mean and interval of every score over the repeats.

    Parameters
    ----------
    rows : DataFrame
        As `evaluation.evaluate` gives them: dataset, features, split, repeat, n_train,
        n_test, mae, rmse, r2.
    level : of the intervals

    Returns
    -------
    DataFrame, a row for each dataset, split and features: repeats, and for each score m the columns
    m, m_low and m_high. With a single repeat the interval is missing (NaN).
    """
    out = []
    for (dataset, split, features), part in rows.groupby(
        ["dataset", "split", "features"], sort=False
    ):
        row = {"dataset": dataset, "split": split, "features": features, "repeats": len(part)}
        for metric in METRICS:
            row |= mean_interval(part[metric], _ratio(part), level).columns(metric)
        out.append(row)
    return pd.DataFrame(out)


def compare(
    rows: pd.DataFrame,
    metric: str = "mae",
    level: float = 0.95,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    ways: str = "features",
    within: Sequence[str] = ("dataset", "split"),
    repeat: str = "repeat",
    family: Sequence[str] | None = None,
    ratio: Callable[[pd.DataFrame], float] | None = None,
    common: bool = False,
) -> pd.DataFrame:
    """Pairs of ways, such as feature sets, on the same splits: corrected t-test, Holm's correction.

    Parameters
    ----------
    rows : as for `summarise`; or with columns of other names, which are given below
    metric : column that is compared
    level : of the confidence intervals
    pairs : the pairs (a, b) that a claim is about, named before the run; None: every pair. With 28
        pairs and three repeats Holm's correction leaves nothing below |t| = 23.6; a few planned
        pairs leave more. A pair of which a group of rows lacks one is left out there.
    ways : column of what is compared
    within : columns that tell the groups apart within which it is; none: all rows are one group
    repeat : column that says which rows belong together
    family : columns of the result; Holm's correction is over the rows that are equal there; none:
        over all rows; None: `within`
    ratio : n_test / n_train of the rows of a group; None: the mean of these two columns' ratio. 0
        where repeats have no training rows in common.
    common : whether a pair is compared on the repeats that both have, and left out where these are
        fewer than two

    Returns
    -------
    DataFrame, a row for each group and pair a, b: the columns of `within`, metric, a, b, repeats,
    difference (mean of a minus b), low, high, t, p, and p_holm.

    Raises
    ------
    ValueError
        A metric that is no column, or two ways that do not have the same repeats.
    """
    if metric not in rows:
        raise ValueError(f"metric must be one of {', '.join(map(str, rows))}, not {metric!r}")
    if pairs is not None:
        rows = rows[rows[ways].isin({name for pair in pairs for name in pair})]
    out = []
    for names, part in rows.groupby(list(within), sort=False) if within else [((), rows)]:
        by_way = part.set_index(repeat).groupby(ways, sort=False)[metric]
        table = pd.DataFrame(dict(list(by_way)))  # a row for each repeat
        lacking = table.columns[table.isna().any()]
        if len(lacking) and not common:
            where = ", ".join(map(str, names))
            raise ValueError(f"{where}: {lacking[0]!r} lacks some of the repeats")
        asked = combinations(table.columns, 2) if pairs is None else pairs
        for a, b in ((a, b) for a, b in asked if {a, b} <= set(table.columns)):
            differences = (table[a] - table[b]).dropna()
            if common and len(differences) < 2:
                continue
            test = corrected_resampled_ttest(differences, (ratio or _ratio)(part), level)
            out.append(
                dict(zip(within, names, strict=True))
                | {"metric": metric, "a": a, "b": b, "repeats": len(differences)}
                | {"difference": test.mean, "low": test.low, "high": test.high}
                | {"t": test.t, "p": test.p}
            )
    columns = [*within, "metric", "a", "b", "repeats", "difference", "low", "high", "t", "p"]
    tests = pd.DataFrame(out, columns=columns)
    equal = list(within if family is None else family)
    by = tests.groupby(equal, sort=False).ngroup() if equal else np.zeros(len(tests))
    return tests.assign(p_holm=tests["p"].astype(float).groupby(by).transform(holm))


def _ratio(rows: pd.DataFrame) -> float:
    # Where training rows are a small part of those there are (`Split.limited`), they overlap less
    # than this ratio stands for: intervals are then too wide rather than too narrow.
    return float((rows["n_test"] / rows["n_train"]).mean())


def compare_with_control(
    rows: pd.DataFrame, value: str, control: str, by: str = "task"
) -> pd.DataFrame:
    """Mean of a measure over the seeds, and its difference from a control on the same seeds.

    Parameters
    ----------
    rows : DataFrame with the columns features, seed, `by` and `value`; maybe chance
    value : the measure
    control : the features to compare with
    by : what else tells rows apart: "task" or "space"

    Returns
    -------
    DataFrame, a row for each `by` and features: both; chance, if it was there; `value`, _low,
    _high; difference, difference_low, difference_high (95% by Student's t, paired by seed; NaN for
    a single seed, and for the control itself).

    Raises
    ------
    ValueError
        The control has no rows; names where.
    """
    out = []
    for name, part in rows.groupby(by, sort=False):
        base = part[part["features"] == control].set_index("seed")[value]
        if base.empty:
            raise ValueError(f"{name}: no rows of the control {control!r}")
        for features, mine in part.groupby("features", sort=False):
            row = {by: name, "features": features}
            row |= {"chance": mine["chance"].mean()} if "chance" in mine else {}
            values = mine.set_index("seed")[value]
            row |= mean_interval(values).columns(value)
            if features != control:
                row |= mean_interval(values - base).columns("difference")
            out.append(row)
    return pd.DataFrame(out)


# --- two samples, permutations, shares ------------------------------------------------------------


def welch_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p that two samples have the same mean, by Welch's t-test (Biometrika 34, 28, 1947).

    The samples, of two or more values each, may vary unequally. Where neither varies at all, p is
    1 if they are equal and else 0.
    """
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return float(np.mean(a) == np.mean(b))
    return float(stats.ttest_ind(a, b, equal_var=False).pvalue)


def permutation_p(found: float, drawn: np.ndarray) -> float:
    """One-sided p: the share of draws under chance that reach what was found.

    The data are counted as one of the draws (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9,
    39, 2010), so that n draws never give less than 1 / (n + 1).
    """
    return float((1 + (drawn >= found - 1e-12).sum()) / (1 + len(drawn)))


def share_interval(correct: np.ndarray) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927)."""
    found = stats.binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def calibration_error(stated: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean distance of stated and true share.

    Parameters
    ----------
    stated : (n,) probabilities of the classes that were named
    correct : (n,) bool
    bins : of equal width from 0 to 1, weighted by what is in them
    """
    stated, correct = np.asarray(stated, dtype=float), np.asarray(correct, dtype=float)
    place = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = np.bincount(place, stated - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(stated))


# --- histograms -----------------------------------------------------------------------------------


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of two histograms in bits: 0 (equal) to 1 (disjoint).

    Lin, IEEE Trans. Inf. Theory 1991, 37, 145. The histograms need not be normalised; one without
    an entry gives NaN.
    """
    if not (np.any(p) and np.any(q)):
        return float("nan")
    # of equal ones SciPy may take the root of -1e-17
    return float(np.nan_to_num(jensenshannon(p, q, base=2)) ** 2)
