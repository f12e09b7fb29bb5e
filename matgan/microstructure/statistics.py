"""Statistics of periodic microstructures: two-point correlation, lineal path, bounds of C11."""

from __future__ import annotations

import numpy as np
from scipy import fft

from matgan.microstructure.mechanics import Isotropic


def two_point(phases: np.ndarray, dimensions: int | None = None) -> np.ndarray:
    """Chance that two voxels, a vector apart, both belong to the second phase; periodic, by FFT.

    Parameters
    ----------
    phases : (..., n1, n2, n3) bool, or (n1, n2): the voxels of the second phase; leading axes are
        those of many microstructures
    dimensions : how many of the last axes are space; None: two for two axes, else three

    Returns
    -------
    float array of the same shape: place (i, j, k) of the last three (two) axes is the vector
    (i, j, k), so that place 0 is the volume fraction (Niezgoda et al., Acta Mater. 56, 5285, 2008)
    """
    axes = _space(phases, dimensions)
    waves = fft.rfftn(np.asarray(phases, dtype=float), axes=axes)
    shape = phases.shape[axes[0] :]
    return fft.irfftn(np.abs(waves) ** 2, s=shape, axes=axes) / np.prod(shape)


def radial_mean(
    vectors: np.ndarray, longest: int | None = None, dimensions: int | None = None
) -> np.ndarray:
    """A function of the vector, as `two_point` gives it, by length: the mean over directions.

    Parameters
    ----------
    vectors : (..., n1, n2, n3) or (n1, n2): place 0 is the vector 0, periodic
    longest : voxels; None: half of the shortest axis
    dimensions : how many of the last axes are space; None: two for two axes, else three

    Returns
    -------
    (..., longest + 1) float array: place r is the mean over vectors whose length rounds to r

    Raises
    ------
    ValueError
        No vector is as long: periodic axes of n voxels reach to n / 2.
    """
    axes = _space(vectors, dimensions)
    shape = vectors.shape[axes[0] :]
    away = np.meshgrid(*(fft.fftfreq(n, 1 / n) for n in shape), indexing="ij")
    length = np.rint(np.sqrt(sum(one**2 for one in away))).astype(int)
    longest = min(shape) // 2 if longest is None else longest
    if longest > length.max():
        raise ValueError(f"longest must be at most {length.max()} for {shape}, not {longest}")
    return np.stack([vectors[..., length == r].mean(-1) for r in range(longest + 1)], axis=-1)


def lineal_path(
    phases: np.ndarray, axis: int = 0, longest: int | None = None, dimensions: int | None = None
) -> np.ndarray:
    """Chance that a line of voxels along an axis lies in the second phase (Lu and Torquato 1992).

    Parameters
    ----------
    phases : bool, one microstructure, or many with `dimensions`; periodic
    axis : of the line, counted among the axes of space
    longest : voxels; None: up to the length of the axis
    dimensions : how many of the last axes are space; None: all

    Returns
    -------
    (..., longest) float array: place r is a line of r + 1 voxels, so that place 0 is the fraction
    """
    space = phases.ndim if dimensions is None else dimensions
    along = axis - space if axis >= 0 else axis
    start = np.asarray(phases, dtype=bool)
    inside, chances = start, []
    for shift in range(start.shape[along] if longest is None else longest):
        if shift:
            inside = inside & np.roll(start, -shift, along)
        chances.append(inside.mean(tuple(range(-space, 0))))
    return np.stack(chances, axis=-1)


def _space(phases: np.ndarray, dimensions: int | None = None) -> tuple[int, ...]:
    if dimensions is None:
        dimensions = 2 if phases.ndim == 2 else 3
    return tuple(range(-dimensions, 0))


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
    stiffer = (two.bulk, two.shear) > (one.bulk, one.shear)  # in shear where alike in bulk
    return (ends[1], ends[0]) if stiffer else (ends[0], ends[1])


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
