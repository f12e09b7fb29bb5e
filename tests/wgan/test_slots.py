"""The slot generator: what it draws, and how probable that is."""

import math

import pytest
import torch

from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.wgan.config import LEARNING
from matgan.wgan.networks import build_generator, to_amounts
from matgan.wgan.slots import SlotGenerator, gumbel_one_hot


@pytest.mark.parametrize(
    ("slots", "outcomes", "mixing"), [(2, 12, "residual"), (3, 20, "residual"), (3, 20, "single")]
)
def test_the_log_probability_of_a_draw_is_that_of_its_frequency(slots, outcomes, mixing):
    config = LEARNING.replace(slots=slots, hidden=(8,), latent_dim=1, mixing=mixing)
    torch.manual_seed(0)
    generator = SlotGenerator(config)
    with torch.no_grad():  # three elements that matter, to see every outcome often
        generator.to_element.bias.fill_(-50)
        generator.to_element.bias[:3] = torch.tensor([0.0, 1.0, 0.5])
        generator.to_element.bias[-1] = 0.8  # a third slot may stay empty
        generator.to_count.bias.fill_(-50)
        generator.to_count.bias[:2] = torch.tensor([0.3, 0.0])
    rng = torch.Generator().manual_seed(1)
    matrix, log_p = generator.draw(torch.zeros(40_000, 1), rng)
    # the order of the slots is part of a draw, not of a composition, so probabilities of one
    # composition differ; the sum over the distinct draws is the composition's frequency
    _, composition, size = to_amounts(matrix).unique(dim=0, return_inverse=True, return_counts=True)
    for which, seen in enumerate(size):
        p = log_p[composition == which].exp().unique(sorted=True)
        distinct = p[torch.cat([torch.tensor([True]), p.diff() > 1e-6])]
        assert seen.item() / 40_000 == pytest.approx(distinct.sum().item(), abs=0.012)
        # one for each order of the elements: what an empty slot draws as its count is no part of it
        first = matrix[composition == which][0]
        assert len(distinct) == math.factorial(int((first.sum(1) > 0).sum()))
    assert len(size) == outcomes  # three pairs of elements, and the triple; two counts each


@pytest.mark.parametrize("mixing", ["single", "residual"])
def test_the_log_probability_of_a_composition_by_hand(mixing):
    """NaCl3 in three slots: Na, its count, Cl, its count, nothing."""
    config = LEARNING.replace(slots=3, hidden=(16,), latent_dim=4, mixing=mixing)
    torch.manual_seed(0)
    generator = SlotGenerator(config)
    with torch.no_grad():
        generator.start.normal_()
    counts = torch.from_numpy(amounts_matrix(["Cl3Na", "NaCl3", "Na2Cl3", "LiFePO4"]))
    z = torch.randn(1, 4)
    na, cl, none = ELEMENT_INDEX["Na"], ELEMENT_INDEX["Cl"], 85
    element, count = generator.seen_element.weight.T, generator.seen_count.weight.T

    def log_p(layer, memory, which, never=()):
        logits = layer(memory)[0].clone()
        logits[list(never)] = -math.inf
        return torch.log_softmax(logits, 0)[which]

    memory, start = generator.body(z), generator.start
    expected = log_p(generator.element_logits, memory + start[0], na, [none])
    memory = memory + element[na]
    expected = expected + log_p(generator.count_logits, memory, 0)
    memory = memory + count[0]
    expected = expected + log_p(generator.element_logits, memory + start[1], cl, [none, na])
    memory = memory + element[cl]
    expected = expected + log_p(generator.count_logits, memory, 2)
    memory = memory + count[2]
    expected = expected + log_p(generator.element_logits, memory + start[2], none, [na, cl])
    got = generator.log_probability(z.expand(4, 4), counts)
    torch.testing.assert_close(got[:2], expected.expand(2))  # the order of writing means nothing
    assert got[2] != got[1]
    assert got[3] == -math.inf  # four elements do not fit
    got[:2].mean().backward()
    assert all(
        layer.weight.grad.abs().sum() > 0 for layer in (generator.to_count, generator.body[0])
    )


def test_both_ways_to_draw_give_the_same_distribution():
    torch.manual_seed(0)
    generator = build_generator(LEARNING.replace(initialisation="scaled"))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        z = torch.randn(20_000, LEARNING.latent_dim, generator=rng)
        by_softmax, (by_race, _) = to_amounts(generator(z, rng)), generator.draw(z, rng)
    assert by_softmax.mean(0).sub(to_amounts(by_race).mean(0)).abs().max() < 0.06  # 5 sigma
    n_elements = [(x > 0).sum(1).float().mean().item() for x in (by_softmax, to_amounts(by_race))]
    assert n_elements[0] == pytest.approx(n_elements[1], abs=0.03)


def test_slots_hold_two_to_five_different_elements_with_one_count_each():
    torch.manual_seed(0)
    matrix = SlotGenerator(LEARNING)(torch.randn(500, 128))
    assert set(matrix.unique().tolist()) <= {0.0, 1.0}
    per_element = matrix.sum(2)
    assert per_element.max() == 1  # never two counts for one element
    n_elements = per_element.sum(1)
    assert n_elements.min() >= 2 and n_elements.max() == 5


def test_the_gumbel_draw_follows_the_softmax_and_passes_its_gradient():
    logits = torch.tensor([0.0, 1.0, -torch.inf, 2.0])
    rng = torch.Generator().manual_seed(0)
    drawn = gumbel_one_hot(logits.expand(40_000, 4), rng, temperature=0.7)
    assert torch.equal(drawn.sum(1), torch.ones(40_000))
    torch.testing.assert_close(drawn.mean(0), torch.softmax(logits, 0), atol=0.01, rtol=0)
    leaf = torch.zeros(1, 3, requires_grad=True)
    (gumbel_one_hot(leaf, rng, 1.0) @ torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert leaf.grad.abs().sum() > 0
