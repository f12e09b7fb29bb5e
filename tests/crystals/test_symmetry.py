"""Symmetry labels: crystal systems, space groups, prototypes, splits that keep them together."""

import numpy as np
import pytest
from known_structures import KNOWN, some
from pymatgen.symmetry.groups import SpaceGroup

from matgan.crystals import symmetry
from matgan.crystals.symmetry import SYSTEMS, crystal_system
from matgan.powder.reflections import reflections

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


def test_space_groups_of_real_structures_are_spglibs(crystals):
    rows = np.random.default_rng(0).choice(len(crystals), 60, replace=False)
    found = [symmetry.find_space_group(crystals.structure(i)) for i in rows]
    # the arrays are rounded to 32 bits: a structure at the edge of the tolerance may differ
    assert np.mean(found == crystals.table["space_group"].iloc[rows]) > 0.95


# --- extinction groups ----------------------------------------------------------------------------


# reflection conditions as the textbooks give them: (space group, hkl, extinct)
CONDITIONS = [
    (14, (0, 3, 0), True),  # P2_1/c: 0k0 only for k even
    (14, (1, 0, 1), True),  # h0l only for l even
    (14, (1, 0, 2), False),
    (14, (1, 1, 1), False),
    (225, (1, 0, 0), True),  # Fm-3m: all even or all odd
    (225, (1, 1, 1), False),
    (225, (2, 0, 0), False),
    (227, (2, 0, 0), True),  # Fd-3m: the diamond glide; h00 only for h = 4n
    (227, (2, 2, 0), False),
    (227, (4, 2, 0), True),
    (227, (4, 0, 0), False),
    (229, (1, 0, 0), True),  # Im-3m: h + k + l even
    (229, (1, 1, 0), False),
    (166, (1, 0, 0), True),  # R-3m, hexagonal axes: -h + k + l = 3n
    (166, (0, 1, 2), False),
    (166, (1, 0, 1), False),
    (169, (0, 0, 3), True),  # P6_1: 00l only for l = 6n
    (169, (0, 0, 6), False),
    (173, (0, 0, 3), True),  # P6_3: 00l only for l even
    (173, (0, 0, 4), False),
    (62, (1, 0, 0), True),  # Pnma: h00 h even, 0kl k + l even, hk0 h even
    (62, (0, 1, 2), True),
    (62, (1, 1, 0), True),
    (62, (1, 1, 1), False),
]


@pytest.mark.parametrize(("group", "hkl", "missing"), CONDITIONS)
def test_textbook_conditions(group, hkl, missing):
    assert symmetry.extinct(group, np.array([hkl]))[0] == missing


def test_textbook_groups():
    """Pairs that a powder pattern is known not to tell apart, and pairs that it does."""
    same = symmetry.extinction_group
    for together in ([1, 2], [9, 15], [33, 62], [198, 208], [203, 227], [212, 213]):
        assert len(set(same(together))) == 1
        assert set(symmetry.extinction_groups()[same(together[0])]) >= set(together)
    for one, other in ((14, 13), (43, 70), (210, 227), (225, 227), (168, 173), (143, 168)):
        assert same(one) != same(other)
    assert symmetry.extinction_groups()[same(14)] == (14,)
    assert symmetry.extinction_groups()[same(225)] == (196, 202, 209, 216, 225)
    # the same conditions under other names of the axes
    assert symmetry.extinction_groups()[same(26)] == (26, 28, 51)


def test_every_space_group_belongs_to_one_group_of_its_crystal_system():
    groups = symmetry.extinction_groups()
    assert sorted(number for members in groups for number in members) == list(range(1, 231))
    assert len(groups) == 101
    for members in groups:
        assert len(set(crystal_system(list(members)))) == 1


@pytest.mark.parametrize(
    "number", [14, 19, 43, 62, 88, 110, 148, 161, 180, 205, 214, 220, 227, 230]
)
def test_an_atom_in_general_position_misses_the_same_reflections(number):
    """Structure factors of pymatgen's operations on a random point, where F is zero."""
    group = SpaceGroup.from_int_number(number)
    point = np.array([0.1234, 0.3071, 0.4519])
    places = np.unique([np.round(op.operate(point) % 1, 6) for op in group.symmetry_ops], axis=0)
    hexagonal = SYSTEMS[crystal_system(number)] in ("trigonal", "hexagonal")
    cell = np.array([9, 9, 11, 90, 90, 120] if hexagonal else [9, 10, 11, 90, 90, 90])
    found = reflections(cell, np.full(len(places), 20), places, 0.05, 0.5)
    missing = symmetry.extinct(number, found.hkl)
    strength = found.strength / found.strength.max()
    assert (strength[missing] < 1e-7).all()
    assert np.mean(strength[~missing] > 1e-7) > 0.97  # a few vanish by chance


def test_what_has_no_extinctions_is_named():
    with pytest.raises(ValueError, match="231 in place 1"):
        symmetry.extinction_group([1, 231])
    with pytest.raises(ValueError, match="231 in place 0"):
        symmetry.extinct(231, [[1, 0, 0]])
    with pytest.raises(ValueError, match="nan in place 0"):
        symmetry.extinction_group([np.nan])


def test_a_group_is_described_by_its_members():
    assert symmetry.describe(symmetry.extinction_group(62)) == "orthorhombic: 33, 62"
