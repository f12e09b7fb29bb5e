"""Real compositions, controls and generators are drawn in one way, and each seed gives the same."""

import numpy as np
import pytest

from matgan.chemistry.composition import among, keys
from matgan.data.training_set import TrainingData
from matgan.files import PRETRAINED
from matgan.generated.controls import CONTROLS, pairwise
from matgan.generated.models import (
    MATGAN,
    MODELS,
    OURS,
    PAIRWISE,
    PRINTED,
    REAL,
    find_models,
    known_compositions,
    trained_files,
)
from matgan.wgan.generator import load_generator


@pytest.fixture(scope="module")
def data(mp_training):
    return TrainingData(mp_training.train[:3000], mp_training.test[:500])


@pytest.fixture(scope="module")
def models(data):
    return find_models("mp", data, slow_draws=1024)


def test_a_control_and_a_generator_give_what_they_give_alone(models, data):
    drawn = models.draw(PAIRWISE, 200, seed=3, turn=4)
    assert (drawn.counts == pairwise(data.train, 200, np.random.default_rng(7))).all()
    assert (drawn.decodable, drawn.weights) == (1.0, "")
    drawn = models.draw(OURS, 200, seed=3, turn=4)
    alone, _ = load_generator(PRETRAINED / "wgan-mp-seed1.safetensors").draw(200, 7)
    assert (drawn.counts == alone).all()


def test_real_compositions_are_drawn_once_each_from_the_training_part(models, data):
    drawn = models.draw(REAL, 1000, seed=0).counts
    assert len(np.unique(keys(drawn))) == 1000
    assert among(drawn, data.train).all()
    assert len(models.draw(REAL, 10**6, seed=0).counts) == 3000


def test_the_networks_of_a_model_take_turns(models):
    files = [models.draw(OURS, 10, 0, turn).weights for turn in range(4)]
    assert files == ["wgan-mp", "wgan-mp-seed1", "wgan-mp-seed2", "wgan-mp"]
    assert models.turns(OURS, 1) == 3
    assert models.turns(OURS, 5) == 5
    assert models.turns(PAIRWISE, 1) == 1


def test_a_slow_generator_stops_after_its_draws(models):
    drawn = models.draw(MATGAN, 10_000, 0)
    assert len(drawn.counts) == round(1024 * drawn.decodable) < 200


def test_the_table_of_files_says_what_was_trained_on_what(models, mp_training, tmp_path):
    table = trained_files(models)
    assert table["model"].tolist() == [PRINTED, MATGAN, OURS, OURS, OURS]
    assert not table["trained on this split"].any()
    assert trained_files(find_models("mp", mp_training))["trained on this split"].all()
    none = find_models("mp", mp_training, tmp_path)
    assert none.networks == {}
    files = trained_files(none, tmp_path)["file"]
    assert files.tolist()[0] == "not run: no wgan-mp-paper.safetensors"


def test_known_are_all_compounds_once(data):
    known = known_compositions([data, TrainingData(data.test, data.train[:10])])
    assert len(known) == 3500
    assert among(data.test, known).all()


def test_every_model_has_one_name():
    assert len(set(MODELS)) == 1 + len(CONTROLS) + 3
