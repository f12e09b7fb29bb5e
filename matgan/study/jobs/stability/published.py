"""Stable or not on OQMD's published test part, by our encoders' energies and by others'.

A compound is compared with all others of the three parts, by their calculated energies, or with
those of training and validation alone.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from matgan.data.tasks import ENERGIES, PREDICTED_ENERGIES, load_task_fold, peer_energies
from matgan.properties.training import Labelled
from matgan.representation.encoder.sources import read_amounts
from matgan.stability.hull import Hull
from matgan.stability.reference import LARGEST_ENERGY
from matgan.study.jobs.compositions.encoders import SEEDS, TRIPLES, predictions, published_parts
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.jobs.stability.stable import Hulls, controls, energy_scores

NAME = "stable-published"
ENCODER, MEAN = "encoder", "mean of three encoders"


@lru_cache(maxsize=1)
def published() -> tuple[Labelled, np.ndarray, Hulls]:
    """The compounds, which of the test part are judged (places in it), and their hulls.

    Those with an energy beyond the limit of the hull are left out.
    """
    compounds = published_parts()
    part = np.full(len(compounds.target), "train", dtype=object)
    for name, rows in compounds.rows.items():
        part[rows] = name
    sound = np.abs(compounds.target) <= LARGEST_ENERGY
    amounts, energies = compounds.amounts[sound], compounds.target[sound]
    data = Labelled(amounts, energies, np.ones(len(energies), dtype=bool), part[sound])
    test = np.flatnonzero(data.part == "test")
    distance = Hull(amounts, energies).own_distances()
    hulls = Hulls.of(data, test, energies[test] - distance[test])
    return data, np.flatnonzero(sound[compounds.rows["test"]]), hulls


def seed_piece(seed: int, folder: Path) -> Rows:
    """Scores of one encoder's energies; beside those of the first what needs no network."""
    data, judged_ones, hulls = published()
    energies = predictions(folder.parent.parent, seed)[judged_ones]
    rows = energy_scores(ENCODER, energies, hulls, seed)
    if seed == 0:
        rows += controls(data, np.flatnonzero(data.part == "test"), energies, hulls)
    return rows


def mean_piece(folder: Path) -> Rows:
    """Scores of the mean energies of every three encoders; `seed` numbers them."""
    _, judged_ones, hulls = published()
    of_seeds = [predictions(folder.parent.parent, seed)[judged_ones] for seed in range(SEEDS)]
    rows: Rows = []
    for number, triple in enumerate(TRIPLES):
        energies = np.mean([of_seeds[seed] for seed in triple], axis=0)
        rows += energy_scores(MEAN, energies, hulls, number)
    return rows


def peers_piece(folder: Path) -> Rows:
    """Scores of published predictions, each on the compounds that it has."""
    _, judged_ones, hulls = published()
    tested = load_task_fold(ENERGIES).query("split == 'test'")["formula"]
    tested = tested[read_amounts(tested.tolist())[1]]  # the rows of `published_parts`
    rows = []
    for peer in PREDICTED_ENERGIES:
        energies = peer_energies(peer, tested)[judged_ones]
        there = np.isfinite(energies)
        rows += energy_scores(peer, energies[there], hulls.some(there))
    return rows


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {f"seed-{seed}": partial(seed_piece, seed) for seed in range(SEEDS)}
    return {"peers": peers_piece} | pieces | {"mean": mean_piece}


JOBS = [
    Job(
        NAME,
        "stable or not on OQMD's published test part: the encoders of `encoder-oqmd`, and peers",
        0.05,
        _pieces,
    )
]
