"""The job of `predict`: what their pieces cover; the kept table, the card."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.files import PRETRAINED
from matgan.properties.models import PROPERTIES
from matgan.study.jobs.compositions import predict as job
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


def test_divisions_by_systems_cover_what_is_asked_for(monkeypatch):
    """Nine systems of equal errors: 90% in the mean; no system on both sides."""
    random = np.random.default_rng(0)
    pairs = [f"{a}{n}{b}" for a in ("Li", "Na", "K") for b in ("O", "S", "Cl") for n in range(1, 9)]
    amounts = np.repeat(amounts_matrix(pairs), 5, axis=0)
    y, n = random.normal(size=len(amounts)), len(amounts)
    model = SimpleNamespace(
        of=SimpleNamespace(log=False), raw=lambda amounts: (np.zeros(n), np.ones(n), None)
    )
    data = SimpleNamespace(amounts=amounts, target=y, there=y < 9, part=np.full(n, "test"))
    monkeypatch.setattr(job.models, "pretrained", lambda name: model)
    monkeypatch.setattr(job.models, "kinds", lambda amounts: np.arange(len(amounts)) % 3)
    monkeypatch.setattr(job.training, "labelled", lambda name: data)
    rows = pd.DataFrame(job.divided_anew("band_gap", None))
    assert len(rows) == 3 * job.DRAWS
    mean = rows.groupby("factors")["coverage"].mean()
    assert mean["one for all"] == pytest.approx(0.9, abs=0.02)
    assert (rows["n_held"] + rows["n_test"] == n).all() and (rows["systems"] < 9).all()


def test_the_card_tells_what_other_divisions_give():
    kept = pd.read_csv(LONG / "predict-intervals.csv")
    kept = kept[kept["factors"] == "for each number of elements"]
    card = (PRETRAINED / "PROPERTIES.md").read_text(encoding="utf-8")
    for name, own in kept.groupby("property")["coverage"]:
        low, high = own.quantile([0.025, 0.975])
        assert f"{low:.1%} to {high:.1%}" in card, name
    tc = kept[kept["property"] == "critical_temperature"]["coverage"]
    assert f"cover {tc.mean():.1%} in the mean" in card
