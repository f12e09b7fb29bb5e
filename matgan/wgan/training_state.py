"""Everything that a training step changes, and how it goes into a checkpoint and comes back."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import torch
from torch import nn

from matgan.wgan.checkpoint import part
from matgan.wgan.config import Config
from matgan.wgan.networks import build_critic, build_generator

LOG_EVERY = 100  # iterations; losses stay on the device until then


class State:
    """Everything that a step changes; all of it goes into a checkpoint."""

    def __init__(self, config: Config, device: torch.device):
        torch.manual_seed(config.seed)  # initial weights are drawn on the CPU on every machine
        # channels last: a quarter to a third less time for the deconvolutions on the CPU
        place: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
        self.generator = build_generator(config).to(**place)
        self.critic = build_critic(config).to(device)
        self.average = build_generator(config).to(**place) if config.average else None
        if self.average:
            self.average.load_state_dict(self.generator.state_dict())
        self.optimizers = {
            name: make_optimizer(config.optimizer, module.parameters(), lr, device)
            for name, module, lr in (
                ("generator", self.generator, config.generator_lr),
                ("critic", self.critic, config.critic_lr),
            )
        }
        self.rng = torch.Generator(device).manual_seed(config.seed)
        self.temperature = torch.ones((), device=device)  # of the Gumbel-softmax
        self.losses = torch.zeros(LOG_EVERY, 2, device=device)  # the latest, critic and generator
        self.iteration = 0
        self.best = float("inf")
        self.history: list[dict] = []
        self.snapshots: dict[str, list] = {"T": [], "amounts": [], "iteration": []}

    def set_learning_rates(self, generator: float, critic: float) -> None:
        """Change the rates of both optimisers, in place where they are tensors (CUDA)."""
        for name, rate in (("generator", generator), ("critic", critic)):
            for group in self.optimizers[name].param_groups:
                if torch.is_tensor(group["lr"]):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; the average only where there is one."""
        named = {"generator": self.generator, "critic": self.critic}
        return named | ({"average": self.average} if self.average else {})

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything as named arrays, for a checkpoint."""
        out = {"rng": self.rng.get_state(), "losses": self.losses}
        for name, module in self.modules.items():
            out |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                out |= {f"{name}-optimizer.{index}.{key}": v for key, v in state.items()}
        arrays = {name: value.detach().cpu().numpy() for name, value in out.items()}
        return arrays | {f"snapshots.{k}": np.stack(v) for k, v in self.snapshots.items() if v}

    def restore(self, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
        """The inverse of `tensors`."""
        for name, module in self.modules.items():
            module.load_state_dict(part(tensors, f"{name}."))
        for name, optimizer in self.optimizers.items():
            state: dict[int, dict] = {}
            for key, value in part(tensors, f"{name}-optimizer.").items():
                index, field = key.split(".")
                state.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self.rng.set_state(torch.from_numpy(tensors["rng"]))
        self.losses.copy_(torch.from_numpy(tensors["losses"]))
        self.iteration = int(metadata["iteration"])
        self.best = float(metadata["best"])
        self.history = json.loads(metadata["history"])
        self.snapshots = {key: list(tensors[f"snapshots.{key}"]) for key in self.snapshots}


def make_optimizer(name: str, parameters, lr: float, device: torch.device) -> torch.optim.Optimizer:
    """RMSProp (paper) or Adam with the betas of the published code; on CUDA fit for a graph."""
    graph = {}
    if device.type == "cuda":
        lr, graph = torch.tensor(lr, device=device), {"capturable": True}
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr, **graph)
    return torch.optim.Adam(parameters, lr, betas=(0.5, 0.9), **graph)


@contextlib.contextmanager
def batch_statistics(generator: nn.Module):
    """Batch normalisation by the batch itself, as in training, but without touching its averages.

    The running averages of an untrained generator are far from its activations.
    """
    norms = [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    tracked = [b for name, b in generator.named_buffers() if name.endswith("batches_tracked")]
    counts = [number.clone() for number in tracked]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for number, count in zip(tracked, counts, strict=True):
            number.copy_(count)
