"""Training of networks: seeded, resumable, one small loop for compositions, patterns and graphs.

Every step draws its own random numbers from (seed, step), so a run that was stopped and goes on
gives the same weights as one that was not.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from matgan import files
from matgan.learning.checkpoint import Part, from_arrays, to_arrays
from matgan.learning.compute import (
    Diverged,
    Precision,
    deferred_interrupt,
    follow,
    learning_rate,
    subnormals_as_zero,
)
from matgan.learning.cuda_graph import by_graph, set_rate

_CHECKPOINT_SECONDS = 60


@dataclass(frozen=True)
class Fit:
    """How a network is trained; one cycle of the learning rate over all steps (Smith 2018).

    Raises ValueError for a value that makes no sense.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 2e-3  # the highest of the cycle
    weight_decay: float = 1e-3  # AdamW (Loshchilov and Hutter 2019)
    label_smoothing: float = 0.05  # of the classifiers
    clip: float = 5.0  # largest norm of the gradient
    # decay of a moving average of the weights, which the network has at the end; 0: none
    average: float = 0.0
    # "bfloat16": of the matrix products; weights and losses stay float32
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch_size": 1, "seed": 0}.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must not be negative: {self.weight_decay}")
        for name in ("label_smoothing", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"precision must be one of {', '.join(get_args(Precision))}, not {self.precision!r}"
            )


Batch = tuple[tuple[Tensor, ...], Tensor]  # what the network takes, and the targets


class Examples(Protocol):
    """Where batches come from: stored arrays, graphs, or patterns drawn anew each time."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray, seed: list[int]) -> Batch:
        """What the network takes and the targets of some rows; the seed is for what is drawn."""

    def content(self) -> Iterable[object]:
        """Arrays, and what has a `repr`, that batches are made of: tells sources apart."""


class ArrayExamples:
    """Stored inputs and targets: see `Examples`.

    Parameters
    ----------
    x : (n, …) what the network takes
    y : (n, …) targets
    """

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, rows, seed):
        """See `Examples`."""
        return (torch.from_numpy(self.x[rows]),), torch.from_numpy(self.y[rows])

    def content(self):
        """See `Examples`."""
        return [self.x, self.y]


class Subset:
    """Some rows of a source."""

    def __init__(self, source: Examples, rows: np.ndarray):
        self.source, self.rows = source, np.asarray(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows, seed):
        """See `Examples`."""
        return self.source.batch(self.rows[rows], seed)

    def content(self):
        """See `Examples`."""
        return [*self.source.content(), self.rows]


Loss = Callable[..., Tensor]  # loss(output of the network, targets, inputs) -> scalar


def classification_loss(labels: tuple[str, ...], smoothing: float = 0.0) -> Loss:
    """Sum of the cross-entropies of the heads; the targets are (B, labels) classes."""

    def loss(logits: dict[str, Tensor], classes: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        losses = (
            functional.cross_entropy(logits[name], classes[:, i], label_smoothing=smoothing)
            for i, name in enumerate(labels)
        )
        return sum(losses, start=torch.zeros(()))

    return loss


def regression_loss(output: dict[str, Tensor], values: Tensor, inputs) -> Tensor:
    """Mean absolute error of the head "value"; the targets are (B,) or (B, properties)."""
    return functional.l1_loss(output["value"], values.reshape(len(values), -1))


def train(
    network: nn.Module,
    source: Examples,
    loss: Loss,
    fit: Fit,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    device: str = "cpu",
    last_step: int = 0,
    same_shapes: bool = False,
) -> list[float]:
    """Train a network in place; returns the mean loss of each epoch that was finished.

    Parameters
    ----------
    network : its parameters are changed
    source : batches
    loss : called with the network's output, the targets and the inputs
    fit : all choices
    checkpoint : file that a stopped run goes on from (written every minute and at Ctrl-C, removed
        at the end), where it belongs to the same source, choices, loss and starting weights
    progress : called with step, number of steps and the latest loss
    device : "cpu" or "cuda"
    last_step : end after this step, in the middle of the cycle; 0: the whole cycle
    same_shapes : whether all batches have the same shapes: then a step on a CUDA device is a graph

    Raises
    ------
    ValueError
        `last_step` is negative, or there are no examples.
    Diverged
        The loss is no number any more.
    WeightsError
        The checkpoint is damaged or belongs to another run; says what is different.
    BusyError
        Another training keeps its checkpoint in the same folder.
    KeyboardInterrupt
        After Ctrl-C, once the step is done and the checkpoint written.
    """
    if last_step < 0:
        raise ValueError(f"the last step must be 0 or more, not {last_step}")
    if not len(source):
        raise ValueError("there are no examples to learn from")
    # one training at a time: two would overwrite each other's checkpoint
    alone = files.locked(Path(checkpoint).parent) if checkpoint else contextlib.nullcontext()
    with alone, _tensor_cores(device), subnormals_as_zero():
        network.to(device).train()
        per_epoch = max(1, len(source) // fit.batch_size)
        n_steps = per_epoch * fit.epochs
        optimizer = _optimizer(network, fit, device)
        parts: dict[str, Part] = {"network": network, "optimizer": optimizer}
        average = copy.deepcopy(network) if fit.average else None
        if average is not None:
            parts["average"] = average
        belongs: dict[str, str] = {}
        losses: list[float] = []
        step = 0
        if checkpoint:
            belongs = {
                "options": json.dumps(dataclasses.asdict(fit)),
                "loss": getattr(loss, "__qualname__", repr(loss)),
                "examples": content_hash(source.content()),
                "starting weights": content_hash(to_arrays({"network": network}).items()),
            }
            step, losses = _resume(checkpoint, parts, belongs)
        update = partial(_update, network, loss, fit, optimizer, device)
        if same_shapes and device == "cuda":
            update = by_graph(update, torch.cuda.default_generators[torch.cuda.current_device()])
        saved, end = time.monotonic(), last_step or n_steps
        with deferred_interrupt() as interrupted:
            while step < end:
                batch = _batch(source, fit, step, per_epoch)
                torch.manual_seed(fit.seed * 1_000_003 + step)  # dropout and latent noise
                set_rate(optimizer, fit.learning_rate * learning_rate("one-cycle", step, n_steps))
                value = update(*(tensor.to(device) for tensor in batch))
                step += 1
                if average is not None:
                    follow(average, network, min(fit.average, step / (step + 10)))
                losses.append(float(value))  # waits for the device
                if not math.isfinite(losses[-1]):
                    raise Diverged(
                        f"the loss became {losses[-1]} at step {step}: lower the learning rate"
                    )
                if progress:
                    progress(step, n_steps, losses[-1])
                stop = interrupted() and step < end
                if checkpoint and (stop or time.monotonic() - saved > _CHECKPOINT_SECONDS):
                    tensors = to_arrays(parts) | {"losses": np.array(losses)}
                    files.save(checkpoint, tensors, belongs | {"step": str(step)})
                    saved = time.monotonic()
                if stop:
                    after = "run again to go on from there" if checkpoint else "nothing is kept"
                    raise KeyboardInterrupt(f"stopped at step {step} of {end}; {after}")
        if checkpoint:
            Path(checkpoint).unlink(missing_ok=True)
        if average is not None:
            network.load_state_dict(average.state_dict())
        network.eval()
        finished = len(losses) // per_epoch
        return np.array(losses[: finished * per_epoch]).reshape(-1, per_epoch).mean(1).tolist()


@contextlib.contextmanager
def _tensor_cores(device: str) -> Iterator[None]:
    """float32 products of a CUDA device with 10 bits behind the point, several times as fast."""
    before = torch.get_float32_matmul_precision()
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _optimizer(network: nn.Module, fit: Fit, device: str) -> torch.optim.AdamW:
    # no decay of biases and normalisations: they are few and have a scale of their own
    groups: list[dict] = [
        {"params": [p for p in network.parameters() if p.ndim > 1]},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    on_device = device == "cuda"  # the rate is a tensor there, which a graph reads
    rate = torch.tensor(fit.learning_rate, device=device) if on_device else fit.learning_rate
    return torch.optim.AdamW(
        groups, rate, weight_decay=fit.weight_decay, fused=True, capturable=on_device
    )


def _batch(source: Examples, fit: Fit, step: int, per_epoch: int) -> tuple[Tensor, ...]:
    """Inputs and, behind them, targets of a step."""
    epoch, place = divmod(step, per_epoch)
    order = _order(fit.seed, epoch, len(source))
    rows = np.sort(order[place * fit.batch_size : (place + 1) * fit.batch_size])
    inputs, targets = source.batch(rows, [fit.seed, 1, step])
    return *inputs, targets


def _update(network, loss, fit: Fit, optimizer, device: str, *batch: Tensor) -> Tensor:
    """One step; returns its loss."""
    *inputs, targets = batch
    with torch.autocast(device, torch.bfloat16, enabled=fit.precision == "bfloat16"):
        found = network(*inputs)
    found = {name: output.float() for name, output in found.items()}
    value = loss(found, targets, tuple(inputs))
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), fit.clip)
    optimizer.step()
    return value.detach()


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of n examples in an epoch; of 300,000 it takes as long as a step."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def content_hash(content: Iterable[object]) -> str:
    """SHA-256 of arrays, by their bytes, types and shapes, and of anything else by its `repr`."""
    found = hashlib.sha256()
    for part in content:
        if isinstance(part, tuple):
            part = content_hash(part)
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).data)
        else:
            found.update(f"{part!r};".encode())
    return found.hexdigest()


def _resume(path, parts: dict, belongs: dict[str, str]) -> tuple[int, list[float]]:
    if not Path(path).is_file():
        return 0, []
    tensors, facts = files.load(path)
    if other := [name for name in belongs if facts.get(name) != belongs[name]]:
        raise files.WeightsError(
            f"{path} belongs to a run with other {', '.join(other)}: remove it to start anew"
        )
    from_arrays(parts, tensors, path)
    return int(facts["step"]), tensors["losses"].tolist()


@torch.no_grad()
@subnormals_as_zero()
def outputs(network: nn.Module, source: Examples, seed: int = 0, batch_size: int = 256) -> dict:
    """{head: (n, outputs) float32 array} for all rows of a source, in order.

    What a source draws is the same for the same seed.
    """
    network.eval()
    device = next(network.parameters()).device
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(source), batch_size):
        rows = np.arange(start, min(start + batch_size, len(source)))
        inputs, _ = source.batch(rows, [seed, 2, start])
        found = network(*(tensor.to(device) for tensor in inputs))
        parts.append({k: v.cpu().numpy() for k, v in found.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
