"""The jobs of notebook 21: which symmetry networks read from powder patterns.

    python -m matgan jobs run pattern-material pattern-symmetry-search pattern-symmetry

The rules, written before the run, for each split and each of system, extinction group and space
group. A pattern network is ahead of the CGCNN where the interval of the difference of their shares
of right answers (95%, over five trainings, paired by seed) lies above 0. Both are converged: twice
the passes change the share of wrong answers by less than 2% and by less than half of the
difference, in two trainings; or the interval holds 0 with either passes.

The notebooks call the same functions with a small `Setting` to show a training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.graphs.packed import GraphsOnDevice
from matgan.learning.compute import device
from matgan.learning.fit import Examples, Fit, Subset, classification_loss, outputs, train
from matgan.learning.statistics import share_interval
from matgan.powder import baselines, patterns
from matgan.powder.baselines import Scores
from matgan.powder.networks import FCN, LABELS, TEncoder
from matgan.study.jobs.crystals.composition import magpie_statistics
from matgan.study.jobs.pieces import Piece, Rows, computed_once
from matgan.study.jobs.powder.material import HOW_SPLIT, LONG, Setting, graphs, material
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate, searched_rates

NAME, SEARCH = "pattern-symmetry", "pattern-symmetry-search"
NETWORKS = ("FCN", "T-encoder", "CGCNN")
ON_COMPOSITION = "random forest on composition"
BASELINES = ("majority", ON_COMPOSITION, "nearest pattern", "random forest")
TRAININGS, TWICE = range(5), range(2)
PASSES = {"FCN": 40, "T-encoder": 80, "CGCNN": 60}
FIRST_RATES = {"FCN": 4e-3, "T-encoder": 2e-3, "CGCNN": 4e-3}  # where a search begins
_TREES = 10  # of a forest, between two writings


# --- one training ---------------------------------------------------------------------------------


def fitted(
    make: Callable[[], nn.Module],
    source: Examples,
    rows: np.ndarray,
    fit: Fit,
    loss: Callable,
    checkpoint: Path | None = None,
    progress=None,
) -> nn.Module:
    """A network trained on some rows of a source; the seed of `fit` decides how it starts.

    Parameters
    ----------
    make : gives the network
    source : an `Examples` of `matgan.learning.fit`
    rows : those to learn from
    fit, loss, checkpoint, progress : see `matgan.learning.fit.train`
    """
    torch.manual_seed(fit.seed)
    network = make()
    same_shapes = not isinstance(source, GraphsOnDevice)
    given = Subset(source, rows)
    train(network, given, loss, fit, checkpoint, progress, device(), same_shapes=same_shapes)
    return network


@contextlib.contextmanager
def watched(label: str) -> Iterator[Callable[[int, int, float], None]]:
    """A bar that shows the steps of a training, to be given to it as `progress`."""
    with tqdm(desc=label) as bar:

        def show(step: int, n_steps: int, loss: float) -> None:
            bar.total = n_steps
            bar.update(step - bar.n)

        yield show


# --- symmetry -------------------------------------------------------------------------------------


def network_and_source(name: str, setting: Setting) -> tuple[Callable[[], nn.Module], Examples]:
    """What makes a network of that name, and the examples that it reads.

    Parameters
    ----------
    name : one of `NETWORKS`
    setting : of the examples
    """
    one = material(setting)
    if name == "CGCNN":
        source = GraphsOnDevice(graphs(setting), one.classes, device())
        return partial(CrystalGraphNetwork, one.counts), source
    points, patch = one.codes.shape[1], round(1.7 / setting.step)  # tokens of 1.7 degrees
    stored = patterns.Stored(one.codes, one.classes)
    if name == "FCN":
        return partial(FCN, points, one.counts), stored
    return partial(TEncoder, points, one.counts, patch), stored


def batch_size(source: Examples, setting: Setting) -> int:
    """Of a setting; of graphs twice as many, 256 in the long computations, as published."""
    return setting.batch_size * (2 if isinstance(source, GraphsOnDevice) else 1)


def symmetry_network(
    name: str,
    split: str,
    setting: Setting,
    passes: int,
    seed: int,
    checkpoint: Path | None = None,
    progress=None,
    rate: float = Fit.learning_rate,
) -> nn.Module:
    """A network that learned the three labels on the training structures of a split.

    Parameters
    ----------
    name : one of `NETWORKS`
    split : one of `HOW_SPLIT`
    setting : what is learned from
    passes, seed, checkpoint, progress, rate : of the training
    """
    make, source = network_and_source(name, setting)
    fit = Fit(passes, batch_size(source, setting), rate, seed=seed)
    loss = classification_loss(LABELS, fit.label_smoothing)
    learn = np.flatnonzero(~material(setting).test[split])
    return fitted(make, source, learn, fit, loss, checkpoint, progress)


def network_scores(network: nn.Module, name: str, split: str, setting: Setting) -> Scores:
    """Scores of every class on the test structures of a split: label -> (m, classes).

    Parameters
    ----------
    network, name, split, setting : as `symmetry_network` gave and took them
    """
    _, source = network_and_source(name, setting)
    return outputs(network, Subset(source, np.flatnonzero(material(setting).test[split])))


def baseline_scores(
    name: str, split: str, setting: Setting, seed: int = 0, folder: Path | None = None
) -> Scores:
    """The same of a method without a network.

    Parameters
    ----------
    name : one of `BASELINES`
    split : one of `HOW_SPLIT`
    setting : what is learned from
    seed : of the random forests
    folder : where parts of a forest are kept, so that one that was stopped goes on
    """
    one = material(setting)
    test = one.test[split]
    if name == "majority":
        return baselines.majority(one.classes[~test], one.counts, test.sum())
    on_composition = name == ON_COMPOSITION
    x = magpie_statistics(one.crystals) if on_composition else coarse_patterns(setting)
    learn = (x[~test], one.classes[~test], one.counts)
    if name != "nearest pattern":
        return _forest(*learn, x[test], setting.trees, seed, folder)
    some = np.array_split(x[test], -(-test.sum() // 500))  # the similarities take the memory
    found = [baselines.nearest(*learn, part) for part in some]
    return {label: np.concatenate([part[label] for part in found]) for label in one.counts}


def coarse_patterns(setting: Setting) -> np.ndarray:
    """(n, 283) square roots of the intensities of a setting in bins of 0.3 degrees."""
    return baselines.coarse(material(setting).codes, round(0.3 / setting.step))


def _forest(x, classes, counts, asked, trees: int, seed: int, folder: Path | None) -> Scores:
    """`baselines.forest`, a few trees at a time; those that are done lie in the folder."""
    total = np.zeros((len(asked), sum(counts.values())))
    for first in range(0, trees, _TREES):
        few = min(_TREES, trees - first)

        def grow(few: int = few, own: int = 1000 * seed + first) -> np.ndarray:
            found = baselines.forest(x, classes, counts, asked, few, own)
            return few / trees * np.concatenate(list(found.values()), axis=1).astype(np.float32)

        total += computed_once(folder / f"trees{first}.npz", grow)[0] if folder else grow()
    parts = np.split(total, np.cumsum(list(counts.values()))[:-1], axis=1)
    return dict(zip(counts, parts, strict=True))


def accuracy_rows(
    found: Scores,
    name: str,
    split: str,
    setting: Setting,
    passes: int,
    seed: int,
    rate: float | None = None,
) -> Rows:
    """A row for each label: what was learned, top-1 with its Wilson interval, top-5.

    Parameters
    ----------
    found : scores on the test structures
    name, split, setting, passes, seed, rate : whose they are
    """
    one = material(setting)
    test = one.test[split]
    table = baselines.accuracies(name, found, one.classes[test], split=split)
    ends = [share_interval(found[x].argmax(1) == one.classes[test, i]) for i, x in enumerate(found)]
    table = table.assign(low=[low for low, _ in ends], high=[high for _, high in ends])
    facts = {"seed": seed, "passes": passes, "learning_rate": rate, "n_train": int((~test).sum())}
    return table.assign(**facts, n_test=int(test.sum())).to_dict("records")


def symmetry_piece(
    name: str,
    split: str,
    setting: Setting,
    passes: int,
    seed: int,
    folder: Path | None = None,
    rate: float = Fit.learning_rate,
) -> Rows:
    """One network or baseline and its accuracies.

    Parameters
    ----------
    name : one of `NETWORKS` or `BASELINES`
    split, setting, passes, seed, rate : see `symmetry_network`
    folder : for the checkpoint
    """
    if name in BASELINES:
        found = baseline_scores(name, split, setting, seed, folder)
        return accuracy_rows(found, name, split, setting, 0, seed)
    checkpoint = folder and folder / "checkpoint.safetensors"
    network = symmetry_network(name, split, setting, passes, seed, checkpoint, rate=rate)
    found = network_scores(network, name, split, setting)
    return accuracy_rows(found, name, split, setting, passes, seed, rate)


# --- the jobs -------------------------------------------------------------------------------------


def trained_piece(
    name: str, split: str, passes: int, seed: int, folder: Path, setting: Setting = LONG
) -> Rows:
    """`symmetry_piece` at the rate that the search found."""
    rate = best_rate(SEARCH, name)
    return symmetry_piece(name, split, setting, passes, seed, folder, rate)


def search_piece(
    name: str, passes: int, folder: Path, setting: Setting = LONG, first: float | None = None
) -> Rows:
    """The learning rate of a network, by the mean share of wrong labels of validation structures.

    Parameters
    ----------
    name : one of `NETWORKS`
    passes : of each training
    folder : of the checkpoints
    setting : its training structures are learned from
    first : the rate to begin with; None: of `FIRST_RATES`
    """
    asked = replace(setting, asked="val")

    def trial(rate: float, own: Path) -> float:
        rows = symmetry_piece(name, HOW_SPLIT[0], asked, passes, 0, own, rate)
        return 1 - float(np.mean([row["top1"] for row in rows]))

    found = searched_rates(trial, first or FIRST_RATES[name], folder)
    return [{"method": name, "seed": 0, "passes": passes, **row} for row in found]


def _symmetry() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {}
    for split in HOW_SPLIT:
        for name in BASELINES:
            key = f"{split}-{name}-0".replace(" ", "-")
            pieces[key] = partial(symmetry_piece, name, split, LONG, 0, 0)
    for seeds, factor in ((TRAININGS[:2], 1), (TWICE, 2), (TRAININGS[2:], 1)):
        for seed, split, name in product(seeds, HOW_SPLIT, NETWORKS):
            passes = factor * PASSES[name]
            key = f"{split}-{name}-{seed}-{passes}".replace(" ", "-")
            pieces[key] = partial(trained_piece, name, split, passes, seed)
    return pieces


def _search() -> dict[str, Piece]:
    return {name: partial(search_piece, name, PASSES[name]) for name in NETWORKS}


JOBS = [
    Job(SEARCH, "learning rates of the networks that read symmetry", 13, _search),
    Job(
        NAME, "crystal system, extinction and space group, 5 seeds", 60, _symmetry, reads=(SEARCH,)
    ),
]
