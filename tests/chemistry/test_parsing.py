"""Parsing of formulas against pymatgen, hand calculations and invariants."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from known_formulas import FORMULAS, PLAIN_FORMULAS, as_dict, as_row, pymatgen_row, spaced
from pymatgen.core import Composition

from matgan import ELEMENTS
from matgan.chemistry.composition import CompositionError, amounts, amounts_matrix
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.chemistry.parsing import is_composition, parse, parse_all
from matgan.data.compounds import SourceUnavailable
from matgan.data.sources import read_csv


@pytest.fixture(scope="module")
def supercon_names():
    try:
        return read_csv("supercon", None, {"name": "str"})["name"]
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


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
    rows, bad = amounts_matrix(sample, on_error="drop", report=True)
    good = sample.drop(index=sample.index[bad["row"]])
    assert len(good) > 3900
    np.testing.assert_allclose(rows, [pymatgen_row(t) for t in good], rtol=1e-12)


def test_fast_and_slow_path_agree_on_the_data(oqmd_raw, supercon_names):
    texts = pd.concat([oqmd_raw["formula"].sample(30_000, random_state=2), supercon_names])
    fast, fast_bad = amounts_matrix(texts, "drop", report=True)
    slow, slow_bad = amounts_matrix((spaced(t) for t in texts), "drop", report=True)
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


@given(FORMULAS)
def test_generated_formulas_by_recursion_and_by_pymatgen(text_and_amounts):
    text, expected = text_and_amounts
    row = amounts(text, "allow")
    assert as_dict(row) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(row, pymatgen_row(text), rtol=1e-9, atol=1e-7)  # its tolerance


@given(PLAIN_FORMULAS)
def test_fast_and_slow_path_agree_on_plain_formulas(text_and_amounts):
    text, expected = text_and_amounts
    row = amounts(text, "allow")
    assert as_dict(row) == pytest.approx(expected, rel=1e-12)
    for other in (spaced(text), f" {text}", f"({text})"):
        np.testing.assert_array_equal(row, amounts(other, "allow"))
    np.testing.assert_array_equal(amounts_matrix([text], suspicious="allow"), [row])


@given(FORMULAS)
def test_spelling_does_not_matter(text_and_amounts):
    text, _ = text_and_amounts
    subscripts = text.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
    for other in (spaced(text), subscripts, text.replace("(", "[").replace(")", "]")):
        np.testing.assert_array_equal(amounts(text, "allow"), amounts(other, "allow"))


# --- errors ---------------------------------------------------------------------------------------

BAD = [
    ("Xx2O", "unknown element symbol 'Xx'"),
    ("( Q2 )O", "unknown element symbol 'Q'"),
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
    ("Na1e", "unexpected 'e' at character 4"),
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


def test_drop_nan_and_report_keep_the_rows_in_order():
    texts = [text for bad, _ in BAD for text in (bad, "TiO2", "Mg O")]
    kept, report = amounts_matrix(texts, on_error="drop", report=True)
    expected = np.tile([as_row(Ti=1, O=2), as_row(Mg=1, O=1)], (len(BAD), 1))
    np.testing.assert_array_equal(kept, expected)
    every_row = amounts_matrix(texts, on_error="nan")
    assert np.isnan(every_row[::3]).all()
    np.testing.assert_array_equal(np.delete(every_row, np.s_[::3], axis=0), expected)
    assert list(report.columns) == ["row", "index", "formula", "reason"]
    assert report["row"].tolist() == report["index"].tolist() == list(range(0, 3 * len(BAD), 3))
    for (bad, reason), line in zip(BAD, report.itertuples(), strict=True):
        assert line.formula is bad or line.formula == bad or line.formula != line.formula  # NaN
        assert reason in line.reason


def test_composition_error_survives_pickle_and_copy():
    error = CompositionError("no such thing", "Xx", 3, "b")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(again, ValueError)
        assert str(again) == "row 3 (index 'b'), formula 'Xx': no such thing"
        found = again.reason, again.formula, again.row, again.index
        assert found == ("no such thing", "Xx", 3, "b")


# --- pymatgen's Composition -----------------------------------------------------------------------


@given(FORMULAS)
def test_a_composition_object_has_the_amounts_that_pymatgen_says(text_and_amounts):
    composition = Composition(text_and_amounts[0])
    expected = as_row(**{e.symbol: n for e, n in composition.items()})
    np.testing.assert_array_equal(amounts(composition), expected)
    both = amounts_matrix([composition, "TiO2", composition])
    np.testing.assert_array_equal(both, [expected, as_row(Ti=1, O=2), expected])


def test_oxidation_states_of_a_composition_do_not_matter():
    magnetite = Composition({"Fe2+": 1, "Fe3+": 2, "O2-": 4})
    np.testing.assert_array_equal(amounts(magnetite), as_row(Fe=3, O=4))
    assert parse(magnetite) == ([(ELEMENTS.index("Fe"), 3.0), (ELEMENTS.index("O"), 4.0)], None)


@pytest.mark.parametrize(
    ("composition", "reason"),
    [
        (Composition({}), "the composition is empty"),
        (Composition("KrF2"), "Kr is not one of the 85 elements"),
        (Composition({"Na": -1, "Cl": 1}, allow_negative=True), "Na has the amount -1"),
        (Composition({"Xa": 1, "O": 1}), "unknown element symbol 'Xa'"),  # pymatgen's dummy
    ],
)
def test_a_composition_object_that_is_none_of_the_85_is_refused(composition, reason):
    with pytest.raises(CompositionError, match=reason) as error:
        amounts(composition)
    assert error.value.formula is composition


def test_pymatgen_is_recognised_and_not_loaded():
    class Looks:  # as a Composition does
        def get_el_amt_dict(self):
            return {"Na": 1.0, "Cl": 2.0}

    assert is_composition(Looks()) and not is_composition("NaCl") and not is_composition({"Na": 1})
    np.testing.assert_array_equal(amounts(Looks()), as_row(Na=1, Cl=2))
    code = "import sys\nfrom matgan.chemistry.composition import amounts\namounts('TiO2')\n"
    code += "assert 'pymatgen' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parse_all_gives_the_good_rows_and_names_the_others():
    rows, bad, doubtful = parse_all(["NaCl", "Xx", Composition("Fe2O3"), None, "Ca(OH)2", "H20"])
    expected = [as_row(Na=1, Cl=1), as_row(Fe=2, O=3), as_row(Ca=1, O=2, H=2), as_row(H=20)]
    np.testing.assert_array_equal(rows, expected)
    assert [row for row, *_ in bad] == [1, 3]
    assert [(row, text) for row, text, _ in doubtful] == [(5, "H20")]
    assert parse_all([]).amounts.shape == (0, 85)


def test_other_elements_have_columns_where_a_table_has_them():
    columns = ELEMENT_INDEX | {"Kr": 85, "Og": 86}
    found = parse_all(["KrF2", "AmO2", "Og2(Kr)3", "NaCl"], columns)
    np.testing.assert_array_equal(found.amounts[0, 85:], [1, 0])
    np.testing.assert_array_equal(found.amounts[1, 85:], [3, 2])
    assert found.amounts[:2, :85].sum() == 2 and found.amounts[2].sum() == 2
    assert found.bad == [(1, "AmO2", "Am is not one of the 87 elements of the table")]


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
    rows, report = amounts_matrix(things, on_error="drop", report=True)
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
