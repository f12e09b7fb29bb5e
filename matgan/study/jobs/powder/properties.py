"""The jobs of notebook 22: properties from patterns and compositions, and latent spaces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsRegressor

from matgan.chemistry.composition import amounts_matrix
from matgan.crystals.graphs.cgcnn import Graphs
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.symmetry import SYSTEMS
from matgan.learning.fit import (
    Examples,
    Fit,
    Subset,
    outputs,
    regression_loss,
)
from matgan.learning.statistics import scores
from matgan.powder import baselines, patterns
from matgan.powder.networks import FCN, VAE, Regressor, vae_loss
from matgan.representation.features import OneHot, PooledEmbedding
from matgan.representation.maps import knn_purity
from matgan.representation.tables import load_embedding, random_embedding
from matgan.study.jobs.powder.patterns import TRAININGS, Setting, fitted, material
from matgan.study.jobs.runner import Job, Piece, Rows

TARGETS = {"e_form": "formation energy (eV/atom)", "gap": "band gap (eV)"}

# --- properties ---------------------------------------------------------------------------------

WAYS = (  # how a material is seen
    "composition, one-hot", "composition, WGAN T", "composition, random T", "pattern",
    "composition, as short", "pattern + composition", "structure (CGCNN)",
)  # fmt: skip


def property_rows(
    way: str, setting: Setting, passes: int, seed: int, checkpoint=None, progress=None
) -> Rows:
    """Errors of formation energy and gap, learned at once: a row for each.

    Atomic fractions get one common scale, since a column of a rare element has nearly no
    deviation; means of element vectors are standardised on the training part.

    Parameters
    ----------
    way : one of `WAYS`
    setting : what is learned from
    passes, seed, checkpoint, progress : of the training
    """
    one = material(setting)
    amounts, bad = amounts_matrix(one.crystals.formulas(), "drop", report=True)
    inside = np.setdiff1d(np.arange(len(one.crystals)), bad["row"])  # of the 85 elements only
    crystals, codes = one.crystals.take(inside), one.codes[inside]
    test = one.test["MEGNet"][inside]
    y = crystals.table[list(TARGETS)].to_numpy(float)
    mean, deviation = y[~test].mean(0), y[~test].std(0)
    values = ((y - mean) / deviation).astype(np.float32)
    if way == "structure (CGCNN)":
        make: Callable = partial(CrystalGraphNetwork, {"value": len(TARGETS)}, elements="learned")
        source: Examples = Graphs(crystal_graphs(crystals), values)
    else:
        x = _composition(way, amounts, test) if way != "pattern" else amounts[:, :0]
        reads_pattern = way.startswith("pattern")
        seen = codes if reads_pattern else codes[:, :1]
        make = partial(_reader, codes.shape[1] if reads_pattern else 0, x.shape[1])
        source = patterns.Stored(seen, values, x.astype(np.float32))
    fit = Fit(passes, setting.batch_size, seed=seed)
    network = fitted(
        make, source, np.flatnonzero(~test), fit, regression_loss, checkpoint, progress
    )
    predicted = outputs(network, Subset(source, np.flatnonzero(test)))["value"] * deviation + mean
    compositions = np.array([row.tobytes() for row in crystals.fractions().round(5)])
    unseen = ~np.isin(compositions[test], compositions[~test])
    rows = []
    for i, target in enumerate(TARGETS):
        found = scores(y[test, i], predicted[:, i])
        found["mae_new_formula"] = float(np.abs(predicted - y[test])[unseen, i].mean())
        facts = {"model": way, "property": target, "seed": seed, "passes": passes}
        rows.append({**facts, "n_train": int((~test).sum()), "n_test": int(test.sum()), **found})
    return rows


def _reader(points: int, width: int) -> Regressor:
    return Regressor(FCN(points, {}) if points else None, width, len(TARGETS))


def _composition(way: str, amounts: np.ndarray, test: np.ndarray) -> np.ndarray:
    tables = {"composition, WGAN T": load_embedding("wgan-mp")}
    tables["composition, random T"] = random_embedding(tables["composition, WGAN T"], 0)
    if way in tables:
        x = PooledEmbedding(tables[way], pool="mean").fit_transform(amounts)
        return (x - x[~test].mean(0)) / x[~test].std(0).clip(1e-6)
    x = OneHot(fractions=True).fit_transform(amounts)
    return x / x[~test].std()


def property_piece(way: str, setting: Setting, passes: int, seed: int, folder: Path) -> Rows:
    """One training and its errors."""
    return property_rows(way, setting, passes, seed, folder / "checkpoint.safetensors")


def _properties() -> dict[str, Piece]:
    passes = dict.fromkeys(WAYS, 60) | {"pattern": 30, "pattern + composition": 30}
    passes["composition, as short"] = 30
    pieces: dict[str, Piece] = {}
    for way in WAYS:
        for seed in TRAININGS:
            key = f"{way}-{seed}".replace(" ", "-")
            pieces[key] = partial(property_piece, way, Setting(), passes[way], seed)
    return pieces


# --- latent spaces ------------------------------------------------------------------------------


def latent_space(
    kind: str, size: int, setting: Setting, passes: int, seed: int, checkpoint=None, progress=None
) -> np.ndarray:
    """The structures of a setting in a space of patterns: (n, size).

    Parameters
    ----------
    kind : "VAE", learned on the training part; or "PCA" of the same patterns
    size : dimensions
    setting : what is learned from
    passes, seed, checkpoint, progress : of the training
    """
    one = material(setting)
    learn = np.flatnonzero(~one.test["MEGNet"])
    if kind == "PCA":
        roots = baselines.coarse(one.codes, 1)  # square roots of intensities: what the VAE sees
        return PCA(size, random_state=seed).fit(roots[learn]).transform(roots)
    source = patterns.Stored(one.codes, np.zeros((len(one.codes), 1), dtype=np.float32))
    fit = Fit(passes, setting.batch_size, seed=seed)
    make = partial(VAE, one.codes.shape[1], size)
    network = fitted(make, source, learn, fit, vae_loss, checkpoint, progress)
    return outputs(network, source)["mean"]


def latent_rows(space: np.ndarray, kind: str, setting: Setting, passes: int, seed: int) -> Rows:
    """Purity of the ten nearest test patterns by crystal system, R² of ten training neighbours.

    Parameters
    ----------
    space : (n, d), as `latent_space` gives it
    kind, setting, passes, seed : what it was given
    """
    one = material(setting)
    test = one.test["MEGNet"]
    systems = np.array(SYSTEMS)[one.classes[:, 0]]
    purity = knn_purity(space[test], systems[test])
    row = {"space": kind, "dimensions": space.shape[1], "seed": seed, "passes": passes}
    row |= {"purity": purity.mean, "chance": purity.chance, "n_test": int(test.sum())}
    y = one.crystals.table[list(TARGETS)].to_numpy(float)
    near = KNeighborsRegressor(10).fit(space[~test], y[~test]).predict(space[test])
    return [row | {f"R2 {t}": scores(y[test, i], near[:, i])["r2"] for i, t in enumerate(TARGETS)}]


def latent_piece(
    kind: str, size: int, setting: Setting, passes: int, seed: int, folder: Path
) -> Rows:
    """One space and what it tells."""
    given = (setting, passes, seed)
    space = latent_space(kind, size, *given, folder / "checkpoint.safetensors")
    return latent_rows(space, kind, *given)


def _latent() -> dict[str, Piece]:
    return {
        f"{kind}-{size}-{seed}": partial(latent_piece, kind, size, Setting(), 30, seed)
        for kind in ("PCA", "VAE")
        for size in (2, 3, 16)
        for seed in (TRAININGS if kind == "VAE" else (0,))
    }


JOBS = [
    Job("pattern-properties", "energies, gaps: pattern, composition, structure", 12, _properties),
    Job("pattern-latent", "VAE against PCA: purity by system, R² of properties", 5, _latent),
]
