"""Losses that every Wasserstein GAN here shares: the difference of scores, and the slope."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def wasserstein(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Mean score of fakes less that of real ones: what a critic minimises (Arjovsky et al. 2017).

    Parameters
    ----------
    critic : gives a score for each of a batch
    real, fake : of one shape
    """
    of_fake, of_real = critic(torch.cat([fake, real])).split(len(real))  # one pass for both
    return of_fake.mean() - of_real.mean()


def slope_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor, scale: float = 1.0
) -> Tensor:
    """Mean squared distance of the critic's slope from 1 (Gulrajani et al. 2017).

    Parameters
    ----------
    critic : gives a score for each of a batch
    real, fake : (B, ...)
    mix : B uniform numbers, the places between real and fake where the slope is taken
    scale : that the slope is multiplied with
    """
    mix = mix.view(-1, *[1] * (real.dim() - 1))
    between = torch.lerp(real, fake, mix).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norm = (slope.flatten(1).square().sum(1) + 1e-8).sqrt() * scale
    return (norm - 1).square().mean()
