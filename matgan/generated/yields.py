"""What a screening brings: how much the compositions of each sampler are worth, by an ensemble.

The same measures for our generator, the controls and the real compounds, as rows with the columns
data (the target), measure, model, weights, seed and value, so that `over_seeds` and `differences`
of `matgan.generated.measures` apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from matgan.chemistry.composition import amounts_matrix
from matgan.data.compounds import load_supercon
from matgan.data.splits import chemical_systems, grouped_splits
from matgan.generated.measures import energy_distance
from matgan.generated.models import OURS, PAIRWISE, REAL, SHUFFLED, SWAPPED, UNIFORM, Draw, Models
from matgan.generated.screening import Choice, Ensemble, fit_ensemble, screen
from matgan.wgan.generator import CompositionGenerator

SCREENED = (OURS, SWAPPED, PAIRWISE, SHUFFLED, UNIFORM)  # beside the real compounds
DISTANCE = "distance of predictions"
REGRESSORS = "regressors"  # the model of the rows that tell how good the ensemble is
LEVEL = 0.9  # of the intervals
HELD = "intervals that hold the true value"
HELD_BY_SPREAD = "spreads of the members that hold it"  # the control: no calibration

_PREDICTED = 3000  # compositions whose predictions are compared with the real ones


@dataclass(frozen=True)
class Target:
    """A property that candidates are screened by.

    Attributes
    ----------
    name : of the property
    dataset : its name in the tables of notebook 4
    unit : of its values
    highest : whether high values are wanted, not low ones
    bound : a candidate is sure where its whole interval lies on the wanted side of this
    """

    name: str
    dataset: str
    unit: str
    highest: bool
    bound: float

    @property
    def sure(self) -> str:
        """Name of the share of sure candidates, such as "surely below 0 eV/atom"."""
        return f"surely {'above' if self.highest else 'below'} {self.bound:g} {self.unit}"


FORMATION = Target("formation energy", "OQMD formation energy", "eV/atom", False, 0.0)
CRITICAL = Target("critical temperature", "SuperCon, Tc > 0", "K", True, 10.0)


class Parts(NamedTuple):
    """Compounds (formula, target) to learn from, to calibrate with, and to check with."""

    learned: pd.DataFrame
    rest: pd.DataFrame
    checked: pd.DataFrame


def energy_parts(compounds: pd.DataFrame) -> Parts:
    """The training part, and every other compound of the held-out part for each of the others.

    compounds : formula, target, split ("train" or "test"), as `load_oqmd` gives them
    """
    learned, held_out = (compounds[compounds["split"] == part] for part in ("train", "test"))
    check = np.arange(len(held_out)) % 2 == 1
    return Parts(learned, held_out[~check], held_out[check])


def supercon_parts(seed: int = 0) -> Parts:
    """SuperCon (Tc > 0), parted by chemical system: few candidates belong to a measured series."""
    table = load_supercon("tc>0")
    systems = chemical_systems(table["formula"])
    split = grouped_splits(systems, 1, seed, test=0.15, validation=0.15)[0]
    return Parts(*(table.iloc[rows] for rows in (split.train, split.validation, split.test)))


def calibrated(choice: Choice, parts: Parts, n_members: int, n_rows: int = 0) -> Ensemble:
    """An ensemble that learned from one part, with 90% intervals from another.

    Parameters
    ----------
    choice, n_members, n_rows : as in `matgan.generated.screening.fit_ensemble`
    parts : its `checked` part is not looked at
    """
    learned, rest = parts.learned, parts.rest
    ensemble = fit_ensemble(choice, learned["formula"], learned["target"], n_members, n_rows)
    ensemble.calibrate(rest["formula"], rest["target"].to_numpy(), LEVEL)
    return ensemble


def quality(ensemble: Ensemble, parts: Parts, unit: str) -> dict[str, float]:
    """Errors of an ensemble on compounds it has not seen, and whether its intervals hold them.

    Parameters
    ----------
    ensemble : calibrated
    parts : its `checked` part is predicted
    unit : of the target
    """
    predicted, half = ensemble.predict(parts.checked["formula"])
    error = np.abs(predicted - parts.checked["target"].to_numpy())
    spread = half / ensemble.factor - ensemble.floor
    return {
        f"mean absolute error ({unit})": float(error.mean()),
        HELD: float((error <= half).mean()),
        HELD_BY_SPREAD: float((error <= spread).mean()),
        f"median half width ({unit})": float(np.median(half)),
        "rank correlation of half width and error": pd.Series(half).corr(
            pd.Series(error), "spearman"
        ),
        "compounds checked": float(len(error)),
    }


def of_whole_amounts(parts: Parts) -> np.ndarray:
    """Counts (n, 85) of the compounds that have whole amounts up to 255."""
    amounts = amounts_matrix(pd.concat(parts)["formula"])
    whole = (amounts == np.rint(amounts)).all(axis=1) & (amounts.max(axis=1) <= 255)
    return amounts[whole].astype(np.uint8)


def pools_of(models: Models, n: int, seed: int, turn: int = 0) -> dict[str, Draw]:
    """A pool of each screened model that there is, and the held-out compounds as that of the real.

    models : of one data set
    n, seed, turn : as in `Models.draw`
    """
    held_out = {REAL: Draw(models.data.test, 1.0, "")}
    there = [model for model in SCREENED if model != OURS or model in models.networks]
    return held_out | {model: models.draw(model, n, seed, turn) for model in there}


def joined(pools: list[dict[str, Draw]]) -> dict[str, Draw]:
    """One pool of each model out of those of several data sets; real compounds are left out."""
    return {
        model: Draw(
            np.concatenate([of[model].counts for of in pools if model in of]),
            1.0,
            "+".join(of[model].weights for of in pools if model in of).strip("+"),
        )
        for model in SCREENED
        if any(model in of for of in pools)
    }


class Screening(NamedTuple):
    """One ensemble, what it keeps of each model's pool (best first), and all that was measured."""

    ensemble: Ensemble
    kept: dict[str, pd.DataFrame]
    rows: pd.DataFrame


def screen_models(
    target: Target,
    choice: Choice,
    parts: Parts,
    pools: Mapping[str, Draw],
    known: np.ndarray,
    n_members: int,
    n_rows: int = 0,
    seed: int = 0,
) -> Screening:
    """Fit an ensemble, calibrate it, and screen the pools of all models by it.

    Parameters
    ----------
    target : whether high or low values come first
    choice, n_members, n_rows : as in `matgan.generated.screening.fit_ensemble`
    parts : of the compounds with a known target
    pools : by model; of the real compounds all count as new
    known : compositions that are not new, or their keys
    seed : for the column of that name, and of the choice of what is predicted

    Returns
    -------
    Screening. Its rows: data (name of the target), measure, model, weights, seed, value, epochs (of
    a network; 0 for a forest). Where real compounds are among the pools, "distance of predictions"
    is the Wasserstein distance of 3,000 predictions of a pool from as many of theirs.
    """
    ensemble = calibrated(choice, parts, n_members, n_rows)
    rows = [(m, REGRESSORS, "", v) for m, v in quality(ensemble, parts, target.unit).items()]
    kept, predicted = {}, {}
    for model, pool in pools.items():
        old = known[:0] if model == REAL else known
        table = screen(pool.counts, old, ensemble, highest=target.highest)
        table.index = pd.RangeIndex(1, len(table) + 1, name="rank")
        kept[model] = table
        values = _yield(target, table, len(pool.counts))
        if REAL in pools:
            chosen = np.random.default_rng(seed).permutation(len(pool.counts))[:_PREDICTED]
            predicted[model] = ensemble.predict(pool.counts[chosen])[0]
            distance = energy_distance(predicted[model], predicted[REAL])
            values[f"{DISTANCE} ({target.unit})"] = distance
        rows += [(measure, model, pool.weights, value) for measure, value in values.items()]
    table = pd.DataFrame(rows, columns=["measure", "model", "weights", "value"])
    columns = ["data", "measure", "model", "weights", "seed", "value", "epochs"]
    epochs = getattr(choice.model, "epochs", 0)
    table = table.assign(data=target.name, seed=seed, epochs=epochs)[columns]
    return Screening(ensemble, kept, table)


def _yield(target: Target, kept: pd.DataFrame, drawn: int) -> dict[str, float]:
    sure = kept["low"] > target.bound if target.highest else kept["high"] < target.bound
    return {
        "kept, distinct": float(len(kept)),
        "kept per 100 samples": 100 * kept["times drawn"].sum() / drawn,
        f"median prediction ({target.unit})": kept["predicted"].median(),
        f"median half width ({target.unit})": ((kept["high"] - kept["low"]) / 2).median(),
        target.sure: float(sure.mean()),
    }


def settled(rows: pd.DataFrame, target: Target, within: float = 0.02) -> bool:
    """Whether training for longer was tried, and changes the error by less than a share.

    Parameters
    ----------
    rows : of several `Screening`, some of them with more epochs than the others
    target : whose regressors are asked for
    within : the share, 2% by the rule of the study for twice the epochs
    """
    of = rows[(rows["data"] == target.name) & (rows["model"] == REGRESSORS)]
    of = of[of["measure"].str.startswith("mean absolute error")]
    error = of.pivot_table(index="seed", columns="epochs", values="value").dropna()
    if error.shape[1] < 2 or not len(error):
        return False
    mean = error.mean()
    return bool(abs(mean.iloc[-1] / mean.iloc[0] - 1) < within)


def shortest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that claims are about: those that `settled` compares with the longer trainings."""
    return rows[rows["epochs"] == rows.groupby("data")["epochs"].transform("min")]


def on_request(
    generator: CompositionGenerator, wishes: Mapping[str, dict], n: int, seed: int = 0
) -> pd.DataFrame:
    """What a wish costs by construction and by rejection, in noise vectors for a composition.

    Parameters
    ----------
    generator : ours; others know rejection only
    wishes : fields of `matgan.wgan.wishes.Wanted` by the name of the wish
    n : compositions that are drawn by construction; by rejection at most 10 n noise vectors
    seed : of both

    Returns
    -------
    DataFrame: wish, share (of free compositions, by rejection), estimate (of the same, by
    construction), rejection and construction (noise vectors for each composition; infinite where
    none was found). A beginning of 16,384 noise vectors is free in both.
    """
    rows = []
    for wish, wanted in wishes.items():
        _, free = generator.draw(n, seed, 10 * n, by="rejection", progress=False, **wanted)
        _, built = generator.draw(n, seed, progress=False, **wanted)
        costs = [became.drawn / became.kept if became.kept else np.inf for became in (free, built)]
        rows.append((wish, free.accepted, built.accepted, *costs))
    columns = ["wish", "share", "estimate", "rejection", "construction"]
    return pd.DataFrame(rows, columns=columns)
