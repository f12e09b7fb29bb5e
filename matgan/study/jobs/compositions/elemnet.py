"""The jobs of ElemNet as the review tells it: depth, size of the training part, and what is inside.

Jha et al. (Sci. Rep. 8, 17593, 2018), by Agrawal and Choudhary (MRS Commun. 9, 779, 2019): the
error falls until 17 layers; above 4,000 compounds it is below a random forest's, whose features
know the elements; in layers 1 and 2 the alkali metals lie in a line, in layer 8 charge-balanced
compositions stand apart. All on OQMD's published parts; ElemNet's errors there are known.
"""

from __future__ import annotations

import time
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np

from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS
from matgan.data.splits import Split
from matgan.learning.compute import device, fast_precision
from matgan.learning.evaluation import fit_splits
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import scores
from matgan.representation import benchmark, probes, published
from matgan.representation.benchmark import Task
from matgan.representation.features import Magpie, OneHot
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

PRINTED_LAYERS = len(published.ELEMNET["hidden"]) + 1
DEPTHS = (2, 3, 4, 6, 8, 10, 12, 14, 17, 20, 24)
DEPTH_SEEDS, DEPTH_EPOCHS = 3, 40
TRAINING_SIZES = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000)
SIZE_SEEDS, SIZE_STEPS = 5, 8000
TIMED = 25_000  # compounds whose prediction is timed
PROBE_SPLITS = 20  # draws of held-out elements
ALKALI = ("Li", "Na", "K", "Rb", "Cs")
CATIONS = dict.fromkeys(ALKALI, 1) | dict.fromkeys(("Be", "Mg", "Ca", "Sr", "Ba"), 2)
ANIONS = dict.fromkeys(("O", "S", "Se", "Te"), 2) | dict.fromkeys(("F", "Cl", "Br", "I"), 1)
FRACTIONS_FOREST, ATTRIBUTES_FOREST = "forest on fractions", "forest on Magpie"


def hidden_widths(layers: int) -> tuple[int, ...]:
    """Widths of the hidden layers of a network like ElemNet, of another depth.

    Taken from ElemNet's sixteen at even steps: 17 layers give its own.

    Parameters
    ----------
    layers : 2 or more, that of the output included
    """
    printed = published.ELEMNET["hidden"]
    if layers == 2:
        return (printed[0],)
    places = np.linspace(0, len(printed) - 1, layers - 1).round().astype(int)
    return tuple(printed[place] for place in places)


def depth_network(
    layers: int, epochs: int, seed: int, dropout: bool = False
) -> FullyConnectedRegressor:
    """ElemNet at any depth; with its dropout at its own only, whose places are printed."""
    settings = published.ELEMNET_FAST | {"hidden": hidden_widths(layers)}
    if not dropout:
        settings["dropout"] = 0.0
    return FullyConnectedRegressor(
        **settings,
        epochs=epochs,
        patience=epochs,
        random_state=seed,
        precision=fast_precision(device()),
    )


@lru_cache(maxsize=1)
def _energies() -> tuple[Task, Split, np.ndarray]:
    """The compounds, their published parts, and the fractions (n, 85) of their elements."""
    task, split = published.published_tasks(1)[0][published.OQMD_SPLIT]
    return task, split, task.described(OneHot(fractions=True, dtype=np.float32))


def depth_piece(layers: int, dropout: bool, times: int, seed: int, folder: Path) -> Rows:
    """Train at one depth; its scores, and how long it takes to predict."""
    task, split, X = _energies()
    network = depth_network(layers, times * DEPTH_EPOCHS, seed, dropout)
    (fitted,) = fit_splits(X, task.y, [split], network)
    row: dict[str, object] = {"layers": layers, "dropout": dropout, "seed": seed}
    row |= {"epochs": times * DEPTH_EPOCHS, "parameters": sum(w.size for w in fitted.coefs_)}
    for part, rows in (("val", split.validation), ("test", split.test)):
        found = scores(task.y[rows], fitted.predict(X[rows]))
        row |= {f"{name}_{part}": value for name, value in found.items()}
    return [row | {"seconds per 25,000": seconds_to_predict(fitted, X[split.test])}]


def seconds_to_predict(fitted: FullyConnectedRegressor, X: np.ndarray) -> float:
    """For `TIMED` compounds, in float64, on where the network is; the quickest of three."""
    X, taken = np.resize(X, (TIMED, X.shape[1])), []
    for _ in range(3):
        start = time.perf_counter()
        fitted.predict(X)
        taken.append(time.perf_counter() - start)
    return min(taken)


# --- the size of the training part ----------------------------------------------------------------


def size_piece(size: int, seed: int, folder: Path) -> Rows:
    """ElemNet and two forests that learn from so many compounds, drawn at random; test errors.

    A tenth of them choose the network's epoch. Its steps do not fall with the size, so that it
    converges on few compounds, too.
    """
    task, split, X = _energies()
    rows = np.random.default_rng([seed, size]).permutation(split.train)[:size]
    batch = min(published.ELEMNET_FAST["batch_size"], max(32, size // 16))
    epochs = max(DEPTH_EPOCHS, -(-SIZE_STEPS * batch // size))
    network = depth_network(PRINTED_LAYERS, epochs, seed, dropout=True)
    network.set_params(batch_size=batch)
    of_size = Split(rows[size // 10 :], rows[: size // 10], split.test)
    (fitted,) = fit_splits(X, task.y, [of_size], network)
    found = {"ElemNet": fitted.predict(X[split.test])}
    forests = {FRACTIONS_FOREST: X, ATTRIBUTES_FOREST: task.described(Magpie(dtype=np.float32))}
    for name, features in forests.items():
        forest = benchmark.random_forest(seed).fit(features[rows], task.y[rows])
        found[name] = forest.predict(features[split.test])
    return [
        {"method": name, "compounds": size, "seed": seed, "epochs": epochs * (name == "ElemNet")}
        | scores(task.y[split.test], predicted)
        for name, predicted in found.items()
    ]


# --- what is inside -------------------------------------------------------------------------------


def ionic_compositions(most: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All AxBy of groups 1 or 2 and 16 or 17, x and y up to a number, without a common divisor.

    Returns
    -------
    amounts : (n, 85)
    balanced : (n,) bool, by the charges 1, 2, -2 and -1
    pairs : (n, 2) numbers of the two elements
    """
    counts = [(x, y) for x, y in product(range(1, most + 1), repeat=2) if np.gcd(x, y) == 1]
    all_of = list(product(CATIONS, ANIONS, counts))
    pairs = np.array([[ELEMENTS.index(a), ELEMENTS.index(b)] for a, b, _ in all_of])
    amounts = np.zeros((len(all_of), N_ELEMENTS))
    amounts[np.arange(len(all_of))[:, None], pairs] = [xy for *_, xy in all_of]
    balanced = np.array([x * CATIONS[a] == y * ANIONS[b] for a, b, (x, y) in all_of])
    return amounts, balanced, pairs


def unseen_cations(pairs: np.ndarray, repeats: int, seed: int) -> list:
    """(train, test) rows: four cations and three anions are held out, and both stand in a test."""
    random, splits = np.random.default_rng(seed), []
    cations, anions = np.unique(pairs[:, 0]), np.unique(pairs[:, 1])
    for _ in range(repeats):
        held = np.isin(pairs[:, 0], random.choice(cations, 4, replace=False))
        with_held = np.isin(pairs[:, 1], random.choice(anions, 3, replace=False))
        splits.append((np.flatnonzero(~held & ~with_held), np.flatnonzero(held & with_held)))
    return splits


def inside_rows(networks: dict[str, FullyConnectedRegressor], seed: int) -> Rows:
    """For each layer of each network: are the alkali metals in line, are balanced ones apart?

    Parameters
    ----------
    networks : fitted on fractions, by name
    seed : of what chance is drawn from
    """
    fractions = OneHot(fractions=True, dtype=np.float32)
    elements = fractions.fit_transform(np.eye(N_ELEMENTS))
    amounts, balanced, pairs = ionic_compositions()
    ionic, splits = fractions.transform(amounts), unseen_cations(pairs, PROBE_SPLITS, seed)
    alkali = [ELEMENTS.index(symbol) for symbol in ALKALI]
    rows = []
    for name, network in networks.items():
        for layer in range(len(network.hidden)):
            points, _ = probes.principal_components(network.activations(elements, layer))
            line = probes.line_test(points, alkali, seed=seed)
            auc = probes.probe(network.activations(ionic, layer), balanced, splits)
            rows.append({"network": name, "layer": layer + 1, "seed": seed, **line, **auc})
    return rows


def inside_piece(seed: int, folder: Path) -> Rows:
    """ElemNet trained, and as it was before: layer by layer."""
    task, split, X = _energies()
    network = depth_network(PRINTED_LAYERS, DEPTH_EPOCHS, seed, dropout=True)
    (trained,) = fit_splits(X, task.y, [split], network)
    few = Split(split.train[:64], split.validation[:64], split.test[:64])
    before = depth_network(PRINTED_LAYERS, 1, seed).set_params(learning_rate=1e-12)
    (untrained,) = fit_splits(X, task.y, [few], before)
    return inside_rows({"trained": trained, "untrained": untrained}, seed)


def _depths() -> dict[str, Piece]:
    """Every depth without dropout, and ElemNet itself; three of them also for twice the epochs."""
    kinds = [*((layers, False) for layers in DEPTHS), (PRINTED_LAYERS, True)]
    usual = [(*kind, 1, seed) for kind, seed in product(kinds, range(DEPTH_SEEDS))]
    longer = [(layers, False, 2, 0) for layers in (4, PRINTED_LAYERS, DEPTHS[-1])]
    return {
        f"layers-{layers}-{'dropout-' * dropout}{'longer-' * (times - 1)}{seed}": partial(
            depth_piece, layers, dropout, times, seed
        )
        for layers, dropout, times, seed in usual + longer
    }


def _sizes() -> dict[str, Piece]:
    pairs = product(TRAINING_SIZES, range(SIZE_SEEDS))
    return {f"{size}-{seed}": partial(size_piece, size, seed) for size, seed in pairs}


JOBS = [
    Job(
        "elemnet-depth", "ElemNet's error from 2 to 24 layers, OQMD's published parts", 40, _depths
    ),
    Job("elemnet-sizes", "ElemNet and forests that learn from 500 to 128,000", 30, _sizes),
    Job(
        "elemnet-inside",
        "alkali metals in line and charge balance, layer by layer, five trainings of ElemNet",
        8,
        lambda: {f"seed-{seed}": partial(inside_piece, seed) for seed in range(5)},
    ),
]
