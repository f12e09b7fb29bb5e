"""The jobs of `predict` and of stability: what their pieces cover; the kept table, the card."""

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import whole_counts
from matgan.files import PRETRAINED
from matgan.properties.candidates import Search
from matgan.properties.models import PROPERTIES
from matgan.study.jobs import predict
from matgan.study.jobs.predict import JOBS
from matgan.study.run import LONG


def test_the_kept_table_has_each_property_beside_its_controls():
    assert list(JOBS[0].pieces()) == list(PROPERTIES)
    kept = pd.read_csv(LONG / "predict.csv").set_index(["property", "test rows"])
    for name in PROPERTIES:
        row = kept.loc[(name, "all")]
        assert row["mae"] < row["mae_nearest"] < row["mae_median"] and row["mae_boosted"] > 0
        parts = kept.loc[name]["compositions"]
        assert parts["all"] == parts["inside"] + parts["outside"]
        assert 0.85 < row["coverage"] < 0.95


def test_the_card_shows_the_kept_table():
    kept = pd.read_csv(LONG / "predict.csv")
    card = (PRETRAINED / "PROPERTIES.md").read_text(encoding="utf-8")
    for row in kept.to_dict("records"):
        assert card_line(row) in card


def card_line(row):
    """A row of the kept table as the card has it."""
    numbers = [f"{row['mae']:.3g}", f"{row['coverage']:.1%}", f"{row['width']:.3g}"]
    controls = [f"{row[name]:.3g}" for name in ("mae_boosted", "mae_nearest", "mae_median")]
    gate = ["", ""] if row["auc"] != row["auc"] else [f"{row['auc']:.3f}"]
    gate = gate if len(gate) == 2 else [*gate, f"{row['calibration_error']:.3f}"]
    what = f"{PROPERTIES[row['property']].title} ({PROPERTIES[row['property']].unit})"
    rows = f"{row['with_value']:,}"
    line = " | ".join([what, row["test rows"], rows, *numbers, *controls, *gate])
    return f"| {line.replace('nan', '')} |"


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
    monkeypatch.setattr(predict.distilled, "teacher", lambda rows: -rows.max(axis=1) * 1.0)
    monkeypatch.setattr(predict, "hull_energies", lambda rows: np.zeros(len(rows)))
    row = predict._row(Small(), counts, -counts.max(axis=1) + 0.3)
    assert row["compositions"] == 7 and row["kept"] == 1
    assert [row[k] for k in ("away", "mae", "mae_teacher")] == pytest.approx([0.1, 0.2, 0.3])
