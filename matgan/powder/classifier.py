"""Name the symmetry behind a measured powder pattern, or say that it cannot be told.

    from matgan import classify
    print(classify("scan.xy"))

The classifier that comes along: matgan/pretrained/XRD.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from html import escape
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from matgan import files
from matgan.crystals.symmetry import (
    SYSTEMS,
    crystal_system,
    describe,
    extinction_group,
    extinction_groups,
)
from matgan.files import PRETRAINED
from matgan.learning.checkpoint import check_finite
from matgan.powder.background import INSTRUMENT, Prepared, prepare
from matgan.powder.baselines import Scores
from matgan.powder.networks import FCN, LABELS
from matgan.powder.patterns import PatternError
from matgan.powder.reading import Pattern, read_pattern

__all__ = ["INSTRUMENT", "PatternError", "Prepared", "Ranking", "classify", "prepare"]

CLASSIFIER = PRETRAINED / "xrd-fcn.safetensors"

# When `classify` cannot tell. Measured on the minerals; the tables: matgan/pretrained/XRD.md.
LEAST_AGREEMENT = 0.2  # correlation of neighbouring points; Poisson noise reaches 0.17
WIDEST = 1.1  # degrees 2θ; above 0.4° lines are sharpened before
LEAST_COVERED = 45.0  # degrees 2θ of Cu Kα1
LATEST_START = 25.0  # degrees 2θ of Cu Kα1
LEAST_CERTAIN = 0.33  # probability of the likeliest system


@cache
def class_counts() -> dict[str, int]:
    """Number of classes of each label."""
    return dict(zip(LABELS, (len(SYSTEMS), len(extinction_groups()), 230), strict=True))


def class_labels(space_groups: np.ndarray) -> np.ndarray:
    """(n, 3) int64 array: crystal system, extinction group and space group - 1."""
    groups = np.asarray(space_groups, dtype=np.int64)
    return np.stack([crystal_system(groups), extinction_group(groups), groups - 1], axis=1)


@cache
def _members() -> np.ndarray:
    """(230, 3): the classes of each space group."""
    return class_labels(np.arange(1, 231))


@dataclass(frozen=True)
class Ranking:
    """What a pattern may be, whether that can be told, and how the pattern was prepared.

    The three tables come from one distribution: the probability of a system or extinction group is
    the sum over its space groups. In the first row of each stand the three classes that belong
    together and are most often right, then the others in order of probability.

    Attributes
    ----------
    crystal_system, extinction_group, space_group : DataFrames, the class and its probability
    doubts : why it cannot be told; empty where it can
    prepared : the pattern as the network read it
    """

    crystal_system: pd.DataFrame  # crystal_system, probability
    extinction_group: pd.DataFrame  # extinction_group (as space groups), probability
    space_group: pd.DataFrame  # space_group (1 to 230), probability
    doubts: tuple[str, ...]
    prepared: Prepared

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """The three tables."""
        return self.crystal_system, self.extinction_group, self.space_group

    @property
    def verdict(self) -> str:
        """The answer in a line, or "cannot tell" and why."""
        if self.doubts:
            return f"cannot tell: {'; '.join(self.doubts)}"
        system, sure = next(self.crystal_system.itertuples(index=False, name=None))
        group, share = next(self.space_group.itertuples(index=False, name=None))
        return f"{system} ({sure:.0%}), most likely space group {group} ({share:.0%})"

    def __str__(self) -> str:
        ranked = (
            f"{table.columns[0]}: "
            + "; ".join(f"{name} ({share:.0%})" for name, share in table.itertuples(index=False))
            for table in self.tables
        )
        return "\n".join([self.verdict, *ranked, f"prepared: {self.prepared}"])

    def _repr_html_(self) -> str:
        """The verdict, the tables side by side, and the pattern as the network read it."""
        tables = "".join(
            "<td style='vertical-align:top;text-align:left'>"
            f"<b>{escape(str(table.columns[0]).replace('_', ' '))}</b><br>"
            + "<br>".join(
                f"{escape(str(name))} ({share:.0%})"
                for name, share in table.itertuples(index=False)
            )
            + "</td>"
            for table in self.tables
        )
        return (
            f"<div><p><b>{escape(self.verdict)}</b></p><table><tr>{tables}</tr></table>"
            f"{_drawing(self.prepared.intensity)}"
            f"<p><small>Prepared: {escape(str(self.prepared))}</small></p></div>"
        )


def _drawing(intensity: np.ndarray, width: int = 560, height: int = 110) -> str:
    """A pattern on the grid of the networks as a small SVG: the root of the intensity over 2θ."""
    tops = np.sqrt(intensity.reshape(-1, 4).max(1))
    x = np.linspace(0, width, len(tops))
    y = (height - 22) * (1 - tops) + 4
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    ends = INSTRUMENT.start, INSTRUMENT.stop
    marks = "".join(
        f"<text x='{(angle - ends[0]) / (ends[1] - ends[0]) * width:.0f}' y='{height - 3}' "
        f"text-anchor='middle'>{angle}°</text>"
        for angle in range(10, 90, 10)
    )
    return (
        f"<svg width='{width}' height='{height}' role='img' font-size='11' fill='currentColor' "
        "aria-label='the pattern as the network read it, square root of the intensity over 2θ'>"
        f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='0.8'/>"
        f"{marks}</svg>"
    )


def classify(
    pattern: Pattern | str | Path | np.ndarray,
    intensity: np.ndarray | None = None,
    top: int = 5,
    wavelength: float | str | None = None,
    weights_file: str | Path = CLASSIFIER,
) -> Ranking:
    """Crystal system, extinction group and space group of a powder pattern, ranked.

    `print` the ranking, or ask for its `verdict`: what cannot be told from this pattern it says,
    with the reason.

    Parameters
    ----------
    pattern : of `matgan.read_pattern`, the path of its file, or angles 2θ in degrees, (n,); what
        lies outside 5 to 90° (Cu Kα) is not used
    intensity : (n,) array where `pattern` is angles; any unit, background included; masked points
        and such without a number are left out
    top : how many classes of each label, 1 at least
    wavelength : Å or a name ("MoKa1"); by default the pattern's, else copper's Kα1. Another is
        converted through the spacing of the planes
    weights_file : a classifier of `python -m matgan train-patterns --out DIR`

    Raises
    ------
    PatternError
        The arrays do not fit, hold too few numbers, or cover less than 10° of the range; the
        pattern, the wavelength or the file is none.
    ValueError
        `top` is no whole number above 0.
    FileNotFoundError
        There is no such classifier or file.
    """
    if not (isinstance(top, Integral) and top > 0):
        raise ValueError(f"top = {top!r}: how many classes to list, a whole number above 0")
    prepared = prepare(pattern, intensity, wavelength)
    shares = load_classifier(Path(weights_file)).shares(prepared.intensity[None])
    names = {
        "crystal_system": SYSTEMS,
        "extinction_group": [describe(i) for i in range(len(extinction_groups()))],
        "space_group": range(1, 231),
    }
    tables = {}
    for (label, score), share in zip(ranked(shares).items(), shares.values(), strict=True):
        order = np.argsort(-score[0], kind="stable")[:top]
        tables[label] = pd.DataFrame(
            {label: [names[label][i] for i in order], "probability": share[0, order]}
        )
    certain = float(shares["crystal_system"][0].max())
    return Ranking(**tables, doubts=doubts(prepared, certain), prepared=prepared)


def doubts(prepared: Prepared, certain: float) -> tuple[str, ...]:
    """Why the symmetry behind a pattern cannot be told; empty where it can.

    Parameters
    ----------
    prepared : the pattern
    certain : probability of the likeliest crystal system
    """
    found = []
    if not prepared.width > 0 or prepared.agreement < LEAST_AGREEMENT:
        found.append("no reflections found, or none above the noise")
    elif prepared.width > WIDEST:
        found.append(
            f"too broad, the lines are {prepared.width:.2f}° wide, at most {WIDEST:g}° can be "
            "sharpened"
        )
    if prepared.covered < LEAST_COVERED:
        found.append(f"too short a range, {prepared.covered:.0f}° of {LEAST_COVERED:.0f}° needed")
    if prepared.start > LATEST_START:
        found.append(
            f"the first lines may be missing, the pattern starts at {prepared.start:.1f}° (Cu Kα1),"
            f" after {LATEST_START:.0f}°"
        )
    if not found and certain < LEAST_CERTAIN:
        found.append(f"too uncertain, the likeliest crystal system has {certain:.0%}")
    return tuple(found)


# --- the classifier that comes along ------------------------------------------------------------


@dataclass(frozen=True)
class Classifier:
    """A trained network, and the temperature that makes its probabilities shares of right answers.

    Of the network's three heads, the one for space groups is read: sums over it are as good for
    systems and better for extinction groups than their own heads on measured patterns.
    """

    network: FCN
    temperature: float = 1.0

    def shares(self, patterns: np.ndarray) -> Scores:
        """Probabilities {label: (n, classes)} of prepared patterns, (n, 1700)."""
        return summed(self.logits(patterns) / self.temperature)

    def logits(self, patterns: np.ndarray) -> np.ndarray:
        """(n, 230) float64 array, the network's scores of the space groups."""
        dense = torch.from_numpy(np.asarray(patterns, dtype=np.float32))
        with torch.no_grad():
            parts = [self.network(part)["space_group"] for part in dense.split(256)]
        return torch.cat(parts).double().numpy()


def summed(logits: np.ndarray) -> Scores:
    """Probabilities {label: (n, classes)} from scores of the space groups, (n, 230)."""
    groups = np.exp(logits - logits.max(1, keepdims=True))
    groups /= groups.sum(1, keepdims=True)
    found = {}
    for i, (label, size) in enumerate(class_counts().items()):
        found[label] = np.zeros((len(groups), size))
        np.add.at(found[label].T, _members()[:, i], groups.T)
    return found


def ranked(shares: Scores) -> Scores:
    """Probabilities, raised by 1 for the three classes of each pattern that are named first.

    They belong to the space group for which its probability, its extinction group's and its
    system's together are largest: of all answers whose labels agree with each other, the one with
    the most right labels to be expected.
    """
    together = sum(share[:, _members()[:, i]] for i, share in enumerate(shares.values()))
    best = _members()[np.argmax(together, axis=1)]
    scores = {label: share.copy() for label, share in shares.items()}
    for i, score in enumerate(scores.values()):
        score[np.arange(len(score)), best[:, i]] += 1
    return scores


def new_classifier() -> FCN:
    """An untrained FCN for the three labels."""
    return FCN(len(INSTRUMENT.two_theta), class_counts())


def save_classifier(path: Path, network: FCN, facts: dict[str, object]) -> None:
    """Write weights and facts about them (JSON can hold); half precision in the file."""
    tensors = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    halves = {
        name: tensor.astype(np.float16) if tensor.dtype == np.float32 else tensor
        for name, tensor in tensors.items()
    }
    files.save(path, halves, {name: json.dumps(value) for name, value in facts.items()})


def load_classifier(path: Path = CLASSIFIER) -> Classifier:
    """A trained classifier of `save_classifier`; its temperature is 1 where it has no calibration.

    Raises
    ------
    FileNotFoundError
        Says how to train one.
    WeightsError
        The file is damaged, holds other weights, NaN, or a temperature that is none.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no trained classifier {path}: python -m matgan train-patterns --out DIR "
            "makes one, and weights_file names it"
        )
    now = path.stat()
    return _loaded(path, now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=4)
def _loaded(path: Path, changed: int, size: int) -> Classifier:
    """Once for each state of a file: one that was trained anew meanwhile is read again."""
    tensors, facts = files.load(path)
    network = new_classifier()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
        raise files.WeightsError(f"{path} holds no classifier of powder patterns")
    check_finite(tensors, path)
    single = {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in tensors.items()}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in single.items()})
    try:
        temperature = float(json.loads(facts.get("calibration", "{}")).get("temperature", 1.0))
    except (AttributeError, TypeError, ValueError) as error:
        raise files.WeightsError(f"{path}: its calibration cannot be read: {error}") from error
    if not 0 < temperature < np.inf:
        raise files.WeightsError(f"{path}: its temperature is {temperature}")
    return Classifier(network.eval(), temperature)


def classify_command(words: list[str] | None = None) -> None:
    """The command `classify`: what the pattern in a file may be."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan classify",
        description="Rank the crystal systems, extinction groups and space groups that a measured "
        "powder pattern may have, with the classifier that comes along, or say why they cannot be "
        "told.",
    )
    parser.add_argument("file", type=Path, help="of a pattern, as matgan.read_pattern takes it")
    parser.add_argument(
        "--wavelength", help="Å or a name such as MoKa1; default: the file's, else copper Kα1"
    )
    parser.add_argument(
        "--unit",
        help="of the axis, such as 1/nm (q) or Å (d); default: the file's, else degrees 2θ",
    )
    parser.add_argument("--top", type=int, default=5, help="how many classes of each (default: 5)")
    parser.add_argument("--weights", type=Path, default=CLASSIFIER, help="another classifier")
    options = parser.parse_args(words)
    try:
        wavelength = None if options.wavelength is None else float(options.wavelength)
    except ValueError:
        wavelength = options.wavelength  # a name
    pattern = read_pattern(options.file, options.unit, wavelength)
    print(classify(pattern, top=options.top, weights_file=options.weights))
