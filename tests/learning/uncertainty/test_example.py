"""One prediction explained: its parts add up, its neighbours are known compounds."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from matgan.chemistry.composition import amounts_matrix
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.uncertainty.example import Known, explained

KNOWN = ["NaCl", "KCl", "NaBr", "KBr", "NaF", "KF", "MgO", "CaO", "MgS", "CaS", "LiF", "LiCl"]


def test_a_prediction_is_its_start_and_what_the_elements_add():
    known = Known(amounts_matrix(KNOWN), np.linspace(1, 9, len(KNOWN)))
    held = Known(amounts_matrix(["LiBr", "SrO", "NaI", "RbF"] * 5), np.linspace(0, 9, 20))
    networks = [
        FullyConnectedRegressor(
            (16,), epochs=30, validation_fraction=0, clip=False, device="cpu", random_state=seed
        ).fit(known.fractions, known.y)
        for seed in range(3)
    ]
    of = amounts_matrix(["NaClO3"])[0]
    found = explained(networks, of, known, held, k=2)
    table = found.contributions
    assert list(table["element"]) == sorted(table["element"], key=["O", "Na", "Cl"].index)
    assert dict(zip(table["element"], table["fraction"], strict=True)) == pytest.approx(
        {"O": 0.6, "Na": 0.2, "Cl": 0.2}
    )
    said = np.mean([network.predict(of[None] / 5) for network in networks])
    assert found.predicted == pytest.approx(said) and found.low < said < found.high
    total = found.typical + table["adds"].sum() + found.absent
    assert total == pytest.approx(found.predicted, abs=0.02)
    apart = cdist(of[None] / 5, known.fractions, "cityblock")[0]
    by_shares = found.neighbours[found.neighbours["by"] == "composition"]
    best = sorted(apart)[:2]
    named = [apart[KNOWN.index(name)] for name in by_shares["formula"]]
    assert named == pytest.approx(best)
    values = dict(zip(KNOWN, known.y, strict=True))
    for row in found.neighbours.itertuples():
        assert row.value == values[row.formula]
