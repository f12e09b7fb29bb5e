"""What an encoder can learn before the task at hand: large tables, without the task's compounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from matgan.chemistry.composition import amounts_matrix
from matgan.data.sources import read_csv, wheel_table
from matgan.data.splits import compositions
from matgan.data.tasks import composition_tasks, load_task_fold

OQMD = (
    "OQMD_Formation_Enthalpy",
    "OQMD_Energy_per_atom",
    "OQMD_Volume_per_atom",
    "OQMD_Bandgap",
)
MATERIALS_PROJECT = ("mp_e_form", "mp_gap", "mp_e_hull")
MATBENCH_GAPS = ("matbench/expt_gap", "matbench/mp_gap")  # all rows, of which some stand in no task
SUPERCONDUCTORS = "supercon"
SMALL = 20_000  # compounds: a task with fewer is small


@dataclass(frozen=True)
class Labels:
    """Compositions with the properties that are known of each.

    Attributes
    ----------
    amounts : (n, 85)
    targets : (n, m), NaN where one is not known; of several entries of a composition their median
    names : of the m properties
    left_out : compositions that were dropped since a task holds them
    """

    amounts: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]
    left_out: int


def read_amounts(formulas: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(k, 85) amounts of those formulas that the 85 elements can write, and which these are (n,).

    A few hold noble gases. Odd formulas are read as they stand, since they are published data.
    """
    found = amounts_matrix(list(formulas), on_error="nan", suspicious="allow")
    there = ~np.isnan(found).any(axis=1)
    return found[there], there


def joint_labels(
    tasks: Sequence[str],
    without: Sequence[str] = (),
    load: Callable[[str], pd.DataFrame] | None = None,
) -> Labels:
    """All compounds of some tasks as one table, without every composition of some others.

    A composition is left out where its atomic fractions are those of any compound of the tasks
    `without`, whatever its part: what an encoder learns then says nothing of a test compound.

    Parameters
    ----------
    tasks : names of `matgan.data.tasks.composition_tasks`, each a property
    without : names that `load` takes
    load : gives the compounds behind a name: formula, target; None: `load_compounds`
    """
    load = load or load_compounds
    tables = [load(task) for task in (*tasks, *without)]
    read = [read_amounts(table["formula"].tolist()) for table in tables]
    sizes = [len(amounts) for amounts, _ in read]
    amounts = np.concatenate([amounts for amounts, _ in read])
    codes = compositions(amounts)
    task_of = np.repeat(np.arange(len(tables)), sizes)
    there = np.concatenate([there for _, there in read])
    target = np.concatenate([table["target"] for table in tables]).astype(float)[there]
    ours = task_of < len(tasks)
    held = np.isin(codes, codes[~ours])
    keep = ours & ~held
    frame = pd.DataFrame({"code": codes, "task": task_of, "target": target})[keep]
    wide = frame.pivot_table(index="code", columns="task", values="target", aggfunc="median")
    first = pd.Series(np.flatnonzero(keep), index=codes[keep])
    first = first[~first.index.duplicated()]
    return Labels(
        amounts[first.loc[wide.index].to_numpy()],
        wide.reindex(columns=range(len(tasks))).to_numpy(),
        tuple(tasks),
        len(np.unique(codes[ours & held])),
    )


def load_compounds(name: str) -> pd.DataFrame:
    """Formula and target of every compound of a task, a Matbench table or the superconductors."""
    if name in MATBENCH_GAPS:
        return wheel_table(name)
    if name == SUPERCONDUCTORS:
        table = read_csv(SUPERCONDUCTORS, None, {"name": "str", "Tc": "float"})
        return table.rename(columns={"name": "formula", "Tc": "target"})
    return load_task_fold(name)


def small_tasks() -> list[str]:
    """Tasks with fewer than `SMALL` compounds, and the leaderboards of measured values."""
    compounds = composition_tasks()["compounds"]
    small = compounds.index[compounds < SMALL]
    return [*small, MATBENCH_GAPS[0], SUPERCONDUCTORS]


def other_tasks() -> list[str]:
    """All tasks but the four of OQMD, and the leaderboards."""
    others = [name for name in composition_tasks().index if name not in OQMD]
    return [*others, *MATBENCH_GAPS, SUPERCONDUCTORS]
