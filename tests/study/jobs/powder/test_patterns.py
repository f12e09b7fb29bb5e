import pickle

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from matgan.crystals.symmetry import prototypes
from matgan.learning import fit
from matgan.powder.baselines import coarse
from matgan.study.jobs.powder import patterns
from matgan.study.jobs.powder.material import LONG, Setting, material

SMALL = Setting(train_rows=120, test_rows=40, step=0.2, trees=3)
FOUND = {"best": True, "inside": True, "learning_rate": 3e-3}


@pytest.fixture
def one(crystals):
    """The material of the small setting; skipped where the structures cannot be had."""
    return material(SMALL)


def test_prototypes_stay_on_one_side_of_the_second_split(one):
    keys, test = prototypes(one.crystals), one.test["prototypes apart"]
    assert not set(keys[test]) & set(keys[~test])
    assert set(keys[one.test["MEGNet"]]) & set(keys[~one.test["MEGNet"]])
    assert (one.test["MEGNet"] == (one.crystals.table["split"] == "test")).all()


def test_the_nearest_pattern_is_scikit_learns(one):
    found = patterns.symmetry_piece("nearest pattern", "MEGNet", SMALL, 0, 0)
    test, x = one.test["MEGNet"], coarse(one.codes, 2)
    for i, row in enumerate(found):
        peer = KNeighborsClassifier(1, metric="cosine").fit(x[~test], one.classes[~test, i])
        expected = accuracy_score(one.classes[test, i], peer.predict(x[test]))
        assert row["top1"] == pytest.approx(expected, abs=1.01 / 40)  # two may be equally near
        assert row["low"] < row["top1"] < row["high"]
        assert (row["n_train"], row["n_test"]) == (120, 40)


def test_a_forest_of_parts_is_whole_and_goes_on(few, tmp_path):
    setting = Setting(train_rows=0, trees=12)
    given = (patterns.ON_COMPOSITION, "MEGNet", setting, 0, tmp_path)
    found = patterns.baseline_scores(*given)
    for scores in found.values():
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert len(list(tmp_path.glob("trees*.npz"))) == 2  # of ten trees and of two
    truth = material(setting).classes[material(setting).test["MEGNet"], 0]
    guess = np.bincount(truth).max() / len(truth)
    assert (found["crystal_system"].argmax(1) == truth).mean() > guess
    (tmp_path / "trees0.npz").rename(tmp_path / "trees10.npz")  # what is kept is not grown again
    other = patterns.baseline_scores(*given)
    assert not np.allclose(other["space_group"], found["space_group"])


def test_a_training_is_told_by_its_seed(one, tmp_path):
    given = ("FCN", "MEGNet", SMALL, 1)
    first, again, other = (
        patterns.symmetry_network(*given, seed, tmp_path / f"{i}.safetensors").state_dict()
        for i, seed in enumerate((0, 0, 1))
    )
    name = next(iter(first))
    np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first[name], other[name])


@pytest.mark.parametrize("name", patterns.NETWORKS)
def test_a_piece_that_was_stopped_goes_on_to_the_same_rows(
    name, few, found_rates, tmp_path, monkeypatch
):
    found_rates(patterns.SEARCH, [{"method": name, **FOUND}])
    small = Setting(train_rows=0, batch_size=16)
    given = (name, "prototypes apart", 2, 0)
    whole = patterns.trained_piece(*given, tmp_path, small)
    assert [row["label"] for row in whole] == list(patterns.LABELS)
    assert {row["learning_rate"] for row in whole} == {3e-3}

    save, saved = fit.files.save, []

    def stopped(*of):
        save(*of)
        saved.append(of)
        if len(saved) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(fit, "_CHECKPOINT_SECONDS", -1)
    monkeypatch.setattr(fit.files, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        patterns.trained_piece(*given, tmp_path, small)
    rest = patterns.trained_piece(*given, tmp_path, small)
    steps = [int(facts["step"]) for _, _, facts in saved]
    assert steps == list(range(1, steps[-1] + 1))  # none was done twice
    assert rest == whole


def test_a_search_asks_validation_structures_and_ends_inside(few, tmp_path):
    small = Setting(train_rows=0, batch_size=16)
    rows = patterns.search_piece("FCN", 2, tmp_path, small, first=2e-3)
    assert all(row["inside"] for row in rows) and len(rows) >= 3
    (best,) = (row for row in rows if row["best"])
    assert best["error"] == min(row["error"] for row in rows) < 1
    assert {row["method"] for row in rows} == {"FCN"}
    assert not list(tmp_path.rglob("checkpoint*"))  # all trainings came to their end


def test_every_piece_can_be_sent_to_a_process():
    search, job = patterns.JOBS
    assert set(search.pieces()) == set(patterns.NETWORKS)
    assert len(job.pieces()) == 2 * (4 + 3 * (5 + 2)) and LONG.train_rows == 0
    for key, piece in {**search.pieces(), **job.pieces()}.items():
        assert "/" not in key and " " not in key
        pickle.loads(pickle.dumps(piece))
