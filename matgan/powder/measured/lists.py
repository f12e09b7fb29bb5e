"""Reflection lists of many structures: what patterns are simulated from, small enough to carry.

A list holds one member of each family of equivalent reflections, the strongest first to go in.
Reading one needs NumPy alone, so that a machine without pymatgen can train.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from matgan import files

MOST = 256  # families of a structure; the strongest ones
FAINTEST = 1e-3  # area of the weakest family over that of the strongest
OPERATIONS = 24  # of the largest Laue class, Friedel's pairs counted once


@dataclass(frozen=True, eq=False)
class ReflectionLists:
    """Families of equivalent reflections of n structures, padded to a rectangle.

    Attributes
    ----------
    ids : (n,) text array, of the structures
    hkl : (n, m, 3) int8 array, one member of each family; zeros where there is none
    strength : (n, m) float32 array, |F|² of the whole family; 0 where there is none
    basis : (n, 3, 3) float32 array, lower triangles B whose rows are the reciprocal axes, 1/Å;
        the metric B Bᵀ is averaged over the point group
    laue : (n,) int16 array, rows of `operations`
    operations : (g, 24, 3, 3) int8 array, the rotations of each Laue class and setting, Friedel's
        pairs once, repeated up to 24: hkl @ rotation is equivalent to hkl
    classes : (n, 3) int16 array, crystal system, extinction group, space group - 1
    experimental : (n,) bool array, probably known from experiment (`preparation.experimental`)
    members : (230, 3) int16 array, the classes of every space group
    """

    ids: np.ndarray
    hkl: np.ndarray
    strength: np.ndarray
    basis: np.ndarray
    laue: np.ndarray
    operations: np.ndarray
    classes: np.ndarray
    experimental: np.ndarray
    members: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> ReflectionLists:
        """The lists of these rows (indices or a mask), in this order."""
        shared = ("operations", "members")
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return ReflectionLists(**{k: v if k in shared else v[rows] for k, v in arrays.items()})


def lorentz_factor(sine: np.ndarray) -> np.ndarray:
    """Lorentz and polarisation factor (1 + cos² 2θ) / (sin² θ cos θ) of sin θ, below 1."""
    return (1 + (1 - 2 * sine**2) ** 2) / (sine**2 * np.sqrt(1 - sine**2))


def lengths(hkl: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """(n, m) array, 1/d in 1/Å of (n, m, 3) indices with (n, 3, 3) reciprocal axes."""
    return np.linalg.norm(hkl.astype(np.float32) @ basis, axis=2)


_CODES = 255  # of a strength: its logarithm between the faintest and the strongest, 1 to 255
_COPPER = 1.54056  # Å, Kα1: the areas that are coded are those of its patterns


def write_lists(path: Path, lists: ReflectionLists, more: dict[str, np.ndarray] | None = None):
    """Write lists to an .npz file of some 300 bytes a structure; strengths to 1.4%.

    Parameters
    ----------
    path : of the file, which appears whole or not at all
    lists : what to write
    more : further arrays for the same file
    """
    there = lists.strength > 0
    areas = np.where(there, lists.strength * _copper(lists), 0)
    relative = np.where(there, areas, 1) / areas.max(1, keepdims=True)
    share = 1 - np.log(np.clip(relative, FAINTEST, 1)) / np.log(FAINTEST)  # 0 to 1
    codes = 1 + np.rint(share * (_CODES - 1)).astype(np.uint8)
    arrays = {
        "ids": np.char.encode(lists.ids, "ascii"),
        "counts": there.sum(1).astype(np.int16),
        # column by column: neighbours in a column are alike, and pack well
        "hkl": lists.hkl[there].T,
        "strength_codes": codes[there],
        "scale": areas.max(1).astype(np.float32),
        "basis": lists.basis[:, *np.tril_indices(3)],
    }
    for name in ("laue", "operations", "classes", "experimental", "members"):
        arrays[name] = getattr(lists, name)
    with files.atomic_file(path) as file:
        np.savez_compressed(file, **arrays, **(more or {}))  # type: ignore[arg-type]


def read_lists(path: Path) -> ReflectionLists:
    """Reflection lists of a file of `write_lists`.

    Raises
    ------
    FileNotFoundError
    ArraysError
        No such file, or a damaged one.
    """
    names = (
        "ids",
        "counts",
        "hkl",
        "strength_codes",
        "scale",
        "basis",
        "laue",
        "operations",
        "classes",
    )
    found = files.load_arrays(path, [*names, "experimental", "members"])
    counts = found["counts"].astype(int)
    if counts.sum() != len(found["strength_codes"]) or found["hkl"].shape != (3, counts.sum()):
        raise files.ArraysError(f"{path}: {counts.sum()} reflections are announced, others there")
    there = np.arange(max(counts.max(initial=0), 1)) < counts[:, None]
    hkl = np.zeros((*there.shape, 3), dtype=np.int8)
    hkl[there] = found["hkl"].T
    relative = np.zeros(there.shape, dtype=np.float32)
    share = (found["strength_codes"].astype(np.float32) - 1) / (_CODES - 1)
    relative[there] = np.exp((1 - share) * np.log(FAINTEST))
    basis = np.zeros((len(counts), 3, 3), dtype=np.float32)
    basis[:, *np.tril_indices(3)] = found["basis"]
    same = {k: found[k] for k in ("laue", "operations", "classes", "experimental", "members")}
    ids = np.char.decode(found["ids"], "ascii")
    lists = ReflectionLists(ids, hkl, relative, basis, **same)
    strength = np.where(there, relative * found["scale"][:, None] / _copper(lists), 0)
    return ReflectionLists(ids, hkl, strength.astype(np.float32), basis, **same)


def _copper(lists: ReflectionLists) -> np.ndarray:
    """(n, m) Lorentz and polarisation factors of copper's Kα1; planes too narrow have the limit."""
    sine = np.clip(lengths(lists.hkl, lists.basis) * _COPPER / 2, 1e-3, 0.999)
    return lorentz_factor(sine)
