"""What a network of patterns must beat: the most frequent class, the nearest pattern, a forest.

Every baseline takes stored patterns (n, points) uint8 and classes (n, labels), and gives scores as
the networks do: {label: (m, classes)}, larger for what is likelier.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from matgan.learning.statistics import top_k
from matgan.powder.patterns import decode_pattern

Scores = dict[str, np.ndarray]


def majority(classes: np.ndarray, counts: dict[str, int], n: int) -> Scores:
    """The frequency of each class in training, n times."""
    return {
        label: np.tile(np.bincount(classes[:, i], minlength=size) / len(classes), (n, 1))
        for i, (label, size) in enumerate(counts.items())
    }


def coarse(codes: np.ndarray, points: int) -> np.ndarray:
    """Square roots of the intensities, averaged over `points` neighbours: (n, ⌊…⌋) float32."""
    roots = np.sqrt(decode_pattern(np.asarray(codes)))
    n_bins = roots.shape[1] // points
    return roots[:, : n_bins * points].reshape(len(roots), n_bins, points).mean(2)


def most_similar(train: np.ndarray, test: np.ndarray, neighbours: int) -> np.ndarray:
    """Rows of the training patterns most similar to each test pattern (cosine), nearest first.

    Parameters
    ----------
    train, test : (n, points) and (m, points)
    neighbours : how many at most

    Returns
    -------
    (m, neighbours) int
    """
    train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    return np.argsort(-(test @ train.T), axis=1, kind="stable")[:, :neighbours]


def nearest(
    train: np.ndarray,
    classes: np.ndarray,
    counts: dict[str, int],
    test: np.ndarray,
    neighbours: int = 10,
) -> Scores:
    """Classes of the most similar training patterns (cosine), each weighted by half its forerunner.

    The class of the nearest pattern always wins; the others say which come next.
    """
    order = most_similar(train, test, neighbours)
    weights = 0.49 ** np.arange(order.shape[1])  # below a half: all later ones weigh less together
    scores = {}
    for i, (label, size) in enumerate(counts.items()):
        scores[label] = np.zeros((len(test), size))
        np.add.at(scores[label], (np.arange(len(test))[:, None], classes[order, i]), weights)
    return scores


def forest(
    train: np.ndarray,
    classes: np.ndarray,
    counts: dict[str, int],
    test: np.ndarray,
    trees: int = 100,
    seed: int = 0,
) -> Scores:
    """A random forest for all labels at once (scikit-learn's defaults), one tree at a time.

    A tree keeps the shares of all classes at each node: a whole forest would take gigabytes.
    """
    random = np.random.RandomState(seed)  # as inside of scikit-learn's forest
    scores = {label: np.zeros((len(test), size)) for label, size in counts.items()}
    for _ in range(trees):
        model = RandomForestClassifier(1, random_state=random, n_jobs=1).fit(train, classes)
        shares = zip(scores.values(), model.classes_, model.predict_proba(test), strict=True)
        for score, known, share in shares:
            score[:, known.astype(int)] += share / trees
    return scores


def accuracies(name: str, scores: Scores, classes: np.ndarray, **facts: object) -> pd.DataFrame:
    """A row for each label: model, label, top1, top5 and the facts."""
    return pd.DataFrame(
        {
            "model": name,
            **facts,
            "label": list(scores),
            "top1": [top_k(s, classes[:, i], 1) for i, s in enumerate(scores.values())],
            "top5": [top_k(s, classes[:, i], 5) for i, s in enumerate(scores.values())],
        }
    )


def right(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) bool array: where the likeliest class is the true one."""
    return scores.argmax(1) == classes
