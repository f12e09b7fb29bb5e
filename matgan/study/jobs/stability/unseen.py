"""Stable or not in chemical systems that an encoder never saw: the parts of `predict`.

It learns what the networks of `predict` learn, with the choices that the search on OQMD's published
parts made. A random test part has relatives of nearly every compound in training; this one has not.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from matgan.files import atomic_file
from matgan.properties import training
from matgan.properties.stability import hull_energies
from matgan.properties.training import Labelled
from matgan.representation.encoder.estimator import load_encoder
from matgan.study.jobs.compositions.encoders import SEARCH, encoder_of, final_choice
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.stability.stable import Hulls, energy_scores
from matgan.study.run import RunError

NAME = "encoder-unseen"
TRAININGS = 5
OF_ONE, OF_ALL = "encoder, systems unseen", f"mean of {TRAININGS} encoders, systems unseen"


@lru_cache(maxsize=1)
def held_back() -> tuple[Labelled, np.ndarray, Hulls]:
    """Formation energies, the rows of their test part, and its hulls."""
    data = training.labelled("formation_energy")
    test = np.flatnonzero(data.part == "test")
    return data, test, Hulls.of(data, test, hull_energies(data.amounts[test]))


def _predictions(folder: Path) -> Path:
    return folder / "predicted.npy"


def unseen_piece(seed: int, folder: Path) -> Rows:
    """Train one encoder on the training part, keep it, and score its energies."""
    data, test, hulls = held_back()
    train, held = data.part == "train", data.part == "val"
    choice, path = final_choice(), folder / "encoder.safetensors"
    if not path.is_file():
        encoder = encoder_of(choice, seed, folder / "encoder.checkpoint")
        encoder.fit(data.amounts[train], data.target[train]).save(path)
    encoder = load_encoder(path)
    energies = encoder.predict(data.amounts[test])
    with atomic_file(_predictions(folder)) as file:
        np.save(file, energies.astype(np.float32))
    off = np.abs(encoder.predict(data.amounts[held]) - data.target[held])
    facts: dict[str, float] = {"epochs": choice.epochs, "training compounds": int(train.sum())}
    facts["mae_val"] = float(off.mean())
    return [row | facts for row in energy_scores(OF_ONE, energies, hulls, seed)]


def unseen_mean_piece(folder: Path) -> Rows:
    """Scores of the mean energies of all trainings, which the other pieces left."""
    paths = [_predictions(folder.parent / f"seed-{seed}") for seed in range(TRAININGS)]
    if missing := [path for path in paths if not path.is_file()]:
        raise RunError(f"there is no {missing[0]}: `python -m matgan jobs run {NAME}` makes it")
    _, _, hulls = held_back()
    return energy_scores(OF_ALL, np.mean([np.load(path) for path in paths], axis=0), hulls)


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {
        f"seed-{seed}": partial(unseen_piece, seed) for seed in range(TRAININGS)
    }
    return pieces | {"mean": unseen_mean_piece}


JOBS = [
    Job(
        NAME,
        "an encoder on the chemical systems that `predict` learned: which unseen ones are stable",
        5.5,
        _pieces,
        leaves_files=True,
        last=frozenset({"mean"}),
        reads=(SEARCH,),
    )
]
