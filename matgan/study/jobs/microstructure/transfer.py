"""The jobs of notebook 43's transfer: trained critics as the start of a regression.

The GANs learned from the images that are asked for here, too, without their absorption; what starts
from scratch saw none of those that it is tested on. Each start has a learning rate of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from matgan.learning.compute import device
from matgan.learning.evaluation import as_planned, convergence, is_converged
from matgan.learning.fit import Fit, outputs, regression_loss, train
from matgan.learning.statistics import compare
from matgan.microstructure.generative import ImageCritic, ImageGAN, shifted
from matgan.microstructure.optics import absorbed
from matgan.study.jobs.microstructure.absorption import LABELLED, kept_absorption
from matgan.study.jobs.microstructure.design import TRAININGS, training_of
from matgan.study.jobs.microstructure.fields import fields
from matgan.study.jobs.microstructure.images import NAME as GAN
from matgan.study.jobs.microstructure.images import curves
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate, searched_rates

NETWORKS = TUNED, SCRATCH = "critic, trained on", "from scratch"
FROZEN, RANDOM = "critic's features, ridge", "random features, ridge"
CURVES, MEAN = "two-point and lineal path, ridge", "mean"
COMPARED = SCRATCH, CURVES
COUNTS = (25, 75, 225)  # labels to learn from
TEST = 200  # of the labels, to test on
UPDATES = 400  # of a training, whatever the number of labels; the longer ones have twice as many
BATCH = 16
SEARCH = "absorption-transfer-search"
FIRST_RATE, FACTOR = 2e-3, 3.0  # of the search
SEARCHED = range(2000, 2000 + max(COUNTS) + TEST)  # images that no job labels or learns from


class CriticRegressor(nn.Module):
    """One number from what a critic sees.

    Parameters
    ----------
    critic : its layers, trained or new
    mean, scale : of the targets
    """

    def __init__(self, critic: ImageCritic, mean: float, scale: float):
        super().__init__()
        self.critic, self.mean, self.scale = critic, mean, scale
        width = critic.last.out_channels
        self.norm = nn.BatchNorm1d(width)  # whatever the critic's scale
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """{"value": (B, 1)} of (B, 1, n, n) images."""
        found = self.head(self.norm(self.critic.features(images)))
        return {"value": self.mean + self.scale * found}


class Images:
    """Images with a number each, see `matgan.learning.fit.Examples`.

    Parameters
    ----------
    phases : (N, n, n) bool
    values : (N,)
    moving : whether each is shifted, mirrored and turned anew when it is drawn
    """

    def __init__(self, phases: np.ndarray, values: np.ndarray, moving: bool = False):
        self.phases, self.moving = phases, moving
        self.values = np.asarray(values, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.phases)

    def batch(self, rows: np.ndarray, seed: list[int]):
        """Images between -1 and 1, and their numbers."""
        images = torch.from_numpy(2 * self.phases[rows].astype(np.float32) - 1)[:, None]
        if self.moving:
            drawn = int(np.random.default_rng(seed).integers(2**31))
            images = shifted(images, torch.Generator().manual_seed(drawn))
        return (images,), torch.from_numpy(self.values[rows])

    def content(self):
        """See `matgan.learning.fit.Examples`."""
        yield from (self.phases, self.values, self.moving)


def network_error(
    critic: ImageCritic,
    learn: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    seed: int,
    steps: int = UPDATES,
    rate: float = FIRST_RATE,
    progress: Callable[[int, int, float], None] | None = None,
) -> float:
    """Mean absolute error of a network that starts from a critic, after some steps.

    Parameters
    ----------
    critic : is changed
    learn, test : images and their values
    seed : of the head and the order
    steps : of the training
    rate : the highest of its cycle
    progress : see `matgan.learning.fit.train`
    """
    torch.manual_seed(seed)
    network = CriticRegressor(critic, float(learn[1].mean()), float(learn[1].std()))
    per_epoch = max(1, len(learn[0]) // BATCH)
    fit = Fit(-(-steps // per_epoch), min(BATCH, len(learn[0])), rate, seed=seed)
    source = Images(*learn, moving=True)
    train(network, source, regression_loss, fit, progress=progress, device=device())
    found = outputs(network, Images(*test))["value"][:, 0]
    return float(np.abs(found - test[1]).mean())


def ridge_error(learn, test, learn_values: np.ndarray, test_values: np.ndarray) -> float:
    """Mean absolute error of a ridge regression on given features.

    Parameters
    ----------
    learn, test : (n, features)
    learn_values, test_values : (n,)
    """
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))
    found = model.fit(learn, learn_values).predict(test)
    return float(np.abs(found - test_values).mean())


def features(critic: ImageCritic, phases: np.ndarray) -> np.ndarray:
    """(n, channels): what a critic sees."""
    signed = torch.from_numpy(2 * phases.astype(np.float32) - 1)[:, None]
    with torch.no_grad():
        return np.concatenate([critic.features(part).numpy() for part in signed.split(64)])


def transfer_rows(
    config: ImageGAN, critic: ImageCritic, phases: np.ndarray, values: np.ndarray, seed: int,
    rates: dict[str, float], counts=COUNTS, test: int = TEST, steps: int = UPDATES,
) -> Rows:  # fmt: skip
    """Errors of all ways to learn from few labels, on one draw of the labels.

    Parameters
    ----------
    config, critic : of the GAN
    phases, values : (N, n, n) bool and (N,)
    seed : of the draw and of new weights
    rates : of the networks, by where they start
    counts : of labels to learn from
    test : labels to test on
    steps : of the networks
    """
    order = np.random.default_rng(seed).permutation(len(phases))
    held = phases[order[-test:]], values[order[-test:]]
    torch.manual_seed(seed)
    new = ImageCritic(config)
    drawn = curves(phases)
    plain = np.concatenate([drawn["two-point"], drawn["lineal path"]], axis=1)
    rows = []
    for n in counts:
        some = order[:n]
        learn = phases[some], values[some]
        errors = {MEAN: float(np.abs(held[1] - learn[1].mean()).mean())}
        for name, start in ((FROZEN, critic), (RANDOM, new)):
            parts = features(start, learn[0]), features(start, held[0])
            errors[name] = ridge_error(*parts, learn[1], held[1])
        errors[CURVES] = ridge_error(plain[some], plain[order[-test:]], learn[1], held[1])
        for name, start in ((TUNED, critic), (SCRATCH, new)):
            copied = copy.deepcopy(start)
            errors[name] = network_error(copied, learn, held, seed, steps, rates[name])
        rows += [
            {"method": name, "labels": n, "seed": seed, "steps": steps, "mae": error}
            for name, error in errors.items()
        ]
    return rows


def contrasts(table: pd.DataFrame) -> pd.DataFrame:
    """The trained critic beside each of `COMPARED`, over draws of the labels and trainings.

    Parameters
    ----------
    table : rows of the job

    Returns
    -------
    a row for each number of labels and control: labels, and as from `compare` a, b, repeats,
    difference, low, high, p, p_holm (over all rows); converged, see `is_converged`. Two draws have
    some of their images in common, so that they count as correlated by the share of these.
    """
    names = {"method": "features", "seed": "repeat", "steps": "epochs"}
    rows = table.rename(columns=names).assign(dataset="absorption", split=table["labels"])
    checks = convergence(rows)
    found = compare(
        as_planned(rows),
        pairs=[(TUNED, control) for control in COMPARED],
        family=(),
        ratio=_shared,
    )
    found["converged"] = [
        is_converged(checks, t.dataset, t.split, [t.a, t.b], t.difference, (t.low, t.high))
        for t in found.itertuples()
    ]
    return found.rename(columns={"split": "labels"}).drop(columns=["dataset", "metric", "t"])


def _shared(part: pd.DataFrame) -> float:
    """What stands for n_test / n_train: images that two draws have in common, over the others."""
    share = max(TEST, part["split"].iloc[0]) / LABELLED
    return float(share / (1 - share))


def search_piece(method: str, folder: Path) -> Rows:
    """Errors of one start at several rates, on images that nothing else is told the labels of."""
    phases = fields(SEARCHED)
    values = np.array([absorbed(image) for image in phases])
    config, _, critic = training_of(0)
    held = phases[-TEST:], values[-TEST:]

    def trial(rate: float, own: Path) -> float:
        torch.manual_seed(0)
        errors = []
        for n in COUNTS:
            start = copy.deepcopy(critic) if method == TUNED else ImageCritic(config)
            errors.append(network_error(start, (phases[:n], values[:n]), held, 0, rate=rate))
        return float(np.mean(errors))

    rows = searched_rates(trial, FIRST_RATE, folder, factor=FACTOR)
    return [{"method": method} | row for row in rows]


def transfer_piece(seed: int, steps: int, folder: Path) -> Rows:
    """One draw of the labels, and one training of the GAN."""
    config, _, critic = training_of(seed)
    phases, rates = fields(range(LABELLED)), {name: best_rate(SEARCH, name) for name in NETWORKS}
    return transfer_rows(config, critic, phases, kept_absorption(), seed, rates, steps=steps)


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {
        f"transfer-{seed}-{UPDATES}": partial(transfer_piece, seed, UPDATES)
        for seed in range(TRAININGS)
    }
    # twice the steps say whether the others have converged
    longer = 2 * UPDATES
    return pieces | {f"transfer-{s}-{longer}": partial(transfer_piece, s, longer) for s in (0, 1)}


def _searches() -> dict[str, Piece]:
    return {
        name: partial(search_piece, method)
        for name, method in zip(("tuned", "scratch"), NETWORKS, strict=True)
    }


JOBS = [
    Job(SEARCH, "learning rates for absorption from few labels: critic, scratch", 0.2, _searches),
    Job(
        "absorption-transfer",
        "absorption from few labels: critics of five GANs, scratch, plain",
        0.4,
        _pieces,
        reads=(SEARCH, GAN),
    ),
]
