"""The leaderboards: their own folds, every test row predicted, scores by hand."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from matgan.data.splits import chemical_systems
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.encoder.sources import read_amounts
from matgan.representation.encoder.trees import GatedTrees
from matgan.study.jobs.compositions import leaderboards, tasks
from matgan.study.jobs.compositions.leaderboards import TC, TC_SYSTEMS, load_board

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


def test_every_row_of_a_test_part_is_predicted(wheel, tmp_path, monkeypatch):
    small = {"width": 16, "layers": 1, "heads": 2, "device": "cpu"}
    monkeypatch.setattr(leaderboards, "ENCODER", small)
    monkeypatch.setattr(leaderboards, "schedule", lambda n: {"epochs": 1, "batch_size": 64})
    monkeypatch.setattr(tasks.SourceOf, "file", tmp_path / "source.safetensors")
    source = CompositionEncoder(**small, epochs=1).fit(["NaCl", "GaN"], [1.0, 2.0])
    source.save(tmp_path / "source.safetensors")
    quick = GatedTrees(max_iter=5, patience=5)
    monkeypatch.setattr(leaderboards, "GatedTrees", lambda learning_rate: quick)
    whole = load_board("matbench_expt_gap")
    few = replace(whole, folds=[(learned[::16], test) for learned, test in whole.folds])
    monkeypatch.setattr(leaderboards, "load_board", lambda name: few)
    rows = pd.DataFrame(leaderboards.board_piece("matbench_expt_gap", 4, tmp_path))
    assert rows["route"].is_unique and (rows["test rows"] == 920).all()
    kept = pd.read_csv(tmp_path / "predictions.csv")
    assert len(kept) == 920 and kept.notna().all(axis=None)
    for row in rows.to_dict("records"):
        predicted, positive = kept[row["route"]], kept["target"] > 0
        error = (predicted - kept["target"]).abs()
        assert row["mae"] == pytest.approx(error.mean())
        assert row["mae above 0"] == pytest.approx(error[positive].mean())
        assert row["r2"] == pytest.approx(r2_score(kept["target"], predicted))
