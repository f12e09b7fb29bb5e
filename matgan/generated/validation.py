"""Everything that is measured of a generator, a control or the real compounds, in one table.

`measure` takes one sample of one model; `over_seeds` and `differences` of
`matgan.generated.measures` turn the rows of many samples into intervals and tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from matgan.chemistry.validity import charge_neutral
from matgan.generated import measures
from matgan.generated.models import MODELS, REAL, TRAINED, Models
from matgan.generated.pairs import map_likeness, pair_enrichment
from matgan.wgan.samples import RULES, decode

_COLUMNS = ["data", "measure", "model", "weights", "seed", "value"]
PAIR_MAP = "correlation with the real pair map"

_ENOUGH = 100  # compositions; the rates of a handful would say nothing
_NOT_OF_REAL = ("novel", "recovered")  # what comes from the training part is never new


@dataclass(frozen=True)
class Sizes:
    """How large the samples are.

    Attributes
    ----------
    samples : compositions of which everything but the following is measured
    auc_samples, auc_folds : n and folds of `measures.two_sample_auc`
    pool : compositions in which held-out compounds are looked for and pairs of elements counted
    """

    samples: int = 10_000
    auc_samples: int = 8000
    auc_folds: int = 5
    pool: int = 100_000

    @property
    def recovery(self) -> list[int]:
        """Powers of ten at which the recovery is taken, up to the size of the pool."""
        return [10**k for k in range(3, 8) if 10**k <= self.pool]


def measure(
    models: Models, model: str, known: np.ndarray, sizes: Sizes, seed: int = 0, turn: int = 0
) -> pd.DataFrame:
    """All measures of one sample and one pool of a model, a row each.

    Parameters
    ----------
    models : of one data set
    model : one of `matgan.generated.models.MODELS`
    known : keys of all known compounds, see `known_compositions`
    sizes : of the samples
    seed, turn : as in `Models.draw`

    Returns
    -------
    DataFrame: data, measure, model, weights (file of the network), seed (of this turn), value.
    Of fewer than 100 compositions no rates are taken; of a model without a network there is one
    row, "not run".
    """
    rows = {"data": models.name, "model": model, "weights": "", "seed": seed + turn}
    if model in TRAINED and model not in models.networks:
        return pd.DataFrame([rows | {"measure": "not run", "value": np.nan}])[_COLUMNS]
    train, held_out = models.data.train, models.data.test
    drawn = models.draw(model, sizes.samples, seed, turn)
    values = {"compositions": float(len(drawn.counts)), "decodable": drawn.decodable}
    if len(drawn.counts) >= _ENOUGH:
        rated = measures.evaluate_compositions(
            drawn.counts,
            train,
            held_out,
            known=known,
            seed=seed + turn,
            sizes=[size for size in sizes.recovery if size <= sizes.samples],
            auc_samples=sizes.auc_samples,
            auc_folds=sizes.auc_folds,
        )
        values = {**rated, **values}
    if len(drawn.counts):  # of nothing, a larger pool holds no more
        values |= _of_the_pool(models, model, sizes, seed, turn)
    if model == REAL:
        values = {k: v for k, v in values.items() if not k.startswith(_NOT_OF_REAL)}
    table = pd.DataFrame({"measure": list(values), "value": list(values.values())})
    return table.assign(**rows | {"weights": drawn.weights})[_COLUMNS]


def _of_the_pool(models: Models, model: str, sizes: Sizes, seed: int, turn: int) -> dict:
    pool = models.draw(model, sizes.pool, seed, turn).counts
    values = {}
    if reached := [size for size in sizes.recovery if sizes.samples < size <= len(pool)]:
        shares = measures.recovery(pool, models.data.test, reached)
        values = {f"recovered in {n:,}": r for n, r in zip(reached, shares, strict=True)}
    real = pair_enrichment(models.data.test)
    return values | {PAIR_MAP: map_likeness(pair_enrichment(pool), real)}


def measure_all(
    models: Models, known: np.ndarray, sizes: Sizes, n_seeds: int, seed: int = 0
) -> pd.DataFrame:
    """`measure` of every model of a data set, n_seeds times; every network has its turn."""
    parts = [
        measure(models, model, known, sizes, seed, turn)
        for model in MODELS
        for turn in range(models.turns(model, n_seeds))
    ]
    return pd.concat(parts, ignore_index=True)


def decoded(matrices: np.ndarray) -> pd.DataFrame:
    """What each rule of `matgan.wgan.samples` makes of a generator's outputs, a row a rule.

    Parameters
    ----------
    matrices : (n, 85, 8), entries from 0 to 1

    Returns
    -------
    DataFrame: rule; shares of the samples that are undecodable, empty, of a single element, or
    decodable (two elements or more); of the latter the mean numbers of elements and of atoms, the
    share that is charge-neutral and the share that is distinct (NaN where there are none)
    """
    return pd.DataFrame([{"rule": rule} | _outcome(*decode(matrices, rule)) for rule in RULES])


def _outcome(counts: np.ndarray, undecodable: np.ndarray) -> dict[str, float]:
    n_elements = (counts > 0).sum(axis=1)
    good = counts[n_elements > 1].astype(int)
    nothing = float("nan")
    return {
        "undecodable": undecodable.mean(),
        "empty": (n_elements == 0).mean() - undecodable.mean(),
        "single element": (n_elements == 1).mean(),
        "decodable": len(good) / len(counts),
        "elements, mean": (good > 0).sum(axis=1).mean() if len(good) else nothing,
        "atoms, mean": good.sum(axis=1).mean() if len(good) else nothing,
        "neutral": charge_neutral(good).mean() if len(good) else nothing,
        "unique": measures.uniqueness(good) if len(good) else nothing,
    }


def recovery_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Held-out compounds found against the number of samples: the rows of a summary, as a table.

    Parameters
    ----------
    summary : as `matgan.generated.measures.over_seeds` gives it

    Returns
    -------
    DataFrame: data, model, samples (int), recovered (share), low, high; in the order of the summary
    """
    named = summary[summary["measure"].str.fullmatch(r"recovered in [\d,]+")]
    samples = named["measure"].str.removeprefix("recovered in ").str.replace(",", "").astype(int)
    table = named.assign(samples=samples).rename(columns={"mean": "recovered"})
    return table[["data", "model", "samples", "recovered", "low", "high"]].reset_index(drop=True)


def wide(summary: pd.DataFrame, data: str) -> pd.DataFrame:
    """Means and intervals of one data set as text, a row for each measure, a column for a model.

    Parameters
    ----------
    summary : as `matgan.generated.measures.over_seeds` gives it
    data : the data set
    """
    part = summary[summary["data"] == data]
    half, many = part["high"] - part["mean"], part["mean"] >= 100  # the latter are compositions
    text = part["mean"].map("{:.4f}".format) + half.map(" ± {:.4f}".format).where(half > 0, "")
    part = part.assign(text=text.where(~many, part["mean"].map("{:,.0f}".format)))
    table = part.pivot(index="measure", columns="model", values="text")  # noqa: PD010
    order = [model for model in MODELS if model in table.columns]
    return table.reindex(part["measure"].unique())[order]
