"""Statistics of periodic microstructures: two-point correlation, lineal path, bounds of C11."""

from __future__ import annotations

import numpy as np
from scipy import fft

from matgan.microstructure.mechanics import Isotropic


def two_point(phases: np.ndarray) -> np.ndarray:
    """Chance that two voxels, a vector apart, both belong to the second phase; periodic, by FFT.

    Parameters
    ----------
    phases : (..., n1, n2, n3) bool, or (n1, n2): the voxels of the second phase; a leading axis is
        one of many volumes

    Returns
    -------
    float array of the same shape: place (i, j, k) of the last three (two) axes is the vector
    (i, j, k), so that place 0 is the volume fraction (Niezgoda et al., Acta Mater. 56, 5285, 2008)
    """
    axes = _space(phases)
    waves = fft.rfftn(np.asarray(phases, dtype=float), axes=axes)
    shape = phases.shape[axes[0] :]
    return fft.irfftn(np.abs(waves) ** 2, s=shape, axes=axes) / np.prod(shape)


def lineal_path(phases: np.ndarray, axis: int = 0, longest: int | None = None) -> np.ndarray:
    """Chance that a line of voxels along an axis lies in the second phase (Lu and Torquato 1992).

    Parameters
    ----------
    phases : bool, one microstructure; periodic
    axis : of the line
    longest : voxels; None: up to the length of the axis

    Returns
    -------
    (longest,) float array: place r is a line of r + 1 voxels, so that place 0 is the fraction
    """
    inside = np.asarray(phases, dtype=bool)
    chances = []
    for shift in range(inside.shape[axis] if longest is None else longest):
        if shift:
            inside = inside & np.roll(phases, -shift, axis).astype(bool)
        chances.append(inside.mean())
    return np.array(chances)


def _space(phases: np.ndarray) -> tuple[int, ...]:
    return (-2, -1) if phases.ndim == 2 else (-3, -2, -1)


# --- bounds -------------------------------------------------------------------------------------


def voigt_reuss(
    fraction: np.ndarray, materials: tuple[Isotropic, Isotropic]
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of C11 of any mixture: equal strains (rule of mixtures) above, equal stresses below.

    Parameters
    ----------
    fraction : of the second phase, any shape
    materials : of the first and the second phase

    Returns
    -------
    two arrays of that shape: C11 of the mean stiffness; C11 of the inverse of the mean compliance
    """
    fraction = np.asarray(fraction, dtype=float)
    one, two = materials
    upper = one.uniaxial + fraction * (two.uniaxial - one.uniaxial)
    # of isotropic materials the bulk and the shear modulus average each for itself
    bulk = 1 / ((1 - fraction) / one.bulk + fraction / two.bulk)
    shear = 1 / ((1 - fraction) / one.shear + fraction / two.shear)
    return upper, bulk + 4 / 3 * shear


def hashin_shtrikman(
    fraction: np.ndarray, materials: tuple[Isotropic, Isotropic]
) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower bound of C11 of a mixture that is isotropic as a whole.

    Hashin and Shtrikman, J. Mech. Phys. Solids 11, 127 (1963), for bulk and shear modulus; the
    stiffer material must be so in both.

    Parameters
    ----------
    fraction : of the second phase, any shape
    materials : of the first and the second phase

    Returns
    -------
    two arrays of that shape

    Raises
    ------
    ValueError
        One material has the larger bulk modulus, the other the larger shear modulus.
    """
    fraction = np.asarray(fraction, dtype=float)
    one, two = materials
    if (one.bulk - two.bulk) * (one.shear - two.shear) < 0:
        raise ValueError(f"neither material is the stiffer in bulk and in shear: {one}, {two}")
    ends = [
        _around(one, two, fraction),
        _around(two, one, 1 - fraction),
    ]
    return (ends[1], ends[0]) if two.bulk > one.bulk else (ends[0], ends[1])


def _around(matrix: Isotropic, inside: Isotropic, fraction: np.ndarray) -> np.ndarray:
    """C11 of the extreme mixture in which one material surrounds a fraction of the other."""
    stiff = matrix.bulk + 4 / 3 * matrix.shear
    bulk = matrix.bulk + fraction * (inside.bulk - matrix.bulk) * stiff / (
        stiff + (1 - fraction) * (inside.bulk - matrix.bulk)
    )
    soft = matrix.shear * (9 * matrix.bulk + 8 * matrix.shear)
    soft = soft / (6 * (matrix.bulk + 2 * matrix.shear))
    total = matrix.shear + soft
    shear = matrix.shear + fraction * (inside.shear - matrix.shear) * total / (
        total + (1 - fraction) * (inside.shear - matrix.shear)
    )
    return bulk + 4 / 3 * shear
