"""Regressors that also learn from examples without labels, by each other's predictions.

Two networks see the same example in two descriptions ("views"). Both learn from the labelled ones;
then two new ones learn from these and from the predictions on the others: of the mean of both
teachers (pseudo-labels, Lee 2013), or each of the other's teacher (co-training, Zhou and Li 2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from matgan.learning.regressor import FullyConnectedRegressor, fit_repeats

Teacher = Literal["mean of both", "the other"]
Networks = dict[str, FullyConnectedRegressor]


@dataclass(frozen=True)
class Teaching:
    """How students learn. Raises ValueError for a value that makes no sense."""

    teacher: Teacher = "mean of both"
    labelled: float = 0.5  # share of a student's rows that are labelled, however few they are
    surest: float = 1.0  # share of the others that are kept: those on which the teachers agree best

    def __post_init__(self) -> None:
        if self.teacher not in get_args(Teacher):
            raise ValueError(f"teacher must be one of {get_args(Teacher)}, not {self.teacher!r}")
        if not 0 < self.labelled < 1:
            raise ValueError(f"labelled must be between 0 and 1, not {self.labelled}")
        if not 0 < self.surest <= 1:
            raise ValueError(f"surest must be in (0, 1], not {self.surest}")


def teachers(
    settings: Networks,
    views: Mapping[str, np.ndarray],
    y: np.ndarray,
    learn: np.ndarray,
    held: np.ndarray,
) -> Networks:
    """A network for each view, from the labelled examples alone.

    Parameters
    ----------
    settings : for each view a network, unfitted, with an integer random_state
    views : name -> (n, d) features of the same examples
    y : (n,) targets; only those of `learn` and `held` are looked at
    learn, held : rows to learn from and to choose the epoch by
    """
    return {
        name: _fitted(settings[name], X[np.r_[learn, held]], y[np.r_[learn, held]], len(learn))
        for name, X in views.items()
    }


def students(
    settings: Networks,
    taught_by: Networks,
    views: Mapping[str, np.ndarray],
    y: np.ndarray,
    learn: np.ndarray,
    held: np.ndarray,
    unlabelled: Mapping[str, np.ndarray],
    teaching: Teaching,
) -> Networks:
    """A network for each view, from the labelled examples and from what teachers say of others.

    Parameters
    ----------
    settings : for each view; an epoch is of the examples that are kept and of as many labelled ones
        as `teaching` asks for
    taught_by : as from `teachers`, of the same views
    views, y, learn, held : see `teachers`
    unlabelled : name -> (m, d) features of the examples without labels
    teaching : how

    Raises
    ------
    ValueError
        There are no labelled or no unlabelled examples, or the views differ.
    """
    if not taught_by.keys() == views.keys() == unlabelled.keys():
        raise ValueError("teachers, labelled and unlabelled examples must have the same views")
    m = len(next(iter(unlabelled.values())))
    if not len(learn) or not m:
        raise ValueError(f"{len(learn)} labelled and {m} unlabelled examples to learn from")
    said = np.stack([taught_by[name].predict(unlabelled[name]) for name in views])  # (views, m)
    surest = np.argsort(np.ptp(said, axis=0), kind="stable")
    kept = np.sort(surest[: max(1, round(teaching.surest * m))])
    wanted = round(len(kept) * teaching.labelled / (1 - teaching.labelled))
    again = np.resize(learn, max(len(learn), wanted))  # each labelled row equally often
    out = {}
    for i, (name, X) in enumerate(views.items()):
        others = np.delete(said, i, axis=0) if teaching.teacher == "the other" else said
        rows = np.concatenate([X[again], unlabelled[name][kept], X[held]])
        targets = np.concatenate([y[again], others.mean(0)[kept], y[held]])
        out[name] = _fitted(settings[name], rows, targets, len(again) + len(kept))
    return out


def together(networks: Networks, views: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n,) mean of what the networks say, each of its own view (n, d)."""
    return np.mean([network.predict(views[name]) for name, network in networks.items()], axis=0)


def _fitted(
    settings: FullyConnectedRegressor, X: np.ndarray, y: np.ndarray, n_learn: int
) -> FullyConnectedRegressor:
    """From the first rows; the others choose the epoch."""
    rows = np.arange(len(X))
    (network,) = fit_repeats(settings, X, y, [rows[:n_learn]], [rows[n_learn:]])
    return network
