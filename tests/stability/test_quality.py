"""Scores of predictions of stability: by hand, beside scikit-learn, and by counting."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from matgan.chemistry.composition import amounts_matrix, formulas
from matgan.chemistry.elements import ELEMENTS
from matgan.stability import quality
from matgan.stability.diagrams import within
from matgan.stability.quality import KnownSystems, stability_scores


def test_scores_by_hand():
    """Three of eight are stable; the two lowest predictions are one of them and one that is not."""
    true = [-0.2, -0.1, -0.01, 0.02, 0.04, 0.3, 0.5, 0.6]
    predicted = [-0.1, 0.03, 0.2, -0.3, 0.04, -0.05, 0.5, 0.6]
    row = stability_scores(true, predicted, first=(1, 2, 4, 100))
    assert row["compounds"] == 8 and row["stable"] == 3 / 8
    assert row["f1"] == pytest.approx(2 * 1 / (3 + 3))  # three are called stable, one is
    assert row["precision"] == row["recall"] == pytest.approx(1 / 3)
    assert row["false_positives"] == pytest.approx(2 / 5)
    assert row["f1_ranked"] == pytest.approx(1 / 3)
    assert row["enrichment_1"] == 0
    assert row["enrichment_2"] == pytest.approx((1 / 2) / (3 / 8))
    assert row["enrichment_4"] == pytest.approx((2 / 4) / (3 / 8))
    assert row["enrichment_100"] == pytest.approx(1)
    assert row["precision_near"] == pytest.approx(4 / 5)  # five are called near, one lies at 0.3
    assert row["near_ranked"] == pytest.approx(4 / 5)
    assert row["mae"] == pytest.approx((0.1 + 0.13 + 0.21 + 0.32 + 0.35) / 8)


def test_f1_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    true, predicted = random.normal(0.3, 0.5, (2, 5000))
    row, stable = stability_scores(true, predicted), (true < 0, predicted < 0)
    assert row["f1"] == pytest.approx(f1_score(*stable))
    assert row["precision"] == pytest.approx(precision_score(*stable))
    assert row["recall"] == pytest.approx(recall_score(*stable))


def test_ranks_have_no_distance_and_equal_ones_come_in_any_order():
    """Two of four are stable; of the three that are ranked alike, one is in the first two."""
    row = stability_scores([-1, 0.2, 0.3, -1], [0, 1, 1, 1], ranks=True, first=(2,))
    assert row["enrichment_2"] == pytest.approx((1 + 1 / 3) / 2 / 0.5)
    assert row["f1_ranked"] == pytest.approx(2 / 3)
    for name in ("f1", "precision", "recall", "false_positives", "precision_near", "mae"):
        assert np.isnan(row[name])
    none = stability_scores([-1, 0.2, 0.3, -1], np.zeros(4), ranks=True, first=(1, 3))
    assert none["f1_ranked"] == none["stable"] == 0.5
    assert none["enrichment_1"] == none["enrichment_3"] == 1


def test_nothing_stable_gives_no_score():
    row = stability_scores([0.1, 0.2], [0.2, 0.3])
    assert np.isnan([row["f1"], row["f1_ranked"], row["enrichment_100"]]).all()
    with pytest.raises(ValueError, match=r"row 1: nan was predicted for 0\.2"):
        stability_scores([0.1, 0.2], [0.2, np.nan])
    with pytest.raises(ValueError, match=r"\(2,\) true and \(3,\) predicted"):
        stability_scores([0.1, 0.2], [1, 2, 3])


def test_known_compounds_are_counted_as_by_hand(oqmd_raw):
    few = KnownSystems(["Na2O", "Na4O2", "FeO", "NaFe2O4", "NaCl", "O", "Fe"])
    assert few.within(["NaFeO2", "Na2O", "LiF", "Na"]).tolist() == [4, 2, 0, 0]
    some = oqmd_raw[~oqmd_raw["formula"].str.contains("Kr")].sample(6000, random_state=1)
    known = amounts_matrix(some["formula"])
    compounds = (known > 0).sum(axis=1) > 1
    asked = amounts_matrix(["".join(ELEMENTS[20:33]), *formulas(known[:200])])
    expected = [
        (within(known, [ELEMENTS[e] for e in np.flatnonzero(row)]) & compounds).sum()
        for row in asked
    ]
    systems = KnownSystems(known)
    assert systems.within(asked).tolist() == expected and sum(expected) > 200
    assert systems.within([]).shape == (0,)


def test_a_thin_neighbourhood_by_hand(monkeypatch):
    """Two compounds of sodium are too few, three of oxygen are not; Fe-Cl has none."""
    monkeypatch.setattr(quality, "THIN_ELEMENT", 3)
    known = KnownSystems("FeO Fe2O3 FeTiO3 TiCl4 SiCl4 SCl2 NaO NaCl Fe Na".split())
    asked = ["Fe3O4", "FeCl2", "Na2O", "FeTiO4"]
    assert known.thin(asked).tolist() == [False, True, True, True]
    assert known.thin([]).shape == (0,)
