"""The jobs of notebook 22: energies and gaps from patterns, compositions and structures.

    python -m matgan jobs run pattern-material pattern-properties-search pattern-properties

The rules, written before the run, for each split and property; intervals are of 95%, over five
trainings, paired by seed. FCN and MLP together reach the CGCNN where the interval of the difference
of the mean absolute errors ends below 2% of the CGCNN's, and where those from the composition
alone and from both forests lie below 0. Converged as in `patterns`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.graphs.packed import GraphsOnDevice
from matgan.learning.compute import device
from matgan.learning.fit import Examples, Fit, Subset, outputs, regression_loss
from matgan.learning.statistics import scores
from matgan.powder import baselines
from matgan.powder.networks import FCN, Regressor
from matgan.powder.patterns import Stored
from matgan.representation.features import OneHot, PooledEmbedding
from matgan.representation.tables import load_embedding, random_embedding
from matgan.study.jobs.crystals.composition import magpie_statistics
from matgan.study.jobs.pieces import Piece, Rows, computed_once, piece_key
from matgan.study.jobs.powder.material import HOW_SPLIT, LONG, Setting, graphs, material
from matgan.study.jobs.powder.patterns import (
    TRAININGS,
    TWICE,
    batch_size,
    coarse_patterns,
    fitted,
)
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate, searched_rates

NAME, SEARCH = "pattern-properties", "pattern-properties-search"
TARGETS = {"e_form": "formation energy (eV/atom)", "gap": "band gap (eV)"}

BOTH, GRAPH, ALONE = "pattern + composition", "structure (CGCNN)", "composition, one-hot"
WAYS = {  # how a material is seen -> passes, and the rate at which its search begins
    ALONE: (80, 2e-3),
    "composition, WGAN T": (80, 2e-3),
    "composition, random T": (80, 2e-3),
    "pattern": (60, 4e-3),
    BOTH: (60, 4e-3),
    GRAPH: (80, 4e-3),
}
NEAREST, FOREST, FOREST_COMPOSITION = (
    "nearest pattern", "random forest on patterns", "random forest on composition",
)  # fmt: skip
UNTRAINED = (NEAREST, FOREST, FOREST_COMPOSITION)
_NEIGHBOURS = (1, 2, 4, 8)  # how many nearest patterns: chosen on validation rows


def inside(setting: Setting) -> np.ndarray:
    """(n,) bool: structures of the 85 elements alone, of which all methods here learn."""
    return material(setting).amounts()[1]


def values(setting: Setting) -> np.ndarray:
    """(n, 2) the properties of the structures of a setting, in the order of `TARGETS`."""
    return material(setting).crystals.table[list(TARGETS)].to_numpy(float)


def property_rows(
    way: str,
    setting: Setting,
    passes: int,
    seed: int,
    checkpoint: Path | None = None,
    progress=None,
    split: str = HOW_SPLIT[0],
    rate: float = Fit.learning_rate,
) -> Rows:
    """Errors of formation energy and gap, learned at once: a row for each.

    Atomic fractions get one common scale, since a column of a rare element has nearly no
    deviation; means of element vectors are standardised on the training part.

    Parameters
    ----------
    way : one of `WAYS`
    setting : what is learned from
    passes, seed, checkpoint, progress, rate : of the training
    split : one of `HOW_SPLIT`
    """
    used, test, y = inside(setting), material(setting).test[split], values(setting)
    learn, asked = np.flatnonzero(used & ~test), np.flatnonzero(used & test)
    mean, deviation = y[learn].mean(0), y[learn].std(0)
    targets = ((y - mean) / deviation).astype(np.float32)
    make, source = _network_and_source(way, setting, targets, learn)
    fit = Fit(passes, batch_size(source, setting), rate, seed=seed)
    network = fitted(make, source, learn, fit, regression_loss, checkpoint, progress)
    found = outputs(network, Subset(source, asked))["value"] * deviation + mean
    facts = {"model": way, "split": split, "seed": seed, "passes": passes, "learning_rate": rate}
    return error_rows(found, setting, split, facts)


def _network_and_source(
    way: str, setting: Setting, targets: np.ndarray, learn: np.ndarray
) -> tuple[Callable, Examples]:
    if way == GRAPH:
        make: Callable = partial(CrystalGraphNetwork, {"value": len(TARGETS)})
        return make, GraphsOnDevice(graphs(setting), targets, device())
    codes, (amounts, _) = material(setting).codes, material(setting).amounts()
    x = _composition(way, amounts, learn) if way != "pattern" else amounts[:, :0]
    reads_pattern = way.startswith("pattern")
    seen = codes if reads_pattern else codes[:, :1]
    make = partial(_reader, codes.shape[1] if reads_pattern else 0, x.shape[1])
    return make, Stored(seen, targets, x.astype(np.float32))


def _reader(points: int, width: int) -> Regressor:
    return Regressor(FCN(points, {}) if points else None, width, len(TARGETS))


def _composition(way: str, amounts: np.ndarray, learn: np.ndarray) -> np.ndarray:
    amounts = np.where(amounts.any(1, keepdims=True), amounts, 1.0)  # rows that are not used
    tables = {"composition, WGAN T": load_embedding("wgan-mp")}
    tables["composition, random T"] = random_embedding(tables["composition, WGAN T"], 0)
    if way in tables:
        x = PooledEmbedding(tables[way], pool="mean").fit_transform(amounts)
        return (x - x[learn].mean(0)) / x[learn].std(0).clip(1e-6)
    x = OneHot(fractions=True).fit_transform(amounts)
    return x / x[learn].std()


def error_rows(found: np.ndarray, setting: Setting, split: str, facts: dict) -> Rows:
    """Errors of both properties on the test structures of a split.

    Parameters
    ----------
    found : (m, 2) predicted values
    setting, split : what was learned from
    facts : further columns

    Returns
    -------
    two rows with the facts, property, n_train, n_test, mae, rmse, r2, and mae_new_formula, of the
    structures whose composition no training structure has
    """
    used, test = inside(setting), material(setting).test[split]
    y = values(setting)[used & test]
    of = material(setting).crystals.fractions().round(5)
    keys = np.array([row.tobytes() for row in of])
    unseen = ~np.isin(keys[used & test], keys[used & ~test])
    sizes = {"n_train": int((used & ~test).sum()), "n_test": len(y)}
    rows = []
    for i, target in enumerate(TARGETS):
        row = {**facts, "property": target, **sizes, **scores(y[:, i], found[:, i])}
        row["mae_new_formula"] = float(np.abs(found - y)[unseen, i].mean())
        rows.append(row)
    return rows


# --- methods without a network --------------------------------------------------------------------


def untrained_rows(way: str, setting: Setting, split: str, folder: Path | None = None) -> Rows:
    """Errors of a method that is no network.

    Parameters
    ----------
    way : one of `UNTRAINED`
    setting, split : what is learned from
    folder : where parts are kept, so that a method that was stopped goes on
    """
    facts = {"model": way, "split": split, "seed": 0, "passes": 0}
    if way != NEAREST:
        return error_rows(_by_forest(way, setting, split, folder), setting, split, facts)
    chosen = _NEIGHBOURS[0]
    if setting.asked == "test":
        asked = replace(setting, asked="val")
        y = values(asked)[inside(asked) & asked_rows(asked)]
        found = {k: _by_nearest(asked, HOW_SPLIT[0], k) for k in _NEIGHBOURS}
        deviation = values(asked).std(0)
        chosen = min(found, key=lambda k: (np.abs(found[k] - y) / deviation).mean())
    return error_rows(_by_nearest(setting, split, chosen), setting, split, facts)


def asked_rows(setting: Setting) -> np.ndarray:
    """(n,) bool: the test structures of the published split, or the validation structures."""
    return material(setting).test[HOW_SPLIT[0]]


def _by_nearest(setting: Setting, split: str, neighbours: int) -> np.ndarray:
    used, test = inside(setting), material(setting).test[split]
    x, y = coarse_patterns(setting), values(setting)
    learn, asked = np.flatnonzero(used & ~test), np.flatnonzero(used & test)
    parts = np.array_split(asked, -(-len(asked) // 500))
    near = [baselines.most_similar(x[learn], x[part], neighbours) for part in parts]
    return y[learn][np.concatenate(near)].mean(1)


def _by_forest(way: str, setting: Setting, split: str, folder: Path | None) -> np.ndarray:
    used, test, y = inside(setting), material(setting).test[split], values(setting)
    of_composition = way == FOREST_COMPOSITION
    x = (
        magpie_statistics(material(setting).crystals)
        if of_composition
        else coarse_patterns(setting)
    )
    columns = []
    for i, target in enumerate(TARGETS):

        def grow(i: int = i) -> np.ndarray:
            forest = RandomForestRegressor(setting.trees // 2, max_features=1 / 3, random_state=0)
            return forest.fit(x[used & ~test], y[used & ~test, i]).predict(x[used & test])

        columns.append(computed_once(folder / f"{target}.npz", grow)[0] if folder else grow())
    return np.stack(columns, axis=1)


# --- the jobs -------------------------------------------------------------------------------------


def property_piece(
    way: str, split: str, passes: int, seed: int, folder: Path, setting: Setting = LONG
) -> Rows:
    """One training, at the rate that the search found, and its errors."""
    rate = best_rate(SEARCH, way)
    checkpoint = folder / "checkpoint.safetensors"
    return property_rows(way, setting, passes, seed, checkpoint, split=split, rate=rate)


def untrained_piece(way: str, split: str, folder: Path) -> Rows:
    """A method that is no network."""
    return untrained_rows(way, LONG, split, folder)


def search_piece(way: str, folder: Path, setting: Setting = LONG, passes: int = 0) -> Rows:
    """The learning rate of a way, by its errors on validation structures, in deviations.

    Parameters
    ----------
    way : one of `WAYS`
    folder : of the checkpoints
    setting : its training structures are learned from
    passes : of each training; 0: as in `WAYS`
    """
    passes, first = passes or WAYS[way][0], WAYS[way][1]
    asked = replace(setting, asked="val")

    def trial(rate: float, own: Path) -> float:
        rows = property_rows(way, asked, passes, 0, own / "checkpoint.safetensors", rate=rate)
        deviation = values(asked)[inside(asked)].std(0)
        return float(np.mean([row["mae"] for row in rows] / deviation))

    found = searched_rates(trial, first, folder)
    return [{"method": way, "seed": 0, "passes": passes, **row} for row in found]


def _properties() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {}
    for split in HOW_SPLIT:
        pieces |= {piece_key(split, way): partial(untrained_piece, way, split) for way in UNTRAINED}
    of_composition = [way for way in WAYS if way.startswith("composition")]
    others = [way for way in WAYS if way not in of_composition]
    for ways in (of_composition, others):  # a processor is as good for the first
        for seeds, factor in ((TRAININGS[:2], 1), (TWICE, 2), (TRAININGS[2:], 1)):
            for seed, split, way in product(seeds, HOW_SPLIT, ways):
                passes = factor * WAYS[way][0]
                key = piece_key(split, way, seed, passes)
                pieces[key] = partial(property_piece, way, split, passes, seed)
    return pieces


def _search() -> dict[str, Piece]:
    return {piece_key(way): partial(search_piece, way) for way in WAYS}


JOBS = [
    Job(SEARCH, "learning rates of the networks that read energies and gaps", 12, _search),
    Job(NAME, "energies, gaps: pattern, composition, structure", 50, _properties, reads=(SEARCH,)),
]
