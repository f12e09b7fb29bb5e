"""Crystal graphs: atoms are nodes, near neighbours over periodic images are edges.

Only distances and elements enter, so the choice of cell, its origin and the order of atoms do not
matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from matgan.crystals.sites.neighbours import SHELL, lattice_vectors, shells_of_cell
from matgan.crystals.structures import StructureError, Structures

GRAPH_NEIGHBOURS = 12  # of each atom: Xie and Grossman's choice
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
        new[1:] = (np.diff(keys) != 0).any(0) | (np.diff(distances) > SHELL)
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
        Fewer than one neighbour is asked for, or there are no structures.
    """
    if n_neighbours < 1:
        raise ValueError(f"the number of neighbours must be 1 or more, not {n_neighbours}")
    if not len(structures):
        raise ValueError("there are no structures to make graphs of")
    edges, distances = [], []
    for i in range(len(structures)):
        cell, _, frac = structures[i]
        vectors = lattice_vectors(np.asarray(cell, float))
        centre, neighbour, found = shells_of_cell(vectors, np.asarray(frac, float), n_neighbours)
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
