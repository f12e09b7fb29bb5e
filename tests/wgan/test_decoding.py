"""From soft and one-hot matrices to counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgan import ELEMENTS
from matgan.chemistry.composition import count_matrix
from matgan.wgan.decoding import RULES, decode

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
        ((np.zeros((2, 85)),), r"\(n, 85, 8\)"),
        ((np.zeros((2, 8, 85)),), r"\(n, 85, 8\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        decode(*arguments)
