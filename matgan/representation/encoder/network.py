"""A transformer over the elements of a composition; no order among them, and nothing is padded.

A composition is a set of tokens, an element and its fraction each. The layers that treat tokens by
themselves see those of a whole batch in one row, compositions of one number of elements together;
attention goes from one composition to the next. So a batch may mix binaries and quinaries and
computes nothing in vain.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from matgan.chemistry.composition import fractions
from matgan.chemistry.elements import N_ELEMENTS
from matgan.representation.encoder.attention import attention_in_sets, means_of_sets

_LEAST_FRACTION = 1e-3  # where the logarithmic scale of fractions begins
_N_CENTRES = 24  # of the Gaussians on each of the two scales of fractions


class Tokens:
    """Compositions and their targets, as batches of tokens: see `matgan.learning.fit.Examples`.

    Parameters
    ----------
    amounts : (n, 85), each with one element or more
    targets : (n, m) float32; NaN where one is not known
    padded : whether all get as many tokens as the widest, of fraction 0 behind: so batches have one
        shape, which a graph on a device asks for
    """

    def __init__(self, amounts: np.ndarray, targets: np.ndarray, padded: bool = False):
        shares = fractions(np.asarray(amounts, dtype=float)).astype(np.float32)
        self.sizes = (shares > 0).sum(axis=1)  # number of elements
        widest = int(self.sizes.max(initial=1))
        # the elements of a composition, by number, in front; zeros behind
        self.elements = np.argsort(shares <= 0, axis=1, kind="stable")[:, :widest]
        self.shares = np.take_along_axis(shares, self.elements, axis=1)
        self.targets = np.asarray(targets, dtype=np.float32)
        self.padded = padded

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows, seed):
        """Elements and fractions (t,) of all tokens, compositions of fewer elements first; the
        groups (g, 2): number of elements, number of compositions; for each row its place (B,).

        Padded: elements and fractions (B, k), nothing else.
        """
        targets = torch.from_numpy(self.targets[rows])
        if self.padded:
            return (
                torch.from_numpy(self.elements[rows]),
                torch.from_numpy(self.shares[rows]),
            ), targets
        order = rows[np.argsort(self.sizes[rows], kind="stable")]
        sizes = self.sizes[order]
        there = np.arange(self.elements.shape[1]) < sizes[:, None]
        groups = np.stack(np.unique(sizes, return_counts=True), axis=1)
        place = np.empty(len(rows), dtype=np.int64)
        place[np.argsort(self.sizes[rows], kind="stable")] = np.arange(len(rows))
        tokens = self.elements[order][there], self.shares[order][there], groups, place
        return tuple(map(torch.from_numpy, tokens)), targets

    def content(self):
        """See `matgan.learning.fit.Examples`."""
        return [self.elements, self.shares, self.targets]


class ElementAttention(nn.Module):
    """Self-attention among the elements of a composition, each weighted by a power of its fraction.

    The power is learned, one for each head; at 1 an element counts as its atoms do. After Goodall
    and Lee (Nat. Commun. 2020, 11, 6280), with the scaled dot product of Vaswani et al. 2017.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.power = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor, log_share: Tensor, groups: Tensor) -> Tensor:
        """(t, width) tokens and the logarithms (t,) of their fractions."""
        qkv, bias = self.to_qkv(x), _times(self.power, log_share[:, None])
        return self.out(attention_in_sets(qkv, bias, groups).to(qkv.dtype))


class Layer(nn.Module):
    """Attention and a small network for each token, normalised before and with ways around them."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = ElementAttention(width, heads)
        self.before_attention, self.before_tokens = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, log_share: Tensor, groups: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.before_attention(x), log_share, groups))
        return x + self.dropout(self.tokens(self.before_tokens(x)))


class CompositionNetwork(nn.Module):
    """Medians and scales of Laplace distributions of m targets, and the vector they are read from.

    Parameters
    ----------
    targets : m
    width, layers, heads, dropout : of the transformer; a head has width / heads numbers
    elements : (85, f) vectors that stand for the elements, through a learned linear map; None: each
        element has a learned vector
    """

    def __init__(
        self,
        targets: int = 1,
        width: int = 128,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
        elements: np.ndarray | None = None,
    ):
        super().__init__()
        if elements is None:
            self.embed: nn.Module = nn.Embedding(N_ELEMENTS, width)
        else:
            table = torch.as_tensor(np.asarray(elements, dtype=np.float32))
            self.embed = nn.Sequential(
                nn.Embedding.from_pretrained(table), nn.Linear(table.shape[1], width)
            )
        self.of_share = nn.Linear(2 * _N_CENTRES, width)
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.weigh, self.power = nn.Linear(width, heads), nn.Parameter(torch.ones(heads))
        self.read = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout))
        self.head, self.scale = nn.Linear(width, targets), nn.Linear(width, targets)

    def forward(
        self,
        elements: Tensor,
        shares: Tensor,
        groups: Tensor | None = None,
        place: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """{"value", "log_scale": (B, m); "vector": (B, width)} of a batch of `Tokens`."""
        if groups is None:  # padded: one group, in the order of the rows
            groups = torch.tensor([[elements.shape[1], len(elements)]])
            elements, shares = elements.flatten(), shares.flatten()
        x = self.tokens(self.embed(elements), shares, groups)
        vector = self.read(self._pool(x, shares.log(), groups))
        vector = vector if place is None else vector[place]
        # the scales learn from the vector and do not shape it: else the medians suffer
        log_scale = self.scale(vector.detach()).clamp(-6, 6)
        return {"value": self.head(vector), "log_scale": log_scale, "vector": vector}

    def tokens(self, of_element: Tensor, shares: Tensor, groups: Tensor) -> Tensor:
        """(t, width) vectors of the tokens, from those of their elements (t, width)."""
        x, log_share = of_element + self.of_share(_gaussians(shares)), shares.log()
        for layer in self.layers:
            x = layer(x, log_share, groups)
        return self.norm(x)

    def _pool(self, x: Tensor, log_share: Tensor, groups: Tensor) -> Tensor:
        """(B, width): a weighted mean of the tokens, with weights of its own for each head."""
        logits = self.weigh(x) + _times(self.power, log_share[:, None])  # (t, heads)
        return means_of_sets(x, logits, groups).to(x.dtype)


def _times(power: Tensor, log_share: Tensor) -> Tensor:
    """(…, heads) of (…, 1): logarithms of powers of fractions; -inf where there is no element."""
    nothing = log_share.isneginf()
    return (power * log_share.masked_fill(nothing, 0)).masked_fill(nothing, -torch.inf)


def _gaussians(shares: Tensor) -> Tensor:
    """(t,) fractions as Gaussians around points of a linear and of a logarithmic scale."""
    log = 1 - shares.clamp(min=_LEAST_FRACTION).log() / np.log(_LEAST_FRACTION)  # 0 to 1
    centres = torch.linspace(0, 1, _N_CENTRES, device=shares.device)
    scaled = (torch.stack([shares, log], dim=1)[..., None] - centres) * (_N_CENTRES - 1)
    return torch.exp(-0.5 * scaled.square()).flatten(1)


def known_targets_loss(output: dict[str, Tensor], targets: Tensor, inputs) -> Tensor:
    """Absolute error of what is known, and the Laplace likelihood of its scale.

    The median learns from the error alone, the scale from the likelihood; NaN targets do not count.
    Each target's mean is over its known values, so a rare one weighs as much as a common one.
    """
    there = ~targets.isnan()
    error = (output["value"] - targets.nan_to_num()).abs()
    of_scale = error.detach() * torch.exp(-output["log_scale"]) + output["log_scale"]
    total = ((error + of_scale) * there).sum(0) / there.sum(0).clamp(min=1)
    return total.mean()
