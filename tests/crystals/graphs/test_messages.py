"""The compiled messages beside the same equation by torch, in twice the digits."""

import numpy as np
import pytest
import torch
from known_structures import some
from torch import nn
from torch.nn import functional

from matgan.crystals.graphs.messages import SPAN, Edges, gated_messages, gaussian_sums
from matgan.crystals.graphs.neighbours import crystal_graphs

WIDTH, CENTRES = 8, torch.linspace(0, 8, 41)


def batch(merged=False):
    graphs = crystal_graphs(some())
    numbers, edges, distances, images, _ = (graphs.merged() if merged else graphs).batch(
        np.arange(len(graphs))
    )
    return len(numbers), edges, distances, images


def given(n_atoms, seed=0):
    """What centres and neighbours give, a matrix, and a normalisation with a state of its own."""
    draw = torch.Generator().manual_seed(seed)
    centre, neighbour = (torch.randn(n_atoms, 2 * WIDTH, generator=draw) for _ in range(2))
    weight = torch.randn(2 * WIDTH, len(CENTRES), generator=draw)
    norm = nn.BatchNorm1d(2 * WIDTH)
    with torch.no_grad():
        norm.weight.normal_(1, 0.5, generator=draw)
        norm.bias.normal_(generator=draw)
        norm.running_mean.normal_(generator=draw)
        norm.running_var.uniform_(0.5, 2, generator=draw)
    return [t.requires_grad_() for t in (centre, neighbour, weight)], norm


def gaussians_of(distances):
    return torch.exp(-(((distances.double()[:, None] - CENTRES) / 0.2) ** 2))


def by_torch(parts, norm, edges, distances, images):
    """Equation 5 on all edges at once, float64."""
    as_centre, as_neighbour, weight = parts
    z = gaussians_of(distances) @ weight.T + as_centre[edges[0]] + as_neighbour[edges[1]]
    gate, core = norm(z).chunk(2, 1)
    message = torch.sigmoid(gate) * functional.softplus(core) * images.double()[:, None]
    return as_centre.new_zeros(len(as_centre), WIDTH).index_add(0, edges[0], message)


def gradients(total, parts, norm):
    """Of a function that treats every number differently."""
    factors = torch.linspace(-1, 1, total.numel(), dtype=total.dtype).reshape(total.shape)
    (total * factors).sum().backward()
    return [p.grad.double().numpy() for p in (*parts, *norm.parameters())]


@pytest.mark.parametrize("training", [True, False], ids=["learns", "answers"])
@pytest.mark.parametrize("merged", [False, True], ids=["edges", "merged"])
def test_messages_and_gradients_are_those_of_torch(training, merged):
    n_atoms, edges, distances, images = batch(merged)
    assert (images > 1).any() == merged
    parts, norm = given(n_atoms)
    norm.train(training)
    exact = [p.detach().double().requires_grad_() for p in parts]
    beside = nn.BatchNorm1d(2 * WIDTH).double().train(training)
    beside.load_state_dict(norm.state_dict())

    total = gated_messages(*parts, norm, Edges.of(edges, distances, images, CENTRES))
    expected = by_torch(exact, beside, edges, distances, images)
    assert total.detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-4)
    pairs = zip(gradients(total, parts, norm), gradients(expected, exact, beside), strict=True)
    for found, wanted in pairs:
        assert found == pytest.approx(wanted, abs=2e-5 * np.abs(wanted).max())
    for (name, found), wanted in zip(norm.named_buffers(), beside.buffers(), strict=True):
        assert found.numpy() == pytest.approx(wanted.numpy(), rel=1e-5, abs=1e-5), name


def test_far_from_zero_the_gates_are_shut_or_open():
    n_atoms, edges, distances, images = batch()
    parts, norm = given(n_atoms)
    norm.eval()
    with torch.no_grad():
        parts[0][0], parts[0][1] = 300.0, -300.0
    at = Edges.of(edges, distances, images, CENTRES)
    found = gated_messages(*parts, norm, at).detach().numpy()
    exact = by_torch([p.double() for p in parts], norm.double(), edges, distances, images)
    assert found == pytest.approx(exact.detach().numpy(), rel=1e-5, abs=1e-4)


def test_the_same_batch_gives_the_same_bits():
    n_atoms, edges, distances, images = batch()
    at = Edges.of(edges, distances, images, CENTRES)
    parts, norm = given(n_atoms)
    first, again = (
        torch.autograd.grad(gated_messages(*parts, norm, at).square().sum(), parts)
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("length", [0.5, 2.71, 7.5, 8.0, 9.9, 40.0])
def test_what_windows_leave_out_is_nothing(length):
    distances = torch.tensor([length])
    at = Edges.of(torch.zeros(2, 1, dtype=torch.long), distances, torch.ones(1), CENTRES)
    found = gaussian_sums(at, 1, len(CENTRES)).numpy()
    assert found == pytest.approx(gaussians_of(distances).numpy(), abs=2e-7)
    # a number below 1e-38 takes a processor many times as long
    assert at.windows.shape == (1, SPAN)
    assert at.windows.min() > 1e-9


def test_sums_of_gaussians_count_images():
    n_atoms, edges, distances, images = batch(merged=True)
    at = Edges.of(edges, distances, images, CENTRES)
    expected = torch.zeros(n_atoms, len(CENTRES), dtype=torch.float64)
    expected.index_add_(0, edges[0], gaussians_of(distances) * images[:, None])
    found = gaussian_sums(at, n_atoms, len(CENTRES))
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
