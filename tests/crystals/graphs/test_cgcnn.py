"""CGCNN: neighbours against pymatgen, invariances of the network, Equation 5 by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from known_structures import NACL, QUARTZ, RUTILE, some
from pymatgen.core import Lattice, Structure
from torch.nn.functional import softplus

from matgan.crystals.graphs import cgcnn
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork, GatedConvolution
from matgan.crystals.structures import StructureError, from_pymatgen
from matgan.learning.fit import Fit


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = CrystalGraphNetwork({"value": 3}, width=16, layers=2, hidden=16)
    network.train()
    with torch.no_grad():  # running statistics that are not those of the start
        graphs = crystal_graphs(some())
        for _ in range(5):
            network(*graphs.batch(np.arange(3)))
    return network.eval()


def predict(network, *structures):
    graphs = crystal_graphs(from_pymatgen(structures))
    with torch.no_grad():
        return network(*graphs.batch(np.arange(len(structures))))["value"].numpy()


def test_neighbours_are_the_nearest_shells():
    graphs = crystal_graphs(from_pymatgen([NACL]))
    for atom in range(8):  # 6 unlike ions at a/2, then 12 like ones: the twelfth is among these
        distances = np.sort(graphs.distances[graphs.edges[0] == atom])
        assert distances[:6] == pytest.approx(5.64 / 2)
        assert distances[6:] == pytest.approx(5.64 / np.sqrt(2))
        assert len(distances) == 18


@pytest.mark.parametrize("structure", [RUTILE, QUARTZ], ids=["rutile", "quartz"])
def test_neighbours_are_pymatgens(structure):
    graphs = crystal_graphs(from_pymatgen([structure]))
    for atom, site in enumerate(structure):
        theirs = sorted(n.nn_distance for n in structure.get_neighbors(site, 6))[:12]
        ours = np.sort(graphs.distances[graphs.edges[0] == atom])
        assert ours[:12] == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("structure", [NACL, RUTILE, QUARTZ], ids=["NaCl", "rutile", "quartz"])
def test_cell_origin_and_order_do_not_matter(network, structure):
    expected = predict(network, structure)
    moved = structure.copy()
    moved.translate_sites(range(len(moved)), [0.37, 0.11, 0.83])
    primitive = structure.get_primitive_structure()
    large = structure.copy()
    large.make_supercell([[1, 1, 0], [0, 2, 0], [0, 0, 1]])
    order = np.random.default_rng(0).permutation(len(structure))
    shuffled = Structure.from_sites([structure[i] for i in order])
    for same in (moved, primitive, large, shuffled):
        assert predict(network, same) == pytest.approx(expected, abs=1e-4)


def test_other_elements_and_distances_do_matter(network):
    expected = predict(network, NACL)
    other = NACL.copy()
    other.replace_species({"Na": "K"})
    stretched = NACL.copy()
    stretched.scale_lattice(1.1 * NACL.volume)
    for different in (other, stretched):
        assert np.abs(predict(network, different) - expected).max() > 1e-3


def test_structures_of_a_batch_do_not_mix(network):
    together = predict(network, NACL, RUTILE, QUARTZ)
    for row, structure in enumerate((NACL, RUTILE, QUARTZ)):
        assert together[row] == pytest.approx(predict(network, structure)[0], abs=1e-5)


def test_a_layer_is_equation_5():
    """Two atoms, two edges each, written out; the normalisations at their start in eval mode."""
    torch.manual_seed(1)
    layer = GatedConvolution(4, 3).eval()
    atoms, gaussians = torch.rand(2, 4), torch.rand(4, 3)
    edges = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])
    scale = 1 / np.sqrt(1 + layer.norm_edges.eps)
    own, other = layer.from_atom.weight.chunk(2)
    weight = torch.cat([own, other, layer.from_distance.weight], 1)
    bias = layer.from_distance.bias
    for centre in (0, 1):
        total = torch.zeros(4)
        for edge in range(4):
            if edges[0, edge] == centre:
                z = torch.cat([atoms[centre], atoms[edges[1, edge]], gaussians[edge]])
                gate, core = (scale * (weight @ z + bias)).split(4)
                total += torch.sigmoid(gate) * softplus(core)
        expected = softplus(atoms[centre] + scale * total)
        assert torch.allclose(layer(atoms, edges, gaussians)[centre], expected, atol=1e-5)


def test_two_atoms_on_one_place_are_named():
    double = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 0.001]])
    with pytest.raises(StructureError, match="structure 0: two atoms"):
        crystal_graphs(from_pymatgen([double]))


def test_an_atom_that_stands_alone_has_no_edges():
    alone = Structure(Lattice.cubic(100), ["He"], [[0, 0, 0]])
    graphs = crystal_graphs(from_pymatgen([alone]))
    assert len(graphs) == 1 and graphs.edges.shape == (2, 0)


def test_an_atom_far_from_all_others_still_has_neighbours():
    lonely = Structure(Lattice.cubic(15), ["He"], [[0, 0, 0]])
    graphs = crystal_graphs(from_pymatgen([lonely]))
    assert (graphs.distances[:6] == 15).all()


# --- training -------------------------------------------------------------------------------------


PARTS = {"train": 400, "test": 60}


@pytest.fixture(scope="module")
def few(crystals):
    rows = [np.flatnonzero(crystals.table["split"] == part)[:n] for part, n in PARTS.items()]
    return crystals.take(np.concatenate(rows))


def test_it_learns_and_a_seed_fixes_it(few):
    long, short = Fit(12, 16), Fit(1, 16)
    error = cgcnn.formation_energy(few, long)
    truth = few.table.groupby("split")["e_form"]
    guess = (truth.get_group("test") - truth.get_group("train").median()).abs().mean()
    assert error["mae"] < 0.7 * guess
    assert (error["n_train"], error["n_test"]) == (400, 60)
    assert cgcnn.formation_energy(few, short) == cgcnn.formation_energy(few, short)


def test_the_command_goes_on_and_writes_the_table(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cgcnn, "load_structures", lambda: few)
    out = tmp_path / "cgcnn.csv"
    cgcnn.main(["--out", str(out), "--epochs", "2", "--batch-size", "16", "--structures", "100"])
    table = pd.read_csv(out).set_index("model")
    assert table.loc["CGCNN (ours)", ["epochs", "n_train", "n_test"]].tolist() == [2, 100, 60]
    assert table.loc["ALIGNN (published)", "mae"] == 0.024
    assert "step 12 of 12" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [out]  # and no checkpoint
