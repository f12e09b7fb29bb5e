"""Patterns from files and arrays: order, duplicates, masks, units; what cannot be is refused."""

import numpy as np
import pytest

from matgan import read_pattern
from matgan.powder.reading import PatternError, tidy, to_two_theta

X, Y = np.arange(10, 20, 0.5), np.arange(20.0)


def written(tmp_path, x, y, name="a.xy"):
    path = tmp_path / name
    np.savetxt(path, np.column_stack([x, y]))
    return path


def test_a_file_comes_back_as_it_was(tmp_path):
    pattern = read_pattern(written(tmp_path, X, Y))
    np.testing.assert_array_equal(pattern.two_theta, X)
    np.testing.assert_array_equal(pattern.intensity, Y)
    assert pattern.wavelength is None
    assert pattern.source == "a.xy; text"
    assert len(pattern) == 20


def test_falling_angles_are_turned_round():
    angle, counts, notes = tidy(X[::-1], Y[::-1])
    np.testing.assert_array_equal(angle, X)
    np.testing.assert_array_equal(counts, Y)
    assert notes == ["falling angles turned round"]


def test_equal_angles_are_averaged():
    angle, counts, notes = tidy(np.repeat(X, 2), np.arange(40.0))
    np.testing.assert_array_equal(angle, X)
    np.testing.assert_array_equal(counts, np.arange(40.0).reshape(-1, 2).mean(1))
    assert notes == ["20 points at an angle already there averaged with it"]


def test_masked_points_and_gaps_are_left_out():
    counts = np.ma.masked_array(Y.copy(), mask=Y == 3)
    counts[7] = np.nan
    angle, counts, notes = tidy(X, counts)
    np.testing.assert_array_equal(angle, np.delete(X, [3, 7]))
    np.testing.assert_array_equal(counts, np.delete(Y, [3, 7]))
    assert notes == ["1 masked points left out", "1 points without a number left out"]


def test_text_with_decimal_commas_is_read():
    angle, _, _ = tidy([f"{x:.2f}".replace(".", ",") for x in X], Y)
    np.testing.assert_array_equal(angle, X)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X * 100, Y, "hundredths of a degree"),
        (X, Y[:-1], r"two_theta \(20,\) and intensity \(19,\)"),
        ([*X[:-1], "a"], Y, "two_theta, point 19: 'a' is no number"),
        (X * np.nan, Y, "0 points are left"),
        (X * 0, Y, "1 different angles"),
    ],
)
def test_what_is_no_pattern_is_refused(x, y, message):
    with pytest.raises(PatternError, match=message):
        tidy(x, y)


@pytest.mark.parametrize(("unit", "factor"), [("1/Å", 1), ("1/nm", 10), ("Å", 1), ("nm", 0.1)])
def test_axes_are_converted_by_braggs_law(unit, factor):
    sine = np.sin(np.radians(X / 2))
    axis = 4 * np.pi * sine / 0.7093 if "1/" in unit else 0.7093 / (2 * sine)
    assert to_two_theta(axis * factor, unit, "MoKa1") == pytest.approx(X)
