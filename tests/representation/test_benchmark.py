import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.data.sources import SourceUnavailable
from matgan.data.splits import chemical_systems, compositions, near_duplicate_families
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import compare, summarise
from matgan.representation import benchmark
from matgan.representation.features import OneHot, load_embedding

RNG = np.random.default_rng(0)
METALS = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Fe"]
FORMULAS = [f"{a}{n}{b}{m}" for a in METALS for b in "OFS" for n in (1, 2) for m in (1, 2, 3)]
TARGETS = np.arange(len(FORMULAS)) / 20
TASK = benchmark.Task("d", "y (eV)", pd.DataFrame({"formula": FORMULAS, "target": TARGETS}), 4, 32)
NETWORK = FullyConnectedRegressor((8,), epochs=4, batch_size=32, device="cpu")


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        (benchmark.RANDOM, compositions),
        (benchmark.FAMILY, near_duplicate_families),
        (benchmark.SYSTEM, chemical_systems),
    ],
)
def test_no_group_is_in_two_parts(kind, groups):
    labels = groups(TASK.amounts)
    for split in TASK.splits(kind, 3, seed=0):
        parts = [set(labels[rows]) for rows in (split.train, split.validation, split.test)]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
        assert sum(map(len, (split.train, split.validation, split.test))) == len(FORMULAS)


def test_an_unknown_kind_of_split_is_refused():
    with pytest.raises(ValueError, match="kind must be one of random as in the paper"):
        TASK.splits("scaffold", 1, 0)


def test_feature_sets_that_need_no_weights():
    makers = benchmark.feature_sets(seed=0)
    assert makers["one-hot"]().fit_transform(["Fe2O3"]).sum() == 5
    assert makers["one-hot fractions"]().fit_transform(["Fe2O3"]).sum() == pytest.approx(1)
    assert makers["Magpie"]().fit_transform(["Fe2O3"]).shape == (1, 132)


def test_trained_tables_are_pooled_by_equation_5(monkeypatch):
    table = pd.DataFrame(np.eye(85)[:, ::-1] * 2.0, index=list(benchmark.ELEMENTS))
    names = pd.DataFrame({"name": ["wgan-oqmd"]})
    monkeypatch.setattr(benchmark, "list_embeddings", lambda: names)
    monkeypatch.setattr(benchmark, "load_embedding", lambda name: table)
    makers = benchmark.feature_sets(seed=0)
    expected = 2 * OneHot().fit_transform(FORMULAS)[:, ::-1]
    np.testing.assert_allclose(makers["WGAN T (ours)"]().fit_transform(FORMULAS), expected)
    random = makers["random T"]().fit_transform(FORMULAS)
    assert random.shape == expected.shape
    np.testing.assert_allclose(
        random, benchmark.feature_sets(0)["random T"]().fit_transform(FORMULAS)
    )
    assert (
        np.abs(random - benchmark.feature_sets(1)["random T"]().fit_transform(FORMULAS)).max() > 0.1
    )
    with pytest.raises(benchmark.NotHere, match="wgan-oqmd-paper"):
        makers["WGAN T (paper)"]()


def test_compare_features_scores_every_split_with_the_settings_chosen():
    X = OneHot().fit_transform(FORMULAS)
    splits = {kind: TASK.splits(kind, 2, 0) for kind in TASK.kinds}
    grid = {"learning_rate": (1e-6, 1e-2)}
    rows, tried, best = benchmark.compare_features(
        TASK, "one-hot", X, splits, NETWORK, grid, search_rows=90, search_epochs=7
    )
    assert rows.groupby("split").size().to_dict() == {benchmark.RANDOM: 2, benchmark.SYSTEM: 2}
    assert {"dataset", "features", "repeat", "mae", "rmse", "r2", "best_r2"} <= set(rows)
    assert (rows["best_r2"] >= rows["r2"] - 1e-6).all()
    assert best.learning_rate == 1e-2 and best.epochs == 4 and NETWORK.learning_rate == 1e-3
    assert tried["chosen"].tolist() == [False, True]
    assert (tried["rows"] == 90).all() and (tried["epoch"] <= 7).all()


def test_learning_curve_keeps_the_test_rows_and_leaves_out_what_is_too_large():
    X = OneHot().fit_transform(FORMULAS)
    splits = TASK.splits(benchmark.RANDOM, 2, 0)
    curve = benchmark.learning_curve(TASK, "one-hot", X, splits, NETWORK, (20, 50, 110, 10_000), 10)
    assert curve["n_train"].tolist() == [20, 20, 50, 50]  # 110 are most of 162
    assert curve["n_test"].tolist() == [len(s.test) for s in splits] * 2
    assert benchmark.learning_curve(TASK, "one-hot", X, splits, NETWORK, (10_000,), 10).empty


def test_error_by_element_by_hand():
    amounts = amounts_matrix(["NaCl", "NaBr", "KBr"])
    errors = benchmark.error_by_element(amounts, np.array([1.0, -2.0, 6.0]), at_least=1)
    assert errors.to_dict() == {"Na": 1.5, "Cl": 1, "K": 6, "Br": 4}
    assert list(benchmark.error_by_element(amounts, np.ones(3), at_least=2).index) == ["Na", "Br"]


def test_worst_compounds_come_first():
    table = pd.DataFrame({"formula": ["NaCl", "KBr", "MgO"], "target": [1.0, 2.0, 3.0]}, [7, 8, 9])
    worst = benchmark.worst_compounds(table, np.array([1.5, -2.0, 5.0]), n=2)
    assert worst["formula"].tolist() == ["KBr", "MgO"]
    assert worst["error"].tolist() == [-4, 2]


def test_differences_from_a_reference_have_its_sign():
    values = {"a": (1.0, 1.2, 1.1), "b": (2.0, 2.1, 2.3), "c": (1.5, 1.4, 1.6)}
    rows = pd.DataFrame(
        {"dataset": "d", "split": "random", "features": name, "repeat": i}
        | {"n_train": 90, "n_test": 10, "mae": v, "rmse": v, "r2": -v}
        for name, numbers in values.items()
        for i, v in enumerate(numbers)
    )
    found = benchmark.beside(summarise(rows), compare(rows), "b").set_index("features")
    mean = {name: np.mean(v) for name, v in values.items()}
    assert found["minus b"].drop("b").to_dict() == pytest.approx(
        {"a": mean["a"] - mean["b"], "c": mean["c"] - mean["b"]}
    )
    assert np.isnan(found.loc["b", "p (b)"]) and found.loc["a", "p (b)"] < 0.05


def test_feature_sets_of_published_tables_are_pooled_by_the_mean():
    try:
        table = load_embedding("mat2vec")
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    X = benchmark.feature_sets(0)["mat2vec"]().fit_transform(["Na2O"])
    expected = (2 * table.loc["Na"] + table.loc["O"]) / 3
    np.testing.assert_allclose(X[0], expected, rtol=1e-5)
