"""Whether today's code still finds what a kept table holds: one of a job's pieces, once more.

A stale job is one whose code changed since; this tells whether the change mattered. The piece runs
in a folder of its own, and neither runs/jobs nor results/long is touched.
"""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.study.jobs import runner
from matgan.study.jobs.pieces import one_thread
from matgan.study.jobs.runner import Job
from matgan.study.run import RunError, read_table

TIMES = re.compile("seconds|minutes|hours")  # columns that no second run repeats


@dataclass(frozen=True)
class Check:
    """What came of one piece.

    Attributes
    ----------
    piece : its name, "" where none is short enough
    verdict : "same", "close", "differs" or "not checked"
    why : one line for a reader
    seconds : that it took
    """

    piece: str
    verdict: str
    why: str
    seconds: float = 0.0


def check_job(job: Job, longest: float = 60.0, tolerance: float = 0.02) -> Check:
    """Do the longest piece of a kept table that is short enough anew, and compare its rows.

    Parameters
    ----------
    job : whose table is in results/long
    longest : seconds that a piece may have taken when the table was made
    tolerance : largest difference, of the largest number of its column, that is "close":
        trainings end elsewhere on a processor with other instructions

    Raises
    ------
    RunError
        The table has not as many rows as its pieces left.
    """
    kept = kept_pieces(job)
    if not kept:
        return Check("", "not checked", "no table that counts the rows of its pieces")
    quickest = min(seconds for seconds, _ in kept.values())
    short = {key: piece for key, piece in kept.items() if piece[0] <= longest}
    if not short:
        return Check("", "not checked", f"its quickest piece took {quickest:.0f} s")
    key = max(short, key=lambda key: short[key][0])
    one_thread()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            # as in runs/jobs: pieces look for what others left beside them
            own, path = Path(folder, "jobs", job.name, key), Path(folder) / "rows.csv"
            own.mkdir(parents=True)
            pd.DataFrame(job.pieces()[key](own)).to_csv(path, index=False)
            found = read_table(path)
        except (ImportError, OSError, RunError) as error:  # of what it needs something is not here
            return Check(key, "not checked", str(error).partition("\n")[0])
    verdict, why = same_rows(short[key][1], found, tolerance)
    return Check(key, verdict, why, time.monotonic() - started)


def kept_pieces(job: Job) -> dict[str, tuple[float, pd.DataFrame]]:
    """Seconds and rows of each piece in results/long that the job still has and that left rows."""
    path, pieces = runner.LONG / f"{job.name}.json", job.pieces()
    return {
        key: (facts["seconds"], pd.DataFrame(facts["rows"]))
        for key, facts in (runner.pieces_of_table(path) if path.exists() else ())
        if key in pieces and facts["rows"]
    }


def same_rows(kept: pd.DataFrame, anew: pd.DataFrame, tolerance: float) -> tuple[str, str]:
    """Whether they are "same", "close" or "differs", and why; columns of times are left out.

    Parameters
    ----------
    kept, anew : rows of a piece, of the table and done again, as `read_table` reads them; a column
        that all of them leave empty is another piece's
    tolerance : largest difference, of the largest number of its column, that is "close"
    """
    kept, anew = (part.dropna(axis=1, how="all").reset_index(drop=True) for part in (kept, anew))
    if len(anew) != len(kept):
        return "differs", f"{len(anew)} rows for {len(kept)}"
    columns = [column for column in kept if not TIMES.search(column)]
    if other := set(columns) ^ {column for column in anew if not TIMES.search(column)}:
        return "differs", f"columns: {', '.join(sorted(other))}"
    worst, where = 0.0, ""
    for column in columns:
        off = _differences(kept[column], anew[column])
        if off.max() > worst:
            worst, where = float(off.max()), column
    if not worst:
        return "same", f"{len(kept)} rows"
    told = f"{where} by {worst:.2g} of its largest" if np.isfinite(worst) else f"{where} is another"
    return ("close" if worst <= tolerance else "differs"), told


def _differences(kept: pd.Series, anew: pd.Series) -> np.ndarray:
    """(rows,) array: of the column's largest number; inf where words or gaps are others."""
    before, after = (pd.to_numeric(part, errors="coerce").to_numpy(float) for part in (kept, anew))
    texts = (part.astype(object).where(part.notna(), "").astype(str) for part in (kept, anew))
    words = np.not_equal(*(text.to_numpy() for text in texts))
    gaps = np.isnan(before) | np.isnan(after)
    largest = np.nanmax(np.abs([before, after]), initial=np.finfo(float).tiny)
    return np.where(gaps, np.where(words, np.inf, 0.0), np.abs(before - after) / largest)
