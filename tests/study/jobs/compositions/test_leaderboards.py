"""The leaderboards: their own folds, every test row predicted, scores by hand."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from matgan.chemistry.composition import amounts_matrix
from matgan.data.splits import chemical_systems
from matgan.files import load_arrays
from matgan.representation.encoder.sources import read_amounts
from matgan.representation.encoder.trees import GatedTrees
from matgan.study.jobs.compositions import leaderboards, tasks
from matgan.study.jobs.compositions.leaderboards import (
    TC,
    TC_SYSTEMS,
    BoardFold,
    load_board,
    predictions_file,
)

# SHA-256 of all folds' test rows, from matbench_v0.1_validation.json of the wheel matbench 0.6
OFFICIAL = {
    "matbench_expt_gap": "977be8105a0ff24eb7b6c8cb56f3bc311629ef9cc4029860ff897bea4efc2b63",
    "matbench_mp_gap": "c5a58ae96a23edd7a6fda31f991fcd3cf2d340011d41a940e971d2f16d20e220",
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_folds_are_the_official_ones(wheel, name):
    folds = load_board(name).folds
    tested = np.concatenate([test for _, test in folds]).astype("<i8")
    assert hashlib.sha256(tested.tobytes()).hexdigest() == OFFICIAL[name]
    for learned, test in folds:
        assert len(np.union1d(learned, test)) == len(learned) + len(test) == len(tested)


def test_superconductors_have_the_published_part_and_one_by_system(supercon):
    board, by_system = load_board(TC), load_board(TC_SYSTEMS)
    ((learned, test),) = board.folds
    assert (len(learned), len(test)) == (13_131, 3_283) and (board.target[test] == 0).sum() == 760
    ((learned, test),) = by_system.folds
    assert abs(len(test) - 3_283) < 400
    amounts, there = read_amounts(board.formulas)
    systems = np.full(len(there), "", dtype=object)
    systems[there] = chemical_systems(amounts)
    assert not set(systems[learned][there[learned]]) & set(systems[test][there[test]])


@pytest.fixture
def few(wheel, monkeypatch):
    """A leaderboard with few rows to learn from, and models that learn fast."""
    small = {"width": 16, "layers": 1, "heads": 2}
    monkeypatch.setattr(tasks, "ENCODER", small)
    monkeypatch.setattr(tasks, "schedule", lambda n: {"epochs": 1, "batch_size": 64})
    quick = GatedTrees(max_iter=3, patience=3)
    monkeypatch.setattr(leaderboards, "GatedTrees", lambda learning_rate: quick)
    whole = load_board("matbench_expt_gap")
    board = replace(whole, folds=[(learned[::30], test) for learned, test in whole.folds])
    monkeypatch.setattr(leaderboards, "load_board", lambda name: board)
    return board


def test_every_row_of_a_test_part_is_predicted_and_a_kill_loses_nothing(few, tmp_path, monkeypatch):
    of = BoardFold("matbench_expt_gap", 4)
    pieces = [leaderboards.trees_piece, leaderboards.table_piece, leaderboards.scratch_piece]
    folders = [tmp_path / f"{of.key}{end}" for end in ("", "-T", "-scratch")]

    def all_rows():
        given = zip(pieces, folders, strict=True)
        return pd.DataFrame([row for piece, folder in given for row in piece(of, folder)])

    rows = all_rows()
    assert rows["route"].is_unique and len(rows) == 5 and (rows["test rows"] == 920).all()
    target = few.target[few.folds[4][1]]
    for row in rows.to_dict("records"):
        (path,) = tmp_path.glob(f"*/{predictions_file(tmp_path, row['route']).name}")
        predicted = load_arrays(path, ["found"])["found"]
        error = np.abs(predicted - target)
        assert row["mae"] == pytest.approx(error.mean())
        assert row["mae above 0"] == pytest.approx(error[target > 0].mean())
        assert row["r2"] == pytest.approx(r2_score(target, predicted))
    monkeypatch.setattr(leaderboards, "CrossFittedTrees", None)  # nothing is computed again
    monkeypatch.setattr(leaderboards, "task_encoder", None)
    pd.testing.assert_frame_equal(all_rows(), rows)


def test_what_holds_other_elements_gets_the_median(few, tmp_path):
    of, (_, tested) = BoardFold("matbench_expt_gap", 0), few.folds[0]
    asked = {}

    def learns(amounts, y, unknown):
        asked.update(y=y, unknown=unknown)
        return np.full(len(unknown), -1.0)

    predicted, _ = of.predictions("any", learns, tmp_path)
    other = np.isnan(amounts_matrix([few.formulas[k] for k in tested], "nan", "allow")).any(axis=1)
    assert (predicted[~other] == -1).all() and len(predicted) == len(tested)
    assert (predicted[other] == np.median(asked["y"])).all()
    assert len(asked["unknown"]) == (~other).sum()
