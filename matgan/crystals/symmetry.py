"""Symmetry labels of crystal structures: system, space group, prototype; splits by prototype."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYSTEMS = (
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic",
)  # fmt: skip
_LAST_GROUP = (2, 15, 74, 142, 167, 194, 230)  # of each crystal system (International Tables A)
SYMPREC = 0.1  # Å, the tolerance of the space groups


def crystal_system(space_group: ArrayLike) -> np.ndarray:
    """Crystal system of each space group, as an index into `SYSTEMS`.

    Raises
    ------
    ValueError
        A number that is no space group; names its place.
    """
    groups = np.atleast_1d(np.asarray(space_group))
    bad = ~((groups >= 1) & (groups <= 230) & (groups == np.floor(groups)))
    if bad.any():
        where = int(bad.argmax())
        raise ValueError(f"space group {groups[where]} in place {where} is not in 1 to 230")
    return np.searchsorted(_LAST_GROUP, groups).reshape(np.shape(space_group))


def prototypes(structures) -> np.ndarray:
    """Prototype key of each structure, such as "A2B3-62-20".

    Anonymous reduced formula, space group and number of atoms of the cell of each of the
    `structures.Structures`. Structures with one key are usually the same arrangement with
    other elements, so a split that keeps a key together asks for more than a random one.
    """
    keys = []
    groups = structures.table["space_group"]
    for (_, numbers, _), group in zip(structures, groups, strict=True):
        counts = np.sort(np.unique(numbers, return_counts=True)[1])
        divisor = gcd(*counts.tolist())
        anonymous = "".join(
            chr(ord("A") + i) + (str(c // divisor) if c > divisor else "")
            for i, c in enumerate(counts.tolist())
        )
        keys.append(f"{anonymous}-{group}-{len(numbers)}")
    return np.array(keys)


def grouped_split(
    keys: np.ndarray, fractions=(0.8, 0.1, 0.1), seed: int = 0, largest: float = 1.0
) -> np.ndarray:
    """(n,) array of "train", "val" and "test" in which equal keys stay together.

    Whole groups in random order fill the parts up to their share of the rows. Groups that hold
    more than the share `largest` of all rows come first, into "train": one of them could make up
    most of a small part.
    """
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(sizes[order] <= largest * len(keys), kind="stable")]
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    limits = np.cumsum(fractions)[:-1] / sum(fractions) * len(keys)
    part = np.empty(len(sizes), dtype=int)
    part[order] = np.searchsorted(limits, middle)
    return np.array(["train", "val", "test"], dtype=object)[part[group]]


def find_space_group(structure: Structure, symprec: float = SYMPREC) -> int:
    """Space-group number that spglib finds within symprec (Å), 0 where it finds none."""
    import spglib

    lattice, places = structure.lattice.matrix.tolist(), structure.frac_coords.tolist()
    cell = (lattice, places, structure.atomic_numbers)
    dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
    return dataset.number if dataset else 0
