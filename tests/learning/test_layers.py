"""The networks that are trained side by side, against torch's own layers."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from matgan.learning import layers
from matgan.learning.layers import NETWORK_RECIPES, Normalisation


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_gradients_are_those_of_each_network_alone(loss):
    """Against torch's own layers and losses, one network at a time."""
    weights, biases = layers.initial([6, 9, 5, 1], [3, 4])
    parameters = [p.requires_grad_() for p in (*weights, *biases)]
    x, y = torch.randn(2, 50, 6), torch.randn(2, 50)
    outputs = layers.forward(weights, biases, x)
    found = layers.losses(outputs[-1][..., 0], y, loss)
    gradients = torch.autograd.grad(found.sum(), parameters)
    peer_loss = torch.nn.L1Loss() if loss == "mae" else torch.nn.MSELoss()
    for r in range(2):
        dense = [torch.nn.Linear(a, b) for a, b in ((6, 9), (9, 5), (5, 1))]
        for layer, weight, bias in zip(dense, weights, biases, strict=True):
            layer.weight.data, layer.bias.data = weight.data[r].T.clone(), bias.data[r, 0].clone()
        first, second, last = dense
        alone = peer_loss(last(second(first(x[r]).relu()).relu())[:, 0], y[r])
        torch.testing.assert_close(found[r], alone)
        alone.backward()
        expected = [layer.weight.grad.T for layer in dense] + [
            layer.bias.grad[None] for layer in dense
        ]
        torch.testing.assert_close([g[r] for g in gradients], expected)


def test_dropout_keeps_its_share_and_the_mean():
    weights, biases = layers.initial([6, 500, 1], [0, 1])
    x, noise = torch.randn(2, 40, 6), torch.Generator().manual_seed(0)
    (plain, _), (dropped, _) = (
        layers.forward(weights, biases, x, dropout, noise) for dropout in ((), (0.25,))
    )
    kept = dropped[plain > 0] > 0
    assert kept.float().mean() == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(dropped[plain > 0][kept], plain[plain > 0][kept] / 0.75)


def test_initial_weights_have_the_size_of_he_and_belong_to_their_seed():
    weights, biases = layers.initial([300, 400, 1], [3, 4])
    for weight, inputs in zip(weights, (300, 400), strict=True):
        assert weight.std().item() == pytest.approx(np.sqrt(2 / inputs), rel=0.1)
    assert not any(bias.any() for bias in biases)
    (alone, _), _ = layers.initial([300, 400, 1], [4])
    torch.testing.assert_close(alone[0], weights[0][1], rtol=0, atol=0)
    assert not torch.equal(weights[0][0], weights[0][1])


def test_every_row_is_seen_in_every_epoch_in_an_order_of_its_own():
    rows, generator = torch.arange(10) * 3, torch.Generator().manual_seed(0)
    order, next_one = (layers.shuffled(rows, 16, generator) for _ in range(2))
    assert sorted(order[:10].tolist()) == rows.tolist()
    assert order[10:].tolist() == order[:6].tolist()
    assert order.tolist() != next_one.tolist()


def published_code(sizes: list[int]) -> torch.nn.Sequential:
    """Its network in torch's layers: no ReLU after the first, normalised hidden layers."""
    parts: list[torch.nn.Module] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        parts.append(torch.nn.Linear(a, b))
        if i < len(sizes) - 2:
            parts.append(torch.nn.BatchNorm1d(b, eps=1e-5, momentum=0.1))
            parts += [torch.nn.ReLU()] if i else []
    return torch.nn.Sequential(*parts)


def test_the_published_codes_network_is_that_of_torchs_layers():
    """One of two side by side: outputs of a batch, gradients, then predictions without a batch."""
    sizes = [6, 9, 5, 4, 1]
    weights, biases = layers.initial(sizes, [3, 4], 1.0)
    normalise = Normalisation(sizes[1:-1], 2, "cpu")
    x = torch.randn(2, 50, 6)
    parameters = [p.requires_grad_() for p in (*weights, *biases)] + normalise.parameters
    out = layers.forward(weights, biases, x, normalise=normalise, linear=1)[-1]
    gradients = torch.autograd.grad(out[..., 0].square().mean(dim=-1).sum(), parameters)
    peer = published_code(sizes)
    dense = [layer for layer in peer if isinstance(layer, torch.nn.Linear)]
    for layer, weight in zip(dense, weights, strict=True):
        layer.weight.data, layer.bias.data = weight.data[1].T.clone(), torch.zeros(weight.shape[2])
    alone = peer(x[1])
    torch.testing.assert_close(out[1], alone)
    alone[:, 0].square().mean().backward()
    for found, layer in zip(gradients, dense, strict=False):
        torch.testing.assert_close(found[1], layer.weight.grad.T, rtol=1e-4, atol=1e-5)
    batch = [layer for layer in peer if isinstance(layer, torch.nn.BatchNorm1d)]
    for i, layer in enumerate(batch):
        for found, running in (
            (normalise.mean, "running_mean"),
            (normalise.variance, "running_var"),
        ):
            torch.testing.assert_close(found[i].reshape(2, -1)[1], getattr(layer, running))
    plain = layers.forward(*normalise.folded(weights, biases), x, linear=1)[-1]
    torch.testing.assert_close(plain[1], peer.eval()(x[1]), rtol=1e-4, atol=1e-5)


def test_the_published_codes_learning_rates():
    """0.1, 0.01, 0.001 and 0.0001, changing at epochs 30, 110 and 200 of 300."""
    for epoch in range(300):
        rate = 0.1 if epoch < 30 else 0.01 if epoch < 110 else 0.001 if epoch < 200 else 0.0001
        for batch in (0, 95):
            found = NETWORK_RECIPES["published code"].rate(epoch * 96 + batch, 300 * 96)
            assert 0.1 * found == pytest.approx(rate, rel=1e-12)
    ours = NETWORK_RECIPES["ours"].rate
    assert ours(0, 100) < ours(19, 100) > ours(60, 100) > ours(99, 100) > 0


def test_initial_weights_of_a_given_deviation():
    (weight, _), _ = layers.initial([300, 400, 1], [3], 1.0)
    assert weight.std().item() == pytest.approx(1, rel=0.02)
