"""The job of the public leaderboards: their own parts, from compositions alone.

Matbench's folds are scikit-learn's `KFold` with the seed that its file of folds states (Dunn et al.
2020); the rows of the crabnet wheel stand in its order. Every row of a test part is predicted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold

from matgan.data.sources import read_csv, wheel_table
from matgan.data.splits import chemical_systems
from matgan.representation.encoder.estimator import CompositionEncoder, load_encoder
from matgan.representation.encoder.routes import plain_features, source_features
from matgan.representation.encoder.sources import read_amounts
from matgan.representation.encoder.trees import CrossFittedTrees, GatedTrees
from matgan.study.jobs.compositions.tasks import (
    ENCODER,
    ENCODER_SOURCES,
    TREES,
    TREES_SOURCE,
    TUNED,
    schedule,
)
from matgan.study.jobs.runner import Job, Piece, Rows

MATBENCH = {"matbench_expt_gap": "expt_gap", "matbench_mp_gap": "mp_gap"}
MATBENCH_SEED = 18012019
TC, TC_SYSTEMS = "supercon_chem_Tc", "supercon_chem_Tc, systems held out"
MEAN = "mean of trees and encoder"


@dataclass(frozen=True)
class Board:
    """One leaderboard: rows in its order, and their parts.

    Attributes
    ----------
    formulas : n of them
    target : (n,) eV or K
    folds : (rows to learn from, rows to test on), one or five
    """

    formulas: list[str]
    target: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]


def load_board(name: str) -> Board:
    """The rows of a leaderboard and its folds.

    Of superconductors with systems held out: as many test rows, of chemical systems that training
    lacks.
    """
    if name in MATBENCH:
        table = wheel_table(f"matbench/{MATBENCH[name]}")
        splits = KFold(5, shuffle=True, random_state=MATBENCH_SEED).split(table)
        return Board(table["formula"].tolist(), table["target"].to_numpy(), list(splits))
    table = read_csv("supercon", None, {"name": "str", "Tc": "float"})
    parts = read_csv("supercon_split", None, {"row": "int", "part": "str"})
    formulas, target = table["name"].tolist(), table["Tc"].to_numpy()
    by_part = [parts.loc[parts["part"] == part, "row"].to_numpy() for part in ("train", "test")]
    fold = (by_part[0], by_part[1])
    if name == TC_SYSTEMS:
        amounts, there = read_amounts(formulas)
        systems = np.full(len(formulas), "other elements", dtype=object)
        systems[there] = chemical_systems(amounts)
        fold = next(GroupKFold(5, shuffle=True, random_state=0).split(target, groups=systems))
    return Board(formulas, target, [fold])


def board_piece(name: str, fold: int, folder: Path) -> Rows:
    """Errors of each route on one fold of a leaderboard; what it predicts is kept in the folder."""
    board = load_board(name)
    learned, tested = board.folds[fold]
    amounts, there = read_amounts(board.formulas)
    place = np.cumsum(there) - 1  # of a row among the amounts
    learned = learned[there[learned]]
    rows, y = place[learned], board.target[learned]
    source = ENCODER_SOURCES["without-others" if name == "matbench_mp_gap" else "without-small"]
    encoder = load_encoder(source.file)
    plain = plain_features(amounts)

    def by_trees(X: np.ndarray) -> np.ndarray:
        return CrossFittedTrees(GatedTrees(learning_rate=0.06)).fit(X[rows], y).predict(X)

    def by_encoder() -> np.ndarray:
        fine = CompositionEncoder(
            **ENCODER, **schedule(len(rows)), learning_rate=5e-4, start=source.file,
            checkpoint=folder / "encoder.checkpoint",
        )  # fmt: skip
        return fine.fit(amounts[rows], y).predict(amounts)

    routes: dict[str, Callable[[], np.ndarray]] = {
        TREES: lambda: by_trees(plain),
        TREES_SOURCE: lambda: by_trees(np.hstack([plain, source_features(encoder, amounts)])),
        TUNED: by_encoder,
    }
    found, minutes = {}, {}
    for route, compute in routes.items():
        start = time.process_time()
        predicted = np.full(len(there), np.median(y))  # of other elements than the 85
        predicted[there] = compute()
        found[route], minutes[route] = predicted, (time.process_time() - start) / 60
    found[MEAN] = (found[TREES_SOURCE] + found[TUNED]) / 2
    minutes[MEAN] = minutes[TREES_SOURCE] + minutes[TUNED]
    kept = pd.DataFrame({"row": tested, "target": board.target[tested]})
    kept.assign(**{route: of[tested] for route, of in found.items()}).to_csv(
        folder / "predictions.csv", index=False
    )
    return [
        {"board": name, "fold": fold, "route": route, "training rows": len(learned)}
        | _scores(predicted[tested], board.target[tested])
        | {"cpu minutes": minutes[route]}
        for route, predicted in found.items()
    ]


def _scores(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Mean absolute error of all rows and of those above 0, and R²."""
    error, above = np.abs(predicted - target), target > 0
    return {
        "test rows": len(target),
        "mae": float(error.mean()),
        "mae above 0": float(error[above].mean()),
        "r2": float(r2_score(target, predicted)),
    }


def _pieces() -> dict[str, Piece]:
    folds = dict.fromkeys(MATBENCH, 5) | {TC: 1, TC_SYSTEMS: 1}
    return {
        f"{name.split(',')[0]}-{'systems' if name == TC_SYSTEMS else fold}": partial(
            board_piece, name, fold
        )
        for name, n in folds.items()
        for fold in range(n)
    }


JOBS = [
    Job(
        "leaderboards",
        "Matbench's measured and calculated gaps, JARVIS's Tc: on their own folds",
        5.0,
        _pieces,
    )
]
