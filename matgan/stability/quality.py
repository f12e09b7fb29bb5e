"""How good a prediction of stability is: F1, enrichment, distances; and a control without energies.

A prediction is a distance to the hull, or only a rank: a control such as the number of compounds
that are known already in a system says which comes first, not how far from the hull it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.elements import N_ELEMENTS

# Of `KnownSystems.thin`: where the networks of `predict` are wrong by more than twice as much as on
# all of OQMD's chemical systems held out (`python -m matgan jobs run neighbourhoods`)
THIN_SYSTEM, THIN_ELEMENT = 1, 8800
FIRST = (100, 5000)  # candidates that somebody would compute
NEAR = 0.05  # eV/atom: compounds that lie so near the hull are often made


def stability_scores(
    true: ArrayLike,
    predicted: ArrayLike,
    ranks: bool = False,
    first: Sequence[int] = FIRST,
    near: float = NEAR,
) -> dict[str, float]:
    """What predicted distances to the hull, or ranks, say of which compounds are stable.

    Parameters
    ----------
    true : (n,) distances to the hull in eV/atom; stable is negative
    predicted : (n,) predicted ones; or with `ranks` any numbers, the most probably stable lowest
    ranks : then no number of `predicted` is a distance: scores that need one are NaN
    first : numbers of compounds that would be looked at
    near : distance in eV/atom up to which a compound counts as near the hull

    Returns
    -------
    dict: compounds; stable (share); f1, precision, recall and false_positives (share of the
    unstable) of a negative prediction; f1_ranked, when as many are called stable as are;
    enrichment_N, the share of stable compounds among the first N over that of all; precision_near
    and near_ranked, the same for being near the hull; mae of the distance in eV/atom. Among equal
    predictions each is as likely to come first.

    Raises
    ------
    ValueError
        Arrays of other lengths, none, or a number that is not finite; names the row.
    """
    true, predicted = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)
    if true.ndim != 1 or true.shape != predicted.shape or not len(true):
        raise ValueError(f"{true.shape} true and {predicted.shape} predicted distances")
    if len(wrong := np.flatnonzero(~(np.isfinite(true) & np.isfinite(predicted)))):
        row = int(wrong[0])
        raise ValueError(f"row {row}: {predicted[row]} was predicted for {true[row]}")
    stable, by_hull = true < 0, true <= near
    row = {"compounds": float(len(true)), "stable": float(stable.mean())}
    called = predicted < 0
    both = float((called & stable).sum())
    row["f1"] = _share(2 * both, called.sum() + stable.sum())
    row["precision"] = _share(both, called.sum())
    row["recall"] = _share(both, stable.sum())
    row["false_positives"] = _share((called & ~stable).sum(), (~stable).sum())
    row["precision_near"] = _share((by_hull & (predicted <= near)).sum(), (predicted <= near).sum())
    row["mae"] = float(np.abs(predicted - true).mean())
    if ranks:
        without = ("f1", "precision", "recall", "false_positives", "precision_near", "mae")
        row |= dict.fromkeys(without, float("nan"))
    for name, which in {"f1_ranked": stable, "near_ranked": by_hull}.items():
        row[name] = _share(_among_first(which, predicted, int(which.sum())), which.sum())
    for n in first:
        found = _share(_among_first(stable, predicted, min(n, len(true))), min(n, len(true)))
        row[f"enrichment_{n}"] = _share(found, row["stable"])
    return row


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _among_first(which: np.ndarray, score: np.ndarray, n: int) -> float:
    """How many of `which` are expected among the n lowest scores, equal ones in random order."""
    if n == 0:
        return 0.0
    last = np.partition(score, n - 1)[n - 1]
    before, tied = score < last, score == last
    return float(which[before].sum() + which[tied].mean() * (n - before.sum()))


class KnownSystems:
    """Known compounds by chemical system: how many lie around a composition.

    Parameters
    ----------
    known : compounds, in any form that `matgan.amounts_matrix` takes; single elements do not count
    """

    def __init__(self, known: Iterable):
        held = amounts_matrix(known) > 0
        held = held[held.sum(axis=1) > 1]
        self.holding = held.sum(axis=0)  # compounds of each element
        distinct, times = np.unique(np.packbits(held, axis=1), axis=0, return_counts=True)
        self._compounds = dict(zip(_systems(distinct), times.tolist(), strict=True))

    def within(self, compositions: Iterable) -> np.ndarray:
        """How many known compounds lie in the chemical system of each of n compositions: (n,) int.

        Those of fewer of its elements count, so that a system nobody has looked at has those of its
        binaries.
        """
        asked = np.packbits(amounts_matrix(compositions) > 0, axis=1)
        distinct, place = np.unique(asked, axis=0, return_inverse=True)
        totals = [_inside(system, self._compounds) for system in _systems(distinct)]
        return np.array(totals, dtype=int)[place.ravel()] if totals else np.zeros(0, dtype=int)

    def thin(self, compositions: Iterable) -> np.ndarray:
        """Which of n compositions have too few known compounds around them: (n,) bool.

        Those of a system without a known compound, and those with an element that few compounds
        hold: where the error on systems held out is more than twice that of all.
        """
        asked = amounts_matrix(compositions)
        return (self.rarest(asked) < THIN_ELEMENT) | (self.within(asked) < THIN_SYSTEM)

    def rarest(self, compositions: Iterable) -> np.ndarray:
        """How many known compounds hold, of each of n compositions, the rarest element: (n,) int.

        The largest integer where there is no element.
        """
        asked = amounts_matrix(compositions)
        return np.where(asked > 0, self.holding, np.iinfo(int).max).min(axis=1)


def _systems(packed: np.ndarray) -> list[tuple[int, ...]]:
    """Chemical systems, packed as bits, as rising numbers of elements."""
    held = np.unpackbits(packed, axis=1, count=N_ELEMENTS).reshape(-1, N_ELEMENTS)
    return [tuple(np.flatnonzero(row).tolist()) for row in held]


def _inside(system: tuple[int, ...], counted: dict[tuple[int, ...], int]) -> int:
    if len(system) > 12:  # subsets would be too many
        elements = set(system)
        return sum(n for part, n in counted.items() if elements.issuperset(part))
    sizes = range(2, len(system) + 1)
    return sum(counted.get(part, 0) for size in sizes for part in combinations(system, size))
