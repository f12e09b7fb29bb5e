"""The jobs of the 27 tasks: their parts, every route on a small task, the table beside peers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from matgan.data.tasks import PEERS, composition_tasks
from matgan.representation.encoder import routes
from matgan.representation.encoder.sources import OQMD
from matgan.study.jobs.compositions import tasks
from matgan.study.jobs.compositions.tasks import BY_SCRATCH, BY_TREES, JOBS, Part, task_parts


def test_the_parts_are_every_fold_of_every_task_but_oqmds_and_fewer_labels():
    listed = composition_tasks().drop(index=list(OQMD))
    whole = [part for part in task_parts() if part.labels is None]
    assert len(whole) == listed["folds"].sum() == 79
    assert {part.task for part in whole} == set(listed.index)
    drawn = [part for part in task_parts() if part.labels]
    assert len(drawn) == 5 * (4 * 3 - 1)  # phonons has no thousand
    assert all(part.labels < listed.loc[part.task, "compounds"] for part in drawn)
    keys = [part.key for part in task_parts()]
    assert len(set(keys)) == len(keys)
    sizes = [listed.loc[part.task, ["compounds", "folds"]].prod() for part in whole]
    assert sizes == sorted(sizes)


def test_the_jobs_have_trees_for_every_part_and_T_for_small_tasks():
    by_trees, by_scratch = (job.pieces() for job in JOBS)
    keys = [part.key for part in task_parts()]
    assert list(by_scratch) == keys and set(keys) <= set(by_trees)
    listed = composition_tasks().drop(index=list(OQMD))
    small = listed[listed["folds"] * listed["compounds"] < 100_000]
    assert len(small) == 24 and len(by_trees) == len(keys) + 2 * small["folds"].sum()
    order = list(by_trees)
    for part in task_parts():
        if part.labels is None and part.task in small.index:
            places = [order.index(part.key + more) for more in ("", "-T", "-slower")]
            assert places == sorted(places)


def test_trees_are_settled_where_half_the_rate_decides_nothing_else():
    errors = pd.DataFrame({tasks.TREES: [1.0, 2.0], tasks.TREES_SLOWER: [0.98, 2.0]})
    assert tasks.trees_are_settled(errors, 1.065)  # one percent lower
    assert not tasks.trees_are_settled(errors, 1.015)
    assert not tasks.trees_are_settled(errors, 0.985)
    errors.loc[0, tasks.TREES_SLOWER] = 0.95
    assert not tasks.trees_are_settled(errors, 1.5)
    assert not tasks.trees_are_settled(errors[[tasks.TREES]], 1.5)


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Models that learn next to nothing; counts how often each is asked."""
    asked = []

    def zeros(compounds, *rest):
        asked.append(rest)
        return np.zeros(len(compounds.target))

    monkeypatch.setattr(tasks, "by_trees", zeros)
    monkeypatch.setattr(tasks, "by_encoder", zeros)
    return asked


def test_a_row_for_each_route_and_a_kill_loses_none(wheel, tmp_path, quick):
    part = Part("steels_yield", 0)
    (of_trees,) = tasks.trees_piece(part, tmp_path / BY_TREES / part.key)
    of_T = tasks.table_piece(part, tmp_path / BY_TREES / f"{part.key}-T")
    of_scratch = tasks.scratch_piece(part, tmp_path / BY_SCRATCH / part.key)
    (slower,) = tasks.slower_piece(part, tmp_path / BY_TREES / f"{part.key}-slower")
    assert slower["route"] == tasks.TREES_SLOWER
    assert quick.pop()[1:] == (0, routes.TREES_RATE / 2)
    rows = [of_trees, *of_T, *of_scratch]
    assert [row["route"] for row in rows] == [
        tasks.TREES, tasks.TREES_T, tasks.TREES_T_MIXED, tasks.SCRATCH, tasks.COMBINED,
    ]  # fmt: skip
    for row in rows:
        assert row["mae_test"] == pytest.approx(1420, abs=60)  # of zeros: MPa
        assert (row["test compounds"], row["labels"], row["drawn"]) == (63, 249, False)
    features = [rest[0].shape[1] for rest in quick if len(rest) == 2]
    assert features == [218, 218 + 128, 218 + 128]  # trees once, for themselves and the combination
    again = tasks.scratch_piece(part, tmp_path / BY_SCRATCH / part.key)
    assert again == of_scratch and len(quick) == 4


def test_fewer_labels_are_said_and_test_the_same_compounds(wheel, tmp_path, quick):
    part = Part("steels_yield", 1, 100)
    (row,) = tasks.trees_piece(part, tmp_path / BY_TREES / part.key)
    assert (row["labels"], row["drawn"], row["test compounds"]) == (100, True, 63)


def test_errors_are_over_all_test_compounds_and_beside_the_peers():
    rows = pd.DataFrame(
        [
            ("mp_mu_b", 0, "trees", 50.0, 63), ("mp_mu_b", 0, "combined", 40.0, 63),
            ("jdft2d", 0, "trees", 30.0, 10), ("jdft2d", 0, "combined", 60.0, 10),
            *(("phonons", k, route, 10.0 * (k + 1), 100 + k) for k in range(5)
              for route in ("trees", "combined")),
        ],
        columns=["task", "fold", "route", "mae_test", "test compounds"],
    )  # fmt: skip
    rows["drawn"] = False
    fewer = rows.assign(drawn=True, mae_test=1e6)
    alone = rows[rows["task"] == "mp_mu_b"].assign(route="one task", mae_test=1.0)[:1]
    rows = pd.concat([rows, fewer, alone], ignore_index=True)
    errors = tasks.errors_of_tasks(rows)
    assert list(errors.columns) == ["trees", "combined", "one task"]
    listed = composition_tasks()
    assert list(errors.index) == ["mp_mu_b", "phonons"]  # one fold of jdft2d is not the task
    by_hand = sum(10 * (k + 1) * (100 + k) for k in range(5)) / sum(100 + k for k in range(5))
    assert errors.loc["phonons", "trees"] == pytest.approx(by_hand)
    against = tasks.beside_peers(errors)
    crabnet = listed["CrabNet"]
    ratio = np.sqrt(50 / crabnet["mp_mu_b"] * by_hand / crabnet["phonons"])
    assert against.loc["trees", "ratio"] == pytest.approx(ratio)
    best = sum(
        errors.loc[task, "combined"] < listed.loc[task, list(PEERS)].min() for task in errors.index
    )
    assert against.loc["combined", "best"] == best and against["tasks"].tolist() == [2, 2, 1]
    # of mp_mu_b a route with an error of 1 is before all five peers, and 50 behind them
    assert against.loc["one task", "rank"] == 1 and against.loc["one task", "best"] == 1
    of_phonons = 1 + (listed.loc["phonons", list(PEERS)] < by_hand).sum()
    assert against.loc["trees", "rank"] == (6 + of_phonons) / 2


def test_a_ratio_of_routes_by_hand():
    errors = pd.DataFrame({"a": [1.0, 2.0, 8.0, np.nan], "b": [2.0, 2.0, 2.0, 1.0]})
    of = tasks.ratio_of_routes(errors, "a", "b")
    assert of.mean == pytest.approx((0.5 * 1 * 4) ** (1 / 3))
    logarithms = np.log([0.5, 1, 4])
    low, high = stats.t.interval(0.95, 2, logarithms.mean(), stats.sem(logarithms))
    assert (of.low, of.high) == pytest.approx((np.exp(low), np.exp(high)))
    assert of.p == pytest.approx(stats.ttest_1samp(logarithms, 0).pvalue)
    assert np.isnan(tasks.ratio_of_routes(errors, "a", "c").mean)
    assert np.isnan(tasks.ratio_of_routes(errors[3:], "a", "b").mean)
    table = tasks.compared_routes(errors, [("a", "b"), ("a", "c")])
    assert table["tasks"].tolist() == [3, 0] and table["error of a over b"][0] == of.mean
    assert table.loc[1, ["error of a over b", "low", "high", "p"]].isna().all()
    assert tasks.compared_routes(pd.DataFrame(), [("a", "b")])["tasks"].tolist() == [0]
