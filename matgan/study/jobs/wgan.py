"""The long computations behind notebook 2: grids of WGAN trainings, measured by what they draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from matgan.data.compounds import training_data
from matgan.generated import sweep
from matgan.study.jobs.runner import Job, Piece, Rows


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
