"""Neighbours of atoms over periodic images: the nearest shells, or all within a reach.

The reach follows the surroundings: it is 1.7 times the mean distance of an atom's twelve nearest
neighbours, the length of the site. So there are some 25, in a dense crystal as in an open one,
whatever the scale of the cell. No tie between equal distances is ever broken by the order of atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matgan.crystals.structures import StructureError, Structures
from matgan.learning.compute import compiled

NEAREST_TWELVE = 12  # neighbours whose mean distance is the length of a site
REACH = 1.7  # in these lengths
SHELL = 1e-3  # Å: neighbours whose distances differ by less are in one shell
SAME_PLACE = 1e-3  # Å: atoms that are nearer lie in one place
FARTHEST = 64.0  # Å: no neighbour of a shell is looked for beyond


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of the n atoms of one structure.

    Attributes
    ----------
    first : (n + 1,) int array; the neighbours of atom i are first[i] to first[i + 1]
    atom : (E,) int array, which atom of the cell each one is an image of
    offset : (E, 3) float64 array, from atom to neighbour, Å
    distance : (E,) float64 array, Å
    length : (n,) float64 array, mean distance of the nearest twelve, Å
    """

    first: np.ndarray
    atom: np.ndarray
    offset: np.ndarray
    distance: np.ndarray
    length: np.ndarray


def find_neighbours(structures: Structures, row: int, reach: float = REACH) -> Neighbours:
    """Neighbours of every atom of one structure.

    Parameters
    ----------
    structures, row : the structure
    reach : farthest neighbour, in lengths of the site

    Raises
    ------
    StructureError
        Two atoms lie in one place; names the structure.
    ValueError
        The reach is below 1: the nearest neighbour might be missing.
    """
    if not reach >= 1:
        raise ValueError(f"the reach must be 1 or more, not {reach}")
    cell, _, frac = structures[row]
    found = Neighbours(*neighbours_of_cell(lattice_vectors(cell), frac, NEAREST_TWELVE, reach))
    if found.distance.min() < SAME_PLACE:
        raise StructureError(f"structure {structures.table['id'].iloc[row]} has two atoms at once")
    return found


@compiled
def lattice_vectors(cell):
    """(3, 3) array, a row for each vector in Å, of a, b, c and the angles in degrees."""
    cosines, vectors = np.cos(np.radians(cell[3:])), np.zeros((3, 3))
    sine = np.sin(np.radians(cell[5]))
    vectors[0, 0] = cell[0]
    vectors[1, 0], vectors[1, 1] = cell[1] * cosines[2], cell[1] * sine
    x, y = cosines[1], (cosines[0] - cosines[1] * cosines[2]) / sine
    vectors[2] = cell[2] * np.array([x, y, np.sqrt(max(1 - x * x - y * y, 1e-12))])
    return vectors


@compiled
def neighbours_of_cell(vectors, frac, nearest, reach):
    """What `Neighbours` holds, for lattice vectors (3, 3) and fractional coordinates (n, 3)."""
    n = len(frac)
    places, volume, heights = _in_cell(vectors, frac)
    first, length = np.zeros(n + 1, np.int64), np.empty(n)
    atom, offset, distance = np.empty(256, np.int64), np.empty((256, 3)), np.empty(256)
    for i in range(n):
        start, radius = first[i], 2.4 * (volume / n) ** (1 / 3)
        while True:
            end, atom, offset, distance = _within(
                radius, i, places, vectors, heights, start, atom, offset, distance
            )
            if end - start >= nearest:
                length[i] = np.sort(distance[start:end])[:nearest].mean()
                if reach * length[i] <= radius:
                    break
            radius *= 1.25
        kept = start
        for e in range(start, end):
            if distance[e] <= reach * length[i]:
                atom[kept], offset[kept], distance[kept] = atom[e], offset[e], distance[e]
                kept += 1
        first[i + 1] = kept
    end = first[n]
    return first, atom[:end], offset[:end], distance[:end], length


@compiled
def shells_of_cell(vectors, frac, wanted):
    """Centre, neighbour and distance, (E,) each, of the nearest shells of every atom.

    As many as are wanted, and all that are as near as the last of these; by centre, then by
    distance. An atom without any up to `FARTHEST` stands alone.
    """
    n = len(frac)
    places, volume, heights = _in_cell(vectors, frac)
    first = np.zeros(n + 1, np.int64)
    atom, offset, distance = np.empty(64, np.int64), np.empty((0, 3)), np.empty(64)
    begin = 1.2 * ((wanted + 1) * volume / n / 4.19) ** (1 / 3)  # holds as many on average
    for i in range(n):
        start, radius = first[i], min(begin, FARTHEST)
        while True:
            end, atom, offset, distance = _within(
                radius, i, places, vectors, heights, start, atom, offset, distance
            )
            if radius >= FARTHEST:
                break
            # the shell of the last one that is wanted must lie inside, too
            if end - start >= wanted:
                last = np.sort(distance[start:end])[wanted - 1]
                if last + SHELL < radius:
                    break
            radius = min(1.3 * radius, FARTHEST)
        order = start + np.argsort(distance[start:end])
        atom[start:end], distance[start:end] = atom[order], distance[order]
        if end - start > wanted:
            last = distance[start + wanted - 1]
            end = start + np.searchsorted(distance[start:end], last + SHELL, side="right")
        first[i + 1] = end
    centre = np.repeat(np.arange(n), first[1:] - first[:-1])
    return centre, atom[: first[n]], distance[: first[n]]


@compiled
def _in_cell(vectors, frac):
    """Places of the atoms in Å, the volume of the cell, and how far its faces are apart."""
    volume, heights = abs(np.linalg.det(vectors)), np.empty(3)
    for k in range(3):
        heights[k] = volume / np.linalg.norm(np.cross(vectors[(k + 1) % 3], vectors[(k + 2) % 3]))
    return (frac - np.floor(frac)) @ vectors, volume, heights


@compiled
def _within(radius, i, places, vectors, heights, start, atom, offset, distance):
    """All neighbours of atom i within a radius, written from `start` on: their end, the arrays.

    Offsets are left out where their array is empty.
    """
    end = start
    most = (radius / heights).astype(np.int64) + 1
    for a in range(-most[0], most[0] + 1):
        for b in range(-most[1], most[1] + 1):
            for c in range(-most[2], most[2] + 1):
                shift = a * vectors[0] + b * vectors[1] + c * vectors[2] - places[i]
                for j in range(len(places)):
                    x = places[j, 0] + shift[0]
                    y = places[j, 1] + shift[1]
                    z = places[j, 2] + shift[2]
                    square = x * x + y * y + z * z
                    itself = i == j and a == 0 and b == 0 and c == 0
                    if square > radius * radius or itself:
                        continue
                    if end == len(atom):
                        atom = np.concatenate((atom, atom))
                        distance = np.concatenate((distance, distance))
                        offset = np.concatenate((offset, offset))
                    atom[end], distance[end] = j, np.sqrt(square)
                    if len(offset):
                        offset[end, 0], offset[end, 1], offset[end, 2] = x, y, z
                    end += 1
    return end, atom, offset, distance
