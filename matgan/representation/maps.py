"""t-SNE maps of compositions, and how well classes separate in a map or in the full space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from openTSNE import TSNE
from sklearn.metrics import pairwise_distances_chunked, silhouette_score
from sklearn.neighbors import NearestNeighbors

from matgan.learning.compute import on_all_cores
from matgan.learning.statistics import mean_interval, permutation_p


def tsne_map(X: np.ndarray, seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Two-dimensional t-SNE map, as Figure 4b of Hu et al. 2020 shows one.

    Euclidean distances in the columns as they are: scale them beforehand where their units differ.
    Starts from the two principal components. One thread, so that a seed gives the same map again.

    Parameters
    ----------
    X : (n, d) array, d >= 2
    seed : int
    perplexity : effective number of neighbours of a point, below n / 3

    Returns
    -------
    (n, 2) float64 array, in arbitrary units

    Raises
    ------
    ValueError
        Too few rows for the perplexity; a number that is not finite.
    """
    X = _finite(X)
    if len(X) <= 3 * perplexity:
        raise ValueError(f"{len(X)} rows are too few for a perplexity of {perplexity:g}")
    tsne = TSNE(perplexity=perplexity, initialization="pca", random_state=seed, n_jobs=1)
    return np.asarray(tsne.fit(X), dtype=float)


@dataclass(frozen=True)
class Purity:
    """Share of a point's neighbours that have its label, averaged over the points."""

    mean: float
    chance: float  # what labels handed out at random would give
    by_class: dict  # label: the average over its points


def knn_purity(
    X: np.ndarray, labels: ArrayLike, k: int = 10, groups: ArrayLike | None = None
) -> Purity:
    """How many of the k nearest neighbours of a point have its label, the point itself left out.

    Parameters
    ----------
    X : (n, d) array; Euclidean distances
    labels : (n,) labels
    k : number of neighbours, below n
    groups : (n,) labels, or None
        Neighbours of the point's own group do not count: with chemical systems as groups, a doping
        series cannot vouch for itself.
    """
    X, labels = _finite(X), np.asarray(labels)
    share = (labels[_neighbours(X, labels, k, groups)] == labels[:, None]).mean(axis=1)
    groups = np.arange(len(X)) if groups is None else np.asarray(groups)
    size = pd.DataFrame({"label": labels, "group": groups, "n": 1})
    alike = size.groupby("label")["n"].transform("size")
    alike -= size.groupby(["label", "group"])["n"].transform("size")
    others = len(X) - size.groupby("group")["n"].transform("size")
    by_class = {c: float(share[labels == c].mean()) for c in np.unique(labels).tolist()}
    return Purity(float(share.mean()), float((alike / others).mean()), by_class)


def _neighbours(X: np.ndarray, labels: np.ndarray, k: int, groups: ArrayLike | None) -> np.ndarray:
    """(n, k) row numbers of the nearest neighbours outside a point's own group."""
    if len(labels) != len(X):
        raise ValueError(f"{len(X)} rows but {len(labels)} labels")
    if not 1 <= k < len(X):
        raise ValueError(f"k must be from 1 to {len(X) - 1}, not {k}")
    if groups is None:
        return NearestNeighbors(n_neighbors=k).fit(X).kneighbors(return_distance=False)
    groups = pd.factorize(np.asarray(groups))[0]
    largest = np.bincount(groups).max()
    if len(X) - largest < k:
        raise ValueError(f"only {len(X) - largest} rows outside the largest group, k is {k}")

    def nearest(distances: np.ndarray, start: int) -> np.ndarray:
        same = groups[start : start + len(distances), None] == groups
        distances[same] = np.inf
        return np.argpartition(distances, k - 1, axis=1)[:, :k]

    return np.concatenate(list(pairwise_distances_chunked(X, reduce_func=nearest)))


def purity_test(
    X: np.ndarray, labels: ArrayLike, k: int, permutations: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Neighbour purity of few points against labels handed out at random.

    Returns
    -------
    dict: purity; chance, low and high (mean and central 95% under permutation); p, the share of
    permutations that reach the purity, one-sided, the data counted as one of them.
    """
    X, labels = _finite(X), np.asarray(labels)
    neighbours, rng = _neighbours(X, labels, k, None), np.random.default_rng(seed)

    def purity(given: np.ndarray) -> float:
        return float((given[neighbours] == given[:, None]).mean())

    drawn = np.array([purity(rng.permutation(labels)) for _ in range(permutations)])
    found = purity(labels)
    low, high = np.quantile(drawn, [0.025, 0.975])
    p = permutation_p(found, drawn)
    return {"purity": found, "chance": drawn.mean(), "low": low, "high": high, "p": p}


def neighbour_overlap(X: np.ndarray, Y: np.ndarray, k: int = 10) -> float:
    """Share of the k nearest neighbours that two representations of the same n points agree on.

    Chance is k / (n - 1). Points at the same distance are taken in an order of no meaning.
    """
    X, Y = _finite(X), _finite(Y)
    if len(X) != len(Y):
        raise ValueError(f"{len(X)} rows in one representation but {len(Y)} in the other")
    pairs = zip(*(_neighbours(Z, Z, k, None) for Z in (X, Y)), strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in pairs]))


def silhouette(X: np.ndarray, labels: ArrayLike) -> float:
    """Mean silhouette (Rousseeuw, J. Comput. Appl. Math. 20, 53, 1987): -1 to 1, 0 without order.

    Of each point (b - a) / max(a, b), with a its mean Euclidean distance to its own class and b
    that to the nearest other class.
    """
    return float(silhouette_score(_finite(X), np.asarray(labels)))


def separation(
    X: np.ndarray,
    labels: ArrayLike,
    *,
    features: str,
    seeds: Sequence[int],
    sample: int = 2000,
    k: int = 10,
    perplexity: float = 30.0,
) -> pd.DataFrame:
    """Separation of classes in the full space and in t-SNE maps, over several seeds.

    Each seed draws `sample` rows without replacement (all, where there are fewer), the same ones
    for every feature set, and makes its own map of them.

    Parameters
    ----------
    X : (n, d) array
    labels : (n,) labels
    features : name for the table
    seeds : one repeat each
    sample, k, perplexity : see `knn_purity` and `tsne_map`

    Returns
    -------
    DataFrame, two rows for each seed: features, space ("full" or "map"), seed, rows, purity,
    chance, silhouette.
    """
    X, labels = _finite(X), np.asarray(labels)
    out = []
    for seed in seeds:
        rows = np.random.default_rng(seed).permutation(len(X))[:sample]
        spaces = {"full": X[rows], "map": tsne_map(X[rows], seed, perplexity)}
        for space, points in spaces.items():
            purity = knn_purity(points, labels[rows], k)
            out.append(
                {"features": features, "space": space, "seed": seed, "rows": len(rows)}
                | {"purity": purity.mean, "chance": purity.chance}
                | {"silhouette": silhouette(points, labels[rows])}
            )
    return pd.DataFrame(out)


def separation_repeats(
    features_of: Callable[[int], Mapping[str, np.ndarray]],
    labels: ArrayLike,
    seeds: Sequence[int],
    *,
    sample: int = 2000,
    k: int = 10,
) -> pd.DataFrame:
    """`separation` of several feature sets over seeds, side by side on all cores.

    Parameters
    ----------
    features_of : gives the feature sets of a seed, name -> (n, d) array; some may be drawn anew
    labels, seeds, sample, k : as for `separation`

    Returns
    -------
    DataFrame as from `separation`, by seed, then by feature set
    """
    each = (
        (X, labels, name, seed, sample, k)
        for seed in seeds
        for name, X in features_of(seed).items()
    )
    return pd.concat(on_all_cores(_separation, each, "cpu"))


def _separation(X, labels, features, seed, sample, k) -> pd.DataFrame:
    return separation(X, labels, features=features, seeds=[seed], sample=sample, k=k)


def summarise_separation(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and 95% interval over the seeds of what `separation` gives.

    Returns
    -------
    DataFrame, a row for each feature set and space: features, space, repeats, chance, and for
    purity and silhouette the mean, _low and _high (NaN for a single seed). The intervals are of
    the samples and maps drawn; samples that hold most of the rows are not independent.
    """
    out = []
    for (features, space), part in rows.groupby(["features", "space"], sort=False):
        row = {"features": features, "space": space, "repeats": len(part)}
        row["chance"] = part["chance"].mean()
        for name in ("purity", "silhouette"):
            row |= mean_interval(part[name]).columns(name)
        out.append(row)
    return pd.DataFrame(out)


def purity_over_samples(
    X: np.ndarray,
    labels: ArrayLike,
    *,
    features: str,
    task: str,
    seeds: Sequence[int],
    groups: ArrayLike | None = None,
    sample: int = 2000,
    k: int = 10,
) -> pd.DataFrame:
    """Neighbour purity in the full space on random samples, one for each seed.

    Parameters
    ----------
    features, task : names for the table
    seeds, sample : as for `separation`
    X, labels, groups, k : as for `knn_purity`

    Returns
    -------
    DataFrame, a row for each seed: features, task, seed, rows, purity, chance.
    """
    X, labels = _finite(X), np.asarray(labels)
    groups = None if groups is None else np.asarray(groups)
    out = []
    for seed in seeds:
        rows = np.random.default_rng(seed).permutation(len(X))[:sample]
        purity = knn_purity(X[rows], labels[rows], k, None if groups is None else groups[rows])
        out.append({"features": features, "task": task, "seed": seed, "rows": len(rows)})
        out[-1] |= {"purity": purity.mean, "chance": purity.chance}
    return pd.DataFrame(out)


def _finite(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X, dtype=float)
    if X.ndim != 2:
        raise ValueError(f"X must be (n, d), not {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError(f"row {int(np.argwhere(~np.isfinite(X))[0, 0])} of X is not finite")
    return X
