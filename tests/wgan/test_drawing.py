"""Draws on request have the statistics of free ones: by enumeration, and against rejection."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chi2, chi2_contingency
from torch.nn import functional as F

from matgan.chemistry.composition import formulas, reduced, whole_counts
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.wgan.config import LEARNING
from matgan.wgan.drawing import NOTHING, Drawer, _controlled, _level, _matrix, _pick
from matgan.wgan.generator import load_generator
from matgan.wgan.networks import build_generator, to_amounts
from matgan.wgan.wishes import Wanted

FEW = ("Li", "O", "Fe", "Na", "Cl")


@pytest.fixture(scope="module")
def small():
    """A generator of five elements, one to three atoms of each, three slots; noise is idle."""
    torch.manual_seed(4)
    network = build_generator(LEARNING.replace(slots=3, hidden=(8,), latent_dim=1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 2  # far from uniform
        network.to_count.weight *= 4  # counts depend on what was drawn before
        network.body[0].weight.zero_()
        network.to_element.bias[:NOTHING] -= 40
        network.to_element.bias[[ELEMENT_INDEX[s] for s in FEW]] += 40
        network.to_count.bias[3:] -= 40
    return network


@pytest.fixture(scope="module")
def exact(small):
    """The probability of each composition: the sum over all ways to write it, one by one."""
    elements, atoms = [ELEMENT_INDEX[s] for s in FEW], (0, 1, 2)
    filled = list(itertools.product(elements, atoms))
    ways = itertools.product(filled, filled, [*filled, (NOTHING, 0)])
    ways = torch.tensor([way for way in ways if len({element for element, _ in way}) == 3])
    choices = iter(ways.flatten(1).T)  # element, count, element, count, ...

    def forced(logits):
        choice = next(choices)
        log_p = torch.log_softmax(logits, -1).gather(1, choice[:, None])[:, 0]
        return F.one_hot(choice, logits.shape[1]).float(), log_p

    with torch.inference_mode():
        matrix, log_p = small._fill(torch.zeros(len(ways), 1), forced)
    rows = reduced(to_amounts(matrix).numpy().astype(np.uint8))
    chances = Counter()
    for formula, p in zip(formulas(rows), log_p.exp().tolist(), strict=True):
        chances[formula] += p
    assert sum(chances.values()) == pytest.approx(1, abs=1e-4)
    return chances


WISHES = [
    {"contain": "Li"},
    {"contain": ["Cl", "Fe"]},
    {"exclude": "O"},
    {"n_elements": 3, "contain": "O"},
    {"n_elements": 2},
    {"counts": {"O": (2, 3)}},
    {"counts": {"Na": 1, "Cl": (0, 1)}, "only": ["Na", "Cl", "O", "Li"]},
]


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_draws_on_request_are_the_conditional_distribution(small, exact, wish):
    wanted, rng = Wanted(**wish), torch.Generator().manual_seed(1)
    drawer = Drawer(small, 1, "cpu")
    plan = drawer.plan(wanted)
    counts = np.concatenate([drawer.on_request(rng, plan) for _ in range(10)])
    assert "counts" in wish or wanted.kept(counts).all()  # 2 of 4 atoms are 1 of 2 in the end
    found = Counter(formulas(counts[wanted.kept(counts)]))
    names = list(exact)
    kept = wanted.kept(whole_counts(names))
    good = {f: exact[f] for f in np.array(names)[kept].tolist()}
    total, n = sum(good.values()), sum(found.values())
    assert set(found) <= set(good) and n > 1000
    expected = {f: n * p / total for f, p in good.items()}
    common = [f for f in good if expected[f] >= 5]
    statistic = sum((found[f] - expected[f]) ** 2 / expected[f] for f in common)
    # some draws are siblings, which widens the spread a little
    assert statistic / 1.3 < chi2.ppf(0.999, len(common))
    # and how many free draws each of them stands for
    assert plan.stands_for * n / 40_960 == pytest.approx(total, rel=0.06)


def test_free_draws_are_those_of_the_network(small, exact):
    drawer, rng = Drawer(small, 1, "cpu"), torch.Generator().manual_seed(2)
    counts = np.concatenate([drawer.free(rng) for _ in range(100)])
    found = Counter(formulas(counts))
    expected = {f: len(counts) * p for f, p in exact.items() if len(counts) * p >= 5}
    statistic = sum((found[f] - mean) ** 2 / mean for f, mean in expected.items())
    assert statistic < chi2.ppf(0.999, len(expected))


def kinds(counts):
    """Three traits of each composition: number of elements, stoichiometry, last element."""
    ordered = -np.sort(-counts.astype(int), axis=1)
    last = [f.rstrip("0123456789")[-2:].lstrip("0123456789") for f in formulas(counts)]
    return {
        "number of elements": (counts > 0).sum(axis=1).tolist(),
        "stoichiometry": [tuple(row[row > 0]) for row in ordered],
        "most electronegative element": last,
    }


def alike(one, two):
    """p of the chi-squared test of homogeneity for each trait, rare values together."""
    out = {}
    for trait, values in kinds(one).items():
        first, second = Counter(values), Counter(kinds(two)[trait])
        common = [v for v, n in (first + second).items() if n >= 40]
        table = np.array([[c[v] for v in common] for c in (first, second)])
        rest = [[sum(c.values())] for c in (first, second)] - table.sum(axis=1, keepdims=True)
        table = np.hstack([table, rest]) if rest.min() > 5 else table
        out[trait] = chi2_contingency(table).pvalue
    return out


@pytest.mark.parametrize("wish", [{"contain": "Li"}, {"contain": ["O", "P"]}], ids=str)
def test_what_is_forced_keeps_the_statistics_of_rejection_and_naive_forcing_does_not(wish):
    generator, wanted = load_generator("wgan-mp"), Wanted(**wish)
    drawer = Drawer(generator.network, generator.latent_dim, "cpu")
    free = np.concatenate([drawer.free(torch.Generator().manual_seed(s)) for s in range(110)])
    rejected = free[wanted.kept(free)]
    assert len(rejected) > 1000
    plan, rng = drawer.plan(wanted), torch.Generator().manual_seed(1)
    constructed = np.concatenate([drawer.on_request(rng, plan) for _ in range(3)])
    assert plan.pays and wanted.kept(constructed).all()
    assert min(alike(rejected, constructed).values()) > 1e-3
    # the control: the same draws, each taken once, whatever it weighs
    plan.level = 0.0
    with torch.inference_mode():
        naive = drawer._fill(len(constructed), rng, drawer._tables(wanted))
    weight, naive = naive.weight, _matrix(naive.elements, naive.counts)
    assert weight.isfinite().all()
    meets = wanted.kept(naive)  # what the network gives a probability of 0 weighs nothing
    assert meets[(weight > 0).numpy()].all()
    naive = naive[meets]
    assert min(alike(rejected, naive).values()) < 1e-12


def test_weights_become_numbers_of_copies_with_the_same_mean():
    rng = torch.Generator().manual_seed(0)
    weight = torch.rand(200_000, generator=rng, dtype=torch.float64) ** 4 * 10
    rows, left = _controlled(weight, 0.5, 3.0, rng)
    assert left.min() >= 0.5 and left.max() <= 3
    share = torch.bincount(rows, left, minlength=len(weight))
    for low, high in ((0, 0.5), (0.5, 3), (3, 10)):
        part = (weight >= low) & (weight < high)
        assert float(share[part].mean()) == pytest.approx(float(weight[part].mean()), rel=0.02)
    middle = (weight >= 0.5) & (weight < 3)
    assert torch.equal(share[middle], weight[middle])  # these go on as they are


def test_the_level_leaves_five_in_a_hundred_second_copies():
    weight = torch.from_numpy(np.random.default_rng(0).lognormal(0, 1.5, 100_000))
    level = _level(weight)
    above = (weight - level).clamp(min=0).sum() / weight.sum()
    assert float(above) == pytest.approx(0.05, rel=1e-6)
    assert _level(torch.full((10,), 2.0)) == 2.0
    assert _level(torch.zeros(10)) == 0.0


def test_a_class_is_picked_in_proportion():
    p = torch.tensor([[0.0, 1.0, 3.0, 0.0], [2.0, 0.0, 2.0, 0.0]]).repeat(20_000, 1)
    picked = _pick(p, torch.Generator().manual_seed(0)).numpy()
    assert set(picked[::2]) == {1, 2} and set(picked[1::2]) == {0, 2}
    assert (picked[::2] == 2).mean() == pytest.approx(0.75, abs=0.01)
    assert (picked[1::2] == 2).mean() == pytest.approx(0.5, abs=0.01)


def test_the_number_of_threads_changes_nothing():
    generator = load_generator("wgan-oqmd")
    wish, before = {"contain": "Li"}, torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = generator.draw(3000, 5, **wish)[0]
        torch.set_num_threads(3)
        assert torch.get_num_threads() == 3
        np.testing.assert_array_equal(generator.draw(3000, 5, **wish)[0], expected)
    finally:
        torch.set_num_threads(before)


def test_what_the_network_never_writes_has_no_plan(small):
    drawer = Drawer(small, 1, "cpu")
    with torch.no_grad():
        never = drawer.plan(Wanted(contain="Xe"))
    assert never.stands_for < 1e-12 or not never.possible
