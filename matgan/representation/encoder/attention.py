"""Attention within small sets on a processor: what runs over pairs of elements is compiled.

A composition has some three elements. Tensors of such pairs cost more in copies and calls than in
sums; here a composition's rows stay in the cache from the logits to the result. The order of the
sums is fixed, so the same batch gives the same bits.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from matgan.learning.compute import vectorised


def attention_in_sets(qkv: Tensor, bias: Tensor, groups: Tensor) -> Tensor:
    """Σ_j softmax_j(q_i · k_j / √d + bias_j) v_j within each set, head by head: (t, width).

    Parameters
    ----------
    qkv : (t, 3 width) queries, keys and values, one set behind the other; d is width / heads
    bias : (t, heads), of the keys; -inf hides one
    groups : (g, 2) int64, number of members of a set, number of such sets, in the order of the rows
    """
    if qkv.is_cuda:
        return attention_by_tensors(qkv, bias, groups)
    return _Attention.apply(qkv.float().contiguous(), bias.float().contiguous(), groups)


def means_of_sets(x: Tensor, logits: Tensor, groups: Tensor) -> Tensor:
    """Σ_j softmax_j(logits_j) x_j over each set, head by head: (B, width).

    x is (t, width), `logits` (t, heads), `groups` as in `attention_in_sets`.
    """
    if x.is_cuda:
        return means_by_tensors(x, logits, groups)
    return _Means.apply(x.float().contiguous(), logits.float().contiguous(), groups)


def attention_by_tensors(qkv: Tensor, bias: Tensor, groups: Tensor) -> Tensor:
    """The same as `attention_in_sets`, sets of one size together: for CUDA, and to compare with."""
    heads, parts = bias.shape[1], []
    of_sizes = zip(_by_size(qkv, groups), _by_size(bias, groups), strict=True)
    for given, of_keys in of_sizes:
        q, k, v = (  # (B, heads, n, width / heads)
            part.unflatten(2, (heads, -1)).transpose(1, 2) for part in given.chunk(3, dim=2)
        )
        weights = (q @ k.mT / q.shape[3] ** 0.5 + of_keys.mT[:, :, None]).softmax(dim=3)
        parts.append((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(parts)


def means_by_tensors(x: Tensor, logits: Tensor, groups: Tensor) -> Tensor:
    """The same as `means_of_sets`, sets of one size together."""
    heads, parts = logits.shape[1], []
    for members, of_each in zip(_by_size(x, groups), _by_size(logits, groups), strict=True):
        weights = of_each.softmax(dim=1)[..., None]  # (B, n, heads, 1)
        parts.append((weights * members.unflatten(2, (heads, -1))).sum(1).flatten(1))
    return torch.cat(parts)


def _by_size(rows: Tensor, groups: Tensor) -> list[Tensor]:
    """(B_n, n, …) for each number n of members."""
    sizes = groups.tolist()
    parts = rows.split([n * count for n, count in sizes])
    return [part.unflatten(0, (count, n)) for part, (n, count) in zip(parts, sizes, strict=True)]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv, bias, groups):
        sizes, counts = groups.numpy().T
        weights = np.empty((int(sizes**2 @ counts), bias.shape[1]), dtype=np.float32)
        out = np.zeros((len(qkv), qkv.shape[1] // 3), dtype=np.float32)
        _attend(groups.numpy(), qkv.detach().numpy(), bias.detach().numpy(), weights, out)
        ctx.save_for_backward(qkv, groups)
        ctx.weights = weights
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        qkv, groups = (t.numpy() for t in ctx.saved_tensors)
        of_qkv = np.zeros_like(qkv)
        of_bias = np.zeros((len(qkv), ctx.weights.shape[1]), dtype=np.float32)
        gradient = gradient.contiguous().numpy()
        _gradient_of_attention(groups, qkv, ctx.weights, gradient, of_qkv, of_bias)
        return torch.from_numpy(of_qkv), torch.from_numpy(of_bias), None


class _Means(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, logits, groups):
        weights = np.empty(logits.shape, dtype=np.float32)
        out = np.zeros((int(groups[:, 1].sum()), x.shape[1]), dtype=np.float32)
        _mean(groups.numpy(), x.detach().numpy(), logits.detach().numpy(), weights, out)
        ctx.save_for_backward(x, groups)
        ctx.weights = weights
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, groups = (t.numpy() for t in ctx.saved_tensors)
        of_x, of_logits = np.empty_like(x), np.empty_like(ctx.weights)
        gradient = gradient.contiguous().numpy()
        _gradient_of_mean(groups, x, ctx.weights, gradient, of_x, of_logits)
        return torch.from_numpy(of_x), torch.from_numpy(of_logits), None


# --- compiled -------------------------------------------------------------------------------------


@vectorised
def _softmax(weights, first, n, h):
    """Of n rows of a column, in place."""
    most = weights[first, h]
    for j in range(1, n):
        most = max(most, weights[first + j, h])
    total = np.float32(0)
    for j in range(n):
        weights[first + j, h] = np.exp(weights[first + j, h] - most)
        total += weights[first + j, h]
    for j in range(n):
        weights[first + j, h] /= total


@vectorised
def _attend(groups, qkv, bias, weights, out):
    heads, width = bias.shape[1], out.shape[1]
    size = width // heads
    scale = np.float32(1 / np.sqrt(size))
    spread = np.empty(width, np.float32)
    row, pair = 0, 0
    for g in range(len(groups)):
        n = groups[g, 0]
        for _ in range(groups[g, 1]):
            for i in range(row, row + n):
                for j in range(n):
                    for h in range(heads):
                        product = np.float32(0)
                        for d in range(h * size, (h + 1) * size):
                            product += qkv[i, d] * qkv[row + j, width + d]
                        weights[pair + j, h] = product * scale + bias[row + j, h]
                for h in range(heads):
                    _softmax(weights, pair, n, h)
                for j in range(n):
                    for h in range(heads):
                        spread[h * size : (h + 1) * size] = weights[pair + j, h]
                    for d in range(width):
                        out[i, d] += spread[d] * qkv[row + j, 2 * width + d]
                pair += n
            row += n


@vectorised
def _gradient_of_attention(groups, qkv, weights, gradient, of_qkv, of_bias):
    heads, width = of_bias.shape[1], gradient.shape[1]
    size = width // heads
    scale = np.float32(1 / np.sqrt(size))
    most = groups[:, 0].max() if len(groups) else 0
    slopes = np.empty((most, heads), np.float32)
    spread = np.empty(width, np.float32)
    mean = np.empty(heads, np.float32)
    row, pair = 0, 0
    for g in range(len(groups)):
        n = groups[g, 0]
        for _ in range(groups[g, 1]):
            for i in range(row, row + n):
                mean[:] = 0
                for j in range(n):
                    for h in range(heads):
                        slope = np.float32(0)
                        for d in range(h * size, (h + 1) * size):
                            slope += gradient[i, d] * qkv[row + j, 2 * width + d]
                        weight = weights[pair + j, h]
                        slopes[j, h] = slope
                        mean[h] += weight * slope
                        spread[h * size : (h + 1) * size] = weight
                    for d in range(width):
                        of_qkv[row + j, 2 * width + d] += spread[d] * gradient[i, d]
                for j in range(n):
                    for h in range(heads):
                        of_logit = weights[pair + j, h] * (slopes[j, h] - mean[h])
                        of_bias[row + j, h] += of_logit
                        spread[h * size : (h + 1) * size] = of_logit * scale
                    for d in range(width):
                        of_qkv[i, d] += spread[d] * qkv[row + j, width + d]
                    for d in range(width):
                        of_qkv[row + j, width + d] += spread[d] * qkv[i, d]
                pair += n
            row += n


@vectorised
def _mean(groups, x, logits, weights, out):
    heads = logits.shape[1]
    size = x.shape[1] // heads
    weights[:] = logits
    row, one = 0, 0
    for g in range(len(groups)):
        n = groups[g, 0]
        for _ in range(groups[g, 1]):
            for h in range(heads):
                _softmax(weights, row, n, h)
                for j in range(row, row + n):
                    for d in range(h * size, (h + 1) * size):
                        out[one, d] += weights[j, h] * x[j, d]
            row += n
            one += 1


@vectorised
def _gradient_of_mean(groups, x, weights, gradient, of_x, of_logits):
    heads = weights.shape[1]
    size = x.shape[1] // heads
    row, one = 0, 0
    for g in range(len(groups)):
        n = groups[g, 0]
        for _ in range(groups[g, 1]):
            for h in range(heads):
                mean = np.float32(0)
                for j in range(row, row + n):
                    slope = np.float32(0)
                    for d in range(h * size, (h + 1) * size):
                        slope += gradient[one, d] * x[j, d]
                        of_x[j, d] = weights[j, h] * gradient[one, d]
                    of_logits[j, h] = slope
                    mean += weights[j, h] * slope
                for j in range(row, row + n):
                    of_logits[j, h] = weights[j, h] * (of_logits[j, h] - mean)
            row += n
            one += 1
