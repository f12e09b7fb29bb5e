"""The published splits of three data sets, what others reached on them, and ElemNet's network.

    python -m matgan elemnet --out figures/elemnet.csv

trains ElemNet's 17 layers on each split: many minutes on one CPU core, for
70 times as many weights as the paper's regressor has, too long for the laptop profile. Notebook 4
shows the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin

from matgan.chemistry.composition import amounts_matrix
from matgan.data import compounds
from matgan.data.splits import Split, published_split
from matgan.files import atomic_file
from matgan.learning.evaluation import fit_splits
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import scores
from matgan.representation.benchmark import Task
from matgan.representation.features import OneHot

OQMD, GAP, SUPERCON = "OQMD, fixed split", "Matbench gap, fold", "SuperCon, fixed split"

# Mean absolute errors that others reached on these splits: eV/atom, eV, K
PUBLISHED = {
    # per-compound predictions packed with CrabNet, Wang et al., npj Comput. Mater. 7, 77 (2021)
    OQMD: {"random forest": 0.083, "ElemNet": 0.049, "Roost": 0.0315, "CrabNet": 0.0310},
    # the same source, means of the five folds
    GAP: {
        "random forest": 0.362,
        "ElemNet": 0.313,
        "one-hot CrabNet": 0.273,
        "CrabNet": 0.263,
        "Roost": 0.260,
    },
    # JARVIS leaderboard, supercon_chem_Tc
    SUPERCON: {
        "matminer features, random forest": 4.85,
        "matminer features, boosting": 4.93,
        "element fractions, boosting": 5.29,
        "ElemNet, fine-tuned": 5.11,
        "ElemNet, from scratch": 5.59,
    },
}

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

    loaders = {OQMD: ("formation energy (eV/atom)", oqmd)}
    loaders |= {f"{GAP} {number}": ("band gap (eV)", fold(number)) for number in range(folds)}
    loaders[SUPERCON] = ("Tc (K)", lambda: compounds.load_supercon("all", split="published"))
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
        tasks[name] = Task(name, quantity, table, epochs=1, batch_size=256), split
    return tasks, not_run


def anchor(
    task: Task, label: str, X: np.ndarray, model: RegressorMixin, split: Split
) -> tuple[dict, np.ndarray]:
    """Scores on a published split, and the predictions for its test rows."""
    (fitted,) = fit_splits(X, task.y, [split], model)
    predicted = fitted.predict(X[split.test])
    row: dict[str, object] = {"dataset": task.name, "features": label}
    row |= {"n_train": len(split.train) + len(split.validation), "n_test": len(split.test)}
    return row | scores(task.y[split.test], predicted), predicted


def published_errors(names) -> list[dict]:
    """Rows of what others reached on those of the splits in `names`."""
    rows = []
    for name in names:
        of_fold = name.startswith(GAP)
        where = "published, mean of five folds" if of_fold else "published"
        for label, mae in PUBLISHED[GAP if of_fold else name].items():
            rows.append({"dataset": name, "features": f"{label} ({where})", "mae": mae})
    return rows


def elemnet(task: Task, split: Split, epochs: int, seed: int = 0, device: str = "auto") -> dict:
    """Scores of ElemNet's network on a published split."""
    network = FullyConnectedRegressor(
        **ELEMNET_FAST, epochs=epochs, random_state=seed, device=device
    )
    X = OneHot(fractions=True, dtype=np.float32).fit_transform(task.amounts)
    row, _ = anchor(task, "ElemNet (17 layers, ours)", X, network, split)
    return row | {"epochs": epochs}


def main(arguments: list[str] | None = None) -> None:
    """The command `elemnet`: ElemNet's network on the published splits, its scores as CSV."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan elemnet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--epochs", type=int, nargs=3, default=[2, 8, 30], metavar="N",
                        help="for OQMD, the band gaps of fold 0, SuperCon; 0: the row in the file "
                        "stays as it is")  # fmt: skip
    parser.add_argument("--rows", type=int, default=0, help="compounds of each; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    tasks, not_run = published_tasks(1, options.rows, options.seed)
    epochs = dict(zip((OQMD, f"{GAP} 0", SUPERCON), options.epochs, strict=True))
    for what in not_run:
        print(f"not run: {what}")
    rows = []
    if not all(epochs.values()):
        kept = pd.read_csv(options.out)
        rows = kept[kept["dataset"].map(epochs) == 0].to_dict("records")
    for name, (task, split) in sorted(tasks.items(), key=lambda item: len(item[1][0].table)):
        if not epochs[name]:
            continue
        rows.append(elemnet(task, split, epochs[name], options.seed))
        print(rows[-1], flush=True)
        with atomic_file(options.out) as temporary:  # after each: the largest takes long
            pd.DataFrame(rows).to_csv(temporary, index=False)
