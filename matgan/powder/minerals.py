"""Measured powder patterns of minerals, and what a classifier reaches on them.

RRUFF (Lafuente et al. 2015), with their symmetry. `python -m matgan evaluate-patterns` prints the
tables of matgan/pretrained/XRD.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize_scalar
from scipy.sparse.csgraph import connected_components

from matgan import files
from matgan.crystals.structures import Structures, load_structures
from matgan.data.sources import SourceCorrupt, SourceUnavailable, fetch
from matgan.learning.statistics import calibration_error, share_interval
from matgan.powder.augmentation import Augmentation, Crystals, Drawn
from matgan.powder.background import INSTRUMENT, Prepared, prepare
from matgan.powder.baselines import Scores, accuracies, majority, right
from matgan.powder.classifier import (
    CLASSIFIER,
    Classifier,
    class_counts,
    class_labels,
    doubts,
    load_classifier,
    ranked,
    summed,
)
from matgan.powder.patterns import CU_KA1

_TWINS = 0.95  # correlation of two patterns above which they are of one sample, or nearly
_NO_NOISE = 0.001  # of the maximum: the median second difference of a calculated pattern
_CONFIDENT = 0.7  # a probability that a reader believes


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

    def parts(self) -> dict[str, np.ndarray]:
        """Which patterns are for what: {name: (n,) bool array}.

        "fitted": a half that may be looked at, to fit a temperature or choose a limit; "tenth": of
        that half, where the background's method was chosen; "rest": the other half. Twins
        (correlation above 0.95) stay on one side: the hash of the first one's row decides.
        "screened": without twins but the first, and without patterns that have no noise.
        """
        tops = self.intensity[:, : self.intensity.shape[1] // 5 * 5]
        means = tops.reshape(len(self), -1, 5).mean(2)
        _, family = connected_components(np.corrcoef(means) > _TWINS, directed=False)
        _, first, own = np.unique(family, return_index=True, return_inverse=True)
        digits = [hashlib.sha256(str(row).encode()).digest()[0] % 10 for row in first[own]]
        fitted, tenth = np.array(digits) < 5, np.array(digits) == 0
        bends = np.median(np.abs(np.diff(self.intensity.astype(float), 2)), axis=1)
        calculated = bends <= _NO_NOISE * self.intensity.max(1)
        alone = (first[own] == np.arange(len(self))) & ~calculated
        return {"fitted": fitted, "tenth": tenth, "rest": ~fitted, "screened": alone}


def load_measured() -> Measured:
    """The 454 measured patterns, from the folder `MATGAN_DATA` or the cache.

    Raises
    ------
    SourceUnavailable
        The file is in neither; says which command makes it.
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
        arrays = files.load_arrays(
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


# --- what a classifier reaches --------------------------------------------------------------------


def read_all(
    classifier: Classifier, two_theta: np.ndarray, intensity: np.ndarray
) -> tuple[Scores, list[Prepared], np.ndarray]:
    """Probabilities of many patterns as `classify` gives them, the patterns as prepared for the
    network, and (n,) bool: which are doubted."""
    prepared = [prepare(two_theta, row, CU_KA1) for row in intensity]
    shares = classifier.shares(np.stack([p.intensity for p in prepared]))
    certain = shares["crystal_system"].max(1)
    doubted = [bool(doubts(p, c)) for p, c in zip(prepared, certain, strict=True)]
    return shares, prepared, np.array(doubted)


def conditions(
    two_theta: np.ndarray, intensity: np.ndarray, seed: int = 0
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Patterns as people have them, made of clean ones: what it is, angles, intensities.

    Parameters
    ----------
    two_theta : (points,) array in steps of equal size
    intensity : (n, points) float array, maxima 1
    seed : of the counts
    """
    rng, step = np.random.default_rng(seed), two_theta[1] - two_theta[0]
    yield "as measured", two_theta, intensity
    for height in (0.5, 1, 5):
        yield f"constant, {height:g} × maximum added", two_theta, intensity + height
    for height, decay in ((1, 15), (3, 8)):
        scatter = height * np.exp(-(two_theta - two_theta[0]) / decay)
        yield f"exponential, {height} × maximum, 1/e after {decay}°", two_theta, intensity + scatter
    for width in (0.25, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5):
        sigma = width / np.sqrt(8 * np.log(2)) / step
        broad = gaussian_filter1d(intensity, sigma, axis=1)
        yield f"broadened by {width:g}°", two_theta, broad
    for low, high in ((10, 70), (10, 60), (20, 70), (10, 50), (20, 60), (20, 50), (30, 90)):
        used = (two_theta >= low) & (two_theta <= high)
        yield f"{low} to {high}° only", two_theta[used], intensity[:, used]
    for counts, under in ((1000, 0), (100, 0), (1000, 1), (100, 1), (100, 5)):
        drawn = rng.poisson((intensity + under) * counts * step / INSTRUMENT.step)
        text = f"{counts} counts" + (f" over {under * counts}" if under else "")
        yield f"{text} at the maximum in 0.05°", two_theta, drawn.astype(float)
    yield "half of another pattern", two_theta, intensity + np.roll(intensity, 1, axis=0)
    # nothing to be found in these
    yield "noise alone, 20 counts", two_theta, rng.poisson(20.0, intensity.shape).astype(float)
    yield "noise alone, 0.05 counts", two_theta, rng.poisson(0.05, intensity.shape).astype(float)
    yield "a straight line", two_theta, np.tile(1 + two_theta / 100, (len(intensity), 1))
    hump = np.exp(-(((two_theta - 23) / 8) ** 2))
    yield "an amorphous hump", two_theta, rng.poisson(200 * (hump + 0.1), intensity.shape) * 1.0


def under_conditions(classifier: Classifier, minerals: Measured) -> pd.DataFrame:
    """How a classifier fares on measured patterns under each of `conditions`.

    Returns
    -------
    DataFrame with the columns condition, width (median, degrees), crystal_system and space_group
    (shares right), both again of the rest that no limit was chosen on, refused ("cannot tell"),
    believed_wrong (not refused, above 70%, another system)
    """
    truth, rest = class_labels(minerals.space_group), minerals.parts()["rest"]
    clean = minerals.intensity / minerals.intensity.max(1, keepdims=True)
    rows = []
    for name, two_theta, intensity in conditions(minerals.two_theta, clean):
        shares, prepared, doubted = read_all(classifier, two_theta, intensity)
        scores = ranked(shares)
        system, group = (
            right(scores[k], truth[:, i]) for k, i in (("crystal_system", 0), ("space_group", 2))
        )
        first = scores["crystal_system"].argmax(1)
        widths = [p.width for p in prepared if p.width > 0]
        sure = shares["crystal_system"][np.arange(len(truth)), first] > _CONFIDENT
        rows.append(
            {
                "condition": name,
                "width": np.median(widths) if len(widths) else np.nan,
                "crystal_system": system.mean(),
                "space_group": group.mean(),
                "system_rest": system[rest].mean(),
                "group_rest": group[rest].mean(),
                "refused": doubted.mean(),
                "believed_wrong": (sure & ~doubted & ~system).mean(),
            }
        )
    return pd.DataFrame(rows)


def fit_temperature(classifier: Classifier, minerals: Measured) -> float:
    """Temperature with the least log loss of the three labels (Guo et al. 2017).

    On the screened patterns of the half that is for fitting (`Measured.parts`).
    """
    parts = minerals.parts()
    rows = np.flatnonzero(parts["fitted"] & parts["screened"])
    truth = class_labels(minerals.space_group[rows])
    prepared = [prepare(minerals.two_theta, y, CU_KA1) for y in minerals.intensity[rows]]
    logits = classifier.logits(np.stack([p.intensity for p in prepared]))

    def loss(temperature: float) -> float:
        shares = summed(logits / temperature).values()
        return -sum(
            np.log(np.maximum(share[np.arange(len(rows)), truth[:, i]], 1e-12)).mean()
            for i, share in enumerate(shares)
        )

    return float(minimize_scalar(loss, bounds=(0.3, 3), method="bounded").x)


def calibration(classifier: Classifier, minerals: Measured) -> pd.DataFrame:
    """Stated probability and correctness of each named class on the screened rest.

    Returns
    -------
    DataFrame with the columns temperature (1, and the classifier's), label, stated, correct
    """
    parts = minerals.parts()
    rows = np.flatnonzero(parts["rest"] & parts["screened"])
    truth = class_labels(minerals.space_group[rows])
    prepared = [prepare(minerals.two_theta, y, CU_KA1) for y in minerals.intensity[rows]]
    patterns = np.stack([p.intensity for p in prepared])
    tables = []
    for temperature in (1.0, classifier.temperature):
        shares = Classifier(classifier.network, temperature).shares(patterns)
        for i, (label, score) in enumerate(ranked(shares).items()):
            first = score.argmax(1)
            facts = {"temperature": temperature, "label": label}
            stated = shares[label][np.arange(len(rows)), first]
            tables.append(
                pd.DataFrame({**facts, "stated": stated, "correct": first == truth[:, i]})
            )
    return pd.concat(tables, ignore_index=True)


def evaluate_classifier(
    classifier: Classifier, crystals: Structures, test_rows: int = 1000
) -> pd.DataFrame:
    """Accuracy on measured patterns and on augmented patterns of test structures.

    Returns
    -------
    DataFrame with the columns patterns, model, label, top1, top5, low and high (95% interval of
    top1); without the measured patterns where they cannot be had
    """
    tables = []

    def add(patterns: str, model: str, scores: Scores, classes: np.ndarray) -> None:
        table = accuracies(model, scores, classes, patterns=patterns)
        ends = [share_interval(right(s, classes[:, i])) for i, s in enumerate(scores.values())]
        tables.append(table.assign(low=[e[0] for e in ends], high=[e[1] for e in ends]))

    try:
        minerals = load_measured()
    except SourceUnavailable as error:
        print(f"not run: {error}", file=sys.stderr)
    else:
        truth = class_labels(minerals.space_group)
        shares, _, doubted = read_all(classifier, minerals.two_theta, minerals.intensity)
        scores = ranked(shares)
        add("measured", "FCN", scores, truth)
        if not doubted.all():
            told = {label: score[~doubted] for label, score in scores.items()}
            add("measured, not refused", "FCN", told, truth[~doubted])
        known = crystals.take(crystals.rows("train")).table["space_group"]
        frequent = majority(class_labels(known), class_counts(), len(truth))
        add("measured", "majority of training", frequent, truth)
    chosen = crystals.take(crystals.rows("test", test_rows))
    classes = class_labels(chosen.table["space_group"])
    drawn = Drawn(Crystals(chosen, INSTRUMENT), Augmentation(), classes)
    prepared = []
    for start in range(0, len(drawn), 256):
        rows = np.arange(start, min(start + 256, len(drawn)))
        (patterns,), _ = drawn.batch(rows, [0, 2, start])
        for pattern in patterns.numpy():
            measured = np.flatnonzero(pattern)  # the ends may be cut off
            span = slice(measured[0], measured[-1] + 1)
            prepared.append(prepare(INSTRUMENT.two_theta[span], pattern[span], CU_KA1).intensity)
    add("test structures, augmented", "FCN", ranked(classifier.shares(np.stack(prepared))), classes)
    return pd.concat(tables, ignore_index=True)


def evaluate_command(words: list[str] | None = None) -> None:
    """The command `evaluate-patterns`: accuracies, conditions and calibration of a classifier."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan evaluate-patterns",
        description="Accuracy of a classifier on measured patterns of minerals, as they are and "
        "under background, broadening, short ranges and noise, and on simulated ones of test "
        "structures; how often it cannot tell; whether its probabilities are shares.",
    )
    parser.add_argument("file", type=Path, nargs="?", default=CLASSIFIER, help="its weights")
    parser.add_argument(
        "--calibrate", action="store_true", help="fit the temperature first, and write it into FILE"
    )
    options = parser.parse_args(words)
    if options.calibrate:
        calibrate(options.file)
    classifier = load_classifier(options.file)
    table = evaluate_classifier(classifier, load_structures())
    print(table.to_string(index=False, float_format="{:.3f}".format))
    try:
        minerals = load_measured()
    except SourceUnavailable:
        return  # said above
    table = under_conditions(classifier, minerals)
    print("\n" + table.to_string(index=False, float_format="{:.3f}".format))
    print("\nexpected calibration error, screened half of the measured patterns")
    for (temperature, label), part in calibration(classifier, minerals).groupby(
        ["temperature", "label"], sort=False
    ):
        error = calibration_error(part["stated"].to_numpy(), part["correct"].to_numpy())
        print(f"temperature {temperature:.3f}  {label:17} {error:.3f}  ({len(part)} patterns)")


def calibrate(path: Path) -> float:
    """Fit the temperature of a classifier's file to the measured patterns, and write it there."""
    classifier = load_classifier(path)
    temperature = fit_temperature(classifier, load_measured())
    tensors, facts = files.load(path)
    fitted_on = "screened half of rruff_measured.npz: matgan.powder.minerals.Measured.parts"
    facts["calibration"] = json.dumps(
        {"temperature": round(temperature, 3), "fitted_on": fitted_on}, sort_keys=True
    )
    files.save(path, tensors, facts)
    return temperature
