"""Our models in the test of Bartel et al. 2020: `matgan.stability.bartel`.

Five folds as the authors have them; each model learns formation energies, whose hull gives the
distances, or the distances themselves. Predictions of a fold are kept as soon as they are made.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from matgan.chemistry.composition import amounts_matrix
from matgan.data.compounds import load_mp_stability
from matgan.data.splits import Split
from matgan.files import atomic_file
from matgan.learning.evaluation import fit_splits
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import calibration_error
from matgan.representation.encoder.routes import plain_features
from matgan.representation.encoder.trees import GatedTrees
from matgan.representation.features import OneHot, PooledEmbedding
from matgan.representation.tables import load_embedding, permuted_embedding
from matgan.stability.bartel import FOLDS, folds, own_hull_scores
from matgan.stability.quality import KnownSystems, stability_scores
from matgan.study.jobs.compositions.encoders import SEARCH, encoder_of, final_choice
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.stability.stable import nearest_energies
from matgan.study.run import RunError

NAME = "stability-mp"
METHODS = {
    "T": "WGAN T, mean, with the paper's network",
    "permuted-T": "permuted T, mean, with the same network",
    "fractions": "one-hot fractions, with the same network",
    "trees": "boosted trees on Magpie and fractions",
    "encoder": "composition encoder",
    "look-up": "five nearest compositions",
}
MEAN = "mean of T, trees and encoder"
MEMBERS = ("T", "trees", "encoder")
ENTRIES, ANY = "stable ones known in the system", "at random"
ENERGY, DISTANCE = "energy", "distance"
COLUMN = {ENERGY: "target", DISTANCE: "distance"}
ORDERS = 5  # of the compounds, each with folds of its own
EPOCHS = {"T": 60, "permuted-T": 60, "fractions": 60, "encoder": 60}


def _features(method: str, amounts: np.ndarray, seed: int) -> np.ndarray:
    if method == "trees":
        return plain_features(amounts)
    if method == "fractions":
        return OneHot(fractions=True, dtype=np.float32).fit_transform(amounts)
    table = load_embedding("wgan-mp")
    table = permuted_embedding(table, seed) if method == "permuted-T" else table
    return PooledEmbedding(table, pool="mean", dtype=np.float32).fit_transform(amounts)


def fold_predictions(
    method: str, amounts: np.ndarray, y: np.ndarray, split: Split, seed: int, times: int, path: Path
) -> np.ndarray:
    """What a method says of the test part of a fold, (n,), once it has learned the other parts.

    Parameters
    ----------
    method : key of METHODS
    amounts, y : (n, 85) and (n,), of all parts
    split : the validation part is for what stops by one; the others learn from it, too
    seed, times : of the training; as many epochs as planned
    path : of a checkpoint
    """
    test, rest = split.test, np.concatenate([split.train, split.validation])
    if method == "look-up":
        return nearest_energies(amounts[rest], y[rest], amounts[test])
    if method == "encoder":
        choice = final_choice(times * EPOCHS[method])  # by the search on OQMD
        encoder = encoder_of(choice, seed, path).fit(amounts[rest], y[rest])
        return encoder.predict(amounts[test])
    X = _features(method, amounts, seed)
    if method == "trees":
        parts = (data[rows] for rows in (split.train, split.validation) for data in (X, y))
        return GatedTrees(random_state=seed).fit(*parts).predict(X[test])
    epochs = times * EPOCHS[method]
    network = FullyConnectedRegressor(epochs=epochs, patience=epochs, random_state=seed)
    (model,) = fit_splits(X, y, [split], network)
    return model.predict(X[test])


def out_of_fold(
    method: str, learned: str, seed: int, times: int, folder: Path, table: pd.DataFrame
) -> np.ndarray:
    """Predictions of all compounds, (n,), each from the fold whose models did not see it."""
    amounts, y = amounts_matrix(table["formula"]), table[COLUMN[learned]].to_numpy()
    found = np.full(len(table), np.nan)
    for fold, split in enumerate(folds(len(table), seed)):
        path = folder / f"fold-{fold}.npy"
        if not path.is_file():
            checkpoint = folder / f"fold-{fold}.checkpoint"
            said = fold_predictions(method, amounts, y, split, seed, times, checkpoint)
            with atomic_file(path) as file:
                np.save(file, said)
        found[split.test] = np.load(path)
    return found


def method_piece(method: str, learned: str, seed: int, times: int, folder: Path) -> Rows:
    """Scores of one method on one order of the compounds."""
    table = load_mp_stability()
    found = out_of_fold(method, learned, seed, times, folder, table)
    row = {"method": METHODS[method], "learned": learned, "seed": seed, "times": times}
    return [row | fold_scores(table, learned, found)]


def fold_scores(table: pd.DataFrame, learned: str, predicted: np.ndarray) -> dict[str, float]:
    """Of energies by their own hull, of distances as they are; with P(stable) of the latter.

    `f1_calibrated` and `calibration_error`: of a logistic curve over the distance, fitted on one
    half of the compounds and applied to the other, each half once.
    """
    distance = table["distance"].to_numpy()
    if learned == ENERGY:
        error = np.abs(predicted - table["target"].to_numpy()).mean()
        return {"mae_energy": float(error)} | own_hull_scores(table["formula"], distance, predicted)
    stable, half = distance < 0, np.arange(len(distance)) % 2
    probability = np.zeros(len(distance))
    for part in (0, 1):
        one, other = half == part, half != part
        curve = LogisticRegression(C=np.inf).fit(predicted[one, None] / 0.1, stable[one])
        logit = predicted[other] / 0.1 * curve.coef_[0, 0] + curve.intercept_[0]
        probability[other] = expit(logit)
    called = probability > 0.5
    f1 = 2 * (called & stable).sum() / (called.sum() + stable.sum())
    return stability_scores(distance, predicted) | {
        "f1_calibrated": float(f1),
        "calibration_error": calibration_error(probability, stable),
    }


def controls_piece(seed: int, folder: Path) -> Rows:
    """What ranks without energies: stable compounds of the other folds in the system; nothing."""
    table = load_mp_stability()
    amounts, distance = amounts_matrix(table["formula"]), table["distance"].to_numpy()
    entries = np.zeros(len(table))
    for split in folds(len(table), seed):
        rest = np.concatenate([split.train, split.validation])
        stable = amounts[rest[distance[rest] < 0]]
        entries[split.test] = KnownSystems(stable).within(amounts[split.test])
    ranks = {ENTRIES: -entries, ANY: np.zeros(len(table))}
    row = {"learned": "", "seed": seed, "times": 1}
    return [
        {"method": name} | row | stability_scores(distance, rank, ranks=True)
        for name, rank in ranks.items()
    ]


def mean_piece(seed: int, folder: Path) -> Rows:
    """The mean of the energies of three methods, which the job of the methods left."""
    table, members = load_mp_stability(), []
    for method in MEMBERS:
        there = folder.parent.parent / NAME / _key(method, ENERGY, seed, 1)
        if missing := [k for k in range(FOLDS) if not (there / f"fold-{k}.npy").is_file()]:
            raise RunError(
                f"there is no fold {missing[0]} in {there}: `python -m matgan jobs run {NAME}` "
                "makes it"
            )
        members.append(out_of_fold(method, ENERGY, seed, 1, there, table))
    row = {"method": MEAN, "learned": ENERGY, "seed": seed, "times": 1}
    return [row | fold_scores(table, ENERGY, np.mean(members, axis=0))]


def _key(method: str, learned: str, seed: int, times: int) -> str:
    return f"{method}-{learned}-{seed}" + "-longer" * (times - 1)


def _pieces() -> dict[str, Piece]:
    """Cheapest first; the look-up, which learns nothing by chance, has one order."""
    pieces: dict[str, Piece] = {
        f"controls-{seed}": partial(controls_piece, seed) for seed in range(ORDERS)
    }
    plans: list[tuple[str, str, int, int]] = []
    for method, learned in product(METHODS, COLUMN):
        seeds = 1 if method == "look-up" else ORDERS
        plans += [(method, learned, seed, 1) for seed in range(seeds)]
    plans += [(method, ENERGY, 0, 2) for method in ("T", "encoder")]  # is it converged?
    return pieces | {_key(*plan): partial(method_piece, *plan) for plan in plans}


JOBS = [
    Job(
        NAME,
        "stable or not on the Materials Project by Bartel's five folds: ours, learned from "
        "energies and from distances",
        28.0,
        _pieces,
        leaves_files=True,
        reads=(SEARCH,),
    ),
    Job(
        f"{NAME}-mean",
        "the mean of three of these: run it after them",
        0.02,
        lambda: {f"seed-{seed}": partial(mean_piece, seed) for seed in range(ORDERS)},
    ),
]
