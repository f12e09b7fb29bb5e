"""Crystal graphs: atoms are nodes, near neighbours over periodic images are edges.

Only distances and elements enter, so the choice of cell, its origin and the order of atoms do not
matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from matgan.crystals.sites.neighbours import lattice_vectors
from matgan.crystals.structures import StructureError, Structures
from matgan.learning.compute import compiled

GRAPH_NEIGHBOURS = 12  # of each atom: Xie and Grossman's choice
_SHELL = 1e-3  # Å: neighbours as near as the last one are in its shell and come along
_FARTHEST = 64.0  # Å; an atom without neighbours up to here stands alone
_NEAREST = 0.1  # Å: what is nearer is one place


@dataclass(frozen=True)
class CrystalGraphs:
    """Graphs of n structures, end to end.

    Attributes
    ----------
    first_atom, first_edge : (n + 1,) int arrays
    numbers : (N,) int64 array, atomic numbers
    edges : (2, E) int64 array: centre and neighbour, counted from the structure's first atom
    distances : (E,) float32 array, Å
    images : (E,) float32 array, how many images of the neighbour an edge stands for
    """

    first_atom: np.ndarray
    first_edge: np.ndarray
    numbers: np.ndarray
    edges: np.ndarray
    distances: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.first_atom) - 1

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Numbers (A,), edges (2, E), distances and images (E,), the graph of each atom (A,)."""
        atoms = [np.arange(*self.first_atom[i : i + 2]) for i in rows]
        edges = [np.arange(*self.first_edge[i : i + 2]) for i in rows]
        sizes = np.array([len(a) for a in atoms])
        shift = np.repeat(np.cumsum(sizes) - sizes, [len(e) for e in edges])
        chosen = np.concatenate(edges)
        return (
            torch.from_numpy(self.numbers[np.concatenate(atoms)]),
            torch.from_numpy(self.edges[:, chosen] + shift),
            torch.from_numpy(self.distances[chosen]),
            torch.from_numpy(self.images[chosen]),
            torch.from_numpy(np.repeat(np.arange(len(rows)), sizes)),
        )

    def scaled(self, factors: np.ndarray) -> CrystalGraphs:
        """The same graphs, all distances of each structure times a factor: (n,)."""
        of_edges = np.repeat(factors, np.diff(self.first_edge)).astype(np.float32)
        return replace(self, distances=self.distances * of_edges)

    def merged(self) -> CrystalGraphs:
        """The same graphs with one edge for all images of a neighbour at one distance.

        A network in use answers as before, in less time: a cubic perovskite of five atoms has 26
        such edges instead of 66. While it learns, the batch normalisation of its edges counts each
        of these once.
        """
        of = np.repeat(np.arange(len(self)), np.diff(self.first_edge))
        centre, neighbour = self.edges
        order = np.lexsort((self.distances, neighbour, centre, of))
        keys = np.stack([of, centre, neighbour])[:, order]
        distances = self.distances[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (np.diff(keys) != 0).any(0) | (np.diff(distances) > _SHELL)
        starts = np.flatnonzero(new)
        images = np.add.reduceat(self.images[order], starts) if len(starts) else self.images
        first_edge = np.searchsorted(keys[0, starts], np.arange(len(self) + 1))
        edges = np.ascontiguousarray(keys[1:, starts])
        return CrystalGraphs(
            self.first_atom, first_edge, self.numbers, edges, distances[starts], images
        )


def crystal_graphs(structures: Structures, n_neighbours: int = GRAPH_NEIGHBOURS) -> CrystalGraphs:
    """Neighbours of every atom: the nearest ones, and all that are as near as the last of them.

    The paper takes exactly twelve; where the twelfth is one of several at the same distance, that
    choice would depend on the order of the atoms.

    Raises
    ------
    StructureError
        Two atoms lie on one place; names the structure.
    ValueError
        Fewer than one neighbour is asked for.
    """
    if n_neighbours < 1:
        raise ValueError(f"the number of neighbours must be 1 or more, not {n_neighbours}")
    edges, distances = [], []
    for i in range(len(structures)):
        cell, _, frac = structures[i]
        vectors = lattice_vectors(np.asarray(cell, float))
        centre, neighbour, found = _shells(vectors, np.asarray(frac, float), n_neighbours)
        if found.min(initial=np.inf) < _NEAREST:
            name = structures.table["id"].iloc[i]
            raise StructureError(f"structure {name}: two atoms are {found.min():.3f} Å apart")
        edges.append(np.stack([centre, neighbour]))
        distances.append(found.astype(np.float32))
    lengths = np.concatenate(distances)
    return CrystalGraphs(
        structures.first,
        np.concatenate([[0], np.cumsum([len(d) for d in distances])]).astype(int),
        structures.numbers.astype(np.int64),
        np.concatenate(edges, axis=1),
        lengths,
        np.ones_like(lengths),
    )


@compiled
def _shells(vectors, frac, wanted):
    """Centre, neighbour and distance of each edge, by centre and then by distance."""
    n = len(frac)
    places = (frac - np.floor(frac)) @ vectors
    volume = abs(np.linalg.det(vectors))
    heights = np.empty(3)
    for k in range(3):
        heights[k] = volume / np.linalg.norm(np.cross(vectors[(k + 1) % 3], vectors[(k + 2) % 3]))
    space, end = 64, 0
    centres, neighbours = np.empty(space, np.int64), np.empty(space, np.int64)
    distances = np.empty(space)
    begin = 1.2 * ((wanted + 1) * volume / n / 4.19) ** (1 / 3)  # holds as many on average
    for i in range(n):
        radius, start = min(begin, _FARTHEST), end
        while True:
            end = start
            most = (radius / heights).astype(np.int64) + 1
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
                            if end == space:
                                space *= 2
                                centres = np.concatenate((centres, centres))
                                neighbours = np.concatenate((neighbours, neighbours))
                                distances = np.concatenate((distances, distances))
                            centres[end], neighbours[end] = i, j
                            distances[end] = np.sqrt(square)
                            end += 1
            if radius >= _FARTHEST:
                break
            # the shell of the last one that is wanted must lie inside, too
            if end - start >= wanted:
                last = np.sort(distances[start:end])[wanted - 1]
                if last + _SHELL < radius:
                    break
            radius = min(1.3 * radius, _FARTHEST)
        order = start + np.argsort(distances[start:end])
        centres[start:end], neighbours[start:end] = centres[order], neighbours[order]
        distances[start:end] = distances[order]
        if end - start > wanted:
            last = distances[start + wanted - 1]
            end = start + np.searchsorted(distances[start:end], last + _SHELL, side="right")
    return centres[:end], neighbours[:end], distances[:end]
