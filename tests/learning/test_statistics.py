import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from matgan.learning.statistics import (
    calibration_error,
    compare,
    compare_with_control,
    corrected_resampled_ttest,
    holm,
    jensen_shannon,
    mean_interval,
    permutation_p,
    scores,
    share_interval,
    summarise,
    top_k,
    welch_p,
)

RNG = np.random.default_rng(0)


# --- Equations 7 to 9 -----------------------------------------------------------------------------


def test_scores_by_hand():
    # errors 1, 0, -2; mean of y is 2, squares about it 1 + 0 + 1
    got = scores([1, 2, 3], [2, 2, 1])
    assert got == pytest.approx({"mae": 1.0, "rmse": np.sqrt(5 / 3), "r2": 1 - 5 / 2})


def test_scores_equal_scikit_learn():
    y, p = RNG.normal(size=(2, 500))
    expected = {
        "mae": metrics.mean_absolute_error(y, p),
        "rmse": metrics.root_mean_squared_error(y, p),
        "r2": metrics.r2_score(y, p),
    }
    assert scores(y, p) == pytest.approx(expected)
    assert np.isnan(scores([2, 2], [1, 3])["r2"])


def test_scores_refuse_what_has_none():
    with pytest.raises(ValueError, match=r"row 1: y is 2\.0, predicted nan"):
        scores([1, 2], [1, np.nan])
    with pytest.raises(ValueError, match=r"not \(2,\) and \(3,\)"):
        scores([1, 2], [1, 2, 3])


def test_top_k_by_hand():
    logits = np.array([[3.0, 2, 1], [1, 2, 3], [2, 3, 1]])
    classes = np.array([0, 1, 2])
    assert top_k(logits, classes, 1) == pytest.approx(1 / 3)
    assert top_k(logits, classes, 2) == pytest.approx(2 / 3)
    assert top_k(logits, classes, 3) == 1
    # a model that says nothing is right on the first class only
    assert top_k(np.zeros((3, 3)), np.arange(3), 1) == pytest.approx(1 / 3)


# --- repeated splits ------------------------------------------------------------------------------


def test_corrected_ttest_by_hand():
    # mean 2, s² = 1, variance of the mean 1/3 + 1/2; with 2 degrees of freedom
    # p = 1 - t / sqrt(2 + t²), and the 97.5% point of t is 4.302653
    got = corrected_resampled_ttest([1, 2, 3], test_train_ratio=0.5)
    t = 2 / np.sqrt(5 / 6)
    assert got.t == pytest.approx(t)
    assert got.p == pytest.approx(1 - t / np.sqrt(2 + t**2))
    half = 4.302653 * np.sqrt(5 / 6)
    assert (got.mean, got.low, got.high) == pytest.approx((2, 2 - half, 2 + half))


def test_without_overlap_it_is_the_paired_ttest():
    a, b = RNG.normal(size=(2, 10))
    peer = stats.ttest_rel(a, b)
    got = corrected_resampled_ttest(a - b, 0)
    assert (got.t, got.p) == pytest.approx((peer.statistic, peer.pvalue))
    limits = peer.confidence_interval(0.9)
    got = mean_interval(a - b, level=0.9)
    assert (got.low, got.high) == pytest.approx(tuple(limits))


def test_finds_a_difference_in_5_percent_of_cases_without_one():
    # Ten differences as correlated as those of splits with 10% for testing are taken to be: the
    # plain test finds far too many, the corrected one 5% (three standard errors of 4,000 cases).
    rho = 0.1
    shared, own = RNG.normal(size=(4000, 1)), RNG.normal(size=(4000, 10))
    cases = np.sqrt(rho) * shared + np.sqrt(1 - rho) * own
    plain = np.mean([corrected_resampled_ttest(d, 0).p < 0.05 for d in cases])
    corrected = np.mean([corrected_resampled_ttest(d, rho / (1 - rho)).p < 0.05 for d in cases])
    assert plain > 0.1
    assert corrected == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))


def test_equal_differences():
    assert corrected_resampled_ttest([0, 0, 0], 0.1).p == 1
    assert corrected_resampled_ttest([2, 2, 2], 0.1).p == 0


@pytest.mark.parametrize("bad", [[1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_too_little_is_an_error(bad):
    with pytest.raises(ValueError, match="two or more finite numbers"):
        corrected_resampled_ttest(bad, 0.1)


def test_holm_by_hand():
    # sorted 0.005 × 4, 0.01 × 3, 0.03 × 2, 0.04 × 1, the last raised to the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([0.0, 1.0]).tolist() == [0, 1]
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([0.1, 1.2])


def test_holm_rejects_as_its_step_down_rule_does():
    for _ in range(200):
        p = RNG.beta(0.3, 3, size=6)
        rejected = np.zeros(6, dtype=bool)
        for k, i in enumerate(np.argsort(p)):  # stop at the first that is not below α / (m - k)
            if p[i] > 0.05 / (6 - k):
                break
            rejected[i] = True
        np.testing.assert_array_equal(holm(p) <= 0.05, rejected)


def rows(values: dict[str, list[float]], dataset: str = "d") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "dataset": dataset,
            "features": features,
            "split": "random",
            "repeat": repeat,
            "n_train": 90,
            "n_test": 10,
            "mae": mae,
            "rmse": 2 * mae,
            "r2": 1 - mae,
        }
        for features, maes in values.items()
        for repeat, mae in enumerate(maes)
    )


def test_compare_pairs_the_repeats():
    values = {name: list(RNG.normal(0.1, 0.01, 5)) for name in ("a", "b", "c")}
    table = compare(pd.concat([rows(values), rows({"a": [1, 2], "b": [2, 3.5]}, "e")]))
    assert table[["dataset", "a", "b"]].to_numpy().tolist() == [
        ["d", "a", "b"],
        ["d", "a", "c"],
        ["d", "b", "c"],
        ["e", "a", "b"],
    ]
    test = corrected_resampled_ttest(np.subtract(values["a"], values["c"]), 10 / 90)
    got = table.iloc[1]
    assert (got["difference"], got["t"], got["p"]) == pytest.approx((test.mean, test.t, test.p))
    np.testing.assert_allclose(table["p_holm"][:3], holm(table["p"][:3]))
    assert table["p_holm"].iloc[3] == table["p"].iloc[3]
    # in whatever order the rows come
    shuffled = compare(rows(values).sample(frac=1, random_state=0)).set_index(["a", "b"])
    p = {frozenset(pair): value for pair, value in shuffled["p"].items()}
    assert p[frozenset("ac")] == pytest.approx(test.p)


def test_planned_pairs_are_corrected_among_themselves():
    values = RNG.normal(size=(4, 6)) + np.arange(4)[:, None]
    rows = pd.DataFrame(
        {"dataset": d, "split": "s", "features": name, "repeat": i, "n_train": 9, "n_test": 1}
        | dict.fromkeys(("mae", "rmse", "r2"), value)
        for d, names in (("one", "abcd"), ("two", "ab"))
        for name, numbers in zip(names, values, strict=False)
        for i, value in enumerate(numbers)
    )
    planned = compare(rows, pairs=[("a", "c"), ("b", "a")])
    every = compare(rows).set_index(["dataset", "a", "b"])
    assert planned[["dataset", "a", "b"]].to_numpy().tolist() == [
        ["one", "a", "c"],
        ["one", "b", "a"],
        ["two", "b", "a"],  # c is not there
    ]
    assert planned["p"][0] == every.loc[("one", "a", "c"), "p"]
    assert planned["difference"][1] == pytest.approx(-every.loc[("one", "a", "b"), "difference"])
    np.testing.assert_allclose(planned["p_holm"][:2], holm(planned["p"][:2]))
    assert planned["p_holm"][2] == planned["p"][2]


def test_compare_needs_the_same_repeats():
    with pytest.raises(ValueError, match="d, random: 'b' lacks some of the repeats"):
        compare(rows({"a": [1, 2, 3], "b": [1, 2]}))


def test_compare_takes_the_repeats_that_a_pair_has_in_common():
    values = {"a": [1, 2, 4, 3], "b": [2, 4, 5], "c": [7]}
    table = compare(rows(values), common=True)
    assert table[["a", "b", "repeats"]].to_numpy().tolist() == [["a", "b", 3]]  # c has one repeat
    assert table["p"][0] == compare(rows({"a": [1, 2, 4], "b": [2, 4, 5]}))["p"][0]
    nothing = compare(rows(values), pairs=[("b", "c"), ("a", "d")], common=True)
    assert nothing.empty and list(nothing) == list(table)


def test_compare_takes_columns_of_other_names():
    values = RNG.normal(size=(2, 3, 6))  # places, ways, seeds
    table = pd.DataFrame(
        {"place": place, "way": way, "seed": seed, "score": values[i, j, seed]}
        for i, place in enumerate(("here", "there"))
        for j, way in enumerate(("x", "y", "z"))
        for seed in range(6)
    ).sample(frac=1, random_state=0)
    names = {"metric": "score", "ways": "way", "repeat": "seed", "ratio": lambda part: 0.0}
    pairs = [("x", "y"), ("x", "z")]
    got = compare(table, **names, pairs=pairs, within=["place"], family=["a", "b"])
    got = got.set_index(["place", "b"])
    expected = {
        (place, b): stats.ttest_rel(values[i, 0], values[i, j]).pvalue
        for i, place in enumerate(("here", "there"))
        for j, b in ((1, "y"), (2, "z"))
    }
    assert got["p"].to_dict() == pytest.approx(expected)
    for b in ("y", "z"):  # corrected over the places
        adjusted = [got.loc[(place, b), "p_holm"] for place in ("here", "there")]
        assert adjusted == pytest.approx(holm([expected["here", b], expected["there", b]]))
    over_all = compare(table, **names, pairs=pairs, within=["place"], family=[])
    assert over_all["p_holm"].tolist() == pytest.approx(holm(over_all["p"]))
    one = compare(table[table["place"] == "here"], **names, pairs=pairs, within=[])
    assert one["p"].tolist() == pytest.approx([expected["here", "y"], expected["here", "z"]])
    assert one["p_holm"].tolist() == pytest.approx(holm(one["p"]))
    with pytest.raises(
        ValueError, match="metric must be one of place, way, seed, score, not 'mae'"
    ):
        compare(table)


def test_summary():
    table = summarise(rows({"a": [1, 2, 3], "b": [4, 4.5, 5], "single": [7]}))
    assert table["features"].tolist() == ["a", "b", "single"]
    interval = mean_interval([1, 2, 3], 10 / 90)
    a = table.iloc[0]
    assert (a["mae"], a["mae_low"], a["mae_high"]) == pytest.approx(
        (2, interval.low, interval.high)
    )
    assert a["rmse"] == pytest.approx(4) and a["repeats"] == 3
    assert table["mae_low"].isna().tolist() == [False, False, True]


def test_the_interval_of_one_result_is_missing():
    one = mean_interval([7.0])
    assert one.mean == 7 and np.isnan([one.low, one.high, one.t, one.p]).all()
    columns = mean_interval([1, 2, 3]).columns("auc")
    assert list(columns) == ["auc", "auc_low", "auc_high"]
    # t for 2 degrees of freedom, 95%: 4.302653
    assert columns["auc_high"] == pytest.approx(2 + 4.302653 / np.sqrt(3))


def test_differences_from_a_control_are_paired_by_seed():
    values = {"good": [0.9, 0.8, 0.7], "noise": [0.2, 0.3, 0.4]}
    table = pd.DataFrame(
        {"features": features, "task": "families", "seed": seed, "purity": value, "chance": 0.1}
        for features, drawn in values.items()
        for seed, value in enumerate(drawn)
    )
    found = compare_with_control(table[::-1], "purity", "noise").set_index("features")
    peer = stats.ttest_rel(values["good"], values["noise"]).confidence_interval()
    assert found.loc["good", "difference"] == pytest.approx(0.5)
    assert found.loc["good", "difference_low"] == pytest.approx(peer.low)
    assert found.loc["good", "difference_high"] == pytest.approx(peer.high)
    expected = mean_interval(values["noise"])
    assert found.loc["noise", "purity_high"] == pytest.approx(expected.high)
    assert found["chance"].to_numpy() == pytest.approx(0.1)
    assert np.isnan(found.loc["noise", "difference"])
    one = compare_with_control(table[table["seed"] == 1], "purity", "noise")
    assert one["purity_low"].isna().all() and one["difference"].notna().sum() == 1
    with pytest.raises(ValueError, match="families: no rows of the control 'none'"):
        compare_with_control(table, "purity", "none")


def test_calibration_error_is_the_gap_of_each_bin_weighted_by_its_members():
    rng = np.random.default_rng(0)
    stated, correct = rng.random(500), rng.random(500) < 0.4
    by_hand = 0.0
    for low in np.arange(10) / 10:
        own = (stated >= low) & (stated < low + 0.1)
        by_hand += abs(stated[own].mean() - correct[own].mean()) * own.mean()
    assert calibration_error(stated, correct) == pytest.approx(by_hand)
    assert calibration_error([1.0, 1.0], [True, True]) == 0
    assert calibration_error([1.0, 1.0], [True, False]) == 0.5


# --- two samples, permutations, shares ------------------------------------------------------------


def test_welch_by_hand():
    a, b = [1.0, 2.0, 3.0], [5.0, 9.0]
    # variances of the means 1/3 and 8/2; degrees of freedom by Welch and Satterthwaite
    va, vb = 1 / 3, 4.0
    degrees = (va + vb) ** 2 / (va**2 / 2 + vb**2 / 1)
    expected = 2 * stats.t.sf(5 / np.sqrt(va + vb), degrees)
    assert welch_p(a, b) == pytest.approx(expected) == welch_p(b, a)
    assert welch_p([1, 1], [1, 1, 1]) == 1 and welch_p([1, 1], [2, 2]) == 0


def test_a_permutation_p_is_the_rank_of_the_data_and_never_zero():
    drawn = np.arange(99.0)
    assert permutation_p(1000.0, drawn) == pytest.approx(1 / 100)
    assert permutation_p(-1.0, drawn) == 1
    assert permutation_p(98.0, drawn) == pytest.approx(2 / 100)  # a draw that equals it reaches it
    # against SciPy's own test of means, whose draws are all 20 permutations: p is their share
    x, y = np.array([1.0, 2.0, 3.5]), np.array([2.5, 4.0, 9.0])
    peer = stats.permutation_test(
        (y, x), lambda a, b: a.mean() - b.mean(), permutation_type="independent",
        alternative="greater", n_resamples=np.inf,
    )  # fmt: skip
    others = np.sort(peer.null_distribution)
    others = np.delete(others, np.searchsorted(others, peer.statistic))
    assert permutation_p(peer.statistic, others) == pytest.approx(peer.pvalue)


def test_the_interval_is_wilsons():
    """81 of 263: 0.2553 to 0.3662, the example of Newcombe (Statist. Med. 1998)."""
    low, high = share_interval(np.arange(263) < 81)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


# --- histograms -----------------------------------------------------------------------------------

histograms = st.lists(st.integers(0, 1000), min_size=5, max_size=5).filter(any)


@given(histograms, histograms)
def test_jensen_shannon_is_its_definition(p, q):
    a, b = (np.array(h) / sum(h) for h in (p, q))
    mean = (a + b) / 2
    expected = (stats.entropy(a, mean, base=2) + stats.entropy(b, mean, base=2)) / 2
    assert jensen_shannon(np.array(p), np.array(q)) == pytest.approx(expected, abs=1e-12)


def test_jensen_shannon_at_its_ends():
    assert jensen_shannon(np.array([1, 2, 0]), np.array([10, 20, 0])) == pytest.approx(0, abs=1e-15)
    assert jensen_shannon(np.array([1, 0]), np.array([0, 5])) == pytest.approx(1)
    assert np.isnan(jensen_shannon(np.zeros(2), np.array([1, 1])))


def test_a_stated_certainty_belongs_to_the_last_bin():
    """0.95 and 1 lie in one of ten bins: right 1 of 2, stated 1.95, a gap of 0.95 over 2 rows."""
    found = calibration_error(np.array([0.95, 1.0]), np.array([True, False]))
    assert found == pytest.approx(0.475)
