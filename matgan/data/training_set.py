"""What a WGAN learns from: integer amounts of training and test compositions, in one file."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matgan import files
from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS

_MOST = 8  # atoms of an element in a formula: columns of the paper's matrix


@dataclass(frozen=True)
class TrainingData:
    """Integer amounts of the training and test compositions.

    Attributes
    ----------
    train, test : (n, 85) uint8 arrays; whole numbers of another type are converted

    Raises
    ------
    ValueError
        Of another shape, no numbers, an amount that is not a whole number from 0 to 8, or a row
        without an element; names the part, the row and the element.
    """

    train: np.ndarray
    test: np.ndarray

    def __post_init__(self):
        for part in ("train", "test"):
            object.__setattr__(self, part, _counts(part, getattr(self, part)))

    @property
    def hash(self) -> str:
        """SHA-256 of both parts: which data a run was trained on."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def shared(self) -> int:
        """How many of the test compositions are training compositions, too."""
        train, test = (
            np.ascontiguousarray(part).view(f"V{N_ELEMENTS}").ravel()
            for part in (self.train, self.test)
        )
        return int(np.isin(test, train).sum())


def save_training_data(path: str | Path, data: TrainingData) -> None:
    """Write both parts and the elements to one .npz file, for a machine without the sources."""
    with files.atomic_file(path) as file:
        np.savez_compressed(file, train=data.train, test=data.test, elements=np.array(ELEMENTS))


def load_training_data(path: str | Path) -> TrainingData:
    """Read what `save_training_data` wrote; warns where test compositions are training ones.

    Raises
    ------
    FileNotFoundError
    ArraysError
        Something else, or damaged; names the file, and the row where an amount is wrong.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no file {path}; notebook 1 writes runs/PROFILE/data/*.npz"
        )
    arrays = files.load_arrays(path, ["train", "test", "elements"])
    if arrays["elements"].tolist() != list(ELEMENTS):
        raise files.ArraysError(f"{path} was written for other elements than matgan.ELEMENTS")
    try:
        data = TrainingData(arrays["train"], arrays["test"])
    except ValueError as error:
        raise files.ArraysError(f"{path}: {error}") from error
    if shared := data.shared():
        warnings.warn(
            f"{path}: {shared:,} of {len(data.test):,} test compositions are training "
            "compositions, too; the losses on them say nothing about new ones",
            stacklevel=2,
        )
    return data


def _counts(part: str, values: np.ndarray) -> np.ndarray:
    """One part as uint8, checked."""
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != N_ELEMENTS:
        raise ValueError(f"{part} has the shape {values.shape}, (n, {N_ELEMENTS}) is needed")
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{part} holds {values.dtype}, not numbers")
    wrong = ~((values >= 0) & (values <= _MOST))  # NaN, too
    if values.dtype.kind == "f":
        wrong |= values != np.rint(values)
    if wrong.any():
        row, element = np.argwhere(wrong)[0]
        raise ValueError(
            f"{part}, row {row}: {ELEMENTS[element]} has the amount {values[row, element]:g}; "
            f"whole numbers from 0 to {_MOST} are needed"
        )
    empty = ~values.any(axis=1)
    if empty.any():
        raise ValueError(f"{part}, row {int(empty.argmax())} holds no element")
    return values.astype(np.uint8, copy=False)
