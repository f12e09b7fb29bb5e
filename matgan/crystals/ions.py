"""Cations of oxides: charges by neutrality, the binary oxides behind them, size."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product

import numpy as np

from matgan.crystals.structures import Structures
from matgan.data.sources import read_csv

Oxides = dict[tuple[str, int], float]  # (element, charge) -> eV per cation of its binary oxide
OXYGEN = 8
_SMALL = 1e-6


def published_oxides() -> Oxides:
    """Total energies of the binary oxides of Ye et al. 2018, in eV per cation, oxygen included.

    An oxide that is not neutral with its cation's charge is left out: Yb2+ stands there for Yb2O3.

    Raises
    ------
    SourceUnavailable, SourceCorrupt
        As `matgan.data.sources.fetch`.
    """
    from pymatgen.core import Composition, Species

    columns = {"cation": "str", "composition": "str", "energy_ev": "float"}
    oxides = {}
    for row in read_csv("ye2018_binary_oxides", None, columns).itertuples():
        cation, composition = Species.from_str(row.cation), Composition(row.composition)
        symbol, charge = cation.symbol, round(cation.oxi_state or 0)
        if abs(charge * composition[symbol] - 2 * composition["O"]) < _SMALL:
            oxides[symbol, charge] = row.energy_ev / composition[symbol]
    return oxides


def oxides_among(structures: Structures) -> Oxides:
    """Formation energies of binary oxides, in eV per cation: the lowest of each stoichiometry.

    The charge follows from the stoichiometry and must be an oxidation state that pymatgen lists, so
    that peroxides are none. Energies are from the elements, not total ones.

    Parameters
    ----------
    structures : with the column e_form, eV/atom
    """
    from pymatgen.core import Element

    found: Oxides = {}
    sizes, energies = np.diff(structures.first), structures.table["e_form"].to_numpy(float)
    for i, (_, numbers, _) in enumerate(structures):
        elements, counts = np.unique(numbers, return_counts=True)
        if len(elements) != 2 or OXYGEN not in elements:
            continue
        (cation,), (n,) = elements[elements != OXYGEN], counts[elements != OXYGEN]
        element, charge = Element.from_Z(int(cation)), 2 * (sizes[i] - n) / n
        if charge % 1 or charge not in element.oxidation_states:
            continue
        key = element.symbol, int(charge)
        energy = float(energies[i] * sizes[i] / n)
        found[key] = min(energy, found.get(key, energy))
    return found


def charges_by_oxides(
    cations: Mapping[str, float], oxygen: float, oxides: Oxides
) -> tuple[dict[str, int], float] | None:
    """One charge for each cation of a neutral oxide, and the energy of its binary oxides.

    Of the neutral choices that one whose binary oxides together have the lowest energy: those that
    the compound would decompose into.

    Parameters
    ----------
    cations : symbol -> amount
    oxygen : amount of oxygen
    oxides : eV per cation

    Returns
    -------
    {symbol: charge} and the energy in eV for these amounts; None where no choice is neutral
    """
    listed = [[charge for symbol, charge in oxides if symbol == cation] for cation in cations]
    amounts, best = list(cations.values()), None
    for charges in product(*listed):
        if abs(np.dot(charges, amounts) - 2 * oxygen) > _SMALL:
            continue
        chosen = dict(zip(cations, charges, strict=True))
        energy = sum(oxides[cation, chosen[cation]] * n for cation, n in cations.items())
        if best is None or energy < best[1]:
            best = chosen, energy
    return best


@cache
def ionic_radius(symbol: str, charge: int) -> float:
    """Shannon's ionic radius of a cation in Å (Acta Cryst. A 32, 751, 1976), as pymatgen has it.

    For six neighbours, of spin states the high one; where the table lacks six, for the next larger
    number of neighbours, else the next smaller one. NaN where the cation is not in the table.
    """
    from pymatgen.core import Element

    table = Element(symbol).data.get("Shannon radii", {}).get(str(charge))
    if not isinstance(table, dict):
        return float("nan")
    order = ["VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIV", "V", "IV", "IVSQ", "IVPY", "III"]
    spins = table[next((n for n in order if n in table), next(iter(table)))]
    return float(spins.get("High Spin", next(iter(spins.values())))["ionic_radius"])
