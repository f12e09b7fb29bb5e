"""Crystal graphs on all structures: energies, gaps, metals.

The rules, written before the first run: a gated CGCNN reaches 0.045 eV/atom on the formation
energies of the test part; it is ahead of the simple convolution, and of an encoder and a forest
on the composition, in each of five trainings (one forest).
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from matgan.crystals.graphs.cgcnn import GraphModel, learn_graphs
from matgan.crystals.graphs.neighbours import CrystalGraphs, crystal_graphs
from matgan.crystals.structures import Structures, load_structures
from matgan.learning.compute import device
from matgan.learning.fit import Fit
from matgan.learning.statistics import mean_interval, scores
from matgan.study.jobs.crystals.composition import ENCODER, encoder_answers, magpie_statistics
from matgan.study.jobs.crystals.graphs import DECAY, graph_fit
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate, searched_rates
from matgan.study.jobs.trainings import Trainings

NAME, SEARCH = "crystal-graphs", "crystal-graphs-search"
GRAPH_TARGETS = ("e_form", "gap", "metal")  # eV/atom, eV, and gap = 0 or not
GRAPH_SEEDS, CHECKED = range(5), range(2)  # trainings, and those that twice the passes check
PASSES, SEARCHED_PASSES = 50, 12
RATE, BATCH = 5e-3, 128  # where the search begins
ENCODER_PASSES = 60
# as `encoder-oqmd` learns, at the encoder's own size
ENCODER_SETTINGS = {"dropout": 0.0, "learning_rate": 5e-3, "batch_size": 512, "weight_decay": 0.1}
GATED, SIMPLE, FOREST = "CGCNN", "CGCNN, simple convolution", "forest on Magpie"


@lru_cache(maxsize=1)
def all_graphs() -> tuple[Structures, CrystalGraphs]:
    """All structures and their graphs, images of a neighbour at one distance merged."""
    structures = load_structures()
    return structures, crystal_graphs(structures).merged()


def target(structures: Structures, name: str) -> np.ndarray:
    """(n,) values of a property; of "metal" 1 where the gap is 0."""
    if name == "metal":
        return (structures.table["gap"] == 0).to_numpy().astype(int)
    return structures.table[name].to_numpy(float)


def errors(y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """MAE, RMSE and R², or of classes the area under the curve and the share of right answers."""
    if y.dtype.kind in "iu":
        return {"auc": float(roc_auc_score(y, found)), "right": float(((found > 0.5) == y).mean())}
    return scores(y, found)


def _learned(name: str, convolution: str, learn: np.ndarray, fit: Fit, folder: Path) -> GraphModel:
    structures, graphs = all_graphs()
    checkpoint = folder / "checkpoint.safetensors"
    given = {"device": device(), "convolution": convolution}
    return learn_graphs(graphs, target(structures, name), learn, fit, checkpoint, **given)


def search_piece(convolution: str, folder: Path) -> Rows:
    """The learning rate of a convolution, by its errors on energies of the validation part."""
    structures, graphs = all_graphs()
    rows, y = structures.rows("val"), target(structures, "e_form")

    def trial(rate: float, own: Path) -> float:
        fit = graph_fit(SEARCHED_PASSES, rate, DECAY, batch_size=BATCH)
        model = _learned("e_form", convolution, structures.rows("train"), fit, own)
        return scores(y[rows], model.predict(graphs, rows)[:, 0])["mae"]

    facts = {"method": convolution, "seed": 0, "epochs": SEARCHED_PASSES}
    return [facts | row for row in searched_rates(trial, RATE, folder)]


def graph_piece(name: str, convolution: str, seed: int, passes: int, folder: Path) -> Rows:
    """One training and its errors on the test part."""
    structures, graphs = all_graphs()
    y, learn, test = target(structures, name), structures.rows("train"), structures.rows("test")
    fit = graph_fit(passes, best_rate(SEARCH, convolution), DECAY, seed, BATCH)
    model = _learned(name, convolution, learn, fit, folder)
    is_class = name == "metal"
    found = (
        model.probabilities(graphs, test)[:, 1] if is_class else model.predict(graphs, test)[:, 0]
    )
    facts = {"property": name, "model": GATED if convolution == "gated" else SIMPLE, "seed": seed}
    facts |= {"epochs": passes, "n_train": len(learn), "n_test": len(test)}
    return [facts | errors(y[test], found)]


def encoder_piece(name: str, seed: int, passes: int, folder: Path) -> Rows:
    """An encoder of the composition alone."""
    structures = load_structures()
    y, learn, test = target(structures, name), structures.rows("train"), structures.rows("test")
    settings = ENCODER_SETTINGS | {"epochs": passes, "random_state": seed}
    checkpoint = folder / "checkpoint.safetensors"
    found = encoder_answers(structures, y, learn, test, checkpoint, **settings)
    facts = {"property": name, "model": ENCODER, "seed": seed, "epochs": passes}
    return [facts | {"n_train": len(learn), "n_test": len(test)} | errors(y[test], found)]


def forest_piece(name: str, folder: Path) -> Rows:
    """A forest on the composition alone."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    structures = load_structures()
    y, learn, test = target(structures, name), structures.rows("train"), structures.rows("test")
    X = magpie_statistics(structures)
    kind = RandomForestClassifier if name == "metal" else RandomForestRegressor
    forest = kind(100, max_features=1 / 3, random_state=0).fit(X[learn], y[learn])
    found = forest.predict_proba(X[test])[:, 1] if name == "metal" else forest.predict(X[test])
    facts = {"property": name, "model": FOREST, "seed": 0, "epochs": np.nan}
    facts |= {"n_train": len(learn), "n_test": len(test)}
    return [facts | errors(y[test], found)]


def trainings(rows: pd.DataFrame, name: str) -> Trainings:
    """What the job's table, as far as it is there, says of one of `GRAPH_TARGETS`."""
    here = rows[rows["property"] == name] if len(rows) else rows
    return Trainings(here.rename(columns={"epochs": "passes"}).fillna({"passes": 0}))


def is_settled(energy: Trainings, bound: float) -> bool:
    """Whether longer training of any of the networks could not decide the claim otherwise.

    Parameters
    ----------
    energy : of `trainings`
    bound : on the error of the gated network, eV/atom
    """
    from_bound = mean_interval((energy.each(GATED, "mae") - bound).to_numpy())
    gaps = [energy.difference(GATED, other, "mae") for other in (SIMPLE, ENCODER, FOREST)]
    apart = [gap for gap in (from_bound, *gaps) if gap is not None]
    least = min(apart, key=lambda gap: abs(gap.mean))
    return energy.converged([GATED, SIMPLE, ENCODER], "mae", least)


def _pieces() -> dict[str, Piece]:
    # energies first, and whether they are converged
    energies = [("e_form", kind) for kind in ("gated", "simple")]
    todo = [(*energy, 0, times * PASSES) for times in (1, 2) for energy in energies]
    todo += [(*energy, seed, PASSES) for seed in GRAPH_SEEDS for energy in energies]
    todo += [(*energy, 1, 2 * PASSES) for energy in energies]
    todo += [(name, "gated", seed, PASSES) for seed in GRAPH_SEEDS for name in GRAPH_TARGETS]
    todo += [(name, "gated", 0, 2 * PASSES) for name in GRAPH_TARGETS]
    pieces: dict[str, Piece] = {
        f"forest-{name}": partial(forest_piece, name) for name in GRAPH_TARGETS
    }
    for name, convolution, seed, passes in todo:
        key = f"{name}-{convolution}-{seed}-{passes}"
        pieces[key] = partial(graph_piece, name, convolution, seed, passes)
    encoders = [(n, s, ENCODER_PASSES) for n in ("e_form", "gap") for s in GRAPH_SEEDS]
    encoders += [(n, s, 2 * ENCODER_PASSES) for n in ("e_form", "gap") for s in CHECKED]
    for name, seed, passes in encoders:
        pieces[f"{name}-encoder-{seed}-{passes}"] = partial(encoder_piece, name, seed, passes)
    return pieces


def _search() -> dict[str, Piece]:
    return {kind: partial(search_piece, kind) for kind in ("gated", "simple")}


JOBS = [
    Job(SEARCH, "learning rates of crystal graph networks on 51,538 structures", 0.6, _search),
    Job(
        NAME,
        "energies, gaps and metals of 51,538 structures by crystal graphs",
        14,
        _pieces,
        reads=(SEARCH,),
    ),
]
