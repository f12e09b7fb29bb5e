"""Screening: the promise of the intervals, and what is kept, in which order."""

import numpy as np
import pytest
from sklearn.linear_model import SGDRegressor
from sklearn.tree import DecisionTreeRegressor

from matgan.composition import amounts_matrix, whole_counts
from matgan.elements import ELEMENT_INDEX, N_ELEMENTS
from matgan.screening import Ensemble, fit_ensemble, screen, valid_and_new


def counts(*formulas):
    return whole_counts(amounts_matrix(formulas))


def made_up(n, seed):
    """Random amounts of ten elements, and a target whose noise grows with the first amount."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, N_ELEMENTS), dtype=np.uint8)
    X[:, :10] = rng.integers(0, 4, (n, 10))
    y = X[:, :10] @ np.linspace(-0.1, 0.1, 10) + rng.normal(0, 0.02 + 0.3 * X[:, 0])
    return X, y


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_intervals_hold_their_share_of_new_targets(level):
    tree = DecisionTreeRegressor(splitter="random", random_state=0)
    ensemble = fit_ensemble(tree, *made_up(1000, 0), n_members=4)
    ensemble.calibrate(*made_up(2000, 1), level=level)
    X, y = made_up(2000, 2)
    mean, half = ensemble.predict(X)
    assert (np.abs(y - mean) <= half).mean() == pytest.approx(level, abs=0.04)
    noisy = X[:, 0] == 3
    assert half[noisy].mean() > 1.3 * half[X[:, 0] == 0].mean()  # wider where trees disagree


def test_members_differ_in_their_random_state_only():
    X, y = made_up(200, 0)
    model = SGDRegressor(random_state=5)
    ensemble = fit_ensemble(model, X, y, 3)
    assert [m.random_state for m in ensemble.members] == [5, 6, 7]
    assert not hasattr(model, "coef_")
    mean, _ = ensemble.predict(X)
    alone = [SGDRegressor(random_state=s).fit(X.astype(np.float32), y) for s in (5, 6, 7)]
    assert mean == pytest.approx(np.mean([m.predict(X.astype(np.float32)) for m in alone], axis=0))


def test_what_cannot_be_promised_is_refused():
    with pytest.raises(ValueError, match="two members"):
        fit_ensemble(SGDRegressor(random_state=0), *made_up(20, 0), n_members=1)
    with pytest.raises(ValueError, match=r"too few for the level 0\.9"):
        Ensemble([Amount("Na", 1.0), Amount("Na", 2.0)]).calibrate(*made_up(5, 0), level=0.9)


class Amount:
    """Predicts a multiple of the amount of one element."""

    def __init__(self, symbol, slope):
        self.column, self.slope = ELEMENT_INDEX[symbol], slope

    def predict(self, X):
        return self.slope * X[:, self.column].astype(float)


def test_screening_by_hand():
    drawn = counts("NaCl", "KCl", "Na2Cl2", "Na2O", "NaAl", "MgO", "NaF", "Na3N")
    known = counts("MgO", "KCl", "CaO")
    assert valid_and_new(drawn, known).tolist() == [1, 0, 1, 1, 0, 0, 1, 1]  # NaAl is not balanced
    ensemble = Ensemble([Amount("Na", -1.0), Amount("Na", -3.0)], factor=3.0)
    table = screen(drawn, known, ensemble)
    # means -2 n, spread n, half width 3 n: the high end is n, so one sodium comes first
    assert table["formula"].tolist() == ["NaCl", "NaF", "Na2O", "Na3N"]
    assert table["times drawn"].tolist() == [2, 1, 1, 1]
    assert table["predicted"].tolist() == [-2, -2, -4, -6]
    assert table["high"].tolist() == [1, 1, 2, 3]
    assert table["low"].tolist() == [-5, -5, -10, -15]


def test_nothing_valid_gives_an_empty_table():
    table = screen(counts("NaAl"), counts("NaCl"), Ensemble([Amount("Na", 1.0)] * 2, factor=1.0))
    assert len(table) == 0
    assert list(table.columns) == ["formula", "times drawn", "predicted", "low", "high"]
