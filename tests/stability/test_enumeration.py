from itertools import combinations, product
from math import comb, gcd

import numpy as np
import pytest
from pymatgen.core import Composition
from smact.screening import smact_validity
from sympy import mobius

from matgan import ELEMENTS, charge_neutral, electronegativity_balanced
from matgan.chemistry.composition import formulas, reduced_counts
from matgan.stability.enumeration import Enumeration, EnumerationError

FEW = ["Li", "Fe", "O", "Sr", "S", "Pm"]


@pytest.fixture(scope="module")
def everything():
    return Enumeration()


@pytest.fixture(scope="module")
def sample(everything):
    """40,000 compositions drawn from all numbers: nearly all of four elements, some of fewer."""
    rng = np.random.default_rng(0)
    ends = (85, 110_755, 10_876_685, len(everything))
    few = [rng.integers(0, end, 10_000) for end in ends]
    return everything.compositions(np.concatenate(few))


def closed_form(n_elements, most_elements, most_atoms):
    """Σ_k C(n, k) Σ_d μ(d) C(⌊N / d⌋, k), the sum over the common divisors d."""
    return sum(
        comb(n_elements, k) * sum(mobius(d) * comb(most_atoms // d, k) for d in range(1, 11))
        for k in range(1, most_elements + 1)
    )


def by_brute_force(symbols, most_elements, most_atoms):
    """All counts of each element, those with the right numbers kept, in reduced form."""
    found = set()
    for counts in product(range(most_atoms + 1), repeat=len(symbols)):
        if 1 <= sum(n > 0 for n in counts) <= most_elements and sum(counts) <= most_atoms:
            found.add(tuple(n // gcd(*counts) for n in counts))
    return found


def test_the_number_of_compositions_is_that_of_the_closed_form(everything):
    assert len(everything) == closed_form(85, 4, 10) == 425_957_610
    assert 205 * comb(85, 4) == 415_080_925  # those of four elements
    assert len(Enumeration(3, 8)) == closed_form(85, 3, 8)
    assert sum(everything.size(b) for b in range(everything.n_blocks)) == len(everything)
    assert len(everything.block(425)) == everything.size(425)


@pytest.mark.parametrize(("most_elements", "most_atoms"), [(4, 10), (3, 7), (2, 9), (1, 1)])
def test_every_composition_comes_once(most_elements, most_atoms):
    made = Enumeration(most_elements, most_atoms, FEW, per_block=100)
    blocks = list(made)
    assert len(blocks) == made.n_blocks
    counts = np.concatenate([block.counts() for block in blocks])
    columns = [ELEMENTS.index(symbol) for symbol in FEW]
    found = {tuple(row) for row in counts[:, columns].tolist()}
    assert len(counts) == len(found) == len(made)
    assert found == by_brute_force(FEW, most_elements, most_atoms)
    assert not np.delete(counts, columns, axis=1).any()
    np.testing.assert_array_equal(
        np.sort(np.concatenate([block.number for block in blocks])), np.arange(len(made))
    )


def test_a_number_is_a_composition_and_back(everything, sample):
    np.testing.assert_array_equal(everything.numbers(sample.counts()), sample.number)
    block = everything.block(17)
    rows = np.random.default_rng(1).choice(len(block), 2000, replace=False)
    again = everything.compositions(block.number[rows])
    for name in ("number", "elements", "amounts", "neutral", "balanced"):
        np.testing.assert_array_equal(getattr(again, name), getattr(block, name)[rows])
    assert everything.numbers(["Fe2O3", "Fe4O6"]).tolist() == [everything.numbers(["Fe2O3"])[0]] * 2
    outside = ["LiNaKRbF", "Al12Mg17", "Fe9O10"]  # five elements, too many atoms
    assert everything.numbers(outside).tolist() == [-1, -1, -1]
    assert Enumeration(2, 9, FEW).numbers(["LiO", "NaO"]).tolist()[1] == -1


def test_verdicts_are_those_of_the_package(sample):
    np.testing.assert_array_equal(sample.neutral, charge_neutral(sample.counts()))
    np.testing.assert_array_equal(sample.balanced, electronegativity_balanced(sample.counts()))
    assert 0.2 < sample.balanced.mean() < sample.neutral.mean() < 0.8


@pytest.mark.parametrize("states", ["wiki", "icsd24", {"Li": [1], "Fe": [0, 2, 3], "O": [-2, -1]}])
def test_verdicts_with_other_states(everything, states):
    other = Enumeration(oxidation_states=states)
    rng = np.random.default_rng(2)
    numbers = [*rng.integers(0, len(everything), 20_000), *rng.integers(0, 110_755, 5000)]
    made = other.compositions([*numbers, *other.numbers(["Fe2O3", "LiFeO2", "Fe", "LiO"])])
    np.testing.assert_array_equal(made.neutral, charge_neutral(made.counts(), states))
    np.testing.assert_array_equal(made.balanced, electronegativity_balanced(made.counts(), states))


def test_verdicts_are_those_of_smact(sample):
    rows = np.random.default_rng(3).choice(len(sample), 300, replace=False)
    some = sample.take(rows)
    for formula, neutral, balanced in zip(
        formulas(some.counts()), some.neutral, some.balanced, strict=True
    ):
        for verdict, test in ((neutral, False), (balanced, True)):
            assert verdict == smact_validity(
                Composition(formula),
                use_pauling_test=test,
                include_alloys=False,
                oxidation_states_set="smact14",
            )


def test_a_block_is_like_the_whole(everything, sample):
    """Of four elements a quarter of the sample; the share that is balanced to within a point."""
    four = (sample.amounts > 0).sum(axis=1) == 4
    expected = sample.balanced[four].mean()
    for index in (0, 100, 425):
        assert everything.block(index).balanced.mean() == pytest.approx(expected, abs=0.02)


def test_counts_are_those_of_the_formulas():
    made = Enumeration(2, 3, ["Na", "Cl"]).block(0)
    assert set(formulas(made.counts())) == {"Na", "Cl", "NaCl", "Na2Cl", "NaCl2"}
    np.testing.assert_array_equal(reduced_counts(formulas(made.counts())), made.counts())
    assert len(made.take(made.balanced)) == 3  # both elements, and NaCl


def test_systems_come_in_the_order_of_their_numbers():
    made = Enumeration(2, 2, ["H", "Li", "Be", "B"])
    names = formulas(made.compositions(range(len(made))).counts())
    pairs = sorted(combinations(range(4), 2), key=lambda pair: pair[::-1])
    assert names[:4] == ["H", "Li", "Be", "B"]
    assert names[4:] == formulas(["".join(ELEMENTS[e] for e in pair) for pair in pairs])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"most_elements": 5}, "most_elements must be from 1 to 4, not 5"),
        ({"most_atoms": 3}, "most_atoms must be from 4 to 20, not 3"),
        ({"elements": ["Fe", "Xx", "O", "N"]}, "'Xx' is none"),
        ({"elements": ["Fe", "Fe", "O", "N"]}, "4 or more different ones"),
        ({"per_block": 0}, "per_block must be from 1"),
        ({"oxidation_states": {"O": [-7]}}, "10 atoms in the state -7 of user's table"),
    ],
)
def test_what_cannot_be_enumerated_is_named(options, why):
    with pytest.raises(EnumerationError, match=why):
        Enumeration(**options)


def test_blocks_and_numbers_that_are_not_there_are_named(everything):
    with pytest.raises(EnumerationError, match="blocks are 0 to 425, there is no 426"):
        everything.block(426)
    with pytest.raises(EnumerationError, match="there is no -1"):
        everything.compositions([5, -1])
