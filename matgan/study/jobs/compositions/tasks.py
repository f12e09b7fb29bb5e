"""The jobs of notebook 11: encoders that learned from much, and what they do where data are few."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matgan.data.tasks import PEERS, composition_tasks, load_task_fold
from matgan.files import PRETRAINED
from matgan.representation.encoder import sources
from matgan.representation.encoder.estimator import CompositionEncoder, load_encoder
from matgan.representation.encoder.routes import (
    by_encoder,
    by_trees,
    combination,
    permuted,
    plain_features,
    read_compounds,
    source_features,
)
from matgan.representation.encoder.sources import OQMD, joint_labels
from matgan.study.jobs.runner import Job, Piece, Rows

ENCODER: dict[str, Any] = {
    "width": 128, "layers": 3, "heads": 4, "dropout": 0.1, "precision": "bfloat16", "device": "cpu",
}  # fmt: skip


# --- what is learned before -----------------------------------------------------------------------


@dataclass(frozen=True)
class SourceOf:
    """Which tables an encoder learns from, and whose compounds it must not see."""

    tasks: tuple[str, ...]
    without: str  # "small": the small tasks; "others": all but OQMD's
    epochs: int

    @property
    def file(self) -> Path:
        """Where it lies once it ships."""
        return PRETRAINED / f"encoder-without-{self.without}.safetensors"


ENCODER_SOURCES = {
    "without-small": SourceOf((*OQMD, *sources.MATERIALS_PROJECT), "small", 80),
    "without-others": SourceOf(OQMD, "others", 80),
}


def source_piece(name: str, folder: Path) -> Rows:
    """Train an encoder on large tables; its errors on a hundredth of the compositions, held out.

    One that lies in the folder is only measured: a GPU takes minutes, a processor hours.
    """
    of = ENCODER_SOURCES[name]
    names = sources.small_tasks() if of.without == "small" else sources.other_tasks()
    labels = joint_labels(of.tasks, names)
    held = np.random.default_rng(0).random(len(labels.amounts)) < 0.01
    path = folder / of.file.name
    if not path.is_file():
        encoder = CompositionEncoder(
            **ENCODER | {"precision": "float32", "device": "auto", "dropout": 0.0},
            epochs=of.epochs, batch_size=1024, learning_rate=5e-3, average=0.9995,
            checkpoint=folder / "encoder.checkpoint",
        )  # fmt: skip
        encoder.fit(labels.amounts[~held], labels.targets[~held]).save(path)
    encoder = load_encoder(path)
    error = np.abs(encoder.predict(labels.amounts[held]) - labels.targets[held])
    away = np.abs(labels.targets[held] - np.nanmedian(labels.targets[~held], axis=0))
    return [
        {"source": name, "property": task, "epochs": of.epochs, "compositions": int((~held).sum())}
        | {"left out": labels.left_out, "labels": int((~np.isnan(labels.targets[:, i])).sum())}
        | {"mae": float(np.nanmean(error[:, i])), "mae_median": float(np.nanmean(away[:, i]))}
        for i, task in enumerate(of.tasks)
    ]


# --- the tasks ------------------------------------------------------------------------------------


TREES, TREES_SOURCE = "trees", "trees with a source's predictions"
TREES_MIXED = "trees with those of the permuted source"
SCRATCH, TUNED = "encoder from scratch", "encoder fine-tuned"
TUNED_MIXED = "encoder fine-tuned from the permuted source"
COMBINATIONS = {
    "combined": (TREES, TREES_SOURCE, SCRATCH, TUNED),
    "combined without a source": (TREES, SCRATCH),
    "combined with the permuted source": (TREES, TREES_MIXED, SCRATCH, TUNED_MIXED),
}


def schedule(n: int) -> dict[str, Any]:
    """Epochs and batches of an encoder for n training compounds."""
    if n < 2000:
        return {"epochs": 200, "batch_size": 32}
    if n < 20_000:
        return {"epochs": 100, "batch_size": 128}
    return {"epochs": 40, "batch_size": 512}


def task_piece(task: str, fold: int, seed: int, folder: Path) -> Rows:
    """Errors of every route on one fold of a task, and of their combinations."""
    compounds = read_compounds(load_task_fold(task, fold))
    n = len(compounds.rows["train"])
    source = ENCODER_SOURCES["without-small" if n < sources.SMALL else "without-others"]
    learned = load_encoder(source.file)
    folder.mkdir(parents=True, exist_ok=True)
    mixed_file = folder / "permuted.safetensors"
    mixed = permuted(learned, mixed_file, seed)
    plain = plain_features(compounds.amounts)

    def with_source(encoder: CompositionEncoder) -> np.ndarray:
        return np.hstack([plain, source_features(encoder, compounds.amounts)])

    def encoder(start: Path | None, learning_rate: float) -> np.ndarray:
        name = "scratch" if start is None else start.stem
        learns = CompositionEncoder(
            **ENCODER, **schedule(n), learning_rate=learning_rate, random_state=seed,
            start=start, checkpoint=folder / f"{name}.checkpoint",
        )  # fmt: skip
        return by_encoder(compounds, learns)

    routes = {
        TREES: lambda: by_trees(compounds, plain, seed),
        TREES_SOURCE: lambda: by_trees(compounds, with_source(learned), seed),
        TREES_MIXED: lambda: by_trees(compounds, with_source(mixed), seed),
        SCRATCH: lambda: encoder(None, 1e-3),
        TUNED: lambda: encoder(source.file, 5e-4),
        TUNED_MIXED: lambda: encoder(mixed_file, 5e-4),
    }
    found = {route: _kept(folder / f"{i}.npy", of) for i, (route, of) in enumerate(routes.items())}
    for name, members in COMBINATIONS.items():
        of = np.stack([found[route] for route in members])
        val = compounds.rows["val"]
        found[name] = combination(of[:, val], compounds.target[val]) @ of
    return [
        {"task": task, "fold": fold, "route": route, "seed": seed, "training compounds": n}
        | {f"mae_{part}": compounds.error(predicted, part) for part in ("val", "test")}
        | {"test compounds": len(compounds.rows["test"]) + len(compounds.lost_target)}
        for route, predicted in found.items()
    ]


def errors_of_tasks(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of every route on every task: the mean over all test compounds, of all folds together.

    As the peers' errors are counted.

    Parameters
    ----------
    rows : of the job small-data-tasks

    Returns
    -------
    DataFrame, index task, a column for each route; only tasks all of whose folds are there
    """
    folds = rows.groupby("task")["fold"].nunique()
    whole = folds.index[folds == composition_tasks()["folds"].reindex(folds.index)]
    rows = rows[rows["task"].isin(whole)]
    weighed = rows.assign(total=rows["mae_test"] * rows["test compounds"])
    sums = weighed.groupby(["task", "route"], sort=False)[["total", "test compounds"]].sum()
    mean = (sums["total"] / sums["test compounds"]).rename("error").reset_index()
    return mean.pivot_table("error", "task", "route")[list(rows["route"].unique())]


def beside_peers(errors: pd.DataFrame) -> pd.DataFrame:
    """How routes stand against what others reached on the same tasks.

    Parameters
    ----------
    errors : as from `errors_of_tasks`

    Returns
    -------
    DataFrame, index route: tasks; ratio, the geometric mean of its errors over CrabNet's; best, the
    number of tasks where it is below every one of the peers
    """
    peers = composition_tasks().loc[errors.index, list(PEERS)]
    ratios = np.log(errors.div(peers["CrabNet"], axis=0))
    best = errors.lt(peers.min(axis=1), axis=0)
    return pd.DataFrame(
        {"tasks": errors.notna().sum(), "ratio": np.exp(ratios.mean()), "best": best.sum()}
    )


def _kept(path: Path, compute) -> np.ndarray:
    """What a route predicted, computed once: a piece that was killed goes on with the others."""
    if not path.is_file():
        np.save(path, compute())
    return np.load(path)


def _task_pieces() -> dict[str, Piece]:
    listed = composition_tasks()
    return {
        _key(task, fold): partial(task_piece, task, fold, 0)
        for task, folds in listed["folds"].items()
        if task not in OQMD
        for fold in range(folds)
    }


def _key(task: str, fold: int) -> str:
    return "".join(c if c.isalnum() else "-" for c in f"{task}-{fold}")


JOBS = [
    Job(
        "encoder-sources",
        "encoders of what is known of OQMD and the Materials Project, without the tasks' compounds",
        2.5,
        lambda: {name: partial(source_piece, name) for name in ENCODER_SOURCES},
    ),
    Job(
        "small-data-tasks",
        "27 tasks on their published parts: trees and encoders, with and without a source",
        14.0,
        _task_pieces,
    ),
]
