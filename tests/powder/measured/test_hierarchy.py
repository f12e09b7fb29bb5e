import numpy as np
import pytest
import torch

from matgan.crystals.symmetry import extinction_groups
from matgan.powder.classifier import class_counts, class_labels
from matgan.powder.measured import hierarchy

MEMBERS = class_labels(np.arange(1, 231))


def test_levels_have_their_sizes():
    assert hierarchy.sizes(MEMBERS) == class_counts()


def test_probabilities_are_products_down_the_hierarchy():
    torch.manual_seed(0)
    head = hierarchy.HierarchicalHead(8, MEMBERS)
    features = torch.randn(5, 8)
    logs = head(features).double()
    groups = logs.exp().detach().numpy()
    assert np.allclose(groups.sum(1), 1, atol=1e-5)
    system, extinction, own = head.scores(features).detach().double().split([7, 101, 230], 1)
    systems = hierarchy.summed(groups, MEMBERS)["crystal_system"]
    assert np.allclose(systems, system.softmax(1), atol=1e-5)
    # by hand: group 62 is with 33 in one of the orthorhombic extinction groups
    index = MEMBERS[61, 1]
    members = [g - 1 for g in extinction_groups()[index]]
    others = np.unique(MEMBERS[MEMBERS[:, 0] == MEMBERS[61, 0], 1])
    by_hand = (
        system[:, MEMBERS[61, 0]].exp() / system.exp().sum(1)
        * extinction[:, index].exp() / extinction[:, others].exp().sum(1)
        * own[:, 61].exp() / own[:, members].exp().sum(1)
    )  # fmt: skip
    assert np.allclose(groups[:, 61], by_hand, atol=1e-6)


def test_large_scores_stay_finite():
    head = hierarchy.HierarchicalHead(4, MEMBERS)
    logs = head(1e4 * torch.randn(3, 4))
    assert logs.isfinite().all()
    logs.sum().backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_the_loss_is_the_log_loss_of_its_levels():
    logs = torch.randn(4, 230, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    classes = torch.from_numpy(MEMBERS[[0, 61, 166, 224]])
    plain = hierarchy.HierarchicalLoss(MEMBERS, 0, 0, 0, 0)
    rows = torch.arange(4)
    expected = -logs[rows, classes[:, 2]].mean()
    assert plain({"space_group": logs}, classes, ()) == pytest.approx(expected)
    weighted = hierarchy.HierarchicalLoss(MEMBERS, 0, 0, 1, 2)
    shares = hierarchy.summed(logs.exp().numpy(), MEMBERS)
    for weight, level in ((1, "crystal_system"), (2, "extinction_group")):
        column = hierarchy.LEVELS.index(level)
        own = shares[level][rows, classes[:, column]]
        expected = expected - weight * np.log(own).mean()
    found = weighted({"space_group": logs}, classes, ())
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_labels_are_smoothed_within_their_extinction_group():
    loss = hierarchy.HierarchicalLoss(MEMBERS, within=0.2, smoothing=0)
    target = loss.targets[61].numpy()
    members = [g - 1 for g in extinction_groups()[MEMBERS[61, 1]]]
    assert target.sum() == pytest.approx(1)
    assert target[61] == pytest.approx(0.8 + 0.2 / len(members))
    assert not np.delete(target, members).any()


def test_named_first_are_classes_that_agree():
    shares = np.random.default_rng(0).dirichlet(np.full(230, 0.1), 20)
    scores = hierarchy.ranked(hierarchy.summed(shares, MEMBERS), MEMBERS)
    first = {level: score.argmax(1) for level, score in scores.items()}
    agreeing = MEMBERS[first["space_group"]]
    assert np.array_equal(agreeing, np.stack(list(first.values()), 1))
