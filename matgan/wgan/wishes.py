"""Which compositions are wanted of a generator, and which wishes can be met by none."""

from __future__ import annotations

import itertools
import math
import operator
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from matgan.chemistry.composition import LARGEST_COUNT, keys, reduced
from matgan.chemistry.elements import ELEMENT_INDEX, ELEMENTS, N_ELEMENTS, OTHER_ELEMENTS
from matgan.chemistry.inputs import Compositions
from matgan.chemistry.oxidation import electronegativities, oxidation_states
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced

_SEEDS = 2**32  # torch's generator on the CPU keeps 32 bits
_RULES = ("value", "interval")

_MOST_TRIED = 5000  # compositions that are looked at, one by one, whether any can be neutral
_CHUNK = 50_000  # known compositions at a time
_WHOLE = 1e-6  # relative, for the amounts of known compositions


@dataclass(frozen=True)
class Property:
    """A property that a composition must have, judged by a function of the user's.

    Attributes
    ----------
    of : function of counts (m, 85) uint8; gives values (m,), or a tuple (value, low, high) of such
    low, high : the wanted range, both ends included
    rule : {"value", "interval"}
        What must lie in the range: the value, or the whole interval from low to high, which asks
        for certainty. NaN lies nowhere.
    """

    of: Callable[[np.ndarray], Any]
    low: float = -np.inf
    high: float = np.inf
    rule: str = "value"

    def __post_init__(self):
        if not callable(self.of):
            raise ValueError(f"a property is a function of counts (m, 85), not {self.of!r}")
        if not self.low <= self.high:
            raise ValueError(f"a property from {self.low!r} to {self.high!r} is an empty range")
        if self.rule not in _RULES:
            raise ValueError(f"rule must be 'value' or 'interval', not {self.rule!r}")

    def has(self, counts: np.ndarray) -> np.ndarray:
        """Which compositions (m, 85) have it: (m,) bool."""
        if not len(counts):
            return np.zeros(0, dtype=bool)
        given = self.of(counts)
        parts = given if isinstance(given, tuple) else (given,)
        parts = [np.asarray(part, dtype=float) for part in parts]
        if len(parts) not in (1, 3) or any(part.shape != (len(counts),) for part in parts):
            shapes = ", ".join(str(part.shape) for part in parts)
            raise ValueError(
                f"a property of {len(counts)} compositions must be {len(counts)} values, or a "
                f"tuple (value, low, high) of such, not {shapes}"
            )
        if self.rule == "value":
            return (self.low <= parts[0]) & (parts[0] <= self.high)
        if len(parts) == 1:
            raise ValueError("rule 'interval' needs a property that gives (value, low, high)")
        return (self.low <= parts[1]) & (parts[2] <= self.high)


@dataclass(frozen=True)
class Wanted:
    """Which of the generated compositions are kept.

    A range is a whole number, which must be met, or a pair (low, high), both ends included:
    (2, 4) is 2, 3 or 4.

    Attributes
    ----------
    only : elements that a composition may hold; None: all
    exclude : elements that it must not hold
    contain : elements that it must hold
    n_elements : how many elements, a range from 2; None: at least two
    counts : range of the atoms of an element in the reduced formula, {"Li": (1, 3), "O": 4}.
        An element whose range does not begin with 0 must be there.
    neutral, balanced : whether it must be charge-neutral, or neutral and balanced
    oxidation_states : for these two, as in `matgan.chemistry.validity.charge_neutral`
    unique : whether each composition comes once
    new : known compositions, which are left out: in any form that
        `matgan.chemistry.composition.amounts_matrix` takes, a table with the column formula, or a
        function without arguments that gives one of these (such as `matgan.load_oqmd`).
        Amounts need not be reduced: Li0.5CoO2 is LiCo2O4.
    having : a `Property`, or several
    """

    only: Iterable[str] | None = None
    exclude: Iterable[str] = ()
    contain: Iterable[str] = ()
    n_elements: int | tuple[int, int] | None = None
    counts: Mapping[str, int | tuple[int, int]] | None = None
    neutral: bool = False
    balanced: bool = False
    oxidation_states: object = "smact14"
    unique: bool = False
    new: object = None
    having: Property | Iterable[Property] = ()
    # What follows from these: allowed elements (85,) bool; required ones and, by their index, the
    # lowest and highest counts of elements; lowest and highest number of elements; properties.
    allowed: np.ndarray = field(init=False, repr=False, compare=False)
    required: tuple[int, ...] = field(init=False, repr=False, compare=False)
    ranges: dict[int, tuple[int, int]] = field(init=False, repr=False, compare=False)
    sizes: tuple[int, int] = field(init=False, repr=False, compare=False)
    properties: tuple[Property, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if not isinstance(given := self.counts or {}, Mapping):
            raise ValueError(f"counts must be as {{'Li': (1, 3), 'O': 4}}, not {given!r}")
        symbols = _symbols(given, "counts")
        ranges = {ELEMENT_INDEX[s]: _range(given[s], f"counts of {s}", 0) for s in symbols}
        excluded = {ELEMENT_INDEX[s] for s in _symbols(self.exclude, "exclude")}
        excluded |= {element for element, (_, high) in ranges.items() if high == 0}
        only = ELEMENTS if self.only is None else _symbols(self.only, "only")
        allowed = np.isin(ELEMENTS, only) & ~np.isin(np.arange(N_ELEMENTS), list(excluded))
        required = {ELEMENT_INDEX[s] for s in _symbols(self.contain, "contain")}
        required |= {element for element, (low, _) in ranges.items() if low}
        n = self.n_elements
        sizes = (2, N_ELEMENTS) if n is None else _range(n, "n_elements", 2)
        if allowed.sum() == sizes[0]:  # no choice is left
            required |= set(np.flatnonzero(allowed).tolist())
        properties = (self.having,) if isinstance(self.having, Property) else tuple(self.having)
        for one in properties:
            if not isinstance(one, Property):
                raise ValueError(f"having must be a matgan.wgan.wishes.Property, not {one!r}")
        derived = {
            "allowed": allowed,
            "required": tuple(sorted(required)),
            "ranges": ranges,
            "sizes": sizes,
            "properties": properties,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        self._refuse_contradictions()

    @cached_property
    def is_of_elements(self) -> bool:
        """Whether anything is asked of elements and numbers, which can be drawn on request."""
        some = self.required or self.ranges or self.sizes != (2, N_ELEMENTS)
        return bool(some or not self.allowed.all())

    @cached_property
    def known(self) -> np.ndarray:
        """Keys of the compositions that are not new: (k,), distinct and in order."""
        return np.zeros(0, dtype=f"S{N_ELEMENTS}") if self.new is None else known_keys(self.new)

    def kept(self, counts: np.ndarray) -> np.ndarray:
        """Which compositions (n, 85), reduced, hold what is asked for: (n,) bool.

        Elements, their numbers and the charges are looked at; uniqueness, novelty and properties
        are not.
        """
        present = counts > 0
        good = np.logical_not(present[:, ~self.allowed].any(axis=1))
        good &= present[:, list(self.required)].all(axis=1)
        for element, (low, high) in self.ranges.items():
            good &= (low <= counts[:, element]) & (counts[:, element] <= high)
        low, high = self.sizes
        if (low, high) != (2, N_ELEMENTS):
            n_elements = present.sum(axis=1)
            good &= (low <= n_elements) & (n_elements <= high)
        for asked, judge in (
            (self.neutral, charge_neutral),
            (self.balanced, electronegativity_balanced),
        ):
            if asked:
                good[good] = judge(counts[good], self.oxidation_states)
        return good

    # --- what cannot be met -----------------------------------------------------------------------

    def _refuse_contradictions(self) -> None:
        low, high = self.sizes
        if lost := [element for element in self.required if not self.allowed[element]]:
            raise ValueError(f"{_names(lost)} must be there, but is not allowed")
        if self.allowed.sum() < low:
            raise ValueError(f"only {self.allowed.sum()} elements are allowed, {low} are needed")
        if len(self.required) > high:
            raise ValueError(
                f"{_names(self.required)} are {len(self.required)} elements, "
                f"but n_elements is at most {high}"
            )
        if self.neutral or self.balanced:
            self._refuse_charges()

    def _refuse_charges(self) -> None:
        """Neutral compositions need a positive and a negative state, or zeros only."""
        states = [set(listed) for listed in oxidation_states(self.oxidation_states).states]
        table = f" in {self.oxidation_states!r}" if isinstance(self.oxidation_states, str) else ""
        if without := [e for e in self.required if not states[e]]:
            raise ValueError(f"never neutral: {_names(without)} has no oxidation state{table}")
        if self.balanced:
            without = [e for e in self.required if np.isnan(electronegativities()[e])]
            if without:
                raise ValueError(f"never balanced: {_names(without)} has no electronegativity")
        low, high = self.sizes
        used = self.required if len(self.required) == high else np.flatnonzero(self.allowed)
        held = [states[e] for e in used]
        if any(max(s, default=0) > 0 for s in held) and any(min(s, default=0) < 0 for s in held):
            return
        zeros = [e for e in used if 0 in states[e]]
        if len(zeros) < low or not set(self.required) <= set(zeros):
            sign = "positive" if any(min(s, default=0) < 0 for s in held) else "negative"
            raise ValueError(f"never neutral: no allowed element has a {sign} state{table}")

    def possible(self, slots: int, most: int) -> float:
        """How many distinct compositions of a generator are as asked for; infinity: not counted.

        They are counted where the elements are fixed, and few enough numbers of atoms possible.

        Parameters
        ----------
        slots : elements that its formulas hold at most
        most : atoms of an element that they hold at most

        Raises
        ------
        ValueError
            There are none.
        """
        low, _ = self.sizes
        if max(low, len(self.required)) > slots:
            wish = f"n_elements from {low}" if low > slots else _names(self.required)
            raise ValueError(f"this generator writes {slots} elements at most, not {wish}")
        for element, (low, _) in self.ranges.items():
            if low > most:
                raise ValueError(
                    f"this generator writes {most} atoms of an element at most, "
                    f"not {low} of {ELEMENTS[element]}"
                )
        fixed = len(self.required) in (self.sizes[1], self.allowed.sum())
        ranges = [self.ranges.get(element, (1, most)) for element in self.required]
        choices = [range(max(1, low), min(high, most) + 1) for low, high in ranges]
        n = math.prod(len(choice) for choice in choices)
        if not fixed or n > _MOST_TRIED:
            return math.inf
        tried = np.zeros((n, N_ELEMENTS), dtype=np.uint8)
        tried[:, list(self.required)] = list(itertools.product(*choices))
        distinct = np.unique(reduced(tried), axis=0)
        kept = distinct[self.kept(distinct)]
        if not len(kept):
            raise ValueError(
                f"no composition of {_names(self.required)} is as asked for: "
                f"all {n:,} with up to {most} atoms of each were tried"
            )
        return int((~is_known(kept, self.known)).sum())


def _names(elements: Iterable[int]) -> str:
    return ", ".join(ELEMENTS[e] for e in elements)


def _symbols(symbols: Iterable[str], name: str) -> tuple[str, ...]:
    symbols = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    for symbol in symbols:
        if symbol not in ELEMENT_INDEX:
            known = symbol in OTHER_ELEMENTS
            why = "is not one of the 85 elements of this study" if known else "is no element"
            raise ValueError(f"{name}: {symbol!r} {why}")
    return tuple(dict.fromkeys(symbols))


def _range(given: Any, name: str, least: int) -> tuple[int, int]:
    """A whole number or a pair of such as (low, high)."""
    pair = (given, given) if np.ndim(given) == 0 else tuple(given)
    try:
        low, high = map(whole_number, pair)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be a whole number or a pair (low, high), both included, not {given!r}"
        ) from None
    if low < least:
        raise ValueError(f"{name} must be {least} or more, not {given!r}")
    if low > high:
        raise ValueError(f"{name} from {low} to {high} is an empty range")
    return low, high


def whole_number(given: Any) -> int:
    """An int; TypeError for 1.0 and True, which are none."""
    if isinstance(given, bool | np.bool_):
        raise TypeError("a truth value is no number")
    return operator.index(given)


def as_wanted(wishes: Mapping[str, Any]) -> Wanted:
    """The wishes of these names; TypeError, with all names, for an unknown one."""
    names = [field.name for field in fields(Wanted) if field.init]
    if unknown := [name for name in wishes if name not in names]:
        raise TypeError(f"no wish is called {unknown[0]!r}; they are {', '.join(names)}")
    return Wanted(**wishes)


def as_seed(given: Any) -> int:
    """A seed as a number, to be kept and used again.

    Parameters
    ----------
    given : a whole number from 0 to 2³² - 1, a NumPy one too; None, for one from the system; or a
        `numpy.random.Generator`, for its next number

    Raises
    ------
    ValueError
        Anything else.
    """
    if given is None:
        return secrets.randbelow(_SEEDS)
    if isinstance(given, np.random.Generator):
        return int(given.integers(_SEEDS))
    try:
        seed = whole_number(given)
    except TypeError:
        seed = -1
    if not 0 <= seed < _SEEDS:
        raise ValueError(
            f"seed must be a whole number from 0 to {_SEEDS - 1:,}, None or a numpy Generator, "
            f"not {given!r}"
        )
    return seed


def known_keys(known: object) -> np.ndarray:
    """Keys of known compositions that a generator could write: (k,), distinct and in order.

    Fractional amounts are multiplied by what makes whole numbers of all of them, where the smallest
    becomes 1 to 8 (within a millionth). Compositions for which there is none are left out: no
    generated one equals them.

    Parameters
    ----------
    known : see `Wanted.new`

    Raises
    ------
    CompositionError
        A row is no composition; names it.
    """
    if callable(known):
        known = known()
    if isinstance(known, np.ndarray) and known.dtype.kind == "S":
        return np.unique(known)
    if isinstance(known, pd.DataFrame) and "formula" in known.columns:
        known = known["formula"]
    found = [np.zeros(0, dtype=f"S{N_ELEMENTS}")]
    for _, amounts in Compositions(known).parts(_CHUNK):  # type: ignore[arg-type]
        left = amounts.astype(float)
        smallest = np.where(left > 0, left, np.inf).min(axis=1)
        for times in (None, *range(1, 9)):  # as they are, then scaled
            scaled = left if times is None else left / smallest[:, None] * times
            near = np.rint(scaled)
            good = (np.abs(scaled - near) <= _WHOLE * near).all(axis=1)
            whole = reduced(near[good])
            fits = whole.max(axis=1, initial=0) <= LARGEST_COUNT
            found.append(keys(whole[fits].astype(np.uint8)))
            left, smallest = left[~good], smallest[~good]
    return np.unique(np.concatenate(found))


def is_known(counts: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which compositions (m, 85), reduced, are among the keys, distinct and in order: (m,) bool."""
    if not len(known):
        return np.zeros(len(counts), dtype=bool)
    asked = keys(counts)
    return known[np.searchsorted(known, asked).clip(max=len(known) - 1)] == asked
