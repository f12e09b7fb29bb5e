"""The job of active learning: one pool for all strategies, savings on equal errors."""

import numpy as np
import pandas as pd
import pytest

from matgan.learning.uncertainty.acquisition import STRATEGIES
from matgan.study.jobs.uncertainty import active_learning as job


def test_strategies_start_alike_and_differ_after(wheel, monkeypatch):
    for name, value in {"POOL": 200, "TESTED": 50}.items():
        monkeypatch.setattr(job, name, value)
    short = job.learn_actively
    monkeypatch.setattr(job, "learn_actively", lambda *given: short(*given[:5], 20, 2, 10, 0))
    rows = pd.DataFrame(job.piece("gaps", 0, None))
    assert list(rows["strategy"].unique()) == list(STRATEGIES) and len(rows) == 12
    first, last = (rows[rows["round"] == turn] for turn in (0, 2))
    assert len(set(first["mae"])) == 1 and len(set(last["mae"])) > 1
    assert (last["labels"] == 40).all()


def test_savings_by_hand():
    curves = {"random": [4, 3, 2.5, 2], "uncertainty": [4, 2, 1, 0.5]}
    rows = pd.DataFrame(
        {"data": "gaps", "repeat": r, "strategy": name, "round": k, "labels": 100 * (k + 1)}
        | {"mae": error, "found": 0.1 * k + 0.2 * (name != "random") * k / 3 + 0.01 * r}
        for r in range(2)
        for name, errors in curves.items()
        for k, error in enumerate(errors)
    )
    (found,) = job.savings(rows).to_dict("records")
    assert found["saved"] == found["low"] == 0.5 and found["strategy"] == "uncertainty"
    assert found["more"] == pytest.approx(0.2) and found["found at random"] == pytest.approx(0.305)
    assert np.isfinite(found["more_p_holm"])
