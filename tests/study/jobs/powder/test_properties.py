import pickle

import numpy as np
import pytest

from matgan.study.jobs.powder import properties
from matgan.study.jobs.powder.material import HOW_SPLIT, Setting, material

SMALL = Setting(train_rows=120, test_rows=40, step=0.2, trees=20)
FOUND = {"best": True, "inside": True, "learning_rate": 3e-3}


@pytest.fixture
def one(crystals):
    """The material of the small setting; skipped where the structures cannot be had."""
    return material(SMALL)


def mean_error(one, split="MEGNet"):
    """Of guessing the mean energy of the training part."""
    test, y = one.test[split], one.crystals.table["e_form"].to_numpy(float)
    return np.abs(y[test] - y[~test].mean()).mean()


@pytest.mark.parametrize("way", ["composition, one-hot", "composition, WGAN T"])
def test_a_composition_tells_energies_better_than_their_mean(one, way):
    energy, gap = properties.property_rows(way, SMALL, 40, 0)
    assert [energy["property"], gap["property"]] == ["e_form", "gap"]
    assert energy["mae"] < 0.8 * mean_error(one)
    assert energy["r2"] > 0.2


@pytest.mark.parametrize("way", [properties.BOTH, properties.GRAPH])
@pytest.mark.parametrize("split", HOW_SPLIT)
def test_a_piece_gives_both_properties_at_the_rate_of_the_search(
    way, split, few, found_rates, tmp_path
):
    found_rates(properties.SEARCH, [{"method": way, **FOUND}])
    small = Setting(train_rows=0, batch_size=16)
    rows = properties.property_piece(way, split, 1, 0, tmp_path, small)
    assert [row["property"] for row in rows] == ["e_form", "gap"]
    for row in rows:
        assert np.isfinite([row["mae"], row["mae_new_formula"]]).all()
        assert (row["split"], row["learning_rate"]) == (split, 3e-3)


@pytest.mark.parametrize("way", properties.UNTRAINED)
def test_methods_without_a_network_are_no_straw_men(few, way, tmp_path):
    small = Setting(train_rows=0, trees=20)
    energy, gap = properties.untrained_rows(way, small, "MEGNet", tmp_path)
    worst = 1.2 if way == properties.NEAREST else 1.0  # of 160 patterns none is very near
    assert energy["mae"] < worst * mean_error(material(small)) and np.isfinite(gap["mae"])
    again = properties.untrained_rows(way, small, "MEGNet", tmp_path)
    assert again == [energy, gap]


def test_the_number_of_nearest_patterns_is_chosen_on_validation_structures(few):
    small, asked = Setting(train_rows=0), Setting(train_rows=0, asked="val")
    deviation = properties.values(asked).std(0)

    def error(setting, k):
        found = properties._by_nearest(setting, "MEGNet", k)
        used = properties.inside(setting) & properties.asked_rows(setting)
        return np.abs(found - properties.values(setting)[used]).mean(0)

    best = min((1, 2, 4, 8), key=lambda k: (error(asked, k) / deviation).mean())
    rows = properties.untrained_rows(properties.NEAREST, small, "MEGNet")
    assert [row["mae"] for row in rows] == pytest.approx(error(small, best).tolist())


def test_elements_beyond_the_85_are_left_out_everywhere(one):
    used = properties.inside(SMALL)
    (energy, _) = properties.property_rows(properties.ALONE, SMALL, 1, 0)
    test = one.test["MEGNet"]
    assert (energy["n_train"], energy["n_test"]) == ((used & ~test).sum(), (used & test).sum())


def test_a_search_is_kept(few, tmp_path):
    small = Setting(train_rows=0, batch_size=16)
    rows = properties.search_piece(properties.ALONE, tmp_path, small, passes=2)
    assert rows == properties.search_piece(properties.ALONE, tmp_path, small, passes=2)
    assert sum(row["best"] for row in rows) == 1 and len(rows) >= 3


def test_every_piece_can_be_sent_to_a_process():
    search, job = properties.JOBS
    assert len(search.pieces()) == len(properties.WAYS)
    assert len(job.pieces()) == 2 * (3 + len(properties.WAYS) * (5 + 2))
    for key, piece in {**search.pieces(), **job.pieces()}.items():
        assert "/" not in key and " " not in key
        pickle.loads(pickle.dumps(piece))
