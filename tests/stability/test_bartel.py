"""The published predictions give the published scores; five folds hold every row once."""

import numpy as np
import pytest

from matgan.stability.bartel import (
    folds,
    own_hull_scores,
    printed_scores,
    published_scores,
)


@pytest.fixture(scope="module")
def scored(mp_stability):
    return published_scores(mp_stability)


def test_the_published_predictions_give_what_is_printed(scored):
    printed = printed_scores()
    assert scored["model"].tolist() == printed["model"].tolist()
    for name in ("mae_energy", "mae", "f1", "false_positives"):
        two_digits = (printed["learned"] == "energy").to_numpy()
        off = np.abs(scored[name] - printed[name]).to_numpy()
        assert np.nanmax(off[two_digits]) <= 0.0051, name  # rounding
        assert not (off[~two_digits] > 0.0021).any(), name  # predictions are kept to 1e-4


def test_roost_is_the_one_to_beat(scored):
    models = scored[(scored["learned"] == "energy") & (scored["model"] != "CGCNN")]
    assert models["f1"].max() == pytest.approx(0.722, abs=0.001)
    assert models["mae"].min() == pytest.approx(0.0645, abs=0.0001)


def test_perfect_energies_are_perfect():
    """Na3Cl falls apart into NaCl and Na (-0.5), NaCl without itself into Na3Cl and Cl (-1/6)."""
    row = own_hull_scores(["NaCl", "Na3Cl"], np.array([-5 / 6, 0.25]), np.array([-1.0, -0.25]))
    assert row["f1"] == 1 and row["mae"] == pytest.approx(0)


def test_each_row_is_tested_once_by_a_model_that_did_not_see_it():
    tested = np.zeros(103, dtype=int)
    for split in folds(103, seed=4):
        parts = np.concatenate([split.train, split.validation, split.test])
        assert np.sort(parts).tolist() == list(range(103))
        assert len(split.validation) == pytest.approx(0.1 * (103 - len(split.test)), abs=1)
        tested[split.test] += 1
    assert (tested == 1).all()
    first, again, other = (next(folds(103, seed)).test.tolist() for seed in (4, 4, 5))
    assert first == again != other
