"""Fingerprints of atomic sites: what surrounds an atom, seen through three windows.

The review tells of "multiple perspectives of normalized atomic fingerprints" (Ryan, Lengyel and
Shatruk, J. Am. Chem. Soc. 140, 10158, 2018), 3,072 numbers a site. These here are fewer and do not
change when a crystal is turned or its atoms are put into another order: sums over neighbours and
over pairs of them, each weighted by a window that closes smoothly,

- near: up to 1.25 distances of the nearest neighbour, the first shell where there is one,
- middle: up to 1.1 lengths of the site (the mean distance of its twelve nearest neighbours),
- wide: up to 1.7 lengths.

`shape` has no unit: a crystal that is blown up keeps it. `lengths` says how large the site is, and
`species` which elements are in the near and the wide window. Sites of one structure that have the
same element and the same numbers count once, with their multiplicity: nothing here can tell them
apart, whether or not a symmetry of the crystal relates them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from matgan.crystals.sites.neighbours import (
    NEAREST_TWELVE,
    REACH,
    SAME_PLACE,
    lattice_vectors,
    neighbours_of_cell,
)
from matgan.crystals.structures import StructureError, Structures
from matgan.learning.compute import compiled

WINDOWS = ("near", "middle", "wide")
BOND_ORDERS = 8  # of the bond-orientational parameters (Steinhardt et al. 1983)
ANGLES = 12  # bins of the cosine, from -1 to 1
SHELLS = 16  # bins of the distance, from 0.4 to 1.7 lengths
MAX_SPECIES = 8  # elements in one structure of the Materials Project
SAME_WITHIN = 0.01  # sites whose numbers all differ by less are one

_NAMED = {
    "distance": NEAREST_TWELVE,  # of the nearest twelve, in lengths, 1.7 where it is more
    "spacing": 1,  # cube root of the volume of an atom, in lengths
    "neighbours": 3,  # in each window
    "order": 3 * BOND_ORDERS,  # Q_1 to Q_8 in each window
    "angle": 3 * ANGLES,  # share of the pairs of neighbours in each bin
    "shell": SHELLS,  # neighbours in each bin of the distance
    "beside": 6,  # neighbours' lengths, nearest distances and coordination: mean, deviation
}
SHAPE_NAMES = tuple(f"{name} {i}" for name, n in _NAMED.items() for i in range(1, n + 1))
WIDTH = len(SHAPE_NAMES)
LENGTHS = ("length", "nearest distance", "spacing", "neighbours' length")  # log of each in Å


@dataclass(frozen=True)
class Sites:
    """Distinct sites of some structures.

    Attributes
    ----------
    structure : (m,) int32, which structure
    number : (m,) uint8, atomic number of the atom there
    atoms : (m,) uint16, atoms of the cell that sit on it
    shape : (m, WIDTH) float32, see `SHAPE_NAMES`
    lengths : (m, 4) float32, see `LENGTHS`
    species : (n, MAX_SPECIES) uint8, atomic numbers in each of the n structures, then zeros
    counts : (n, MAX_SPECIES) uint16, their atoms in the cell
    share : (m, 2, MAX_SPECIES) float32, shares of these in the near and the wide window
    """

    structure: np.ndarray
    number: np.ndarray
    atoms: np.ndarray
    shape: np.ndarray
    lengths: np.ndarray
    species: np.ndarray
    counts: np.ndarray
    share: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: np.ndarray) -> Sites:
        """Some of the sites; `structure` goes on to count all structures."""
        whole = ("species", "counts")
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return Sites(**{k: v if k in whole else v[rows] for k, v in parts.items()})


def site_fingerprints(structures: Structures) -> Sites:
    """Fingerprints of all distinct sites, in the order of structures and atoms.

    Raises
    ------
    ValueError
        A structure holds more than eight elements; names it.
    StructureError
        Two atoms lie in one place; names the structure.
    """
    n, atoms = len(structures), len(structures.numbers)
    species = np.zeros((n, MAX_SPECIES), np.uint8)
    counts = np.zeros((n, MAX_SPECIES), np.uint16)
    for i, (_, numbers, _) in enumerate(structures):
        own, count = np.unique(numbers, return_counts=True)
        if len(own) > MAX_SPECIES:
            name = structures.table["id"].iloc[i]
            raise ValueError(f"structure {name} holds {len(own)} elements, not {MAX_SPECIES}")
        species[i, : len(own)], counts[i, : len(own)] = own, count
    shape = np.zeros((atoms, WIDTH), np.float32)
    lengths = np.zeros((atoms, len(LENGTHS)), np.float32)
    share = np.zeros((atoms, 2, MAX_SPECIES), np.float32)
    same = np.zeros(atoms, np.int64)
    given = structures.cell, structures.first, structures.numbers, structures.frac, species
    bad = _fill(*given, shape, lengths, share, same)
    if bad >= 0:
        raise StructureError(f"structure {structures.table['id'].iloc[bad]} has two atoms at once")
    rows, multiplicity = np.unique(same, return_counts=True)
    which = np.repeat(np.arange(n, dtype=np.int32), np.diff(structures.first))
    return Sites(
        which[rows],
        structures.numbers[rows],
        multiplicity.astype(np.uint16),
        shape[rows],
        lengths[rows],
        species,
        counts,
        share[rows],
    )


@compiled
def _fill(cells, first, numbers, frac, species, shape, lengths, share, same):
    """Fill the rows of all atoms; a structure with two atoms in one place, or -1."""
    for s in range(len(cells)):
        start, end = first[s], first[s + 1]
        own = np.zeros(end - start, np.int64)  # column of each atom's element
        for i in range(end - start):
            own[i] = np.searchsorted(species[s, : np.sum(species[s] > 0)], numbers[start + i])
        part = shape[start:end], lengths[start:end], share[start:end]
        if not _fill_one(lattice_vectors(cells[s]), frac[start:end], own, *part):
            return s
        for i in range(start, end):
            same[i] = i
            for j in range(start, i):
                first_of_all = same[j] == j and numbers[j] == numbers[i]
                if first_of_all and _alike(i, j, shape, lengths, share):
                    same[i] = j
                    break
    return -1


@compiled
def _alike(i, j, shape, lengths, share):
    for k in range(shape.shape[1]):
        if abs(shape[i, k] - shape[j, k]) >= SAME_WITHIN:
            return False
    for k in range(lengths.shape[1]):
        if abs(lengths[i, k] - lengths[j, k]) >= SAME_WITHIN:
            return False
    for w in range(2):
        for k in range(share.shape[2]):
            if abs(share[i, w, k] - share[j, w, k]) >= SAME_WITHIN:
                return False
    return True


@compiled
def _fill_one(vectors, frac, own, shape, lengths, share):
    """Fill the rows of one structure's atoms; False where two of them lie in one place."""
    n = len(frac)
    first, atom, offset, distance, length = neighbours_of_cell(vectors, frac, NEAREST_TWELVE, REACH)
    spacing = (abs(np.linalg.det(vectors)) / n) ** (1 / 3)
    nearest, near = np.empty(n), np.empty(n)
    weights = np.empty((3, len(atom)))
    for i in range(n):
        mine = slice(first[i], first[i + 1])
        nearest[i] = distance[mine].min()
        if nearest[i] < SAME_PLACE:
            return False
        r, unit = distance[mine], distance[mine] / length[i]
        weights[0, mine] = 1 / (1 + np.exp((r / nearest[i] - 1.25) / 0.04))
        weights[1, mine] = 1 / (1 + np.exp((unit - 1.1) / 0.04))
        weights[2, mine] = (1 + np.cos(np.pi * unit / REACH)) / 2
        near[i] = weights[0, mine].sum()
    for i in range(n):
        mine = slice(first[i], first[i + 1])
        _fill_pairs(offset[mine], distance[mine], weights[:, mine], shape[i])
        row, unit = shape[i], distance[mine] / length[i]
        row[:NEAREST_TWELVE] = REACH  # those beyond it
        closest = np.sort(unit)[:NEAREST_TWELVE]
        row[: len(closest)] = closest
        row[NEAREST_TWELVE] = spacing / length[i]
        shells = WIDTH - SHELLS - 6
        for e in range(len(unit)):
            place = (unit[e] - 0.4) / (REACH - 0.4) * SHELLS
            low = int(np.floor(place))
            for k in range(max(low, 0), min(low + 2, SHELLS)):
                part = 1 - (place - low) if k == low else place - low
                row[shells + k] += part * weights[2, first[i] + e]
        total, moments = weights[1, mine].sum(), np.zeros((3, 2))
        for e in range(first[i], first[i + 1]):
            j = atom[e]
            each = (length[j] / length[i], nearest[j] / nearest[i], near[j] / near[i])
            for k in range(3):
                moments[k, 0] += weights[1, e] * np.log(each[k])
                moments[k, 1] += weights[1, e] * np.log(each[k]) ** 2
            share[i, 0, own[j]] += weights[0, e]
            share[i, 1, own[j]] += weights[2, e]
        for k in range(3):
            mean = moments[k, 0] / total
            row[WIDTH - 6 + 2 * k] = mean
            row[WIDTH - 5 + 2 * k] = np.sqrt(max(moments[k, 1] / total - mean * mean, 0))
        share[i, 0] /= share[i, 0].sum()
        share[i, 1] /= share[i, 1].sum()
        beside = length[i] * np.exp(moments[0, 0] / total)
        lengths[i] = np.log(np.array([length[i], nearest[i], spacing, beside]))
    return True


@compiled
def _fill_pairs(offset, distance, weights, row):
    """Number of neighbours, their order parameters and angles in each window."""
    sums, angles = np.zeros((3, BOND_ORDERS)), np.zeros((3, ANGLES))
    n = len(distance)
    for i in range(n):
        for w in range(3):
            sums[w] += weights[w, i] ** 2 / 2  # of a neighbour with itself; pairs count twice
        for j in range(i):
            cosine = offset[i, 0] * offset[j, 0] + offset[i, 1] * offset[j, 1]
            cosine = (cosine + offset[i, 2] * offset[j, 2]) / (distance[i] * distance[j])
            place = (min(max(cosine, -1.0), 1.0) + 1) / 2 * (ANGLES - 1)
            low = min(int(place), ANGLES - 2)
            before, legendre = 1.0, cosine
            both = weights[0, i] * weights[0, j]
            middle, wide = weights[1, i] * weights[1, j], weights[2, i] * weights[2, j]
            for order in range(BOND_ORDERS):  # P_1, P_2, …: Bonnet's recursion
                sums[0, order] += both * legendre
                sums[1, order] += middle * legendre
                sums[2, order] += wide * legendre
                after = (2 * order + 3) * cosine * legendre - (order + 1) * before
                before, legendre = legendre, after / (order + 2)
            for k, part in ((low, 1 - (place - low)), (low + 1, place - low)):
                angles[0, k] += both * part
                angles[1, k] += middle * part
                angles[2, k] += wide * part
    start = NEAREST_TWELVE + 1
    for w in range(3):
        count = weights[w].sum()
        row[start + w] = np.log(count)
        orders, bins = start + 3 + w * BOND_ORDERS, start + 3 + 3 * BOND_ORDERS + w * ANGLES
        row[orders : orders + BOND_ORDERS] = np.sqrt(np.maximum(2 * sums[w], 0)) / count
        total = angles[w].sum()
        if total > 1e-6:
            row[bins : bins + ANGLES] = angles[w] / total
