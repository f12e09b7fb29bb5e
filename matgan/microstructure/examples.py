"""Microstructures as examples for `matgan.learning.fit`: moved, mirrored and cut anew each time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from matgan.learning.fit import Batch
from matgan.microstructure.networks import NEIGHBOURHOOD


def move(volume: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
    """Draw a symmetry that keeps the stiffness along the first axis.

    A periodic shift, mirrors of the three axes, and an exchange of the other two: the volume is
    another, C11 the same, and the strain along the first axis moves with the voxels.

    Parameters
    ----------
    volume : (n, n, n), of which only the size is looked at
    rng : source of the choice

    Returns
    -------
    seven numbers for `moved`
    """
    return (*map(int, rng.integers(0, volume.shape)), *map(int, rng.integers(0, 2, 4)))


def moved(field: np.ndarray, choice: tuple[int, ...]) -> np.ndarray:
    """A volume or a field after a symmetry: three shifts, three mirrors (0 or 1), an exchange."""
    mirrors = tuple(slice(None, None, -1 if mirror else 1) for mirror in choice[3:6])
    out = np.roll(field, choice[:3], (0, 1, 2))[mirrors]
    return out.swapaxes(1, 2) if choice[6] else out


def _signed(phases: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(2 * phases.astype(np.float32) - 1)


class Volumes:
    """Volumes with a number each.

    Parameters
    ----------
    phases : (N, n, n, n) bool
    values : (N,) targets
    moving : whether each batch draws a symmetry for each volume
    """

    def __init__(self, phases: np.ndarray, values: np.ndarray, moving: bool = False):
        self.phases, self.moving = phases, moving
        self.values = np.asarray(values, dtype=np.float32).reshape(len(phases), -1)

    def __len__(self) -> int:
        return len(self.phases)

    def batch(self, rows: np.ndarray, seed: list[int]) -> Batch:
        """See `matgan.learning.fit.Examples`."""
        chosen = self.phases[rows]
        if self.moving:
            rng = np.random.default_rng(seed)
            chosen = np.stack([moved(one, move(one, rng)) for one in chosen])
        return (_signed(chosen),), torch.from_numpy(self.values[rows])

    def content(self) -> Iterator[object]:
        """See `matgan.learning.fit.Examples`."""
        yield from (self.phases, self.values, self.moving)


class Fields:
    """Volumes with a field each, whole.

    Parameters
    ----------
    phases : (N, n, n, n) bool
    fields : (N, n, n, n), any floating type
    moving : whether each batch draws a symmetry for each volume
    """

    def __init__(self, phases: np.ndarray, fields: np.ndarray, moving: bool = False):
        self.phases, self.fields, self.moving = phases, fields, moving

    def __len__(self) -> int:
        return len(self.phases)

    def batch(self, rows: np.ndarray, seed: list[int]) -> Batch:
        """See `matgan.learning.fit.Examples`."""
        phases, fields = self.phases[rows], self.fields[rows].astype(np.float32)
        if self.moving:
            rng = np.random.default_rng(seed)
            choices = [move(one, rng) for one in phases]
            phases = np.stack([moved(*pair) for pair in zip(phases, choices, strict=True)])
            fields = np.stack([moved(*pair) for pair in zip(fields, choices, strict=True)])
        return (_signed(phases),), torch.from_numpy(fields)

    def content(self) -> Iterator[object]:
        """See `matgan.learning.fit.Examples`."""
        yield from (self.phases, self.fields, self.moving)


class Neighbourhoods:
    """One voxel of each volume, drawn anew each time, with the voxels around it.

    Parameters
    ----------
    phases : (N, n, n, n) bool, n at least `NEIGHBOURHOOD`
    fields : (N, n, n, n)
    each : voxels drawn from every volume of a batch
    """

    def __init__(self, phases: np.ndarray, fields: np.ndarray, each: int = 32):
        self.phases, self.fields, self.each = phases, fields, each

    def __len__(self) -> int:
        return len(self.phases)

    def batch(self, rows: np.ndarray, seed: list[int]) -> Batch:
        """See `matgan.learning.fit.Examples`; B is `each` times the number of rows."""
        return next(self.parts(rows, seed, len(rows) * self.each))

    def parts(self, rows: np.ndarray, seed: list[int], size: int) -> Iterator[Batch]:
        """The same batch, `size` voxels at a time: one of many voxels would fill the memory."""
        row = np.repeat(rows, self.each)
        centre = np.random.default_rng(seed).integers(0, self.phases.shape[1], (len(row), 3))
        for start in range(0, len(row), size):
            yield self._around(row[start : start + size], centre[start : start + size])

    def _around(self, row: np.ndarray, centre: np.ndarray) -> Batch:
        n = self.phases.shape[1]
        near = np.arange(NEIGHBOURHOOD) - NEIGHBOURHOOD // 2
        i, j, k = ((centre[:, axis, None] + near) % n for axis in range(3))
        volume = row[:, None, None, None]
        patches = self.phases[volume, i[:, :, None, None], j[:, None, :, None], k[:, None, None, :]]
        values = self.fields[row, *centre.T].astype(np.float32)
        return (_signed(patches),), torch.from_numpy(values)

    def content(self) -> Iterator[object]:
        """See `matgan.learning.fit.Examples`."""
        yield from (self.phases, self.fields, self.each)
