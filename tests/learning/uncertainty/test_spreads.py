"""Spreads of networks against NumPy; quantiles against the distribution that was drawn from."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_pinball_loss

from matgan.learning.fit import Fit
from matgan.learning.layers import NETWORK_RECIPES
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.uncertainty.spreads import (
    QUANTILES,
    QuantileNetwork,
    of_dropout,
    of_ensemble,
    pinball_loss,
)


@pytest.fixture(scope="module")
def known() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.uniform(-1, 1, (1500, 3))
    return X, X[:, 0] + (0.2 + 0.8 * (X[:, 1] > 0)) * random.normal(size=1500)


def test_an_ensemble_is_mean_and_deviation_of_its_members(known):
    X, y = known
    members = [LinearRegression().fit(X[i::3], y[i::3]) for i in range(3)]
    said = np.stack([member.predict(X[:5]) for member in members])
    found = of_ensemble(members, X[:5])
    np.testing.assert_allclose(found.centre, said.mean(0))
    np.testing.assert_allclose(found.spread, said.std(0, ddof=1))
    with pytest.raises(ValueError, match="two networks"):
        of_ensemble(members[:1], X)


def test_dropout_of_one_layer_has_the_deviation_of_binomial_sums(known):
    X, y = known
    network = FullyConnectedRegressor((16,), 0.3, epochs=3, clip=False, device="cpu").fit(X, y)
    found = of_dropout(network, X[:4], passes=4000)
    # each hidden output comes with 0.7, and is divided by it
    part = network.activations(X[:4], 0) * network.coefs_[1][:, 0]
    variance = (part**2).sum(1) * 0.3 / 0.7
    np.testing.assert_allclose(found.spread, np.sqrt(variance) * network.spread_, rtol=0.06)
    np.testing.assert_allclose(found.centre, network.predict(X[:4]), atol=0.1 * network.spread_)
    again = of_dropout(network, X[:4], passes=5, seed=1)
    np.testing.assert_array_equal(again.centre, of_dropout(network, X[:4], 5, 1).centre)
    with pytest.raises(ValueError, match="dropout"):
        of_dropout(network.set_params(dropout=0.0), X)


@pytest.mark.parametrize("recipe", NETWORK_RECIPES)
def test_hardly_any_dropout_is_hardly_any_change(known, recipe):
    X, y = known
    network = FullyConnectedRegressor(
        (16, 8), 1e-9, recipe=recipe, epochs=2, clip=False, device="cpu"
    ).fit(X, y)
    found = of_dropout(network, X[:4], passes=2)
    np.testing.assert_allclose(found.centre, network.predict(X[:4]), atol=1e-4)


def test_the_pinball_loss_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    y, said = random.normal(size=7), random.normal(size=(7, 19))
    found = pinball_loss({"quantiles": torch.tensor(said)}, torch.tensor(y), ())
    each = [mean_pinball_loss(y, said[:, k], alpha=q) for k, q in enumerate(QUANTILES)]
    assert float(found) == pytest.approx(np.mean(each), rel=1e-6)


def test_quantiles_follow_a_spread_that_depends_on_the_inputs(known):
    X, y = known
    network = QuantileNetwork((32,)).fit(X, y, Fit(25, 64, 1e-2))
    found = network.predict(np.array([[0.0, -0.5, 0], [0, 0.5, 0]]))
    true = stats.norm.ppf(0.95) * np.array([0.2, 1.0])
    np.testing.assert_allclose(found.spread, true, rtol=0.3)
    np.testing.assert_allclose(found.centre, 0, atol=0.2)
