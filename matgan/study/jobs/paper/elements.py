"""Where T should help: errors on compounds of elements that no labelled compound holds.

T is learned from compositions alone, and those of every element are known; so here, if anywhere, it
knows something that the labels do not say. Ten folds of the elements; training k of T stands in the
folds r with k = r modulo the number of trainings, as do a permutation of its rows and a random T.

The rules, written before the run. A network learns from n labels, a fifth of which at most,
compounds that hold elements of the next fold, choose its epoch: to know new elements is what is
asked for. Its learning rate is that of the lowest error on such compounds in the first fold, with
the number of labels that decides (`DECIDES`), not at the edge of what was tried. T helps where,
with so many labels, its error is below those of its own rows permuted, of a random T and of
fractions; it adds something to Magpie where both together are below Magpie and below its permuted
rows with Magpie: each p < 0.05 over the ten folds after Holm's correction among the contrasts of
that T, and converged. Folds ask of different elements and learn from few of the compounds, so they
count as independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.data.splits import Split, unseen_elements
from matgan.learning.evaluation import as_planned, convergence, fit_splits, is_converged
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import compare, scores
from matgan.representation import benchmark
from matgan.representation.benchmark import ENERGY, GAP, TC, Task
from matgan.representation.features import Magpie, OneHot, PooledEmbedding
from matgan.representation.tables import (
    list_embeddings,
    load_embedding,
    permuted_embedding,
    random_embedding,
)
from matgan.study.jobs.pieces import Piece, Rows, piece_key
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate, searched_rates

NAME, SEARCH = "unseen-elements", "unseen-elements-search"
SEED, FOLDS, AT_A_TIME = 0, 10, 5
SIZES = (300, 1000, 3000, 10_000, 30_000)  # labels
# those of the claims: some fold has fewer than 10,000 gaps, and 3,085 superconductors
DECIDES = {ENERGY: 10_000, GAP: 3000, TC: 3000}
STEPS, BATCH, TESTED = 4000, 256, 20_000
FIRST_RATE, MOST_TRIALS = 3e-3, 12  # where the search begins, and its trainings at most
ERROR_UNITS = {ENERGY: "MAE, eV/atom", GAP: "MAE, eV", TC: "MAE, K"}
DATA = tuple(ERROR_UNITS)
RULE = "with {:,} labels below each of its controls, p < 0.05 after Holm's correction"
CLAIMS = {  # by description: what is claimed, and its controls
    "T (mp)": (
        "T (mp) knows elements that no label holds",
        ["permuted T (mp)", "random T (mp)", "fractions"],
    ),
    "T (oqmd)": (
        "T (oqmd) knows elements that no label holds",
        ["permuted T (oqmd)", "random T (oqmd)", "fractions"],
    ),
    "T (mp) and Magpie": (
        "T (mp) adds to Magpie on elements that no label holds",
        ["Magpie", "permuted T (mp) and Magpie"],
    ),
}


# of these twice the steps changed an error by more than 2%: so many times as many are tried
LONGER = (
    (ENERGY, "T (oqmd)", 4),
    (ENERGY, "T (mp) and Magpie", 4),
    (GAP, "T (mp)", 4),
    *(
        (TC, f"{kind}T ({data})", 4)
        for data in ("mp", "oqmd")
        for kind in ("", "permuted ", "random ")
    ),
    (ENERGY, "T (oqmd)", 8),
)

Describe = Callable[[Task, int], np.ndarray]  # the task's compounds in a fold: (n, d) float32


def trainings(data: str) -> list[str]:
    """Names of the trainings of ours on "oqmd" or "mp"."""
    first = f"wgan-{data}"
    names = list_embeddings()["name"]
    return sorted(name for name in names if name == first or name.startswith(f"{first}-seed"))


def descriptions() -> dict[str, Describe]:
    """What is compared, by its name in the tables; all pooled by the mean. What claims need first.

    T and its controls are those of the fold.
    """

    def pooled(table: Callable[[int], pd.DataFrame | str]) -> Describe:
        return lambda task, fold: task.described(
            PooledEmbedding(table(fold), "mean", dtype=np.float32)
        )

    def beside(one: Describe, other: Describe) -> Describe:
        return lambda *given: np.concatenate([one(*given), other(*given)], 1)

    out: dict[str, Describe] = {}
    for data in ("mp", "oqmd"):
        T = partial(_table, data)
        out[f"T ({data})"] = pooled(T)
        out[f"permuted T ({data})"] = pooled(permuted_tables(T))
        out[f"random T ({data})"] = pooled(random_tables(T))
    out["fractions"] = lambda task, fold: task.described(OneHot(fractions=True, dtype=np.float32))
    out["Magpie"] = lambda task, fold: task.described(Magpie(dtype=np.float32))
    for name in ("T (mp)", "permuted T (mp)"):
        out[f"{name} and Magpie"] = beside(out[name], out["Magpie"])
    out["mat2vec"], out["SkipAtom"] = pooled(lambda _: "mat2vec"), pooled(lambda _: "skipatom")
    out["T (oqmd and mp)"] = beside(out["T (oqmd)"], out["T (mp)"])
    return out


def permuted_tables(T: Callable[[int], pd.DataFrame]) -> Callable[[int], pd.DataFrame]:
    """The T of each repeat with its rows handed to other elements, in an order of its own."""
    return lambda repeat: permuted_embedding(T(repeat), repeat)


def random_tables(T: Callable[[int], pd.DataFrame]) -> Callable[[int], pd.DataFrame]:
    """A random table like the T of each repeat."""
    return lambda repeat: random_embedding(T(repeat), repeat)


def _table(data: str, fold: int) -> pd.DataFrame:
    names = trainings(data)
    return load_embedding(names[fold % len(names)])


def planned() -> list[tuple[str, str]]:
    """The contrasts that are tested."""
    known = ("fractions", "mat2vec", "Magpie")
    pairs = [
        (T, other)
        for T in ("T (mp)", "T (oqmd)")
        for other in (f"permuted {T}", f"random {T}", *known)
    ]
    both = "T (mp) and Magpie"
    return [*pairs, (both, "Magpie"), (both, f"permuted {both}")]


def element_splits(task: Task) -> list[Split]:
    """Ten folds of the elements: tested on, after the epoch is chosen by those of the next fold.

    A sample of `TESTED` compounds is tested on. Others hold no element of the fold; those that hold
    one of the next fold validate, of any number of labels a fifth at most.
    """
    folds = unseen_elements(task.amounts, FOLDS, SEED)
    splits = []
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        known = np.concatenate([fold.train, fold.validation])
        chooses = np.isin(known, following.test)
        train, validation = known[~chooses], known[chooses]
        splits.append(Split(train, validation[: len(train) // 4], fold.test[:TESTED]))
    return splits


# --- computing ------------------------------------------------------------------------------------


def task_of(dataset: str) -> Task:
    """All compounds of one of `DATA`."""
    return benchmark.load_task(dataset, seed=SEED)


def sized(labels: int, rate: float, times: int = 1) -> FullyConnectedRegressor:
    """The paper's network for a number of labels: `STEPS` batches, or a multiple."""
    batch = min(max(32, labels // 10), BATCH)
    epochs = times * math.ceil(STEPS / math.ceil(0.8 * labels / batch))
    return FullyConnectedRegressor(
        epochs=epochs, patience=epochs, batch_size=batch, learning_rate=rate, random_state=SEED
    )


def search_piece(dataset: str, features: str, folder: Path) -> Rows:
    """The learning rate of a description, by the validation rows of the first fold."""
    task = task_of(dataset)
    split = element_splits(task)[0]
    split = split.limited(DECIDES[dataset])
    X = descriptions()[features](task, 0)

    def trial(rate: float, own: Path) -> float:
        (model,) = fit_splits(X, task.y, [split], sized(DECIDES[dataset], rate))
        return float(model.history_["validation_loss"].min())

    found = searched_rates(trial, FIRST_RATE, folder, MOST_TRIALS)
    return [{"method": method(dataset, features), "seed": SEED, **row} for row in found]


def curve_piece(
    dataset: str, features: str, sizes: Sequence[int], times: int, folder: Path
) -> Rows:
    """Errors of a description on all folds after learning from some numbers of labels."""
    task, rate = task_of(dataset), best_rate(SEARCH, method(dataset, features))
    most = _most(element_splits(task))
    describe = partial(descriptions()[features], task)
    rows: Rows = []
    for labels, start in product(sizes, range(0, FOLDS, AT_A_TIME)):
        if labels > most:
            continue
        folds = range(start, min(start + AT_A_TIME, FOLDS))
        found = fold_rows(task, describe, folds, labels, sized(labels, rate, times))
        named = {"dataset": task.name, "features": features, "split": split_name(labels)}
        rows += [named | row for row in found]
    return rows


def fold_rows(
    task: Task,
    describe: Callable[[int], np.ndarray],
    folds: Sequence[int],
    labels: int,
    model: FullyConnectedRegressor,
) -> Rows:
    """Errors on some folds, whose networks train side by side.

    Parameters
    ----------
    task : its compounds
    describe : all of these in a fold: (n, d)
    folds : which
    labels : to learn from
    model : as from `sized`; the folds from f on start from its seed + f
    """
    splits = element_splits(task)
    own = [splits[fold].limited(labels) for fold in folds]
    used = np.unique(np.concatenate([np.concatenate(split) for split in map(_parts, own)]))
    X = np.stack([describe(fold)[used] for fold in folds])
    inside = [Split(*(np.searchsorted(used, part) for part in _parts(split))) for split in own]
    model = model.set_params(random_state=SEED + folds[0])
    fitted = fit_splits(X, task.y[used], inside, model)
    rows: Rows = []
    for fold, of, split, network in zip(folds, X, inside, fitted, strict=True):
        row: dict = {"labels": labels, "repeat": fold, "n_train": labels, "n_test": len(split.test)}
        row |= scores(task.y[used][split.test], network.predict(of[split.test]))
        row |= {"epochs": model.epochs, "best_epoch": network.n_iter_}
        rows.append(row | {"learning_rate": model.learning_rate, "seed": SEED})
    return rows


def _parts(split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return split.train, split.validation, split.test


def _most(splits: Sequence[Split]) -> int:
    """Labels that all folds have."""
    return min(len(s.train) + len(s.validation) for s in splits)


# --- reading the table ----------------------------------------------------------------------------


def split_name(labels: int) -> str:
    """The name of a number of labels in the column split."""
    return f"unseen elements, {labels:,} labels"


def contrasts(rows: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The planned contrasts with `DECIDES` labels: as from `compare`, with `converged`.

    Those whose two descriptions are there; Holm's correction is over all that are planned of a T.
    """
    here = rows[(rows["dataset"] == dataset) & (rows["labels"] == DECIDES[dataset])]
    checks, once = convergence(here), as_planned(here)
    counts = once.groupby("features")["repeat"].nunique()
    whole = once[once["features"].isin(counts.index[counts == FOLDS])]
    tests = []
    for T in dict.fromkeys(a for a, _ in planned()):
        pairs = [pair for pair in planned() if pair[0] == T]
        if {name for pair in pairs for name in pair} <= set(whole["features"]):
            tests.append(compare(whole, pairs=pairs, ratio=lambda _: 0.0))
    if not tests:
        return pd.DataFrame()
    table = pd.concat(tests, ignore_index=True)
    return table.assign(
        converged=[
            is_converged(checks, dataset, t.split, [t.a, t.b], t.difference, (t.low, t.high))
            for t in table.itertuples()
        ]
    )


def method(dataset: str, features: str) -> str:
    """The name of a description in the table of the search."""
    return f"{features}, {dataset}"


def _search() -> dict[str, Piece]:
    pairs = product(DATA, descriptions())
    return {piece_key(*pair): partial(search_piece, *pair) for pair in pairs}


def _pieces() -> dict[str, Piece]:
    """What decides, its checks with twice the epochs, of all data; then more of the curves."""
    named = descriptions()
    todo: list[tuple[str, str, tuple[int, ...], int]]
    todo = [(d, n, (DECIDES[d],), times) for d in DATA for times in (1, 2) for n in named]
    todo += [(dataset, name, (DECIDES[dataset],), times) for dataset, name, times in LONGER]
    todo += [(d, n, tuple(m for m in SIZES if m != DECIDES[d]), 1) for d in DATA for n in named]
    return {
        piece_key(dataset, name, *sizes, times): partial(curve_piece, dataset, name, sizes, times)
        for dataset, name, sizes, times in todo
    }


JOBS = [
    Job(SEARCH, "learning rates for elements without labels", 1.0, _search),
    Job(
        NAME,
        "errors on elements without labels, from 300 to 30,000 compounds: T and its controls",
        6.0,
        _pieces,
        reads=(SEARCH,),
    ),
]
