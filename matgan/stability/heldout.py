"""Chemical systems that a model never saw: which ones, and what its phase diagrams are worth.

Jha et al. (Sci. Rep. 8, 17593, 2018) left the compounds of Ti-O and of Na-Fe-Mn-O out of ElemNet's
training and looked at the phase diagrams that it predicts. Two systems tell little, so twenty more
are drawn here by a rule that looks at no energy. All are left out of one training together; larger
systems that hold one of them, such as Ti-O-S, stay, as they did there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from matgan.chemistry.elements import ELEMENTS
from matgan.data.splits import random_generator
from matgan.stability.diagrams import Diagram, agreement, within

System = tuple[str, ...]
NAMED: tuple[System, ...] = (("Ti", "O"), ("Na", "Fe", "Mn", "O"))
FEWEST = {2: 10, 3: 25, 4: 50}  # compounds of a system of two, three and four elements
DRAWN = {2: 7, 3: 7, 4: 6}  # systems of each kind
POOLED = "all systems"


def systems_to_hold_out(amounts: np.ndarray, seed: int = 0) -> list[System]:
    """The two systems of the paper, then twenty drawn at random among those that are well known.

    Well known is a system of which some compound holds all elements, and of which `FEWEST`
    compounds or more are known, those of fewer elements included. `DRAWN` are drawn of each number
    of elements.

    Parameters
    ----------
    amounts : (n, 85) all known compounds
    seed : of the draw

    Raises
    ------
    ValueError
        There are too few of them.
    """
    present = np.asarray(amounts) > 0
    packed = np.packbits(present, axis=1)  # rows as one value each: many times faster
    _, first, compounds = np.unique(
        packed.view(f"V{packed.shape[1]}")[:, 0], return_index=True, return_counts=True
    )
    known = {
        tuple(np.flatnonzero(present[row]).tolist()): int(n)
        for row, n in zip(first, compounds, strict=True)
    }
    chosen = list(NAMED)
    for size, wanted in DRAWN.items():
        able = [
            tuple(ELEMENTS[e] for e in system)
            for system in sorted(known)
            if len(system) == size and _inside(system, known) >= FEWEST[size]
        ]
        able = [system for system in able if set(system) not in map(set, NAMED)]
        if len(able) < wanted:
            raise ValueError(f"{len(able)} systems of {size} elements are well known, not {wanted}")
        drawn = random_generator(seed, size).choice(len(able), wanted, replace=False)
        chosen += [able[place] for place in sorted(drawn)]
    return chosen


def _inside(system: tuple[int, ...], known: dict[tuple[int, ...], int]) -> int:
    """Compounds of a system, those of fewer of its elements included."""
    sizes = range(1, len(system) + 1)
    return sum(known.get(part, 0) for size in sizes for part in combinations(system, size))


def held_out(compositions: Iterable, systems: Iterable[Sequence[str]]) -> np.ndarray:
    """Which of n compositions lie within one of the systems or more: (n,) bool."""
    inside = [within(compositions, system) for system in systems]
    return np.any(inside, axis=0)


def named(system: Sequence[str]) -> str:
    """Text of a system, such as "Na-Fe-Mn-O"."""
    return "-".join(system)


def diagram_scores(
    systems: Iterable[System], amounts: np.ndarray, energies: np.ndarray, predicted: np.ndarray
) -> pd.DataFrame:
    """What predicted phase diagrams have of the true ones: a row for each system, and for all.

    Parameters
    ----------
    systems : those that are looked at
    amounts : (n, 85) their compounds, and others that are not looked at
    energies, predicted : (n,) in eV/atom. Both hulls are those of the system alone.

    Returns
    -------
    DataFrame: system, compounds, stable, found, missed, false, f1, mae_distance, mae_energy
    (eV/atom); the last row is pooled, and counts a compound of two systems twice
    """
    rows, ends = [], []
    for system in systems:
        rows_of = within(amounts, system)
        true, other = (Diagram(system, amounts[rows_of], e[rows_of]) for e in (energies, predicted))
        ends.append((true.distance, other.distance, np.abs(true.energies - other.energies)))
        rows.append(_row(named(system), *ends[-1]))
    together = [np.concatenate(parts) for parts in zip(*ends, strict=True)]
    return pd.DataFrame([*rows, _row(POOLED, *together)])


def _row(name: str, true: np.ndarray, predicted: np.ndarray, error: np.ndarray) -> dict:
    found = agreement(true, predicted)
    row = {"system": name, "compounds": len(true), "stable": found.found + found.missed}
    row |= {"found": found.found, "missed": found.missed, "false": found.false, "f1": found.f1}
    return row | {"mae_distance": found.mae, "mae_energy": float(error.mean())}
