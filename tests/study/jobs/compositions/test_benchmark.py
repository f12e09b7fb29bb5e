"""Jobs of the benchmark: every piece of every kind on a few hundred compounds."""

import pickle
import re
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from matgan.chemistry.composition import whole_counts
from matgan.data.sources import SourceUnavailable
from matgan.learning.evaluation import convergence
from matgan.representation import benchmark, published
from matgan.representation.benchmark import ENERGY, GAP, RANDOM, T_OURS
from matgan.study.jobs.compositions import benchmark as jobs
from matgan.study.run import NotYetMade, RunError
from matgan.wgan.config import LEARNING

JOBS = {job.name: job for job in jobs.JOBS}
LOAD, TASKS = benchmark.load_task, cache(published.published_tasks)


@pytest.fixture
def small(monkeypatch, tmp_path, oqmd):
    """A few hundred compounds, two repeats, an epoch, and a folder for results/long."""
    monkeypatch.setattr(jobs, "LONG", tmp_path)
    monkeypatch.setattr(jobs, "REPEATS", 2)
    monkeypatch.setattr(jobs, "TRAININGS", 1)
    monkeypatch.setattr(jobs, "CHECKED", 1)
    monkeypatch.setattr(jobs, "EPOCHS", dict.fromkeys(jobs.EPOCHS, 1))
    monkeypatch.setattr(
        jobs, "SETTINGS_GRID", {"input_scaling": (None,), "learning_rate": (3e-3, 1e-2)}
    )
    monkeypatch.setattr(jobs, "SEARCH", {"rows": 200, "epochs": 1})
    monkeypatch.setattr(jobs, "SIZES", (50, 10_000))
    monkeypatch.setattr(jobs, "AGAIN", (60,))
    monkeypatch.setattr(jobs, "STEPS", 2)
    monkeypatch.setattr(jobs, "UPDATES", 1)
    monkeypatch.setattr(benchmark.compounds, "load_oqmd", lambda: oqmd)
    monkeypatch.setattr(benchmark, "load_task", partial(LOAD, rows=300))
    monkeypatch.setattr(published, "published_tasks", lambda folds: TASKS(1, 300))
    monkeypatch.setattr(jobs, "LEARNING", LEARNING.replace(batch_size=32))
    plain = benchmark.baselines
    monkeypatch.setattr(benchmark, "baselines", lambda seed=0: plain(seed, trees=2))
    return tmp_path


def rows(job, key, folder):
    """The rows of one piece, or the test is skipped where its data cannot be had."""
    try:
        return pd.DataFrame(JOBS[job].pieces()[key](folder))
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


def test_every_piece_has_a_key_that_is_a_folder_and_can_be_sent_to_a_process():
    for job in jobs.JOBS:
        assert job.core_hours > 0 and job.what
        for key, piece in job.pieces().items():
            assert re.fullmatch(r"[A-Za-z0-9_-]+", key), key
            pickle.loads(pickle.dumps(piece))
    assert len(JOBS["table4"].pieces()) == 10 * len(jobs.FEATURES)  # ten sets and kinds of split
    assert len(JOBS["baselines"].pieces()) == 10 * len(benchmark.baselines())


def save_search(folder, dataset, features, best):
    """The table of a search that found a rate between two others."""
    rates = {best / 2: False, best: True, best * 2: False}
    table = pd.DataFrame({"learning_rate": rates.keys(), "chosen": rates.values()})
    table = table.assign(dataset=dataset, features=features, input_scaling="common")
    table.to_csv(folder / "table4-search.csv", index=False)


def test_settings_that_were_not_searched_or_lie_at_the_edge_are_refused(small):
    """Else a control would stand beside our features with the defaults of another network."""
    task = jobs._task(ENERGY)
    with pytest.raises(NotYetMade, match="no settings of one-hot on OQMD formation energy yet"):
        jobs.searched_network(task, "one-hot")
    save_search(small, ENERGY, T_OURS, 3e-3)
    with pytest.raises(NotYetMade, match="jobs run table4-search"):
        jobs.searched_network(task, "one-hot")
    assert jobs.searched_network(task, T_OURS).learning_rate == 3e-3
    path = small / "table4-search.csv"
    table = pd.read_csv(path)
    table[table["learning_rate"] <= 3e-3].to_csv(path, index=False)
    with pytest.raises(RunError, match=r"best learning rate, 0\.003, lies at the edge"):
        jobs.searched_network(task, T_OURS)


def test_table_4_takes_the_settings_of_the_search(small):
    searched = rows("table4-search", "MP_band_gap--one-hot", small)
    assert searched["chosen"].sum() == 1 and (searched["epochs"] == 1).all()
    save_search(small, GAP, "one-hot", 1e-2)
    scored = rows("table4", "MP_band_gap--random_as_in_the_paper--one-hot", small)
    assert scored[["repeat", "epochs"]].to_numpy().tolist() == [[0, 1], [1, 1], [0, 2]]
    assert scored["learning_rate"].eq(1e-2).all() and scored["split"].eq(RANDOM).all()
    assert convergence(scored)["checked"].tolist() == [1]
    curve = rows("small-data", "MP_band_gap--one-hot", small)
    assert curve["n_train"].tolist() == [50] * 3 and curve["learning_rate"].eq(1e-2).all()


def test_other_trainings_of_T_are_as_many_as_other_random_T(small):
    tables = jobs.other_tables()
    assert len(tables) == 8 and all(table.shape == (85, 128) for table in tables.values())
    assert sum(name.startswith(T_OURS) for name in tables) == 4
    save_search(small, ENERGY, T_OURS, 3e-3)
    found = rows("small-data", "OQMD_formation_energy--WGAN_T__ours___seed1", small)
    assert found["n_train"].eq(60).all() and found["input_scaling"].eq("common").all()
    assert found["repeat"].tolist() == [0, 1, 0]  # the last for twice the epochs
    assert found["epochs"].iloc[2] == 2 * found["epochs"].iloc[0]


def test_baselines_and_published_splits(small):
    plain = rows("baselines", "MP_band_gap--by_chemical_system--Magpie__random_forest", small)
    assert plain["repeat"].tolist() == [0, 1] and "epochs" not in plain
    elemnet = "ElemNet__17_layers__ours_"
    for label, epochs in (("median", []), ("one-hot", [1, 2]), (elemnet, [1, 2])):
        found = rows("published-splits", f"OQMD__fixed_split--{label}", small)
        assert list(found.get("epochs", [])) == epochs
        assert {"seed", "repeat", "split", "mae_low"} <= set(found) and found["mae"].gt(0).all()


def test_one_T_saw_the_test_compounds_and_the_other_none_of_them(small, monkeypatch):
    task = benchmark.load_task(ENERGY, seed=0)
    splits, given = task.splits(RANDOM, 2, 0), []

    def keep(config, data, folder, device):
        given.append({row.tobytes() for row in data.train})
        return SimpleNamespace(critic=SimpleNamespace(T=torch.full((85, 2), float(len(given)))))

    monkeypatch.setattr(jobs, "train_wgan", keep)
    tables = jobs.two_T(task, splits, LEARNING, "cpu")
    counts = whole_counts(task.amounts)
    tested = {row.tobytes() for split in splits for row in counts[split.test]}
    unseen, seen = given
    assert not unseen & tested and tested <= seen and len(unseen) == len(seen)
    assert [table.iloc[0, 0] for table in tables.values()] == [1, 2]
    assert list(tables) == [jobs.UNSEEN, jobs.SEEN]


def test_T_is_trained_twice_on_as_many_compounds(small):
    save_search(small, ENERGY, T_OURS, 3e-3)
    found = rows("T-without-tests", "training-0", small)
    assert found["features"].unique().tolist() == [jobs.UNSEEN, jobs.SEEN]
    # of each the first repeat for twice the epochs, too
    assert found["repeat"].tolist() == [0, 1, 0] * 2 and (found["updates"] == 1).all()
    assert (found["epochs"] / found["epochs"].iloc[0]).tolist() == [1, 1, 2] * 2
    assert np.isfinite(found["mae"]).all()
