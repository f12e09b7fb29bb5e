"""Linear elasticity of periodic microstructures: conjugate gradients with an FFT preconditioner.

A voxel is a hexahedral element with one point of integration, its strain the mean over its eight
corners: Willot's rotated scheme (Comptes Rendus Mécanique 343, 232, 2015). The unknowns are the
displacements of the corners, three numbers instead of six strains; forces are summed in real space,
and the rotated scheme's Green operator of one homogeneous material, applied by FFT, is the
preconditioner (as Leute et al., J. Comput. Phys. 453, 110931, 2022, for finite elements). Strains
and stresses are in Voigt order xx, yy, zz, yz, xz, xy, shear strains doubled; stresses have the
unit of Young's modulus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from matgan.learning.compute import compiled

UNIAXIAL = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # strain along the first axis, none across


@dataclass(frozen=True)
class Isotropic:
    """An isotropic elastic material.

    Attributes
    ----------
    young : Young's modulus, above 0
    poisson : Poisson's ratio, between -1 and 0.5

    Raises ValueError for a material that is not stable.
    """

    young: float
    poisson: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.young < np.inf:
            raise ValueError(f"Young's modulus must be above 0, not {self.young}")
        if not -1 < self.poisson < 0.5:
            raise ValueError(f"Poisson's ratio must be between -1 and 0.5, not {self.poisson}")

    @property
    def lame(self) -> float:
        """λ."""
        return self.young * self.poisson / (1 + self.poisson) / (1 - 2 * self.poisson)

    @property
    def shear(self) -> float:
        """μ."""
        return self.young / 2 / (1 + self.poisson)

    @property
    def bulk(self) -> float:
        """K = λ + 2μ/3."""
        return self.lame + 2 * self.shear / 3

    @property
    def uniaxial(self) -> float:
        """C11 = λ + 2μ: stress by strain where the material cannot give way sideways."""
        return self.lame + 2 * self.shear

    def matrix(self) -> np.ndarray:
        """(6, 6) stiffness."""
        matrix = np.diag([2.0, 2, 2, 1, 1, 1]) * self.shear
        matrix[:3, :3] += self.lame
        return matrix


Materials = Sequence[Isotropic]


def two_phases(contrast: float, poisson: float = 0.3) -> tuple[Isotropic, Isotropic]:
    """Two materials: Young's modulus 1, and `contrast` for the second phase."""
    return Isotropic(1.0, poisson), Isotropic(contrast, poisson)


@dataclass(frozen=True)
class Solution:
    """Fields of one load.

    Attributes
    ----------
    strain : (6, n1, n2, n3), one for each voxel
    stress : (6,) mean
    iterations : of the conjugate gradients
    """

    strain: np.ndarray
    stress: np.ndarray
    iterations: int


def solve(
    phases: np.ndarray,
    materials: Materials,
    load: Sequence[float] | np.ndarray = UNIAXIAL,
    tolerance: float = 1e-4,
    most: int = 2000,
) -> Solution:
    """Strain and mean stress under a mean strain, periodic.

    Parameters
    ----------
    phases : (n1, n2, n3) bool or whole numbers: the material of each voxel
    materials : of phase 0, 1, …
    load : (6,) mean strain
    tolerance : of the forces that are left, in the norm of the preconditioner, beside those at the
        start. The mean stress converges with its square.
    most : iterations

    Raises
    ------
    ValueError
        Phases of another shape or without a material, a load of other than six finite strains.
    RuntimeError
        Not converged after `most` iterations.
    """
    phases = np.asarray(phases)
    if phases.ndim != 3 or not phases.size:
        raise ValueError(f"phases must be (n1, n2, n3), not of shape {phases.shape}")
    if not np.isin(phases, np.arange(len(materials))).all():
        raise ValueError(f"phases must be whole numbers from 0 to {len(materials) - 1}")
    numbers = np.ascontiguousarray(phases, dtype=np.int64)
    lame = np.array([m.lame for m in materials])[numbers]
    shear = np.array([m.shear for m in materials])[numbers]
    load = np.asarray(load, dtype=float)
    if load.shape != (6,) or not np.isfinite(load).all():
        raise ValueError(f"the load must be six finite strains, not {load}")
    green = _Green(phases.shape, materials)

    displacement = np.zeros((3, *phases.shape))
    no_load = np.zeros(6)
    left = -_forces(displacement, lame, shear, load)
    # what rounding leaves of the forces in a volume of one material is none
    nothing = 1e-26 * phases.size * max(m.uniaxial for m in materials) * (load @ load)
    direction, start, before, iterations = np.zeros_like(left), 0.0, 1.0, 0
    while True:
        step = green(left)
        norm = np.vdot(left, step)
        start = start or norm
        if norm <= max(tolerance**2 * start, nothing):
            break
        if iterations == most:
            share = np.sqrt(norm / start)
            raise RuntimeError(f"not converged after {most} iterations: {share:.1e} is left")
        direction *= norm / before if iterations else 0.0
        direction += step
        change = _forces(direction, lame, shear, no_load)
        length = norm / np.vdot(direction, change)
        displacement += length * direction
        left -= length * change
        before, iterations = norm, iterations + 1

    strain = _strain(displacement, load)
    stress = 2 * shear * strain
    stress[3:] /= 2  # of shear strains, which are doubled
    stress[:3] += lame * strain[:3].sum(0)
    return Solution(strain, stress.mean((1, 2, 3)), iterations)


def effective_c11(phases: np.ndarray, materials: Materials, tolerance: float = 1e-4) -> float:
    """Effective C11: the mean stress along the first axis at a uniaxial mean strain of 1."""
    return float(solve(phases, materials, UNIAXIAL, tolerance).stress[0])


def effective_stiffness(
    phases: np.ndarray, materials: Materials, tolerance: float = 1e-4
) -> np.ndarray:
    """(6, 6) effective stiffness, from six loads; symmetric as far as they converged."""
    return np.stack([solve(phases, materials, e, tolerance).stress for e in np.eye(6)], axis=1)


def refined(phases: np.ndarray, factor: int) -> np.ndarray:
    """Each voxel divided into factor³: the same microstructure on a finer grid."""
    return phases.repeat(factor, 0).repeat(factor, 1).repeat(factor, 2)


# --- the operators ------------------------------------------------------------------------------


class _Green:
    """Displacements that forces would cause in one homogeneous material, by FFT.

    In the rotated scheme the derivative along axis i is, at a frequency ξ, a factor common to all
    axes times κᵢ = 2 sin(ξᵢ/2) Π cos(ξⱼ/2) over the other axes; the acoustic tensor is real.
    """

    def __init__(self, shape: Sequence[int], materials: Materials):
        self.shape = tuple(shape)
        n1, n2, n3 = self.shape
        halves = [np.pi * fft.fftfreq(n1), np.pi * fft.fftfreq(n2), np.pi * fft.rfftfreq(n3)]
        grid = np.meshgrid(*halves, indexing="ij")
        sines, cosines = np.sin(grid), np.cos(grid)
        cosines[np.abs(cosines) < 1e-12] = 0.0  # at the highest frequency of an even axis
        kappa = np.stack([2 * sines[i] * cosines[i - 1] * cosines[i - 2] for i in range(3)])
        square = (kappa**2).sum(0)
        # no force and no strain there: the mean, and the waves from corner to corner of a voxel
        silent = square < 1e-20
        square[silent] = 1.0
        # of the reference only Poisson's ratio matters for the number of iterations
        shear = np.mean([m.shear for m in materials])
        lame = np.mean([m.lame for m in materials])
        self.direction = kappa / np.sqrt(square)
        self.factor = np.where(silent, 0.0, 1 / (shear * square))
        self.along = (lame + shear) / (lame + 2 * shear)

    def __call__(self, forces: np.ndarray) -> np.ndarray:
        waves = fft.rfftn(forces, axes=(1, 2, 3))
        _respond(waves, self.direction, self.factor, self.along)
        return fft.irfftn(waves, s=self.shape, axes=(1, 2, 3), overwrite_x=True)


@compiled
def _respond(waves, direction, factor, along):
    """(1 - α n nᵀ) f / μκ² for each frequency, in place."""
    _, n1, n2, n3 = waves.shape
    for i in range(n1):
        for j in range(n2):
            for k in range(n3):
                a, b, c = direction[0, i, j, k], direction[1, i, j, k], direction[2, i, j, k]
                x, y, z = waves[0, i, j, k], waves[1, i, j, k], waves[2, i, j, k]
                part = along * (a * x + b * y + c * z)
                scale = factor[i, j, k]
                waves[0, i, j, k] = scale * (x - part * a)
                waves[1, i, j, k] = scale * (y - part * b)
                waves[2, i, j, k] = scale * (z - part * c)


@compiled
def _slope(u, c, i, i1, j, j1, k, k1):
    """Derivatives of one displacement in a voxel, means over its four edges along each axis."""
    a0, a1, b0, b1 = u[c, i, j, k], u[c, i, j, k1], u[c, i, j1, k], u[c, i, j1, k1]
    c0, c1, d0, d1 = u[c, i1, j, k], u[c, i1, j, k1], u[c, i1, j1, k], u[c, i1, j1, k1]
    along_1 = 0.25 * (c0 + c1 + d0 + d1 - a0 - a1 - b0 - b1)
    along_2 = 0.25 * (b0 + b1 + d0 + d1 - a0 - a1 - c0 - c1)
    along_3 = 0.25 * (a1 + b1 + c1 + d1 - a0 - b0 - c0 - d0)
    return along_1, along_2, along_3


@compiled
def _spread(f, c, i, i1, j, j1, k, k1, s1, s2, s3):
    """The transpose of `_slope`: a voxel's stresses as forces on its corners."""
    s1, s2, s3 = 0.25 * s1, 0.25 * s2, 0.25 * s3
    f[c, i, j, k] -= s1 + s2 + s3
    f[c, i, j, k1] -= s1 + s2 - s3
    f[c, i, j1, k] -= s1 - s2 + s3
    f[c, i, j1, k1] -= s1 - s2 - s3
    f[c, i1, j, k] += s1 - s2 - s3
    f[c, i1, j, k1] += s1 - s2 + s3
    f[c, i1, j1, k] += s1 + s2 - s3
    f[c, i1, j1, k1] += s1 + s2 + s3


@compiled
def _forces(u, lame, shear, load):
    """(3, n1, n2, n3) forces on the corners at displacements and a mean strain."""
    _, n1, n2, n3 = u.shape
    f = np.zeros_like(u)
    for i in range(n1):
        i1 = i + 1 if i + 1 < n1 else 0
        for j in range(n2):
            j1 = j + 1 if j + 1 < n2 else 0
            for k in range(n3):
                k1 = k + 1 if k + 1 < n3 else 0
                xx, xy, xz = _slope(u, 0, i, i1, j, j1, k, k1)
                yx, yy, yz = _slope(u, 1, i, i1, j, j1, k, k1)
                zx, zy, zz = _slope(u, 2, i, i1, j, j1, k, k1)
                xx, yy, zz = xx + load[0], yy + load[1], zz + load[2]
                mu = shear[i, j, k]
                pressure = lame[i, j, k] * (xx + yy + zz)
                s4, s5 = mu * (yz + zy + load[3]), mu * (xz + zx + load[4])
                s6 = mu * (xy + yx + load[5])
                s1, s2, s3 = pressure + 2 * mu * xx, pressure + 2 * mu * yy, pressure + 2 * mu * zz
                _spread(f, 0, i, i1, j, j1, k, k1, s1, s6, s5)
                _spread(f, 1, i, i1, j, j1, k, k1, s6, s2, s4)
                _spread(f, 2, i, i1, j, j1, k, k1, s5, s4, s3)
    return f


@compiled
def _strain(u, load):
    """(6, n1, n2, n3) strain of each voxel."""
    _, n1, n2, n3 = u.shape
    strain = np.empty((6, n1, n2, n3))
    for i in range(n1):
        i1 = i + 1 if i + 1 < n1 else 0
        for j in range(n2):
            j1 = j + 1 if j + 1 < n2 else 0
            for k in range(n3):
                k1 = k + 1 if k + 1 < n3 else 0
                xx, xy, xz = _slope(u, 0, i, i1, j, j1, k, k1)
                yx, yy, yz = _slope(u, 1, i, i1, j, j1, k, k1)
                zx, zy, zz = _slope(u, 2, i, i1, j, j1, k, k1)
                strain[0, i, j, k], strain[1, i, j, k] = xx + load[0], yy + load[1]
                strain[2, i, j, k], strain[3, i, j, k] = zz + load[2], yz + zy + load[3]
                strain[4, i, j, k], strain[5, i, j, k] = xz + zx + load[4], xy + yx + load[5]
    return strain
