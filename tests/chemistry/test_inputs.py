"""What may be given as compositions, what is refused with which words, and what is reported."""

import numpy as np
import pandas as pd
import pytest
from known_formulas import as_row, forms
from pymatgen.core import Composition

from matgan import ELEMENTS
from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.inputs import Compositions
from matgan.chemistry.parsing import CompositionError

TEXTS = ["Fe2O3", "Ba0.4K0.6Fe2As2", "Ca(OH)2"]
ROWS = np.array([as_row(Fe=2, O=3), as_row(Ba=0.4, K=0.6, Fe=2, As=2), as_row(Ca=1, O=2, H=2)])
TABLE = pd.DataFrame(ROWS, columns=list(ELEMENTS), index=["a", "b", "c"])
FORMS = forms(TEXTS, ROWS)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_amounts(form):
    given = FORMS[form]()
    found = amounts_matrix(given)
    assert found.shape == (3, 85) and found.dtype == np.float64
    np.testing.assert_allclose(found, ROWS, rtol=1e-15)
    assert not np.shares_memory(found, ROWS)  # whoever writes into it changes nobody's data


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64, np.float32, "f2"])
def test_amounts_of_any_dtype(dtype):
    whole = ROWS[[0, 2]]
    np.testing.assert_array_equal(amounts_matrix(whole.astype(dtype)), whole)
    table = TABLE.iloc[[0, 2]].astype(dtype)[list(ELEMENTS[::-1])]
    np.testing.assert_array_equal(amounts_matrix(table), whole)


@pytest.mark.parametrize(
    "nothing",
    [[], (), iter([]), np.array([]), np.zeros((0, 85)), np.array([], dtype=object), TABLE[:0]],
    ids=lambda value: f"{type(value).__name__} {np.shape(value)}",
)
def test_nothing_gives_no_rows(nothing):
    assert amounts_matrix(nothing).shape == (0, 85)


REFUSED = {
    "a string": ("NaCl", "list of compositions, not the single string 'NaCl'"),
    "bytes": (b"NaCl", "not the single string b'NaCl'"),
    "a Composition": (Composition("NaCl"), "not a single Composition"),
    "a dict": ({"Na": 1}, "in order, such as a list, not a dict"),
    "a set": ({"NaCl"}, "in order, such as a list, not a set"),
    "a frozenset": (frozenset(["NaCl"]), "not a frozenset"),
    "None": (None, "list of compositions, not NoneType"),
    "a number": (3.5, "list of compositions, not float"),
    "one row": (ROWS[0], r"shape \(n, 85\), not \(85,\)"),
    "84 elements": (ROWS[:, 1:], r"shape \(n, 85\), not \(3, 84\)"),
    "three axes": (ROWS[None], r"not \(1, 3, 85\)"),
    "a scalar": (np.array(2.0), r"not \(\)"),
    "a text without an axis": (np.array("NaCl"), r"array of shape \(\)"),
    "truth values": (ROWS > 0, "amounts must be numbers, not bool"),
    "numbers as objects": (ROWS.astype(object), "amounts must be numbers, not object"),
    "numbers as text": (ROWS.astype(str), "amounts must be numbers, not <U"),
    "two columns": (np.array([["NaCl", "KCl"]]), r"one column of formulas.* \(1, 2\)"),
    "a table of two columns": (pd.DataFrame({"a": TEXTS, "b": TEXTS}), "one column .* 2 columns"),
    "a table of no column": (pd.DataFrame(index=[0, 1]), "one column of formulas.*0 columns"),
    "another table of numbers": (pd.DataFrame(ROWS), "must be the 85 element symbols.* 0$"),
    "a table of some elements": (TABLE[["H", "O"]], "must be the 85 element symbols.* 'H'$"),
    "a table with an element twice": (
        TABLE.rename(columns={"H": "Li"}),
        "must be the 85 element symbols",
    ),
    "a table with text in it": (
        TABLE.assign(O=["1", "2", "3"]),
        "amounts must be numbers, but column O holds (object|str)",
    ),
    "lists of two lengths": ([["TiO2"], ["NaCl", "KCl"]], "^row 1: .*one column.* a list of 2$"),
    "lists of two": ([["TiO2", "MgO"], ["NaCl", "KCl"]], "^row 0: .*one column.* a list of 2$"),
    "rows of two lengths": ([ROWS[0], ROWS[1][:5]], "^row 1: .*85 amounts.* a ndarray of 5$"),
    "empty lists": ([[], []], "^row 0: .* a list of 0$"),
    "masked texts": (np.ma.array(TEXTS, mask=[0, 1, 0]), "^row 1: masked"),
    "masked amounts": (np.ma.masked_equal(ROWS, 0.4), "^row 1: masked"),
    "masked rows": ([ROWS[0], np.ma.masked_equal(ROWS[1], 0.4)], "^row 1: masked"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("on_error", ["raise", "nan", "drop"])
def test_what_holds_no_compositions_is_refused_and_named(case, on_error):
    given, message = REFUSED[case]
    with pytest.raises(CompositionError, match=message):
        amounts_matrix(given, on_error)


def test_an_unknown_value_of_on_error_is_named():
    with pytest.raises(ValueError, match="'raise', 'nan' or 'drop', not 'report'"):
        amounts_matrix(["H2O"], on_error="report")


# --- rows that are no composition -----------------------------------------------------------------

BAD_ROWS = {
    1: (as_row(), "the composition is empty"),
    2: (as_row(H=1, O=np.nan), "O has the amount nan"),
    4: (as_row(Fe=np.inf), "Fe has the amount inf"),
    5: (as_row(Fe=-1, O=2), "Fe has the amount -1"),
    6: (as_row(Fe=1e15), r"Fe has the amount 1e+15"),
}


def test_bad_rows_of_amounts_are_named():
    rows = np.array([BAD_ROWS.get(i, (as_row(Mg=1), ""))[0] for i in range(8)])
    kept, report = amounts_matrix(rows, on_error="drop", report=True)
    np.testing.assert_array_equal(kept, [as_row(Mg=1)] * 3)
    assert dict(zip(report["row"], report["reason"], strict=True)) == {
        row: reason for row, (_, reason) in BAD_ROWS.items()
    }
    assert report["formula"].isna().all()
    for row, (_, reason) in BAD_ROWS.items():
        with pytest.raises(CompositionError) as error:
            amounts_matrix(rows[row - 1 :] if row == 1 else rows[[0, row]])
        assert str(error.value) == f"row 1: {reason}"
    signed = np.array([as_row(Fe=1), as_row(Fe=-1)], dtype=np.int8)
    with pytest.raises(CompositionError, match="row 1: Fe has the amount -1"):
        amounts_matrix(signed)
    with pytest.raises(CompositionError, match=r"row 0: H has the amount 1\.84467e\+19"):
        amounts_matrix(np.full((1, 85), 2**64 - 1, dtype=np.uint64))


@pytest.mark.parametrize("container", [pd.Series, pd.DataFrame])
def test_the_label_of_the_index_is_named(container):
    given = container(["NaCl", "Qq", np.nan], index=[10, "twenty", 30])
    with pytest.raises(CompositionError, match=r"^row 1 \(index 'twenty'\), formula 'Qq': unkn"):
        amounts_matrix(given)
    rows, report = amounts_matrix(given, on_error="nan", report=True)
    np.testing.assert_array_equal(rows, [as_row(Na=1, Cl=1), [np.nan] * 85, [np.nan] * 85])
    assert report["row"].tolist() == [1, 2]
    assert report["index"].tolist() == ["twenty", 30]
    assert report["reason"].str.contains("missing value").tolist() == [False, True]


@pytest.mark.parametrize(
    ("index", "named"),
    [
        ([10, 20], "row 1 (index 20), formula 'Qq'"),
        ([0, 1], "row 1, formula 'Qq'"),  # says no more than the row
        ([np.nan, pd.NA], "row 1 (index <NA>), formula 'Qq'"),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]), "row 1 (index ('b', 2)), formula 'Qq'"),
        (pd.to_datetime(["2020-12-01", "2020-12-02"]), "row 1 (index Timestamp('2020-12-02"),
    ],
)
def test_labels_of_every_kind(index, named):
    with pytest.raises(CompositionError) as error:
        amounts_matrix(pd.Series(["NaCl", "Qq"], index=index))
    assert str(error.value).startswith(named)


def test_no_bad_row_gives_an_empty_report():
    rows, report = amounts_matrix(("H2O",), on_error="nan", report=True)
    np.testing.assert_array_equal(rows, [as_row(H=2, O=1)])
    assert len(report) == 0
    assert list(report.columns) == ["row", "index", "formula", "reason"]


# --- the class that doors are written with --------------------------------------------------------


@pytest.mark.parametrize("form", ["list", "generator", "amounts", "list with counts"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_parts_are_the_rows_in_order(form, size):
    given = Compositions(FORMS[form]())
    assert len(given) == 3
    parts = list(given.parts(size))
    assert [len(rows) for rows, _ in parts] == [min(size, 3 - s) for s in range(0, 3, size)]
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in parts]), [0, 1, 2])
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), ROWS)


def test_an_array_is_read_where_it_lies():
    counts = np.tile(as_row(Na=1, Cl=1), (1000, 1)).astype(np.uint8)
    for _, part in Compositions(counts).parts(300):
        assert part.dtype == np.uint8 and np.shares_memory(part, counts)


def test_results_are_put_beside_the_rows_they_belong_to():
    def door(on_error):
        given = Compositions(["NaCl", "Qq", "MgO", "KCl2"], on_error)
        atoms = np.empty(len(given))
        for rows, amounts in given.parts(2):
            atoms[rows] = amounts.sum(axis=1)
        given.refuse([(3, None, "two chlorides")])
        return given, atoms

    given, atoms = door("drop")
    assert given.finish(atoms).tolist() == [2, 2]
    assert given.finish(np.array(list("abcd"))).tolist() == ["a", "c"]
    given, atoms = door("nan")
    np.testing.assert_array_equal(given.finish(atoms), [2, np.nan, 2, np.nan])
    flags = given.finish(np.array([True, True, False, True]))
    assert flags.dtype == "boolean" and flags.isna().tolist() == [False, True, False, True]
    assert given.finish(np.array([*"abcd"], dtype=object)).tolist() == ["a", None, "c", None]
    assert given.report()["formula"].tolist() == ["Qq", "KCl2"]
    assert given.report()["reason"].tolist()[1] == "two chlorides"
    with pytest.raises(CompositionError, match="row 1, formula 'Qq'"):
        door("raise")
