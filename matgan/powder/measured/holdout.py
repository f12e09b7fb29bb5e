"""Which measured patterns are for what, and which structures may not be learned from.

`matgan/data/rruff_parts.csv` names every measured pattern by its row: "tenth", on which networks
and simulations are chosen; "rest", looked at once, when all is chosen; "twin" of an earlier row
(correlation above 0.95), and "calculated" (no noise), which are left out. The rule is
`matgan.powder.minerals.Measured.parts`: a hash of the row of the first of all twins.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter1d

import matgan
from matgan.powder.measured.conditions import UNVARIED
from matgan.powder.measured.lists import ReflectionLists
from matgan.powder.measured.simulation import COPPER, POINTS, START, STEP, Simulator
from matgan.powder.minerals import Measured

PARTS_FILE = Path(matgan.__file__).parent / "data" / "rruff_parts.csv"
_LOG_STEP = 0.002  # of ln q
_STRAINS = np.arange(-5, 16)  # steps: measured lengths from 1% above to 3% below the relaxed ones
_BLUR = 1.5  # steps, σ: cells may differ in shape, too
_BY_CHANCE = 0.99  # share of structures of other crystal systems that are less alike


def parts_table(minerals: Measured) -> pd.DataFrame:
    """What each measured pattern is for: row, part; the content of `PARTS_FILE`."""
    parts = minerals.parts()
    first = ~_later_twin(minerals)
    names = np.where(parts["tenth"], "tenth", "rest").astype(object)
    names[~parts["screened"]] = np.where(first, "calculated", "twin")[~parts["screened"]]
    return pd.DataFrame({"row": np.arange(len(minerals)), "part": names})


def _later_twin(minerals: Measured) -> np.ndarray:
    """(n,) bool array: which patterns are like an earlier one."""
    means = minerals.intensity[:, : minerals.intensity.shape[1] // 5 * 5]
    alike = np.corrcoef(means.reshape(len(minerals), -1, 5).mean(2)) > 0.95
    return np.tril(alike, -1).any(1)


def read_parts() -> np.ndarray:
    """(454,) text array, the part of each measured pattern, as it was published."""
    return pd.read_csv(PARTS_FILE)["part"].to_numpy(str)


def alike(
    lists: ReflectionLists, patterns: np.ndarray, space_group: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Structures that may be those of measured patterns, so that no network learns from them.

    The measured patterns name no structure. One counts as that of a pattern if it has its space
    group and is more like it than 99% of structures of other crystal systems are: the cosine of the
    square roots of both patterns over ln q, blurred by 0.3%, at the best of isotropic strains from
    -1% to 3%. Of 300 patterns drawn under all conditions of `Variation` the own structure was found
    for 82%; for the 454 measured ones 8,277 of 51,538 structures are barred.

    Parameters
    ----------
    lists : n structures
    patterns : (m, 1700) array, measured, background removed
    space_group : (m,) array, 1 to 230
    seed : of the structures that chance is judged by

    Returns
    -------
    (n,) bool array
    """
    measured = _over_log_q(patterns)
    groups = lists.classes[:, 2] + 1
    some = np.random.default_rng([seed, 7]).permutation(len(lists))[:2000]
    by_chance = likeness(_over_log_q(_lines(lists.take(some))), measured)
    systems = lists.members[space_group - 1, 0]
    found = np.zeros(len(lists), dtype=bool)
    for group in np.unique(space_group):
        rows = np.flatnonzero(groups == group)
        if not len(rows):
            continue
        columns = np.flatnonzero(space_group == group)
        own = likeness(_over_log_q(_lines(lists.take(rows))), measured[columns])
        others = lists.classes[some, 0] != systems[columns[0]]
        limits = np.quantile(by_chance[np.ix_(others, columns)], _BY_CHANCE, axis=0)
        found[rows] = (own > limits).any(1)
    return found


def likeness(calculated: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(n, m) largest cosine over the strains, of rows over ln q."""
    found = np.full((len(calculated), len(measured)), -1.0, dtype=np.float32)
    for shift in _STRAINS:  # a shorter cell has its lines at larger q
        moved = np.roll(measured, -shift, axis=1)
        np.maximum(found, calculated @ moved.T, out=found)
    return found


def _lines(lists: ReflectionLists) -> np.ndarray:
    simulator = Simulator(lists, UNVARIED)
    parts = np.array_split(np.arange(len(lists)), -(-len(lists) // 256))
    return torch.cat([simulator.patterns(rows, 0) for rows in parts]).numpy()


def _over_log_q(patterns: np.ndarray) -> np.ndarray:
    """(n, points) square roots on a grid of ln q, blurred, without their mean, of length 1."""
    angles = START + STEP * np.arange(POINTS)
    logs = np.log(2 * np.sin(np.radians(angles / 2)) / COPPER)
    grid = np.arange(logs[0], logs[-1], _LOG_STEP)
    roots = np.sqrt(np.maximum(patterns, 0))
    rows = np.stack([np.interp(grid, logs, row) for row in roots])
    rows = gaussian_filter1d(rows, _BLUR, axis=1).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
