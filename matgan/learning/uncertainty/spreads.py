"""How uncertain a network is: the spread of an ensemble, of dropout, and predicted quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from matgan.learning.fit import ArrayExamples, Fit, train
from matgan.learning.layers import NETWORK_RECIPES, forward
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.uncertainty.intervals import Forecast, between_quantiles, gaussian

QUANTILES = np.arange(1, 20) / 20  # 5% to 95%


def of_ensemble(networks: Sequence, X: np.ndarray) -> Forecast:
    """Mean and standard deviation of several fitted regressors (Lakshminarayanan et al. 2017).

    Raises
    ------
    ValueError
        One network has no spread.
    """
    if len(networks) < 2:
        raise ValueError("the spread of an ensemble needs two networks or more")
    said = np.stack([network.predict(X) for network in networks])
    return gaussian(said.mean(0), said.std(0, ddof=1))


@torch.no_grad()
def of_dropout(
    network: FullyConnectedRegressor, X: np.ndarray, passes: int = 50, seed: int = 0
) -> Forecast:
    """Mean and standard deviation of passes with dropout (Gal and Ghahramani 2016).

    Parameters
    ----------
    network : fitted, with dropout
    X : (n, d)
    passes : each leaves out other hidden units
    seed : of these

    Raises
    ------
    ValueError
        The network has no dropout, or a single pass is asked for.
    """
    dropout = np.broadcast_to(np.asarray(network.dropout, dtype=float), len(network.hidden))
    if not dropout.any() or passes < 2:
        raise ValueError("a spread needs a network with dropout, and two passes or more")
    weights, biases = (
        [torch.as_tensor(p, dtype=torch.float32)[None] for p in parameters]
        for parameters in (network.coefs_, network.intercepts_)
    )
    x = torch.as_tensor((X - network.shift_) * network.scale_, dtype=torch.float32)[None]
    noise, linear = torch.Generator().manual_seed(seed), NETWORK_RECIPES[network.recipe].linear
    passed = (
        forward(weights, biases, x, dropout.tolist(), noise, linear=linear)[-1]
        for _ in range(passes)
    )
    said = np.stack([values[0, :, 0].double().numpy() for values in passed])
    said = said * network.spread_ + network.middle_
    if network.clip:
        said = said.clip(*network.range_)
    return gaussian(said.mean(0), said.std(0, ddof=1))


class QuantileNetwork(nn.Module):
    """A fully connected network that predicts 19 quantiles of a target, 5% to 95%.

    Parameters
    ----------
    hidden : units of its layers
    """

    def __init__(self, hidden: Sequence[int] = (128, 64, 32)):
        super().__init__()
        self.hidden = tuple(hidden)

    def fit(self, X: np.ndarray, y: np.ndarray, fit: Fit) -> QuantileNetwork:
        """Train on X (n, d) and y (n,) by the pinball loss (Koenker and Bassett 1978)."""
        torch.manual_seed(fit.seed)
        widths = [X.shape[1], *self.hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], len(QUANTILES)))
        self.shift, self.scale = X.mean(0), 1 / np.where(X.std(0) > 0, X.std(0), 1)
        self.middle, self.deviation = float(y.mean()), float(y.std() or 1.0)
        target = ((y - self.middle) / self.deviation).astype(np.float32)
        train(self, ArrayExamples(self._scaled(X), target), pinball_loss, fit)
        return self

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Quantiles (n, 19) in the scaled unit."""
        return {"quantiles": self.layers(x)}

    @torch.no_grad()
    def predict(self, X: np.ndarray) -> Forecast:
        """Intervals between the quantiles of X (n, d)."""
        found = self(torch.from_numpy(self._scaled(X)))["quantiles"].double().numpy()
        return between_quantiles(found * self.deviation + self.middle)

    @torch.no_grad()
    def loss(self, X: np.ndarray, y: np.ndarray) -> float:
        """Mean pinball loss on X (n, d) and y (n,), in units of the targets' deviation."""
        found = self(torch.from_numpy(self._scaled(X)))
        target = torch.from_numpy(((y - self.middle) / self.deviation).astype(np.float32))
        return float(pinball_loss(found, target, ()))

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        # an element that training hardly saw must not give inputs of a hundred deviations
        return ((X - self.shift) * self.scale).clip(-10, 10).astype(np.float32)


def pinball_loss(output: dict[str, Tensor], targets: Tensor, inputs) -> Tensor:
    """Mean over rows and quantiles q of max(q d, (q - 1) d), d = target - quantile."""
    at = torch.as_tensor(QUANTILES, dtype=torch.float32)
    difference = targets[:, None] - output["quantiles"]
    return torch.maximum(at * difference, (at - 1) * difference).mean()
