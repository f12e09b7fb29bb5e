"""A measured pattern as the networks read it: without background, on one grid; and how it looks.

Background: SNIP (Ryan et al. 1988; Morháč et al. 1997), which clips a pattern, at every point,
to the mean of its two neighbours at a distance that shrinks from `WINDOW` to one point. Chosen on
a tenth of the measured minerals (`matgan.powder.minerals.Measured.parts`) among 36 settings of 13
methods of pybaselines: it alone keeps its accuracy under an exponential three times as high as
the lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
import pybaselines
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from matgan.powder.patterns import (
    CU_KA1,
    Instrument,
    PatternError,
    pseudo_voigt,
    wavelength_in_angstrom,
)
from matgan.powder.reading import Pattern, read_pattern, tidy

# What the networks read: 1,700 points; the width sets only how finely patterns are computed.
INSTRUMENT = Instrument(step=0.05, fwhm=0.25)
WINDOW = 4.0  # degrees 2θ to each side; humps wider than twice this are background
_LINES = 10  # the strongest lines, whose widths count
_LOWEST = 0.1  # of the maximum, what a line must reach and stand out by
_GAUSS = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian, in σ
_WIDEST_GAP = 0.5  # degrees 2θ: points farther apart miss whole reflections
_LEAST_COVERED = 10.0  # degrees 2θ between 5 and 90; with less the axis has another unit
BROAD = 0.4  # degrees 2θ, the widest that the network learned; broader lines are sharpened
_SHARP = 0.2  # degrees 2θ, the width that is aimed at
_LORENTZ = 0.3  # share of the Lorentzian in the profile that is taken out
_ITERATIONS = 70  # for lines of 1°; they grow with the square of the width
_NOTHING = 1e-4  # of the largest count: what stands lower above the background is no line


@dataclass(frozen=True)
class Prepared:
    """A pattern on the grid of the networks, and how it came there; angles are those of Cu Kα1.

    Attributes
    ----------
    intensity : (1700,) float32 array, background removed, maximum 1 (all 0 where nothing is left),
        0 where not measured
    start, stop : degrees 2θ, first and last measured angle between 5 and 90
    covered : degrees 2θ with points less than 0.5° apart
    background : largest background in the range over the largest count
    width : degrees 2θ, full width at half maximum of the lines as they came (`line_width`); NaN
        without lines
    agreement : correlation of neighbouring points (`neighbours_agree`)
    wavelength : Å, of the pattern as it came
    notes : what was assumed, left out or put in order
    """

    intensity: np.ndarray
    start: float
    stop: float
    covered: float
    background: float
    width: float
    agreement: float
    wavelength: float
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = f"lines {self.width:.2f}° wide" if self.width > 0 else "no lines"
        facts = (
            f"{self.start:.1f} to {self.stop:.1f}° 2θ (Cu Kα1) used",
            f"wavelength {self.wavelength:.5g} Å",
            f"background of {self.background:.0%} of the maximum removed",
            lines,
            *self.notes,
        )
        return "; ".join(facts)


def prepare(
    pattern: Pattern | str | Path | np.ndarray,
    intensity: np.ndarray | None = None,
    wavelength: float | str | None = None,
    sharpened: bool = True,
) -> Prepared:
    """A pattern without background on the grid of the networks.

    Each point of the grid is the mean of the measured points within half a step, or lies on the
    line between the nearest two where there are none.

    Parameters
    ----------
    pattern, intensity, wavelength : as `matgan.powder.classifier.classify`
    sharpened : whether lines broader than 0.4° are made narrower

    Raises
    ------
    PatternError
        As `classify`.
    """
    if isinstance(pattern, str | Path):
        pattern = read_pattern(pattern, wavelength=wavelength)
    if isinstance(pattern, Pattern):
        wavelength = pattern.wavelength if wavelength is None else wavelength
        axis, values = pattern.two_theta, pattern.intensity
        if intensity is not None:
            raise PatternError("a pattern has its intensities; give angles and intensities, or it")
    elif isinstance(pattern, bytes | Mapping) or not isinstance(pattern, Iterable):
        raise PatternError(
            "a pattern, the path of its file, or angles and intensities are needed, "
            f"not {pattern!r:.60}"
        )
    elif intensity is None:
        raise PatternError("angles alone are no pattern: intensities are needed, too")
    else:
        axis, values = pattern, intensity
    angle, counts, notes = tidy(axis, values)
    if wavelength is None:
        notes = ["no wavelength given: Cu Kα1 assumed", *notes]
    length = wavelength_in_angstrom(CU_KA1 if wavelength is None else wavelength, angle[-1])
    return _on_grid(angle, counts, length, notes, sharpened)


def _on_grid(
    angle: np.ndarray, counts: np.ndarray, length: float, notes: list[str], sharpened: bool
) -> Prepared:
    sine = np.sin(np.radians(angle / 2)) * CU_KA1 / length
    angle, counts = 2 * np.degrees(np.arcsin(sine[sine < 1])), counts[sine < 1]
    grid, step = INSTRUMENT.two_theta, INSTRUMENT.step
    inside = (angle >= grid[0] - step / 2) & (angle < grid[-1] + step / 2)
    angle, counts = angle[inside], counts[inside]
    steps = np.diff(angle)
    covered = float(steps[steps < _WIDEST_GAP].sum())
    if covered < _LEAST_COVERED:
        raise PatternError(
            f"the pattern covers {covered:.0f}° of the range from {INSTRUMENT.start:g} to "
            f"{INSTRUMENT.stop:g}° (Cu Kα) with points less than {_WIDEST_GAP:g}° apart; "
            f"{_LEAST_COVERED:g}° at least are needed: is the axis 2θ in degrees, "
            "and the wavelength given?"
        )
    under = background(angle, counts)
    lines = counts - under
    highest = float(np.abs(counts).max())
    if lines.max() <= _NOTHING * highest:
        lines[:] = 0
    bins = np.clip(np.rint((angle - grid[0]) / step).astype(int), 0, len(grid) - 1)
    points = np.bincount(bins, minlength=len(grid))
    sums = np.bincount(bins, lines, minlength=len(grid))
    means = np.interp(grid, angle, lines, left=0, right=0)
    means = np.maximum(np.where(points > 0, sums / np.maximum(points, 1), means), 0)
    width, agreement = line_width(angle, np.maximum(lines, 0)), neighbours_agree(means[points > 0])
    if sharpened and BROAD < width < 10 * BROAD:
        means = sharpen(means, width)
        notes = [*notes, "lines sharpened"]
    return Prepared(
        (means / max(means.max(), 1e-300)).astype(np.float32),
        float(angle[0]),
        float(angle[-1]),
        covered,
        max(float(under.max()), 0.0) / max(highest, 1e-300),
        width,
        agreement,
        length,
        tuple(notes),
    )


def background(two_theta: np.ndarray, intensity: np.ndarray, window: float = WINDOW) -> np.ndarray:
    """Background of one pattern or of many on the same angles, in the unit of the intensity.

    Points closer than 0.05° are averaged first, so that the noise is not followed down.

    Parameters
    ----------
    two_theta : (n,) array, degrees, increasing
    intensity : (n,) or (m, n) array
    window : degrees 2θ to each side of a point; lines are narrower, background is wider

    Returns
    -------
    array of the shape of `intensity`

    Raises
    ------
    PatternError
        A window that is no length.
    """
    if isinstance(window, bool) or not (isinstance(window, Real) and 0 < window < np.inf):
        raise PatternError(f"the window is {window!r}; degrees 2θ above 0 are needed")
    angle, counts = np.asarray(two_theta, dtype=float), np.asarray(intensity, dtype=float)
    own = float(np.median(np.diff(angle)))
    step = own * max(1, int(INSTRUMENT.step / own + 1e-6))
    place = ((angle - angle[0]) / step + 1e-6).astype(int)
    points = np.bincount(place)
    centres = angle[0] + step * np.arange(len(points)) + (step - own) / 2
    centres[points > 0] = np.bincount(place, angle)[points > 0] / points[points > 0]
    reach = max(1, min(round(window / step), (len(points) - 1) // 2))
    fitter = pybaselines.Baseline(centres, check_finite=False)

    def of_one(counts: np.ndarray) -> np.ndarray:
        means = np.bincount(place, counts) / np.maximum(points, 1)
        means[points == 0] = np.interp(centres[points == 0], angle, counts)
        found, _ = fitter.snip(means, max_half_window=reach, decreasing=True)
        return _interpolate(angle, centres, found)

    return of_one(counts) if counts.ndim == 1 else np.stack([of_one(row) for row in counts])


def _interpolate(x: np.ndarray, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values between places on straight lines, beyond the ends on those of the ends."""
    first, last = (np.diff(values[s]) / np.diff(places[s]) for s in (slice(2), slice(-2, None)))
    before, beyond = np.minimum(x - places[0], 0), np.maximum(x - places[-1], 0)
    return np.interp(x, places, values) + first * before + last * beyond


def line_width(two_theta: np.ndarray, intensity: np.ndarray) -> float:
    """Full width at half maximum of the lines of a pattern without background, degrees 2θ.

    Of the ten strongest lines, each as wide as twice its steeper side (the other may hold a
    neighbour or Kα2), the lower quartile: lines that lie on each other only look broad. NaN
    where there is no line.

    Parameters
    ----------
    two_theta : (n,) array, degrees, increasing
    intensity : (n,) array, background removed
    """
    # smoothed by a third of the width, which is taken off below: noise has no flanks
    sigma = 0.15 * _correlation_length(intensity)  # points
    sigma = sigma if sigma > 0.3 else 0.0
    smooth = gaussian_filter1d(intensity, sigma) if sigma else intensity
    floor = _LOWEST * smooth.max()
    if not floor > 0:
        return float("nan")
    tops, _ = find_peaks(smooth, height=floor, prominence=floor)
    if not len(tops):
        return float("nan")
    tops = tops[np.argsort(-smooth[tops], kind="stable")[:_LINES]]
    places = np.arange(len(smooth))
    sides = []
    for top in tops:
        left, right = top - _half(smooth[top::-1]), top + _half(smooth[top:])
        low, middle, high = np.interp([left, top, right], places, two_theta)
        sides.append(min(middle - low, high - middle))
    smoothing = _GAUSS * sigma * float(np.median(np.diff(two_theta)))
    return float(np.sqrt(max((2 * np.quantile(sides, 0.25)) ** 2 - smoothing**2, 0)))


def neighbours_agree(intensity: np.ndarray) -> float:
    """Correlation of each point with the next: near 0 in noise, near 1 where lines are resolved.

    Parameters
    ----------
    intensity : (n,) array of measured points without background, none of them interpolated
    """
    deviation = intensity - intensity.mean()
    total = float(deviation @ deviation)
    return float(deviation[:-1] @ deviation[1:]) / total if total > 0 else 0.0


def sharpen(intensity: np.ndarray, width: float) -> np.ndarray:
    """A pattern on the grid of the networks whose lines are about 0.2° wide instead.

    Richardson and Lucy's iteration (Richardson 1972; Lucy 1974) takes out a profile of one width:
    intensities stay positive and lines in their places. What it cannot do: two lines that noise
    does not part stay one.

    Parameters
    ----------
    intensity : (1700,) array, background removed, maximum above 0
    width : degrees 2θ, full width at half maximum of its lines, above 0.2
    """
    size = next_fast_len(2 * len(intensity), real=True)
    reach = np.minimum(np.arange(size), size - np.arange(size)) * INSTRUMENT.step
    profile = pseudo_voigt(reach, float(np.sqrt(width**2 - _SHARP**2)), _LORENTZ)
    blur = rfft(profile / profile.sum())  # real: the profile is symmetric
    measured = intensity / intensity.max() + 1e-6
    sharp = measured.copy()
    for _ in range(max(5, round(_ITERATIONS * width**2))):
        blurred = irfft(rfft(sharp, size) * blur, size)[: len(sharp)]
        ratio = measured / np.maximum(blurred, 1e-6)
        sharp = np.maximum(sharp * irfft(rfft(ratio, size) * blur, size)[: len(sharp)], 1e-12)
    return sharp


def _correlation_length(intensity: np.ndarray) -> float:
    """Points after which the correlation of a pattern with itself has halved; lag 0 is noise."""
    deviation = intensity - intensity.mean()
    spectrum = np.fft.rfft(deviation, 2 * len(deviation))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(deviation)]
    first = correlation[1] + max(correlation[1] - correlation[2], 0) / 2
    below = np.flatnonzero(correlation < min(correlation[0], first) / 2)
    return float(below[0]) if len(below) else 0.0


def _half(side: np.ndarray) -> float:
    """Points from the top of a line, which comes first, to half its height."""
    half = side[0] / 2
    low = int(np.argmax(side <= half))  # 0 where it never falls so far
    return low - (half - side[low]) / (side[low - 1] - side[low]) if low else len(side) - 1.0
