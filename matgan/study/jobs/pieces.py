"""One piece of a job: done once, by one process, and kept; its parts, too, where they take long."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from matgan.files import atomic_file, load_arrays
from matgan.learning.compute import device
from matgan.study.run import git_state

Rows = list[dict]
Piece = Callable[[Path], Rows]  # gets a folder of its own, for checkpoints
LOCK = ".piece.lock"  # in a piece's folder; trainings in it may have one of their own
BEGUN = "begun.json"  # fingerprints of the code that worked on a piece which was stopped
_WATCH, _WATCH_SECONDS = "watch of the parent", 1.0


def piece_key(*parts: object) -> str:
    """A name for a piece: the words of what tells it apart from others."""
    return "-".join(re.findall(r"\w+", " ".join(map(str, parts))))


def do_piece(work: Path, key: str, piece: Piece, deadline: float, code: str = "") -> str:
    """Do one piece and keep what it found; its key, or "" where another process has it.

    Parameters
    ----------
    work : folder of the job; the piece gets the folder `key` in it
    key, piece : of `Job.pieces`
    deadline : by this machine's monotonic clock; later no piece starts
    code : fingerprint of the job's code, which is kept with the rows
    """
    if time.monotonic() > deadline:
        return ""
    folder = work / key
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            path = folder / "done.json"
            if path.is_file():
                return key
            codes = _codes(folder, code)
            one_thread()
            started, commit = time.monotonic(), _loaded_from()
            rows = piece(folder)
            facts = {
                **commit,
                "fingerprint": code if codes == {code} else "several",
                "device": device(),
                "threads": 1,
                "seconds": round(time.monotonic() - started + _before(folder), 1),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "rows": rows,
            }
            with atomic_file(path) as file:
                file.write(json.dumps(facts, default=float).encode())
    except Timeout:
        return ""
    return key


def do_piece_of(parent: int, *given) -> str:
    """`do_piece` in a worker that ends when the process that started it does, however it ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)  # a piece goes on from its checkpoint

    if os.getpid() != parent and _WATCH not in (thread.name for thread in threading.enumerate()):
        threading.Thread(target=watch, name=_WATCH, daemon=True).start()
    return do_piece(*given)


def computed_once(path: Path, compute: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What a part of a piece computes, kept in a file: a piece that was killed goes on behind it.

    Parameters
    ----------
    path : .npz; it appears whole or not at all, its folders are made
    compute : gives an array

    Returns
    -------
    the array, and the minutes of this process that it took (of the last try, if some were killed)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):  # another piece may want the same
        if not path.is_file():
            started = time.process_time()
            found = compute()
            minutes = (time.process_time() - started) / 60
            with atomic_file(path) as file:
                np.savez_compressed(file, allow_pickle=False, found=found, minutes=minutes)
    kept = load_arrays(path, ["found", "minutes"])
    return kept["found"], float(kept["minutes"])


@cache
def _loaded_from() -> dict[str, object]:
    """The commit when this process did its first piece: later ones are of the same code."""
    return git_state()


def _codes(folder: Path, code: str) -> set[str]:
    """Fingerprints of all code that worked on a piece, this one's too."""
    path = folder / BEGUN
    codes = set(json.loads(path.read_text())) if path.is_file() else set()
    if code not in codes:
        codes.add(code)
        with atomic_file(path) as file:
            file.write(json.dumps(sorted(codes)).encode())
    return codes


def _before(folder: Path) -> float:
    """Seconds that earlier, interrupted tries spent; a training may write them to spent.json."""
    path = folder / "spent.json"
    return float(json.loads(path.read_text())) if path.is_file() else 0.0


def one_thread() -> None:
    """Let torch of this process use one thread, so that a piece gives the same rows again."""
    import torch

    torch.set_num_threads(1)
