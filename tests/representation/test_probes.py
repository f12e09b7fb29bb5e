import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from matgan import ELEMENTS
from matgan.chemistry.composition import formulas
from matgan.representation.probes import (
    ab_compositions,
    in_line,
    line_test,
    principal_components,
    probe,
    probe_splits,
    probe_table,
)

RNG = np.random.default_rng(0)


def test_principal_components_are_those_of_scikit_learn():
    X = RNG.normal(size=(40, 7)) * np.arange(1, 8) + 3
    points, explained = principal_components(X)
    theirs = PCA(2).fit(X)
    np.testing.assert_allclose(np.abs(points), np.abs(theirs.transform(X)), atol=1e-9)
    np.testing.assert_allclose(explained, theirs.explained_variance_ratio_)


def test_in_line_is_the_r2_of_the_rank():
    points = RNG.normal(size=(6, 2))
    rank = np.arange(6)[:, None]
    centred = points - points.mean(0)
    left = centred - LinearRegression().fit(rank, centred).predict(rank)
    assert in_line(points) == pytest.approx(1 - (left**2).sum() / (centred**2).sum())


def test_in_line_knows_order_and_steps():
    line = np.outer(np.arange(5), [3.0, -4.0]) + 7
    assert in_line(line) == pytest.approx(1)
    assert in_line(line[::-1]) == pytest.approx(1)
    assert in_line(line[[2, 0, 4, 1, 3]]) < 0.2  # on the line, but out of order
    assert in_line(np.ones((5, 2))) == 0


def test_line_test_finds_a_row_among_noise_and_no_more():
    points = RNG.normal(size=(85, 2))
    points[:5] = np.outer(np.arange(5), [1.0, 1.0])
    assert line_test(points, range(5))["p"] < 0.005
    assert line_test(points, range(5), draws=9)["p"] == pytest.approx(1 / 10)  # never 0
    # for sets drawn at random, p is uniform
    p = [line_test(points, RNG.permutation(85)[:5], draws=200, seed=s)["p"] for s in range(100)]
    assert 0.4 < np.mean(p) < 0.6
    # m points in random order: R² of a rank is 1 / (m - 1) on average
    assert line_test(points, range(5, 10))["chance"] == pytest.approx(0.25, abs=0.02)


def test_ab_compositions_are_all_pairs():
    amounts, pairs = ab_compositions()
    assert amounts.shape == (85 * 84 // 2, 85) and amounts.sum() == 2 * len(pairs)
    texts = formulas(amounts)
    assert len(set(texts)) == len(texts) and {"NaCl", "GaAs", "CsI"} <= set(texts)
    a, b = pairs[texts.index("NaCl")]
    assert {ELEMENTS[a], ELEMENTS[b]} == {"Na", "Cl"}


def test_held_out_elements_are_in_no_training_pair():
    _, pairs = ab_compositions()
    for train, test in probe_splits(pairs, "elements", 3):
        assert not set(pairs[train].ravel()) & set(pairs[test].ravel())
        assert len(test) == 28 * 27 // 2 and len(train) == 57 * 56 // 2
    for train, test in probe_splits(pairs, "pairs", 3):
        assert sorted([*train, *test]) == list(range(len(pairs)))
        assert len(test) == len(pairs) // 5
    with pytest.raises(ValueError, match="'pairs' or 'elements', not 'rows'"):
        probe_splits(pairs, "rows", 1)


def test_probe_is_perfect_on_what_is_linear_and_blind_to_noise():
    X = RNG.normal(size=(600, 5))
    y = X[:, 0] - 2 * X[:, 3] > 0.3
    splits = [(np.arange(400), np.arange(400, 600)), (np.arange(200, 600), np.arange(200))]
    assert probe(X, y, splits)["auc"] > 0.99
    noise = probe(X, RNG.permutation(y), splits)
    assert noise["auc"] == pytest.approx(0.5, abs=0.1)
    assert noise["auc_low"] < 0.5 < noise["auc_high"]
    assert np.isnan(probe(X, y, splits[:1])["auc_low"])


def test_one_hot_knows_elements_it_has_seen_and_no_others():
    amounts, pairs = ab_compositions()
    kind = RNG.random(85) < 0.5  # a property of elements that no other element's tells
    y = kind[pairs].all(axis=1)
    table = probe_table({"one-hot": amounts, "kind": kind[pairs].sum(1)[:, None]}, y, pairs, 3)
    auc = table.pivot_table(index="features", columns="held_out", values="auc")
    assert auc.loc["one-hot", "pairs"] > 0.99
    assert auc.loc["one-hot", "elements"] == pytest.approx(0.5, abs=0.05)
    assert auc.loc["kind", "elements"] > 0.99
    assert table["shuffled"].between(0.3, 0.7).all()
