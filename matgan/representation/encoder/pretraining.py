"""Learning from compositions without labels: which element was hidden, or is out of place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgan.chemistry.elements import N_ELEMENTS
from matgan.learning.fit import Fit, train
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.encoder.network import CompositionNetwork, Tokens

Pretext = Literal["masked", "replaced"]


class Spoiled(Tokens):
    """Compositions of which one element each is hidden or replaced, drawn anew in every epoch.

    Parameters
    ----------
    amounts : (n, 85)
    """

    def __init__(self, amounts: np.ndarray):
        super().__init__(amounts, np.zeros((len(amounts), 1)))
        self.frequency = (amounts > 0).sum(axis=0) / (amounts > 0).sum()

    def batch(self, rows, seed):
        """As of `Tokens`, then: the spoiled token of each composition (B,), in the tokens' order of
        compositions; another element for each (B,), drawn as often as the data hold it. The
        targets (B,) are the elements that were there."""
        (elements, shares, groups, place), _ = super().batch(rows, seed)
        sizes = np.repeat(groups[:, 0].numpy(), groups[:, 1].numpy())
        random = np.random.default_rng(seed)
        first = np.cumsum(sizes) - sizes
        spoiled = torch.from_numpy(first + (random.random(len(sizes)) * sizes).astype(int))
        others = torch.from_numpy(random.choice(N_ELEMENTS, len(sizes), p=self.frequency))
        return (elements, shares, groups, place, spoiled, others), elements[spoiled]


class Guesser(nn.Module):
    """An encoder's tokens with an answer for each.

    "masked": one element is hidden, its name is asked. "replaced": another one stands in its place,
    and every token is asked whether it belongs (Clark et al. 2020).
    """

    def __init__(self, network: CompositionNetwork, pretext: Pretext):
        super().__init__()
        width = network.norm.normalized_shape[0]
        self.network, self.pretext = network, pretext
        self.mask = nn.Parameter(torch.zeros(width))
        self.answer = nn.Linear(width, N_ELEMENTS if pretext == "masked" else 1)

    def forward(
        self,
        elements: Tensor,
        shares: Tensor,
        groups: Tensor,
        place: Tensor,
        spoiled: Tensor,
        others: Tensor,
    ) -> dict[str, Tensor]:
        """{"element": (B, 85)} or {"strange": (t,) logits} of a batch of `Spoiled`."""
        if self.pretext == "masked":
            of_element = self.network.embed(elements).index_put((spoiled,), self.mask)
            tokens = self.network.tokens(of_element, shares, groups)
            return {"element": self.answer(tokens[spoiled])}
        of_element = self.network.embed(elements.index_put((spoiled,), others))
        return {"strange": self.answer(self.network.tokens(of_element, shares, groups))[:, 0]}


def pretext_loss(output: dict[str, Tensor], targets: Tensor, inputs) -> Tensor:
    """Cross-entropy of the answers; an element that replaces itself is in its place."""
    if "element" in output:
        return F.cross_entropy(output["element"], targets)
    *_, spoiled, others = inputs
    strange = torch.zeros_like(output["strange"])
    strange[spoiled] = (others != targets).to(strange.dtype)
    return F.binary_cross_entropy_with_logits(output["strange"], strange)


def pretrained_encoder(
    amounts: np.ndarray,
    pretext: Pretext,
    sizes: dict[str, Any],
    fit: Fit,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[CompositionEncoder, list[float]]:
    """An encoder that learned from compositions alone, to start others from, and its mean losses.

    What it predicts means nothing: its last layer is as it was at the start.

    Parameters
    ----------
    amounts : (n, 85)
    pretext : see `Guesser`
    sizes : width, layers, heads and dropout of the encoder
    fit, checkpoint, progress : see `matgan.learning.fit.train`
    """
    encoder = CompositionEncoder(**sizes)
    torch.manual_seed(fit.seed)
    network = CompositionNetwork(1, **sizes)
    losses = train(
        Guesser(network, pretext), Spoiled(amounts), pretext_loss, fit, checkpoint, progress
    )
    encoder.network_, encoder.n_targets_ = network.eval(), 0
    encoder.middle_, encoder.spread_ = np.zeros(1), np.ones(1)
    return encoder, losses
