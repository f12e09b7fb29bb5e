"""How wrong a predicted energy is where little is known around it: what `thin` rests on.

The rule (`matgan.stability.quality.KnownSystems.thin`): a neighbourhood is thin where the mean
error on chemical systems held out is more than twice that of all of them. Its thresholds were read
from these very errors: the numbers describe the networks that ship, and test no claim.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from matgan.properties import models, training
from matgan.properties.models import PropertyModel
from matgan.properties.training import Labelled
from matgan.stability.quality import KnownSystems
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

ALL, SYSTEM, ELEMENT = "all", "known compounds in the system", "known compounds of an element"
TENTHS = 10  # of the compounds, by how many known ones there are


def neighbourhood_rows(data: Labelled, model: PropertyModel) -> Rows:
    """Errors on the test part by how many of the other compounds lie around: a row for each group.

    Parameters
    ----------
    data : of formation energies; whole chemical systems are the test part
    model : learned from the training part

    Returns
    -------
    rows: by (`ALL`, `SYSTEM` or, for the element that the fewest hold, `ELEMENT`), least and most
    (known compounds), compounds, mae (eV/atom) and covered, the share within the 90% interval.
    By system the first group has no known compound; the others are tenths, less where many are
    equal.
    """
    test = data.part == "test"
    asked, true = data.amounts[test], data.target[test]
    found = model.predict(asked)
    error = np.abs(found.value - true)
    covered = (found.low <= true) & (true <= found.high)
    known = KnownSystems(data.amounts[~test])
    none = np.zeros(len(asked), dtype=int)
    within, rarest = known.within(asked), known.rarest(asked)
    by_system = none.copy()
    by_system[within > 0] = 1 + _tenths(within[within > 0])
    groups = [(ALL, none, none), (SYSTEM, within, by_system), (ELEMENT, rarest, _tenths(rarest))]
    rows: Rows = []
    for by, count, part in groups:
        for number in np.unique(part):
            own = part == number
            row = {"by": by, "least": int(count[own].min()), "most": int(count[own].max())}
            row |= {"compounds": int(own.sum()), "mae": float(error[own].mean())}
            rows.append(row | {"covered": float(covered[own].mean()), "seed": 0})
    return rows


def _tenths(count: np.ndarray) -> np.ndarray:
    """Which tenth each number belongs to; equal numbers belong to one."""
    ends = np.quantile(count, np.arange(1, TENTHS) / TENTHS, method="higher")
    return np.searchsorted(ends, count, side="right")


def neighbourhood_piece(folder: Path) -> Rows:
    """Of the networks of `predict` on OQMD's systems held out."""
    data = training.labelled("formation_energy")
    return neighbourhood_rows(data, models.pretrained("formation_energy"))


def _pieces() -> dict[str, Piece]:
    return {"formation_energy": neighbourhood_piece}


JOBS = [
    Job(
        "neighbourhoods",
        "errors of `predict` by how many compounds are known around a composition",
        0.02,
        _pieces,
    )
]
