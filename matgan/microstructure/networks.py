"""Networks that read microstructures: one number for a volume, or a strain for each voxel.

Convolutions are periodic, as the volumes are. Phases enter as -1 and 1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

NEIGHBOURHOOD = 11  # voxels along an edge of the paper's neighbourhood


class PeriodicConv3d(nn.Conv3d):
    """A convolution that goes round the edges of a volume: Conv3d with padding_mode="circular".

    Copies the edges as slabs, where torch's own padding passes over whole volumes for each face:
    1.5 times as fast on a CPU with 16 channels (`benchmarks/bench_layers.py`).
    """

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1):
        super().__init__(before, after, kernel, stride, bias=False)
        self.around = kernel // 2

    def forward(self, input: Tensor) -> Tensor:
        """(B, before, n, n, n) -> (B, after, ⌈n / stride⌉, …)."""
        return functional.conv3d(_Wrapped.apply(input, self.around), self.weight, None, self.stride)


class _Wrapped(torch.autograd.Function):
    """Volumes with what lies beyond each edge: the other side's voxels."""

    @staticmethod
    def forward(ctx, x, around):
        ctx.around = around
        wide = x.new_empty(*x.shape[:2], *(n + 2 * around for n in x.shape[2:]))
        _inside(wide, around).copy_(x)
        for there, beyond in _edges(wide, around):
            beyond.copy_(there)
        return wide

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        wide = gradient.clone()
        for there, beyond in reversed(_edges(wide, ctx.around)):
            there.add_(beyond)
        return _inside(wide, ctx.around).contiguous(), None


def _inside(wide: Tensor, around: int) -> Tensor:
    for axis in (2, 3, 4):
        wide = wide.narrow(axis, around, wide.shape[axis] - 2 * around)
    return wide


def _edges(wide: Tensor, around: int) -> list[tuple[Tensor, Tensor]]:
    """Views of the voxels along each face, and of those beyond the opposite one; axis by axis."""
    pairs = []
    for axis in (2, 3, 4):
        n = wide.shape[axis] - 2 * around
        for there, beyond in ((n, 0), (around, n + around)):
            pairs.append((wide.narrow(axis, there, around), wide.narrow(axis, beyond, around)))
    return pairs


def _block(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [PeriodicConv3d(before, after, 3, stride), nn.BatchNorm3d(after), nn.ReLU(inplace=True)]


class StiffnessNetwork(nn.Module):
    """3-D CNN from a volume to one number (homogenisation).

    A convolution by the voxel, then four on a grid three times as coarse; what is seen there is
    averaged, so that a shift by three voxels changes nothing where three divides the edge.

    Parameters
    ----------
    channels : of the layer on voxels; later ones have two and four times as many
    dropout : before the last layer
    """

    def __init__(self, channels: int = 12, dropout: float = 0.1):
        super().__init__()
        c = channels
        self.blocks = nn.Sequential(
            *_block(1, c), *_block(c, 2 * c, 3), *_block(2 * c, 4 * c),
            *_block(4 * c, 4 * c), *_block(4 * c, 4 * c),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(4 * c, 4 * c), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * c, 1)
        )

    def forward(self, volumes: Tensor) -> dict[str, Tensor]:
        """{"value": (B, 1)} of (B, n, n, n) volumes."""
        return {"value": self.head(self.blocks(volumes[:, None]).mean((2, 3, 4)))}


class DenseStrainNetwork(nn.Module):
    """3-D CNN from a volume to a strain for each of its voxels (localisation), all at once.

    Residual pairs of convolutions; the mean strain over a volume is that of the load, 1.

    Parameters
    ----------
    channels : of all layers but the last
    pairs : of convolutions; a voxel sees as many as 3 + 2 (2 pairs) + 2 along an axis
    """

    def __init__(self, channels: int = 16, pairs: int = 3):
        super().__init__()
        self.first = nn.Sequential(*_block(1, channels))
        self.pairs = nn.ModuleList(
            nn.Sequential(
                *_block(channels, channels),
                PeriodicConv3d(channels, channels),
                nn.BatchNorm3d(channels),
            )
            for _ in range(pairs)
        )
        self.last = PeriodicConv3d(channels, 1)

    def forward(self, volumes: Tensor) -> dict[str, Tensor]:
        """{"field": (B, n, n, n)} of (B, n, n, n) volumes."""
        x = self.first(volumes[:, None])
        for pair in self.pairs:
            x = functional.relu(x + pair(x))
        field = self.last(x)[:, 0]
        return {"field": field - field.mean((1, 2, 3), keepdim=True) + 1}


class NeighbourhoodNetwork(nn.Module):
    """The paper's network for one voxel's strain, from the 11 × 11 × 11 voxels around it.

    Yang et al., Acta Mater. 166, 335 (2019), as the review describes it: the neighbourhood is an
    image of 11 × 11 pixels with 11 channels, the planes across the strain's direction; two
    convolutions and two fully connected layers. Widths are our choice.
    """

    def __init__(self, channels: tuple[int, int] = (64, 96), hidden: int = 128):
        super().__init__()
        left = (NEIGHBOURHOOD - 2 * 2) ** 2
        self.layers = nn.Sequential(
            nn.Conv2d(NEIGHBOURHOOD, channels[0], 3), nn.ReLU(inplace=True),
            nn.Conv2d(channels[0], channels[1], 3), nn.ReLU(inplace=True),
            nn.Flatten(), nn.Linear(channels[1] * left, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, patches: Tensor) -> dict[str, Tensor]:
        """{"value": (B, 1)} of (B, 11, 11, 11) neighbourhoods, the first axis that of the load."""
        return {"value": self.layers(patches)}


def field_loss(output: dict[str, Tensor], fields: Tensor, inputs) -> Tensor:
    """Mean absolute error of the head "field"; the targets are (B, n, n, n)."""
    return functional.l1_loss(output["field"], fields)


def shells(n: int) -> np.ndarray:
    """(n, n, n) distance of each voxel from the middle one, n // 2: its largest along an axis."""
    away = np.abs(np.arange(n) - n // 2)
    return np.maximum(np.maximum(away[:, None, None], away[:, None]), away)


def shell_influence(network: nn.Module, patches: Tensor) -> list[float]:
    """How much a voxel of each shell of a neighbourhood moves the output: the mean gradient.

    Parameters
    ----------
    network : a `NeighbourhoodNetwork`
    patches : (B, 11, 11, 11)

    Returns
    -------
    list over shells 0 (the voxel itself) to 5: mean absolute change of the output when a voxel of
    that shell becomes the second phase, to first order
    """
    inputs = patches.clone().requires_grad_()
    network.eval()
    (slope,) = torch.autograd.grad(network(inputs)["value"].sum(), inputs)
    size, place = 2 * slope.abs().mean(0).cpu().numpy(), shells(NEIGHBOURHOOD)  # from -1 to 1
    return [float(size[place == d].mean()) for d in range(NEIGHBOURHOOD // 2 + 1)]
