"""The long computations behind notebooks 5 and 13: every measure of every model, and screenings."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.chemistry.composition import keys
from matgan.data.compounds import load_oqmd, training_data
from matgan.generated.models import DATA_SETS, MODELS, OURS, Models, find_models, known_compositions
from matgan.generated.screening import Choice, best_regressor
from matgan.generated.validation import Sizes, measure
from matgan.generated.yields import (
    CRITICAL,
    FORMATION,
    Parts,
    Screening,
    Target,
    energy_parts,
    joined,
    of_whole_amounts,
    pools_of,
    screen_models,
    supercon_parts,
)
from matgan.learning.evaluation import as_planned
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import LONG

SEED, TURNS = 0, 10
SIZES = Sizes(samples=10_000, auc_samples=8000, auc_folds=5, pool=100_000)
SLOW_DRAWS = 20_480  # raw samples of the generators with deconvolutions

POOL, MEMBERS = 100_000, 4
EPOCHS = {FORMATION: 20, CRITICAL: 150}  # of a network, where the best regressor is one
LISTED = 1000  # candidates


@cache
def _models(name: str) -> Models:
    return find_models(name, training_data(name), slow_draws=SLOW_DRAWS)


@cache
def _known() -> np.ndarray:
    return known_compositions([_models(name).data for name in DATA_SETS])


def _key(*parts: object) -> str:
    """Name of a folder: letters, digits, "-" and "_"."""
    text = "--".join(map(str, parts))
    return "".join(c if c.isalnum() or c == "-" else "_" for c in text)


# --- notebook 5 -----------------------------------------------------------------------------------


def validation_piece(name: str, model: str, turn: int, folder: Path) -> Rows:
    """All measures of one sample of one model."""
    return measure(_models(name), model, _known(), SIZES, SEED, turn).to_dict("records")


def _validation() -> dict[str, Piece]:
    return {
        _key(name, model, turn): partial(validation_piece, name, model, turn)
        for turn in range(TURNS)
        for name in DATA_SETS
        for model in MODELS
    }


# --- notebook 13 ----------------------------------------------------------------------------------


def chosen(target: Target, repeat: int, times: int) -> Choice:
    """The best regressor of notebook 4's long tables, trained for some times the usual epochs."""
    network = FullyConnectedRegressor(
        epochs=times * EPOCHS[target], batch_size=512, clip=False, random_state=100 * repeat
    )
    scores, searches = _kept("table4", "baselines"), _kept("table4-search")
    scores = None if scores is None else as_planned(scores)
    return best_regressor(scores, searches, target.dataset, network)


def _kept(*names: str) -> pd.DataFrame | None:
    paths = [LONG / f"{name}.csv" for name in names]
    found = [pd.read_csv(path) for path in paths if path.is_file()]
    return pd.concat(found, ignore_index=True) if found else None


def _screening(target: Target, repeat: int, times: int) -> Screening:
    parts: Parts
    if target == FORMATION:
        parts, known = energy_parts(load_oqmd(seed=SEED)), _known()
        pools = pools_of(_models("oqmd"), POOL, SEED, repeat)
    else:
        parts = supercon_parts(SEED + repeat)
        known = np.union1d(_known(), keys(of_whole_amounts(parts)))
        pools = joined([pools_of(_models(name), POOL, SEED, repeat) for name in DATA_SETS])
    return screen_models(
        target, chosen(target, repeat, times), parts, pools, known, MEMBERS, seed=SEED + repeat
    )


def screening_piece(target: Target, repeat: int, times: int, folder: Path) -> Rows:
    """What one ensemble says of one pool of each model."""
    return _screening(target, repeat, times).rows.to_dict("records")


def _screenings() -> dict[str, Piece]:
    """Ten repeats of each target; the first also for twice the epochs, where it is a network."""
    pieces: dict[str, Piece] = {}
    for target in (FORMATION, CRITICAL):
        network = isinstance(chosen(target, 0, 1).model, FullyConnectedRegressor)
        repeats = [*((turn, 1) for turn in range(TURNS)), *[(0, 2)] * network]
        for repeat, times in repeats:
            key = _key(target.name, repeat, *["longer"] * (times - 1))
            pieces[key] = partial(screening_piece, target, repeat, times)
    return pieces


def candidates_piece(target: Target, folder: Path) -> Rows:
    """The first candidates of our generator by the ensemble of the first repeat."""
    kept = _screening(target, 0, 1).kept[OURS]
    table = kept[:LISTED].rename_axis("rank").reset_index()
    return table.assign(data=target.name).to_dict("records")


def _candidates() -> dict[str, Piece]:
    targets = (FORMATION, CRITICAL)
    return {_key(target.name): partial(candidates_piece, target) for target in targets}


JOBS = [
    Job(
        "generator-validation",
        "neutrality, two-sample AUC, pairs and recovery of every model, with ten seeds",
        1.0,
        _validation,
    ),
    Job(
        "screening",
        "candidates by formation energy and by critical temperature: ten ensembles, ten pools",
        3.0,
        _screenings,
    ),
    Job("candidates", "the first 1,000 candidates by each of the two", 0.5, _candidates),
]
