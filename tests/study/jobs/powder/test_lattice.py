import pickle

import numpy as np
import pytest

from matgan.study.jobs.powder import lattice as job
from matgan.study.jobs.powder.material import Setting, material

SMALL = Setting(train_rows=150, test_rows=40, step=0.2)


@pytest.fixture
def one(crystals):
    """The material of the small setting; skipped where the structures cannot be had."""
    return material(SMALL)


def test_targets_are_cells_again(one):
    known = job.reduced_cells(SMALL)
    np.testing.assert_allclose(job.as_cells(job.as_targets(known)), known, rtol=1e-4)
    assert (np.diff(known[:, :3], axis=1) >= -1e-6).all()
    expected = [one.crystals.structure(i).get_primitive_structure().volume for i in range(20)]
    np.testing.assert_allclose(job.volumes(known[:20]), expected, rtol=0.01)


def test_the_true_cells_have_no_error_and_are_indexed(one):
    test = one.test["MEGNet"]
    rows = job.cell_rows(job.reduced_cells(SMALL)[test], SMALL, {"method": "true"}, n=12, tries=1)
    everything = rows[0]
    assert everything["system"] == "all" and everything["asked"] == 12
    assert everything["edges_percent"] == everything["volume_percent"] == 0
    assert everything["near"] == 1 and everything["indexed"] > 0.8
    assert sum(row["n_test"] for row in rows[1:]) == everything["n_test"] == test.sum()


def test_the_systems_median_is_nearer_than_that_of_all_and_neither_is_near(one):
    rows = {}
    for method in job.UNLEARNED:
        found = job.control_cells(method, SMALL)
        rows[method] = job.cell_rows(found, SMALL, {"method": method}, n=5, tries=1)[0]
    assert rows[job.SYSTEM]["edges_percent"] < rows[job.MEDIAN]["edges_percent"]
    known, test = job.reduced_cells(SMALL), one.test["MEGNet"]
    np.testing.assert_array_equal(
        job.control_cells(job.MEDIAN, SMALL)[0], np.median(known[~test], axis=0)
    )
    assert all(tuple(cell) in set(map(tuple, known[~test])) for cell in found[:5])


def test_an_error_of_the_start_is_the_one_asked_for(one):
    rows = job.start_rows(SMALL, 0.05, n=4, tries=2)
    overall = [row for row in rows if row["system"] == "all"]
    assert [row["tries"] for row in overall] == [1, 2]
    # the mean of |N(0, 0.05)| is 4.0%
    assert 3 < overall[0]["edges_percent"] < 5


def test_lines_are_off_by_a_hundredth_of_a_degree(one):
    chosen, lines = job.questions(SMALL, 10)
    test = one.crystals.take(one.test["MEGNet"])
    off = []
    for i, q in zip(chosen, lines, strict=True):
        exact = job.first_lines(*test[i])
        both = (2 * np.degrees(np.arcsin(np.sqrt(x) * 1.54056 / 2)) for x in (q, exact))
        off.append(np.subtract(*both))
    assert np.concatenate(off).std() == pytest.approx(job.LINE_ERROR, rel=0.2)


def test_a_short_training_gives_cells(one):
    found = job.network_cells(SMALL, 1, 0)
    assert found.shape == (one.test["MEGNet"].sum(), 6) and np.isfinite(found).all()


def test_every_piece_can_be_sent_to_a_process():
    for each in job.JOBS:
        for key, piece in each.pieces().items():
            assert "/" not in key and " " not in key
            pickle.loads(pickle.dumps(piece))
