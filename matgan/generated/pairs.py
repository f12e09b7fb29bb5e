"""Which elements occur together, in real and in generated compositions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array

from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS
from matgan.chemistry.inputs import Compositions

_MEMBERS = {
    "H": "H",
    "alkali": "Li Na K Rb Cs",
    "alkaline earth": "Be Mg Ca Sr Ba",
    "rare earth": "Sc Y La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
    "actinide": "Ac Th Pa U Np Pu",
    "Ti to W": "Ti Zr Hf V Nb Ta Cr Mo W",
    "Mn to Pt": "Mn Tc Re Fe Ru Os Co Rh Ir Ni Pd Pt",
    "Cu to Hg": "Cu Ag Au Zn Cd Hg",
    "p-block metal": "Al Ga In Tl Sn Pb Bi",
    "metalloid": "B Si Ge As Sb Te",
    "C N P": "C N P",
    "O S Se": "O S Se",
    "halogen": "F Cl Br I",
    "Xe": "Xe",
}
ELEMENT_GROUPS = {
    name: np.array([ELEMENT_INDEX[symbol] for symbol in symbols.split()])
    for name, symbols in _MEMBERS.items()
}

_FEW = 10  # entries that two maps share, on which no correlation is taken


def element_pairs(compositions: Iterable) -> np.ndarray:
    """How many compositions hold both elements of a pair: (85, 85) int, the diagonal zero."""
    _, amounts = Compositions(compositions).read()  # a pool of counts is not copied
    present = csr_array(amounts > 0, dtype=np.int64)
    together = (present.T @ present).toarray()
    np.fill_diagonal(together, 0)
    return together


def pair_enrichment(
    compositions: Iterable,
    groups: Iterable[np.ndarray] = tuple(ELEMENT_GROUPS.values()),
    least: float = 5.0,
) -> np.ndarray:
    """How much more often than by chance elements of two groups occur together: log2, (g, g).

    By chance every element keeps the number of its pairs and meets the others in proportion to
    theirs. One pair is added to the observed and to the expected number.

    Parameters
    ----------
    compositions : in any form that `amounts_matrix` takes
    groups : g arrays of element indices
    least : NaN where fewer pairs than this are expected, as in a group of one element with itself
    """
    together = element_pairs(compositions).astype(float)
    partners = together.sum(axis=1)
    expected = np.outer(partners, partners)
    np.fill_diagonal(expected, 0)
    expected *= together.sum() / max(expected.sum(), 1)
    groups = list(groups)
    member = np.zeros((N_ELEMENTS, len(groups)))
    for column, group in enumerate(groups):
        member[group, column] = 1
    together, expected = member.T @ together @ member, member.T @ expected @ member
    return np.where(expected < least, np.nan, np.log2((together + 1) / (expected + 1)))


def map_likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of two maps (g, g) over the entries of both; NaN below 11 of them."""
    upper = np.triu_indices(len(one))
    both = np.stack([one[upper], other[upper]])
    both = both[:, np.isfinite(both).all(axis=0)]
    if both.shape[1] <= _FEW:
        return float("nan")
    return float(np.corrcoef(both)[0, 1])
