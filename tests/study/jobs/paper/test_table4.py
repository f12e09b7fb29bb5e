"""Jobs on the authors' files: every kind of piece on a few hundred compounds."""

import pickle
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

from matgan.data.sources import SourceUnavailable
from matgan.representation.benchmark import Task
from matgan.study.jobs.paper import table4 as jobs
from matgan.study.jobs.paper.authors import APART, PAPER_GAP, PLAIN, load_paper_task
from matgan.study.jobs.runner import known_jobs
from matgan.study.run import NotYetMade

JOBS = {job.name: job for job in jobs.JOBS}


@cache
def few(dataset):
    task = load_paper_task(dataset)
    return Task(dataset, task.quantity, task.table.iloc[:400].reset_index(drop=True), 2)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Four hundred compounds, two epochs, and a folder for results/long."""
    try:
        few(PAPER_GAP)
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    monkeypatch.setattr(jobs, "LONG", tmp_path)
    monkeypatch.setattr(jobs, "load_paper_task", few)
    monkeypatch.setattr(jobs, "SEARCH_EPOCHS", dict.fromkeys(jobs.SEARCH_EPOCHS, 2))
    monkeypatch.setattr(jobs, "HU_2020_REGRESSOR", jobs.HU_2020_REGRESSOR | {"epochs": 3})
    return tmp_path


def test_pieces_are_folders_that_can_be_sent_and_few_enough():
    assert set(JOBS) <= set(known_jobs())
    for job in jobs.JOBS:
        pieces = job.pieces()
        assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in pieces)
        assert all(pickle.loads(pickle.dumps(piece)) for piece in pieces.values())
        assert 60 * job.core_hours / len(pieces) < 10  # minutes
    n = len(jobs.descriptions())
    counts = [len(job.pieces()) for job in jobs.JOBS]
    assert counts == [3 * n, 16 * n, 8 * len(jobs.regressor_features()), 2 * n]
    assert set(jobs.regressor_features()) < set(jobs.descriptions())


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (1e-3, {3e-4, 1e-3, 3e-3, 1e-2}),
        (3e-3, {1e-3, 3e-3, 1e-2}),
        (3e-2, {1e-3, 3e-3, 1e-2, 3e-2, 1e-1}),
        (1e-7, {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2}),  # none of the rates: the edge
    ],
)
def test_the_search_goes_on_until_the_best_has_worse_rates_beside_it(
    small, monkeypatch, best, tried
):
    def errors(X, y, splits, model, grid):
        rows = [
            {"input_scaling": s, "learning_rate": rate, "epoch": 1}
            | {"validation_mae": abs(np.log(rate / best)) + (s != "common")}
            for s in grid["input_scaling"]
            for rate in grid["learning_rate"]
        ]
        table = pd.DataFrame(rows)
        at = table["validation_mae"].idxmin()
        return model.set_params(input_scaling=table["input_scaling"][at]), table

    monkeypatch.setattr(jobs, "search", errors)
    table = pd.DataFrame(jobs.search_piece(PAPER_GAP, "fractions", small))
    assert set(table["learning_rate"]) == tried and table["chosen"].sum() == 1
    chosen = table[table["chosen"]].iloc[0]
    assert chosen["input_scaling"] == "common" and chosen["inside"] == (best > 1e-5)
    assert chosen["learning_rate"] == (best if best > 1e-5 else 1e-5)


def test_scores_take_the_settings_of_the_search_and_say_what_peeking_gives(small):
    features = "T (mp), mean"
    with pytest.raises(
        NotYetMade, match=r"no settings for 'T \(mp\), mean'.*table4-authors-search"
    ):
        jobs.score_piece(PAPER_GAP, PLAIN, features, range(2), 1, small)
    found = pd.DataFrame(jobs.search_piece(PAPER_GAP, features, small))
    assert found["chosen"].sum() == 1 and found["validation_mae"].gt(0).all()
    found.assign(chosen=found["learning_rate"] == 1e-2).to_csv(
        small / "table4-authors-search.csv", index=False
    )
    for kind in (PLAIN, APART):
        once = jobs.score_piece(PAPER_GAP, kind, features, range(2), 1, small)
        twice = jobs.score_piece(PAPER_GAP, kind, features, range(1), 2, small)
        table = pd.DataFrame([*once, *twice])
        assert table[["repeat", "epochs"]].to_numpy().tolist() == [[0, 2], [1, 2], [0, 4]]
        assert table["training"].tolist() == ["wgan-mp", "wgan-mp-seed1", "wgan-mp"]
        assert table["learning_rate"].eq(1e-2).all() and table["split"].eq(kind).all()
        assert (table["test_chosen_r2"] >= table["r2"] - 1e-6).all()
        assert np.isfinite(table[["mae", "rmse", "test_chosen_mae"]]).all(axis=None)
        assert table["n_test"].ge(40).all() and table["n_train"].add(table["n_test"]).eq(400).all()


def test_the_authors_regressor_is_theirs(small):
    table = pd.DataFrame(jobs.regressor_piece(PAPER_GAP, PLAIN, "one-hot", range(2), small))
    assert table["epochs"].eq(3).all() and table["learning_rate"].eq(0.1).all()
    assert table["repeat"].tolist() == [0, 1] and np.isfinite(table["test_chosen_r2"]).all()
    assert jobs.HU_2020_REGRESSOR["hidden"] == (128, 128, 64, 64, 32, 32)
