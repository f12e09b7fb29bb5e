"""What networks for microstructures are held against: polynomials, two-point statistics, MKS.

All are fitted with `fit(volumes, values)` and asked with `predict(volumes)`, as in scikit-learn;
volumes are (N, n, n, n) bool.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from matgan.microstructure.mechanics import Isotropic
from matgan.microstructure.statistics import two_point, voigt_reuss


def volume_fraction(volumes: np.ndarray) -> np.ndarray:
    """(N,) shares of the second phase."""
    return np.asarray(volumes, dtype=bool).reshape(len(volumes), -1).mean(1)


def between_bounds(
    c11: np.ndarray, fraction: np.ndarray, materials: tuple[Isotropic, Isotropic]
) -> np.ndarray:
    """Where C11 lies between its bounds: 0 for equal stresses (Reuss), 1 for equal strains (Voigt).

    What networks and regressions learn: it takes the volume fraction's large part away.

    Parameters
    ----------
    c11, fraction : (N,)
    materials : of the first and the second phase
    """
    upper, lower = voigt_reuss(fraction, materials)
    width = upper - lower
    return np.where(width > 0, c11 - lower, 0.0) / np.where(width > 0, width, 1.0)


def from_bounds(
    position: np.ndarray, fraction: np.ndarray, materials: tuple[Isotropic, Isotropic]
) -> np.ndarray:
    """C11 of a place between its bounds: the inverse of `between_bounds`.

    Parameters
    ----------
    position, fraction : (N,)
    materials : of the first and the second phase
    """
    upper, lower = voigt_reuss(fraction, materials)
    return lower + position * (upper - lower)


def fraction_polynomial(degree: int = 3) -> Pipeline:
    """A polynomial in the volume fraction, by least squares: what needs no microstructure."""
    return make_pipeline(
        FunctionTransformer(_fraction_column),
        PolynomialFeatures(degree),
        LinearRegression(fit_intercept=False),
    )


def two_point_regression(components: int = 20, degree: int = 2, seed: int = 0) -> Pipeline:
    """Principal components of the two-point statistics, and a polynomial of these.

    After Gupta et al., Acta Mater. 91, 239 (2015); the ridge is chosen by leaving one out.

    Parameters
    ----------
    components : of the PCA
    degree : of the polynomial
    seed : of the PCA, which is randomised
    """
    return make_pipeline(
        FunctionTransformer(_half_statistics),
        PCA(components, svd_solver="randomized", random_state=seed),
        StandardScaler(),
        PolynomialFeatures(degree),
        RidgeCV(alphas=np.logspace(-4, 3, 15)),
    )


def short_vector_regression(
    powers: Sequence[int] = (0, 1, 2, 3), components: int = 20, degree: int = 2, seed: int = 0
) -> Pipeline:
    """`two_point_regression` that looks at short vectors, and at the volume fraction beside them.

    Long vectors are many, and components of the statistics as they are go to them, whereas C11
    hangs on short ones: here they are divided by a power of their length (at least one voxel)
    first. Statistics are averaged over the symmetries that keep C11 along the first axis, as a
    network sees volumes after them (`matgan.microstructure.examples.move`). The power is that of
    the lowest absolute error in a five-fold cross-validation inside the part that is learned from;
    `chosen_power` tells which.

    Parameters
    ----------
    powers : of the length, to choose from
    components, degree, seed : see `two_point_regression`
    """
    over_length = FunctionTransformer(_over_length)
    pca = PCA(components, svd_solver="randomized", random_state=seed)
    regression = make_pipeline(
        make_union(make_pipeline(over_length, pca), FunctionTransformer(_at_nought)),
        StandardScaler(),
        PolynomialFeatures(degree),
        RidgeCV(alphas=np.logspace(-4, 3, 15)),
    )
    choice = GridSearchCV(
        regression,
        {f"{_WEIGHTS}__kw_args": [{"power": power} for power in powers]},
        scoring="neg_mean_absolute_error",
        cv=KFold(5, shuffle=True, random_state=seed),
    )
    return make_pipeline(FunctionTransformer(_symmetric_vectors), choice)


# where the choice finds the power among the steps
_WEIGHTS = "featureunion__pipeline__functiontransformer"


def chosen_power(fitted: Pipeline) -> int:
    """The power of the length that a fitted `short_vector_regression` has chosen."""
    return fitted[-1].best_params_[f"{_WEIGHTS}__kw_args"]["power"]


def _over_length(vectors: np.ndarray, power: int = 0) -> np.ndarray:
    """(N, m) statistics over a power of the length of their vectors, of (N, half, n, n)."""
    n = vectors.shape[2]
    away = [np.minimum(np.arange(m), n - np.arange(m)) for m in vectors.shape[1:]]
    length = np.sqrt(sum(one**2 for one in np.meshgrid(*away, indexing="ij")))
    weighted = vectors / np.maximum(length, 1.0).astype(np.float32) ** power
    return weighted.reshape(len(vectors), -1)


def _at_nought(vectors: np.ndarray) -> np.ndarray:
    """(N, 1) statistics of the vector 0: the volume fraction."""
    return vectors[:, 0, 0, 0][:, None]


def _fraction_column(volumes: np.ndarray) -> np.ndarray:
    return volume_fraction(volumes)[:, None]


def _half_vectors(volumes: np.ndarray) -> np.ndarray:
    """(N, half, n, n) two-point statistics without opposite vectors, which have the same."""
    half = volumes.shape[1] // 2 + 1
    parts = [two_point(volumes[i : i + 100])[:, :half] for i in range(0, len(volumes), 100)]
    return np.concatenate(parts).astype(np.float32)


def _symmetric_vectors(volumes: np.ndarray) -> np.ndarray:
    """`_half_vectors`, the mean over mirrors and over the exchange of the last two axes.

    Opposite vectors have the same, so the mirror of the first axis is that of the other two.
    """
    vectors = _half_vectors(volumes)
    for axis in (2, 3):  # n - 1 vectors back to front, 0 stays
        vectors = (vectors + np.roll(np.flip(vectors, axis), 1, axis)) / 2
    return (vectors + vectors.swapaxes(2, 3)) / 2


def _half_statistics(volumes: np.ndarray) -> np.ndarray:
    return _half_vectors(volumes).reshape(len(volumes), -1)


# --- local strains ------------------------------------------------------------------------------


class PhaseMeans:
    """The mean strain of each phase, whatever is around."""

    def fit(self, volumes: np.ndarray, fields: np.ndarray) -> PhaseMeans:
        """Learn two numbers from (N, n, n, n) fields."""
        self.means = np.array([fields[~volumes].mean(), fields[volumes].mean()])
        return self

    def predict(self, volumes: np.ndarray) -> np.ndarray:
        """(N, n, n, n)."""
        return self.means[volumes.astype(int)]


class MKS:
    """Materials knowledge system: the field is a convolution of the phases, learned by FFT.

    First-order series of Landi, Niezgoda and Kalidindi, Acta Mater. 58, 2716 (2010): least squares
    for each frequency. The two phases add up to one, so that one kernel is left, and the mean.
    """

    def fit(self, volumes: np.ndarray, fields: np.ndarray) -> MKS:
        """Learn the kernel from (N, n, n, n) fields."""
        waves = fft.rfftn(np.asarray(volumes, float), axes=(1, 2, 3))
        answer = fft.rfftn(np.asarray(fields, float), axes=(1, 2, 3))
        power = (np.abs(waves) ** 2).sum(0)
        self.kernel = (answer * waves.conj()).sum(0) / np.maximum(power, 1e-12)
        self.kernel[0, 0, 0] = 0.0
        self.mean = float(np.mean(fields))
        return self

    def predict(self, volumes: np.ndarray) -> np.ndarray:
        """(N, n, n, n)."""
        waves = fft.rfftn(np.asarray(volumes, float), axes=(1, 2, 3)) * self.kernel
        return fft.irfftn(waves, s=volumes.shape[1:], axes=(1, 2, 3)) + self.mean

    def in_space(self, shape: tuple[int, int, int]) -> np.ndarray:
        """The kernel in real space: what a voxel of the second phase adds at each vector from it.

        Parameters
        ----------
        shape : of the volumes that it learned from
        """
        return fft.irfftn(self.kernel, s=shape)
