"""Crystal graph convolutional network (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018).

Atoms are nodes, near neighbours (periodic images too) are edges. Each layer adds to an atom's
vector v_i the gated sum over its neighbours (Equation 5 of the paper)

    v_i + Σ_j σ(z_ij W_f + b_f) ⊙ softplus(z_ij W_s + b_s),   z_ij = v_i ⊕ v_j ⊕ u_ij

with u_ij Gaussians of the distance; the mean over the atoms describes the crystal. Only distances
and elements enter, so the choice of cell, its origin and the order of atoms do not matter.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from matgan.crystals.structures import (
    MAX_Z,
    StructureError,
    Structures,
    load_structures,
)
from matgan.files import atomic_file
from matgan.learning.compute import DEVICES, device
from matgan.learning.fit import Fit, outputs, regression_loss, train
from matgan.learning.statistics import scores

NEIGHBOURS = 12  # the paper's choice
RADIUS = 8.0  # Å, within which neighbours are looked for at first
_SHELL = 1e-3  # Å: neighbours as near as the last one are in its shell and come along
_FARTHEST = 64.0  # Å; an atom without neighbours up to here stands alone


@dataclass(frozen=True)
class CrystalGraphs:
    """Graphs of n structures, end to end.

    Attributes
    ----------
    first_atom, first_edge : (n + 1,) int arrays
    numbers : (N,) int64 array, atomic numbers
    edges : (2, E) int64 array: centre and neighbour, counted from the structure's first atom
    distances : (E,) float32 array, Å
    """

    first_atom: np.ndarray
    first_edge: np.ndarray
    numbers: np.ndarray
    edges: np.ndarray
    distances: np.ndarray

    def __len__(self) -> int:
        return len(self.first_atom) - 1

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Numbers (A,), edges (2, E), distances (E,) and the graph (A,) of each atom."""
        atoms = [np.arange(*self.first_atom[i : i + 2]) for i in rows]
        edges = [np.arange(*self.first_edge[i : i + 2]) for i in rows]
        sizes = np.array([len(a) for a in atoms])
        shift = np.repeat(np.cumsum(sizes) - sizes, [len(e) for e in edges])
        chosen = np.concatenate(edges)
        return (
            torch.from_numpy(self.numbers[np.concatenate(atoms)]),
            torch.from_numpy(self.edges[:, chosen] + shift),
            torch.from_numpy(self.distances[chosen]),
            torch.from_numpy(np.repeat(np.arange(len(rows)), sizes)),
        )


def crystal_graphs(structures: Structures, n_neighbours: int = NEIGHBOURS) -> CrystalGraphs:
    """Neighbours of every atom: the nearest ones, and all that are as near as the last of them.

    The paper takes exactly twelve; where the twelfth is one of several at the same distance, that
    choice would depend on the order of the atoms.

    Raises
    ------
    StructureError
        Two atoms lie on one place; names the structure.
    """
    edges, distances = [], []
    for i in range(len(structures)):
        pairs, lengths = _neighbours(structures.structure(i), n_neighbours)
        if lengths.min(initial=np.inf) < 0.1:
            name = structures.table["id"].iloc[i]
            raise StructureError(f"structure {name}: two atoms are {lengths.min():.3f} Å apart")
        edges.append(pairs)
        distances.append(lengths.astype(np.float32))
    return CrystalGraphs(
        structures.first,
        np.concatenate([[0], np.cumsum([len(d) for d in distances])]).astype(int),
        structures.numbers.astype(np.int64),
        np.concatenate(edges, axis=1),
        np.concatenate(distances),
    )


def _neighbours(structure, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    n, radius = len(structure), RADIUS
    while True:
        centre, neighbour, _, distance = structure.get_neighbor_list(radius, exclude_self=True)
        if np.bincount(centre, minlength=n).min() >= wanted or radius > _FARTHEST:
            break
        radius *= 1.5
    order = np.lexsort((distance, centre))
    centre, neighbour, distance = centre[order], neighbour[order], distance[order]
    if not len(distance):  # an atom that stands alone
        return np.empty((2, 0), dtype=np.int64), distance
    counts = np.bincount(centre, minlength=n)
    starts = np.cumsum(counts) - counts
    last = np.minimum(starts + wanted, starts + counts) - 1  # the last one that is wanted
    near = distance <= distance[last][centre] + _SHELL
    return np.stack([centre[near], neighbour[near]]).astype(np.int64), distance[near]


class GatedConvolution(nn.Module):
    """One layer of the paper's Equation 5, with its two batch normalisations.

    W z of both gates is a sum over the three parts of z, and those of the atoms are computed once
    for each atom, not for each of its edges.
    """

    def __init__(self, width: int, n_gaussians: int):
        super().__init__()
        self.from_atom = nn.Linear(width, 4 * width, bias=False)  # as centre and as neighbour
        self.from_distance = nn.Linear(n_gaussians, 2 * width)
        self.norm_edges, self.norm_atoms = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, atoms: Tensor, edges: Tensor, gaussians: Tensor) -> Tensor:
        centre, neighbour = edges
        as_centre, as_neighbour = self.from_atom(atoms).chunk(2, 1)  # (A, 2 width) each
        z = self.from_distance(gaussians)  # (E, 2 width)
        # index_select, whose gradient is many times as fast as that of indexing
        z = z + as_centre.index_select(0, centre) + as_neighbour.index_select(0, neighbour)
        gate, core = self.norm_edges(z).chunk(2, 1)
        message = torch.sigmoid(gate) * functional.softplus(core)  # (E, width)
        total = torch.zeros_like(atoms).index_add(0, centre, message)
        return functional.softplus(atoms + self.norm_atoms(total))


class CrystalGraphNetwork(nn.Module):
    """CGCNN with one output head for each label.

    Parameters
    ----------
    classes : {label: number of outputs}; {"value": 1} for a property
    """

    centres: Tensor

    def __init__(
        self,
        classes: dict[str, int],
        width: int = 64,
        layers: int = 3,
        hidden: int = 128,
        n_gaussians: int = 41,
    ):
        super().__init__()
        self.embed = nn.Embedding(MAX_Z + 1, width)
        self.register_buffer("centres", torch.linspace(0, RADIUS, n_gaussians))
        self.convolutions = nn.ModuleList(
            [GatedConvolution(width, n_gaussians) for _ in range(layers)]
        )
        self.read = nn.Sequential(nn.Linear(width, hidden), nn.Softplus())
        self.heads = nn.ModuleDict({name: nn.Linear(hidden, n) for name, n in classes.items()})

    def forward(self, numbers: Tensor, edges: Tensor, distances: Tensor, graph: Tensor):
        """{label: (B, outputs)} of a batch as `CrystalGraphs.batch` gives it."""
        spacing = self.centres[1]
        gaussians = torch.exp(-(((distances[:, None] - self.centres) / spacing) ** 2))  # (E, G)
        atoms = self.embed(numbers)  # (A, width)
        for convolution in self.convolutions:
            atoms = convolution(atoms, edges, gaussians)
        n_graphs = int(graph[-1]) + 1
        total = torch.zeros(n_graphs, atoms.shape[1], device=atoms.device)
        counts = torch.bincount(graph, minlength=n_graphs)[:, None]
        crystal = self.read(total.index_add(0, graph, atoms) / counts)  # (B, hidden)
        return {name: head(crystal) for name, head in self.heads.items()}


class Graphs:
    """Crystal graphs."""

    def __init__(self, graphs: CrystalGraphs, targets: np.ndarray):
        self.graphs, self.targets = graphs, targets

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, rows, seed):
        """Inputs and targets of some rows, as tensors: see `matgan.learning.fit.Examples`."""
        return self.graphs.batch(rows), torch.from_numpy(self.targets[rows])

    def content(self):
        """See `matgan.learning.fit.Examples`."""
        return [*(getattr(self.graphs, f.name) for f in fields(self.graphs)), self.targets]


# --- training -------------------------------------------------------------------------------------


# Mean absolute errors on the 4,239 test structures of this split after training on 60,000, eV/atom
# and eV: JARVIS leaderboard, megnet e_form and megnet gap pbe
PUBLISHED_ERRORS = {
    "ALIGNN": {"e_form": 0.024, "gap": 0.209},
    "matminer, gradient boosting": {"e_form": 0.055, "gap": 0.267},
    "matminer, random forest": {"e_form": 0.071, "gap": 0.275},
}


def formation_energy(
    crystals: Structures,
    fit: Fit,
    rows: int = 0,
    checkpoint: Path | None = None,
    progress=None,
    device: str = "cpu",
) -> dict[str, float]:
    """Errors of the network on the test part, in eV/atom, after training on the training part.

    Parameters
    ----------
    crystals : with the column e_form, eV/atom
    fit : passes, batch size, learning rate, seed
    rows : structures to learn from, drawn at random; 0: all
    checkpoint, progress, device : see `matgan.learning.fit.train`
    """
    learn = crystals.take(crystals.rows("train", rows, fit.seed))
    test = crystals.take(crystals.rows("test"))
    y = [part.table["e_form"].to_numpy(float) for part in (learn, test)]
    mean, deviation = y[0].mean(), y[0].std()
    source = Graphs(crystal_graphs(learn), ((y[0] - mean) / deviation).astype(np.float32))
    torch.manual_seed(fit.seed)
    network = CrystalGraphNetwork({"value": 1})
    train(network, source, regression_loss, fit, checkpoint, progress, device)
    found = outputs(network, Graphs(crystal_graphs(test), y[1]))["value"][:, 0] * deviation + mean
    return {"n_train": len(learn), "n_test": len(test), **scores(y[1], found)}


def main(arguments: list[str] | None = None) -> None:
    """The command `cgcnn`: trains, prints progress, writes the errors beside the published ones."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan cgcnn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training part")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--structures", type=int, default=0, help="to learn from; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=DEVICES, default="auto")
    options = parser.parse_args(arguments)
    if options.structures < 0:
        parser.error(f"--structures must be 0 or more, not {options.structures}")
    fit = Fit(options.epochs, options.batch_size, seed=options.seed)

    def show(step: int, n_steps: int, loss: float) -> None:
        if step % 200 == 0 or step == n_steps:
            print(f"step {step:,} of {n_steps:,}, loss {loss:.3f}", flush=True)

    found = formation_energy(
        load_structures(),
        fit,
        options.structures,
        options.out.with_name(f"{options.out.stem}.checkpoint.safetensors"),
        show,
        device(options.device),
    )
    ours = {"model": "CGCNN (ours)", "epochs": fit.epochs, "seed": fit.seed, **found}
    published = [
        {"model": f"{name} (published)", "mae": errors["e_form"]}
        for name, errors in PUBLISHED_ERRORS.items()
    ]
    table = pd.DataFrame([ours, *published])
    with atomic_file(options.out) as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))
