"""The jobs of Table 4 on the authors' own files: settings searched, then scored to convergence.

What is compared, and why, says `matgan.study.jobs.paper.authors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain, product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone

from matgan.learning.evaluation import fit_splits, search
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import METRICS, scores
from matgan.representation.benchmark import SETTINGS, Task, chosen_settings
from matgan.representation.published import HU_2020_REGRESSOR
from matgan.study.jobs.paper.authors import (
    APART,
    BOTH_KINDS,
    EPOCHS,
    OQMD_REPEATS,
    PAPER_ENERGY,
    PAPER_GAP,
    PAPER_TC,
    PLAIN,
    REPEATS,
    SEARCH_EPOCHS,
    SEED,
    claimed,
    compared_with,
    descriptions,
    load_paper_task,
    paper_own_T,
    splits_of,
    tables_of_T,
    training_of,
)
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import LONG, NotYetMade

AT_A_TIME = 5  # repeats of a piece
OQMD_CHECKED = 1
SEARCH = "table4-authors-search"  # the job whose settings the others take
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
SCALINGS = ("standard", "common", None)


def network(task: Task, times: int = 1) -> FullyConnectedRegressor:
    """The paper's network, trained to the end of its epochs or of a multiple of them."""
    epochs = times * task.epochs
    return task.network(SEED, "auto").set_params(epochs=epochs, patience=epochs)


def search_piece(dataset: str, features: str, folder: Path) -> Rows:
    """Trials of input scalings, then of learning rates, until the best has worse ones beside it.

    On the validation rows of the first split with equal compositions on one side.
    """
    task = load_paper_task(dataset)
    X, split = descriptions()[features](task, 0), splits_of(task, APART)[0]
    scalings = {"Magpie": ("standard", "max-abs"), "Magpie, unscaled": (None,)}
    grid: dict[str, Sequence] = {"input_scaling": scalings.get(features, SCALINGS)}
    grid["learning_rate"] = (3e-3,)
    epochs = SEARCH_EPOCHS[dataset]
    model = network(task).set_params(epochs=epochs, patience=epochs)
    best, tried = search(X, task.y, [split], model, grid)
    at = {RATES.index(3e-3): tried["validation_mae"].min()}
    while missing := [i for i in beside_best(at) if i not in at]:
        grid = {"input_scaling": (best.input_scaling,)}
        grid["learning_rate"] = tuple(RATES[i] for i in missing)
        _, more = search(X, task.y, [split], best, grid)
        at |= dict(zip(missing, more["validation_mae"], strict=True))
        tried = pd.concat([tried, more], ignore_index=True)
    inside = 0 < min(at, key=at.__getitem__) < len(RATES) - 1
    chosen = np.arange(len(tried)) == tried["validation_mae"].argmin()
    facts = {"dataset": dataset, "features": features, "epochs": epochs, "seed": SEED}
    return tried.assign(chosen=chosen, inside=inside, **facts).to_dict("records")


def beside_best(errors: dict[int, float]) -> list[int]:
    """Places in `RATES` next to that of the lowest error."""
    best = min(errors, key=errors.__getitem__)
    return [i for i in (best - 1, best + 1) if 0 <= i < len(RATES)]


def searched(task: Task, features: str) -> FullyConnectedRegressor:
    """The network with the settings that the search chose.

    Raises
    ------
    NotYetMade
        The search has no row for this description of this data set.
    """
    path = LONG / f"{SEARCH}.csv"
    table = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else None
    here = [] if table is None else table.query("dataset == @task.name and features == @features")
    if not len(here):
        raise NotYetMade(
            f"no settings for {features!r} on {task.name!r}: "
            f"`python -m matgan jobs run {SEARCH}` first"
        )
    return chosen_settings(here, task.name, features, network(task))


def score_piece(
    dataset: str, kind: str, features: str, repeats: Sequence[int], times: int, folder: Path
) -> Rows:
    """Scores on some repeats after a multiple of the epochs."""
    task = load_paper_task(dataset)
    epochs = times * task.epochs
    model = searched(task, features).set_params(epochs=epochs, patience=epochs)
    return score_repeats(task, kind, features, repeats, model)


def regressor_piece(
    dataset: str, kind: str, features: str, repeats: Sequence[int], folder: Path
) -> Rows:
    """Scores of the authors' own regressor on some repeats."""
    task, model = load_paper_task(dataset), FullyConnectedRegressor(**HU_2020_REGRESSOR)
    return score_repeats(task, kind, features, repeats, model)


def score_repeats(
    task: Task, kind: str, features: str, repeats: Sequence[int], model: FullyConnectedRegressor
) -> Rows:
    """Rows for repeats that follow each other, whose networks are trained side by side.

    The scores are those of the epoch that the validation rows chose, and those of the epoch that
    the test rows would have chosen by their R² (`test_chosen_…`), as the authors did.
    """
    X = np.stack([descriptions()[features](task, repeat) for repeat in repeats])
    splits = [splits_of(task, kind)[repeat] for repeat in repeats]
    model = clone(model).set_params(random_state=SEED + repeats[0])
    fitted = fit_splits(X, task.y, splits, model, watch_test=True)
    names = [name for name in tables_of_T() if name in features]
    rows = []
    for repeat, of, split, network in zip(repeats, X, splits, fitted, strict=True):
        peeked = network.history_.loc[network.history_["watched_r2"].idxmax()]
        row: dict[str, object] = {"dataset": task.name, "features": features, "split": kind}
        row |= {"repeat": repeat, "training": training_of(names[0], repeat) if names else ""}
        row |= {"n_train": len(split.train) + len(split.validation), "n_test": len(split.test)}
        row |= scores(task.y[split.test], network.predict(of[split.test]))
        row |= {f"test_chosen_{metric}": peeked[f"watched_{metric}"] for metric in METRICS}
        rows.append(row | {name: getattr(model, name) for name in SETTINGS} | {"seed": SEED})
    return rows


def _parts(repeats: int, size: int) -> list[range]:
    return [range(start, min(start + size, repeats)) for start in range(0, repeats, size)]


def _key(*parts: object) -> str:
    text = "--".join(str(part) for part in parts)
    return "".join(c if c.isalnum() or c == "-" else "_" for c in text)


def _search() -> dict[str, Piece]:
    pairs = product(EPOCHS, descriptions())
    return {_key(*pair): partial(search_piece, *pair) for pair in pairs}


def _claimed_and_rest() -> tuple[list[str], list[str]]:
    first = compared_with(claimed())
    return first, [features for features in descriptions() if features not in first]


def _scores() -> dict[str, Piece]:
    """What the claims need first, then the rest; all repeats of it, then for twice the epochs.

    All ten for twice as many: one network alone changes by several percent with its seed, so that
    five repeats do not tell 1% from 3%.
    """
    parts = [(part, times) for times in (1, 2) for part in _parts(REPEATS, AT_A_TIME)]
    of = [
        each
        for some in _claimed_and_rest()
        for each in product((PAPER_GAP, PAPER_TC), BOTH_KINDS, parts, some)
    ]
    return {
        _key(name, kind.split(",")[0], features, part[0], times * EPOCHS[name]): partial(
            score_piece, name, kind, features, part, times
        )
        for name, kind, (part, times), features in of
    }


def _oqmd_scores() -> dict[str, Piece]:
    given = (PAPER_ENERGY, PLAIN)  # no formula comes twice: both kinds are one
    parts = (range(OQMD_REPEATS), 1), (range(OQMD_CHECKED), 2)
    return {
        _key(features, times * EPOCHS[PAPER_ENERGY]): partial(
            score_piece, *given, features, part, times
        )
        for features, (part, times) in product(chain(*_claimed_and_rest()), parts)
    }


def regressor_features() -> list[str]:
    """What the authors' regressor is given: as in their code, unscaled, and the pilot's T."""
    ours = [f"{p}{name}" for name in ("T (mp), mean", "T (oqmd), sum") for p in ("", "permuted ")]
    return list(dict.fromkeys(["one-hot", "Magpie, unscaled", paper_own_T(), *ours]))


def _regressor() -> dict[str, Piece]:
    of = product(
        BOTH_KINDS, (PAPER_GAP, PAPER_TC), regressor_features(), _parts(REPEATS, AT_A_TIME)
    )
    return {
        _key(name, kind.split(",")[0], features, part[0]): partial(
            regressor_piece, name, kind, features, part
        )
        for kind, name, features, part in of
    }


JOBS = [
    Job(
        SEARCH,
        "input scaling and learning rate of every description, the authors' three files",
        3.0,
        _search,
    ),
    Job(
        "table4-authors",
        "Table 4 on the authors' gaps and superconductors: ten splits of two kinds",
        30.0,
        _scores,
        reads=(SEARCH,),
    ),
    Job(
        "table4-authors-regressor",
        "the same with the authors' own regressor, 300 epochs",
        6.0,
        _regressor,
        reads=(SEARCH,),
    ),
    Job(
        "table4-authors-oqmd",
        "Table 4 on the authors' OQMD formulas: three splits",
        8.0,
        _oqmd_scores,
        reads=(SEARCH,),
    ),
]
