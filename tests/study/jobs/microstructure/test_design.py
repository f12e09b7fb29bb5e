import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp, ttest_ind

from matgan.microstructure.generative import (
    ImageCritic,
    ImageGAN,
    ImageGenerator,
    save_generator,
)
from matgan.microstructure.optics import Film, absorbed
from matgan.study.jobs.microstructure import design as job
from matgan.study.jobs.microstructure.fields import FIELD_RANGE, field
from matgan.study.run import RunError


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = ImageGenerator(ImageGAN(channels=2, widest=4))
    network(torch.randn(32, 1, 4, 4))
    return network.eval()


def stripes(image):
    """What is looked for here: neighbours along one axis alike, along the other not."""
    along = (image == np.roll(image, 1, 0)).mean()
    return float(along - (image == np.roll(image, 1, 1)).mean())


@pytest.mark.parametrize("method", ["sobol_points", "cma_es", "bayesian"])
def test_a_search_asks_as_often_as_it_may_and_gives_its_best(generator, method):
    if method != "sobol_points":
        pytest.importorskip({"cma_es": "cma", "bayesian": "botorch"}[method])
    asked = []

    def objective(image):
        asked.append(image)
        return stripes(image)

    image, values = getattr(job, method)(objective, generator, 14, 3)
    assert len(values) == len(asked) == 14
    assert values == [stripes(one) for one in asked]
    assert stripes(image) == max(values)
    assert getattr(job, method)(stripes, generator, 14, 3)[1] == values


def test_a_bayesian_optimisation_starts_with_sobols_points_and_gets_beyond_them(generator):
    pytest.importorskip("botorch")
    sobol = job.sobol_points(stripes, generator, 10, 0)[1]
    values = job.bayesian(stripes, generator, 30, 0)[1]
    assert values[:10] == sobol
    assert np.mean(values[-5:]) > np.mean(sobol)


def test_images_of_each_training_are_asked_for_before_any_search(monkeypatch, tmp_path):
    config = ImageGAN(size=8, channels=2, widest=4)
    torch.manual_seed(1)
    parts = ImageGenerator(config), ImageCritic(config)
    monkeypatch.setattr(job.runner, "WORK", tmp_path)
    folder = tmp_path / job.GAN / "gan-3-longer"
    folder.mkdir(parents=True)
    save_generator(folder / job.WEIGHTS, config, parts)
    monkeypatch.setattr(job, "BUDGET", 6)
    monkeypatch.setattr(job, "absorbed", lambda image, film=None, orders=5: orders * stripes(image))
    (row,) = job.drawn_piece(3, 2, tmp_path)
    mean = np.mean(job.sobol_points(stripes, parts[0].eval(), 6, 3)[1])
    assert row["source"] == job.GAN and (row["seed"], row["times"], row["images"]) == (3, 2, 6)
    assert (row["mean"], row["finer"]) == pytest.approx((5 * mean, job.FINER_ORDERS * mean))
    (of_length,) = job.length_piece(4.0, tmp_path)
    mean = np.mean([stripes(field(i, length=4.0, seed=3)) for i in range(6)])
    assert of_length["mean"] == pytest.approx(5 * mean)
    with pytest.raises(RunError, match="gan-3/generator"):
        job.training_of(3)


def test_one_length_spends_the_rest_on_the_best_length():
    def length(image):  # grows with the size of the features
        return float((image == np.roll(image, 1, 0)).mean())

    image, values = job.one_length(length, 24, 0)
    assert len(values) == 24 and length(image) == max(values)
    longest = [length(field(i, length=FIELD_RANGE[1], seed=2000)) for i in range(8, 24)]
    assert values[8:] == longest


def test_a_row_has_the_winner_with_more_orders(generator):
    (row,) = job.search_rows(job.FIELDS, None, 0, 12, orders=1)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["phases"]), dtype=np.uint8))
    image = bits.reshape(64, 64).astype(bool)
    assert row["best"] == pytest.approx(absorbed(image, Film(), 1))
    assert row["finer"] == pytest.approx(absorbed(image, Film(), 3))
    assert row["mean"] < row["best of 10"] <= row["best"] and row["evaluations"] == 12
    (row,) = job.search_rows(job.SOBOL, generator, 1, 12, orders=1)
    assert row["phases"] == ""


def test_values_of_methods_are_there_for_all_or_none():
    """A value a repeat; the mean of each training where its latent space is searched."""
    methods = [job.CMA, job.CMA, job.FIELDS, job.CMA]
    table = pd.DataFrame({"method": methods, "seed": [0, 5, 5, 1], "training": [0, 0, np.nan, 1]})
    table["gain"] = [1.0, 2.0, 2.5, 3.0]
    found = job.by_method(table, "gain", [job.FIELDS, job.CMA])
    assert found[job.FIELDS].to_dict() == {5: 2.5}
    assert found[job.CMA].to_dict() == {0: 1.5, 1: 3.0}
    assert list(found) == [job.FIELDS, job.CMA]
    assert job.by_method(table, "gain", job.METHODS) == {}
    assert job.by_method(table, "finer", [job.CMA]) == {}
    assert job.by_method(table.assign(gain=np.nan), "gain", [job.CMA]) == {}
    assert job.by_method(pd.DataFrame(), "gain", [job.CMA]) == {}
    fields_only = table[table["method"] == job.FIELDS].drop(columns="training")
    assert job.by_method(fields_only, "gain", [job.FIELDS, job.CMA]) == {}


def test_searches_of_the_same_trainings_are_compared_in_pairs():
    of = [pd.Series(v, pd.Index([0, 1, 2], name="training")) for v in ([1, 5, 9], [0.9, 4.7, 8.9])]
    fields = pd.Series([0.9, 4.7, 8.9], pd.Index([0, 1, 2], name="seed"))
    assert job.equal_p(*of) == pytest.approx(ttest_1samp([0.1, 0.3, 0.1], 0).pvalue)
    assert job.equal_p(of[0], fields) == pytest.approx(ttest_ind(*of, equal_var=False).pvalue)


def test_without_the_weights_the_job_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "PRETRAINED", tmp_path)
    with pytest.raises(RunError, match="jobs run microstructure-gan"):
        job.shipped()


def test_every_piece_can_be_sent_to_a_process():
    pieces = job.JOBS[0].pieces()
    assert len(pieces) == 50
    pickle.loads(pickle.dumps(pieces))
