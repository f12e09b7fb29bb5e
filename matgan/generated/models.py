"""Real compositions, controls and trained generators: each under one name, drawn in one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from matgan import files
from matgan.chemistry.composition import keys
from matgan.data.training_set import TrainingData
from matgan.files import PRETRAINED
from matgan.generated.controls import CONTROLS
from matgan.generated.measures import no_wider
from matgan.wgan.generator import CompositionGenerator, load_generator

DATA_SETS = {"oqmd": "OQMD", "mp": "Materials Project"}

REAL = "real compositions"
SWAPPED, PAIRWISE, SHUFFLED = "one element swapped", "pairwise", "stoichiometry shuffled"
UNIFORM, INDEPENDENT = "uniform elements", "independent marginals"
PRINTED, CODE = "WGAN, as printed", "WGAN, published code"
MATGAN = "MatGAN, after Dan et al. 2020"
OURS = "WGAN, ours"
TRAINED = {  # their files
    PRINTED: "wgan-{}-printed",
    CODE: "wgan-{}-code",
    MATGAN: "wgan-{}-dan2020",
    OURS: "wgan-{}",
}
MODELS = (REAL, *CONTROLS, *TRAINED)


class Draw(NamedTuple):
    """Compositions that one model gave.

    Attributes
    ----------
    counts : (n, 85)
    decodable : share of the raw samples that became compositions, see `measures.no_wider`
    weights : name of the network's file, "" where there is no network
    """

    counts: np.ndarray
    decodable: float
    weights: str


@dataclass
class Models:
    """All that compositions of one data set can be drawn from.

    Attributes
    ----------
    name : of the data set, a key of `DATA_SETS`
    data : what the generators were trained on, and what was held out
    networks : trained generators by model, then by the name of their file
    slow_draws : raw samples at most of a generator with deconvolutions, which is slow
    """

    name: str
    data: TrainingData
    networks: dict[str, dict[str, CompositionGenerator]] = field(default_factory=dict)
    slow_draws: int = 2048

    def draw(self, model: str, n: int, seed: int, turn: int = 0) -> Draw:
        """Up to n compositions; several networks of one model take turns.

        Parameters
        ----------
        model : one of `MODELS`
        n : compositions; a generator with deconvolutions, or a small data set, may give fewer
        seed : of the first turn; turn k has seed + k
        turn : which of the samples of this model
        """
        rng, train = np.random.default_rng(seed + turn), self.data.train
        if model == REAL:
            return Draw(train[rng.choice(len(train), min(n, len(train)), replace=False)], 1.0, "")
        if model in CONTROLS:
            return Draw(CONTROLS[model](train, n, rng), 1.0, "")
        file, network = list(self.networks[model].items())[turn % len(self.networks[model])]
        limit = None if model == OURS else self.slow_draws
        drawn, became = network.draw(n, seed + turn, max_draws=limit)
        counts = no_wider(drawn, train)
        share = became.kept / became.drawn * len(counts) / max(1, len(drawn))
        return Draw(counts, share, file)

    def turns(self, model: str, at_least: int) -> int:
        """How many samples to draw, so that every network of a model has its turn."""
        return max(at_least, len(self.networks.get(model, ())))

    def first(self, model: str) -> CompositionGenerator:
        """The first network of a trained model."""
        return next(iter(self.networks[model].values()))


def find_models(
    name: str,
    data: TrainingData,
    folder: str | Path = PRETRAINED,
    rule: str = "sum",
    slow_draws: int = 2048,
    device: str = "cpu",
) -> Models:
    """The models of a data set, with every trained generator that a folder holds for it.

    Parameters
    ----------
    name, data : of the data set, as in `Models`
    folder : wgan-NAME.safetensors and so on; wgan-NAME-seed1.safetensors is ours, trained anew
    rule : how sigmoid outputs are read, see `matgan.wgan.samples.decode`; ours draws counts
    slow_draws : as in `Models`
    device : "cpu" or "cuda"
    """
    networks: dict[str, dict[str, CompositionGenerator]] = {}
    for model in TRAINED:
        for path in _files(model, name, folder):
            read = "threshold" if model == OURS else rule
            generator = load_generator(path, read, device=device)
            networks.setdefault(model, {})[path.stem] = generator
    return Models(name, data, networks, slow_draws)


def trained_files(models: Models, folder: str | Path = PRETRAINED) -> pd.DataFrame:
    """The trained generators of a data set, and whether they saw the held-out part.

    Returns
    -------
    DataFrame: data, model, file ("not run: ..." where there is none), iterations (generator
    updates), trained on this split
    """
    rows = []
    for model, pattern in TRAINED.items():
        row: dict[str, object] = {"data": DATA_SETS[models.name], "model": model}
        for path in _files(model, models.name, folder):
            facts = files.load(path)[1]
            same = facts["data"] == models.data.hash
            row_of_file = {"file": path.stem, "iterations": facts["iteration"]}
            rows.append(row | row_of_file | {"trained on this split": same})
        if model not in models.networks:
            rows.append(row | {"file": f"not run: no {pattern.format(models.name)}.safetensors"})
    return pd.DataFrame(rows)


def known_compositions(sets: Sequence[TrainingData]) -> np.ndarray:
    """Keys of all compounds of several data sets, training and held-out parts: (k,), distinct."""
    return np.unique(keys(np.concatenate([part for one in sets for part in (one.train, one.test)])))


def _files(model: str, name: str, folder: str | Path) -> list[Path]:
    stem, folder = TRAINED[model].format(name), Path(folder)
    found = [folder / f"{stem}.safetensors", *sorted(folder.glob(f"{stem}-seed*.safetensors"))]
    return [path for path in found if path.is_file()]
