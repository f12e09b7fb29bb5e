"""The controls: what each keeps of the data and what it does not."""

import numpy as np
import pytest

from matgan.chemistry.composition import (
    CompositionError,
    amounts_matrix,
    keys,
    reduced,
    whole_counts,
)
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
from matgan.generated.controls import (
    CONTROLS,
    count_frequency,
    counts_given_element,
    element_frequency,
    independent_marginals,
    one_element_swapped,
    pairwise,
    stoichiometry_shuffled,
    uniform_elements,
)
from matgan.generated.measures import element_divergence, recovery, stoichiometry_divergence


@pytest.fixture(scope="module")
def data(oqmd):
    return whole_counts(amounts_matrix(oqmd["formula"].sample(100_000, random_state=0)))


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_draws_are_reduced_compositions(data, control):
    drawn = control(data[:5000], 3000, np.random.default_rng(0))
    assert drawn.shape == (3000, 85)
    assert drawn.dtype == np.uint8
    assert ((drawn > 0).sum(axis=1) >= 2).all()
    assert drawn.max() <= 8
    assert (reduced(drawn) == drawn).all()
    absent = element_frequency(data[:5000]) == 0
    if control is not uniform_elements:
        assert not drawn[:, absent].any()


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_draws_follow_the_random_generator_only(data, control):
    first, again, other = (
        control(data[:2000], 500, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert control(data[:2000], 0, np.random.default_rng(1)).shape == (0, 85)


def test_many_draws_are_made_in_parts(data, monkeypatch):
    monkeypatch.setattr("matgan.generated.controls._CHUNK", 100)
    for control in CONTROLS.values():
        drawn = control(data[:2000], 250, np.random.default_rng(1))
        assert len(np.unique(keys(drawn))) > 200  # no part twice


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (0.5, "row 1.*B has the amount 0.5"),
        (-1, "row 1.*B has the amount -1"),
        (9, "row 1.*B has the amount 9, but counts must be whole numbers from 0 to 8"),
        (np.nan, "row 1.*B has the amount nan"),
    ],
)
def test_bad_compositions_to_imitate_are_named(control, bad, message):
    train = np.ones((3, 85))
    train[1, 3] = bad
    with pytest.raises(CompositionError, match=message):
        control(train, 10, np.random.default_rng(0))


def test_nothing_to_imitate_is_an_error():
    for control in CONTROLS.values():
        with pytest.raises(CompositionError, match=r"no compositions to imitate.*\(0, 85\)"):
            control(np.zeros((0, 85)), 10, np.random.default_rng(0))


def test_independent_marginals_of_one_element_have_no_end():
    with pytest.raises(CompositionError, match="no two elements"):
        independent_marginals(["Fe", "Fe2"], 3, np.random.default_rng(0))


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_what_is_imitated_is_reduced_first(control):
    given, written = ["Na2Cl2", "K4O2", "MgO"], ["NaCl", "K2O", "MgO"]
    draws = (control(some, 20, np.random.default_rng(0)) for some in (given, written))
    np.testing.assert_array_equal(*draws)


def test_no_element_is_left_to_swap_in():
    with pytest.raises(CompositionError, match="no element to swap in"):
        one_element_swapped(["NaCl"], 5, np.random.default_rng(0))


def test_one_element_swapped_keeps_all_but_one():
    data = whole_counts(amounts_matrix(["BaTiO3", "Na5Cl7"]))
    drawn = one_element_swapped(data, 1000, np.random.default_rng(0))
    kept = ((drawn[:, None] == data) & (data > 0)).sum(axis=2)  # (1000, 2)
    assert {tuple(row) for row in kept} == {(2, 0), (0, 1)}
    patterns = {tuple(sorted(row[row > 0])) for row in drawn}
    assert patterns == {(1, 1, 3), (5, 7)}
    new = {
        tuple(np.flatnonzero(row & ~data[0])) for row, k in zip(drawn, kept, strict=True) if k[0]
    }
    assert len(new) == 2  # Na or Cl


def test_stoichiometries_are_kept(data):
    rng = np.random.default_rng(0)
    half = data[:50_000], data[50_000:]
    floor = stoichiometry_divergence(*half)
    for control in (stoichiometry_shuffled, uniform_elements, pairwise, one_element_swapped):
        drawn = control(half[0], 20_000, rng)
        assert stoichiometry_divergence(drawn, half[1]) < floor + 0.005
    drawn = independent_marginals(half[0], 20_000, rng)
    assert stoichiometry_divergence(drawn, half[1]) > 0.1


def test_elements_are_as_frequent_as_in_the_data(data):
    rng = np.random.default_rng(0)
    for control in (stoichiometry_shuffled, counts_given_element, pairwise):
        assert element_divergence(control(data, 20_000, rng), data) < 0.003
    frequency = element_frequency(uniform_elements(data, 20_000, rng))
    expected = frequency.mean()
    assert abs(frequency / expected - 1).max() < 0.2


@pytest.mark.parametrize("control", [independent_marginals, counts_given_element])
def test_counts_follow_the_element(control):
    # coprime counts, so that nothing is reduced
    data = whole_counts(amounts_matrix(["NaCl5"] * 300 + ["NaCl7"] * 100 + ["KCl7"] * 100))
    drawn = control(data, 5000, np.random.default_rng(0))
    of_chlorine = count_frequency(drawn)[ELEMENT_INDEX["Cl"]]
    assert of_chlorine[[4, 6]].sum() == of_chlorine.sum()
    assert of_chlorine[4] / of_chlorine.sum() == pytest.approx(0.6, abs=0.03)


def test_pairwise_learns_which_elements_go_together():
    # A goes with B only, C with D only
    data = whole_counts(amounts_matrix(["NaCl"] * 500 + ["MgO"] * 500))
    drawn = pairwise(data, 400, np.random.default_rng(0))
    known = np.isin(keys(drawn), keys(data)).mean()
    assert known > 0.95
    shuffled = stoichiometry_shuffled(data, 400, np.random.default_rng(0))
    assert np.isin(keys(shuffled), keys(data)).mean() < 0.6


def test_known_rates(oqmd):
    """What these controls reached in an earlier, independent computation."""
    data = whole_counts(amounts_matrix(oqmd["formula"]))
    rng = np.random.default_rng(0)
    shuffled, uniform = (c(data, 20_000, rng) for c in (stoichiometry_shuffled, uniform_elements))
    assert charge_neutral(shuffled).mean() == pytest.approx(0.566, abs=0.012)
    assert electronegativity_balanced(shuffled).mean() == pytest.approx(0.407, abs=0.012)
    assert charge_neutral(uniform).mean() == pytest.approx(0.556, abs=0.012)
    assert electronegativity_balanced(uniform).mean() == pytest.approx(0.404, abs=0.012)


@pytest.mark.parametrize(
    ("control", "shares"),
    [(one_element_swapped, [0.20, 0.62]), (counts_given_element, [0.14, 0.43])],
)
def test_known_recovery(data, control, shares):
    drawn = control(data[:50_000], 500_000, np.random.default_rng(0))
    found = recovery(drawn, data[50_000:], [100_000, 500_000])
    assert found == pytest.approx(shares, abs=0.012)
