"""What a WGAN learns from: integer amounts of training and test compositions, in one file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matgan import files
from matgan.chemistry.elements import ELEMENTS


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
