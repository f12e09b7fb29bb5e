"""Explanations: completeness of integrated gradients; deletions and neighbours by brute force."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.uncertainty.explanations import (
    as_function,
    deletions,
    integrated_gradients,
    nearest_points,
)


def fitted(**how) -> tuple[FullyConnectedRegressor, np.ndarray]:
    X = np.random.default_rng(0).dirichlet(np.ones(6), 200)
    settings = FullyConnectedRegressor((32, 16), epochs=10, clip=False, device="cpu", **how)
    return settings.fit(X, X[:, 0] * X[:, 1] - X[:, 2]), X


@pytest.fixture(scope="module")
def network() -> FullyConnectedRegressor:
    return fitted()[0]


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    return np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0.2, 0.3, 0, 0.5, 0], [0, 0, 0, 1.0, 0, 0]])


@pytest.mark.parametrize("recipe", ["ours", "published code"])
def test_attributions_are_complete(shares, recipe):
    """Their sum is the difference of the predictions (Sundararajan et al. 2017, Section 3)."""
    network, X = fitted(recipe=recipe)
    function, start = as_function(network), X.mean(0)
    found = function(torch.as_tensor(shares)).numpy()
    np.testing.assert_allclose(found, network.predict(shares), rtol=1e-6)
    expected = network.predict(shares) - network.predict(start[None])
    few, many = (
        np.abs(integrated_gradients(function, shares, start, n).sum(1) - expected).max()
        for n in (2, 1000)
    )
    assert many < 2e-3 * np.abs(expected).max() and many < few


def test_attributions_of_a_product_by_hand():
    """From 0 the path is (t x, t y), with the gradients t y and t x, so that each adds half."""
    found = integrated_gradients(lambda x: x[:, 0] * x[:, 1], [[2.0, 3.0]], np.zeros(2), 7)
    np.testing.assert_allclose(found, [[3.0, 3.0]])


def test_a_deletion_is_the_difference_of_two_predictions(network, shares):
    found = deletions(as_function(network), shares)
    without = np.array([[0, 0, 0.375, 0, 0.625, 0]])
    expected = network.predict(shares[1:2]) - network.predict(without)
    assert found[1, 1] == pytest.approx(expected[0])
    assert (found[:2][shares[:2] == 0] == 0).all() and np.isnan(found[2, 3])


def test_the_nearest_points_are_the_nearest_ones():
    random = np.random.default_rng(0)
    points, known = random.normal(size=(20, 4)), random.normal(size=(50, 4))
    rows, distance = nearest_points(points, known, 3)
    every = cdist(points, known)
    np.testing.assert_array_equal(rows, np.argsort(every, axis=1)[:, :3])
    np.testing.assert_allclose(distance, np.sort(every, axis=1)[:, :3])
    with pytest.raises(ValueError, match="the 50 known points, not 51"):
        nearest_points(points, known, 51)
