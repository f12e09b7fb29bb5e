"""Structures for a composition: known ones whose elements are replaced, the most likely first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from matgan import files
from matgan.chemistry.composition import reduced_counts
from matgan.chemistry.elements import ATOMIC_NUMBER, ELEMENTS
from matgan.crystals.prototypes import N_Z, Amounts, Group, group_templates
from matgan.crystals.structures import StructureError, Structures, load_structures
from matgan.files import PRETRAINED, WeightsError

if TYPE_CHECKING:
    from pymatgen.core import Structure

WEIGHTS_FILE = "structures-mp.safetensors"


@dataclass(frozen=True)
class PredictedStructure:
    """One structure for a composition.

    Attributes
    ----------
    structure : pymatgen's, the template with its elements replaced and its volume scaled
    share : of this prototype in the nearness of all known compositions of the anonymous formula; a
        rank, no calibrated probability
    prototype : its key, such as "A2B3-62-20": anonymous formula, space group, atoms in the cell
    template : id of the structure that was taken
    nearest : formula of the template, the nearest known composition of this prototype
    distance : of the two compositions, as learned; 0 where the template has the composition itself
    """

    structure: Structure
    share: float
    prototype: str
    template: str
    nearest: str
    distance: float


def predict_structures(composition: object, n: int = 10) -> list[PredictedStructure]:
    """Rank the structure types that a composition could have, and build each from its template.

    All known structures of the same anonymous formula are templates (Materials Project, 51,538).
    Of each structure type that one is taken, with that placing of the elements, which is nearest
    to the composition. On test structures with new compositions the right type comes first for 71%
    and is among the first ten for 89% (job `structure-prediction`). A volume is the template's
    times the ratio of the summed element volumes. Nothing is relaxed.

    Parameters
    ----------
    composition : formula, pymatgen Composition or (85,) amounts, in whole ratios
    n : structures at most

    Returns
    -------
    list of `PredictedStructure`, the most likely first

    Raises
    ------
    CompositionError
        No composition, or amounts that are no whole numbers.
    StructureError
        No known structure has this anonymous formula.
    ValueError
        n is no whole number from 1 up.
    """
    if n < 1 or n != int(n):
        raise ValueError(f"n must be a whole number, 1 or more, not {n}")
    n = int(n)
    amounts, elements = _asked(composition)
    structures, groups = _known()
    if amounts not in groups:
        shown = ":".join(map(str, amounts))
        raise StructureError(f"no known structure has elements in the ratio {shown}")
    group, (table, volumes) = groups[amounts], load_weights()
    distances = group.distances(elements[None], table)[:, 0].numpy()  # (orders, m)
    scores = group.scores(elements[None], table)[0]
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    found = []
    for kind in np.argsort(-shares, kind="stable")[:n]:
        own = np.flatnonzero(group.prototype == kind)
        order, place = np.unravel_index(distances[:, own].argmin(), (len(distances), len(own)))
        member, row = own[place], int(group.rows[own[place]])
        new = dict(
            zip(group.elements[member].tolist(), elements[list(group.orders[order])], strict=True)
        )
        found.append(
            PredictedStructure(
                substituted(structures, row, new, volumes),
                float(shares[kind]),
                group.names[kind],
                str(structures.table["id"].iloc[row]),
                structures.structure(row).composition.reduced_formula,
                float(distances[order, member]),
            )
        )
    return found


def substituted(
    structures: Structures, row: int, new: dict[int, int], volumes: np.ndarray
) -> Structure:
    """A structure with its elements replaced and its volume scaled.

    Parameters
    ----------
    structures, row : the template
    new : atomic number of the template -> atomic number in its place
    volumes : (N_Z,) of the elements, Å³; the cell grows by the ratio of their sums
    """
    from pymatgen.core import Structure

    template = structures.structure(row)
    numbers = np.array([new[int(z)] for z in structures[row][1]])
    ratio = volumes[numbers].sum() / volumes[structures[row][1]].sum()
    lattice = template.lattice.scale(template.volume * ratio)
    return Structure(lattice, numbers.tolist(), template.frac_coords)


def element_volumes(structures: Structures) -> np.ndarray:
    """(N_Z,) volume of an atom of each element, Å³: least squares over cells, per atom, not < 0.

    Elements of no structure, or with less than 1 Å³, get the mean: a ratio can always be formed.
    """
    from pymatgen.core import Lattice
    from scipy.optimize import nnls

    sizes = np.diff(structures.first)
    each = [Lattice.from_parameters(*cell).volume for cell in structures.cell]
    q, r = np.linalg.qr(structures.fractions().astype(float))
    solved, _ = nnls(r, q.T @ (np.array(each) / sizes))
    volumes = np.concatenate([[0.0], solved])
    there = volumes > 1
    return np.where(there, volumes, volumes[there].mean()).astype(np.float32)


def write_cifs(predicted: Sequence[PredictedStructure], folder: str | os.PathLike) -> list[Path]:
    """Write each structure to 01_PROTOTYPE_TEMPLATE.cif and so on in a folder; gives the paths."""
    from pymatgen.io.cif import CifWriter

    paths = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for place, one in enumerate(predicted, 1):
        path = Path(folder, f"{place:02d}_{one.prototype}_{one.template}.cif")
        with files.atomic_file(path) as file:
            file.write(str(CifWriter(one.structure)).encode())
        paths.append(path)
    return paths


# --- what is known, and the weights ---------------------------------------------------------------


def save_weights(path: Path, table: np.ndarray, volumes: np.ndarray, facts: dict[str, str]) -> None:
    """Write learned distances and element volumes to a safetensors file."""
    files.save(path, {"distances": table, "volumes": volumes}, facts)


@cache
def load_weights() -> tuple[torch.Tensor, np.ndarray]:
    """Distances of elements (N_Z, N_Z) and their volumes (N_Z,) that ship with the package.

    Raises
    ------
    WeightsError
        The file holds something else.
    """
    path = PRETRAINED / WEIGHTS_FILE
    arrays, _ = files.load(path)
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != {"distances": (N_Z, N_Z), "volumes": (N_Z,)}:
        raise WeightsError(f"{path} holds no distances of elements: {shapes}")
    return torch.tensor(arrays["distances"]), arrays["volumes"]


@cache
def _known() -> tuple[Structures, dict[Amounts, Group]]:
    structures = load_structures()
    rows = np.flatnonzero(structures.table["space_group"].to_numpy() > 0)
    return structures, group_templates(structures, rows)


def _asked(composition: object) -> tuple[Amounts, np.ndarray]:
    """Reduced amounts in rising order, and the atomic numbers that have them."""
    counts = reduced_counts([composition])[0].astype(int)
    present = np.flatnonzero(counts)
    numbers, counts = np.array([ATOMIC_NUMBER[ELEMENTS[e]] for e in present]), counts[present]
    order = np.lexsort((numbers, counts))
    return tuple(counts[order].tolist()), numbers[order]
