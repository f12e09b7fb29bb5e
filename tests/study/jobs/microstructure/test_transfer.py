import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from matgan.microstructure.generative import ImageCritic, ImageGAN
from matgan.study.jobs.microstructure import transfer as job
from matgan.study.jobs.microstructure.fields import fields

CONFIG = ImageGAN(channels=4, widest=8)


@pytest.fixture(scope="module")
def data():
    """Fields, and how often neighbours are alike."""
    phases = fields(range(60))
    return phases, (phases == np.roll(phases, 1, 1)).mean((1, 2))


def test_every_method_learns_from_the_same_labels(data):
    torch.manual_seed(0)
    critic = ImageCritic(CONFIG)
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    rows = job.transfer_rows(CONFIG, critic, *data, 0, counts=(16, 30), test=20, steps=10)
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


def test_changes_of_opposite_sign_do_not_cancel():
    rows = [("a", n, s, steps, 1.0) for n in (25, 75) for s in (0, 1) for steps in (120, 240)]
    table = pd.DataFrame(rows, columns=["method", "labels", "seed", "steps", "mae"])
    longer = table["steps"] == 240
    table.loc[longer & (table["labels"] == 25), "mae"] = [0.7, 0.9]
    table.loc[longer & (table["labels"] == 75), "mae"] = 1.1
    assert job.largest_shift(table) == pytest.approx(0.2)
    assert np.isnan(job.largest_shift(table[~longer]))
    assert np.isnan(job.largest_shift(table.iloc[[0, 3]]))  # no draw has both


def test_every_piece_can_be_sent_to_a_process():
    pieces = job.JOBS[0].pieces()
    assert len(pieces) == 7
    pickle.loads(pickle.dumps(pieces))
