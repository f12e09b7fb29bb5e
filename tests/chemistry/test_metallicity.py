"""Metals and the metallicity score: the peer is SMACT itself."""

import numpy as np
import pytest
from pymatgen.core import Composition, Element
from smact.metallicity import get_metal_fraction, metallicity_score

from matgan import ELEMENTS
from matgan.chemistry.composition import amounts, amounts_matrix
from matgan.chemistry.metallicity import all_metal, is_metal, metallicity, valence_electrons
from matgan.chemistry.oxidation import electronegativities
from matgan.chemistry.parsing import CompositionError


def parts_of(formula):
    """Elements by rising electronegativity (1, k), the unknown last, and their amounts (1, k)."""
    counts = amounts(formula)
    elements = np.flatnonzero(counts)
    elements = elements[np.argsort(electronegativities()[elements], kind="stable")]
    return elements[None], counts[elements][None]


def test_the_score_is_smacts_on_real_compounds(mp_compositions, oqmd):
    sample = [
        *mp_compositions["formula"].sample(400, random_state=0),
        *oqmd["formula"].sample(400, random_state=0),
        "PmCl3",  # no electronegativity
        "Fe2Pm",
        "XeF6",
    ]
    ours = [metallicity(*parts_of(formula)).item() for formula in sample]
    theirs = [metallicity_score(formula) for formula in sample]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert np.ptp(ours) > 0.8


def test_the_score_of_many_is_that_of_each():
    formulas = ["NaCl", "FeAl", "TiO2", "CuZn5"]
    elements, counts = (np.concatenate(part) for part in zip(*map(parts_of, formulas), strict=True))
    together = metallicity(elements, counts)
    assert together.shape == (4,)
    alone = [metallicity(*parts_of(formula)).item() for formula in formulas]
    np.testing.assert_array_equal(together, alone)
    assert (together >= 0).all() and (together <= 1).all()
    assert together[1] > together[2] > together[0]  # an alloy, an oxide of a d metal, a salt


@pytest.mark.filterwarnings("error")
def test_an_element_alone_has_no_pair():
    for element in ("Fe", "S"):
        found = metallicity(*parts_of(element)).item()
        assert found == pytest.approx(metallicity_score(element))


def test_metals_are_smacts():
    metal = is_metal()
    assert metal.shape == (85,)
    assert metal.tolist() == [get_metal_fraction(Composition(symbol)) == 1 for symbol in ELEMENTS]
    # and pymatgen's, but for the metalloids that only one of them counts, and promethium
    theirs = np.array([Element(symbol).is_metal for symbol in ELEMENTS])
    differ = {ELEMENTS[i] for i in np.flatnonzero(metal != theirs)}
    assert differ == {"Ge", "Sb", "Pm"}


def test_valence_electrons():
    known = valence_electrons()
    assert known.shape == (85,)
    of = dict(zip(ELEMENTS, known, strict=True))
    assert [of[s] for s in ("H", "Na", "Mg", "Cl", "O", "C", "Fe")] == [1, 1, 2, 7, 6, 4, 8]
    assert np.isnan(known).sum() < 5


def test_all_metal(oqmd):
    sample = oqmd["formula"].sample(500, random_state=1)
    expected = [get_metal_fraction(Composition(formula)) > 1 - 1e-9 for formula in sample]
    assert all_metal(sample).tolist() == expected
    assert all_metal(amounts_matrix(sample).astype(np.uint8)).tolist() == expected
    assert 0.2 < np.mean(expected) < 0.8
    by_hand = ["TiAl", "GeSb", "Ti3SiC2", "PmAl", "Fe"]
    assert all_metal(by_hand).tolist() == [True, True, False, False, True]


def test_all_metal_of_what_is_no_composition():
    with pytest.raises(CompositionError, match="row 1, formula 'Qq'"):
        all_metal(["TiAl", "Qq"])
    found = all_metal(["TiAl", "Qq", "NaCl"], on_error="nan")
    assert found.isna().tolist() == [False, True, False]
    assert all_metal(["TiAl", "Qq", "NaCl"], on_error="drop").tolist() == [True, False]
