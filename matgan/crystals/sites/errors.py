"""How wrong a classifier of sites is, and whether its errors are chemically reasonable."""

from __future__ import annotations

import numpy as np
import pandas as pd

from matgan.chemistry.elements import periodic_table
from matgan.crystals.prototypes import N_Z

KINDS = ("group", "block", "block and period")  # what two elements may share


def elements_alike(kind: str) -> np.ndarray:
    """(N_Z, N_Z) bool, which elements share their group, block, or block and period (3d, 4f).

    Lanthanides are one group, as actinides are; an element outside of the study's 85 (noble gases
    but xenon, the heaviest) shares nothing.

    Raises
    ------
    ValueError
        Another kind.
    """
    table = periodic_table()
    if kind not in KINDS:
        raise ValueError(f"elements share a {', a '.join(KINDS)}, not a {kind!r}")
    label = table["block"] if kind != "group" else table["group"]
    if kind == "block and period":
        label = label + table["period"].astype(str)
    codes = np.full(N_Z, -1)
    codes[table["number"]] = pd.factorize(label)[0]
    return (codes[:, None] == codes) & (codes >= 0)


def reasonable(true: np.ndarray, predicted: np.ndarray, alike: np.ndarray) -> dict[str, float]:
    """Share of the errors that exchange elements which are alike, beside that of shuffled answers.

    Parameters
    ----------
    true, predicted : (m,) atomic numbers; where they are equal nothing is counted
    alike : (N_Z, N_Z) bool, see `elements_alike`

    Returns
    -------
    share; expected: what the same wrong answers, handed out to the same sites at random, would
    share, those left out that would be right by chance; both NaN without errors
    """
    wrong = true != predicted
    if not wrong.any():
        return {"share": np.nan, "expected": np.nan}
    one, other = (np.bincount(a[wrong], minlength=N_Z) for a in (true, predicted))
    pairs = np.outer(one, other).astype(float)
    np.fill_diagonal(pairs, 0)
    found = alike[true[wrong], predicted[wrong]].mean()
    return {"share": float(found), "expected": float((pairs * alike).sum() / pairs.sum())}


def error_scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Error of the answers, of each block, and how reasonable the errors are.

    Returns
    -------
    error (share of the sites), error_s to error_f (of the sites with an element of that block), and
    for each of `KINDS` its share of the errors and what shuffled answers would give
    """
    wrong = true != predicted
    table = periodic_table().set_index("number")["block"]
    block = pd.Series(true).map(table).to_numpy()
    found = {"error": float(wrong.mean())}
    for name in "spdf":
        own = wrong[block == name]
        found[f"error_{name}"] = float(own.mean()) if len(own) else np.nan
    for kind in KINDS:
        for name, value in reasonable(true, predicted, elements_alike(kind)).items():
            found[f"{kind}, {name}"] = value
    return found
