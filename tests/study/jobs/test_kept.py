import pandas as pd
import pytest

from matgan.study import run as runs
from matgan.study.jobs import kept


@pytest.fixture
def table():
    rows = [("CNN", 0, 10, 5.00), ("CNN", 1, 10, 6.0), ("CNN", 0, 20, 4.95), ("cubic", 0, 0, 9.0)]
    return pd.DataFrame(rows, columns=["method", "seed", "epochs", "percent"])


def test_twice_the_epochs_decide(table):
    network = table[table["method"] == "CNN"]
    assert kept.is_settled(network, "percent", 2.0) is True
    assert kept.is_settled(network, "percent", 0.08) is False  # half of the difference
    worse = network.assign(percent=[5.0, 6.0, 4.8])
    assert kept.is_settled(worse, "percent", 2.0) is False  # 4%
    assert kept.is_settled(network[network["epochs"] == 10], "percent", 2.0) is False
    assert kept.is_settled(network[:0], "percent", 2.0) is False


def test_longer_trainings_are_checks_and_no_repeats(table):
    assert kept.usual(table)["percent"].tolist() == [5.0, 6.0, 9.0]


def test_a_table_that_is_not_there_is_empty_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "LONG", runs.PROJECT / "results" / "no-such-folder")
    run = runs.open_run(tmp_path, "41_homogenisation")
    table, said = kept.kept_or_empty(run, "homogenisation")
    assert table.empty
    assert "Not there yet" in said and "jobs run homogenisation" in said


def test_a_table_that_is_there_comes_with_its_origin(tmp_path, table, monkeypatch):
    monkeypatch.setattr(runs, "LONG", tmp_path)
    table.to_csv(tmp_path / "homogenisation.csv", index=False)
    facts = '{"what": "C11", "commit": ["abc"], "device": ["cpu"]}'
    (tmp_path / "homogenisation.json").write_text(facts)
    found, said = kept.kept_or_empty(runs.open_run(tmp_path, "41_homogenisation"), "homogenisation")
    pd.testing.assert_frame_equal(found, table)
    assert said.startswith("- Kept, not computed here: C11")
