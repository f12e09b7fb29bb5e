"""What the compositions of crystals say alone: the controls of the jobs on crystal graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from matgan.crystals.structures import Structures
from matgan.learning.compute import device
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.features import Magpie

ENCODER = "composition encoder"


def magpie_statistics(structures: Structures) -> np.ndarray:
    """Magpie's statistics of the composition of each structure, for a forest: (n, 132) float64.

    -1 where a composition holds an element that Magpie has none of: californium and beyond.
    """
    found = Magpie(on_error="nan").fit_transform(structures.formulas())
    return np.nan_to_num(np.asarray(found, dtype=float), nan=-1.0)


def encoder_answers(
    structures: Structures,
    y: np.ndarray,
    learn: np.ndarray,
    test: np.ndarray,
    checkpoint: Path,
    **settings: Any,
) -> np.ndarray:
    """What a composition encoder that learned from some structures says of others.

    Structures that hold an element beyond the encoder's 85 are not learned from, and get the median
    of those that were: 17 of 51,538, of light noble gases and krypton.

    Parameters
    ----------
    structures : n crystals
    y : (n,) or (n, m) properties
    learn, test : rows to learn from and to answer for
    checkpoint : file of a stopped training
    settings : of `CompositionEncoder`

    Returns
    -------
    (len(test),) or (len(test), m) array
    """
    formulas = np.array(structures.formulas(), dtype=object)
    encoder = CompositionEncoder(
        on_error="nan", suspicious="allow", device=device(), checkpoint=checkpoint, **settings
    )
    found = encoder.fit(list(formulas[learn]), y[learn]).predict(list(formulas[test]))
    return np.where(np.isnan(found), np.median(y[learn], axis=0), found)
