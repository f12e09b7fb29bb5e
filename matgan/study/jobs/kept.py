"""The jobs' tables as notebooks read them: there or not yet, converged or not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from matgan.learning.evaluation import CHANGE, SHARE
from matgan.study.run import NotYetMade, Run, origin


def kept_or_empty(run: Run, name: str) -> tuple[pd.DataFrame, str]:
    """The table of a long computation, or an empty one where it has not run yet; a line on it.

    Parameters
    ----------
    run : of the notebook
    name : of the job

    Returns
    -------
    the table, and Markdown that says what made it or which command will
    """
    try:
        table = run.kept(name)
    except NotYetMade as reason:
        return pd.DataFrame(), f"- **Not there yet.** {reason}"
    return table, f"- {origin(table)}"


def is_settled(part: pd.DataFrame, score: str, difference: float) -> bool:
    """Whether twice the epochs change a network's score by too little to matter.

    By less than 2%, and by less than half of the difference that a claim is about, on every seed
    that was trained for both.

    Parameters
    ----------
    part : rows of one network: seed, epochs and the score
    score : its column
    difference : between two methods, in units of the score

    Returns
    -------
    False where no seed was trained for twice as long: nothing says that it is enough
    """
    wide = part.pivot_table(score, "seed", "epochs").dropna() if len(part) else part
    if wide.shape[1] < 2 or wide.empty:
        return False
    change = (wide.iloc[:, -1] - wide.iloc[:, 0]).abs()
    small = np.minimum(CHANGE * wide.iloc[:, 0].abs(), SHARE * abs(difference))
    return bool((change < small).all())


def usual(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a job's table without the trainings that were made twice as long."""
    shortest = table.groupby("method")["epochs"].transform("min")
    return table[table["epochs"] == shortest]
