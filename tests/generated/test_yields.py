"""What a screening brings, with regressors whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.generated import yields
from matgan.generated.models import OURS, REAL, SHUFFLED, SWAPPED, Draw
from matgan.generated.screening import Choice
from matgan.generated.yields import CRITICAL, FORMATION, HELD, REGRESSORS, Parts, screen_models
from matgan.representation.features import OneHot
from matgan.wgan.generator import load_generator


class Sodium(RegressorMixin, BaseEstimator):
    """Predicts minus the fraction of sodium, and a little that depends on the random state."""

    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, X, y):
        return self

    def predict(self, X):
        return -X[:, ELEMENT_INDEX["Na"]] + 0.01 * (self.random_state % 2)


CHOICE = Choice("one-hot fractions", OneHot(fractions=True), Sodium(), "")


def counts(*formulas):
    return whole_counts(amounts_matrix(formulas))


def compounds(oqmd, n=3000, noise=0.1):
    """Real formulas with made-up targets, normal around minus the fraction of sodium."""
    table = oqmd.sample(n, random_state=0)
    fraction = OneHot(fractions=True).fit_transform(table["formula"])[:, ELEMENT_INDEX["Na"]]
    return table.assign(target=np.random.default_rng(0).normal(-fraction, noise))


@pytest.fixture(scope="module")
def parts(oqmd):
    table = compounds(oqmd)
    return Parts(table[:1000], table[1000:2000], table[2000:])


def value(screening, measure, model):
    rows = screening.rows
    return rows[(rows["measure"] == measure) & (rows["model"] == model)]["value"].item()


def test_the_parts_share_no_compound_and_halve_the_held_out_ones(oqmd):
    found = yields.energy_parts(oqmd)
    assert len(found.learned) == (oqmd["split"] == "train").sum()
    assert abs(len(found.rest) - len(found.checked)) <= 1
    assert sum(map(len, found)) == pd.concat(found)["formula"].nunique() == len(oqmd)


def test_superconductors_are_parted_by_chemical_system(supercon):
    found = yields.supercon_parts(1)
    systems = [set(map(bytes, amounts_matrix(part["formula"]) > 0)) for part in found]
    assert not (systems[0] & systems[1] or systems[1] & systems[2] or systems[0] & systems[2])
    whole = yields.of_whole_amounts(found)
    assert whole.dtype == np.uint8
    assert 1000 < len(whole) < len(supercon)


def test_a_screening_by_hand(parts):
    pools = {
        REAL: Draw(counts("NaCl", "MgO"), 1.0, ""),
        OURS: Draw(counts("NaF", "NaF", "KCl", "NaAl"), 1.0, "w"),
        SWAPPED: Draw(counts("KCl", "KBr"), 1.0, ""),
    }
    found = screen_models(FORMATION, CHOICE, parts, pools, counts("KCl"), 2, seed=3)
    # NaAl is not balanced, KCl is known; of the real ones everything is new
    assert {model: table["formula"].tolist() for model, table in found.kept.items()} == {
        REAL: ["NaCl", "MgO"],
        OURS: ["NaF"],
        SWAPPED: ["KBr"],
    }
    assert value(found, "kept per 100 samples", OURS) == 50
    assert value(found, "median prediction (eV/atom)", OURS) == pytest.approx(-0.5 + 0.005)
    # half widths are 1.64 deviations of 0.1, so that NaF is surely below zero, KBr is not
    assert value(found, "median half width (eV/atom)", OURS) == pytest.approx(0.164, abs=0.02)
    assert value(found, FORMATION.sure, OURS) == 1
    assert value(found, FORMATION.sure, SWAPPED) == 0
    assert value(found, FORMATION.sure, REAL) == 1 / 2
    # predictions: -1/2, 0 of real, -1/2, -1/2, 0, -1/2 of ours, 0, 0
    assert value(found, "distance of predictions (eV/atom)", OURS) == pytest.approx(1 / 8)
    assert value(found, "distance of predictions (eV/atom)", SWAPPED) == pytest.approx(1 / 4)
    assert set(found.rows["seed"]) == {3}
    assert set(found.rows["epochs"]) == {0}
    assert found.rows[found.rows["model"] == OURS]["weights"].unique().tolist() == ["w"]


def test_the_intervals_are_checked_on_compounds_not_used_before(parts):
    pools = {SHUFFLED: Draw(counts("NaCl"), 1.0, "")}
    found = screen_models(FORMATION, CHOICE, parts, pools, counts("KCl"), 2)
    assert value(found, HELD, REGRESSORS) == pytest.approx(0.9, abs=0.03)
    # members differ by 0.01: their spread of 0.005 holds 4% of a normal of deviation 0.1
    assert value(found, yields.HELD_BY_SPREAD, REGRESSORS) == pytest.approx(0.04, abs=0.02)
    # of a normal, the mean absolute error is 0.8 deviations
    expected = 0.1 * np.sqrt(2 / np.pi)
    assert value(found, "mean absolute error (eV/atom)", REGRESSORS) == pytest.approx(
        expected, rel=0.1
    )
    assert not found.rows["measure"].str.startswith("distance").any()  # no real compounds


def test_high_values_are_sure_at_the_other_end(parts):
    pools = {OURS: Draw(counts("NaF", "KBr"), 1.0, "")}
    found = screen_models(CRITICAL, CHOICE, parts, pools, counts("KCl"), 2)
    assert found.kept[OURS]["formula"].tolist() == ["KBr", "NaF"]
    assert CRITICAL.sure == "surely above 10 K"
    assert value(found, CRITICAL.sure, OURS) == 0


def test_pools_of_two_data_sets_are_joined():
    one = {REAL: Draw(counts("MgO"), 1.0, ""), OURS: Draw(counts("NaF"), 1.0, "a")}
    two = {OURS: Draw(counts("KF"), 1.0, "b"), SWAPPED: Draw(counts("KCl"), 1.0, "")}
    found = yields.joined([one, two])
    assert list(found) == [OURS, SWAPPED]
    assert (found[OURS].counts == counts("NaF", "KF")).all()
    assert (found[OURS].weights, found[SWAPPED].weights) == ("a+b", "")


def test_settled_compares_the_same_seeds():
    def rows(*pairs):
        measure = "mean absolute error (eV/atom)"
        table = [(FORMATION.name, measure, REGRESSORS, "", *pair) for pair in pairs]
        columns = ["data", "measure", "model", "weights", "seed", "epochs", "value"]
        return pd.DataFrame(table, columns=columns)

    short = ((0, 10, 0.1), (1, 10, 0.5))
    assert yields.settled(rows(*short), FORMATION) is False
    assert yields.settled(rows(*short, (0, 20, 0.0985)), FORMATION) is True
    assert yields.settled(rows(*short, (0, 20, 0.09)), FORMATION) is False
    assert yields.shortest(rows(*short, (0, 20, 0.09)))["epochs"].tolist() == [10, 10]


def test_construction_costs_less_than_rejection_and_agrees_with_it():
    wishes = {"lithium and oxygen": {"contain": ["Li", "O"]}, "anything": {}}
    table = yields.on_request(load_generator("wgan-mp"), wishes, 5000).set_index("wish")
    rare, any_ = table.loc["lithium and oxygen"], table.loc["anything"]
    assert rare["share"] == pytest.approx(0.04, abs=0.01)
    assert rare["estimate"] == pytest.approx(rare["share"], rel=0.1)
    assert rare["construction"] < 0.5 * rare["rejection"]
    assert rare["rejection"] == pytest.approx(1 / rare["share"])
    assert tuple(any_) == (1, 1, 1, 1)
