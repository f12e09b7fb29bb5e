"""A one-dimensional ConvNeXt for powder patterns, and classifiers of the symmetry hierarchy.

Liu et al. 2022; for powder patterns AlphaDiffract has one of three blocks. Blocks of a wide
convolution of each channel by itself, then two dense layers at each place.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from matgan.powder.measured.hierarchy import HierarchicalHead, sizes
from matgan.powder.measured.simulation import POINTS, START, STEP
from matgan.powder.networks import FCN, PatternNetwork

Axis = Literal["none", "sin²", "q"]


class _Block(nn.Module):
    """x + γ · dense(gelu(dense(norm(convolution(x))))), (B, n, channels) in and out."""

    def __init__(self, channels: int, kernel: int, drop: float):
        super().__init__()
        self.spread = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.dense = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(),
            nn.Linear(2 * channels, channels), nn.Dropout(drop),
        )  # fmt: skip
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.dense(self.spread(x.mT).mT)


class ConvNeXt(PatternNetwork):
    """Stages of blocks; between them places are halved. A dense layer reads all places that remain.

    Parameters
    ----------
    channels : of the stages
    blocks : in each stage
    kernel : places that a block's convolution spans, an odd number
    width : features
    axis : further input channel: "sin²" has sin² θ over its largest value, "q" sin θ over its own
    """

    place: Tensor

    def __init__(
        self,
        channels: tuple[int, ...] = (48, 96, 192),
        blocks: tuple[int, ...] = (1, 1, 2),
        kernel: int = 15,
        width: int = 384,
        axis: Axis = "sin²",
        dropout: float = 0.2,
        n_points: int = POINTS,
    ):
        super().__init__()
        self.n_points, self.width = n_points, width
        sine = np.sin(np.radians(START + STEP * np.arange(n_points)) / 2)
        place = {"none": [], "sin²": [sine**2 / sine[-1] ** 2], "q": [sine / sine[-1]]}[axis]
        channel = torch.tensor(np.array(place).reshape(len(place), n_points), dtype=torch.float32)
        self.register_buffer("place", channel, persistent=False)
        self.stem = nn.Conv1d(1 + len(place), channels[0], 15, 4, padding=7)
        length, before = -(-n_points // 4), channels[0]
        parts: list[nn.Module] = [nn.LayerNorm(before)]
        for n, after in zip(blocks, channels, strict=True):
            if after != before:
                parts.append(_Halving(before, after))
                before, length = after, length // 2
            parts += [_Block(after, kernel, dropout / 2) for _ in range(n)]
        self.blocks = nn.Sequential(*parts)
        self.read = nn.Sequential(
            nn.LayerNorm(before), nn.Linear(before, 48), nn.GELU(), nn.Flatten(),
            nn.Linear(48 * length, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout),
        )  # fmt: skip

    def features(self, patterns: Tensor) -> Tensor:
        """(B, width) features of (B, n_points) patterns."""
        x = self.roots(patterns)[:, None]
        if len(self.place):
            x = torch.cat([x, self.place.expand(len(x), -1, -1).to(x.dtype)], 1)
        return self.read(self.blocks(self.stem(x).mT))


class _Halving(nn.Module):
    """(B, n, before) -> (B, ⌊n / 2⌋, after): two neighbours to one place."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.norm, self.join = nn.LayerNorm(before), nn.Linear(2 * before, after)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)[:, : x.shape[1] // 2 * 2]
        return self.join(x.unflatten(1, (-1, 2)).flatten(2))


class SymmetryNetwork(nn.Module):
    """Features of a pattern network, read by a `HierarchicalHead`.

    Parameters
    ----------
    body : gives the features
    members : (230, 3) int array, the classes of every space group
    """

    def __init__(self, body: PatternNetwork, members: np.ndarray):
        super().__init__()
        self.body, self.head = body, HierarchicalHead(body.width, members)

    def forward(self, patterns: Tensor) -> dict[str, Tensor]:
        """{"space_group": (B, 230) logarithms of probabilities}."""
        return {"space_group": self.head(self.body.features(patterns))}


def hierarchical_network(name: str, members: np.ndarray, axis: Axis = "sin²") -> nn.Module:
    """An untrained network.

    Parameters
    ----------
    name : "FCN" (today's, its three heads by themselves), "FCN, hierarchical", "ConvNeXt", or
        "ConvNeXt, wide", which is for a CUDA device
    members : (230, 3) int array, the classes of every space group
    axis : of a ConvNeXt

    Raises
    ------
    ValueError
        Another name.
    """
    if name == "FCN":
        return FCN(POINTS, sizes(members))
    if name == "FCN, hierarchical":
        return SymmetryNetwork(FCN(POINTS, {}), members)
    if name == "ConvNeXt":
        return SymmetryNetwork(ConvNeXt(axis=axis), members)
    if name == "ConvNeXt, wide":
        body = ConvNeXt((96, 192, 384), (3, 3, 6), 21, 768, axis, dropout=0.3)
        return SymmetryNetwork(body, members)
    raise ValueError(f"no network is called {name!r}")
