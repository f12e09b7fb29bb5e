import pickle
import re
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline

from matgan import ELEMENTS
from matgan.chemistry.composition import CompositionError, amounts_matrix
from matgan.data import sources
from matgan.representation import features
from matgan.representation.features import Magpie, OneHot, PooledEmbedding, magpie_table
from matgan.representation.tables import trained_table

FORMULAS = ["TiO2", "Ba0.4K0.6Fe2As2", "Fe2(SO4)3", "NaCl"]
TABLE = trained_table(np.random.default_rng(0).normal(size=(85, 7)))
ALL = [OneHot(), OneHot(fractions=True), Magpie(), PooledEmbedding(TABLE, "sum+var")]
one_of_each = pytest.mark.parametrize("transformer", ALL, ids=lambda t: type(t).__name__)


@lru_cache
def real_formulas(source: str, n: int) -> list[str]:
    """n formulas of a source, evenly spread over it, elements of the 85 only."""
    try:
        if source == "supercon":
            column = sources.read_csv("supercon", None, {"name": "str"})["name"]
        else:
            column = sources.wheel_table(source)["formula"]
    except sources.SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    picked = column.iloc[np.linspace(0, len(column) - 1, n).astype(int)].tolist()
    _, bad = amounts_matrix(picked, on_error="drop", report=True)
    return [f for row, f in enumerate(picked) if row not in set(bad["row"])]


@lru_cache
def matminer_magpie(impute: bool):
    composition = pytest.importorskip("matminer.featurizers.composition")
    return composition.ElementProperty.from_preset("magpie", impute_nan=impute)


# --- Magpie against matminer ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["supercon", "benchmark_data/OQMD_Formation_Enthalpy/test", "matbench/mp_gap"]
)
def test_magpie_equals_matminer_on_real_formulas(source):
    from pymatgen.core import Composition

    formulas = real_formulas(source, 1000)
    assert len(formulas) > 900
    peer = matminer_magpie(True)
    expected = np.array([peer.featurize(Composition(f)) for f in formulas], dtype=float)
    np.testing.assert_allclose(Magpie().fit_transform(formulas), expected, rtol=1e-9, atol=1e-9)
    assert list(Magpie().get_feature_names_out()) == peer.feature_labels()


def test_magpie_table_differs_from_matminer_where_the_docstring_says():
    data = pytest.importorskip("matminer.utils.data").MagpieData(impute_nan=False)
    ours = magpie_table()
    theirs = pd.DataFrame(
        {p: [data.all_elemental_props[p][e] for e in ours.index] for p in ours}, index=ours.index
    )
    differ = ~np.isclose(ours, theirs, rtol=1e-9, atol=0)
    assert not differ[ours.index.isin(ELEMENTS)].any()
    cells = {(ours.index[i], ours.columns[j]) for i, j in np.argwhere(differ)}
    said = re.search(r"averages?: (.*?)\. A test", " ".join(magpie_table.__doc__.split()))[1]
    pairs = re.findall(r"((?:[A-Z][a-z]?(?:, )?)+) \((.*?)\)", said)
    named = {(e, p) for elements, ps in pairs for e in elements.split(", ") for p in ps.split(", ")}
    assert cells == named
    assert theirs.to_numpy()[differ].size == np.isnan(theirs.to_numpy()[differ]).sum()


def test_magpie_by_hand():
    # NaCl2: atomic numbers 11 (1/3) and 17 (2/3); mean 15, deviation (4/3 + 2 * 2/3) / 3 ... = 8/3
    names = list(Magpie().get_feature_names_out())
    row = dict(zip(names, Magpie().fit_transform(["NaCl2"])[0], strict=True))
    got = [row[f"MagpieData {s} Number"] for s in features.MAGPIE_STATISTICS]
    np.testing.assert_allclose(got, [11, 17, 6, 15, 8 / 3, 17])


def test_magpie_mode_of_tied_amounts_is_the_smallest_value():
    column = list(Magpie().get_feature_names_out()).index("MagpieData mode Number")
    out = Magpie().fit_transform(["ClNa", "Fe2Co2O", "Fe2.0000001Co2O", "Fe2.1Co2O"])
    assert out[:, column].tolist() == [11, 26, 26, 26]
    assert Magpie().fit_transform(["Fe2Co2.0000001O", "Fe2Co2.1O"])[:, column].tolist() == [26, 27]


def test_magpie_equals_matminer_on_elements_outside_the_85():
    Composition = pytest.importorskip("pymatgen.core").Composition
    formulas = ["KrF2", "RaCl2", "AmO2", "PoO2", "CmO2", "Kr", "Ra0.3Ba0.7SO4", "U0.9Am0.1O2"]
    peer = matminer_magpie(False)
    expected = np.array([peer.featurize(Composition(f)) for f in formulas], dtype=float)
    found = Magpie().fit_transform([*formulas, "NaCl"])
    np.testing.assert_allclose(found[:-1], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found[-1:], Magpie().fit_transform(["NaCl"]))
    table = magpie_table()
    row = Magpie().fit_transform(["Na2He"])[0]
    helium = dict(zip(Magpie().get_feature_names_out(), row, strict=True))
    for name in table:
        mean = (2 * table.loc["Na", name] + table.loc["He", name]) / 3
        assert helium[f"MagpieData mean {name}"] == pytest.approx(mean)
    for X in (["NaCl", "EsF3"], pd.DataFrame({"x": ["NaCl", "EsF3"]})):
        with pytest.raises(CompositionError, match=r"row 1, .*Es is not one of the 97 elements"):
            Magpie().fit_transform(X)
    assert Magpie(on_error="drop").fit_transform(["EsF3", "KrF2"]).shape == (1, 132)
    with pytest.raises(CompositionError, match="Kr is not one of the 85"):
        OneHot().fit_transform(["KrF2"])


def test_a_table_has_features_for_the_other_elements_it_has():
    table = pd.DataFrame({"a": [1.0, 2, 4, 8]}, index=["Kr", "F", "Am", "O"])
    pooled = PooledEmbedding(table, ["sum", "max"])
    np.testing.assert_array_equal(pooled.fit_transform(["KrF2", "AmO2"]), [[5, 2], [20, 8]])
    np.testing.assert_array_equal(pooled.transform(amounts_matrix(["F2O"])), [[12, 8]])
    assert (
        pooled.table_.shape == (87, 1) and "Na" in pooled.missing_ and "Ra" not in pooled.missing_
    )
    with pytest.raises(CompositionError, match="row 1, formula 'RaF2': Ra is not one of the 87"):
        pooled.transform(["KrF2", "RaF2"])
    with pytest.raises(CompositionError, match="table 'table' has no row for Na"):
        pooled.transform(["Kr", "NaKr"])
    table.loc["Kr"] = np.nan
    with pytest.raises(CompositionError, match="table 'table' has no row for Kr"):
        PooledEmbedding(table).fit_transform(["KrF2"])
    filled = PooledEmbedding(table, missing="mean").fit_transform(["KrF2", "NaF2"])
    np.testing.assert_array_equal(filled, [[5 + 4], [5 + 4]])  # the mean over F and O is 5


# --- one-hot and pooling --------------------------------------------------------------------------


def test_one_hot_holds_amounts_or_fractions():
    amounts = OneHot().fit_transform(["Ba0.4K0.6Fe2As2"])[0]
    assert {ELEMENTS[i]: amounts[i] for i in np.flatnonzero(amounts)} == {
        "Ba": 0.4,
        "K": 0.6,
        "Fe": 2,
        "As": 2,
    }
    fractions = OneHot(fractions=True).fit_transform(["TiO2"])[0]
    assert fractions[ELEMENTS.index("O")] == pytest.approx(2 / 3)
    assert fractions.sum() == pytest.approx(1)


def test_sum_is_equation_5_term_by_term():
    # Ba0.4K0.6Fe2As2, written out
    T = TABLE
    expected = 0.4 * T.loc["Ba"] + 0.6 * T.loc["K"] + 2 * T.loc["Fe"] + 2 * T.loc["As"]
    got = PooledEmbedding(TABLE).fit_transform(["Ba0.4K0.6Fe2As2"])[0]
    np.testing.assert_allclose(got, expected)
    np.testing.assert_allclose(PooledEmbedding(TABLE.to_numpy()).fit_transform(FORMULAS)[1], got)


@pytest.mark.parametrize(
    "pool", ["sum+std", "sum + std", " sum+ std ", ["sum", "std"], ("sum", "std")], ids=repr
)
def test_several_statistics_in_any_spelling(pool):
    transformer = PooledEmbedding(TABLE, pool).fit(FORMULAS)
    names = transformer.get_feature_names_out()
    assert [name.split()[1] for name in names[:2]] == ["sum", "std"]
    got = transformer.transform(FORMULAS)
    for at, one in enumerate(("sum", "std")):
        np.testing.assert_array_equal(
            got[:, at::2], PooledEmbedding(TABLE, one).fit_transform(FORMULAS)
        )
    assert clone(transformer).get_params()["pool"] == pool


compositions = st.dictionaries(st.sampled_from(ELEMENTS), st.integers(1, 8), min_size=1, max_size=7)


@settings(max_examples=50, deadline=None)
@given(compositions, st.integers(2, 5))
def test_all_but_amounts_and_sums_ignore_how_many_formula_units_are_written(composition, factor):
    one = "".join(f"{e}{n}" for e, n in composition.items())
    more = "".join(f"{e}{n * factor}" for e, n in reversed(composition.items()))
    for transformer in (OneHot(True), Magpie(), PooledEmbedding(TABLE, "mean+min+max+var")):
        a, b = transformer.fit_transform([one, more])
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    for transformer in (OneHot(), PooledEmbedding(TABLE)):
        a, b = transformer.fit_transform([one, more])
        np.testing.assert_allclose(a * factor, b, rtol=1e-9, atol=1e-9)


def test_chunks_do_not_show(monkeypatch):
    formulas = real_formulas("supercon", 200)
    whole = [clone(t).fit_transform(formulas) for t in ALL]
    monkeypatch.setattr(features, "_CHUNK_NUMBERS", 4000)  # a few formulas each
    monkeypatch.setattr(features, "_PART", 77)
    for transformer, expected in zip(ALL, whole, strict=True):
        got = clone(transformer).fit_transform(formulas)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


# --- tables with gaps -----------------------------------------------------------------------------


def test_missing_element_is_named_with_table_and_formula():
    short = TABLE.drop(index="As")
    short.attrs["name"] = "short"
    transformer = PooledEmbedding(short).fit(FORMULAS)
    assert transformer.missing_ == ("As",)
    transformer.transform(["TiO2"])  # no As: fine
    with pytest.raises(CompositionError) as error:
        transformer.transform(FORMULAS)
    for word in ("As", "'short'", "Ba0.4K0.6Fe2As2", "row 1", "no row"):
        assert word in str(error.value)


def test_missing_number_is_an_error_or_the_mean_of_the_others():
    gap = TABLE.copy()
    gap.loc["O", gap.columns[2]] = np.nan
    with pytest.raises(CompositionError, match="an incomplete row for O"):
        PooledEmbedding(gap).fit_transform(["NaCl", "TiO2"])
    got = PooledEmbedding(gap, missing="mean").fit_transform(["TiO2", "NaCl"])
    filled = TABLE.copy()
    filled.loc["O", gap.columns[2]] = TABLE.iloc[:, 2].drop(index="O").mean()
    np.testing.assert_allclose(got[0], filled.loc["Ti"] + 2 * filled.loc["O"])
    np.testing.assert_allclose(got[1], TABLE.loc["Na"] + TABLE.loc["Cl"])


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"table": "no such table"}, "unknown embedding 'no such table'; there are mat2vec"),
        ({"table": TABLE, "pool": "median"}, "pool must be .*std.*, not 'median'"),
        ({"table": TABLE, "pool": "sum+"}, r"not 'sum\+'"),
        ({"table": TABLE, "pool": []}, r"not \[\]"),
        ({"table": TABLE, "pool": ["sum", "sum"]}, "each once"),
        ({"table": TABLE, "pool": ["sum", None]}, "pool must be"),
        ({"table": TABLE, "pool": None}, "not None"),
        ({"table": TABLE, "on_error": "ignore"}, "'raise', 'nan' or 'drop', not 'ignore'"),
        ({"table": TABLE, "on_error": "nan", "dtype": np.uint8}, "needs a dtype with NaN"),
        ({"table": TABLE, "missing": "zero"}, "missing must be"),
        ({"table": TABLE.to_numpy()[:84]}, r"\(85, d\), not \(84, 7\)"),
        ({"table": [1, 2]}, "not list"),
        ({"table": TABLE.iloc[:, :0]}, "has no columns"),
        ({"table": np.zeros((85, 0))}, "has no columns"),
        ({"table": TABLE.replace(TABLE.loc["Fe"].iloc[2], np.inf)}, "infinite number for Fe"),
        ({"table": TABLE.reset_index(drop=True)}, "index must be their symbols"),
        ({"table": pd.concat([TABLE, TABLE.loc[["Fe"]]])}, "more than one row for Fe"),
    ],
)
def test_bad_parameters_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        PooledEmbedding(**settings_).fit(FORMULAS)


# --- scikit-learn ---------------------------------------------------------------------------------


@one_of_each
def test_iterators_are_read_once_and_give_rows(transformer):
    expected = clone(transformer).fit_transform(FORMULAS)
    for X in (iter(FORMULAS), (f for f in FORMULAS), map(str, FORMULAS)):
        np.testing.assert_array_equal(clone(transformer).fit_transform(X), expected)
    stream = iter(FORMULAS)
    fitted = clone(transformer).fit(stream)
    np.testing.assert_array_equal(fitted.transform(stream), expected)
    model = make_pipeline(clone(transformer), Ridge()).fit(iter(FORMULAS), [1.0, 2, 3, 4])
    assert model.predict(iter(FORMULAS)).shape == (4,)


@one_of_each
def test_width_and_names_fit_for_any_number_of_rows(transformer):
    fitted = clone(transformer).fit(FORMULAS)
    width = len(fitted.get_feature_names_out())
    assert fitted.transform(FORMULAS).shape == (4, width)
    assert fitted.transform([]).shape == (0, width)


@one_of_each
@pytest.mark.parametrize(
    "X", ["TiO2", pd.DataFrame({"a": ["TiO2"], "b": ["NaCl"]}), np.array([["TiO2", "NaCl"]])]
)
def test_what_is_no_column_of_formulas_is_refused(transformer, X):
    with pytest.raises(ValueError, match=r"single string|one column"):
        clone(transformer).fit_transform(X)


@one_of_each
def test_bad_formula_is_named_with_its_row(transformer):
    with pytest.raises(CompositionError, match="row 1, formula 'NaQq'"):
        clone(transformer).fit_transform(["TiO2", "NaQq"])


MIXED = pd.Series(["TiO2", "NaQq", "NaCl", np.nan, "EsF2"], index=["a", "b", "c", "d", "e"])


@one_of_each
def test_rows_without_features_are_nan_or_left_out_and_reported(transformer):
    good = clone(transformer).fit_transform(["TiO2", "NaCl"])
    lenient = clone(transformer).set_params(on_error="nan")
    out = lenient.fit_transform(MIXED)
    np.testing.assert_array_equal(out[[0, 2]], good)
    assert np.isnan(out[[1, 3, 4]]).all()
    assert lenient.refused_["index"].tolist() == ["b", "d", "e"]
    assert lenient.refused_["row"].tolist() == [1, 3, 4]
    assert lenient.refused_["reason"].iloc[2].startswith("Es is not one of the ")
    assert len(lenient.fit(MIXED).transform(["TiO2"])) == 1 and lenient.refused_.empty

    shorter = clone(transformer).set_params(on_error="drop")
    np.testing.assert_array_equal(shorter.fit_transform(MIXED), good)
    table = shorter.set_output(transform="pandas").fit_transform(MIXED)
    assert table.index.tolist() == ["a", "c"]
    np.testing.assert_array_equal(table, good)
    assert shorter.fit_transform(MIXED.tolist()).index.tolist() == [0, 1]
    full = clone(lenient).set_output(transform="pandas").fit_transform(MIXED)
    assert full.index.tolist() == ["a", "b", "c", "d", "e"]
    with pytest.raises(CompositionError, match=r"row 1 \(index 'b'\), formula 'NaQq'"):
        clone(transformer).fit_transform(MIXED)


@pytest.mark.parametrize("part", [2, 50_000])
def test_rows_are_counted_from_the_first_whatever_was_refused_before(monkeypatch, part):
    monkeypatch.setattr(features, "_PART", part)
    X = pd.Series(["Qq", "NaCl", "KrF2", "FeAs", "TiO2", "GaAs"])
    lenient = PooledEmbedding(TABLE.drop(index="As"), on_error="nan")
    out = lenient.fit_transform(X)
    assert lenient.refused_["row"].tolist() == [0, 2, 3, 5]
    np.testing.assert_array_equal(out[[1, 4]], PooledEmbedding(TABLE).fit_transform(X[[1, 4]]))
    halves = OneHot(dtype=np.uint8, on_error="drop").fit(["H"])
    assert halves.transform(["Qq", "NaCl", "H0.5", "Qq", "O0.5", "MgO"]).sum() == 4
    assert halves.refused_["row"].tolist() == [0, 2, 3, 4]


def test_an_element_that_a_table_lacks_refuses_only_its_rows():
    short = TABLE.drop(index="As")
    for X in (FORMULAS, amounts_matrix(FORMULAS)):
        lenient = PooledEmbedding(short, on_error="nan")
        out = lenient.fit_transform(X)
        assert np.isnan(out).all(axis=1).tolist() == [False, True, False, False]
        assert "no row for As" in lenient.refused_["reason"].item()
        expected = PooledEmbedding(short).fit_transform([FORMULAS[0], *FORMULAS[2:]])
        shorter = PooledEmbedding(short, on_error="drop").fit_transform(X)
        np.testing.assert_array_equal(shorter, expected)


@pytest.mark.parametrize(
    ("transformer", "formula", "message"),
    [
        (OneHot(dtype=np.uint8), "Ba0.4K0.6Fe2As2", "uint8 cannot hold K = 0.6"),
        (OneHot(dtype=np.uint8), "Fe300O", "uint8 cannot hold Fe = 300"),
        (OneHot(dtype=bool), "TiO2", "bool cannot hold O = 2"),
        (OneHot(dtype="f2"), "Fe70000O", "float16 cannot hold Fe = 70000"),
        (OneHot(fractions=True, dtype=int), "TiO2", "int64 cannot hold O = 0.66"),
    ],
)
def test_what_the_dtype_cannot_hold_is_refused(transformer, formula, message):
    with pytest.raises(CompositionError, match=f"row 1, formula '{formula}': {message}"):
        transformer.fit_transform(["Fe", formula])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, "f2"])
def test_what_the_dtype_can_hold_is_kept(dtype):
    rows = OneHot(dtype=dtype).fit_transform(["NaCl", "(Fe0.07)100O8"])  # 7.000000000000001
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows, OneHot().fit_transform(["NaCl", "Fe7O8"]))
    dropped = OneHot(dtype=dtype, on_error="drop").fit_transform(["NaCl", "Fe70000", "Qq"])
    assert len(dropped) == (2 if dtype == np.int64 else 1)


@one_of_each
def test_clone_and_pickle(transformer):
    fitted = clone(transformer).fit(FORMULAS)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(FORMULAS), fitted.transform(FORMULAS))
    assert clone(fitted).get_params().keys() == transformer.get_params().keys()


@one_of_each
def test_pandas_output_keeps_the_index(transformer):
    X = pd.Series(FORMULAS, index=[7, 5, 3, 1])
    fitted = clone(transformer).set_output(transform="pandas").fit(X)
    out = fitted.transform(X)
    assert out.index.tolist() == [7, 5, 3, 1]
    assert out.columns.tolist() == list(fitted.get_feature_names_out())
    assert out.columns.is_unique


@one_of_each
def test_float32(transformer):
    single = clone(transformer).set_params(dtype=np.float32).fit_transform(FORMULAS)
    assert single.dtype == np.float32
    double = clone(transformer).fit_transform(FORMULAS)
    np.testing.assert_allclose(single, double, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("column", ["formula", ["formula"]])
def test_column_transformer_and_pipeline(column):
    table = pd.DataFrame({"pressure": [0.0, 1, 2, 3], "formula": FORMULAS}, index=[4, 3, 2, 1])
    columns = ColumnTransformer([("x", OneHot(), column), ("rest", "passthrough", ["pressure"])])
    model = Pipeline([("features", columns), ("ridge", Ridge(alpha=1e-9))])
    model.fit(table, [1.0, 2, 3, 4])
    np.testing.assert_allclose(model.predict(table), [1, 2, 3, 4], atol=1e-6)
    names = columns.fit(table).get_feature_names_out()
    assert names[0] == "x__H" and names[-1] == "rest__pressure"
    out = columns.set_output(transform="pandas").fit_transform(table)
    assert out.loc[2, "x__S"] == 3 and out.shape == (4, 86)
    make_pipeline(Magpie(), Ridge()).fit(FORMULAS, [1.0, 2, 3, 4])


@pytest.mark.parametrize("values", [["x"] * 85, [1j] * 85, [None] * 85], ids=lambda v: repr(v[0]))
def test_a_table_without_numbers_is_named(values):
    table = pd.DataFrame({"a": 1.0, "odd": values}, index=list(ELEMENTS))
    with pytest.raises(ValueError, match="table 'table' has no numbers in column 'odd'"):
        PooledEmbedding(table).fit(["NaCl"])
