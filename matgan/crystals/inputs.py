"""Structures as people have them: pymatgen's, ASE's, or the path of a file."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from matgan.crystals.structures import MAX_Z, StructureError

if TYPE_CHECKING:
    from pymatgen.core import Structure


def as_structure(given: Any) -> Structure:
    """A pymatgen Structure from what people have.

    Parameters
    ----------
    given : a pymatgen Structure; ASE Atoms in a cell, with the occupancies that ASE's reader of
        CIF keeps; or the path of a CIF (or of another file that pymatgen reads, such as POSCAR).
        Of a CIF with several structures the first is taken

    Raises
    ------
    StructureError
        Something else, a molecule, atoms without a cell, or a file that holds no structure.
    OSError
        The file cannot be opened.
    """
    from pymatgen.core import IStructure, Structure

    if isinstance(given, Structure):
        return given
    if isinstance(given, IStructure):
        return Structure.from_sites(list(given))
    if isinstance(given, str | os.PathLike):
        return _from_file(os.fspath(given))
    if hasattr(given, "get_scaled_positions") and hasattr(given, "cell"):
        return _from_ase(given)
    raise StructureError(
        f"a {type(given).__name__} is no crystal structure: a pymatgen Structure, ASE Atoms or the "
        "path of a CIF is needed"
    )


def sites_of(structure: Structure) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cell, atoms and occupancies of a structure; a site shared by elements becomes several.

    Returns
    -------
    cell : (6,) array, a, b, c in Å and α, β, γ in degrees
    numbers : (m,) int array, atomic numbers; deuterium and tritium are hydrogen
    frac : (m, 3) array, fractional coordinates
    occupancy : (m,) array, 0 to 1

    Raises
    ------
    StructureError
        No sites, or a site that holds no element up to 103; names it.
    """
    numbers, frac, occupancy = [], [], []
    for site in structure:
        for species, amount in site.species.items():
            number = getattr(species, "Z", 0)
            if not 1 <= number <= MAX_Z:
                raise StructureError(
                    f"the site {site.species_string} at {site.frac_coords} holds no element up to "
                    f"atomic number {MAX_Z}"
                )
            numbers.append(number)
            frac.append(site.frac_coords)
            occupancy.append(amount)
    if not numbers:
        raise StructureError("the structure has no sites")
    cell = np.array([*structure.lattice.abc, *structure.lattice.angles])
    return cell, np.array(numbers), np.array(frac, dtype=float), np.array(occupancy, dtype=float)


def _from_file(path: str) -> Structure:
    from pymatgen.core import Structure

    with open(path, "rb"):  # an OSError of its own, whatever pymatgen makes of it
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Structure.from_file(path)
    except Exception as error:  # its parsers raise errors of every kind
        raise StructureError(f"{path} holds no structure that pymatgen reads: {error}") from error


def _from_ase(atoms: Any) -> Structure:
    from pymatgen.core import Element, Lattice, Structure

    cell = np.array(atoms.cell[:], dtype=float)
    if cell.shape != (3, 3) or not abs(np.linalg.det(cell)) > 1e-6:
        raise StructureError("the atoms have no cell: a crystal needs three lattice vectors")
    if not len(atoms):
        raise StructureError("the structure has no sites")
    shares = atoms.info.get("occupancy") or {}
    kinds = atoms.arrays.get("spacegroup_kinds")
    species: list[Any] = []
    for i, number in enumerate(atoms.get_atomic_numbers()):
        shared = shares.get(str(kinds[i]), shares.get(int(kinds[i]))) if kinds is not None else None
        if shared is None and not 1 <= number <= MAX_Z:
            raise StructureError(f"atom {i} has the atomic number {number}")
        species.append(shared or Element.from_Z(int(number)))
    try:
        return Structure(Lattice(cell), species, atoms.get_scaled_positions(wrap=False))
    except ValueError as error:
        raise StructureError(f"these atoms are no crystal: {error}") from error
