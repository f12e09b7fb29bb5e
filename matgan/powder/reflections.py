"""Reflections of a crystal: which lattice planes diffract, at which spacing, how strongly.

The structure factor F(hkl) = Σ_j o_j f_j(s) exp(2πi (h x_j + k y_j + l z_j)) of all planes at once:
exp(2πi h x) exp(2πi k y) is one matrix, exp(2πi l z) another, and their product sums over the
atoms of an element, each with its occupancy o. Scattering factors are pymatgen's (De Graef and
McHenry, Structure of Materials): f = Z - 41.78214 s² Σ a_i exp(-b_i s²) with s = sin θ / λ. No
anomalous scattering and no thermal motion, so |F(-h)| = |F(h)| and half of reciprocal space is
enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from matgan.crystals.cells import reciprocal_basis
from matgan.crystals.structures import StructureError

_MOST_AT_ONCE = 4_000_000  # complex numbers of the phase matrix held in memory
MAX_BOX = 30_000_000  # planes looked at; a cell that needs more is too long to mean anything


@dataclass(frozen=True)
class Reflections:
    """Planes of one half of reciprocal space.

    Attributes
    ----------
    hkl : (m, 3) int16 array, Miller indices
    length : (m,) float64 array, 1/d in 1/Å
    strength : (m,) float64 array, |F|² for the plane and its opposite together
    """

    hkl: np.ndarray
    length: np.ndarray
    strength: np.ndarray


def reflections(
    cell: np.ndarray,
    numbers: np.ndarray,
    frac: np.ndarray,
    shortest: float,
    longest: float,
    occupancy: np.ndarray | None = None,
) -> Reflections:
    """All reflections with shortest <= 1/d <= longest (1/Å).

    Parameters
    ----------
    cell : (6,) array, a, b, c in Å and α, β, γ in degrees
    numbers : (m,) array, atomic numbers
    frac : (m, 3) array, fractional coordinates
    shortest, longest : of 1/d, 1/Å
    occupancy : (m,) array, the share of cells that have the atom; None: all have all. F is the
        mean of the cells, Σ occupancy f exp(…); the diffuse rest is no reflection

    Raises
    ------
    StructureError
        No such cell; an element without a scattering factor; arrays that do not fit; two atoms in
        one place; a cell so large that its reflections cannot be told apart.
    """
    numbers, frac = np.asarray(numbers), np.asarray(frac, dtype=float)
    if len(numbers) == 0 or frac.shape != (len(numbers), 3) or not np.isfinite(frac).all():
        raise StructureError(
            f"{numbers.shape} atomic numbers and {frac.shape} positions: (m,) and (m, 3) finite "
            "numbers with m > 0 are needed"
        )
    if numbers.dtype.kind not in "iu":
        raise StructureError(f"the atomic numbers are {numbers.dtype}, not whole numbers")
    if occupancy is not None and np.shape(occupancy) != numbers.shape:
        raise StructureError(f"{numbers.shape} atomic numbers, {np.shape(occupancy)} occupancies")
    _check_places(frac, occupancy)
    basis = reciprocal_basis(cell)
    # the longest axis, with the most indices, comes last: only two axes enter the phase matrix
    axes = np.argsort(np.asarray(cell)[:3], kind="stable")
    basis, frac = basis[axes], frac[:, axes]
    reach = np.floor(np.asarray(cell, dtype=float)[:3][axes] * longest + 1e-9)
    # as floats, which do not wrap
    if (2 * reach + 1).prod() > 2 * MAX_BOX or reach.max() > np.iinfo(np.int16).max:
        raise StructureError(f"the cell {np.asarray(cell).tolist()} is too large for a pattern")
    limits = reach.astype(int)
    h, k, l = np.arange(limits[0] + 1), *(np.arange(-n, n + 1) for n in limits[1:])  # noqa: E741
    metric = basis @ basis.T
    squares = (
        (metric[0, 0] * h**2)[:, None, None]
        + (metric[1, 1] * k**2)[:, None]
        + metric[2, 2] * l**2
        + 2 * metric[0, 1] * (h[:, None] * k)[:, :, None]
        + 2 * metric[0, 2] * (h[:, None] * l)[:, None, :]
        + 2 * metric[1, 2] * (k[:, None] * l)
    )  # (H + 1, 2K + 1, 2L + 1), 1/d² of the box
    wanted = (squares >= max(shortest, 1e-6) ** 2) & (squares <= longest**2)
    wanted[0, : limits[1]] = False  # of the plane h = 0, one half
    wanted[0, limits[1], : limits[2]] = False
    chosen = np.flatnonzero(wanted)
    squares = squares.ravel()[chosen]
    amplitude = np.zeros(len(chosen), dtype=complex)
    for element in np.unique(numbers):
        atoms = numbers == element
        weights = None if occupancy is None else np.asarray(occupancy)[atoms]
        sums = _phase_sums(frac[atoms], h, k, l, weights)
        amplitude += scattering_factor(int(element), squares / 4) * sums.ravel()[chosen]
    indices = np.stack(np.unravel_index(chosen, wanted.shape), axis=1) - [0, *limits[1:]]
    hkl = np.empty_like(indices, dtype=np.int16)
    hkl[:, axes] = indices
    return Reflections(hkl, np.sqrt(squares), 2 * np.abs(amplitude) ** 2)


def _check_places(frac: np.ndarray, occupancy: np.ndarray | None) -> None:
    """No place is filled more than once; atoms that share one by their occupancies may."""
    # one number for each place, to 1e-4 of the axes
    code = np.rint(frac % 1 * 10_000).astype(np.int64) % 10_000 @ [10**8, 10**4, 1]
    _, place = np.unique(code, return_inverse=True)
    filled = np.bincount(place, None if occupancy is None else np.asarray(occupancy))
    if filled.max() > 1.01:
        atoms = np.flatnonzero(place == filled.argmax()).tolist()
        raise StructureError(f"the atoms {', '.join(map(str, atoms))} are in one place")


def _phase_sums(frac, h, k, l, weights=None) -> np.ndarray:  # noqa: E741
    """Σ_j w_j exp(2πi (h x_j + k y_j + l z_j)) for all h, k, l: (H + 1, 2K + 1, 2L + 1) array."""
    x, y, z = frac.T
    # angles in double, sums in single precision: an extinct reflection is 1e-6 of a strong one
    first, second, third = (
        np.exp(2j * np.pi * np.outer(index, place)).astype(np.complex64)
        for index, place in ((h, x), (k, y), (l, z))
    )
    if weights is not None:
        third = third * weights.astype(np.float32)
    rows = max(1, _MOST_AT_ONCE // max(1, len(k) * len(frac)))
    parts = [
        (first[i : i + rows, None, :] * second).reshape(-1, len(frac)) @ third.T
        for i in range(0, len(h), rows)
    ]
    return np.concatenate(parts).reshape(len(h), len(k), len(l))


def scattering_factor(number: int, s_squared: np.ndarray) -> np.ndarray:
    """Atomic scattering factor in electrons at s² = (sin θ / λ)² in 1/Å².

    Raises
    ------
    StructureError
        No scattering factor is tabulated for this atomic number.
    """
    a, b = _coefficients(number)
    falling = np.exp(-np.multiply.outer(b, s_squared)).T @ a
    return number - 41.78214 * s_squared * falling


@cache
def _coefficients(number: int) -> tuple[np.ndarray, np.ndarray]:
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
    from pymatgen.core import Element

    try:
        a, b = np.array(ATOMIC_SCATTERING_PARAMS[Element.from_Z(number).symbol]).T
    except (KeyError, ValueError) as error:
        raise StructureError(f"no scattering factor for atomic number {number}") from error
    return a, b
