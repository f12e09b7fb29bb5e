"""Tables to learn from: by hand, and that no compound of a task is left in the real ones."""

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import formulas
from matgan.data.tasks import load_task_fold
from matgan.representation.encoder import sources
from matgan.representation.encoder.sources import joint_labels, read_amounts

TABLES = {
    "energy": {"NaCl": -2.0, "Na2Cl2": -2.2, "Na3Cl3": -1.0, "GaN": -0.5, "KrF2": 0.1, "Fe2O3": -1},
    "gap": {"GaN": 1.9, "ZnO": 0.7, "MgO": 4.5},
    "test": {"Mg2O2": 7.7, "FeO1.5": 2.0, "Li": 0.0},
}


def load(task):
    return pd.DataFrame({"formula": TABLES[task].keys(), "target": TABLES[task].values()})


def test_tables_by_hand():
    """Medians of equal compositions, NaN for what is not known, none of the third table's."""
    labels = joint_labels(["energy", "gap"], ["test"], load)
    names = formulas(labels.amounts)
    found = {name: row.tolist() for name, row in zip(names, labels.targets, strict=True)}
    assert set(names) == {"NaCl", "GaN", "ZnO"} and labels.names == ("energy", "gap")
    assert labels.left_out == 2  # MgO and Fe2O3
    assert found["GaN"] == [-0.5, 1.9]
    assert found["NaCl"][0] == -2.0 and np.isnan(found["NaCl"][1])
    assert np.isnan(found["ZnO"][0]) and found["ZnO"][1] == 0.7


def test_formulas_of_other_elements_are_told_apart():
    amounts, there = read_amounts(["NaCl", "KrF2", "Al0.5Ni0.5"])
    assert there.tolist() == [True, False, True] and amounts.shape == (2, 85)


@pytest.mark.slow
def test_no_composition_of_a_small_task_is_learned(wheel):
    small = sources.small_tasks()
    assert len(small) == 18 and "castelli" in small and "mp_gap" not in small
    labels = joint_labels(["OQMD_Bandgap"], small)
    known = {row.tobytes() for row in np.round(labels.amounts / labels.amounts.sum(1)[:, None], 4)}
    assert labels.left_out > 10_000
    for task in small:
        amounts, _ = read_amounts(load_task_fold(task)["formula"].tolist())
        shares = np.round(amounts / amounts.sum(axis=1)[:, None], 4)
        assert not known & {row.tobytes() for row in shares}, task
