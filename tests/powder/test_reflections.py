"""Reflections: structure factors by hand, pymatgen's lattice, its table of scattering factors."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from known_structures import NACL, some
from pymatgen.core import Lattice

from matgan.crystals.cells import reciprocal_basis
from matgan.crystals.structures import StructureError
from matgan.powder import reflections

lengths = st.floats(2, 12)
angles = st.floats(50, 130)


def test_rock_salt_by_hand():
    """All odd: 4 (f_Na - f_Cl), all even: 4 (f_Na + f_Cl), mixed: nothing; a = 5.64 Å."""
    found = reflections.reflections(*some()[0], 0.1, 0.9)
    parities = (found.hkl % 2).sum(1)
    strengths = found.strength.copy()
    sodium, chlorine = (reflections.scattering_factor(z, found.length**2 / 4) for z in (11, 17))
    expected = np.zeros(len(strengths))
    expected[parities == 0] = 2 * (4 * (sodium + chlorine))[parities == 0] ** 2
    expected[parities == 3] = 2 * (4 * (sodium - chlorine))[parities == 3] ** 2
    assert strengths == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert found.length == pytest.approx(np.linalg.norm(found.hkl, axis=1) / 5.64)


def test_half_of_reciprocal_space_is_there_once():
    found = reflections.reflections(*some()[2], 0.1, 0.8)
    both = np.concatenate([found.hkl, -found.hkl])
    assert len(np.unique(both, axis=0)) == len(both)
    lattice = some().structure(2).lattice.reciprocal_lattice_crystallographic
    points = lattice.get_points_in_sphere([[0, 0, 0]], [0, 0, 0], 0.8)
    assert len(both) == sum(point[1] >= 0.1 for point in points)


@given(lengths, lengths, lengths, angles, angles, angles)
def test_the_reciprocal_basis_is_pymatgens(a, b, c, alpha, beta, gamma):
    assume(alpha + beta + gamma < 355 and alpha + beta > gamma + 5)
    assume(alpha + gamma > beta + 5 and beta + gamma > alpha + 5)
    basis = reciprocal_basis(np.array([a, b, c, alpha, beta, gamma]))
    lattice = Lattice.from_parameters(a, b, c, alpha, beta, gamma)
    metric = lattice.reciprocal_lattice_crystallographic.metric_tensor
    assert basis @ basis.T == pytest.approx(metric, rel=1e-6, abs=1e-9)


def test_every_element_of_the_data_has_a_scattering_factor(crystals):
    for number in np.unique(crystals.numbers):
        # forward, an atom scatters as its electrons
        assert reflections.scattering_factor(int(number), np.zeros(1)) == pytest.approx(number)


def test_an_element_without_scattering_factor_is_named():
    with pytest.raises(StructureError, match="atomic number 103"):
        reflections.scattering_factor(103, np.zeros(1))


@pytest.mark.parametrize("second", [[1, 0, 0], [-1e-6, 2, 0], [0.99999, 0, 0]])
def test_two_atoms_in_one_place_are_named_unless_they_share_it(second):
    cell, numbers = [4, 4, 4, 90, 90, 90], [11, 19, 17]
    frac = np.array([[0, 0, 0], second, [0.5, 0.5, 0.5]])
    with pytest.raises(StructureError, match="the atoms 0, 1 are in one place"):
        reflections.reflections(cell, numbers, frac, 0.1, 1)
    shared = reflections.reflections(cell, numbers, frac, 0.1, 1, [0.6, 0.4, 1])
    assert len(shared.hkl)
    near = frac.copy()
    near[1] += 0.01
    assert len(reflections.reflections(cell, numbers, near, 0.1, 1).hkl)


def test_positions_that_do_not_fit_are_refused():
    cell = np.array([*NACL.lattice.abc, *NACL.lattice.angles])
    with pytest.raises(StructureError, match=r"\(2,\) atomic numbers and \(1, 3\)"):
        reflections.reflections(cell, np.array([11, 17]), np.zeros((1, 3)), 0.1, 0.9)
