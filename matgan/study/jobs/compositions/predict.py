"""What the models of `predict` reach on chemical systems that they did not see, beside controls."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from matgan.data.splits import chemical_systems
from matgan.learning.uncertainty.intervals import conformal_quantile
from matgan.properties import models, training
from matgan.properties.models import COVERAGE
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

SEED, DRAWS = 0, 200


def evaluation(name: str, folder: Path) -> Rows:
    """The rows of `evaluate_model`, with boosted trees on the same inputs beside.

    The trees learn the same training part (its logarithms where the networks do), for an absolute
    error, and stop where the calibration part gets no better.
    """
    data, of = training.labelled(name), models.PROPERTIES[name]
    table = training.evaluate_model(models.pretrained(name), data)
    target = np.log1p(data.target) if of.log else data.target
    learned, held, test = (data.there & (data.part == part) for part in ("train", "val", "test"))
    trees = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=1500, learning_rate=0.1, max_leaf_nodes=63,
        max_features=0.3, early_stopping=True, n_iter_no_change=20, random_state=0,
    )  # fmt: skip
    trees.fit(
        models.inputs(data.amounts[learned]), target[learned],
        X_val=models.inputs(data.amounts[held]), y_val=target[held],
    )  # fmt: skip
    predicted = trees.predict(models.inputs(data.amounts[test]))
    predicted = np.maximum(np.expm1(predicted) if of.log else predicted, of.least)
    table["mae_boosted"] = np.nan
    table.loc[table["test rows"] == "all", "mae_boosted"] = np.abs(
        predicted - data.target[test]
    ).mean()
    return table.to_dict("records")


def divided_anew(name: str, folder: Path) -> Rows:
    """Coverage where the calibration and the test part are divided anew, by chemical systems.

    The networks saw neither. Each draw puts whole systems into two halves, takes the factors from
    one and counts in the other: one for each number of elements, as `predict` does, one for all,
    and one for all with each system of the same weight.
    """
    model, data = models.pretrained(name), training.labelled(name)
    unseen = np.flatnonzero(data.there & (data.part != "train"))
    amounts, y = data.amounts[unseen], data.target[unseen]
    median, scale, _ = model.raw(amounts)
    distance = np.abs((np.log1p(y) if model.of.log else y) - median) / scale
    systems = np.unique(chemical_systems(amounts), return_inverse=True)[1]
    kinds, rows = models.kinds(amounts), []
    for draw in range(DRAWS):
        order = np.random.default_rng([SEED, draw]).permutation(systems.max() + 1)
        half = np.cumsum(np.bincount(systems)[order]) <= len(y) / 2
        held = np.isin(systems, order[half])
        by_kind = [conformal_quantile(distance[held & (kinds == k)], COVERAGE) for k in range(3)]
        factors: dict[str, np.ndarray | float] = {
            "for each number of elements": np.choose(kinds, by_kind),
            "one for all": conformal_quantile(distance[held], COVERAGE),
            "by system": conformal_quantile(distance[held], COVERAGE, systems[held]),
        }
        for how, factor in factors.items():
            inside = pd.Series((distance <= factor)[~held])
            row = {"property": name, "draw": draw, "factors": how, "seed": SEED}
            row |= {"n_held": int(held.sum()), "n_test": len(inside)}
            row |= {"systems": len(np.unique(systems[~held])), "coverage": float(inside.mean())}
            row["coverage_systems"] = float(inside.groupby(systems[~held]).mean().mean())
            row["width"] = float(np.mean((2 * factor * scale)[~held]))
            rows.append(row)
    return rows


def _pieces() -> dict[str, Piece]:
    return {name: partial(evaluation, name) for name in models.PROPERTIES}


def _divided() -> dict[str, Piece]:
    return {name: partial(divided_anew, name) for name in reversed(models.PROPERTIES)}


JOBS = [
    Job(
        "predict",
        "the models of `predict` on chemical systems held out, beside look-up and boosted trees",
        0.3,
        _pieces,
    ),
    Job(
        "predict-intervals",
        "coverage of `predict` on unseen systems, 200 divisions",
        0.02,
        _divided,
    ),
]
