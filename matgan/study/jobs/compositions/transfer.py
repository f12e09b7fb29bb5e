"""The jobs of what is learned elsewhere: sources, and what they bring where data are few."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.files import PRETRAINED
from matgan.learning.evaluation import CHANGE
from matgan.representation.encoder import sources
from matgan.representation.encoder.estimator import CompositionEncoder, load_encoder
from matgan.representation.encoder.routes import (
    by_encoder,
    by_trees,
    permuted,
    plain_features,
    source_features,
)
from matgan.representation.encoder.sources import OQMD, joint_labels
from matgan.study.jobs.compositions.leaderboards import BoardFold, board_folds, boosted
from matgan.study.jobs.compositions.tasks import (
    ENCODER,
    Part,
    combined,
    known_scratch,
    known_trees,
    task_encoder,
    task_parts,
)
from matgan.study.jobs.pieces import Piece, Rows, computed_once
from matgan.study.jobs.runner import Job

TREES_SOURCE = "trees with a source's predictions"
TREES_MIXED = "trees with those of the permuted source"
TUNED = "encoder fine-tuned"
TUNED_MIXED = "encoder fine-tuned from the permuted source"
COMBINED_SOURCE, COMBINED_MIXED = "combined", "combined with the permuted source"
MEAN_SOURCE = "mean of trees and encoder, with a source"
BIG = "matbench_mp_gap"  # a hundred thousand compounds
SEVERAL = 5  # encoders fine-tuned, from other seeds
TUNED_LONGER = f"{TUNED}, twice the epochs"
TUNED_SEVERAL = f"{SEVERAL} encoders fine-tuned"
MEAN_SEVERAL = f"mean of trees and {SEVERAL} encoders, with a source"
RATE = 5e-4  # of the fine-tuning


# --- what is learned before -----------------------------------------------------------------------


@dataclass(frozen=True)
class SourceOf:
    """Which tables an encoder learns from, and whose compounds it must not see."""

    tasks: tuple[str, ...]
    without: str  # "small": the small tasks; "others": all but OQMD's
    epochs: int

    @property
    def file(self) -> Path:
        """Where it lies once it ships."""
        return PRETRAINED / f"encoder-without-{self.without}.safetensors"


ENCODER_SOURCES = {
    "without-small": SourceOf((*OQMD, *sources.MATERIALS_PROJECT), "small", 80),
    "without-others": SourceOf(OQMD, "others", 80),
}


def source_piece(name: str, folder: Path) -> Rows:
    """Train an encoder on large tables; its errors on a hundredth of the compositions, held out.

    One that lies in the folder is only measured: a GPU takes minutes, a processor hours.
    """
    of = ENCODER_SOURCES[name]
    names = sources.small_tasks() if of.without == "small" else sources.other_tasks()
    labels = joint_labels(of.tasks, names)
    held = np.random.default_rng(0).random(len(labels.amounts)) < 0.01
    path = folder / of.file.name
    if not path.is_file():
        encoder = CompositionEncoder(
            **ENCODER | {"dropout": 0.0},
            epochs=of.epochs, batch_size=1024, learning_rate=5e-3, average=0.9995,
            checkpoint=folder / "encoder.checkpoint",
        )  # fmt: skip
        encoder.fit(labels.amounts[~held], labels.targets[~held]).save(path)
    encoder = load_encoder(path)
    error = np.abs(encoder.predict(labels.amounts[held]) - labels.targets[held])
    away = np.abs(labels.targets[held] - np.nanmedian(labels.targets[~held], axis=0))
    return [
        {"source": name, "property": task, "epochs": of.epochs, "compositions": int((~held).sum())}
        | {"left out": labels.left_out, "labels": int((~np.isnan(labels.targets[:, i])).sum())}
        | {"mae": float(np.nanmean(error[:, i])), "mae_median": float(np.nanmean(away[:, i]))}
        for i, task in enumerate(of.tasks)
    ]


# --- what it brings -------------------------------------------------------------------------------


def source_of(task: str) -> SourceOf:
    """The source that saw no compound of a task."""
    small = task in sources.small_tasks()
    return ENCODER_SOURCES["without-small" if small else "without-others"]


def transfer_piece(part: Part, folder: Path) -> Rows:
    """Errors of every route with a source, and with the permuted one, on one part of a task."""
    compounds, work = part.compounds(), folder.parent.parent
    source = source_of(part.task)
    learned = load_encoder(source.file)
    folder.mkdir(parents=True, exist_ok=True)
    mixed_file = folder / "permuted.safetensors"
    mixed = permuted(learned, mixed_file, part.seed)

    def trees(encoder: CompositionEncoder) -> np.ndarray:
        parts = plain_features(compounds.amounts), source_features(encoder, compounds.amounts)
        return by_trees(compounds, np.hstack(parts), part.seed)

    def tuned(start: Path) -> np.ndarray:
        n, checkpoint = len(compounds.rows["train"]), folder / f"{start.stem}.checkpoint"
        return by_encoder(compounds, task_encoder(n, RATE, part.seed, checkpoint, start))

    routes = {
        TREES_SOURCE: lambda: trees(learned),
        TREES_MIXED: lambda: trees(mixed),
        TUNED: lambda: tuned(source.file),
        TUNED_MIXED: lambda: tuned(mixed_file),
    }
    found = {
        route: computed_once(folder / f"{i}.npz", predicted)
        for i, (route, predicted) in enumerate(routes.items())
    }
    without = [known(part, compounds, work) for known in (known_trees, known_scratch)]
    for name, members in (
        (COMBINED_SOURCE, (TREES_SOURCE, TUNED)),
        (COMBINED_MIXED, (TREES_MIXED, TUNED_MIXED)),
    ):
        found[name] = combined(compounds, [*without, *(found[route] for route in members)])
    return [part.row(compounds, route, *of) for route, of in found.items()]


def board_piece(of: BoardFold, folder: Path) -> Rows:
    """Errors with a source on one fold of a leaderboard."""
    trees, encoder = _with_trees(of, folder), _tuned(of, 0, folder)
    return [
        of.row(TREES_SOURCE, *trees),
        of.row(TUNED, *encoder),
        of.mean_row(MEAN_SOURCE, [trees, encoder], folder),
    ]


def several_piece(of: BoardFold, folder: Path) -> Rows:
    """Errors of several encoders with a source, and of their mean with the trees, half by half."""
    before = folder.parent / of.key
    encoders = [_tuned(of, seed, folder if seed else before) for seed in range(SEVERAL)]
    mean = np.mean([predicted for predicted, _ in encoders], axis=0)
    together = mean, sum(minutes for _, minutes in encoders)
    return [
        of.mean_row(TUNED_SEVERAL, encoders, folder),
        of.mean_row(MEAN_SEVERAL, [_with_trees(of, before), together], folder),
    ]


def longer_piece(of: BoardFold, folder: Path) -> Rows:
    """Errors of one encoder after twice the epochs: were they enough?"""
    return [of.row(TUNED_LONGER, *_tuned(of, 0, folder, times=2))]


def encoders_are_settled(boards: pd.DataFrame, board: str) -> bool:
    """Whether twice the epochs change a fine-tuned encoder's error by less than 2%.

    Parameters
    ----------
    boards : rows of the jobs of the leaderboards: board, fold, route, mae
    board : on its first fold; False where that has not run
    """
    first = boards[(boards["board"] == board) & (boards["fold"] == 0)]
    error = first.set_index("route")["mae"].reindex([TUNED, TUNED_LONGER])
    return bool(abs(error[TUNED_LONGER] / error[TUNED] - 1) < CHANGE)


def _source_of(of: BoardFold) -> SourceOf:
    return ENCODER_SOURCES["without-others" if of.board == BIG else "without-small"]


def _with_trees(of: BoardFold, folder: Path) -> tuple[np.ndarray, float]:
    """Predictions of trees that know a source's, kept in the folder, and their minutes."""
    encoder = load_encoder(_source_of(of).file)

    def features(amounts: np.ndarray) -> np.ndarray:
        return np.hstack([plain_features(amounts), source_features(encoder, amounts)])

    return of.predictions(TREES_SOURCE, partial(boosted, features), folder)


def _tuned(of: BoardFold, seed: int, folder: Path, times: int = 1) -> tuple[np.ndarray, float]:
    """Predictions of an encoder that starts from a source, and their minutes."""

    def tuned(amounts: np.ndarray, y: np.ndarray, tested: np.ndarray) -> np.ndarray:
        checkpoint, start = folder / "encoder.checkpoint", _source_of(of).file
        encoder = task_encoder(len(y), RATE, seed, checkpoint, start, times)
        return encoder.fit(amounts, y).predict(tested)

    route = TUNED_LONGER if times > 1 else TUNED
    return of.predictions(f"{route} {seed}" if seed else route, tuned, folder)


def _board_pieces() -> dict[str, Piece]:
    """Each board's folds; where that takes minutes, with several encoders, and one longer."""
    pieces: dict[str, Piece] = {}
    for board, folds in groupby(board_folds(), key=lambda of: of.board):
        here = list(folds)
        pieces |= {of.key: partial(board_piece, of) for of in here}
        if board != BIG:
            pieces |= {f"{of.key}-several": partial(several_piece, of) for of in here}
            pieces[f"{here[0].key}-longer"] = partial(longer_piece, here[0])
    return pieces


JOBS = [
    Job(
        "encoder-sources",
        "encoders of what is known of OQMD and the Materials Project, without the tasks' compounds",
        2.5,
        lambda: {name: partial(source_piece, name) for name in ENCODER_SOURCES},
    ),
    Job(
        "small-data-transfer",
        "27 tasks, and fewer labels: trees and encoders with a source, and with the permuted one",
        9.0,
        lambda: {part.key: partial(transfer_piece, part) for part in task_parts()},
    ),
    Job(
        "leaderboards-transfer",
        f"the leaderboards with a source: trees, encoder, {SEVERAL} of these, their mean",
        4.0,
        _board_pieces,
    ),
]
