"""What every reader of a file format hands over: the scans of a file, in the file's own unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from matgan.powder.patterns import KALPHA, PatternError

MOST_POINTS = 1_000_000  # of one file; a header that promises more is not believed
MOST_BYTES = 100_000_000  # of one file, unpacked


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
    seconds : of counting at a point, where the intensities are counts and the file says it
    """

    axis: np.ndarray
    intensity: np.ndarray
    unit: str | None = None
    wavelength: float | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float | None = None

    def __post_init__(self):
        if self.axis.shape != self.intensity.shape or self.axis.ndim != 1:
            raise PatternError(
                f"it has {self.axis.size} angles and {self.intensity.size} intensities"
            )


def steps(start: float, step: float, n: int) -> np.ndarray:
    """(n,) array of the angles start, start + step, …

    Raises
    ------
    PatternError
        The numbers of a header that describe no scan, or too many points.
    """
    check_count(n)
    if not (abs(start) < 1e6 and 0 < abs(step) < 1e6):  # NaN is not either
        raise PatternError(f"the header tells a scan from {start} in steps of {step}")
    return start + step * np.arange(n)


def check_count(n: int) -> None:
    """Refuse a number of points that no scan has, before memory is taken for it."""
    if not 0 <= n <= MOST_POINTS:
        raise PatternError(f"the header tells {n} points; 0 to {MOST_POINTS} are believed")


def words_of(text: str) -> list[str]:
    """The words of a text, where they are no more than twice the points that a scan may have."""
    words = text.split(maxsplit=2 * MOST_POINTS)
    if len(words) > 2 * MOST_POINTS:
        raise PatternError(f"it holds more than {MOST_POINTS} points")
    return words


def numbers(words: list[str]) -> np.ndarray:
    """(n,) array of the numbers that these words are.

    Raises
    ------
    PatternError
        A word that is no number; names it and its place.
    """
    try:
        return np.array(words, dtype=float)
    except ValueError:
        return np.array([number(word, f"value {i}") for i, word in enumerate(words, 1)])


def number(word: str, what: str) -> float:
    """The number that a word is.

    Raises
    ------
    PatternError
        It is none; says what it should have been.
    """
    try:
        return float(word)
    except ValueError as error:
        raise PatternError(f"{what} is {word[:40]!r}, no number") from error


def count(word: str, what: str) -> int:
    """The number of points that a word tells.

    Raises
    ------
    PatternError
        No number, or one that no scan has.
    """
    told = number(word, what)
    if not abs(told) < 1e18:  # NaN and infinity are not either
        raise PatternError(f"{what} is {told}")
    check_count(int(told))
    return int(told)


def known_wavelength(value: float | str, anode: str = "") -> float | None:
    """Wavelength (Å) of a header's entry, else the Kα1 of its anode, else None."""
    try:
        length = float(value)
    except ValueError:
        length = 0.0
    if 0 < length < np.inf:
        return round(length, 9)
    lines = KALPHA.get(anode.strip().capitalize())
    return lines[0] if lines else None
