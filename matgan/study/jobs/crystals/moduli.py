"""The computation behind section 32.5: bulk and shear modulus of binary compounds.

The rule, written before the first run: CGCNN has a lower error than a forest and than an encoder on
the composition, for each of the two moduli, over five splits that hold whole compositions out,
p < 0.05 by the corrected resampled t-test after Holm's correction. An encoder over-fits so few
compounds when it learns for long (bulk modulus 0.080 after 400 passes, 0.088 after 800), so its
passes are searched on validation rows, as its rate and its weight decay are.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matgan.crystals.graphs.castelli import GUESS
from matgan.crystals.graphs.cgcnn import GraphModel, learn_graphs
from matgan.crystals.graphs.neighbours import CrystalGraphs, crystal_graphs
from matgan.crystals.structures import Structures, load_structures
from matgan.data.sources import read_csv
from matgan.data.splits import Split, grouped_splits
from matgan.learning.compute import device
from matgan.learning.evaluation import evaluate
from matgan.learning.fit import Fit
from matgan.learning.statistics import scores
from matgan.study.jobs.crystals.composition import ENCODER, encoder_answers, magpie_statistics
from matgan.study.jobs.crystals.graphs import (
    CHECKED,
    DECAY,
    RATE,
    REPEATS,
    found_settings,
    graph_fit,
    searched_fit,
)
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate, searched_rates

MODULI = {"bulk modulus": "bulk_modulus_vrh", "shear modulus": "shear_modulus_vrh"}  # GPa
NAME, SEARCH = "moduli", "moduli-search"
GRAPH, ON_MAGPIE = "CGCNN", "forest on Magpie"
MODULI_EPOCHS = 160  # 80 were too few: twice as many changed an error by 4%
SEARCH_EPOCHS = {GRAPH: 80, ENCODER: 200}
ENCODER_RATE = 1e-3  # where its search begins


@lru_cache(maxsize=1)
def moduli_data() -> tuple[Structures, np.ndarray]:
    """Binary compounds with moduli: structures, and (n, 2) logarithms to base 10 of GPa."""
    structures = load_structures()
    columns = {"mp_id": "str", **dict.fromkeys(MODULI.values(), "float")}
    table = read_csv("mp_binary_moduli", None, columns).set_index("mp_id")
    rows = np.flatnonzero(structures.table["id"].isin(table.index))
    found = structures.take(rows)
    return found, np.log10(table.loc[found.table["id"], list(MODULI.values())].to_numpy())


@lru_cache(maxsize=1)
def moduli_graphs() -> CrystalGraphs:
    """Their graphs, images of a neighbour at one distance merged."""
    return crystal_graphs(moduli_data()[0]).merged()


def moduli_splits(structures: Structures, repeats: int = REPEATS) -> list[Split]:
    """Random fifths to test on; structures of one composition stay together."""
    shares = structures.fractions().round(5)
    composition = np.unique(shares, axis=0, return_inverse=True)[1].ravel()
    return grouped_splits(composition, repeats, seed=0, test=0.2)


def search_piece(folder: Path) -> Rows:
    """The settings, by the mean error of both moduli on the validation rows of a split."""
    structures, y = moduli_data()
    split = moduli_splits(structures, 1)[0]

    def trial(rate: float, decay: float, own: Path) -> float:
        model = _learned(split.train, graph_fit(SEARCH_EPOCHS[GRAPH], rate, decay), own)
        found = model.predict(moduli_graphs(), split.validation)
        return float(np.abs(found - y[split.validation]).mean())

    found = searched_fit(trial, RATE, DECAY, folder)
    return [{"method": GRAPH, "seed": 0, "epochs": SEARCH_EPOCHS[GRAPH], **row} for row in found]


def encoder_search_piece(folder: Path) -> Rows:
    """The same for the composition encoder, and at these settings its passes."""
    (structures, y), epochs = moduli_data(), SEARCH_EPOCHS[ENCODER]
    split = moduli_splits(structures, 1)[0]

    def trial(rate: float, decay: float, own: Path, passes: float = epochs) -> float:
        checkpoint, held = own / "checkpoint.safetensors", split.validation
        settings = _settings(round(passes), rate, decay, 0)
        found = encoder_answers(structures, y, split.train, held, checkpoint, **settings)
        return float(np.abs(found - y[held]).mean())

    found = searched_fit(trial, ENCODER_RATE, DECAY, folder)
    decay, rate = (row for row in found if row["best"])
    at_these, first = partial(trial, rate["learning_rate"], decay["weight_decay"]), float(epochs)
    found += searched_rates(lambda n, own: at_these(own, n), first, folder, column="passes")
    return [
        {"method": ENCODER, "seed": 0, "epochs": row.get("passes", epochs), **row} for row in found
    ]


def _settings(epochs: int, rate: float, decay: float, seed: int) -> dict[str, Any]:
    settings = {"epochs": epochs, "learning_rate": rate, "weight_decay": decay}
    return settings | {"batch_size": 64, "random_state": seed}


def _learned(rows: np.ndarray, fit: Fit, folder: Path) -> GraphModel:
    y, checkpoint = moduli_data()[1], folder / "checkpoint.safetensors"
    return learn_graphs(moduli_graphs(), y, rows, fit, checkpoint, device=device())


def moduli_graph_piece(repeat: int, epochs: int, folder: Path) -> Rows:
    """CGCNN on both moduli at once."""
    structures, y = moduli_data()
    split = moduli_splits(structures, repeat + 1)[repeat]
    rows = np.concatenate([split.train, split.validation])
    model = _learned(rows, graph_fit(epochs, *found_settings(SEARCH, GRAPH), repeat), folder)
    found = model.predict(moduli_graphs(), split.test)
    return _scored(GRAPH, repeat, epochs, len(rows), y[split.test], found)


def moduli_encoder_piece(repeat: int, folder: Path) -> Rows:
    """An encoder of the composition on both moduli at once, for the passes that were searched."""
    structures, y = moduli_data()
    split = moduli_splits(structures, repeat + 1)[repeat]
    rows = np.concatenate([split.train, split.validation])
    epochs = round(best_rate(SEARCH, ENCODER, "passes"))
    settings = _settings(epochs, *found_settings(SEARCH, ENCODER), repeat)
    checkpoint = folder / "checkpoint.safetensors"
    found = encoder_answers(structures, y, rows, split.test, checkpoint, **settings)
    return _scored(ENCODER, repeat, epochs, len(rows), y[split.test], found)


def _scored(
    features: str, repeat: int, epochs: int, n: int, y: np.ndarray, found: np.ndarray
) -> Rows:
    """A row for each modulus."""
    facts = {"features": features, "split": "random", "repeat": repeat, "seed": repeat}
    facts |= {"epochs": epochs, "n_train": n, "n_test": len(y)}
    return [
        {"dataset": name, **facts, **scores(y[:, i], found[:, i])} for i, name in enumerate(MODULI)
    ]


def moduli_null_piece(folder: Path) -> Rows:
    """A forest on the composition's Magpie features, and the median."""
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import RandomForestRegressor

    structures, y = moduli_data()
    splits = moduli_splits(structures)
    X = magpie_statistics(structures)
    forest = RandomForestRegressor(200, max_features=1 / 3, random_state=0)
    models = {ON_MAGPIE: forest, GUESS: DummyRegressor(strategy="median")}
    parts = [
        evaluate(X, y[:, i], splits, model, dataset=name, features=label, split="random")
        for i, name in enumerate(MODULI)
        for label, model in models.items()
    ]
    return pd.concat(parts).assign(epochs=np.nan, seed=0).to_dict("records")


def _moduli() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {"nulls": moduli_null_piece}
    todo = [(r, MODULI_EPOCHS) for r in range(CHECKED)]
    todo += [(r, 2 * MODULI_EPOCHS) for r in range(CHECKED)]
    todo += [(r, MODULI_EPOCHS) for r in range(CHECKED, REPEATS)]
    pieces |= {f"cgcnn-{r}-{e}": partial(moduli_graph_piece, r, e) for r, e in todo}
    return pieces | {f"encoder-{r}": partial(moduli_encoder_piece, r) for r in range(REPEATS)}


def _search() -> dict[str, Piece]:
    return {"CGCNN": search_piece, "encoder": encoder_search_piece}


JOBS = [
    Job(SEARCH, "learning rates, weight decays and passes of networks on moduli", 0.5, _search),
    Job(
        NAME,
        "bulk and shear modulus of binary compounds: crystal graphs beside the composition",
        1.2,
        _moduli,
        reads=(SEARCH,),
    ),
]
