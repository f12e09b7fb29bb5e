"""Predictions for the public leaderboards, in the files that their maintainers take.

    python -m matgan submission matbench_expt_gap --route trees --out FOLDER

Matbench (Dunn et al. 2020) takes a results.json.gz, as its package 0.6 writes and checks it;
JARVIS-Leaderboard (Choudhary et al. 2024) a zipped CSV of ids and predictions. Either also wants a
description of the method, which is for its authors to write.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from matgan.files import atomic_file, load_arrays
from matgan.study.jobs.compositions.leaderboards import (
    MATBENCH,
    TC,
    Board,
    board_folds,
    load_board,
    predictions_file,
)
from matgan.study.jobs.runner import WORK
from matgan.study.run import RunError

JOBS_OF_BOARDS = ("leaderboards", "leaderboards-transfer")
BOARDS = (*MATBENCH, TC)
JARVIS = "AI-SinglePropertyPrediction-Tc-supercon_chem-test-mae.csv"  # as its benchmark is called


def predictions(board: str, route: str, work: Path | None = None) -> list[np.ndarray]:
    """What a route predicted for the test rows of each fold of a leaderboard, by the jobs.

    Raises
    ------
    RunError
        A fold, or the route, is not there; says what is, and which command makes it.
    """
    work = work or WORK
    found, known = [], set()
    for of in board_folds():
        if of.board != board:
            continue
        folders = [path for job in JOBS_OF_BOARDS for path in (work / job).glob(f"{of.key}*")]
        paths = [path for folder in folders for path in folder.glob("*.npz")]
        known |= {path.stem for path in paths}
        name = predictions_file(work, route).name
        there = [path for path in paths if path.name == name]
        if len(there) > 1:
            raise RunError(f"{there[0]} and {there[1]} are both of {route!r}")
        if not there:
            has = f"; there are {', '.join(sorted(known))}" if known else ""
            raise RunError(
                f"there are no predictions of {route!r} for fold {of.fold} of {board}{has}: "
                f"`python -m matgan jobs run {' '.join(JOBS_OF_BOARDS)}` makes them in hours "
                "(--fresh: where only the tables are there)"
            )
        found.append(load_arrays(there[0], ["found"])["found"])
    return found


def matbench_results(name: str, board: Board, predicted: list[np.ndarray], route: str) -> dict:
    """What matbench 0.6 calls a recorded benchmark: `MatbenchBenchmark.from_dict` reads it."""
    short, digits = name.removeprefix("matbench_").replace("_", "-"), len(str(len(board.target)))
    folds: dict[str, Any] = {}
    for fold, ((_, tested), of) in enumerate(zip(board.folds, predicted, strict=True)):
        target = board.target[tested]
        ids = [f"mb-{short}-{row + 1:0{digits}}" for row in tested]
        data = dict(zip(ids, of.tolist(), strict=True))
        scores = _matbench_scores(target, of)
        folds[f"fold_{fold}"] = {"data": data, "parameters": {"route": route}, "scores": scores}
    task = {
        "@module": "matbench.task",
        "@class": "MatbenchTask",
        "benchmark_name": "matbench_v0.1",
        "dataset_name": name,
        "results": folds,
    }
    results = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": "0.6",
        "tasks": {name: task},
        "user_metadata": {"algorithm": f"matgan: {route}"},
        "benchmark_name": "matbench_v0.1",
        "datestamp": datetime.now(UTC).strftime("%Y.%m.%d %H:%M.%S"),
    }
    text = json.dumps(results, sort_keys=True)  # as its hash is defined
    return results | {"hash": hashlib.sha256(text.encode()).hexdigest()}


def _matbench_scores(target: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Of a fold, as matbench counts: relative errors where the target is above 1e-5 in size."""
    error = np.abs(predicted - target)
    some = np.abs(target) > 1e-5
    return {
        "mae": float(error.mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mape": float((error[some] / np.abs(target[some])).mean()),
        "max_error": float(error.max()),
    }


def write_submission(board: str, route: str, folder: Path, work: Path | None = None) -> Path:
    """Write the file of a leaderboard; its path.

    Raises
    ------
    RunError
        As of `predictions`; or they are not of this leaderboard's rows. Nothing is written.
    """
    predicted = predictions(board, route, work)
    rows = load_board(board)
    for fold, ((_, tested), of) in enumerate(zip(rows.folds, predicted, strict=True)):
        if of.shape != tested.shape or not np.isfinite(of).all():
            raise RunError(
                f"fold {fold} of {board} has {len(tested)} test rows; the predictions of {route!r} "
                f"are {of.shape}, {np.isfinite(of).sum()} of them numbers"
            )
    if board in MATBENCH:
        path = folder / "results.json.gz"
        text = json.dumps(matbench_results(board, rows, predicted, route))
        content = gzip.compress(text.encode())
    else:
        path, ((_, tested),) = folder / f"{JARVIS}.zip", rows.folds
        lines = [f"{row},{float(value)!r}" for row, value in zip(tested, predicted[0], strict=True)]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(JARVIS, "\n".join(["id,prediction", *lines, ""]))
        content = packed.getvalue()
    with atomic_file(path) as file:
        file.write(content)
    return path


def main(arguments: list[str] | None = None) -> None:
    """`python -m matgan submission`."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan submission",
        description="Write what a job predicted as a public leaderboard's file.",
    )
    parser.add_argument("board", choices=BOARDS)
    parser.add_argument("--route", required=True, help="as the table results/long names it")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args(arguments)
    print(f"wrote {write_submission(options.board, options.route, options.out)}")
