"""Perovskites ABX3 of five atoms with their energy above the hull, as graphs and as sites.

Castelli et al., Energy Environ. Sci. 5, 9034 (2012): 52 metals on A and on B, seven choices of
three anions, 18,928 compounds. 7,572 of them are at hand. The energies are in eV/atom, whatever
their labels in other collections say: Materials Project perovskites of the same structure lie as
high above that project's hull (a test and notebook 32 compare).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV

from matgan import files
from matgan.chemistry.elements import ATOMIC_NUMBER
from matgan.crystals.graphs.cgcnn import GraphModel
from matgan.crystals.graphs.elements import element_features
from matgan.crystals.graphs.neighbours import CrystalGraphs, crystal_graphs
from matgan.crystals.structures import Structures
from matgan.data.sources import SourceCorrupt, fetch
from matgan.learning.regressor import FullyConnectedRegressor

ATOMS = 5  # of a cell: A, B and three anions, in this order
CASTELLI_SITES = ("A", "B", "X")
FULL, LINEAR_POOLING = "CGCNN, full", "CGCNN, linear pooling"
SIMPLE, ONE_SIZE = "CGCNN, simple convolution", "CGCNN, all cells of one size"
IDEAL, SITES_ONLY = "CGCNN, ideal positions", "CGCNN, ideal positions in one size"
RIDGE, FOREST = "additive over sites (ridge)", "forest on sites"
NETWORK, SITES_AND_CELL = "network on sites", "network on sites and cell"
DESCRIBED, GUESS = "network on described sites", "median"
GRAPH_OPTIONS = {
    FULL: {"pooling": "full"},
    LINEAR_POOLING: {"pooling": "linear"},
    SIMPLE: {"convolution": "simple"},
    ONE_SIZE: {"pooling": "full"},
    IDEAL: {"pooling": "full"},
    SITES_ONLY: {"pooling": "full"},
}
# the cubic perovskite: A in the middle of the cell, an anion half-way along each edge from B
_IDEAL = np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0, 0]])
_SYMBOL = {z: symbol for symbol, z in ATOMIC_NUMBER.items()}


@lru_cache(maxsize=1)
def load_castelli() -> Structures:
    """The 7,572 perovskites, atoms in the order A, B, X, X, X.

    Returns
    -------
    Structures whose table has id; A, B (symbols) and X (such as "N2O"); heat (energy above the hull
    of all known competing phases, eV/atom; below 0: stable); split ("val" or "test" of the source)

    Raises
    ------
    SourceUnavailable, SourceCorrupt
        As `matgan.data.sources.fetch`.
    """
    path = fetch("castelli_perovskites")
    names = ("id", "cell", "Z", "frac", "heat_all", "part")
    try:
        arrays = files.load_arrays(path, names)
        numbers = arrays["Z"].astype(np.uint8)
        if numbers.shape[1:] != (ATOMS,):
            raise ValueError(f"cells of {ATOMS} atoms are needed, not {numbers.shape[1:]}")
        table = pd.DataFrame(
            {
                "id": arrays["id"].astype(str),
                "A": [_SYMBOL[z] for z in numbers[:, 0]],
                "B": [_SYMBOL[z] for z in numbers[:, 1]],
                "X": [_anions(row) for row in numbers[:, 2:]],
                "heat": arrays["heat_all"].astype(float),
                "split": np.array(["val", "test"])[arrays["part"]],
            }
        )
        first = ATOMS * np.arange(len(numbers) + 1)
        cell, frac = arrays["cell"].astype(float), arrays["frac"].astype(float)
        return Structures(cell, first, numbers.ravel(), frac.reshape(-1, 3), table)
    except (ValueError, IndexError, KeyError) as error:
        raise SourceCorrupt(f"{path} holds no perovskites: {error}") from error


@lru_cache(maxsize=1)
def castelli_graphs() -> CrystalGraphs:
    """Graphs of `load_castelli`, row by row, images of a neighbour at one distance merged."""
    return crystal_graphs(load_castelli()).merged()


@lru_cache(maxsize=1)
def ideal_graphs() -> CrystalGraphs:
    """Graphs of the same cells with every atom on its place in the cubic perovskite.

    What is left is which atom is where, and the length of the cell: the relaxed positions are gone.
    """
    structures = load_castelli()
    ideal = np.tile(_IDEAL, (len(structures), 1))
    return crystal_graphs(replace(structures, frac=ideal)).merged()


def graphs_of_one_size(structures: Structures, graphs: CrystalGraphs) -> CrystalGraphs:
    """The graphs of cells that are all made equally large: relative distances stay.

    A relaxed cell has the length that its atoms and their energy gave it. Here all have the median
    volume of an atom. Of ideal graphs, what is left is which atom is where.
    """
    volumes = np.prod(structures.cell[:, :3], axis=1) / np.diff(structures.first)
    return graphs.scaled((np.median(volumes) / volumes) ** (1 / 3))


def graphs_of(model: str) -> CrystalGraphs:
    """The graphs of `load_castelli` that a model sees, a key of `GRAPH_OPTIONS`."""
    graphs = ideal_graphs() if model in (IDEAL, SITES_ONLY) else castelli_graphs()
    if model in (ONE_SIZE, SITES_ONLY):
        graphs = graphs_of_one_size(load_castelli(), graphs)
    return graphs


def site_one_hot(structures: Structures) -> tuple[np.ndarray, list[str]]:
    """(n, 111) array of zeros and ones, which element or anions are on which site; the names."""
    table = structures.table
    names = [f"{s} {value}" for s in CASTELLI_SITES for value in sorted(table[s].unique())]
    own = [(s + " " + table[s]).to_numpy()[:, None] == np.array(names) for s in CASTELLI_SITES]
    return np.sum(own, axis=0).astype(float), names


def site_descriptions(structures: Structures) -> np.ndarray:
    """(n, 276) array: CGCNN's features of A, of B, and the mean of those of the anions."""
    known = element_features()[structures.numbers.reshape(-1, ATOMS)]  # (n, 5, 92)
    return np.concatenate([known[:, 0], known[:, 1], known[:, 2:].mean(1)], axis=1)


def null_inputs(structures: Structures) -> dict[str, np.ndarray]:
    """What each null model reads: {name: (n, d) array}."""
    sites = site_one_hot(structures)[0]
    length = np.cbrt(np.prod(structures.cell[:, :3], axis=1))
    # the length alone is scaled: scaled columns of zeros and ones would be worse
    scaled = (length - length.mean()) / length.std()
    return {
        GUESS: sites[:, :1],
        RIDGE: sites,
        FOREST: sites,
        NETWORK: sites,
        DESCRIBED: site_descriptions(structures),
        SITES_AND_CELL: np.column_stack([sites, scaled]),
    }


def null_models(seed: int = 0, epochs: int = 200) -> dict[str, RegressorMixin]:
    """Unfitted models that see no graph, by name.

    Parameters
    ----------
    seed : of the networks and the forest
    epochs : of the networks, at most; those are kept that predict the validation rows best
    """
    network = FullyConnectedRegressor(
        hidden=(256, 128),
        input_scaling=None,
        learning_rate=3e-3,
        epochs=epochs,
        batch_size=64,
        patience=epochs,
        random_state=seed,
        device="cpu",
    )
    return {
        GUESS: DummyRegressor(strategy="median"),
        RIDGE: RidgeCV(np.logspace(-3, 2, 11)),
        FOREST: RandomForestRegressor(200, max_features=1 / 3, random_state=seed),
        NETWORK: network,
        DESCRIBED: network,
        SITES_AND_CELL: network,
    }


# --- what each site contributes -------------------------------------------------------------------


def site_contributions(
    model: GraphModel, structures: Structures, graphs: CrystalGraphs, rows: np.ndarray
) -> pd.DataFrame:
    """Mean contribution of each element on A and on B, by linear pooling.

    A shift of all A against all B changes no prediction, so the mean of each site is taken off.

    Returns
    -------
    DataFrame, a row for each site and element: site, element, contribution (eV/atom of the whole
    cell: a fifth of the atom's number), structures
    """
    values = np.array([v[:, 0] for v in model.contributions(graphs, rows)]) / ATOMS  # (m, 5)
    table = structures.table.iloc[rows]
    parts = []
    for place, site in enumerate(CASTELLI_SITES[:2]):
        of = pd.DataFrame({"element": table[site].to_numpy(), "value": values[:, place]})
        means = of.groupby("element")["value"].agg(["mean", "size"]).reset_index()
        means.columns = ["element", "contribution", "structures"]
        means["contribution"] -= of["value"].mean()
        parts.append(means.assign(site=site))
    return pd.concat(parts, ignore_index=True)[["site", "element", "contribution", "structures"]]


def ridge_contributions(structures: Structures, y: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """The same by a ridge regression on which element is where: no graph, no distances."""
    X, names = site_one_hot(structures)
    weights = RidgeCV(np.logspace(-3, 2, 11)).fit(X[rows], y[rows]).coef_
    found = pd.DataFrame({"contribution": weights, "structures": X[rows].sum(0).astype(int)})
    found[["site", "element"]] = [name.split() for name in names]
    found = found[(found["site"] != "X") & (found["structures"] > 0)]
    by_site = found.groupby("site")
    total = (found["contribution"] * found["structures"]).groupby(found["site"]).transform("sum")
    found["contribution"] -= total / by_site["structures"].transform("sum")
    columns = ["site", "element", "contribution", "structures"]
    return found[columns].reset_index(drop=True)


def _anions(numbers: np.ndarray) -> str:
    values, counts = np.unique(numbers, return_counts=True)
    return "".join(f"{_SYMBOL[z]}{n if n > 1 else ''}" for z, n in zip(values, counts, strict=True))
