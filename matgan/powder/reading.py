"""Read a measured powder pattern from a file: `pattern = read_pattern("scan.xy")`.

A pattern comes with what was decided on the way (`Pattern.source`): which reader, unit and
wavelength, and which points were left out, averaged or put in order. What cannot be meant is
refused with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matgan.powder.formats.scan import MOST_BYTES, Scan
from matgan.powder.formats.text import read_text
from matgan.powder.patterns import CU_KA1, PatternError, wavelength_in_angstrom

__all__ = ["Pattern", "PatternError", "read_pattern", "tidy", "to_two_theta"]

# what an axis may be in, and other ways to write it
UNITS = {
    "degree": ("degrees", "deg", "°", "2theta", "two_theta", "2θ"),
    "centidegree": ("centidegrees", "cdeg"),
    "radian": ("radians", "rad"),
    "1/Å": ("1/a", "a-1", "å-1", "q", "1/angstrom", "angstrom-1"),
    "1/nm": ("nm-1", "q_nm"),
    "Å": ("a", "d", "angstrom"),
    "nm": ("d_nm",),
}
_SAME_ANGLE = 1e-5  # degrees: points this close are one
_FEWEST = 10  # points of a pattern


@dataclass(frozen=True)
class Pattern:
    """A measured powder pattern.

    Attributes
    ----------
    two_theta : (n,) float64 array, degrees, increasing
    intensity : (n,) float64 array, in the file's unit, background included
    wavelength : Å, as the file or the reader's caller says; None: not known
    source : how it was read, and what was left out, averaged or put in order
    """

    two_theta: np.ndarray
    intensity: np.ndarray
    wavelength: float | None = None
    source: str = ""

    def __len__(self) -> int:
        return len(self.two_theta)


def read_pattern(
    path: str | Path, unit: str | None = None, wavelength: float | str | None = None
) -> Pattern:
    """A measured powder pattern from a file.

    Parameters
    ----------
    path : of the file; docs/patterns.md lists the formats
    unit : of the axis: "degree" (2θ), "1/Å" or "1/nm" (q), "Å" or "nm" (d), "centidegree",
        "radian"; by default what the file's header or column name says, else degrees
    wavelength : Å or a name such as "CuKa1"; it overrules the file's

    Raises
    ------
    PatternError
        The file is damaged or holds no pattern; a unit or wavelength that cannot be. Says the
        file, and the line where there is one.
    OSError
        The file cannot be opened.
    """
    path = Path(path)
    if path.stat().st_size > MOST_BYTES:
        raise PatternError(f"{path} has {path.stat().st_size} bytes: more than any pattern")
    try:
        return _pattern(read_text(path.read_bytes()), path.name, unit, wavelength)
    except PatternError as error:
        raise PatternError(f"{path}: {error}") from error


def _pattern(scans: list[Scan], name: str, unit, wavelength) -> Pattern:
    told = {scan.wavelength for scan in scans if scan.wavelength is not None}
    if wavelength is None and len(told) > 1:
        raise PatternError(f"its ranges have different wavelengths, {sorted(told)} Å: give one")
    notes = list(dict.fromkeys(note for scan in scans for note in scan.notes))
    given = wavelength if wavelength is not None else next(iter(told), None)
    axes = [to_two_theta(scan.axis, unit or scan.unit or "degree", given) for scan in scans]
    largest = max((np.nanmax(a) for a in axes if np.isfinite(a).any()), default=180.0)
    length = None if given is None else wavelength_in_angstrom(given, largest)
    used = {_unit(unit or scan.unit or "degree") for scan in scans}
    if used - {"degree"}:
        notes.append(f"axis converted from {', '.join(sorted(used))} to 2θ")
        if length is None and used - {"centidegree", "radian"}:
            length = CU_KA1
            notes.append("its angles are those of Cu Kα1")
    angle, counts, more = tidy(
        np.concatenate(axes), np.concatenate([scan.intensity for scan in scans])
    )
    return Pattern(angle, counts, length, "; ".join([name, *notes, *more]))


def _unit(unit: str) -> str:
    wanted = unit.strip().lower().replace("⁻¹", "-1").replace("^", "")
    for name, others in UNITS.items():
        if wanted == name.lower() or wanted in others:
            return name
    raise PatternError(f"no unit {unit!r}: {', '.join(UNITS)} are known")


def to_two_theta(
    axis: np.ndarray, unit: str = "degree", wavelength: float | str | None = None
) -> np.ndarray:
    """Angles 2θ in degrees of an axis in another unit.

    Parameters
    ----------
    axis : (n,) array: 2θ, q = 4π sin θ / λ, or d = λ / (2 sin θ); NaN stays NaN
    unit : as in `read_pattern`
    wavelength : Å or a name; by default Cu Kα1. What this wavelength cannot reach is NaN

    Raises
    ------
    PatternError
        No such unit or wavelength.
    """
    axis, unit = np.asarray(axis, dtype=float), _unit(unit)
    if unit in ("degree", "centidegree", "radian"):
        return axis * {"degree": 1, "centidegree": 0.01, "radian": 180 / np.pi}[unit]
    length = CU_KA1 if wavelength is None else wavelength_in_angstrom(wavelength)
    with np.errstate(divide="ignore", invalid="ignore"):
        if unit in ("1/Å", "1/nm"):
            sine = axis * length / (4 * np.pi) * (0.1 if unit == "1/nm" else 1)
        else:
            sine = length / (2 * axis * (10 if unit == "nm" else 1))
        return 2 * np.degrees(np.arcsin(np.where((sine >= 0) & (sine < 1), sine, np.nan)))


def tidy(
    two_theta: Sequence | np.ndarray, intensity: Sequence | np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Angles in increasing order, each once, with their intensities.

    Masked points (numpy masked arrays) and points that are not finite are left out, falling order
    is turned round, points at equal angles are averaged.

    Parameters
    ----------
    two_theta : (n,), degrees; numbers, or text of numbers with a point or comma
    intensity : (n,), any unit

    Returns
    -------
    (two_theta, intensity, notes): (m,) float64 arrays, and what was done, in words

    Raises
    ------
    PatternError
        The arrays do not fit, hold what is no number, fewer than ten points, or no angles.
    """
    angle, counts = _numbers(two_theta, "two_theta"), _numbers(intensity, "intensity")
    if angle.ndim != 1 or angle.shape != counts.shape or len(angle) < _FEWEST:
        raise PatternError(
            f"two_theta {angle.shape} and intensity {counts.shape} must be one-dimensional, of "
            "the same length, with ten points at least"
        )
    notes = []
    masked = np.ma.getmaskarray(angle) | np.ma.getmaskarray(counts)
    angle, counts = angle.filled(np.nan), counts.filled(np.nan)
    known = np.isfinite(angle) & np.isfinite(counts) & ~masked
    if masked.any():
        notes.append(f"{masked.sum()} masked points left out")
    if (lost := int((~known & ~masked).sum())) > 0:
        notes.append(f"{lost} points without a number left out")
    angle, counts = angle[known], counts[known]
    if len(angle) < _FEWEST:
        raise PatternError(f"{len(angle)} points are left; ten at least are needed")
    if angle.max() >= 180:
        raise PatternError(
            f"two_theta reaches {angle.max():g}: more than 180°. Angles in hundredths of a degree "
            'have the unit "centidegree"'
        )
    if angle.min() < 0:
        notes.append(f"{(angle < 0).sum()} points below 0° left out")
        angle, counts = angle[angle >= 0], counts[angle >= 0]
    if (np.diff(angle) < 0).any():
        falling = (np.diff(angle) <= 0).all()
        notes.append("falling angles turned round" if falling else "angles put in order")
        order = np.argsort(angle, kind="stable")
        angle, counts = angle[order], counts[order]
    first = np.concatenate([[True], np.diff(angle) > _SAME_ANGLE])
    if not first.all():
        notes.append(f"{(~first).sum()} points at an angle already there averaged with it")
        group = np.cumsum(first) - 1
        angle = angle[first]
        counts = np.bincount(group, counts) / np.bincount(group)
    if len(angle) < _FEWEST:
        raise PatternError(f"{len(angle)} different angles; ten at least are needed")
    return angle, counts, notes


def _numbers(values: Sequence | np.ndarray, name: str) -> np.ma.MaskedArray:
    """A masked float array; text is read with a point or a comma."""
    array = np.ma.asarray(values)
    if array.dtype.kind in "fiub":
        return np.ma.masked_array(array, dtype=float)
    numbers = np.ma.masked_all(array.shape)
    for i, value in np.ndenumerate(array.data):
        try:
            numbers[i] = float(value.replace(",", ".") if isinstance(value, str) else value)
        except (TypeError, ValueError) as error:
            where = i[0] if len(i) == 1 else i
            raise PatternError(f"{name}, point {where}: '{value}' is no number") from error
    numbers[np.ma.getmaskarray(array)] = np.ma.masked
    return numbers
