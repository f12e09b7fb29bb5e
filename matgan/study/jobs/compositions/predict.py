"""What the models of `predict` reach on chemical systems that they did not see, beside controls."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from matgan.properties import models, training
from matgan.study.jobs.runner import Job, Piece, Rows


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


def _pieces() -> dict[str, Piece]:
    return {name: partial(evaluation, name) for name in models.PROPERTIES}


JOBS = [
    Job(
        "predict",
        "the models of `predict` on chemical systems held out, beside look-up and boosted trees",
        0.3,
        _pieces,
    ),
]
