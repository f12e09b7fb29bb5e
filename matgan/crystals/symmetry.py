"""Symmetry labels of crystal structures: system, space group, prototype, extinction group."""

from __future__ import annotations

import warnings
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from pymatgen.core import Structure


import itertools
from functools import cache

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


def find_space_group(structure: Structure, symprec: float = SYMPREC) -> int:
    """Space-group number that spglib finds within symprec (Å), 0 where it finds none."""
    import spglib

    lattice, places = structure.lattice.matrix.tolist(), structure.frac_coords.tolist()
    cell = (lattice, places, structure.atomic_numbers)
    dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
    return dataset.number if dataset else 0


# --- extinction groups ----------------------------------------------------------------------------


_REACH = 6  # indices from -6 to 6: enough for the longest period, 6 (screw axis 6_1)


@cache
def operations(space_group: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (m, 3, 3) int and translations (m, 3) of a space group's standard setting.

    Monoclinic groups have unique axis b, rhombohedral ones hexagonal axes.
    """
    import spglib

    setting = _standard_settings()[space_group]
    with warnings.catch_warnings():  # as in _standard_settings
        warnings.simplefilter("ignore", DeprecationWarning)
        symmetry = spglib.get_symmetry_from_database(setting)
    assert symmetry is not None  # it has all 530 settings
    return symmetry["rotations"], symmetry["translations"]


@cache
def _standard_settings() -> dict[int, int]:
    """Space group -> the first of its settings in spglib's list of 530."""
    import spglib

    first: dict[int, int] = {}
    with warnings.catch_warnings():  # spglib announces another way to report errors
        warnings.simplefilter("ignore", DeprecationWarning)
        for setting in range(1, 531):
            kind = spglib.get_spacegroup_type(setting)
            assert kind is not None  # it has all 530 settings
            first.setdefault(kind.number, setting)
    return first


def extinct(space_group: int, hkl: np.ndarray) -> np.ndarray:
    """Which reflections are extinct in every crystal of a space group.

    Parameters
    ----------
    space_group : 1 to 230, in its standard setting
    hkl : (m, 3) integer array

    Returns
    -------
    (m,) bool array

    Raises
    ------
    ValueError
        There is no such space group.
    """
    crystal_system(space_group)  # names what is no space group
    hkl = np.asarray(hkl)
    total = np.zeros(len(hkl), dtype=complex)
    for rotation, translation in zip(*operations(space_group), strict=True):
        kept = (hkl @ rotation == hkl).all(1)
        total += kept * np.exp(2j * np.pi * (hkl @ translation))
    return np.abs(total) < 1e-6


@cache
def _box() -> np.ndarray:
    indices = range(-_REACH, _REACH + 1)
    # hkl and its opposite are extinct together, so one half is enough
    return np.array(list(itertools.product(range(_REACH + 1), indices, indices)))


def _axis_choices(system: int) -> list[np.ndarray]:
    """Changes of axes (columns of the new hkl) that keep the conventions of a crystal system."""
    identity = np.eye(3, dtype=int)
    if SYSTEMS[system] == "orthorhombic":  # the three axes have no natural order
        return [identity[list(order)] for order in itertools.permutations(range(3))]
    if (
        SYSTEMS[system] == "monoclinic"
    ):  # b is unique; a and c are any two vectors of the plane normal to it
        small = itertools.product((-1, 0, 1), repeat=4)
        return [
            np.array([[p, 0, q], [0, 1, 0], [r, 0, s]])
            for p, q, r, s in small
            if p * s - q * r in (1, -1)
        ]
    return [identity]


@cache
def extinction_groups() -> tuple[tuple[int, ...], ...]:
    """The extinction groups: tuples of the space groups (1 to 230) that belong together.

    In order of their lowest space group, so a group of higher crystal system comes later.
    """
    box = _box()
    members: dict[tuple, list[int]] = {}
    for group in range(1, 231):
        system = int(crystal_system(group))
        # of all choices of axes the one that comes first in the order of bytes stands for them
        first = min(extinct(group, box @ axes).tobytes() for axes in _axis_choices(system))
        members.setdefault((system, first), []).append(group)
    return tuple(tuple(groups) for groups in members.values())


@cache
def _group_index() -> np.ndarray:
    index = np.zeros(231, dtype=int)
    for number, groups in enumerate(extinction_groups()):
        index[list(groups)] = number
    return index


def extinction_group(space_group: np.ndarray) -> np.ndarray:
    """Extinction group of each space group, as an index into `extinction_groups()`."""
    crystal_system(space_group)  # names what is no space group
    return _group_index()[np.asarray(space_group)]


def describe(group: int) -> str:
    """An extinction group in words, such as "orthorhombic: 33, 62"."""
    members = extinction_groups()[group]
    return f"{SYSTEMS[int(crystal_system(members[0]))]}: {', '.join(map(str, members))}"
