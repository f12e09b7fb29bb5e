"""The labels of notebooks 41 and 42: C11 and strain fields of simulated volumes, kept as arrays.

A piece keeps its arrays beside its rows under runs/jobs, where the trainings find them; the table
in results/long says which volumes they belong to. C11 and strains are those of Young's moduli 1 and
the contrast, and a Poisson's ratio of 0.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.files import atomic_file, load_arrays
from matgan.microstructure.generation import Collection
from matgan.microstructure.mechanics import effective_c11, refined, solve, two_phases
from matgan.study.jobs import runner
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import RunError

STIFFNESS = Collection(27, (0.25, 0.75))  # volumes of homogenisation
STRAINS = Collection(21, (0.05, 0.95), seed=1)  # volumes of localisation
CONTRAST = 50  # of homogenisation
VOLUMES = {
    "stiffness": 4000,
    "strain-10": 2500,
    "strain-50": 3000,
}  # the review: 8,550, 2,500, 3,000
STEP = 500  # volumes in a piece
NAME = "microstructure-labels"


def stiffness_labels(collection: Collection, numbers, contrast: float = CONTRAST) -> np.ndarray:
    """(N,) C11 of volumes of a collection."""
    pair = two_phases(contrast)
    return np.array([effective_c11(collection.volume(i), pair) for i in numbers])


def strain_labels(
    collection: Collection, numbers, contrast: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) C11, and (N, n, n, n) float16 strain along the load, of volumes of a collection."""
    pair, c11, fields = two_phases(contrast), [], []
    for number in numbers:
        found = solve(collection.volume(int(number)), pair)
        c11.append(found.stress[0])
        fields.append(found.strain[0].astype(np.float16))
    return np.array(c11), np.stack(fields)


def labels_piece(kind: str, start: int, stop: int, folder: Path) -> Rows:
    """Label some volumes, keep the arrays, and give a row for each volume."""
    numbers = range(start, stop)
    if kind == "stiffness":
        collection, contrast = STIFFNESS, CONTRAST
        arrays = {"c11": stiffness_labels(collection, numbers)}
    else:
        collection, contrast = STRAINS, int(kind.removeprefix("strain-"))
        c11, strain = strain_labels(collection, numbers, contrast)
        arrays = {"c11": c11, "strain": strain}
    with atomic_file(folder / "labels.npz") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    table = collection.table(numbers)[["seed", "size", "number", "kind", "fraction", "sha256"]]
    table["sha256"] = table["sha256"].str[:12]  # tells volumes apart, and keeps the table short
    table = table.assign(contrast=contrast, c11=arrays["c11"].round(5))
    return table.round({"fraction": 5}).to_dict("records")


def kept_labels(kind: str, n: int = 0) -> dict[str, np.ndarray]:
    """Volumes and their labels, from the arrays that the job left.

    Parameters
    ----------
    kind : "stiffness", "strain-10" or "strain-50"
    n : the first n volumes; 0: all

    Returns
    -------
    dict: phases (N, n, n, n) bool, c11 (N,), and for strains strain (N, n, n, n) float16

    Raises
    ------
    RunError
        A piece of the job is missing.
    """
    n = n or VOLUMES[kind]
    parts = []
    for start in range(0, n, STEP):
        path = runner.WORK / NAME / f"{kind}-{start:04}" / "labels.npz"
        if not path.is_file():
            raise RunError(
                f"there is no {path}: `python -m matgan jobs run {NAME}` makes it in minutes"
            )
        parts.append(load_arrays(path, None))
    arrays = {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}
    collection = STIFFNESS if kind == "stiffness" else STRAINS
    return {"phases": collection.volumes(range(n)), **arrays}


def _labels() -> dict[str, Piece]:
    return {
        f"{kind}-{start:04}": partial(labels_piece, kind, start, min(start + STEP, n))
        for kind, n in VOLUMES.items()
        for start in range(0, n, STEP)
    }


# --- resolution ---------------------------------------------------------------------------------

FACTORS = (1, 2, 3)
RESOLVED, OF_EACH_KIND = 60, 10  # volumes, and so many of a kind at least


def resolution_rows(collection: Collection, numbers, contrast: float) -> Rows:
    """C11 of volumes whose voxels are divided into 1, 8 and 27: how far the label is the grid's."""
    pair, rows = two_phases(contrast), []
    for number in numbers:
        phases = collection.volume(int(number))
        facts = {"number": int(number), "kind": collection.morphology(int(number)).kind}
        row = {"contrast": contrast, "size": collection.size, **facts, "fraction": phases.mean()}
        for factor in FACTORS:
            row[f"c11_{factor}"] = effective_c11(refined(phases, factor), pair)
        rows.append(row)
    return rows


def resolution_piece(contrast: float, numbers: Sequence[int], folder: Path) -> Rows:
    """Some volumes of homogenisation."""
    return resolution_rows(STIFFNESS, numbers, contrast)


def resolution_change(table: pd.DataFrame) -> pd.DataFrame:
    """Change of C11 from voxels to voxels divided by three, in %, by kind of volume.

    Parameters
    ----------
    table : rows of `resolution_rows`

    Returns
    -------
    DataFrame, a row for each contrast and kind: volumes, mean, size (mean of the changes without
    their signs), lowest, highest
    """
    change = 100 * (table["c11_3"] / table["c11_1"] - 1)
    found = pd.DataFrame({"change": change, "size": change.abs()})
    groups = found.groupby([table["contrast"], table["kind"]])
    return groups.agg(
        volumes=("change", "size"),
        mean=("change", "mean"),
        size=("size", "mean"),
        lowest=("change", "min"),
        highest=("change", "max"),
    ).reset_index()


def _resolved() -> list[list[int]]:
    """Volumes of a piece each: the first 60, and more of the kinds that are rare among them."""
    parts = [list(range(start, start + 20)) for start in range(0, RESOLVED, 20)]
    kinds = [STIFFNESS.morphology(number).kind for number in range(10 * RESOLVED)]
    first = {kind: [i for i, own in enumerate(kinds) if own == kind] for kind in set(kinds)}
    missing = [i for of in first.values() for i in of[:OF_EACH_KIND] if i >= RESOLVED]
    return [*parts, sorted(missing)]


def _resolution() -> dict[str, Piece]:
    return {
        f"contrast-{contrast}-{numbers[0]:03}": partial(resolution_piece, contrast, numbers)
        for contrast in (10, CONTRAST)
        for numbers in _resolved()
    }


JOBS = [
    Job(
        NAME,
        "C11 of 4,000 volumes of 27³, strains of 5,500 of 21³",
        0.2,
        _labels,
        leaves_files=True,
    ),
    Job("microstructure-resolution", "C11 on voxels divided into 1, 8, 27", 0.5, _resolution),
]
