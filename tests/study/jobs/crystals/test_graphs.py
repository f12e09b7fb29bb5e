"""Jobs of crystal graphs: splits, rows, what is held out; on few compounds."""

import numpy as np
import pytest

from matgan.crystals.graphs import castelli as pv
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.study.jobs.crystals import graphs as job


@pytest.fixture
def few(perovskites, monkeypatch):
    """The jobs on 300 perovskites, for two passes."""
    chosen = perovskites.take(np.arange(300))
    monkeypatch.setattr(pv, "load_castelli", lambda: chosen)
    monkeypatch.setattr(pv, "castelli_graphs", lambda: crystal_graphs(chosen).merged())
    monkeypatch.setattr(pv, "ideal_graphs", pv.ideal_graphs.__wrapped__)
    monkeypatch.setattr(job, "found_settings", lambda search, method: (1e-2, 1e-2))
    monkeypatch.setattr(job, "EPOCHS", 2)
    monkeypatch.setattr(job, "SIMPLE_EPOCHS", 3)
    monkeypatch.setattr(job, "SHARES", {"a quarter": 75, "four fifths": 240})
    return chosen


def test_shares_learn_from_as_many_and_small_ones_lie_in_half(few):
    half = job.castelli_splits()
    assert len(half) == job.REPEATS
    for share, learned in job.SHARES.items():
        for whole, split in zip(half, job.castelli_splits(share, 2), strict=False):
            rows = np.concatenate([split.train, split.validation])
            assert len(rows) == pytest.approx(learned, abs=1)
            assert not np.isin(rows, split.test).any()
            if learned < 150:
                assert np.isin(rows, np.concatenate([whole.train, whole.validation])).all()


def test_a_piece_gives_the_error_on_what_it_did_not_learn(few, tmp_path):
    rows = job.castelli_piece(pv.LINEAR_POOLING, job.HALF, 1, 2, tmp_path)
    assert (rows[0]["n_train"], rows[0]["n_test"], rows[0]["repeat"]) == (150, 150, 1)
    assert 0.05 < rows[0]["mae"] < 2
    told = [row for row in rows if row.get("dataset") == "contributions"]
    assert {row["site"] for row in told} == {"A", "B"}
    (full,), (blind,) = (
        job.castelli_piece(model, job.HALF, 1, 2, tmp_path) for model in (pv.FULL, pv.SITES_ONLY)
    )
    assert full["mae"] != blind["mae"]
    assert len(job.castelli_piece(pv.LINEAR_POOLING, job.HALF, 1, 4, tmp_path)) == 1
    assert not list(tmp_path.iterdir())  # and no checkpoint


def test_the_search_looks_at_no_test_row(few, tmp_path, monkeypatch):
    seen = []
    errors = iter([1.0, 2.0, 2.0, 3.0, 2.0, 4.0, 3.0])
    monkeypatch.setattr(
        job, "scores", lambda y, found: seen.append(len(y)) or {"mae": next(errors)}
    )
    rows = job.search_piece(pv.SIMPLE, tmp_path)
    assert seen == [15] * 7 and len(rows) == 7
    decay, rate = (row for row in rows if row["best"])
    assert decay["weight_decay"] == job.DECAY and rate["learning_rate"] == 2 * job.RATE
    assert rate["inside"] and {row["method"] for row in rows} == {pv.SIMPLE}
    assert {row["epochs"] for row in rows} == {job.passes(pv.SIMPLE)}


def test_null_models_see_the_same_splits(few, tmp_path):
    rows = job.null_piece(pv.RIDGE, job.HALF, 2, 2, tmp_path)
    errors = [row for row in rows if "mae" in row]
    assert [row["n_test"] for row in errors] == [150, 150]
    assert all(np.isnan(row["epochs"]) for row in errors)
    assert {row["repeat"] for row in rows if "contribution" in row} == {0, 1}
    network = job.null_piece(pv.NETWORK, job.HALF, 2, 1, tmp_path)
    assert len(network) == 1 and network[0]["epochs"] == 2


def test_shuffled_energies_say_what_they_are(few, tmp_path):
    rows = job.shuffled_piece(0, tmp_path)
    assert {row["features"] for row in rows} == {job.SHUFFLED}


def test_every_piece_has_a_key_of_its_own():
    models = {(p.args[0], p.args[1]) for k, p in job._castelli().items() if k.startswith("CGCNN")}
    assert {(m, job.HALF) for m in pv.GRAPH_OPTIONS} <= models
    assert len(job._search()) == 3
