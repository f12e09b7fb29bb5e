import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import t as student

from matgan.microstructure.generative import ImageCritic, ImageGAN
from matgan.study.jobs.microstructure import transfer as job
from matgan.study.jobs.microstructure.fields import fields

CONFIG = ImageGAN(channels=4, widest=8)
RATES = {job.TUNED: 1e-3, job.SCRATCH: 2e-3}


@pytest.fixture(scope="module")
def data():
    """Fields, and how often neighbours are alike."""
    phases = fields(range(60))
    return phases, (phases == np.roll(phases, 1, 1)).mean((1, 2))


def test_every_method_learns_from_the_same_labels(data):
    torch.manual_seed(0)
    critic = ImageCritic(CONFIG)
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    rows = job.transfer_rows(CONFIG, critic, *data, 0, RATES, counts=(16, 30), test=20, steps=10)
    assert len(rows) == 12 and {row["labels"] for row in rows} == {16, 30}
    error = {(row["method"], row["labels"]): row["mae"] for row in rows}
    assert error[job.CURVES, 30] < error[job.MEAN, 30] / 3  # the curves hold the answer
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())
    order = np.random.default_rng(0).permutation(60)
    held, learned = data[1][order[-20:]], data[1][order[:16]]
    assert error[job.MEAN, 16] == pytest.approx(np.abs(held - learned.mean()).mean())


def test_a_network_learns_what_the_images_tell(data):
    torch.manual_seed(0)
    learn, test = (data[0][:40], data[1][:40]), (data[0][40:], data[1][40:])
    error = job.network_error(ImageCritic(CONFIG), learn, test, 0, steps=60)
    assert error < np.abs(test[1] - learn[1].mean()).mean() * 0.8


def test_moved_images_keep_their_number(data):
    source = job.Images(*data, moving=True)
    (images,), values = source.batch(np.array([3, 5]), [0, 1])
    again = source.batch(np.array([3, 5]), [0, 1])[0][0]
    torch.testing.assert_close(images, again)
    assert values.tolist() == pytest.approx(data[1][[3, 5]].tolist())
    assert images.mean((1, 2, 3)).abs().max() == 0
    still = job.Images(*data).batch(np.array([3]), [0])[0][0][0, 0].numpy() > 0
    np.testing.assert_array_equal(still, data[0][3])


def test_starts_are_compared_in_pairs_of_draws():
    wave, rows = np.sin(3 * np.arange(5)), []  # of the draws
    for n, base in ((25, 3.0), (225, 2.0)):
        for seed in range(5):
            errors = {job.TUNED: -0.02, job.SCRATCH: 2e-3 * wave[seed], job.CURVES: wave[-seed] / 9}
            for steps in (400, 800) if seed < 2 else (400,):
                rows += [
                    (method, n, seed, steps, base + wave[seed] / 5 + error)
                    for method, error in errors.items()
                ]
    table = pd.DataFrame(rows, columns=["method", "labels", "seed", "steps", "mae"])
    found = job.contrasts(table).set_index(["b", "labels"])
    assert (found["converged"] & (found["repeats"] == 5)).all()
    assert (found.loc[job.SCRATCH, "p_holm"] < 0.05).all() and found["difference"].max() < 0.002
    assert (found.loc[job.CURVES, "p_holm"] > 0.05).all()
    usual = table[(table["steps"] == 400) & (table["labels"] == 225)].set_index("seed")
    mine, other = (usual.loc[usual["method"] == m, "mae"] for m in (job.TUNED, job.SCRATCH))
    gap = mine - other  # 45% of the labels of two draws are the same
    t = gap.mean() / (gap.std() * np.sqrt(1 / 5 + 0.45 / 0.55))
    assert found.loc[(job.SCRATCH, 225), "p"] == pytest.approx(2 * student.sf(abs(t), 4))
    moved = table.assign(mae=table["mae"].mask(table["steps"] == 800, 1.9))
    assert not job.contrasts(moved)["converged"].any()


def test_a_rate_is_searched_on_images_of_its_own(data, tmp_path, monkeypatch):
    seen = []

    def error(start, learn, test, seed, rate):
        seen.append((len(learn[0]), len(test[0]), rate))
        assert {image.tobytes() for image in (*learn[0], *test[0])} <= own
        return abs(np.log(rate / 6e-3)) + len(learn[0]) / 100

    monkeypatch.setattr(job, "SEARCHED", range(2000, 2012))
    monkeypatch.setattr(job, "COUNTS", (4, 8))
    monkeypatch.setattr(job, "TEST", 4)
    monkeypatch.setattr(job, "training_of", lambda seed: (CONFIG, None, ImageCritic(CONFIG)))
    monkeypatch.setattr(job, "network_error", error)
    own = {image.tobytes() for image in fields(job.SEARCHED)}
    rows = job.search_piece(job.SCRATCH, tmp_path)
    (best,) = [row for row in rows if row["best"]]
    assert best["learning_rate"] == pytest.approx(6e-3) and best["inside"]
    assert best["error"] == pytest.approx(0.06) and best["method"] == job.SCRATCH
    assert {(n, held) for n, held, _ in seen} == {(4, 4), (8, 4)}


def test_every_piece_can_be_sent_to_a_process():
    for one, expected in zip(job.JOBS, (2, 7), strict=True):
        pieces = one.pieces()
        assert len(pieces) == expected
        pickle.loads(pickle.dumps(pieces))
