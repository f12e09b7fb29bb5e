"""Powder diffraction patterns of crystal structures, simulated.

Equal to pymatgen's XRDCalculator, broadened by the same profile, at many times its speed
(benchmarks/bench_diffraction.py).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft

from matgan.crystals.inputs import as_structure, sites_of
from matgan.crystals.structures import StructureError, Structures
from matgan.data.sources import cache_dir
from matgan.files import atomic_file, half_written, is_sealed, seal
from matgan.powder.reflections import Reflections, reflections

log = logging.getLogger(__name__)

KALPHA = {  # Å, Kα1 and Kα2 of each anode: the values of pymatgen's table (XRDCalculator)
    "Cr": (2.2897, 2.29361),
    "Fe": (1.93604, 1.93998),
    "Co": (1.78896, 1.79285),
    "Cu": (1.54056, 1.54439),
    "Mo": (0.7093, 0.71359),
    "Ag": (0.559421, 0.563813),
}
CU_KA1, CU_KA2 = KALPHA["Cu"]
KA2_RATIO = 0.5  # intensity of Kα2 over that of Kα1
_SAME_LINE = 0.003  # relative: lines of an anode in other tables, and their mean, lie this close
_MARGIN = 1.0  # degrees beyond both ends in which reflections still count
_REACH = 20.0  # degrees; the profile's tail beyond is cut (below 1e-5 of a peak of 0.1° width)
_WIDTHS = 0.02 * 1.15 ** np.arange(40)  # degrees; profiles of differing widths are mixed of these
_VERSION = 1  # of the cached files: raise it when the simulation changes


class PatternError(ValueError):
    """A pattern or grid that cannot be used; says what is wrong with it."""


def wavelength_in_angstrom(wavelength: float | str, two_theta_max: float = 180.0) -> float:
    """A wavelength in Å, from a number or the name of an anode's line.

    Parameters
    ----------
    wavelength : Å, or a name: "CuKa1", "CuKa2", "CuKa" (the mean, Kα1 twice as strong), likewise
        Cr, Fe, Co, Mo and Ag; "Cu" is its Kα1; Kα and Kalpha are understood too
    two_theta_max : degrees, the largest angle of the pattern

    Raises
    ------
    PatternError
        No such name or length; an anode's line in nm or pm, unless the angles are so small
        (spacings above 0.25 Å) that it may be a synchrotron's.
    """
    if isinstance(wavelength, str):
        name = re.sub(r"[\s_-]", "", wavelength).lower().replace("α", "a").replace("alpha", "a")
        found = re.fullmatch(r"(cr|fe|co|cu|mo|ag)(?:k?(a|a1|a2|a12)?)", name)
        if not found:
            names = f"CuKa, CuKa1, CuKa2 are, likewise for {', '.join(KALPHA)}"
            raise PatternError(f"no wavelength is called {wavelength!r}: {names}; or give Å")
        first, second = KALPHA[found[1].capitalize()]
        mean = (first + KA2_RATIO * second) / (1 + KA2_RATIO)
        return {"a2": second, "a": mean, "a12": mean}.get(found[2], first)
    if isinstance(wavelength, bool) or not (isinstance(wavelength, Real) and 0 < wavelength < 1e4):
        raise PatternError(f"the wavelength is {wavelength!r}; a length in Å is needed")
    finest = wavelength / 2 / np.sin(np.radians(np.clip(two_theta_max, 1e-3, 180) / 2))
    for unit, factor in (("nm", 10), ("pm", 0.01)) if not 0.25 < finest < 100 else ():
        length = wavelength * factor
        for anode, lines in KALPHA.items():
            if any(abs(length / line - 1) < _SAME_LINE for line in lines):
                meant = f"{anode} Kα in {unit}; in Å it is {length:g}"
                raise PatternError(f"the wavelength {wavelength:g} is {meant}")
    if not 0.05 <= wavelength <= 20:
        raise PatternError(f"the wavelength {wavelength:g} Å is none of a powder pattern")
    return float(wavelength)


@dataclass(frozen=True)
class Instrument:
    """How a pattern is taken: the grid of 2θ and the shape of a reflection."""

    start: float = 5.0  # degrees 2θ, the first point
    stop: float = 90.0  # degrees 2θ, one step beyond the last point
    step: float = 0.02  # degrees 2θ
    wavelength: float | str = CU_KA1  # Å, or a name such as "MoKa1"; kept as a number
    ka2: bool = False  # add the anode's Kα2 line beside its Kα1, which `wavelength` then is
    fwhm: float = 0.1  # degrees 2θ, full width at half maximum
    eta: float = 0.5  # share of the Lorentzian in the pseudo-Voigt profile

    def __post_init__(self):
        object.__setattr__(self, "wavelength", wavelength_in_angstrom(self.wavelength, self.stop))
        if not 0 <= self.start < self.stop <= 175:
            raise PatternError(f"2θ from {self.start} to {self.stop}° lies not within 0 to 175°")
        if not 1e-6 <= self.step / (self.stop - self.start) <= 0.1:
            raise PatternError(f"a step of {self.step}° does not fit {self.start} to {self.stop}°")
        if not (0.01 <= self.fwhm <= 5 and 0 <= self.eta <= 1):
            raise PatternError(f"fwhm {self.fwhm}° must be 0.01 to 5, eta {self.eta} 0 to 1")

    @property
    def two_theta(self) -> np.ndarray:
        """(n,) array, degrees."""
        return self.start + self.step * np.arange(round((self.stop - self.start) / self.step))

    @property
    def fineness(self) -> int:
        """Points of the computation in one step: at least ten in the width of a reflection."""
        return int(np.ceil(10 * self.step / self.fwhm - 1e-9))


def pattern(
    cell: np.ndarray,
    numbers: np.ndarray,
    frac: np.ndarray,
    instrument: Instrument = Instrument(),
    occupancy: np.ndarray | None = None,
) -> np.ndarray:
    """Powder pattern of one structure, its maximum 1.

    Parameters
    ----------
    cell : (6,) array, a, b, c in Å and α, β, γ in degrees
    numbers : (m,) array, atomic numbers
    frac : (m, 3) array, fractional coordinates
    instrument : grid and profile
    occupancy : (m,) array, 0 to 1; None: every atom is in every cell

    Returns
    -------
    (n,) float64 array, at the angles `instrument.two_theta`

    Raises
    ------
    StructureError
        A cell or an element that cannot be used (see `reflections`).
    PatternError
        No reflection lies in the range.
    """
    found = reflections(cell, numbers, frac, *spacing_range(instrument), occupancy)
    angles, areas = peaks(found, instrument)
    return broaden(angles, areas, instrument)


def simulate_pattern(
    structure: Any, instrument: Instrument = Instrument()
) -> tuple[np.ndarray, np.ndarray]:
    """Powder pattern of a crystal structure, as an instrument would take it.

    Parameters
    ----------
    structure : a pymatgen Structure, ASE Atoms, or the path of a CIF; sites may be shared
    instrument : grid, wavelength and profile; by default 5 to 90° of copper's Kα1 line

    Returns
    -------
    (two_theta, intensity): (n,) arrays, degrees, and intensities whose maximum is 1

    Raises
    ------
    StructureError
        No such structure (see `matgan.crystals.inputs.as_structure`), or as `pattern`.
    PatternError, OSError
        No reflection lies in the range; the file cannot be opened.
    """
    cell, numbers, frac, occupancy = sites_of(as_structure(structure))
    partly = None if (occupancy == 1).all() else occupancy
    return instrument.two_theta, pattern(cell, numbers, frac, instrument, partly)


def spacing_range(instrument: Instrument) -> tuple[float, float]:
    """Least and largest 1/d (1/Å) that fall into the instrument's range of 2θ."""
    ends = np.array([max(instrument.start - _MARGIN, 0), instrument.stop + _MARGIN])
    shortest, longest = 2 * np.sin(np.radians(ends / 2)) / float(instrument.wavelength)
    return shortest, longest


def peaks(found: Reflections, instrument: Instrument) -> tuple[np.ndarray, np.ndarray]:
    """Angles (2θ, degrees) and areas of the reflections, those of Kα2 at the end.

    The area is |F|² times (1 + cos² 2θ) / (sin² θ cos θ), Lorentz and polarisation factor. A plane
    that is too narrow for a line has no angle there, and its area is 0.
    """
    lines = [(float(instrument.wavelength), 1.0)]
    if instrument.ka2:
        lines.append((_ka2_beside(float(instrument.wavelength)), KA2_RATIO))
    angles, areas = [], []
    for wavelength, weight in lines:
        sine = found.length * wavelength / 2
        reached = sine < 1
        sine = np.minimum(sine, 1)
        cosine = np.sqrt(np.maximum(1 - sine**2, 1e-12))
        lorentz = (1 + (1 - 2 * sine**2) ** 2) / (sine**2 * cosine)
        angles.append(np.degrees(2 * np.arcsin(sine)))
        areas.append(weight * found.strength * np.where(reached, lorentz, 0))
    return np.concatenate(angles), np.concatenate(areas)


def _ka2_beside(wavelength: float) -> float:
    """Kα2 (Å) of the anode whose Kα1 this is, to 0.03%: as far as tables differ, not the mean."""
    for first, second in KALPHA.values():
        if abs(wavelength / first - 1) < 3e-4:
            return wavelength * second / first
    raise PatternError(
        f"ka2 needs the Kα1 of {', '.join(KALPHA)} as wavelength, not {wavelength:g} Å"
    )


def broaden(
    angles: np.ndarray,
    areas: np.ndarray,
    instrument: Instrument,
    fwhm: np.ndarray | None = None,
) -> np.ndarray:
    """Sum of pseudo-Voigt profiles on the instrument's grid, its maximum 1.

    Parameters
    ----------
    angles : (m,) array, 2θ in degrees
    areas : (m,) array
    fwhm : (m,) array, the width of each in degrees; by default all have the instrument's

    Raises
    ------
    PatternError
        Nothing lies in the range.
    """
    step = instrument.step / instrument.fineness
    n_points = len(instrument.two_theta) * instrument.fineness
    pad = round(_MARGIN / step)
    size = next_fast_len(n_points + 2 * pad + round(_REACH / step), real=True)
    if fwhm is None:
        widths, shares = np.array([instrument.fwhm]), areas[None]
    else:
        widths, shares = _mixed_widths(np.broadcast_to(fwhm, angles.shape), areas)
    spectrum = 0
    for width, share in zip(widths, shares, strict=True):
        used = share > 0
        sticks = _deposit((angles[used] - instrument.start) / step + pad, share[used], size, pad)
        spectrum = spectrum + rfft(sticks) * _kernel(size, step, float(width), instrument.eta)
    intensity = irfft(spectrum, size)[pad : pad + n_points : instrument.fineness]
    highest = intensity.max()
    # rounding leaves about 1e-16 of what lies outside the range
    if not highest > 1e-9 * areas.sum(initial=0):
        raise PatternError(
            f"no reflection between {instrument.start} and {instrument.stop}° 2θ: nothing to see"
        )
    return np.maximum(intensity, 0) / highest


def _deposit(places: np.ndarray, areas: np.ndarray, size: int, pad: int) -> np.ndarray:
    """Sticks on a grid: each is spread over four points, so that its first three moments stay.

    Without it a stick would jump to the nearest point: an error of percents in narrow peaks.
    """
    whole = np.floor(places).astype(int)
    inside = (whole >= 1) & (whole < size - 2)
    whole, t, areas = whole[inside], (places - whole)[inside], areas[inside]
    weights = (
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    )
    sticks = np.zeros(size)
    for shift, weight in zip((-1, 0, 1, 2), weights, strict=True):
        sticks += np.bincount(whole + shift, weight * areas, minlength=size)
    return sticks


def _kernel(size: int, step: float, fwhm: float, eta: float) -> np.ndarray:
    """Fourier transform of the profile of area 1 (Wertheim et al. 1974), kept for the last ones."""
    key = (size, step, fwhm, eta)
    if key not in _KERNELS:
        if len(_KERNELS) > 1000:
            _KERNELS.clear()
        reach = np.minimum(np.arange(size), size - np.arange(size)) * step
        reach = np.where(reach > _REACH, np.inf, reach)
        _KERNELS[key] = rfft(pseudo_voigt(reach, fwhm, eta))
    return _KERNELS[key]


_KERNELS: dict[tuple, np.ndarray] = {}


def pseudo_voigt(x: np.ndarray, fwhm: float, eta: float) -> np.ndarray:
    """Profile of area 1 at the distance x from its centre (same unit as fwhm)."""
    lorentz = 2 / (np.pi * fwhm) / (1 + 4 * (x / fwhm) ** 2)
    gauss = 2 * np.sqrt(np.log(2) / np.pi) / fwhm * np.exp(-4 * np.log(2) * (x / fwhm) ** 2)
    return eta * lorentz + (1 - eta) * gauss


def _mixed_widths(fwhm: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A few standard widths, and the area each gets: a peak is a mixture of the two nearest."""
    upper = np.clip(np.searchsorted(_WIDTHS, fwhm), 1, len(_WIDTHS) - 1)
    share = np.clip((fwhm - _WIDTHS[upper - 1]) / (_WIDTHS[upper] - _WIDTHS[upper - 1]), 0, 1)
    shares = np.zeros((len(_WIDTHS), len(fwhm)))
    peak = np.arange(len(fwhm))
    shares[upper, peak] = share * areas
    shares[upper - 1, peak] = (1 - share) * areas
    used = shares.any(1)
    return _WIDTHS[used], shares[used]


# --- many patterns ------------------------------------------------------------------------------


def encode_pattern(intensity: np.ndarray) -> np.ndarray:
    """Intensities from 0 to 1 as uint8: 255 times the square root, which keeps weak peaks."""
    return np.rint(255 * np.sqrt(intensity)).clip(0, 255).astype(np.uint8)


def decode_pattern(codes: np.ndarray) -> np.ndarray:
    """Intensities (float32, 0 to 1) of what `encode` made."""
    return (codes.astype(np.float32) / 255) ** 2


def patterns(
    structures: Structures,
    instrument: Instrument = Instrument(),
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """(n, points) uint8 array: the encoded pattern of each structure, computed once.

    Kept in the cache under a name that follows from the structures, the instrument and pymatgen's
    version (of the scattering factors), with its SHA-256 beside it, and read from there by memory
    map; a damaged file is named in the log and computed again. `progress` is called with the
    number of patterns done.

    Raises
    ------
    StructureError, PatternError
        As `pattern`, with the id of the structure.
    OSError
        The cache cannot be written, or the disk is full; with the path. Nothing is left then.
    """
    path = cache_dir() / "patterns" / f"{_fingerprint(structures, instrument)}.npy"
    if not is_sealed(path):
        if path.is_file():
            log.warning("%s has not the SHA-256 it was written with: it is computed again", path)
        for left in half_written(path.parent):
            left.unlink(missing_ok=True)
        _write_patterns(path, structures, instrument, progress)
        seal(path)
    return np.load(path, mmap_mode="r")


def _write_patterns(path: Path, structures, instrument, progress) -> None:
    shape = (len(structures), len(instrument.two_theta))
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    # written row by row: a full disk is no error but a signal where a memory map meets it
    with atomic_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for i, (cell, numbers, frac) in enumerate(structures):
            try:
                codes = encode_pattern(pattern(cell, numbers, frac, instrument))
            except (StructureError, PatternError) as error:
                name = structures.table["id"].iloc[i]
                raise type(error)(f"structure {name}: {error}") from error
            file.write(codes.tobytes())
            if progress:
                progress(i + 1)


def _fingerprint(structures: Structures, instrument: Instrument) -> str:
    made_by = _VERSION, version("pymatgen"), astuple(instrument)
    digest = hashlib.sha256(repr(made_by).encode())
    for array in (structures.cell, structures.first, structures.numbers, structures.frac):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


class Stored:
    """Encoded patterns (n, points) uint8 as they are, with further inputs of one row for each."""

    def __init__(self, codes: np.ndarray, targets: np.ndarray, *inputs: np.ndarray):
        self.codes, self.targets, self.inputs = codes, targets, inputs

    def __len__(self) -> int:
        return len(self.codes)

    def batch(self, rows, seed):
        """Inputs and targets of some rows, as tensors: see `matgan.learning.fit.Examples`."""
        patterns = torch.from_numpy(decode_pattern(np.asarray(self.codes[rows])))
        inputs = (patterns, *(torch.from_numpy(array[rows]) for array in self.inputs))
        return inputs, torch.from_numpy(self.targets[rows])

    def content(self):
        """See `matgan.learning.fit.Examples`."""
        return [self.codes, self.targets, *self.inputs]
