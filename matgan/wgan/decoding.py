"""From a generator's output, soft or one-hot, to compositions."""

from __future__ import annotations

import numpy as np

from matgan.chemistry.composition import MAX_COUNT
from matgan.chemistry.elements import N_ELEMENTS

RULES = ("threshold", "argmax", "sum")


def decode(
    matrix: np.ndarray, rule: str = "threshold", threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of each element from count matrices with entries between 0 and 1.

    Hu et al. 2020 do not say how the sigmoid output of Table 3 becomes a formula. An entry counts
    as set if it reaches the threshold. The rules differ in what two set entries in one element's
    row mean:

    - "threshold": no composition; the whole sample is undecodable. The strictest rule, and the
      only one under which decoding is the inverse of `matgan.chemistry.composition.count_matrix`.
    - "argmax": the larger one holds (the smaller count, where they are equal).
    - "sum": both hold, and the counts add up. So does the function of the authors' published code
      (github.com/Chilitiantian/code, init/load_data.py, reduce_molecule, threshold 1 - tolerance),
      which writes the element once for each entry.

    The three agree on one-hot matrices.

    Parameters
    ----------
    matrix : (n, 85, 8) array
    rule : {"threshold", "argmax", "sum"}
    threshold : above 0, at most 1

    Returns
    -------
    counts : (n, 85) uint8, all zero where nothing is set and where the sample is undecodable
    undecodable : (n,) bool, also true where an entry is not a number

    Raises
    ------
    ValueError
        An unknown rule, a threshold or a shape that is none of those above.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie above 0 and not above 1, not {threshold!r}")
    matrix = np.asarray(matrix)
    if matrix.ndim != 3 or matrix.shape[1:] != (N_ELEMENTS, MAX_COUNT):
        raise ValueError(f"matrix must have shape (n, {N_ELEMENTS}, {MAX_COUNT}): {matrix.shape}")
    entries = matrix >= threshold  # (n, 85, 8)
    undecodable = np.isnan(matrix).any(axis=(1, 2))
    if rule == "argmax":
        counts = np.where(entries.any(axis=2), matrix.argmax(axis=2) + 1, 0)
    else:
        counts = entries @ np.arange(1, MAX_COUNT + 1, dtype=np.uint8)
        if rule == "threshold":
            undecodable |= (entries.sum(axis=2) > 1).any(axis=1)
    counts = counts.astype(np.uint8)
    counts[undecodable] = 0
    return counts, undecodable
