"""The published splits of three data sets, what others reached, and ElemNet's network.

What others reached stands in published.csv, a row for each number of a paper or leaderboard with
its source: the nine triples of Hu et al.'s Table 4, and errors on the splits of `published_tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin

from matgan.chemistry.composition import amounts_matrix
from matgan.data import compounds
from matgan.data.splits import Split, published_split
from matgan.learning.evaluation import fit_splits
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import scores
from matgan.representation.benchmark import SETTINGS, Task
from matgan.representation.features import OneHot

OQMD_SPLIT, GAP_FOLD = "OQMD, fixed split", "Matbench gap, fold"
SUPERCON_SPLIT = "SuperCon, fixed split"
ELEMNET_LABEL = "ElemNet (17 layers, ours)"
HU_2020 = "Hu et al., Symmetry 12, 1889 (2020), Table 4"

# ElemNet for FullyConnectedRegressor(**ELEMNET) on element fractions. Jha et al., Sci. Rep. 8,
# 17593 (2018). Its 0.8, 0.9, 0.7 and 0.8 are the shares that dropout keeps: the authors' code
# (github.com/NU-CUCIS/ElemNet) hands them to TensorFlow as keep_prob.
ELEMNET: dict[str, Any] = {
    "hidden": (1024,) * 4 + (512,) * 3 + (256,) * 3 + (128,) * 3 + (64,) * 2 + (32,),
    "dropout": (0, 0, 0, 0.2, 0, 0, 0.1, 0, 0, 0.3, 0, 0, 0.2, 0, 0, 0),
    "input_scaling": None,
    "loss": "mae",
    "learning_rate": 1e-4,
    "batch_size": 32,
}
# For few epochs, and batches that keep a processor busy
ELEMNET_FAST = ELEMNET | {"learning_rate": 5e-4, "batch_size": 512}

# The regressor of Hu et al.'s code (github.com/Chilitiantian/code at cf345b0f, dl_perdict.py), for
# FullyConnectedRegressor(**HU_2020_REGRESSOR): learning rates of 0.1, 0.01, 0.001 and 0.0001, which
# change at epochs 30, 110 and 200; nothing is scaled. Theirs leaves an incomplete batch out, trains
# on what is validation here, and normalises test compounds by their own batches of 256.
HU_2020_REGRESSOR: dict[str, Any] = {
    "hidden": (128, 128, 64, 64, 32, 32),
    "input_scaling": None,
    "target_scaling": None,
    "loss": "mse",
    "learning_rate": 0.1,
    "epochs": 300,
    "patience": 300,
    "batch_size": 256,
    "clip": False,
    "recipe": "published code",
}


def others() -> pd.DataFrame:
    """What others reached: dataset, method, mae, rmse, r2 (NaN: not given), unit, note, source."""
    table = pd.read_csv(Path(__file__).with_name("published.csv"), keep_default_na=False)
    scored = ["mae", "rmse", "r2"]
    return table.assign(**table[scored].apply(pd.to_numeric))


def table4() -> pd.DataFrame:
    """Table 4 of Hu et al. 2020, and what it says of its own test sets.

    Returns
    -------
    DataFrame, nine rows: dataset, method, mae, rmse, r2, unit, and the deviation of the test set's
    targets that the row implies, rmse / √(1 - r2) (Equations 8 and 9), with the ends that rounding
    allows: deviation, low, high.
    """
    table = others().query("source == @HU_2020").drop(columns=["note", "source"])
    table = table.reset_index(drop=True)

    def implied(rmse, r2):
        return rmse / np.sqrt(1 - r2)

    # half a unit of the last digit: three significant digits everywhere
    rounding = 0.5 * 10 ** (np.floor(np.log10(table["rmse"])) - 2)
    return table.assign(
        deviation=implied(table["rmse"], table["r2"]),
        low=implied(table["rmse"] - rounding, table["r2"] - 0.0005),
        high=implied(table["rmse"] + rounding, table["r2"] + 0.0005),
    )


def contradictions(scored: pd.DataFrame) -> pd.DataFrame:
    """Pairs of methods that cannot have been scored on one test set.

    There R² = 1 - rmse² / variance, so that a lower rmse goes with a higher R².

    Parameters
    ----------
    scored : dataset, method, rmse, r2

    Returns
    -------
    DataFrame: dataset, lower (the method with the lower rmse), higher, and by how much its R² is
    lower all the same
    """
    out = []
    for dataset, part in scored.groupby("dataset", sort=False):
        for one in part.itertuples():
            for other in part.itertuples():
                if one.rmse < other.rmse and one.r2 < other.r2:
                    row = {"dataset": dataset, "lower": one.method, "higher": other.method}
                    out.append(row | {"r2 lower by": other.r2 - one.r2})
    return pd.DataFrame(out, columns=["dataset", "lower", "higher", "r2 lower by"])


def published_tasks(
    folds: int = 5, rows: int = 0, seed: int = 0
) -> tuple[dict[str, tuple[Task, Split]], list[str]]:
    """The published splits: OQMD's fixed one, Matbench's folds, SuperCon's fixed one.

    Parameters
    ----------
    folds : of Matbench's five
    rows : compounds of each, drawn at random; 0: all
    seed : of that sample, and of the validation rows where the source names none

    Returns
    -------
    tasks : name -> data set and split
        OQMD without the elements outside the 85 (4 of 341,700 rows) and otherwise not curated;
        SuperCon with the rows without a Tc, as 0.
    not_run : what could not be had, and why
    """

    def oqmd() -> pd.DataFrame:
        table = compounds.read_oqmd().rename(columns={"part": "split"})
        _, bad = amounts_matrix(table["formula"], on_error="drop", report=True)
        return table.drop(index=bad["index"])

    def fold(number: int) -> Callable[[], pd.DataFrame]:
        return lambda: compounds.load_matbench_gap_folds()[number]

    loaders = {OQMD_SPLIT: ("formation energy (eV/atom)", oqmd)}
    loaders |= {f"{GAP_FOLD} {number}": ("band gap (eV)", fold(number)) for number in range(folds)}
    loaders[SUPERCON_SPLIT] = ("Tc (K)", lambda: compounds.load_supercon("all", split="published"))
    tasks, not_run = {}, []
    for name, (quantity, load) in loaders.items():
        try:
            table = load()
        except compounds.SourceUnavailable as error:
            not_run.append(f"{name}: {error}")
            continue
        if 0 < rows < len(table):
            table = table.sample(rows, random_state=seed)
        table = table.reset_index(drop=True)
        split = published_split(table["split"], seed)
        tasks[name] = Task(name, quantity, table), split
    return tasks, not_run


def anchor(
    task: Task, label: str, X: np.ndarray, model: RegressorMixin, split: Split
) -> tuple[dict, np.ndarray]:
    """Scores on a published split, and the predictions for its test rows.

    Parameters
    ----------
    task, split : the data and its parts
    label : of the row
    X : (n, d) array, the features
    model : unfitted, with its settings

    Returns
    -------
    row : dict: dataset, features, n_train (validation rows included), n_test, mae, rmse, r2; the
        ends of the 95% interval of the mae over the test compounds (mae_low, mae_high: what
        another draw of test compounds would change, not another training); a network's settings
    predicted : (n_test,) array
    """
    (fitted,) = fit_splits(X, task.y, [split], model)
    predicted = fitted.predict(X[split.test])
    error = np.abs(predicted - task.y[split.test])
    half = 1.96 * error.std(ddof=1) / np.sqrt(len(error))
    row: dict[str, object] = {"dataset": task.name, "features": label}
    row |= {"n_train": len(split.train) + len(split.validation), "n_test": len(split.test)}
    row |= scores(task.y[split.test], predicted)
    row |= {"mae_low": error.mean() - half, "mae_high": error.mean() + half}
    if isinstance(model, FullyConnectedRegressor):
        row |= {name: getattr(model, name) for name in SETTINGS}
    return row, predicted


def elemnet(task: Task, split: Split, epochs: int, seed: int = 0, device: str = "auto") -> dict:
    """Scores of ElemNet's network on a published split, as from `anchor`."""
    network = FullyConnectedRegressor(
        **ELEMNET_FAST, epochs=epochs, random_state=seed, device=device
    )
    X = task.described(OneHot(fractions=True, dtype=np.float32))
    return anchor(task, ELEMNET_LABEL, X, network, split)[0]


def published_errors(names: Iterable[str]) -> list[dict]:
    """Rows of what others reached on those of the splits in `names`: dataset, features, mae."""
    table, rows = others(), []
    for name in names:
        of_fold = name.startswith(GAP_FOLD)
        for row in table[table["dataset"] == (GAP_FOLD if of_fold else name)].itertuples():
            where = "published" + (f", {row.note}" if row.note else "")
            label = f"{row.method} ({where})"
            rows.append({"dataset": name, "features": label, "mae": row.mae})
    return rows
