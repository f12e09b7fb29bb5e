"""Equal care for every feature set: the same splits, the same small search, the same scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, clone

from matgan.data.splits import Split
from matgan.learning.regressor import FullyConnectedRegressor, fit_repeats
from matgan.learning.statistics import METRICS, scores

# The settings that `search` tries for each feature set, on validation rows only.
GRID: dict[str, Sequence] = {
    "input_scaling": (None, "standard", "max-abs", "common"),
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "epochs": (100,),
}


def evaluate(
    X: np.ndarray,
    y: np.ndarray,
    splits: Sequence[Split],
    model: RegressorMixin,
    *,
    dataset: str,
    features: str,
    split: str,
    watch_test: bool = False,
) -> pd.DataFrame:
    """Scores of one feature set on repeated splits.

    Parameters
    ----------
    X : (n, d) array
    y : (n,) array
    splits : one for each repeat
    model : unfitted regressor
        A `FullyConnectedRegressor` trains on the training rows and chooses its epoch on the
        validation rows; any other regressor of scikit-learn trains on both.
    dataset, features, split : names for the table; `split` says what kept rows apart
    watch_test : bool
        Also report the best test scores that any epoch reached (best_mae, best_rmse, best_r2):
        what a study would print that chooses its epoch by the test part. Nothing depends on them.

    Returns
    -------
    DataFrame, a row for each repeat: dataset, features, split, repeat, n_train (rows that are not
    for testing), n_test, mae, rmse, r2.
    """
    rows = [
        {
            "dataset": dataset,
            "features": features,
            "split": split,
            "repeat": repeat,
            "n_train": len(part.train) + len(part.validation),
            "n_test": len(part.test),
        }
        for repeat, part in enumerate(splits)
    ]
    models = fit_splits(X, y, splits, model, watch_test)
    for row, part, fitted in zip(rows, splits, models, strict=True):
        row |= scores(y[part.test], fitted.predict(X[part.test]))
        if watch_test:
            for metric in METRICS:
                seen = fitted.history_[f"watched_{metric}"]
                row[f"best_{metric}"] = seen.max() if metric == "r2" else seen.min()
    return pd.DataFrame(rows)


def fit_splits(
    X: np.ndarray,
    y: np.ndarray,
    splits: Sequence[Split],
    model: RegressorMixin,
    watch_test: bool = False,
) -> list[RegressorMixin]:
    """The fitted regressors behind `evaluate`, one for each split: for parity plots, residuals.

    For the fully connected regressor X may be (splits, n, d), a description for each split.
    """
    if isinstance(model, FullyConnectedRegressor):
        train, validation, test = zip(
            *((s.train, s.validation, s.test) for s in splits), strict=True
        )
        return fit_repeats(model, X, y, train, validation, test if watch_test else None)
    if watch_test:
        raise ValueError(f"{type(model).__name__} has no epochs to watch")
    known = [np.concatenate([s.train, s.validation]) for s in splits]
    return [clone(model).fit(X[rows], y[rows]) for rows in known]


def search(
    X: np.ndarray,
    y: np.ndarray,
    splits: Sequence[Split],
    model: FullyConnectedRegressor,
    grid: dict[str, Sequence] = GRID,
) -> tuple[FullyConnectedRegressor, pd.DataFrame]:
    """Best of a grid of settings by the mean absolute error on validation rows.

    Test rows are not looked at. (Where other repeats draw other test rows, some of those are
    training or validation rows here: the choice of a dozen settings is shared by all repeats.)

    Parameters
    ----------
    X, y : (n, d) and (n,) arrays
    splits : the splits to search on; one or two of those that are evaluated later suffice
    model : the settings that the grid leaves alone
    grid : parameter name to values; every combination is tried

    Returns
    -------
    best : unfitted regressor with the settings chosen
    table : DataFrame
        A row for each combination: the settings, validation_mae (in the unit of y, mean over the
        splits), epoch (the best one, mean over the splits) and chosen (True in one row).
    """
    rows = []
    for values in product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        fitted = fit_splits(X, y, splits, clone(model).set_params(**settings))
        errors = [
            scores(y[s.validation], m.predict(X[s.validation]))["mae"]
            for s, m in zip(splits, fitted, strict=True)
        ]
        epoch = np.mean([m.n_iter_ for m in fitted])
        rows.append(settings | {"validation_mae": np.mean(errors), "epoch": epoch})
    best = int(np.argmin([row["validation_mae"] for row in rows]))
    table = pd.DataFrame(rows).assign(chosen=np.arange(len(rows)) == best)
    return clone(model).set_params(**{name: rows[best][name] for name in grid}), table


CHANGE, SHARE = 0.02, 0.5  # of the error, and of the difference that a claim is about


def convergence(rows: pd.DataFrame, metric: str = "mae") -> pd.DataFrame:
    """How much twice the epochs change each error, on the repeats that were trained for both.

    Parameters
    ----------
    rows : DataFrame: dataset, split, features, repeat, epochs and the metric. The epochs of the
        study are, for each feature set on a split, the most that all repeats were trained for and
        of which twice as many were tried; where none were, the fewest.
    metric : {"mae", "rmse", "r2"}

    Returns
    -------
    DataFrame, a row for each dataset, split and features: epochs, checked (repeats trained for
    twice as many), change (mean of the metric after twice the epochs minus after once; NaN where
    none was checked) and relative (over the mean after once).
    """
    out = []
    trained = rows.dropna(subset="epochs")
    for names, part in trained.groupby(["dataset", "split", "features"], sort=False):
        epochs = _epochs_of_study(part)
        once, twice = (
            part[part["epochs"] == n].set_index("repeat")[metric] for n in (epochs, 2 * epochs)
        )
        change = (twice - once).dropna()
        row = dict(zip(("dataset", "split", "features"), names, strict=True))
        row |= {"epochs": int(epochs), "checked": len(change), "change": change.mean()}
        out.append(row | {"relative": change.mean() / once[change.index].mean()})
    return pd.DataFrame(out)


def is_converged(
    checks: pd.DataFrame,
    dataset: str,
    split: str,
    features: Sequence[str],
    difference: float,
    interval: tuple[float, float] | None = None,
) -> bool:
    """Whether longer training could not decide otherwise about a difference of feature sets.

    Parameters
    ----------
    checks : as from `convergence`
    dataset, split : of the claim
    features : the feature sets that it compares
    difference : between them, in the unit of the metric
    interval : its ends, where there are two feature sets; None: not known

    Returns
    -------
    bool: for every one of them twice the epochs were tried, and changed the error by less than 2%
    and by less than half of the difference; or the interval holds 0, before and after it is moved
    by what they changed of the difference: no difference is no difference after longer training.
    """
    here = checks[(checks["dataset"] == dataset) & (checks["split"] == split)]
    found = here.set_index("features").reindex(list(features))
    if not (found["relative"].abs() < CHANGE).all():
        return False
    return bool((found["change"].abs() < SHARE * abs(difference)).all()) or (
        interval is not None
        and stays_none(interval, found["change"].iloc[0] - found["change"].iloc[1])
    )


def stays_none(interval: tuple[float, float], change: float) -> bool:
    """Whether 0 lies inside of an interval, and still does when the interval is moved."""
    low, high = interval
    return low < 0 < high and low + change < 0 < high + change


def as_planned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `convergence` that were trained for the epochs of the study.

    Parameters
    ----------
    rows : DataFrame: dataset, split, features, repeat, epochs (NaN: not trained in epochs)
    """
    names = ["dataset", "split", "features"]
    of = {key: _epochs_of_study(part) for key, part in rows.dropna(subset="epochs").groupby(names)}
    planned = [of.get(key) for key in rows[names].itertuples(index=False, name=None)]
    return rows[rows["epochs"].isna() | (rows["epochs"] == planned)].reset_index(drop=True)


def _epochs_of_study(part: pd.DataFrame) -> float:
    repeats = part.groupby("epochs")["repeat"].nunique()
    whole = repeats.index[repeats == repeats.max()]
    return max((n for n in whole if 2 * n in repeats), default=repeats.index.min())
