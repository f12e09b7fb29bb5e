"""The jobs of notebook 22 on latent spaces: what a VAE of patterns arranges, beside other spaces.

    python -m matgan jobs run pattern-material pattern-latent-search pattern-latent

The rules, written before the run, for two, three and sixteen dimensions. Crystal systems are well
separated where, of the test patterns, the mean silhouette is above 0.5 (a reasonable structure
begins there: Kaufman and Rousseeuw, Finding Groups in Data, 1990) and nine tenths of the ten
nearest ones are of the same system, in each of five trainings. A property is arranged where R² of
the mean of the ten nearest training patterns is above 0.5 in each training. The VAE arranges
better than PCA, or than UMAP, where the interval of the difference (95%, over five trainings) is
above 0. It is converged where twice the passes change purity and R² by less than 2% and by less
than half of that difference, in two trainings. The vectors of a network that learned the symmetry
labels are no rival: they say what a space can show.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsRegressor
from torch import nn

from matgan.crystals.symmetry import SYSTEMS
from matgan.learning.fit import Fit, Subset, outputs
from matgan.learning.statistics import scores
from matgan.powder import baselines
from matgan.powder.networks import FCN, VAE, vae_loss
from matgan.powder.patterns import Stored
from matgan.study.jobs.pieces import Piece, Rows, computed_once
from matgan.study.jobs.powder import patterns as symmetry
from matgan.study.jobs.powder.material import HOW_SPLIT, LONG, Setting, material
from matgan.study.jobs.powder.patterns import TRAININGS, TWICE, fitted
from matgan.study.jobs.powder.properties import TARGETS, values
from matgan.study.jobs.runner import Job
from matgan.study.jobs.search import best_rate, searched_rates

NAME, SEARCH = "pattern-latent", "pattern-latent-search"
LEARNED, MANIFOLD, LINEAR, SUPERVISED = "VAE", "UMAP", "PCA", "FCN, supervised"
SIZES = (2, 3, 16)
PASSES, SEARCHED_PASSES, FIRST_RATE = 60, 30, 2e-3
SEPARATED, ALIKE, ARRANGED = 0.5, 0.9, 0.5  # silhouette, purity, R²: the rules above


def latent_space(
    kind: str,
    size: int,
    setting: Setting,
    passes: int,
    seed: int,
    checkpoint: Path | None = None,
    progress=None,
    rate: float = Fit.learning_rate,
) -> np.ndarray:
    """The structures of a setting in a space of patterns that the training part decided: (n, size).

    Parameters
    ----------
    kind : "VAE", "UMAP" or "PCA"; or "FCN, supervised", the last channels of a network that learned
        symmetry labels, as many as it has
    size : dimensions
    setting : what is learned from
    passes, seed, checkpoint, progress, rate : of the training of a network
    """
    one = material(setting)
    learn = np.flatnonzero(~one.test[HOW_SPLIT[0]])
    if kind == LEARNED:
        network = _autoencoder(size, setting, passes, seed, checkpoint, progress, rate)
        return outputs(network, _source(setting))["mean"]
    if kind == SUPERVISED:
        given = ("FCN", HOW_SPLIT[0], setting, passes, seed, checkpoint, progress, rate)
        return outputs(_Vectors(symmetry.symmetry_network(*given)), _source(setting))["vector"]
    roots = baselines.coarse(one.codes, 1)  # square roots of intensities: what the VAE sees
    if kind == LINEAR:
        return PCA(size, random_state=seed).fit(roots[learn]).transform(roots)
    from umap import UMAP

    space = np.empty((len(roots), size), dtype=np.float32)
    fitted_map = UMAP(n_components=size, random_state=seed, n_jobs=1).fit(roots[learn])
    space[learn] = fitted_map.embedding_
    asked = np.setdiff1d(np.arange(len(roots)), learn)
    space[asked] = fitted_map.transform(roots[asked])
    return space


class _Vectors(nn.Module):
    """What an FCN's heads read, as an output."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, given: torch.Tensor) -> dict[str, torch.Tensor]:
        assert isinstance(self.network, FCN)
        return {"vector": self.network.features(given)}


def _source(setting: Setting) -> Stored:
    codes = material(setting).codes
    return Stored(codes, np.zeros((len(codes), 1), dtype=np.float32))


def _autoencoder(size, setting: Setting, passes, seed, checkpoint, progress, rate) -> nn.Module:
    source = _source(setting)
    learn = np.flatnonzero(~material(setting).test[HOW_SPLIT[0]])
    fit = Fit(passes, setting.batch_size, rate, seed=seed)
    make = partial(VAE, material(setting).codes.shape[1], size)
    return fitted(make, source, learn, fit, vae_loss, checkpoint, progress)


def latent_rows(
    space: np.ndarray,
    kind: str,
    setting: Setting,
    passes: int,
    seed: int,
    rate: float | None = None,
) -> Rows:
    """What a space tells of test patterns.

    Parameters
    ----------
    space : (n, d), as `latent_space` gives it
    kind, setting, passes, seed, rate : what it was given

    Returns
    -------
    one row: space, dimensions, seed, passes, learning_rate; purity of the ten nearest test patterns
    by crystal system, and its chance; their silhouette; R² of the mean of the ten nearest training
    patterns for each property
    """
    from matgan.representation.maps import knn_purity, silhouette  # asks for openTSNE

    one = material(setting)
    test = one.test[HOW_SPLIT[0]]
    systems = np.array(SYSTEMS)[one.classes[test, 0]]
    purity = knn_purity(space[test], systems)
    row = {"space": kind, "dimensions": space.shape[1], "seed": seed, "passes": passes}
    row |= {"learning_rate": rate, "purity": purity.mean, "chance": purity.chance}
    row |= {"silhouette": silhouette(space[test], systems), "n_test": int(test.sum())}
    y = values(setting)
    near = KNeighborsRegressor(10).fit(space[~test], y[~test]).predict(space[test])
    return [row | {f"R2 {t}": scores(y[test, i], near[:, i])["r2"] for i, t in enumerate(TARGETS)}]


# --- the jobs -------------------------------------------------------------------------------------


def latent_piece(
    kind: str, size: int, passes: int, seed: int, folder: Path, setting: Setting = LONG
) -> Rows:
    """One space and what it tells."""
    rate = None
    if kind == LEARNED:
        rate = best_rate(SEARCH, f"{kind}, {size}")
    if kind == SUPERVISED:
        rate = best_rate(symmetry.SEARCH, "FCN")
    given = (setting, passes, seed, folder / "checkpoint.safetensors")
    make = partial(latent_space, kind, size, *given, rate=rate or Fit.learning_rate)
    # UMAP has no checkpoint
    space = computed_once(folder / "space.npz", make)[0] if kind == MANIFOLD else make()
    return latent_rows(space, kind, setting, passes, seed, rate)


def search_piece(
    size: int, folder: Path, setting: Setting = LONG, passes: int = SEARCHED_PASSES
) -> Rows:
    """The learning rate of a VAE, by its loss on validation patterns.

    Parameters
    ----------
    size : dimensions
    folder : of the checkpoints
    setting : its training structures are learned from
    passes : of each training
    """
    asked = replace(setting, asked="val")
    held_out = Subset(_source(asked), np.flatnonzero(material(asked).test[HOW_SPLIT[0]]))

    def trial(rate: float, own: Path) -> float:
        checkpoint = own / "checkpoint.safetensors"
        network = _autoencoder(size, asked, passes, 0, checkpoint, None, rate)
        torch.manual_seed(0)  # of the draws in the latent space
        found = {k: torch.from_numpy(v) for k, v in outputs(network, held_out).items()}
        inputs, targets = held_out.batch(np.arange(len(held_out)), [0])
        return float(vae_loss(found, targets, inputs))

    found = searched_rates(trial, FIRST_RATE, folder)
    facts = {"method": f"{LEARNED}, {size}", "seed": 0, "passes": passes}
    return [facts | row for row in found]


def _latent() -> dict[str, Piece]:
    todo: list[tuple[str, int, int, int]] = [(LINEAR, size, 0, 0) for size in SIZES]
    todo += [(MANIFOLD, size, 0, seed) for size in SIZES for seed in TRAININGS]
    todo += [(LEARNED, size, PASSES, seed) for size in SIZES for seed in TRAININGS]
    todo += [(LEARNED, size, 2 * PASSES, seed) for size in SIZES for seed in TWICE]
    passes = symmetry.PASSES["FCN"]
    todo += [(SUPERVISED, 0, passes, seed) for seed in TRAININGS]
    return {
        f"{kind}-{size}-{seed}-{passes}".replace(", ", "-"): partial(
            latent_piece, kind, size, passes, seed
        )
        for kind, size, passes, seed in todo
    }


def _search() -> dict[str, Piece]:
    return {f"{LEARNED}-{size}": partial(search_piece, size) for size in SIZES}


JOBS = [
    Job(SEARCH, "learning rates of the VAEs", 11, _search),
    Job(
        NAME,
        "VAE against PCA and UMAP: purity by system, R² of properties",
        30,
        _latent,
        reads=(SEARCH, symmetry.SEARCH),
    ),
]
