"""Networks of powder patterns: shapes, no dense layer, order of places, the VAE's loss."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

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


def test_the_fcn_written_out():
    """Strides, paddings and the order of its layers as plain numbers."""
    torch.manual_seed(0)
    network = FCN(340, {"system": 7}, channels=(4, 8, 16), last=12, dropout=0.4)
    x = torch.rand(3, 340)
    network.train()
    for _ in range(3):  # batch statistics that are not 0 and 1
        network(x)
    network.eval()
    w = network.state_dict()

    def block(y, conv, norm, stride, padding):
        y = functional.conv1d(y, w[f"{conv}.weight"], w[f"{conv}.bias"], stride, padding)
        mean, variance = w[f"{norm}.running_mean"][:, None], w[f"{norm}.running_var"][:, None]
        y = (y - mean) / (variance + 1e-5).sqrt()
        return (y * w[f"{norm}.weight"][:, None] + w[f"{norm}.bias"][:, None]).clamp_min(0)

    y = block(x.sqrt()[:, None], "blocks.0", "blocks.1", 4, 7)
    assert y.shape == (3, 4, 85)
    y = functional.max_pool1d(block(y, "blocks.3", "blocks.4", 1, 2), 2)
    y = functional.max_pool1d(block(y, "blocks.7", "blocks.8", 1, 2), 2)
    assert y.shape == (3, 16, 21)
    y = block(y, "span.0", "span.1", 1, 0)
    assert y.shape == (3, 12, 1) == (3, network.width, 1)
    expected = w["heads.system.weight"][:, :, 0] @ y[..., 0].T + w["heads.system.bias"][:, None]
    torch.testing.assert_close(network(x)["system"], expected.T, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network.features(x), y[..., 0], atol=1e-5, rtol=1e-4)
    assert w["blocks.0.weight"].shape == (4, 1, 15) and w["blocks.3.weight"].shape == (8, 4, 5)
    assert network.span[3].p == 0.4


def test_the_networks_of_the_study_have_these_sizes():
    fcn, encoder = FCN(1700, CLASSES), TEncoder(850, CLASSES)
    shapes = [tuple(m.weight.shape) for m in fcn.modules() if isinstance(m, nn.Conv1d)]
    assert shapes[:7] == [
        (32, 1, 15), (48, 32, 5), (64, 48, 5), (96, 64, 5), (128, 96, 5), (192, 128, 5),
        (384, 192, 13),
    ]  # fmt: skip
    assert fcn.span[3].p == 0.3
    assert encoder.place.shape == (25, 96) and encoder.embed.in_features == 34
    assert encoder.place.std().item() == pytest.approx(0.02, rel=0.1)
    layer = encoder.encoder.layers[0]
    assert layer.linear1.out_features == 384 and layer.self_attn.num_heads == 4
    assert layer.norm_first and layer.dropout.p == 0 and len(encoder.encoder.layers) == 3
    assert layer.activation is functional.gelu
    # the fewest points that are left one place after five halvings of a quarter
    assert FCN(125, CLASSES)(torch.rand(2, 125))["space_group"].shape == (2, 230)
    with pytest.raises(ValueError, match="124 points are too few for 6 blocks"):
        FCN(124, CLASSES)


def test_the_encoder_reads_patches_in_order_and_averages_its_tokens():
    torch.manual_seed(0)
    network = TEncoder(100, CLASSES, patch=34, width=8, layers=1).eval()
    x = torch.rand(2, 100)
    padded = torch.cat([x.sqrt(), torch.zeros(2, 2)], 1)  # 3 tokens of 34 points
    tokens = torch.stack([padded[:, :34], padded[:, 34:68], padded[:, 68:]], 1)
    encoded = network.encoder(network.embed(tokens) + network.place)
    torch.testing.assert_close(network.features(x), encoded.mean(1))


@pytest.mark.parametrize("levels", [3, 10**6])
@pytest.mark.parametrize("n", [8, 9])
def test_halving_is_max_pooling_with_its_gradient(n, levels):
    """Where two neighbours are equal, as many are among three levels, the first gets it all."""
    torch.manual_seed(0)
    x = torch.randint(levels, (2, 3, n)).float().requires_grad_()
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


def test_the_divergence_of_the_vae_is_a_sum_over_its_dimensions():
    """A perfect copy pays the divergence alone: of N(3, 1) and N(0, e²), 9/2 and (e² - 3)/2."""
    patterns = torch.rand(4, 340)
    output = {"root": patterns.sqrt(), "mean": torch.tensor([[3.0, 0.0]] * 4)}
    output["log_variance"] = torch.tensor([[0.0, 2.0]] * 4)
    found = vae_loss(output, torch.zeros(4), (patterns,)).item()
    assert found == pytest.approx(4.5 + (math.exp(2) - 3) / 2, rel=1e-5)


def test_the_vae_draws_around_its_mean_with_its_deviation():
    torch.manual_seed(0)
    network, patterns = VAE(340, latent=2, hidden=16).eval(), torch.rand(5, 340)
    with torch.no_grad():
        network.encoder.heads["log_variance"].bias.copy_(torch.tensor([-3.0, 2.0]))
        torch.manual_seed(1)
        output = network(patterns)
        torch.manual_seed(1)
        latent = output["mean"] + torch.randn(5, 2) * output["log_variance"].exp().sqrt()
        torch.testing.assert_close(output["root"], network.decoder(latent))
        # no deviation beyond e^5 or below e^-5, whatever the encoder says
        network.encoder.heads["log_variance"].bias.copy_(torch.tensor([-99.0, 99.0]))
        assert network(patterns)["log_variance"].unique().tolist() == [-10, 10]
