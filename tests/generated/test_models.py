"""Real compositions, controls and generators are drawn in one way, and each seed gives the same."""

import numpy as np
import pytest

from matgan.chemistry.composition import among, keys
from matgan.data.training_set import TrainingData
from matgan.files import PRETRAINED
from matgan.generated.controls import CONTROLS, pairwise
from matgan.generated.models import (
    CODE,
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
from matgan.wgan.checkpoint import load_networks
from matgan.wgan.config import LEARNING, PAPER, PUBLISHED_CODE
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
    alone, _ = load_generator(PRETRAINED / "wgan-mp-seed4.safetensors").draw(200, 7)
    assert (drawn.counts == alone).all()


def test_real_compositions_are_drawn_once_each_from_the_training_part(models, data):
    drawn = models.draw(REAL, 1000, seed=0).counts
    assert len(np.unique(keys(drawn))) == 1000
    assert among(drawn, data.train).all()
    assert len(models.draw(REAL, 10**6, seed=0).counts) == 3000


def test_the_networks_of_a_model_take_turns(models):
    files = [models.draw(OURS, 10, 0, turn).weights for turn in range(6)]
    assert files == ["wgan-mp", *(f"wgan-mp-seed{k}" for k in (1, 2, 3, 4)), "wgan-mp"]
    assert models.turns(OURS, 1) == 5
    assert models.turns(OURS, 7) == 7
    assert models.turns(PAIRWISE, 1) == 1


def test_a_slow_generator_stops_after_its_draws(models):
    drawn = models.draw(MATGAN, 10_000, 0)
    assert len(drawn.counts) == round(1024 * drawn.decodable) < 200


def test_the_table_of_files_says_what_was_trained_on_what(models, mp_training, tmp_path):
    table = trained_files(models)
    assert table["model"].tolist() == [PRINTED, CODE, MATGAN, *[OURS] * 5]
    assert table["file"].tolist()[:2] == [  # those were trained on the authors' OQMD file only
        "not run: no wgan-mp-printed.safetensors",
        "not run: no wgan-mp-code.safetensors",
    ]
    there = table.dropna(subset="iterations")
    assert not there["trained on this split"].any()
    ours = trained_files(find_models("mp", mp_training)).query("model == @OURS")
    assert ours["trained on this split"].all()
    assert set(ours["iterations"]) == {"20000"}
    none = find_models("mp", mp_training, tmp_path)
    assert none.networks == {}
    files = trained_files(none, tmp_path)["file"]
    assert files.tolist()[-1] == "not run: no wgan-mp.safetensors"


def test_the_three_objects_have_weights_of_their_own(mp_training):
    """The configuration in each file says which it is."""
    found = find_models("oqmd", mp_training).networks
    of = {model: [load_networks(PRETRAINED / f"{f}.safetensors")[0] for f in found[model]]
          for model in (PRINTED, CODE, OURS)}  # fmt: skip
    for model, like in {PRINTED: PAPER, CODE: PUBLISHED_CODE, OURS: LEARNING}.items():
        for config in of[model]:
            run = {"iterations", "seed", "test_batches", "test_every"}
            changes = {name: getattr(like, name) for name in run}
            assert config.replace(**changes) == like, model
    assert [len(configs) for configs in of.values()] == [1, 5, 5]


def test_formulas_of_all_elements_are_no_compositions(data):
    """What is kept of the printed setting sets every element in every sample."""
    drawn = find_models("oqmd", data, slow_draws=1).draw(PRINTED, 10, 0)
    assert len(drawn.counts) == drawn.decodable == 0


def test_known_are_all_compounds_once(data):
    known = known_compositions([data, TrainingData(data.test, data.train[:10])])
    assert len(known) == 3500
    assert among(data.test, known).all()


def test_every_model_has_one_name():
    assert len(set(MODELS)) == 1 + len(CONTROLS) + 4
