"""Training of the pattern networks: seeded, resumable, one small loop for all of them.

Every step draws its own random numbers from (seed, step), so a run that was stopped and goes on
gives the same weights as one that was not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from matgan import files
from matgan.learning.compute import Diverged


@dataclass(frozen=True)
class Fit:
    """How a network is trained; one cycle of the learning rate over all steps (Smith 2018)."""

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 2e-3  # the highest of the cycle
    weight_decay: float = 1e-3  # AdamW (Loshchilov and Hutter 2019)
    label_smoothing: float = 0.05  # of the classifiers
    clip: float = 5.0  # largest norm of the gradient
    seed: int = 0


Batch = tuple[tuple[Tensor, ...], Tensor]  # what the network takes, and the targets


class Examples(Protocol):
    """Where batches come from: stored arrays, graphs, or patterns drawn anew each time."""

    @property
    def targets(self) -> np.ndarray: ...
    def __len__(self) -> int: ...
    def batch(self, rows: np.ndarray, seed: list[int]) -> Batch: ...


class Subset:
    """Some rows of a source."""

    def __init__(self, source: Examples, rows: np.ndarray):
        self.source, self.rows = source, np.asarray(rows)

    @property
    def targets(self) -> np.ndarray:
        return self.source.targets[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows, seed):
        return self.source.batch(self.rows[rows], seed)


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
) -> list[float]:
    """Train a network in place; returns the mean loss of each epoch that was finished.

    Parameters
    ----------
    network : its parameters are changed
    source : batches
    loss : called with the network's output, the targets and the inputs
    fit : all choices
    checkpoint : file that a stopped run goes on from (written every minute, removed at the end)
    progress : called with step, number of steps and the latest loss
    last_step : end after this step, in the middle of the cycle; 0: the whole cycle

    Raises
    ------
    Diverged
        The loss is no number any more.
    WeightsError
        The checkpoint is damaged or belongs to another network, other options or other data.
    """
    network.to(device).train()
    per_epoch = max(1, len(source) // fit.batch_size)
    n_steps = per_epoch * fit.epochs
    optimizer = torch.optim.AdamW(
        network.parameters(), fit.learning_rate, weight_decay=0.0, fused=True
    )
    # no decay of biases and normalisations: they are few and have a scale of their own
    optimizer.param_groups[0]["params"] = [p for p in network.parameters() if p.ndim > 1]
    optimizer.param_groups[0]["weight_decay"] = fit.weight_decay
    optimizer.add_param_group(
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0}
    )
    digest = hashlib.sha256(np.ascontiguousarray(source.targets).tobytes()).hexdigest()
    belongs = {"fit": json.dumps(dataclasses.asdict(fit)), "targets": digest}
    step, losses = _resume(checkpoint, network, optimizer, belongs)
    saved = time.monotonic()
    while step < (last_step or n_steps):
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([fit.seed, epoch]).permutation(len(source))
        rows = np.sort(order[place * fit.batch_size : (place + 1) * fit.batch_size])
        inputs, targets = source.batch(rows, [fit.seed, 1, step])
        inputs = tuple(tensor.to(device) for tensor in inputs)
        torch.manual_seed(fit.seed * 1_000_003 + step)  # dropout and latent noise
        for group in optimizer.param_groups:
            group["lr"] = fit.learning_rate * cycle(step / n_steps)
        value = loss(network(*inputs), targets.to(device), inputs)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), fit.clip)
        optimizer.step()
        losses.append(float(value.detach()))
        step += 1
        if not np.isfinite(losses[-1]):
            raise Diverged(f"the loss became {losses[-1]} at step {step}: lower the learning rate")
        if progress:
            progress(step, n_steps, losses[-1])
        if checkpoint and time.monotonic() - saved > 60:
            _save(checkpoint, network, optimizer, belongs, step, losses)
            saved = time.monotonic()
    if checkpoint:
        Path(checkpoint).unlink(missing_ok=True)
    network.eval()
    finished = len(losses) // per_epoch
    return np.array(losses[: finished * per_epoch]).reshape(-1, per_epoch).mean(1).tolist()


def cycle(done: float) -> float:
    """Share of the highest learning rate: up over the first fifth, then down as a cosine."""
    if done < 0.2:
        return 0.05 + 0.95 * done / 0.2
    return 0.5 * (1 + float(np.cos(np.pi * (done - 0.2) / 0.8))) + 1e-3


def _save(path, network, optimizer, belongs, step, losses) -> None:
    tensors = {f"network.{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v.cpu().numpy() for k, v in state.items()}
    tensors["losses"] = np.array(losses)
    files.save(path, tensors, belongs | {"step": str(step)})


def _resume(path, network, optimizer, belongs) -> tuple[int, list[float]]:
    if not path or not Path(path).is_file():
        return 0, []
    tensors, facts = files.load(path)
    shapes = {f"network.{k}": tuple(v.shape) for k, v in network.state_dict().items()}
    found = {k: v.shape for k, v in tensors.items() if k.startswith("network.")}
    if {name: facts.get(name) for name in belongs} != belongs or shapes != found:
        raise files.WeightsError(
            f"{path} belongs to another network, other options or other data: remove it to start "
            "anew"
        )
    load_tensors(network, tensors, "network.")
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".")
            state.setdefault(int(i), {})[key] = torch.from_numpy(tensor)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(facts["step"]), tensors["losses"].tolist()


def load_tensors(network: nn.Module, tensors: dict[str, np.ndarray], prefix: str = "") -> None:
    """Fill a network with named arrays."""
    names = network.state_dict()
    network.load_state_dict({k: torch.from_numpy(tensors[prefix + k]) for k in names})


@torch.no_grad()
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


def top_k(logits: np.ndarray, classes: np.ndarray, k: int = 1) -> float:
    """Share of rows whose class is among the k largest logits; of equal ones the first counts."""
    own = logits[np.arange(len(logits)), classes][:, None]
    first = np.arange(logits.shape[1]) < classes[:, None]
    return float((((logits > own) | ((logits == own) & first)).sum(1) < k).mean())
