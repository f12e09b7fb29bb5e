import pickle

import numpy as np
import pytest
import torch

from matgan.learning.fit import Fit
from matgan.microstructure.generation import Collection
from matgan.microstructure.mechanics import two_phases
from matgan.study.jobs.microstructure import homogenisation as job
from matgan.study.jobs.microstructure.labels import stiffness_labels


@pytest.fixture(scope="module")
def data():
    collection, numbers = Collection(9), range(80)
    kinds = [collection.morphology(i).kind for i in numbers]
    c11 = stiffness_labels(collection, numbers, 10)
    return job.stiffness_data(collection.volumes(numbers), c11, kinds, 10, seed=0)


def test_errors_are_in_percent_of_the_mean(data):
    true = data.c11[data.test]
    row = job.error_row(data, 1.1 * true)
    assert (row["n_train"], row["n_test"]) == (60, 20)
    assert row["mae"] == pytest.approx(0.1 * true.mean())
    assert row["percent"] == pytest.approx(10)
    assert row["percent gaussian"] == pytest.approx(10)


def test_controls_stand_in_the_order_of_what_they_know(data):
    rows = {row["method"]: row for row in job.control_rows(data, 0)}
    assert tuple(rows) == job.PLAIN_METHODS
    error = {name: row["percent"] for name, row in rows.items()}
    assert error[job.RULE] > error[job.MEAN] > error[job.CUBIC]
    soft, stiff = (m.uniaxial for m in two_phases(10))
    share = data.phases[data.test].reshape(20, -1).mean(1)
    rule = np.abs(soft + share * (stiff - soft) - data.c11[data.test])
    assert rows[job.RULE]["mae"] == pytest.approx(rule.mean())


def test_short_vectors_tell_more_than_all_vectors_alike(data):
    rows = job.short_vector_rows(data, 0)
    assert [row["method"] for row in rows] == [job.SHORT, job.SHORT_BETWEEN]
    assert set(job.TWO_POINT_METHODS[2:]) == {job.SHORT, job.SHORT_BETWEEN}
    plain = {row["method"]: row["percent"] for row in job.control_rows(data, 0)}
    for row, other in zip(rows, (job.TWO_POINT, job.TWO_POINT_BETWEEN), strict=True):
        assert row["percent"] < plain[other] and row["power"] in range(4)


def test_a_short_training_is_better_than_the_mean_of_the_bounds(data):
    row, network = job.network_row(data, Fit(8, 8, 1e-2), 4)
    bounds = job.control_rows(data, 0)[1]
    assert row["percent"] < bounds["percent"]
    assert sum(p.numel() for p in network.parameters()) > 1000
    again, _ = job.network_row(data, Fit(8, 8, 1e-2), 4)
    assert again == row


def test_the_loss_is_the_error_of_c11():
    output = {"value": torch.tensor([[0.5], [0.2]])}
    targets = torch.tensor([[0.4, 2.0], [0.4, 1.0]])
    assert float(job.weighted_loss(output, targets, ())) == pytest.approx(0.2)


def test_every_piece_can_be_sent_to_a_process():
    pieces = job.JOBS[0].pieces()
    assert len(pieces) == 17
    pickle.loads(pickle.dumps(pieces))
