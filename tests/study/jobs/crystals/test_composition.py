"""Statistics of compositions: matminer's, and -1 for elements without any."""

import numpy as np
import pytest
from known_structures import NACL, RUTILE
from pymatgen.core import Lattice, Structure

from matgan.crystals.structures import from_pymatgen
from matgan.study.jobs.crystals.composition import magpie_statistics


def test_statistics_are_those_of_matminer_and_say_where_there_are_none():
    featurizers = pytest.importorskip("matminer.featurizers.composition")
    beyond = Structure(Lattice.cubic(4), ["Cf"], [[0, 0, 0]])
    found = magpie_statistics(from_pymatgen([NACL, beyond, RUTILE]))
    peer = featurizers.ElementProperty.from_preset("magpie", impute_nan=False)
    expected = [peer.featurize(structure.composition) for structure in (NACL, RUTILE)]
    assert found.shape == (3, len(expected[0]))
    np.testing.assert_allclose(found[[0, 2]], expected, rtol=1e-6)
    assert (found[1] == -1).all()
