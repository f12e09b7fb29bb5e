"""The jobs of what is learned elsewhere: every route on a small task, with a small source."""

import numpy as np
import pandas as pd
import pytest

from matgan.representation.encoder import sources
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.study.jobs.compositions import leaderboards, tasks, transfer
from matgan.study.jobs.compositions.leaderboards import BoardFold, predictions_file
from matgan.study.jobs.compositions.tasks import Part, task_parts
from matgan.study.jobs.compositions.transfer import ENCODER_SOURCES, JOBS

SMALL = {"width": 16, "layers": 1, "heads": 2}


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A source that learned two properties of four compounds; trees and encoders as small."""
    monkeypatch.setattr(tasks, "ENCODER", SMALL)
    monkeypatch.setattr(tasks, "schedule", lambda n: {"epochs": 1, "batch_size": 64})
    monkeypatch.setattr(transfer.SourceOf, "file", tmp_path / "source.safetensors")
    learned = CompositionEncoder(**SMALL, epochs=1, device="cpu")
    learned.fit(["NaCl", "GaN", "MgO", "Fe2O3"], [[1.0, 2.0], [2.0, 0.0], [3.0, 1.0], [0.0, 1.0]])
    learned.save(ENCODER_SOURCES["without-small"].file)


def test_the_pieces_are_the_parts_of_the_tasks_and_the_folds_of_the_leaderboards():
    _, by_task, by_board = (job.pieces() for job in JOBS)
    assert list(by_task) == [part.key for part in task_parts()]
    several = [key for key in by_board if key.endswith("-several")]
    assert (
        len(by_board) == 12 + 7 + 3
        and len(several) == 7
        and not any("mp_gap" in k for k in several)
    )
    assert list(by_board).index("matbench_expt_gap-0-several") == 5


def test_a_source_saw_no_compound_of_the_task(wheel):
    """AFLOW's gaps and energies are many, but fewer than 20,000 are trained on."""
    for task in {part.task for part in task_parts()}:
        source, held = transfer.source_of(task), sources.small_tasks()
        assert source.without == "others" or task in held, task
        assert task not in source.tasks
    assert transfer.source_of("aflow__Egap").without == "others"
    assert transfer.source_of("castelli").without == "small"


def test_a_row_for_each_route_and_a_kill_loses_none(wheel, tmp_path, monkeypatch, source):
    seen = []

    def by_trees(compounds, features, seed):
        seen.append(features)
        return np.zeros(len(features))

    monkeypatch.setattr(transfer, "by_trees", by_trees)
    monkeypatch.setattr(tasks, "by_trees", by_trees)
    part, folder = Part("steels_yield", 0), tmp_path / "small-data-transfer" / "steels"
    rows = transfer.transfer_piece(part, folder)
    by_route = {row["route"]: row for row in rows}
    assert len(by_route) == len(rows) == 6
    assert by_route[transfer.TREES_SOURCE]["mae_test"] == pytest.approx(1420, abs=60)  # of zeros
    assert all(np.isfinite(row["mae_val"]) and row["test compounds"] == 63 for row in rows)
    with_source, mixed, plain = seen
    assert with_source.shape[1] == mixed.shape[1] == plain.shape[1] + 2 * 2 + 16
    assert not np.allclose(with_source, mixed) and np.allclose(with_source[:, :218], plain)
    monkeypatch.setattr(transfer, "by_encoder", None)  # nothing is computed again
    monkeypatch.setattr(tasks, "by_encoder", None)
    assert transfer.transfer_piece(part, folder) == rows


def test_a_leaderboard_with_a_source(wheel, tmp_path, monkeypatch, source):
    board = leaderboards.load_board("matbench_expt_gap")
    few = [(learned[::16], test[::4]) for learned, test in board.folds]
    small = leaderboards.Board(board.formulas, board.target, few)
    monkeypatch.setattr(leaderboards, "load_board", lambda name: small)
    learned = []

    def boosted(features, amounts, y, tested):
        learned.append(features(amounts).shape[1])
        return np.full(len(tested), 1.0)

    monkeypatch.setattr(transfer, "boosted", boosted)
    rows = transfer.board_piece(BoardFold("matbench_expt_gap", 4), tmp_path / "piece")
    assert [row["route"] for row in rows] == [
        transfer.TREES_SOURCE, transfer.TUNED, transfer.MEAN_SOURCE,
    ]  # fmt: skip
    assert learned == [218 + 2 * 2 + 16]
    test = board.target[few[4][1]]
    assert rows[0]["mae"] == pytest.approx(np.abs(test - 1).mean())
    rows = transfer.several_piece(BoardFold("matbench_expt_gap", 4), tmp_path / "several")
    assert [row["route"] for row in rows] == [transfer.TUNED_SEVERAL, transfer.MEAN_SEVERAL]
    here = tmp_path / "matbench_expt_gap-4"  # the trees and the first encoder, not beside them
    assert not list((tmp_path / "several").glob("trees*")) and len(list(here.glob("*.npz"))) == 2
    each = [np.load(path)["found"] for path in (tmp_path / "several").glob("*fine-tuned-?.npz")]
    each.append(np.load(here / "encoder-fine-tuned.npz")["found"])
    assert len(each) == transfer.SEVERAL and len({encoder[0] for encoder in each}) == len(each)
    (longer,) = transfer.longer_piece(BoardFold("matbench_expt_gap", 4), tmp_path / "longer")
    assert longer["route"] == transfer.TUNED_LONGER and longer["mae"] != rows[0]["mae"]
    # a file of its own name: those of the leaderboards are found by it
    assert predictions_file(tmp_path / "longer", transfer.TUNED_LONGER).is_file()
    assert not predictions_file(tmp_path / "longer", transfer.TUNED).exists()
    expected = np.abs((np.mean(each, axis=0) + 1) / 2 - test).mean()
    assert rows[1]["mae"] == pytest.approx(expected)


def test_an_encoder_has_the_sizes_of_its_start(tmp_path, source):
    start = ENCODER_SOURCES["without-small"].file
    wide = CompositionEncoder(24, 2, 3, epochs=1, device="cpu").fit(["NaCl", "GaN"], [1.0, 2.0])
    wide.save(tmp_path / "wide.safetensors")
    checkpoint = tmp_path / "one.checkpoint"
    for path, width in ((None, 16), (start, 16), (tmp_path / "wide.safetensors", 24)):
        encoder = tasks.task_encoder(2, 1e-3, 0, checkpoint, path)
        assert encoder.fit(["NaCl", "MgO"], [1.0, 2.0]).transform(["NaCl"]).shape == (1, width)


def test_an_encoder_for_twice_as_long_says_whether_it_is_settled():
    routes, board = [transfer.TUNED, transfer.TUNED_LONGER], "matbench_expt_gap"
    for longer, settled in ((0.294, False), (0.2941, True), (0.3059, True), (0.307, False)):
        table = pd.DataFrame({"board": board, "fold": 0, "route": routes, "mae": [0.3, longer]})
        assert transfer.encoders_are_settled(table, board) == settled
    assert not transfer.encoders_are_settled(table[:1], board)
    assert not transfer.encoders_are_settled(table.assign(fold=1), board)


def test_twice_the_epochs_are_twice_the_epochs(tmp_path, source):
    once, twice = (tasks.task_encoder(2, 1e-3, 0, times=times) for times in (1, 2))
    assert twice.epochs == 2 * once.epochs and twice.batch_size == once.batch_size
