"""Numbers, tests and verdicts of a table of many seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from matgan.generated.models import MATGAN, OURS, PAIRWISE, PRINTED, REAL, SHUFFLED
from matgan.study.claims import HOLDS, IN_PART, NOT_RUN, TOO_FEW, Claims
from matgan.study.rates import Rates
from matgan.study.run import open_run

BOTH = (PAIRWISE, SHUFFLED)


def table(trainings=10):
    rng = np.random.default_rng(0)
    rows = [
        ("mp", "AUC", model, f"w{k}" if model == OURS else "", k, mean + 0.005 * rng.normal())
        for model, mean in ((OURS, 0.6), (PAIRWISE, 0.5), (SHUFFLED, 0.8), (REAL, 0.5))
        for k in range(trainings if model == OURS else 10)
    ]
    rows += [("mp", "decodable", PRINTED, "p", 0, 0.01), ("mp", "not run", MATGAN, "", 0, np.nan)]
    return pd.DataFrame(rows, columns=["data", "measure", "model", "weights", "seed", "value"])


@pytest.fixture
def rates():
    return Rates(table(), BOTH)


def test_numbers_are_means_with_students_interval(rates):
    values = table().query("model == @SHUFFLED")["value"]
    low, high = stats.t.interval(0.95, 9, values.mean(), stats.sem(values))
    number = rates.number("mp", "AUC", SHUFFLED, form=".2f")
    assert number.value == pytest.approx(values.mean())
    assert (number.low, number.high) == pytest.approx((low, high))
    assert rates.value("mp", "AUC", SHUFFLED) == number.value
    assert np.isnan(rates.value("mp", "AUC", PRINTED))


def test_what_there_is_not_is_said(rates):
    said = rates.numbers("mp", "AUC", PRINTED, MATGAN)
    assert said == [f"{PRINTED}: too few compositions", f"{MATGAN}: not run"]
    assert rates.number("mp", "unique", OURS) == f"{OURS}: not measured"
    assert str(rates.number("mp", "decodable", PRINTED, label="decodable")) == "decodable 1.0%"


def test_only_trainings_count_as_repeats(rates):
    assert rates.trainings("mp", "AUC") == 10
    assert rates.trainings("mp", "decodable", PRINTED) == 1  # however many samples
    assert rates.trainings("mp", "decodable") == rates.trainings("oqmd", "AUC") == 0


def test_ahead_of_one_control_and_behind_another(rates):
    assert rates.ahead("mp", "AUC", higher=False) == {PAIRWISE: False, SHUFFLED: True}
    assert rates.ahead("mp", "AUC", higher=True) == {PAIRWISE: True, SHUFFLED: False}
    said = rates.standing("mp", "AUC", higher=False)
    assert said == f"better than {SHUFFLED}; behind {PAIRWISE}"
    assert rates.standing("oqmd", "AUC", higher=False) == "not tested: one sample of each"


@pytest.mark.parametrize(
    ("data", "trainings", "needed", "expected"),
    [
        ("mp", 10, 10, IN_PART),
        ("mp", 5, 5, IN_PART),
        ("mp", 5, 10, TOO_FEW),
        ("oqmd", 10, 1, NOT_RUN),
    ],
)
def test_the_verdict_follows(tmp_path, data, trainings, needed, expected):
    claims = Claims(open_run(tmp_path, "05_generator_validation"))
    rates = Rates(table(trainings), BOTH)
    options = {"higher": False, "paper": "yes", "form": ".2f", "needed": needed}
    assert rates.against_controls(claims, "c", data, "AUC", **options) == expected
    if data == "mp":
        assert claims.rows[0]["here"].startswith(f"{OURS} 0.60 (")
        shown = claims.rows[0]["control"]  # all that is tested, and what is not
        assert f"{PAIRWISE} 0.5" in shown and f"{SHUFFLED} 0.8" in shown
        assert f"not in the rule: {REAL} 0.5" in shown
        assert claims.rows[0]["repeats"] == trainings


def test_ahead_of_all_holds(tmp_path):
    claims = Claims(open_run(tmp_path, "05_generator_validation"))
    without = table().query("model != @PAIRWISE")
    options = {"higher": False, "paper": "yes", "headline": "short"}
    assert Rates(without, [SHUFFLED]).against_controls(claims, "c", "mp", "AUC", **options) == HOLDS
    assert claims.rows[0]["headline"] == "short"
    # a control that was planned and not measured is no control that was beaten
    rates = Rates(without, BOTH)
    assert rates.against_controls(claims, "d", "mp", "AUC", **options) == IN_PART
    assert f"{PAIRWISE}: not run" in claims.rows[1]["control"]


def test_one_sample_of_each_is_too_few_and_not_nothing(tmp_path):
    claims = Claims(open_run(tmp_path, "05_generator_validation"))
    rates = Rates(table().query("seed == 0"), BOTH)
    assert rates.against_controls(claims, "c", "mp", "AUC", higher=False, paper="") == TOO_FEW


def test_what_ours_draws_must_have_come_to_rest(rates):
    def changed(change):
        return pd.DataFrame({"change": [change], "relative": [change / 0.6]}, index=["AUC"])

    lost = rates.tested.set_index("other")["difference"][PAIRWISE]
    assert abs(lost) > 0.02  # so that half of it is no bound here
    asked = {"data": "mp", "measure": "AUC", "higher": False}
    assert rates.decided(**asked, changed=changed(0.001), name="AUC")
    assert not rates.decided(**asked, changed=changed(0.013), name="AUC")  # more than 2%
    assert not rates.decided(**asked, changed=changed(0.001).iloc[:0], name="AUC")  # nobody tried
    assert not rates.decided(**asked, changed=changed(0.001))  # lost, and nobody measured it
    without = table().query("model != @PAIRWISE")
    won = Rates(without, [SHUFFLED])
    assert won.decided(**asked, changed=changed(0.001))
    assert not won.decided(**asked, changed=changed(0.013))
    assert not Rates(without, BOTH).decided(**asked, changed=changed(0.001))
    near = table()
    near.loc[near["model"] == PAIRWISE, "value"] += 0.1  # ours minus 0.001 or so
    assert not Rates(near, BOTH).decided(**asked, changed=changed(0.01), name="AUC")


def test_the_upper_end_of_an_interval(rates):
    number = rates.number("mp", "AUC", SHUFFLED)
    assert rates.upper("mp", "AUC", SHUFFLED) == number.high > number.value
    alone = Rates(table().query("seed == 0"))
    assert alone.upper("mp", "AUC", SHUFFLED) == alone.value("mp", "AUC", SHUFFLED)
    assert np.isnan(rates.upper("mp", "AUC", PRINTED))
