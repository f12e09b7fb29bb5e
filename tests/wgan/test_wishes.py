"""Wishes: what they say of compositions, and which are refused before anything is drawn."""

import itertools
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from known_formulas import random_counts

from matgan.chemistry.composition import CompositionError, amounts_matrix, formulas, reduced
from matgan.chemistry.elements import ELEMENTS
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
from matgan.wgan.wishes import Property, Wanted, as_wanted, is_known, known_keys

SALTS = ["NaCl", "Na2O", "FeO", "Fe2O3", "LiFePO4", "Fe3Al", "KMgCl3", "Li2O"]
STATES = {"Na": [1], "Cl": [-1], "O": [-2], "Fe": [3]}


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ({"only": "Na O Fe Cl".split()}, ["NaCl", "Na2O", "FeO", "Fe2O3"]),
        ({"exclude": "O"}, ["NaCl", "Fe3Al", "KMgCl3"]),
        ({"exclude": ["O"], "contain": ["Cl"]}, ["NaCl", "KMgCl3"]),
        ({"contain": ["Fe", "O"]}, ["FeO", "Fe2O3", "LiFePO4"]),
        ({"n_elements": 3}, ["KMgCl3"]),
        ({"n_elements": (3, 4)}, ["LiFePO4", "KMgCl3"]),
        ({"n_elements": [2, 4], "contain": ["Li"]}, ["LiFePO4", "Li2O"]),
        ({"counts": {"O": (1, 3)}}, ["Na2O", "FeO", "Fe2O3", "Li2O"]),
        ({"counts": {"O": (0, 1)}}, ["NaCl", "Na2O", "FeO", "Fe3Al", "KMgCl3", "Li2O"]),
        ({"counts": {"O": 0, "Na": 1}}, ["NaCl"]),
        ({"counts": {"Fe": np.int64(3)}}, ["Fe3Al"]),
        ({"balanced": True, "oxidation_states": STATES}, ["NaCl", "Na2O", "Fe2O3"]),
        ({}, SALTS),
    ],
    ids=str,
)
def test_what_is_kept(wish, kept):
    wanted, counts = Wanted(**wish), amounts_matrix(SALTS).astype(np.uint8)
    assert [f for f, good in zip(SALTS, wanted.kept(counts), strict=True) if good] == kept


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"only": ["Na", "Xy"]}, "only: 'Xy' is no element"),
        ({"exclude": ["Nacl"]}, "exclude: 'Nacl' is no element"),
        ({"contain": ["Po"]}, "contain: 'Po' is not one of the 85"),
        ({"counts": {"Q": 1}}, "counts: 'Q' is no element"),
        ({"counts": ["Li"]}, r"counts must be as \{'Li': \(1, 3\), 'O': 4\}, not \['Li'\]"),
        ({"counts": {"Li": 1.5}}, "counts of Li must be a whole number or a pair"),
        ({"counts": {"Li": (3, 1)}}, "counts of Li from 3 to 1 is an empty range"),
        ({"counts": {"Li": -1}}, "counts of Li must be 0 or more, not -1"),
        ({"n_elements": 1}, "n_elements must be 2 or more, not 1"),
        ({"n_elements": 2.0}, r"n_elements must be a whole number or a pair \(low, high\)"),
        ({"n_elements": (2, 3, 4)}, "a pair"),
        ({"n_elements": True}, "a pair"),
        ({"n_elements": "3"}, "a pair"),
        ({"only": ["Na", "Cl"], "contain": ["O"]}, "O must be there, but is not allowed"),
        ({"exclude": ["O"], "contain": ["O"]}, "O must be there, but is not allowed"),
        ({"exclude": ["O"], "counts": {"O": 2}}, "O must be there, but is not allowed"),
        ({"counts": {"O": 0}, "contain": "O"}, "O must be there, but is not allowed"),
        ({"only": ["Na"]}, "only 1 elements are allowed, 2 are needed"),
        ({"only": ["Na", "Cl"], "n_elements": 3}, "only 2 elements are allowed, 3 are needed"),
        ({"contain": ["Li", "Fe", "O"], "n_elements": 2}, "Li, O, Fe are 3 elements"),
        ({"having": max, "n_elements": 2}, "not iterable|must be a matgan"),
        ({"having": [3]}, "having must be a matgan.wgan.wishes.Property, not 3"),
    ],
    ids=str,
)
def test_contradictions_are_refused(wish, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Wanted(**wish)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"only": ["Li", "Mg", "Ca"]}, "no allowed element has a negative state in 'smact14'"),
        ({"only": ["F", "Cl"], "oxidation_states": {"F": [-1], "Cl": [-1]}}, "positive state"),
        ({"contain": ["Li", "Ca"], "n_elements": 2}, "no allowed element has a negative state"),
        ({"contain": "Xe", "oxidation_states": {"Na": [1], "Cl": [-1]}}, "Xe has no oxidation"),
    ],
    ids=str,
)
def test_what_can_never_be_neutral_is_refused_and_brute_force_agrees(wish, message):
    with pytest.raises(ValueError, match="never neutral: .*" + message):
        Wanted(**wish, neutral=True)
    with pytest.raises(ValueError, match="never neutral"):
        Wanted(**wish, balanced=True)
    used = wish.get("only", wish.get("contain"))
    if len(used) > 1 and not isinstance(used, str):
        for n in range(2, len(used) + 1):
            for elements in itertools.combinations(used, n):
                grid = np.zeros((4**n, 85), dtype=np.uint8)
                places = [ELEMENTS.index(e) for e in elements]
                grid[:, places] = list(itertools.product(range(1, 5), repeat=n))
                states = wish.get("oxidation_states", "smact14")
                assert not charge_neutral(grid, states).any()


def test_what_may_be_neutral_is_not_refused():
    Wanted(only=["Na", "Cl"], neutral=True)
    Wanted(contain=["Li", "Ca"], neutral=True)
    zeros = {"Na": [0], "K": [0, 1]}
    Wanted(only=["Na", "K"], neutral=True, oxidation_states=zeros)
    with pytest.raises(ValueError, match="never balanced: Pm has no electronegativity"):
        Wanted(contain=["Pm", "O"], balanced=True)
    assert not electronegativity_balanced(["Pm2O3"])[0] and charge_neutral(["Pm2O3"])[0]


def test_a_fixed_set_of_elements_is_tried_in_full():
    for wish, possible in (
        ({"contain": ["Na", "O"], "counts": {"O": 3}}, False),  # Na at most +1, O at least -2
        ({"contain": ["Na", "O"], "counts": {"Na": 4}}, False),  # Na4O2 is Na2O
        ({"contain": ["Na", "O"], "counts": {"Na": 2}}, True),
    ):
        wanted = Wanted(**wish, n_elements=2, neutral=True)
        if possible:
            assert wanted.possible(5, 8) == 1  # Na2O
            assert Wanted(**wish, n_elements=2, neutral=True, new=["Na4O2"]).possible(5, 8) == 0
        else:
            with pytest.raises(ValueError, match="no composition of O, Na is as asked for"):
                wanted.possible(5, 8)
    free = Wanted(contain=["Na", "O"], counts={"Na": 4, "O": 3})  # others may join
    assert free.possible(5, 8) == np.inf
    ratios = {Fraction(a, b) for a in range(1, 9) for b in range(1, 9)}
    assert Wanted(only=["Na", "O"], contain=["Na", "O"]).possible(5, 8) == len(ratios)


def test_known_compositions_in_any_form():
    counts = reduced(random_counts(500, 1) % 9)
    counts = counts[counts.any(axis=1)]
    known = counts[::2]
    same = {row.tobytes() for row in known}
    expected = [row.tobytes() in same for row in counts]
    assert all(expected[::2]) and not all(expected)
    for form in (
        known,
        formulas(known),
        pd.Series(formulas(known)),
        pd.DataFrame({"formula": formulas(known), "target": 1.0, "split": "train"}),
        known / 7,  # amounts need not be whole
        known * 10.0,
        lambda: formulas(known),
        known_keys(known),
    ):
        np.testing.assert_array_equal(is_known(counts, known_keys(form)), expected)


def test_fractional_known_compositions_are_scaled():
    known = known_keys(["Li0.5CoO2", "Ba0.4K0.6Fe2As2", "La1.85Sr0.15CuO4", "Y0.333Ba0.667O"])
    asked = ["LiCo2O4", "Ba2K3Fe10As10", "LaSrCuO4", "YBa2O3"]
    counts = amounts_matrix(asked).astype(np.uint8)
    # three parts in a thousand are not a third
    assert is_known(counts, known).tolist() == [True, True, False, False]
    assert len(known_keys([])) == 0 and not is_known(counts, known_keys([])).any()
    with pytest.raises(CompositionError, match="Qq"):
        known_keys(["NaCl", "QqO"])


def test_properties():
    counts = amounts_matrix(["NaCl", "Na2O", "Fe2O3"]).astype(np.uint8)
    atoms = Property(lambda c: c.sum(axis=1), 3, 5)
    assert atoms.has(counts).tolist() == [False, True, True]
    nan = Property(lambda c: np.array([np.nan, 1.0, 2.0]))
    assert nan.has(counts).tolist() == [False, True, True]
    bounds = lambda c: (c.sum(axis=1), c.sum(axis=1) - 1, c.sum(axis=1) + 1)  # noqa: E731
    assert Property(bounds, 2, 5).has(counts).tolist() == [True, True, True]
    assert Property(bounds, 2, 5, "interval").has(counts).tolist() == [False, True, False]
    assert atoms.has(counts[:0]).shape == (0,)
    for make, message in (
        (lambda: Property(3), "is a function of counts"),
        (lambda: Property(max, 2, 1), "empty range"),
        (lambda: Property(max, rule="both"), "rule must be"),
        (lambda: Property(max, np.nan), "empty range"),
        (lambda: Property(lambda c: c).has(counts), r"3 values, .*, not \(3, 85\)"),
        (lambda: Property(lambda c: c.sum(axis=1), rule="interval").has(counts), "needs a prop"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_misspelt_wish_is_named_with_all_that_there_are():
    with pytest.raises(TypeError, match=r"no wish is called 'kontain'; they are only, exclude, "):
        as_wanted({"kontain": "O"})
    assert as_wanted({"contain": "O"}) == Wanted(contain="O")
