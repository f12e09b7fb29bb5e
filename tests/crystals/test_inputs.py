"""Structures as people have them: pymatgen's, ASE's, files; what is none is named."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from known_structures import NACL, RUTILE
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import DummySpecies, IStructure, Lattice, Molecule, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from matgan.crystals.inputs import as_structure, sites_of
from matgan.crystals.structures import StructureError


def test_every_kind_is_the_same_structure(tmp_path):
    path = tmp_path / "a.cif"
    RUTILE.to(str(path))
    RUTILE.to(str(tmp_path / "POSCAR"), fmt="poscar")
    for given in (
        RUTILE,
        IStructure.from_sites(list(RUTILE)),
        path,
        str(path),
        tmp_path / "POSCAR",
        AseAtomsAdaptor.get_atoms(RUTILE),
    ):
        assert StructureMatcher(scale=False).fit(as_structure(given), RUTILE)


def test_sites_shared_by_elements_become_several():
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.25, "Au": 0.7}, "O"], [[0, 0, 0], [0.5] * 3])
    cell, numbers, frac, occupancy = sites_of(alloy)
    np.testing.assert_allclose(cell, [3.6, 3.6, 3.6, 90, 90, 90])
    assert sorted(zip(numbers, occupancy, strict=True)) == [(8, 1), (29, 0.25), (79, 0.7)]
    assert frac.shape == (3, 3)


def test_occupancies_of_ases_reader():
    atoms = crystal(
        ["Cu"], [(0, 0, 0)], spacegroup=225, cellpar=[3.6, 3.6, 3.6, 90, 90, 90],
        occupancies=[0.75],
    )  # fmt: skip
    assert sites_of(as_structure(atoms))[3] == pytest.approx([0.75] * 4)


def test_deuterium_is_hydrogen():
    hydride, deuteride = (
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.08), ["Li", h], [[0] * 3, [0.5] * 3])
        for h in ("H", "D")
    )
    for one, other in zip(sites_of(hydride), sites_of(deuteride), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Molecule(["O"], [[0, 0, 0]]), "a Molecule is no crystal structure"),
        (3, "a int is no crystal structure"),
        (None, "a NoneType is no crystal structure"),
        (NACL.composition, "a Composition is no crystal structure"),
        (Atoms("NaCl", positions=[[0, 0, 0], [1, 1, 1]]), "no cell"),
        (Atoms(cell=[3, 3, 3]), "no sites"),
        (Atoms("X", cell=[3, 3, 3]), "atom 0 has the atomic number 0"),
    ],
)
def test_what_is_no_structure_is_named(given, message):
    with pytest.raises(StructureError, match=message):
        as_structure(given)


@pytest.mark.parametrize("text", ["", "data_x\n_cell_length_a 5\n", "hello"])
def test_a_file_without_a_structure_is_named(tmp_path, text):
    path = tmp_path / "a.cif"
    path.write_text(text)
    with pytest.raises(StructureError, match=r"a\.cif holds no structure"):
        as_structure(path)


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match=r"nothing\.cif"):
        as_structure(tmp_path / "nothing.cif")


def test_a_site_without_an_element_is_named():
    odd = Structure(Lattice.cubic(3), [DummySpecies("X")], [[0, 0, 0]])
    with pytest.raises(StructureError, match="holds no element"):
        sites_of(odd)


def test_ases_positions_are_kept():
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    structure = as_structure(atoms)
    np.testing.assert_allclose(structure.frac_coords, atoms.get_scaled_positions())
