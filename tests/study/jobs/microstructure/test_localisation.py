import pickle

import numpy as np
import pandas as pd
import pytest

from matgan.learning.fit import Fit
from matgan.microstructure.generation import Collection
from matgan.study.jobs.microstructure import localisation as job
from matgan.study.jobs.microstructure.labels import strain_labels


@pytest.fixture(scope="module")
def material():
    collection = Collection(13, (0.2, 0.8))
    return collection.volumes(range(40)), strain_labels(collection, range(40), 5)[1]


def test_the_error_is_in_percent_of_the_mean_strain():
    true = np.array([0.5, 1.5, 1.0], dtype=np.float16)
    assert job.strain_error(np.array([0.5, 1.0, 1.3]), true) == pytest.approx(100 * 0.8 / 3)


def test_controls_stand_in_the_order_of_what_they_see(material):
    rows = {row["method"]: row for row in job.control_rows(*material, 0)}
    assert list(rows) == [job.UNIFORM, job.PHASES, job.LINEAR]
    errors = [row["mase"] for row in rows.values()]
    assert errors[0] > errors[1] > errors[2]
    test = job.split(40, 0)
    assert errors[0] == pytest.approx(100 * np.abs(material[1][test] - 1.0).mean(), rel=1e-3)
    shells = [rows[job.LINEAR][f"shell {d}"] for d in range(6)]
    assert shells[0] > shells[1] > shells[2] > shells[4]


@pytest.mark.parametrize(
    ("method", "widths", "fit"),
    [
        (job.DENSE, {"channels": 6, "pairs": 1}, Fit(12, 8, 2e-2)),
        (job.PATCH, {"channels": (8, 8), "hidden": 16}, Fit(12, 8, 3e-3)),
    ],
)
def test_a_short_training_is_better_than_uniform_strain(material, method, widths, fit):
    row, _ = job.network_row(method, *material, fit, **widths)
    assert (row["n_train"], row["n_test"]) == (32, 8)
    assert row["mase"] < 0.9 * job.control_rows(*material, 0)[0]["mase"]
    assert ("shell 5" in row) == (method == job.PATCH)


def test_influence_falls_where_it_does_for_the_epochs_that_are_asked_for():
    falling, rising = (dict.fromkeys(["shell 0", "shell 1"], v) for v in (1.0, 2.0))
    falling, rising = falling | {"shell 1": 0.5}, rising | {"shell 1": 3.0}
    facts = {"method": job.PATCH, "contrast": 10, "epochs": 80}
    rows = [facts | falling, facts | falling | {"shell 1": 1.1}]  # in the mean it falls
    rows += [facts | rising | {"contrast": 50}, facts | rising | {"epochs": 160}]
    rows += [facts | rising | {"method": job.LINEAR, "contrast": 10}]
    table = pd.DataFrame(rows)
    untrained = np.array([2.0, 1.9])
    assert job.shell_falls(table, 80, untrained) == {10: True, 50: False}
    assert job.shell_falls(table, 160, untrained) == {10: False}
    assert job.shell_falls(table, 80, np.array([2.0, 1.0])) == {10: False, 50: False}
    for nothing in (pd.DataFrame(), table[:0]):
        assert job.shell_falls(nothing, 80, untrained) == {}


def test_the_influence_of_an_untrained_network_falls_by_its_form_alone():
    """So a fall by itself says nothing of what was learned."""
    volumes = Collection(13).volumes(range(30))
    line = job.untrained_shells(volumes, np.ones(volumes.shape), range(4))
    assert (np.diff(line) < 0).all() and 0.3 < line[-1] / line[0] < 0.5


def test_every_piece_can_be_sent_to_a_process():
    pieces = job.JOBS[0].pieces()
    assert len(pieces) == 2 * (5 + 6 + 6)
    pickle.loads(pickle.dumps(pieces))
