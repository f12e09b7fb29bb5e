"""What a kept table of trainings says of a method and of a difference between two of them.

A table has a row for each training, with columns for the method, seed and passes. The trainings
that count are those of one number of passes, that with the most seeds; longer ones of the same
method say whether they have converged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from matgan.learning.evaluation import CHANGE, SHARE, stays_none
from matgan.learning.statistics import Interval, mean_interval
from matgan.study.claims import Number


@dataclass(frozen=True)
class Trainings:
    """The rows of one question, such as one split and one label.

    Attributes
    ----------
    rows : columns seed, passes, that of the method and scores
    by : the column of the method
    """

    rows: pd.DataFrame
    by: str = "model"

    def counted(self) -> pd.DataFrame:
        """The rows that count: of each method the passes with the most seeds, of equals the most.

        Several rows of a method and seed, such as one for each label, count together.
        """
        if self.rows.empty:
            return self.rows
        return pd.concat(
            part[part["passes"] == _passes(part)]
            for _, part in self.rows.groupby(self.by, sort=False)
        )

    def each(self, method: str, score: str) -> pd.Series:
        """A score of each training of a method that counts, by seed; empty where there is none."""
        rows = self.counted()
        if rows.empty or score not in rows:
            return pd.Series(dtype=float)
        return rows[rows[self.by] == method].set_index("seed")[score].dropna()

    def number(self, method: str, score: str, form: str = ".3f", label: str = "") -> Number | str:
        """The mean over the trainings with its interval; in words where there is none.

        A single training has the interval of its test part, if the table has one (low, high).

        Parameters
        ----------
        method, score : whose mean of what
        form : of the number
        label : before the number; empty: the method
        """
        found, label = self.each(method, score), label or method
        if found.empty:
            return f"{label}: not run"
        if len(found) == 1 and "low" in self.rows:
            ends = [float(self.each(method, end).iloc[0]) for end in ("low", "high")]
            return Number(label, float(found.iloc[0]), ends[0], ends[1], form)
        return Number.of(label, mean_interval(found.to_numpy()), form)

    def difference(self, method: str, other: str, score: str) -> Interval | None:
        """Mean of method minus other with its interval, paired by seed; None: one is not there.

        A method that is not trained has one row, which is the same for all seeds. The interval of a
        single pair is NaN.
        """
        one, two = self.each(method, score), self.each(other, score)
        if one.empty or two.empty:
            return None
        found = one - two.iloc[0] if len(two) == 1 else (one - two).dropna()
        return mean_interval(found.to_numpy()) if len(found) else None

    def repeats(self, *methods: str) -> int:
        """Seeds that all of these methods have."""
        seeds = [set(self.each(m, "passes").index) for m in methods]
        return len(set.intersection(*seeds)) if seeds else 0

    def converged(self, methods: list[str], score: str, difference: Interval | None) -> bool:
        """Whether longer training could not decide otherwise about a difference.

        Twice the passes were tried for each method. On every seed that has both they changed the
        score by less than 2% and by less than half of the difference; or, of two methods, the
        interval of the difference holds 0 and still does when it is moved by what they changed.
        """
        if difference is None:
            return False
        changes = []
        for method in methods:
            part = self.rows[self.rows[self.by] == method]
            if part.empty or score not in part:
                return False
            part = part[part["passes"] >= _passes(part)]
            wide = part.pivot_table(score, "seed", "passes").dropna()
            if wide.empty or wide.shape[1] < 2:
                return False
            changes.append(wide.iloc[:, -1] - wide.iloc[:, 0])
            if (changes[-1].abs() >= CHANGE * wide.iloc[:, 0].abs()).any():
                return False
        if all((change.abs() < SHARE * abs(difference.mean)).all() for change in changes):
            return True
        ends = difference.low, difference.high
        return len(changes) == 2 and stays_none(ends, changes[0].mean() - changes[1].mean())


def ahead(difference: Interval | None, sign: int = 1) -> bool | None:
    """Whether the whole interval of a difference lies above 0, or with -1 below; None: not run."""
    if difference is None:
        return None
    end = difference.low if sign > 0 else -difference.high
    return bool(np.isfinite(end) and end > 0)


def _passes(part: pd.DataFrame) -> int:
    seeds = part.groupby("passes")["seed"].nunique()
    return int(seeds[seeds == seeds.max()].index.max())
