"""Which example to label next: active learning from a pool, and what it saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.isotonic import IsotonicRegression

Strategy = Literal["random", "uncertainty", "diversity", "expected improvement"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


def expected_improvement(mean: np.ndarray, spread: np.ndarray, best: float) -> np.ndarray:
    """How far a value is expected to lie above the best one, 0 where it does not: (n,).

    Of normal distributions with the given means and standard deviations (Jones, Schonlau and
    Welch, J. Global Optim. 13, 455, 1998, Equation 15).
    """
    gain = mean - best
    z = gain / np.maximum(spread, 1e-12)
    uncertain = gain * stats.norm.cdf(z) + spread * stats.norm.pdf(z)
    return np.where(spread > 0, uncertain, np.maximum(gain, 0))


def most_diverse(points: np.ndarray, known: np.ndarray, n: int) -> np.ndarray:
    """n rows, each the one farthest from all that are known or were taken before it.

    Greedy k-centres (Gonzalez, Theor. Comput. Sci. 38, 293, 1985; Sener and Savarese 2018).

    Parameters
    ----------
    points : (m, d), compared by Euclid's distance
    known : rows that are labelled
    n : how many of the others to take

    Raises
    ------
    ValueError
        Nothing is known, or fewer than n others are there.
    """
    if not len(known) or n > len(points) - len(np.unique(known)):
        raise ValueError(f"{n} of {len(points)} points beside {len(known)} known ones")
    norms = (points**2).sum(axis=1)

    def away(row: int) -> np.ndarray:
        return norms - 2 * points @ points[row] + norms[row]

    distance = np.min([away(row) for row in known], axis=0)
    distance[known] = -np.inf
    taken = []
    for _ in range(n):
        taken.append(int(distance.argmax()))
        distance = np.minimum(distance, away(taken[-1]))
        distance[taken[-1]] = -np.inf
    return np.array(taken, dtype=int)


def tree_spread(forest: ExtraTreesRegressor, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a forest's trees, (n,) each."""
    X = np.asarray(X, dtype=np.float32)
    said = np.stack([tree.predict(X, check_input=False) for tree in forest.estimators_])
    return said.mean(0), said.std(0, ddof=1)


def to_label(
    strategy: Strategy,
    X: np.ndarray,
    labelled: np.ndarray,
    best: float,
    said: tuple[np.ndarray, np.ndarray],
    n: int,
    random: np.random.Generator,
) -> np.ndarray:
    """n rows of the pool to label next.

    Parameters
    ----------
    strategy : one of `STRATEGIES`
    X : (m, d) features of the pool, scaled alike
    labelled : rows that have labels
    best : the highest label so far
    said : mean and standard deviation of each row, (m,)
    n : how many
    random : decides between equal ones

    Raises
    ------
    ValueError
        Another strategy, or fewer than n rows without a label.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"the strategies are {', '.join(STRATEGIES)}, not {strategy!r}")
    if n > len(X) - len(labelled):
        raise ValueError(f"{n} rows of {len(X)}, of which {len(labelled)} are labelled")
    if strategy == "diversity":
        return most_diverse(X, labelled, n)
    order = random.permutation(np.setdiff1d(np.arange(len(X)), labelled))
    if strategy == "random":
        return order[:n]
    worth = said[1] if strategy == "uncertainty" else expected_improvement(*said, best)
    return order[np.argsort(-worth[order], kind="stable")[:n]]


def learn_actively(
    strategy: Strategy,
    X: np.ndarray,
    y: np.ndarray,
    score: Callable[[ExtraTreesRegressor], dict],
    forest: ExtraTreesRegressor,
    start: int = 100,
    rounds: int = 20,
    batch: int = 50,
    seed: int = 0,
) -> list[dict]:
    """Label a pool in rounds, each chosen by a forest that learned from all labels before it.

    Parameters
    ----------
    strategy : one of `STRATEGIES`
    X : (m, d) features of the pool, scaled alike
    y : (m,) their labels; only those of chosen rows are looked at to choose and to learn
    score : called with the fitted forest after each round
    forest : unfitted
    start, rounds, batch : labels at random at first, rounds after it, labels in each
    seed : of the first labels, which do not depend on the strategy, and of the forests

    Returns
    -------
    list of rounds + 1 dicts: round, labels, found (share of the pool's highest 1% that is labelled)
    and what `score` gives
    """
    random = np.random.default_rng([seed, STRATEGIES.index(strategy)])
    labelled = np.random.default_rng(seed).permutation(len(X))[:start]
    top = np.argsort(-y, kind="stable")[: max(1, round(len(y) / 100))]
    rows = []
    for turn in range(rounds + 1):
        forest = clone(forest).set_params(random_state=seed * (rounds + 1) + turn)
        forest.fit(X[labelled], y[labelled])
        found = float(np.isin(top, labelled).mean())
        rows.append({"round": turn, "labels": len(labelled), "found": found, **score(forest)})
        if turn < rounds:
            said = tree_spread(forest, X)
            best = float(y[labelled].max())
            more = to_label(strategy, X, labelled, best, said, batch, random)
            labelled = np.r_[labelled, more]
    return rows


def labels_saved(labels: np.ndarray, errors: np.ndarray, reference: np.ndarray) -> float:
    """Share of the labels that a strategy needs less than a reference for the same error.

    Parameters
    ----------
    labels : (r,) numbers of labels, rising
    errors, reference : (r,) errors after so many, of the strategy and of the reference

    Returns
    -------
    float : 1 - n / n', the numbers of labels at which both reach the lowest error that both reach;
    below 0 where the strategy needs more. Errors are smoothed to falling curves first.
    """
    labels = np.asarray(labels, dtype=float)
    curves = [
        IsotonicRegression(increasing=False).fit_transform(labels, one)
        for one in (errors, reference)
    ]
    reached = max(curve[-1] for curve in curves)
    n, n_reference = (_first(labels, curve, reached) for curve in curves)
    return 1 - n / n_reference


def _first(labels: np.ndarray, curve: np.ndarray, error: float) -> float:
    """Labels at which a falling curve first reaches an error, between its points by a line."""
    place = int(np.argmax(curve <= error + 1e-12))
    if place == 0:
        return float(labels[0])
    before, after = curve[place - 1], curve[place]
    share = (before - error) / (before - after)
    return float(labels[place - 1] + share * (labels[place] - labels[place - 1]))
