import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.neighbors import KNeighborsRegressor

from matgan.data.splits import random_splits
from matgan.learning import evaluation
from matgan.learning.evaluation import (
    as_planned,
    convergence,
    evaluate,
    fit_splits,
    is_converged,
    search,
)
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.statistics import scores

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)) * [1, 1, 1, 1000, 1000]  # two columns in a large unit, of no use
Y = X[:, 0] * X[:, 1] + 2 * X[:, 2]
SPLITS = random_splits(300, 3)
NETWORK = FullyConnectedRegressor((32, 16), epochs=40, batch_size=32, device="cpu")
NAMES = {"dataset": "d", "features": "f", "split": "random"}


def test_evaluate_gives_a_row_for_each_repeat():
    table = evaluate(X, Y, SPLITS, NETWORK, **NAMES)
    columns = "dataset features split repeat n_train n_test mae rmse r2".split()
    assert table.columns.tolist() == columns
    assert table["repeat"].tolist() == [0, 1, 2]
    assert table["n_train"].tolist() == [270] * 3 and table["n_test"].tolist() == [30] * 3
    for repeat, model in enumerate(fit_splits(X, Y, SPLITS, NETWORK)):
        test = SPLITS[repeat].test
        expected = scores(Y[test], model.predict(X[test]))
        assert table.loc[repeat, list(expected)].to_dict() == pytest.approx(expected)


@pytest.mark.parametrize("model", [NETWORK, KNeighborsRegressor(3, weights="distance")])
def test_nothing_of_the_test_rows_reaches_the_model(model):
    poisoned, test = Y.copy(), SPLITS[0].test
    poisoned[test] = 1e6
    (clean,) = fit_splits(X, Y, SPLITS[:1], model)
    (other,) = fit_splits(X, poisoned, SPLITS[:1], model)
    np.testing.assert_array_equal(clean.predict(X[test]), other.predict(X[test]))


def test_other_regressors_train_on_training_and_validation_rows():
    (model,) = fit_splits(X, Y, SPLITS[:1], KNeighborsRegressor(1))
    known = np.concatenate([SPLITS[0].train, SPLITS[0].validation])
    np.testing.assert_allclose(model.predict(X[known]), Y[known])
    forest = evaluate(X, Y, SPLITS[:1], RandomForestRegressor(20, random_state=0), **NAMES)
    assert forest["r2"].item() > 0.3
    with pytest.raises(ValueError, match="KNeighborsRegressor has no epochs to watch"):
        evaluate(X, Y, SPLITS, KNeighborsRegressor(), **NAMES, watch_test=True)


def test_best_on_test_flatters():
    noisy = Y + 2 * RNG.normal(size=len(Y))  # which the network overfits
    plain = evaluate(X, noisy, SPLITS, NETWORK, **NAMES)
    watched = evaluate(X, noisy, SPLITS, NETWORK, **NAMES, watch_test=True)
    np.testing.assert_allclose(watched[["mae", "rmse", "r2"]], plain[["mae", "rmse", "r2"]])
    assert (watched["best_mae"] <= watched["mae"] * (1 + 1e-6)).all()
    assert (watched["best_rmse"] <= watched["rmse"] * (1 + 1e-6)).all()
    assert (watched["best_r2"] >= watched["r2"] - 1e-6).all()
    assert (watched["best_r2"] > watched["r2"] + 0.005).any()


def test_search_finds_the_scaling_that_the_units_call_for():
    grid = {"input_scaling": (None, "standard"), "learning_rate": (1e-3, 3e-3)}
    best, table = search(X, Y, SPLITS[:1], NETWORK, grid)
    assert table[["input_scaling", "learning_rate"]].to_numpy().tolist() == [
        [None, 1e-3],
        [None, 3e-3],
        ["standard", 1e-3],
        ["standard", 3e-3],
    ]
    assert table["chosen"].sum() == 1
    chosen = table[table["chosen"]].iloc[0]
    assert chosen["validation_mae"] == table["validation_mae"].min()
    assert best.input_scaling == chosen["input_scaling"] == "standard"
    assert best.learning_rate == chosen["learning_rate"] and best.hidden == NETWORK.hidden
    held = SPLITS[0].validation
    (model,) = fit_splits(X, Y, SPLITS[:1], best)
    assert scores(Y[held], model.predict(X[held]))["mae"] == pytest.approx(chosen["validation_mae"])


def test_search_looks_at_no_test_row():
    grid = {"learning_rate": (1e-3, 1e-2)}
    poisoned = Y.copy()
    poisoned[SPLITS[0].test] = np.random.default_rng(1).normal(size=30) * 1e6
    _, clean = search(X, Y, SPLITS[:1], NETWORK, grid)
    _, other = search(X, poisoned, SPLITS[:1], NETWORK, grid)
    np.testing.assert_array_equal(clean["validation_mae"], other["validation_mae"])


def test_default_grid_names_parameters_of_the_network():
    assert set(evaluation.GRID) <= set(NETWORK.get_params())


def trained(features, epochs, maes):
    return [
        {"dataset": "d", "split": "s", "features": features, "repeat": i, "epochs": epochs}
        | {"mae": mae, "rmse": mae}
        for i, mae in enumerate(maes)
    ]


LONGER = pd.DataFrame(
    [
        *trained("a", 10, [1.0, 1.2, 5.0]),
        *trained("a", 20, [1.0, 1.164]),  # 0.018 of 1.1 lower, on the two repeats that have both
        *trained("b", 10, [2.0, 2.0]),
        *trained("b", 20, [1.9, 1.94]),  # 4% lower
        *trained("c", 10, [3.0]),  # not checked
        *trained("median", np.nan, [9.0, 9.0]),
    ]
)


def test_twice_the_epochs_are_compared_on_the_same_repeats():
    table = convergence(LONGER).set_index("features")
    assert table["checked"].to_dict() == {"a": 2, "b": 2, "c": 0}
    assert table.loc["a", "change"] == pytest.approx(-0.018)
    assert table.loc["a", "relative"] == pytest.approx(-0.018 / 1.1)
    assert table.loc["b", "relative"] == pytest.approx(-0.04)
    assert np.isnan(table.loc["c", "change"]) and (table["epochs"] == 10).all()


@pytest.mark.parametrize(
    ("features", "difference", "expected"),
    [
        (["a"], 0.04, True),
        (["a"], -0.04, True),
        (["a"], 0.03, False),  # half of it is less than the change
        (["b"], 1.0, False),  # more than 2%
        (["a", "b"], 1.0, False),
        (["c"], 1.0, False),  # not checked
        (["nothing"], 1.0, False),
    ],
)
def test_converged_is_what_longer_training_does_not_change(features, difference, expected):
    assert is_converged(convergence(LONGER), "d", "s", features, difference) is expected


def test_no_difference_is_converged_where_longer_training_makes_none():
    """a becomes 0.018 lower, b stays: the interval of a - b is moved by as much."""
    steady = pd.DataFrame([*trained("b", 10, [1.0, 1.0]), *trained("b", 20, [1.0, 1.0])])
    rows = pd.concat([LONGER[LONGER["features"] == "a"], steady], ignore_index=True)

    def converged(interval, difference=0.01, rows=rows):
        return is_converged(convergence(rows), "d", "s", ["a", "b"], difference, interval)

    assert not converged(None)
    assert converged((-0.01, 0.03))
    assert not converged((-0.02, 0.015))  # it would be a lead of a
    assert not converged((0.001, 0.03))  # it is a difference, and might be none
    assert converged((0.001, 0.099), 0.05)
    worse = rows.assign(mae=rows["mae"].where(rows["epochs"] == 10, rows["mae"] * 1.05))
    assert not converged((-0.2, 0.2), rows=worse)


def test_the_rows_as_planned_leave_out_the_longer_trainings():
    rows = as_planned(LONGER)
    assert rows["epochs"].dropna().unique().tolist() == [10] and len(rows) == 3 + 2 + 1 + 2


def test_the_study_is_of_the_most_epochs_that_all_repeats_have_and_that_were_checked():
    rows = [
        row for n, mae in ((10, 1.0), (20, 0.9), (40, 0.89)) for row in trained("a", n, [mae] * 3)
    ]
    more = pd.DataFrame(rows)
    assert convergence(more).loc[0, ["epochs", "checked"]].tolist() == [20, 3]
    assert convergence(more)["relative"].item() == pytest.approx(-0.01 / 0.9)
    assert as_planned(more)["mae"].tolist() == [0.9] * 3
    fewer = more[(more["epochs"] < 20) | (more["repeat"] == 0)]  # one repeat of the longer ones
    assert as_planned(fewer)["epochs"].unique().tolist() == [10]
    assert as_planned(more[more["epochs"] < 40])["epochs"].unique().tolist() == [10]
    assert convergence(more[more["epochs"] == 20])["checked"].item() == 0
