"""The job of notebook 43's transfer: a trained critic as the start of a regression.

The GAN learned from the images that are asked for here, too, without their absorption; what starts
from scratch saw none of those that it is tested on.
"""

from __future__ import annotations

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
from matgan.learning.fit import Fit, outputs, regression_loss, train
from matgan.microstructure.generative import ImageCritic, ImageGAN, shifted
from matgan.study.jobs.microstructure.absorption import LABELLED, kept_absorption
from matgan.study.jobs.microstructure.design import shipped
from matgan.study.jobs.microstructure.fields import fields
from matgan.study.jobs.microstructure.images import curves
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

TUNED, SCRATCH = "critic, trained on", "from scratch"
FROZEN, RANDOM = "critic's features, ridge", "random features, ridge"
CURVES, MEAN = "two-point and lineal path, ridge", "mean"
COUNTS = (25, 75, 225)  # labels to learn from
TEST = 200  # of the labels, to test on
LABEL_DRAWS = range(5)
UPDATES = 120  # of a training, whatever the number of labels; the longer ones have twice as many
BATCH = 16


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
    progress: Callable[[int, int, float], None] | None = None,
) -> float:
    """Mean absolute error of a network that starts from a critic, after some steps.

    Parameters
    ----------
    critic : is changed
    learn, test : images and their values
    seed : of the head and the order
    steps : of the training
    progress : see `matgan.learning.fit.train`
    """
    torch.manual_seed(seed)
    network = CriticRegressor(critic, float(learn[1].mean()), float(learn[1].std()))
    per_epoch = max(1, len(learn[0]) // BATCH)
    fit = Fit(-(-steps // per_epoch), min(BATCH, len(learn[0])), 2e-3, seed=seed)
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
    counts=COUNTS, test: int = TEST, steps: int = UPDATES,
) -> Rows:  # fmt: skip
    """Errors of all ways to learn from few labels, on one draw of the labels.

    Parameters
    ----------
    config, critic : of the GAN
    phases, values : (N, n, n) bool and (N,)
    seed : of the draw and of new weights
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
            copied = ImageCritic(config)
            copied.load_state_dict(start.state_dict())
            errors[name] = network_error(copied, learn, held, seed, steps)
        rows += [
            {"method": name, "labels": n, "seed": seed, "steps": steps, "mae": error}
            for name, error in errors.items()
        ]
    return rows


def largest_shift(table: pd.DataFrame) -> float:
    """Largest change of a mean error with twice the steps, of any method and number of labels.

    Parameters
    ----------
    table : rows of the job, the draws that were trained for both among them

    Returns
    -------
    in units of the error; NaN where nothing was trained for twice as long
    """
    wide = table.pivot_table("mae", ["method", "labels", "seed"], "steps").dropna()
    if wide.shape[1] < 2 or wide.empty:
        return float("nan")
    change = wide.iloc[:, -1] - wide.iloc[:, 0]
    return float(change.groupby(["method", "labels"]).mean().abs().max())


def transfer_piece(seed: int, steps: int, folder: Path) -> Rows:
    """One draw of the labels."""
    config, _, critic = shipped()
    return transfer_rows(
        config, critic, fields(range(LABELLED)), kept_absorption(), seed, steps=steps
    )


def _pieces() -> dict[str, Piece]:
    pieces = {f"transfer-{seed}": partial(transfer_piece, seed, UPDATES) for seed in LABEL_DRAWS}
    # twice the steps say whether the others have converged
    return pieces | {
        f"transfer-{s}-longer": partial(transfer_piece, s, 2 * UPDATES) for s in (0, 1)
    }


JOBS = [
    Job("absorption-transfer", "absorption from few labels: critic, scratch, plain", 0.1, _pieces)
]
