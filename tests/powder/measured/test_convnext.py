import numpy as np
import pytest
import torch

from matgan.powder.classifier import class_labels
from matgan.powder.measured.convnext import ConvNeXt, hierarchical_network
from matgan.powder.measured.simulation import POINTS

MEMBERS = class_labels(np.arange(1, 231))


@pytest.mark.parametrize("name", ["FCN", "FCN, hierarchical", "ConvNeXt"])
def test_networks_give_a_score_for_every_space_group(name):
    network = hierarchical_network(name, MEMBERS).eval()
    with torch.no_grad():
        found = network(torch.rand(3, POINTS))["space_group"]
    assert found.shape == (3, 230) and found.isfinite().all()


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="no network is called 'RNN'"):
        hierarchical_network("RNN", MEMBERS)


@pytest.mark.parametrize("axis", ["none", "sin²", "q"])
def test_the_axis_is_a_channel(axis):
    """Its values are those of Bragg's law; without it the stem reads the pattern alone."""
    network = ConvNeXt(axis=axis)
    sine = np.sin(np.radians((5 + 0.05 * np.arange(POINTS)) / 2))
    expected = {"none": [], "sin²": [sine**2 / sine[-1] ** 2], "q": [sine / sine[-1]]}[axis]
    assert np.allclose(network.place.numpy(), np.reshape(expected, (-1, POINTS)), atol=1e-6)
    assert network.stem.in_channels == 1 + len(expected)
    assert network.features(torch.rand(2, POINTS)).shape == (2, network.width)


def test_places_are_told_apart():
    """The same line at another angle gives other features."""
    torch.manual_seed(0)
    network = ConvNeXt(axis="none").eval()
    patterns = torch.zeros(2, POINTS)
    patterns[0, 500:510], patterns[1, 900:910] = 1, 1
    first, second = network.features(patterns)
    assert (first - second).abs().max() > 1e-3


def test_a_network_learns_what_it_is_shown():
    """Two patterns of two space groups: the loss falls."""
    torch.manual_seed(0)
    network = hierarchical_network("ConvNeXt", MEMBERS)
    patterns, groups = torch.rand(2, POINTS), torch.tensor([61, 224])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(8):
        loss = -network(patterns)["space_group"][torch.arange(2), groups].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 2.5  # 5.4 by chance
