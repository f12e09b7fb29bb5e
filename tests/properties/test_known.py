import numpy as np
import pytest

from matgan.chemistry.composition import amounts_matrix, formulas, fractions
from matgan.properties.known import KnownCompositions

TABLES = {"A": ["Fe2O3", "NaCl", "CuZn"], "B": ["Fe4O6", "FeO", "Fe0.5O0.5", "LiFePO4"]}


@pytest.fixture(scope="module")
def few():
    return KnownCompositions(TABLES)


def test_compositions_that_are_equal_count_once(few):
    assert len(few) == 5  # Fe2O3 twice, FeO twice
    which, distance = few.nearest(["Fe6O9", "Fe3O3", "LiFePO4", "NaBr"], 1)
    assert few.where(which, distance) == ["A, B", "B", "B", ""]
    assert formulas(amounts_matrix(few.formulas(which[:3, 0]))) == ["Fe2O3", "FeO", "LiFePO4"]


def test_the_distance_is_the_share_of_atoms_that_differs(few):
    which, distance = few.nearest(["NaBr", "Fe3O4"], 2)
    assert few.formulas(which[0]) == ["NaCl", ""]  # nothing else has sodium or bromine
    assert distance[0].tolist() == [0.5, 1.0]
    assert few.formulas(which[1]) == ["Fe2O3", "FeO"]
    np.testing.assert_allclose(distance[1], [3 / 7 - 2 / 5, 1 / 2 - 3 / 7], atol=1e-6)


def test_row_says_where_a_composition_stands_first(few):
    end_to_end = [*TABLES["A"], *TABLES["B"]]
    assert sorted(few.row.tolist()) == [0, 1, 2, 4, 6]
    written = [formulas(amounts_matrix([end_to_end[row]]))[0] for row in few.row]
    assert written == formulas(amounts_matrix(few.formulas(np.arange(len(few)))))


def test_nearest_agrees_with_all_distances(supercon, mp_compositions):
    """Doped superconductors among 20,000 compounds: against ½ Σ |x - y| with each of them."""
    table = [*supercon["formula"][:5000], *mp_compositions["formula"][:15000]]
    known = KnownCompositions({"both": table})
    shares = fractions(known.formulas(np.arange(len(known))))
    asked = [*supercon["formula"][5000:5060], *mp_compositions["formula"][20000:20060]]
    which, distance = known.nearest(asked, 4)
    for own, rows, away in zip(fractions(asked), which, distance, strict=True):
        exact = np.abs(shares - own).sum(axis=1) / 2
        np.testing.assert_allclose(away, np.sort(exact)[:4], atol=1e-5)
        np.testing.assert_allclose(exact[rows], away, atol=1e-5)


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_one_or_more(few, k):
    with pytest.raises(ValueError, match=f"k must be 1 or more, not {k}"):
        few.nearest(["NaCl"], k)


def test_more_than_there_are(few):
    which, distance = few.nearest(["FeO"], 9)
    assert (which[0] >= 0).sum() == 3  # Fe2O3, FeO, LiFePO4: what shares an element
    assert set(distance[0][which[0] < 0]) == {1.0}
