"""The jobs of the 31 tasks: every route on a small task, with a small source."""

import numpy as np
import pandas as pd
import pytest

from matgan.data.tasks import PEERS, composition_tasks
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.encoder.sources import OQMD
from matgan.study.jobs.compositions import tasks
from matgan.study.jobs.compositions.tasks import ENCODER_SOURCES, JOBS


def test_the_pieces_are_every_fold_of_every_task_but_oqmds():
    (pieces,) = (job.pieces() for job in JOBS if job.name == "small-data-tasks")
    listed = composition_tasks().drop(index=list(OQMD))
    assert len(pieces) == listed["folds"].sum() == 79
    assert {piece.args[0] for piece in pieces.values()} == set(listed.index)


def test_a_row_for_each_route_and_a_kill_loses_none(wheel, tmp_path, monkeypatch):
    small = {"width": 16, "layers": 1, "heads": 2, "device": "cpu"}
    monkeypatch.setattr(tasks, "ENCODER", small)
    monkeypatch.setattr(tasks, "schedule", lambda n: {"epochs": 2, "batch_size": 64})
    monkeypatch.setattr(tasks.SourceOf, "file", tmp_path / "source.safetensors")
    source = CompositionEncoder(**small, epochs=1)
    source.fit(["NaCl", "GaN", "MgO", "Fe2O3"], [[1.0, 2.0], [2.0, 0.0], [3.0, 1.0], [0.0, 1.0]])
    source.save(ENCODER_SOURCES["without-small"].file)
    monkeypatch.setattr(tasks, "by_trees", lambda compounds, features, seed: features[:, -1] * 0.0)

    rows = tasks.task_piece("steels_yield", 0, 0, tmp_path / "piece")
    routes = [row["route"] for row in rows]
    assert len(set(routes)) == len(rows) == 6 + len(tasks.COMBINATIONS)
    by_route = {row["route"]: row for row in rows}
    assert by_route[tasks.TREES]["mae_test"] == pytest.approx(1420, abs=60)  # of zeros: MPa
    assert all(np.isfinite(row["mae_val"]) and row["test compounds"] == 63 for row in rows)
    monkeypatch.setattr(tasks, "by_encoder", None)  # nothing is computed again
    assert tasks.task_piece("steels_yield", 0, 0, tmp_path / "piece") == rows


def test_errors_are_over_all_test_compounds_and_beside_the_peers():
    rows = pd.DataFrame(
        [
            ("mp_mu_b", 0, "trees", 50.0, 63), ("mp_mu_b", 0, "combined", 40.0, 63),
            ("jdft2d", 0, "trees", 30.0, 10), ("jdft2d", 0, "combined", 60.0, 10),
            *(("phonons", k, route, 10.0 * (k + 1), 100 + k) for k in range(5)
              for route in ("trees", "combined")),
        ],
        columns=["task", "fold", "route", "mae_test", "test compounds"],
    )  # fmt: skip
    errors = tasks.errors_of_tasks(rows)
    assert list(errors.columns) == ["trees", "combined"]
    listed = composition_tasks()
    assert list(errors.index) == ["mp_mu_b", "phonons"]  # one fold of jdft2d is not the task
    by_hand = sum(10 * (k + 1) * (100 + k) for k in range(5)) / sum(100 + k for k in range(5))
    assert errors.loc["phonons", "trees"] == pytest.approx(by_hand)
    against = tasks.beside_peers(errors)
    crabnet = listed["CrabNet"]
    ratio = np.sqrt(50 / crabnet["mp_mu_b"] * by_hand / crabnet["phonons"])
    assert against.loc["trees", "ratio"] == pytest.approx(ratio)
    best = sum(
        errors.loc[task, "combined"] < listed.loc[task, list(PEERS)].min() for task in errors.index
    )
    assert against.loc["combined", "best"] == best and against["tasks"].tolist() == [2, 2]
