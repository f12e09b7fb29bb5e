import pickle

import numpy as np
import pandas as pd
import pytest

from matgan.microstructure.optics import FINER_ORDERS, absorbed
from matgan.study.jobs.microstructure import absorption as job
from matgan.study.jobs.microstructure.fields import field
from matgan.study.run import LONG, NotYetMade


def test_labels_are_those_of_the_numbered_fields(tmp_path, monkeypatch):
    rows = job.label_rows(0, 2)
    assert rows[1]["absorbed"] == pytest.approx(absorbed(field(1)))
    (finer,) = job.finer_rows(1, 2)
    assert finer["absorbed"] == pytest.approx(absorbed(field(1), orders=FINER_ORDERS))
    assert finer["orders"] == FINER_ORDERS > rows[1]["orders"]
    rows = [finer, *rows]  # no label for a regression
    monkeypatch.setattr(job, "LONG", tmp_path)
    with pytest.raises(NotYetMade, match="jobs run absorption"):
        job.kept_absorption(2)
    pd.DataFrame(rows[::-1]).to_csv(tmp_path / "absorption.csv", index=False)
    np.testing.assert_allclose(job.kept_absorption(2), [row["absorbed"] for row in rows[1:]])
    with pytest.raises(NotYetMade, match="holds 2 labels, not 3"):
        job.kept_absorption(3)


def test_peers_agree_by_their_own_rules():
    pytest.importorskip("meent")
    pytest.importorskip("grcwa")
    image = field(0, length=5.0)
    for pair, within in ((job._meent, 1e-6), (job._grcwa, 1e-4)):
        theirs, ours, seconds = pair(image, 2)
        assert ours == pytest.approx(theirs, abs=within) and seconds > 0


def test_every_piece_can_be_sent_to_a_process(monkeypatch):
    pieces = job.JOBS[0].pieces()
    assert len(pieces) == 9
    pickle.loads(pickle.dumps(pieces))
    monkeypatch.setattr(job, "FIELD_LENGTHS", (4.0,))
    monkeypatch.setattr(job, "FIELDS_EACH", 2)
    assert [row["number"] for row in pieces["lengths"](None)] == [0, 1]


def test_a_table_is_complete_with_all_its_parts_only():
    table = pd.read_csv(LONG / "absorption.csv")
    assert job.is_complete(table)
    for part in set(table["what"]):
        rows = table.index[table["what"] == part]
        assert not job.is_complete(table.drop(rows[:1]))
