"""Phase diagrams of chemical systems that a model never saw: `matgan.stability.heldout`."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.chemistry.composition import formulas
from matgan.data.splits import chemical_systems, grouped_parts, published_split
from matgan.learning.evaluation import fit_splits
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.properties import training
from matgan.properties.training import Labelled, Recipe
from matgan.representation.features import OneHot
from matgan.representation.neighbours import NearestCompositions
from matgan.representation.published import ELEMNET_FAST
from matgan.stability.heldout import diagram_scores, held_out, systems_to_hold_out
from matgan.stability.reference import oqmd_hull
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

METHODS = {
    "ours": "fully connected networks",
    "elemnet": "ElemNet",
    "look-up": "five nearest compositions",
}
HELD_OUT, SEEN_TOO = "held out", "seen"
SEED, SEEDS = 0, 5
PASSES = 40  # of ElemNet
FULLY_CONNECTED = Recipe(25, (512, 256, 128), batch_size=512)  # an encoder takes ten times as long
SHARES = (0.9, 0.1, 0.0)  # of what is not held out: training and validation, no test


def energies_without(systems_seen: bool) -> Labelled:
    """OQMD's compounds, those of the systems to hold out as "test", or in training as well.

    Elements and energies beyond 5 eV/atom to either side are left out; of the rest whole chemical
    systems are for training and for validation. Both answers have the same validation part.
    """
    known = oqmd_hull()
    compounds = (known.amounts > 0).sum(axis=1) > 1
    amounts, energies = known.amounts[compounds], known.energies[compounds]
    held = held_out(amounts, systems_to_hold_out(amounts, SEED))
    part = np.full(len(amounts), "train" if systems_seen else "test", dtype=object)
    part[~held] = grouped_parts(chemical_systems(amounts[~held]), SHARES, SEED, largest=0.01)
    return Labelled(amounts, energies, np.ones(len(amounts), dtype=bool), part)


def predictions(
    method: str, seen: bool, seed: int, folder: Path, times: int = 1, rows: Labelled | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A method's energies of the compounds in the systems, after a training with or without them.

    Parameters
    ----------
    method : key of METHODS
    seen : whether the training had the systems
    seed : of the networks
    folder : for checkpoints
    times : as many epochs as planned
    rows : what `energies_without` gives

    Returns
    -------
    amounts (m, 85) and energies in eV/atom (m,)
    """
    rows = rows or energies_without(seen)
    asked = rows.amounts[held_out(rows.amounts, systems_to_hold_out(rows.amounts, SEED))]
    if method == "ours":
        recipe = dataclasses.replace(FULLY_CONNECTED, epochs=times * FULLY_CONNECTED.epochs)
        first = seed * recipe.networks  # seeds of its networks follow each other
        model = training.trained("formation_energy", folder, recipe, first, data=rows)
        return asked, model.predict(asked).value
    split = published_split(rows.part.tolist(), SEED)
    if method == "look-up":
        (model,) = fit_splits(rows.amounts, rows.target, [split], NearestCompositions())
        return asked, model.predict(asked)
    shares = OneHot(fractions=True, dtype=np.float32)
    network = FullyConnectedRegressor(**ELEMNET_FAST, epochs=times * PASSES, random_state=seed)
    X = shares.fit_transform(rows.amounts)
    (model,) = fit_splits(X, rows.target, [split], network)
    return asked, model.predict(shares.transform(asked))


def systems_piece(method: str, seen: bool, seed: int, times: int, folder: Path) -> Rows:
    """Predicted energies of every compound of the systems: a row each."""
    amounts, energies = predictions(method, seen, seed, folder, times)
    row = {"method": METHODS[method], "systems": SEEN_TOO if seen else HELD_OUT, "seed": seed}
    return [
        row | {"times": times, "formula": formula, "predicted": round(float(energy), 4)}
        for formula, energy in zip(formulas(amounts), energies, strict=True)
    ]


def scores_by_training(table: pd.DataFrame) -> pd.DataFrame:
    """What the phase diagrams of each training are worth, from the job's table.

    Returns
    -------
    DataFrame: method, systems, seed, times and the columns of
    `matgan.stability.heldout.diagram_scores`, a row for each system and one for all
    """
    known = energies_without(False)
    held = known.part == "test"
    amounts, true = known.amounts[held], known.target[held]
    row_of = {text: row for row, text in enumerate(formulas(amounts))}
    chosen = systems_to_hold_out(known.amounts, SEED)
    parts, names = [], ["method", "systems", "seed", "times"]
    for keys, part in table.groupby(names, sort=False):
        predicted = np.full(len(true), np.nan)
        predicted[part["formula"].map(row_of).to_numpy(dtype=int)] = part["predicted"]
        scored = diagram_scores(chosen, amounts, true, predicted)
        parts.append(scored.assign(**dict(zip(names, keys, strict=True))))
    return pd.concat(parts, ignore_index=True)


def _pieces() -> dict[str, Piece]:
    plans = [("look-up", False, 0, 1)]
    for method in ("ours", "elemnet"):
        plans += [(method, False, seed, 1) for seed in range(SEEDS)]
        plans += [(method, True, seed, 1) for seed in range(SEEDS if method == "ours" else 1)]
        plans += [(method, False, 0, 2)]  # whether longer training changes anything
    return {
        f"{method}-{'seen' if seen else 'held'}-{seed}{'-longer' * (times - 1)}": partial(
            systems_piece, method, seen, seed, times
        )
        for method, seen, seed, times in plans
    }


JOBS = [
    Job(
        "held-out-systems",
        "phase diagrams of Ti-O, Na-Fe-Mn-O and twenty systems that ElemNet and ours never saw",
        8.0,
        _pieces,
    ),
]
