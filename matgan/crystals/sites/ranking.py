"""Structure types ranked by the likelihood of their sites: the product of those of all atoms.

A template gets a composition's elements in every order that keeps the amounts; each of its sites
then says how likely its new element is there. Their product is taken over the atoms of one formula
unit, so that a large cell is not less likely than a small one. The best template and order count
for a structure type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matgan.crystals.prototypes import N_Z, Group
from matgan.crystals.sites.fingerprints import Sites
from matgan.crystals.sites.network import SiteModel
from matgan.data.splits import random_generator

TEMPLATES = 2  # of each structure type


@dataclass(frozen=True)
class Templates:
    """Sites of some templates of one anonymous formula.

    Attributes
    ----------
    group : the formula
    members : (t,) which of the group's structures
    sites : theirs, end to end
    member : (m,) place in `members` of each site
    slot : (m,) place of the site's element in `group.elements`
    slots : (m, MAX_SPECIES) the same for the elements of its structure; -1: none
    weight : (m,) atoms of a formula unit that sit there
    """

    group: Group
    members: np.ndarray
    sites: Sites
    member: np.ndarray
    slot: np.ndarray
    slots: np.ndarray
    weight: np.ndarray

    def placed(self, elements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Elements of the sites (m,) and of their structures (m, 8) once others are put in.

        Parameters
        ----------
        elements : (k,) atomic numbers, one for each place in `group.elements`
        """
        filled = np.append(elements, 0).astype(np.uint8)
        return filled[self.slot], filled[self.slots]


def templates_of(sites: Sites, group: Group, most: int = TEMPLATES, seed: int = 0) -> Templates:
    """Templates of a group, some of each structure type.

    Parameters
    ----------
    sites : of all structures, in their order
    group : its `rows` are those structures
    most : templates of a structure type, drawn at random where there are more
    seed : of the draw
    """
    order = random_generator(seed).permutation(len(group.rows))
    place = np.empty(len(order), int)  # among those of the same structure type
    for kind in range(len(group.names)):
        own = order[group.prototype[order] == kind]
        place[own] = np.arange(len(own))
    members = np.flatnonzero(place < most)
    starts = np.searchsorted(sites.structure, group.rows[members])
    ends = np.searchsorted(sites.structure, group.rows[members], side="right")
    counts = ends - starts
    rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
    member = np.repeat(np.arange(len(members)), counts)
    own = sites.take(rows)
    elements = group.elements[members][member]  # (m, k)
    slot = (elements == own.number[:, None]).argmax(1)
    species = sites.species[own.structure]
    same = species[:, :, None] == elements[:, None, :]
    slots = np.where(same.any(2), same.argmax(2), -1)
    atoms = sites.counts[own.structure].sum(1)
    weight = own.atoms * sum(group.amounts) / atoms
    return Templates(group, members, own, member, slot, slots, weight)


def likelihood_scores(model: SiteModel, templates: Templates, elements: np.ndarray) -> np.ndarray:
    """(n, prototypes) log of the product of the site likelihoods of the best template.

    Parameters
    ----------
    model : of the sites
    templates : of the anonymous formula
    elements : (n, k) atomic numbers by amount, see `Group`
    """
    group, n, t = templates.group, len(elements), len(templates.members)
    alone = model.view.elements == "none" and not model.view.composition
    table = model.log_likelihood(templates.sites) if alone else np.zeros((0, N_Z))
    sites, best = np.arange(len(templates.sites)), np.full((n, t), -np.inf)
    for i in range(n):
        for order in group.orders:
            numbers, species = templates.placed(elements[i][list(order)])
            if not alone:
                table = model.log_likelihood(templates.sites, numbers, species)
            each = np.maximum(table[sites, numbers], -30) * templates.weight
            total = np.bincount(templates.member, each, t)
            best[i] = np.maximum(best[i], total)
    scores = np.full((n, len(group.names)), -np.inf)
    for kind in range(len(group.names)):
        scores[:, kind] = best[:, group.prototype[templates.members] == kind].max(1)
    return scores
