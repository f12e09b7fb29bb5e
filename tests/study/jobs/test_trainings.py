import numpy as np
import pandas as pd
import pytest
from scipy import stats

from matgan.study.claims import Number
from matgan.study.jobs.trainings import Trainings, ahead


def table(**scores):
    """Rows of methods: {method: {passes: scores by seed}}."""
    return pd.DataFrame(
        {"model": m, "passes": p, "seed": s, "error": e}
        for m, of in scores.items()
        for p, errors in of.items()
        for s, e in enumerate(errors)
    )


FIVE = [0.30, 0.31, 0.29, 0.305, 0.295]
WORSE = [error + 0.1 for error in FIVE]
ROWS = table(a={40: FIVE, 80: [0.301, 0.309]}, b={40: WORSE, 80: [0.38, 0.40]}, c={0: [0.5]})


def test_the_trainings_that_count_are_those_with_most_seeds():
    counted = Trainings(ROWS).counted()
    assert counted.groupby("model")["passes"].unique().to_dict() == {"a": [40], "b": [40], "c": [0]}
    every = table(a={40: FIVE, 80: FIVE, 160: FIVE[:2]})  # doubled for all seeds: 80 counts now
    assert set(Trainings(every).counted()["passes"]) == {80}


def test_a_difference_is_paired_by_seed_and_a_constant_is_the_same_for_all():
    given = Trainings(ROWS)
    paired = given.difference("a", "b", "error")
    assert paired.mean == pytest.approx(-0.1) and paired.high - paired.low < 1e-9
    against = given.difference("a", "c", "error")
    peer = stats.ttest_1samp(np.array(FIVE) - 0.5, 0).confidence_interval()
    assert (against.low, against.high) == pytest.approx((peer.low, peer.high))
    assert given.difference("a", "nobody", "error") is None
    assert (given.repeats("a", "b"), given.repeats("a", "c"), given.repeats("x")) == (5, 1, 0)


def test_convergence_asks_for_twice_the_passes_of_each():
    given, gap = Trainings(ROWS), Trainings(ROWS).difference("a", "b", "error")
    assert given.converged(["a"], "error", gap)
    assert not given.converged(["a", "b"], "error", gap)  # b still falls by 5%
    assert not given.converged(["c"], "error", gap)  # never tried
    assert not given.converged(["a"], "error", None)
    near = gap.__class__(0.001, 0, 0.002, 0, 0)  # a change of 0.001 could turn such a difference
    assert not given.converged(["a"], "error", near)
    twins = table(a={40: FIVE, 80: [0.301, 0.309]}, b={40: FIVE, 80: [0.302, 0.308]})
    none = gap.__class__(0.0002, -0.01, 0.01, 0, 1)
    assert Trainings(twins).converged(["a", "b"], "error", none)  # no difference stays none
    some = gap.__class__(0.0002, 0.0001, 0.0003, 0, 0)
    assert not Trainings(twins).converged(["a", "b"], "error", some)


def test_numbers_say_what_is_missing():
    given = Trainings(ROWS.assign(low=0.45, high=0.55))
    assert given.number("nobody", "error") == "nobody: not run"
    assert given.number("c", "error") == Number("c", 0.5, 0.45, 0.55, ".3f")  # of its test part
    assert given.number("a", "error").low > 0.28
    assert Trainings(pd.DataFrame()).number("a", "error") == "a: not run"


def test_an_interval_is_ahead_as_a_whole():
    gap = Trainings(ROWS).difference("a", "b", "error")
    assert ahead(gap, -1) and not ahead(gap) and ahead(None) is None
    wide = gap.__class__(-0.1, -0.3, 0.1, 0, 0)
    assert ahead(wide, -1) is False and ahead(wide) is False
    (single,) = [Trainings(ROWS[ROWS["seed"] == 0]).difference("a", "b", "error")]
    assert ahead(single, -1) is False  # one pair has no interval
