"""The first computation behind notebook 31: which element sits on a site."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from matgan import files
from matgan.chemistry.elements import periodic_table
from matgan.crystals.sites import fingerprints, neighbours
from matgan.crystals.sites.errors import error_scores
from matgan.crystals.sites.fingerprints import Sites, site_fingerprints
from matgan.crystals.sites.network import (
    BESIDE,
    COMPOSITION,
    COPIES,
    SHAPE,
    SITE_VIEWS,
    SIZED,
    SIZED_BESIDE,
    SiteModel,
    SiteNetwork,
    View,
    learn_sites,
)
from matgan.crystals.structures import Structures, load_structures
from matgan.crystals.symmetry import prototypes
from matgan.data.splits import grouped_parts
from matgan.learning.compute import device, fast_precision
from matgan.learning.fit import Fit, content_hash
from matgan.representation.maps import purity_test, tsne_map
from matgan.study.jobs import runner
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import RunError

NAME = "site-likelihood"
REPEATS = range(5)
STRUCTURES, PROTOTYPES, CHEMICAL_SYSTEMS = "structures", "prototypes", "chemical systems"
MAJORITY = "majority"
ALL = 0  # sites to learn from: those of the whole training part, some 457,000
FEWER = (15_000, 60_000)  # drawn at random among them, for a learning curve
TESTED_SITES = 20_000  # drawn at random among those of the test part
EPOCHS = 40


@dataclass(frozen=True)
class SiteData:
    """All structures and the fingerprints of their sites."""

    structures: Structures
    sites: Sites

    def parts(self, held: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool twice: structures to learn from, and to test on.

        Parameters
        ----------
        held : `STRUCTURES` (the published split), `PROTOTYPES` or `CHEMICAL_SYSTEMS` (a tenth)
        seed : of the draw of those
        """
        table = self.structures.table
        if held == STRUCTURES:
            named = table["split"].to_numpy()
            space = table["space_group"].to_numpy() > 0
            return (named == "train") & space, (named == "test") & space
        if held == PROTOTYPES:
            groups = prototypes(self.structures)
        else:
            groups = np.array([row.tobytes() for row in self.sites.species])
        part = grouped_parts(groups, seed=seed)
        return part == "train", part == "test"

    def drawn(self, chosen: np.ndarray, n: int, seed: int) -> Sites:
        """Some of the sites of the chosen structures."""
        rows = np.flatnonzero(chosen[self.sites.structure])
        if n and n < len(rows):
            rows = np.sort(np.random.default_rng([seed, 7]).choice(rows, n, replace=False))
        return self.sites.take(rows)


@lru_cache(maxsize=1)
def site_data(limit: int = 0) -> SiteData:
    """Fingerprints of all sites, from the file beside the job's pieces where it is.

    Parameters
    ----------
    limit : structures, drawn at random; 0: all, whose fingerprints are kept
    """
    structures = load_structures()
    if limit:
        rows = np.random.default_rng(0).choice(len(structures), limit, replace=False)
        structures = structures.take(np.sort(rows))
        return SiteData(structures, site_fingerprints(structures))
    atoms = structures.cell, structures.first, structures.numbers, structures.frac
    code = map(inspect.getsource, (fingerprints, neighbours))
    path = runner.WORK / NAME / f"sites-{content_hash([*atoms, *code])[:12]}.npz"
    if not path.is_file():
        sites = site_fingerprints(structures)
        with files.atomic_file(path) as file:
            np.savez(file, **vars(sites))
    return SiteData(structures, Sites(**files.load_arrays(path, None)))


# --- one training ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One training of the classifier.

    Attributes
    ----------
    view, held, seed : what is seen, what is held out, of the draws and the start
    trained, epochs : sites to learn from (0: all), and passes over them
    autoencoder : see `SiteNetwork`
    """

    view: View
    held: str = STRUCTURES
    seed: int = 0
    trained: int = ALL
    epochs: int = EPOCHS
    autoencoder: bool = True

    @property
    def key(self) -> str:
        """Name of the piece."""
        words = [*self.view.name.replace(",", "").split(), *self.held.split(), str(self.seed)]
        words += [f"{self.trained}-sites"] * (self.trained != ALL)
        words += [f"{self.epochs}epochs"] * (self.epochs != EPOCHS)
        return "-".join(words + ["plain"] * (not self.autoencoder))

    @property
    def fit(self) -> Fit:
        """Choices of the training."""
        return Fit(
            self.epochs,
            1024,
            4e-3,
            average=0.99,
            precision=fast_precision(device()),
            seed=self.seed,
        )


def trained_row(
    data: SiteData,
    setting: Setting,
    tested: int = TESTED_SITES,
    checkpoint: Path | None = None,
    **options,
) -> tuple[dict, SiteModel]:
    """Train the classifier and test it: its row and the model.

    Parameters
    ----------
    data, setting : what to learn from and how
    tested : sites to test on
    checkpoint, options : see `matgan.crystals.sites.network.learn_sites`
    """
    learn, test = data.parts(setting.held, setting.seed)
    sites = data.drawn(learn, setting.trained, setting.seed)
    options |= {"autoencoder": setting.autoencoder}
    model = learn_sites(sites, setting.view, setting.fit, checkpoint, **options)
    asked = data.drawn(test, tested, setting.seed)
    likely = model.log_likelihood(asked)
    true = asked.number.astype(int)
    name = setting.view.name if setting.autoencoder else f"{setting.view.name}, no autoencoder"
    row = {"view": name, "held out": setting.held, "seed": setting.seed, "n_train": len(sites)}
    row |= {"drawn": setting.trained, "n_test": len(asked), "epochs": setting.epochs}
    row |= {"log likelihood": float(np.maximum(likely[np.arange(len(true)), true], -30).mean())}
    top = np.argsort(-likely, axis=1)[:, :5]
    row |= {"among five": float((top == true[:, None]).any(1).mean())}
    return row | error_scores(true, top[:, 0]), model


def majority_row(data: SiteData, held: str, seed: int, trained: int = ALL) -> dict:
    """The most frequent element of the training sites, everywhere."""
    learn, test = data.parts(held, seed)
    sites, asked = data.drawn(learn, trained, seed), data.drawn(test, TESTED_SITES, seed)
    answer = np.bincount(sites.number).argmax()
    row = {"view": MAJORITY, "held out": held, "seed": seed, "n_train": len(sites)}
    row["drawn"] = trained
    found = error_scores(asked.number.astype(int), np.full(len(asked), answer))
    return row | {"n_test": len(asked), "epochs": 0} | found


def element_rows(model: SiteModel, seed: int) -> Iterator[dict]:
    """What the weights of the elements say: neighbour purity by group and block, and a map."""
    table = periodic_table()
    vectors = model.network.element_vectors()
    there = model.network.occurring.numpy(force=True)[table["number"]]
    table = table[there]
    X = vectors[table["number"]]
    points = tsne_map(X, seed, perplexity=10)
    for kind in ("group", "block"):
        for name, where in (("weights", X), ("map", points)):
            found = purity_test(where, table[kind].to_numpy(), k=3, seed=seed)
            yield {"view": model.view.name, "seed": seed, "of": f"{kind}, {name}"} | found
    for symbol, (x, y) in zip(table.index, points, strict=True):
        yield {"view": model.view.name, "seed": seed, "element": symbol, "x": x, "y": y}


def save_model(path: Path, model: SiteModel) -> None:
    """Write a model to a safetensors file."""
    arrays = {k: v.numpy(force=True) for k, v in model.network.state_dict().items()}
    arrays |= {"scale.mean": model.mean, "scale.deviation": model.deviation}
    files.save(path, arrays, {"view": model.view.name})


def kept_model(setting: Setting) -> SiteModel:
    """The model that a piece of the job left.

    Raises
    ------
    RunError
        The piece has not run.
    """
    import torch

    path = runner.WORK / NAME / setting.key / "model.safetensors"
    if not path.is_file():
        raise RunError(f"there is no {path}: `python -m matgan jobs run {NAME}` makes it")
    arrays, facts = files.load(path)
    mean, deviation = arrays.pop("scale.mean"), arrays.pop("scale.deviation")
    network = SiteNetwork(len(mean), arrays["occurring"])
    network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    return SiteModel(network.eval(), SITE_VIEWS[facts["view"]], mean, deviation)


def training_piece(setting: Setting, folder: Path) -> Rows:
    """One training; its model is kept for the rankings."""
    data = site_data()
    row, model = trained_row(data, setting, checkpoint=folder / "checkpoint.safetensors")
    save_model(folder / "model.safetensors", model)
    rows = [row]
    if setting == Setting(setting.view, seed=setting.seed):
        rows += element_rows(model, setting.seed)
    return rows


def majority_piece(folder: Path) -> Rows:
    """Error without looking, on every split."""
    data = site_data()
    splits = [STRUCTURES, PROTOTYPES, CHEMICAL_SYSTEMS]
    return [majority_row(data, held, seed) for held in splits for seed in REPEATS]


def settings() -> list[Setting]:
    """All trainings: one of each view, the checks, what claims need five of, then the rest."""
    main, others = (SHAPE, BESIDE), (SIZED_BESIDE, COPIES, SIZED)
    claimed = (*main, COMPOSITION)
    held_out, more = (PROTOTYPES, CHEMICAL_SYSTEMS), REPEATS[1:]
    found = [Setting(view) for view in (*claimed, *others)]
    found += [Setting(view, epochs=2 * EPOCHS) for view in claimed]
    found += [Setting(view, seed=seed) for seed in more for view in claimed]
    found += [Setting(view, held) for held in held_out for view in main]
    found += [Setting(view, trained=n) for n in FEWER for view in main]
    found += [Setting(view, autoencoder=False) for view in main]
    found += [Setting(view, seed=seed) for seed in more for view in others]
    return [*found, *(Setting(v, held, s) for s in more for held in held_out for v in main)]


def ranking_keys() -> frozenset[str]:
    """Keys of the trainings whose models rank structure types: see `kept_model`."""
    return frozenset(Setting(view, seed=seed).key for view in (SHAPE, BESIDE) for seed in REPEATS)


def _pieces() -> dict[str, Piece]:
    trainings = {s.key: partial(training_piece, s) for s in settings()}
    return {"majority": majority_piece, **trainings}


JOBS = [
    Job(
        NAME,
        "which element sits on a site, by its surroundings: errors of views and controls",
        4.0,
        _pieces,
        leaves_files=ranking_keys(),
    )
]
