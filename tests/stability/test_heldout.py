"""Which systems are held out, and scores of predicted diagrams by hand."""

import numpy as np
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.data.splits import chemical_systems
from matgan.stability import heldout
from matgan.stability.heldout import (
    NAMED,
    POOLED,
    diagram_scores,
    held_out,
    named,
    systems_to_hold_out,
)


@pytest.fixture(scope="module")
def oxides(oqmd_raw):
    """Compounds of fourteen elements."""
    chosen = oqmd_raw["formula"].str.fullmatch(
        r"((O|S|Na|Mg|Al|Ti|Mn|Fe|Co|Ni|Cu|Zr|Y|Li)\d*)+(?![a-z])"
    )
    return amounts_matrix(oqmd_raw["formula"][chosen])


def test_the_systems_are_drawn_by_the_rule(oxides, monkeypatch):
    monkeypatch.setattr(heldout, "FEWEST", {2: 6, 3: 20, 4: 40})
    monkeypatch.setattr(heldout, "DRAWN", {2: 3, 3: 4, 4: 2})
    systems = systems_to_hold_out(oxides)
    assert tuple(systems[:2]) == NAMED and len(set(systems)) == len(systems) == 11
    assert [len(system) for system in systems[2:]] == [2] * 3 + [3] * 4 + [4] * 2
    assert not {frozenset(system) for system in systems[2:]} & {frozenset(s) for s in NAMED}
    of = chemical_systems(oxides)
    for system in systems[2:]:
        own = [set(text.split("-")) <= set(system) for text in of]
        assert sum(own) >= {2: 6, 3: 20, 4: 40}[len(system)]
        assert "-".join(sorted(system)) in of
        assert own == held_out(oxides, [system]).tolist()
    assert systems_to_hold_out(oxides) == systems
    assert systems_to_hold_out(oxides[::-1]) == systems  # whatever the order of the rows
    assert systems_to_hold_out(oxides, seed=1)[:2] == list(NAMED)
    assert systems_to_hold_out(oxides, seed=1) != systems


def test_too_few_known_systems_are_said(oxides, monkeypatch):
    monkeypatch.setattr(heldout, "FEWEST", {2: 1000, 3: 20, 4: 40})
    with pytest.raises(ValueError, match="0 systems of 2 elements are well known, not 7"):
        systems_to_hold_out(oxides)


def test_compounds_of_some_of_the_elements_are_held_out_too():
    formulas = ["TiO2", "Ti", "FeO", "FeTiO3", "NaFeO2", "NaFeMnO4", "NaCl"]
    held = held_out(formulas, NAMED)
    assert held.tolist() == [True, True, True, False, True, True, False]
    assert named(NAMED[1]) == "Na-Fe-Mn-O"


def test_scores_by_hand():
    """LiO and Li2O are stable; a prediction of -1.2 for LiO lies above the line at -1.5."""
    amounts = amounts_matrix(["Li2O", "LiO", "LiO3", "NaCl", "Na3Cl"])
    energies = np.array([-2.0, -1.6, -0.7, -2.0, -0.9])
    predicted = np.array([-2.0, -1.2, -0.7, -2.0, -1.1])
    table = diagram_scores([("Li", "O"), ("Na", "Cl")], amounts, energies, predicted)
    table = table.set_index("system")
    counted = table[["compounds", "stable", "found", "missed", "false"]]
    # LiO3: on the line from LiO to O at -0.8, then from Li2O at -0.75
    assert counted.loc["Li-O"].tolist() == [3, 2, 1, 1, 0]
    assert counted.loc["Na-Cl"].tolist() == [2, 1, 1, 0, 1]  # the line to Na is at -1
    assert counted.loc[POOLED].tolist() == [5, 3, 2, 1, 1]
    assert table["f1"].to_dict() == pytest.approx({"Li-O": 2 / 3, "Na-Cl": 2 / 3, POOLED: 2 / 3})
    # distances: Li2O -2 + 1.6 / 1.5, then -2 + 1.2 / 1.5; LiO -0.1, then 0.3; LiO3 0.1, then 0.05
    # NaCl -2 + 0.9 / 1.5, then -2 + 1.1 / 1.5; Na3Cl 0.1, then -0.1
    changed = [0.4 / 1.5, 0.4, 0.05, 0.2 / 1.5, 0.2]
    assert table.loc[POOLED, "mae_distance"] == pytest.approx(np.mean(changed))
    assert table.loc["Li-O", "mae_energy"] == pytest.approx(0.4 / 3)
