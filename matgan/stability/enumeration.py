"""Every composition of a few elements and a few atoms, by number, with its charge balance.

Of 85 elements, up to four in one composition and up to ten atoms, there are 425,957,610 reduced
formulas: Σ_k C(85, k) Σ_d μ(d) C(⌊10 / d⌋, k), with Möbius' μ, which leaves out what has a common
divisor. 415,080,925 of them hold four elements. They are made where they are needed: a composition
by its number, a block of them by its index, so that a block is what is done again after a kill and
what a worker of a cluster is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from math import comb, gcd

import numpy as np

from matgan.chemistry.composition import reduced_counts
from matgan.chemistry.elements import ELEMENT_INDEX, ELEMENTS, N_ELEMENTS
from matgan.chemistry.oxidation import electronegativities, oxidation_states
from matgan.learning.compute import compiled

_BLOCK = 1_000_000  # compositions, about
_BITS = 64  # charges from 0 to 63 are the bits of a machine word


class EnumerationError(ValueError):
    """Limits that cannot be enumerated, or a block or number that is not there; names it."""


@dataclass(frozen=True)
class Block:
    """n compositions of an enumeration that hold up to k elements.

    Attributes
    ----------
    number : (n,) int64, of each composition in the enumeration
    elements : (n, k) int16, rows of `matgan.ELEMENTS`, -1 for none
    amounts : (n, k) uint8, atoms of each, 0 for none
    neutral, balanced : (n,) bool, as `matgan.charge_neutral` and
        `matgan.electronegativity_balanced` say
    """

    number: np.ndarray
    elements: np.ndarray
    amounts: np.ndarray
    neutral: np.ndarray
    balanced: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: np.ndarray) -> Block:
        """Some of the compositions, by row number or by a mask (n,)."""
        return Block(*(getattr(self, field.name)[rows] for field in fields(self)))

    def counts(self) -> np.ndarray:
        """Atoms of each of the 85 elements: (n, 85) uint8."""
        out = np.zeros((len(self), N_ELEMENTS), dtype=np.uint8)
        rows, places = np.nonzero(self.amounts)
        out[rows, self.elements[rows, places]] = self.amounts[rows, places]
        return out


class Enumeration:
    """The reduced compositions of up to `most_elements` elements and `most_atoms` atoms.

    Chemical systems come by their number of elements, those of k elements in colexicographic order.
    Block b of B holds the systems b, b + B, b + 2B, …: each is like a random sample of the whole.

    Parameters
    ----------
    most_elements : from 1 to 4
    most_atoms : in the reduced formula
    elements : symbols that are combined
    oxidation_states : which states they may take, as for `matgan.charge_neutral`
    per_block : compositions in a block, about

    Raises
    ------
    EnumerationError
        Limits out of range, an element twice, or states so low that a machine word is too short.

    Attributes
    ----------
    n_blocks : int
    """

    def __init__(
        self,
        most_elements: int = 4,
        most_atoms: int = 10,
        elements: Sequence[str] = ELEMENTS,
        oxidation_states: object = "smact14",
        per_block: int = _BLOCK,
    ):
        limits = {
            "most_elements": (most_elements, 1, 4),
            "most_atoms": (most_atoms, most_elements, 20),
            "per_block": (per_block, 1, 10**8),
        }
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise EnumerationError(f"{name} must be from {least} to {most}, not {value}")
        unknown = [symbol for symbol in elements if symbol not in ELEMENT_INDEX]
        if unknown or len(set(elements)) != len(elements) or len(elements) < most_elements:
            named = f", but {unknown[0]!r} is none" if unknown else ""
            raise EnumerationError(
                f"elements must be {most_elements} or more different ones of the 85{named}"
            )
        self.most_elements, self.most_atoms = most_elements, most_atoms
        self._elements = np.sort([ELEMENT_INDEX[symbol] for symbol in elements])
        sizes = range(1, most_elements + 1)
        self._formulas = [_stoichiometries(k, most_atoms) for k in sizes]
        self._systems = np.array([comb(len(elements), k) for k in sizes])
        per_size = self._systems * [len(some) for some in self._formulas]
        self._first_system = np.concatenate([[0], np.cumsum(self._systems)])
        self._first_number = np.concatenate([[0], np.cumsum(per_size)])
        self.n_blocks = max(1, min(round(len(self) / per_block), int(self._first_system[-1])))
        self._states = _padded(oxidation_states, most_atoms)
        self._choose = np.array(
            [[comb(n, k) for k in range(most_elements + 1)] for n in range(len(elements) + 1)]
        )

    def __len__(self) -> int:
        return int(self._first_number[-1])

    def block(self, index: int) -> Block:
        """The compositions of a block, in the order of their numbers.

        Raises
        ------
        EnumerationError
            There is no such block.
        """
        if not 0 <= index < self.n_blocks:
            raise EnumerationError(f"blocks are 0 to {self.n_blocks - 1}, there is no {index}")
        parts = []
        for size, formulas in enumerate(self._formulas, 1):
            first = int(self._first_system[size - 1])
            systems = np.arange(
                (index - first) % self.n_blocks, self._systems[size - 1], self.n_blocks
            )
            places = np.tile(np.arange(len(formulas)), len(systems))
            parts.append(self._judged(size, np.repeat(systems, len(formulas)), places))
        return Block(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def size(self, index: int) -> int:
        """Number of compositions in a block, without making them."""
        total = 0
        for first, systems, formulas in zip(
            self._first_system[:-1].tolist(), self._systems.tolist(), self._formulas, strict=True
        ):
            offset = (index - first) % self.n_blocks
            total += len(range(offset, systems, self.n_blocks)) * len(formulas)
        return total

    def __iter__(self) -> Iterator[Block]:
        return map(self.block, range(self.n_blocks))

    def _judged(self, size: int, systems: np.ndarray, places: np.ndarray) -> tuple:
        return _judge(
            systems,
            places,
            self._formulas[size - 1],
            int(self._first_number[size - 1]),
            self.most_elements,
            self._elements,
            self._choose,
            self._states,
            electronegativities(),
        )

    def compositions(self, numbers: Iterable[int]) -> Block:
        """Compositions by their numbers: n of them, in the order given.

        Raises
        ------
        EnumerationError
            A number from below 0 or beyond the last; names it.
        """
        asked = np.asarray(list(numbers), dtype=np.int64)
        wrong = asked[(asked < 0) | (asked >= len(self))]
        if len(wrong):
            raise EnumerationError(f"numbers are 0 to {len(self) - 1}, there is no {wrong[0]}")
        sizes = np.searchsorted(self._first_number, asked, side="right")
        found: list[tuple] = []
        for size, formulas in enumerate(self._formulas, 1):
            systems, places = np.divmod(
                asked[sizes == size] - self._first_number[size - 1], len(formulas)
            )
            found.append(self._judged(size, systems, places))
        back = np.argsort(np.argsort(sizes, kind="stable"), kind="stable")
        return Block(*(np.concatenate(arrays)[back] for arrays in zip(*found, strict=True)))

    def numbers(self, counts: Iterable) -> np.ndarray:
        """Number of each of n compositions: (n,) int64, -1 for one that is not enumerated.

        Parameters
        ----------
        counts : compositions of whole amounts, as `matgan.amounts_matrix` takes them
        """
        counts = reduced_counts(counts)
        outside = np.ones(N_ELEMENTS, dtype=bool)
        outside[self._elements] = False
        place_of = np.cumsum(~outside) - 1  # of an element among those that are combined
        size = (counts > 0).sum(axis=1)
        fits = (counts.sum(axis=1, dtype=np.int64) <= self.most_atoms) & (size >= 1)
        fits &= (size <= self.most_elements) & (counts[:, outside] == 0).all(axis=1)
        out = np.full(len(counts), -1, dtype=np.int64)
        for k, formulas in enumerate(self._formulas, 1):
            rows = np.flatnonzero(fits & (size == k))
            which = np.nonzero(counts[rows])[1].reshape(len(rows), k)
            rank = self._choose[place_of[which], np.arange(1, k + 1)].sum(axis=1)
            base = (self.most_atoms + 1) ** np.arange(k)
            codes = formulas.astype(np.int64) @ base
            order = np.argsort(codes)
            own = np.take_along_axis(counts[rows], which, axis=1).astype(np.int64) @ base
            place = order[np.searchsorted(codes[order], own)]
            out[rows] = self._first_number[k - 1] + rank * len(formulas) + place
        return out


def _stoichiometries(size: int, most: int) -> np.ndarray:
    """(m, size) uint8: positive amounts without a common divisor, at most `most` together."""
    ends = combinations(range(1, most + 1), size)  # running totals
    amounts = (np.diff((0, *end)).tolist() for end in ends)
    return np.array([some for some in amounts if gcd(*some) == 1], dtype=np.uint8)


def _padded(source: object, most_atoms: int) -> np.ndarray:
    """States as (85, 1 + m) int64: how many, then these."""
    table = oxidation_states(source)
    lowest = min((s for states in table.states for s in states), default=0)
    if -lowest * most_atoms >= _BITS:
        raise EnumerationError(
            f"{most_atoms} atoms in the state {lowest} of {table.name} have a charge beyond "
            f"{_BITS - 1}: allow fewer atoms"
        )
    out = np.zeros((N_ELEMENTS, 1 + max(map(len, table.states))), dtype=np.int64)
    for row, states in zip(out, table.states, strict=True):
        row[0] = len(states)
        row[1 : 1 + len(states)] = states
    return out


# --- compiled -------------------------------------------------------------------------------------


@compiled
def _judge(systems, places, formulas, first, width, members, choose, states, eneg):
    """Number, elements, amounts and verdicts of n compositions of one size.

    By the rank of their system and the place of their amounts among the formulas, (n,) each.
    """
    n, (m, size) = len(systems), formulas.shape
    number = np.empty(n, dtype=np.int64)
    elements = np.full((n, width), -1, dtype=np.int16)
    amounts = np.zeros((n, width), dtype=np.uint8)
    neutral = np.ones(n, dtype=np.bool_)  # a single element passes
    balanced = np.ones(n, dtype=np.bool_)
    own = np.empty(size, dtype=np.int64)
    order, known = own, True
    for row in range(n):
        if row == 0 or systems[row] != systems[row - 1]:
            _unrank(systems[row], own, choose)
            for j in range(size):
                own[j] = members[own[j]]
            order = np.argsort(eneg[own])  # NaN comes last
            known = not np.isnan(eneg[own]).any()
        formula = formulas[places[row]]
        number[row] = first + systems[row] * m + places[row]
        for j in range(size):
            elements[row, j] = own[j]
            amounts[row, j] = formula[j]
        if size > 1:
            fits = known and _balance(own, order, formula, states, eneg)
            balanced[row] = fits
            neutral[row] = fits or _cancels(own, formula, states)
    return number, elements, amounts, neutral, balanced


@compiled
def _unrank(rank, own, choose):
    """The subset of a colexicographic rank, Σ_j C(own_j, j + 1), rising, into `own`."""
    at = len(choose) - 1
    for j in range(len(own) - 1, -1, -1):
        while choose[at, j + 1] > rank:
            at -= 1
        own[j] = at
        rank -= choose[at, j + 1]


@compiled
def _balance(own, order, amounts, states, eneg):
    """Whether cations and more electronegative anions can cancel: `chemistry.validity._balance`.

    Bits are sums of charges. All anions together have less than 64: what is above is out of reach.
    """
    cations, mixed = np.uint64(1), np.uint64(0)
    for j in range(len(order)):
        e, n = own[order[j]], np.int64(amounts[order[j]])
        if j and eneg[e] > eneg[own[order[j - 1]]]:
            mixed |= cations
        up, down = np.uint64(0), np.uint64(0)
        for s in range(1, states[e, 0] + 1):
            charge = n * states[e, s]
            if 0 <= charge < 64:
                up |= cations << np.uint64(charge)
            if charge <= 0:
                down |= mixed >> np.uint64(-charge)
        cations, mixed = up, down
    return (cations | mixed) & np.uint64(1) != 0


@compiled
def _cancels(own, amounts, states):
    """Whether the charges can add up to zero: the sums of two halves must be opposite."""
    half = len(own) // 2
    above, below = _sums(own, amounts, states, 0, half)
    higher, lower = _sums(own, amounts, states, half, len(own))
    return (above & lower) | (below & higher) != 0


@compiled
def _sums(own, amounts, states, start, end):
    """Sums of the charges of one or two elements: bits of those from 0 up, and from 0 down."""
    above, below = np.uint64(0), np.uint64(0)
    e, n = own[start], np.int64(amounts[start])
    for s in range(1, states[e, 0] + 1):
        charge = n * states[e, s]
        if end - start == 1:
            if 0 <= charge < 64:
                above |= np.uint64(1) << np.uint64(charge)
            if -64 < charge <= 0:
                below |= np.uint64(1) << np.uint64(-charge)
            continue
        other, m = own[start + 1], np.int64(amounts[start + 1])
        for t in range(1, states[other, 0] + 1):
            total = charge + m * states[other, t]
            if 0 <= total < 64:
                above |= np.uint64(1) << np.uint64(total)
            if -64 < total <= 0:
                below |= np.uint64(1) << np.uint64(-total)
    return above, below
