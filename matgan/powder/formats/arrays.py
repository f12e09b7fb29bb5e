"""Angles and intensities as people have them, made one: units, masks, order, overlaps, gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matgan.powder.patterns import CU_KA1, KALPHA, PatternError, wavelength_in_angstrom

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
FEWEST_POINTS = 10  # of a pattern
_SAME_ANGLE = 1e-6  # degrees: points this close are one
_MOST_RANGES = 200  # of a pattern; a table with more turns is one without order
_GAP_POINTS = 5  # one number at so many points in a row, and at most 0, is no measurement


def unit_name(unit: str) -> str:
    """The name in `UNITS` of a unit, however it is written.

    Raises
    ------
    PatternError
        No such unit.
    """
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
    unit : "degree" (2θ), "1/Å" or "1/nm" (q), "Å" or "nm" (d), "centidegree", "radian"
    wavelength : Å or a name; by default Cu Kα1. What this wavelength cannot reach is NaN

    Raises
    ------
    PatternError
        No such unit or wavelength.
    """
    axis, unit = np.asarray(axis, dtype=float), unit_name(unit)
    if unit in ("degree", "centidegree", "radian"):
        return axis * {"degree": 1, "centidegree": 0.01, "radian": 180 / np.pi}[unit]
    length = CU_KA1 if wavelength is None else wavelength_in_angstrom(wavelength)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if unit in ("1/Å", "1/nm"):
            sine = axis * length / (4 * np.pi) * (0.1 if unit == "1/nm" else 1)
        else:
            sine = length / (2 * axis * (10 if unit == "nm" else 1))
        return 2 * np.degrees(np.arcsin(np.where((sine >= 0) & (sine < 1), sine, np.nan)))


def tidy(
    two_theta: Sequence | np.ndarray, intensity: Sequence | np.ndarray, unit_told: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Angles in increasing order, each once, with their intensities.

    Masked points (numpy masked arrays), points that are not finite and the gaps of a detector are
    left out; falling order is turned round; points at equal angles are averaged; of ranges that
    overlap, the mean is taken at the points of the first.

    Parameters
    ----------
    two_theta : (n,), degrees; numbers, or text of numbers with a point or comma
    intensity : (n,), any unit
    unit_told : somebody said that these are degrees: do not doubt it

    Returns
    -------
    (two_theta, intensity, notes): (m,) float64 arrays, and what was done, in words

    Raises
    ------
    PatternError
        The arrays do not fit, hold what is no number or fewer than ten points, or the first is
        no axis of angles (hundredths of a degree, q, d).
    """
    angle, counts = _numbers(two_theta, "two_theta"), _numbers(intensity, "intensity")
    if angle.ndim != 1 or angle.shape != counts.shape or len(angle) < FEWEST_POINTS:
        raise PatternError(
            f"two_theta {angle.shape} and intensity {counts.shape} must be one-dimensional, of "
            "the same length, with ten points at least"
        )
    notes = []
    masked = np.ma.getmaskarray(angle) | np.ma.getmaskarray(counts)
    angle, counts = angle.filled(np.nan), counts.filled(np.nan)
    known = np.isfinite(angle) & np.isfinite(counts) & (np.abs(counts) < 1e300)
    if masked.any():
        notes.append(f"{masked.sum()} masked points left out")
    if (lost := int((~known & ~masked).sum())) > 0:
        notes.append(f"{lost} points without a number left out")
    angle, counts = angle[known], counts[known]
    if len(angle) < FEWEST_POINTS:
        raise PatternError(f"{len(angle)} points are left; ten at least are needed")
    if angle.max() >= 180:
        raise PatternError(
            f"two_theta reaches {angle.max():g}: more than 180°. Angles in hundredths of a degree "
            'have the unit "centidegree"'
        )
    if (below := angle <= 0).any():
        notes.append(f"{below.sum()} points at or below 0° left out")
        angle, counts = angle[~below], counts[~below]
    if len(angle) < FEWEST_POINTS:
        raise PatternError(f"{len(angle)} angles above 0° are left; ten at least are needed")
    angle, counts = _in_order(angle, counts, notes)
    gap = _gaps(counts)
    if gap.any():
        notes.append(f"{gap.sum()} points of gaps left out")
        angle, counts = angle[~gap], counts[~gap]
    if len(angle) < FEWEST_POINTS:
        raise PatternError(f"{len(angle)} different angles are left; ten at least are needed")
    if not unit_told:
        _refuse_other_axes(angle)
    return angle, counts, notes


def _numbers(values: Sequence | np.ndarray, name: str) -> np.ma.MaskedArray:
    """A masked float array; text is read with a point or a comma."""
    try:
        array = np.ma.asarray(values)
    except ValueError as error:
        raise PatternError(f"{name} is no list of numbers: {error}") from error
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


def _in_order(
    angle: np.ndarray, counts: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    if (np.diff(angle) < 0).sum() > len(angle) / 2:
        notes.append("falling angles turned round")
        angle, counts = angle[::-1], counts[::-1]
    breaks = np.flatnonzero(np.diff(angle) < -_SAME_ANGLE) + 1
    if len(breaks) >= _MOST_RANGES:
        notes.append("angles put in order")
        order = np.argsort(angle, kind="stable")
        return _averaged(angle[order], counts[order], notes)
    ranges = [
        _averaged(np.maximum.accumulate(x), y, notes)
        for x, y in zip(np.split(angle, breaks), np.split(counts, breaks), strict=True)
    ]
    if len(ranges) > 1:
        notes.append(f"{len(ranges)} ranges put together, their mean where they overlap")
    return _merged(ranges)


def _averaged(angle, counts, notes) -> tuple[np.ndarray, np.ndarray]:
    """Points at one angle as one, of increasing angles."""
    first = np.concatenate([[True], np.diff(angle) > _SAME_ANGLE])[: len(angle)]
    if first.all():
        return angle, counts
    notes.append(f"{(~first).sum()} points at an angle already there averaged with it")
    group = np.cumsum(first) - 1
    return angle[first], np.bincount(group, counts) / np.bincount(group)


def _merged(ranges: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """One range; where the next one covers a point there already, the point becomes their mean."""
    angle, counts = ranges[0]
    weight = np.ones(len(angle))
    for more, more_counts in ranges[1:]:
        both = _covered(angle, more)
        mean = np.interp(angle[both], more, more_counts) if both.any() else 0
        counts[both] = (weight[both] * counts[both] + mean) / (weight[both] + 1)
        weight[both] += 1
        new = ~_covered(more, angle)
        order = np.argsort(np.concatenate([angle, more[new]]), kind="stable")
        angle = np.concatenate([angle, more[new]])[order]
        counts = np.concatenate([counts, more_counts[new]])[order]
        weight = np.concatenate([weight, np.ones(new.sum())])[order]
    return angle, counts


def _covered(points: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Which points lie on the grid or between two neighbours of it that are no gap."""
    if len(grid) < 2:
        return np.isin(points, grid)
    steps = np.diff(grid)
    right = np.clip(np.searchsorted(grid, points), 1, len(grid) - 1)
    inside = (points >= grid[0] - _SAME_ANGLE) & (points <= grid[-1] + _SAME_ANGLE)
    near = np.minimum(np.abs(points - grid[right]), np.abs(points - grid[right - 1])) < _SAME_ANGLE
    return inside & (near | (steps[right - 1] < 3 * np.median(steps)))


def _gaps(counts: np.ndarray) -> np.ndarray:
    """Which points repeat one number, 0 or below, beside a background far above: no measurement.

    Far above is ten of the smallest steps between intensities (a count), so that zeros of few
    counts are left alone, half of the median and 1% of the maximum. Within the pattern the number
    must stand nowhere else.
    """
    gap = np.zeros(len(counts), dtype=bool)
    above = counts[counts > 0]
    if not len(above):
        return gap
    starts = np.flatnonzero(np.diff(counts, prepend=np.inf) != 0)
    sizes = np.diff(starts, append=len(counts))
    long = (counts[starts] <= 0) & (sizes >= _GAP_POINTS)
    if not long.any():
        return gap
    values = np.unique(counts)
    apart = np.diff(values)[np.diff(values) > 1e-9 * np.ptp(values)]
    least = max(0.01 * counts.max(), 10 * apart.min(initial=np.inf))
    within = 0.5 * np.median(counts) if np.median(counts) > 0 else np.inf
    at_end = 0.5 * np.median(above)
    in_runs = np.zeros(len(counts), dtype=bool)
    for a, size in zip(starts[long], sizes[long], strict=True):
        in_runs[a : a + size] = True
    alone = set(counts[(counts <= 0) & ~in_runs])  # what stands outside of runs too
    for a, size in zip(starts[long], sizes[long], strict=True):
        b = a + size
        end = a == 0 or b == len(counts)
        sides = np.concatenate([counts[max(a - 3, 0) : a], counts[b : b + 3]])
        far = (sides >= max(at_end if end else within, least)).all()
        gap[a:b] = far and (end or counts[a] not in alone)
    return gap


def _refuse_other_axes(angle: np.ndarray) -> None:
    """Refuse q or d given as degrees, where their steps are those of an even scan over 2θ.

    With x = A sin θ, which q and 1/d are, the steps obey s² ∝ A² - x²; A then tells the wavelength,
    which must be one of an anode. An even scan over q itself cannot be told from one over 2θ.
    """
    if len(angle) < 100:
        return
    reach = len(angle) // 40  # steps over many points: rounded numbers hide single ones
    for x, units in (
        (angle, {"1/Å": 4 * np.pi, "1/nm": 40 * np.pi}),
        (1 / angle, {"Å": 2, "nm": 20}),
    ):
        squares = x[reach:-reach] ** 2
        steps = (x[2 * reach :] - x[: -2 * reach]) ** 2
        if np.ptp(steps) < 0.02 * steps.max():
            continue
        slope, level = np.polyfit(squares, steps, 1)
        left = np.sum((slope * squares + level - steps) ** 2) / np.sum((steps - steps.mean()) ** 2)
        if left > 0.01 or slope * level >= 0:
            continue
        for unit, factor in units.items():
            length = factor / np.sqrt(-level / slope)
            for anode, lines in KALPHA.items():
                if abs(length / lines[0] - 1) < 0.02:
                    raise PatternError(
                        f"the steps of two_theta are those of {'q' if '/' in unit else 'd'} in "
                        f"{unit} ({anode} Kα), not of degrees: say so with unit={unit!r}"
                    )
