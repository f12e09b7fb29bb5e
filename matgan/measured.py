"""Measured powder patterns of minerals (RRUFF; Lafuente et al. 2015), with their symmetry."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch

from matgan.sources import SourceCorrupt, SourceUnavailable, cache_dir

FILE = "rruff_measured.npz"
SHA256 = "dd6eb01901942e1bbe48fec544b7cdc31ffb5f42c0e919b892a753be01a285c0"


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
    for folder in (os.environ.get("MATGAN_DATA"), cache_dir()):
        if folder and (Path(folder) / FILE).is_file():
            return read_measured(Path(folder) / FILE, SHA256)
    raise SourceUnavailable(
        f"measured patterns: put {FILE} into the folder that MATGAN_DATA names (made of RRUFF's "
        "patterns as packed in github.com/AGI-init/XRDs, commit 94ab7847)"
    )


def read_measured(path: Path, sha256: str | None = None) -> Measured:
    """Measured patterns of an .npz file: intensity, two_theta_start, two_theta_step, space_group.

    Raises
    ------
    SourceCorrupt
        The hash differs, an array is missing, or they do not fit together.
    """
    if sha256 and (found := pooch.file_hash(str(path))) != sha256:
        raise SourceCorrupt(f"{path} has SHA-256 {found}, expected {sha256}")
    try:
        with np.load(path, allow_pickle=False) as file:
            intensity, groups = file["intensity"], file["space_group"].astype(int)
            start, step = float(file["two_theta_start"]), float(file["two_theta_step"])
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SourceCorrupt(f"{path} holds no measured patterns: {error}") from error
    if intensity.ndim != 2 or groups.shape != intensity.shape[:1]:
        raise SourceCorrupt(f"{path}: {intensity.shape} intensities, {groups.shape} space groups")
    # the steps are single-precision numbers: 0.01 is not quite 0.01
    grid = round(start, 4) + round(step, 6) * np.arange(intensity.shape[1])
    return Measured(grid, intensity, groups)
