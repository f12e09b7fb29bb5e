import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from matgan.crystals.structures import from_pymatgen
from matgan.powder.augmentation import families, point_group
from matgan.powder.measured import preparation
from matgan.powder.measured.lists import MOST, lengths, lorentz_factor
from matgan.powder.patterns import CU_KA1


@pytest.fixture(scope="module")
def some(crystals):
    return crystals.take(np.arange(0, 2000, 250))


TEXTBOOK = {  # space group, cell, elements, places
    225: (Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    136: (Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
    167: (Lattice.hexagonal(4.99, 17.06), ["Ca", "C", "O"],
          [[0, 0, 0], [0, 0, 0.25], [0.257, 0, 0.25]]),
    62: (Lattice.orthorhombic(5.74, 7.97, 4.96), ["Ca", "C", "O", "O"],
         [[0.24, 0.415, 0.25], [0.085, 0.762, 0.25], [0.096, 0.922, 0.25], [0.087, 0.68, 0.473]]),
}  # fmt: skip


@pytest.mark.parametrize("group", TEXTBOOK)
def test_positions_and_intensities_are_those_of_pymatgen(group):
    """Every line above 1% is there, at its angle and with its height; nothing else is."""
    setting = {62: "Pmcn"}.get(group, group)
    structure = Structure.from_spacegroup(setting, *TEXTBOOK[group])
    table = pd.DataFrame(
        {"id": ["mp-1"], "space_group": [group], "split": "train", "e_form": 0.0, "gap": 0.0}
    )
    lists = preparation.reflection_lists(from_pymatgen([structure], table))
    sine = lengths(lists.hkl, lists.basis)[0] * CU_KA1 / 2
    inside = (lists.strength[0] > 0) & (sine < np.sin(np.radians(44)))
    angles = 2 * np.degrees(np.arcsin(sine[inside]))
    areas = lists.strength[0][inside] * lorentz_factor(sine[inside])
    lines = XRDCalculator(CU_KA1).get_pattern(structure, two_theta_range=(6, 88), scaled=False)
    near = np.abs(angles[:, None] - lines.x) < 1e-3  # each family in one line
    assert (near.sum(1) == 1).all()
    found = (areas[:, None] * near).sum(0)
    strong = lines.y > 0.01 * lines.y.max()
    assert np.allclose(found[strong], lines.y[strong], rtol=2e-3)


def test_a_list_has_one_member_of_each_family(some):
    lists = preparation.reflection_lists(some)
    for i, (cell, numbers, frac) in enumerate(some):
        rotations = point_group(cell, numbers, frac)
        hkl = lists.hkl[i][lists.strength[i] > 0].astype(int)
        assert len(hkl) <= MOST
        assert len(np.unique(families(hkl, rotations))) == len(hkl)
        # the Laue class is all there: images by it fall into the same family
        for rotation in lists.operations[lists.laue[i]].astype(int):
            both = families(np.concatenate([hkl, hkl @ rotation]), rotations)
            assert np.array_equal(both[: len(hkl)], both[len(hkl) :])


def test_laue_classes_have_their_orders(some):
    lists = preparation.reflection_lists(some)
    for i, (cell, numbers, frac) in enumerate(some):
        order = len(np.unique(lists.operations[lists.laue[i]], axis=0))
        both = {m.tobytes() for r in point_group(cell, numbers, frac) for m in (r, -r)}
        assert order == len(both) // 2


def test_experimental_ids_are_those_of_the_early_ranges():
    ids = ["mp-22862", "mp-199999", "mp-200000", "mp-561234", "mp-700000", "mp-1234567"]
    assert preparation.experimental(ids).tolist() == [True, True, False, True, False, False]
