"""Stable or not on OQMD's published parts: a few hundred compounds, distances made by hand."""

import numpy as np
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.representation.encoder.routes import Compounds
from matgan.stability.hull import Hull
from matgan.stability.quality import stability_scores
from matgan.study.jobs.runner import known_jobs
from matgan.study.jobs.stability import published as jobs
from matgan.study.jobs.stability.stable import ALL, LEARNED, LOOK_UP
from matgan.study.run import RunError


@pytest.fixture
def parts(oqmd, monkeypatch):
    """400 compounds of few elements, every fourth to test on, two with an impossible energy."""
    amounts = amounts_matrix(oqmd["formula"])
    rare = (amounts > 0).sum(axis=0).argsort()[:-14]
    rows = oqmd[(amounts[:, rare] == 0).all(axis=1)].sample(400, random_state=0)
    energies = rows["target"].to_numpy().copy()
    energies[[3, 8]] = 9.0  # the first of these is a test compound
    place = np.arange(400)
    which = {"train": place[place % 4 < 2], "val": place[place % 4 == 2]}
    which["test"] = place[place % 4 == 3]
    found = Compounds(amounts_matrix(rows["formula"]), energies, which, np.zeros(0))
    monkeypatch.setattr(jobs, "published_parts", lambda: found)
    jobs.published.cache_clear()
    yield found
    jobs.published.cache_clear()


def left(parts, work, seed, away):
    """Predictions as the job of the encoders leaves them."""
    folder = work / "encoder-oqmd" / f"seed-{seed}"
    folder.mkdir(parents=True)
    np.save(folder / "predicted.npy", parts.target[parts.rows["test"]] + away)


def test_calculated_energies_are_right_about_all(parts, tmp_path):
    left(parts, tmp_path, 0, 0.0)
    rows = jobs.seed_piece(0, tmp_path / jobs.NAME / "seed-0")
    table = {(row["method"], row["hull"]): row for row in rows}
    own = table[jobs.ENCODER, ALL]
    assert own["compounds"] == 99 and own["f1"] == 1 and own["mae"] < 1e-9
    # without the other test compounds on the hull more seems stable
    learned = table[jobs.ENCODER, LEARNED]
    assert learned["recall"] == 1 and learned["precision"] < 1
    assert table[LOOK_UP, ALL]["f1_ranked"] < 1


def test_distances_are_predicted_energies_above_the_hull_of_the_others(parts, tmp_path):
    away = np.random.default_rng(0).normal(0, 0.2, 100)
    for seed in range(jobs.SEEDS):
        left(parts, tmp_path, seed, away * (seed + 1))
    sound = np.abs(parts.target) < 5
    true = Hull(parts.amounts[sound], parts.target[sound]).own_distances()
    true = true[np.flatnonzero(np.arange(400)[sound] % 4 == 3)]
    rows = jobs.seed_piece(1, tmp_path / jobs.NAME / "seed-1")[:1]
    rows += jobs.mean_piece(tmp_path / jobs.NAME / "mean")[::2]  # beside all compounds
    assert len(rows) == 1 + 10 and len({row["seed"] for row in rows[1:]}) == 10
    # seed k is off by k + 1 times as much: of seeds 0, 1, 2 the mean by twice, of 2, 3, 4 by four
    for row, times in ((rows[0], 2), (rows[1], 2), (rows[-1], 4)):
        expected = stability_scores(true, true + times * away[sound[3::4]])
        assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_what_has_not_been_trained_is_named(parts, tmp_path):
    pieces = known_jobs()[jobs.NAME].pieces()
    assert list(pieces) == ["peers", *(f"seed-{seed}" for seed in range(5)), "mean"]
    with pytest.raises(RunError, match=r"seed-2.*jobs run encoder-oqmd"):
        pieces["seed-2"](tmp_path / jobs.NAME / "seed-2")
