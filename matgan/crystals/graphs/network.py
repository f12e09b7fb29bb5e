"""Crystal graph convolutional networks (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018).

Two convolutions change an atom's vector v_i by its neighbours v_j at distances with Gaussians u_ij:

    simple, Equation 4:  g[Σ_j (v_j ⊕ u_ij) W_c + v_i W_s + b]
    gated, Equation 5:   v_i + Σ_j σ(z_ij W_f + b_f) ⊙ g(z_ij W_s + b_s),   z_ij = v_i ⊕ v_j ⊕ u_ij

with g the softplus. Two ways lead from the atoms to the crystal: the mean of the vectors goes
through a hidden layer, or (linear pooling) each atom has a number of its own, a linear function of
its vector, and the crystal has their mean. The second says what each site contributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from matgan.crystals.graphs.elements import ELEMENT_FEATURES, element_features
from matgan.crystals.graphs.messages import SPAN, Edges, gated_messages, gaussian_sums
from matgan.crystals.structures import MAX_Z

Convolution = Literal["gated", "simple"]
Pooling = Literal["full", "linear"]
Elements = Literal["described", "learned"]

RADIUS = 8.0  # Å, the centre of the last Gaussian


@dataclass(frozen=True)
class Neighbours:
    """The edges of a batch, in the forms that convolutions read.

    Attributes
    ----------
    n_atoms : A
    edges : (2, E) int64 tensor: centre and neighbour
    distances : (E,) float32 tensor, Å
    images : (E,) float32 tensor
    centres : (G,) tensor of the Gaussians, Å
    """

    n_atoms: int
    edges: Tensor
    distances: Tensor
    images: Tensor
    centres: Tensor

    @cached_property
    def compiled(self) -> Edges | None:
        """For the compiled sums over edges; None where those of torch serve."""
        on_processor = self.distances.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        known = self.centres.dtype == torch.float32 and len(self.centres) >= SPAN
        if not (on_processor and known) or self.distances.requires_grad:
            return None
        return Edges.of(self.edges, self.distances, self.images, self.centres)

    @cached_property
    def gaussians(self) -> Tensor:
        """(E, G)"""
        spacing = self.centres[1]
        return torch.exp(-(((self.distances[:, None] - self.centres) / spacing) ** 2))

    @cached_property
    def sums(self) -> Tensor:
        """Σ_j of the Gaussians of every atom: (A, G)."""
        if self.compiled is not None:
            return gaussian_sums(self.compiled, self.n_atoms, len(self.centres))
        sums = torch.zeros(self.n_atoms, len(self.centres)).to(self.gaussians)
        return sums.index_add(0, self.edges[0], self.gaussians * self.images[:, None])


class GatedConvolution(nn.Module):
    """One layer of the paper's Equation 5, with the two batch normalisations of its code.

    W z of both gates is a sum over the three parts of z, and those of the atoms are computed once
    for each atom, not for each of its edges.
    """

    def __init__(self, width: int, n_gaussians: int):
        super().__init__()
        self.from_atom = nn.Linear(width, 4 * width, bias=False)  # as centre and as neighbour
        self.from_distance = nn.Linear(n_gaussians, 2 * width)
        self.norm_edges, self.norm_atoms = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, atoms: Tensor, near: Neighbours) -> Tensor:
        as_centre, as_neighbour = self.from_atom(atoms).chunk(2, 1)  # (A, 2 width) each
        if near.compiled is not None:
            as_centre = as_centre + self.from_distance.bias
            weight = self.from_distance.weight
            total = gated_messages(as_centre, as_neighbour, weight, self.norm_edges, near.compiled)
        else:
            centre, neighbour = near.edges
            z = self.from_distance(near.gaussians)  # (E, 2 width)
            # index_select, whose gradient is many times as fast as that of indexing
            z = z + as_centre.index_select(0, centre)
            z = z + as_neighbour.index_select(0, neighbour)
            gate, core = self.norm_edges(z).chunk(2, 1)
            message = torch.sigmoid(gate) * functional.softplus(core) * near.images[:, None]
            total = torch.zeros_like(atoms).index_add(0, centre, message)
        return functional.softplus(atoms + self.norm_atoms(total))


class SimpleConvolution(nn.Module):
    """One layer of the paper's Equation 4: one matrix for all neighbours.

    Its argument is batch-normalised, as in the gated layer: a sum over twelve neighbours grows from
    layer to layer otherwise.
    """

    def __init__(self, width: int, n_gaussians: int):
        super().__init__()
        self.from_neighbour = nn.Linear(width, width, bias=False)
        self.from_distance = nn.Linear(n_gaussians, width, bias=False)
        self.from_self = nn.Linear(width, width)
        self.norm_atoms = nn.BatchNorm1d(width)

    def forward(self, atoms: Tensor, near: Neighbours) -> Tensor:
        centre, neighbour = near.edges
        there = self.from_neighbour(atoms).index_select(0, neighbour) * near.images[:, None]
        total = torch.zeros_like(atoms).index_add(0, centre, there)
        # a sum of linear functions is the function of the sum
        total = total + self.from_distance(near.sums)
        return functional.softplus(self.norm_atoms(total + self.from_self(atoms)))


class CrystalGraphNetwork(nn.Module):
    """CGCNN with one output head for each label.

    Parameters
    ----------
    classes : {label: number of outputs}; {"value": 1} for a property
    width, layers, hidden : sizes
    n_gaussians : of each distance, from 0 to 8 Å
    convolution : Equation 5 or 4
    pooling : "full": a hidden layer behind the mean of the atoms' vectors; "linear": the mean of a
        number of each atom, which `site_values` gives
    elements : how the network knows an element: by the paper's 92 features, or by a vector that it
        learns

    Raises
    ------
    ValueError
        Another convolution, pooling or kind of elements.
    """

    centres: Tensor
    features: Tensor

    def __init__(
        self,
        classes: dict[str, int],
        width: int = 64,
        layers: int = 3,
        hidden: int = 128,
        n_gaussians: int = 41,
        convolution: Convolution = "gated",
        pooling: Pooling = "full",
        elements: Elements = "described",
    ):
        super().__init__()
        for name, value, known in (
            ("convolution", convolution, get_args(Convolution)),
            ("pooling", pooling, get_args(Pooling)),
            ("elements", elements, get_args(Elements)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        self.pooling = pooling
        self.described = elements == "described"
        if self.described:
            self.register_buffer("features", torch.from_numpy(element_features()), persistent=False)
            self.embed: nn.Module = nn.Linear(ELEMENT_FEATURES, width)
        else:
            self.embed = nn.Embedding(MAX_Z + 1, width)
        self.register_buffer("centres", torch.linspace(0, RADIUS, n_gaussians))
        kind = GatedConvolution if convolution == "gated" else SimpleConvolution
        self.convolutions = nn.ModuleList([kind(width, n_gaussians) for _ in range(layers)])
        full = nn.Sequential(nn.Linear(width, hidden), nn.Softplus())
        self.read: nn.Module = full if pooling == "full" else nn.Identity()
        last = hidden if pooling == "full" else width
        self.heads = nn.ModuleDict({name: nn.Linear(last, n) for name, n in classes.items()})

    def forward(
        self, numbers: Tensor, edges: Tensor, distances: Tensor, images: Tensor, graph: Tensor
    ) -> dict[str, Tensor]:
        """{label: (B, outputs)} of a batch as `CrystalGraphs.batch` gives it."""
        # a mean of linear functions is the function of the mean: both poolings read the mean vector
        crystal = self.read(_mean(self._atoms(numbers, edges, distances, images), graph))
        return {name: head(crystal) for name, head in self.heads.items()}

    @torch.no_grad()
    def site_values(
        self, numbers: Tensor, edges: Tensor, distances: Tensor, images: Tensor, graph: Tensor
    ) -> dict[str, Tensor]:
        """{label: (A, outputs)}: a number of each atom, whose mean over a crystal is the answer.

        Raises
        ------
        ValueError
            The network's pooling is not linear: it has no such numbers.
        """
        if self.pooling != "linear":
            raise ValueError(
                f"sites have values of their own with linear pooling, not {self.pooling}"
            )
        atoms = self._atoms(numbers, edges, distances, images)
        return {name: head(atoms) for name, head in self.heads.items()}

    def _atoms(self, numbers: Tensor, edges: Tensor, distances: Tensor, images: Tensor) -> Tensor:
        """(A, width): each atom with its surroundings."""
        near = Neighbours(len(numbers), edges, distances, images, self.centres)
        atoms = self.embed(self.features[numbers] if self.described else numbers)
        for convolution in self.convolutions:
            atoms = convolution(atoms, near)
        return atoms


def _mean(atoms: Tensor, graph: Tensor) -> Tensor:
    """(B, width): mean of the atoms of each graph."""
    n_graphs = int(graph[-1]) + 1
    total = atoms.new_zeros(n_graphs, atoms.shape[1])
    counts = torch.bincount(graph, minlength=n_graphs)[:, None]
    return total.index_add(0, graph, atoms) / counts
