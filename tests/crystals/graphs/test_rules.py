"""Agreement of contributions and the size rule, against scipy and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from matgan.crystals.graphs import rules
from matgan.crystals.graphs.elements import element_properties


def table(values, repeats):
    """Contributions of elements on both sites: values (repeats, 2, elements)."""
    elements = ["Li", "Na", "K", "Rb", "Cs", "Ti"]
    rows = [
        {"site": site, "element": e, "contribution": values[r][s][i], "repeat": r}
        for r in range(repeats)
        for s, site in enumerate("AB")
        for i, e in enumerate(elements)
    ]
    return pd.DataFrame(rows)


def test_agreement_is_the_mean_rank_correlation_of_pairs():
    values = np.random.default_rng(0).normal(size=(3, 2, 6))
    found = rules.site_agreement(table(values, 3)).set_index("site")
    for s, site in enumerate("AB"):
        by_hand = [spearmanr(values[a][s], values[b][s])[0] for a, b in ((0, 1), (0, 2), (1, 2))]
        assert found.loc[site, "mean"] == pytest.approx(np.mean(by_hand))
        assert found.loc[site, "low"] == pytest.approx(min(by_hand))
        assert found.loc[site, "pairs"] == 3


def test_agreement_with_another_model_compares_the_same_repeat():
    values = np.random.default_rng(1).normal(size=(3, 2, 6))
    ours, theirs = table(values, 3), table(-values, 2)
    found = rules.site_agreement(ours, theirs)
    assert found["mean"].tolist() == pytest.approx([-1, -1]) and (found["pairs"] == 2).all()


def test_one_training_agrees_with_nothing():
    found = rules.site_agreement(table(np.ones((1, 2, 6)), 1))
    assert found["mean"].isna().all() and (found["pairs"] == 0).all()


def test_larger_elements_on_a_are_found_and_shuffled_ones_are_not():
    properties = element_properties().set_index("element")["covalent_radius"].dropna()
    rng = np.random.default_rng(0)
    size = pd.DataFrame({"A": -properties, "B": properties + rng.normal(0, 5, len(properties))})
    found = rules.size_rule(size)
    assert found["correlation"] < -0.9 and found["p"] < 0.001
    assert found["elements"] == len(properties)
    exchanged = size.assign(A=rng.permutation(size["A"]), B=rng.permutation(size["B"]))
    assert rules.size_rule(exchanged)["p"] > 0.01
    upside_down = rules.size_rule(size.rename(columns={"A": "B", "B": "A"}))
    assert upside_down["p"] > 0.99
