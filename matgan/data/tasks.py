"""31 properties of compositions on fixed parts: the tasks that CrabNet's paper compares models on.

The crabnet wheel carries them: 18 with one training, validation and test part, 13 of Matbench with
five folds each, in which a compound is tested once or, since each fold holds a formula once, never:
of the perovskites of `castelli` a quarter are. What others reached stands in tasks.csv, as
their source counts it: the mean absolute error over all test compounds, of all folds together; for
the three tasks with two classes, of the predicted number.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.data.sources import read_csv, wheel_table

FOLD_PARTS = ("train", "val", "test")
ENERGIES = "OQMD_Formation_Enthalpy"
PREDICTED_ENERGIES = {  # of its test part, compound by compound: peer -> source
    "Roost": "oqmd_energies_roost",
    "CrabNet": "oqmd_energies_crabnet",
    "ElemNet": "oqmd_energies_elemnet",
}
PEERS = ("Roost", "CrabNet", "CrabNet, one-hot", "ElemNet", "random forest, Magpie")


@lru_cache(maxsize=1)
def _listed() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("tasks.csv")).set_index("task")


def composition_tasks() -> pd.DataFrame:
    """All tasks and what others reached.

    Returns
    -------
    DataFrame, index task (as the wheel names it), 31 rows: quantity, unit, folds (1 or 5),
    compounds (of all parts; of a fold), the error of each of `PEERS` in that unit (NaN: not
    published), source
    """
    return _listed().copy()


def load_task_fold(task: str, fold: int = 0) -> pd.DataFrame:
    """The compounds of one task, or of one of its five folds.

    Returns
    -------
    DataFrame: formula (as published), target (its unit: see `composition_tasks`), split ("train",
    "val" or "test")

    Raises
    ------
    ValueError
        No such task or fold; says which there are.
    matgan.data.sources.SourceUnavailable, matgan.data.sources.SourceCorrupt
    """
    listed = _listed()
    if task not in listed.index:
        raise ValueError(f"the tasks are {', '.join(listed.index)}, not {task!r}")
    folds = int(listed.loc[task, "folds"])
    if fold not in range(folds):
        there = "one fold, 0" if folds == 1 else f"the folds 0 to {folds - 1}"
        raise ValueError(f"{task} has {there}, not {fold!r}")
    members = {
        part: f"benchmark_data/{task}/{part}" if folds == 1 else f"matbench_cv/{task}/{part}{fold}"
        for part in FOLD_PARTS
    }
    tables = [wheel_table(member).assign(split=part) for part, member in members.items()]
    return pd.concat(tables, ignore_index=True)


def peer_energies(peer: str, formulas: pd.Series) -> np.ndarray:
    """Formation energies that a peer predicted for OQMD's test part, as published, eV/atom.

    Parameters
    ----------
    peer : key of `PREDICTED_ENERGIES`
    formulas : n compounds of that part, as `load_task_fold` writes them

    Returns
    -------
    (n,) array; NaN where there is no prediction (ElemNet's file lacks one)

    Raises
    ------
    ValueError
        Another peer.
    matgan.data.sources.SourceUnavailable, matgan.data.sources.SourceCorrupt
    """
    if peer not in PREDICTED_ENERGIES:
        raise ValueError(f"the peers are {', '.join(PREDICTED_ENERGIES)}, not {peer!r}")
    columns = {"formula": "str", "predicted": "float"}
    table = read_csv(PREDICTED_ENERGIES[peer], None, columns).set_index("formula")["predicted"]
    return table.reindex(formulas).to_numpy()
