"""A learning rate or weight decay, searched on validation rows until the best is not at an edge."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from matgan.files import atomic_file
from matgan.learning.compute import Diverged
from matgan.study.jobs.pieces import Rows
from matgan.study.run import LONG, RunError, read_table

FACTOR = 2.0  # between neighbouring rates
MOST_TRIALS = 8  # trainings of one search

Trial = Callable[[float, Path], float]  # of a learning rate and a folder: the error


def searched_rates(
    trial: Trial,
    first: float,
    folder: Path,
    most: int = MOST_TRIALS,
    column: str = "learning_rate",
    factor: float = FACTOR,
) -> Rows:
    """Errors at a rate and its neighbours, and further until the least lies between two others.

    Parameters
    ----------
    trial : trains at a learning rate, with its checkpoint in a folder, and gives the error on
        validation rows; a training that diverges is as bad as can be
    first : the rate to begin with
    folder : what was found is kept there, so that a search that was stopped goes on
    most : trainings at most
    column : what is searched, "learning_rate" or "weight_decay"
    factor : between neighbours

    Returns
    -------
    a row for each rate, rising: the column, error, best, and inside: whether the best rate of the
    search has neighbours on both sides
    """
    known: dict[int, float] = {}

    def ask(place: int) -> None:
        rate = first * factor**place
        own = folder / f"{column.split('_')[-1]}-{rate:g}"
        known[place] = _kept(own / "error.json", lambda: trial(rate, own))

    for place in (0, 1, -1):
        ask(place)
    while True:
        best = min(known, key=lambda place: (known[place], place))
        missing = sorted({best - 1, best + 1} - known.keys())
        if not missing or len(known) >= most:
            break
        ask(missing[0])
    return [
        {column: first * factor**place, "error": known[place]}
        | {"best": place == best, "inside": not missing}
        for place in sorted(known)
    ]


def best_rate(job: str, method: str, column: str = "learning_rate") -> float:
    """The learning rate, or weight decay, that a search job found for a method.

    Parameters
    ----------
    job : its table has the columns method, best, inside and the one of what was searched
    method : of the table
    column : "learning_rate" or "weight_decay"

    Raises
    ------
    RunError
        The search has not run for this method, or ended at the edge of what it tried.
    """
    path = LONG / f"{job}.csv"
    table = read_table(path) if path.is_file() else None
    rows = None
    if table is not None and column in table:
        rows = table[(table["method"] == method) & table["best"] & table[column].notna()]
    what = column.replace("_", " ")
    if rows is None or rows.empty:
        raise RunError(f"no {what} of {method!r} yet: `python -m matgan jobs run {job}`")
    if not rows["inside"].all():
        raise RunError(f"the best {what} of {method!r} lies at the edge of what {job} tried")
    return float(rows[column].iloc[0])


def _kept(path: Path, find: Callable[[], float]) -> float:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            error = find()
        except Diverged:
            error = math.inf
        with atomic_file(path) as file:
            file.write(json.dumps(error).encode())
    return float(json.loads(path.read_text()))
