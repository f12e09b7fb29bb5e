"""The jobs of notebook 43: which search finds the microstructure that absorbs most light."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, qmc, ttest_rel

from matgan.files import PRETRAINED
from matgan.learning.statistics import welch_p
from matgan.microstructure.generative import (
    ImageCritic,
    ImageGAN,
    ImageGenerator,
    generate,
    load_generator_and_critic,
)
from matgan.microstructure.optics import FINER_ORDERS, WAVE_ORDERS, Film, absorbed
from matgan.study.jobs import runner
from matgan.study.jobs.microstructure.absorption import FIELD_LENGTHS
from matgan.study.jobs.microstructure.fields import FIELD_RANGE, field, fields
from matgan.study.jobs.microstructure.images import NAME as GAN
from matgan.study.jobs.microstructure.images import WEIGHTS
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import RunError

SOBOL, CMA, BAYES = "Sobol points", "CMA-ES", "Bayesian optimisation"
LENGTH, FIELDS = "one length", "random fields"
METHODS = (FIELDS, LENGTH, SOBOL, CMA, BAYES)
BUDGET = 60  # absorptions that each search may ask for
START = 20  # of these: the first of a Bayesian optimisation, and the look at the lengths
BATCH = 5  # designs that a Bayesian optimisation asks for at a time
REPEATS = range(10)
TRAININGS = 5  # of the GAN
BEFORE_SEARCH = "absorption-gans"

Objective = Callable[[np.ndarray], float]  # an image to what it absorbs
Found = tuple[np.ndarray, list[float]]  # the best image, and all values in their order


def random_fields(objective: Objective, budget: int, seed: int) -> Found:
    """The best of some images of the kind that the GAN learned."""
    return _best(objective, fields(range(budget), seed=1000 + seed))


def one_length(objective: Objective, budget: int, seed: int) -> Found:
    """The control: fields of one length, the length chosen by a third of the evaluations.

    Parameters
    ----------
    objective : what is looked for
    budget : evaluations
    seed : of the fields
    """
    grid = np.geomspace(*FIELD_RANGE, max(2, budget // 12))
    tried = np.resize(grid, budget // 3)
    images = [field(i, length=float(x), seed=2000 + seed) for i, x in enumerate(tried)]
    values = [objective(image) for image in images]
    means = [np.mean([v for v, x in zip(values, tried, strict=True) if x == one]) for one in grid]
    best = float(grid[int(np.argmax(means))])
    more = fields(range(len(tried), budget), length=best, seed=2000 + seed)
    values += [objective(image) for image in more]
    return [*images, *more][int(np.argmax(values))], values


def sobol_points(objective: Objective, generator, budget: int, seed: int) -> Found:
    """The best of latent maps that fill their space evenly."""
    points = cube(budget, seed, _variables(generator))
    return _best(objective, generate(generator, norm.ppf(points)))


def cma_es(objective: Objective, generator, budget: int, seed: int) -> Found:
    """Covariance matrix adaptation (Hansen 2001) from the middle of the latent space."""
    import cma

    options = {"seed": seed + 1, "verbose": -9, "maxfevals": budget}
    search = cma.CMAEvolutionStrategy(np.zeros(_variables(generator)), 0.7, options)
    images: list[np.ndarray] = []
    values: list[float] = []
    while len(values) < budget:
        asked = search.ask()
        drawn = generate(generator, np.stack(asked))[: budget - len(values)]
        found = [objective(image) for image in drawn]
        images, values = [*images, *drawn], values + found
        if len(found) == len(asked):
            search.tell(asked, [-value for value in found])
    return images[int(np.argmax(values))], values


def bayesian(objective: Objective, generator, budget: int, seed: int) -> Found:
    """Gaussian process and expected improvement (botorch), on the cube that the latents fill.

    Parameters
    ----------
    objective : what is looked for
    generator : from latent variables to images
    budget : evaluations, the first third of them the Sobol points of the same seed
    seed : of the points
    """
    import torch
    from botorch.acquisition import qLogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from botorch.sampling import SobolQMCNormalSampler
    from gpytorch.mlls import ExactMarginalLogLikelihood

    points = cube(budget // 3, seed, _variables(generator))
    images = list(generate(generator, norm.ppf(points)))
    values = [objective(image) for image in images]
    bounds = torch.tensor([[0.001], [0.999]], dtype=torch.double).repeat(1, points.shape[1])
    while len(values) < budget:
        torch.manual_seed(seed * 1000 + len(values))
        y = torch.tensor(values, dtype=torch.double)[:, None]
        model = SingleTaskGP(torch.from_numpy(points), y, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        sampler = SobolQMCNormalSampler(torch.Size([64]), seed=seed)
        gain = qLogExpectedImprovement(model, best_f=y.max(), sampler=sampler)
        asked, _ = optimize_acqf(
            gain, bounds, min(BATCH, budget - len(values)), num_restarts=2, raw_samples=32,
            options={"maxiter": 25}, sequential=True,
        )  # fmt: skip
        drawn = generate(generator, norm.ppf(asked.numpy()))
        points = np.concatenate([points, asked.numpy()])
        images, values = [*images, *drawn], values + [objective(image) for image in drawn]
    return images[int(np.argmax(values))], values


def cube(n: int, seed: int, variables: int) -> np.ndarray:
    """(n, variables) scrambled Sobol points between 0 and 1."""
    engine = qmc.Sobol(variables, seed=seed)
    return np.clip(engine.random_base2(int(np.ceil(np.log2(n))))[:n], 0.001, 0.999)


def _variables(generator: ImageGenerator) -> int:
    return 16 * generator.latents


def _best(objective: Objective, images: np.ndarray) -> Found:
    values = [objective(image) for image in images]
    return images[int(np.argmax(values))], values


# --- the job ------------------------------------------------------------------------------------


def shipped() -> tuple[ImageGAN, ImageGenerator, ImageCritic]:
    """Choices, generator and critic of the training that comes along (seed 0).

    Raises
    ------
    RunError
        It does not come along.
    """
    path = PRETRAINED / "microstructure-gan.safetensors"
    if not path.is_file():
        raise RunError(f"there is no {path.name}: `python -m matgan jobs run {GAN}` makes it")
    return load_generator_and_critic(path)


def search_rows(method: str, generator, seed: int, budget: int, orders: int = WAVE_ORDERS) -> Rows:
    """One search: the best value after each evaluation, and the winner with more orders.

    Parameters
    ----------
    method : one of `METHODS`
    generator : of the GAN
    seed : of the search
    budget : evaluations
    orders : of the coupled waves
    """
    plain = {FIELDS: random_fields, LENGTH: one_length}
    latent = {SOBOL: sobol_points, CMA: cma_es, BAYES: bayesian}
    objective = partial(absorbed, orders=orders)
    if method in plain:
        image, values = plain[method](objective, budget, seed)
    else:
        image, values = latent[method](objective, generator, budget, seed)
    finer = absorbed(image, Film(), orders + FINER_ORDERS - WAVE_ORDERS)
    row = {"method": method, "seed": seed, "evaluations": len(values), "best": max(values)}
    row |= {"finer": finer, "mean": float(np.mean(values))}
    best = np.maximum.accumulate(values)
    row |= {f"best of {n}": float(best[n - 1]) for n in range(10, budget, 10)}
    return [row | {"phases": np.packbits(image).tobytes().hex() if seed == 0 else ""}]


def search_piece(method: str, seed: int, folder: Path) -> Rows:
    """One search; in latent space the repeats go round the trainings of the GAN."""
    if method in (FIELDS, LENGTH):
        return search_rows(method, None, seed, BUDGET)
    training = seed % TRAININGS
    rows = search_rows(method, training_of(training)[1], seed, BUDGET)
    return [row | {"training": training} for row in rows]


def training_of(seed: int, times: int = 1) -> tuple[ImageGAN, ImageGenerator, ImageCritic]:
    """Choices, generator and critic of one training of the job `GAN`; the first comes along.

    Parameters
    ----------
    seed, times : of the training, see `matgan.study.jobs.microstructure.images.gan_piece`

    Raises
    ------
    RunError
        It was not trained here.
    """
    if (seed, times) == (0, 1):
        return shipped()
    path = runner.WORK / GAN / f"gan-{seed}{'-longer' * (times > 1)}" / WEIGHTS
    if not path.is_file():
        raise RunError(f"there is no {path}: `python -m matgan jobs run {GAN}` makes it")
    return load_generator_and_critic(path)


def drawn_piece(seed: int, times: int, folder: Path) -> Rows:
    """What images of one training absorb, before any search."""
    generator = training_of(seed, times)[1]
    latents = norm.ppf(cube(BUDGET, seed, _variables(generator)))
    row = _absorbed_row(generate(generator, latents))
    return [{"source": GAN, "seed": seed, "times": times} | row]


def length_piece(length: float, folder: Path) -> Rows:
    """The control: what fields of one length absorb."""
    row = _absorbed_row(fields(range(BUDGET), length=length, seed=3))  # as in the job `absorption`
    return [{"source": LENGTH, "seed": 0, "length": length} | row]


def _absorbed_row(images: np.ndarray) -> dict[str, float]:
    finer = partial(absorbed, film=Film(), orders=FINER_ORDERS)
    means = {"mean": float(np.mean([*map(absorbed, images)]))}
    return {"images": len(images)} | means | {"finer": float(np.mean([*map(finer, images)]))}


def by_method(table: pd.DataFrame, column: str, methods: Sequence[str]) -> dict[str, pd.Series]:
    """What some searches found, a value a repeat or, in latent space, a training; by its number.

    Parameters
    ----------
    table : of the job, or empty
    column : of it
    methods : of `METHODS`

    Returns
    -------
    empty where the column is not there, or one of the methods has no number in it
    """
    if column not in table:
        return {}
    found = {}
    for name in methods:
        rows = table[table["method"] == name].dropna(subset=column)
        in_latent_space = name not in (FIELDS, LENGTH) and "training" in rows
        unit = "training" if in_latent_space else "seed"
        found[name] = rows.groupby(unit)[column].mean()
    return found if all(map(len, found.values())) else {}


def equal_p(ours: pd.Series, other: pd.Series) -> float:
    """Two-sided p that two of `by_method` are level: in pairs where both know trainings."""
    if ours.index.name == other.index.name == "training":
        return float(ttest_rel(*ours.align(other, join="inner")).pvalue)
    return welch_p(ours, other)


def _searches() -> dict[str, Piece]:
    return {
        f"{method}-{seed}".replace(" ", "-"): partial(search_piece, method, seed)
        for seed in REPEATS
        for method in METHODS
    }


def _drawn() -> dict[str, Piece]:
    trainings = [(seed, 1) for seed in range(TRAININGS)] + [(0, 2)]
    pieces: dict[str, Piece] = {f"gan-{s}-{n}": partial(drawn_piece, s, n) for s, n in trainings}
    return pieces | {f"length-{x:g}": partial(length_piece, x) for x in FIELD_LENGTHS}


JOBS = [
    Job(
        "design",
        "the microstructure that absorbs most: five searches",
        0.3,
        _searches,
        reads=(GAN,),
    ),
    Job(
        BEFORE_SEARCH,
        "what images of five GANs and fields of one length absorb, before any search",
        0.2,
        _drawn,
        reads=(GAN,),
    ),
]
