"""What every reader of a file format hands over: the scans of a file, in the file's own unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from matgan.powder.patterns import PatternError

MOST_POINTS = 5_000_000  # of one file; a header that promises more is not believed
MOST_BYTES = 200_000_000  # of one file, unpacked


@dataclass
class Scan:
    """One scan, or range, of a file.

    Attributes
    ----------
    axis : (n,) float array, in `unit`; NaN where the file has none
    intensity : (n,) float array, NaN where the file has none
    unit : a name of `matgan.powder.reading.UNITS`, or None where the file does not say
    wavelength : Å, as the file says it, or None
    notes : what the reader had to decide, for `Pattern.source`
    """

    axis: np.ndarray
    intensity: np.ndarray
    unit: str | None = None
    wavelength: float | None = None
    notes: list[str] = field(default_factory=list)


def steps(start: float, step: float, n: int) -> np.ndarray:
    """(n,) array of the angles start, start + step, …

    Raises
    ------
    PatternError
        The numbers of a header that describe no scan, or too many points.
    """
    check_count(n)
    if not (np.isfinite(start) and np.isfinite(step) and step != 0):
        raise PatternError(f"the header tells a scan from {start} in steps of {step}")
    return start + step * np.arange(n)


def check_count(n: int) -> None:
    """Refuse a number of points that no scan has, before memory is taken for it."""
    if not 0 <= n <= MOST_POINTS:
        raise PatternError(f"the header tells {n} points; 0 to {MOST_POINTS} are believed")
