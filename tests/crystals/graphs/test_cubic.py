"""The same perovskites in two collections."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matgan.crystals.graphs.cubic import cubic_perovskites, in_both
from matgan.crystals.structures import from_pymatgen

PLACES = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def collection(*structures, groups=None):
    n = len(structures)
    table = {"id": [f"mp-{i}" for i in range(n)], "space_group": groups or [221] * n}
    return from_pymatgen(structures, pd.DataFrame(table | {"e_form": np.arange(n) - 3.0}))


def test_b_is_the_metal_in_the_octahedron():
    usual = Structure(Lattice.cubic(4), ["Ba", "Ti", "O", "O", "O"], PLACES)
    exchanged = Structure(Lattice.cubic(4), ["Ti", "Ba", "O", "O", "O"], PLACES)
    found = cubic_perovskites(collection(usual, exchanged))
    assert found["numbers"].tolist() == [(56, 22, 8), (22, 56, 8)]
    assert found["formula"].tolist() == ["BaTiO3", "TiBaO3"]
    assert found["e_form"].tolist() == [-3, -2]


def test_other_cells_are_left_out():
    other = Structure(Lattice.cubic(4), ["Ba", "Ti", "O", "O", "N"], PLACES)
    low = Structure(Lattice.cubic(4), ["Ba", "Ti", "O", "O", "O"], PLACES)
    metal = Structure(Lattice.cubic(4), ["Cu"], [[0, 0, 0]])
    assert cubic_perovskites(collection(other, low, metal, groups=[221, 99, 221])).empty


@pytest.mark.slow
def test_energies_are_in_ev_per_atom(perovskites, crystals, mp_stability):
    """The height above the hull is on the same scale: a slope near 1, not near 5."""
    from matgan.stability.hull import Hull

    both = in_both(perovskites, crystals)
    assert len(both) > 90
    hull = Hull(mp_stability["formula"], mp_stability["target"])
    above = both["e_form"] - hull.energy(both["formula"], others=True)
    assert 0.8 < np.polyfit(above, both["heat"], 1)[0] < 1.3
