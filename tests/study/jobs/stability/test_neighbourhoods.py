"""How wrong predictions are by how much is known around them; the rule of `thin` and its table."""

import numpy as np
import pandas as pd
import pytest

from matgan.properties.models import Prediction
from matgan.properties.training import Labelled
from matgan.stability.quality import THIN_ELEMENT, THIN_SYSTEM
from matgan.study.jobs.stability import neighbourhoods as job
from matgan.study.run import LONG, read_table


class Guess:
    """Says 0 eV/atom, give or take 0.25."""

    def predict(self, amounts):
        n = len(amounts)
        return Prediction(
            np.zeros(n), np.full(n, -0.25), np.full(n, 0.25), np.ones(n), np.zeros(n, dtype=bool)
        )


def test_rows_by_hand():
    """Of the elements 0, 1, 2: two compounds of 0-1 are known, one of 1-2."""
    known = [[1, 1, 0], [2, 1, 0], [0, 1, 1]]
    asked = [[1, 3, 0], [3, 1, 0], [0, 1, 4], [1, 0, 1]]
    amounts = np.zeros((7, 85))
    amounts[:, :3] = known + asked
    errors = [0.1, 0.2, 0.3, 0.5]
    data = Labelled(
        amounts,
        np.array([0, 0, 0, *errors]),
        np.ones(7, dtype=bool),
        np.array(["train", "val", "train", *["test"] * 4]),
    )
    rows = pd.DataFrame(job.neighbourhood_rows(data, Guess()))
    assert rows.loc[rows["by"] == job.ALL, "mae"].item() == pytest.approx(np.mean(errors))
    assert rows.loc[rows["by"] == job.ALL, "covered"].item() == 0.5
    around = rows[rows["by"] == job.SYSTEM]
    assert around["most"].tolist() == [0, 1, 2] and around["compounds"].tolist() == [1, 1, 2]
    np.testing.assert_allclose(around["mae"], [0.5, 0.3, 0.15])
    rarest = rows[rows["by"] == job.ELEMENT]  # 0 is in two, 1 in three, 2 in one
    assert rarest["most"].tolist() == [1, 2]
    np.testing.assert_allclose(rarest["mae"], [0.4, 0.15])


def test_tenths_hold_a_tenth_and_equal_numbers_stay_together():
    count = np.random.default_rng(0).permutation(1000)
    assert np.bincount(job._tenths(count)).tolist() == [100] * 10
    assert (np.diff(job._tenths(np.sort(count))) >= 0).all()
    assert len(np.unique(job._tenths(np.full(50, 7)))) == 1


def test_the_kept_table_follows_the_rule_of_thin():
    rows = read_table(LONG / "neighbourhoods.csv")
    (whole,) = rows.loc[rows["by"] == job.ALL, "mae"]
    groups = rows[rows["by"] != job.ALL]
    few = groups["by"].map({job.SYSTEM: THIN_SYSTEM, job.ELEMENT: THIN_ELEMENT})
    thin = groups["most"] < few
    assert thin.sum() == 2 and (thin == (groups["mae"] > 2 * whole)).all()
