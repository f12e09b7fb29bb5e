"""Crystal graphs: neighbours against pymatgen, merged images against all of them."""

import numpy as np
import pytest
import torch
from known_structures import NACL, QUARTZ, RUTILE, some
from pymatgen.core import Lattice, Structure

from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.structures import StructureError, from_pymatgen

STRUCTURES = pytest.mark.parametrize("structure", [RUTILE, QUARTZ], ids=["rutile", "quartz"])


def test_neighbours_are_the_nearest_shells():
    graphs = crystal_graphs(from_pymatgen([NACL]))
    for atom in range(8):  # 6 unlike ions at a/2, then 12 like ones: the twelfth is among these
        distances = np.sort(graphs.distances[graphs.edges[0] == atom])
        assert distances[:6] == pytest.approx(5.64 / 2)
        assert distances[6:] == pytest.approx(5.64 / np.sqrt(2))
        assert len(distances) == 18


@STRUCTURES
def test_neighbours_are_pymatgens(structure):
    graphs = crystal_graphs(from_pymatgen([structure]))
    for atom, site in enumerate(structure):
        theirs = sorted((n.nn_distance, n.index) for n in structure.get_neighbors(site, 6))
        own = graphs.edges[0] == atom
        ours = sorted(zip(graphs.distances[own], graphs.edges[1, own], strict=True))
        assert [d for d, _ in ours] == pytest.approx([d for d, _ in theirs[: len(ours)]], abs=1e-4)
        assert len(ours) >= 12
        assert ours[-1][0] < theirs[len(ours)][0] - 1e-3  # a shell is whole
        counted = np.bincount([i for _, i in ours], minlength=len(structure))
        expected = np.bincount([i for _, i in theirs[: len(ours)]], minlength=len(structure))
        assert counted.tolist() == expected.tolist()


def test_real_structures_have_pymatgens_neighbours(crystals):
    few = crystals.take(np.random.default_rng(0).choice(len(crystals), 12, replace=False))
    graphs = crystal_graphs(few)
    for i in range(len(few)):
        start, end = graphs.first_edge[i : i + 2]
        found = graphs.distances[start:end]
        centre, _, _, distance = few.structure(i).get_neighbor_list(found.max() + 0.01)
        for atom in range(len(few[i][1])):
            theirs = np.sort(distance[centre == atom])
            ours = found[graphs.edges[0, start:end] == atom]
            assert ours == pytest.approx(theirs[: len(ours)], abs=1e-3)
            last = theirs[11]
            assert len(ours) == pytest.approx((theirs <= last + 1e-3).sum(), abs=0)


def test_two_atoms_on_one_place_are_named():
    double = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 0.001]])
    with pytest.raises(StructureError, match="structure 0: two atoms"):
        crystal_graphs(from_pymatgen([double]))


def test_no_structures_are_refused(crystals):
    with pytest.raises(ValueError, match="there are no structures"):
        crystal_graphs(crystals.take(np.arange(0)))


def test_no_neighbours_at_all_are_refused():
    with pytest.raises(ValueError, match="must be 1 or more, not 0"):
        crystal_graphs(some(), 0)


def test_an_atom_that_stands_alone_has_no_edges():
    alone = Structure(Lattice.cubic(100), ["He"], [[0, 0, 0]])
    graphs = crystal_graphs(from_pymatgen([alone]))
    assert len(graphs) == 1 and graphs.edges.shape == (2, 0)
    assert len(graphs.merged().distances) == 0


def test_an_atom_far_from_all_others_still_has_neighbours():
    lonely = Structure(Lattice.cubic(15), ["He"], [[0, 0, 0]])
    graphs = crystal_graphs(from_pymatgen([lonely]))
    assert (graphs.distances[:6] == 15).all()


@pytest.mark.parametrize("convolution", ["gated", "simple"])
def test_merged_images_change_no_answer(convolution):
    graphs = crystal_graphs(some())
    merged = graphs.merged()
    assert merged.images.sum() == len(graphs.distances)  # none is lost
    assert len(merged.distances) < 0.6 * len(graphs.distances)
    torch.manual_seed(0)
    network = CrystalGraphNetwork({"value": 2}, 8, 2, 8, convolution=convolution).eval()
    rows = np.array([2, 0, 1])
    with torch.no_grad():
        whole, fewer = (network(*g.batch(rows))["value"] for g in (graphs, merged))
    assert torch.allclose(whole, fewer, atol=1e-4)


def test_scaled_graphs_are_those_of_scaled_cells():
    structures = some()
    factors = np.array([1.1, 0.9, 1.0])
    scaled = crystal_graphs(structures).scaled(factors)
    cells = structures.cell.copy()
    cells[:, :3] *= factors[:, None]
    expected = crystal_graphs(
        type(structures)(
            cells, structures.first, structures.numbers, structures.frac, structures.table
        )
    )
    assert scaled.distances == pytest.approx(expected.distances, rel=1e-5)
    assert (scaled.first_edge == expected.first_edge).all()
    assert (np.sort(scaled.edges[1]) == np.sort(expected.edges[1])).all()
