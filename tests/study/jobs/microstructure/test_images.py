import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from matgan.microstructure.generative import ImageGAN, load_generator_and_critic
from matgan.study.jobs.microstructure import images as job
from matgan.study.jobs.microstructure.fields import fields


def test_errors_are_nought_for_the_same_images_and_spread_is_told_apart():
    real = job.curves(fields(range(6), 64))
    assert set(job.curve_errors(real, real).values()) == {0.0}
    one = {name: np.repeat(values.mean(0)[None], 6, 0) for name, values in real.items()}
    errors = job.curve_errors(one, real)
    assert errors["two-point"] == pytest.approx(0, abs=1e-12)
    assert errors["two-point, spread"] == pytest.approx(real["two-point"].std(0).mean())


@pytest.mark.parametrize(("size", "longest"), [(16, 8), (64, job.LINES), (128, job.LINES)])
def test_curves_end_where_small_images_do(size, longest):
    found = job.curves(fields(range(2), size))
    assert found["two-point"].shape == (2, longest + 1)
    assert found["lineal path"].shape == (2, longest)
    assert np.isfinite(found["two-point"]).all()


def test_the_linear_control_keeps_the_two_point_statistics_of_what_it_learned():
    images = fields(range(60), 64, 8.0)
    drawn = job.linear_images(images, 60, 0, components=30)
    assert (drawn.mean((1, 2)) == 0.5).all()
    real, noise = (
        job.curves(images),
        job.curves(np.random.default_rng(0).random(images.shape) < 0.5),
    )
    error = job.curve_errors(job.curves(drawn), real)["two-point"]
    assert error < job.curve_errors(noise, real)["two-point"] / 2


def test_a_small_training_leaves_its_history_its_curves_and_its_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "ImageGAN", lambda seed: ImageGAN(iterations=1, seed=seed))
    monkeypatch.setattr(job, "IMAGES", 24)
    compared = job.compared
    monkeypatch.setattr(job, "compared", lambda *a: compared(*a, n=8))
    monkeypatch.setattr(job, "train_images", lambda *a, **k: train(*a, **(k | {"looks": 1})))
    from matgan.microstructure.generative import train_images as train

    rows = job.gan_piece(0, 2, tmp_path)
    assert {row["times"] for row in rows} == {2}
    assert max(row["iteration"] for row in rows if row["what"] == "history") == 2
    kinds = {row["what"] for row in rows}
    assert kinds == {"history", "errors", "two-point", "lineal path"}
    errors = {row["source"]: row["n"] for row in rows if row["what"] == "errors"}
    assert errors[job.GENERATED] == 8 and errors[job.LARGE] == 2
    _, generator, _ = load_generator_and_critic(tmp_path / job.WEIGHTS)
    with torch.no_grad():
        assert generator(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 128, 128)


def test_every_piece_can_be_sent_to_a_process():
    pieces = job.JOBS[0].pieces()
    assert len(pieces) == 6
    pickle.loads(pickle.dumps(pieces))


def test_a_missed_bound_stands_where_twice_the_updates_stay_away_from_it():
    def errors(*values, b=1.0):
        rows = [(job.GENERATED, seed, value, b) for seed, value in enumerate(values)]
        return pd.DataFrame(rows, columns=["source", "seed", "a", "b"]).set_index("source")

    def stays(usual, longer, **bounds):
        return job.stays(usual, longer, job.GENERATED, pd.Series(bounds))

    usual = errors(0.3, 0.7)
    assert stays(usual, errors(0.21), a=0.1) and not stays(usual, errors(0.19), a=0.1)
    assert stays(usual, errors(0.19), a=0.1, b=0.4)  # b is above, whatever becomes of a
    assert not stays(usual, errors(0.19), a=0.1, b=1.4)  # b below leaves it to a
    assert stays(usual, errors(0.21), a=0.5, b=1.4) and stays(usual, errors(0.21), a=0.1, b=1.4)
    # a is above in the training that went on, and not on average; b moves
    assert not stays(errors(0.6, 0.1), errors(0.6, b=1.2), a=0.5, b=1.1)
    assert not stays(usual, errors(), a=0.1)  # nobody tried
    assert not job.stays(usual, errors(0.21), job.LARGE, pd.Series({"a": 0.1}))
