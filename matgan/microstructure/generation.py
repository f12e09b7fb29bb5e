"""Two-phase microstructures from seeds: periodic, with a chosen share of the second phase.

Each is a random field whose highest voxels are the second phase: a Gaussian field with a chosen
power spectrum, white noise (random phases), or the nearness to random points (equal spheres that
may overlap; discs in two dimensions).
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import fft
from scipy.spatial import KDTree

Kind = Literal["gaussian", "ring", "noise", "spheres"]


@dataclass(frozen=True)
class Morphology:
    """How one microstructure is drawn.

    Attributes
    ----------
    kind : {"gaussian", "ring", "noise", "spheres"}
        The field: covariance exp(-Σ xᵢ²/2lᵢ²); wavelengths around the lengths, as after a spinodal
        decomposition; every voxel alone; nearness to random points.
    shape : voxels along each axis, two or three axes
    fraction : share of the second phase, to the nearest voxel
    lengths : voxels, one for each axis: lᵢ of "gaussian", the wavelength of "ring"; of no
        meaning for the other kinds
    centres : how many spheres

    Raises ValueError for a value that makes no sense.
    """

    kind: Kind
    shape: tuple[int, ...]
    fraction: float
    lengths: tuple[float, ...] = ()
    centres: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, not {self.kind!r}")
        if len(self.shape) not in (2, 3) or min(self.shape) < 1:
            raise ValueError(f"shape must be two or three numbers of voxels, not {self.shape}")
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction must be in [0, 1], not {self.fraction}")
        if self.kind in ("gaussian", "ring") and (
            len(self.lengths) != len(self.shape)
            or not min(self.lengths) > 0
            or not np.isfinite(self.lengths).all()
        ):
            raise ValueError(f"lengths must be above 0, one for each axis, not {self.lengths}")
        if self.kind == "ring" and any(map(operator.gt, self.lengths, self.shape)):
            raise ValueError(f"no wave of {self.lengths} voxels fits into {self.shape}")
        if self.kind == "spheres" and self.centres < 1:
            raise ValueError(f"spheres need at least one centre, not {self.centres}")


def microstructure(morphology: Morphology, seed: Sequence[int]) -> np.ndarray:
    """Draw one microstructure.

    Parameters
    ----------
    morphology : what is drawn
    seed : whole numbers, as `numpy.random.default_rng` takes them

    Returns
    -------
    array of the morphology's shape, bool: the voxels of the second phase
    """
    rng = np.random.default_rng(seed)
    if morphology.kind == "noise":
        field = rng.random(morphology.shape)
    elif morphology.kind == "spheres":
        field = -distance_to_nearest(
            morphology.shape, rng.random((morphology.centres, len(morphology.shape)))
        )
    else:
        field = gaussian_field(morphology.kind, morphology.shape, morphology.lengths, rng)
    return highest(field, morphology.fraction)


def highest(field: np.ndarray, fraction: float) -> np.ndarray:
    """The highest voxels of a field, as many as make up a fraction; of equal ones the first."""
    chosen = np.zeros(field.size, dtype=bool)
    chosen[np.argsort(-field, axis=None, kind="stable")[: round(fraction * field.size)]] = True
    return chosen.reshape(field.shape)


def gaussian_field(
    kind: str, shape: Sequence[int], lengths: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """A periodic Gaussian random field of mean 0 and variance about 1: filtered white noise.

    Parameters
    ----------
    kind : "gaussian" or "ring": the power spectrum, see `Morphology`
    shape, lengths : voxels, see `Morphology`
    rng : of the noise
    """
    last = len(shape) - 1
    axes = [fft.rfftfreq(n) if i == last else fft.fftfreq(n) for i, n in enumerate(shape)]
    waves = np.meshgrid(*axes, indexing="ij")  # periods a voxel
    square = sum((wave * length) ** 2 for wave, length in zip(waves, lengths, strict=True))
    if kind == "gaussian":
        power = np.exp(-2 * np.pi**2 * square)
    else:  # wavelengths within a tenth of the lengths
        power = np.exp(-((np.sqrt(square) - 1) ** 2) / (2 * 0.1**2))
    noise = fft.rfftn(rng.standard_normal(shape))
    field = fft.irfftn(noise * np.sqrt(power), s=shape)
    full = np.concatenate([power, power[..., 1 : (shape[-1] + 1) // 2]], axis=-1)
    return field / np.sqrt(full.mean())


def distance_to_nearest(shape: Sequence[int], centres: np.ndarray) -> np.ndarray:
    """Periodic distance, in voxels, of the middle of every voxel to the nearest centre.

    Parameters
    ----------
    shape : voxels along each axis
    centres : (n, axes) in shares of the axes, from 0 to 1
    """
    box = np.array(shape, dtype=float)
    middles = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) + 0.5
    tree = KDTree(centres % 1 * box % box, boxsize=box)
    return tree.query(middles.reshape(-1, len(shape)))[0].reshape(shape)


# --- collections ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Collection:
    """Many cubes of one size and of several kinds, each from the seed and its number.

    Six in ten are Gaussian, half of these with another length along each axis; the others are
    rings, spheres and noise. The mixture is our choice: the review says only that volumes were
    simulated, with varying volume fractions.

    Attributes
    ----------
    size : voxels along an edge
    fractions : the lowest and the highest share of the second phase, uniform between
    seed : of all of them
    """

    size: int
    fractions: tuple[float, float] = (0.25, 0.75)
    seed: int = 0

    def morphology(self, number: int) -> Morphology:
        """How a volume is drawn."""
        rng = np.random.default_rng([self.seed, number, 0])
        shape = (self.size,) * 3
        fraction = rng.uniform(*self.fractions)
        kind = rng.choice(["gaussian", "ring", "spheres", "noise"], p=[0.6, 0.15, 0.15, 0.1])
        if kind == "gaussian":  # from about a voxel to an eighth of the edge
            one = np.exp(rng.uniform(np.log(0.7), np.log(self.size / 8), 3))
            each = rng.random() < 0.5
            lengths = tuple(float(x) for x in (one if each else one[[0, 0, 0]]))
            return Morphology("gaussian", shape, fraction, lengths)
        if kind == "ring":
            return Morphology("ring", shape, fraction, (float(rng.uniform(4, self.size / 2)),) * 3)
        if kind == "spheres":
            return Morphology("spheres", shape, fraction, centres=int(rng.integers(5, 200)))
        return Morphology("noise", shape, fraction)

    def volume(self, number: int) -> np.ndarray:
        """(size, size, size) bool: the voxels of the second phase."""
        return microstructure(self.morphology(number), [self.seed, number, 1])

    def volumes(self, numbers: Sequence[int]) -> np.ndarray:
        """(n, size, size, size) bool."""
        return np.stack([self.volume(int(number)) for number in numbers])

    def table(self, numbers: Sequence[int]) -> pd.DataFrame:
        """A row for each volume: how it is drawn, and the SHA-256 of what comes out."""
        rows = []
        for number in numbers:
            volume, morphology = self.volume(int(number)), asdict(self.morphology(int(number)))
            lengths = morphology.pop("lengths") or (np.nan,) * 3
            row = {
                "number": number,
                "seed": self.seed,
                "size": self.size,
                "kind": morphology["kind"],
            }
            row |= dict(zip(("length_0", "length_1", "length_2"), lengths, strict=True))
            row |= {"centres": morphology["centres"], "fraction": volume.mean()}
            rows.append(row | {"sha256": volume_hash(volume)})
        return pd.DataFrame(rows)


def volume_hash(phases: np.ndarray) -> str:
    """SHA-256 of the shape and the phases of a microstructure, eight voxels a byte."""
    shape = "x".join(map(str, phases.shape))
    return hashlib.sha256(shape.encode() + np.packbits(phases.astype(bool)).tobytes()).hexdigest()
