"""The last layer as a matrix product against torch's transposed convolution."""

import pytest
import torch
from torch import nn

from matgan.wgan.config import PAPER, PUBLISHED_CODE
from matgan.wgan.networks import DeconvolutionGenerator
from matgan.wgan.row_by_row import row_by_row


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_it_is_the_transposed_convolution_with_its_gradients(channels_last, bias):
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(16, 1, 3, (2, 1), 1, bias=bias)
    x = torch.randn(5, 16, 43, 8, requires_grad=True)
    given = x.to(memory_format=torch.channels_last) if channels_last else x
    expected, got = layer(x).squeeze(1), row_by_row(layer, given)
    assert got.shape == (5, 85, 8)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    for parameter in (x, *layer.parameters()):
        ours, theirs = (
            torch.autograd.grad(out.square().sum(), parameter, retain_graph=True)[0]
            for out in (got, expected)
        )
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("config", [PAPER, PUBLISHED_CODE], ids=["paper", "code"])
def test_the_generator_ends_with_it(config):
    torch.manual_seed(0)
    generator, maps = DeconvolutionGenerator(config).eval(), []
    generator.norms[-1].register_forward_hook(lambda _, args, out: maps.append(out.clone()))
    got = generator.logits(torch.randn(5, 128))
    expected = generator.deconvolutions[-1](torch.relu(maps[0])).squeeze(1)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
