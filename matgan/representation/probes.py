"""What a representation knows of chemistry: straight lines of groups, charge balance of pairs.

The two tests that Agrawal and Choudhary's review (MRS Commun. 9, 779, 2019) shows of ElemNet (Jha
et al., Sci. Rep. 8, 17593, 2018) as pictures, with a number and a chance level for each.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matgan.chemistry.elements import N_ELEMENTS
from matgan.learning.statistics import mean_interval, permutation_p

# --- do the elements of a group line up? --------------------------------------------------------


def principal_components(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First two principal components of n points.

    Parameters
    ----------
    X : (n, d) array, d >= 2

    Returns
    -------
    points : (n, 2) array, centred
    explained : (2,) array, share of the variance along each
    """
    X = np.asarray(X, dtype=float)
    centred = X - X.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    variance = s**2
    return u[:, :2] * s[:2], variance[:2] / (variance.sum() or 1.0)


def in_line(points: np.ndarray) -> float:
    """How far points lie on a straight line, in order and evenly spaced: 0 to 1.

    R² of the positions on the rank 1, 2, … m: the share of their variance that a walk with equal
    steps along one line explains.

    Parameters
    ----------
    points : (m, d) array, in the order in which they should line up, m >= 3
    """
    points = np.asarray(points, dtype=float)
    rank = np.arange(len(points)) - (len(points) - 1) / 2
    centred = points - points.mean(axis=0)
    total = (centred**2).sum()
    along = rank @ centred
    return float((along**2).sum() / (rank @ rank) / total) if total > 0 else 0.0


def line_test(
    points: np.ndarray, chosen: Iterable[int], draws: int = 2000, seed: int = 0
) -> dict[str, float]:
    """`in_line` of chosen points against as many others at random, in random order.

    Returns
    -------
    dict: in_line; chance, the mean over the draws; p, the share of draws that reach it, one-sided,
    the data counted as one of them.
    """
    chosen, rng = list(chosen), np.random.default_rng(seed)
    found = in_line(points[chosen])
    drawn = np.array(
        [in_line(points[rng.choice(len(points), len(chosen), replace=False)]) for _ in range(draws)]
    )
    return {"in_line": found, "chance": float(drawn.mean()), "p": permutation_p(found, drawn)}


# --- do charge-balanced pairs of elements separate? ---------------------------------------------


def ab_compositions() -> tuple[np.ndarray, np.ndarray]:
    """All compositions AB of two different elements, one atom each.

    Returns
    -------
    amounts : (3570, 85) uint8 array
    pairs : (3570, 2) array of the two elements' indices
    """
    pairs = np.column_stack(np.triu_indices(N_ELEMENTS, k=1))
    amounts = np.zeros((len(pairs), N_ELEMENTS), dtype=np.uint8)
    amounts[np.arange(len(pairs))[:, None], pairs] = 1
    return amounts, pairs


def probe_splits(
    pairs: np.ndarray, kind: str, repeats: int, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random (train, test) row numbers of pairs of elements.

    Parameters
    ----------
    pairs : (n, 2) array of element indices
    kind : {"pairs", "elements"}
        "pairs": a fifth of the pairs is held out. "elements": a third of the elements is; test
        pairs hold two of those, training pairs none, the rest is left out. Then a probe cannot
        look up how often an element is part of a balanced pair.
    repeats, seed : number of draws and their seed

    Raises
    ------
    ValueError
        Another kind.
    """
    if kind not in ("pairs", "elements"):
        raise ValueError(f"kind must be 'pairs' or 'elements', not {kind!r}")
    rng, splits = np.random.default_rng(seed), []
    for _ in range(repeats):
        if kind == "pairs":
            order = rng.permutation(len(pairs))
            splits.append((order[len(order) // 5 :], order[: len(order) // 5]))
        else:
            held = rng.permutation(N_ELEMENTS)[: N_ELEMENTS // 3]
            n_held = np.isin(pairs, held).sum(axis=1)
            splits.append((np.flatnonzero(n_held == 0), np.flatnonzero(n_held == 2)))
    return splits


def probe(
    X: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """How well a linear probe tells two classes apart: area under the ROC curve on held-out rows.

    Logistic regression on standardised columns; 0.5 is chance, 1 perfect separation.

    Parameters
    ----------
    X : (n, d) array
    y : (n,) bool array
    splits : (train, test) row numbers, as `probe_splits` gives them

    Returns
    -------
    dict: auc, auc_low, auc_high: mean with the 95% interval of repeated random splits (Nadeau and
    Bengio's correction; NaN for a single split).
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=bool)
    aucs = []
    for train, test in splits:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
        classifier.fit(X[train], y[train])
        aucs.append(roc_auc_score(y[test], classifier.decision_function(X[test])))
    ratio = float(np.mean([len(test) / len(train) for train, test in splits]))
    return mean_interval(aucs, ratio).columns("auc")


def probe_table(
    features: dict[str, np.ndarray], y: np.ndarray, pairs: np.ndarray, repeats: int, seed: int = 0
) -> pd.DataFrame:
    """`probe` of several representations, with both kinds of splits and with shuffled labels.

    Returns
    -------
    DataFrame, a row for each kind of split and representation: held_out, features, auc, auc_low,
    auc_high, shuffled (the AUC of the first split with the labels in random order).
    """
    shuffled, out = np.random.default_rng(seed).permutation(y), []
    for kind in ("pairs", "elements"):
        splits = probe_splits(pairs, kind, repeats, seed)
        for name, X in features.items():
            row = {"held_out": kind, "features": name} | probe(X, y, splits)
            out.append(row | {"shuffled": probe(X, shuffled, splits[:1])["auc"]})
    return pd.DataFrame(out)
