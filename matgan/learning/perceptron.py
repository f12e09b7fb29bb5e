"""Fully connected networks of one shape, trained side by side as one batched model.

The backward pass is written out, and all of its arrays are allocated once: for networks this small
autograd takes half again as long (`benchmarks/bench_regression.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

CHUNK = 2**24  # numbers in the widest layer's output while predicting
WARM_UP = 0.2  # share of the steps in which the learning rate rises


@dataclass(frozen=True)
class Training:
    """How a network is built and trained."""

    hidden: tuple[int, ...]  # widths of the hidden layers; ReLU after each
    dropout: tuple[float, ...]  # share of each hidden layer's outputs set to 0 while training
    loss: str  # "mae" or "mse", of the scaled target
    learning_rate: float  # the largest, see `learning_rate_at`
    epochs: int
    batch_size: int
    patience: int  # epochs without a better validation loss before a network counts as finished


@dataclass(frozen=True)
class Scaling:
    """Inputs (x - shift) * scale and target (y - middle) / spread of each of R networks."""

    shift: np.ndarray  # (R, d)
    scale: np.ndarray  # (R, d)
    middle: np.ndarray  # (R,)
    spread: np.ndarray  # (R,)


@dataclass
class Trained:
    """R trained networks."""

    weights: list[np.ndarray]  # (R, inputs, outputs) of each layer, float32
    biases: list[np.ndarray]  # (R, 1, outputs) of each layer
    best_epoch: list[int]  # the epoch whose weights these are; 0: the untrained ones
    history: list[dict]  # network, epoch, train_loss, validation_loss and what was watched


def initial(sizes: list[int], seeds: list[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Weights by He et al. (2015) for ReLU, biases 0; network r depends on seed r alone."""
    weights = [torch.empty(len(seeds), a, b) for a, b in pairwise(sizes)]
    for r, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        for weight in weights:
            weight[r].normal_(0, math.sqrt(2 / weight.shape[1]), generator=generator)
    return weights, [torch.zeros(len(seeds), 1, b) for b in sizes[1:]]


def forward(weights, biases, x: Tensor) -> list[Tensor]:
    """Outputs of every layer for x (R, n, inputs); the last one is (R, n, 1), without ReLU."""
    outputs = []
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias, x, weight)  # (R, n, outputs)
        if layer < len(weights) - 1:
            x.relu_()
        outputs.append(x)
    return outputs


class Networks:
    """R networks in training: weights, gradients, and the arrays of a step on one batch."""

    def __init__(self, sizes: list[int], seeds: list[int], batch: int, device: str):
        parts = [p.to(device) for ps in initial(sizes, seeds) for p in ps]
        # one vector of all numbers, so that a step of Adam is one call
        self.vector = torch.cat([p.flatten() for p in parts])
        self.vector.grad = torch.zeros_like(self.vector)
        sizes_of = [p.numel() for p in parts]
        self.parameters, gradients = (
            [v.view(p.shape) for v, p in zip(vector.split(sizes_of), parts, strict=True)]
            for vector in (self.vector, self.vector.grad)
        )
        n = len(sizes) - 1
        self.weights, self.biases = self.parameters[:n], self.parameters[n:]
        self.of_weights, self.of_biases = gradients[:n], gradients[n:]
        # outputs[0] is the input; slopes[i] is the gradient with respect to outputs[i]
        self.outputs, self.slopes = (
            [torch.empty(len(seeds), batch, size, device=device) for size in sizes] for _ in "12"
        )

    def predict(self, dropout: tuple[float, ...], noise: torch.Generator) -> Tensor:
        """(R, batch) outputs for the inputs in `outputs[0]`, with dropout."""
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = torch.baddbmm(bias, self.outputs[layer], weight, out=self.outputs[layer + 1])
            if layer < last:
                out.relu_()
                if dropout[layer] > 0:
                    keep = 1 - dropout[layer]
                    drawn = torch.rand(out.shape, generator=noise, device=out.device)
                    out.mul_(drawn < keep).div_(keep)
        return self.outputs[-1][..., 0]

    def backward(self, slope: Tensor, dropout: tuple[float, ...]) -> None:
        """Gradients of every weight after `predict`, from that of the loss (R, batch)."""
        self.slopes[-1].copy_(slope[..., None])
        for layer in reversed(range(len(self.weights))):
            slope, x = self.slopes[layer + 1], self.outputs[layer]
            torch.bmm(x.transpose(1, 2), slope, out=self.of_weights[layer])
            torch.sum(slope, 1, keepdim=True, out=self.of_biases[layer])
            if layer:
                below = self.slopes[layer]
                torch.bmm(slope, self.weights[layer].transpose(1, 2), out=below)
                # an output is 0 where ReLU or dropout stopped it: no gradient passes there
                torch.ops.aten.threshold_backward(below, x, 0, grad_input=below)
                if dropout[layer - 1] > 0:
                    below.div_(1 - dropout[layer - 1])


class _Data:
    """Features and targets on the device, scaled for each network."""

    def __init__(self, X: np.ndarray, y: np.ndarray, scaling: Scaling, device: str):
        self.scaling = scaling
        self.features = torch.tensor(X, dtype=torch.float32, device=device)  # (n, d), a copy
        self.shift, self.scale = (
            torch.as_tensor(a, dtype=torch.float32, device=device)[:, None]
            for a in (scaling.shift, scaling.scale)
        )  # (R, 1, d)
        # scaled in float64, so that a large offset costs no digits
        target = (y - scaling.middle[:, None]) / scaling.spread[:, None]
        self.target = torch.as_tensor(target, dtype=torch.float32, device=device)  # (R, n)

    def inputs(self, index: Tensor, out: Tensor) -> None:
        """(R, batch, d) from the row numbers (R, batch), into `out`."""
        for r, rows in enumerate(index):
            torch.index_select(self.features, 0, rows, out=out[r])
        out.sub_(self.shift).mul_(self.scale)

    def outputs(self, weights, biases, r: int, rows: Tensor) -> Tensor:
        """(n_r,) scaled predictions of network r."""
        weights, biases = ([p[r : r + 1] for p in ps] for ps in (weights, biases))
        step = max(1, CHUNK // max(w.shape[2] for w in weights))
        parts = []
        for chunk in rows.split(step):
            x = (self.features[chunk] - self.shift[r]) * self.scale[r]
            parts.append(forward(weights, biases, x[None])[-1][0, :, 0])
        return torch.cat(parts)


def _losses(out: Tensor, target: Tensor, loss: str) -> Tensor:
    error = out - target
    return (error.abs() if loss == "mae" else error.square()).mean(dim=-1)


def _slopes(out: Tensor, target: Tensor, loss: str) -> Tensor:
    """Gradient of each network's `_losses` with respect to its outputs, (R, n)."""
    error = out - target
    return (error.sign() if loss == "mae" else 2 * error) / error.shape[-1]


def _shuffled(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n row numbers: all of them in random order, then the first ones of that order again."""
    order = rows[torch.randperm(len(rows), generator=generator)]
    return order.repeat(math.ceil(n / len(rows)))[:n]


def learning_rate_at(step: int, steps: int, largest: float) -> float:
    """Rises in a line over the first fifth of the steps, then falls to 0 along half a cosine.

    With a rise a few epochs can be made at twice to three times the rate without diverging.
    """
    rise = WARM_UP * steps
    if step < rise:
        return largest * (step + 1) / (rise + 1)
    return largest * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


@torch.no_grad()
def train(
    X: np.ndarray,
    y: np.ndarray,
    rows: list[np.ndarray],
    validation: list[np.ndarray] | None,
    scaling: Scaling,
    how: Training,
    seeds: list[int],
    device: str,
    watch: list[np.ndarray] | None = None,
    report: Callable[[int, np.ndarray], dict] | None = None,
) -> Trained:
    """Train R networks, each on its own rows of the same data, by minibatch Adam.

    The data are moved to the device once. Of every network the weights of the epoch with the
    lowest validation loss are kept.

    Parameters
    ----------
    X : (n, d) array
    y : (n,) array
    rows : R arrays of row numbers to train on
    validation : R arrays of row numbers to choose the epoch by, or None: keep the last epoch
    scaling : of each network
    how : the same for all of them
    seeds : R; network r depends on seeds[r] and its own rows only, up to rounding (but with
        dropout, and where the numbers of rows differ, on the others too)
    device : "cpu" or "cuda"
    watch : R arrays of rows to predict after every epoch, for the history only
    report : what to note of them, from r and the scaled predictions of network r for watch[r]
    """
    R, longest = len(rows), max(len(r) for r in rows)
    batch = min(how.batch_size, longest)
    steps = math.ceil(longest / batch)
    data = _Data(X, y, scaling, device)
    rows = [torch.as_tensor(r) for r in rows]
    if validation is not None:
        validation = [torch.as_tensor(r, device=device) for r in validation]

    networks = Networks([X.shape[1], *how.hidden, 1], seeds, batch, device)
    weights, biases, parameters = networks.weights, networks.biases, networks.parameters
    optimizer = torch.optim.Adam([networks.vector], lr=how.learning_rate, fused=True)
    step, all_steps = 0, how.epochs * steps
    shuffle = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = torch.Generator(device).manual_seed(seeds[0])  # of the dropout

    def validation_losses() -> list[float]:
        if validation is None:
            return [math.nan] * R
        outputs = [data.outputs(weights, biases, r, validation[r]) for r in range(R)]
        targets = [data.target[r, validation[r]] for r in range(R)]
        losses = [_losses(o, t, how.loss) for o, t in zip(outputs, targets, strict=True)]
        return torch.stack(losses).tolist()

    best = [p.clone() for p in parameters]
    best_loss, best_epoch = validation_losses(), [0] * R
    history: list[dict] = []
    active = list(range(R))
    for epoch in range(1, how.epochs + 1):
        order = [_shuffled(r, batch * steps, g) for r, g in zip(rows, shuffle, strict=True)]
        order = torch.stack(order).to(device)  # (R, batch * steps)
        total = torch.zeros(R, device=device)
        for index in order.split(batch, dim=1):  # (R, batch)
            data.inputs(index, networks.outputs[0])
            out = networks.predict(how.dropout, noise)
            target = data.target.gather(1, index)
            total += _losses(out, target, how.loss)
            # no network's gradient depends on another's loss
            networks.backward(_slopes(out, target, how.loss), how.dropout)
            optimizer.param_groups[0]["lr"] = learning_rate_at(step, all_steps, how.learning_rate)
            optimizer.step()
            step += 1
        train_loss, losses = (total / steps).tolist(), validation_losses()
        for r in active:
            row = {"network": r, "epoch": epoch, "train_loss": train_loss[r]}
            row["validation_loss"] = losses[r]
            if watch is not None and report is not None:
                seen = torch.as_tensor(watch[r], device=device)
                row |= report(r, data.outputs(weights, biases, r, seen).cpu().numpy())
            history.append(row)
            if validation is None or losses[r] < best_loss[r]:
                best_loss[r], best_epoch[r] = losses[r], epoch
                for kept, p in zip(best, parameters, strict=True):
                    kept[r] = p[r]
        if validation is not None:
            active = [r for r in active if epoch - best_epoch[r] < how.patience]
        if not active:
            break
    arrays = [p.cpu().numpy() for p in best]
    return Trained(arrays[: len(weights)], arrays[len(weights) :], best_epoch, history)
