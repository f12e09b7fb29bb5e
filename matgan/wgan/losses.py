"""Losses of the critic and of the generator: Equations 3 and 4, and what ours add to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from matgan.learning.adversarial.losses import slope_penalty, wasserstein
from matgan.wgan.config import Config
from matgan.wgan.networks import ConvolutionalCritic, Critic
from matgan.wgan.slots import SlotGenerator


def critic_loss(
    critic: Critic | ConvolutionalCritic, config: Config, real: Tensor, fake: Tensor, mix: Tensor
) -> Tensor:
    """Loss of the critic: Equation 4, with the gradient penalty where the configuration has it.

    Parameters
    ----------
    critic, config : the network, and the setting that it is trained with
    real, fake : what the critic takes, for B compositions each
    mix : (B, 1) uniform numbers, the places between real and fake where the penalty of Gulrajani
        et al. 2017 takes the gradient (with respect to the matrix X)
    """
    loss = wasserstein(critic, real, fake)
    if config.lipschitz == "gradient-penalty":
        penalty = slope_penalty(critic, real, fake, mix, critic.slope_scale)
        loss = loss + config.penalty * penalty
    return loss


def generator_loss(
    generator: nn.Module,
    critic: Critic | ConvolutionalCritic,
    config: Config,
    z: Tensor,
    rng: torch.Generator,
    temperature: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """What the generator's update minimises, and its value of Equation 3.

    The two are the same but for the score-function estimator (Williams 1992), which has the same
    gradient on average: log-probabilities weighted by how much better than the mean of the batch
    the critic finds each composition.
    """
    if config.generator_gradient == "score-function" and isinstance(generator, SlotGenerator):
        matrix, log_p = generator.draw(z, rng)
        with torch.no_grad():
            scores = critic(critic.of_matrix(matrix))
        return -((scores - scores.mean()) * log_p).mean(), -scores.mean()
    loss = -critic(critic.of_matrix(generator(z, rng, temperature))).mean()
    return loss, loss.detach()


def swap_one_element(counts: Tensor, frequency: Tensor, rng: torch.Generator | None) -> Tensor:
    """Compositions with one of their elements, any, in the place of which another stands.

    What a critic meets here is wrong for the element's sake alone, however well the generator
    draws; so there is something to learn of the elements when the generator has become good.

    Parameters
    ----------
    counts : (B, 85) whole amounts, at least one element each
    frequency : (85,) how often each element is drawn as the other; 0: never
    rng : of the draws, on the device of the counts

    Returns
    -------
    Tensor, (B, 85), of the same amounts. Some of them may be real by chance.
    """

    def one_of(weights: Tensor) -> Tensor:  # (B, 1), by the race of exponential variates
        arrival = torch.empty_like(weights).exponential_(generator=rng)
        return (weights / arrival).argmax(dim=1, keepdim=True)

    there = counts > 0
    leaving = one_of(there.float())
    coming = one_of(frequency.float() * ~there)
    return counts.scatter(1, leaving, 0).scatter(1, coming, counts.gather(1, leaving))
