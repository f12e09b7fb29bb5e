"""Metals and the metallicity score, as SMACT has them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from smact import Element, d_block, metals

from matgan.chemistry.elements import ELEMENTS
from matgan.chemistry.inputs import Compositions
from matgan.chemistry.oxidation import electronegativities

_CHUNK = 100_000  # compositions at a time


@lru_cache
def is_metal() -> np.ndarray:
    """(85,) bool: what SMACT counts as a metal; germanium and antimony are, promethium is not."""
    return np.isin(ELEMENTS, metals)


def all_metal(compositions: Iterable, on_error: str = "raise", suspicious: str = "raise") -> Any:
    """Which compositions consist of metals only: (n,) bool array.

    Compositions, on_error, suspicious and errors as in `matgan.chemistry.validity.charge_neutral`.
    """
    given = Compositions(compositions, on_error, suspicious)
    out = np.zeros(len(given), dtype=bool)
    for rows, amounts in given.parts(_CHUNK):
        out[rows] = ~amounts[:, ~is_metal()].any(axis=1)
    return given.finish(out)


@lru_cache
def valence_electrons() -> np.ndarray:
    """Valence electrons as SMACT's metallicity score counts them: (85,), NaN where unknown."""
    values = [Element(symbol).num_valence_modified for symbol in ELEMENTS]
    return np.array([np.nan if value is None else float(value) for value in values])


def metallicity(elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Metallicity of compositions, the score of `smact.metallicity.metallicity_score`.

    Weighted sum of the fraction of metal atoms (0.3), the fraction of d-block atoms (0.2), the
    number of metals, 3 or more counting alike (0.2), how close the valence electrons per atom are
    to 8 (0.15), and how little the elements differ in electronegativity (0.15).

    Parameters
    ----------
    elements : (n, k) int array, k >= 2
        Indices of the elements of each composition, by rising electronegativity.
    amounts : (n, k) int array
        How many atoms of each.

    Returns
    -------
    (n,) float64 array from 0 to 1. Equal to SMACT's up to rounding, about 1e-15.
    """
    k = elements.shape[1]
    total = amounts.sum(axis=1)
    metal = is_metal()[elements]
    metal_atoms = (amounts * metal).sum(axis=1) / total
    d_block_atoms = (amounts * np.isin(ELEMENTS, d_block)[elements]).sum(axis=1) / total
    n_metals = np.minimum(metal.sum(axis=1) / 3, 1)
    valence = (amounts * valence_electrons()[elements]).sum(axis=1) / total
    octet = np.where(np.isnan(valence), 0.5, 1 - np.abs(valence - 8) / 8)
    eneg = electronegativities()[elements]
    # the mean difference over the pairs of a sorted row, each element weighted by its place
    pairs = max(k * (k - 1) / 2, 1)  # one element has none, and differs by 0
    difference = (eneg * (2 * np.arange(k) - k + 1)).sum(axis=1) / pairs
    alike = np.where(np.isnan(difference), 0.5, 1 - np.minimum(difference / 3, 1))
    score = 0.3 * metal_atoms + 0.2 * d_block_atoms + 0.2 * n_metals + 0.15 * octet + 0.15 * alike
    return score.clip(0, 1)
