"""The jobs of the 27 small tasks that need nothing learned before: trees, encoders from scratch.

The four tasks of OQMD have jobs of their own, see `encoders`. What a source brings: `transfer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matgan.data.tasks import PEERS, composition_tasks, load_task_fold
from matgan.learning.evaluation import CHANGE, SHARE
from matgan.learning.statistics import Interval, mean_interval
from matgan.representation.encoder.estimator import CompositionEncoder, load_encoder
from matgan.representation.encoder.routes import (
    TREES_RATE,
    Compounds,
    by_encoder,
    by_trees,
    combination,
    plain_features,
    read_compounds,
    with_table,
)
from matgan.representation.encoder.sources import OQMD
from matgan.representation.tables import load_embedding, permuted_embedding
from matgan.study.jobs.pieces import Piece, Rows, computed_once
from matgan.study.jobs.runner import Job

TREES, TREES_T, TREES_T_MIXED = "trees", "trees with T", "trees with permuted T"
TREES_SLOWER = "trees, half the rate"
SCRATCH, COMBINED = "encoder from scratch", "combined without a source"
BY_TREES, BY_SCRATCH = "small-data-trees", "small-data-scratch"  # jobs
T = "wgan-mp"  # learned from compositions of the Materials Project, without any property
LABELS_DRAWN = (100, 300, 1000)  # labels of the learning curves, and all
CURVES = ("phonons", "expt_gap", "elasticity_log10(K_VRH)", "castelli")
ENCODER: dict[str, Any] = {"width": 128, "layers": 3, "heads": 4, "dropout": 0.1}
# compounds of all folds: learning curves come between; T, and half the rate, are left out above
CHEAP, LARGE = 25_000, 100_000


@dataclass(frozen=True)
class Part:
    """A fold of a task, with all of its labels or with some of them drawn at random."""

    task: str
    fold: int
    labels: int | None = None  # None: all, with the parts as published
    seed: int = 0  # of the models, and with the fold of what is drawn

    @property
    def key(self) -> str:
        """Of the part's pieces."""
        words = [self.task, str(self.fold), *([str(self.labels)] if self.labels else [])]
        return "".join(c if c.isalnum() else "-" for c in "-".join(words))

    def compounds(self) -> Compounds:
        """What there is to learn from and to test on."""
        found = read_compounds(load_task_fold(self.task, self.fold))
        return found.fewer(self.labels, self.fold) if self.labels else found

    def row(self, compounds: Compounds, route: str, predicted: np.ndarray, minutes: float) -> dict:
        """Of the table."""
        sizes = {part: len(rows) for part, rows in compounds.rows.items()}
        return (
            {"task": self.task, "fold": self.fold, "route": route, "seed": self.seed}
            | {"labels": sizes["train"] + sizes["val"], "drawn": self.labels is not None}
            | {f"mae_{part}": compounds.error(predicted, part) for part in ("val", "test")}
            | {"test compounds": sizes["test"] + len(compounds.lost_target)}
            | {"cpu minutes": minutes}
        )


def task_parts() -> list[Part]:
    """Every fold of every task but OQMD's, cheapest tasks first; learning curves before the last.

    So a table is of use when a job has done a part of its pieces.
    """
    listed = composition_tasks().drop(index=list(OQMD))
    rows = (listed["folds"] * listed["compounds"]).sort_values(kind="stable")
    whole = [Part(task, fold) for task in rows.index for fold in range(listed.loc[task, "folds"])]
    drawn = [
        Part(task, fold, labels)
        for labels in LABELS_DRAWN
        for task in CURVES
        for fold in range(5)
        if labels < listed.loc[task, "compounds"] * 0.7
    ]
    cheap = [part for part in whole if rows[part.task] < CHEAP]
    return [*cheap, *drawn, *whole[len(cheap) :]]


# --- trees ----------------------------------------------------------------------------------------


def known_trees(part: Part, compounds: Compounds, work: Path) -> tuple[np.ndarray, float]:
    """What trees of fractions and Magpie predict for a part, computed once under `work`."""
    path = work / BY_TREES / part.key / "trees.npz"
    features = partial(plain_features, compounds.amounts)
    return computed_once(path, lambda: by_trees(compounds, features(), part.seed))


def trees_piece(part: Part, folder: Path) -> Rows:
    """Errors of boosted trees on fractions and Magpie's statistics."""
    compounds = part.compounds()
    return [part.row(compounds, TREES, *known_trees(part, compounds, folder.parent.parent))]


def table_piece(part: Part, folder: Path) -> Rows:
    """Errors with the mean of T beside these features, and of T with its rows mixed up."""
    compounds, rows = part.compounds(), []
    table = load_embedding(T)
    for route, of in ((TREES_T, table), (TREES_T_MIXED, permuted_embedding(table, part.fold))):

        def predicted(of: pd.DataFrame = of) -> np.ndarray:
            return by_trees(compounds, with_table(compounds.amounts, of), part.seed)

        path = folder / f"{route.replace(' ', '-')}.npz"
        rows.append(part.row(compounds, route, *computed_once(path, predicted)))
    return rows


def slower_piece(part: Part, folder: Path) -> Rows:
    """Errors of the trees at half the learning rate: would they be better if they took longer?"""
    compounds = part.compounds()

    def predicted() -> np.ndarray:
        return by_trees(compounds, plain_features(compounds.amounts), part.seed, TREES_RATE / 2)

    return [part.row(compounds, TREES_SLOWER, *computed_once(folder / "trees.npz", predicted))]


def _trees_pieces() -> dict[str, Piece]:
    """In the order of the parts; behind the learning curves, of tasks not large, with T and slower.

    The cheap ones come with T before any is slower.
    """
    pieces: dict[str, Piece] = {}
    listed = composition_tasks()
    rows = listed["folds"] * listed["compounds"]
    parts = task_parts()
    last_drawn = max(k for k, part in enumerate(parts) if part.labels)
    for k, part in enumerate(parts):
        pieces[part.key] = partial(trees_piece, part)
        if k >= last_drawn:
            earlier = parts[:k] if k == last_drawn else [part]
            more = [of for of in earlier if of.labels is None and rows[of.task] < LARGE]
            pieces |= {f"{of.key}-T": partial(table_piece, of) for of in more}
            pieces |= {f"{of.key}-slower": partial(slower_piece, of) for of in more}
    return pieces


# --- an encoder from scratch ----------------------------------------------------------------------


def schedule(n: int) -> dict[str, Any]:
    """Epochs and batches of an encoder for n training compounds."""
    if n < 2000:
        return {"epochs": 200, "batch_size": 32}
    if n < 20_000:
        return {"epochs": 100, "batch_size": 128}
    return {"epochs": 40, "batch_size": 512}


def task_encoder(
    n: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path | None = None,
    start: Path | None = None,
    times: int = 1,
) -> CompositionEncoder:
    """An encoder for n training compounds.

    It has the sizes of the one that it starts from, and so many times the usual epochs.
    """
    sizes, how = ENCODER, schedule(n)
    if start is not None:
        learned = load_encoder(start)
        sizes = ENCODER | {name: getattr(learned, name) for name in ("width", "layers", "heads")}
    return CompositionEncoder(
        **sizes, **how | {"epochs": times * how["epochs"]}, start=start, random_state=seed,
        learning_rate=learning_rate, precision="auto", checkpoint=checkpoint,
    )  # fmt: skip


def known_scratch(part: Part, compounds: Compounds, work: Path) -> tuple[np.ndarray, float]:
    """What an encoder from scratch predicts for a part, computed once under `work`."""
    folder = work / BY_SCRATCH / part.key

    def predicted() -> np.ndarray:
        checkpoint = folder / "scratch.checkpoint"
        n = len(compounds.rows["train"])
        return by_encoder(compounds, task_encoder(n, 1e-3, part.seed, checkpoint))

    return computed_once(folder / "scratch.npz", predicted)


def scratch_piece(part: Part, folder: Path) -> Rows:
    """Errors of an encoder that knows nothing before, and of its combination with the trees."""
    compounds, work = part.compounds(), folder.parent.parent
    members = [known(part, compounds, work) for known in (known_scratch, known_trees)]
    return [
        part.row(compounds, SCRATCH, *members[0]),
        part.row(compounds, COMBINED, *combined(compounds, members)),
    ]


def combined(
    compounds: Compounds, members: list[tuple[np.ndarray, float]]
) -> tuple[np.ndarray, float]:
    """The weighted mean of several predictions, by the validation part; and all their minutes."""
    of = np.stack([predicted for predicted, _ in members])
    val = compounds.rows["val"]
    weights = combination(of[:, val], compounds.target[val])
    return weights @ of, sum(minutes for _, minutes in members)


# --- the table ------------------------------------------------------------------------------------


def errors_of_tasks(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of every route on every task: the mean over all test compounds, of all folds together.

    As the peers' errors are counted.

    Parameters
    ----------
    rows : of the jobs of the tasks; with drawn labels only they do not count

    Returns
    -------
    DataFrame, index task, a column for each route; NaN where not all folds of the task are there
    """
    rows = rows[~rows["drawn"]]
    weighed = rows.assign(total=rows["mae_test"] * rows["test compounds"])
    groups = weighed.groupby(["task", "route"], sort=False)
    sums = groups[["total", "test compounds"]].sum()
    needed = composition_tasks()["folds"].reindex(sums.index.get_level_values("task"))
    whole = groups["fold"].nunique().to_numpy() == needed.to_numpy()
    mean = (sums["total"] / sums["test compounds"])[whole].rename("error").reset_index()
    return mean.pivot_table("error", "task", "route").reindex(columns=rows["route"].unique())


def beside_peers(errors: pd.DataFrame) -> pd.DataFrame:
    """How routes stand against what others reached on the same tasks.

    Parameters
    ----------
    errors : as from `errors_of_tasks`

    Returns
    -------
    DataFrame, index route: tasks; ratio, the geometric mean of its errors over CrabNet's; best, the
    number of tasks where it is below every one of the peers; rank, its mean place among the peers
    """
    peers = composition_tasks().loc[errors.index, list(PEERS)]
    ratios = np.log(errors.div(peers["CrabNet"], axis=0))
    best = errors.lt(peers.min(axis=1), axis=0)
    places = {
        route: (1 + peers.lt(error, axis=0).sum(axis=1))[error.notna()].mean()
        for route, error in errors.items()
    }
    return pd.DataFrame(
        {"tasks": errors.notna().sum(), "ratio": np.exp(ratios.mean()), "best": best.sum()}
        | {"rank": pd.Series(places)}
    )


def ratio_of_routes(errors: pd.DataFrame, a: str, b: str) -> Interval:
    """Geometric mean of one route's errors over another's, over the tasks that both have done.

    Parameters
    ----------
    errors : as from `errors_of_tasks`
    a, b : columns of it; below 1 the first one is better

    Returns
    -------
    Interval, by Student's t of the logarithms over tasks; `p` for a ratio of 1; NaN: no such task
    """
    if not {a, b} <= set(errors.columns):
        return Interval(*[np.nan] * 5)
    logarithms = np.log(errors[a] / errors[b]).dropna()
    if logarithms.empty:
        return Interval(*[np.nan] * 5)
    of = mean_interval(logarithms.to_numpy())
    mean, low, high = np.exp([of.mean, of.low, of.high]).tolist()
    return Interval(mean, low, high, of.t, of.p)


def compared_routes(errors: pd.DataFrame, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    """A row for each pair of routes: a, b, tasks that both have done, `ratio_of_routes`, its ends.

    Parameters
    ----------
    errors : as from `errors_of_tasks`; its columns need not have every route
    pairs : (a, b), see `ratio_of_routes`
    """
    rows = []
    for a, b in pairs:
        of, both = ratio_of_routes(errors, a, b), errors.reindex(columns=[a, b]).notna().all(axis=1)
        row = {"a": a, "b": b, "tasks": int(both.sum()), "error of a over b": of.mean}
        rows.append(row | {"low": of.low, "high": of.high, "p": of.p})
    return pd.DataFrame(rows)


def trees_are_settled(errors: pd.DataFrame, ratio: float) -> bool:
    """Whether trees at half the learning rate, which take twice as long, could decide otherwise.

    Parameters
    ----------
    errors : as from `errors_of_tasks`
    ratio : of errors, which a claim says to be below 1

    Returns
    -------
    whether the geometric mean of the errors, over the tasks that have both, changes by less than 2%
    and by less than half of what the ratio is away from 1
    """
    change = abs(ratio_of_routes(errors, TREES_SLOWER, TREES).mean - 1)
    return bool(change < min(CHANGE, SHARE * abs(ratio - 1)))


JOBS = [
    Job(
        BY_TREES,
        "27 tasks on their published parts, and fewer labels: boosted trees, with and without T",
        2.5,
        _trees_pieces,
    ),
    Job(
        BY_SCRATCH,
        "the same: composition encoders from scratch, and combined with the trees",
        5.0,
        lambda: {part.key: partial(scratch_piece, part) for part in task_parts()},
    ),
]
