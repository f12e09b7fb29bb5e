"""Losses against their equations, written out."""

import pytest
import torch

from matgan.wgan.config import LEARNING, PAPER, PEER, PUBLISHED_CODE
from matgan.wgan.losses import critic_loss, generator_loss, swap_one_element
from matgan.wgan.networks import build_critic, build_generator, to_amounts


def test_both_losses_are_those_of_equations_3_and_4():
    """The critic tells real from generated apart, the generator raises its score."""
    torch.manual_seed(0)
    generator, critic = build_generator(PAPER), build_critic(PAPER)
    X, z = torch.rand(12, 85, 8), torch.randn(6, 128)
    real, fake = to_amounts(X[:6]), to_amounts(X[6:])
    T, head = critic.T, critic.head[0]

    def score(amounts):  # C = sum of n_e T_e (Equation 5), then the final layer
        return (amounts @ T) @ head.weight[0] + head.bias

    mix = torch.full((6, 1), float("nan"))  # without a penalty it is not looked at
    expected = score(fake).mean() - score(real).mean()
    torch.testing.assert_close(critic_loss(critic, PAPER, real, fake, mix), expected)
    assert critic_loss(critic, PAPER, fake, real, mix) == -critic_loss(
        critic, PAPER, real, fake, mix
    )
    loss, value = generator_loss(generator.eval(), critic, PAPER, z, torch.Generator(), 1.0)
    torch.testing.assert_close(loss, -score(to_amounts(generator(z))).mean())
    assert value == loss and not value.requires_grad


def test_the_weight_of_the_penalty_and_a_slope_of_one():
    """A critic that is linear with slope 1 in the matrix pays no penalty; with slope 3, 4 each."""
    config = PUBLISHED_CODE.replace(head=(), embedding_activation="none")
    critic = build_critic(config)
    with torch.no_grad():
        critic.embedding.weight.zero_()
        critic.embedding.weight[0, 5] = 1.0
        critic.head[0].weight.zero_()
        critic.head[0].weight[0, 0] = 1 / critic.slope_scale
    real, fake, mix = torch.rand(4, 85), torch.rand(4, 85), torch.rand(4, 1)
    plain = critic(fake).mean() - critic(real).mean()
    for slope, penalty in ((1.0, 0.0), (3.0, 4.0)):
        with torch.no_grad():
            critic.head[0].weight[0, 0] = slope / critic.slope_scale
        for weight in (1.0, 10.0):
            got = critic_loss(critic, config.replace(penalty=weight), real, fake, mix)
            expected = slope * plain + weight * penalty
            torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-4)


def test_the_penalty_of_the_peer_is_of_its_matrices():
    torch.manual_seed(0)
    critic = build_critic(PEER)
    real, fake, mix = torch.rand(3, 85, 8), torch.rand(3, 85, 8), torch.rand(3, 1)
    between = (real + mix[..., None] * (fake - real)).requires_grad_()
    slopes = [
        torch.autograd.grad(critic(between[i : i + 1]).sum(), between)[0][i].norm()
        for i in range(3)
    ]
    penalty = torch.stack([(slope - 1) ** 2 for slope in slopes]).mean()
    plain = critic(fake).mean() - critic(real).mean()
    got = critic_loss(critic, PEER, real, fake, mix)
    torch.testing.assert_close(got, plain + PEER.penalty * penalty, rtol=1e-3, atol=1e-4)


def test_the_score_function_gradient_is_that_of_the_expected_score():
    """With two outcomes the expectation and its gradient can be written down."""
    config = LEARNING.replace(slots=2, hidden=(4,), latent_dim=1, generator_batch=50_000)
    torch.manual_seed(0)
    generator, critic = build_generator(config), build_critic(config.replace(head=(8,)))
    with torch.no_grad():
        generator.to_element.weight.zero_()
        generator.to_element.bias.fill_(-40)
        generator.to_element.bias[:2] = 0  # always H and He, in either order
        generator.to_count.weight.zero_()
        generator.to_count.bias.fill_(-40)
        generator.to_count.bias[:2] = torch.tensor([0.4, 0.0])  # one atom or two of each
    z = torch.zeros(config.generator_batch, 1)
    loss, value = generator_loss(generator, critic, config, z, torch.Generator().manual_seed(0), 1)
    (got,) = torch.autograd.grad(loss, generator.to_count.bias)
    bias = generator.to_count.bias.detach()[:2].clone().requires_grad_()
    p, outcomes = torch.softmax(bias, 0), torch.zeros(4, 85)
    outcomes[:, 0], outcomes[:, 1] = torch.tensor([1.0, 1, 2, 2]), torch.tensor([1.0, 2, 1, 2])
    scores = critic(outcomes).detach()
    expected = -(scores * torch.outer(p, p).flatten()).sum()
    (gradient,) = torch.autograd.grad(expected, bias)
    torch.testing.assert_close(got[:2], gradient, rtol=0.05, atol=4e-4)
    assert value.item() == pytest.approx(expected.item(), abs=4e-3)


def test_the_penalty_takes_the_gradient_with_respect_to_the_matrix():
    config = PUBLISHED_CODE.replace(initialisation="scaled")
    torch.manual_seed(0)
    critic = build_critic(config)
    X = torch.rand(10, 85, 8)
    real, fake = to_amounts(X[:5]), to_amounts(X[5:])
    mix = torch.rand(5, 1)
    between = ((1 - mix[..., None]) * X[:5] + mix[..., None] * X[5:]).requires_grad_()
    scores = critic(to_amounts(between)).sum()
    (slope,) = torch.autograd.grad(scores, between, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    expected = critic(fake).mean() - critic(real).mean() + 10 * penalty
    got = critic_loss(critic, config, real, fake, mix)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    # and it is learned from: the weights feel the penalty, not only the scores
    weights = [critic.embedding.weight, critic.head[0].weight]
    for ours, theirs in zip(
        torch.autograd.grad(got, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_critic_without_a_slope_pays_the_whole_penalty_and_can_leave():
    """The root of a squared slope of 0 has no derivative; the loss and its gradient are numbers."""
    config = PUBLISHED_CODE.replace(initialisation="scaled")
    critic = build_critic(config)
    with torch.no_grad():
        critic.head[0].weight.zero_()
    loss = critic_loss(critic, config, torch.rand(4, 85), torch.rand(4, 85), torch.rand(4, 1))
    assert loss.item() == pytest.approx(config.penalty, rel=0.01)
    gradients = torch.autograd.grad(loss, list(critic.parameters()), allow_unused=True)
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)


def test_the_straight_through_gradient_is_asked_for_by_name():
    """A slot generator knows both; only the score function gives another loss than its value."""
    config = LEARNING.replace(hidden=(16,), generator_gradient="straight-through")
    torch.manual_seed(0)
    generator, critic = build_generator(config), build_critic(config)
    z, rng = torch.randn(64, config.latent_dim), torch.Generator().manual_seed(0)
    loss, value = generator_loss(generator, critic, config, z, rng, 1.0)
    drawn = generator(z, torch.Generator().manual_seed(0), 1.0)
    torch.testing.assert_close(loss, -critic(to_amounts(drawn)).mean())
    assert value == loss and not value.requires_grad


def test_one_element_is_swapped_for_another_by_its_frequency():
    compositions = [{7: 2, 25: 3}, {7: 1}, {0: 8, 3: 1, 84: 4}]
    counts = torch.zeros(3000, 85, dtype=torch.uint8)
    for row, composition in enumerate(compositions):
        for element, count in composition.items():
            counts[row::3, element] = count
    frequency = torch.zeros(85, dtype=torch.int64)
    frequency[[0, 3, 7, 40, 50]] = torch.tensor([1, 1, 1, 100, 300])
    before = counts.clone()
    swapped = swap_one_element(counts, frequency, torch.Generator().manual_seed(0))
    assert torch.equal(counts, before) and swapped.dtype == counts.dtype
    assert torch.equal(swapped.sort(dim=1).values, counts.sort(dim=1).values)  # the same amounts
    left, came = (counts > 0) & (swapped == 0), (counts == 0) & (swapped > 0)
    assert (left.sum(1) == 1).all() and (came.sum(1) == 1).all()
    assert torch.equal(swapped[~(left | came)], counts[~(left | came)])
    assert came.any(0).nonzero().flatten().tolist() == [0, 3, 7, 40, 50]  # the others never come
    assert came[:, 50].sum() / came[:, 40].sum() == pytest.approx(3, rel=0.15)
    for element in compositions[2]:  # any may leave, the rare as the frequent
        assert left[2::3, element].float().mean() == pytest.approx(1 / 3, abs=0.05)
    again = swap_one_element(counts, frequency, torch.Generator().manual_seed(0))
    assert torch.equal(swapped, again)
