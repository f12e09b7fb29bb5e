"""Networks of powder patterns: shapes, no dense layer, order of places, the VAE's loss."""

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from matgan.powder.networks import FCN, VAE, Halve, Regressor, TEncoder, vae_loss

CLASSES = {"crystal_system": 7, "space_group": 230}
SMALL = {"channels": (4, 8, 8), "last": 16}


def networks(n_points=340):
    torch.manual_seed(0)
    return [FCN(n_points, CLASSES, **SMALL), TEncoder(n_points, CLASSES, width=16, layers=1)]


@pytest.mark.parametrize("n_points", [340, 341, 850])
def test_each_head_gives_its_classes(n_points):
    for network in networks(n_points):
        logits = network(torch.rand(3, n_points))
        assert {name: tuple(v.shape) for name, v in logits.items()} == {
            "crystal_system": (3, 7), "space_group": (3, 230),
        }  # fmt: skip


def test_the_fcn_has_no_dense_layer():
    layers = [type(m) for m in FCN(340, CLASSES, **SMALL).modules()]
    assert nn.Linear not in layers
    assert layers.count(nn.Conv1d) == 6


@pytest.mark.parametrize("n", [8, 9])
def test_halving_is_max_pooling_with_its_gradient(n):
    x = torch.rand(2, 3, n, requires_grad=True)
    weights = torch.rand(2, 3, n // 2)
    found = []
    for layer in (Halve(), nn.MaxPool1d(2)):
        y = layer(x)
        found.append((y, *torch.autograd.grad((weights * y).sum(), x)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("which", [0, 1])
def test_patterns_of_a_batch_do_not_mix_and_places_matter(which):
    network = networks()[which].eval()
    x = torch.rand(4, 340)
    together = network(x)["space_group"]
    assert torch.allclose(together[2], network(x[2:3])["space_group"][0], atol=1e-5)
    # the same peak elsewhere is another pattern
    peak = torch.zeros(2, 340)
    peak[0, 50], peak[1, 250] = 1, 1
    first, second = network(peak)["space_group"]
    assert (first - second).abs().max() > 1e-3


def test_the_scale_of_root_intensities_is_what_enters():
    """Intensities below zero (after a background was taken off) count as zero."""
    network = networks()[0].eval()
    x = torch.rand(2, 340)
    negative = x - 2 * (x < 0.3) * x
    assert torch.equal(network(negative)["space_group"], network(x * (x >= 0.3))["space_group"])


@pytest.mark.parametrize("make", [FCN, TEncoder])
@pytest.mark.parametrize("other", [400, 1700])
def test_patterns_on_another_grid_are_refused(make, other):
    network = make(850, {"system": 7})
    with pytest.raises(ValueError, match=rf"\(2, {other}\) for a network that reads \(B, 850\)"):
        network(torch.rand(2, other))


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="20 points are too few"):
        FCN(20, CLASSES)


def test_a_regressor_reads_what_it_is_given():
    patterns, composition = torch.rand(5, 340), torch.rand(5, 103)
    fcn = networks()[0].eval()
    both, only = Regressor(fcn, 103).eval(), Regressor(fcn, 0).eval()
    alone = Regressor(None, 103).eval()
    assert both(patterns, composition)["value"].shape == (5, 1)
    assert Regressor(fcn, 103, 2)(patterns, composition)["value"].shape == (5, 2)
    other = torch.rand(5, 103)
    assert torch.equal(only(patterns, composition)["value"], only(patterns, other)["value"])
    assert not torch.equal(both(patterns, composition)["value"], both(patterns, other)["value"])
    moved = patterns.flip(1)
    assert torch.equal(alone(patterns, composition)["value"], alone(moved, composition)["value"])
    with pytest.raises(ValueError, match="patterns, compositions or both"):
        Regressor(None, 0)


def test_the_vae_loss_is_minus_the_bound_up_to_a_constant():
    """Against torch.distributions: likelihood of deviation 0.1, divergence from N(0, 1)."""
    torch.manual_seed(0)
    patterns = torch.rand(3, 340)
    network = VAE(340, latent=2, hidden=16)
    output = network(patterns)
    found = vae_loss(output, torch.zeros(3), (patterns,))
    likelihood = Normal(output["root"], 0.1).log_prob(patterns.sqrt()).sum(1)
    constant = Normal(torch.zeros(340), 0.1).log_prob(torch.zeros(340)).sum()
    posterior = Normal(output["mean"], (output["log_variance"] / 2).exp())
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    assert found.item() == pytest.approx(
        (constant - likelihood + divergence).mean().item(), rel=1e-4
    )
    assert (output["root"] >= 0).all()
