"""What the methods of notebooks 21 to 23 learn from: structures, their patterns and graphs.

    python -m matgan jobs run pattern-material

makes the arrays of all structures once, under runs/jobs/pattern-material. A machine that has them
trains without pymatgen and spglib, and simulates nothing. Where they are not, a setting makes what
it asks for from the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np

from matgan.chemistry.elements import ATOMIC_NUMBER, ELEMENTS
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.packed import PackedGraphs, pack, read_graphs, write_graphs
from matgan.crystals.structures import (
    MAX_Z,
    Structures,
    load_structures,
    read_arrays,
    write_arrays,
)
from matgan.crystals.symmetry import prototypes
from matgan.data.splits import grouped_parts
from matgan.files import ArraysError, atomic_file, load_arrays
from matgan.powder import patterns
from matgan.powder.networks import LABELS
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import WORK, Job

NAME = "pattern-material"
HOW_SPLIT = ("MEGNet", "prototypes apart")
PROTOTYPE_SHARE = 0.02  # a prototype with a larger share of a test part is trained on
_ARRAYS = "arrays.npz"


@dataclass(frozen=True)
class Setting:
    """What is learned from and how, the same for every method beside its passes and its rate."""

    train_rows: int = 20_000  # structures to learn from, of the MEGNet split; 0: all
    test_rows: int = 0  # structures to test on; 0: all
    step: float = 0.1  # degrees 2θ between the points of a pattern, a multiple of 0.05
    batch_size: int = 32  # of patterns; graphs come in batches twice as large
    seed: int = 0  # of the choice of structures and of the second split
    trees: int = 200  # of the random forests
    asked: Literal["test", "val"] = "test"  # "val": to choose a learning rate by


# of the long computations; 20,000 rows where the hours are short
LONG = Setting(train_rows=0, batch_size=128)


@dataclass(frozen=True, eq=False)
class Material:
    """The structures of a setting, those that are asked about last.

    Attributes
    ----------
    crystals : n structures
    step : of their patterns, degrees 2θ
    classes : (n, 3) crystal system, extinction group, space group
    counts : label -> number of its classes
    test : split -> (n,) bool
    rows : (n,) int array, where they stand among all structures
    """

    crystals: Structures
    step: float
    classes: np.ndarray
    counts: dict[str, int]
    test: dict[str, np.ndarray]
    rows: np.ndarray

    @cached_property
    def codes(self) -> np.ndarray:
        """(n, points) uint8, square roots of the patterns; made or read when they are asked for."""
        kept = _kept("patterns")
        if kept is None or self.step != LONG.step:
            return patterns.patterns(self.crystals, instrument(self.step))
        codes = load_arrays(kept, ["codes"])["codes"]
        if len(codes) != len(all_structures()):
            raise ArraysError(f"{kept}: {len(codes)} patterns are not those of the structures here")
        return codes[self.rows]

    def amounts(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, 85) atoms of each element in the cell, and (n,) bool, whether there are no others."""
        column = np.full(MAX_Z + 1, len(ELEMENTS))
        column[[ATOMIC_NUMBER[symbol] for symbol in ELEMENTS]] = np.arange(len(ELEMENTS))
        found = np.zeros((len(self.rows), len(ELEMENTS) + 1))
        owner = np.repeat(np.arange(len(self.rows)), np.diff(self.crystals.first))
        np.add.at(found, (owner, column[self.crystals.numbers]), 1)
        return found[:, :-1], found[:, -1] == 0


@lru_cache(maxsize=2)
def material(setting: Setting) -> Material:
    """Structures, classes and splits of a setting, and their patterns."""
    everything = all_structures()
    parts = [
        everything.rows("train", setting.train_rows, setting.seed),
        everything.rows(setting.asked, setting.test_rows, setting.seed),
    ]
    rows = np.concatenate(parts)
    crystals = everything.take(rows)
    is_test = crystals.table["split"].to_numpy() == setting.asked
    share = is_test.mean()
    keys, shares = prototypes(crystals), (1 - share, 0, share)
    apart = grouped_parts(keys, shares, setting.seed, largest=PROTOTYPE_SHARE * share) == "test"
    members = _members()
    counts = dict(zip(LABELS, (members.max(0) + 1).tolist(), strict=True))
    test = dict(zip(HOW_SPLIT, (is_test, apart), strict=True))
    classes = members[crystals.table["space_group"].to_numpy() - 1]
    return Material(crystals, setting.step, classes, counts, test, rows)


@lru_cache(maxsize=2)
def graphs(setting: Setting) -> PackedGraphs:
    """The crystal graphs of a setting, each atom with its twelve nearest neighbours."""
    one, kept = material(setting), _kept("graphs")
    return read_graphs(kept).take(one.rows) if kept else pack(crystal_graphs(one.crystals))


@lru_cache(maxsize=1)
def all_structures() -> Structures:
    """All structures of the MEGNet benchmark."""
    kept = _kept("structures")
    return read_arrays(kept) if kept else load_structures()


def instrument(step: float) -> patterns.Instrument:
    """How the patterns of a setting are taken."""
    from matgan.powder import classifier  # asks for what prepares measured patterns

    return patterns.Instrument(step=step, fwhm=classifier.INSTRUMENT.fwhm)


def _kept(part: str) -> Path | None:
    path = WORK / NAME / part / _ARRAYS
    return path if path.is_file() else None


def _members() -> np.ndarray:
    """(230, 3) int64 array, the classes of every space group."""
    kept = _kept("classes")
    return load_arrays(kept, ["members"])["members"] if kept else _all_classes()["members"]


# --- the job --------------------------------------------------------------------------------------


def _all_classes() -> dict[str, np.ndarray]:
    from matgan.powder import classifier

    return {"members": classifier.class_labels(np.arange(1, 231))}


def _all_patterns() -> dict[str, np.ndarray]:
    return {"codes": np.asarray(patterns.patterns(load_structures(), instrument(LONG.step)))}


def _write_graphs(path: Path) -> None:
    write_graphs(path, pack(crystal_graphs(load_structures())))


def _write_structures(path: Path) -> None:
    write_arrays(path, load_structures())


def _write(path: Path, of: Callable[[], dict[str, np.ndarray]]) -> None:
    arrays = of()
    with atomic_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


WRITERS: dict[str, Callable[[Path], None]] = {
    "structures": _write_structures,
    "classes": partial(_write, of=_all_classes),
    "patterns": partial(_write, of=_all_patterns),
    "graphs": _write_graphs,
}


def material_piece(part: str, folder: Path) -> Rows:
    """One part of the material, written to arrays.npz in the folder.

    Parameters
    ----------
    part : a key of `WRITERS`
    folder : where to
    """
    started = time.process_time()
    path = folder / _ARRAYS
    WRITERS[part](path)
    minutes = (time.process_time() - started) / 60
    return [{"part": part, "megabytes": path.stat().st_size / 1e6, "cpu minutes": minutes}]


def _pieces() -> dict[str, Piece]:
    return {part: partial(material_piece, part) for part in WRITERS}


JOBS = [
    Job(
        NAME,
        "structures, patterns and graphs as arrays, for machines that only train",
        0.1,
        _pieces,
        leaves_files=True,
    )
]
