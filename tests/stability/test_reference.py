import numpy as np
import pytest

from matgan.stability.reference import oqmd_hull


def test_the_hull_is_that_of_all_sound_compounds(oqmd):
    """341,700 rows, 86 of them with an energy that cannot be, four with krypton."""
    assert len(oqmd_hull()) == 341_700 - 86 - 4
    assert oqmd_hull() is oqmd_hull()
    salt = oqmd.set_index("formula")["target"]["NaCl"]  # nothing lies lower
    assert oqmd_hull().energy(["NaCl", "Na"]).tolist() == [salt, 0]


def test_seven_in_a_hundred_are_stable(oqmd):
    """As hulls by pymatgen's PhaseDiagram say (7.4%)."""
    assert (oqmd_hull().own_distances() < 0).mean() == pytest.approx(0.074, abs=0.001)
    assert np.isfinite(oqmd_hull().energies).all()
