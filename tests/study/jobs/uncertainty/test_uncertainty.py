"""The job of uncertainties: parts that share nothing, matched controls, contrasts on one split."""

import numpy as np
import pandas as pd
import pytest

from matgan.data.splits import chemical_systems
from matgan.learning.uncertainty.intervals import INTERVAL_LEVELS
from matgan.study.jobs.uncertainty import uncertainty as job


@pytest.fixture(scope="module")
def few(request) -> pd.DataFrame:
    wheel = request.getfixturevalue("wheel")
    assert wheel is not None
    return job.drawn("gaps", 0, 300)


def test_draws_are_apart_and_differ_between_repeats(few):
    after = job.drawn("gaps", 0, 300, start=300)
    both = np.vstack([few.amounts, after.amounts])
    table = job.all_rows("gaps")
    assert len(both) == 600 and few.X.shape == (300, 217)
    assert len(np.unique(both, axis=0)) == 600  # measured gaps have one row for each formula
    other = job.drawn("gaps", 1, 300)
    assert (few.y != other.y).any() and len(table) > 4500


@pytest.mark.parametrize("kind", job.HELD_OUT)
def test_what_is_tested_is_new_in_the_way_that_is_said(few, kind):
    split = job.split_of(few, kind, 3)
    parts = split.train, split.validation, split.test
    assert len(np.unique(np.concatenate(parts))) == 300 and min(map(len, parts)) > 10
    systems = chemical_systems(few.amounts)
    shared = np.isin(systems[split.test], systems[split.train]).any()
    there, tested = (few.amounts[part].any(0) for part in (split.train, split.test))
    if kind == "new systems":
        assert not shared
        assert not np.isin(systems[split.validation], systems[split.train]).any()
    if kind == "new elements":
        assert ((few.amounts[split.test] > 0)[:, tested & ~there].any(1)).all()


def test_each_method_speaks_of_the_same_rows(few, monkeypatch):
    monkeypatch.setattr(job, "drawn", lambda *given: few)
    monkeypatch.setattr(job, "EPOCHS", {"gaps": 2})
    rows = pd.DataFrame(job.piece("gaps", "random", 0, 1, None))
    assert len(rows) == 11 and rows[["n_train", "n_held", "n_test"]].nunique().eq(1).all()
    ensemble = rows[rows["method"] == "ensemble"]
    assert len(set(ensemble["mae"])) == 1  # one centre, four kinds of intervals
    controls = rows[rows["method"].isin(["nearest composition", "shuffled"])]
    assert (controls["mae"].to_numpy() == ensemble["mae"].iloc[0]).all()
    assert rows.loc[rows["intervals"] == "constant", "rank"].isna().all()
    assert rows["coverage"].between(0, 1).all() and len(INTERVAL_LEVELS) == 9


def test_a_contrast_is_paired_and_corrected():
    rows = [
        {"data": "gaps", "split": "random", "repeat": r, "times": 1, "method": method}
        | {"intervals": "stated", "rank": value + 0.1 * (r % 2), "n_test": 1, "n_train": 8}
        for r in range(4)
        for method, value in (("ensemble", 0.5 + 0.01 * r), ("dropout", 0.3))
    ]
    pair = (("ensemble", "stated"), ("dropout", "stated"))
    found = job.contrast(pd.DataFrame(rows), "rank", *pair).iloc[0]
    assert found["difference"] == pytest.approx(0.215) and found["repeats"] == 4
    expected = np.sqrt((1 / 4 + 1 / 8) * np.var([0, 0.01, 0.02, 0.03], ddof=1))
    assert (found["high"] - found["low"]) / 2 == pytest.approx(3.182446 * expected, rel=1e-5)
    assert job.converged_data(pd.DataFrame(rows).assign(mae=1.0), "random", ["ensemble"]) == set()


def test_convergence_asks_each_of_the_data_and_each_method_on_that_split():
    rows = pd.DataFrame(
        [("gaps", 1, 1.0), ("gaps", 2, 0.99), ("Tc", 1, 5.0), ("Tc", 2, 4.95)],
        columns=["data", "times", "mae"],
    ).assign(split="random", repeat=0, method="ensemble", intervals="stated")
    rows["epochs"] = rows["times"] * rows["data"].map(job.EPOCHS)
    assert job.converged_data(rows, "random", ["ensemble"]) == {"gaps", "Tc"}
    assert job.converged_data(rows, "random", ["ensemble", "nearest composition"]) == {"gaps", "Tc"}
    assert job.converged_data(rows, "new systems", ["ensemble"]) == set()  # nobody tried
    assert job.converged_data(rows, "random", ["ensemble", "dropout"]) == set()
    dropout = rows.assign(method="dropout")
    dropout.loc[1, "mae"] = 0.9
    both = pd.concat([rows, dropout])
    assert job.converged_data(both, "random", ["ensemble", "dropout"]) == {"Tc"}
    rows.loc[3, "mae"] = 4.5
    assert job.converged_data(rows, "random", ["ensemble"]) == {"gaps"}
    assert job.converged_data(rows.assign(epochs=60), "random", ["ensemble"]) == set()
    assert job.converged_data(rows.drop(columns="epochs"), "random", ["ensemble"]) == set()


def test_quantiles_stop_before_they_learn_by_heart(few):
    split = job.split_of(few, "random", 0)
    fit, stop = np.split(split.train, [200])
    chosen = job.quantile_network(few, fit, stop, 0, 800)
    longest = job.QuantileNetwork((64, 32)).fit(
        few.X[fit], few.y[fit], job.Fit(384, 128, 3e-3, weight_decay=1e-2, seed=0)
    )
    held = few.X[stop], few.y[stop]
    assert chosen.loss(*held) < longest.loss(*held)
    assert longest.loss(few.X[fit], few.y[fit]) < chosen.loss(few.X[fit], few.y[fit])
