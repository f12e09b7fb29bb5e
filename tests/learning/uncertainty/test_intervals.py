"""Intervals: the theorem of split conformal prediction by simulation, and scores by hand."""

import numpy as np
import pytest
from scipy import stats

from matgan.learning.uncertainty.intervals import (
    INTERVAL_LEVELS,
    Forecast,
    between_quantiles,
    conformal,
    conformal_quantile,
    gaussian,
    interval_scores,
    rank_of_errors,
)


def test_normal_intervals_are_those_of_scipy():
    centre, spread = np.array([0.0, 5.0]), np.array([1.0, 0.2])
    found = gaussian(centre, spread)
    for k, level in enumerate(INTERVAL_LEVELS):
        low, high = stats.norm.interval(level, centre, spread)
        np.testing.assert_allclose(found.low[k], low)
        np.testing.assert_allclose(found.high[k], high)


def test_intervals_lie_between_quantiles_in_order():
    crossed = stats.norm.ppf(np.arange(1, 20) / 20)[np.r_[1, 0, 2:19]]
    found = between_quantiles(np.stack([crossed, crossed + 3]))
    np.testing.assert_allclose(found.centre, [0, 3], atol=1e-12)
    same = gaussian(np.array([0.0, 3.0]), np.ones(2))
    np.testing.assert_allclose(found.low, same.low, atol=1e-12)
    np.testing.assert_allclose(found.high, same.high, atol=1e-12)
    with pytest.raises(ValueError, match=r"19 quantiles .* \(2, 18\)"):
        between_quantiles(np.zeros((2, 18)))


def test_a_conformal_quantile_by_hand():
    values = np.array([5.0, 1, 2, 3, 4, 6, 7, 8, 9])
    assert conformal_quantile(values, 0.9) == 9  # the ⌈10 · 0.9⌉-th of nine
    assert conformal_quantile(values, 0.5) == 5
    assert conformal_quantile(values[:8], 0.9) == np.inf  # the ⌈8.1⌉-th of eight
    assert conformal_quantile(values, 0.5, np.arange(9)) == 5  # a group of each: the same
    # groups {1, 2, 3, 4}, {5}, {6}: each weighs a quarter, and a quarter lies at infinity
    groups = np.array([1, 0, 0, 0, 0, 2])
    for level, bound in {0.25: 4, 0.5: 5, 0.75: 6, 0.8: np.inf}.items():
        assert conformal_quantile(values[:6], level, groups) == bound


@pytest.mark.parametrize(
    ("values", "level", "groups", "says"),
    [
        ([], 0.9, None, "scores"),
        ([1.0, np.nan], 0.9, None, "scores"),
        ([1.0, 2.0], 1.0, None, "level"),
        ([1.0, 2.0], 0.5, ["a"], "1 groups of 2 scores"),
    ],
)
def test_bad_scores_are_named(values, level, groups, says):
    with pytest.raises(ValueError, match=says):
        conformal_quantile(values, level, groups)


@pytest.mark.parametrize("kind", ["constant", "normalised", "shifted"])
def test_conformal_intervals_hold_what_the_theorem_says(kind):
    """Coverage of a row more is ⌈(n + 1) level⌉ / (n + 1), whatever the model says."""
    random = np.random.default_rng(0)
    n, draws = 19, 1000
    covered = np.zeros(len(INTERVAL_LEVELS))
    for _ in range(draws):
        spread = random.exponential(size=n + 1) + 0.1
        y = spread * random.standard_t(3, size=n + 1) + 1  # the model is off, and has other tails
        said = gaussian(np.zeros(n + 1), 0.1 * spread)
        held, new = (
            Forecast(said.centre[i], said.spread[i], said.low[:, i], said.high[:, i])
            for i in (slice(n), slice(n, None))
        )
        found = conformal(new, held, y[:n], kind)
        covered += ((found.low <= y[n]) & (y[n] <= found.high))[:, 0]
    expected = np.ceil((n + 1) * INTERVAL_LEVELS - 1e-9) / (n + 1)
    error = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(covered / draws - expected) < 4 * error).all()


def test_new_groups_are_covered_where_rows_alone_do_not_suffice():
    """Groups of one row or of twenty; those of one are the hard ones."""
    random = np.random.default_rng(1)
    covered = {"rows": [], "groups": []}
    for _ in range(400):
        sizes = np.where(random.random(40) < 0.5, 1, 20)
        groups = np.repeat(np.arange(40), sizes)
        scores = np.abs(random.normal(size=len(groups))) * np.where(sizes == 1, 5, 1)[groups]
        last = groups == 39
        for name, given in (("rows", None), ("groups", groups[~last])):
            bound = conformal_quantile(scores[~last], 0.9, given)
            covered[name].append((scores[last] <= bound).mean())
    assert 0.88 < np.mean(covered["groups"]) < 0.95
    assert np.mean(covered["rows"]) < 0.7


def test_an_interval_moved_in_by_more_than_its_half_is_a_point():
    wide, new = gaussian(np.zeros(20), np.full(20, 9.0)), gaussian(np.zeros(1), np.ones(1))
    found = conformal(new, wide, np.zeros(20), "shifted")
    assert (found.low == found.high).all() and (found.low == 0).all()


def test_scores_of_intervals_by_hand():
    said = gaussian(np.zeros(4), np.array([1.0, 2, 3, 4]))
    low, high = np.full((9, 4), -1.0), np.full((9, 4), 2.0)
    found = interval_scores(Forecast(said.centre, said.spread, low, high), [0.5, -1.5, 3, -4])
    assert found["mae"] == 9 / 4 and found["coverage"] == 0.25 and found["width"] == 3
    assert found["interval_score"] == pytest.approx(3 + 20 * (0 + 0.5 + 1 + 3) / 4)
    assert found["calibration_error"] == pytest.approx(np.abs(0.25 - INTERVAL_LEVELS).mean())
    assert found["rank"] == pytest.approx(1)
    assert np.isnan(rank_of_errors(np.full(3, 0.2), np.arange(3.0)))


def test_true_normal_intervals_are_calibrated_and_score_best():
    random = np.random.default_rng(2)
    spread = random.exponential(size=20_000) + 0.1
    y = random.normal(size=20_000) * spread
    true = interval_scores(gaussian(np.zeros(20_000), spread), y)
    assert true["calibration_error"] < 0.01 and abs(true["coverage"] - 0.9) < 0.01
    for factor in (0.7, 1.4):
        other = interval_scores(gaussian(np.zeros(20_000), factor * spread), y)
        assert other["interval_score"] > true["interval_score"]
    assert 0.3 < true["rank"] < 0.8  # not 1: an error is one draw


def test_bad_forecasts_are_named():
    said = gaussian(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match=r"3 intervals must be \(9, 3\)"):
        Forecast(said.centre, said.spread, said.low[:8], said.high)
    with pytest.raises(ValueError, match="kind must be"):
        conformal(said, said, np.zeros(3), "wide")
    with pytest.raises(ValueError, match=r"\(2,\) targets of \(3,\)"):
        conformal(said, said, np.zeros(2))
