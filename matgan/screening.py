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
    """Regressors that differ in their random state only.

    Their spread tells where they disagree (Lakshminarayanan et al., NeurIPS 2017), in no unit that
    could be read as an error until `calibrate` sets one.

    Attributes
    ----------
    members : fitted regressors that take amounts (n, 85)
    factor : half width of an interval over the spread; NaN until calibrated
    floor : added to the spread, so that members that agree by chance promise no certainty
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
        self.floor = float(np.median(spread)) / 10
        rank = int(np.ceil((len(targets) + 1) * level))
        if rank > len(targets):
            raise ValueError(f"{len(targets)} compositions are too few for the level {level}")
        ratio = np.sort(np.abs(targets - mean) / (spread + self.floor))
        self.factor = float(ratio[rank - 1])

    def _mean_and_spread(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = np.asarray(counts, dtype=np.float32)
        predicted = np.stack([member.predict(counts) for member in self.members])
        return predicted.mean(axis=0), predicted.std(axis=0)


def fit_ensemble(
    model: RegressorMixin, counts: np.ndarray, targets: np.ndarray, n_members: int = 3
) -> Ensemble:
    """Fit copies of an unfitted regressor with the random states s, s + 1, …

    Parameters
    ----------
    model : regressor with an integer random_state s
    counts, targets : (n, 85) and (n,)
    n_members : at least two
    """
    if n_members < 2:
        raise ValueError(f"an ensemble has two members or more, not {n_members}")
    counts = np.asarray(counts, dtype=np.float32)
    seeds = [model.random_state + i for i in range(n_members)]
    return Ensemble([clone(model).set_params(random_state=s).fit(counts, targets) for s in seeds])


def valid_and_new(counts: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which compositions are neutral, balanced and not among the known ones: (n,) bool.

    Parameters
    ----------
    counts : (n, 85)
    known : (m, 85), or their `matgan.measures.keys`
    """
    good = ~among(counts, known)
    good[good] = electronegativity_balanced(counts[good])
    return good


def screen(counts: np.ndarray, known: np.ndarray, ensemble: Ensemble) -> pd.DataFrame:
    """The distinct valid and new compositions, the surest low values first.

    Parameters
    ----------
    counts : (n, 85), generated compositions as drawn
    known : (m, 85), or their `matgan.measures.keys`
    ensemble : calibrated

    Returns
    -------
    DataFrame: formula, times drawn, predicted, low and high end of the interval; sorted by the
    high end, so that a low prediction counts for little where the ensemble is unsure
    """
    _, first, drawn = np.unique(keys(counts), return_index=True, return_counts=True)
    good = valid_and_new(counts[first], known)
    chosen = counts[first[good]]
    mean, half = ensemble.predict(chosen)
    table = pd.DataFrame(
        {
            "formula": formulas(chosen),
            "times drawn": drawn[good],
            "predicted": mean,
            "low": mean - half,
            "high": mean + half,
        }
    )
    return table.sort_values(["high", "formula"], ignore_index=True)
