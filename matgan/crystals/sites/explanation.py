"""A fingerprint in words and numbers that a chemist knows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from matgan.chemistry.elements import ATOMIC_NUMBER
from matgan.crystals.sites.fingerprints import ANGLES, SHAPE_NAMES, Sites

_SYMBOL = {z: symbol for symbol, z in ATOMIC_NUMBER.items()}


def explain_sites(sites: Sites) -> pd.DataFrame:
    """A row for each site: element, atoms, neighbours, nearest distance, symmetry and angles.

    Parameters
    ----------
    sites : few of them

    Returns
    -------
    DataFrame: element; atoms in the cell; nearest, Å; coordination in the near window (a smooth
    count); Q4 and Q6 of these neighbours (1: all in line); angle, degrees, where most pairs of them
    lie; beside, the elements in the near window with their shares
    """
    rows = []
    orders, angles = SHAPE_NAMES.index("order 1"), SHAPE_NAMES.index("angle 1")
    for i in range(len(sites)):
        shape = sites.shape[i]
        bins = shape[angles : angles + ANGLES]
        cosine = _peak(bins)
        species = sites.species[sites.structure[i]]
        held = sorted(zip(sites.share[i, 0], species, strict=True), reverse=True)
        rows.append(
            {
                "element": _SYMBOL[int(sites.number[i])],
                "atoms": int(sites.atoms[i]),
                "nearest (Å)": float(np.exp(sites.lengths[i, 1])),
                "coordination": float(np.exp(shape[SHAPE_NAMES.index("neighbours 1")])),
                "Q4": float(shape[orders + 3]),
                "Q6": float(shape[orders + 5]),
                "angle (°)": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
                "beside": ", ".join(f"{_SYMBOL[int(z)]} {s:.0%}" for s, z in held if s > 0.005),
            }
        )
    return pd.DataFrame(rows)


def _peak(bins: np.ndarray) -> float:
    """Cosine of the fullest bin, between it and the fuller one beside it; NaN without angles."""
    if not bins.any():
        return float("nan")
    top = int(bins.argmax())
    beside = max((k for k in (top - 1, top + 1) if 0 <= k < len(bins)), key=lambda k: bins[k])
    place = (top * bins[top] + beside * bins[beside]) / (bins[top] + bins[beside])
    return float(-1 + 2 * place / (ANGLES - 1))
