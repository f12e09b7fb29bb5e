"""Files for the leaderboards: as their maintainers' packages describe and check them."""

import csv
import gzip
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from matgan.__main__ import main
from matgan.files import atomic_file
from matgan.study.jobs.compositions import submission
from matgan.study.jobs.compositions.leaderboards import TC, load_board
from matgan.study.jobs.compositions.submission import JARVIS, write_submission
from matgan.study.run import RunError

GAPS = "matbench_expt_gap"


def predicted_by_jobs(work, board, job="leaderboards", route="trees"):
    """Predictions as the jobs leave them: the target and a half."""
    rows = load_board(board)
    for fold, (_, tested) in enumerate(rows.folds):
        with atomic_file(work / job / f"{board}-{fold}" / f"{route}.npz") as file:
            np.savez(file, found=rows.target[tested] + 0.5, minutes=1.0)
    return rows


def test_matbench_finds_what_it_asks_for(wheel, tmp_path):
    board = predicted_by_jobs(tmp_path, GAPS)
    path = write_submission(GAPS, "trees", tmp_path / "new" / "folder", tmp_path)
    assert path.name == "results.json.gz"  # the one name that is taken
    results = json.loads(gzip.decompress(path.read_bytes()))
    # what MatbenchBenchmark.from_dict of matbench 0.6 demands: these keys and no others
    stated = results.pop("hash")
    assert set(results) == {
        "@module", "@class", "version", "benchmark_name", "tasks", "user_metadata", "datestamp",
    }  # fmt: skip
    in_order = json.dumps(results, sort_keys=True).encode()
    assert stated == hashlib.sha256(in_order).hexdigest()
    (task,) = results["tasks"].values()
    assert set(task) == {"@module", "@class", "dataset_name", "benchmark_name", "results"}
    assert task["dataset_name"] == GAPS and list(task["results"]) == [f"fold_{k}" for k in range(5)]
    for (_, tested), fold in zip(board.folds, task["results"].values(), strict=True):
        assert set(fold) == {"data", "scores", "parameters"}
        # matbench_v0.1_validation.json numbers the rows from 1 on
        assert list(fold["data"]) == [f"mb-expt-gap-{row + 1:04d}" for row in tested]
        assert list(fold["data"].values()) == pytest.approx(board.target[tested] + 0.5)
        some = board.target[tested][np.abs(board.target[tested]) > 1e-5]
        expected = {"mae": 0.5, "rmse": 0.5, "max_error": 0.5, "mape": (0.5 / some).mean()}
        assert fold["scores"] == pytest.approx(expected)
        assert all(type(score) is float for score in fold["scores"].values())
    first = list(task["results"]["fold_0"]["data"])
    assert (first[:2], first[-1], len(first)) == (
        ["mb-expt-gap-0008", "mb-expt-gap-0010"], "mb-expt-gap-4602", 921,
    )  # fmt: skip  # as that file has them


def test_jarvis_gets_ids_and_predictions(supercon, tmp_path):
    board = predicted_by_jobs(tmp_path, TC, "leaderboards-transfer", "encoder-fine-tuned")
    path = write_submission(TC, "encoder fine-tuned", tmp_path, tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert path.name == f"{JARVIS}.zip" and archive.namelist() == [JARVIS]
        head, *rows = csv.reader(io.StringIO(archive.read(JARVIS).decode()))
    assert head == ["id", "prediction"] and len(rows) == 3_283
    ids = np.array([int(row[0]) for row in rows])
    assert np.array_equal(ids, board.folds[0][1])
    assert [float(row[1]) for row in rows] == pytest.approx(board.target[ids] + 0.5)


def test_nothing_is_written_where_predictions_lack_or_do_not_fit(wheel, tmp_path, monkeypatch):
    out, work = tmp_path / "out", tmp_path / "work"
    with pytest.raises(RunError, match=r"no predictions of 'trees' for fold 0 .*jobs run leaderb"):
        write_submission(GAPS, "trees", out, work)
    predicted_by_jobs(work, GAPS)
    with pytest.raises(RunError, match=r"no predictions of 'forest' for fold 0 .*there are trees"):
        write_submission(GAPS, "forest", out, work)
    last = work / "leaderboards" / f"{GAPS}-4" / "trees.npz"
    with atomic_file(last) as file:
        np.savez(file, found=np.zeros(3), minutes=1.0)
    with pytest.raises(RunError, match=r"fold 4 of matbench_expt_gap has 920 test rows; .*3,"):
        write_submission(GAPS, "trees", out, work)
    last.unlink()
    with pytest.raises(RunError, match="for fold 4"):
        write_submission(GAPS, "trees", out, work)
    assert not out.exists()


def test_the_command_says_what_is_missing_in_one_line(wheel, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(submission, "WORK", tmp_path)
    told = ["submission", GAPS, "--route", "trees", "--out", str(tmp_path / "out")]
    assert main(told) == RunError.status
    assert "python -m matgan jobs run leaderboards" in capsys.readouterr().err
    predicted_by_jobs(tmp_path, GAPS)
    assert main(told) == 0 and (tmp_path / "out" / "results.json.gz").is_file()


def test_two_predictions_of_one_route_are_not_chosen_from(wheel, tmp_path):
    predicted_by_jobs(tmp_path, GAPS)
    predicted_by_jobs(tmp_path, GAPS, job="leaderboards-transfer")
    with pytest.raises(RunError, match="are both of 'trees'"):
        submission.predictions(GAPS, "trees", tmp_path)
