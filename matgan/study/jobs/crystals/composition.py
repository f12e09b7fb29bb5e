"""What the compositions of crystals say alone: the control of the jobs on crystal graphs."""

from __future__ import annotations

import numpy as np

from matgan.crystals.structures import Structures
from matgan.representation.features import Magpie


def magpie_statistics(structures: Structures) -> np.ndarray:
    """Magpie's statistics of the composition of each structure, for a forest: (n, 132) float64.

    -1 where a composition holds an element that Magpie has none of: californium and beyond.
    """
    found = Magpie(on_error="nan").fit_transform(structures.formulas())
    return np.nan_to_num(np.asarray(found, dtype=float), nan=-1.0)
