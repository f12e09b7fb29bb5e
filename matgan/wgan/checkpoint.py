"""What a training run reads and leaves behind: its data, its weights, its history."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from matgan import files
from matgan.chemistry.elements import ELEMENTS
from matgan.wgan.config import Config
from matgan.wgan.networks import ConvolutionalCritic, Critic, build_critic, build_generator


class Mismatch(ValueError):
    """A finished run or checkpoint that belongs to another configuration or other data."""


@dataclass(frozen=True)
class TrainingData:
    """Integer amounts of the training and test compositions, (n, 85) uint8 each."""

    train: np.ndarray
    test: np.ndarray

    @property
    def hash(self) -> str:
        """SHA-256 of both parts: which data a run was trained on."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def save_training_data(path: str | Path, data: TrainingData) -> None:
    """Write both parts and the elements to one .npz file, for a machine without the sources."""
    with files.atomic_file(path) as file:
        np.savez_compressed(file, train=data.train, test=data.test, elements=np.array(ELEMENTS))


def load_training_data(path: str | Path) -> TrainingData:
    """Read what `save_training_data` wrote; ValueError if it is something else."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no file {path}; notebook 1 writes runs/PROFILE/data/*.npz"
        )
    with np.load(path, allow_pickle=False) as file:
        if missing := {"train", "test", "elements"} - set(file.files):
            raise ValueError(f"{path} lacks {', '.join(sorted(missing))}")
        if tuple(file["elements"]) != ELEMENTS:
            raise ValueError(f"{path} was written for other elements than matgan.ELEMENTS")
        return TrainingData(file["train"], file["test"])


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
    weights.WeightsError
        A file is damaged.
    """
    folder = Path(folder)
    snapshots, metadata = files.load(folder / "snapshots.safetensors")
    check(folder, metadata, config, data_hash)
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    history = [{k: (int if k == "iteration" else float)(v) for k, v in r.items()} for r in rows]
    trained = Config.from_json(metadata["config"])
    generator, critic = load_networks(folder / "weights.safetensors")
    return TrainedRun(trained, metadata["data"], generator, critic, history, snapshots)


def load_networks(path: str | Path) -> tuple[nn.Module, Critic | ConvolutionalCritic]:
    """Generator and critic of a weights file, on the CPU, in evaluation mode.

    Raises
    ------
    FileNotFoundError
    weights.WeightsError
        The file is damaged, or its tensors do not fit its own configuration.
    """
    tensors, metadata = files.load(path)
    if "config" not in metadata:
        raise files.WeightsError(f"{path} has no configuration in its metadata")
    if tuple(metadata.get("elements", "").split()) != ELEMENTS:
        raise files.WeightsError(f"{path} was written for other elements than matgan.ELEMENTS")
    config = Config.from_json(metadata["config"])
    with torch.random.fork_rng(devices=[]):  # the initial weights that are replaced at once
        generator, critic = build_generator(config), build_critic(config)
    try:
        generator.load_state_dict(part(tensors, "generator."))
        critic.load_state_dict(part(tensors, "critic."))
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise files.WeightsError(f"{path} does not fit its configuration: {problem}") from None
    return generator.eval(), critic.eval()


def check(
    path: Path, metadata: dict[str, str], config: Config | None, data_hash: str | None
) -> None:
    """Mismatch if a file belongs to another configuration or other data."""
    theirs = Config.from_json(metadata["config"])
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


def part(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with a prefix, without it."""
    return {
        key.removeprefix(prefix): torch.from_numpy(value)
        for key, value in tensors.items()
        if key.startswith(prefix)
    }


def write_history(path: Path, history: list[dict]) -> None:
    """The looks at the test set as CSV, one row each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]))
    writer.writeheader()
    writer.writerows(history)
    with files.atomic_file(path) as file:
        file.write(text.getvalue().encode())
