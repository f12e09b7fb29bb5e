"""Screening: the promise of the intervals, and what is kept, in which order."""

import numpy as np
import pytest
from sklearn.linear_model import SGDRegressor
from sklearn.tree import DecisionTreeRegressor

from matgan.composition import amounts_matrix, formulas, whole_counts
from matgan.elements import ELEMENT_INDEX, N_ELEMENTS
from matgan.screening import Ensemble, fit_ensemble, new_compositions, screen


def counts(*formulas):
    return whole_counts(amounts_matrix(formulas))


def made_up(n, seed):
    """Random amounts of ten elements, and a target whose noise grows with the first fraction."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, N_ELEMENTS), dtype=np.uint8)
    X[:, :10] = rng.integers(0, 4, (n, 10))
    X[:, 9] += 1
    y = fractions(X)[:, :10] @ np.linspace(-0.1, 0.1, 10)
    return X, y + rng.normal(0, 0.02 + 2 * fractions(X)[:, 0])


def fractions(X):
    return (X / X.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_intervals_hold_their_share_of_new_targets(level):
    tree = DecisionTreeRegressor(splitter="random", random_state=0)
    ensemble = fit_ensemble(tree, *made_up(1000, 0), n_members=4)
    ensemble.calibrate(*made_up(5000, 1), level=level)
    X, y = made_up(5000, 2)
    mean, half = ensemble.predict(X)
    assert (np.abs(y - mean) <= half).mean() == pytest.approx(level, abs=0.04)
    noisy = X[:, 0] == 3
    assert half[noisy].mean() > 1.3 * half[X[:, 0] == 0].mean()  # wider where trees disagree


def test_members_are_copies_fitted_to_fractions():
    X, y = made_up(200, 0)
    model = SGDRegressor(random_state=5)
    ensemble = fit_ensemble(model, X, y, 3)
    assert [m.random_state for m in ensemble.members] == [5, 6, 7]
    assert not hasattr(model, "coef_")
    mean, _ = ensemble.predict(X)
    rows = [np.random.default_rng(s).permutation(200) for s in (5, 6, 7)]
    alone = [
        SGDRegressor(random_state=s).fit(fractions(X[r]), y[r]).predict(fractions(X))
        for s, r in zip((5, 6, 7), rows, strict=True)
    ]
    assert mean == pytest.approx(np.mean(alone, axis=0))
    assert ensemble.predict(2 * X)[0] == pytest.approx(mean)


def test_each_member_learns_from_its_own_rows():
    X, y = made_up(200, 0)
    tree = DecisionTreeRegressor(random_state=0)  # knows by heart what it learned from
    ensemble = fit_ensemble(tree, X, y, n_members=2, n_rows=50)
    known = [member.predict(fractions(X)) == y for member in ensemble.members]
    assert all(50 <= k.sum() < 80 for k in known)
    assert (known[0] != known[1]).any()


def test_what_cannot_be_promised_is_refused():
    with pytest.raises(ValueError, match="two members"):
        fit_ensemble(SGDRegressor(random_state=0), *made_up(20, 0), n_members=1)
    with pytest.raises(ValueError, match=r"too few for the level 0\.9"):
        Ensemble([Fraction("Na", 1.0), Fraction("Na", 2.0)]).calibrate(*made_up(5, 0), level=0.9)


class Fraction:
    """Predicts a multiple of the fraction of one element."""

    def __init__(self, symbol, slope):
        self.column, self.slope = ELEMENT_INDEX[symbol], slope

    def predict(self, X):
        return self.slope * X[:, self.column].astype(float)


def test_new_compositions_by_hand():
    drawn = counts("KCl", "MgO", "NaCl", "Na2Cl2", "LiF", "KCl", "MgO", "NaCl")
    distinct, times = new_compositions(drawn, counts("KCl", "CaO"))
    assert formulas(distinct) == ["NaCl", "MgO", "LiF"]
    assert times.tolist() == [3, 2, 1]


def test_screening_by_hand():
    # all are new but MgO and KCl, all are balanced but NaAl
    drawn = counts("NaCl", "KCl", "Na2Cl2", "Na2O", "NaAl", "MgO", "NaF", "Na3N")
    known = counts("MgO", "KCl", "CaO")
    ensemble = Ensemble([Fraction("Na", -1.0), Fraction("Na", -3.0)], factor=3.0)
    table = screen(drawn, known, ensemble)
    # means -2 x, spread x, half width 3 x, of the fraction x of sodium: the high end is x
    assert table["formula"].tolist() == ["NaCl", "NaF", "Na2O", "Na3N"]
    assert table["times drawn"].tolist() == [2, 1, 1, 1]
    assert table["predicted"].tolist() == pytest.approx([-1, -1, -4 / 3, -3 / 2])
    assert table["high"].tolist() == pytest.approx([1 / 2, 1 / 2, 2 / 3, 3 / 4])
    assert table["low"].tolist() == pytest.approx([-5 / 2, -5 / 2, -10 / 3, -15 / 4])


def test_nothing_valid_gives_an_empty_table():
    ensemble = fit_ensemble(SGDRegressor(random_state=0), *made_up(20, 0), n_members=2)
    table = screen(counts("NaAl"), counts("NaCl"), ensemble)
    assert len(table) == 0
    assert list(table.columns) == ["formula", "times drawn", "predicted", "low", "high"]
