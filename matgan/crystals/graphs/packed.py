"""Crystal graphs as small arrays: a file of them trains a network where nothing can be computed.

An edge takes four bytes instead of 24. Distances are kept to a thousandth of an Å, a two-hundredth
of the width of the network's Gaussians.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from matgan import files
from matgan.crystals.graphs.neighbours import CrystalGraphs

_UNIT = 1e-3  # Å
_MOST = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class PackedGraphs:
    """Graphs of n structures, end to end; the edges of an atom lie together, atom after atom.

    Attributes
    ----------
    first_atom, first_edge : (n + 1,) int64 arrays
    numbers : (N,) uint8 array, atomic numbers
    degrees : (N,) uint16 array, edges of each atom
    neighbours : (E,) uint16 array, counted from the structure's first atom
    lengths : (E,) uint16 array, thousandths of an Å; none above 65.535 Å
    """

    first_atom: np.ndarray
    first_edge: np.ndarray
    numbers: np.ndarray
    degrees: np.ndarray
    neighbours: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.first_atom) - 1

    def take(self, rows: np.ndarray) -> PackedGraphs:
        """The graphs of these rows (indices or a mask), in this order."""
        rows = np.arange(len(self))[rows]
        atoms, edges = _ranges(self.first_atom, rows), _ranges(self.first_edge, rows)
        return PackedGraphs(
            _starts(np.diff(self.first_atom)[rows]),
            _starts(np.diff(self.first_edge)[rows]),
            self.numbers[atoms],
            self.degrees[atoms],
            self.neighbours[edges],
            self.lengths[edges],
        )


def pack(graphs: CrystalGraphs) -> PackedGraphs:
    """The same graphs in a sixth of the space.

    Raises
    ------
    ValueError
        An edge stands for several images (`CrystalGraphs.merged`), or a structure has more atoms
        than two bytes count.
    """
    if (graphs.images != 1).any():
        raise ValueError("merged graphs cannot be packed: an edge there stands for several")
    sizes = np.diff(graphs.first_atom)
    if sizes.max(initial=0) > _MOST:
        raise ValueError(f"a structure of {sizes.max()} atoms cannot be packed, at most {_MOST}")
    centre, neighbour = graphs.edges
    shift = np.repeat(graphs.first_atom[:-1], np.diff(graphs.first_edge))
    degrees = np.bincount(centre + shift, minlength=len(graphs.numbers))
    lengths = np.rint(graphs.distances / _UNIT).clip(max=_MOST)
    return PackedGraphs(
        graphs.first_atom.astype(np.int64),
        graphs.first_edge.astype(np.int64),
        graphs.numbers.astype(np.uint8),
        degrees.astype(np.uint16),
        neighbour.astype(np.uint16),
        lengths.astype(np.uint16),
    )


def write_graphs(path: Path, graphs: PackedGraphs) -> None:
    """Write graphs to an .npz file that `read_graphs` reads."""
    with files.atomic_file(path) as file:
        np.savez_compressed(file, **{f.name: getattr(graphs, f.name) for f in fields(graphs)})


def read_graphs(path: Path) -> PackedGraphs:
    """What `write_graphs` wrote.

    Raises
    ------
    FileNotFoundError
    ArraysError
        The file is damaged, or its arrays do not fit together.
    """
    arrays = files.load_arrays(path, [f.name for f in fields(PackedGraphs)])
    graphs = PackedGraphs(**arrays)
    n_atoms, n_edges = len(graphs.numbers), len(graphs.neighbours)
    whole = graphs.first_atom[-1] == n_atoms and graphs.first_edge[-1] == n_edges
    if not (whole and len(graphs.degrees) == n_atoms and len(graphs.lengths) == n_edges):
        raise files.ArraysError(f"{path}: {n_atoms} atoms and {n_edges} edges do not fit together")
    return graphs


class GraphsOnDevice:
    """Packed graphs on the device that trains: batches are gathered there, none is sent.

    Parameters
    ----------
    graphs : n graphs
    targets : (n, …) array
    device : "cpu" or "cuda"
    """

    def __init__(self, graphs: PackedGraphs, targets: np.ndarray, device: str = "cpu"):
        self.graphs, self.targets, self.device = graphs, targets, device
        self._first_atom, self._first_edge = (
            torch.from_numpy(first).to(device) for first in (graphs.first_atom, graphs.first_edge)
        )
        self._numbers = torch.from_numpy(graphs.numbers.astype(np.int64)).to(device)
        self._degrees = torch.from_numpy(graphs.degrees.astype(np.int64)).to(device)
        self._neighbours = torch.from_numpy(graphs.neighbours.astype(np.int32)).to(device)
        self._distances = torch.from_numpy(graphs.lengths.astype(np.float32) * _UNIT).to(device)

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, rows, seed):
        """Inputs as `CrystalGraphs.batch` has them, and targets: `matgan.learning.fit.Examples`."""
        rows = np.asarray(rows)
        n_atoms = int(np.diff(self.graphs.first_atom)[rows].sum())
        n_edges = int(np.diff(self.graphs.first_edge)[rows].sum())
        chosen = torch.from_numpy(rows).to(self.device)
        atoms, graph, before = _gathered(self._first_atom, chosen, n_atoms)
        edges, graph_of_edge, _ = _gathered(self._first_edge, chosen, n_edges)
        centre = torch.repeat_interleave(self._degrees[atoms], output_size=n_edges)
        neighbour = self._neighbours[edges] + before[graph_of_edge]
        inputs = (
            self._numbers[atoms],
            torch.stack([centre, neighbour]),
            self._distances[edges],
            torch.ones(n_edges, device=self.device),
            graph,
        )
        return inputs, torch.from_numpy(self.targets[rows])

    def content(self):
        """See `matgan.learning.fit.Examples`."""
        return [*(getattr(self.graphs, f.name) for f in fields(self.graphs)), self.targets]


def _gathered(first: Tensor, rows: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """What lies between the marks of some rows, the row of each, and how many came before a row."""
    sizes = first[rows + 1] - first[rows]
    before = sizes.cumsum(0) - sizes
    row = torch.repeat_interleave(sizes, output_size=total)
    places = (first[rows] - before)[row] + torch.arange(total, device=first.device)
    return places, row, before


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _ranges(first: np.ndarray, rows: np.ndarray) -> np.ndarray:
    sizes = np.diff(first)[rows]
    return np.repeat(first[rows] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
