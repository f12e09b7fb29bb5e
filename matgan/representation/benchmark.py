"""The benchmark of Table 4: data sets, feature sets, splits, and what a run does with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, TransformerMixin

from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.elements import ELEMENTS
from matgan.data.splits import (
    Split,
    chemical_systems,
    compositions,
    grouped_splits,
    near_duplicate_families,
)
from matgan.learning.evaluation import evaluate, search
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.representation.features import (
    Magpie,
    OneHot,
    PooledEmbedding,
    list_embeddings,
    load_embedding,
    random_embedding,
)

# What stays on one side of a split, by its name in the tables: see `Task.splits`
RANDOM = "random as in the paper, near-duplicates on both sides"
FAMILY = "by family of near-duplicates"
SYSTEM = "by chemical system"
SPLIT_KINDS = {RANDOM: compositions, FAMILY: near_duplicate_families, SYSTEM: chemical_systems}


@dataclass(frozen=True)
class Task:
    """A table of formulas with one property to predict."""

    name: str
    quantity: str  # with its unit, for axes
    table: pd.DataFrame  # formula, target
    epochs: int  # of each network
    batch_size: int
    kinds: tuple[str, ...] = (RANDOM, SYSTEM)  # the splits that are compared

    @cached_property
    def y(self) -> np.ndarray:
        """(n,) targets."""
        return self.table["target"].to_numpy(float)

    @cached_property
    def amounts(self) -> np.ndarray:
        """(n, 85) amounts, read once: give these to a transformer, not the formulas."""
        return amounts_matrix(self.table["formula"])

    def splits(self, kind: str, repeats: int, seed: int) -> list[Split]:
        """Repeated splits, 10% to test (Hu et al. 2020).

        Parameters
        ----------
        kind : {RANDOM, FAMILY, SYSTEM}
            What stays on one side: equal compositions, however written (no formula is ever in two
            parts); the near-duplicates of `matgan.data.splits.near_duplicate_families`; or all
            compounds of the same elements.
        repeats, seed : repeat r depends on seed and r only

        Raises
        ------
        ValueError
            Another kind.
        """
        if kind not in SPLIT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(SPLIT_KINDS)}, not {kind!r}")
        return grouped_splits(SPLIT_KINDS[kind](self.amounts), repeats, seed)

    def network(self, seed: int, device: str) -> FullyConnectedRegressor:
        """The paper's regressor with this task's epochs and batch size."""
        return FullyConnectedRegressor(
            epochs=self.epochs, batch_size=self.batch_size, device=device, random_state=seed
        )


def feature_sets(seed: int) -> dict[str, Callable[[], TransformerMixin]]:
    """Makers of the feature sets that are compared, by the name in the tables; float32.

    "WGAN T (paper)" and "(ours)" are Equation 5, C = Σ n_e T_e, with T of a critic as the paper
    prints it and of ours. Random T has the shape and scale of ours. "mean" weighs by atomic
    fraction in place of the amount. mat2vec and SkipAtom are pooled by the mean, as targets
    here do not grow with the formula; one-hot fractions are the same pooling of unit vectors.
    """

    def pooled(table, pool):
        return PooledEmbedding(table, pool, dtype=np.float32)

    def random_T(pool):
        return pooled(random_embedding(load_embedding("wgan-oqmd"), seed), pool)

    return {
        "WGAN T (paper)": lambda: pooled(_trained("wgan-oqmd-paper"), "sum"),
        "WGAN T (ours)": lambda: pooled(_trained("wgan-oqmd"), "sum"),
        "random T": lambda: random_T("sum"),
        "one-hot": lambda: OneHot(dtype=np.float32),
        "one-hot fractions": lambda: OneHot(fractions=True, dtype=np.float32),
        "Magpie": lambda: Magpie(dtype=np.float32),
        "mat2vec": lambda: pooled("mat2vec", "mean"),
        "SkipAtom": lambda: pooled("skipatom", "mean"),
        "WGAN T (ours), mean": lambda: pooled(_trained("wgan-oqmd"), "mean"),
        "random T, mean": lambda: random_T("mean"),
    }


class NotHere(LookupError):
    """A feature set that cannot be made in this installation; the message says what is missing."""


def _trained(name: str) -> pd.DataFrame:
    if name not in set(list_embeddings()["name"]):
        raise NotHere(name)
    return load_embedding(name)


def compare_features(
    task: Task,
    features: str,
    X: np.ndarray,
    splits: dict[str, list[Split]],
    model: FullyConnectedRegressor,
    grid: dict[str, Sequence],
    search_rows: int = 0,
    search_epochs: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame, FullyConnectedRegressor]:
    """Search the settings of one feature set on one data set, then score it on every split.

    Parameters
    ----------
    task : the data set
    features : name of the feature set
    X : (n, d) array, its features
    splits : kind of split -> repeats; the search uses the first repeat of the first kind
    model : the settings that the grid leaves alone
    grid : as for `matgan.learning.evaluation.search`
    search_rows : training and validation rows of the search; 0: all
    search_epochs : of the search; 0: as the model says

    Returns
    -------
    rows : DataFrame of `evaluation.evaluate`, best scores of any epoch on the test rows
        included (best_mae, ...)
    tried : DataFrame, a row for each combination of settings; "rows" are those searched with
    best : unfitted regressor with the settings chosen
    """
    first = next(iter(splits.values()))[0]
    if search_rows:
        first = first.limited(min(search_rows, len(first.train) + len(first.validation)))
    epochs = model.epochs
    trial = model.__class__(**model.get_params()).set_params(epochs=search_epochs or epochs)
    best, tried = search(X, task.y, [first], trial, grid)
    best.set_params(epochs=epochs)
    rows = [
        score(task, features, X, parts, best, kind, watch_test=True)
        for kind, parts in splits.items()
    ]
    searched = len(first.train) + len(first.validation)
    names = {"dataset": task.name, "features": features, "rows": searched}
    return pd.concat(rows, ignore_index=True), tried.assign(**names), best


def score(
    task: Task,
    features: str,
    X: np.ndarray,
    splits: Sequence[Split],
    model: RegressorMixin,
    kind: str,
    watch_test: bool = False,
) -> pd.DataFrame:
    """`matgan.learning.evaluation.evaluate` under the task's name."""
    names = {"dataset": task.name, "features": features, "split": kind}
    return evaluate(X, task.y, splits, model, **names, watch_test=watch_test)


def learning_curve(
    task: Task,
    features: str,
    X: np.ndarray,
    splits: Sequence[Split],
    model: FullyConnectedRegressor,
    sizes: Sequence[int],
    steps: int,
) -> pd.DataFrame:
    """Scores after training on the first rows of each split, the test rows staying the same.

    Parameters
    ----------
    task, features : the data, and the name of X for the table
    X : (n, d) array of the task's compounds
    splits : one repeat each
    model : unfitted, with its settings; its epochs are chosen here
    sizes : numbers of training and validation rows; those beyond 60% of the data are left out,
        since they would repeat the score on all of it
    steps : batches of each training, at least, so that small parts get more epochs; never fewer
        epochs than the task's, never more than 200. A batch is a tenth of the rows, from 32 to
        the model's batch size.

    Returns
    -------
    DataFrame as from `matgan.learning.evaluation.evaluate`, a row for each size and repeat
    """
    most = min(len(s.train) + len(s.validation) for s in splits)
    tables = []
    for n in sizes:
        if n <= 0.6 * most:
            batch = min(max(32, n // 10), model.batch_size)
            epochs = math.ceil(steps / math.ceil(0.9 * n / batch))
            epochs = int(np.clip(epochs, task.epochs, 200))
            sized = model.__class__(**model.get_params())
            sized.set_params(epochs=epochs, batch_size=batch)
            parts = [s.limited(n) for s in splits]
            tables.append(score(task, features, X, parts, sized, RANDOM))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def error_by_element(compounds: Iterable, error: np.ndarray, at_least: int = 5) -> pd.Series:
    """Mean absolute error of the compositions that hold each element.

    Parameters
    ----------
    compounds : n compositions, as `amounts_matrix` takes them
    error : (n,) array, predicted minus true
    at_least : elements in fewer compositions are left out

    Returns
    -------
    Series, index `element`, in the unit of `error`
    """
    present = amounts_matrix(compounds) > 0
    count = present.sum(axis=0)
    mean = (np.abs(error) @ present) / np.maximum(count, 1)
    values = pd.Series(mean, index=pd.Index(ELEMENTS, name="element"), name="mae")
    return values[count >= at_least]


def worst_compounds(table: pd.DataFrame, predicted: np.ndarray, n: int = 10) -> pd.DataFrame:
    """The n rows with the largest absolute errors, the largest first.

    Parameters
    ----------
    table : DataFrame with formula and target
    predicted : (len(table),) array

    Returns
    -------
    DataFrame: formula, target, predicted, error (predicted minus target)
    """
    rows = table[["formula", "target"]].assign(predicted=predicted)
    rows["error"] = rows["predicted"] - rows["target"]
    order = rows["error"].abs().sort_values(ascending=False, kind="stable").index[:n]
    return rows.loc[order].reset_index(drop=True)


def beside(summary: pd.DataFrame, tests: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The summary with each feature set's difference from a reference and its corrected p value.

    Parameters
    ----------
    summary : as from `matgan.learning.statistics.summarise`
    tests : as from `matgan.learning.statistics.compare`
    reference : a feature set

    Returns
    -------
    DataFrame with the further columns "minus REFERENCE" (in the metric of the tests) and
    "p (REFERENCE)", by Holm; both NaN where no test was made.
    """
    forward = tests[tests["b"] == reference].rename(columns={"a": "features"})
    backward = tests[tests["a"] == reference].rename(columns={"b": "features"})
    backward = backward.assign(difference=-backward["difference"])
    pairs = pd.concat([forward, backward])[
        ["dataset", "split", "features", "difference", "p_holm"]
    ].rename(columns={"difference": f"minus {reference}", "p_holm": f"p ({reference})"})
    return summary.merge(pairs, on=["dataset", "split", "features"], how="left")
