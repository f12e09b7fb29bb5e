import pickle

import numpy as np
import pandas as pd
import pytest

from matgan.microstructure.mechanics import effective_c11, refined, solve, two_phases
from matgan.study.jobs import runner
from matgan.study.jobs.microstructure import labels
from matgan.study.run import RunError


@pytest.fixture
def few(tmp_path, monkeypatch):
    """Three volumes of each kind, in pieces of two."""
    monkeypatch.setattr(runner, "WORK", tmp_path)
    monkeypatch.setattr(labels, "STEP", 2)
    monkeypatch.setattr(labels, "VOLUMES", {"stiffness": 3, "strain-10": 2})
    return tmp_path


def test_arrays_and_rows_belong_to_the_volumes(few):
    rows = []
    for key, piece in labels._labels().items():
        folder = few / labels.NAME / key
        folder.mkdir(parents=True)
        rows += piece(folder)
    assert len(rows) == 5
    kept = labels.kept_labels("stiffness")
    assert kept["phases"].shape == (3, 27, 27, 27)
    assert kept["c11"][2] == pytest.approx(effective_c11(kept["phases"][2], two_phases(50)))
    assert rows[2]["c11"] == pytest.approx(kept["c11"][2], abs=1e-5)
    assert rows[2]["sha256"] == "0c230cd12b75"  # as in the tests of the generator
    kept = labels.kept_labels("strain-10", 1)
    found = solve(kept["phases"][0], two_phases(10))
    np.testing.assert_allclose(kept["strain"][0], found.strain[0], rtol=1e-3, atol=1e-6)
    assert kept["strain"].dtype == np.float16 and len(kept["c11"]) == 1
    assert rows[3]["contrast"] == 10 and rows[3]["size"] == 21


def test_missing_labels_name_the_job(few):
    with pytest.raises(RunError, match="jobs run microstructure-labels"):
        labels.kept_labels("stiffness")


def test_resolution_compares_the_same_volume_on_finer_grids():
    small = labels.Collection(7)
    (row,) = labels.resolution_rows(small, [1], 10)
    phases = small.volume(1)
    twice = np.kron(phases, np.ones((2, 2, 2))).astype(bool)
    np.testing.assert_array_equal(refined(phases, 2), twice)
    assert row["c11_2"] == pytest.approx(effective_c11(twice, two_phases(10)))
    assert row["c11_1"] == pytest.approx(effective_c11(phases, two_phases(10)))
    table = labels.pd.DataFrame([row, row | {"c11_3": 0.5 * row["c11_3"]}])
    change = labels.resolution_change(table).iloc[0]
    once = 100 * (row["c11_3"] / row["c11_1"] - 1)
    assert change["volumes"] == 2
    ends = [once, 0.5 * (100 + once) - 100]
    assert [change["highest"], change["lowest"]] == pytest.approx([max(ends), min(ends)])
    assert change["mean"] == pytest.approx(sum(ends) / 2)
    assert change["size"] == pytest.approx((abs(ends[0]) + abs(ends[1])) / 2)  # no cancelling


def test_ten_volumes_of_each_kind_are_resolved():
    parts = labels._resolved()
    numbers = [number for part in parts for number in part]
    assert numbers[:60] == list(range(60)) and len(set(numbers)) == len(numbers)
    kinds = pd.Series([labels.STIFFNESS.morphology(i).kind for i in numbers]).value_counts()
    assert len(kinds) == 4 and kinds.min() == labels.OF_EACH_KIND


def test_every_piece_can_be_sent_to_a_process():
    for job in labels.JOBS:
        pieces = job.pieces()
        pickle.loads(pickle.dumps(pieces))
    numbers = [piece.args for piece in labels._labels().values()]
    for kind, n in labels.VOLUMES.items():
        parts = [args[1:] for args in numbers if args[0] == kind]
        assert sum(stop - start for start, stop in parts) == n
