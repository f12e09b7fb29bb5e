"""Formulas and amounts against pymatgen, hand calculations and invariants."""

import copy
import pickle
import re
from functools import reduce
from math import gcd

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from matgan import ELEMENTS
from matgan.chemistry.composition import (
    CompositionError,
    amounts,
    amounts_matrix,
    count_matrix,
    formula,
    formulas,
    reduced,
    whole_counts,
)
from matgan.data.compounds import SourceUnavailable
from matgan.data.sources import read_csv


def as_dict(row: np.ndarray) -> dict[str, float]:
    return {ELEMENTS[i]: float(row[i]) for i in np.flatnonzero(row)}


def as_row(**amounts_of: float) -> np.ndarray:
    row = np.zeros(85)
    for symbol, amount in amounts_of.items():
        row[ELEMENTS.index(symbol)] = amount
    return row


def pymatgen_row(text: str) -> np.ndarray:
    return as_row(**{e.symbol: n for e, n in Composition(text).items()})


def spaced(text: str) -> str:
    """The same formula with white space between its symbols and numbers: no fast path."""
    return " ".join(re.findall(r"[A-Z][a-z]?|[0-9.]+|\S", text))


@pytest.fixture(scope="module")
def supercon_names():
    try:
        return read_csv("supercon", None, {"name": "str"})["name"]
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


# --- parsing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KZn2Ru", {"K": 1, "Zn": 2, "Ru": 1}),  # Hu et al. 2020, Figure 1
        ("Li2O", {"Li": 2, "O": 1}),  # Table 2
        ("Na2O2", {"Na": 2, "O": 2}),
        ("TiO2", {"Ti": 1, "O": 2}),
        ("Ba0.4K0.6Fe2As2", {"Ba": 0.4, "K": 0.6, "Fe": 2, "As": 2}),
        ("Fe2(SO4)3", {"Fe": 2, "S": 3, "O": 12}),
        ("((Ca(OH)2)2Mg)3", {"Ca": 6, "O": 12, "H": 12, "Mg": 3}),
        ("K4[Fe(CN)6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}),
        ("{[(H)2]2}2", {"H": 8}),
        ("La.5Sr1.", {"La": 0.5, "Sr": 1}),
        ("CH3COOH", {"C": 2, "H": 4, "O": 2}),
        ("(Ba0.5Sr0.5)0.5", {"Ba": 0.25, "Sr": 0.25}),
        ("\t Fe 2 ( S O4 ) 3\n", {"Fe": 2, "S": 3, "O": 12}),
        ("Fe\u00a02\u2009O\u20093", {"Fe": 2, "O": 3}),  # no-break and thin spaces
        ("TiO₂", {"Ti": 1, "O": 2}),
        ("Fe₂(SO₄)₃", {"Fe": 2, "S": 3, "O": 12}),
        ("Ba₀.₄K₀.₆Fe₂As₂", {"Ba": 0.4, "K": 0.6, "Fe": 2, "As": 2}),
        ("H₁₂₃₄₅₆₇₈₉₀", {"H": 1234567890}),
        ("Co", {"Co": 1}),  # cobalt, and
        ("CO", {"C": 1, "O": 1}),  # carbon monoxide
        ("NaN", {"Na": 1, "N": 1}),  # a formula, not a gap
        (np.str_("MgO"), {"Mg": 1, "O": 1}),
    ],
)
def test_amounts_by_hand(text, expected):
    row = amounts(text)
    assert row.shape == (85,)
    assert row.dtype == np.float64
    assert as_dict(row) == pytest.approx(expected, rel=1e-15)


def test_oqmd_formulas_are_parsed_as_by_pymatgen(oqmd_raw):
    texts = oqmd_raw["formula"].sample(4000, random_state=1).tolist()
    texts = [text for text in texts if "Kr" not in text]
    np.testing.assert_array_equal(amounts_matrix(texts), [pymatgen_row(t) for t in texts])


def test_supercon_formulas_are_parsed_as_by_pymatgen(supercon_names):
    sample = supercon_names.sample(4000, random_state=1)
    rows, bad = amounts_matrix(sample, on_error="report")
    good = sample.drop(index=sample.index[bad["row"]])
    assert len(good) > 3900
    np.testing.assert_allclose(rows, [pymatgen_row(t) for t in good], rtol=1e-12)


def test_fast_and_slow_path_agree_on_the_data(oqmd_raw, supercon_names):
    texts = pd.concat([oqmd_raw["formula"].sample(30_000, random_state=2), supercon_names])
    fast, fast_bad = amounts_matrix(texts, on_error="report")
    slow, slow_bad = amounts_matrix((spaced(t) for t in texts), on_error="report")
    np.testing.assert_array_equal(fast, slow)
    assert len(fast) > 46_000
    assert fast_bad["row"].tolist() == slow_bad["row"].tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("FeOHTi12.0() \n₂Kr", max_size=8), max_size=4))
def test_many_at_once_give_the_result_or_the_error_of_each_alone(formulas):
    expected, first = [], None
    for row, text in enumerate(formulas):
        try:
            expected.append(amounts(text))
        except CompositionError as error:
            first = first or CompositionError(error.reason, text, row)
    if first is None:
        np.testing.assert_array_equal(amounts_matrix(formulas), np.reshape(expected, (-1, 85)))
    else:
        with pytest.raises(CompositionError) as raised:
            amounts_matrix(formulas)
        assert str(raised.value) == str(first)
        np.testing.assert_array_equal(
            amounts_matrix(formulas, on_error="drop"), np.reshape(expected, (-1, 85))
        )


NUMBERS = st.one_of(
    st.just(("", 1.0)),
    st.integers(1, 12).map(lambda n: (str(n), float(n))),
    st.integers(1, 9999).map(lambda n: (f"{n / 1000:g}", n / 1000)),
    st.sampled_from([(".25", 0.25), ("2.", 2.0), ("007", 7.0), ("1.50", 1.5)]),
)
TERMS = st.tuples(st.sampled_from(ELEMENTS), NUMBERS).map(
    lambda term: (term[0] + term[1][0], {term[0]: term[1][1]})
)


def join(parts):
    """(text, amounts) of parts that follow each other."""
    total: dict[str, float] = {}
    for _, contents in parts:
        for symbol, amount in contents.items():
            total[symbol] = total.get(symbol, 0.0) + amount
    return "".join(text for text, _ in parts), total


def bracket(inner_and_number):
    """(text, amounts) of a bracket with a factor."""
    (text, contents), (written, factor) = inner_and_number
    return f"({text}){written}", {s: amount * factor for s, amount in contents.items()}


# formulas with their amounts worked out beside them: brackets in brackets, repeated elements
FORMULAS = st.lists(
    st.recursive(
        TERMS,
        lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=4).map(join), NUMBERS).map(
            bracket
        ),
        max_leaves=12,
    ),
    min_size=1,
    max_size=6,
).map(join)
PLAIN_FORMULAS = st.lists(TERMS, min_size=1, max_size=12).map(join)


@given(FORMULAS)
def test_generated_formulas_by_recursion_and_by_pymatgen(text_and_amounts):
    text, expected = text_and_amounts
    row = amounts(text)
    assert as_dict(row) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(row, pymatgen_row(text), rtol=1e-9, atol=1e-7)  # its tolerance


@given(PLAIN_FORMULAS)
def test_fast_and_slow_path_agree_on_plain_formulas(text_and_amounts):
    text, expected = text_and_amounts
    assert as_dict(amounts(text)) == pytest.approx(expected, rel=1e-12)
    for other in (spaced(text), f" {text}", f"({text})"):
        np.testing.assert_array_equal(amounts(text), amounts(other))


@given(FORMULAS)
def test_spelling_does_not_matter(text_and_amounts):
    text, _ = text_and_amounts
    subscripts = text.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
    for other in (spaced(text), subscripts, text.replace("(", "[").replace(")", "]")):
        np.testing.assert_array_equal(amounts(text), amounts(other))


# --- errors ---------------------------------------------------------------------------------------

BAD = [
    ("Xx2O", "unknown element symbol 'Xx'"),
    ("( D2 )O", "unknown element symbol 'D'"),
    ("KrF2", "Kr is not one of the 85 elements of this study"),
    ("(Po)2", "Po is not one of the 85 elements of this study"),
    ("", "the formula is empty"),
    (" \t\n", "the formula is empty"),
    ("nan", "unexpected 'n' at character 1"),
    (float("nan"), "a formula must be a string, not NaN (a missing value)"),
    (None, "a formula must be a string, not NoneType"),
    (2.5, "a formula must be a string, not float"),
    (7, "a formula must be a string, not int"),
    (b"H2O", "a formula must be a string, not bytes"),
    (["H2O"], "a formula must be a string, not list"),
    (pd.NA, "a formula must be a string, not NAType"),
    ("H0O", "H has the amount 0"),
    ("(HO)0", "H has the amount 0"),
    ("H0HO", "H has the amount 0"),
    ("La2 Sr0 Cu O4", "Sr has the amount 0"),
    ("Na-1Cl", "unexpected '-' at character 3"),
    ("Na1e5", "unexpected 'e' at character 4"),
    ("H" + "9" * 400, "H has the amount inf"),
    ("H1000000000000000", "H has the amount 1e+15"),
    ("(" * 40 + "H" + ")0.000000001" * 40, "H has the amount 0"),
    ("(H2O", "an opening bracket without a closing one"),
    ("H2O)", "a closing bracket without an opening one"),
    ("H2()O", "a pair of brackets is empty"),
    ("2H", "the number 2 follows no element"),
    ("(2H)", "the number 2 follows no element"),
    ("Fe2 3", "the number 3 follows no element"),  # not Fe23
    ("H1.5.5", "the number .5 follows no element"),
    ("C o", "unexpected 'o' at character 3"),  # not cobalt
    ("fe2O3", "unexpected 'f' at character 1"),
    ("Y2C2Br0.5!1.5", "unexpected '!' at character 10"),  # as in SuperCon
    ("Eu1.45O10=z", "unexpected '=' at character 10"),
    ("CuSO4·5H2O", "unexpected '·' at character 6"),
    ("H٣", "unexpected '٣' at character 2"),  # a digit, but not one that chemists write
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_errors_name_formula_row_and_reason(bad, reason):
    with pytest.raises(CompositionError) as caught:
        amounts(bad)
    assert reason in str(caught.value)
    assert caught.value.row is None
    assert caught.value.formula is bad
    with pytest.raises(CompositionError) as caught:
        amounts_matrix(["H2O", "MgO", bad, "also bad"])
    named = "" if bad is None else f", formula {repr(bad)[:70]}"
    assert str(caught.value).startswith(f"row 2{named}")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200
    assert caught.value.row == 2
    assert caught.value.formula is bad


def test_drop_and_report_keep_the_good_rows_in_order():
    texts = [text for bad, _ in BAD for text in (bad, "TiO2", "Mg O")]
    dropped = amounts_matrix(texts, on_error="drop")
    kept, report = amounts_matrix(texts, on_error="report")
    expected = np.tile([as_row(Ti=1, O=2), as_row(Mg=1, O=1)], (len(BAD), 1))
    np.testing.assert_array_equal(dropped, expected)
    np.testing.assert_array_equal(kept, expected)
    assert list(report.columns) == ["row", "formula", "reason"]
    assert report["row"].tolist() == list(range(0, 3 * len(BAD), 3))
    for (bad, reason), line in zip(BAD, report.itertuples(), strict=True):
        assert line.formula is bad or line.formula == bad or line.formula != line.formula  # NaN
        assert reason in line.reason


def test_a_list_without_a_bad_formula_reports_none():
    rows, report = amounts_matrix(("H2O",), on_error="report")
    np.testing.assert_array_equal(rows, [as_row(H=2, O=1)])
    assert len(report) == 0
    assert list(report.columns) == ["row", "formula", "reason"]


def test_any_iterable_of_formulas_will_do():
    expected = [as_row(H=2, O=1), as_row(Mg=1, O=1)]
    texts = ["H2O", "MgO"]
    for given_as in (texts, tuple(texts), iter(texts), np.array(texts), pd.Series(texts, [7, 3])):
        np.testing.assert_array_equal(amounts_matrix(given_as), expected)
    assert amounts_matrix([]).shape == (0, 85)


def test_wrong_use_of_amounts_matrix():
    with pytest.raises(ValueError, match="not 'ignore'"):
        amounts_matrix(["H2O"], on_error="ignore")
    with pytest.raises(ValueError, match="single string 'H2O'"):
        amounts_matrix("H2O")


def test_composition_error_survives_pickle_and_copy():
    error = CompositionError("no such thing", "Xx", 3)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(again, ValueError)
        assert str(again) == "row 3, formula 'Xx': no such thing"
        assert (again.reason, again.formula, again.row) == ("no such thing", "Xx", 3)


FORMULA_LIKE = st.text("HOFeXx()[]{}0123456789.₂- \t·\u0300é", max_size=40)


@given(st.text() | FORMULA_LIKE)
@example("H\u0300\u0323" * 3)
@example("\x00")
@example("\ud800")
@example("(H)" * 3 + "(")
def test_no_text_does_more_harm_than_a_composition_error(text):
    try:
        row = amounts(text)
    except CompositionError as error:
        assert error.reason in str(error)
        with pytest.raises(CompositionError):
            amounts(f" {text} ")
        return
    assert np.isfinite(row).all()
    assert (row >= 0).all()
    assert row.any()
    np.testing.assert_array_equal(row, amounts(f" {text} "))


@given(st.lists(st.none() | st.floats() | st.integers() | st.binary() | st.text() | st.booleans()))
def test_a_list_of_anything_is_sorted_into_good_and_bad(things):
    rows, report = amounts_matrix(things, on_error="report")
    assert len(rows) + len(report) == len(things)
    unreadable = [i for i, thing in enumerate(things) if not isinstance(thing, str)]
    assert set(unreadable) <= set(report["row"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(" * 200_000 + "H" + ")" * 200_000, {"H": 1}),
        ("(" * 100_000 + "H" * 100_000 + ")" * 100_000, {"H": 100_000}),
        ("(H" * 100_000 + ")" * 100_000, {"H": 100_000}),
        ("HO2" * 200_000, {"H": 200_000, "O": 400_000}),
        ("H" + " " * 1_000_000 + "O", {"H": 1, "O": 1}),
        ("H1." + "0" * 1_000_000, {"H": 1}),
        ("H1O" * 100_000 + "!", None),
        ("H" + "\u0300\u0323" * 200_000, None),  # Unicode normalisation sorts such runs slowly
        ("H" + "." * 1_000_000, None),
        ("(" * 1_000_000, None),
        ("()" * 500_000, None),
        ("9" * 1_000_000, None),
    ],
    ids=lambda value: str(value)[:8],
)
def test_long_and_deep_formulas_cost_no_more_than_their_length(text, expected):
    # quadratic parsing would take from minutes to hours here
    if expected is None:
        with pytest.raises(CompositionError) as caught:
            amounts(text)
        assert len(str(caught.value)) < 250
    else:
        assert as_dict(amounts(text)) == expected


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
        ("H2O", r"not \(\)"),
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
        (np.zeros((2, 84)), r"shape \(n, 85\) or \(85,\), not \(2, 84\)"),
        (np.zeros((2, 2, 85)), r"not \(2, 2, 85\)"),
        (3, r"not \(\)"),
        ([as_row(H=1), as_row(H=2, O=np.nan)], "^row 1: O has the amount nan"),
        ([as_row(H=1), as_row(H=2, O=-1)], "^row 1: O has the amount -1"),
        ([as_row(H=1), as_row(H=0.5)], "^row 1, formula 'H0.5': H has the amount 0.5"),
        ([as_row(H=1), as_row(H=9, O=2)], "^row 1, formula 'H9O2': H has the amount 9"),
        ([as_row(H=1), as_row(H=1e20)], r"^row 1: H has the amount 1e\+20"),
        ([as_row(O=np.inf)], "^row 0: O has the amount inf"),
        (as_row(H=9, O=2), "^formula 'H9O2': H has the amount 9"),
        (as_row(H=9, O=2).astype(int), "^formula 'H9O2': H has the amount 9"),
        (np.array([["1"] * 85]), "amounts must be numbers, not <U1"),
        (["H2O", "MgO"], r"not \(2,\)"),
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
