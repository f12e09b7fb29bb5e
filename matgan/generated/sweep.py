"""Which training setting learns? Grids of short runs, each seeded, measured and resumable.

    python -m matgan sweep search mp.npz --out DIR  # the paper's: rates x batches
    python -m matgan sweep ablation mp.npz --out DIR  # one change at a time, to ours
    python -m matgan sweep seeds mp.npz --out DIR  # ours with three seeds
    python -m matgan sweep converged mp.npz --out DIR  # ours with five, ten times as long
    python -m matgan sweep doubled mp.npz --out DIR  # twice as long: does it change what is drawn?
    python -m matgan sweep unswapped mp.npz --out DIR  # the same where the critic sees no swaps
    python -m matgan sweep objects oqmd.npz --out DIR  # the published code, and as printed
    python -m matgan sweep rates oqmd.npz --out DIR  # rates x batches with the published code
    python -m matgan sweep peer oqmd.npz --out DIR  # MatGAN's architecture

Each run lies in a folder of DIR; what is finished is read, not trained again. The table comes to
DIR/<part>.csv, one row a run, rewritten after each of them. Published: results/long/wgan-*.csv.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV

from matgan import files
from matgan.chemistry.composition import fractions
from matgan.chemistry.elements import periodic_table
from matgan.data.compounds import load_mp_gap
from matgan.data.training_set import TrainingData, load_training_data
from matgan.generated.controls import stoichiometry_shuffled
from matgan.generated.measures import no_wider, two_sample_auc, uniqueness, validity_rates
from matgan.learning.compute import device, progress_bar
from matgan.learning.evaluation import CHANGE, SHARE
from matgan.representation.maps import knn_purity, neighbour_overlap
from matgan.wgan.checkpoint import TrainedRun
from matgan.wgan.config import LEARNING, PAPER, PEER, PUBLISHED_CODE, Config
from matgan.wgan.generator import CompositionGenerator
from matgan.wgan.training import train_wgan

# The grid of the paper's hyper-parameter search
LEARNING_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
BATCH_SIZES = (32, 64, 128, 256, 512, 1024)

# From the paper's setting to ours: each row keeps the changes of those above it.
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("paper as printed", {}),
    ("scaled initial weights", {"initialisation": "scaled", "keep": "last"}),
    ("hidden layers in the critic", {"head": LEARNING.head}),
    (
        "gradient penalty, Adam",
        {
            "lipschitz": "gradient-penalty",
            "penalty": LEARNING.penalty,
            "optimizer": "adam",
            "generator_lr": LEARNING.generator_lr,
            "critic_lr": LEARNING.critic_lr,
        },
    ),
    ("counts drawn (Gumbel-softmax)", {"output": "gumbel"}),
    ("slots", {"architecture": "slots", "hidden": LEARNING.hidden}),
    (
        "score-function gradient",
        {"generator_gradient": LEARNING.generator_gradient},
    ),
    ("critic sees the stoichiometry", {"stoichiometry": LEARNING.stoichiometry}),
    (
        "averaged weights, falling learning rate",
        {"average": LEARNING.average, "schedule": LEARNING.schedule},
    ),
    ("residual blocks", {"mixing": LEARNING.mixing}),
    (
        "likelihood of real compositions, fewer critic steps",
        {"likelihood": LEARNING.likelihood, "critic_steps": LEARNING.critic_steps},
    ),
    (
        "swapped elements among the fakes, T from small weights",
        {"negatives": LEARNING.negatives, "embedding_scale": LEARNING.embedding_scale},
    ),
)
SEEDS = (0, 1, 2)
MANY_SEEDS = (0, 1, 2, 3, 4)
_TESTED = 5000  # compositions of each kind in a two-sample test
_SMALL = 1000  # compounds with a band gap that the small-data error is learned from


def search_grid(iterations: int, setting: Config = PAPER) -> Iterator[tuple[dict, Config]]:
    """The paper's grid with the paper's setting; (labels, configuration) of each run."""
    for rate in LEARNING_RATES:
        for size in BATCH_SIZES:
            config = setting.replace(
                generator_lr=rate, critic_lr=rate, batch_size=size, iterations=iterations
            )
            yield {"learning rate": rate, "batch size": size}, config


def rates(iterations: int) -> Iterator[tuple[dict, Config]]:
    """The same grid with the published code, which learns where the printed setting does not.

    To choose by: the two-sample AUC (what is drawn; an untrained generator has 1), and for T the
    share of neighbours in the same group (a T that did not move has that of chance).
    """
    yield from search_grid(iterations, PUBLISHED_CODE)


def ablation(iterations: int) -> Iterator[tuple[dict, Config]]:
    """One change at a time, from the paper's setting to ours."""
    config = PAPER.replace(iterations=iterations)
    for step, (name, changes) in enumerate(STEPS):
        config = config.replace(**changes)
        yield {"step": step, "change": name}, config


def seeds(iterations: int) -> Iterator[tuple[dict, Config]]:
    """Our setting with three seeds."""
    for seed in SEEDS:
        yield {"seed": seed}, LEARNING.replace(seed=seed, iterations=iterations)


def converged(iterations: int) -> Iterator[tuple[dict, Config]]:
    """Our setting with five seeds."""
    for seed in MANY_SEEDS:
        yield {"seed": seed}, LEARNING.replace(seed=seed, iterations=iterations)


def doubled(iterations: int) -> Iterator[tuple[dict, Config]]:
    """The first of `converged` with twice as many updates, over which its rates fall as far."""
    yield {"seed": MANY_SEEDS[0]}, LEARNING.replace(seed=MANY_SEEDS[0], iterations=iterations)


def unswapped(iterations: int) -> Iterator[tuple[dict, Config]]:
    """As `converged`, but all fakes are the generator's, and T starts from weights of full size."""
    for labels, config in converged(iterations):
        yield labels, config.replace(negatives=0.0, embedding_scale=1.0)


def objects(iterations: int) -> Iterator[tuple[dict, Config]]:
    """What the paper's authors published, with five seeds, and what it prints, whose network takes
    four times as long on a CPU: a quarter of the updates."""
    printed = PAPER.replace(iterations=max(1, iterations // 4))
    published = PUBLISHED_CODE.replace(iterations=iterations)
    for name, setting in (("published code", published), ("as printed", printed)):
        for seed in MANY_SEEDS:
            yield {"object": name, "seed": seed}, setting.replace(seed=seed)


def peer(iterations: int) -> Iterator[tuple[dict, Config]]:
    """MatGAN's architecture (Dan et al. 2020) with three seeds."""
    for seed in SEEDS:
        yield {"seed": seed}, PEER.replace(seed=seed, iterations=iterations)


PARTS = {
    "search": (search_grid, 20),
    "ablation": (ablation, 150),
    "seeds": (seeds, 2000),
    "converged": (converged, 20_000),
    "doubled": (doubled, 40_000),
    "unswapped": (unswapped, 20_000),
    "objects": (objects, 20_000),
    "rates": (rates, 1000),
    "peer": (peer, 20_000),
}


def measure(run: TrainedRun, data: TrainingData, n: int = 10_000) -> dict[str, float]:
    """What a trained run is worth: the paper's criterion, and what matters.

    Returns
    -------
    dict
        "lowest test loss": the total critic loss on the test set by which the paper chooses;
        "decodable": share of n samples that are compositions of two elements or more, and of no
        more than any training composition has; "effective rank" of T; "small-data error (eV)", see
        `small_data_error`; "neighbours kept": share of the five nearest neighbours of each element
        in T that were so when three quarters of the updates were done, NaN where nobody looked;
        "same group": share of them in the element's own group, "half" when half of the updates
        were done;
        and what `measure_sample` says of the samples. "most" and "least": of all looks at T.
    """
    history, tables = pd.DataFrame(run.history), run.snapshots["T"]
    errors = [small_data_error(T) for T in tables]
    generator = CompositionGenerator(run.generator, run.config.latent_dim)
    drawn, outcomes = generator.draw(n, run.config.seed, max_draws=n)
    counts = no_wider(drawn, data.train)
    return {
        "lowest test loss": history["test_total_loss"].min(),
        "decodable": outcomes.kept / outcomes.drawn * len(counts) / max(1, len(drawn)),
        "effective rank": history["effective_rank"].iloc[-1],
        "neighbours kept": neighbours_kept(run),
        "same group": same_group(tables[-1]),
        "same group, half": same_group(tables[halfway(run)]),
        "same group, most": max(map(same_group, tables)),
        "small-data error (eV)": errors[-1],
        "small-data error, least (eV)": min(errors),
    } | measure_sample(counts, data)


MEASURED = ("decodable", "unique", "neutral", "balanced", "AUC, counts", "AUC")


def changes(once: pd.DataFrame, twice: pd.DataFrame) -> pd.DataFrame:
    """What twice the updates change of what is drawn, on the seeds that both tables have.

    Parameters
    ----------
    once, twice : of the parts "converged" and "doubled"

    Returns
    -------
    DataFrame: a row for each of `MEASURED`: change (twice minus once, mean over the seeds),
    relative (over once); empty where no seed is in both
    """
    if not len(once) or not len(twice):
        return pd.DataFrame(columns=["change", "relative"], dtype=float)
    one, other = (table.set_index("seed")[list(MEASURED)] for table in (once, twice))
    change = (other - one).dropna()
    found = {"change": change.mean(), "relative": (change / one).mean()}
    return pd.DataFrame(found).dropna()


def draws_settled(found: pd.DataFrame, margins: pd.Series | None = None) -> bool:
    """Whether more updates are too few to matter: each of `MEASURED` changes by less than 2%.

    Parameters
    ----------
    found : as from `changes`; empty: not settled
    margins : by measure, how far it is from what a claim compares it with: it must change by less
        than half of that, too
    """
    if found.empty or not (found["relative"].abs() < CHANGE).all():
        return False
    if margins is None:
        return True
    return bool((found["change"].abs().reindex(margins.index) < SHARE * margins.abs()).all())


def halfway(run: TrainedRun) -> int:
    """Which look at T was the first after half of the updates."""
    return int(np.searchsorted(run.snapshots["iteration"], run.config.iterations / 2))


def neighbours_kept(run: TrainedRun, k: int = 5) -> float:
    """Share of the k nearest neighbours in T, by cosine, that are the same since three quarters."""
    late = np.flatnonzero(run.snapshots["iteration"] >= 0.75 * run.config.iterations)
    T = run.snapshots["T"][[late[0], -1]]
    if len(late) < 2 or not T.shape[2]:
        return float("nan")
    before, after = T / np.linalg.norm(T, axis=2, keepdims=True)
    return neighbour_overlap(before, after, k)


def same_group(T: np.ndarray, k: int = 5) -> float:
    """Share of the k nearest neighbours of an element, by cosine, that are in its group.

    The lanthanides are one group and the actinides another, see `periodic_table`; NaN without T.
    """
    if not T.shape[1]:
        return float("nan")
    unit = T / np.linalg.norm(T, axis=1, keepdims=True)
    return knn_purity(unit, periodic_table()["group"], k).mean


def measure_sample(counts: np.ndarray, data: TrainingData) -> dict[str, float]:
    """Shares of unique, neutral and balanced compositions, and two-sample tests against the test
    set, see `two_sample_auc`; NaN where there are fewer than a thousand compositions."""
    if len(counts) < 1000:
        return dict.fromkeys(("unique", "neutral", "balanced", "AUC, counts", "AUC"), np.nan)
    rates = validity_rates(counts)
    return {
        "unique": uniqueness(counts),
        "neutral": rates["neutral"],
        "balanced": rates["balanced"],
        "AUC, counts": two_sample_auc(counts, data.test, n=_TESTED, stoichiometry=False),
        "AUC": two_sample_auc(counts, data.test, n=_TESTED),
    }


def small_data_error(T: np.ndarray, seed: int = 0) -> float:
    """Mean absolute error, in eV, of ridge regression from C to the band gap of 1,000 compounds.

    C is the mean of T over the atoms; the ridge's strength is chosen by cross-validation; the
    error is that on 10,000 other compounds of the Materials Project.
    """
    if not T.shape[1]:
        return float("nan")
    shares, gap = _some_gaps(seed)
    C = shares @ T
    C = C / C[:_SMALL].std()  # one scale for all: the grid of strengths means the same for each T
    ridge = RidgeCV(np.logspace(-4, 3, 15)).fit(C[:_SMALL], gap[:_SMALL])
    return float(np.abs(ridge.predict(C[_SMALL:]) - gap[_SMALL:]).mean())


@lru_cache(maxsize=1)
def _some_gaps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Atomic fractions (11,000, 85) and band gaps of compounds drawn from the Materials Project."""
    table = load_mp_gap()
    chosen = np.random.default_rng(seed).permutation(len(table))[: _SMALL + 10_000]
    table = table.iloc[chosen]
    return fractions(table["formula"]), table["target"].to_numpy()


def cells(part: str, iterations: int | None = None) -> list[tuple[dict, Config]]:
    """(labels, configuration) of each run of a part; `iterations` in place of the usual number."""
    grid, usual = PARTS[part]
    batches = 0 if part == "objects" else 8  # the paper's total loss is over its whole test part
    return [
        (labels, config.replace(test_batches=batches))
        for labels, config in grid(usual if iterations is None else iterations)
    ]


def run_cell(
    labels: dict, config: Config, data: TrainingData, folder: Path, control: dict | None = None
) -> dict:
    """Train, go on with, or read one run in its folder; its row of the table.

    control : as from `shuffled_control`, where it is at hand
    """
    path, started = folder / "seconds.json", time.monotonic()  # of a run in several goes
    trained_on = folder / "device.txt"
    before = json.loads(path.read_text()) if path.is_file() else 0.0
    is_finished = (folder / "snapshots.safetensors").is_file()
    try:
        with progress_bar(config.iterations, config.batch_size) as progress:
            run = train_wgan(config, data, folder, progress=progress)
    finally:
        if not is_finished and folder.is_dir():
            with files.atomic_file(path) as file:
                file.write(json.dumps(before + time.monotonic() - started).encode())
            with files.atomic_file(trained_on) as file:
                file.write(device().encode())
    seconds = json.loads(path.read_text()) if path.is_file() else float("nan")
    took = {"iterations": config.iterations, "seconds": seconds}
    if trained_on.is_file():
        took["trained on"] = trained_on.read_text()
    return labels | took | measure(run, data) | (control or shuffled_control(data))


def shuffled_control(data: TrainingData) -> dict[str, float]:
    """`measure_sample` of the data's stoichiometries with their elements drawn anew."""
    drawn = stoichiometry_shuffled(data.train, 10_000, np.random.default_rng(0))
    return {f"{name}, shuffled": value for name, value in measure_sample(drawn, data).items()}


def run_part(part: str, data: TrainingData, out: Path, iterations: int | None = None) -> Path:
    """Train and measure every run of a part; returns the path of the table."""
    runs, table, rows = cells(part, iterations), out / f"{part}.csv", []
    control = shuffled_control(data)
    for index, (labels, config) in enumerate(runs):
        print(f"{part} {index + 1} of {len(runs)}: {labels}", file=sys.stderr, flush=True)
        rows.append(run_cell(labels, config, data, out / part / f"{index:02d}", control))
        with files.atomic_file(table) as file:
            file.write(pd.DataFrame(rows).to_csv(index=False).encode())
    return table


def main(words: list[str] | None = None) -> int:
    """The command `sweep`: 0 when the part is done."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("data", help=".npz file written by save_training_data")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--iterations", type=int, help="generator updates of each run")
    arguments = parser.parse_args(words)
    data = load_training_data(arguments.data)
    print(run_part(arguments.part, data, arguments.out, arguments.iterations))
    return 0
