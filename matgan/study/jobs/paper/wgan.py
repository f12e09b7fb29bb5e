"""The long computations behind notebook 2: grids of WGAN trainings, measured by what they draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from matgan.data.compounds import training_data
from matgan.data.paper import paper_training_set
from matgan.generated import sweep
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

Data = Literal["oqmd", "mp", "paper"]  # the last: OQMD as the paper's authors had it


def one_training(part: str, data: Data, index: int, folder: Path) -> Rows:
    """Train and measure one cell of a part of `matgan.generated.sweep`; its row of the table."""
    labels, config = sweep.cells(part)[index]
    read = paper_training_set() if data == "paper" else training_data(data)
    return [sweep.run_cell(labels, config, read, folder)]


def _pieces(part: str, data: Data) -> Callable[[], dict[str, Piece]]:
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
        1.5,
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
    Job(
        "wgan-converged-mp",
        f"our setting with five seeds, 20,000 updates each, {_ON_MP}",
        3.0,
        _pieces("converged", "mp"),
    ),
    Job(
        "wgan-converged-oqmd",
        "our setting with five seeds, 20,000 updates each, OQMD",
        3.0,
        _pieces("converged", "oqmd"),
    ),
    Job(
        "wgan-doubled-mp",
        f"one of these with twice the updates: do they change what it draws? {_ON_MP}",
        0.9,
        _pieces("doubled", "mp"),
    ),
    Job(
        "wgan-doubled-oqmd",
        "one of these with twice the updates: do they change what it draws? OQMD",
        0.9,
        _pieces("doubled", "oqmd"),
    ),
    Job(
        "wgan-unswapped-mp",
        f"the same where the critic sees no swapped elements, five seeds, {_ON_MP}",
        3.0,
        _pieces("unswapped", "mp"),
    ),
    Job(
        "wgan-objects-paper",
        "the published code for 20,000 updates, as printed for 5,000, five seeds each, the "
        "authors' OQMD file",
        25.0,
        _pieces("objects", "paper"),
    ),
    Job(
        "wgan-rates-paper",
        "the paper's grid with the published code, 1,000 updates each, the authors' OQMD file",
        6.0,
        _pieces("rates", "paper"),
    ),
    Job(
        "wgan-peer-oqmd",
        "MatGAN's architecture, three seeds, 20,000 updates each, OQMD",
        20.0,
        _pieces("peer", "oqmd"),
    ),
    Job(
        "wgan-peer-mp",
        f"MatGAN's architecture, three seeds, 20,000 updates each, {_ON_MP}",
        20.0,
        _pieces("peer", "mp"),
    ),
]
