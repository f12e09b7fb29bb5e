import pickle

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score, silhouette_score
from sklearn.neighbors import KNeighborsRegressor

from matgan.powder.baselines import coarse
from matgan.study.jobs.powder import latent, patterns
from matgan.study.jobs.powder.material import Setting, material

SMALL = Setting(train_rows=120, test_rows=40, step=0.2)
FOUND = {"best": True, "inside": True, "learning_rate": 3e-3}


@pytest.fixture
def one(crystals):
    """The material of the small setting; skipped where the structures cannot be had."""
    return material(SMALL)


def test_what_a_space_tells_is_measured_on_new_patterns(one):
    space = latent.latent_space("PCA", 2, SMALL, 0, 0)
    test, roots = one.test["MEGNet"], coarse(one.codes, 1)
    expected = PCA(2, random_state=0).fit(roots[~test]).transform(roots)
    np.testing.assert_allclose(space, expected)
    (row,) = latent.latent_rows(space, "PCA", SMALL, 0, 0)
    y = one.crystals.table["gap"].to_numpy(float)
    near = KNeighborsRegressor(10).fit(space[~test], y[~test]).predict(space[test])
    assert row["R2 gap"] == pytest.approx(r2_score(y[test], near))
    assert row["silhouette"] == pytest.approx(silhouette_score(space[test], one.classes[test, 0]))
    assert row["dimensions"] == 2


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (latent.LEARNED, 3),
        (latent.SUPERVISED, 0),
        pytest.param(latent.MANIFOLD, 2, marks=pytest.mark.slow),  # is compiled for a minute
    ],
)
def test_every_kind_of_space_has_its_row(kind, size, few, found_rates, tmp_path):
    found_rates(latent.SEARCH, [{"method": "VAE, 3", **FOUND}])
    found_rates(patterns.SEARCH, [{"method": "FCN", **FOUND}])
    small = Setting(train_rows=0, batch_size=16)
    (row,) = latent.latent_piece(kind, size, 1, 0, tmp_path, small)
    assert row["dimensions"] == (size or 384) and 0 <= row["purity"] <= 1
    assert -1 <= row["silhouette"] <= 1 and np.isfinite([row["R2 e_form"], row["R2 gap"]]).all()
    assert (row["learning_rate"] == 3e-3) == (kind != latent.MANIFOLD)
    assert (tmp_path / "space.npz").is_file() == (kind == latent.MANIFOLD)
    assert latent.latent_piece(kind, size, 1, 0, tmp_path, small) == [row]


def test_a_search_compares_losses_of_patterns_that_were_held_out(few, tmp_path):
    small = Setting(train_rows=0, batch_size=16)
    rows = latent.search_piece(2, tmp_path, small, passes=2)
    assert all(row["error"] > 0 for row in rows) and {row["method"] for row in rows} == {"VAE, 2"}


def test_every_piece_can_be_sent_to_a_process():
    search, job = latent.JOBS
    assert len(search.pieces()) == 3
    assert len(job.pieces()) == 3 + 3 * (5 + 2) + 5 + 3 * 5
    for key, piece in {**search.pieces(), **job.pieces()}.items():
        assert "/" not in key and " " not in key
        pickle.loads(pickle.dumps(piece))
