import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_rel

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


def test_a_start_is_better_where_its_errors_are_lower_in_pairs_of_draws():
    noise = np.random.default_rng(0).normal(0, 0.1, (5, 2))
    rows = [
        (method, n, seed, job.UPDATES, base + shift + noise[seed, place] + 1e-3 * seed)
        for method, shift in ((job.TUNED, -0.02), (job.SCRATCH, 0.0), (job.CURVES, -0.0201))
        for place, (n, base) in enumerate(((25, 3.0), (225, 2.0)))
        for seed in range(5)
    ]
    table = pd.DataFrame(rows, columns=["method", "labels", "seed", "steps", "mae"])
    tuned = table["method"] == job.TUNED
    table.loc[tuned, "mae"] += 1e-3 * np.cos(table.loc[tuned, "seed"])
    controls = [job.SCRATCH, job.CURVES]
    found = job.lower(table, job.TUNED, controls).set_index(["control", "labels"])
    assert found["lower"].tolist() == [True, True, False, False]
    here, other = (
        table[(table["method"] == m) & (table["labels"] == 25)] for m in (job.TUNED, job.SCRATCH)
    )
    p = ttest_rel(here["mae"], other["mae"]).pvalue
    assert found.loc[(job.SCRATCH, 25), "p"] == pytest.approx(4 * p)  # Holm's first of four
    longer = table[table["seed"] == 1].assign(steps=2 * job.UPDATES)
    longer.loc[longer["method"] == job.TUNED, "mae"] += 0.05
    both = job.lower(pd.concat([table, longer]), job.TUNED, controls, longer=True)
    moved = both["difference"].to_numpy() - found["difference"].to_numpy()
    assert moved == pytest.approx([0.05] * 4) and not both["lower"].any()
    assert job.lower(table, job.TUNED, controls, longer=True)["p"].isna().all()


def test_every_piece_can_be_sent_to_a_process():
    for one, expected in zip(job.JOBS, (2, 7), strict=True):
        pieces = one.pieces()
        assert len(pieces) == expected
        pickle.loads(pickle.dumps(pieces))
