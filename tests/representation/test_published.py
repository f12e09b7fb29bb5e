import numpy as np
import pandas as pd
import pytest

from matgan.data.sources import SourceUnavailable
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import scores
from matgan.representation import published as anchors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
Y = X[:, 0] + 3


def test_elemnet_has_17_layers_of_the_published_widths():
    model = FullyConnectedRegressor(**anchors.ELEMNET, epochs=1, device="cpu").fit(X, Y)
    widths = [w.shape[1] for w in model.coefs_]
    assert widths == [1024] * 4 + [512] * 3 + [256] * 3 + [128] * 3 + [64] * 2 + [32, 1]
    assert len(widths) == 17
    dropped = {w: p for w, p in zip(widths, anchors.ELEMNET["dropout"], strict=False) if p}
    assert dropped == {1024: 0.2, 512: 0.1, 256: 0.3, 128: 0.2}


@pytest.fixture(scope="module")
def published():
    tasks, not_run = anchors.published_tasks(folds=1, rows=300, seed=0)
    if anchors.OQMD_SPLIT not in tasks:
        pytest.skip(f"not run: {not_run}")
    return tasks, not_run


def test_published_parts_are_kept(published):
    tasks, not_run = published
    assert len(tasks) + len(not_run) == 3
    for task, split in tasks.values():
        part = task.table["split"].to_numpy()
        assert len(task.table) == 300 and set(part[split.test]) == {"test"}
        assert "test" not in part[split.train] and "test" not in part[split.validation]
        rows = np.concatenate([split.train, split.validation, split.test])
        assert sorted(rows) == list(range(300))


def test_elemnet_is_scored_on_the_test_part(published):
    task, split = published[0][anchors.OQMD_SPLIT]
    row = anchors.elemnet(task, split, epochs=1, device="cpu")
    assert row["n_test"] == len(split.test) and row["epochs"] == 1
    assert row["mae_low"] < row["mae"] < row["mae_high"]
    median = np.abs(task.y[split.test] - np.median(task.y[split.train])).mean()
    assert 0.3 * median < row["mae"] < 3 * median


def test_a_source_that_cannot_be_had_is_named(monkeypatch):
    def nothing(*_, **__):
        raise SourceUnavailable("nowhere")

    monkeypatch.setattr(anchors.compounds, "load_supercon", nothing)
    monkeypatch.setattr(anchors.compounds, "read_oqmd", nothing)
    tasks, not_run = anchors.published_tasks(folds=0)
    names = (anchors.OQMD_SPLIT, anchors.SUPERCON_SPLIT)
    assert tasks == {} and not_run == [f"{name}: nowhere" for name in names]


def test_published_errors_by_fold():
    rows = anchors.published_errors([anchors.OQMD_SPLIT, f"{anchors.GAP_FOLD} 3"])
    assert {"dataset": "OQMD, fixed split", "features": "ElemNet (published)", "mae": 0.049} in rows
    of_fold = [row for row in rows if row["dataset"] == "Matbench gap, fold 3"]
    assert len(of_fold) == 5 and all("mean of five folds" in row["features"] for row in of_fold)


def test_table_4_as_printed():
    table = anchors.table4()
    assert len(table) == 9 and set(table["unit"]) == {"eV", "K", "eV/atom"}
    row = table.set_index(["dataset", "method"]).loc["OQMD", "WGAN"]
    assert (row["mae"], row["rmse"], row["r2"]) == (0.101, 0.180, 0.907)
    assert row["deviation"] == pytest.approx(0.180 / (1 - 0.907) ** 0.5)
    # Equations 8 and 9 on numbers that round to those printed
    for rmse, r2 in ((0.1804, 0.9074), (0.1796, 0.9066)):
        assert row["low"] < rmse / (1 - r2) ** 0.5 < row["high"]


def test_scores_that_cannot_come_from_one_test_set():
    found = anchors.contradictions(anchors.table4())
    assert found[["dataset", "lower", "higher"]].to_numpy().tolist() == [
        ["OQMD", "Magpie", "one-hot"]
    ]
    rng = np.random.default_rng(0)
    y = rng.normal(size=50)
    one_test_set = pd.DataFrame(
        {"dataset": "d", "method": i} | scores(y, y + rng.normal(0, 1 + i / 9, 50))
        for i in range(9)
    )
    assert anchors.contradictions(one_test_set).empty


def test_every_number_of_others_has_its_source():
    table = anchors.others()
    assert table["source"].str.contains(r"\d|leaderboard").all() and (table["unit"] != "").all()
    assert table["mae"].gt(0).all() and not table.duplicated(["dataset", "method"]).any()
