"""From soft and one-hot matrices to counts; a list of formulas keeps its counts."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_formulas import random_counts

from matgan import ELEMENTS
from matgan.chemistry.composition import (
    amounts_matrix,
    count_matrix,
    formulas,
    reduced,
    whole_counts,
)
from matgan.chemistry.validity import electronegativity_balanced
from matgan.representation.features import OneHot
from matgan.wgan.samples import RULES, Formulas, Outcomes, decode, sifted
from matgan.wgan.wishes import as_wanted


def sample(n, seed):
    counts = reduced(random_counts(n, seed))
    return Formulas(formulas(counts), counts, Outcomes(kept=n, empty=seed))


FIRST, SECOND = sample(300, 1), sample(200, 2)


@pytest.mark.parametrize(
    "some",
    [FIRST, FIRST[10:20], FIRST[::-3], FIRST[:0], FIRST + SECOND, FIRST[:5] + SECOND],
    ids=len,
)
def test_slices_and_sums_keep_them(some):
    for again in (some, pickle.loads(pickle.dumps(some)), copy.copy(some), copy.deepcopy(some)):
        assert isinstance(again, Formulas)
        assert again.counts.shape == (len(again), 85) and again.counts.dtype == np.uint8
        assert formulas(again.counts) == list(again)


def test_outcomes_of_sums_and_slices():
    assert (FIRST + SECOND).outcomes == Outcomes(kept=500, empty=3)
    assert FIRST[:5].outcomes == Outcomes()  # of these five, nothing is known
    assert FIRST[0] == formulas(FIRST.counts[:1])[0] and isinstance(FIRST[0], str)
    assert not isinstance(FIRST.__add__(["NaCl"]), Formulas)


@pytest.mark.parametrize(
    "change",
    [
        lambda some: some.append("NaCl"),
        lambda some: some.extend(["NaCl"]),
        lambda some: some.__iadd__(["NaCl"]),
        lambda some: some.insert(0, "NaCl"),
        lambda some: some.sort(),
        lambda some: some.reverse(),
        lambda some: some.pop(3),
        lambda some: some.clear(),
        lambda some: some.__setitem__(0, "NaCl2"),
        lambda some: some.__delitem__(slice(2)),
    ],
)
def test_a_changed_list_has_none(change):
    changed = FIRST[:]
    change(changed)
    assert changed.counts is None
    assert changed[:3].counts is None and (changed + FIRST).counts is None
    np.testing.assert_array_equal(amounts_matrix(changed), amounts_matrix(list(changed)))


def test_counts_are_read_only_and_belong_to_the_formulas():
    with pytest.raises(ValueError, match="read-only"):
        FIRST.counts[0, 0] = 1
    with pytest.raises(ValueError, match="1 rows of counts for 2 formulas"):
        Formulas(["NaCl", "KCl"], FIRST.counts[:1])
    assert Formulas(["NaCl"]).counts is None


def test_whoever_is_given_them_does_not_read_the_text_again(monkeypatch):
    expected = electronegativity_balanced(list(FIRST))
    monkeypatch.setattr("matgan.chemistry.inputs.parse_all", None)
    np.testing.assert_array_equal(electronegativity_balanced(FIRST), expected)
    np.testing.assert_array_equal(OneHot().fit_transform(FIRST), FIRST.counts)


def test_outcomes_add_up():
    both = Outcomes(1, 2, 3, 4, 0, 0, 0, 5, 5.0) + Outcomes(
        known=1, repeated=2, kept=2, of_kind=5.0
    )
    assert (both.drawn, both.accepted) == (20, 10 / 14)
    assert both.table["share"].sum() == pytest.approx(1)


# --- decoding -------------------------------------------------------------------------------------

HYDROGEN, OXYGEN, IRON = (ELEMENTS.index(symbol) for symbol in ("H", "O", "Fe"))


def soft(**entries):
    """One matrix, 0.1 everywhere but for e.g. Fe=[(2, 0.9)]: the entry of count 2 is 0.9."""
    matrix = np.full((1, 85, 8), 0.1)
    for symbol, pairs in entries.items():
        for count, value in pairs:
            matrix[0, ELEMENTS.index(symbol), count - 1] = value
    return matrix


@pytest.mark.parametrize("rule", RULES)
def test_a_clear_output_means_the_same_under_every_rule(rule):
    counts, undecodable = decode(soft(Fe=[(2, 0.9)], O=[(3, 0.7)]), rule)
    assert counts.dtype == np.uint8
    assert not undecodable.any()
    assert counts[0, IRON] == 2
    assert counts[0, OXYGEN] == 3
    assert counts.sum() == 5


def test_two_counts_set_for_one_element():
    matrix = soft(Fe=[(2, 0.6), (5, 0.9)], O=[(1, 0.8)])
    counts, undecodable = decode(matrix, "threshold")
    assert undecodable.tolist() == [True]
    assert counts.sum() == 0
    counts, undecodable = decode(matrix, "argmax")
    assert not undecodable.any()
    assert (counts[0, IRON], counts[0, OXYGEN]) == (5, 1)
    # the authors' code writes "Fe2Fe5O1", which a parser reads as Fe7O
    counts, undecodable = decode(matrix, "sum")
    assert not undecodable.any()
    assert (counts[0, IRON], counts[0, OXYGEN]) == (7, 1)


def test_the_threshold_is_reached_not_passed():
    matrix = soft(Fe=[(1, 0.5)], O=[(1, 0.49)])
    for rule in RULES:
        counts, _ = decode(matrix, rule)
        assert (counts[0, IRON], counts[0, OXYGEN]) == (1, 0)
        assert decode(np.ones((1, 85, 8)), rule, threshold=1.0)[1].any() == (rule == "threshold")
        counts, _ = decode(matrix, rule, threshold=0.45)
        assert (counts[0, IRON], counts[0, OXYGEN]) == (1, 1)


def test_equal_entries_take_the_smaller_count():
    counts, _ = decode(soft(H=[(3, 0.8), (6, 0.8)]), "argmax")
    assert counts[0, HYDROGEN] == 3


def test_all_entries_set_fit_the_type():
    counts, _ = decode(np.ones((1, 85, 8)), "sum")
    assert (counts == 36).all()


@pytest.mark.parametrize("rule", RULES)
def test_not_a_number(rule):
    matrix = np.concatenate([soft(Fe=[(2, np.nan)], O=[(1, 1.0)]), soft(O=[(1, 1.0)])])
    counts, undecodable = decode(matrix, rule)
    assert undecodable.tolist() == [True, False]
    assert counts.sum(axis=1).tolist() == [0, 1]


@given(st.lists(st.lists(st.integers(0, 8), min_size=85, max_size=85), min_size=1, max_size=3))
def test_the_inverse_of_the_count_matrix(rows):
    counts = np.array(rows)
    for rule in RULES:
        back, undecodable = decode(count_matrix(counts), rule)
        assert (back == counts).all()
        assert not undecodable.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 85, 8)), "median"), "threshold, argmax, sum, not 'median'"),
        ((np.zeros((2, 85, 8)), "argmax", 0.0), "threshold must lie above 0"),
        ((np.zeros((2, 85, 8)), "argmax", 1.01), "not above 1, not 1.01"),
        ((np.zeros((2, 85)),), r"\(n, 85, 8\)"),
        ((np.zeros((2, 8, 85)),), r"\(n, 85, 8\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        decode(*arguments)


def test_what_is_known_or_repeated_is_sifted_out_and_counted():
    counts = whole_counts(amounts_matrix(["NaCl", "NaCl", "KCl", "TiO2"]))
    seen = set()
    wanted = as_wanted({"unique": True, "new": ["KCl"]})
    kept, became = sifted(counts, Outcomes(unwanted=3, known=1), wanted, seen)
    assert formulas(kept) == ["NaCl", "TiO2"]
    assert (became.known, became.repeated, became.kept, became.unwanted) == (2, 1, 2, 3)
    kept, became = sifted(counts[:1], Outcomes(), wanted, seen)  # of an earlier batch
    assert len(kept) == 0 and became.repeated == 1
    kept, became = sifted(counts, Outcomes(), as_wanted({}), set())
    assert len(kept) == became.kept == 4 and became.known == became.repeated == 0
