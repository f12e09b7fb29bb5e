"""The job of moduli: units, splits, rows."""

import numpy as np
import pytest

from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.data.sources import SourceUnavailable
from matgan.study.jobs.crystals import moduli as job


@pytest.fixture(scope="module")
def moduli(crystals):
    try:
        return job.moduli_data()
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


def test_moduli_are_logarithms_and_compositions_stay_together(moduli):
    structures, y = moduli
    assert y.shape == (3821, 2) and 1.9 < np.median(y[:, 0]) < 2.1  # some 100 GPa
    fractions = structures.fractions().round(5)
    for split in job.moduli_splits(structures, 2):
        learned = {row.tobytes() for row in fractions[np.r_[split.train, split.validation]]}
        assert not learned & {row.tobytes() for row in fractions[split.test]}


def test_a_piece_has_a_row_for_each_modulus(moduli, tmp_path, monkeypatch):
    structures, y = moduli
    small = np.flatnonzero(np.diff(structures.first) < 5)[:200]
    chosen = structures.take(small)
    monkeypatch.setattr(job, "moduli_data", lambda: (chosen, y[small]))
    monkeypatch.setattr(job, "moduli_graphs", lambda: crystal_graphs(chosen).merged())
    monkeypatch.setattr(job, "MODULI_EPOCHS", 2)
    monkeypatch.setattr(job, "SEARCH_EPOCHS", {job.GRAPH: 2, job.ENCODER: 2})
    searched = (("weight_decay", "learning_rate"), ("weight_decay", "learning_rate", "passes"))
    pieces = ((job.search_piece, job.GRAPH), (job.encoder_search_piece, job.ENCODER))
    for (piece, name), columns in zip(pieces, searched, strict=True):
        tried = piece(tmp_path / name)
        best = [row for row in tried if row["best"]]
        assert len(best) == len(columns) and {row["method"] for row in tried} == {name}
        assert all(column in row for column, row in zip(columns, best, strict=True))
    assert [row["epochs"] for row in tried if "passes" in row] == [
        row["passes"] for row in tried if "passes" in row
    ]
    monkeypatch.setattr(job, "found_settings", lambda search, method: (job.RATE, job.DECAY))
    rows = job.moduli_graph_piece(0, 8, tmp_path)
    assert [row["dataset"] for row in rows] == ["bulk modulus", "shear modulus"]
    assert rows[0]["n_train"] + rows[0]["n_test"] == 200
    assert rows[0]["mae"] != rows[1]["mae"] and 0 < rows[0]["mae"] < 1.5
    monkeypatch.setattr(job, "best_rate", lambda search, method, column: 2.0)
    beside = job.moduli_encoder_piece(0, tmp_path)
    assert {row["features"] for row in beside} == {job.ENCODER} and len(beside) == 2
    assert beside[0]["epochs"] == 2
    assert beside[0]["n_train"] == rows[0]["n_train"] and 0 < beside[0]["mae"] < 1.5
    splits = job.moduli_splits(chosen, 1)
    monkeypatch.setattr(job, "moduli_splits", lambda structures: splits)
    nulls = job.moduli_null_piece(tmp_path)
    assert {row["features"] for row in nulls} == {job.ON_MAGPIE, job.GUESS}
    assert len(nulls) == 2 * 2


def test_every_piece_has_a_key_of_its_own():
    assert len(job._moduli()) == 1 + 2 * job.REPEATS + job.CHECKED
