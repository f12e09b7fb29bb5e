"""The job of all structures, on few of them."""

from dataclasses import replace

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


def test_a_property_and_a_class_have_their_scores(few, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "best_rate", lambda search, method: job.RATE)
    (energy,) = job.graph_piece("e_form", "simple", 0, 1, tmp_path)
    assert energy["model"] == job.SIMPLE and 0 < energy["mae"] < 5
    (metal,) = job.graph_piece("metal", "gated", 0, 1, tmp_path)
    assert 0 <= metal["auc"] <= 1 and 0 <= metal["right"] <= 1
    assert metal["n_train"] + metal["n_test"] == len(few)


def test_the_search_asks_the_validation_part(few, tmp_path, monkeypatch):
    seen, errors = [], iter([1.0, 2.0, 2.0])
    whole = few.table.assign(split=few.table["split"].where(few.table.index % 5 > 0, "val"))
    graphs, parts = job.all_graphs()[1], replace(few, table=whole)
    monkeypatch.setattr(job, "all_graphs", lambda: (parts, graphs))
    monkeypatch.setattr(job, "SEARCHED_PASSES", 1)
    monkeypatch.setattr(
        job, "scores", lambda y, found: seen.append(len(y)) or {"mae": next(errors)}
    )
    rows = job.search_piece("gated", tmp_path)
    assert seen == [int((whole["split"] == "val").sum())] * 3
    (best,) = (row for row in rows if row["best"])
    assert best["inside"] and best["method"] == "gated" and best["learning_rate"] == job.RATE


def test_the_forest_sees_the_composition_only(few, tmp_path):
    (row,) = job.forest_piece("metal", tmp_path)
    assert row["model"] == job.FOREST and row["auc"] > 0.5


def test_an_encoder_sees_the_composition_only(few, tmp_path):
    (row,) = job.encoder_piece("gap", 0, 2, tmp_path)
    assert row["model"] == job.ENCODER and 0 < row["mae"] < 5
    assert row["n_train"] + row["n_test"] == len(few)


def test_a_metal_has_no_gap(few):
    is_metal = job.target(few, "metal")
    assert (few.table["gap"][is_metal == 1] == 0).all()
    assert (few.table["gap"][is_metal == 0] > 0).all()


def test_pieces_have_keys_of_their_own():
    pieces = job._pieces()
    seeds, checked = len(job.GRAPH_SEEDS), len(job.CHECKED)
    graphs = {"gated": 3 * seeds + checked + 2, "simple": seeds + checked}
    for kind, n in graphs.items():
        assert sum(f"-{kind}-" in key for key in pieces) == n
    encoders = sum("-encoder-" in key for key in pieces)
    assert encoders == 2 * (seeds + checked) and "e_form-gated-0-100" in pieces
    assert len(pieces) == sum(graphs.values()) + encoders + len(job.GRAPH_TARGETS)


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


@pytest.mark.parametrize(
    ("later", "settled"),
    [({}, True), ({job.GATED: 0.0452}, False), ({job.SIMPLE: 0.08}, False), (None, False)],
)
def test_a_claim_waits_for_every_network_and_for_the_bound(later, settled):
    once = {job.GATED: 0.0445, job.SIMPLE: 0.1, job.ENCODER: 0.09}
    rows = [
        {"property": "e_form", "model": model, "seed": seed, "epochs": 50, "mae": mae}
        for model, mae in once.items()
        for seed in range(3)
    ]
    twice = once | later if later is not None else {}
    rows += [
        {"property": "e_form", "model": model, "seed": 0, "epochs": 100, "mae": mae}
        for model, mae in twice.items()
    ]
    rows.append({"property": "e_form", "model": job.FOREST, "seed": 0, "mae": 0.09})
    energy = job.trainings(pd.DataFrame(rows), "e_form")
    assert job.is_settled(energy, 0.045) is settled
