"""Jobs of generators: their pieces, and that a piece gives what the notebook would compute."""

import pickle

import numpy as np
import pandas as pd
import pytest

from matgan.data.training_set import TrainingData
from matgan.generated.models import DATA_SETS, MODELS, OURS, find_models
from matgan.generated.validation import Sizes
from matgan.generated.yields import CRITICAL, FORMATION, REGRESSORS
from matgan.representation.benchmark import FOREST, SYSTEM
from matgan.study.jobs.paper import generators
from matgan.study.jobs.runner import known_jobs


@pytest.fixture
def small(monkeypatch, mp_training, supercon, tmp_path):
    """Materials Project compositions only, and few of everything."""
    data = TrainingData(mp_training.train[:5000], mp_training.test[:1000])
    models = {name: find_models(name, data, slow_draws=1024) for name in DATA_SETS}
    monkeypatch.setattr(generators, "_models", models.__getitem__)
    monkeypatch.setattr(generators, "SIZES", Sizes(1200, 100, 2, 1500))
    monkeypatch.setattr(generators, "POOL", 1000)
    monkeypatch.setattr(generators, "LISTED", 300)
    monkeypatch.setattr(generators, "MEMBERS", 2)
    monkeypatch.setattr(generators, "EPOCHS", {FORMATION: 1, CRITICAL: 2})
    monkeypatch.setattr(generators, "LONG", tmp_path)  # nothing of notebook 4
    generators._known.cache_clear()
    yield
    generators._known.cache_clear()


def test_they_are_known_and_can_be_sent_to_a_process():
    jobs = known_jobs()
    validation = jobs["generator-validation"].pieces()
    assert len(validation) == generators.TURNS * len(DATA_SETS) * len(MODELS)
    for name in ("generator-validation", "screening", "candidates"):
        pieces = jobs[name].pieces()
        assert all(key.replace("-", "").replace("_", "").isalnum() for key in pieces)
        for piece in pieces.values():
            assert pickle.loads(pickle.dumps(piece)).args == piece.args


def test_a_network_is_also_trained_for_twice_the_epochs(small):
    pieces = generators._screenings()
    longer = [key for key in pieces if key.endswith("longer")]
    assert longer == ["formation_energy--0--longer", "critical_temperature--0--longer"]
    assert generators.chosen(FORMATION, 3, 2).model.epochs == 2
    assert generators.chosen(FORMATION, 3, 2).model.random_state == 300


def test_trainings_for_twice_the_epochs_choose_no_regressor(monkeypatch):
    facts = {"dataset": FORMATION.dataset, "split": SYSTEM}

    def rows(features, epochs, mae, repeats):
        row = facts | {"features": features, "epochs": epochs, "mae": mae}
        return [row | {"repeat": i} for i in range(repeats)]

    network, longer = rows("one-hot", 40, 0.1, 10), rows("one-hot", 80, 0.05, 3)
    table = pd.DataFrame([*network, *longer, *rows(FOREST, np.nan, 0.099, 10)])
    monkeypatch.setattr(generators, "_kept", lambda *names: table if "table4" in names else None)
    assert generators.chosen(FORMATION, 0, 1).features == FOREST


def test_a_piece_of_the_validation(small, tmp_path):
    rows = pd.DataFrame(generators.validation_piece("mp", OURS, 1, tmp_path))
    assert set(rows["weights"]) == {"wgan-mp-seed1"}
    assert set(rows["seed"]) == {1}
    assert rows.set_index("measure")["value"]["compositions"] == 1200


def test_a_screening_and_its_candidates(small, tmp_path):
    rows = pd.DataFrame(generators.screening_piece(CRITICAL, 0, 2, tmp_path))
    assert set(rows["epochs"]) == {4}
    assert set(rows["weights"]) == {"", "wgan-oqmd+wgan-mp"}
    error = rows[rows["model"] == REGRESSORS].set_index("measure")["value"]
    assert error["mean absolute error (K)"] < 40
    listed = pd.DataFrame(generators.candidates_piece(CRITICAL, tmp_path))
    assert listed["rank"].tolist() == list(range(1, len(listed) + 1))
    assert listed["low"].is_monotonic_decreasing
    kept = rows[(rows["model"] == OURS) & (rows["measure"] == "kept, distinct")]["value"].item()
    assert len(listed) == 300 < kept
