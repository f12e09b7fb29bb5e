"""The same perovskites in two collections, which shows the unit of Castelli's energies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from matgan.crystals.structures import Structures

_CUBIC = 221  # Pm-3m


def cubic_perovskites(structures: Structures) -> pd.DataFrame:
    """Cubic perovskites ABX3 of five atoms among Materials Project structures.

    B is the metal that lies nearer to the anions.

    Parameters
    ----------
    structures : with space groups and e_form, eV/atom

    Returns
    -------
    DataFrame: numbers (A, B, X), formula, e_form (eV/atom)
    """
    from pymatgen.core import Element

    symbols = [Element.from_Z(z).symbol for z in range(1, 104)]
    cubic = (structures.table["space_group"] == _CUBIC).to_numpy()
    candidates = np.flatnonzero(cubic & (np.diff(structures.first) == 5))
    rows = []
    for i in map(int, candidates):
        cell, numbers, frac = structures[i]
        kinds, counts = np.unique(numbers, return_counts=True)
        if sorted(counts) != [1, 1, 3]:
            continue
        anion, metals = int(kinds[counts == 3][0]), kinds[counts == 1]
        a, b = sorted(metals, key=lambda z: -_nearest(cell, frac, numbers == z, numbers == anion))
        formula = f"{symbols[a - 1]}{symbols[b - 1]}{symbols[anion - 1]}3"
        row = {"numbers": (int(a), int(b), anion), "formula": formula}
        rows.append(row | {"e_form": structures.table["e_form"].iloc[i]})
    return pd.DataFrame(rows, columns=["numbers", "formula", "e_form"])


def in_both(perovskites: Structures, structures: Structures) -> pd.DataFrame:
    """Compounds with three equal anions that are in Castelli's collection and in the other one.

    Parameters
    ----------
    perovskites : as from `castelli.load_castelli`
    structures : as for `cubic_perovskites`

    Returns
    -------
    DataFrame as from `cubic_perovskites`, with heat as in Castelli's collection
    """
    numbers = perovskites.numbers.reshape(-1, 5).astype(int)
    equal = (numbers[:, 2:] == numbers[:, 2:3]).all(1)
    keys = map(tuple, numbers[equal, :3].tolist())
    heat = dict(zip(keys, perovskites.table["heat"][equal], strict=True))
    found = cubic_perovskites(structures)
    found["heat"] = found["numbers"].map(heat)
    return found.dropna().reset_index(drop=True)


def _nearest(cell: np.ndarray, frac: np.ndarray, one: np.ndarray, others: np.ndarray) -> float:
    """Distance of an atom to the nearest of others in a cubic cell, Å."""
    apart = frac[others] - frac[one]
    return float(np.linalg.norm((apart - np.round(apart)) * cell[0], axis=1).min())
