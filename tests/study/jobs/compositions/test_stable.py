"""The jobs of the search: its pieces hold every block once; the errors of the small network."""

import numpy as np
import pytest

from matgan.chemistry.composition import whole_counts
from matgan.properties.candidates import Search
from matgan.study.jobs.compositions import stable
from matgan.study.jobs.compositions.stable import JOBS


def test_the_pieces_of_the_search_hold_every_block_once():
    pieces = {job.name: job.pieces() for job in JOBS}
    assert list(pieces["distilled"]) == ["answers", "labels"]
    blocks = [range(*piece.args) for piece in pieces["stable-compounds-all"].values()]
    every = [block for part in blocks for block in part]
    assert every == list(range(Search().enumeration().n_blocks))
    hundred = [
        block for piece in pieces["stable-compounds"].values() for block in range(*piece.args)
    ]
    assert sum(map(Search().enumeration().size, hundred)) == pytest.approx(1e8, rel=0.001)


def test_a_row_of_errors_by_hand(monkeypatch):
    """The teacher says -n for n atoms of the first kind; the small network is off by 0.1."""

    class Small:
        def energies(self, elements, amounts):
            assert np.take_along_axis(counts, elements, axis=1).tolist() == amounts.tolist()
            return -amounts.max(axis=1) + 0.1

    counts = whole_counts([f"Na{n}Cl" for n in range(1, 8)])
    monkeypatch.setattr(stable.distilled, "teacher", lambda rows: -rows.max(axis=1) * 1.0)
    monkeypatch.setattr(stable, "hull_energies", lambda rows: np.zeros(len(rows)))
    row = stable._row(Small(), counts, -counts.max(axis=1) + 0.3)
    assert row["compositions"] == 7 and row["kept"] == 1
    assert [row[k] for k in ("away", "mae", "mae_teacher")] == pytest.approx([0.1, 0.2, 0.3])
