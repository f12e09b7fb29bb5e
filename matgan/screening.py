"""Screening of generated compositions: predict a property with its uncertainty, and rank.

The paper proposes this as the use of its generator. What it can't tell: a composition with a low
formation energy need not be stable, since its competitors may lie lower still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, clone

from matgan.composition import formulas
from matgan.measures import among, keys
from matgan.validity import electronegativity_balanced


@dataclass
class Ensemble:
    """Regressors that differ in their random state and in the compounds they learned from.

    They see element fractions: amounts would let a composition of many atoms leave the range that
    they know. Their spread tells where they disagree (Lakshminarayanan et al., NeurIPS 2017), in
    no unit that could be read as an error until `calibrate` sets one.

    Attributes
    ----------
    members : regressors fitted to element fractions (n, 85)
    factor : half width of an interval over the spread; NaN until calibrated
    floor : added to the spread, so that members that agree by chance promise no certainty; the
        median spread, once calibrated
    """

    members: Sequence[RegressorMixin]
    factor: float = float("nan")
    floor: float = 0.0

    def predict(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and half width of the interval for each composition (n, 85): (n,), (n,)."""
        mean, spread = self._mean_and_spread(counts)
        return mean, self.factor * (spread + self.floor)

    def calibrate(self, counts: np.ndarray, targets: np.ndarray, level: float = 0.9) -> None:
        """Set `factor`, so that a share `level` of these intervals hold the target.

        Locally weighted split conformal prediction (Lei et al., J. Am. Stat. Assoc. 2018, 113,
        1094): the share holds for other compositions drawn like these, and for no others.

        Parameters
        ----------
        counts, targets : (n, 85) and (n,), not trained on
        level : of the intervals
        """
        mean, spread = self._mean_and_spread(counts)
        self.floor = float(np.median(spread))
        rank = int(np.ceil((len(targets) + 1) * level))
        if rank > len(targets):
            raise ValueError(f"{len(targets)} compositions are too few for the level {level}")
        ratio = np.sort(np.abs(targets - mean) / (spread + self.floor))
        self.factor = float(ratio[rank - 1])

    def _mean_and_spread(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(counts):  # which regressors refuse
            return np.zeros(0), np.zeros(0)
        predicted = np.stack([member.predict(_fractions(counts)) for member in self.members])
        return predicted.mean(axis=0), predicted.std(axis=0)


def fit_ensemble(
    model: RegressorMixin,
    counts: np.ndarray,
    targets: np.ndarray,
    n_members: int = 4,
    n_rows: int = 0,
) -> Ensemble:
    """Fit copies of an unfitted regressor with the random states s, s + 1, …

    Parameters
    ----------
    model : regressor with an integer random_state s
    counts, targets : (n, 85) and (n,)
    n_members : at least two
    n_rows : compounds that each member learns from, its own choice of them; 0: all
    """
    if n_members < 2:
        raise ValueError(f"an ensemble has two members or more, not {n_members}")
    fractions, members = _fractions(counts), []
    for seed in range(model.random_state, model.random_state + n_members):
        rows = np.random.default_rng(seed).permutation(len(targets))[: n_rows or None]
        member = clone(model).set_params(random_state=seed)
        members.append(member.fit(fractions[rows], targets[rows]))
    return Ensemble(members)


def _fractions(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float32)
    return counts / counts.sum(axis=1, keepdims=True)


def new_compositions(counts: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct compositions that are not among the known ones, those drawn most often first.

    Parameters
    ----------
    counts : (n, 85), generated compositions as drawn
    known : (k, 85), or their `matgan.measures.keys`

    Returns
    -------
    distinct : (m, 85)
    drawn : (m,) int, how often
    """
    _, first, drawn = np.unique(keys(counts), return_index=True, return_counts=True)
    new = ~among(counts[first], known)
    first, drawn = first[new], drawn[new]
    order = np.lexsort([first, -drawn])
    return counts[first[order]], drawn[order]


def screen(counts: np.ndarray, known: np.ndarray, ensemble: Ensemble) -> pd.DataFrame:
    """The new compositions that are neutral and balanced, the surest low values first.

    Parameters
    ----------
    counts, known : as in `new_compositions`
    ensemble : calibrated

    Returns
    -------
    DataFrame: formula, times drawn, predicted, low and high end of the interval; sorted by the
    high end, so that a low prediction counts for little where the ensemble is unsure
    """
    distinct, drawn = new_compositions(counts, known)
    valid = electronegativity_balanced(distinct)
    mean, half = ensemble.predict(distinct[valid])
    table = pd.DataFrame(
        {
            "formula": formulas(distinct[valid]),
            "times drawn": drawn[valid],
            "predicted": mean,
            "low": mean - half,
            "high": mean + half,
        }
    )
    return table.sort_values(["high", "formula"], ignore_index=True)
