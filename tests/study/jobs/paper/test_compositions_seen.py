"""The job of the compositions that the GAN saw, on few compounds, and its rule by hand."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.data.training_set import TrainingData
from matgan.representation import benchmark
from matgan.study.jobs.paper import compositions_seen as jobs
from matgan.study.jobs.paper import elements
from matgan.study.jobs.runner import known_jobs


@pytest.fixture
def small(monkeypatch, few_elements):
    monkeypatch.setattr(jobs, "best_rate", lambda search, method: 1e-3)
    counts = whole_counts(amounts_matrix(few_elements["formula"][:600]))
    data = TrainingData(counts[:300], counts[300:])
    monkeypatch.setattr(jobs, "training_data", lambda name: data)
    return data


def test_pieces_are_known_and_travel():
    (job,) = jobs.JOBS
    assert known_jobs()[job.name] is job
    pieces = job.pieces()
    assert len(pieces) == jobs.TRAININGS * (1 + len(jobs.SEEN))
    assert all(pickle.loads(pickle.dumps(piece)) for piece in pieces.values())


def test_fewer_compositions_are_some_of_them_and_others_for_another_training(small):
    some = jobs.fewer(small, 40, 0)
    everything = {row.tobytes() for row in small.train}
    assert len(some.train) == 40 and {row.tobytes() for row in some.train} <= everything
    assert np.array_equal(some.test, small.test)
    assert not np.array_equal(some.train, jobs.fewer(small, 40, 1).train)
    assert some.hash == jobs.fewer(small, 40, 0).hash


def test_a_training_stands_in_two_folds_and_so_do_its_permuted_rows(small, tmp_path):
    rows = pd.DataFrame(jobs.trained_piece(260, 1, 6, tmp_path / "260-1"))
    assert rows.groupby("features")["repeat"].apply(list).to_dict() == {
        name: [1, 6] for name in (jobs.T, jobs.HALF, jobs.MIXED)
    }
    assert (rows["compositions"] == 260).all() and np.isfinite(rows["mae"]).all()
    wide = rows.pivot_table("mae", "repeat", "features")
    assert (wide[jobs.T] != wide[jobs.MIXED]).all() and (wide[jobs.T] != wide[jobs.HALF]).all()
    whole = pd.DataFrame(jobs.shipped_piece(1, tmp_path))
    assert set(whole["features"]) == {jobs.T, jobs.MIXED}
    assert (whole["compositions"] == len(small.train)).all()
    # the same folds, labels and start as in `elements`
    task = elements.task_of(benchmark.ENERGY)
    describe = partial(elements.descriptions()["T (mp)"], task)
    (row,) = elements.fold_rows(task, describe, [1], 100, elements.sized(100, 1e-3))
    one = whole[(whole["features"] == jobs.T) & (whole["repeat"] == 1)]
    assert one["mae"].iloc[0] == pytest.approx(row["mae"], rel=1e-6)


def table(errors, half=0.01):
    """Ten folds of each number of compositions; errors of T and of its permuted rows."""
    rows = []
    for n, (own, mixed) in errors.items():
        for fold in range(elements.FOLDS):
            each = {jobs.T: own, jobs.MIXED: mixed, jobs.HALF: own * (1 + half)}
            for name, mae in each.items():
                if name != jobs.HALF or n < 50_000:
                    noise = 0.01 * ((fold * 7 + n) % 10)
                    row = {"compositions": n, "features": name, "repeat": fold}
                    rows.append(row | {"mae": mae + noise, "n_train": 100, "n_test": 10})
    return pd.DataFrame(rows)


FALLS = {1000: (0.5, 0.6), 10_000: (0.45, 0.6), 58_788: (0.35, 0.6)}


def test_the_rule_by_hand():
    assert jobs.means(table(FALLS)).index.tolist() == list(FALLS)
    found = jobs.verdict(table(FALLS))
    assert found == {"holds": [True, True, True], "repeats": 10, "converged": True}
    rises = FALLS | {10_000: (0.55, 0.6)}
    assert jobs.verdict(table(rises))["holds"] == [False, True, True]
    level = {n: (0.5 - i * 1e-4, 0.6) for i, n in enumerate(FALLS)}
    assert jobs.verdict(table(level))["holds"][1] is False
    behind = FALLS | {1000: (0.5, 0.48)}
    assert jobs.verdict(table(behind))["holds"] == [True, True, False]
    assert not jobs.verdict(table(FALLS, half=0.05))["converged"]


def test_nothing_is_said_before_all_folds_are_there():
    rows = table(FALLS)
    lacks = rows[~((rows["compositions"] == 1000) & (rows["repeat"] == 3))]
    assert jobs.means(lacks).index.tolist() == [10_000, 58_788]
    assert jobs.verdict(lacks) == {"holds": [None], "repeats": 0, "converged": False}
