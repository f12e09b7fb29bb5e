"""How far a composition lies above OQMD's hull by its predicted energy, and whether it is stable.

A formation energy alone says nothing: the compounds that it competes with may lie lower still. What
competes are all compounds of OQMD but those of the same composition, so that a stable one has a
negative distance.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from matgan.learning.statistics import calibration_error
from matgan.properties.models import Prediction, PropertyModel, kinds, pretrained
from matgan.stability.reference import oqmd_hull

_PART = 20_000  # compositions at a time


@dataclass(frozen=True)
class Stability:
    """What is predicted of n compositions; arrays (n,), energies in eV/atom.

    Attributes
    ----------
    energy, low, high : formation energy and the ends of its 90% interval
    outside : whether the interval may not hold
    below : energy of OQMD's hull there
    probability : that the composition lies below it
    """

    energy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    outside: np.ndarray
    below: np.ndarray
    probability: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """Predicted energy above the hull: (n,) in eV/atom, negative for a stable one."""
        return self.energy - self.below


def hull_energies(amounts: np.ndarray) -> np.ndarray:
    """Energy of OQMD's hull at n compositions without their own entries: (n,) in eV/atom."""
    parts = [
        oqmd_hull().energy(amounts[start : start + _PART], others=True)
        for start in range(0, len(amounts), _PART)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def stability(
    amounts: np.ndarray,
    model: PropertyModel | None = None,
    below: np.ndarray | None = None,
    found: Prediction | None = None,
) -> Stability:
    """Distance to OQMD's hull and probability of being stable of n compositions.

    Parameters
    ----------
    amounts : (n, 85)
    model : of formation energies; None: the pretrained one
    below : energies of the hull there, where they are known already
    found : what the model predicts there, where it was asked already

    Notes
    -----
    The probability has the logit a arsinh((E_hull - E) / s) + b with the model's own scale s of its
    error: errors of several scales are more frequent than in a Laplace distribution, so that the
    logit rises with the logarithm of a distance (on the calibration part, one half for the other,
    the cross-entropy is 0.061 so, and 0.077 without the arsinh). a and b are fitted on chemical
    systems that the networks did not see, of compounds that OQMD holds. Compositions that nobody
    thought of may be stable less often. Elements are stable.
    """
    model = model or pretrained("formation_energy")
    found = found or model.predict(amounts)
    if below is None:
        below = hull_energies(amounts)
    slope, shift = model.calibration.stability
    probability = expit(slope * _scaled(model, found, below, amounts) + shift)
    element = (amounts > 0).sum(axis=1) == 1
    value, low, high, below = (
        np.where(element, 0.0, numbers) for numbers in (found.value, found.low, found.high, below)
    )
    probability = np.where(element, 1.0, probability)
    return Stability(value, low, high, found.outside, below, probability)


def _scaled(
    model: PropertyModel, found: Prediction, below: np.ndarray, amounts: np.ndarray
) -> np.ndarray:
    """Inverse hyperbolic sine of the energy below the hull in scales of its error: (n,)."""
    scale = (found.high - found.low) / (2 * np.take(model.calibration.factors, kinds(amounts)))
    return np.arcsinh((below - found.value) / scale)


def with_stable(model: PropertyModel, amounts: np.ndarray, energies: np.ndarray) -> PropertyModel:
    """The same model of formation energies, its probability of being stable calibrated.

    Parameters
    ----------
    model : its intervals are calibrated
    amounts, energies : compounds that it did not learn from, (n, 85) and (n,) in eV/atom
    """
    below = hull_energies(amounts)
    scaled = _scaled(model, model.predict(amounts), below, amounts)
    platt = LogisticRegression(C=np.inf).fit(scaled[:, None], energies < below)
    line = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    changed = dataclasses.replace(model.calibration, stability=line)
    return PropertyModel(model.of, model.networks, changed, model.pairs, model.facts)


def evaluate_stability(
    model: PropertyModel, amounts: np.ndarray, energies: np.ndarray
) -> dict[str, float]:
    """What the probability of being stable is worth on compounds whose energies are known.

    Parameters
    ----------
    model : calibrated
    amounts, energies : compounds that it did not see, (n, 85) and (n,) in eV/atom

    Returns
    -------
    dict: compounds; stable (share); expected (mean probability); calibration_error (expected, ten
    bins); auc; f1 of a probability above a half, f1_sign of a predicted distance below 0;
    precision_100 and precision_1000 of the most probable ones, as control those of the lowest
    energies: energy_100, energy_1000
    """
    found = stability(amounts, model)
    stable = energies < found.below
    called = {"f1": found.probability > 0.5, "f1_sign": found.distance < 0}
    row = {"compounds": len(energies), "stable": float(stable.mean())}
    row |= {
        "expected": float(found.probability.mean()),
        "calibration_error": calibration_error(found.probability, stable),
        "auc": float(roc_auc_score(stable, found.probability)),
    }
    for name, call in called.items():
        row[name] = float(2 * (call & stable).sum() / (call.sum() + stable.sum()))
    for name, key in {"precision": -found.probability, "energy": found.energy}.items():
        best = np.argsort(key, kind="stable")
        row |= {f"{name}_{n}": float(stable[best[:n]].mean()) for n in (100, 1000)}
    return row


def columns(amounts: np.ndarray, energies: Prediction | None = None) -> pd.DataFrame:
    """The columns of `matgan.predict(..., stability=True)` for n compositions, (n, 85) amounts.

    energies : predicted ones, where they are there already
    """
    found, hull = stability(amounts, found=energies), oqmd_hull()
    return pd.DataFrame(
        {
            "hull_distance": found.distance,
            "hull_distance_low": found.low - found.below,
            "hull_distance_high": found.high - found.below,
            "stable_probability": found.probability,
            "competing_phases": hull.written(hull.mixture(amounts, others=True)),
        }
    )
