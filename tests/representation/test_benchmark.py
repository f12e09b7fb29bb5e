import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.data.sources import SourceUnavailable
from matgan.data.splits import chemical_systems, compositions, near_duplicate_families
from matgan.learning.evaluation import fit_splits
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.representation import benchmark
from matgan.representation.features import OneHot, load_embedding

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
    permuted = makers["permuted T"]().fit_transform(FORMULAS)
    assert (permuted != expected).any()
    np.testing.assert_allclose(np.sort(permuted, axis=1)[:, -2:], np.sort(expected, axis=1)[:, -2:])
    with pytest.raises(benchmark.NotHere, match="wgan-oqmd-code"):
        makers["WGAN T (published code)"]()


GRID = {"input_scaling": (None, "standard"), "learning_rate": (1e-6, 1e-2)}


def test_the_search_learns_from_one_split_and_its_settings_are_found_again():
    X = OneHot().fit_transform(FORMULAS)
    (split,) = TASK.splits(benchmark.RANDOM, 1, 0)
    tried, best = benchmark.search_settings(TASK, "one-hot", X, split, NETWORK, GRID, 90, 7)
    assert best.learning_rate == 1e-2 and best.epochs == 4 and NETWORK.learning_rate == 1e-3
    assert tried["chosen"].sum() == 1 and tried.loc[tried["chosen"], "learning_rate"].item() == 1e-2
    assert (tried["rows"] == 90).all() and (tried["epoch"] <= 7).all()
    again = benchmark.chosen_settings(tried, "d", "one-hot", NETWORK)
    assert again.get_params() == best.get_params()
    assert benchmark.chosen_settings(tried, "d", "Magpie", NETWORK).learning_rate == 1e-3


def test_a_network_is_scored_with_its_settings_and_checked_for_twice_the_epochs():
    X = OneHot().fit_transform(FORMULAS)
    splits = TASK.splits(benchmark.SYSTEM, 3, 0)
    rows = benchmark.score(TASK, "one-hot", X, splits, NETWORK, benchmark.SYSTEM, checked=2)
    assert rows["epochs"].tolist() == [4, 4, 4, 8, 8]
    assert rows["repeat"].tolist() == [0, 1, 2, 0, 1]
    assert (rows["best_r2"] >= rows["r2"] - 1e-6).all()
    assert rows["learning_rate"].eq(1e-3).all() and rows["input_scaling"].eq("standard").all()
    fitted = NETWORK.__class__(**NETWORK.get_params() | {"epochs": 8, "random_state": 1})
    (again,) = fit_splits(X, TASK.y, splits[1:2], fitted)
    error = np.abs(again.predict(X[splits[1].test]) - TASK.y[splits[1].test]).mean()
    assert rows["mae"].iloc[-1] == pytest.approx(error)
    assert len(benchmark.score(TASK, "one-hot", X, splits, NETWORK, benchmark.SYSTEM)) == 3


def test_baselines_learn_from_all_rows_and_leave_no_settings():
    splits = TASK.splits(benchmark.RANDOM, 1, 0)
    found = {}
    for label, (features, model) in benchmark.baselines(trees=5).items():
        X = TASK.described(benchmark.feature_sets(0)[features]())
        rows = benchmark.score(TASK, label, X, splits, model, benchmark.RANDOM)
        assert "epochs" not in rows and rows["n_test"].item() == len(splits[0].test)
        found[label] = rows["mae"].item()
    y, known = TASK.y, np.concatenate([splits[0].train, splits[0].validation])
    median = np.abs(y[splits[0].test] - np.median(y[known])).mean()
    assert found[benchmark.MEDIAN] == pytest.approx(median)
    assert max(found[label] for label in set(found) - {benchmark.MEDIAN}) < 0.6 * median
    trees = benchmark.random_forest(trees=5).fit(X[known], y[known]).estimators_
    assert len(trees) == 5 and all(tree.tree_.n_node_samples[0] > 90 for tree in trees)


def test_a_data_set_by_its_name(supercon):
    task = benchmark.load_task(benchmark.TC10, rows=500, seed=3, epochs=7, batch_size=64)
    assert len(task.table) == 500 and task.y.min() > 10
    assert task.kinds == (benchmark.RANDOM, benchmark.FAMILY, benchmark.SYSTEM)
    assert task.network(1, "cpu").get_params().items() >= {"epochs": 7, "batch_size": 64}.items()
    again = benchmark.load_task(benchmark.TC10, rows=500, seed=3)
    assert again.table["formula"].tolist() == task.table["formula"].tolist()
    assert set(benchmark.QUANTITIES) == set(benchmark.IN_THE_PAPER)


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


def test_feature_sets_of_published_tables_are_pooled_by_the_mean():
    try:
        table = load_embedding("mat2vec")
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    X = benchmark.feature_sets(0)["mat2vec"]().fit_transform(["Na2O"])
    expected = (2 * table.loc["Na"] + table.loc["O"]) / 3
    np.testing.assert_allclose(X[0], expected, rtol=1e-5)
