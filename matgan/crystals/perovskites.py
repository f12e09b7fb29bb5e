"""Perovskites ABO3 and garnets C3A2D3O12 as elements on sites, with energies above binary oxides.

After Ye, Chen, Wang, Chu and Ong, Nat. Commun. 9, 3800 (2018): the formation energy from binary
oxides follows from two descriptors of each site, Pauling's electronegativity and the ionic radius.
Where a site is shared, both are averaged (their averaging scheme).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from matgan.crystals.ions import (
    OXYGEN,
    charges_by_oxides,
    ionic_radius,
    oxides_among,
    published_oxides,
)
from matgan.crystals.structures import Structures
from matgan.crystals.symmetry import SYMPREC
from matgan.data.sources import read_csv


@dataclass(frozen=True)
class Family:
    """Compounds of one structure type.

    Attributes
    ----------
    sites : name of a site -> cations on it in a formula unit
    oxygen : atoms of oxygen in a formula unit
    space_group, letters : of the structure type; Wyckoff letters of each site, standard setting
    """

    sites: Mapping[str, int]
    oxygen: int
    space_group: int
    letters: Mapping[str, str]

    @property
    def atoms(self) -> int:
        """Atoms in a formula unit."""
        return sum(self.sites.values()) + self.oxygen


# In Pnma the two settings of the octahedra's centres, 4a and 4b, differ by the origin only.
FAMILIES = {
    "perovskite": Family({"A": 1, "B": 1}, 3, 62, {"A": "c", "B": "ab"}),
    "garnet": Family({"C": 3, "A": 2, "D": 3}, 12, 230, {"C": "c", "A": "a", "D": "d"}),
}
FORMULA_UNITS = 4  # formula units in the primitive cell of both
Site = dict[str, float]  # symbol -> its share of the site


# Cations that the network of the source takes on each site of a perovskite (its `util.py`).
SPECIES = {
    "A": "Al3+ Ba2+ Bi3+ Ca2+ Cd2+ Ce3+ Ce4+ Dy3+ Er3+ Gd3+ Ho3+ La3+ Mg2+ Mn2+ Nd3+ Ni2+ Pb2+ "
    "Pd2+ Pr3+ Pt2+ Rh3+ Sc3+ Sm3+ Sn4+ Sr2+ Tb3+ Tl3+ Tm3+ Y3+ Zn2+",
    "B": "Al3+ Au3+ Bi3+ Ce3+ Ce4+ Co2+ Co3+ Cr3+ Cu2+ Dy3+ Er3+ Eu3+ Fe2+ Fe3+ Ga3+ Gd3+ Ge4+ "
    "Hf4+ Ho3+ In3+ Ir4+ La3+ Lu3+ Mg2+ Mn2+ Mn4+ Mo4+ Nd3+ Ni2+ Os4+ Pb4+ Pd4+ Pr3+ Pt4+ Re4+ "
    "Rh3+ Ru4+ Sc3+ Si4+ Sm3+ Sn4+ Ta5+ Tb3+ Tc4+ Ti4+ Tl3+ Tm3+ V5+ W4+ Y3+ Zn2+ Zr4+",
}


def assign_sites(
    cations: Mapping[str, float], charges: Mapping[str, int]
) -> dict[str, Site] | None:
    """Sites of a perovskite from its formula: on A and B what `SPECIES` allows there.

    Two cations of equal amounts have a site each; of three, one has a site and the others share the
    other one. Where both ways are allowed, the cations that are larger on average are on A.

    Parameters
    ----------
    cations : symbol -> amount for three oxygens; they add up to 2
    charges : symbol -> charge

    Returns
    -------
    {"A": …, "B": …}; None where neither way is allowed

    Raises
    ------
    ValueError
        No cation, or more than one, of the amount 1 beside two that share a site.
    """
    whole = [symbol for symbol, n in cations.items() if abs(n - 1) < 1e-6]
    if abs(sum(cations.values()) - 2) > 1e-6 or (len(cations), len(whole)) not in ((2, 2), (3, 1)):
        raise ValueError(f"one cation a site, or one and a pair, are needed, not {dict(cations)}")
    one = {whole[0]: 1.0}
    other = {symbol: n for symbol, n in cations.items() if symbol != whole[0]}
    radii = [sum(ionic_radius(s, charges[s]) * n for s, n in site.items()) for site in (one, other)]
    ways = [(one, other), (other, one)] if radii[0] > radii[1] else [(other, one), (one, other)]
    for a, b in ways:  # the larger ones on A first
        fits = [
            all(f"{symbol}{charges[symbol]}+" in SPECIES[name].split() for symbol in site)
            for name, site in (("A", a), ("B", b))
        ]
        if all(fits):
            return {"A": a, "B": b}
    return None


def load_ye2018(mixed: bool = True) -> pd.DataFrame:
    """Perovskites of Ye et al. 2018: lowest energy of each composition, above its binary oxides.

    The source gives a total energy for each ordering of the cations and each exchange of the sites,
    and names no sites: they follow from `assign_sites`, charges from `charges_by_oxides`. Some
    energies belong to the exchanged sites all the same: of 31 unmixed compounds with a single one
    that `find_family` finds too, 9 lie more than 0.02 eV/atom above its lowest (BiRhO3 by 0.31), of
    20 with several one does.

    Parameters
    ----------
    mixed : False: only ABO3 of two cations, in the counts of what is left out, too

    Returns
    -------
    DataFrame, a row for each composition: formula, A, B (such as "Sm0.25Y0.75"), energy (eV/atom),
    entries (calculations of this composition), range (highest minus lowest of them, eV/atom), and
    for each site X and r, electronegativity and radius in Å, as in `describe_sites`. The attribute
    `dropped` counts the compositions left out, by reason.

    Raises
    ------
    SourceUnavailable, SourceCorrupt
        As `matgan.data.sources.fetch`.
    """
    from pymatgen.core import Composition

    oxides, family = published_oxides(), FAMILIES["perovskite"]
    columns = {"composition": "str", "energy_ev": "float", "correction_ev": "float"}
    entries = read_csv("ye2018_perovskites", None, columns)
    energy = entries["energy_ev"] + entries["correction_ev"]
    read = entries["composition"].map(Composition)
    entries["energy"] = energy / read.map(lambda cell: cell["O"] / family.oxygen)  # of a unit
    # one composition is written in several orders
    formulas = read.map(lambda cell: cell.reduced_formula)
    rows, dropped = [], Counter[str]()
    for formula, part in entries.groupby(formulas, sort=False):
        composition = read[part.index[0]]
        units = composition["O"] / family.oxygen
        cations = {e.symbol: composition[e] / units for e in composition if e.symbol != "O"}
        if not mixed and not np.allclose(list(cations.values()), 1):
            continue
        choice = charges_by_oxides(cations, family.oxygen, oxides)
        if choice is None:
            dropped["no neutral charges among the binary oxides"] += 1
            continue
        charges, below = choice
        sites = assign_sites(cations, charges)
        if sites is None:
            dropped["a cation that the source names for no site"] += 1
            continue
        energies = (part["energy"] - below) / family.atoms
        row = {"formula": formula, **_texts(sites), "energy": energies.min()}
        row |= {"entries": len(part), "range": float(np.ptp(energies))}
        rows.append(row | describe_sites(sites, charges))
    return _finished(rows, dropped)


def find_family(structures: Structures, name: str, symprec: float = SYMPREC) -> pd.DataFrame:
    """Perovskites (of CaTiO3's type, Pnma) or garnets (Ia-3d) among structures, sites by Wyckoff.

    Parameters
    ----------
    structures : with e_form, eV/atom, the binary oxides among them
    name : of `FAMILIES`
    symprec : tolerance of the sites, Å

    Returns
    -------
    DataFrame as `load_ye2018` gives it, with C, A and D of garnets; id names the structure.
    """
    from pymatgen.core import Element

    family, oxides = FAMILIES[name], oxides_among(structures)
    rows, dropped = [], Counter[str]()
    candidates = structures.table["space_group"].to_numpy() == family.space_group
    candidates &= np.diff(structures.first) == FORMULA_UNITS * family.atoms
    for i in map(int, np.flatnonzero(candidates)):
        cell, numbers, frac = structures[i]
        if (numbers == OXYGEN).sum() != FORMULA_UNITS * family.oxygen:
            continue
        found = _elements_on_sites(family, cell, numbers, frac, symprec)
        if found is None:
            continue
        sites = {site: {Element.from_Z(z).symbol: 1.0} for site, z in found.items()}
        cations = Counter[str]()
        for site, n in family.sites.items():
            cations.update(dict.fromkeys(sites[site], n))
        choice = charges_by_oxides(cations, family.oxygen, oxides)
        if choice is None:
            dropped["no neutral charges among the binary oxides"] += 1
            continue
        charges, below = choice
        labels = structures.table.iloc[i]
        formula = "".join(f"{s}{n if n > 1 else ''}" for s, n in cations.items())
        row = {"formula": f"{formula}O{family.oxygen}", **_texts(sites)}
        row |= {"energy": labels["e_form"] - below / family.atoms, "id": labels["id"]}
        rows.append(row | describe_sites(sites, charges))
    return _finished(rows, dropped)


def describe_sites(sites: Mapping[str, Site], charges: Mapping[str, int]) -> dict[str, float]:
    """Electronegativity (Pauling) X and ionic radius r (Å) of each site, means over what shares it.

    Parameters
    ----------
    sites : name -> symbol -> share
    charges : symbol -> charge

    Returns
    -------
    {"X_A": …, "r_A": …, …}; NaN where an element has no value
    """
    from pymatgen.core import Element

    found = {}
    for name, site in sites.items():
        found[f"X_{name}"] = sum(n * float(Element(symbol).X) for symbol, n in site.items())
        found[f"r_{name}"] = sum(n * ionic_radius(s, charges[s]) for s, n in site.items())
    return found


def descriptors(table: pd.DataFrame) -> np.ndarray:
    """(n, 2 sites) array of the two descriptors of each site."""
    return table[[c for c in table if c.startswith(("X_", "r_"))]].to_numpy(float)


def elements_of_sites(table: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """(n, m) array of the share of each element on each site, and the names, such as "A Ca"."""
    sites = _site_names(table)
    shares = [_parsed(table[site]) for site in sites]
    names, columns = [], []
    for site, of_rows in zip(sites, shares, strict=True):
        for symbol in sorted({symbol for row in of_rows for symbol in row}):
            names.append(f"{site} {symbol}")
            columns.append([row.get(symbol, 0.0) for row in of_rows])
    return np.array(columns).T, names


def cations_of(table: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """(n, m) bool array: which cations a compound holds, on any site; and their symbols."""
    shares, names = elements_of_sites(table)
    symbols = sorted({name.split()[1] for name in names})
    of = np.array([[name.split()[1] == symbol for symbol in symbols] for name in names])
    return (shares @ of) > 0, symbols


# --- helpers --------------------------------------------------------------------------------------


def _site_names(table: pd.DataFrame) -> list[str]:
    return [column[2:] for column in table if column.startswith("X_")]


def _parsed(texts: Sequence[str]) -> list[Site]:
    from pymatgen.core import Composition

    return [{e.symbol: n for e, n in Composition(text).items()} for text in texts]


def _texts(sites: Mapping[str, Site]) -> dict[str, str]:
    return {
        name: "".join(f"{symbol}{n:g}" if n < 1 else symbol for symbol, n in sorted(site.items()))
        for name, site in sites.items()
    }


def _elements_on_sites(
    family: Family, cell, numbers, frac, symprec: float
) -> dict[str, int] | None:
    """Atomic number on each site by Wyckoff letter; None where a site is empty or shared."""
    import spglib
    from pymatgen.core import Lattice

    lattice = Lattice.from_parameters(*cell).matrix.tolist()
    dataset = spglib.get_symmetry_dataset((lattice, frac.tolist(), numbers.tolist()), symprec)
    if dataset is None or dataset.number != family.space_group:
        return None
    letters = np.array(dataset.wyckoffs)
    cation, found = numbers != OXYGEN, dict[str, int]()
    for site, wanted in family.letters.items():
        here = np.isin(letters, list(wanted)) & cation
        elements = np.unique(numbers[here])
        if len(elements) != 1 or here.sum() * family.atoms != len(numbers) * family.sites[site]:
            return None
        found[site] = int(elements[0])
    return found


def _finished(rows: list[dict], dropped: Counter[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    known = np.isfinite(descriptors(table)).all(axis=1)
    if not known.all():
        dropped["a cation without a radius"] += int((~known).sum())
    table = table[known].reset_index(drop=True)
    table.attrs["dropped"] = dict(dropped)
    return table
