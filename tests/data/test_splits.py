from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.data import splits
from matgan.data.compounds import one_element_apart
from matgan.data.splits import (
    Split,
    chemical_systems,
    compositions,
    grouped_parts,
    grouped_splits,
    near_duplicate_families,
    one_element_swaps,
    published_split,
    random_parts,
    random_splits,
    share_one_element_apart,
    unseen_elements,
)


def parts(split: Split) -> tuple[set, set, set]:
    return set(split.train), set(split.validation), set(split.test)


@given(st.integers(20, 300), st.integers(1, 4), st.integers(0, 5))
def test_random_splits_part_the_rows(n, repeats, seed):
    splits = random_splits(n, repeats, seed)
    assert len(splits) == repeats
    for split in splits:
        train, validation, test = parts(split)
        assert sorted(train | validation | test) == list(range(n))
        assert len(train) + len(validation) + len(test) == n
        assert len(test) == round(0.1 * n)
        assert len(validation) == round(0.1 * (n - len(test)))


def test_seeds_and_repeats():
    one, same, other = (random_splits(100, 3, seed) for seed in (1, 1, 2))
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a.test, b.test)
        assert parts(a)[2] != parts(c)[2]
    assert parts(one[0])[2] != parts(one[1])[2]
    # one repeat does not depend on how many follow
    np.testing.assert_array_equal(random_splits(100, 1, 1)[0].train, one[0].train)
    # parts are not sorted: the first n rows of one are a random sample of it
    assert list(one[0].train) != sorted(one[0].train)


def test_no_compound_of_a_held_out_element_is_trained_on(oqmd):
    amounts = amounts_matrix(oqmd["formula"][:3000])
    splits, held = unseen_elements(amounts, 10, seed=1), []
    for split in splits:
        train, validation, test = parts(split)
        assert sorted(train | validation | test) == list(range(3000))
        assert len(validation) == round(0.1 * (len(train) + len(validation)))
        seen = amounts[sorted(train | validation)].any(0)
        assert (amounts[sorted(test)][:, ~seen] > 0).any(1).all()
        held.append(np.flatnonzero(amounts.any(0) & ~seen))
    # each element is held out, and few at a time; a rare one may be gone with its partners, too
    assert set(np.concatenate(held)) == set(np.flatnonzero(amounts.any(0)))
    assert all(8 <= len(elements) <= 12 for elements in held)
    again, other = (unseen_elements(amounts, 10, seed=seed)[3] for seed in (1, 2))
    np.testing.assert_array_equal(again.train, splits[3].train)
    assert set(other.test) != set(splits[3].test)
    with pytest.raises(ValueError, match="folds must be from 2 to 2 elements, not 3"):
        unseen_elements(np.eye(85)[:2], 3)
    with pytest.raises(ValueError, match="fold 0 of 2 leaves a part empty"):
        unseen_elements(np.ones((4, 85)), 2)


@given(st.lists(st.integers(0, 30), min_size=100, max_size=300), st.integers(0, 5))
def test_grouped_splits_keep_groups_whole(groups, seed):
    groups = np.array(groups)
    largest = np.unique(groups, return_counts=True)[1].max()
    try:
        splits = grouped_splits(groups, 2, seed)
    except ValueError as error:
        assert "leaves a part empty" in str(error) and largest > 20
        return
    for split in splits:
        labels = [set(groups[list(rows)]) for rows in parts(split)]
        assert not labels[0] & labels[1] and not labels[0] & labels[2] and not labels[1] & labels[2]
        assert sum(map(len, parts(split))) == len(groups)
        share = round(0.1 * len(groups))
        assert share <= len(split.test) < share + largest


def test_too_few_groups_are_an_error():
    with pytest.raises(ValueError, match="2 groups, the largest of 6 of 10 rows"):
        grouped_splits([0] * 6 + [1] * 4, 1)
    for share in (0, 1, 1.5):
        with pytest.raises(ValueError, match="test must lie between 0 and 1"):
            random_splits(100, 1, test=share)
    for labels in ([], ["a", None, "b"], [0.0, np.nan]):
        with pytest.raises(ValueError, match="one row or more, none of them missing"):
            grouped_splits(labels, 1)


def test_limited_splits_are_nested_and_keep_the_test_rows():
    (split,) = random_splits(1000, 1)
    before = (set(), set(), set(split.test))
    for n in (10, 100, 555, 900):
        now = parts(split.limited(n))
        assert len(now[0]) + len(now[1]) == n
        assert len(now[1]) == pytest.approx(n * 0.1, abs=1)
        assert before[0] <= now[0] and before[1] <= now[1] and before[2] == now[2]
        before = now
    assert parts(split.limited(900)) == parts(split)
    with pytest.raises(ValueError, match="n must be from 2 to 900, not 901"):
        split.limited(901)


@pytest.mark.parametrize(
    ("n", "sizes"), [(2, (1, 1)), (3, (2, 1)), (14, (13, 1)), (16, (14, 2)), (90, (81, 9))]
)
def test_limited_splits_keep_the_ratio_down_to_one_row_of_each(n, sizes):
    (split,) = random_splits(100, 1)  # 81 and 9
    few = split.limited(n)
    assert (len(few.train), len(few.validation)) == sizes
    with pytest.raises(ValueError, match="n must be from 2 to 90, not 1"):
        split.limited(1)


def test_published_split():
    given_parts = np.array(["test", "train", "val", "train"] * 5)
    split = published_split(given_parts)
    for rows, name in zip(parts(split), ("train", "val", "test"), strict=True):
        assert rows == set(np.flatnonzero(given_parts == name))
    without = published_split(np.where(given_parts == "val", "train", given_parts), validation=0.2)
    assert parts(without)[2] == parts(split)[2] and len(without.validation) == 3
    few = published_split(["train"] * 4 + ["test"])
    assert (len(few.train), len(few.validation)) == (3, 1)
    with pytest.raises(ValueError, match="not 'valid'"):
        published_split(["train", "valid", "test"])


def test_chemical_systems_and_compositions():
    amounts = amounts_matrix(["FeO", "Fe2O2", "Fe2O3", "O0.5Fe0.5", "KFe2As2"])
    assert chemical_systems(amounts).tolist() == ["Fe-O"] * 4 + ["As-Fe-K"]
    assert compositions(amounts).tolist() == [0, 0, 1, 0, 2]
    # a step of 0.001 in the oxygen is another compound, a third written with seven digits is not
    doped = ["YBa2Cu3O6.95", "YBa2Cu3O6.951", "FeO2", "Fe0.3333333O0.6666667", "Fe0.3333O0.6667"]
    assert compositions(doped).tolist() == [0, 1, 2, 2, 3]


def test_families_by_hand():
    # a doping series in steps of 0.05 / 7 = 0.007, from the compound without strontium on
    doped = [f"La{2 - x:.2f}Sr{x:.2f}CuO4" for x in (0.05, 0.10, 0.15, 0.20)]
    zinc = ["YBa2Cu3O7", "YBa2Cu2.9Zn0.1O7"]  # a trace of another element: 0.1 / 13 = 0.008
    amounts = amounts_matrix(["La2CuO4", *doped, "LaSrCuO4", "La4CuO2", "Nb3Sn", *zinc])
    families = near_duplicate_families(amounts)
    assert len(set(families[:5])) == 1  # chained, though its ends differ by 0.029
    assert families[8] == families[9]
    assert len(set(families)) == 5
    assert len(set(near_duplicate_families(amounts, tolerance=0.005))) == len(amounts)


def test_families_leave_no_near_duplicate_outside(supercon):
    amounts = amounts_matrix(supercon["formula"].sample(1500, random_state=0))
    families = near_duplicate_families(amounts)
    fractions = amounts / amounts.sum(1, keepdims=True)
    for row in range(0, len(amounts), 5):
        near = np.abs(fractions - fractions[row]).max(1) <= 0.01 + 1e-9
        assert (families[near] == families[row]).all()
        # and none is a family without a neighbour in it
        alone = (families == families[row]).sum() == 1
        assert alone == (near.sum() == 1)
    assert len(set(families)) < len(set(compositions(amounts)))


# --- a part for each row --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "fraction", "n_test"), [(10, 0.1, 1), (1000, 0.25, 250), (7, 0.5, 4)]
)
def test_random_parts_sizes_and_seeds(n, fraction, n_test):
    parts = random_parts(n, fraction, seed=3)
    assert Counter(parts) == {"test": n_test, "train": n - n_test}
    np.testing.assert_array_equal(parts, random_parts(n, fraction, seed=3))
    assert any((parts != random_parts(n, fraction, seed)).any() for seed in range(4, 9))


def test_random_parts_favours_no_row():
    times = sum(random_parts(20, 0.3, seed) == "test" for seed in range(2000))
    # each row: binomial of 2000 and 0.3, mean 600, standard deviation 20.5
    assert (abs(times - 600) < 5 * 20.5).all()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_random_parts_refuses_a_fraction_that_is_none(fraction):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        random_parts(10, fraction)


@given(st.lists(st.integers(0, 30), min_size=40, max_size=200), st.integers(0, 5))
def test_a_grouped_split_keeps_groups_together(keys, seed):
    parts = grouped_parts(np.array(keys), seed=seed)
    for key in set(keys):
        assert len(set(parts[np.array(keys) == key])) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_large_group_is_trained_on(seed):
    keys = np.concatenate([np.zeros(300, int), np.arange(1, 701)])
    parts = grouped_parts(keys, (0.8, 0, 0.2), seed, largest=0.01)
    assert (parts[:300] == "train").all()
    assert np.mean(parts == "test") == pytest.approx(0.2, abs=0.005)


def test_a_grouped_split_has_the_asked_for_sizes():
    keys = np.repeat(np.arange(1000), 3)
    parts = pd.Series(grouped_parts(keys)).value_counts(normalize=True)
    assert parts[["train", "val", "test"]].to_numpy() == pytest.approx([0.8, 0.1, 0.1], abs=0.005)


def test_the_middle_of_a_group_decides_its_part_and_shares_need_not_be_one():
    """Of eight rows in two groups one fills the first half, the other begins in the third quarter.

    Its middle lies on the end of that quarter, which still belongs to it.
    """
    for seed in range(4):
        parts = grouped_parts(np.repeat([0, 1], 4), (0.5, 0.25, 0.25), seed)
        assert sorted(set(parts)) == ["train", "val"]
        whole = grouped_parts(np.arange(50) // 2, (8, 1, 1), seed)
        assert (whole == grouped_parts(np.arange(50) // 2, (0.8, 0.1, 0.1), seed)).all()
        assert dict(Counter(whole)) == {"train": 40, "val": 6, "test": 4}


def test_compositions_one_replaced_element_apart_share_a_remainder():
    formulas = ["NaCl", "KCl", "NaCl2", "Na2Cl", "Na2K", "MgO"]
    rows, remainders = one_element_swaps(whole_counts(amounts_matrix(formulas)))
    assert rows.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    shared = {
        frozenset(formulas[row] for row in rows[remainders == number])
        for number in np.unique(remainders)
        if (remainders == number).sum() > 1
    }
    # NaCl2 and Na2Cl are no pair: two amounts differ; Na2Cl and Na2K share Na2 and one other atom
    assert shared == {frozenset({"NaCl", "KCl"}), frozenset({"Na2Cl", "Na2K"})}


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_one_element_apart_is_that_of_the_slow_way(oqmd, share):
    table = oqmd.sample(4000, random_state=1)
    counts = whole_counts(amounts_matrix(table["formula"]))
    test = random_parts(len(counts), share, 0) == "test"
    slow = one_element_apart(counts[test], counts[~test]).mean()
    assert share_one_element_apart(test, one_element_swaps(counts)) == slow
    assert 0.2 < slow < 1


def test_the_share_of_known_systems_is_that_of_a_set(oqmd):
    counts = whole_counts(amounts_matrix(oqmd["formula"]))
    test = random_parts(len(counts), 0.3, 0) == "test"
    systems = [frozenset(np.flatnonzero(row)) for row in counts]
    known = {system for system, asked in zip(systems, test, strict=True) if not asked}
    expected = np.mean([s in known for s, asked in zip(systems, test, strict=True) if asked])
    assert 0.01 < expected < 0.99
    assert splits.share_of_known_groups(test, splits.chemical_systems(counts)) == expected
    # the set of elements as bytes, which end in zeros
    assert splits.share_of_known_groups(test, [(row > 0).tobytes() for row in counts]) == expected


@pytest.mark.parametrize("seed", [-1, None, 1.5, True, "0", [1]])
def test_a_seed_that_is_none_is_named(seed):
    for draw in (
        lambda: splits.random_parts(10, seed=seed),
        lambda: splits.grouped_parts(["a", "b"], seed=seed),
        lambda: splits.published_split(["train"] * 9 + ["test"], seed=seed),
        lambda: splits.random_generator(seed, 3),
    ):
        with pytest.raises(ValueError, match="seed must be a whole number from 0 up, not"):
            draw()


def test_seeds_of_any_size_draw_their_own():
    seeds = [0, 1, 2**32, 2**32 + 1, 2**63, 2**70]
    drawn = {tuple(splits.random_parts(40, 0.5, seed)) for seed in seeds}
    assert len(drawn) == len(seeds)
    assert (splits.random_parts(40, seed=np.int64(3)) == splits.random_parts(40, seed=3)).all()
