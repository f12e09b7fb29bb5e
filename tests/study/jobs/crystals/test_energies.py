"""The job of all structures, on few of them."""

import numpy as np
import pandas as pd
import pytest

from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.study.jobs.crystals import energies as job


@pytest.fixture
def few(crystals, monkeypatch):
    rows = [crystals.rows("train", 150), crystals.rows("test", 60)]
    chosen = crystals.take(np.concatenate(rows))
    small = chosen.take(np.flatnonzero(np.diff(chosen.first) < 30))
    monkeypatch.setattr(job, "load_structures", lambda: small)
    monkeypatch.setattr(job, "all_graphs", lambda: (small, crystal_graphs(small).merged()))
    return small


def test_a_property_and_a_class_have_their_scores(few, tmp_path):
    (energy,) = job.graph_piece("e_form", "simple", 0, 1, tmp_path)
    assert energy["model"] == job.SIMPLE and 0 < energy["mae"] < 5
    (metal,) = job.graph_piece("metal", "gated", 0, 1, tmp_path)
    assert 0 <= metal["auc"] <= 1 and 0 <= metal["right"] <= 1
    assert metal["n_train"] + metal["n_test"] == len(few)


def test_the_forest_sees_the_composition_only(few, tmp_path):
    (row,) = job.forest_piece("metal", tmp_path)
    assert row["model"] == job.FOREST and row["auc"] > 0.5


def test_a_metal_has_no_gap(few):
    is_metal = job.target(few, "metal")
    assert (few.table["gap"][is_metal == 1] == 0).all()
    assert (few.table["gap"][is_metal == 0] > 0).all()


def test_pieces_have_keys_of_their_own():
    pieces = job._pieces()
    graphs = [key for key in pieces if not key.startswith("forest")]
    trainings = len(job.GRAPH_SEEDS) + len(job.CHECKED)
    assert len(graphs) == 4 * trainings and "e_form-gated-0-100" in graphs


def test_trainings_of_a_property_are_told_by_their_passes():
    rows = pd.DataFrame(
        {
            "property": ["e_form"] * 4 + ["gap"],
            "model": [job.GATED] * 3 + [job.FOREST, job.GATED],
            "seed": [0, 1, 0, 0, 0],
            "epochs": [50, 50, 100, None, 50],
            "mae": [0.04, 0.06, 0.03, 0.1, 9.0],
        }
    )
    found = job.trainings(rows, "e_form")
    assert found.each(job.GATED, "mae").tolist() == [0.04, 0.06]
    assert found.each(job.FOREST, "mae").tolist() == [0.1]
    assert job.trainings(pd.DataFrame(), "gap").each(job.GATED, "mae").empty
