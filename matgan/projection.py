"""t-SNE maps of compositions, and how well classes separate in a map or in the full space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from openTSNE import TSNE
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from matgan.significance import mean_interval


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


def knn_purity(X: np.ndarray, labels: Sequence, k: int = 10) -> Purity:
    """How many of the k nearest neighbours of a point have its label, the point itself left out.

    Parameters
    ----------
    X : (n, d) array; Euclidean distances
    labels : (n,) labels
    k : number of neighbours, below n
    """
    X, labels = _finite(X), np.asarray(labels)
    if len(labels) != len(X):
        raise ValueError(f"{len(X)} rows but {len(labels)} labels")
    if not 1 <= k < len(X):
        raise ValueError(f"k must be from 1 to {len(X) - 1}, not {k}")
    neighbours = NearestNeighbors(n_neighbors=k).fit(X).kneighbors(return_distance=False)
    share = (labels[neighbours] == labels[:, None]).mean(axis=1)
    classes, counts = np.unique(labels, return_counts=True)
    n = len(labels)
    chance = float((counts * (counts - 1)).sum() / (n * (n - 1)))
    by_class = {c: float(share[labels == c].mean()) for c in classes.tolist()}
    return Purity(float(share.mean()), chance, by_class)


def silhouette(X: np.ndarray, labels: Sequence) -> float:
    """Mean silhouette (Rousseeuw, J. Comput. Appl. Math. 20, 53, 1987): -1 to 1, 0 without order.

    Of each point (b - a) / max(a, b), with a its mean Euclidean distance to its own class and b
    that to the nearest other class.
    """
    return float(silhouette_score(_finite(X), np.asarray(labels)))


def separation(
    X: np.ndarray,
    labels: Sequence,
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
            row |= {name: part[name].mean(), f"{name}_low": np.nan, f"{name}_high": np.nan}
            if len(part) > 1:
                interval = mean_interval(part[name])
                row |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        out.append(row)
    return pd.DataFrame(out)


def _finite(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X, dtype=float)
    if X.ndim != 2:
        raise ValueError(f"X must be (n, d), not {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError(f"row {int(np.argwhere(~np.isfinite(X))[0, 0])} of X is not finite")
    return X
