import pickle

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from matgan.crystals.symmetry import prototypes
from matgan.powder.baselines import coarse
from matgan.study.jobs.powder import patterns
from matgan.study.jobs.powder.patterns import Setting

SMALL = Setting(train_rows=120, test_rows=40, step=0.2, trees=3)


@pytest.fixture
def one(crystals):
    """The material of the small setting; skipped where the structures cannot be had."""
    return patterns.material(SMALL)


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


def test_a_training_is_told_by_its_seed(one, tmp_path):
    given = ("FCN", "MEGNet", SMALL, 1)
    first, again, other = (
        patterns.symmetry_network(*given, seed, tmp_path / f"{i}.safetensors").state_dict()
        for i, seed in enumerate((0, 0, 1))
    )
    name = next(iter(first))
    np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first[name], other[name])


def test_every_piece_can_be_sent_to_a_process():
    for job in patterns.JOBS:
        pieces = job.pieces()
        assert len(pieces) == 2 * (3 + 3 * 5)
        for key, piece in pieces.items():
            assert "/" not in key and " " not in key
            pickle.loads(pickle.dumps(piece))
