import math

import pandas as pd
import pytest

from matgan.learning.compute import Diverged
from matgan.study.jobs import search
from matgan.study.run import RunError


def valley(lowest, asked):
    """A trial whose error is least at a rate; notes what it was asked."""

    def trial(rate, folder):
        asked.append(rate)
        return abs(math.log(rate / lowest))

    return trial


@pytest.mark.parametrize("lowest", [1e-3, 8e-3, 2.5e-4])
def test_the_best_rate_has_a_worse_one_on_each_side(lowest, tmp_path):
    rows = search.searched_rates(valley(lowest, []), 1e-3, tmp_path)
    assert all(row["inside"] for row in rows)
    places = [row["learning_rate"] for row in rows]
    best = next(i for i, row in enumerate(rows) if row["best"])
    assert 0 < best < len(rows) - 1 and places == sorted(places)
    assert places[best] == pytest.approx(lowest)
    assert rows[best]["error"] == min(row["error"] for row in rows)


def test_a_search_ends_and_says_that_the_best_lies_at_the_edge(tmp_path):
    rows = search.searched_rates(valley(1e3, []), 1e-3, tmp_path, most=5)
    assert len(rows) == 5 and rows[-1]["best"] and not rows[-1]["inside"]


def test_a_training_that_diverges_is_the_worst(tmp_path):
    def trial(rate, folder):
        if rate > 6e-4:
            raise Diverged("the loss became nan")
        return abs(math.log(rate / 2.5e-4))

    rows = search.searched_rates(trial, 1e-3, tmp_path)
    (best,) = (row for row in rows if row["best"])
    assert best["learning_rate"] == 2.5e-4 and best["inside"]
    assert rows[-1]["error"] == math.inf


def test_a_search_that_was_stopped_asks_nothing_again(tmp_path):
    asked: list[float] = []
    trial = valley(8e-3, asked)

    def stopped(rate, folder):
        if len(asked) == 3:
            raise KeyboardInterrupt
        return trial(rate, folder)

    with pytest.raises(KeyboardInterrupt):
        search.searched_rates(stopped, 1e-3, tmp_path)
    found = search.searched_rates(trial, 1e-3, tmp_path)
    assert len(asked) == len(set(asked)) == len(found)


def test_the_rate_is_read_from_the_table_of_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "LONG", tmp_path)
    with pytest.raises(RunError, match="jobs run some-search"):
        search.best_rate("some-search", "FCN")
    rows = search.searched_rates(valley(2e-3, []), 1e-3, tmp_path / "a")
    edge = search.searched_rates(valley(1e3, []), 1e-3, tmp_path / "b", most=4)
    table = pd.DataFrame([{"method": m, **r} for m, o in (("FCN", rows), ("X", edge)) for r in o])
    table.to_csv(tmp_path / "some-search.csv", index=False)
    assert search.best_rate("some-search", "FCN") == 2e-3
    with pytest.raises(RunError, match="at the edge"):
        search.best_rate("some-search", "X")
    with pytest.raises(RunError, match="no learning rate of 'T-encoder'"):
        search.best_rate("some-search", "T-encoder")


def test_a_weight_decay_has_a_column_and_a_factor_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "LONG", tmp_path)
    given = {"column": "weight_decay", "factor": 3}
    rows = search.searched_rates(valley(0.3, []), 0.1, tmp_path / "own", **given)
    rates = search.searched_rates(valley(2e-3, []), 1e-3, tmp_path / "own")
    assert [row["weight_decay"] for row in rows] == pytest.approx([0.1 / 3, 0.1, 0.3, 0.9])
    table = pd.DataFrame([{"method": "FCN", **row} for row in rows + rates])
    table.to_csv(tmp_path / "some-search.csv", index=False)
    assert search.best_rate("some-search", "FCN", "weight_decay") == pytest.approx(0.3)
    assert search.best_rate("some-search", "FCN") == 2e-3
    with pytest.raises(RunError, match="no weight decay of 'X'"):
        search.best_rate("some-search", "X", "weight_decay")
