"""Why a network predicts what it does: similar training examples, and what each input adds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from matgan.learning.layers import NETWORK_RECIPES, forward
from matgan.learning.regressor import FullyConnectedRegressor

Function = Callable[[Tensor], Tensor]  # (n, d) -> (n,)


def as_function(network: FullyConnectedRegressor) -> Function:
    """A fitted regressor as a function of its inputs that torch can differentiate, in float64.

    In the unit of the target; without the bounds that `clip` puts on predictions.
    """
    weights, biases = (
        [torch.as_tensor(p, dtype=torch.float64)[None] for p in parameters]
        for parameters in (network.coefs_, network.intercepts_)
    )
    shift, scale = (torch.as_tensor(np.array(p)) for p in (network.shift_, network.scale_))
    linear = NETWORK_RECIPES[network.recipe].linear

    def function(x: Tensor) -> Tensor:
        inputs = ((x - shift) * scale)[None]
        out = forward(weights, biases, inputs, linear=linear)[-1][0, :, 0]
        return out * network.spread_ + network.middle_

    return function


def integrated_gradients(
    function: Function, X: np.ndarray, baseline: np.ndarray, steps: int = 64
) -> np.ndarray:
    """What each input adds to a prediction, from a baseline on (Sundararajan et al. 2017).

    Parameters
    ----------
    function : differentiable, such as from `as_function`
    X : (n, d)
    baseline : (d,)
    steps : midpoints of the path at which gradients are taken

    Returns
    -------
    (n, d) : (x - baseline) times the mean gradient along the straight path. The sum of a row is
    function(x) - function(baseline) ("completeness"), up to the steps.
    """
    start = torch.as_tensor(np.asarray(baseline, dtype=float))
    away = torch.as_tensor(np.asarray(X, dtype=float)) - start
    total = torch.zeros_like(away)
    for step in range(steps):
        x = (start + (step + 0.5) / steps * away).requires_grad_()
        (gradient,) = torch.autograd.grad(function(x).sum(), x)
        total += gradient
    return (away * total / steps).numpy()


def deletions(function: Function, fractions: np.ndarray) -> np.ndarray:
    """By how much a prediction falls when an element is taken out.

    Parameters
    ----------
    function : of atomic fractions
    fractions : (n, d), rows that sum to 1

    Returns
    -------
    (n, d) : function(x) - function(x without the element, its other fractions scaled to a sum of
    1); 0 for elements that are not there, NaN for that of a pure element, from which nothing is
    left
    """
    fractions = np.asarray(fractions, dtype=float)
    rows, elements = np.nonzero(fractions)
    less = fractions[rows]
    less[np.arange(len(rows)), elements] = 0
    left = less.sum(axis=1, keepdims=True)
    with torch.no_grad():
        whole = function(torch.as_tensor(fractions))[torch.as_tensor(rows)]
        without = function(torch.as_tensor(less / np.where(left > 0, left, 1)))
    out = np.zeros_like(fractions)
    out[rows, elements] = np.where(left[:, 0] > 0, (whole - without).numpy(), np.nan)
    return out


def nearest_points(
    points: np.ndarray, known: np.ndarray, k: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the k nearest known points of each point by Euclid, and their distances: (n, k).

    Raises
    ------
    ValueError
        Fewer than k points are known.
    """
    if not 1 <= k <= len(known):
        raise ValueError(f"k must be from 1 to the {len(known)} known points, not {k}")
    distance, rows = cKDTree(known).query(points, k=np.arange(1, k + 1))
    return rows, distance
