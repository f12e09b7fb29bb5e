"""Bartel's test of our models on a sample: every fold is predicted once and kept."""

from dataclasses import replace

import numpy as np
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.stability.bartel import FOLDS, folds
from matgan.study.jobs.compositions.encoders import EncoderChoice
from matgan.study.jobs.stability import bartel
from matgan.study.jobs.stability.bartel import (
    ANY,
    DISTANCE,
    ENERGY,
    ENTRIES,
    JOBS,
    MEAN,
    MEMBERS,
    METHODS,
    controls_piece,
    fold_scores,
    mean_piece,
    method_piece,
)
from matgan.study.run import RunError


@pytest.fixture
def sample(mp_stability, monkeypatch):
    """300 compounds, trainings of a moment."""
    table = mp_stability.sample(300, random_state=0).reset_index(drop=True)
    monkeypatch.setattr(bartel, "load_mp_stability", lambda: table)
    few = EncoderChoice(width=32, layers=1, batch_size=64)
    monkeypatch.setattr(bartel, "final_choice", lambda epochs: replace(few, epochs=epochs))
    monkeypatch.setattr(bartel, "EPOCHS", dict.fromkeys(bartel.EPOCHS, 4))
    trees = bartel.GatedTrees
    monkeypatch.setattr(bartel, "GatedTrees", lambda **kw: trees(max_iter=10, **kw))
    return table


def test_each_method_learns_energies_and_distances(sample, tmp_path):
    energies = sample["target"]
    away = np.abs(energies - energies.median()).mean()
    for method in METHODS:
        for learned in (ENERGY, DISTANCE):
            folder = tmp_path / bartel.NAME / f"{method}-{learned}-0"
            folder.mkdir(parents=True)
            (row,) = method_piece(method, learned, 0, 1, folder)
            assert row["method"] == METHODS[method] and row["compounds"] == 300
            assert ("mae_energy" in row) == (learned == ENERGY)
            assert np.isfinite(row["mae"]) and 0 <= row["f1_ranked"] <= 1
            assert len(list(folder.glob("fold-*.npy"))) == FOLDS
            if learned == ENERGY:
                assert row["mae_energy"] < (1 if method in ("trees", "look-up") else 2) * away
    (row,) = mean_piece(0, tmp_path / f"{bartel.NAME}-mean" / "seed-0")
    assert row["method"] == MEAN and row["mae_energy"] < away
    with pytest.raises(RunError, match=r"there is no fold 0 in .*T-energy-1"):
        mean_piece(1, tmp_path / f"{bartel.NAME}-mean" / "seed-1")


def test_a_kill_loses_one_fold_at_most(sample, tmp_path, monkeypatch):
    method_piece("fractions", ENERGY, 3, 1, tmp_path)
    (tmp_path / "fold-2.npy").unlink()
    done, asked = bartel.fold_predictions, []
    monkeypatch.setattr(
        bartel, "fold_predictions", lambda *args: asked.append(args[3]) or done(*args)
    )
    method_piece("fractions", ENERGY, 3, 1, tmp_path)
    assert len(asked) == 1
    assert asked[0].test.tolist() == list(folds(300, 3))[2].test.tolist()


def test_a_test_compound_is_not_learned_from(sample, tmp_path):
    """The energies of a fold's test part change no answer on it."""
    amounts, y = amounts_matrix(sample["formula"]), sample["target"].to_numpy()
    split = next(folds(300, 0))
    changed = y.copy()
    changed[split.test] += 5
    for method in ("T", "trees", "look-up"):
        said = [
            bartel.fold_predictions(method, amounts, some, split, 0, 1, tmp_path / "none")
            for some in (y, changed)
        ]
        np.testing.assert_array_equal(*said)


def test_perfect_predictions_score_fully(sample):
    row = fold_scores(sample, DISTANCE, sample["distance"].to_numpy())
    assert row["f1"] == 1 and row["mae"] == 0 and row["f1_calibrated"] > 0.98
    row = fold_scores(sample, ENERGY, sample["target"].to_numpy())
    assert row["mae_energy"] == 0 and row["recall"] == 1  # fewer compete: none is lost


def test_controls_count_what_the_other_folds_hold(sample, tmp_path):
    entries, at_random = controls_piece(0, tmp_path)
    assert entries["method"] == ENTRIES and at_random["method"] == ANY
    assert at_random["f1_ranked"] == pytest.approx((sample["distance"] < 0).mean())
    assert np.isnan(entries["mae"]) and 0 < entries["f1_ranked"] < 1


def test_the_pieces_are_the_plan():
    methods, means = JOBS
    keys = list(methods.pieces())
    assert len(keys) == 5 + 2 * (5 * 5 + 1) + 2 and len(means.pieces()) == 5
    for seed in range(5):
        assert {f"{method}-{ENERGY}-{seed}" for method in MEMBERS} <= set(keys)
