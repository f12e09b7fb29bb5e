"""Neighbours of atoms over periodic images, within a reach that follows the surroundings.

Each atom has a length of its own, the mean distance of its twelve nearest neighbours. Its
neighbours are all atoms within 1.7 of these lengths: some 25, in a dense crystal as in an open one,
whatever the scale of the cell. No tie between equal distances is ever broken by the order of atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matgan.crystals.structures import StructureError, Structures
from matgan.learning.compute import compiled

NEAREST_TWELVE = 12  # neighbours whose mean distance is the length of a site
REACH = 1.7  # in these lengths


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
    if found.distance.min() < 1e-3:
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
    places = (frac - np.floor(frac)) @ vectors
    volume = abs(np.linalg.det(vectors))
    radius = 2.4 * (volume / n) ** (1 / 3)
    heights = np.empty(3)
    for k in range(3):
        heights[k] = volume / np.linalg.norm(np.cross(vectors[(k + 1) % 3], vectors[(k + 2) % 3]))
    space = 256
    atom, offset = np.empty(space, np.int64), np.empty((space, 3))
    distance, length = np.empty(space), np.empty(n)
    first = np.zeros(n + 1, np.int64)
    while True:
        most = (radius / heights).astype(np.int64) + 1
        found, enough = 0, True
        for i in range(n):
            start = found
            for a in range(-most[0], most[0] + 1):
                for b in range(-most[1], most[1] + 1):
                    for c in range(-most[2], most[2] + 1):
                        shift = a * vectors[0] + b * vectors[1] + c * vectors[2] - places[i]
                        for j in range(n):
                            x = places[j, 0] + shift[0]
                            y = places[j, 1] + shift[1]
                            z = places[j, 2] + shift[2]
                            square = x * x + y * y + z * z
                            itself = i == j and a == 0 and b == 0 and c == 0
                            if square > radius * radius or itself:
                                continue
                            if found == space:
                                space *= 2
                                atom = np.concatenate((atom, atom))
                                offset = np.concatenate((offset, offset))
                                distance = np.concatenate((distance, distance))
                            atom[found], distance[found] = j, np.sqrt(square)
                            offset[found, 0], offset[found, 1], offset[found, 2] = x, y, z
                            found += 1
            enough = found - start >= nearest
            if enough:
                length[i] = np.sort(distance[start:found])[:nearest].mean()
                enough = reach * length[i] <= radius
            if not enough:
                break
            kept = start
            for e in range(start, found):
                if distance[e] <= reach * length[i]:
                    atom[kept], distance[kept] = atom[e], distance[e]
                    offset[kept] = offset[e]
                    kept += 1
            found = kept
            first[i + 1] = found
        if enough:
            return first, atom[:found], offset[:found], distance[:found], length
        radius *= 1.25
