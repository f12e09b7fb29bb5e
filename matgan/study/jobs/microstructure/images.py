"""The job of notebook 43's generator: a GAN of Gaussian fields, and how alike its images are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from matgan.learning.compute import device
from matgan.microstructure.generation import highest
from matgan.microstructure.generative import (
    MAP,
    ImageGAN,
    ImageGenerator,
    generate,
    latent_noise,
    save_generator,
    train_images,
)
from matgan.microstructure.statistics import lineal_path, radial_mean, two_point
from matgan.study.jobs.microstructure.fields import SHARE, fields
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

IMAGES = 2000  # that the GAN learns, shifted, mirrored and turned anew each time
SAMPLE = 1000  # images behind a curve
LINES = 32  # pixels: the longest line and vector of the statistics
REAL, GENERATED, LINEAR = "real", "GAN", "principal components"
NOISE, LARGE, REAL_LARGE = "noise", "GAN, 8 × 8 map", "real, 128 pixels"
NAME = "microstructure-gan"
WEIGHTS = "generator.safetensors"  # beside the rows of the piece that trains


def linear_images(images: np.ndarray, n: int, seed: int, components: int = MAP**2) -> np.ndarray:
    """The linear control: as many Gaussian variables as the GAN has, along principal components.

    Parameters
    ----------
    images : (N, size, size) bool, of which the components are
    n : images to draw
    seed : of the variables
    components : how many

    Returns
    -------
    (n, size, size) bool
    """
    flat = images.reshape(len(images), -1).astype(np.float32)
    centred = flat - flat.mean(0)
    _, scale, axes = np.linalg.svd(centred[:SAMPLE], full_matrices=False)
    draw = np.random.default_rng(seed).standard_normal((n, components)).astype(np.float32)
    grey = (draw * scale[:components]) @ axes[:components]
    return np.stack([highest(one.reshape(images.shape[1:]), SHARE) for one in grey])


def curves(images: np.ndarray) -> dict[str, np.ndarray]:
    """(n, m + 1) two-point and (n, m) lineal-path functions of (n, size, size) images.

    m is `LINES`, or half of the size where that is less.
    """
    longest = min(LINES, images.shape[-1] // 2)
    path = [lineal_path(images, axis, longest, dimensions=2) for axis in (0, 1)]
    pairs = radial_mean(two_point(images, 2), longest, dimensions=2)
    return {"two-point": pairs, "lineal path": np.mean(path, axis=0)}


def curve_errors(found: dict[str, np.ndarray], real: dict[str, np.ndarray]) -> dict[str, float]:
    """How far mean and spread of statistics are from the real ones, mean over the distances.

    Parameters
    ----------
    found, real : from `curves`

    Returns
    -------
    dict: for each function its error of the mean, and "…, spread" that of the standard deviation
    between images
    """
    errors = {}
    for name, values in found.items():
        errors[name] = float(np.abs(values.mean(0) - real[name].mean(0)).mean())
        errors[f"{name}, spread"] = float(np.abs(values.std(0) - real[name].std(0)).mean())
    return errors


def curve_rows(source: str, images: np.ndarray, real: dict[str, np.ndarray]) -> Rows:
    """The errors of a source's images, and their curves; a row each."""
    found = curves(images)
    rows = [{"what": "errors", "source": source, "n": len(images), **curve_errors(found, real)}]
    for name, values in found.items():
        first = 0 if name == "two-point" else 1  # a line of one pixel comes first
        rows += [
            {"what": name, "source": source, "distance": first + i, "mean": m, "spread": s}
            for i, (m, s) in enumerate(zip(values.mean(0), values.std(0), strict=True))
        ]
    return rows


def compared(generator: ImageGenerator, images: np.ndarray, seed: int, n: int = SAMPLE) -> Rows:
    """Statistics of what the GAN draws beside fresh real images, controls, and larger images.

    Parameters
    ----------
    generator : trained
    images : that it learned from
    seed : of what is drawn
    n : images of each source
    """
    size, rng = images.shape[1], torch.Generator().manual_seed(seed)
    real = curves(images[:n])
    fresh = range(10_000 + n * seed, 10_000 + n * (seed + 1))
    large, few = 2 * size, n // 4  # as many pixels
    real_large = fields(range(few), large, seed=1)
    noise = np.random.default_rng(seed).random((n, size, size))
    sources = {
        REAL: fields(fresh, size),
        GENERATED: generate(generator, latent_noise(n, rng, generator.latents)),
        LINEAR: linear_images(images, n, seed),
        NOISE: np.stack([highest(one, SHARE) for one in noise]),
    }
    rows = [row for source, drawn in sources.items() for row in curve_rows(source, drawn, real)]
    maps = latent_noise(few, rng, generator.latents, 2 * MAP)
    rows += curve_rows(LARGE, generate(generator, maps), curves(real_large))
    rows += curve_rows(REAL_LARGE, fields(range(few, 2 * few), large, seed=1), curves(real_large))
    return [row | {"seed": seed} for row in rows]


def training(
    config: ImageGAN,
    n: int,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[Rows, tuple, np.ndarray]:
    """Train a GAN; its history, generator and critic, and the images that it learned.

    Parameters
    ----------
    config : all choices
    n : images
    checkpoint, progress : see `train_images`
    """
    images = fields(range(n), config.size)
    real = curves(images[:SAMPLE])
    generator, critic, history = train_images(
        config,
        images,
        lambda drawn: curve_errors(curves(drawn), real),
        checkpoint=checkpoint,
        progress=progress,
        device=device(),
    )
    rows = [{"what": "history", "source": GENERATED, "seed": config.seed, **row} for row in history]
    return rows, (generator, critic), images


def gan_piece(seed: int, times: int, folder: Path) -> Rows:
    """One training, some times as long as planned; its weights are kept beside its rows."""
    config = ImageGAN(seed=seed)
    config = replace(config, iterations=times * config.iterations)
    rows, parts, images = training(config, IMAGES, folder / "checkpoint.safetensors")
    save_generator(folder / WEIGHTS, config, parts)
    return [{**row, "times": times} for row in rows + compared(parts[0].cpu(), images, seed)]


def stays(errors: pd.DataFrame, longer: pd.DataFrame, source: str, bounds: pd.Series) -> bool:
    """Whether twice the updates could not change that all errors are below their bounds, or not.

    An error stays on its side where it changes by less than half of what it is from its bound. One
    that stays above decides; else all have to stay.

    Parameters
    ----------
    errors, longer : rows "errors" of the job as planned and for twice as long, by source
    source : whose errors
    bounds : by the name of the error

    Returns
    -------
    False where no GAN was trained for twice as long
    """
    if source not in longer.index or source not in errors.index:
        return False
    names = list(bounds.index)
    once, twice = (part.loc[[source]].set_index("seed")[names] for part in (errors, longer))
    change = (twice - once).dropna()
    away = (once - bounds).loc[change.index]
    stay = (change.abs() < away.abs() / 2).all()
    above = (away > 0).all() & (once.mean() > bounds)
    return len(change) > 0 and bool(stay.all() or (stay & above).any())


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {f"gan-{seed}": partial(gan_piece, seed, 1) for seed in range(5)}
    return pieces | {"gan-0-longer": partial(gan_piece, 0, 2)}


JOBS = [
    Job(
        NAME,
        "a GAN of two-phase images, five seeds, one for twice as long",
        2.4,
        _pieces,
        leaves_files=frozenset(_pieces()) - {"gan-0"},  # which ships
    )
]
