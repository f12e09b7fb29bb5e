"""The job of site likelihoods: what its pieces cover, and a small run."""

import numpy as np
import pytest

from matgan.crystals.sites.network import BESIDE, SHAPE, SITE_VIEWS
from matgan.study.jobs.crystals import sites as job


@pytest.fixture(scope="module")
def data(crystals):
    return job.site_data(1500)


def test_the_pieces_cover_every_view_with_every_seed():
    settings = job.settings()
    assert len({s.key for s in settings}) == len(settings)
    asked = [(s.view, s.seed) for s in settings if s == job.Setting(s.view, seed=s.seed)]
    assert sorted(asked, key=str) == sorted(
        ((view, seed) for view in SITE_VIEWS.values() for seed in job.REPEATS), key=str
    )
    for held in (job.PROTOTYPES, job.CHEMICAL_SYSTEMS):
        assert sum(s.held == held for s in settings) == 2 * len(job.REPEATS)


@pytest.mark.parametrize("held", [job.STRUCTURES, job.PROTOTYPES, job.CHEMICAL_SYSTEMS])
def test_what_is_held_out_is_on_one_side(held, data):
    learn, test = data.parts(held, 0)
    assert not (learn & test).any() and test.sum() > 30
    if held == job.CHEMICAL_SYSTEMS:
        systems = [frozenset(numbers.tolist()) for _, numbers, _ in data.structures]
        sides = [{systems[i] for i in np.flatnonzero(part)} for part in (learn, test)]
        assert not sides[0] & sides[1]
    sites = data.drawn(test, 200, 0)
    assert len(sites) == 200 and test[sites.structure].all()


def test_a_short_training_gives_a_row_and_a_model_that_is_kept(data, tmp_path, monkeypatch):
    setting = job.Setting(BESIDE, trained=10_000, epochs=12)
    row, model = job.trained_row(data, setting, tested=500)
    majority = job.majority_row(data, job.STRUCTURES, 0)
    assert row["error"] < majority["error"] - 0.05
    monkeypatch.setattr(job.runner, "WORK", tmp_path)
    folder = tmp_path / job.NAME / setting.key
    folder.mkdir(parents=True)
    job.save_model(folder / "model.safetensors", model)
    again = job.kept_model(setting)
    some = data.drawn(data.parts(job.STRUCTURES, 0)[1], 50, 0)
    np.testing.assert_allclose(again.log_likelihood(some), model.log_likelihood(some), atol=1e-5)
    with pytest.raises(job.RunError, match="jobs run site-likelihood"):
        job.kept_model(job.Setting(SHAPE))
    rows = list(job.element_rows(model, 0))
    assert {r["of"] for r in rows[:4]} == {
        f"{kind}, {where}" for kind in ("group", "block") for where in ("weights", "map")
    }
    assert all(np.isfinite([r["x"], r["y"]]).all() for r in rows[4:])


def test_fingerprints_of_other_structures_are_not_taken(crystals, tmp_path, monkeypatch):
    monkeypatch.setattr(job.runner, "WORK", tmp_path)
    small = np.flatnonzero(np.diff(crystals.first) < 6)[:4]
    for chosen in (small[:2], small[2:], small[:2]):
        few = crystals.take(chosen)
        monkeypatch.setattr(job, "load_structures", lambda few=few: few)
        data = job.site_data.__wrapped__()
        assert data.sites.species.shape[0] == 2
        np.testing.assert_array_equal(
            data.sites.shape, job.site_fingerprints(data.structures).shape
        )
    assert len(list(tmp_path.glob("*/sites-*.npz"))) == 2
