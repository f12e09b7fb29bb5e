"""How sure a prediction is: intervals of ensembles, dropout and quantiles beside conformal ones.

A review (Agrawal and Choudhary 2019) takes the standard deviation of an ensemble, or of passes with
dropout, for the uncertainty of a prediction. 2,500 compositions of OQMD, of measured band gaps and
of superconductors, drawn anew in each of ten repeats; small networks on fractions and Magpie; 80%
learn, 10% calibrate, 10% test. Written before the run: stated intervals hold where 88% to 92% of
the test rows lie inside of 90% intervals, for each of the three data; an uncertainty ranks errors
better, or an interval is better (interval score), where its Holm p over the data is below 0.05 for
each; ten repeats. Data of which a method that a claim is about did not converge on that kind of
split (twice the epochs change its mean error by 2% or more) count as not run.

After 60 epochs, as in the first runs, dropout had not converged anywhere, and a quantile network,
which has no other guard, had learned by heart: its passes are now those of the lowest pinball loss
on rows set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from matgan.chemistry.composition import amounts_matrix
from matgan.data.compounds import load_oqmd, load_supercon
from matgan.data.splits import (
    Split,
    chemical_systems,
    grouped_splits,
    random_splits,
    unseen_elements,
)
from matgan.data.tasks import load_task_fold
from matgan.learning.fit import Fit
from matgan.learning.regressor import FullyConnectedRegressor, fit_repeats
from matgan.learning.statistics import compare
from matgan.learning.uncertainty.explanations import nearest_points
from matgan.learning.uncertainty.intervals import (
    Forecast,
    Kind,
    conformal,
    gaussian,
    interval_scores,
)
from matgan.learning.uncertainty.spreads import QuantileNetwork, of_dropout, of_ensemble
from matgan.representation.features import Magpie, OneHot
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

SEED, REPEATS, CHECKED = 0, 10, 5  # checked: also trained for twice as long
EPOCHS = {"energies": 480, "gaps": 240, "Tc": 960}
DATA = {"energies": "eV/atom", "gaps": "eV", "Tc": "K"}
HELD_OUT = ("random", "new systems", "new elements")
SPREADS = ("ensemble", "dropout", "quantiles")
MEMBERS, ROWS = 4, 2500


@dataclass(frozen=True)
class Part:
    """Compositions of one kind: amounts (n, 85), y (n,), and X (n, 217), fractions and Magpie."""

    amounts: np.ndarray
    y: np.ndarray
    X: np.ndarray


@lru_cache(maxsize=len(DATA))
def all_rows(data: str) -> pd.DataFrame:
    """formula and target of all there are: lowest energies of OQMD, measured gaps, Tc above 0.

    Of the superconductors 3% are a composition that another formula names.
    """
    if data == "energies":
        return load_oqmd()
    if data == "gaps":
        return load_task_fold("expt_gap")
    table = load_supercon("all")
    return table[table["target"] > 0]


def drawn(data: str, repeat: int, rows: int = ROWS, start: int = 0) -> Part:
    """Some compositions, in an order of their own in each repeat, from the place `start` on."""
    table = all_rows(data)
    order = np.random.default_rng([SEED, repeat]).permutation(len(table))[start : start + rows]
    amounts = amounts_matrix(table["formula"].iloc[order])
    y = table["target"].to_numpy(dtype=float)[order]
    parts = (OneHot(fractions=True, dtype=np.float32), Magpie(dtype=np.float32))
    return Part(amounts, y, np.hstack([part.fit_transform(amounts) for part in parts]))


def split_of(part: Part, kind: str, repeat: int) -> Split:
    """To learn from, to calibrate on, and to test on; of `HELD_OUT`, by the seed of the repeat."""
    seed = SEED + repeat
    if kind == "new elements":
        return unseen_elements(part.amounts, 10, seed)[0]
    if kind == "new systems":
        return grouped_splits(chemical_systems(part.amounts), 1, seed, validation=1 / 9)[0]
    return random_splits(len(part.y), 1, seed, validation=1 / 9)[0]


def network(repeat: int, epochs: int, dropout: float = 0.0) -> FullyConnectedRegressor:
    """The small network of all methods, unfitted."""
    return FullyConnectedRegressor(
        (64, 32), dropout, learning_rate=3e-3, epochs=epochs, patience=epochs,
        batch_size=128, device="cpu", random_state=1000 * repeat + SEED,
    )  # fmt: skip


def quantile_network(
    part: Part, fit: np.ndarray, stop: np.ndarray, repeat: int, epochs: int
) -> QuantileNetwork:
    """One that learned from some rows, for as long as lowers its loss on others.

    Of 6, 12, 24, … passes, up to half of the epochs, those with the lowest pinball loss.
    """
    passes = [6]
    while 4 * passes[-1] <= epochs:
        passes.append(2 * passes[-1])
    lengths = [Fit(n, 128, 3e-3, weight_decay=1e-2, seed=repeat) for n in passes]
    tried = [QuantileNetwork((64, 32)).fit(part.X[fit], part.y[fit], how) for how in lengths]
    return min(tried, key=lambda one: one.loss(part.X[stop], part.y[stop]))


def forecasts(part: Part, split: Split, repeat: int, epochs: int) -> dict[str, list[Forecast]]:
    """By each method, of the calibration and of the test rows."""
    fit, stop = np.split(split.train, [len(split.train) * 9 // 10])
    held, test = (part.X[rows] for rows in (split.validation, split.test))
    rows = [fit] * MEMBERS, [stop] * MEMBERS
    members = fit_repeats(network(repeat, epochs), part.X, part.y, *rows)
    (thinned,) = fit_repeats(network(repeat, epochs, 0.2), part.X, part.y, [fit], [stop])
    quantiles = quantile_network(part, fit, stop, repeat, epochs)
    found = {
        "ensemble": [of_ensemble(members, X) for X in (held, test)],
        "dropout": [of_dropout(thinned, X, seed=repeat) for X in (held, test)],
        "quantiles": [quantiles.predict(X) for X in (held, test)],
    }
    known, hidden = part.amounts[fit], members[0].activations(part.X[fit], -2)
    shares = known / known.sum(1, keepdims=True)
    random = np.random.default_rng([SEED, repeat, 1])
    for name in ("nearest composition", "nearest in the hidden layer", "shuffled"):
        found[name] = []
        for both, rows in zip(found["ensemble"], (split.validation, split.test), strict=True):
            if name == "nearest composition":
                there = part.amounts[rows]
                tree = cKDTree(shares).query(there / there.sum(1, keepdims=True), p=1)
                spread = 0.1 + tree[0]  # a known composition is not certain
            elif name == "shuffled":
                spread = random.permutation(both.spread)
            else:
                spread = (
                    0.1 + nearest_points(members[0].activations(part.X[rows], -2), hidden)[1][:, 0]
                )
            found[name].append(gaussian(both.centre, spread))
    return found


def piece(data: str, kind: str, repeat: int, times: int, folder: Path) -> Rows:
    """Scores of all methods, as stated and by conformal prediction."""
    part = drawn(data, repeat)
    split = split_of(part, kind, repeat)
    systems = chemical_systems(part.amounts)
    y, tested = part.y[split.validation], systems[split.test]
    epochs = times * EPOCHS[data]
    facts = {"data": data, "split": kind, "repeat": repeat, "times": times, "seed": SEED}
    facts["epochs"] = epochs
    facts |= {"n_train": len(split.train), "n_held": len(y), "n_test": len(tested)}
    rows = []
    for method, (held, test) in forecasts(part, split, repeat, epochs).items():
        ways = {"stated": test} if method in SPREADS else {}
        how: Kind = "shifted" if method == "quantiles" else "normalised"
        ways["conformal"] = conformal(test, held, y, how)
        if method == "ensemble":
            ways["constant"] = conformal(test, held, y, "constant")
            ways["by system"] = conformal(test, held, y, how, systems[split.validation])
        for intervals, forecast in ways.items():
            row = facts | {"method": method, "intervals": intervals}
            row |= interval_scores(forecast, part.y[split.test])
            inside = (forecast.low[-1] <= part.y[split.test]) & (
                part.y[split.test] <= forecast.high[-1]
            )
            row["coverage_systems"] = float(pd.Series(inside).groupby(tested).mean().mean())
            rows.append(row)
    return rows


def contrast(
    rows: pd.DataFrame, score: str, a: tuple[str, str], b: tuple[str, str]
) -> pd.DataFrame:
    """How much higher a score is with one method than with another, on the same splits.

    Parameters
    ----------
    rows : of the job uncertainty
    score : its column
    a, b : method and intervals

    Returns
    -------
    DataFrame, a row for each data and split: repeats, difference (a - b), low, high (95%, corrected
    resampled t-test), p, and p_holm over the data of a split
    """
    usual = rows[rows["times"] == 1]
    usual = usual.assign(way=usual["method"] + ", " + usual["intervals"])
    return compare(
        usual,
        score,
        pairs=[(", ".join(a), ", ".join(b))],
        ways="way",
        within=("data", "split"),
        family=("split",),
        ratio=lambda part: float((part["n_test"] / part["n_train"]).median()),
        common=True,
    )


def converged_data(rows: pd.DataFrame, split: str, methods: Sequence[str]) -> set[str]:
    """The data of which twice the epochs change each method's mean error by less than 2%.

    Parameters
    ----------
    rows : of the job uncertainty; those of networks that learned for another time count as not run
    split : of `HELD_OUT`
    methods : those that are trained: what stands on the ensemble converges with it
    """
    trained = {method if method in SPREADS else SPREADS[0] for method in methods}
    if "epochs" not in rows:  # of a table from before it was chosen
        return set()
    part = rows[(rows["intervals"] == "stated") & (rows["split"] == split)]
    part = part[part["epochs"] == part["times"] * part["data"].map(EPOCHS)]
    part = part[part["method"].isin(trained)]
    wide = part.pivot_table("mae", ["data", "method", "repeat"], "times").dropna()
    if wide.shape[1] < 2 or wide.empty:
        return set()
    means = wide.groupby(["data", "method"]).mean()
    settled = ((means[2] / means[1] - 1).abs() < 0.02).groupby("data").sum()
    return set(settled.index[settled == len(trained)])


def _pieces() -> dict[str, Piece]:
    """All data and splits of a repeat before the next; twice as long for the first, last."""
    usual = [(*which, r, 1) for r in range(REPEATS) for which in product(DATA, HELD_OUT)]
    longer = [(*which, r, 2) for r in range(CHECKED) for which in product(DATA, HELD_OUT)]
    return {
        f"{data}-{kind.replace(' ', '-')}-{r}{'-longer' * (times == 2)}": partial(
            piece, data, kind, r, times
        )
        for data, kind, r, times in usual + longer
    }


JOBS = [
    Job(
        "uncertainty",
        "intervals of ensembles, dropout and quantiles beside conformal ones: three data, splits",
        1.7,
        _pieces,
    ),
]
