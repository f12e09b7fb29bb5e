"""Distance to the convex hull of formation energies: many small linear programmes.

The hull's energy at a composition x is min Σ λ_j e_j over the mixtures of known compounds that have
this composition, Σ λ_j x_j = x with λ ≥ 0, per atom. Only compounds of the elements of x can take
part, so each programme has as many rows as x has elements, and a simplex method that starts from
the elements needs a few pivots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from matgan.chemistry.composition import amounts_matrix, formulas, fractions
from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS
from matgan.learning.compute import compiled

_FEASIBLE = 1e-12  # smallest pivot, and reduced cost in eV/atom
_PIVOTS = 10_000  # in one programme; a few are usual
_STEEPEST = 50  # of them go by the largest descent, the others by Bland's rule, which ends
_SUBSETS = 12  # elements up to which all subsets of a system are looked up


class HullError(ValueError):
    """Energies that make no hull, a hull that is none, or one not reached; names the row."""


@dataclass(frozen=True)
class Mixture:
    """The competing phases of n compositions, at most one for each element.

    Attributes
    ----------
    rows : (n, m) int, compounds of the hull by their row; -1 - e is the element e, -2**31 none
    amounts : (n, m) float, share of the atoms in each phase; 0 where there is none
    """

    rows: np.ndarray
    amounts: np.ndarray


class Hull:
    """The lower convex hull of compounds and of the elements, which have the energy 0.

    Parameters
    ----------
    compositions : n compounds, in any form that `matgan.amounts_matrix` takes
    energies : (n,) formation energies in eV/atom; NaN: not known, and no part of the hull

    Attributes
    ----------
    amounts : (n, 85)

    Raises
    ------
    HullError
        Not as many energies as compositions, or an infinite one; from the methods, a programme that
        does not end (none is known). Names the row.
    CompositionError
        A row that is no composition.
    """

    def __init__(self, compositions: Iterable, energies: ArrayLike):
        amounts = amounts_matrix(compositions)
        self.energies = _checked(energies, len(amounts))
        self.amounts = amounts
        shares = fractions(amounts)
        known = np.flatnonzero(~np.isnan(self.energies))
        codes = _systems(shares[known] > 0)
        order = known[np.argsort(codes, kind="stable")]
        self._order, self._shares = order, np.ascontiguousarray(shares[order])
        self._compositions = _numbers(self._shares)
        self._sorted_codes = np.sort(codes)
        self._codes, self._starts = np.unique(self._sorted_codes, return_index=True)
        self._starts = np.append(self._starts, len(order))
        self._present = self._shares[self._starts[:-1]] > 0

    def __len__(self) -> int:
        return len(self.energies)

    def energy(self, compositions: Iterable, others: bool = False) -> np.ndarray:
        """Energy of the hull at m compositions: (m,) in eV/atom; never above 0.

        Parameters
        ----------
        compositions : m, in any form that `matgan.amounts_matrix` takes
        others : compounds of the same composition take no part, so that a prediction for a known
            compound is compared with what it would decompose into
        """
        return self._solve(fractions(compositions), others)[0]

    def distance(self, compositions: Iterable, energies: ArrayLike) -> np.ndarray:
        """Energy of m compounds above the hull (below: negative): (m,) in eV/atom."""
        shares = fractions(compositions)
        energies = _checked(energies, len(shares))
        return energies - self._solve(shares)[0]

    def own_distances(self) -> np.ndarray:
        """Distance of each row to the hull of the other rows: (n,), NaN where NaN was given.

        Only the row itself is left out. A stable compound that stands once has a negative distance:
        by how much it may rise before it decomposes. Rows of one composition, polymorphs or
        duplicates, compete with each other: of a stable one the lowest row may rise to the second
        lowest at most, so that duplicates have 0. `self.energies - self.energy(self.amounts,
        others=True)` leaves out all rows of the composition.
        """
        distances = np.full(len(self), np.nan)
        own = np.arange(len(self._order), dtype=np.uint64)
        below = self._solve_sorted(self._shares, self._sorted_codes, own, own)[0]
        distances[self._order] = self.energies[self._order] - _reached(below, self._order)
        return distances

    def mixture(self, compositions: Iterable, others: bool = False) -> Mixture:
        """What m compositions decompose into: the phases of the hull and their shares.

        Parameters
        ----------
        compositions, others : as for `energy`
        """
        _, rows, amounts = self._solve(fractions(compositions), others)
        return Mixture(rows, amounts)

    def written(self, mixture: Mixture) -> list[str]:
        """Each mixture as a text such as "0.6 Fe2O3 + 0.4 Li2O", shares of the atoms."""
        texts = []
        for rows, amounts in zip(mixture.rows, mixture.amounts, strict=True):
            taken = [(a, r) for a, r in zip(amounts, rows, strict=True) if a > 1e-9]
            names = [
                ELEMENTS[-1 - r] if r < 0 else formulas(self.amounts[[r]])[0] for _, r in taken
            ]
            texts.append(
                " + ".join(f"{a:.3g} {name}" for (a, _), name in zip(taken, names, strict=True))
            )
        return texts

    def _solve(self, shares: np.ndarray, others: bool = False):
        """Energy, phases (rows of the compounds given) and shares of each of m compositions."""
        codes = _systems(shares > 0)
        order = np.argsort(codes, kind="stable")
        leave = _numbers(shares[order]) if others else np.zeros(len(shares), dtype=np.uint64)
        ids = self._compositions if others else np.ones(len(self._order), dtype=np.uint64)
        energy, rows, amounts = self._solve_sorted(shares[order], codes[order], ids, leave)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        _reached(energy[back], np.arange(len(order)))
        if len(self._order):
            rows = np.where(rows >= 0, self._order[np.maximum(rows, 0)], rows)
        return energy[back], rows[back], amounts[back]

    def _solve_sorted(
        self, shares: np.ndarray, codes: np.ndarray, ids: np.ndarray, leave: np.ndarray
    ):
        """The same for compositions sorted by system; compounds whose id is theirs in `leave` don't
        take part."""
        wide = int((shares > 0).sum(axis=1).max(initial=1))
        return _solve_all(
            shares, codes, ids, leave, self._codes, self._starts, self._present,
            self._shares, self.energies[self._order], _CODES, wide, _PIVOTS, _STEEPEST,
        )  # fmt: skip


def hull(compositions: Iterable, energies: ArrayLike) -> Hull:
    """The convex hull of compounds with formation energies in eV/atom: see `Hull`."""
    return Hull(compositions, energies)


def hull_distance(
    compositions: Iterable, energies: ArrayLike, against: Hull | None = None
) -> np.ndarray:
    """Energy above the convex hull of n compounds: (n,) in eV/atom.

    Parameters
    ----------
    compositions : n, in any form that `matgan.amounts_matrix` takes
    energies : (n,) formation energies in eV/atom; the elements have 0. NaN gives NaN
    against : the hull that they are compared with, as `matgan.hull` makes it. None: of the
        compounds themselves, each row left out of its own hull, and no other row. A stable
        compound that stands once has a negative distance. Rows of one composition compete with
        each other: duplicates of a stable one have 0 each, and a higher polymorph has at least what
        it lies above the lowest. `Hull.energy(compositions, others=True)` is the energy of the hull
        without any row of the composition.

    Raises
    ------
    HullError
        As `Hull`; `against` is no hull.
    CompositionError
        As `Hull`.
    """
    if against is None:
        return Hull(compositions, energies).own_distances()
    if not isinstance(against, Hull):
        raise HullError(
            f"against must be a hull, as hull(compositions, energies) makes it, not {against!r:.60}"
        )
    return against.distance(compositions, energies)


def _checked(energies: ArrayLike, n: int) -> np.ndarray:
    values = np.array(energies, dtype=float)
    if values.shape != (n,):
        raise HullError(f"energies must be ({n},), one for each composition, not {values.shape}")
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise HullError(f"row {row}: the energy is {values[row]}")
    return values


def _reached(energy: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Energies of the hull as they are; HullError, with its row, for one that was not reached."""
    if np.isnan(energy).any():
        row = int(rows[np.isnan(energy).argmax()])
        raise HullError(f"row {row}: the hull was not reached in {_PIVOTS:,} pivots")
    return energy


# --- the programmes -------------------------------------------------------------------------------

# a chemical system is the sum of its elements' random numbers
_CODES = np.random.default_rng(0).integers(2**64, size=N_ELEMENTS, dtype=np.uint64)


def _systems(present: np.ndarray) -> np.ndarray:
    """A 64-bit number for the chemical system of each row (n, 85) bool."""
    return present.astype(np.uint64) @ _CODES


def _numbers(shares: np.ndarray) -> np.ndarray:
    """A 64-bit number for the composition of each row (n, 85), equal where the fractions are."""
    return np.rint(shares * 1e6).astype(np.uint64) @ _CODES


@compiled
def _solve_all(
    shares, codes, ids, leave, systems, starts, present, known, energies, of_element, wide,
    pivots, steepest,
):  # fmt: skip
    n = len(shares)
    energy = np.zeros(n)
    rows = np.full((n, wide), -(2**31), dtype=np.int64)
    amounts = np.zeros((n, wide))
    columns = np.empty(0, dtype=np.int64)
    table = np.empty((0, 0))
    elements = np.empty(0, dtype=np.int64)
    for i in range(n):
        if i == 0 or codes[i] != codes[i - 1]:  # another chemical system
            elements = np.flatnonzero(shares[i])
            columns = _within(elements, systems, starts, present, of_element)
            table = np.empty((len(columns), len(elements)))
            for j in range(len(columns)):
                for e in range(len(elements)):
                    table[j, e] = known[columns[j], elements[e]]
        m = len(elements)
        basis, solution, optimal = _simplex(
            shares[i][elements], table, energies[columns], ids[columns], leave[i], pivots, steepest
        )
        if not optimal:
            energy[i] = np.nan
        for r in range(m):
            if basis[r] < 0:
                rows[i, r] = -1 - elements[-1 - basis[r]]
            else:
                rows[i, r] = columns[basis[r]]
                energy[i] += solution[r] * energies[columns[basis[r]]]
            amounts[i, r] = solution[r]
    return energy, rows, amounts


@compiled
def _within(elements, systems, starts, present, of_element):
    """Places of the compounds that hold none but these elements."""
    m = len(elements)
    found = []
    if m <= _SUBSETS:
        for subset in range(1, 1 << m):
            code = np.uint64(0)
            for e in range(m):
                if subset >> e & 1:
                    code += of_element[elements[e]]
            at = np.searchsorted(systems, code)
            if at < len(systems) and systems[at] == code:
                found.append(at)
    else:
        allowed = np.zeros(present.shape[1], dtype=np.bool_)
        allowed[elements] = True
        for at in range(len(systems)):
            if not (present[at] & ~allowed).any():
                found.append(at)
    total = 0
    for at in found:
        total += starts[at + 1] - starts[at]
    places = np.empty(total, dtype=np.int64)
    k = 0
    for at in found:
        for row in range(starts[at], starts[at + 1]):
            places[k] = row
            k += 1
    return places


@compiled
def _simplex(x, table, energies, ids, leave, pivots, steepest):
    """min Σ λ e over λ ≥ 0 with Σ λ_j table_j = x, from the basis of the elements.

    Basis entries are rows of the table, or -1 - e for the element e of x, whose energy is 0. Gives
    the basis, its amounts, and whether they are the optimum. After the steepest pivots Bland's rule
    (Math. Oper. Res. 2, 103, 1977) chooses: of what may enter and of what may leave the lowest
    number, in the one order -m, …, -1, 0, …, n - 1, so that no basis comes twice.
    """
    m, n = len(x), len(table)
    basis = -1 - np.arange(m)
    inverse = np.eye(m)
    solution = x.copy()
    cost = np.zeros(m)
    price = np.zeros(m)
    column = np.empty(m)
    optimal = False
    for step in range(pivots):
        for e in range(m):
            price[e] = 0.0
            for r in range(m):
                price[e] += cost[r] * inverse[r, e]
        enters, least = 2**31, -_FEASIBLE
        first = step >= steepest
        if first:
            for e in range(m - 1, -1, -1):
                if -price[e] < least and not _holds(basis, -1 - e):
                    enters = -1 - e
                    break
        if enters == 2**31:
            for j in range(n):
                if ids[j] == leave:
                    continue
                reduced = energies[j]
                for e in range(m):
                    reduced -= price[e] * table[j, e]
                if reduced < least and not _holds(basis, j):
                    enters, least = j, reduced
                    if first:
                        break
        if not first:
            for e in range(m):
                if -price[e] < least and not _holds(basis, -1 - e):
                    enters, least = -1 - e, -price[e]
        if enters == 2**31:
            optimal = True
            break
        for r in range(m):
            column[r] = 0.0
            if enters < 0:
                column[r] = inverse[r, -1 - enters]
            else:
                for e in range(m):
                    column[r] += inverse[r, e] * table[enters, e]
        leaves, ratio = -1, np.inf
        for r in range(m):
            if column[r] > _FEASIBLE:
                here = solution[r] / column[r]
                if here < ratio or (here == ratio and basis[r] < basis[leaves]):
                    leaves, ratio = r, here
        if leaves < 0:
            break
        pivot = column[leaves]
        inverse[leaves] /= pivot
        solution[leaves] /= pivot
        for r in range(m):
            if r != leaves and column[r] != 0:
                factor = column[r]
                for e in range(m):
                    inverse[r, e] -= factor * inverse[leaves, e]
                solution[r] = max(0.0, solution[r] - factor * solution[leaves])
        basis[leaves] = enters
        cost[leaves] = 0.0 if enters < 0 else energies[enters]
    return basis, solution, optimal


@compiled
def _holds(basis, number):
    """Whether a basis holds a number; by rounding its own reduced cost may be just below 0."""
    for r in range(len(basis)):  # noqa: SIM110 - numba knows no any() of a generator
        if basis[r] == number:
            return True
    return False
