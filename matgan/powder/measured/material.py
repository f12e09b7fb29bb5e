"""All that a training for measured patterns needs, in one file of at most 25 MB.

    python -m matgan prepare-patterns --out FILE

makes it from the data (`preparation`); reading it needs NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matgan import files
from matgan.powder.measured.lists import ReflectionLists, read_lists, write_lists

_OWN = ("split", "barred", "codes", "space_group", "part", "width", "background", "doubted")


@dataclass(frozen=True, eq=False)
class MeasuredMaterial:
    """Structures to learn from, and measured patterns to be judged by.

    Attributes
    ----------
    lists : reflection lists of n structures
    split : (n,) int8 array, 0 train, 1 validation, 2 test of the MEGNet split
    barred : (n,) bool array, may be the structure of a measured pattern (`holdout.alike`)
    codes : (m, 1700) uint8 array, 255 times the square roots of the measured patterns, background
        removed, not sharpened
    space_group : (m,) int16 array, 1 to 230
    part : (m,) int8 array, index into `MEASURED_PARTS`
    width, background : (m,) float32 arrays, of the lines in degrees 2θ, NaN without lines; largest
        background over the largest count
    doubted : (m,) bool array, cannot be told whatever a network says: no lines, or too short a
        range (`matgan.powder.classifier.doubts`)
    """

    lists: ReflectionLists
    split: np.ndarray
    barred: np.ndarray
    codes: np.ndarray
    space_group: np.ndarray
    part: np.ndarray
    width: np.ndarray
    background: np.ndarray
    doubted: np.ndarray

    @property
    def patterns(self) -> np.ndarray:
        """(m, 1700) float32 array, the measured patterns, maxima 1."""
        return (self.codes.astype(np.float32) / 255) ** 2

    @property
    def classes(self) -> np.ndarray:
        """(m, 3) crystal system, extinction group and space group - 1 of the measured patterns."""
        return self.lists.members[self.space_group - 1].astype(np.int64)

    def learnable(self) -> np.ndarray:
        """Rows of the structures that networks may learn from: no test structures, none barred."""
        return np.flatnonzero((self.split < 2) & ~self.barred)

    def measured(self, part: str) -> np.ndarray:
        """Rows of the measured patterns of a part, one of `MEASURED_PARTS`."""
        return np.flatnonzero(self.part == MEASURED_PARTS.index(part))


MEASURED_PARTS = ("tenth", "rest", "twin", "calculated")


def write_material(path: Path, material: MeasuredMaterial) -> None:
    """Write a file that `read_material` reads."""
    write_lists(path, material.lists, {name: getattr(material, name) for name in _OWN})


def read_material(path: Path) -> MeasuredMaterial:
    """What `python -m matgan prepare-patterns` wrote.

    Raises
    ------
    FileNotFoundError
        Says which command makes the file.
    ArraysError
        It is damaged, or arrays are missing or do not fit together.
    """
    if not path.is_file():
        command = f"python -m matgan prepare-patterns --out {path}"
        raise FileNotFoundError(f"there is no {path}: `{command}` makes it")
    own = files.load_arrays(path, _OWN)
    material = MeasuredMaterial(read_lists(path), **own)
    sizes = {name: len(own[name]) for name in _OWN}
    n, m = len(material.lists), len(own["codes"])
    for name, size in sizes.items():
        if size != (n if name in ("split", "barred") else m):
            raise files.ArraysError(f"{path}: {name} has {size} rows, {n} or {m} are needed")
    return material
