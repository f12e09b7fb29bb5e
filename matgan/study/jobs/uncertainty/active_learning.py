"""What active learning saves: labels that are asked for by uncertainty, improvement or diversity.

A review (Agrawal and Choudhary 2019) expects a model's uncertainty to say which label improves it
most, and to reduce the experiments that an optimal material takes. Pools of 2,000 compositions, 50
labels at random, then 20 rounds of 25; a forest of 25 extremely random trees learns and chooses,
its trees' deviation is the uncertainty. The highest gap, the highest Tc and the lowest energy are
wanted. Written before the run: a strategy saves labels where the 95% interval of the share saved
lies above 0 for each of the three data, and finds the best 1% faster where its share found after 20
rounds is higher with Holm's p below 0.05 for each; ten seeds, each with another pool.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor

from matgan.learning.statistics import holm, mean_interval
from matgan.learning.uncertainty.acquisition import STRATEGIES, labels_saved, learn_actively
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.uncertainty.uncertainty import DATA, drawn

SEED, REPEATS = 0, 10
POOL, TESTED = 2000, 1000
SIGN = {"energies": -1.0, "gaps": 1.0, "Tc": 1.0}  # what is wanted is high
FOREST = ExtraTreesRegressor(25, max_features=0.3, min_samples_leaf=2, random_state=0)


def piece(data: str, repeat: int, folder: Path) -> Rows:
    """Errors on other compositions, and the share of the best found, round by round."""
    part = drawn(data, repeat, POOL + TESTED)
    deviation = part.X[:POOL].std(0)
    X = (part.X - part.X[:POOL].mean(0)) / np.where(deviation > 0, deviation, 1)
    y = SIGN[data] * part.y

    def score(forest: ExtraTreesRegressor) -> dict[str, float]:
        return {"mae": float(np.abs(forest.predict(X[POOL:]) - y[POOL:]).mean())}

    return [
        {"data": data, "repeat": repeat, "strategy": strategy, "seed": SEED, **row}
        for strategy in STRATEGIES
        for row in learn_actively(
            strategy, X[:POOL], y[:POOL], score, FOREST, 50, 20, 25, SEED + repeat
        )
    ]


def savings(rows: pd.DataFrame) -> pd.DataFrame:
    """What each strategy saves beside labels at random.

    Parameters
    ----------
    rows : of the job active-learning

    Returns
    -------
    DataFrame, a row for each data and strategy but random: repeats; saved (share of the labels,
    mean over the repeats; below 0: more are needed), low, high (95%, Student's t), p; found (share
    of the best 1% labelled in the end), more (above random's), more_low, more_high, more_p; p_holm
    and more_p_holm over the data of a strategy
    """
    out = []
    for data, part in rows.groupby("data", sort=False):
        curves = {
            name: own.pivot_table("mae", "labels", "repeat")
            for name, own in part.groupby("strategy", sort=False)
        }
        last = part[part["round"] == part["round"].max()].pivot_table("found", "repeat", "strategy")
        for name in (name for name in STRATEGIES[1:] if name in curves):
            own, random = curves[name], curves["random"]
            share = [labels_saved(own.index, own[r], random[r]) for r in own if r in random]
            saved = mean_interval(share)
            more = mean_interval((last[name] - last["random"]).dropna().to_numpy())
            row = {"data": data, "strategy": name, "repeats": len(share), "saved": saved.mean}
            row |= {"low": saved.low, "high": saved.high, "p": saved.p, "found": last[name].mean()}
            row |= {"found at random": last["random"].mean()} | more.columns("more")
            out.append(row | {"more_p": more.p})
    table = pd.DataFrame(out)
    for p in ("p", "more_p") if len(table) else ():
        by = table.groupby("strategy")[p]
        table[f"{p}_holm"] = by.transform(lambda found: holm(list(found.fillna(1))))
    return table


def _pieces() -> dict[str, Piece]:
    return {f"{data}-{r}": partial(piece, data, r) for r in range(REPEATS) for data in DATA}


JOBS = [
    Job(
        "active-learning",
        "500 labels asked for by uncertainty, improvement, diversity or at random: three data",
        0.1,
        _pieces,
    )
]
