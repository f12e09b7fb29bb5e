import numpy as np
import pytest

from matgan.crystals.sites.neighbours import NEAREST_TWELVE, REACH, find_neighbours, lattice_vectors


def test_neighbours_are_pymatgens(crystals):
    """Every distance up to the reach, in cells of all shapes; offsets lead to the neighbours."""
    rows = np.random.default_rng(0).choice(len(crystals), 25, replace=False)
    for row in rows:
        found, structure = find_neighbours(crystals, row), crystals.structure(row)
        vectors = lattice_vectors(crystals[row][0])
        metric = structure.lattice.matrix @ structure.lattice.matrix.T
        np.testing.assert_allclose(vectors @ vectors.T, metric, atol=1e-6)
        others = structure.get_all_neighbors(2.5 * found.length.max())
        for i, listed in enumerate(others):
            expected = np.sort([other.nn_distance for other in listed])
            assert found.length[i] == pytest.approx(expected[:NEAREST_TWELVE].mean(), abs=1e-6)
            mine = slice(found.first[i], found.first[i + 1])
            own = np.sort(found.distance[mine])
            np.testing.assert_allclose(
                own, expected[expected <= REACH * found.length[i]], atol=1e-6
            )
            ends = found.offset[mine] @ np.linalg.inv(vectors)
            ends += structure[i].frac_coords - structure.frac_coords[found.atom[mine]]
            np.testing.assert_allclose(ends, np.round(ends), atol=1e-6)


def test_a_cell_with_a_vacuum_has_twelve_neighbours_all_the_same(crystals):
    """A chain with 30 Å to the next one: the search goes on until each atom has enough."""
    row = int(np.flatnonzero(np.diff(crystals.first) == 1)[0])
    one = crystals.take([row])
    one.cell[0] = [3, 30, 30, 90, 90, 90]
    found = find_neighbours(one, 0)
    expected = np.repeat(3.0 * np.arange(1, NEAREST_TWELVE // 2 + 1), 2)
    assert found.length[0] == pytest.approx(expected.mean())
    np.testing.assert_allclose(np.sort(found.distance), expected[expected < REACH * 10.5])


def test_bad_requests_are_named(crystals):
    with pytest.raises(ValueError, match="reach must be 1 or more"):
        find_neighbours(crystals, 0, 0.5)
    double = crystals.take([int(np.flatnonzero(np.diff(crystals.first) == 2)[0])])
    double.frac[1] = double.frac[0]
    with pytest.raises(ValueError, match=r"structure mp-\d+ has two atoms at once"):
        find_neighbours(double, 0)
