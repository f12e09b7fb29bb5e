"""The job of notebook 21: which symmetry networks read from powder patterns.

The notebooks call the same functions with a small `Setting` to show a training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from matgan.crystals.graphs.cgcnn import Graphs
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.structures import Structures, load_structures
from matgan.crystals.symmetry import prototypes
from matgan.data.splits import grouped_parts
from matgan.learning.fit import Examples, Fit, Subset, classification_loss, outputs, train
from matgan.learning.statistics import share_interval
from matgan.powder import baselines, classifier, patterns
from matgan.powder.baselines import Scores
from matgan.powder.networks import FCN, LABELS, TEncoder
from matgan.study.jobs.runner import Job, Piece, Rows

HOW_SPLIT = ("MEGNet", "prototypes apart")
NETWORKS = ("FCN", "T-encoder", "CGCNN")
BASELINES = ("majority", "nearest pattern", "random forest")
TRAININGS = range(5)
PROTOTYPE_SHARE = 0.02  # a prototype with a larger share of a test part is trained on


@dataclass(frozen=True)
class Setting:
    """What is learned from and how, the same for every network beside its passes."""

    train_rows: int = 20_000  # structures to learn from, of the MEGNet split; 0: all
    test_rows: int = 0  # structures to test on; 0: all
    step: float = 0.1  # degrees 2θ between the points of a pattern, a multiple of 0.05
    batch_size: int = 32
    seed: int = 0  # of the choice of structures and of the second split
    trees: int = 200  # of the random forest


@dataclass(frozen=True)
class Material:
    """The structures of a setting, test structures last.

    Attributes
    ----------
    crystals : n structures
    codes : (n, points) uint8, square roots of their patterns
    classes : (n, 3) crystal system, extinction group, space group
    test : split -> (n,) bool
    """

    crystals: Structures
    codes: np.ndarray
    classes: np.ndarray
    test: dict[str, np.ndarray]


@lru_cache(maxsize=1)
def material(setting: Setting) -> Material:
    """Structures, patterns, classes and splits of a setting; patterns come from the cache."""
    crystals = load_structures()
    parts = [
        crystals.rows("train", setting.train_rows, setting.seed),
        crystals.rows("test", setting.test_rows, setting.seed),
    ]
    crystals = crystals.take(np.concatenate(parts))
    instrument = patterns.Instrument(step=setting.step, fwhm=classifier.INSTRUMENT.fwhm)
    codes = patterns.patterns(crystals, instrument)
    is_test = crystals.table["split"].to_numpy() == "test"
    share = is_test.mean()
    keys, shares = prototypes(crystals), (1 - share, 0, share)
    apart = grouped_parts(keys, shares, setting.seed, largest=PROTOTYPE_SHARE * share) == "test"
    classes = classifier.class_labels(crystals.table["space_group"])
    return Material(crystals, codes, classes, dict(zip(HOW_SPLIT, (is_test, apart), strict=True)))


def fitted(
    make: Callable,
    source,
    rows: np.ndarray,
    fit: Fit,
    loss: Callable,
    checkpoint: Path | None = None,
    progress=None,
):
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
    train(network, Subset(source, rows), loss, fit, checkpoint, progress)
    return network


@contextlib.contextmanager
def watched(label: str) -> Iterator[Callable[[int, int, float], None]]:
    """A bar that shows the steps of a training, to be given to it as `progress`."""
    with tqdm(desc=label) as bar:

        def show(step: int, n_steps: int, loss: float) -> None:
            bar.total = n_steps
            bar.update(step - bar.n)

        yield show


# --- symmetry -----------------------------------------------------------------------------------


def network_and_source(name: str, setting: Setting) -> tuple[Callable, Examples]:
    """What makes a network of that name, and the examples that it reads.

    Parameters
    ----------
    name : one of `NETWORKS`
    setting : of the examples
    """
    one, counts = material(setting), classifier.class_counts()
    points, patch = one.codes.shape[1], round(1.7 / setting.step)  # tokens of 1.7 degrees
    if name == "CGCNN":
        graphs = Graphs(crystal_graphs(one.crystals), one.classes)
        return partial(CrystalGraphNetwork, counts, elements="learned"), graphs
    stored = patterns.Stored(one.codes, one.classes)
    if name == "FCN":
        return partial(FCN, points, counts), stored
    return partial(TEncoder, points, counts, patch), stored


def symmetry_network(
    name: str, split: str, setting: Setting, passes: int, seed: int, checkpoint=None, progress=None
) -> nn.Module:
    """A network that learned the three labels on the training structures of a split.

    Parameters
    ----------
    name : one of `NETWORKS`
    split : one of `HOW_SPLIT`
    setting : what is learned from
    passes, seed, checkpoint, progress : of the training
    """
    make, source = network_and_source(name, setting)
    fit = Fit(passes, setting.batch_size, seed=seed)
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


def baseline_scores(name: str, split: str, setting: Setting, seed: int = 0) -> Scores:
    """The same of a method without a network.

    Parameters
    ----------
    name : one of `BASELINES`
    split : one of `HOW_SPLIT`
    setting : what is learned from
    seed : of the random forest
    """
    one, counts = material(setting), classifier.class_counts()
    test = one.test[split]
    if name == "majority":
        return baselines.majority(one.classes[~test], counts, test.sum())
    x = baselines.coarse(one.codes, round(0.3 / setting.step))  # bins of 0.3 degrees
    learn = (x[~test], one.classes[~test], counts, x[test])
    if name == "nearest pattern":
        return baselines.nearest(*learn)
    return baselines.forest(*learn, trees=setting.trees, seed=seed)


def accuracy_rows(
    found: Scores, name: str, split: str, setting: Setting, passes: int, seed: int
) -> Rows:
    """A row for each label: what was learned, top-1 with its Wilson interval, top-5.

    Parameters
    ----------
    found : scores on the test structures
    name, split, setting, passes, seed : whose they are
    """
    one = material(setting)
    test = one.test[split]
    table = baselines.accuracies(name, found, one.classes[test], split=split)
    ends = [share_interval(found[x].argmax(1) == one.classes[test, i]) for i, x in enumerate(found)]
    table = table.assign(low=[low for low, _ in ends], high=[high for _, high in ends])
    facts = {"seed": seed, "passes": passes, "n_train": int((~test).sum())}
    return table.assign(**facts, n_test=int(test.sum())).to_dict("records")


def symmetry_piece(
    name: str, split: str, setting: Setting, passes: int, seed: int, folder: Path | None = None
) -> Rows:
    """One network or baseline and its accuracies.

    Parameters
    ----------
    name : one of `NETWORKS` or `BASELINES`
    split, setting, passes, seed : see `symmetry_network`
    folder : for the checkpoint
    """
    if name in BASELINES:
        found = baseline_scores(name, split, setting, seed)
    else:
        given = (name, split, setting, passes, seed)
        network = symmetry_network(*given, folder and folder / "checkpoint.safetensors")
        found = network_scores(network, name, split, setting)
    return accuracy_rows(found, name, split, setting, passes, seed)


def _symmetry() -> dict[str, Piece]:
    setting = Setting()
    pieces: dict[str, Piece] = {}
    for split in HOW_SPLIT:
        for name in (*BASELINES, *NETWORKS):
            passes = 30 if name in NETWORKS else 0
            for seed in TRAININGS if name in NETWORKS else (0,):
                key = f"{split}-{name}-{seed}".replace(" ", "-")
                pieces[key] = partial(symmetry_piece, name, split, setting, passes, seed)
    return pieces


JOBS = [
    Job("pattern-symmetry", "crystal system, extinction and space group, 5 seeds", 14, _symmetry),
]
