"""CGCNN: invariances, and Equations 4 and 5 written out as plain loops."""

import math

import numpy as np
import pytest
import torch
from known_structures import NACL, QUARTZ, RUTILE, some
from pymatgen.core import Structure

from matgan.crystals.graphs.elements import element_features
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.structures import from_pymatgen

KINDS = [
    {"convolution": "gated", "pooling": "full", "elements": "described"},
    {"convolution": "gated", "pooling": "linear", "elements": "learned"},
    {"convolution": "simple", "pooling": "full", "elements": "learned"},
    {"convolution": "simple", "pooling": "linear", "elements": "described"},
]


def trained(**options):
    """A network whose running statistics are not those of the start."""
    torch.manual_seed(0)
    network = CrystalGraphNetwork({"value": 3}, 16, 2, 16, **options).train()
    with torch.no_grad():
        graphs = crystal_graphs(some())
        for _ in range(5):
            network(*graphs.batch(np.arange(3)))
    return network.eval()


def predict(network, *structures):
    graphs = crystal_graphs(from_pymatgen(structures))
    with torch.no_grad():
        return network(*graphs.batch(np.arange(len(structures))))["value"].numpy()


# --- the printed equations ------------------------------------------------------------------------


def softplus(x):
    return math.log1p(math.exp(x))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def affine(weight, bias, x):
    return [
        sum(w * v for w, v in zip(row, x, strict=True)) + b
        for row, b in zip(weight, bias, strict=True)
    ]


def normalised(norm, x):
    """Batch normalisation with its running statistics."""
    scale = norm.weight.detach().numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)
    return list(scale * (np.array(x) - norm.running_mean.numpy()) + norm.bias.detach().numpy())


def weights_of(layer, *names):
    return [getattr(layer, name).weight.detach().double().numpy() for name in names]


def gated(layer, vectors, neighbours, gaussians):
    """Equation 5, atom by atom and neighbour by neighbour."""
    own, distance = weights_of(layer, "from_atom", "from_distance")
    half = len(own) // 2
    weight = np.concatenate([own[:half], own[half:], distance], axis=1)  # of z = v_i, v_j, u_ij
    bias = layer.from_distance.bias.detach().numpy()
    found = []
    for i, mine in enumerate(vectors):
        total = [0.0] * len(mine)
        for j, u in zip(neighbours[i], gaussians[i], strict=True):
            z = normalised(layer.norm_edges, affine(weight, bias, [*mine, *vectors[j], *u]))
            gate, core = z[: len(mine)], z[len(mine) :]
            for k in range(len(mine)):
                total[k] += sigmoid(gate[k]) * softplus(core[k])
        total = normalised(layer.norm_atoms, total)
        found.append([softplus(a + b) for a, b in zip(mine, total, strict=True)])
    return found


def simple(layer, vectors, neighbours, gaussians):
    """Equation 4, atom by atom and neighbour by neighbour."""
    there, distance, own = weights_of(layer, "from_neighbour", "from_distance", "from_self")
    weight, none = np.concatenate([there, distance], axis=1), [0.0] * len(there)
    found = []
    for i, mine in enumerate(vectors):
        total = affine(own, layer.from_self.bias.detach().numpy(), mine)
        for j, u in zip(neighbours[i], gaussians[i], strict=True):
            message = affine(weight, none, [*vectors[j], *u])
            total = [a + b for a, b in zip(total, message, strict=True)]
        found.append([softplus(x) for x in normalised(layer.norm_atoms, total)])
    return found


def by_hand(network, structure):
    """The whole network on one structure, its neighbours from pymatgen."""
    neighbours, gaussians = [], []
    for site in structure:
        near = sorted(structure.get_neighbors(site, 6), key=lambda n: n.nn_distance)
        last = near[11].nn_distance + 1e-3
        near = [n for n in near if n.nn_distance <= last]
        neighbours.append([n.index for n in near])
        gaussians.append(
            [[math.exp(-(((n.nn_distance - 0.2 * k) / 0.2) ** 2)) for k in range(41)] for n in near]
        )
    numbers = [site.specie.Z for site in structure]
    if network.described:
        weight, bias = network.embed.weight.detach().numpy(), network.embed.bias.detach().numpy()
        vectors = [affine(weight, bias, element_features()[z]) for z in numbers]
    else:
        vectors = network.embed.weight.detach().numpy()[numbers].tolist()
    for layer in network.convolutions:
        step = gated if hasattr(layer, "norm_edges") else simple
        vectors = step(layer, vectors, neighbours, gaussians)
    head = network.heads["value"]
    head = head.weight.detach().numpy(), head.bias.detach().numpy()
    if network.pooling == "linear":
        sites = [affine(*head, v) for v in vectors]
        return np.mean(sites, axis=0), np.array(sites)
    read = network.read[0]
    hidden = affine(
        read.weight.detach().numpy(), read.bias.detach().numpy(), np.mean(vectors, axis=0)
    )
    return np.array(affine(*head, [softplus(x) for x in hidden])), None


@pytest.mark.parametrize("options", KINDS, ids=lambda o: " ".join(o.values()))
def test_the_network_is_the_printed_equations(options):
    network = trained(**options)
    expected, sites = by_hand(network, RUTILE)
    assert predict(network, RUTILE)[0] == pytest.approx(expected, abs=1e-4)
    if sites is not None:
        graphs = crystal_graphs(from_pymatgen([RUTILE])).batch(np.array([0]))
        values = network.site_values(*graphs)["value"].numpy()
        assert values == pytest.approx(sites, abs=1e-4)


# --- invariances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS, ids=lambda o: " ".join(o.values()))
@pytest.mark.parametrize("structure", [NACL, RUTILE, QUARTZ], ids=["NaCl", "rutile", "quartz"])
def test_cell_origin_and_order_do_not_matter(options, structure):
    network = trained(**options)
    expected = predict(network, structure)
    moved = structure.copy()
    moved.translate_sites(range(len(moved)), [0.37, 0.11, 0.83])
    primitive = structure.get_primitive_structure()
    large = structure.copy()
    large.make_supercell([[1, 1, 0], [0, 2, 0], [0, 0, 1]])
    order = np.random.default_rng(0).permutation(len(structure))
    shuffled = Structure.from_sites([structure[i] for i in order])
    for same in (moved, primitive, large, shuffled):
        assert predict(network, same) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("options", KINDS, ids=lambda o: " ".join(o.values()))
def test_other_elements_and_distances_do_matter(options):
    network = trained(**options)
    expected = predict(network, NACL)
    other = NACL.copy()
    other.replace_species({"Na": "K"})
    stretched = NACL.copy()
    stretched.scale_lattice(1.1 * NACL.volume)
    for different in (other, stretched):
        assert np.abs(predict(network, different) - expected).max() > 1e-3


@pytest.mark.parametrize("options", KINDS[:2], ids=lambda o: " ".join(o.values()))
def test_structures_of_a_batch_do_not_mix(options):
    network = trained(**options)
    together = predict(network, NACL, RUTILE, QUARTZ)
    for row, structure in enumerate((NACL, RUTILE, QUARTZ)):
        assert together[row] == pytest.approx(predict(network, structure)[0], abs=1e-5)


@pytest.mark.parametrize("options", KINDS[:1] + KINDS[3:], ids=lambda o: " ".join(o.values()))
def test_lengths_have_gradients(options):
    """By torch, where the sums over edges are not compiled: a longer bond moves the answer so."""
    network = trained(**options)
    numbers, edges, distances, images, graph = crystal_graphs(some()).batch(np.arange(3))
    distances.requires_grad_()
    network(numbers, edges, distances, images, graph)["value"].sum().backward()
    further = distances.detach() + 1e-2 * torch.eye(len(distances))[0]
    nearer = distances.detach() - 1e-2 * torch.eye(len(distances))[0]
    with torch.no_grad():
        up, down = (
            network(numbers, edges, d, images, graph)["value"].sum() for d in (further, nearer)
        )
    assert float(distances.grad[0]) == pytest.approx(float(up - down) / 2e-2, rel=0.05, abs=2e-4)


# --- what cannot be asked for ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convolution": "printed"}, "convolution must be one of gated, simple, not 'printed'"),
        ({"pooling": "sum"}, "pooling must be one of full, linear, not 'sum'"),
        ({"elements": 92}, "elements must be one of described, learned, not 92"),
    ],
)
def test_another_kind_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        CrystalGraphNetwork({"value": 1}, **options)


def test_full_pooling_has_no_values_of_sites():
    network = trained()
    with pytest.raises(ValueError, match="with linear pooling, not full"):
        network.site_values(*crystal_graphs(some()).batch(np.array([0])))
