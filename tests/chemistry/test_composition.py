"""Amounts, counts and formulas against pymatgen, hand calculations and invariants."""

import re
from fractions import Fraction
from functools import reduce
from math import gcd

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_formulas import FORMULAS, as_row
from pymatgen.core import Composition, Element

from matgan import ELEMENTS
from matgan.chemistry.composition import (
    CompositionError,
    among,
    amounts,
    amounts_matrix,
    count_matrix,
    formula,
    formulas,
    fractions,
    keys,
    reduced,
    reduced_counts,
    whole_counts,
)

# --- formulas -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_as", "written"),
    [
        ("RuZn2K", "KZn2Ru"),
        ("OLi2", "Li2O"),
        ("O2Ti", "TiO2"),
        ("Na2O2", "NaO"),  # reduced like any other: pymatgen makes an exception for peroxides
        ("O2", "O"),  # and for gases of two atoms
        ("Ti4O8", "TiO2"),
        ("Fe2(SO4)3", "Fe2S3O12"),
        ("Ba0.4K0.6Fe2As2", "K0.6Ba0.4Fe2As2"),
        ("Mg0.00001O", "Mg0.00001O"),  # never 1e-05
        ("H1000000", "H"),
        ("H1000000O3", "H1000000O3"),
        ("S1I1O2", "S1I1O2.0"),  # SIO2 would be taken for SiO2
        ("LiMn204.0", "Li1Mn204.0"),
        ("I1N1F1", "I1N1F1"),
        ("Li1.5H2O1", "Li1.5H2.0O1"),  # Li1.5H2O would be taken for Li·5H2O
        ("NdU0.5H2O", "Nd1U0.5H2.0O1"),
    ],
)
def test_formula_by_hand(given_as, written):
    assert formula(amounts(given_as)) == written


COUNTS = st.dictionaries(st.sampled_from(ELEMENTS), st.integers(1, 60), min_size=1, max_size=8).map(
    lambda contents: as_row(**contents)
)
FRACTIONS = st.dictionaries(
    st.sampled_from(ELEMENTS),
    st.floats(1e-9, 1e6).filter(lambda x: x != int(x)),
    min_size=1,
    max_size=8,
).map(lambda contents: as_row(**contents))


@given(COUNTS)
def test_round_trip_of_whole_amounts(row):
    divisor = reduce(gcd, [int(n) for n in row])
    written = formula(row)
    np.testing.assert_array_equal(amounts(written), row / divisor)
    assert formulas(row[None]) == [written]
    assert formula(amounts(written)) == written
    assert formula(row.astype(int)) == written
    assert formula(7 * row) == written


@given(FRACTIONS)
def test_round_trip_of_fractional_amounts(row):
    np.testing.assert_array_equal(amounts(formula(row)), row)


@given(FORMULAS)
def test_round_trip_of_formulas(text_and_amounts):
    row = amounts(text_and_amounts[0])
    again = amounts(formula(row))
    factor = row.sum() / again.sum()
    np.testing.assert_allclose(again * factor, row, rtol=1e-12)
    assert formula(again) == formula(row)


# pymatgen does not reduce these: peroxides and gases of two atoms
DOUBLED = {"LiO", "NaO", "KO", "RbO", "CsO", "HO", "O", "N", "F", "Cl", "H"}


def test_formulas_are_reduced_as_by_pymatgen(oqmd_raw):
    sample = oqmd_raw["formula"].sample(3000, random_state=3)
    singles = ["O2", "N2", "H4", "F2", "Cl2", "Si4", "S8"]
    oxides = [f"{metal}2O2" for metal in ("Li", "Na", "K", "Rb", "Cs", "H", "Ag", "Ca")]
    texts = [t for t in sample if "Kr" not in t] + singles + oxides
    doubled = set()
    for text, written in zip(texts, formulas(amounts_matrix(texts)), strict=True):
        theirs, _ = Composition(text).get_reduced_composition_and_factor()
        ours = Composition(written)
        if ours != theirs:
            assert ours * 2 == theirs, text
            doubled.add(written)
        symbols = re.findall("[A-Z][a-z]?", written)
        assert symbols == sorted(symbols, key=lambda s: (Element(s).X, s))
    assert doubled <= DOUBLED
    assert {"NaO", "O", "HO", "KO", "LiO"} <= doubled


def test_formulas_is_formula_row_by_row(oqmd_raw, supercon):
    texts = [
        *oqmd_raw["formula"].sample(1000, random_state=4),
        *supercon["formula"].sample(1000, random_state=4),
    ]
    rows = amounts_matrix(texts, on_error="drop")
    assert formulas(rows) == [formula(row) for row in rows]
    counts = rows[(rows == np.rint(rows)).all(1)].astype(np.uint8)
    assert formulas(counts) == [formula(row) for row in counts.astype(float)]
    assert formulas(np.zeros((0, 85))) == []


@given(st.lists(COUNTS, min_size=1, max_size=5))
def test_reduced_divides_by_the_greatest_common_divisor(rows):
    rows = np.array(rows)
    divisors = [reduce(gcd, [int(n) for n in row]) for row in rows]
    expected = rows / np.array(divisors)[:, None]
    np.testing.assert_array_equal(reduced(rows), expected)
    whole = reduced(rows.astype(np.int16))
    assert whole.dtype == np.int16
    np.testing.assert_array_equal(whole, expected)
    rows[0, 3] += 0.5
    np.testing.assert_array_equal(reduced(rows), [rows[0], *expected[1:]])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (as_row(), "the composition is empty"),
        (as_row(H=-1), "H has the amount -1"),
        (as_row(H=1, O=np.nan), "O has the amount nan"),
        (as_row(Fe=np.inf), "Fe has the amount inf"),
        (as_row(Fe=1e300), r"Fe has the amount 1e\+300"),
        (np.zeros(84), r"shape \(85,\), not \(84,\)"),
        (np.zeros((1, 85)), r"shape \(85,\), not \(1, 85\)"),
        (np.array(["H"] * 85), "amounts must be numbers, not <U1"),
        (np.array([True] * 85), "amounts must be numbers, not bool"),
        (np.array([None] * 85), "amounts must be numbers, not object"),
        (np.array([1j] * 85), "amounts must be numbers, not complex128"),
        ("H2Q", "unknown element symbol 'Q'"),
        (None, "must be a string, not NoneType"),
    ],
)
def test_formula_refuses_what_is_no_composition(row, reason):
    with pytest.raises(CompositionError, match=reason):
        formula(row)


def test_formulas_names_the_row():
    with pytest.raises(CompositionError, match="row 2: the composition is empty"):
        formulas([as_row(H=1), as_row(H=2), as_row()])
    with pytest.raises(CompositionError, match="row 1: Mg has the amount -3"):
        formulas([as_row(H=1), as_row(Mg=-3)])
    with pytest.raises(CompositionError, match=r"\(n, 85\), not \(85,\)"):
        formulas(as_row(H=1))


# --- counts ---------------------------------------------------------------------------------------


def test_count_matrix_of_figure_1():
    matrix = count_matrix(amounts("KZn2Ru"))
    assert matrix.shape == (85, 8)
    assert matrix.dtype == np.uint8
    ones = {(ELEMENTS[e], k + 1) for e, k in np.argwhere(matrix)}
    assert ones == {("K", 1), ("Zn", 2), ("Ru", 1)}
    assert matrix.sum() == 3


@given(
    st.lists(
        st.dictionaries(st.sampled_from(ELEMENTS), st.integers(1, 8)).map(
            lambda contents: as_row(**contents)
        ),
        max_size=5,
    )
)
def test_count_matrix_gives_the_amounts_back(rows):
    rows = np.array(rows).reshape(-1, 85)
    matrix = count_matrix(rows)
    assert matrix.shape == (len(rows), 85, 8)
    assert set(np.unique(matrix)) <= {0, 1}
    np.testing.assert_array_equal(matrix @ np.arange(1, 9), rows)
    assert (matrix.sum(-1) <= 1).all()
    for dtype in (np.int64, np.uint8, np.float32):
        np.testing.assert_array_equal(count_matrix(rows.astype(dtype)), matrix)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 84)), r"shape \(n, 85\), not \(2, 84\)"),
        (np.zeros((2, 2, 85)), r"not \(2, 2, 85\)"),
        (np.zeros(84), r"not \(84,\)"),
        (3, "not int"),
        ([as_row(H=1), as_row(H=2, O=np.nan)], "^row 1: O has the amount nan"),
        ([as_row(H=1), as_row(H=2, O=-1)], "^row 1: O has the amount -1"),
        ([as_row(H=1), as_row(H=0.5)], "^row 1, formula 'H0.5': H has the amount 0.5"),
        ([as_row(H=1), as_row(H=9, O=2)], "^row 1, formula 'H9O2': H has the amount 9"),
        ([as_row(H=1), as_row(H=1e20)], r"^row 1: H has the amount 1e\+20"),
        ([as_row(O=np.inf)], "^row 0: O has the amount inf"),
        (as_row(H=9, O=2), "^formula 'H9O2': H has the amount 9"),
        (as_row(H=9, O=2).astype(int), "^formula 'H9O2': H has the amount 9"),
        (np.array([["1"] * 85]), "amounts must be numbers, not <U1"),
        (["H2O", "MgO0.5"], "^row 1, formula 'MgO0.5': O has the amount 0.5"),
        (pd.Series(["H2O", "H9O"], ["a", "b"]), r"^row 1 \(index 'b'\), formula 'H9O': H has"),
        ([as_row(H=1), as_row(H=16, O=16)], "^row 1, formula 'H16O16': H has the amount 16"),
        (np.array([[None] * 85]), "amounts must be numbers, not object"),
    ],
)
@pytest.mark.parametrize("function", [count_matrix, whole_counts])
def test_counts_refuse_what_is_no_count(function, rows, message):
    with pytest.raises(CompositionError, match=message):
        function(rows)


def test_the_largest_count_is_a_parameter():
    row = as_row(Ba=2, O=255)
    counts = whole_counts(row, max_count=255)
    assert counts.dtype == np.uint8
    np.testing.assert_array_equal(counts, row)
    with pytest.raises(CompositionError, match=r"O has the amount 255, .* from 0 to 254"):
        whole_counts(row, max_count=254)


@pytest.mark.parametrize("factor", [10, 100, 1000])
def test_what_rounding_alone_keeps_from_being_whole_counts_as_whole(factor):
    texts = [f"(Fe{n / factor}){factor}O2" for n in range(1, 256)]
    expected = [as_row(Fe=n, O=2) for n in range(1, 256)]
    np.testing.assert_array_equal(whole_counts(texts, 255), expected)
    if factor == 100:
        assert (amounts_matrix(texts) != expected).any()  # such as 7.000000000000001


@pytest.mark.parametrize("row", [as_row(H=1e-12, O=1), as_row(H=1 + 1e-6), as_row(H=0.999, O=1)])
def test_a_trace_is_no_rounding(row):
    with pytest.raises(CompositionError, match="whole numbers"):
        whole_counts(row)


def test_counts_are_not_copied():
    counts = np.eye(85, dtype=np.uint8)
    assert np.shares_memory(whole_counts(counts, 255), counts)
    assert (counts == np.eye(85)).all()


def test_reduced_counts_are_limited_after_the_division():
    texts = ["C60H300O2", "Fe6O8", "(Fe0.07)100O7", "O2"]
    expected = [as_row(C=30, H=150, O=1), as_row(Fe=3, O=4), as_row(Fe=1, O=1), as_row(O=1)]
    np.testing.assert_array_equal(reduced_counts(texts), expected)
    np.testing.assert_array_equal(reduced_counts(amounts("C60H300O2")), expected[0])
    np.testing.assert_array_equal(
        reduced_counts(np.array([as_row(H=512, O=256)], int)), [as_row(H=2, O=1)]
    )
    with pytest.raises(CompositionError, match=r"formula 'C4H902\.': H has the amount 902"):
        reduced_counts(["C4H902."])
    with pytest.raises(
        CompositionError, match=r"^row 1, formula 'CO256\.5': O has the amount 256\.5"
    ):
        reduced_counts([as_row(H=1), as_row(C=1, O=256.5)])


# --- fractions and keys ---------------------------------------------------------------------------


def test_fractions_are_pymatgens(supercon):
    texts = supercon["formula"].sample(500, random_state=5)
    expected = [[Composition(t).get_atomic_fraction(s) for s in ELEMENTS] for t in texts]
    np.testing.assert_allclose(fractions(texts), expected, rtol=1e-7, atol=1e-9)  # its tolerance
    counts = np.array([as_row(H=2, O=1)], np.uint8)
    np.testing.assert_array_equal(fractions(counts), [as_row(H=2 / 3, O=1 / 3)])
    assert np.isnan(fractions(["H2O", "Xx"], on_error="nan")[1]).all()


def test_among_counts_or_keys_by_hand():
    drawn, known = ["NaCl", "KCl", "Na2Cl2", "MgO"], ["MgO", "CaO", "NaCl"]
    assert among(drawn, known).tolist() == [True, False, True, True]
    key = keys(known)
    assert keys(key) is key
    assert among(keys(drawn), key).tolist() == [True, False, True, True]
    assert among(whole_counts(drawn), amounts_matrix(known)).tolist() == [True, False, True, True]
    assert among([], known).tolist() == []
    assert not among(drawn, []).any()


ratios = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)))


@given(ratios, ratios)
def test_among_is_membership_of_the_ratio(some, others):
    def written(pairs):
        out = np.zeros((len(pairs), 85), dtype=np.uint8)
        out[:, :2] = np.array(pairs).reshape(-1, 2)
        return out

    known = {Fraction(*pair) for pair in others}
    expected = [Fraction(*pair) in known for pair in some]
    assert among(written(some), written(others)).tolist() == expected


def test_numbers_of_single_precision_are_written_as_such():
    row = as_row(Ba=0.4, K=0.6, Fe=2, As=2)
    assert formulas(row[None].astype(np.float32)) == ["K0.6Ba0.4Fe2As2"]
    assert formula(row.astype(np.float32)) == "K0.6Ba0.4Fe2As2"
    assert formulas(as_row(Na=4, Cl=4)[None].astype(np.float32)) == ["NaCl"]


def test_formulas_of_texts_that_are_none():
    assert formulas(["Na2Cl2", "Xx", "O2"], on_error="nan") == ["NaCl", None, "O"]
    assert formulas(["Na2Cl2", "Xx", "O2"], on_error="drop") == ["NaCl", "O"]
    assert formula("Na2Cl2") == formula(Composition("Na2Cl2")) == "NaCl"


@given(st.lists(st.sampled_from([0.5, 1, 1.5, 2, 2.25, 3]), min_size=3, max_size=3))
def test_a_formula_that_ends_like_water_comes_back(numbers):
    row = as_row(Li=numbers[0], Cu=numbers[1], H=2, O=1, Zr=numbers[2])
    np.testing.assert_array_equal(amounts(formula(row)), row)
    assert formulas(row[None]) == [formula(row)]
