import numpy as np
import pandas as pd
import pytest

from matgan.data.sources import SourceUnavailable
from matgan.learning.regressor import FullyConnectedRegressor
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
    if anchors.OQMD not in tasks:
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
    task, split = published[0][anchors.OQMD]
    row = anchors.elemnet(task, split, epochs=1, device="cpu")
    assert row["n_test"] == len(split.test) and row["epochs"] == 1
    median = np.abs(task.y[split.test] - np.median(task.y[split.train])).mean()
    assert 0.3 * median < row["mae"] < 3 * median


def test_a_source_that_cannot_be_had_is_named(monkeypatch):
    def nothing(*_, **__):
        raise SourceUnavailable("nowhere")

    monkeypatch.setattr(anchors.compounds, "load_supercon", nothing)
    monkeypatch.setattr(anchors.compounds, "read_oqmd", nothing)
    tasks, not_run = anchors.published_tasks(folds=0)
    assert tasks == {} and not_run == [f"{anchors.OQMD}: nowhere", f"{anchors.SUPERCON}: nowhere"]


def test_published_errors_by_fold():
    rows = anchors.published_errors([anchors.OQMD, f"{anchors.GAP} 3"])
    assert {"dataset": "OQMD, fixed split", "features": "ElemNet (published)", "mae": 0.049} in rows
    of_fold = [row for row in rows if row["dataset"] == "Matbench gap, fold 3"]
    assert len(of_fold) == 5 and all("mean of five folds" in row["features"] for row in of_fold)


def test_the_command_writes_a_row_for_each_split(tmp_path, published, capsys):
    anchors.main(["--out", str(tmp_path / "e.csv"), "--epochs", "1", "1", "1", "--rows", "300"])
    table = pd.read_csv(tmp_path / "e.csv")
    assert set(table["dataset"]) <= {anchors.OQMD, f"{anchors.GAP} 0", anchors.SUPERCON}
    assert np.isfinite(table["mae"]).all() and list(tmp_path.iterdir()) == [tmp_path / "e.csv"]

    anchors.main(["--out", str(tmp_path / "e.csv"), "--epochs", "2", "0", "0", "--rows", "300"])
    anew = pd.read_csv(tmp_path / "e.csv").set_index("dataset")
    epochs = dict.fromkeys(table["dataset"], 1) | {anchors.OQMD: 2}
    assert anew["epochs"].to_dict() == epochs
    others = [name for name in table["dataset"] if name != anchors.OQMD]
    pd.testing.assert_frame_equal(anew.loc[others], table.set_index("dataset").loc[others])
