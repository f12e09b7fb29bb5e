"""Measures of generated compositions, against hand calculation, SciPy and known cases."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from matgan.chemistry.composition import CompositionError, amounts_matrix, keys, whole_counts
from matgan.generated import measures
from matgan.generated.controls import (
    independent_marginals,
    one_element_swapped,
    stoichiometry_shuffled,
)
from matgan.learning.statistics import mean_interval


def counts(*formulas):
    return whole_counts(amounts_matrix(formulas))


def test_uniqueness_novelty_and_recovery_by_hand():
    drawn = counts("NaCl", "KCl", "Na2Cl2", "BaTiO3", "KCl", "MgO")
    assert measures.uniqueness(drawn) == 4 / 6  # Na2Cl2 is NaCl
    assert measures.novelty(drawn, counts("MgO", "NaCl", "CaO")) == 2 / 4
    held_out = counts("BaTiO3", "KCl", "LiF", "CaO")
    assert measures.recovery(drawn, held_out, [1, 2, 3, 4, 6]) == [0, 1 / 4, 1 / 4, 2 / 4, 2 / 4]
    with pytest.raises(ValueError, match="6 samples, but sizes go to 7"):
        measures.recovery(drawn, held_out, [7])


def test_known_compounds_may_be_given_as_keys():
    drawn, known = counts("NaCl", "KCl", "Na2Cl2", "MgO"), counts("MgO", "CaO", "NaCl")
    assert measures.novelty(drawn, keys(known)) == measures.novelty(drawn, known) == 1 / 3


def test_divergences_of_equal_and_of_disjoint_sets():
    salts, oxides = counts("NaCl", "KCl", "NaCl"), counts("Fe2O3", "Al2O3")
    for divergence in (
        measures.element_divergence,
        measures.stoichiometry_divergence,
        measures.pair_divergence,
    ):
        assert divergence(salts, salts) == 0
        assert divergence(salts, oxides) == pytest.approx(1)
    # which elements, not which of them holds which count
    assert measures.stoichiometry_divergence(oxides, counts("Na2Cl3", "O2K3")) == 0


def test_two_sample_auc(oqmd):
    data = whole_counts(amounts_matrix(oqmd["formula"].sample(30_000, random_state=0)))
    train, held_out = data[:20_000], data[20_000:]
    rng = np.random.default_rng(0)

    def auc(sample, **options):
        return measures.two_sample_auc(sample, held_out, n=4000, folds=2, **options)

    # known from an earlier, independent computation with 8,000 of each: 0.51, 0.71, 0.92
    assert auc(train) == pytest.approx(0.51, abs=0.03)
    assert auc(stoichiometry_shuffled(train, 4000, rng)) == pytest.approx(0.71, abs=0.05)
    independent = independent_marginals(train, 4000, rng)
    strict = auc(independent)
    assert strict == pytest.approx(0.92, abs=0.04)
    # trees on the counts alone miss most of what is wrong with independent elements
    assert 0.53 < auc(independent, stoichiometry=False) < strict - 0.1


def test_a_wrong_stoichiometry_shows_in_the_stricter_test_only():
    rng = np.random.default_rng(0)
    sevens = np.zeros((1500, 85), dtype=np.uint8)
    for row in sevens:  # two of eighty elements, counts 1 and 2
        row[rng.choice(80, 2, replace=False)] = 1, 2
    equal = sevens.copy()
    equal[equal > 0] = rng.integers(1, 3, 1500).repeat(2)  # 1 and 1, or 2 and 2
    assert measures.two_sample_auc(sevens, equal, stoichiometry=False) < 0.75
    assert measures.two_sample_auc(sevens, equal) == 1


def test_two_sample_auc_follows_its_seed():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (200, 85)), rng.integers(0, 2, (200, 85))
    first = measures.two_sample_auc(a, b, seed=1)
    assert first == measures.two_sample_auc(a, b, seed=1)
    assert first != measures.two_sample_auc(a, b, seed=2)
    with pytest.raises(ValueError, match="needs 10 compositions of each kind, not 5"):
        measures.two_sample_auc(a[:5], b)


def test_energy_distance():
    # all mass moves by 0.3
    energies = np.random.default_rng(0).normal(size=500)
    assert measures.energy_distance(energies, energies + 0.3) == pytest.approx(0.3)


def test_validity_rates_by_hand():
    rates = measures.validity_rates(counts("NaCl", "TiAl", "LiF2", "SeC", "Li2Na"))
    assert rates["neutral"] == 3 / 5
    assert rates["balanced"] == 1 / 5
    assert rates["not all metal"] == 3 / 5
    assert rates["neutral, not all metal"] == 2 / 3
    assert rates["balanced, not all metal"] == 1 / 3
    assert np.isnan(measures.validity_rates(counts("TiAl"))["neutral, not all metal"])


def test_rates_of_what_is_not_all_metal_on_oqmd(oqmd):
    data = whole_counts(amounts_matrix(oqmd["formula"]))
    assert measures.validity_rates(data)["neutral, not all metal"] == pytest.approx(0.750, abs=2e-3)


def test_evaluate(mp_compositions):
    data = whole_counts(amounts_matrix(mp_compositions["formula"]))
    train, held_out = data[:3000], data[3000:6000]
    drawn = one_element_swapped(train, 1200, np.random.default_rng(0))
    sizes = (100, 1000, 10_000)
    result = measures.evaluate_compositions(
        drawn, train, held_out, known=data, n_raw=1500, sizes=sizes
    )
    assert result["decodable"] == 0.8
    assert result["unique"] == measures.uniqueness(drawn)
    assert result["novel"] == measures.novelty(drawn, train)
    assert result["novel, all known"] <= result["novel"]
    assert result["recovered in 100"] <= result["recovered in 1,000"]
    assert "recovered in 10,000" not in result
    assert result["neutral"] == measures.validity_rates(drawn)["neutral"]
    assert 0.5 < result["two-sample AUC (counts)"] < 1
    assert 0.5 < result["two-sample AUC (counts and stoichiometry)"] < 1
    assert not any(np.isnan(value) for value in result.values())


def test_evaluate_a_generator_that_gives_nothing():
    nothing = np.zeros((0, 85), dtype=np.uint8)
    result = measures.evaluate_compositions(nothing, counts("NaCl"), counts("KCl"), n_raw=1000)
    assert result.pop("decodable") == 0
    assert all(np.isnan(value) for value in result.values())


def test_over_seeds_keeps_the_order_and_leaves_out_what_was_not_run():
    rows = [("mp", "unique", "ours", "w", seed, value) for seed, value in enumerate([0.8, 0.9])]
    rows += [
        ("mp", "unique", "a control", "", 0, 0.5),
        ("mp", "unique", "not there", "", 0, np.nan),
    ]
    table = pd.DataFrame(rows, columns=["data", "measure", "model", "weights", "seed", "value"])
    summary = measures.over_seeds(table)
    assert summary["model"].tolist() == ["ours", "a control"]
    found = mean_interval([0.8, 0.9])
    assert summary.loc[0, ["mean", "low", "high"]].tolist() == [found.mean, found.low, found.high]
    assert summary.loc[0, ["interval over", "n"]].tolist() == ["samples", 2]
    assert summary.loc[1, "mean"] == 0.5
    assert np.isnan(summary.loc[1, "low"])


def test_the_interval_of_several_trainings_is_over_the_trainings():
    values = {"a": [0.5, 0.52, 0.54], "b": [0.6, 0.62, 0.64], "c": [0.7, 0.72, 0.74]}
    rows = [
        ("mp", "unique", "ours", weights, seed, value)
        for weights, drawn in values.items()
        for seed, value in enumerate(drawn)
    ]
    table = pd.DataFrame(rows, columns=["data", "measure", "model", "weights", "seed", "value"])
    (summary,) = measures.over_seeds(table).to_dict("records")
    # by hand: means 0.52, 0.62, 0.72, standard error 0.1 / sqrt(3), t of 2 degrees 4.30265
    assert summary["mean"] == pytest.approx(0.62)
    assert summary["high"] - summary["mean"] == pytest.approx(4.30265 * 0.1 / 3**0.5)
    assert (summary["interval over"], summary["n"]) == ("networks", 3)


def test_differences_are_tested_over_seeds_and_corrected():
    values = {"ours": [0.5, 0.52, 0.54], "near": [0.5, 0.53, 0.56], "far": [0.7, 0.72, 0.73]}
    rows = [
        ("mp", "unique", model, "", seed, value)
        for model, drawn in (values | {"once": [0.9]}).items()
        for seed, value in enumerate(drawn)
    ]
    table = pd.DataFrame(rows, columns=["data", "measure", "model", "weights", "seed", "value"])
    others = ["near", "far", "once", "absent"]
    found = measures.differences(table, "ours", others).set_index("other")
    assert found.index.tolist() == ["near", "far"]
    assert found.loc["far", "difference"] == pytest.approx(0.52 - 2.15 / 3)
    # Welch by hand for "far": variances 4e-4 / 3 and 7/3 e-4 / 3; the smaller of two p, times 2
    a, b = 4e-4 / 3, 7e-4 / 9
    t, degrees = (0.52 - 2.15 / 3) / (a + b) ** 0.5, (a + b) ** 2 / (a**2 / 2 + b**2 / 2)
    assert found.loc["far", "p_holm"] == pytest.approx(2 * 2 * stats.t.sf(-t, degrees))
    assert found.loc["near", "p_holm"] > 0.5
    assert measures.differences(table, "absent", others).empty


@pytest.mark.parametrize(("other", "p"), [(0.5, 1), (0.6, 0)])
def test_differences_without_any_spread(other, p):
    rows = [
        ("mp", "unique", model, "", s, v) for model, v in (("a", 0.5), ("b", other)) for s in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["data", "measure", "model", "weights", "seed", "value"])
    assert measures.differences(table, "a", ["b"])["p_holm"].tolist() == [p]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((3, 85), 0.5), "row 0.*H has the amount 0.5"),
        (np.full((3, 85), -1), "row 0.*H has the amount -1"),
        (np.full((3, 85), np.nan), "row 0.*H has the amount nan"),
        (np.tile([300.0, *[1.0] * 84], (3, 1)), "row 0.*H has the amount 300.*from 0 to 255"),
        (np.ones((3, 84)), r"shape \(n, 85\), not \(\d+, 84\)"),
    ],
)
def test_bad_compositions_are_named(bad, message):
    good = counts("NaCl", "KCl")
    for measure in (
        lambda: measures.novelty(bad, good),
        lambda: measures.novelty(good, bad),
        lambda: measures.recovery(bad, good, [1]),
        lambda: measures.stoichiometry_divergence(bad, good),
        lambda: measures.validity_rates(bad),
        lambda: measures.evaluate_compositions(bad, good, good),
        lambda: measures.two_sample_auc(np.repeat(bad, 10, axis=0), np.repeat(bad, 10, axis=0)),
    ):
        with pytest.raises(CompositionError, match=message):
            measure()


def test_an_unknown_set_of_oxidation_states_is_named():
    with pytest.raises(ValueError, match="unknown set of oxidation states 'smact15'"):
        measures.evaluate_compositions(
            counts("NaCl"), counts("KCl"), counts("KCl"), oxidation_states="smact15"
        )
