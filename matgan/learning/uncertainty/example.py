"""One prediction explained: how sure it is, what is like it, and what each element adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from matgan.chemistry.composition import formulas
from matgan.chemistry.elements import ELEMENTS
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.uncertainty.explanations import (
    as_function,
    deletions,
    integrated_gradients,
    nearest_points,
)
from matgan.learning.uncertainty.intervals import conformal
from matgan.learning.uncertainty.spreads import of_ensemble


@dataclass(frozen=True)
class Known:
    """Compositions that have labels: amounts (n, 85) and y (n,)."""

    amounts: np.ndarray
    y: np.ndarray

    @property
    def fractions(self) -> np.ndarray:
        """(n, 85) atomic fractions."""
        return self.amounts / self.amounts.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Explained:
    """A prediction and its reasons.

    Attributes
    ----------
    predicted, low, high : the mean of the networks and its 90% interval (normalised conformal)
    typical : what they say of the mean composition of training, where the contributions start
    contributions : a row for each element: element, fraction, adds (integrated gradients; their sum
        and that of the elements that are not there, `absent`, is predicted - typical), deletion
    absent : what the elements add that the mean composition has and this one has not
    neighbours : a row for each of the nearest training compounds by the hidden layer and by
        composition: by, formula, value
    """

    predicted: float
    low: float
    high: float
    typical: float
    contributions: pd.DataFrame
    absent: float
    neighbours: pd.DataFrame


def explained(
    networks: Sequence[FullyConnectedRegressor],
    amounts: np.ndarray,
    known: Known,
    held: Known,
    k: int = 3,
) -> Explained:
    """Explain what an ensemble predicts of one composition.

    Parameters
    ----------
    networks : two or more, fitted on atomic fractions with clip=False
    amounts : (85,)
    known : what they learned from
    held : what the interval is calibrated on
    k : neighbours of each kind
    """
    x, start = (amounts / amounts.sum())[None], known.fractions.mean(axis=0)
    before, said = (of_ensemble(networks, X) for X in (held.fractions, x))
    interval = conformal(said, before, held.y)
    functions = [as_function(network) for network in networks]
    adds = np.mean([integrated_gradients(f, x, start)[0] for f in functions], axis=0)
    lost = np.mean([deletions(f, x)[0] for f in functions], axis=0)
    there = np.flatnonzero(amounts)
    contributions = pd.DataFrame(
        {
            "element": [ELEMENTS[i] for i in there],
            "fraction": x[0, there],
            "adds": adds[there],
            "deletion": lost[there],
        }
    )
    first = networks[0]
    by_layer = nearest_points(first.activations(x, -2), first.activations(known.fractions, -2), k)[
        0
    ][0]
    by_shares = cKDTree(known.fractions).query(x, k=np.arange(1, k + 1), p=1)[1][0]
    rows = np.r_[by_layer, by_shares]
    neighbours = pd.DataFrame(
        {
            "by": ["hidden layer"] * k + ["composition"] * k,
            "formula": formulas(known.amounts[rows]),
            "value": known.y[rows],
        }
    )
    return Explained(
        predicted=float(said.centre[0]),
        low=float(interval.low[-1, 0]),
        high=float(interval.high[-1, 0]),
        typical=float(of_ensemble(networks, start[None]).centre[0]),
        contributions=contributions,
        absent=float(np.delete(adds, there).sum()),
        neighbours=neighbours,
    )
