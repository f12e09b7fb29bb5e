"""Simulated patterns as an instrument and a real sample would show them.

What differs between a computed and a measured pattern, drawn at random each time: the cell (DFT
cells are about 1% large, and solid solutions have others), peak width and its growth with angle
(small or strained crystallites), profile, Kα2, zero error and displacement of the sample,
texture, thermal motion, an amorphous hump and a sloping background, a second phase, noise, and
the measured range. The ranges are what powder diffractometry calls usual; they were not tuned on
measured patterns.

    python -m matgan train-patterns --out DIR

trains the classifier that comes along on them (its card: matgan/pretrained/XRD.md).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from matgan.crystals.cells import reciprocal_basis
from matgan.crystals.structures import Structures, load_structures
from matgan.learning.compute import DEVICES, device
from matgan.learning.fit import Fit, classification_loss, train
from matgan.powder.background import INSTRUMENT
from matgan.powder.classifier import (
    CLASSIFIER,
    class_labels,
    load_classifier,
    new_classifier,
    save_classifier,
)
from matgan.powder.networks import LABELS
from matgan.powder.patterns import (
    CU_KA1,
    Instrument,
    PatternError,
    broaden,
    peaks,
    spacing_range,
)
from matgan.powder.reflections import Reflections, reflections

_WEAKEST = 3e-4  # of the strongest area; what is weaker drowns in any noise
_MIXED_K_ALPHA = 1.54184  # Å, the unresolved doublet


@dataclass(frozen=True)
class Augmentation:
    """Ranges that each pattern draws from."""

    strain_mean: float = -0.01  # isotropic change of length; relaxed cells are 1% large
    strain: float = 0.012  # its standard deviation
    shape: float = 0.006  # standard deviation of the strain that the symmetry allows
    fwhm: tuple[float, float] = (0.08, 0.40)  # degrees 2θ at low angle, log-uniform
    size: float = 0.15  # up to this many degrees of 1/cos θ broadening
    microstrain: float = 0.3  # up to this many degrees of tan θ broadening
    eta: tuple[float, float] = (0.1, 1.0)  # share of the Lorentzian in the profile
    ka2: float = 0.5  # probability of Kα2 beside Kα1
    mixed: float = 0.25  # probability of the mean wavelength instead
    zero: float = 0.05  # degrees 2θ, standard deviation of the zero error
    displacement: float = 0.05  # degrees 2θ, standard deviation at 2θ = 0 (falls with cos θ)
    texture: float = 0.3  # standard deviation of log r (March and Dollase)
    thermal: float = 2.0  # Å², up to this overall B factor
    site: float = 0.2  # standard deviation of log strength, one draw for equivalent reflections
    hump: float = 0.15  # up to this height of an amorphous hump, maximum of the peaks 1
    slope: float = 0.2  # up to this height of a background that falls with the angle
    floor: float = 0.05  # up to this height of a background that is flat
    second_phase: float = 0.2  # probability of another phase, up to a tenth
    counts: tuple[float, float] = (100.0, 20000.0)  # at the maximum, log-uniform: Poisson noise
    cut: float = 0.3  # probability that the ends were not measured


class Crystals:
    """Reflections of many structures, kept small, that draw augmented patterns.

    Parameters
    ----------
    structures : n structures
    instrument : grid; its width sets how fine the computation is
    """

    def __init__(self, structures: Structures, instrument: Instrument):
        self.instrument = instrument
        shortest, longest = spacing_range(instrument)
        kept, self.metrics, self.strains = [], [], []
        for cell, numbers, frac in structures:
            # strain moves reflections into the range: 6% on both sides
            found = reflections(cell, numbers, frac, shortest * 0.94, longest * 1.06)
            _, areas = peaks(found, Instrument(wavelength=instrument.wavelength))
            strong = areas > _WEAKEST * areas.max(initial=0)
            hkl, strength = found.hkl[strong], found.strength[strong].astype(np.float32)
            rotations = point_group(cell, numbers, frac)
            kept.append((hkl, strength, families(hkl, rotations)))
            basis = reciprocal_basis(cell)
            self.metrics.append(basis @ basis.T)
            self.strains.append(allowed_strains(basis, rotations))
        self.first = np.concatenate([[0], np.cumsum([len(hkl) for hkl, _, _ in kept])]).astype(int)
        self.hkl, self.strength, self.family = map(np.concatenate, zip(*kept, strict=True))

    def __len__(self) -> int:
        return len(self.first) - 1

    def content(self) -> list[object]:
        """All that patterns are drawn from; see `matgan.learning.fit.Examples`."""
        arrays = (self.first, self.hkl, self.strength, self.family)
        return [self.instrument, *arrays, np.array(self.metrics), np.array(self.strains)]

    def draw(self, i: int, rng: np.random.Generator, options: Augmentation) -> np.ndarray:
        """One augmented pattern of structure i, (points,) float32, maximum 1."""
        angles, areas, fwhm, instrument = self._sticks(i, rng, options)
        if rng.random() < options.second_phase:
            other = self._sticks(int(rng.integers(len(self))), rng, options)
            share = 0.1 * rng.random() * areas.sum() / max(other[1].sum(), 1e-30)
            angles = np.concatenate([angles, other[0]])
            areas = np.concatenate([areas, share * other[1]])
            fwhm = np.concatenate([fwhm, other[2]])
        try:
            intensity = broaden(angles, areas, instrument, fwhm)
        except PatternError:  # strained out of the range: nothing but background
            intensity = np.zeros(len(instrument.two_theta))
        return self._as_measured(intensity, rng, options)

    def _sticks(self, i, rng, options):
        rows = slice(self.first[i], self.first[i + 1])
        hkl, strength = self.hkl[rows].astype(float), self.strength[rows].astype(float)
        family = self.family[rows]
        metric = self.metrics[i] * (1 + rng.normal(options.strain_mean, options.strain)) ** -2
        metric = metric + np.tensordot(rng.normal(0, options.shape, 6), self.strains[i], 1)
        length = np.sqrt(np.maximum(np.einsum("ri,ij,rj->r", hkl, metric, hkl), 1e-8))
        strength *= np.exp(rng.normal(0, options.site, family.max(initial=-1) + 1))[family]
        strength *= np.exp(-rng.uniform(0, options.thermal) * length**2 / 2)  # exp(-2B s²)
        strength *= march_dollase(hkl, metric, length, rng, options.texture)
        instrument = self._instrument(rng, options)
        angles, areas = peaks(Reflections(hkl, length, strength), instrument)
        theta = np.radians(angles / 2)
        zero, shift = rng.normal(0, options.zero), rng.normal(0, options.displacement)
        width = np.exp(rng.uniform(*np.log(options.fwhm)))
        size = options.size * rng.random() ** 2 / np.cos(theta)
        micro = options.microstrain * rng.random() ** 2 * np.tan(theta)
        fwhm = np.sqrt(width**2 + size**2 + micro**2)
        return angles + zero + shift * np.cos(theta), areas, fwhm, instrument

    def _instrument(self, rng, options) -> Instrument:
        kind, own = rng.random(), self.instrument
        return Instrument(
            own.start,
            own.stop,
            own.step,
            _MIXED_K_ALPHA if kind > 1 - options.mixed else CU_KA1,
            bool(kind < options.ka2),
            own.fwhm,
            round(float(rng.uniform(*options.eta)), 1),
        )

    def _as_measured(self, intensity, rng, options) -> np.ndarray:
        x = np.linspace(0, 1, len(intensity))
        centre, width = rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.3)
        intensity = intensity + options.hump * rng.random() ** 2 * np.exp(
            -(((x - centre) / width) ** 2)
        )
        slope = options.slope * rng.random() ** 2
        intensity += slope * np.exp(-x / rng.uniform(0.05, 0.5)) + options.floor * rng.random() ** 2
        counts = np.exp(rng.uniform(*np.log(options.counts)))
        intensity = rng.poisson(intensity * counts).astype(np.float32)
        if rng.random() < options.cut:
            low, high = rng.uniform(0, 0.12), rng.uniform(0.75, 1)
            intensity[: int(low * len(x))] = 0
            intensity[int(high * len(x)) :] = 0
        return intensity / max(intensity.max(), 1)


def march_dollase(hkl, metric, length, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Factor of each reflection for crystallites that lie along a random axis (Dollase 1986).

    (r² cos² α + sin² α / r)^(-3/2), α the angle between the plane's normal and the axis.
    """
    axis = rng.integers(-2, 3, 3).astype(float)
    r = np.exp(rng.normal(0, spread))
    norm = np.sqrt(axis @ metric @ axis)
    if norm < 1e-6:
        return np.ones(len(hkl))
    cosine = np.clip(hkl @ metric @ axis / (length * norm), -1, 1)
    return (r**2 * cosine**2 + (1 - cosine**2) / r) ** -1.5


def point_group(
    cell: np.ndarray, numbers: np.ndarray, frac: np.ndarray, symprec: float = 0.1
) -> np.ndarray:
    """(m, 3, 3) int array: rotations of the space group that spglib finds within symprec (Å).

    The identity alone where it finds none.
    """
    import spglib

    lattice = np.linalg.inv(reciprocal_basis(cell)).T
    crystal = (lattice.tolist(), frac.tolist(), numbers.tolist())
    found = spglib.get_symmetry(crystal, symprec=symprec)
    return np.unique(found["rotations"], axis=0) if found else np.eye(3, dtype=int)[None]


def families(hkl: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """(n,) int array: a number for each set of (n, 3) reflections that the symmetry makes equal.

    Friedel's pairs count as equal. Numbers run from 0.
    """
    images = np.einsum("ni,rij->rnj", hkl.astype(np.int64), rotations)
    base = 2 * np.abs(images).max(initial=0) + 1
    keys = np.abs(images @ np.array([base**2, base, 1]))  # -h -k -l has the negative key
    return np.unique(keys.min(0), return_inverse=True)[1]


def allowed_strains(basis: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Changes of the reciprocal metric that keep a structure's symmetry.

    Parameters
    ----------
    basis : (3, 3) array, the reciprocal basis vectors as rows, 1/Å
    rotations : (m, 3, 3) array, the point group as `point_group` gives it

    Returns
    -------
    (6, 3, 3) array
        Six unit strains (xx, yy, zz, yz, xz, xy), averaged over the point group: a random mixture
        of them, added to the reciprocal metric, splits no family of reflections.
    """
    unit = np.zeros((6, 3, 3))
    for row, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        unit[row, i, j] = unit[row, j, i] = 2  # of a squared length: twice the strain
    metric = basis @ unit @ basis.T
    return np.einsum("rij,sjk,rlk->sil", rotations, metric, rotations) / len(rotations)


class Drawn:
    """Augmented patterns of crystals, another one each time."""

    def __init__(self, crystals: Crystals, options: Augmentation, targets: np.ndarray):
        self.crystals, self.options, self.targets = crystals, options, targets

    def __len__(self) -> int:
        return len(self.crystals)

    def batch(self, rows, seed):
        """Inputs and targets of some rows, as tensors: see `matgan.learning.fit.Examples`."""
        rng = np.random.default_rng(seed)
        drawn = np.stack([self.crystals.draw(int(i), rng, self.options) for i in rows])
        return (torch.from_numpy(drawn),), torch.from_numpy(self.targets[rows])

    def content(self):
        """See `matgan.learning.fit.Examples`."""
        return [*self.crystals.content(), self.options, self.targets]


# --- the command ---------------------------------------------------------------------------------


def train_command(words: list[str] | None = None) -> None:
    """The command `train-patterns`: the augmented FCN, to OUT/xrd-fcn.safetensors."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan train-patterns",
        description="Train the classifier of powder patterns on simulated, augmented patterns; "
        "writes OUT/xrd-fcn.safetensors, and goes on where it was stopped.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--structures", type=int, default=0, help="how many train (0: all)")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=0, help="end after so many (0: all epochs)")
    parser.add_argument("--start", type=Path, help="classifier to go on from, with a new cycle")
    parser.add_argument("--learning-rate", type=float, default=Fit.learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=DEVICES, default="auto")
    arguments = parser.parse_args(words)
    for name in ("structures", "steps"):
        if getattr(arguments, name) < 0:
            parser.error(f"--{name} must be 0 or more, not {getattr(arguments, name)}")
    fit = Fit(arguments.epochs, learning_rate=arguments.learning_rate, seed=arguments.seed)
    where = device(arguments.device)
    torch.manual_seed(fit.seed)
    # a copy: the loaded one is kept for the next caller
    network = (
        deepcopy(load_classifier(arguments.start).network) if arguments.start else new_classifier()
    )
    crystals = load_structures()
    rows = crystals.rows("train", arguments.structures, arguments.seed)
    chosen = crystals.take(rows)
    labels = class_labels(chosen.table["space_group"])
    drawn = Drawn(Crystals(chosen, INSTRUMENT), Augmentation(), labels)
    from tqdm.auto import tqdm

    with tqdm(mininterval=10) as bar:

        def show(step: int, n_steps: int, loss: float) -> None:
            bar.total = n_steps
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        losses = train(
            network,
            drawn,
            classification_loss(LABELS, fit.label_smoothing),
            fit,
            arguments.out / "checkpoint.safetensors",
            show,
            where,
            arguments.steps,
        )
    facts = {
        "fit": dataclasses.asdict(fit),
        "augmentation": dataclasses.asdict(Augmentation()),
        "structures": len(rows),
        "start": arguments.start.name if arguments.start else None,
        "losses": losses,
    }
    save_classifier(arguments.out / CLASSIFIER.name, network.cpu(), facts)
    print(json.dumps(facts))
