"""Networks of microstructures: symmetries that they must keep, and that they learn."""

import numpy as np
import pytest
import torch

from matgan.learning.fit import Fit, outputs, regression_loss, train
from matgan.microstructure import examples, networks


def volumes(n, size, seed=0):
    return np.random.default_rng(seed).random((n, size, size, size)) < 0.5


def values(network, phases):
    source = examples.Volumes(phases, np.zeros(len(phases)))
    return outputs(network, source, batch_size=4)


def test_a_shift_moves_strains_and_leaves_stiffness():
    torch.manual_seed(0)
    phases = volumes(2, 9)
    shifted = np.roll(phases, (3, -6, 3), (1, 2, 3))
    network = networks.StiffnessNetwork(4)
    one, two = (values(network, v)["value"] for v in (phases, shifted))
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert np.ptp(one) > 0
    shifted = np.roll(phases, (1, 2, 3), (1, 2, 3))
    network = networks.DenseStrainNetwork(4, 2)
    one, two = (values(network, v)["field"] for v in (phases, shifted))
    np.testing.assert_allclose(np.roll(one, (1, 2, 3), (1, 2, 3)), two, atol=1e-5)


def test_strains_have_the_mean_of_the_load_and_know_their_surroundings():
    torch.manual_seed(0)
    network = networks.DenseStrainNetwork(4, 1)
    phases = volumes(1, 15)
    field = values(network, phases)["field"]
    assert field.mean((1, 2, 3)) == pytest.approx(1, abs=1e-5)
    changed = phases.copy()
    changed[0, 7, 7, 7] ^= True
    difference = np.abs(values(network, changed)["field"] - field)[0]
    difference -= np.median(difference)  # the mean is held
    reach = 1 + 2 + 1  # one layer, a pair, the last
    away = np.abs(np.arange(15) - 7)
    far = np.maximum(np.maximum(away[:, None, None], away[:, None]), away)
    assert np.abs(difference[far > reach]).max() < 1e-5
    assert np.abs(difference[far == reach]).max() > 1e-5


def test_the_stiffness_network_learns_surfaces():
    """The share of neighbours of unlike phase along an axis: no fraction tells it."""
    phases = np.concatenate([volumes(32, 9), volumes(32, 9, 1).repeat(3, 1)[:, :9]])
    unlike = (phases != np.roll(phases, 1, 1)).mean((1, 2, 3))
    target = (unlike - unlike.mean()) / unlike.std()
    torch.manual_seed(0)
    network = networks.StiffnessNetwork(4, 0.0)
    fit = Fit(epochs=12, batch_size=16, learning_rate=1e-2)
    source = examples.Volumes(phases, target, moving=True)
    losses = train(network, source, regression_loss, fit)
    assert losses[-1] < 0.4 * losses[0]
    found = values(network, phases)["value"][:, 0]
    assert np.corrcoef(found, target)[0, 1] > 0.95


def test_the_dense_network_learns_a_local_rule():
    """The mean of the two neighbours along the first axis."""
    phases = volumes(32, 7)
    fields = (np.roll(phases, 1, 1).astype(float) + np.roll(phases, -1, 1)) / 2
    fields += 1 - fields.mean((1, 2, 3), keepdims=True)
    torch.manual_seed(0)
    network = networks.DenseStrainNetwork(6, 1)
    source = examples.Fields(phases, fields, moving=True)
    losses = train(network, source, networks.field_loss, Fit(15, 8, 2e-2))
    assert losses[-1] < 0.25 * losses[0]


def test_a_neighbourhood_network_learns_and_its_shells_are_told():
    """A rule of the voxel and those beside it, not of farther shells."""
    phases = volumes(40, 13)
    fields = phases + 0.5 * np.roll(phases, 1, 1)
    torch.manual_seed(0)
    network = networks.NeighbourhoodNetwork((6, 4), 16)
    source = examples.Neighbourhoods(phases, fields, 16)
    losses = train(network, source, regression_loss, Fit(25, 8, 5e-3, weight_decay=0.1))
    assert losses[-1] < 0.4 * losses[0]
    (patches,), _ = source.batch(np.arange(8), [5])
    shells = networks.shell_influence(network, patches)
    assert len(shells) == 6
    assert shells[0] > shells[1] > max(shells[2:])


def test_influence_of_a_sum_is_two_everywhere():
    class Sum(torch.nn.Module):
        def forward(self, patches):
            return {"value": patches.flatten(1).sum(1, keepdim=True)}

    assert networks.shell_influence(Sum(), torch.zeros(2, 11, 11, 11)) == [2.0] * 6  # from -1 to 1


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 3), (5, 1), (1, 1)])
def test_a_periodic_convolution_is_that_of_torch(kernel, stride):
    torch.manual_seed(0)
    ours = networks.PeriodicConv3d(2, 3, kernel, stride).double()
    theirs = torch.nn.Conv3d(
        2, 3, kernel, stride, padding=kernel // 2, padding_mode="circular", bias=False
    ).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 2, 6, 7, 9, dtype=torch.float64, requires_grad=True)
    found = []
    for layer in (ours, theirs):
        y = layer(x)
        weights = torch.arange(y.numel(), dtype=torch.float64).reshape(y.shape).sin()
        found.append((y, *torch.autograd.grad((weights * y).sum(), (x, layer.weight))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
