"""Published probabilities that one element takes another's place (Hautier et al. 2011).

pymatgen's table, learned from pairs of ICSD structures, is of ions: O2- for S2-, Fe3+ for Al3+.
Alloys, of which there are many here, have no such charges, so the joint probabilities of ions are
summed over the states of each element.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from matgan.crystals.prototypes import N_Z


def exchange_distances() -> Tensor:
    """(N_Z, N_Z), minus the log of the probability of the row's element in the column's place.

    Elements of which the table has no ion get pymatgen's weight of pairs that were never seen.
    """
    from pymatgen.analysis.structure_prediction.substitution_probability import (
        SubstitutionProbability,
    )

    published = SubstitutionProbability()
    joint = np.zeros((N_Z, N_Z))
    species = sorted(published.species, key=str)
    for one in species:
        for other in species:
            joint[one.Z, other.Z] += np.exp(published.get_lambda(one, other))
    never = np.exp(published.alpha)
    joint[joint == 0] = never
    return torch.tensor(-np.log(joint / joint.sum(0)), dtype=torch.float32)
