"""One contract: every function that takes compositions takes them in every form, alike.

`DOORS` lists them all; a test looks that none was forgotten.
"""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_formulas import forms
from sklearn.base import BaseEstimator
from sklearn.tree import DecisionTreeRegressor

from matgan.chemistry import composition, metallicity, validity
from matgan.chemistry.composition import CompositionError, amounts_matrix
from matgan.chemistry.inputs import SuspiciousFormula
from matgan.data import compounds, splits
from matgan.generated import controls, measures, pairs, screening
from matgan.representation import benchmark
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.features import Magpie, OneHot, PooledEmbedding
from matgan.representation.neighbours import NearestCompositions
from matgan.representation.tables import trained_table

TEXTS = ["NaCl", "Fe2O3", "NaCl2", "Ca(OH)2", "BaTiO3", "Na2Cl2", "MgO", "KCl", "AlNi3", "LiFeO2"]
TEXTS += ["Na2O", "K2O", "CaO", "SrTiO3", "FeO", "TiO2", "Al2O3", "NaF", "KF", "LiF"]
ROWS = amounts_matrix(TEXTS)
FORMS = forms(TEXTS, ROWS) | {"counts": lambda: ROWS.astype(np.uint8)}
OTHERS = ["MgO", "KBr", "CaTiO3", "FeO", "NaCl", "LiCl", "Li2O", "Na2O", "ZnO", "ZnS", "CdS"]
Y = np.arange(len(TEXTS), dtype=float)
TABLE = trained_table(np.random.default_rng(0).normal(size=(85, 3)))
KNOWN = pd.DataFrame({"formula": OTHERS, "target": np.arange(float(len(OTHERS)))})
GROUPS = [np.arange(20), np.arange(20, 85)]
HALOGENS = screening.Choice("", OneHot(), DecisionTreeRegressor(random_state=0), "")
TREES = screening.fit_ensemble(HALOGENS, TEXTS, Y, n_members=2)
TREES.calibrate(TEXTS, Y, level=0.5)


def rng():
    return np.random.default_rng(0)


def calibrated(X):
    ensemble = screening.fit_ensemble(HALOGENS, TEXTS, Y, n_members=2)
    ensemble.calibrate(X, Y, level=0.5)
    return ensemble.factor, ensemble.floor


def encoder(**how):
    """Composition encoders that have learned next to nothing."""
    small = {"width": 8, "layers": 1, "heads": 2, "epochs": 1, "device": "cpu"}
    return CompositionEncoder(**small, **how).fit(OTHERS, KNOWN["target"])


# one result a row, with on_error and suspicious
BY_ROW = {
    "amounts_matrix": composition.amounts_matrix,
    "fractions": composition.fractions,
    "formulas": composition.formulas,
    "charge_neutral": validity.charge_neutral,
    "electronegativity_balanced": validity.electronegativity_balanced,
    "all_metal": metallicity.all_metal,
    "OneHot": lambda X, **how: OneHot(**how).fit_transform(X),
    "Magpie": lambda X, **how: Magpie(**how).fit_transform(X),
    "PooledEmbedding": lambda X, **how: PooledEmbedding(TABLE, "sum+std", **how).fit_transform(X),
    "NearestCompositions": lambda X, **how: (
        NearestCompositions(2, **how).fit(OTHERS, KNOWN["target"]).predict(X)
    ),
    "CompositionEncoder.predict": lambda X, **how: encoder(**how).predict(X),
    "CompositionEncoder.transform": lambda X, **how: encoder(**how).transform(X),
    "Ensemble.predict": lambda X, **how: np.stack(TREES.predict(X, **how), axis=1),
    "nearest_known": lambda X, **how: screening.nearest_known(X, KNOWN, **how).to_numpy(),
}

# one result for all of them, or one that no row may be missing from
BY_SET = {
    "whole_counts": composition.whole_counts,
    "reduced_counts": composition.reduced_counts,
    "count_matrix": composition.count_matrix,
    "keys": composition.keys,
    "among": lambda X: composition.among(X, OTHERS),
    "among, known": lambda X: composition.among(OTHERS, X),
    "chemical_systems": splits.chemical_systems,
    "compositions": splits.compositions,
    "near_duplicate_families": splits.near_duplicate_families,
    "superconductor_family": compounds.superconductor_family,
    "one_element_apart": lambda X: compounds.one_element_apart(X, OTHERS),
    "one_element_apart, others": lambda X: compounds.one_element_apart(OTHERS, X),
    "error_by_element": lambda X: benchmark.error_by_element(X, Y, at_least=1).to_numpy(),
    "NearestCompositions.fit": lambda X: NearestCompositions(2).fit(X, Y).predict(OTHERS),
    "uniqueness": measures.uniqueness,
    "novelty": lambda X: measures.novelty(X, OTHERS),
    "novelty, known": lambda X: measures.novelty(OTHERS, X),
    "recovery": lambda X: measures.recovery(X, OTHERS, [5, 20]),
    "recovery, held_out": lambda X: measures.recovery(OTHERS, X, [5]),
    "element_divergence": lambda X: measures.element_divergence(X, OTHERS),
    "element_divergence, real": lambda X: measures.element_divergence(OTHERS, X),
    "stoichiometry_divergence": lambda X: measures.stoichiometry_divergence(X, OTHERS),
    "element_pairs": pairs.element_pairs,
    "pair_enrichment": lambda X: pairs.pair_enrichment(X, GROUPS, least=0),
    "pair_divergence": lambda X: measures.pair_divergence(X, OTHERS),
    "two_sample_auc": lambda X: measures.two_sample_auc(X, OTHERS, folds=2),
    "validity_rates": lambda X: list(measures.validity_rates(X).values()),
    "evaluate_compositions": lambda X: list(
        measures.evaluate_compositions(X, OTHERS, OTHERS, known=OTHERS, sizes=[10]).values()
    ),
    "evaluate_compositions, train": lambda X: list(
        measures.evaluate_compositions(OTHERS, X, TEXTS, sizes=[10]).values()
    ),
    "evaluate_compositions, held_out": lambda X: list(
        measures.evaluate_compositions(OTHERS, OTHERS, X, sizes=[10]).values()
    ),
    "element_frequency": controls.element_frequency,
    "count_frequency": controls.count_frequency,
    **{
        control.__name__: lambda X, control=control: control(X, 30, rng())
        for control in controls.CONTROLS.values()
    },
    "fit_ensemble": lambda X: screening.fit_ensemble(HALOGENS, X, Y, 2).predict(OTHERS)[0],
    "Ensemble.calibrate": calibrated,
    "new_compositions": lambda X: screening.new_compositions(X, OTHERS)[0],
    "screen": lambda X: screening.screen(X, OTHERS, TREES).to_numpy(),
    "screen, known": lambda X: screening.screen(OTHERS, X, TREES).to_numpy(),
}
DOORS = BY_ROW | BY_SET


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    else:
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("door", DOORS)
def test_every_form_of_input_gives_the_same_result(door):
    expected = DOORS[door](TEXTS)
    if door in BY_ROW:
        assert len(expected) == len(TEXTS)
    for form, make in FORMS.items():
        try:
            same(DOORS[door](make()), expected)
        except Exception as error:
            raise AssertionError(f"{door} given {form}") from error
    assert (amounts_matrix(TEXTS) == ROWS).all()  # nobody wrote into what was given


@pytest.mark.parametrize("door", DOORS)
def test_every_door_refuses_alike(door):
    for given, message in (
        ("NaCl", "not the single string 'NaCl'"),
        ({"NaCl"}, "not a set"),
        ({"Na": 1}, "not a dict"),
        ([["NaCl"], ["KCl", "MgO"]], "row 1: .*a list of 2"),
        (ROWS[:, :84], r"shape \(n, 85\), not \(20, 84\)"),
        (pd.DataFrame(ROWS), "the 85 element symbols"),
        (np.ma.masked_equal(ROWS, 3), "masked"),
        (pd.Series([*TEXTS[:-1], np.nan], index=list("abcdefghijklmnopqrst")), r"index 't'.*NaN"),
        ([*TEXTS[:-1], "Qq"], "row 19, formula 'Qq': unknown element symbol 'Qq'"),
    ):
        with pytest.raises(CompositionError, match=message):
            DOORS[door](given)


@pytest.mark.parametrize("door", BY_ROW)
def test_rows_that_are_none_are_nan_or_left_out(door):
    good = BY_ROW[door](["NaCl", "Fe2O3", "MgO"])
    for make in forms(["NaCl", "Fe2O3", "MgO"], amounts_matrix(["NaCl", "Fe2O3", "MgO"])).values():
        same(BY_ROW[door](make(), on_error="drop"), good)
    bad = pd.Series(["Qq", "NaCl", "OgF2", "Fe2O3", "MgO", np.nan])
    same(BY_ROW[door](bad, on_error="drop"), good)
    every = BY_ROW[door](bad, on_error="nan")
    assert len(every) == 6
    missing = pd.isna(np.asarray(every, dtype=object)).reshape(6, -1)
    assert missing.all(axis=1).tolist() == [True, False, True, False, False, True]
    assert not missing[[1, 3, 4]].any()
    same(np.asarray(every, dtype=object)[[1, 3, 4]].tolist(), np.asarray(good).tolist())
    with pytest.raises(ValueError, match="'raise', 'nan' or 'drop'"):
        BY_ROW[door](bad, on_error="ignore")


@pytest.mark.parametrize("door", BY_ROW)
def test_suspicious_formulas_are_refused_read_with_a_warning_or_read(door):
    odd, plain = ["NaCl", "SIO2", "MgO"], ["NaCl", "S1I1O2", "MgO"]
    expected = BY_ROW[door](plain)
    with pytest.raises(CompositionError, match=r"row 1, formula 'SIO2': .* is SiO2 meant"):
        BY_ROW[door](odd)
    same(BY_ROW[door](odd, on_error="drop"), BY_ROW[door](["NaCl", "MgO"]))
    same(BY_ROW[door](odd, suspicious="allow"), expected)
    with pytest.warns(SuspiciousFormula, match="row 1, formula 'SIO2'"):
        same(BY_ROW[door](odd, suspicious="warn"), expected)
    with pytest.raises(ValueError, match="'raise', 'warn' or 'allow'"):
        BY_ROW[door](odd, suspicious="ignore")


# --- is it all of them? ---------------------------------------------------------------------------

ROOMS = ("chemistry", "data", "representation", "generated")
GIVEN = {"compositions", "compounds", "counts", "train", "X"}  # names of such a parameter


def functions():
    """Names of the public functions that take compositions, and of all estimators."""
    for room in ROOMS:
        for path in sorted(Path(composition.__file__).parents[1].joinpath(room).glob("*.py")):
            module = import_module(f"matgan.{room}.{path.stem}")
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                name = getattr(node, "name", "_")
                thing = getattr(module, name, None)
                if name.startswith("_"):
                    continue
                if isinstance(thing, type) and issubclass(thing, BaseEstimator):
                    yield name
                elif isinstance(node, ast.FunctionDef):
                    parameter = inspect.signature(thing).parameters.values()
                    annotated = [p for p in parameter if p.name in GIVEN]
                    if any("Iterable" in str(p.annotation) for p in annotated):
                        yield name


def test_no_door_was_forgotten():
    found = set(functions())
    assert len(found) > 30
    tested = {door.split(",")[0].split(".")[0] for door in DOORS}
    assert found - tested == set(), "a function that takes compositions and is not tested here"
