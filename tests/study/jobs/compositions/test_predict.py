"""The job of `predict`: what their pieces cover; the kept table, the card."""

import pandas as pd

from matgan.files import PRETRAINED
from matgan.properties.models import PROPERTIES
from matgan.study.jobs.compositions.predict import JOBS
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
