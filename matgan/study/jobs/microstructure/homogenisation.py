"""The job of notebook 41: C11 of a volume from its phases, by a network and by plain controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from torch import Tensor

from matgan.learning.compute import device, fast_precision
from matgan.learning.fit import Fit, outputs, train
from matgan.microstructure import baselines
from matgan.microstructure.examples import Volumes
from matgan.microstructure.mechanics import two_phases
from matgan.microstructure.networks import StiffnessNetwork
from matgan.microstructure.statistics import voigt_reuss
from matgan.study.jobs.microstructure.labels import CONTRAST, STIFFNESS, kept_labels
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

RULE, MEAN = "rule of mixtures", "Voigt–Reuss mean"
CUBIC, CUBIC_BETWEEN = "cubic in the fraction", "cubic, between the bounds"
TWO_POINT, TWO_POINT_BETWEEN = "two-point + PCA", "two-point + PCA, between the bounds"
SHORT = "two-point, short vectors"
SHORT_BETWEEN = "two-point, short vectors, between the bounds"
NETWORK = "3-D CNN"
PLAIN_METHODS = (RULE, MEAN, CUBIC, CUBIC_BETWEEN, TWO_POINT, TWO_POINT_BETWEEN)
TWO_POINT_METHODS = (TWO_POINT, TWO_POINT_BETWEEN, SHORT, SHORT_BETWEEN)
REPEATS = range(5)
EPOCHS = 100
TEST_SHARE = 0.25


@dataclass(frozen=True)
class StiffnessData:
    """Volumes with C11, and a random split.

    Attributes
    ----------
    phases : (N, n, n, n) bool
    c11 : (N,)
    kinds : (N,) how each was made
    test : (N,) bool
    contrast : of Young's moduli
    """

    phases: np.ndarray
    c11: np.ndarray
    kinds: np.ndarray
    test: np.ndarray
    contrast: float

    @property
    def materials(self):
        """Of the two phases."""
        return two_phases(self.contrast)

    @property
    def fraction(self) -> np.ndarray:
        """(N,) of the second phase."""
        return baselines.volume_fraction(self.phases)


def stiffness_data(
    phases: np.ndarray, c11: np.ndarray, kinds, contrast: float, seed: int
) -> StiffnessData:
    """A random split of volumes: a quarter to test on.

    Parameters
    ----------
    phases, c11, kinds : one of each for every volume
    contrast : of Young's moduli
    seed : of the split
    """
    order = np.random.default_rng(seed).permutation(len(c11))
    test = np.isin(np.arange(len(c11)), order[: round(TEST_SHARE * len(c11))])
    return StiffnessData(phases, np.asarray(c11), np.asarray(kinds), test, contrast)


def error_row(data: StiffnessData, predicted: np.ndarray) -> dict[str, float]:
    """Mean absolute error on the test part: also in % of its mean C11, and so for each kind.

    Parameters
    ----------
    data : the volumes
    predicted : (n,) C11 of the test part
    """
    true, kinds = data.c11[data.test], data.kinds[data.test]
    error = np.abs(predicted - true)
    row = {"n_train": int((~data.test).sum()), "n_test": len(true), "mae": float(error.mean())}
    row["percent"] = float(100 * error.mean() / true.mean())
    for kind in sorted(set(kinds)):
        row[f"percent {kind}"] = float(
            100 * error[kinds == kind].mean() / true[kinds == kind].mean()
        )
    return row


def control_rows(data: StiffnessData, seed: int) -> Rows:
    """A row for each of `PLAIN_METHODS`."""
    learn, test = ~data.test, data.test
    fraction, pair = data.fraction, data.materials
    upper, lower = voigt_reuss(fraction, pair)
    found = {RULE: upper[test], MEAN: (upper + lower)[test] / 2}
    between = baselines.between_bounds(data.c11, fraction, pair)
    regressions: dict[str, tuple[Pipeline, bool]] = {
        CUBIC: (baselines.fraction_polynomial(3), False),
        CUBIC_BETWEEN: (baselines.fraction_polynomial(3), True),
        TWO_POINT: (baselines.two_point_regression(seed=seed), False),
        TWO_POINT_BETWEEN: (baselines.two_point_regression(seed=seed), True),
    }
    for name, (model, inside) in regressions.items():
        model = clone(model).fit(data.phases[learn], (between if inside else data.c11)[learn])
        answer = model.predict(data.phases[test])
        found[name] = baselines.from_bounds(answer, fraction[test], pair) if inside else answer
    return [
        {"method": name, "seed": seed, "epochs": 0, **error_row(data, predicted)}
        for name, predicted in found.items()
    ]


def short_vector_rows(data: StiffnessData, seed: int) -> Rows:
    """A row for `SHORT` and one for `SHORT_BETWEEN`, with the power of the length that was chosen.

    Two-point statistics at their best: see `matgan.microstructure.baselines`.
    """
    learn, fraction, pair = ~data.test, data.fraction, data.materials
    between = baselines.between_bounds(data.c11, fraction, pair)
    rows = []
    for name, target in ((SHORT, data.c11), (SHORT_BETWEEN, between)):
        model = baselines.short_vector_regression(seed=seed)
        found = model.fit(data.phases[learn], target[learn]).predict(data.phases[data.test])
        if name == SHORT_BETWEEN:
            found = baselines.from_bounds(found, fraction[data.test], pair)
        row = {"method": name, "seed": seed, "epochs": 0, **error_row(data, found)}
        rows.append(row | {"power": baselines.chosen_power(model)})
    return rows


def weighted_loss(output: dict[str, Tensor], targets: Tensor, inputs) -> Tensor:
    """Mean absolute error of C11: the targets are (B, 2), a place between the bounds and a weight.

    The weight is the distance of the bounds, in units of the mean C11.
    """
    return ((output["value"][:, 0] - targets[:, 0]).abs() * targets[:, 1]).mean()


def network_row(
    data: StiffnessData,
    fit: Fit,
    channels: int = 12,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[dict, StiffnessNetwork]:
    """Train the CNN to place C11 between its bounds; its row and the network.

    Parameters
    ----------
    data : the volumes
    fit : of the training
    channels : see `StiffnessNetwork`
    checkpoint, progress : see `matgan.learning.fit.train`
    """
    fraction, pair = data.fraction, data.materials
    upper, lower = voigt_reuss(fraction, pair)
    between = baselines.between_bounds(data.c11, fraction, pair)
    weight = (upper - lower) / data.c11[~data.test].mean()
    targets = np.stack([between, weight], axis=1)
    torch.manual_seed(fit.seed)
    network = StiffnessNetwork(channels)
    source = Volumes(data.phases[~data.test], targets[~data.test], moving=True)
    where = device()
    train(network, source, weighted_loss, fit, checkpoint, progress, where, same_shapes=True)
    test = Volumes(data.phases[data.test], targets[data.test])
    place = outputs(network, test, batch_size=64)["value"][:, 0]
    predicted = baselines.from_bounds(place, fraction[data.test], pair)
    row = {"method": NETWORK, "seed": fit.seed, "epochs": fit.epochs, **error_row(data, predicted)}
    return row, network


def _data(seed: int) -> StiffnessData:
    kept = kept_labels("stiffness")
    kinds = [STIFFNESS.morphology(i).kind for i in range(len(kept["c11"]))]
    return stiffness_data(kept["phases"], kept["c11"], kinds, CONTRAST, seed)


def control_piece(seed: int, folder: Path) -> Rows:
    """All controls on one split."""
    return control_rows(_data(seed), seed)


def short_vector_piece(seed: int, folder: Path) -> Rows:
    """Two-point statistics of short vectors on one split."""
    return short_vector_rows(_data(seed), seed)


def network_piece(epochs: int, seed: int, folder: Path) -> Rows:
    """One training."""
    fit = Fit(epochs, 32, 4e-3, average=0.99, precision=fast_precision(device()), seed=seed)
    return [network_row(_data(seed), fit, 12, folder / "checkpoint.safetensors")[0]]


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {f"controls-{s}": partial(control_piece, s) for s in REPEATS}
    pieces |= {f"short-vectors-{s}": partial(short_vector_piece, s) for s in REPEATS}
    # two trainings twice as long say whether the others have converged
    for seed, epochs in [(s, EPOCHS) for s in REPEATS] + [(s, 2 * EPOCHS) for s in (0, 1)]:
        pieces[f"network-{seed}-{epochs}"] = partial(network_piece, epochs, seed)
    return pieces


JOBS = [Job("homogenisation", "C11 of volumes: CNN, two-point statistics, bounds", 7, _pieces)]
