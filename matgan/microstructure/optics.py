"""How much light a patterned film absorbs: rigorous coupled-wave analysis of one layer.

Fields are Fourier series in the plane (Moharam et al., J. Opt. Soc. Am. A 12, 1068, 1995), the
products of fields and permittivities follow Li's rules (J. Opt. Soc. Am. A 14, 2758, 1997). The
layer is not taken apart into its modes: a thin slice of it, in closed form, is doubled until it is
half of the layer, which is enough since the layer is its own mirror image.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Film:
    """A film of two phases between a gas and a glass, and the light that falls on it straight.

    The review names neither materials nor wavelength nor sizes. Ours: amorphous silicon
    (evaporated; refractive index about 4.2 + 0.5 i at 600 nm) in silica (1.46), on silica, in air;
    a cell of 500 nm, 200 nm thick.

    Attributes
    ----------
    first, second : refractive indices of the phases; the imaginary part absorbs
    period, thickness, wavelength : nm
    above, below : real refractive indices of the half-spaces

    Raises ValueError for a length that is not above 0, and for a phase that amplifies or whose
    index is no number.
    """

    first: complex = 1.46
    second: complex = 4.2 + 0.5j
    period: float = 500.0
    thickness: float = 200.0
    wavelength: float = 600.0
    above: float = 1.0
    below: float = 1.46

    def __post_init__(self) -> None:
        for name in ("period", "thickness", "wavelength", "above", "below"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("first", "second"):
            index = complex(getattr(self, name))
            if not cmath.isfinite(index) or index.imag < 0:
                raise ValueError(
                    f"{name} must be finite, its imaginary part not negative, not {index}"
                )


WAVE_ORDERS = 5  # of the searches; what more change is measured in the job
FINER_ORDERS = WAVE_ORDERS + 2  # that winners, and what they are held against, are computed with


def absorbed(phases: np.ndarray, film: Film = Film(), orders: int = WAVE_ORDERS) -> float:
    """Share of unpolarised light that the film absorbs.

    Parameters
    ----------
    phases : (n, n) bool, one period of the film: the pixels of the second phase
    film : materials and sizes
    orders : see `balance`
    """
    return float(balance(phases, film, orders)[2].mean())


def balance(
    phases: np.ndarray, film: Film = Film(), orders: int = WAVE_ORDERS, corners: bool = False
) -> np.ndarray:
    """Reflected, transmitted and absorbed share of light polarised along each axis.

    Parameters
    ----------
    phases : (n, n) bool
    film : materials and sizes
    orders : plane waves go to this number of periods a cell
    corners : whether the waves fill a square; False: a circle, with a third or more less of them

    Returns
    -------
    (3, 2) float array

    Raises
    ------
    ValueError
        The pattern is not square, or `orders` is negative.
    """
    if phases.ndim != 2 or phases.shape[0] != phases.shape[1]:
        raise ValueError(f"the pattern must be square, not {phases.shape}")
    if orders < 0:
        raise ValueError(f"orders must be 0 or more, not {orders}")
    index = np.where(np.asarray(phases, dtype=bool), film.second, film.first).astype(complex)
    waves = wave_vectors(orders)
    keep = np.full(len(waves), True) if corners else (waves**2).sum(1) <= orders**2
    first, second, across = permittivity_matrices(index**2, orders)
    some, vectors = np.ix_(keep, keep), waves[keep] * film.wavelength / film.period
    return coupled_waves(first[some], second[some], across[some], vectors, film)


def wave_vectors(orders: int) -> np.ndarray:
    """((2 orders + 1)², 2) whole numbers of periods a cell, along the two axes."""
    along = np.arange(-orders, orders + 1)
    return np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2)


# --- the pattern in waves -----------------------------------------------------------------------


def permittivity_matrices(
    permittivity: np.ndarray, orders: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What multiplies the electric field's three components, wave by wave (Li 1997).

    Along a direction in which the permittivity jumps, its inverse is expanded and the matrix
    inverted; else the permittivity itself.

    Parameters
    ----------
    permittivity : (n, n) complex, constant within a pixel
    orders : of `wave_vectors`

    Returns
    -------
    three (w, w) matrices for the field along the first axis, the second, and across the film
    """
    step = np.arange(-orders, orders + 1)
    place = step[:, None] - step + 2 * orders  # of a difference of orders
    n = len(step)

    def jumping_first(values: np.ndarray) -> np.ndarray:
        lines = _series(1 / values, 0, 2 * orders)[place]  # (n, n, pixels)
        lines = np.linalg.inv(np.moveaxis(lines, 2, 0))
        return np.moveaxis(_series(lines, 0, 2 * orders)[place], (0, 1), (1, 3))

    first = jumping_first(permittivity).reshape(n * n, n * n)
    second = jumping_first(permittivity.T).transpose(1, 0, 3, 2).reshape(n * n, n * n)
    both = _series(_series(permittivity, 0, 2 * orders), 1, 2 * orders)
    across = both[place[:, None, :, None], place[None, :, None, :]].reshape(n * n, n * n)
    return first, second, across


def _series(values: np.ndarray, axis: int, longest: int) -> np.ndarray:
    """Fourier coefficients from -longest to longest of what is constant within a pixel."""
    n, order = values.shape[axis], np.arange(-longest, longest + 1)
    found = np.take(np.fft.fft(values, axis=axis), order % n, axis=axis)
    within = np.sinc(order / n) * np.exp(-1j * np.pi * order / n) / n
    return found * np.expand_dims(within, [i for i in range(values.ndim) if i != axis])


# --- the waves in the film ----------------------------------------------------------------------


def coupled_waves(
    first: np.ndarray, second: np.ndarray, across: np.ndarray, waves: np.ndarray, film: Film
) -> np.ndarray:
    """Reflected, transmitted and absorbed share, from the matrices of the permittivity.

    Parameters
    ----------
    first, second, across : (w, w), see `permittivity_matrices`
    waves : (w, 2) wave vectors in the plane, in units of that of light in vacuum
    film : its thickness, the wavelength and the half-spaces

    Returns
    -------
    (3, 2) float array, for incident fields along each axis
    """
    kx, ky = waves.T
    one, both = np.eye(len(waves)), np.eye(2 * len(waves))
    inverse = np.linalg.inv(across)
    x, y = kx[:, None], ky[:, None]
    # with lengths in wavelengths over 2 π: E' = a H and H' = b E (tangential parts, H times i)
    a = np.block(
        [
            [x * inverse * ky, one - x * inverse * kx],
            [y * inverse * ky - one, -y * inverse * kx],
        ]
    )
    b = np.block(
        [
            [np.diag(kx * ky), second - np.diag(kx**2)],
            [np.diag(ky**2) - first, -np.diag(kx * ky)],
        ]
    )
    largest = max(2 * float((waves**2).sum(1).max()), abs(film.first) ** 2, abs(film.second) ** 2)
    half = np.pi * film.thickness / film.wavelength
    admittance, impedance = _half_layer(a, b, half, np.sqrt(largest))
    # even and odd parts around the middle: at the faces E = e ± impedance h, H = h ± admittance e
    upper, lower = (_outgoing(kx, ky, index) for index in (film.above, film.below))
    incident = np.zeros((2 * len(waves), 2), dtype=complex)
    straight = int(np.flatnonzero((kx == 0) & (ky == 0))[0])
    incident[[straight, len(waves) + straight], [0, 1]] = 1.0
    system = np.block(
        [
            [admittance - lower, both - lower @ impedance],
            [upper - admittance, both - upper @ impedance],
        ]
    )
    known = np.concatenate([np.zeros_like(incident), 2 * upper @ incident])
    even, odd = np.split(np.linalg.solve(system, known), 2)
    top, bottom = even - impedance @ odd, even + impedance @ odd
    back = top - incident
    sent = _flux(incident, upper @ incident)
    reflected = _flux(back, upper @ back) / sent
    transmitted = _flux(bottom, lower @ bottom) / sent
    return np.stack([reflected, transmitted, 1 - reflected - transmitted])


def _half_layer(
    a: np.ndarray, b: np.ndarray, half: float, largest: float
) -> tuple[np.ndarray, np.ndarray]:
    """What even electric and even magnetic fields meet at a face of the layer.

    With s² = a b and t = tanh(half s) / s these are b t and t a. They come from a thin slice by a
    Padé quotient, and grow by tanh 2x = 2 tanh x / (1 + tanh² x), which stays finite for waves that
    decay within the layer.
    """
    doublings = max(0, int(np.ceil(np.log2(largest * half / 0.7))))
    step = half / 2**doublings
    one, z = np.eye(len(a)), a @ b * step**2
    zz = z @ z
    thin = step * np.linalg.solve(945 * one + 420 * z + 15 * zz, 945 * one + 105 * z + zz)
    admittance, impedance = b @ thin, thin @ a
    for _ in range(doublings):
        shrink = 2 * np.linalg.inv(one + impedance @ admittance)
        admittance, impedance = admittance @ shrink, shrink @ impedance
    return admittance, impedance


def _outgoing(kx: np.ndarray, ky: np.ndarray, index: float) -> np.ndarray:
    """H = this E of waves that leave into a half-space (downwards; upwards with a minus)."""
    z = np.sqrt(index**2 - kx**2 - ky**2 + 0j)
    decay = -1j * np.where(z == 0, 1e-9, z)
    d = np.diag
    return -np.block(
        [
            [d(kx * ky / decay), d((index**2 - kx**2) / decay)],
            [d((ky**2 - index**2) / decay), -d(kx * ky / decay)],
        ]
    )


def _flux(electric: np.ndarray, magnetic: np.ndarray) -> np.ndarray:
    """Power through the plane of each column of tangential fields."""
    (ex, ey), (hx, hy) = np.split(electric, 2), np.split(magnetic, 2)
    return -np.imag(ex * hy.conj() - ey * hx.conj()).sum(0)
