"""The benchmark of Table 4: data sets, feature sets, splits, and what a run does with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, TransformerMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.elements import ELEMENTS
from matgan.data import compounds
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
from matgan.representation.neighbours import NearestCompositions
from matgan.representation.tables import permuted_embedding

# What stays on one side of a split, by its name in the tables: see `Task.splits`
RANDOM = "random as in the paper, near-duplicates on both sides"
FAMILY = "by family of near-duplicates"
SYSTEM = "by chemical system"
SPLIT_KINDS = {RANDOM: compositions, FAMILY: near_duplicate_families, SYSTEM: chemical_systems}

# The data sets. Which superconductors the paper used it does not say: its RMSE and R² together fit
# those above 10 K about as well as all that have a Tc.
GAP, TC, TC10 = "MP band gap", "SuperCon, Tc > 0", "SuperCon, Tc > 10"
ENERGY = "OQMD formation energy"
QUANTITIES = {GAP: "band gap (eV)", TC: "Tc (K)", TC10: "Tc (K)"}
QUANTITIES |= {ENERGY: "formation energy (eV/atom)"}
IN_THE_PAPER = {GAP: "MP", TC: "Supercond", TC10: "Supercond", ENERGY: "OQMD"}

# Feature sets and baselines that are asked for by name
T_OURS, T_CODE = "WGAN T (ours)", "WGAN T (published code)"
RANDOM_T, PERMUTED_T = "random T", "permuted T"
MEDIAN, NEAREST, FOREST = "median", "nearest compositions", "Magpie, random forest"
BOOSTING = "Magpie, gradient boosting"


@dataclass(frozen=True)
class Task:
    """A table of formulas with one property to predict."""

    name: str
    quantity: str  # with its unit, for axes
    table: pd.DataFrame  # formula, target
    epochs: int = 1  # of each network
    batch_size: int = 256
    kinds: tuple[str, ...] = (RANDOM, SYSTEM)  # the splits that are compared

    @cached_property
    def y(self) -> np.ndarray:
        """(n,) targets."""
        return self.table["target"].to_numpy(float)

    @cached_property
    def amounts(self) -> np.ndarray:
        """(n, 85) amounts, read once: give these to a transformer, not the formulas."""
        return amounts_matrix(self.table["formula"])

    def described(self, transformer: TransformerMixin) -> np.ndarray:
        """(n, d) features of the compounds."""
        return clone(transformer).fit_transform(self.amounts)

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


def load_task(
    name: str, rows: int = 0, seed: int = 0, epochs: int = 1, batch_size: int = 256
) -> Task:
    """One of the four data sets of the benchmark, or a random sample of it.

    Superconductors, which come in families, have all three kinds of split, the others no FAMILY.

    Parameters
    ----------
    name : GAP, TC, TC10 or ENERGY
    rows : compounds drawn at random; 0: all
    seed : of that sample
    epochs, batch_size : of its networks

    Raises
    ------
    KeyError
        Another name.
    SourceUnavailable
        Its data cannot be had.
    """
    table = {
        GAP: compounds.load_mp_gap,
        TC: lambda: compounds.load_supercon("tc>0"),
        TC10: lambda: compounds.load_supercon("tc>10"),
        ENERGY: compounds.load_oqmd,
    }[name]()
    if 0 < rows < len(table):
        table = table.sample(rows, random_state=seed)
    kinds = tuple(SPLIT_KINDS) if name in (TC, TC10) else (RANDOM, SYSTEM)
    table = table.reset_index(drop=True)
    return Task(name, QUANTITIES[name], table, epochs, batch_size, kinds)


def feature_sets(seed: int) -> dict[str, Callable[[], TransformerMixin]]:
    """Makers of the feature sets that are compared, by the name in the tables; float32.

    "WGAN T (published code)" and "(ours)" are Equation 5, C = Σ n_e T_e, with T of a critic that
    the code of the paper's authors trained on their OQMD formulas, and of ours. Random T has the
    shape and scale of ours; permuted T is ours with its rows handed to other elements. "mean"
    weighs by atomic fraction in place of the amount. mat2vec and SkipAtom are pooled by the mean,
    as targets here do not grow with the formula; one-hot fractions are the same pooling of unit
    vectors.
    """

    def pooled(table, pool):
        return PooledEmbedding(table, pool, dtype=np.float32)

    def random_T(pool):
        return pooled(random_embedding(load_embedding("wgan-oqmd"), seed), pool)

    def permuted_T(pool):
        return pooled(permuted_embedding(_trained("wgan-oqmd"), seed), pool)

    return {
        T_CODE: lambda: pooled(_trained("wgan-oqmd-code"), "sum"),
        T_OURS: lambda: pooled(_trained("wgan-oqmd"), "sum"),
        RANDOM_T: lambda: random_T("sum"),
        PERMUTED_T: lambda: permuted_T("sum"),
        "one-hot": lambda: OneHot(dtype=np.float32),
        "one-hot fractions": lambda: OneHot(fractions=True, dtype=np.float32),
        "Magpie": lambda: Magpie(dtype=np.float32),
        "mat2vec": lambda: pooled("mat2vec", "mean"),
        "SkipAtom": lambda: pooled("skipatom", "mean"),
        f"{T_OURS}, mean": lambda: pooled(_trained("wgan-oqmd"), "mean"),
        f"{RANDOM_T}, mean": lambda: random_T("mean"),
        f"{PERMUTED_T}, mean": lambda: permuted_T("mean"),
    }


class NotHere(LookupError):
    """A feature set that cannot be made in this installation; the message says what is missing."""


def _trained(name: str) -> pd.DataFrame:
    if name not in set(list_embeddings()["name"]):
        raise NotHere(name)
    return load_embedding(name)


def random_forest(seed: int = 0, trees: int = 100) -> RandomForestRegressor:
    """Random forest as one plainly grows it: all rows in each tree, a third of the features."""
    # in one process: the sum over the trees is then the same each time
    return RandomForestRegressor(trees, max_features=1 / 3, random_state=seed)


def baselines(seed: int = 0, trees: int = 100) -> dict[str, tuple[str, RegressorMixin]]:
    """What needs no network, by its name in the tables: its feature set, an unfitted regressor.

    The median of the training compounds; the five nearest compositions; a random forest, and
    boosted trees (histograms and leaf-wise growth, as LightGBM's), on Magpie's features.
    """
    boosted = HistGradientBoostingRegressor(
        loss="absolute_error",
        learning_rate=0.05,
        max_iter=1500 if trees >= 100 else 10 * trees,
        max_leaf_nodes=63,
        early_stopping=False,
        random_state=seed,
    )
    return {
        MEDIAN: ("one-hot fractions", DummyRegressor(strategy="median")),
        NEAREST: ("one-hot fractions", NearestCompositions()),
        FOREST: ("Magpie", random_forest(seed, trees)),
        BOOSTING: ("Magpie", boosted),
    }


def search_settings(
    task: Task,
    features: str,
    X: np.ndarray,
    split: Split,
    model: FullyConnectedRegressor,
    grid: dict[str, Sequence],
    rows: int = 0,
    epochs: int = 0,
) -> tuple[pd.DataFrame, FullyConnectedRegressor]:
    """The settings of a grid with the lowest error on the validation rows of one split.

    Parameters
    ----------
    task : the data set
    features : name of the feature set
    X : (n, d) array, its features
    split : its training rows are learned from; nothing looks at its test rows
    model : the settings that the grid leaves alone
    grid : as for `matgan.learning.evaluation.search`
    rows : training and validation rows of the search; 0: all
    epochs : of the search; 0: as the model says

    Returns
    -------
    tried : DataFrame, a row for each combination of settings; "rows" are those searched with
    best : unfitted regressor with the settings chosen and the model's epochs
    """
    if rows:
        split = split.limited(min(rows, len(split.train) + len(split.validation)))
    trial = clone(model).set_params(epochs=epochs or model.epochs)
    best, tried = search(X, task.y, [split], trial, grid)
    searched = len(split.train) + len(split.validation)
    names = {"dataset": task.name, "features": features, "rows": searched}
    return tried.assign(**names), best.set_params(epochs=model.epochs)


def chosen_settings(
    searches: pd.DataFrame, dataset: str, features: str, model: FullyConnectedRegressor
) -> FullyConnectedRegressor:
    """The model with the settings that a search chose for a feature set; unfitted.

    Parameters
    ----------
    searches : as from `search_settings`, of any number of data sets and feature sets
    dataset, features : names in that table
    model : the settings that were not searched for; all of them where the table lacks the names
    """
    rows = searches[(searches["dataset"] == dataset) & (searches["features"] == features)]
    chosen = clone(model)
    for row in rows[rows["chosen"].astype(bool)].to_dict("records")[:1]:
        scaling = row["input_scaling"] if isinstance(row["input_scaling"], str) else None
        chosen.set_params(input_scaling=scaling, learning_rate=row["learning_rate"])
    return chosen


def score(
    task: Task,
    features: str,
    X: np.ndarray,
    splits: Sequence[Split],
    model: RegressorMixin,
    kind: str,
    checked: int = 0,
) -> pd.DataFrame:
    """Scores of one feature set on the repeats of one kind of split.

    Parameters
    ----------
    task, features, X : the data, and the name of X for the table
    splits : one for each repeat
    model : unfitted, with its settings
    kind : name of the kind of split
    checked : repeats on which the network is also trained for twice the epochs, which
        `matgan.learning.evaluation.convergence` asks for

    Returns
    -------
    DataFrame as from `matgan.learning.evaluation.evaluate`. For a network with its settings in
    further columns (epochs, batch_size, input_scaling, learning_rate), and with the best scores
    that any epoch reached on the test rows (best_mae, ...).
    """
    names: dict[str, Any] = {"dataset": task.name, "features": features, "split": kind}
    if not isinstance(model, FullyConnectedRegressor):
        return evaluate(X, task.y, splits, model, **names)
    tables = []
    for epochs, repeats in ((model.epochs, len(splits)), (2 * model.epochs, checked)):
        if parts := splits[:repeats]:
            longer = clone(model).set_params(epochs=epochs)
            rows = evaluate(X, task.y, parts, longer, **names, watch_test=True)
            tables.append(rows.assign(**{name: getattr(longer, name) for name in SETTINGS}))
    return pd.concat(tables, ignore_index=True)


SETTINGS = ("epochs", "batch_size", "input_scaling", "learning_rate")


def learning_curve(
    task: Task,
    features: str,
    X: np.ndarray,
    splits: Sequence[Split],
    model: FullyConnectedRegressor,
    sizes: Sequence[int],
    steps: int,
    checked: int = 0,
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
    checked : repeats that are also trained for twice the epochs, see `score`

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
            sized = clone(model).set_params(epochs=epochs, batch_size=batch)
            parts = [s.limited(n) for s in splits]
            tables.append(score(task, features, X, parts, sized, RANDOM, checked))
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
