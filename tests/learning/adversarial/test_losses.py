"""Losses of a Wasserstein GAN on critics whose slope is known."""

import pytest
import torch

from matgan.learning.adversarial.losses import slope_penalty, wasserstein

REAL, FAKE = torch.randn(5, 2, 3), torch.randn(5, 2, 3)


def test_the_difference_is_that_of_the_mean_scores():
    def critic(x):
        return x.square().sum((1, 2))

    expected = critic(FAKE).mean() - critic(REAL).mean()
    assert float(wasserstein(critic, REAL, FAKE)) == pytest.approx(float(expected))


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_linear_critic_has_one_slope_everywhere(scale):
    weight = torch.randn(2, 3, requires_grad=True)
    penalty = slope_penalty(lambda x: (x * weight).sum((1, 2)), REAL, FAKE, torch.rand(5, 1), scale)
    norm = scale * weight.detach().norm()
    assert float(penalty.detach()) == pytest.approx(float((norm - 1) ** 2), rel=1e-5)
    penalty.backward()
    expected = 2 * (norm - 1) * scale * weight.detach() / weight.detach().norm()
    torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_the_slope_is_taken_between_real_and_fake():
    mix = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.75])
    places = []

    def critic(x):
        places.append(x.detach())
        return x.sum((1, 2))

    slope_penalty(critic, REAL, FAKE, mix)
    share = mix[:, None, None]
    torch.testing.assert_close(places[0], (1 - share) * REAL + share * FAKE)
