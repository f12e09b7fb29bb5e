"""Angles and intensities as people have them: order, duplicates, masks, ranges, gaps, units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_structures import NACL

from matgan.powder.formats.arrays import tidy, to_two_theta
from matgan.powder.patterns import Instrument, PatternError, simulate_pattern

X, Y = np.arange(10, 20, 0.5), np.arange(20.0) + 1


def test_falling_angles_are_turned_round():
    angle, counts, notes = tidy(X[::-1], Y[::-1])
    np.testing.assert_array_equal(angle, X)
    np.testing.assert_array_equal(counts, Y)
    assert notes == ["falling angles turned round"]


def test_equal_angles_are_averaged():
    angle, counts, notes = tidy(np.repeat(X, 2), np.arange(40.0) + 1)
    np.testing.assert_array_equal(angle, X)
    np.testing.assert_array_equal(counts, np.arange(40.0).reshape(-1, 2).mean(1) + 1)
    assert notes == ["20 points at an angle already there averaged with it"]


def test_masked_points_are_left_out():
    counts = np.ma.masked_array(Y.copy(), mask=Y == 3)
    counts[7] = np.nan
    angle, counts, notes = tidy(X, counts)
    np.testing.assert_array_equal(angle, np.delete(X, [2, 7]))
    np.testing.assert_array_equal(counts, np.delete(Y, [2, 7]))
    assert notes == ["1 masked points left out", "1 points without a number left out"]


def test_text_with_decimal_commas_is_read():
    angle, _, _ = tidy([f"{x:.2f}".replace(".", ",") for x in X], Y)
    np.testing.assert_array_equal(angle, X)


def test_arrays_that_are_given_stay_as_they_are():
    x, y = np.concatenate([X, X]), np.concatenate([Y, Y])
    x.flags.writeable = y.flags.writeable = False
    tidy(x, y)


def test_frames_are_averaged():
    angle, counts, notes = tidy(np.concatenate([X] * 3), np.concatenate([Y, Y, 4 * Y]))
    np.testing.assert_array_equal(angle, X)
    assert counts == pytest.approx(2 * Y)
    assert notes == ["3 ranges put together, their mean where they overlap"]


def test_ranges_that_overlap_become_one():
    """The second range lies between the points of the first; both are on one line."""
    second = np.arange(15.25, 25, 0.5)
    x = np.concatenate([X, second])
    angle, counts, _ = tidy(x, 3 * x)
    assert counts == pytest.approx(3 * angle)
    np.testing.assert_array_equal(angle, np.concatenate([X, second[second > 19.5]]))
    first, last = tidy(np.concatenate([second, X]), 3 * np.concatenate([second, X]))[0][[0, -1]]
    assert (first, last) == (10, 24.75)


def test_a_range_fills_the_gap_of_another():
    holed = np.concatenate([X[:5], X[15:]])
    angle, _, _ = tidy(np.concatenate([holed, X[4:16]]), np.ones(22))
    np.testing.assert_array_equal(angle, X)


def test_points_without_order_are_put_in_order():
    x = np.linspace(5, 90, 2000)
    order = np.random.default_rng(0).permutation(2000)
    angle, counts, notes = tidy(x[order], 3 * x[order])
    np.testing.assert_array_equal(angle, x)
    np.testing.assert_array_equal(counts, 3 * x)
    assert notes == ["angles put in order"]


def scan(n=400):
    x = np.linspace(5, 45, n)
    return x, 1000 + 50 * np.sin(x)


@pytest.mark.parametrize("dummy", [-1, 0, -10])
def test_gaps_of_a_detector_are_cut_out(dummy):
    x, y = scan()
    y[100:120] = y[300:310] = dummy
    angle, _, notes = tidy(x, y)
    np.testing.assert_array_equal(angle, np.delete(x, [*range(100, 120), *range(300, 310)]))
    assert notes == ["30 points of gaps left out"]


def test_nothing_beyond_the_ends_of_a_detector_is_cut_off():
    x, y = scan()
    y[:150] = y[-100:] = 0
    np.testing.assert_array_equal(tidy(x, y)[0], x[150:-100])


def test_computed_patterns_have_no_gaps():
    """Zeros between few lines, however they are rounded, cut off or counted."""
    instrument = Instrument(step=0.02, eta=0.0, fwhm=0.08)
    x, y = simulate_pattern(NACL, instrument)
    counted = np.random.default_rng(0).poisson(20 * y)
    for z in (y, np.where(y < 1e-3, 0, y), np.rint(100 * y), np.rint(5 * y), counted):
        assert len(tidy(x, z)[0]) == len(x)


def test_few_counts_are_no_gaps():
    x, _ = scan()
    low = np.random.default_rng(0).poisson(0.3, 400).astype(float)
    low[50] = 100
    peaks = np.zeros(400)
    peaks[[50, 200]] = 1000
    below = np.random.default_rng(0).normal(0, 1, 400).round()
    for y in (low, peaks, below):
        assert len(tidy(x, y)[0]) == 400


@pytest.mark.parametrize(("unit", "factor"), [("1/Å", 1), ("1/nm", 10), ("Å", 1), ("nm", 0.1)])
@pytest.mark.parametrize(("line", "length"), [("CuKa1", 1.54056), ("MoKa1", 0.7093)])
def test_other_axes(unit, factor, line, length):
    """Converted by Bragg's law; refused where somebody takes them for degrees."""
    x = np.arange(5, 90, 0.02)
    sine = np.sin(np.radians(x / 2))
    axis = (4 * np.pi * sine / length if "1/" in unit else length / (2 * sine)) * factor
    assert to_two_theta(axis, unit, line) == pytest.approx(x)
    kind = "q" if "1/" in unit else "d"
    with pytest.raises(PatternError, match=f"those of {kind} in {unit} .{line[:2]} Kα"):
        tidy(axis, np.ones(len(x)))
    assert len(tidy(axis, np.ones(len(x)), unit_told=True)[0]) == len(x)


@pytest.mark.parametrize(
    "steps",
    [
        np.r_[np.full(1000, 0.02), np.full(500, 0.04)],
        np.r_[np.full(1000, 0.04), np.full(500, 0.02)],
        np.diff(np.degrees(np.arctan(np.linspace(0.05, 0.8, 2000)))),  # a flat detector
    ],
)
def test_uneven_degrees_are_no_other_axis(steps):
    x = 5 + np.cumsum(steps)
    np.testing.assert_array_equal(tidy(x, np.ones(len(x)))[0], x)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X * 100, Y, "hundredths of a degree"),
        (X, Y[:-1], r"two_theta \(20,\) and intensity \(19,\)"),
        ([*X[:-1], "a"], Y, "two_theta, point 19: 'a' is no number"),
        ([[1, 2], [3]], Y, "two_theta is no list of numbers"),
        (X * np.nan, Y, "0 points are left"),
        (X * 0 + 5, Y, "1 different angles"),
        (-X, Y, "0 angles above 0°"),
    ],
)
def test_what_is_no_pattern_is_refused(x, y, message):
    with pytest.raises(PatternError, match=message):
        tidy(x, y)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.floats(-10, 200), st.floats(allow_nan=True, allow_infinity=True)),
        max_size=60,
    )
)
def test_any_floats_give_a_pattern_or_the_one_error(points):
    x, y = np.array(points).reshape(-1, 2).T
    try:
        angle, counts, _ = tidy(x, y)
    except PatternError:
        return
    assert (np.diff(angle) > 0).all() and len(angle) >= 10
    assert np.isfinite(counts).all() and angle[0] > 0 and angle[-1] < 180
    assert counts.min() >= np.nanmin(y[np.isfinite(y)])
    assert counts.max() <= np.nanmax(y[np.isfinite(y)])
