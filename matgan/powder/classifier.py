"""Powder diffraction: simulate patterns, and name the symmetry behind a measured one.

    from matgan.powder.classifier import classify
    print(classify(two_theta, intensity))

Training of the classifier that comes along (its card: matgan/pretrained/XRD.md):

    python -m matgan train-patterns --out DIR
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from matgan import files
from matgan.crystals.structures import Structures, load_structures
from matgan.crystals.symmetry import (
    SYSTEMS,
    crystal_system,
    describe,
    extinction_group,
    extinction_groups,
)
from matgan.data.sources import SourceUnavailable
from matgan.files import PRETRAINED
from matgan.learning.checkpoint import check_finite
from matgan.learning.compute import DEVICES, device
from matgan.learning.fit import Fit, classification_loss, outputs, train
from matgan.learning.statistics import share_interval
from matgan.powder.augmentation import Augmentation, Crystals, Drawn
from matgan.powder.baselines import accuracies, majority, right
from matgan.powder.minerals import load_measured
from matgan.powder.networks import FCN, LABELS
from matgan.powder.patterns import (
    CU_KA1,
    Instrument,
    PatternError,
    Stored,
    encode_pattern,
    pattern,
    patterns,
    simulate_pattern,
)

__all__ = [
    "Instrument", "PatternError", "Ranking", "classify", "pattern", "patterns", "simulate_pattern",
]  # fmt: skip

# What the networks read: 1,700 points; the width sets only how finely patterns are computed.
INSTRUMENT = Instrument(step=0.05, fwhm=0.25)
CLASSIFIER = PRETRAINED / "xrd-fcn.safetensors"
_LEAST_COVERED = 30.0  # degrees 2θ between 5 and 90 that a pattern must cover
_WIDEST_GAP = 0.5  # degrees 2θ: points farther apart miss whole reflections


@cache
def class_counts() -> dict[str, int]:
    """Number of classes of each label."""
    return dict(zip(LABELS, (len(SYSTEMS), len(extinction_groups()), 230), strict=True))


def class_labels(space_groups: np.ndarray) -> np.ndarray:
    """(n, 3) int64 array: crystal system, extinction group and space group - 1."""
    groups = np.asarray(space_groups, dtype=np.int64)
    return np.stack([crystal_system(groups), extinction_group(groups), groups - 1], axis=1)


@dataclass(frozen=True)
class Ranking:
    """What a pattern may be: classes in order of probability, for each label."""

    crystal_system: pd.DataFrame  # crystal_system, probability
    extinction_group: pd.DataFrame  # extinction_group (as space groups), probability
    space_group: pd.DataFrame  # space_group (1 to 230), probability

    def __str__(self) -> str:
        return "\n".join(
            f"{table.columns[0]}: "
            + "; ".join(f"{name} ({share:.0%})" for name, share in table.itertuples(index=False))
            for table in (self.crystal_system, self.extinction_group, self.space_group)
        )


def classify(
    two_theta: np.ndarray,
    intensity: np.ndarray,
    top: int = 5,
    wavelength: float = CU_KA1,
    weights_file: str | Path = CLASSIFIER,
) -> Ranking:
    """Crystal system, extinction group and space group of a powder pattern, ranked.

    Parameters
    ----------
    two_theta : (n,) array, degrees, increasing; what lies outside 5 to 90° is not used
    intensity : (n,) array, any unit, background included
    top : how many classes of each label, 1 at least
    wavelength : Å; another than copper's is converted through the spacing of the planes
    weights_file : a classifier of `python -m matgan train-patterns --out DIR`

    Raises
    ------
    PatternError
        The arrays do not fit, are not finite or not in order, cover too little, or are flat; the
        wavelength is no length.
    ValueError
        `top` is no whole number above 0.
    FileNotFoundError
        There is no such classifier.
    """
    if not (isinstance(top, Integral) and top > 0):
        raise ValueError(f"top = {top!r}: how many classes to list, a whole number above 0")
    prepared = prepare(two_theta, intensity, wavelength)
    network = load_classifier(Path(weights_file))
    with torch.no_grad():
        logits = network(torch.from_numpy(prepared)[None])
    shares = {name: torch.softmax(values[0], 0).numpy() for name, values in logits.items()}
    names = {
        "crystal_system": SYSTEMS,
        "extinction_group": [describe(i) for i in range(len(extinction_groups()))],
        "space_group": range(1, 231),
    }
    tables = {}
    for label, share in shares.items():
        order = np.argsort(-share)[:top]
        tables[label] = pd.DataFrame(
            {label: [names[label][i] for i in order], "probability": share[order]}
        )
    return Ranking(**tables)


def prepare(two_theta: np.ndarray, intensity: np.ndarray, wavelength: float = CU_KA1) -> np.ndarray:
    """A pattern on the grid of the networks: (1700,) float32, maximum 1, 0 where not measured.

    Each point of the grid is the mean of the measured points within half a step, or lies on the
    line between the nearest two where there are none.

    Raises
    ------
    PatternError
        As `classify`.
    """
    angle = np.asarray(two_theta, dtype=float)
    counts = np.asarray(intensity, dtype=float)
    if angle.ndim != 1 or angle.shape != counts.shape or len(angle) < 10:
        raise PatternError(
            f"two_theta {angle.shape} and intensity {counts.shape} must be one-dimensional, of "
            "the same length, with ten points at least"
        )
    if not (np.isfinite(angle).all() and np.isfinite(counts).all()):
        raise PatternError("two_theta or intensity holds NaN or infinite values")
    if not (np.diff(angle) > 0).all():
        row = int(np.argmax(np.diff(angle) <= 0)) + 1
        raise PatternError(f"two_theta must increase; point {row} is {angle[row]}°")
    if not (angle[0] >= 0 and angle[-1] < 180):
        raise PatternError(f"two_theta from {angle[0]} to {angle[-1]} lies not within 0 to 180°")
    if not (isinstance(wavelength, Real) and 0 < wavelength < np.inf):
        raise PatternError(f"the wavelength is {wavelength!r}; a length in Å is needed")
    sine = np.sin(np.radians(angle / 2)) * CU_KA1 / wavelength
    known = sine < 1
    angle, counts = 2 * np.degrees(np.arcsin(sine[known])), counts[known]
    grid = INSTRUMENT.two_theta
    inside = (angle >= grid[0] - INSTRUMENT.step) & (angle <= grid[-1] + INSTRUMENT.step)
    steps = np.diff(angle[inside])
    covered = steps[steps < _WIDEST_GAP].sum()
    if covered < _LEAST_COVERED:
        raise PatternError(
            f"the pattern covers {covered:.0f}° of the range from {INSTRUMENT.start:g} to "
            f"{INSTRUMENT.stop:g}° (Cu Kα) with points less than {_WIDEST_GAP:g}° apart; "
            f"{_LEAST_COVERED:g}° at least are needed"
        )
    bins = np.rint((angle[inside] - grid[0]) / INSTRUMENT.step).astype(int)
    good = (bins >= 0) & (bins < len(grid))
    points = np.bincount(bins[good], minlength=len(grid))
    sums = np.bincount(bins[good], counts[inside][good], minlength=len(grid))
    means = np.interp(grid, angle, counts, left=0, right=0)
    means = np.where(points > 0, sums / np.maximum(points, 1), means)
    means = np.maximum(means, 0)
    if not means.max() > 0 or np.ptp(means[points > 0]) < 1e-6 * means.max():
        raise PatternError("the pattern is empty: all intensities are equal or none is positive")
    return (means / means.max()).astype(np.float32)


# --- the classifier that comes along ------------------------------------------------------------


def new_classifier() -> FCN:
    """An untrained FCN for the three labels."""
    return FCN(len(INSTRUMENT.two_theta), class_counts())


def save_classifier(path: Path, network: FCN, facts: dict[str, object]) -> None:
    """Write weights and facts about them; half precision in the file."""
    tensors = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    halves = {
        name: tensor.astype(np.float16) if tensor.dtype == np.float32 else tensor
        for name, tensor in tensors.items()
    }
    files.save(path, halves, {name: json.dumps(value) for name, value in facts.items()})


@cache
def load_classifier(path: Path = CLASSIFIER) -> FCN:
    """A trained FCN of `save_classifier`, ready to classify.

    Raises
    ------
    FileNotFoundError
        Says how to train one.
    WeightsError
        The file is damaged, holds other weights, or NaN.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no trained classifier {path}: python -m matgan train-patterns --out DIR "
            "makes one, and weights_file names it"
        )
    tensors, _ = files.load(path)
    network = new_classifier()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
        raise files.WeightsError(f"{path} holds no classifier of powder patterns")
    check_finite(tensors, path)
    single = {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in tensors.items()}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in single.items()})
    return network.eval()


def evaluate_classifier(network: FCN, crystals: Structures, test_rows: int = 1000) -> pd.DataFrame:
    """Accuracy on measured patterns and on augmented patterns of test structures.

    Returns
    -------
    DataFrame with the columns patterns, model, label, top1, top5, low and high (95% interval of
    top1); without the measured patterns where they cannot be had
    """
    tables = []

    def add(patterns: str, model: str, scores: dict[str, np.ndarray], classes: np.ndarray) -> None:
        table = accuracies(model, scores, classes, patterns=patterns)
        ends = [share_interval(right(s, classes[:, i])) for i, s in enumerate(scores.values())]
        tables.append(table.assign(low=[e[0] for e in ends], high=[e[1] for e in ends]))

    try:
        minerals = load_measured()
    except SourceUnavailable as error:
        print(f"not run: {error}", file=sys.stderr)
    else:
        truth = class_labels(minerals.space_group)
        prepared = [prepare(minerals.two_theta, y) for y in minerals.intensity]
        add(
            "measured",
            "FCN",
            outputs(network, Stored(encode_pattern(np.stack(prepared)), truth)),
            truth,
        )
        known = crystals.take(crystals.rows("train")).table["space_group"]
        frequent = majority(class_labels(known), class_counts(), len(truth))
        add("measured", "majority of training", frequent, truth)
    chosen = crystals.take(crystals.rows("test", test_rows))
    classes = class_labels(chosen.table["space_group"])
    drawn = Drawn(Crystals(chosen, INSTRUMENT), Augmentation(), classes)
    add("test structures, augmented", "FCN", outputs(network, drawn), classes)
    return pd.concat(tables, ignore_index=True)


# --- commands -----------------------------------------------------------------------------------


def classify_command(words: list[str] | None = None) -> None:
    """The command `classify`: what the pattern in a file of two columns may be."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan classify",
        description="Rank the crystal systems, extinction groups and space groups that a measured "
        "powder pattern may have, with the classifier that comes along.",
    )
    parser.add_argument("file", type=Path, help="text: 2θ in degrees and intensity on each line")
    parser.add_argument("--wavelength", type=float, default=CU_KA1, help="Å; default: copper Kα1")
    parser.add_argument("--top", type=int, default=5, help="how many classes of each (default: 5)")
    parser.add_argument("--weights", type=Path, default=CLASSIFIER, help="another classifier")
    options = parser.parse_args(words)
    try:
        text = options.file.read_text(encoding="utf-8", errors="replace").replace(",", " ")
        two_theta, intensity = np.loadtxt(text.splitlines(), usecols=(0, 1), ndmin=2).T
    except ValueError as error:
        raise PatternError(f"{options.file} is no table of 2θ and intensity: {error}") from error
    print(classify(two_theta, intensity, options.top, options.wavelength, options.weights))


def evaluate_command(words: list[str] | None = None) -> None:
    """The command `evaluate-patterns`: accuracies of a classifier."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan evaluate-patterns",
        description="Accuracy of a classifier on measured patterns of minerals and on simulated "
        "ones of test structures.",
    )
    parser.add_argument("file", type=Path, nargs="?", default=CLASSIFIER, help="its weights")
    options = parser.parse_args(words)
    table = evaluate_classifier(load_classifier(options.file), load_structures())
    print(table.to_string(index=False))


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
    network = deepcopy(load_classifier(arguments.start)) if arguments.start else new_classifier()
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
