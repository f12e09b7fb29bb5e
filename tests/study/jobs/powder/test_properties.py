import pickle

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor

from matgan.powder.baselines import coarse
from matgan.study.jobs.powder import patterns, properties
from matgan.study.jobs.powder.patterns import Setting

SMALL = Setting(train_rows=120, test_rows=40, step=0.2)


@pytest.fixture
def one(crystals):
    """The material of the small setting; skipped where the structures cannot be had."""
    return patterns.material(SMALL)


@pytest.mark.parametrize("way", ["composition, one-hot", "composition, WGAN T"])
def test_a_composition_tells_energies_better_than_their_mean(one, way):
    energy, gap = properties.property_rows(way, SMALL, 40, 0)
    assert [energy["property"], gap["property"]] == ["e_form", "gap"]
    test = one.test["MEGNet"]
    y = one.crystals.table["e_form"].to_numpy(float)
    guess = np.abs(y[test] - y[~test].mean()).mean()
    assert energy["mae"] < 0.8 * guess
    assert energy["r2"] > 0.2


@pytest.mark.parametrize("way", ["pattern + composition", "structure (CGCNN)"])
def test_every_way_gives_both_properties(one, way):
    rows = properties.property_rows(way, SMALL, 1, 0)
    assert [row["property"] for row in rows] == ["e_form", "gap"]
    assert all(np.isfinite([row["mae"], row["mae_new_formula"]]).all() for row in rows)


def test_what_a_space_tells_is_measured_on_new_patterns(one):
    space = properties.latent_space("PCA", 2, SMALL, 0, 0)
    test, roots = one.test["MEGNet"], coarse(one.codes, 1)
    expected = PCA(2, random_state=0).fit(roots[~test]).transform(roots)
    np.testing.assert_allclose(space, expected)
    (row,) = properties.latent_rows(space, "PCA", SMALL, 0, 0)
    y = one.crystals.table["gap"].to_numpy(float)
    near = KNeighborsRegressor(10).fit(space[~test], y[~test]).predict(space[test])
    assert row["R2 gap"] == pytest.approx(r2_score(y[test], near))
    assert row["dimensions"] == 2


def test_every_piece_can_be_sent_to_a_process():
    for job in properties.JOBS:
        for key, piece in job.pieces().items():
            assert "/" not in key and " " not in key
            pickle.loads(pickle.dumps(piece))
