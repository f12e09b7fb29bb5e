"""The 92 features of an element: pymatgen's table, and hydrogen and iron by hand."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Element

from matgan.crystals.graphs.elements import (
    ELEMENT_FEATURES,
    element_features,
    element_properties,
)

ENDS = np.cumsum([19, 7, 10, 10, 12, 10, 10, 4, 10])


def test_properties_are_pymatgens():
    for z, row in element_properties().iterrows():
        element = Element.from_Z(z)
        assert element.symbol == row["element"]
        assert element.row == row["period"]
        assert element.block == row["block"] or element.symbol == "He"
        if row["block"] != "f":
            assert element.group == row["group"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = [element.X, element.ionization_energies[0], element.electron_affinity]
        ours = row[["electronegativity", "ionization", "affinity"]].astype(float)
        assert ours.tolist() == pytest.approx(theirs, rel=1e-4, nan_ok=True)


def test_valence_electrons_are_those_of_the_outer_shells():
    valence = element_properties().set_index("element")["valence"]
    known = {
        "H": 1,
        "He": 2,
        "C": 4,
        "Ne": 8,
        "Fe": 8,
        "Zn": 12,
        "Ga": 3,
        "Ce": 2,
        "Hf": 4,
        "Pb": 4,
    }
    assert valence[list(known)].to_dict() == known


def test_hydrogen_and_iron_by_hand():
    """Hydrogen's 2.20 is in the fifth of ten intervals from 0.5 to 4.0, iron's 1.83 in the fourth.

    Covalent radii of 31 and 152 pm, from 25 to 250: the first and the sixth. Logarithms of 13.6 and
    7.9 eV, from 1.3 to 3.3: the seventh and the fourth.
    """
    features = element_features()
    starts = np.concatenate([[0], ENDS[:-1]])
    for z, places in {1: (1, 0, 4, 0, 0, 6, 5, 0, 3), 26: (8, 3, 3, 5, 7, 3, 4, 2, 1)}.items():
        expected = np.zeros(ELEMENT_FEATURES)
        expected[starts + places] = 1
        assert features[z].tolist() == expected.tolist()


def test_each_property_is_told_once_and_what_is_not_known_is_empty():
    features = element_features()
    assert features.shape == (104, ELEMENT_FEATURES) and not features[0].any()
    for start, end in zip(np.concatenate([[0], ENDS[:-1]]), ENDS, strict=True):
        assert set(features[1:, start:end].sum(1)) <= {0.0, 1.0}
    assert not features[2, ENDS[1] : ENDS[2]].any()  # helium has no electronegativity
    assert len(np.unique(features[1:90], axis=0)) > 80  # nearly all elements differ
