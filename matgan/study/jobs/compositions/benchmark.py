"""The long computations behind notebooks 4 and 14: Table 4 to convergence, and its baselines.

Settings are searched first (`table4-search`): the other jobs read what it left in results/long.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.chemistry.composition import whole_counts
from matgan.data.splits import Split
from matgan.data.training_set import TrainingData
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.representation import benchmark, published
from matgan.representation.benchmark import ENERGY, GAP, RANDOM, RANDOM_T, T_OURS, TC, TC10, Task
from matgan.representation.features import (
    OneHot,
    PooledEmbedding,
    list_embeddings,
    load_embedding,
    random_embedding,
)
from matgan.representation.tables import trained_table
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import LONG, NotYetMade, RunError, read_table
from matgan.wgan.config import LEARNING, Config
from matgan.wgan.training import train_wgan

SEED, REPEATS, TRAININGS = 0, 10, 5
SETTINGS_SEARCH = "table4-search"  # the job whose settings the others take
CHECKED = 3  # repeats that are also trained for twice the epochs
EPOCHS = {GAP: 60, TC: 150, TC10: 150, ENERGY: 20}
EPOCHS |= {published.OQMD_SPLIT: 40, published.SUPERCON_SPLIT: 150}
EPOCHS |= {f"{published.GAP_FOLD} {fold}": 60 for fold in range(5)}
SETTINGS_GRID: dict[str, Sequence] = {
    "input_scaling": (None, "standard", "max-abs", "common"),
    "learning_rate": (3e-4, 1e-3, 3e-3, 8e-3, 2e-2),
}
SEARCH = {"rows": 10_000, "epochs": 30}
SIZES, STEPS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000), 4000
AGAIN = (1000, 3000)  # compounds to learn from with other trainings of T
UPDATES = 5000  # of the generator, for a T that did and one that did not see the test compounds

DATA = (GAP, TC, TC10, ENERGY)
FEATURES = tuple(benchmark.feature_sets(SEED))


def _task(dataset: str) -> Task:
    return benchmark.load_task(dataset, seed=SEED, epochs=EPOCHS[dataset])


def searched_network(task: Task, features: str, edge: bool = False) -> FullyConnectedRegressor:
    """The task's network with the settings that the job table4-search chose.

    Parameters
    ----------
    task : its name in the table
    features : theirs
    edge : a rate at the edge of the grid will do, where networks of the same features are compared

    Raises
    ------
    NotYetMade
        There are none for these features on these data, so that they would have others than those
        beside them.
    RunError
        The learning rate that was best is the lowest or highest that was tried.
    """
    path = LONG / f"{SETTINGS_SEARCH}.csv"
    searches = read_table(path) if path.is_file() else pd.DataFrame(columns=["dataset", "features"])
    tried = searches[(searches["dataset"] == task.name) & (searches["features"] == features)]
    what = f"settings of {features} on {task.name}"
    if tried.empty:
        raise NotYetMade(f"no {what} yet: `python -m matgan jobs run {SETTINGS_SEARCH}` finds them")
    (rate,) = tried.loc[tried["chosen"], "learning_rate"]
    if not edge and not tried["learning_rate"].min() < rate < tried["learning_rate"].max():
        raise RunError(f"{what}: the best learning rate, {rate:g}, lies at the edge of the grid")
    network = task.network(SEED, "auto")
    return benchmark.chosen_settings(searches, task.name, features, network)


def _rows(table: pd.DataFrame, seed: int = SEED) -> Rows:
    return table.assign(seed=seed).to_dict("records")


# --- Table 4 --------------------------------------------------------------------------------------


def search_piece(dataset: str, features: str, folder: Path) -> Rows:
    """All trials of one feature set on one data set, on the first random split."""
    task = _task(dataset)
    X = task.described(benchmark.feature_sets(SEED)[features]())
    (split,) = task.splits(RANDOM, 1, SEED)
    network = task.network(SEED, "auto")
    tried, _ = benchmark.search_settings(task, features, X, split, network, SETTINGS_GRID, **SEARCH)
    return _rows(tried.assign(epochs=SEARCH["epochs"]))


def table4_piece(dataset: str, kind: str, features: str, folder: Path) -> Rows:
    """Scores of one feature set on the repeats of one kind of split."""
    task = _task(dataset)
    X = task.described(benchmark.feature_sets(SEED)[features]())
    splits, model = task.splits(kind, REPEATS, SEED), searched_network(task, features)
    return _rows(benchmark.score(task, features, X, splits, model, kind, CHECKED))


def baseline_piece(dataset: str, kind: str, label: str, folder: Path) -> Rows:
    """Scores without a network on the repeats of one kind of split; of OQMD, three of them."""
    task, (features, model) = _task(dataset), benchmark.baselines(SEED)[label]
    X = task.described(benchmark.feature_sets(SEED)[features]())
    splits = task.splits(kind, 3 if dataset == ENERGY else REPEATS, SEED)
    return _rows(benchmark.score(task, label, X, splits, model, kind))


def _by_kind(piece, labels: Sequence[str]) -> dict[str, Piece]:
    kinds = {name: tuple(benchmark.SPLIT_KINDS)[:: 1 if name in (TC, TC10) else 2] for name in DATA}
    return {
        _key(name, kind.split(",")[0], label): partial(piece, name, kind, label)
        for name in DATA
        for kind, label in product(kinds[name], labels)
    }


def _key(*parts: str) -> str:
    """Name of a folder: letters, digits, "-" and "_"."""
    text = "--".join(parts).replace(">", "above")
    return "".join(c if c.isalnum() or c == "-" else "_" for c in text)


# --- small data -----------------------------------------------------------------------------------


def other_tables(seed: int = SEED) -> dict[str, pd.DataFrame]:
    """Our T of its other trainings, and as many other random T, by the name in the tables."""
    trained = [name for name in list_embeddings()["name"] if name.startswith("wgan-oqmd-seed")]
    tables = {f"{T_OURS}, {name[-5:]}": load_embedding(name) for name in trained}
    drawn = range(seed + 1, seed + 1 + len(trained))
    like = load_embedding("wgan-oqmd")
    return tables | {f"{RANDOM_T}, seed{s}": random_embedding(like, s) for s in drawn}


def curve_piece(dataset: str, features: str, folder: Path) -> Rows:
    """Scores of one feature set after learning from parts of each random split."""
    task, sizes = _task(dataset), SIZES
    makers = benchmark.feature_sets(SEED)
    if features in makers:
        X = task.described(makers[features]())
    else:
        sizes = AGAIN
        X = task.described(PooledEmbedding(other_tables()[features], dtype=np.float32))
    model, splits = (
        searched_network(task, features.split(", seed")[0]),
        task.splits(RANDOM, REPEATS, SEED),
    )
    return _rows(benchmark.learning_curve(task, features, X, splits, model, sizes, STEPS, CHECKED))


def _curves() -> dict[str, Piece]:
    pairs = [*product(DATA, FEATURES), *product([ENERGY], other_tables())]
    return {_key(*pair): partial(curve_piece, *pair) for pair in pairs}


# --- published splits -----------------------------------------------------------------------------


def published_piece(name: str, label: str, folder: Path) -> Rows:
    """Scores of a feature set, of ElemNet's network or without a network on a published split."""
    task, split = published.published_tasks(5)[0][name]
    makers, plain = benchmark.feature_sets(SEED), benchmark.baselines(SEED)
    if label in plain:
        features, model = plain[label]
        row, _ = published.anchor(task, label, task.described(makers[features]()), model, split)
        return [row | {"split": "published", "repeat": 0, "seed": SEED}]
    if label == published.ELEMNET_LABEL:
        X = task.described(OneHot(fractions=True, dtype=np.float32))
        model = FullyConnectedRegressor(**published.ELEMNET_FAST)
    else:
        X, network = task.described(makers[label]()), task.network(SEED, "auto")
        network.set_params(epochs=SEARCH["epochs"])
        _, model = benchmark.search_settings(
            task, label, X, split, network, SETTINGS_GRID, **SEARCH
        )
    rows = []
    for times, seed in [*product([1], range(TRAININGS)), (2, 0)]:
        model.set_params(epochs=times * EPOCHS[name], random_state=seed)
        row, _ = published.anchor(task, label, X, model, split)
        rows.append(row | {"split": "published", "repeat": seed, "seed": seed})
    return rows


def _published() -> dict[str, Piece]:
    folds = [f"{published.GAP_FOLD} {fold}" for fold in range(5)]
    names = [published.SUPERCON_SPLIT, *folds, published.OQMD_SPLIT]
    labels = [*benchmark.baselines(), *FEATURES, published.ELEMNET_LABEL]
    return {_key(*pair): partial(published_piece, *pair) for pair in product(names, labels)}


# --- a T that saw the test compounds --------------------------------------------------------------

UNSEEN, SEEN = "T that did not see them", "T that saw them"


def two_T(task: Task, tested: Sequence[Split], config: Config, device: str) -> dict:
    """T of two trainings from one seed: without the compounds that some splits test on, and with.

    Parameters
    ----------
    task : compounds of whole amounts
    tested : splits of them
    config, device : of both trainings

    Returns
    -------
    dict of UNSEEN and SEEN, element tables. The second saw as many compounds as the first, and all
    of those that are tested on are among them.
    """
    on = np.zeros(len(task.table), bool)
    on[np.concatenate([split.test for split in tested])] = True
    others = np.random.default_rng(config.seed).permutation(np.flatnonzero(~on))
    with_tests = np.concatenate([np.flatnonzero(on), others])[: len(others)]
    counts, tables = whole_counts(task.amounts), {}
    for label, rows in {UNSEEN: others, SEEN: with_tests}.items():
        # what is monitored goes into the history only: no choice depends on it
        data = TrainingData(counts[rows], counts[others[:256]])
        with tempfile.TemporaryDirectory() as folder:
            critic = train_wgan(config, data, folder, device).critic
        tables[label] = trained_table(critic.T.detach().cpu().numpy())
    return tables


def score_two_T(
    task: Task,
    splits: Sequence[Split],
    model: FullyConnectedRegressor,
    config: Config,
    device: str,
) -> pd.DataFrame:
    """Scores of both T of `two_T` on the splits whose test compounds one of them did not see.

    On the first of these also after twice the epochs.
    """
    rows = []
    for label, table in two_T(task, splits, config, device).items():
        X = task.described(PooledEmbedding(table, dtype=np.float32))
        rows.append(benchmark.score(task, label, X, splits, model, RANDOM, checked=1))
    return pd.concat(rows, ignore_index=True).assign(updates=config.iterations)


def two_T_piece(training: int, folder: Path) -> Rows:
    """Training k of both T, on the splits k and k + 5."""
    task = _task(ENERGY)
    repeats = [training, training + TRAININGS]
    splits = [task.splits(RANDOM, REPEATS, SEED)[repeat] for repeat in repeats]
    config = LEARNING.replace(seed=training, iterations=UPDATES, test_batches=1)
    rows = score_two_T(task, splits, searched_network(task, T_OURS), config, "auto")
    return _rows(rows.assign(repeat=rows["repeat"].map(dict(enumerate(repeats)))), training)


JOBS = [
    Job(
        SETTINGS_SEARCH,
        "input scaling and learning rate of every feature set on every data set of Table 4",
        1.0,
        lambda: {_key(*pair): partial(search_piece, *pair) for pair in product(DATA, FEATURES)},
    ),
    Job(
        "table4",
        "Table 4: every feature set on ten splits of each kind, three also for twice the epochs",
        12.0,
        lambda: _by_kind(table4_piece, FEATURES),
        reads=(SETTINGS_SEARCH,),
    ),
    Job(
        "baselines",
        "Table 4 without a network: median, look-up, forest, boosting on all rows",
        15.0,
        lambda: _by_kind(baseline_piece, tuple(benchmark.baselines())),
    ),
    Job(
        "small-data",
        "errors after learning from 100 to 100,000 compounds",
        6.0,
        _curves,
        reads=(SETTINGS_SEARCH,),
    ),
    Job(
        "published-splits",
        "OQMD, Matbench and SuperCon on the splits of others, ElemNet's network included",
        40.0,
        _published,
    ),
    Job(
        "T-without-tests",
        "T trained with and without the compounds that OQMD's splits test on, five seeds",
        10.0,
        lambda: {f"training-{k}": partial(two_T_piece, k) for k in range(TRAININGS)},
        reads=(SETTINGS_SEARCH,),
    ),
]
