"""The phase diagram of a chemical system: its compounds, which are stable, and what is in balance.

A system holds the compounds of its elements and those of fewer of them. Its hull needs no other
compound, so that the diagram of calculated and of predicted energies can be set side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from matgan.chemistry.composition import amounts_matrix, fractions
from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS
from matgan.stability.hull import Hull

_ON = 1e-8  # eV/atom: what lies no further from the hull lies on it


class DiagramError(ValueError):
    """Elements that make no system, or compounds that lie outside of it; names them."""


def within(compositions: Iterable, elements: Sequence[str]) -> np.ndarray:
    """Which of n compositions hold no element but these: (n,) bool.

    Raises
    ------
    DiagramError
        An element that is none of the 85, or twice the same.
    """
    inside = np.zeros(N_ELEMENTS, dtype=bool)
    inside[_indices(elements)] = True
    return (amounts_matrix(compositions)[:, ~inside] == 0).all(axis=1)


def _indices(elements: Sequence[str]) -> list[int]:
    unknown = [symbol for symbol in elements if symbol not in ELEMENT_INDEX]
    if unknown or len(set(elements)) != len(elements):
        raise DiagramError(f"a system takes different elements of the 85, not {list(elements)}")
    return [ELEMENT_INDEX[symbol] for symbol in elements]


class Diagram:
    """The phase diagram of a chemical system at 0 K, by formation energies.

    Parameters
    ----------
    elements : k symbols
    compositions : n compounds of them, in any form that `matgan.amounts_matrix` takes
    energies : (n,) formation energies in eV/atom; the elements have 0

    Attributes
    ----------
    elements : tuple of the symbols
    amounts : (n, 85)
    shares : (n, k) atomic fractions of the elements
    energies : (n,)
    distance : (n,) to the hull of the others in eV/atom, negative for a stable compound

    Raises
    ------
    DiagramError
        As `within`; a compound with another element, by its row.
    HullError, CompositionError
        As `matgan.hull`.
    """

    def __init__(self, elements: Sequence[str], compositions: Iterable, energies: ArrayLike):
        columns = _indices(elements)
        self.elements, self.amounts = tuple(elements), amounts_matrix(compositions)
        if not (inside := within(self.amounts, elements)).all():
            row = int(np.flatnonzero(~inside)[0])
            raise DiagramError(f"row {row} holds another element than {', '.join(elements)}")
        self.shares = fractions(self.amounts)[:, columns].reshape(-1, len(columns))
        self.hull = Hull(self.amounts, energies)
        self.energies = self.hull.energies
        self.distance = self.hull.own_distances()

    @property
    def stable(self) -> np.ndarray:
        """Which compounds lie below the hull of the others: (n,) bool."""
        return self.distance < 0

    def ties(self) -> np.ndarray:
        """The phases that are in balance with each other: (m, k) rows of the compounds.

        As many as the system has elements, -1 - j for the element j of the system: the lines of a
        binary diagram, the triangles of a ternary one. Found as those phases whose mixture in equal
        parts lies on the hull.
        """
        k, phases = len(self.elements), np.flatnonzero(self.stable)
        rows = np.concatenate([-1 - np.arange(k), phases])
        shares = np.vstack([np.eye(k), self.shares[phases]])
        energies = np.concatenate([np.zeros(k), self.energies[phases]])
        sets = np.array(list(combinations(range(len(rows)), k)))
        sets = sets[np.abs(np.linalg.det(shares[sets])) > 1e-9]  # no three on one line
        middle = np.zeros((len(sets), N_ELEMENTS))
        middle[:, _indices(self.elements)] = shares[sets].mean(axis=1)
        above = energies[sets].mean(axis=1) - self.hull.energy(middle)
        return rows[sets[above < _ON]]


@dataclass(frozen=True)
class Agreement:
    """What a predicted phase diagram has of the true one.

    Attributes
    ----------
    found, missed, false : compounds stable in both, in the true one only, in the predicted one only
    mae : of the distances to the hull, in eV/atom
    """

    found: int
    missed: int
    false: int
    mae: float

    @property
    def f1(self) -> float:
        """F1 of being stable; NaN where nothing is, nor is predicted to be."""
        total = 2 * self.found + self.missed + self.false
        return 2 * self.found / total if total else float("nan")


def agreement(true: np.ndarray, predicted: np.ndarray) -> Agreement:
    """Compare the distances to the hull of n compounds, true and predicted ones, (n,) in eV/atom.

    Negative is stable. Of several systems, give the distances end to end.
    """
    one, other = true < 0, predicted < 0
    mae = float(np.abs(predicted - true).mean()) if len(true) else float("nan")
    return Agreement(
        int((one & other).sum()), int((one & ~other).sum()), int((~one & other).sum()), mae
    )
