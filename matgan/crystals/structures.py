"""Crystal structures of the Materials Project: arrays, labels, the published split.

51,538 relaxed structures with space group, formation energy and PBE band gap, on the split that
MEGNet's benchmark uses (60,000 / 5,000 / 4,239 entries, of which these are kept: those whose
structure is at hand). Geometries are relaxed: cells are about 1% larger than measured ones.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pooch

from matgan import files
from matgan.crystals.symmetry import SYMPREC, find_space_group
from matgan.data import sources
from matgan.data.sources import SOURCES, SourceCorrupt, SourceUnavailable, cache_dir, fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymatgen.core import Structure

SPLITS = ("train", "val", "test")
MAX_Z = 103  # the heaviest element of any scattering-factor table

log = logging.getLogger(__name__)

FILE = SOURCES["mp_structures"].file
_ARRAYS = ("mp_id", "cell", "natoms", "Z", "frac", "sg", "split", "e_form", "gap")
# The same entries, structures of 2018 (Chen et al. 2019). No hash of this file is known: its ids
# and energies are compared with those of the split, whose hash is, and zip has checksums.
MEGNET = "megnet.json.zip"
MEGNET_ADDRESS = "https://ndownloader.figshare.com/files/26724977"
_SAME_ENERGY = 1e-4  # eV/atom


class StructureError(ValueError):
    """A structure that cannot be used; names it and what is wrong with it."""


@dataclass(frozen=True)
class Structures:
    """Crystal structures, all atoms end to end, and a table with one row for each.

    Attributes
    ----------
    cell : (n, 6) float64 array, a, b, c in Å and α, β, γ in degrees
    first : (n + 1,) int array; the atoms of structure i are first[i] to first[i + 1]
    numbers : (N,) uint8 array, atomic numbers
    frac : (N, 3) float64 array, fractional coordinates
    table : DataFrame of n rows: id, space_group (1 to 230; 0: not found), split, e_form (eV/atom),
        gap (eV)
    """

    cell: np.ndarray
    first: np.ndarray
    numbers: np.ndarray
    frac: np.ndarray
    table: pd.DataFrame

    def __post_init__(self):
        first, ids = self.first, self.table["id"]
        if not len(self.cell) == len(first) - 1 == len(self.table):
            raise StructureError(
                f"{len(self.cell)} cells, {len(first) - 1} numbers of atoms and "
                f"{len(self.table)} rows of labels do not fit together"
            )
        if not len(self.numbers) == len(self.frac) == first[-1] or first[0] != 0:
            raise StructureError(
                f"atoms {first[0]} to {first[-1]} are announced, {len(self.numbers)} atomic "
                f"numbers and {len(self.frac)} positions are there"
            )
        for bad, what in (
            (~(np.isfinite(self.cell) & (self.cell > 0)).all(1), "a cell that is not positive"),
            (np.diff(first) < 1, "no atoms"),
        ):
            if bad.any():
                raise StructureError(f"structure {ids.iloc[bad.argmax()]} has {what}")
        bad = (self.numbers < 1) | (self.numbers > MAX_Z) | ~np.isfinite(self.frac).all(1)
        if bad.any():
            atom = int(bad.argmax())
            row = int(np.searchsorted(first, atom, side="right")) - 1
            raise StructureError(
                f"structure {ids.iloc[row]}, atom {atom - first[row]}: atomic number "
                f"{self.numbers[atom]}, position {self.frac[atom]}; numbers from 1 to {MAX_Z} "
                "and finite positions are needed"
            )

    def __len__(self) -> int:
        return len(self.cell)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Structure i as (cell (6,), atomic numbers (m,), fractional coordinates (m, 3))."""
        atoms = slice(self.first[i], self.first[i + 1])
        return self.cell[i], self.numbers[atoms], self.frac[atoms]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        return (self[i] for i in range(len(self)))

    def take(self, rows: np.ndarray) -> Structures:
        """The structures of these rows (indices or a mask), in this order."""
        rows = np.arange(len(self))[rows]
        none = np.arange(0)  # no rows, no atoms
        atoms = np.concatenate([none, *(np.arange(*self.first[i : i + 2]) for i in rows)])
        first = np.concatenate([[0], np.cumsum(np.diff(self.first)[rows])])
        table = self.table.iloc[rows].reset_index(drop=True)
        return Structures(self.cell[rows], first, self.numbers[atoms], self.frac[atoms], table)

    def rows(self, part: str, limit: int = 0, seed: int = 0) -> np.ndarray:
        """Rows of a part of the split that have a space group, in order.

        Parameters
        ----------
        part : "train", "val" or "test"
        limit : how many at most, drawn at random; 0: all
        seed : of the draw

        Raises
        ------
        ValueError
            Another part; a negative limit or seed.
        """
        if part not in SPLITS:
            raise ValueError(f"part must be one of {', '.join(SPLITS)}, not {part!r}")
        if limit < 0 or seed < 0:
            raise ValueError(f"the number of structures, {limit}, or the seed, {seed}, is negative")
        found = np.flatnonzero((self.table["split"] == part) & (self.table["space_group"] > 0))
        if limit and limit < len(found):
            found = np.sort(np.random.default_rng([seed, 3]).choice(found, limit, replace=False))
        return found

    def structure(self, i: int) -> Structure:
        """Structure i for pymatgen."""
        from pymatgen.core import Lattice, Structure

        cell, numbers, frac = self[i]
        return Structure(Lattice.from_parameters(*cell), numbers.tolist(), frac)

    def fractions(self) -> np.ndarray:
        """(n, 103) float32 array: share of each element among the atoms, column Z - 1."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.first))
        counts = np.zeros((len(self), MAX_Z), dtype=np.float32)
        np.add.at(counts, (rows, self.numbers.astype(int) - 1), 1)
        return counts / counts.sum(1, keepdims=True)

    def formulas(self) -> list[str]:
        """Formula of each cell, such as "Na4Cl4", elements by atomic number."""
        from pymatgen.core import Element

        symbols = [Element.from_Z(z).symbol for z in range(1, MAX_Z + 1)]
        found = []
        for _, numbers, _ in self:
            counted = zip(*np.unique(numbers, return_counts=True), strict=True)
            found.append("".join(f"{symbols[z - 1]}{n}" for z, n in counted))
        return found


def from_pymatgen(structures: Iterable[Structure], table: pd.DataFrame | None = None) -> Structures:
    """Structures from pymatgen's, with an optional table of labels (`id` and more).

    Raises
    ------
    StructureError
        A site is shared by several elements, partly empty or holds no element up to 103; names the
        structure and the site.
    """
    structures = list(structures)
    if table is None:
        table = pd.DataFrame({"id": [str(i) for i in range(len(structures))]})
    for name, structure in zip(table["id"], structures, strict=True):
        if not structure.is_ordered:
            site = next(s for s in structure if not s.is_ordered)
            raise StructureError(
                f"structure {name}: the site {site.species_string} at {site.frac_coords} is "
                "partly occupied; only ordered structures can be used"
            )
        for site in structure:
            if not 1 <= site.specie.Z <= MAX_Z:
                raise StructureError(
                    f"structure {name}: {site.species_string} at {site.frac_coords} is no element "
                    f"up to atomic number {MAX_Z}"
                )
    cells = [[*s.lattice.abc, *s.lattice.angles] for s in structures]
    sizes = [len(s) for s in structures]
    numbers = [site.specie.Z for s in structures for site in s]
    frac = [site.frac_coords for s in structures for site in s]
    return Structures(
        np.array(cells, dtype=float).reshape(-1, 6),
        np.concatenate([[0], np.cumsum(sizes)]).astype(int),
        np.array(numbers, dtype=np.uint8),
        np.array(frac, dtype=float).reshape(-1, 3),
        table.reset_index(drop=True),
    )


# --- where they come from -----------------------------------------------------------------------


def load_structures() -> Structures:
    """The Materials Project structures with labels and the MEGNet split.

    Looked for in the folder `MATGAN_DATA`, then in the cache; else built from JARVIS's two files
    (downloaded where they are in neither), with space groups found here. What was built stays in
    the cache with its SHA-256 beside it, and is built again where that differs.

    Raises
    ------
    SourceUnavailable
        None of these can be had; says what was tried.
    SourceCorrupt
        A file is not what it should be.
    """
    try:
        return read_arrays(fetch("mp_structures"))
    except SourceUnavailable:  # it is nowhere
        pass
    folders = [Path(f) for f in (os.environ.get("MATGAN_DATA"), cache_dir()) if f]
    built = cache_dir() / "jarvis_structures.npz"
    if not files.is_sealed(built):
        if built.is_file():
            log.warning("%s has not the SHA-256 it was written with: it is built again", built)
        write_arrays(built, read_jarvis(_megnet(folders), fetch("jarvis_split")))
        files.seal(built)
    sources.READ[built.name] = files.sha256(built)
    return read_arrays(built)


def _megnet(folders: list[Path]) -> Path:
    for folder in folders:
        if (folder / MEGNET).is_file():
            return folder / MEGNET
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        return Path(pooch.retrieve(MEGNET_ADDRESS, known_hash=None, fname=MEGNET, path=cache_dir()))
    except OSError as error:
        raise SourceUnavailable(
            f"crystal structures: neither {FILE} is in the folder that MATGAN_DATA names, nor "
            f"could {MEGNET} be had from {MEGNET_ADDRESS} ({type(error).__name__})"
        ) from error


def read_arrays(path: Path) -> Structures:
    """Structures of an .npz file as `write_arrays` writes it.

    Raises
    ------
    SourceCorrupt
        An array is missing, or the arrays do not fit together.
    """
    try:
        arrays = files.load_arrays(path, _ARRAYS)
        prefix = "mp-" if arrays["mp_id"].dtype.kind in "iu" else ""  # numbers, or whole ids
        table = pd.DataFrame(
            {
                "id": [f"{prefix}{i}" for i in arrays["mp_id"]],
                "space_group": arrays["sg"].astype(int),
                "split": np.array(SPLITS, dtype=object)[arrays["split"]],
                "e_form": arrays["e_form"].astype(float),
                "gap": arrays["gap"].astype(float),
            }
        )
        first = np.concatenate([[0], np.cumsum(arrays["natoms"], dtype=int)])
        cell, frac = arrays["cell"].astype(float), arrays["frac"].astype(float)
        return Structures(cell, first, arrays["Z"], frac, table)
    except (ValueError, IndexError) as error:
        raise SourceCorrupt(f"{path} holds no structures: {error}") from error


def write_arrays(path: Path, structures: Structures) -> None:
    """Write structures to an .npz file that `read_arrays` reads."""
    table = structures.table
    with files.atomic_file(path) as file:
        np.savez_compressed(
            file,
            mp_id=table["id"].to_numpy(str),
            cell=structures.cell.astype(np.float32),
            natoms=np.diff(structures.first).astype(np.uint16),
            Z=structures.numbers,
            frac=structures.frac.astype(np.float32),
            sg=table["space_group"].to_numpy(np.uint8),
            split=table["split"].map(SPLITS.index).to_numpy(np.uint8),
            e_form=table["e_form"].to_numpy(np.float32),
            gap=table["gap"].to_numpy(np.float32),
        )


def read_jarvis(megnet: Path, split: Path, symprec: float = SYMPREC) -> Structures:
    """Structures of JARVIS's "megnet" download and its benchmark's split, space groups found.

    Parameters
    ----------
    megnet : zip archive of a JSON list; each entry has id, atoms (lattice_mat in Å, coords,
        elements, cartesian), e_form (eV/atom) and "gap pbe" (eV)
    split : zip archive of a JSON object; train, val and test map ids to e_form
    symprec : tolerance of the space groups, Å

    Raises
    ------
    SourceCorrupt
        Not such a file, an entry without its split or with another energy there, or an entry of
        the split that is not there; names it.
    """
    from pymatgen.core import Lattice, Structure

    entries, parts = _zipped_json(megnet), _zipped_json(split)
    if not entries:
        raise SourceCorrupt(f"{megnet} holds no structures")
    structures: list[Structure] = []
    rows: list[dict[str, Any]] = []
    try:
        known = {n: (part, float(e)) for part in SPLITS for n, e in parts[part].items()}
        for entry in entries:
            atoms = entry["atoms"]
            structure = Structure(
                Lattice(atoms["lattice_mat"]),
                atoms["elements"],
                atoms["coords"],
                coords_are_cartesian=bool(atoms["cartesian"]),
            )
            part, energy = known.pop(entry["id"])
            if not abs(float(entry["e_form"]) - energy) < _SAME_ENERGY:
                raise SourceCorrupt(
                    f"{megnet}, entry {len(rows)}: e_form of {entry['id']} is {entry['e_form']}, "
                    f"and {energy} in {split.name}"
                )
            structures.append(structure)
            rows.append(
                {
                    "id": entry["id"],
                    "space_group": find_space_group(structure, symprec),
                    "split": part,
                    "e_form": energy,
                    "gap": float(entry["gap pbe"]),
                }
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceCorrupt(f"{megnet}, entry {len(rows)}: {error!r}") from error
    if known:
        raise SourceCorrupt(f"{megnet} lacks {len(known)} entries, {next(iter(known))} the first")
    return from_pymatgen(structures, pd.DataFrame(rows))


def _zipped_json(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
            return json.load(file)
    except (zipfile.BadZipFile, IndexError, ValueError) as error:
        raise SourceCorrupt(f"{path} is no zipped JSON file, delete it: {error}") from error
