"""Symmetry labels: crystal systems, space groups, prototypes, splits that keep them together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_structures import KNOWN, some
from pymatgen.symmetry.groups import SpaceGroup

from matgan.crystals import symmetry

FIRST_AND_LAST = [1, 2, 3, 15, 16, 74, 75, 142, 143, 167, 168, 194, 195, 230]


@pytest.mark.parametrize("group", FIRST_AND_LAST)
def test_crystal_systems_are_pymatgens(group):
    system = symmetry.SYSTEMS[symmetry.crystal_system(group)]
    assert system == SpaceGroup.from_int_number(group).crystal_system


@pytest.mark.parametrize("group", [0, 231, -1])
def test_what_is_no_space_group_is_named(group):
    with pytest.raises(ValueError, match=f"{group} in place 1"):
        symmetry.crystal_system([1, group])


@pytest.mark.parametrize("name", KNOWN)
def test_space_groups_are_found(name):
    structure, group = KNOWN[name]
    assert symmetry.find_space_group(structure) == group


def test_prototype_keys():
    keys = symmetry.prototypes(some())
    assert list(keys) == ["AB-225-8", "AB2-136-6", "AB2-154-9"]


@given(st.lists(st.integers(0, 30), min_size=40, max_size=200), st.integers(0, 5))
def test_a_grouped_split_keeps_groups_together(keys, seed):
    parts = symmetry.grouped_split(np.array(keys), seed=seed)
    for key in set(keys):
        assert len(set(parts[np.array(keys) == key])) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_large_group_is_trained_on(seed):
    keys = np.concatenate([np.zeros(300, int), np.arange(1, 701)])
    parts = symmetry.grouped_split(keys, (0.8, 0, 0.2), seed, largest=0.01)
    assert (parts[:300] == "train").all()
    assert np.mean(parts == "test") == pytest.approx(0.2, abs=0.005)


def test_a_grouped_split_has_the_asked_for_sizes():
    keys = np.repeat(np.arange(1000), 3)
    parts = pd.Series(symmetry.grouped_split(keys)).value_counts(normalize=True)
    assert parts[["train", "val", "test"]].to_numpy() == pytest.approx([0.8, 0.1, 0.1], abs=0.005)


def test_space_groups_of_real_structures_are_spglibs(crystals):
    rows = np.random.default_rng(0).choice(len(crystals), 60, replace=False)
    found = [symmetry.find_space_group(crystals.structure(i)) for i in rows]
    # the arrays are rounded to 32 bits: a structure at the edge of the tolerance may differ
    assert np.mean(found == crystals.table["space_group"].iloc[rows]) > 0.95
