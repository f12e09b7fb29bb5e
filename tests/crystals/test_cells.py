import itertools

import numpy as np
import pytest
from known_structures import NACL, RUTILE
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice

from matgan.crystals import cells
from matgan.crystals.cells import figure_of_merit, indexed_cell, refined_cell
from matgan.crystals.structures import from_pymatgen
from matgan.powder.patterns import CU_KA1, Instrument
from matgan.study.jobs.powder import lattice
from matgan.study.jobs.powder.lattice import first_lines

LATTICE = Lattice.from_parameters(4.1, 5.3, 7.7, 81, 95, 102)


def arrays(structure):
    return from_pymatgen([structure])[0]


def parameters(lattice):
    return np.array([*lattice.abc, *lattice.angles])


def test_reduced_cells_are_those_of_pymatgen(crystals):
    some = crystals.take(np.arange(40))
    found = cells.niggli_cells(some)
    for i, cell in enumerate(found):
        reduced = some.structure(i).get_primitive_structure().lattice.get_niggli_reduced_lattice()
        assert cell[:3] == pytest.approx(reduced.abc, rel=0.01), some.table["id"][i]
    (salt,) = cells.niggli_cells(from_pymatgen([NACL]))
    assert salt == pytest.approx([5.64 / np.sqrt(2)] * 3 + [60] * 3)


@pytest.mark.parametrize("structure", [NACL, RUTILE])
def test_first_lines_are_those_of_pymatgen(structure):
    instrument = Instrument()
    given = XRDCalculator(CU_KA1).get_pattern(
        structure, two_theta_range=(instrument.start, instrument.stop)
    )
    strong = given.y > 100 * lattice.WEAKEST
    expected = 1 / np.array(given.d_hkls)[strong] ** 2
    found = first_lines(*arrays(structure), n=12)
    assert found == pytest.approx(expected[:12], rel=1e-3) and len(found) >= 8


def test_the_metric_gives_the_spacings_of_all_planes():
    planes = cells._planes(cells._metric(parameters(LATTICE)), 1.0)
    q = np.sort(planes @ cells._metric(parameters(LATTICE)))
    reach = range(-9, 10)
    every = [hkl for hkl in itertools.product(reach, repeat=3) if hkl > (0, 0, 0)]
    expected = np.sort([1 / LATTICE.d_hkl(hkl) ** 2 for hkl in every])
    np.testing.assert_allclose(q[q <= 1], expected[expected <= 1], rtol=1e-9)
    np.testing.assert_allclose(
        cells._of_metric(cells._metric(parameters(LATTICE))), parameters(LATTICE), rtol=1e-9
    )


def test_de_wolffs_merit_by_hand():
    """Simple cubic of 4 Å: (100), (110), (111), each 1% too far out; three lines are possible."""
    lines = np.array([1, 2, 3]) / 16 * 1.01
    off = np.mean([1, 2, 3]) / 16 * 0.01
    cubic = np.array([4.0, 4, 4, 90, 90, 90])
    assert figure_of_merit(cubic, lines) == pytest.approx(lines[-1] / (2 * off * 3))
    for none in (lines[:0], lines[::-1]):
        with pytest.raises(ValueError, match="lines must be rising numbers, one at least"):
            figure_of_merit(cubic, none)


@pytest.mark.parametrize("structure", [NACL, RUTILE])
def test_a_cell_that_is_off_by_a_hundredth_finds_its_lines(structure):
    (true,) = cells.niggli_cells(from_pymatgen([structure]))
    lines = first_lines(*arrays(structure))
    off = true * [1.01, 0.99, 1.01, 1.003, 1, 0.997]
    assert not cells.same_lattice(off, true)
    found = refined_cell(off, lines)
    assert cells.same_lattice(found, true)
    assert figure_of_merit(found, lines) > 100 > 20 > figure_of_merit(off, lines)


def test_guesses_around_find_what_the_first_one_does_not():
    (true,) = cells.niggli_cells(from_pymatgen([RUTILE]))
    lines, off = first_lines(*arrays(RUTILE)), true * [1.06, 0.96, 1.05, 1, 1.02, 0.98]
    alone = indexed_cell(off, lines, tries=1)
    assert alone is None or not cells.same_lattice(alone, true)
    found = indexed_cell(off, lines, spread=0.05, tries=60)
    assert cells.same_lattice(found, true)
    np.testing.assert_array_equal(indexed_cell(off, lines, spread=0.05, tries=60), found)


def test_one_lattice_has_many_cells():
    other = Lattice(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]]) @ LATTICE.matrix)
    assert cells.same_lattice(parameters(LATTICE), parameters(other))
    double = Lattice(np.diag([1, 1, 2]) @ LATTICE.matrix)
    assert not cells.same_lattice(parameters(LATTICE), parameters(double))
    stretched = parameters(LATTICE) * [1.01, 1, 1 / 1.01, 1, 1, 1]  # of the same volume
    assert not cells.same_lattice(parameters(LATTICE), stretched)


def test_a_guess_that_spans_no_cell_is_lost():
    lines = first_lines(*arrays(NACL))
    assert refined_cell(np.array([4.0, 4, 4, 20, 20, 170]), lines) is None
    assert indexed_cell(np.array([4.0, 4, 4, 20, 20, 170]), lines, spread=0, tries=3) is None
    assert (
        refined_cell(np.array([400.0, 400, 400, 90, 90, 90]), lines) is None
    )  # planes without end
