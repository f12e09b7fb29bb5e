import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.manifold import TSNE, trustworthiness

from matgan.learning.statistics import mean_interval
from matgan.representation.maps import (
    knn_purity,
    neighbour_overlap,
    purity_over_samples,
    purity_test,
    separation,
    separation_repeats,
    silhouette,
    summarise_separation,
    tsne_map,
)

RNG = np.random.default_rng(0)
LABELS = np.repeat(["cuprate", "iron-based", "other"], [150, 60, 90])
CENTRES = {"cuprate": 0.0, "iron-based": 6.0, "other": -6.0}
X = RNG.normal(size=(300, 10)) + np.array([CENTRES[label] for label in LABELS])[:, None] / 3


def test_map_is_as_faithful_as_that_of_scikit_learn():
    ours = tsne_map(X, seed=0, perplexity=20)
    theirs = TSNE(perplexity=20, init="pca", random_state=0).fit_transform(X)
    assert ours.shape == (300, 2) and np.isfinite(ours).all()
    assert trustworthiness(X, ours) == pytest.approx(trustworthiness(X, theirs), abs=0.02)
    assert trustworthiness(X, ours) > trustworthiness(X, X[:, :2]) + 0.02
    a, b = knn_purity(ours, LABELS).mean, knn_purity(theirs, LABELS).mean
    assert a == pytest.approx(b, abs=0.02)


def test_a_seed_gives_the_same_map_again():
    one, same, other = (tsne_map(X, seed=s, perplexity=20) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0


def test_map_needs_enough_finite_rows():
    with pytest.raises(ValueError, match="60 rows are too few for a perplexity of 20"):
        tsne_map(X[:60], perplexity=20)
    gap = X.copy()
    gap[7, 3] = np.nan
    with pytest.raises(ValueError, match="row 7 of X is not finite"):
        tsne_map(gap)


def test_purity_by_hand():
    # on a line: 0 and 1 of class a, 3 and 7 of class b; nearest neighbours 1, 0, 1, 3
    points, labels = np.array([[0.0], [1], [3], [7]]), ["a", "a", "b", "b"]
    got = knn_purity(points, labels, k=1)
    assert got.mean == pytest.approx(3 / 4)
    assert got.by_class == {"a": 1.0, "b": 0.5}
    assert got.chance == pytest.approx(1 / 3)  # one of the three others has the label


@pytest.mark.parametrize("k", [1, 10, 50])
def test_purity_against_all_distances(k):
    distances = cdist(X, X)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)[:, :k]
    expected = (LABELS[nearest] == LABELS[:, None]).mean()
    assert knn_purity(X, LABELS, k).mean == pytest.approx(expected)


def test_purity_of_random_labels_is_the_chance_level():
    purities = [knn_purity(X, RNG.permutation(LABELS)) for _ in range(30)]
    means = [p.mean for p in purities]
    assert np.mean(means) == pytest.approx(purities[0].chance, abs=4 * np.std(means) / 30**0.5)


def test_a_point_is_not_its_own_neighbour_even_among_copies():
    copies = np.zeros((6, 2))
    assert knn_purity(copies, list("abcdef"), k=3).mean == 0


def test_silhouette_by_hand():
    # a: own distance 1; b of 0 is (10 + 11) / 2, of 1 (9 + 10) / 2; by symmetry the same for b
    points = np.array([[0.0], [1], [10], [11]])
    expected = (1 - 1 / 10.5 + 1 - 1 / 9.5) / 2
    assert silhouette(points, list("aabb")) == pytest.approx(expected)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="300 rows but 299 labels"):
        knn_purity(X, LABELS[1:])
    with pytest.raises(ValueError, match="k must be from 1 to 299, not 300"):
        knn_purity(X, LABELS, k=300)
    with pytest.raises(ValueError, match=r"not \(300,\)"):
        silhouette(X[:, 0], LABELS)


def test_separation_over_seeds():
    noise = RNG.normal(size=X.shape)
    settings = {"seeds": [0, 1], "sample": 150, "perplexity": 15}
    good = separation(X, LABELS, features="good", **settings)
    bad = separation(noise, LABELS, features="noise", **settings)
    assert good["space"].tolist() == ["full", "map"] * 2
    assert (good["rows"] == 150).all() and good["seed"].tolist() == [0, 0, 1, 1]
    rows = np.random.default_rng(1).permutation(300)[:150]
    third = good.iloc[2]
    assert third["purity"] == knn_purity(X[rows], LABELS[rows]).mean
    assert third["silhouette"] == silhouette(X[rows], LABELS[rows])
    np.testing.assert_array_equal(good["chance"], bad["chance"])  # the same rows for both
    assert (good["purity"] > good["chance"] + 0.3).all()
    assert (bad["purity"] - bad["chance"]).abs().max() < 0.1

    table = summarise_separation(good)
    full = good[good["space"] == "full"]
    interval = mean_interval(full["purity"])
    got = table.iloc[0]
    assert (got["purity"], got["purity_low"], got["purity_high"]) == pytest.approx(
        (interval.mean, interval.low, interval.high)
    )
    assert table["space"].tolist() == ["full", "map"] and got["repeats"] == 2
    assert summarise_separation(full[:1])["purity_low"].isna().all()


def test_separation_side_by_side_is_separation_one_by_one():
    def features_of(seed):
        return {"same": X, "drawn": np.random.default_rng(seed).normal(size=X.shape)}

    got = separation_repeats(features_of, LABELS, [3, 4], sample=120, k=5)
    one_by_one = [
        separation(Z, LABELS, features=name, seeds=[seed], sample=120, k=5)
        for seed in (3, 4)
        for name, Z in features_of(seed).items()
    ]
    pd.testing.assert_frame_equal(got, pd.concat(one_by_one))


# --- neighbours of other groups, permutations, overlap ---


def test_purity_outside_the_own_group_by_hand():
    # on a line, 0 and 1 of one group: their nearest others are 3; 3 has 1, 7 has 3
    points, labels = np.array([[0.0], [1], [3], [7]]), ["a", "a", "b", "a"]
    got = knn_purity(points, labels, k=1, groups=["x", "x", "y", "z"])
    assert got.by_class == {"a": 0.0, "b": 0.0}
    # outside its group, 0 and 1 have one a in two; 3 none in three; 7 two in three
    assert got.chance == pytest.approx((1 / 2 + 1 / 2 + 0 + 2 / 3) / 4)


@pytest.mark.parametrize("k", [1, 10])
def test_purity_outside_the_own_group_against_all_distances(k):
    groups = RNG.integers(0, 40, len(X))
    distances = cdist(X, X)
    distances[groups[:, None] == groups] = np.inf
    nearest = np.argsort(distances, axis=1)[:, :k]
    expected = (LABELS[nearest] == LABELS[:, None]).mean()
    got = knn_purity(X, LABELS, k, groups)
    assert got.mean == pytest.approx(expected)
    shuffled = [knn_purity(RNG.normal(size=X.shape), LABELS, k, groups).mean for _ in range(30)]
    assert np.mean(shuffled) == pytest.approx(got.chance, abs=4 * np.std(shuffled) / 30**0.5)


def test_every_point_its_own_group_is_no_group():
    alone = knn_purity(X, LABELS, 5, groups=np.arange(len(X)))
    plain = knn_purity(X, LABELS, 5)
    assert (alone.mean, alone.chance) == pytest.approx((plain.mean, plain.chance))
    with pytest.raises(ValueError, match="only 2 rows outside the largest group, k is 5"):
        knn_purity(X, LABELS, 5, groups=[0] * 298 + [1, 2])


def test_purity_test_has_uniform_p_for_noise_and_small_p_for_classes():
    assert purity_test(X, LABELS, 5, permutations=200)["p"] == pytest.approx(1 / 201)
    found = [
        purity_test(RNG.normal(size=(60, 3)), np.arange(60) % 4, 3, permutations=100, seed=s)
        for s in range(80)
    ]
    assert 0.35 < np.mean([row["p"] for row in found]) < 0.65
    exact = knn_purity(np.zeros((60, 3)), np.arange(60) % 4, 3).chance
    assert np.mean([row["chance"] for row in found]) == pytest.approx(exact, abs=0.01)
    assert all(row["low"] <= row["chance"] <= row["high"] for row in found)


def test_overlap_by_hand_and_at_its_ends():
    a = np.array([[0.0], [1], [3], [7]])  # nearest: 1, 0, 1, 3 (by place)
    b = np.array([[0.0], [1], [1.5], [0.1]])  # nearest: 7's place, 2, 1, 0
    assert neighbour_overlap(a, b, k=1) == pytest.approx(1 / 4)  # only the third agrees
    rotation = np.linalg.qr(RNG.normal(size=(10, 10)))[0]
    assert neighbour_overlap(X, 3 * X @ rotation, k=10) == 1
    noise = neighbour_overlap(X, RNG.normal(size=X.shape), k=10)
    assert noise == pytest.approx(10 / 299, abs=0.015)
    with pytest.raises(ValueError, match="300 rows in one representation but 299"):
        neighbour_overlap(X, X[1:])


def test_purity_over_samples():
    noise = RNG.normal(size=X.shape)
    settings = {"task": "families", "seeds": [3, 4, 5], "sample": 150, "k": 7}
    rows = pd.concat(
        purity_over_samples(Z, LABELS, features=name, **settings)
        for name, Z in (("good", X), ("noise", noise))
    )
    drawn = np.random.default_rng(4).permutation(300)[:150]
    assert rows["purity"].iloc[1] == knn_purity(X[drawn], LABELS[drawn], 7).mean
