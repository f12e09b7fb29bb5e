"""Phase diagrams beside pymatgen's, and by hand."""

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from matgan.stability.diagrams import Diagram, DiagramError, agreement, within


@pytest.fixture(scope="module")
def iron_oxides(oqmd_raw):
    """Compounds of Na, Fe and O, and pymatgen's diagram of them."""
    elements = ["Na", "Fe", "O"]
    inside = oqmd_raw[oqmd_raw["formula"].str.fullmatch(r"((Na|Fe|O)\d*)+")]
    formulas, energies = inside["formula"].tolist(), inside["target"].to_numpy()
    entries = [PDEntry(Composition({symbol: 1}), 0.0) for symbol in elements]
    for formula, energy in zip(formulas, energies, strict=True):
        composition = Composition(formula)
        entries.append(PDEntry(composition, energy * composition.num_atoms))
    return Diagram(elements, formulas, energies), formulas, PhaseDiagram(entries)


def test_stable_compounds_and_their_balance_are_those_of_pymatgen(iron_oxides):
    diagram, formulas, theirs = iron_oxides
    stable = {entry.composition.reduced_formula for entry in theirs.stable_entries}
    own = {Composition(formulas[row]).reduced_formula for row in np.flatnonzero(diagram.stable)}
    assert len(own) > 8 and own | {"Na", "Fe", "O2"} == stable

    def written(row):
        composition = Composition(formulas[row]) if row >= 0 else diagram.elements[-1 - row]
        return Composition(composition).reduced_formula

    triangles = {
        frozenset(theirs.qhull_entries[i].composition.reduced_formula for i in facet)
        for facet in theirs.facets
    }
    assert {frozenset(map(written, tie)) for tie in diagram.ties()} == triangles


def test_what_lies_within_a_system(oqmd_raw):
    formulas = oqmd_raw["formula"].sample(3000, random_state=0)
    formulas = formulas[~formulas.str.contains("Kr")]
    chosen = {Element(symbol) for symbol in ("Na", "Fe", "Mn", "O", "Ti", "Al")}
    expected = [set(Composition(text).elements) <= chosen for text in formulas]
    assert within(formulas, [str(symbol) for symbol in chosen]).tolist() == expected
    assert within(["TiO2", "FeTiO3", "O"], ["Ti", "O"]).tolist() == [True, False, True]


def test_a_diagram_by_hand():
    """Of A = Li and B = O: AB below, A3B on the line to it, AB3 above."""
    diagram = Diagram(["Li", "O"], ["LiO", "Li3O", "LiO3"], [-1.0, -0.5, -0.2])
    np.testing.assert_allclose(diagram.distance, [-1 + (0.5 + 0.2) / 2, 0, 0.3], atol=1e-12)
    assert diagram.stable.tolist() == [True, False, False]
    assert sorted(map(sorted, diagram.ties().tolist())) == [[-2, 0], [-1, 0]]
    np.testing.assert_allclose(diagram.shares[:, 1], [0.5, 0.25, 0.75])


def test_a_system_without_compounds_has_its_elements():
    diagram = Diagram(["Li", "O", "Fe"], [], [])
    assert diagram.stable.shape == (0,) and diagram.shares.shape == (0, 3)
    assert diagram.ties().tolist() == [[-1, -2, -3]]


@pytest.mark.parametrize(
    ("elements", "compounds", "why"),
    [
        (["Ti", "O"], ["TiO2", "FeO"], "row 1 holds another element than Ti, O"),
        (["Ti", "Xx"], ["TiO2"], r"different elements of the 85, not \['Ti', 'Xx'\]"),
        (["Ti", "Ti"], ["Ti2"], "different elements"),
    ],
)
def test_what_is_no_system_is_named(elements, compounds, why):
    with pytest.raises(DiagramError, match=why):
        Diagram(elements, compounds, np.zeros(len(compounds)))


def test_agreement_by_hand():
    true = np.array([-0.1, -0.2, 0.1, 0.0, -0.3])
    predicted = np.array([-0.2, 0.1, -0.1, 0.3, -0.1])
    found = agreement(true, predicted)
    assert (found.found, found.missed, found.false) == (2, 1, 1)
    assert found.f1 == pytest.approx(2 / 3)
    assert found.mae == pytest.approx((0.1 + 0.3 + 0.2 + 0.3 + 0.2) / 5)
    assert np.isnan(agreement(true[:0], true[:0]).f1)
