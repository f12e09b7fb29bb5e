"""The job of notebook 42: the strain of each voxel from the phases around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from matgan.learning.compute import device, fast_precision
from matgan.learning.fit import Fit, outputs, regression_loss, train
from matgan.microstructure.baselines import MKS, PhaseMeans
from matgan.microstructure.examples import Fields, Neighbourhoods
from matgan.microstructure.networks import (
    DenseStrainNetwork,
    NeighbourhoodNetwork,
    field_loss,
    shell_influence,
    shells,
)
from matgan.study.jobs.microstructure.labels import kept_labels
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

UNIFORM, PHASES, LINEAR = "uniform strain", "mean of each phase", "MKS"
DENSE, PATCH = "dense CNN", "neighbourhood CNN"
CONTRASTS = (10, 50)
REPEATS = range(5)
EPOCHS = {DENSE: 60, PATCH: 80}
TEST_SHARE = 0.2
TEST_VOXELS = 200  # of each test volume, where a network answers voxel by voxel


def strain_error(predicted: np.ndarray | float, true: np.ndarray) -> float:
    """Mean absolute strain error in % of the mean strain, which is 1 (MASE of Yang et al. 2019)."""
    return float(100 * np.abs(predicted - true.astype(np.float64)).mean() / true.mean(dtype=float))


def split(n: int, seed: int) -> np.ndarray:
    """(n,) bool: a random fifth of the volumes, to test on."""
    order = np.random.default_rng(seed).permutation(n)
    return np.isin(np.arange(n), order[: round(TEST_SHARE * n)])


def control_rows(phases: np.ndarray, fields: np.ndarray, seed: int) -> Rows:
    """Uniform strain, means of the phases, MKS: a row each; MKS with its kernel's shells.

    Parameters
    ----------
    phases, fields : (N, n, n, n) volumes and their strains
    seed : of the split
    """
    test = split(len(phases), seed)
    rows = []
    for name, model in ((UNIFORM, None), (PHASES, PhaseMeans()), (LINEAR, MKS())):
        found: np.ndarray | float = 1.0
        if model is not None:
            found = model.fit(phases[~test], fields[~test]).predict(phases[test])
        row = {"method": name, "seed": seed, "epochs": 0, "n_train": int((~test).sum())}
        rows.append(row | {"n_test": int(test.sum()), "mase": strain_error(found, fields[test])})
        if isinstance(model, MKS):
            kernel = np.abs(np.fft.fftshift(model.in_space(phases.shape[1:])))
            away = shells(phases.shape[1])
            near = range(phases.shape[1] // 2 + 1)
            rows[-1] |= {f"shell {d}": float(kernel[away == d].mean()) for d in near if d < 6}
    return rows


def network_row(
    method: str,
    phases: np.ndarray,
    fields: np.ndarray,
    fit: Fit,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    **widths,
) -> tuple[dict, DenseStrainNetwork | NeighbourhoodNetwork]:
    """Train a network and test it: its row and the network.

    Parameters
    ----------
    method : `DENSE` or `PATCH`
    phases, fields : (N, n, n, n) volumes and their strains
    fit : of the training; its seed is that of the split, too
    checkpoint, progress : see `matgan.learning.fit.train`
    widths : of the network
    """
    test = split(len(phases), fit.seed)
    learn, where = ~test, device()
    torch.manual_seed(fit.seed)
    row: dict = {"method": method, "seed": fit.seed, "epochs": fit.epochs}
    row |= {"n_train": int(learn.sum()), "n_test": int(test.sum())}
    if method == DENSE:
        dense = DenseStrainNetwork(**widths)
        whole = Fields(phases[learn], fields[learn], moving=True)
        train(dense, whole, field_loss, fit, checkpoint, progress, where, same_shapes=True)
        answer = outputs(dense, Fields(phases[test], fields[test]), batch_size=32)["field"]
        return row | {"mase": strain_error(answer, fields[test])}, dense
    near = NeighbourhoodNetwork(**widths)
    cut = Neighbourhoods(phases[learn], fields[learn])
    train(near, cut, regression_loss, fit, checkpoint, progress, where, same_shapes=True)
    source = Neighbourhoods(phases[test], fields[test], TEST_VOXELS)
    found, true = [], []
    first: list[torch.Tensor] = []  # for the shells
    for (patches,), values in source.parts(np.arange(len(source)), [0], 1000):
        with torch.no_grad():
            found.append(near(patches.to(where))["value"][:, 0].cpu())
        true.append(values)
        first += [patches][: 2 - len(first)]
    row["mase"] = strain_error(torch.cat(found).numpy(), torch.cat(true).numpy())
    seen = shell_influence(near, torch.cat(first).to(where))
    return row | {f"shell {d}": value for d, value in enumerate(seen)}, near


def untrained_shells(phases: np.ndarray, fields: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """(6,) influence by shell of networks of neighbourhoods that learned nothing: the control.

    It falls, too: fewer paths of unpadded convolutions lead from the rim to the output.

    Parameters
    ----------
    phases, fields : (N, n, n, n) volumes and their strains
    seeds : of the weights; the mean over them is taken
    """
    (patches,), _ = Neighbourhoods(phases, fields, 4).batch(np.arange(len(phases)), [0])
    found = []
    for seed in seeds:
        torch.manual_seed(seed)
        found.append(shell_influence(NeighbourhoodNetwork(), patches))
    return np.mean(found, axis=0)


def shell_falls(table: pd.DataFrame, epochs: int, untrained: np.ndarray) -> dict[int, bool]:
    """Whether the influence falls from each shell to the next, by contrast.

    And whether it is less beside that of the voxel itself, on each shell, than without training.

    Parameters
    ----------
    table : of the job, or without rows of `PATCH`
    epochs : of the trainings of `PATCH` that count; the mean over them is looked at
    untrained : of `untrained_shells`
    """
    if "shell 0" not in table:
        return {}
    columns = [name for name in table if str(name).startswith("shell ")]
    rows = table[(table["method"] == PATCH) & (table["epochs"] == epochs)]
    means = rows.groupby("contrast")[columns].mean()
    below = untrained[1:] / untrained[0]
    return {
        int(c): bool((np.diff(line) < 0).all() and (line[1:] / line[0] < below).all())
        for c, line in zip(means.index, means.to_numpy(), strict=True)
    }


def control_piece(contrast: int, seed: int, folder: Path) -> Rows:
    """All controls on one split."""
    kept = kept_labels(f"strain-{contrast}")
    rows = control_rows(kept["phases"], kept["strain"], seed)
    return [{"contrast": contrast, **row} for row in rows]


def network_piece(method: str, contrast: int, epochs: int, seed: int, folder: Path) -> Rows:
    """One training."""
    kept = kept_labels(f"strain-{contrast}")
    fit = Fit(epochs, 16, 5e-3, average=0.99, precision=fast_precision(device()), seed=seed)
    if method == PATCH:
        fit = Fit(epochs, 16, 1e-3, average=0.99, seed=seed)
    file = folder / "checkpoint.safetensors"
    row, _ = network_row(method, kept["phases"], kept["strain"], fit, file)
    return [{"contrast": contrast, **row}]


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {}
    for contrast in CONTRASTS:
        for seed in REPEATS:
            pieces[f"controls-{contrast}-{seed}"] = partial(control_piece, contrast, seed)
        for method, word in ((DENSE, "dense"), (PATCH, "patch")):
            run = partial(network_piece, method, contrast)
            for seed in REPEATS:
                pieces[f"{word}-{contrast}-{seed}"] = partial(run, EPOCHS[method], seed)
            # one training twice as long says whether the others have converged
            pieces[f"{word}-{contrast}-0-longer"] = partial(run, 2 * EPOCHS[method], 0)
    return pieces


JOBS = [Job("localisation", "strain of every voxel: CNNs, MKS, phase means", 24, _pieces)]
