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
        pytest.skip(str(error))
    picked = column.iloc[np.linspace(0, len(column) - 1, n).astype(int)].tolist()
    _, bad = amounts_matrix(picked, on_error="report")
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


def test_every_pool_against_numpy_on_each_formula():
    formulas = real_formulas("supercon", 300)
    got = PooledEmbedding(TABLE, "sum+mean+min+max+var").fit_transform(formulas)
    for amounts, row in zip(amounts_matrix(formulas), got, strict=True):
        present = amounts > 0
        T, n = TABLE.to_numpy()[present], amounts[present]
        mean = np.average(T, axis=0, weights=n)
        var = np.average((T - mean) ** 2, axis=0, weights=n)
        expected = np.stack([n @ T, mean, T.min(0), T.max(0), var], axis=1).ravel()
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-12)


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
        ({"table": TABLE, "pool": "median"}, "pool must be"),
        ({"table": TABLE, "missing": "zero"}, "missing must be"),
        ({"table": TABLE.to_numpy()[:84]}, r"\(85, d\), not \(84, 7\)"),
        ({"table": [1, 2]}, "not list"),
        ({"table": TABLE.reset_index(drop=True)}, "index must be their symbols"),
        ({"table": pd.concat([TABLE, TABLE.loc[["Fe"]]])}, "more than one row for Fe"),
    ],
)
def test_bad_parameters_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        PooledEmbedding(**settings_).fit(FORMULAS)


# --- scikit-learn ---------------------------------------------------------------------------------


@one_of_each
def test_containers_give_the_same_numbers(transformer):
    expected = clone(transformer).fit_transform(FORMULAS)
    column = np.array(FORMULAS, dtype=object)
    for X in (
        tuple(FORMULAS),
        pd.Series(FORMULAS),
        column,
        column[:, None],
        np.array(FORMULAS),
        pd.DataFrame({"formula": FORMULAS}),
        [[f] for f in FORMULAS],
    ):
        np.testing.assert_array_equal(clone(transformer).fit_transform(X), expected)
    fitted = clone(transformer).fit(FORMULAS)
    assert expected.shape == (4, len(fitted.get_feature_names_out()))
    assert fitted.transform([]).shape == (0, expected.shape[1])


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
