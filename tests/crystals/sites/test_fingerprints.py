import itertools

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure
from scipy.special import eval_legendre

from matgan.crystals.sites import fingerprints as fp
from matgan.crystals.sites.neighbours import REACH, find_neighbours
from matgan.crystals.structures import StructureError, from_pymatgen


@pytest.fixture(scope="module")
def some(crystals):
    return crystals.take(np.random.default_rng(1).choice(len(crystals), 120, replace=False))


def column(name):
    return [i for i, label in enumerate(fp.SHAPE_NAMES) if label.startswith(f"{name} ")]


def test_rock_salt_by_hand():
    """Six neighbours at right angles, and little of the twelve behind them; no odd order."""
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    sites = fp.site_fingerprints(from_pymatgen([salt]))
    assert len(sites) == 2 and sites.atoms.tolist() == [4, 4]
    near = sites.shape[:, column("order")[: fp.BOND_ORDERS]]
    signs = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    around = signs[np.isin((signs**2).sum(1), (1, 2))]  # octahedron and cuboctahedron
    away = np.linalg.norm(around, axis=1)
    weight = 1 / (1 + np.exp((away - 1.25) / 0.04))
    cosines = around @ around.T / np.outer(away, away)
    expected = np.sqrt(weight @ eval_legendre(4, cosines) @ weight) / weight.sum()
    np.testing.assert_allclose(near[:, 3], expected, atol=1e-4)
    assert expected == pytest.approx(0.764, abs=0.04)  # the octahedron's (Steinhardt et al. 1983)
    np.testing.assert_allclose(near[:, ::2], 0, atol=1e-3)
    counted = np.exp(sites.shape[:, column("neighbours")[0]])
    np.testing.assert_allclose(counted, weight.sum(), atol=1e-4)
    np.testing.assert_allclose(np.exp(sites.lengths[:, 1]), 2.8, rtol=1e-5)
    # sodium's column is 0, chlorine's 1: each has the other next to it
    other = weight[away == 1].sum() / weight.sum()
    np.testing.assert_allclose(
        sites.share[:, 0, :2], [[1 - other, other], [other, 1 - other]], atol=1e-3
    )


def test_order_parameters_and_angles_are_sums_over_pairs(some):
    sites = fp.site_fingerprints(some)
    for row in range(0, 120, 12):
        found = find_neighbours(some, row)
        mine = slice(found.first[0], found.first[1])
        unit = found.distance[mine] / found.length[0]
        weight = (1 + np.cos(np.pi * unit / REACH)) / 2
        directions = found.offset[mine] / found.distance[mine, None]
        cosines = np.clip(directions @ directions.T, -1, 1)
        expected = [
            np.sqrt(max(weight @ eval_legendre(order, cosines) @ weight, 0)) / weight.sum()
            for order in range(1, fp.BOND_ORDERS + 1)
        ]
        place = int(np.searchsorted(sites.structure, row))  # its first atom's site
        wide = sites.shape[place, column("order")[2 * fp.BOND_ORDERS :]]
        np.testing.assert_allclose(wide, expected, atol=2e-3)
        for window in range(3):
            bins = column("angle")[window * fp.ANGLES : (window + 1) * fp.ANGLES]
            assert sites.shape[place, bins].sum() == pytest.approx(1, abs=1e-5)


def test_turned_shuffled_doubled_or_blown_up_a_crystal_keeps_its_sites(some):
    """Another cell, another order of atoms; a scale changes the lengths by its logarithm alone."""
    random = np.random.default_rng(0)
    own = [some.structure(i) for i in range(20)]
    other = []
    for structure in own:
        changed = structure.copy()
        changed.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
        changed.scale_lattice(changed.volume * 1.5**3)
        other.append(Structure.from_sites([changed[i] for i in random.permutation(len(changed))]))
    a, b = (fp.site_fingerprints(from_pymatgen(each)) for each in (own, other))
    for i in range(20):
        mine, found = np.flatnonzero(a.structure == i), np.flatnonzero(b.structure == i)
        assert abs(len(mine) - len(found)) <= 1  # a site on the edge of being another
        for row in mine:
            same = found[b.number[found] == a.number[row]]
            apart = np.abs(b.shape[same] - a.shape[row]).max(1)
            nearest = same[apart.argmin()]
            assert apart.min() < 2 * fp.SAME_WITHIN
            grown = b.lengths[nearest] - a.lengths[row]
            np.testing.assert_allclose(grown, np.log(1.5), atol=2 * fp.SAME_WITHIN)
            np.testing.assert_allclose(b.share[nearest], a.share[row], atol=2 * fp.SAME_WITHIN)


def test_distinct_sites_are_the_orbits_of_the_symmetry(some):
    """Of 120 structures; where they differ, the structure is symmetric only within a tolerance."""
    sites = fp.site_fingerprints(some)
    assert sites.atoms.sum() == len(some.numbers)
    alike = 0
    for i in range(len(some)):
        structure = some.structure(i)
        cell = structure.lattice.matrix.tolist(), some[i][2].tolist(), some[i][1].tolist()
        orbits = spglib.get_symmetry_dataset(cell, symprec=0.1).crystallographic_orbits
        alike += len(set(orbits)) == (sites.structure == i).sum()
    assert alike > 0.9 * len(some)


def test_a_structure_of_too_many_elements_is_named():
    atoms = ["Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg"]
    nine = Structure(Lattice.cubic(9), atoms, [[i / 9] * 3 for i in range(9)])
    with pytest.raises(ValueError, match="structure 0 holds 9 elements"):
        fp.site_fingerprints(from_pymatgen([nine]))


def test_two_atoms_in_one_place_are_named():
    salt = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    double = Structure(Lattice.cubic(4), ["Na", "Na"], [[0] * 3, [0] * 3])
    with pytest.raises(StructureError, match="structure 1 has two atoms at once"):
        fp.site_fingerprints(from_pymatgen([salt, double]))
