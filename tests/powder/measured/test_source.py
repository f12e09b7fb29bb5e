import dataclasses

import numpy as np
import pytest
import torch

from matgan.learning.fit import Fit, content_hash, train
from matgan.powder.measured.conditions import UNVARIED, Variation
from matgan.powder.measured.convnext import hierarchical_network
from matgan.powder.measured.hierarchy import HierarchicalLoss
from matgan.powder.measured.preparation import reflection_lists
from matgan.powder.measured.source import Simulated


@pytest.fixture(scope="module")
def lists(crystals):
    return reflection_lists(crystals.take(np.arange(0, 50_000, 2500)))


def test_a_batch_is_drawn_by_its_seed(lists):
    source = Simulated(lists, Variation())
    (first,), targets = source.batch(np.arange(8), [0, 1, 5])
    (again,), _ = source.batch(np.arange(8), [0, 1, 5])
    (other,), _ = source.batch(np.arange(8), [0, 1, 6])
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert np.array_equal(targets.numpy(), lists.classes[:8])


def test_structures_known_from_experiment_come_more_often(lists):
    assert 0 < lists.experimental.sum() < len(lists)
    source = Simulated(lists, UNVARIED, repeats=3)
    assert len(source) == len(lists) + 2 * lists.experimental.sum()
    times = np.bincount(source.rows)
    assert np.array_equal(times, np.where(lists.experimental, 3, 1))


def test_sources_are_told_apart(lists):
    sources = [Simulated(lists, v, repeats=r) for v, r in ((Variation(), 1), (Variation(), 2))]
    sources.append(Simulated(lists, dataclasses.replace(Variation(), strain=0.001)))
    assert len({content_hash(source.content()) for source in sources}) == 3


def test_a_network_trains_on_it(lists):
    torch.manual_seed(0)
    network = hierarchical_network("FCN, hierarchical", lists.members)
    source = Simulated(lists, dataclasses.replace(UNVARIED, site=0.1))
    fit = Fit(epochs=6, batch_size=10, average=0.9, learning_rate=3e-3)
    losses = train(network, source, HierarchicalLoss(lists.members), fit, same_shapes=True)
    assert losses[-1] < 0.9 * losses[0]
