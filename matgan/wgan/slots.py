"""Our generator: fills the slots of a formula one after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgan.chemistry.elements import ELEMENTS, FORMULA_ORDER, N_ELEMENTS
from matgan.wgan.config import Config

_NEVER = -1e9  # a logit; minus infinity would make 0 x infinity of it
N_COUNTS = 8  # the paper's matrix holds 1 to 8 atoms of each element
_PLACE_IN_FORMULA = torch.tensor([FORMULA_ORDER.index(symbol) for symbol in ELEMENTS])


class Residual(nn.Module):
    """x + W relu(V relu(x)): two layers, and a way around them (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(F.relu(self.inner(F.relu(x))))


class SlotGenerator(nn.Module):
    """Ours: fills the places of a formula one after the other, each with an element and a count.

    Each slot knows the noise and what the earlier slots hold. The first two slots always hold an
    element; a later one may stay empty, and no element comes twice, so every output decodes to a
    formula.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.slots = config.slots
        widths = [config.latent_dim, *config.hidden]
        layers: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        width = widths[-1]
        self.start = nn.Parameter(torch.zeros(self.slots, width))  # tells the slots apart
        self.seen_element = nn.Linear(N_ELEMENTS + 1, width, bias=False)
        self.seen_count = nn.Linear(N_COUNTS, width, bias=False)
        self.residual = config.mixing == "residual"
        if self.residual:
            self.before_element, self.before_count = Residual(width), Residual(width)
        else:
            self.mix = nn.Linear(width, width)
        self.to_element = nn.Linear(width, N_ELEMENTS + 1)  # the last class: none
        self.to_count = nn.Linear(width, N_COUNTS)

    def element_logits(self, memory: Tensor) -> Tensor:
        """(B, 86) of the next element, or of none, of what is known so far and where we are."""
        mixed = self.before_element(memory) if self.residual else self.mix(F.relu(memory))
        return self.to_element(F.relu(mixed))

    def count_logits(self, memory: Tensor) -> Tensor:
        """(B, 8) of its count, once the memory holds the element."""
        mixed = self.before_count(memory) if self.residual else memory
        return self.to_count(F.relu(mixed))

    def forward(self, z: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0):
        """(B, latent_dim) noise to a (B, 85, 8) one-hot count matrix.

        Its gradient is that of the straight-through Gumbel-softmax (Jang et al. 2017).
        """

        def draw(logits: Tensor) -> tuple[Tensor, None]:
            return gumbel_one_hot(logits, rng, temperature), None

        return self._fill(z, draw)[0]

    def draw(self, z: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """(B, latent_dim) noise to a drawn (B, 85, 8) count matrix and its log-probability (B,).

        The matrix carries no gradient, the log-probability does: what the score-function
        estimator needs (Williams 1992).
        """

        def draw(logits: Tensor) -> tuple[Tensor, Tensor]:
            log_p = torch.log_softmax(logits, dim=-1)
            with torch.no_grad():  # the largest of log p + Gumbel noise is a draw from p
                race = log_p - torch.empty_like(log_p).exponential_(generator=rng).log()
                drawn = F.one_hot(race.argmax(dim=-1), logits.shape[-1]).to(log_p)
            return drawn, (drawn * log_p).sum(-1)

        return self._fill(z, draw)

    def log_probability(self, z: Tensor, counts: Tensor) -> Tensor:
        """Log-probability, given the noise, of writing compositions element by element.

        In the order of a formula, cations before anions: then the last count is the one that
        balances the charges of the others.

        Parameters
        ----------
        z : (B, latent_dim)
        counts : (B, 85) whole amounts from 0 to 8, of two elements or more

        Returns
        -------
        Tensor, (B,). Minus infinity where there are more elements than slots.
        """
        there = counts > 0
        place = _PLACE_IN_FORMULA.to(z.device).masked_fill(~there, N_ELEMENTS)  # (B, 85)
        elements = place.argsort(dim=1)[:, : self.slots]
        amounts = counts.long().gather(1, elements)
        elements = elements.masked_fill(amounts == 0, N_ELEMENTS)  # the class "none"
        given = torch.stack([elements, (amounts - 1).clamp(min=0)], dim=-1).flatten(1)
        turn = iter(given.unbind(1))  # the element of the first slot, its count, ...

        def draw(logits: Tensor) -> tuple[Tensor, Tensor]:
            one_hot = F.one_hot(next(turn), logits.shape[-1]).to(logits)
            return one_hot, (one_hot * torch.log_softmax(logits, dim=-1)).sum(-1)

        log_p = self._fill(z, draw)[1]
        return log_p.masked_fill(there.sum(1) > self.slots, -math.inf)

    def _fill(self, z: Tensor, draw: Callable) -> tuple[Tensor, Tensor]:
        """Count matrix, and the sum of what `draw` gives as the log-probability of each draw.

        Where it gives None, the sum is 0.
        """
        memory = self.body(z)  # (B, hidden): the noise, and later what was drawn
        is_element = torch.arange(N_ELEMENTS + 1, device=z.device) < N_ELEMENTS
        taken = (~is_element).expand(len(z), -1)  # (B, 86): the first two slots are not "none"
        matrix, log_p = z.new_zeros(len(z), N_ELEMENTS, N_COUNTS), z.new_zeros(len(z))
        for slot in range(self.slots):
            if slot == 2:
                taken = taken & is_element  # from now on a slot may stay empty
            logits = self.element_logits(memory + self.start[slot])
            element, log_p_element = draw(logits.masked_fill(taken, _NEVER))
            filled = 1 - element[:, -1:]  # (B, 1)
            memory = memory + self.seen_element(element)
            count, log_p_count = draw(self.count_logits(memory))
            memory = memory + filled * self.seen_count(count)
            taken = taken | (element.detach() > 0) & is_element
            matrix = matrix + element[:, :-1, None] * count[:, None]  # (B, 85, 8)
            if log_p_element is not None:
                log_p = log_p + log_p_element + filled[:, 0] * log_p_count
        return matrix, log_p


def gumbel_one_hot(logits: Tensor, rng: torch.Generator | None, temperature: float) -> Tensor:
    """One-hot draw along the last axis, with the gradient of the softmax (Jang et al. 2017)."""
    uniform = torch.rand(logits.shape, generator=rng, device=logits.device)
    noise = -(-uniform.clamp_(1e-10, 1 - 1e-7).log()).log()  # Gumbel variates
    soft = torch.softmax((logits + noise) / temperature, dim=-1)
    hard = F.one_hot(soft.argmax(dim=-1), logits.shape[-1]).to(soft)
    return hard + (soft - soft.detach())  # the difference is exactly zero
