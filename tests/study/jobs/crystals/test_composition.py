"""What compositions say alone: matminer's statistics, an encoder, and what neither can read."""

import numpy as np
import pytest
from known_structures import NACL, RUTILE
from pymatgen.core import Lattice, Structure

from matgan.crystals.structures import from_pymatgen
from matgan.study.jobs.crystals.composition import encoder_answers, magpie_statistics


def test_statistics_are_those_of_matminer_and_say_where_there_are_none():
    featurizers = pytest.importorskip("matminer.featurizers.composition")
    beyond = Structure(Lattice.cubic(4), ["Cf"], [[0, 0, 0]])
    found = magpie_statistics(from_pymatgen([NACL, beyond, RUTILE]))
    peer = featurizers.ElementProperty.from_preset("magpie", impute_nan=False)
    expected = [peer.featurize(structure.composition) for structure in (NACL, RUTILE)]
    assert found.shape == (3, len(expected[0]))
    np.testing.assert_allclose(found[[0, 2]], expected, rtol=1e-6)
    assert (found[1] == -1).all()


def test_an_encoder_answers_by_the_composition_and_by_the_median_where_it_cannot_read(tmp_path):
    krypton = Structure(Lattice.cubic(4), ["Kr"], [[0, 0, 0]])
    structures = from_pymatgen([NACL, RUTILE, krypton] * 30)
    y = np.tile([[1.0, -1.0], [2.0, -2.0], [50.0, 50.0]], (30, 1))
    learn, test = np.arange(60), np.arange(60, 90)
    settings = {"width": 32, "layers": 1, "batch_size": 8, "epochs": 60, "learning_rate": 1e-2}
    found = encoder_answers(structures, y, learn, test, tmp_path / "c", dropout=0.0, **settings)
    assert found.shape == (30, 2)
    np.testing.assert_allclose(found[:2], [[1, -1], [2, -2]], atol=0.3)
    assert (found[2] == np.median(y[learn], axis=0)).all()
