"""Dense networks of several repeats, trained side by side: weights, layers, losses, batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from matgan.learning.compute import learning_rate

_DECAY, _LEAST = 0.9, 1e-5  # of running means; added to a variance (both as in the published code)


@dataclass(frozen=True)
class NetworkRecipe:
    """What a regressor's training does beside its sizes and rates.

    Attributes
    ----------
    normalised : the hidden layers are batch-normalised, before their ReLU
    linear : so many of the first hidden layers have no ReLU
    deviation : of the normal numbers that weights start from; 0: as He et al. (2015) choose it
    betas : of Adam
    stairs : the learning rate is a tenth of what it was after 30, 110 and 200 of 300 epochs, or the
        same parts of others; else it rises and falls, "warm-up" of `compute.learning_rate`
    """

    normalised: bool = False
    linear: int = 0
    deviation: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    stairs: bool = False

    def rate(self, step: int, steps: int) -> float:
        """Share of the highest learning rate that a step takes."""
        if self.stairs:
            return 0.1 ** sum(step / steps >= epoch / 300 for epoch in (30, 110, 200))
        return learning_rate("warm-up", step, steps)


# "published code": github.com/Chilitiantian/code at cf345b0f, init/model.py, layer.py, lr_decay.py
NETWORK_RECIPES = {
    "ours": NetworkRecipe(),
    "published code": NetworkRecipe(True, 1, 1.0, (0.5, 0.9), stairs=True),
}


def initial(
    sizes: Sequence[int], seeds: Sequence[int], deviation: float = 0.0
) -> tuple[list[Tensor], list[Tensor]]:
    """Weights (R, inputs, outputs), by default by He et al. (2015) for ReLU, and biases of 0.

    Network r of the R depends on seeds[r] alone. Biases are (R, 1, outputs).
    """
    weights = [torch.empty(len(seeds), a, b) for a, b in pairwise(sizes)]
    for r, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        for weight in weights:
            size = deviation or math.sqrt(2 / weight.shape[1])
            weight[r].normal_(0, size, generator=generator)
    return weights, [torch.zeros(len(seeds), 1, b) for b in sizes[1:]]


class Normalisation:
    """Batch normalisation of the hidden layers of R networks (Ioffe and Szegedy 2015).

    Its numbers of a layer are those of one network after the other: (R · width,).
    """

    def __init__(self, widths: Sequence[int], repeats: int, device: str):
        def each(start):
            return [start(repeats * width, device=device) for width in widths]

        self.scale, self.shift = each(torch.ones), each(torch.zeros)
        self.mean, self.variance = each(torch.zeros), each(torch.ones)  # running ones
        for parameter in self.parameters:
            parameter.requires_grad_()

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained: scale and shift of each layer."""
        return [*self.scale, *self.shift]

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        """x (R, n, width) by the mean and variance of this batch, which enter the running ones."""
        repeats, n, width = x.shape
        beside = x.transpose(0, 1).reshape(n, repeats * width)
        out = functional.batch_norm(
            beside,
            self.mean[layer],
            self.variance[layer],
            weight=self.scale[layer],
            bias=self.shift[layer],
            training=True,
            momentum=1 - _DECAY,
            eps=_LEAST,
        )
        return out.reshape(n, repeats, width).transpose(0, 1)

    @torch.no_grad()
    def folded(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> tuple[list, list]:
        """Weights and biases of plain networks that do the same by the running statistics."""
        plain, shifted = list(weights), list(biases)
        for layer, scale in enumerate(self.scale):
            factor = (scale * (self.variance[layer] + _LEAST).rsqrt()).reshape(biases[layer].shape)
            mean, shift = (p[layer].reshape(factor.shape) for p in (self.mean, self.shift))
            plain[layer] = weights[layer] * factor
            shifted[layer] = (biases[layer] - mean) * factor + shift
        return plain, shifted


def forward(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    dropout: Sequence[float] = (),
    noise: torch.Generator | None = None,
    normalise: Normalisation | None = None,
    linear: int = 0,
) -> list[Tensor]:
    """Outputs of every layer of R networks side by side.

    Parameters
    ----------
    weights, biases : of each layer, (R, inputs, outputs) and (R, 1, outputs)
    x : (R, n, inputs)
    dropout : share of each hidden layer's outputs that is set to 0; empty: none
    noise : where these are drawn from
    normalise : of the hidden layers, by this batch; None: none
    linear : so many of the first layers have no ReLU

    Returns
    -------
    list of (R, n, outputs): after ReLU (and dropout), the last one without
    """
    outputs = []
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias, x, weight)
        if layer < len(weights) - 1:
            if normalise is not None:
                x = normalise(layer, x)
            if layer >= linear:
                x = x.relu_()
            if dropout and dropout[layer] > 0:
                keep = 1 - dropout[layer]
                drawn = torch.rand(x.shape, generator=noise, device=x.device)
                x = x * (drawn < keep) / keep
        outputs.append(x)
    return outputs


def losses(out: Tensor, target: Tensor, loss: str) -> Tensor:
    """Mean absolute ("mae") or mean squared ("mse") error over the last axis."""
    error = out - target
    return (error.abs() if loss == "mae" else error.square()).mean(dim=-1)


def shuffled(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n row numbers: all of them in random order, then the first ones of that order again."""
    order = rows[torch.randperm(len(rows), generator=generator)]
    return order.repeat(math.ceil(n / len(rows)))[:n]
