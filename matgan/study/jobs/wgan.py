"""The long computations behind notebook 2: grids of WGAN trainings, measured by what they draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.data.compounds import load_mp_compositions, load_oqmd
from matgan.data.training_set import TrainingData
from matgan.generated import sweep
from matgan.study.jobs.runner import Job, Piece, Rows


def training_data(name: Literal["oqmd", "mp"]) -> TrainingData:
    """What notebook 1 writes as data/oqmd.npz and data/mp.npz with seed 0, from the sources."""
    table = load_oqmd() if name == "oqmd" else load_mp_compositions()
    counts, test = whole_counts(amounts_matrix(table["formula"])), table["split"] == "test"
    return TrainingData(counts[~test], counts[test])


def one_training(part: str, data: Literal["oqmd", "mp"], index: int, folder: Path) -> Rows:
    """Train and measure one cell of a part of `matgan.generated.sweep`; its row of the table."""
    labels, config = sweep.cells(part)[index]
    return [sweep.run_cell(labels, config, training_data(data), folder)]


def _pieces(part: str, data: Literal["oqmd", "mp"]) -> Callable[[], dict[str, Piece]]:
    def pieces() -> dict[str, Piece]:
        return {
            f"{index:02d}": partial(one_training, part, data, index)
            for index in range(len(sweep.cells(part)))
        }

    return pieces


_ON_MP = "Materials Project compositions"
JOBS = [
    Job(
        "wgan-search-mp",
        f"the paper's grid of learning rates and batch sizes, 20 updates each, {_ON_MP}",
        0.5,
        _pieces("search", "mp"),
    ),
    Job(
        "wgan-ablation-mp",
        f"from the paper's setting to ours, one change at a time, 150 updates each, {_ON_MP}",
        0.5,
        _pieces("ablation", "mp"),
    ),
    Job("wgan-seeds-mp", f"our setting with three seeds, {_ON_MP}", 0.6, _pieces("seeds", "mp")),
    Job("wgan-seeds-oqmd", "our setting with three seeds, OQMD", 0.6, _pieces("seeds", "oqmd")),
]
