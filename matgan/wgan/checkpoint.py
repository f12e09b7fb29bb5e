"""What a training run reads and leaves behind: its data, its weights, its history."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matgan import files
from matgan.chemistry.elements import ELEMENTS
from matgan.learning.checkpoint import Part, check_finite, check_fit, from_arrays, to_arrays
from matgan.wgan.config import Config, ConfigError
from matgan.wgan.networks import ConvolutionalCritic, Critic, build_critic, build_generator


class Mismatch(ValueError):
    """A finished run or checkpoint that belongs to another configuration or other data."""


@dataclass
class TrainedRun:
    """A finished training run, as `train` returns it and `load_run` reads it.

    generator : on the CPU, in evaluation mode; the moving average where the configuration has one
    critic : on the CPU, in evaluation mode
    history : list of dicts, one for each look at the test set (columns of history.csv)
    snapshots : {"T": (m, 85, d), "amounts": (m, 64, 85), "iteration": (m,)} arrays
    """

    config: Config
    data_hash: str
    generator: nn.Module
    critic: Critic | ConvolutionalCritic
    history: list[dict]
    snapshots: dict[str, np.ndarray]


def load_run(
    folder: str | Path, config: Config | None = None, data_hash: str | None = None
) -> TrainedRun:
    """Read the finished run in a folder.

    Parameters
    ----------
    folder : what `train` was given as `out`
    config, data_hash : what the run must have been trained with; None: anything

    Raises
    ------
    FileNotFoundError
        No finished run is there.
    Mismatch
        It was trained with another configuration or on other data; names the fields.
    matgan.files.WeightsError
        A file is damaged.
    """
    folder = Path(folder)
    snapshots, metadata = files.load(folder / "snapshots.safetensors")
    check(folder, metadata, config, data_hash)
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    history = [{k: (int if k == "iteration" else float)(v) for k, v in r.items()} for r in rows]
    config, generator, critic = load_networks(folder / "weights.safetensors")
    return TrainedRun(config, metadata.get("data", ""), generator, critic, history, snapshots)


def load_networks(path: str | Path) -> tuple[Config, nn.Module, Critic | ConvolutionalCritic]:
    """Configuration, generator and critic of a weights file, on the CPU, in evaluation mode.

    Raises
    ------
    FileNotFoundError
    matgan.files.WeightsError
        The file is damaged, its tensors do not fit its own configuration, or one is not finite.
    """
    tensors, metadata = files.load(path)
    if tuple(metadata.get("elements", "").split()) != ELEMENTS:
        raise files.WeightsError(f"{path} was written for other elements than matgan.ELEMENTS")
    config = config_in(path, metadata)
    check_finite(tensors, path)
    try:
        with torch.device("meta"):  # without memory: the configuration may ask for any size
            check_fit(_networks(config), tensors, path)
    except (RuntimeError, TypeError, OverflowError) as error:
        raise files.WeightsError(f"{path} asks for networks that cannot be: {error}") from error
    with torch.random.fork_rng(devices=[]):  # the initial weights that are replaced at once
        networks = _networks(config)
    from_arrays(networks, tensors, path)
    return config, networks["generator"].eval(), networks["critic"].eval()


def _networks(config: Config) -> dict[str, Any]:
    return {"generator": build_generator(config), "critic": build_critic(config)}


def config_in(path: str | Path, metadata: dict[str, str]) -> Config:
    """The configuration in a file's metadata; WeightsError where there is none."""
    if "config" not in metadata:
        raise files.WeightsError(f"{path} has no configuration in its metadata")
    try:
        return Config.from_json(metadata["config"])
    except ConfigError as error:
        raise files.WeightsError(f"{path} holds no sound configuration: {error}") from error


def check(
    path: Path, metadata: dict[str, str], config: Config | None, data_hash: str | None
) -> None:
    """Mismatch if a file belongs to another configuration or other data."""
    theirs = config_in(path, metadata)
    if config is not None and theirs != config:
        changed = [
            f"{name} = {value!r} there, {getattr(config, name)!r} here"
            for name, value in vars(theirs).items()
            if value != getattr(config, name)
        ]
        raise Mismatch(f"{path} belongs to another configuration: {'; '.join(changed)}")
    if data_hash is not None and metadata.get("data") != data_hash:
        raise Mismatch(
            f"{path} was trained on other data: hash {metadata.get('data')} there, {data_hash} here"
        )


def write_history(path: Path, history: list[dict]) -> None:
    """The looks at the test set as CSV, one row each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]))
    writer.writeheader()
    writer.writerows(history)
    with files.atomic_file(path) as file:
        file.write(text.getvalue().encode())


# --- all that a training step changes -------------------------------------------------------------


_GENERATOR_BYTES = {16, 5056}  # states of torch's generators on CUDA and on the CPU
LOG_EVERY = 100  # iterations; losses stay on the device until then


class State:
    """Everything that a step changes; all of it goes into a checkpoint."""

    def __init__(self, config: Config, device: torch.device):
        self.seed = config.seed
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
    def parts(self) -> dict[str, Part]:
        """Networks and optimisers by name; the average only where there is one."""
        named: dict[str, Part] = {"generator": self.generator, "critic": self.critic}
        if self.average:
            named["average"] = self.average
        return named | {f"{name}-optimizer": o for name, o in self.optimizers.items()}

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything as named arrays, for a checkpoint."""
        own = {"rng": self.rng.get_state().numpy(), "losses": self.losses.cpu().numpy()}
        kept = {f"snapshots.{key}": np.stack(v) for key, v in self.snapshots.items() if v}
        return own | to_arrays(self.parts) | kept

    def restore(self, path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
        """The inverse of `tensors`; WeightsError where they do not fit, with the file's path."""
        from_arrays(self.parts, tensors, path)
        try:
            self.losses.copy_(torch.from_numpy(tensors["losses"]))
            self.iteration = int(metadata["iteration"])
            self._go_on_drawing(torch.from_numpy(tensors["rng"]))
            self.best = float(metadata["best"])
            self.history = json.loads(metadata["history"])
            self.snapshots = {key: list(tensors[f"snapshots.{key}"]) for key in self.snapshots}
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise files.WeightsError(f"{path} is no whole checkpoint: {error!r}") from error

    def _go_on_drawing(self, drawn_from: torch.Tensor) -> None:
        """From a generator's state; where it is that of another kind of device, from a new seed."""
        here = len(self.rng.get_state())
        if len(drawn_from) in _GENERATOR_BYTES - {here}:
            self.rng.manual_seed(self.seed + self.iteration)
        else:
            self.rng.set_state(drawn_from)


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
