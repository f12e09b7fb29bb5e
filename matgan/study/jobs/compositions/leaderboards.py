"""The job of the public leaderboards: their own parts, from compositions alone.

Matbench's folds are scikit-learn's `KFold` with the seed that its file of folds states (Dunn et al.
2020); the rows of the crabnet wheel stand in its order. Every row of a test part is predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold

from matgan.data.sources import read_csv, wheel_table
from matgan.data.splits import chemical_systems
from matgan.representation.encoder.routes import TREES_RATE, plain_features, with_table
from matgan.representation.encoder.sources import read_amounts
from matgan.representation.encoder.trees import CrossFittedTrees, GatedTrees
from matgan.representation.tables import load_embedding, permuted_embedding
from matgan.study.jobs.compositions.tasks import (
    SCRATCH,
    TREES,
    TREES_T,
    TREES_T_MIXED,
    T,
    task_encoder,
)
from matgan.study.jobs.pieces import Piece, Rows, computed_once
from matgan.study.jobs.runner import Job

MATBENCH = {"matbench_expt_gap": "expt_gap", "matbench_mp_gap": "mp_gap"}
MATBENCH_SEED = 18012019
TC, TC_SYSTEMS = "supercon_chem_Tc", "supercon_chem_Tc, systems held out"
FOLDS_OF_BOARDS = {
    "matbench_expt_gap": 5,
    TC: 1,
    TC_SYSTEMS: 1,
    "matbench_mp_gap": 5,
}  # cheapest first
MEAN = "mean of trees and encoder"
NAME = "leaderboards"  # of the job

# amounts and targets to learn from, amounts to predict -> predictions
Learns = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


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


@dataclass(frozen=True)
class BoardFold:
    """One fold of a leaderboard, whose predictions lie in the folder of a piece."""

    board: str
    fold: int

    @property
    def key(self) -> str:
        """Of the fold's pieces."""
        part = "systems" if self.board == TC_SYSTEMS else str(self.fold)
        return f"{self.board.partition(',')[0]}-{part}"

    def predictions(self, route: str, learns: Learns, folder: Path) -> tuple[np.ndarray, float]:
        """(tested,) predictions of one route, computed once, and their minutes.

        What holds another element than the 85 is not learned from, and gets the median.
        """

        def predicted() -> np.ndarray:
            board = load_board(self.board)
            learned, tested = board.folds[self.fold]
            amounts, of_learned = read_amounts([board.formulas[row] for row in learned])
            unknown, of_tested = read_amounts([board.formulas[row] for row in tested])
            y = board.target[learned][of_learned]
            found = np.full(len(tested), np.median(y))
            found[of_tested] = learns(amounts, y, unknown)
            return found

        return computed_once(predictions_file(folder, route), predicted)

    def row(self, route: str, predicted: np.ndarray, minutes: float) -> dict:
        """Of the table."""
        board = load_board(self.board)
        learned, tested = board.folds[self.fold]
        return (
            {"board": self.board, "fold": self.fold, "route": route, "rows": len(learned)}
            | _scores(predicted, board.target[tested])
            | {"cpu minutes": minutes}
        )

    def rows(self, routes: dict[str, Learns], folder: Path) -> Rows:
        """Of several routes."""
        return [
            self.row(route, *self.predictions(route, learns, folder))
            for route, learns in routes.items()
        ]

    def mean_row(self, name: str, members: list[tuple[np.ndarray, float]], folder: Path) -> dict:
        """Of the mean of some predictions, which is kept, too."""
        mean = np.mean([predicted for predicted, _ in members], axis=0)
        mean, _ = computed_once(predictions_file(folder, name), lambda: mean)
        return self.row(name, mean, sum(minutes for _, minutes in members))


def predictions_file(folder: Path, route: str) -> Path:
    """Where the predictions of a route lie in the folder of a piece."""
    return folder / f"{route.replace(' ', '-').replace(',', '')}.npz"


def board_folds() -> list[BoardFold]:
    """Every fold of every leaderboard, cheapest first."""
    return [BoardFold(board, fold) for board, n in FOLDS_OF_BOARDS.items() for fold in range(n)]


def boosted(
    features: Callable[[np.ndarray], np.ndarray],
    amounts: np.ndarray,
    y: np.ndarray,
    tested: np.ndarray,
) -> np.ndarray:
    """Predictions of cross-fitted gated trees; see `Learns`."""
    trees = CrossFittedTrees(GatedTrees(learning_rate=TREES_RATE))
    return trees.fit(features(amounts), y).predict(features(tested))


def trees_piece(of: BoardFold, folder: Path) -> Rows:
    """Errors of trees on fractions and Magpie's statistics."""
    return of.rows({TREES: partial(boosted, plain_features)}, folder)


def table_piece(of: BoardFold, folder: Path) -> Rows:
    """Errors with the mean of T beside these features, and of T with its rows mixed up."""
    table = load_embedding(T)
    tables = {TREES_T: table, TREES_T_MIXED: permuted_embedding(table, of.fold)}
    routes: dict[str, Learns] = {
        route: partial(boosted, partial(with_table, table=table)) for route, table in tables.items()
    }
    return of.rows(routes, folder)


def scratch_piece(of: BoardFold, folder: Path) -> Rows:
    """Errors of an encoder from scratch, and of its mean with the trees."""

    def scratch(amounts: np.ndarray, y: np.ndarray, tested: np.ndarray) -> np.ndarray:
        encoder = task_encoder(len(y), 1e-3, 0, folder / "encoder.checkpoint")
        return encoder.fit(amounts, y).predict(tested)

    by_encoder = of.predictions(SCRATCH, scratch, folder)
    by_trees = of.predictions(TREES, partial(boosted, plain_features), folder.parent / of.key)
    return [
        of.row(SCRATCH, *by_encoder),
        of.mean_row(MEAN, [by_trees, by_encoder], folder),
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
    """Of one leaderboard after the other: trees, then with T, then encoders."""
    pieces: dict[str, Piece] = {}
    for board in FOLDS_OF_BOARDS:
        folds = [of for of in board_folds() if of.board == board]
        pieces |= {of.key: partial(trees_piece, of) for of in folds}
        pieces |= {f"{of.key}-T": partial(table_piece, of) for of in folds}
        pieces |= {f"{of.key}-scratch": partial(scratch_piece, of) for of in folds}
    return pieces


JOBS = [
    Job(
        NAME,
        "Matbench's measured and calculated gaps, JARVIS's Tc, on their own folds: trees, with and "
        "without T, an encoder from scratch, their mean",
        4.0,
        _pieces,
    )
]
