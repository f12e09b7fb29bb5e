"""How well two descriptors of each site give a formation energy, beside simpler models.

Ye et al. 2018 train networks of one hidden layer: 4-12-1 for perovskites, 6-24-1 for garnets. Ours
of these sizes get what a few hundred compounds can give: a method of second order to its end, the
mean of several starts, a weight decay by cross-validation.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matgan.crystals.perovskites import (
    cations_of,
    descriptors,
    elements_of_sites,
    find_family,
    load_ye2018,
)
from matgan.crystals.structures import Structures
from matgan.data.splits import Split, grouped_splits, unseen_elements
from matgan.learning.evaluation import evaluate

HIDDEN = {2: (12,), 3: (24,)}  # sites -> widths of the paper's network
NETWORK_EPOCHS = 2000  # iterations of L-BFGS, at most
STARTS, DECAYS, FOLDS = 5, (1e-3, 0.01, 0.1, 1.0, 10.0), 5  # of the networks; their choice
NETWORK, TREES = "network on two descriptors", "extra trees on two descriptors"
LINEAR, ONE_HOT, MEAN = "linear in two descriptors", "one-hot of sites, ridge", "mean"
UNMIXED, MIXED = "perovskites, Ye et al., unmixed", "perovskites, Ye et al., with mixed sites"
PNMA, GARNETS = "perovskites, Materials Project", "garnets, Materials Project"
DATASETS = (UNMIXED, MIXED, PNMA, GARNETS)
SPLITS = ("random", "elements left out")
TESTED = 0.2  # share of the compounds in a random test part


def load_family(dataset: str, structures: Structures) -> pd.DataFrame:
    """Compounds of one of `DATASETS`: sites, descriptors, energies above the binary oxides.

    Parameters
    ----------
    dataset : of `DATASETS`
    structures : of the Materials Project, where the data set is from there

    Raises
    ------
    ValueError
        Another name.
    """
    if dataset not in DATASETS:
        raise ValueError(f"the data sets are {'; '.join(DATASETS)}, not {dataset!r}")
    if dataset == PNMA:
        return find_family(structures, "perovskite")
    if dataset == GARNETS:
        return find_family(structures, "garnet")
    return load_ye2018(mixed=dataset == MIXED)


def models(sites: int, seed: int = 0, epochs: int = NETWORK_EPOCHS) -> dict[str, RegressorMixin]:
    """Unfitted models by name: the paper's small network and its controls.

    Parameters
    ----------
    sites : 2 (perovskites) or 3 (garnets)
    seed : of the networks and of the trees
    epochs : iterations of each network, at most
    """
    return {
        NETWORK: _small_networks(HIDDEN[sites], seed, epochs),
        TREES: ExtraTreesRegressor(100, random_state=seed),
        LINEAR: LinearRegression(),
        ONE_HOT: RidgeCV(np.logspace(-3, 2, 11)),
        MEAN: DummyRegressor(),
    }


def _small_networks(hidden: tuple[int, ...], seed: int, iterations: int) -> GridSearchCV:
    """The mean of `STARTS` networks with the best of `DECAYS`."""
    network = MLPRegressor(
        hidden_layer_sizes=hidden, activation="tanh", solver="lbfgs", max_iter=iterations
    )
    scaled = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), network), transformer=StandardScaler()
    )
    several = BaggingRegressor(scaled, STARTS, bootstrap=False, random_state=seed)
    return GridSearchCV(
        several,
        {"estimator__regressor__mlpregressor__alpha": DECAYS},
        scoring="neg_mean_absolute_error",
        cv=KFold(FOLDS, shuffle=True, random_state=seed),
    )


def family_splits(table: pd.DataFrame, kind: str, repeats: int = 10, seed: int = 0) -> list[Split]:
    """Random splits that keep a composition on one side, or folds that leave elements out.

    Parameters
    ----------
    table : as from `load_family`
    kind : of `SPLITS`; of the second each cation is left out once
    repeats : splits, or folds of the elements
    seed : of the draws

    Raises
    ------
    ValueError
        Another kind.
    """
    if kind not in SPLITS:
        raise ValueError(f"the splits are {', '.join(SPLITS)}, not {kind!r}")
    if kind == "random":
        return grouped_splits(table["formula"], repeats, seed, TESTED)
    return unseen_elements(cations_of(table)[0], repeats, seed)


def errors_of(
    table: pd.DataFrame,
    dataset: str,
    kind: str,
    repeats: int = 10,
    seed: int = 0,
    epochs: int = NETWORK_EPOCHS,
    names: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Scores of the models on the splits of one kind, in eV/atom.

    Parameters
    ----------
    table : as from `load_family`
    dataset : its name
    kind, repeats, seed : as `family_splits`
    epochs : of the network
    names : of the models; empty: all

    Returns
    -------
    DataFrame as `matgan.learning.evaluation.evaluate` gives it, with epochs (NaN: no network)
    """
    X, y = descriptors(table), table["energy"].to_numpy()
    splits = family_splits(table, kind, repeats, seed)
    parts = []
    for name, model in models(X.shape[1] // 2, seed, epochs).items():
        if names and name not in names:
            continue
        given = elements_of_sites(table)[0] if name == ONE_HOT else X
        with warnings.catch_warnings():  # enough or not: the table of twice the epochs says
            warnings.simplefilter("ignore", ConvergenceWarning)
            scored = evaluate(given, y, splits, model, dataset=dataset, features=name, split=kind)
        parts.append(scored.assign(epochs=epochs if name == NETWORK else np.nan))
    return pd.concat(parts, ignore_index=True)
