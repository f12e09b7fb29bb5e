"""What T knows of an element that no label holds, against the compositions that the GAN saw.

Ours, trained on some compositions of the Materials Project for as many updates as the weights that
ship; those saw all. Labels, folds, networks and learning rates are those that decide in `elements`,
for formation energies. Training k stands in the folds k and k + 5.

The rule, written before the run: the more compositions its GAN saw, the more T knows, where its
mean error over the ten folds falls from each number to the next, p < 0.05 between the fewest and
all, and all permuted rows are behind. It has converged where the T of half of the updates gives the
same mean error within 2%.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.data.compounds import training_data
from matgan.data.training_set import TrainingData
from matgan.generated.sweep import halfway, same_group
from matgan.learning.evaluation import CHANGE
from matgan.learning.statistics import compare
from matgan.representation.benchmark import ENERGY
from matgan.representation.features import PooledEmbedding
from matgan.representation.tables import load_embedding, permuted_embedding, trained_table
from matgan.study.jobs.paper import elements
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate
from matgan.wgan.config import LEARNING
from matgan.wgan.training import train_wgan

NAME = "compositions-seen"
SEEN = (1000, 10_000)  # by trainings of the job; all, by the weights that ship
TRAININGS, UPDATES = 5, 20_000
T, HALF, MIXED = "T", "T, half of the updates", "permuted T"


def fewer(data: TrainingData, n: int, seed: int) -> TrainingData:
    """Some of the training compositions, drawn at random; the test compositions stay."""
    rows = np.random.default_rng([seed, n]).choice(len(data.train), n, replace=False)
    return TrainingData(data.train[np.sort(rows)], data.test)


def trained_piece(n: int, training: int, updates: int, folder: Path) -> Rows:
    """Train on n compositions; errors of T, of the T of half of the updates, of permuted rows."""
    data = fewer(training_data("mp"), n, training)
    config = LEARNING.replace(seed=training, iterations=updates)
    run = train_wgan(config, data, folder)
    half = trained_table(run.snapshots["T"][halfway(run)])
    return list(_rows(n, training, trained_table(run.snapshots["T"][-1]), half))


def shipped_piece(training: int, folder: Path) -> Rows:
    """The same of weights that ship, which saw all compositions."""
    name = elements.trainings("mp")[training]
    n = len(training_data("mp").train)
    return list(_rows(n, training, load_embedding(name), None))


def _rows(n: int, training: int, table: pd.DataFrame, half: pd.DataFrame | None) -> Iterator[dict]:
    task, labels = elements.task_of(ENERGY), elements.DECIDES[ENERGY]
    of_fold: dict[str, Callable[[int], pd.DataFrame]] = {T: lambda fold: table}
    of_fold[MIXED] = partial(permuted_embedding, table)
    if half is not None:
        of_fold[HALF] = lambda fold: half
    group = same_group(table.to_numpy())
    for name, table_of in of_fold.items():
        known = "permuted T (mp)" if name == MIXED else "T (mp)"
        rate = best_rate(elements.SEARCH, elements.method(ENERGY, known))

        def describe(fold: int, table_of=table_of) -> np.ndarray:
            return task.described(PooledEmbedding(table_of(fold), "mean", dtype=np.float32))

        for fold in range(training, elements.FOLDS, TRAININGS):
            model = elements.sized(labels, rate)
            (row,) = elements.fold_rows(task, describe, [fold], labels, model)
            given = {"compositions": n, "training": training, "features": name}
            yield given | row | {"same group": group if name == T else None}


# --- reading the table ----------------------------------------------------------------------------


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean error over the folds: a row for each number of compositions, a column for each of `T`,
    `MIXED` and `HALF`; without numbers that lack a fold."""
    counts = rows.pivot_table("mae", "compositions", "features", "count")
    whole = counts.index[(counts[[T, MIXED]] == elements.FOLDS).all(axis=1)]
    return rows.pivot_table("mae", "compositions", "features").loc[whole]


def verdict(rows: pd.DataFrame) -> dict:
    """What the rule above says: holds, converged and repeats, as `Claims.add` takes them."""
    mean = means(rows)
    if len(mean) < 1 + len(SEEN):
        return {"holds": [None], "repeats": 0, "converged": False}
    ends = rows[rows["features"] == T].assign(features=lambda t: t["compositions"].astype(str))
    fewest, most = (str(n) for n in (mean.index.min(), mean.index.max()))
    test = compare(ends, pairs=[(most, fewest)], within=(), ratio=lambda _: 0.0)
    holds = [bool((mean[T].diff().dropna() < 0).all())]
    holds += [bool(test["difference"].iloc[0] < 0 and test["p"].iloc[0] < 0.05)]
    holds += [bool((mean[T] < mean[MIXED]).all())]
    trained = mean.dropna(subset=HALF)
    settled = len(trained) and ((trained[HALF] / trained[T] - 1).abs() < CHANGE).all()
    return {"holds": holds, "repeats": elements.FOLDS, "converged": bool(settled)}


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {f"all-{k}": partial(shipped_piece, k) for k in range(TRAININGS)}
    for k in range(TRAININGS):  # each number gets its first folds first
        pieces |= {f"{n}-{k}": partial(trained_piece, n, k, UPDATES) for n in SEEN}
    return pieces


JOBS = [
    Job(
        NAME,
        "what T knows of elements without labels, after 1,000, 10,000 and all compositions of the "
        "Materials Project",
        6.0,
        _pieces,
        reads=(elements.SEARCH,),
    )
]
