"""Rules of the sites: what contributions of elements on A and on B say, and how stable they are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from matgan.crystals.graphs.elements import element_properties
from matgan.data.splits import random_generator
from matgan.learning.statistics import permutation_p

PERMUTATIONS = 2000


def mean_contributions(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over trainings, a row for each element: columns A and B, eV/atom.

    Parameters
    ----------
    table : columns site, element, contribution and repeat, as `castelli.site_contributions` gives
        them for each training
    """
    return table.pivot_table("contribution", "element", "site", aggfunc="mean")


def site_agreement(table: pd.DataFrame, other: pd.DataFrame | None = None) -> pd.DataFrame:
    """Rank correlations of contributions between trainings, site by site.

    Parameters
    ----------
    table : columns site, element, contribution, repeat
    other : of another model: each of its trainings is compared with the one of the same repeat;
        None: every two trainings of the table are compared

    Returns
    -------
    DataFrame, a row for each site: site, pairs, mean, lowest and highest rank correlation
    """
    rows = []
    for site, part in table.groupby("site"):
        own = _by_repeat(part)
        if other is None:
            pairs = [(own[a], own[b]) for a, b in combinations(own.columns, 2)]
        else:
            theirs = _by_repeat(other[other["site"] == site])
            pairs = [(own[r], theirs[r]) for r in own.columns if r in theirs]
        found = [float(spearmanr(*_common(a, b)).statistic) for a, b in pairs]
        low, high = (min(found), max(found)) if found else (np.nan, np.nan)
        mean = float(np.mean(found)) if found else np.nan
        rows.append({"site": site, "pairs": len(found), "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["site", "pairs", "mean", "low", "high"])


def size_rule(contributions: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """Whether larger elements are better on A than on B.

    Parameters
    ----------
    contributions : as from `mean_contributions`
    seed : of the permutations

    Returns
    -------
    {"correlation": of the covalent radius with A minus B by ranks; "p": one-sided, that exchanged
    radii reach as low a correlation; "elements": with a radius and both contributions}
    """
    radius = element_properties().set_index("element")["covalent_radius"]
    table = contributions.assign(radius=radius).dropna()
    difference, size = (
        (table["A"] - table["B"]).rank().to_numpy(),
        table["radius"].rank().to_numpy(),
    )
    found = float(np.corrcoef(difference, size)[0, 1])
    exchanged = random_generator(seed).permuted(np.tile(size, (PERMUTATIONS, 1)), axis=1)
    standard = (difference - difference.mean()) / difference.std()
    drawn = (exchanged - size.mean()) @ standard / (len(size) * size.std())
    p = permutation_p(-found, -drawn)
    return {"correlation": found, "p": p, "elements": len(table)}


def _by_repeat(part: pd.DataFrame) -> pd.DataFrame:
    return part.pivot_table("contribution", "element", "repeat")


def _common(a: pd.Series, b: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    both = pd.concat([a, b], axis=1).dropna().to_numpy()
    return both[:, 0], both[:, 1]
