"""Structure types that a composition could have, ranked by the known compositions that have them.

A template is a known structure whose elements are replaced. Two compositions of one anonymous
formula, such as AB2C4, are as far apart as their elements: the sum over the sites of a distance of
elements, least over the ways to place elements of equal amounts. A structure type gets the sum of
exp(-distance) over the known compositions that have it. The distances are learned from the training
structures: each is taken out in turn, with all others of its composition, and its structure type
should come first (neighbourhood components analysis, Goldberger et al. 2004).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from matgan.crystals.structures import MAX_Z, Structures
from matgan.crystals.symmetry import prototypes
from matgan.data.splits import random_generator

N_Z = MAX_Z + 1  # rows of a table of elements by atomic number; row 0 is nobody's
SHARPNESS = 2.0  # of the distances, in a ranking; chosen on validation structures
Amounts = tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Known structures of one anonymous formula.

    Attributes
    ----------
    amounts : reduced, in rising order
    rows : (m,) rows of the structures
    elements : (m, k) atomic numbers, by amount and, where those are equal, by number
    prototype : (m,) index into `names`
    names : prototype keys, see `matgan.crystals.symmetry.prototypes`
    """

    amounts: Amounts
    rows: np.ndarray
    elements: np.ndarray
    prototype: np.ndarray
    names: list[str]

    @cached_property
    def orders(self) -> list[tuple[int, ...]]:
        """The ways to place elements: permutations that exchange equal amounts only."""
        k = range(len(self.amounts))
        return [p for p in permutations(k) if all(self.amounts[i] == self.amounts[p[i]] for i in k)]

    @cached_property
    def counts(self) -> np.ndarray:
        """Known structures of each prototype."""
        return np.bincount(self.prototype, minlength=len(self.names))

    def distances(self, elements: np.ndarray, table: Tensor) -> Tensor:
        """(orders, n, m) sums over the sites of the distances in a table (N_Z, N_Z).

        Parameters
        ----------
        elements : (n, k) atomic numbers of other compositions, by amount
        table : distance of each pair of elements
        """
        asked, known, flat = torch.tensor(elements), torch.tensor(self.elements), table.reshape(-1)
        found = []
        for order in self.orders:
            total = torch.zeros(len(asked), len(known))
            for site, place in enumerate(order):
                pairs = asked[:, place, None] * N_Z + known[None, :, site]
                total = total + flat.index_select(0, pairs.reshape(-1)).reshape(total.shape)
            found.append(total)
        return torch.stack(found)

    def scores(self, elements: np.ndarray, table: Tensor) -> np.ndarray:
        """(n, prototypes) log of the summed exp(-distance): higher is more likely."""
        nearness = torch.logsumexp(-self.distances(elements, table), 0)  # (n, m)
        largest = nearness.amax(1, keepdim=True)
        summed = torch.zeros(len(nearness), len(self.names), dtype=torch.float64)
        weights = torch.exp((nearness - largest).double())
        summed.index_add_(1, torch.tensor(self.prototype), weights)
        return (torch.log(summed + 1e-300) + largest).numpy()

    def nearest(self, elements: np.ndarray, table: Tensor) -> np.ndarray:
        """(n, prototypes) minus the least distance to a composition that has the prototype."""
        least = self.distances(elements, table).amin(0).double()
        found = torch.full((len(least), len(self.names)), math.inf, dtype=torch.float64)
        index = torch.tensor(self.prototype).expand(len(least), -1)
        return -found.scatter_reduce(1, index, least, "amin").numpy()


def anonymous(numbers: np.ndarray) -> tuple[Amounts, np.ndarray]:
    """Reduced amounts in rising order and the atomic numbers that have them, of a cell's atoms."""
    elements, counts = np.unique(numbers, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    order = np.lexsort((elements, counts))
    return tuple(counts[order].tolist()), elements[order].astype(np.int64)


def group_templates(structures: Structures, rows: np.ndarray) -> dict[Amounts, Group]:
    """Templates among some rows of structures, by anonymous formula.

    Parameters
    ----------
    structures : with space groups
    rows : of those that are known, such as `structures.rows("train")`
    """
    known = structures.take(rows)
    names, members = prototypes(known), defaultdict(list)
    for place, (_, numbers, _) in enumerate(known):
        amounts, elements = anonymous(numbers)
        members[amounts].append((place, elements))
    groups = {}
    for amounts, listed in members.items():
        places = np.array([place for place, _ in listed])
        own, index = np.unique(names[places], return_inverse=True)
        elements = np.array([e for _, e in listed])
        groups[amounts] = Group(amounts, np.asarray(rows)[places], elements, index, own.tolist())
    return groups


# --- learning the distances -----------------------------------------------------------------------


def element_properties() -> np.ndarray:
    """(N_Z, 7) scaled properties where learning starts: place in the table, size, bonding."""
    from pymatgen.core import Element

    rows = [[0.0] * 7]
    for element in map(Element.from_Z, range(1, N_Z)):
        x = element.X if element.X == element.X else 1.3  # of noble gases there is none
        size = float(element.atomic_radius or 1.5)
        heavy = element.is_lanthanoid or element.is_actinoid
        places = [element.mendeleev_no / 25, element.group / 6, element.row / 2]
        rows.append([*places, 2.2 * x, 2 * size, 2.0 * heavy, 2.0 * element.is_transition_metal])
    return np.array(rows)


def pettifor_distances() -> Tensor:
    """(N_Z, N_Z) differences of Pettifor's numbers: distances that nobody learned."""
    from pymatgen.core import Element

    numbers = [0.0, *(float(Element.from_Z(z).mendeleev_no) for z in range(1, N_Z))]
    scale = torch.tensor(numbers)
    return (scale[:, None] - scale[None]).abs()


class ElementDistances(torch.nn.Module):
    """Distances of elements, (N_Z, N_Z): between learned vectors, times a factor of each pair."""

    def __init__(self, width: int = 12):
        super().__init__()
        start = torch.zeros(N_Z, width)
        properties = torch.tensor(element_properties(), dtype=torch.float32)
        start[:, : properties.shape[1]] = properties
        self.vectors = torch.nn.Parameter(start + 0.05 * torch.randn(N_Z, width))
        self.factors = torch.nn.Parameter(torch.zeros(N_Z, N_Z))

    def forward(self) -> Tensor:
        """The table, zero on its diagonal."""
        apart = self.vectors[:, None] - self.vectors[None]
        table = torch.sqrt((apart**2).sum(-1) + 1e-4) * torch.exp(self.factors + self.factors.T)
        return table * (1 - torch.eye(N_Z))


def learn_distances(
    groups: dict[Amounts, Group], steps: int = 600, seed: int = 0, rate: float = 0.02
) -> np.ndarray:
    """Learn how far elements are apart, (N_Z, N_Z) float32, from binary and ternary templates.

    Parameters
    ----------
    groups : as from `group_templates`
    steps : of Adam, each on 96 structures of two anonymous formulas
    seed : of the start and the draws
    rate : highest learning rate, which falls to 0 along half a cosine

    Raises
    ------
    ValueError
        No anonymous formula has nine structures.
    """
    chosen = [g for g in groups.values() if len(g.amounts) in (2, 3) and len(g.rows) > 8]
    if not chosen:
        raise ValueError("distances are learned from anonymous formulas of nine structures or more")
    random = random_generator(seed)
    torch.manual_seed(seed)
    distances = ElementDistances()
    scale = torch.zeros(4, requires_grad=True)  # log, by number of elements
    given: list[dict] = [{"params": [distances.vectors, scale]}, {"params": [distances.factors]}]
    optimizer = torch.optim.Adam(given)
    share = np.array([len(group.rows) for group in chosen], dtype=float)
    for step in range(steps):
        now = rate * min(1, (step + 1) / 20) * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = now, now / 3
        table, losses = distances(), []
        for i in random.choice(len(chosen), 2, p=share / share.sum()):
            own = torch.exp(scale[len(chosen[i].amounts)])
            losses.append(_left_out_losses(chosen[i], table * own, random))
        loss = torch.cat(losses).mean() if sum(map(len, losses)) else 0 * table.sum()
        loss = loss + 1e-5 * (distances.factors**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        # one scale for all: that of the ternaries, which are four fifths
        return (SHARPNESS * torch.exp(scale[3]) * distances()).numpy()


def _left_out_losses(group: Group, table: Tensor, random: np.random.Generator) -> Tensor:
    """Minus log share of the own prototype, for structures drawn, without their composition."""
    m = len(group.rows)
    members = np.sort(random.choice(m, min(m, 1500), replace=False))
    drawn = random.choice(m, min(m, 48), replace=False)
    part = Group(group.amounts, group.rows, group.elements[members], group.prototype, group.names)
    nearness = torch.logsumexp(-part.distances(group.elements[drawn], table), 0)
    same = (group.elements[drawn][:, None] == group.elements[members][None]).all(2)
    nearness = nearness.masked_fill(torch.tensor(same), -60.0)
    weights = torch.exp(nearness - nearness.detach().amax(1, keepdim=True))
    index = torch.tensor(group.prototype[members])
    summed = torch.zeros(len(drawn), len(group.names)).index_add(1, index, weights)
    share = summed / summed.sum(1, keepdim=True)
    own = share[torch.arange(len(drawn)), torch.tensor(group.prototype[drawn])]
    return -torch.log(own[own > 1e-10])  # the others' prototypes are known from nowhere else


# --- how good a ranking is ------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Test structures of one anonymous formula: their elements, and the prototype that is right."""

    amounts: Amounts
    elements: np.ndarray
    right: list[str]


def new_compositions_of(
    structures: Structures, rows: np.ndarray, groups: dict[Amounts, Group], atoms: int = 24
) -> Iterator[Question]:
    """Binary and ternary structures whose composition no template has, by anonymous formula.

    Parameters
    ----------
    structures, rows : the structures that are asked about, such as `structures.rows("test")`
    groups : what is known
    atoms : in the cell at most, as in the pilot that set the goal
    """
    part = structures.take(rows)
    names, asked = prototypes(part), defaultdict(list)
    known = {(a, tuple(e)) for a, group in groups.items() for e in group.elements.tolist()}
    for name, (_, numbers, _) in zip(names, part, strict=True):
        amounts, elements = anonymous(numbers)
        asks = len(amounts) in (2, 3) and len(numbers) <= atoms
        if asks and (amounts, tuple(elements.tolist())) not in known:
            asked[amounts].append((elements, str(name)))
    for amounts, listed in asked.items():
        yield Question(amounts, np.array([e for e, _ in listed]), [name for _, name in listed])


def ranks_of(scores: np.ndarray, group: Group, right: list[str]) -> np.ndarray:
    """(n,) place of the right prototype in each row of scores, from 1; inf where it is unknown.

    Of equal scores the more popular prototype comes first; still equal ones count against it.
    """
    scores = scores + 1e-9 * np.log(group.counts)
    place = {name: i for i, name in enumerate(group.names)}
    found = np.full(len(scores), np.inf)
    for row, name in enumerate(right):
        if name in place:
            own = scores[row, place[name]]
            found[row] = (scores[row] >= own).sum()
    return found
