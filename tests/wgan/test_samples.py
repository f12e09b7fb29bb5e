"""A list of formulas keeps its counts as long as they are its own."""

import copy
import pickle

import numpy as np
import pytest
from known_formulas import random_counts

from matgan.chemistry.composition import amounts_matrix, formulas, reduced
from matgan.chemistry.validity import electronegativity_balanced
from matgan.representation.features import OneHot
from matgan.wgan.samples import Formulas, Outcomes


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
    both = Outcomes(1, 2, 3, 4, 5) + Outcomes(kept=5)
    assert (both.drawn, both.accepted) == (20, 10 / 14)
    assert both.table["share"].sum() == pytest.approx(1)
