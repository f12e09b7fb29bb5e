"""The computation behind notebook 33: energies of perovskites and garnets by two descriptors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from matgan.crystals import two_descriptors as two
from matgan.crystals.structures import load_structures
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

SEED, REPEATS = 0, 10


def descriptors_piece(dataset: str, folder: Path) -> Rows:
    """Errors of all models on both kinds of split; of the network after twice the epochs, too."""
    table = two.load_family(dataset, load_structures())
    parts = [two.errors_of(table, dataset, kind, REPEATS, SEED) for kind in two.SPLITS]
    given = REPEATS, SEED, 2 * two.NETWORK_EPOCHS, (two.NETWORK,)
    parts += [two.errors_of(table, dataset, kind, *given) for kind in two.SPLITS]
    return pd.concat(parts).assign(seed=SEED, compounds=len(table)).to_dict("records")


def _pieces() -> dict[str, Piece]:
    keys = ("unmixed", "mixed", "pnma", "garnets")
    return {k: partial(descriptors_piece, d) for k, d in zip(keys, two.DATASETS, strict=True)}


JOBS = [
    Job(
        "two-descriptors",
        "energies of perovskites and garnets from electronegativity and radius, beside controls",
        0.9,
        _pieces,
    )
]
