"""What lies under the lines goes, the lines stay; their widths; the grid of the networks."""

import numpy as np
import pytest
from known_structures import NACL, RUTILE

from matgan.powder.background import (
    INSTRUMENT,
    background,
    line_width,
    neighbours_agree,
    prepare,
    sharpen,
)
from matgan.powder.patterns import Instrument, PatternError, simulate_pattern
from matgan.powder.reading import Pattern

FINE = Instrument(step=0.01, fwhm=0.2)
X = FINE.two_theta
GRID = INSTRUMENT.two_theta


def pattern_of(structure, instrument):
    return simulate_pattern(structure, instrument)[1]


# --- background -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.01, 0.02, 0.05, 0.1])
def test_a_straight_line_is_all_background(step):
    angle = np.arange(5, 90, step)
    assert background(angle, 3 + 0.1 * angle) == pytest.approx(3 + 0.1 * angle, abs=1e-6)


def test_a_slow_curve_goes_and_lines_stay():
    lines = pattern_of(NACL, FINE)
    under = 5 + 3 * np.exp(-(X - 5) / 20)
    rest = lines + under - background(X, lines + under)
    tops = [(27, 28), (31, 32.5), (45, 46), (56, 57)]
    for low, high in tops:
        window = (low < X) & (high > X)
        assert rest[window].max() == pytest.approx(lines[window].max(), rel=0.06, abs=0.01)
    between = (X > 36) & (X < 43)
    assert np.abs(rest[between] - lines[between]).max() < 0.02


def test_broad_lines_of_small_crystals_stay():
    lines = np.exp(-4 * np.log(2) * ((X - 40) / 1.5) ** 2)
    rest = lines - background(X, lines)
    assert rest.max() > 0.97
    assert line_width(X, rest) == pytest.approx(1.5, rel=0.05)


def test_a_window_narrower_than_a_line_takes_it_away():
    lines = np.exp(-4 * np.log(2) * ((X - 40) / 1.5) ** 2)
    assert (lines - background(X, lines, window=0.2)).max() < 0.1


def test_many_patterns_are_one_by_one():
    rng = np.random.default_rng(0)
    many = rng.poisson(50 + 1000 * np.stack([pattern_of(NACL, FINE), pattern_of(RUTILE, FINE)]))
    together = background(X, many)
    assert together.shape == many.shape
    for one, row in zip(together, many, strict=True):
        assert (one == background(X, row)).all()


def test_background_scales_and_shifts_with_the_pattern():
    y = np.random.default_rng(1).poisson(20 + 500 * pattern_of(RUTILE, FINE)).astype(float)
    assert background(X, 7 * y + 300) == pytest.approx(7 * background(X, y) + 300)


@pytest.mark.parametrize("window", [0, -4.0, float("nan"), float("inf"), "4", True])
def test_a_window_that_is_none_is_named(window):
    with pytest.raises(PatternError, match="the window is"):
        background(X, X, window)


# --- widths and noise -----------------------------------------------------------------------------


@pytest.mark.parametrize("structure", [NACL, RUTILE], ids=["NaCl", "rutile"])
@pytest.mark.parametrize("width", [0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("counts", [0, 500])
def test_widths_are_those_that_were_put_in(structure, width, counts):
    y = pattern_of(structure, Instrument(step=0.01, fwhm=width))
    if counts:
        y = np.random.default_rng(0).poisson(counts * (y + 0.1)) / counts
    rest = np.maximum(y - background(X, y), 0)
    assert line_width(X, rest) == pytest.approx(width, rel=0.15 if width > 0.05 else 0.3)


def test_nothing_has_no_width():
    assert np.isnan(line_width(X, np.zeros(len(X))))
    assert np.isnan(line_width(X, np.linspace(0, 1, len(X))))


def test_neighbours_agree_in_lines_and_not_in_noise():
    noise = np.random.default_rng(0).normal(size=1700)
    assert abs(neighbours_agree(noise)) < 0.1
    broad = pattern_of(NACL, Instrument(step=0.05, fwhm=0.4))
    assert neighbours_agree(broad) == pytest.approx(
        np.corrcoef(broad[1:], broad[:-1])[0, 1], abs=0.01
    )
    assert neighbours_agree(broad) > 0.9
    assert neighbours_agree(np.zeros(9)) == 0


@pytest.mark.parametrize("width", [0.4, 0.7, 1.1])
def test_sharpened_lines_keep_place_and_area(width):
    def lines(wide):
        near = (GRID[:, None] - [30, 45, 60]) / wide
        return np.exp(-4 * np.log(2) * near**2) @ [1.0, 0.5, 0.3] / wide

    sharp = sharpen(lines(width), width)
    assert (sharp >= 0).all()
    assert line_width(GRID, sharp) < 0.45 * width + 0.1
    for place, area in ((30, 1.0), (60, 0.3)):
        near = np.abs(GRID - place) < 2
        assert GRID[near] @ sharp[near] / sharp[near].sum() == pytest.approx(place, abs=0.03)
        share = sharp[near].sum() / sharp[np.abs(GRID - 30) < 2].sum()
        assert share == pytest.approx(area, rel=0.1)


def test_what_two_broad_lines_hide_comes_apart():
    near = (GRID[:, None] - [40, 40.7]) / 0.8
    both = np.exp(-4 * np.log(2) * near**2).sum(1)
    sharp = sharpen(both, 0.8)
    between = np.abs(GRID - 40.35) < 0.06
    assert both[between].max() > 0.99 * both.max()
    assert sharp[between].max() < 0.65 * sharp.max()
    for place in (40, 40.7):
        assert sharp[np.abs(GRID - place) < 0.1].max() > 0.99 * sharp.max()


def test_only_broad_lines_are_sharpened():
    for width, sharper in ((0.2, False), (0.3, False), (0.6, True)):
        ours = prepare(*simulate_pattern(NACL, Instrument(step=0.01, fwhm=width)))
        assert ("lines sharpened" in ours.notes) == sharper
        assert ours.width == pytest.approx(width, rel=0.1)
        assert line_width(GRID, ours.intensity) < 0.35
        assert ours.intensity.max() == 1


# --- the grid of the networks ---------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.01, 0.013, 0.05])
def test_any_grid_gives_the_pattern_on_ours(step):
    instrument = Instrument(4, 95, step, fwhm=0.3)
    ours = prepare(instrument.two_theta, 37.5 * pattern_of(RUTILE, instrument) + 12)
    expected = pattern_of(RUTILE, Instrument(5, 90, 0.05, fwhm=0.3))
    assert ours.intensity == pytest.approx(expected, abs=0.03)
    assert ours.intensity.dtype == np.float32
    assert ours.width == pytest.approx(0.3, rel=0.15)
    assert (ours.start, ours.stop) == pytest.approx((5, 90), abs=0.06)
    assert ours.background == pytest.approx(12 / 49.5, rel=0.1)


def test_another_wavelength_gives_the_same_pattern():
    """Molybdenum's line halves the angles; peaks stay where Bragg's law puts them."""
    molybdenum = Instrument(2, 45, 0.01, wavelength=0.7093, fwhm=0.1)
    angle, measured = molybdenum.two_theta, pattern_of(NACL, molybdenum)
    ours = prepare(angle, measured, wavelength="MoKa1")
    copper = pattern_of(NACL, Instrument(step=0.05, fwhm=0.2))
    for low, high in ((26, 29), (30, 33), (44, 47), (55, 58)):
        window = (low < GRID) & (high > GRID)
        assert GRID[window][ours.intensity[window].argmax()] == pytest.approx(
            GRID[window][copper[window].argmax()], abs=0.06
        )
    same = prepare(Pattern(angle, measured, 0.7093))
    assert (same.intensity == ours.intensity).all()
    assert not any("assumed" in note for note in same.notes)


def test_what_was_not_measured_is_zero():
    short = Instrument(20, 70, 0.02)
    ours = prepare(short.two_theta, 1 + pattern_of(RUTILE, short))
    assert (ours.intensity[(GRID < 19.9) | (GRID > 70.1)] == 0).all()
    assert ours.intensity.max() == 1
    assert ours.covered == pytest.approx(50, abs=0.1)


def test_masked_points_do_not_count():
    y = pattern_of(NACL, FINE)
    hidden = np.ma.masked_array(np.where((X > 50) & (X < 50.5), 1e6, y))
    hidden[hidden > 10] = np.ma.masked
    ours = prepare(X, hidden)
    assert ours.intensity == pytest.approx(prepare(X, y).intensity, abs=0.01)
    assert any("masked" in note for note in ours.notes)


def test_how_it_was_prepared_is_said():
    text = str(prepare(X, pattern_of(NACL, FINE) + 1))
    for words in (
        "5.0 to 90.0° 2θ",
        "background of 50%",
        "lines 0.2",
        "Cu Kα1 assumed",
        "1.5406 Å",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((X,), "angles alone are no pattern"),
        ((None,), "angles and intensities are needed, not None"),
        ((None, X), "angles and intensities are needed, not None"),
        ((25.3,), "are needed, not 25.3"),
        (({"two_theta": 25.3},), "are needed, not {'two_theta': 25.3}"),
        ((Pattern(X, X), X), "a pattern has its intensities"),
    ],
)
def test_half_a_pattern_and_one_and_a_half_are_refused(words, message):
    with pytest.raises(PatternError, match=message):
        prepare(*words)


def test_nano_crystals_keep_their_lines(measured_files):
    """Measured anatase, broad lines on a hump: they stay where the structure's CIF has them."""
    ours = prepare(measured_files / "TiO2.xy")
    assert 0.5 < ours.width < 1.2
    for angle in (25.3, 37.8, 48.1):
        window = np.abs(GRID - angle) < 1.5
        assert GRID[window][ours.intensity[window].argmax()] == pytest.approx(angle, abs=0.25)
        assert ours.intensity[window].max() > 0.1
