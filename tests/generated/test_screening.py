"""Screening: which regressor, the promise of the intervals, what is kept, in which order."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import SGDRegressor
from sklearn.tree import DecisionTreeRegressor

from matgan.chemistry.composition import (
    CompositionError,
    amounts_matrix,
    formulas,
    whole_counts,
)
from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS
from matgan.generated.screening import (
    Choice,
    Ensemble,
    best_regressor,
    fit_ensemble,
    nearest_known,
    new_compositions,
    screen,
)
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.representation.features import Magpie, OneHot, PooledEmbedding
from matgan.wgan.generator import load_generator
from matgan.wgan.wishes import Property


def counts(*formulas):
    return whole_counts(amounts_matrix(formulas))


def made_up(n, seed):
    """Random formulas of ten elements, and a target whose noise grows with the first fraction."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, N_ELEMENTS), dtype=np.uint8)
    X[:, :10] = rng.integers(0, 4, (n, 10))
    X[:, 9] += 1
    f = fractions(formulas(X))
    y = f[:, :10] @ np.linspace(-0.1, 0.1, 10)
    return formulas(X), y + rng.normal(0, 0.02 + 2 * f[:, 0])


def fractions(compounds):
    return OneHot(fractions=True, dtype=np.float32).fit_transform(compounds)


def chosen(model):
    return Choice("one-hot fractions", OneHot(fractions=True, dtype=np.float32), model, "")


# --- which regressor ----------------------------------------------------------------------------


def notebook_4(**errors):
    """Its tables, of mean errors: underscores stand for blanks and commas."""
    rows = [
        ("OQMD", split, name.replace("__", ", ").replace("_", " "), repeat, mae + 0.01 * repeat)
        for name, pair in errors.items()
        for split, mae in zip(("random", "by chemical system"), pair, strict=True)
        for repeat in range(2)
    ]
    return pd.DataFrame(rows, columns=["dataset", "split", "features", "repeat", "mae"])


SEARCHES = pd.DataFrame(
    [
        ("OQMD", "SkipAtom", np.nan, 0.003, True),
        ("OQMD", "SkipAtom", "standard", 0.001, False),
        ("OQMD", "Magpie", "max-abs", 0.001, True),
        ("other", "Magpie", "common", 0.1, True),
    ],
    columns=["dataset", "features", "input_scaling", "learning_rate", "chosen"],
)
NETWORK = FullyConnectedRegressor(epochs=7, batch_size=512, clip=False, random_state=3)


def test_the_lowest_error_by_chemical_system_decides():
    scores = notebook_4(SkipAtom=(0.1, 0.3), Magpie=(0.2, 0.2), nearest_compositions=(0.01, 0.01))
    choice = best_regressor(scores, SEARCHES, "OQMD", NETWORK)
    assert choice.features == "Magpie"
    assert isinstance(choice.transformer, Magpie)
    assert choice.reason == "lowest error of 2 in notebook 4, 0.205 (OQMD, by chemical system)"
    settings = {"input_scaling": "max-abs", "learning_rate": 0.001}
    assert choice.model.get_params() == NETWORK.get_params() | settings
    choice = best_regressor(scores, SEARCHES, "OQMD", NETWORK, split="random")
    assert (choice.features, type(choice.transformer)) == ("SkipAtom", PooledEmbedding)
    assert choice.model.get_params()["input_scaling"] is None  # an empty field of the table
    assert NETWORK.get_params()["input_scaling"] == "standard"


def test_the_forest_can_be_the_best():
    scores = notebook_4(SkipAtom=(0.1, 0.3), Magpie__random_forest=(0.2, 0.2))
    choice = best_regressor(scores, SEARCHES, "OQMD", NETWORK)
    assert isinstance(choice.model, RandomForestRegressor)
    assert isinstance(choice.transformer, Magpie)
    assert choice.model.random_state == 3


@pytest.mark.parametrize("scores", [None, notebook_4(nearest_compositions=(0.1, 0.1))])
def test_without_notebook_4_it_says_so(scores):
    choice = best_regressor(scores, None, "OQMD", NETWORK)
    assert choice.features == "one-hot fractions"
    assert choice.reason == "not chosen: notebook 4 has not run here on OQMD"
    assert choice.model.get_params() == NETWORK.get_params()


# --- the ensemble -------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_intervals_hold_their_share_of_new_targets(level):
    tree = DecisionTreeRegressor(splitter="random", random_state=0)
    ensemble = fit_ensemble(chosen(tree), *made_up(1000, 0), n_members=4)
    ensemble.calibrate(*made_up(5000, 1), level=level)
    compounds, y = made_up(5000, 2)
    mean, half = ensemble.predict(compounds)
    assert (np.abs(y - mean) <= half).mean() == pytest.approx(level, abs=0.04)
    share = fractions(compounds)[:, 0]
    # wider where trees disagree
    assert half[share > 0.15].mean() > 1.3 * half[share == 0].mean()


def test_members_are_copies_fitted_to_fractions():
    compounds, y = made_up(200, 0)
    model = SGDRegressor(random_state=5)
    ensemble = fit_ensemble(chosen(model), compounds, y, 3)
    assert [m.random_state for m in ensemble.members] == [5, 6, 7]
    assert not hasattr(model, "coef_")
    mean, _ = ensemble.predict(compounds)
    rows = [np.random.default_rng(s).permutation(200)[:133] for s in (5, 6, 7)]
    X = fractions(compounds)
    alone = [
        SGDRegressor(random_state=s).fit(X[r], y[r]).predict(X)
        for s, r in zip((5, 6, 7), rows, strict=True)
    ]
    assert mean == pytest.approx(np.mean(alone, axis=0))


def test_each_member_learns_from_its_own_rows():
    compounds, y = made_up(200, 0)
    tree = DecisionTreeRegressor(random_state=0)  # knows by heart what it learned from
    ensemble = fit_ensemble(chosen(tree), compounds, y, n_members=2, n_rows=50)
    known = [member.predict(fractions(compounds)) == y for member in ensemble.members]
    assert all(50 <= k.sum() < 80 for k in known)
    assert (known[0] != known[1]).any()


def test_what_cannot_be_promised_is_refused():
    with pytest.raises(ValueError, match="two members"):
        fit_ensemble(chosen(SGDRegressor(random_state=0)), *made_up(20, 0), n_members=1)
    with pytest.raises(ValueError, match="n_rows must not be negative: -1"):
        fit_ensemble(chosen(SGDRegressor(random_state=0)), *made_up(20, 0), n_rows=-1)
    with pytest.raises(ValueError, match=r"too few for the level 0\.9"):
        of_sodium(-1.0, -2.0).calibrate(*made_up(5, 0), level=0.9)
    with pytest.raises(ValueError, match="no intervals yet: calibrate"):
        screen(counts("NaCl"), counts("MgO"), of_sodium(-1.0, -3.0))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 90, float("nan")])
def test_a_level_that_is_no_share_is_refused(level):
    ensemble = of_sodium(-1.0, -2.0)
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        ensemble.calibrate(*made_up(50, 0), level=level)
    assert np.isnan(ensemble.factor) and ensemble.floor == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda y: y[:-1], r"20 compositions have 20 targets, not an array \(19,\)"),
        (lambda y: y[:, None], r"not an array \(20, 1\)"),
        (lambda y: np.where(np.arange(20) == 7, np.nan, y), "the target of row 7 is nan"),
        (lambda y: np.where(np.arange(20) == 0, -np.inf, y), "the target of row 0 is -inf"),
    ],
)
def test_targets_that_do_not_fit_are_refused(damage, message):
    compounds, y = made_up(20, 0)
    ensemble = of_sodium(-1.0, -2.0)
    with pytest.raises(ValueError, match=message):
        ensemble.calibrate(compounds, damage(y), level=0.5)
    assert np.isnan(ensemble.factor) and ensemble.floor == 0
    with pytest.raises(ValueError, match=message):
        fit_ensemble(chosen(SGDRegressor(random_state=0)), compounds, damage(y))


class Fraction:
    """Predicts a multiple of the fraction of one element."""

    def __init__(self, symbol, slope):
        self.column, self.slope = ELEMENT_INDEX[symbol], slope

    def predict(self, X):
        return self.slope * X[:, self.column].astype(float)


def of_sodium(*slopes, **options):
    members = [Fraction("Na", slope) for slope in slopes]
    return Ensemble(members, OneHot(fractions=True), **options)


# --- what is kept -------------------------------------------------------------------------------


def test_new_compositions_by_hand():
    drawn = counts("KCl", "MgO", "NaCl", "Na2Cl2", "LiF", "KCl", "MgO", "NaCl")
    distinct, times = new_compositions(drawn, counts("KCl", "CaO"))
    assert formulas(distinct) == ["NaCl", "MgO", "LiF"]
    assert times.tolist() == [3, 2, 1]


def test_screening_by_hand():
    # all are new but MgO and KCl, all are balanced but NaAl
    drawn = counts("NaCl", "KCl", "Na2Cl2", "Na2O", "NaAl", "MgO", "NaF", "Na3N")
    known = counts("MgO", "KCl", "CaO")
    table = screen(drawn, known, of_sodium(-1.0, -3.0, factor=3.0))
    # means -2 x, spread x, half width 3 x, of the fraction x of sodium: the high end is x
    assert table["formula"].tolist() == ["NaCl", "NaF", "Na2O", "Na3N"]
    assert table["times drawn"].tolist() == [2, 1, 1, 1]
    assert table["predicted"].tolist() == pytest.approx([-1, -1, -4 / 3, -3 / 2])
    assert table["high"].tolist() == pytest.approx([1 / 2, 1 / 2, 2 / 3, 3 / 4])
    assert table["low"].tolist() == pytest.approx([-5 / 2, -5 / 2, -10 / 3, -15 / 4])


def test_high_values_can_be_wanted():
    # means 2 x, half width x: the low end is x
    drawn = counts("NaCl", "Na2O", "NaF", "Na3N")
    table = screen(drawn, counts("KCl"), of_sodium(1.0, 3.0, factor=1.0), highest=True)
    assert table["formula"].tolist() == ["Na3N", "Na2O", "NaCl", "NaF"]
    assert table["low"].tolist() == pytest.approx([3 / 4, 2 / 3, 1 / 2, 1 / 2])


def test_the_nearest_known_compound_by_hand():
    known = pd.DataFrame({"formula": ["YBa2Cu3O7", "MgB2", "Nb3Sn"], "target": [92.0, 39.0, 18.0]})
    found = nearest_known(["Mg3B5", "Nb6Sn2", "NaCl"], known)
    assert found["nearest"].tolist()[:2] == ["MgB2", "Nb3Sn"]
    assert found["target"].tolist()[:2] == [39.0, 18.0]
    # magnesium 3/8 against 1/3, boron 5/8 against 2/3; the same ratio; no common element
    assert found["distance"].tolist() == pytest.approx([1 / 12, 0, 2])
    assert len(nearest_known([], known)) == 0
    with pytest.raises(ValueError, match="no known compounds"):
        nearest_known(["NaCl"], known[:0])


def test_compounds_of_any_form_and_rows_that_are_none():
    known = pd.DataFrame({"formula": ["MgB2", "Nb3Sn"], "target": [39.0, 18.0]})
    asked = pd.Series(["MgB2", "Qq", "Nb2Sn"], index=["a", "b", "c"])
    with pytest.raises(CompositionError, match=r"row 1 \(index 'b'\)"):
        nearest_known(asked, known)
    found = nearest_known(asked, known, on_error="nan")
    assert found.index.tolist() == ["a", "b", "c"]
    assert found["nearest"].tolist()[::2] == ["MgB2", "Nb3Sn"] and found.loc["b"].isna().all()
    assert nearest_known(asked, known, on_error="drop").index.tolist() == ["a", "c"]

    ensemble = of_sodium(-1.0, -3.0, factor=3.0)
    mean, half = ensemble.predict(["NaCl", "Qq", "Na3N"], on_error="nan")
    assert mean == pytest.approx([-1, np.nan, -3 / 2], nan_ok=True)
    assert half == pytest.approx([3 / 2, np.nan, 9 / 4], nan_ok=True)
    for same in (counts("NaCl", "Na3N"), iter(["NaCl", "Na3N"])):
        assert ensemble.predict(same)[0] == pytest.approx([-1, -3 / 2])
    drawn = ["NaCl", "Na2Cl2", "KCl"]
    assert screen(iter(drawn), ["KCl"], ensemble)["times drawn"].tolist() == [2]


def test_what_is_not_reduced_is_screened_as_its_formula_is_written():
    ensemble = Ensemble([Fraction("Na", 1.0), Fraction("Na", 1.0)], OneHot(), factor=1.0)
    table = screen(counts("Na2Cl2", "Na4O2"), counts("KCl"), ensemble)
    assert dict(zip(table["formula"], table["predicted"], strict=True)) == {"NaCl": 1, "Na2O": 2}


def test_nothing_valid_gives_an_empty_table():
    ensemble = fit_ensemble(chosen(SGDRegressor(random_state=0)), *made_up(40, 0), n_members=2)
    ensemble.calibrate(*made_up(20, 1))
    table = screen(counts("NaAl"), counts("NaCl"), ensemble)
    assert len(table) == 0
    assert list(table.columns) == ["formula", "times drawn", "predicted", "low", "high"]


def test_an_ensemble_can_be_the_property_that_a_generator_is_asked_for():
    ensemble = fit_ensemble(chosen(DecisionTreeRegressor(random_state=0)), *made_up(600, 0))
    ensemble.calibrate(*made_up(200, 1))
    generator = load_generator("wgan-mp")
    for rule, end in (("value", 0), ("interval", 2)):
        wish = Property(ensemble.bounds, high=-0.01, rule=rule)
        sample = generator.sample(20, seed=0, having=wish, by="rejection", progress=False)
        assert (ensemble.bounds(sample)[end] <= -0.01).all() and sample.outcomes.outside > 0
    mean, half = ensemble.predict(sample)
    np.testing.assert_array_equal(ensemble.bounds(sample), [mean, mean - half, mean + half])
