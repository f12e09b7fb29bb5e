"""Measured powder patterns of minerals (RRUFF; Lafuente et al. 2015), with their symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matgan.data.sources import SourceCorrupt, fetch
from matgan.files import load_arrays


@dataclass(frozen=True)
class Measured:
    """Patterns of Cu Kα on one grid.

    Attributes
    ----------
    two_theta : (points,) float64 array, degrees
    intensity : (n, points) uint16 array, proportional to counts
    space_group : (n,) int array, 1 to 230
    """

    two_theta: np.ndarray
    intensity: np.ndarray
    space_group: np.ndarray

    def __len__(self) -> int:
        return len(self.intensity)


def load_measured() -> Measured:
    """The 454 measured patterns, from the folder `MATGAN_DATA` or the cache.

    Raises
    ------
    SourceUnavailable
        The file is in neither; it has no public address in this form.
    SourceCorrupt
        The file is not what it should be.
    """
    return read_measured(fetch("rruff_measured"))


def read_measured(path: Path) -> Measured:
    """Measured patterns of an .npz file: intensity, two_theta_start, two_theta_step, space_group.

    Raises
    ------
    SourceCorrupt
        An array is missing, or they do not fit together.
    """
    try:
        arrays = load_arrays(
            path, ["intensity", "space_group", "two_theta_start", "two_theta_step"]
        )
        intensity, groups = arrays["intensity"], arrays["space_group"].astype(int)
        start, step = float(arrays["two_theta_start"]), float(arrays["two_theta_step"])
    except (TypeError, ValueError) as error:
        raise SourceCorrupt(f"{path} holds no measured patterns: {error}") from error
    if intensity.ndim != 2 or groups.shape != intensity.shape[:1]:
        raise SourceCorrupt(f"{path}: {intensity.shape} intensities, {groups.shape} space groups")
    # the steps are single-precision numbers: 0.01 is not quite 0.01
    grid = round(start, 4) + round(step, 6) * np.arange(intensity.shape[1])
    return Measured(grid, intensity, groups)
