"""The gated messages of CGCNN on a processor: what runs over edges is compiled.

With tensors each step of Equation 5 writes and reads (E, 2 width) numbers, far more than a cache
holds. Here an edge's numbers are made where they are needed, from the rows of its two atoms and the
few Gaussians that its length is near to, forwards and again backwards. The order of the sums is
fixed, so the same batch gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from matgan.learning.compute import vectorised

SPAN = 9  # Gaussians kept of each length; further ones are below exp(-4.5²), 2e-9
_FAR = 20.25  # and so is the least of a window: numbers near 1e-38 would take many times as long

_inlined = partial(vectorised, inline="always")


@dataclass(frozen=True)
class Edges:
    """The edges of a batch, with the Gaussians of their lengths.

    Attributes
    ----------
    centre, neighbour : (E,) int64 arrays, atoms of the batch
    images : (E,) float32 array, how many images of the neighbour an edge stands for
    first : (E,) int64 array, the first Gaussian that is kept
    windows : (E, SPAN) float32 array, it and the following ones
    """

    centre: np.ndarray
    neighbour: np.ndarray
    images: np.ndarray
    first: np.ndarray
    windows: np.ndarray

    @staticmethod
    def of(edges: Tensor, distances: Tensor, images: Tensor, centres: Tensor) -> Edges:
        """The edges (2, E) of a batch on the processor; `centres` are SPAN Gaussians or more."""
        spacing = centres[1]
        first = (distances / spacing).round().long() - SPAN // 2
        first = first.clamp(0, len(centres) - SPAN)
        near = centres[first[:, None] + torch.arange(SPAN)]
        windows = torch.exp(-((distances[:, None] - near) / spacing).square().clamp(max=_FAR))
        return Edges(*(t.numpy() for t in (*edges, images, first, windows)))


def gated_messages(
    as_centre: Tensor, as_neighbour: Tensor, from_distance: Tensor, norm: nn.BatchNorm1d, at: Edges
) -> Tensor:
    """Σ_j σ(gate) ⊙ softplus(core) of every atom, (A, width); gate ⊕ core = norm(z).

    z is the sum of what the centre gives (A, 2 width), what the neighbour gives (A, 2 width), and
    the Gaussians' part, by a matrix (2 width, G). While it trains, `norm` takes the statistics of
    this batch's edges, and follows them.
    """
    weight = from_distance.T.contiguous()
    given = (as_centre.contiguous(), as_neighbour.contiguous(), weight)
    if norm.training:
        mean, variance = _statistics(given, at)
        _follow(norm, mean, variance, len(at.centre))
    else:
        mean, variance = (norm.get_buffer(f"running_{name}") for name in ("mean", "var"))
    return _Messages.apply(
        *given, norm.weight, norm.bias, mean, variance, norm.eps, at, norm.training
    )


def gaussian_sums(at: Edges, n_atoms: int, n_gaussians: int) -> Tensor:
    """Σ_j of the Gaussians of every atom's neighbours: (A, G)."""
    sums = np.zeros((n_atoms, n_gaussians), dtype=np.float32)
    _add_windows(at.centre, at.images, at.first, at.windows, sums)
    return torch.from_numpy(sums)


def _statistics(parts: tuple[Tensor, Tensor, Tensor], at: Edges) -> tuple[Tensor, Tensor]:
    """Mean and variance of z over the edges, (2 width,) each."""
    parts_of_z = (part.detach().numpy() for part in parts)
    sums, squares = _sums_of_z(at.centre, at.neighbour, at.first, at.windows, *parts_of_z)
    mean = sums / len(at.centre)
    variance = np.maximum(squares / len(at.centre) - mean**2, 0)
    return torch.from_numpy(mean).float(), torch.from_numpy(variance).float()


@torch.no_grad()
def _follow(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, n: int) -> None:
    """The running statistics, as `BatchNorm1d` keeps them."""
    batches = norm.get_buffer("num_batches_tracked").add_(1)
    share = 1 / float(batches) if norm.momentum is None else norm.momentum
    norm.get_buffer("running_mean").lerp_(mean, share)
    norm.get_buffer("running_var").lerp_(variance * (n / max(n - 1, 1)), share)


class _Messages(torch.autograd.Function):
    """Normalised, gated and summed; its gradient goes through the batch's mean and variance."""

    @staticmethod
    def forward(
        ctx, as_centre, as_neighbour, weight, gamma, beta, mean, variance, eps, at, of_batch
    ):
        deviation = torch.sqrt(variance + eps)
        scale = gamma / deviation
        shift = beta - mean * scale
        ctx.save_for_backward(as_centre, as_neighbour, weight, scale, shift, mean, deviation)
        ctx.at, ctx.of_batch = at, of_batch
        total = np.zeros((len(as_centre), as_centre.shape[1] // 2), dtype=np.float32)
        _add_messages(
            *(at.centre, at.neighbour, at.images, at.first, at.windows),
            *(t.detach().numpy() for t in (as_centre, as_neighbour, weight, scale, shift)),
            total,
        )
        return torch.from_numpy(total)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        as_centre, as_neighbour, weight, scale, shift, mean, deviation = (
            t.numpy() for t in ctx.saved_tensors
        )
        at, n = ctx.at, len(ctx.at.centre)
        edges = (at.centre, at.neighbour, at.images, at.first, at.windows)
        of_y = np.empty((n, len(scale)), dtype=np.float32)
        sums, products = _gradient_of_norm(
            *edges,
            as_centre,
            as_neighbour,
            weight,
            scale,
            shift,
            mean,
            gradient.contiguous().numpy(),
            of_y,
        )  # Σ dy and Σ dy (z - mean)
        of_gamma = products / deviation
        # the batch's own statistics depend on every z
        share = 1 / n if ctx.of_batch else 0.0
        constant = (scale * sums * share).astype(np.float32)
        slope = (scale * of_gamma / deviation * share).astype(np.float32)
        out = tuple(np.zeros_like(t) for t in (as_centre, as_neighbour, weight))
        _gradient_of_parts(
            *edges, as_centre, as_neighbour, weight, scale, mean, constant, slope, of_y, *out
        )
        of_parameters = (torch.from_numpy(t).float() for t in (of_gamma, sums))
        return *(torch.from_numpy(t) for t in out), *of_parameters, None, None, None, None, None


# --- compiled -------------------------------------------------------------------------------------


@_inlined
def _exp_of_minus(x):
    """exp(-|x|), relative error 1e-6: a power of two times a polynomial."""
    t = np.float32(-1.4426950408889634) * min(abs(x), np.float32(60))
    whole = np.int32(t - np.float32(0.5))  # towards zero: the nearest
    f = t - np.float32(whole)
    p = np.float32(1.5403530e-4)
    p = p * f + np.float32(1.3333558e-3)
    p = p * f + np.float32(9.6181291e-3)
    p = p * f + np.float32(5.5504109e-2)
    p = p * f + np.float32(0.24022651)
    p = p * f + np.float32(0.69314718)
    p = p * f + np.float32(1)
    return p * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@_inlined
def _sigmoid(x, u):
    """σ(x), where u = exp(-|x|)."""
    return (np.float32(1) if x >= 0 else u) / (np.float32(1) + u)


@_inlined
def _softplus(x, u):
    """log(1 + exp(x)), where u = exp(-|x|): max(x, 0) + 2 artanh(u / (2 + u))."""
    r = u / (np.float32(2) + u)
    s = r * r
    p = np.float32(1 / 13)
    p = p * s + np.float32(1 / 11)
    p = p * s + np.float32(1 / 9)
    p = p * s + np.float32(1 / 7)
    p = p * s + np.float32(1 / 5)
    p = p * s + np.float32(1 / 3)
    p = p * s + np.float32(1)
    return max(x, np.float32(0)) + np.float32(2) * r * p


@_inlined
def _z(z, c, n, i, window, as_centre, as_neighbour, weight):
    """Write z of an edge between the atoms c and n whose Gaussians begin at i."""
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = (
        window[0],
        window[1],
        window[2],
        window[3],
        window[4],
        window[5],
        window[6],
        window[7],
        window[8],
    )
    for j in range(z.shape[0]):
        z[j] = (
            as_centre[c, j]
            + as_neighbour[n, j]
            + w0 * weight[i, j]
            + w1 * weight[i + 1, j]
            + w2 * weight[i + 2, j]
            + w3 * weight[i + 3, j]
            + w4 * weight[i + 4, j]
            + w5 * weight[i + 5, j]
            + w6 * weight[i + 6, j]
            + w7 * weight[i + 7, j]
            + w8 * weight[i + 8, j]
        )


@_inlined
def _carry(few, sums):
    """Move what a few edges sum up to, float32, to the float64 sums of all."""
    for j in range(few.shape[0]):
        sums[j] += few[j]
        few[j] = 0


@vectorised
def _sums_of_z(centre, neighbour, first, windows, as_centre, as_neighbour, weight):
    """Σ z and Σ z² over the edges; float64, sixteen edges at a time."""
    size = weight.shape[1]
    z = np.empty(size, np.float32)
    few, few_squares = np.zeros(size, np.float32), np.zeros(size, np.float32)
    sums, squares = np.zeros(size), np.zeros(size)
    for e in range(len(centre)):
        _z(z, centre[e], neighbour[e], first[e], windows[e], as_centre, as_neighbour, weight)
        for j in range(size):
            few[j] += z[j]
            few_squares[j] += z[j] * z[j]
        if e % 16 == 15 or e == len(centre) - 1:
            _carry(few, sums)
            _carry(few_squares, squares)
    return sums, squares


@vectorised
def _add_messages(
    centre, neighbour, images, first, windows, as_centre, as_neighbour, weight, scale, shift, total
):
    """Add every edge's message to the row of its centre."""
    width = total.shape[1]
    z, gate = np.empty(2 * width, np.float32), np.empty(width, np.float32)
    for e in range(len(centre)):
        c = centre[e]
        _z(z, c, neighbour[e], first[e], windows[e], as_centre, as_neighbour, weight)
        for j in range(width):
            y = z[j] * scale[j] + shift[j]
            gate[j] = images[e] * _sigmoid(y, _exp_of_minus(y))
        for j in range(width):
            y = z[width + j] * scale[width + j] + shift[width + j]
            gate[j] *= _softplus(y, _exp_of_minus(y))
        for j in range(width):
            total[c, j] += gate[j]


@vectorised
def _gradient_of_norm(
    centre,
    neighbour,
    images,
    first,
    windows,
    as_centre,
    as_neighbour,
    weight,
    scale,
    shift,
    mean,
    gradient,
    of_y,
):
    """Write the gradient of y = norm(z); Σ dy and Σ dy (z - mean), float64."""
    size = weight.shape[1]
    width = size // 2
    z, y = np.empty(size, np.float32), np.empty(size, np.float32)
    few, few_products = np.zeros(size, np.float32), np.zeros(size, np.float32)
    sums, products = np.zeros(size), np.zeros(size)
    open_gate, core = np.empty(width, np.float32), np.empty(width, np.float32)
    for e in range(len(centre)):
        c = centre[e]
        _z(z, c, neighbour[e], first[e], windows[e], as_centre, as_neighbour, weight)
        for j in range(size):
            y[j] = z[j] * scale[j] + shift[j]
        for j in range(width):
            open_gate[j] = _sigmoid(y[j], _exp_of_minus(y[j]))
        for j in range(width):
            x = y[width + j]
            u = _exp_of_minus(x)
            core[j] = _softplus(x, u)
            y[width + j] = _sigmoid(x, u)  # the slope of the softplus
        for j in range(width):
            given = gradient[c, j] * images[e] * open_gate[j]
            of_y[e, j] = given * core[j] * (np.float32(1) - open_gate[j])
            of_y[e, width + j] = given * y[width + j]
        for j in range(size):
            few[j] += of_y[e, j]
            few_products[j] += of_y[e, j] * (z[j] - mean[j])
        if e % 16 == 15 or e == len(centre) - 1:
            _carry(few, sums)
            _carry(few_products, products)
    return sums, products


@vectorised
def _gradient_of_parts(
    centre,
    neighbour,
    images,
    first,
    windows,
    as_centre,
    as_neighbour,
    weight,
    scale,
    mean,
    constant,
    slope,
    of_y,
    of_centre,
    of_neighbour,
    of_weight,
):
    """Add the gradient of every edge's z to that of its parts."""
    size = weight.shape[1]
    z = np.empty(size, np.float32)
    for e in range(len(centre)):
        c, n, i = centre[e], neighbour[e], first[e]
        _z(z, c, n, i, windows[e], as_centre, as_neighbour, weight)
        for j in range(size):
            z[j] = scale[j] * of_y[e, j] - constant[j] - (z[j] - mean[j]) * slope[j]
        for j in range(size):
            of_centre[c, j] += z[j]
        for j in range(size):
            of_neighbour[n, j] += z[j]
        for k in range(SPAN):
            for j in range(size):
                of_weight[i + k, j] += windows[e, k] * z[j]


@vectorised
def _add_windows(centre, images, first, windows, sums):
    """Add the Gaussians of every edge to the row of its centre."""
    for e in range(len(centre)):
        for k in range(SPAN):
            sums[centre[e], first[e] + k] += images[e] * windows[e, k]
