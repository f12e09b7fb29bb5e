"""Why a composition is charge-neutral and balanced, or why it is not, for a reader."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np

from matgan.chemistry import composition, oxidation
from matgan.chemistry.composition import CompositionError
from matgan.chemistry.elements import ELEMENTS
from matgan.chemistry.oxidation import (
    OxidationStates,
    electronegativities,
    has_mixed_valence,
    mixed_valence_tried,
    reports,
)

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, repr=False)
class Explanation:
    """The verdict on one composition and what it rests on.

    Attributes
    ----------
    formula : reduced formula
    states : name of the set of oxidation states
    neutral, balanced : the verdicts of `matgan.chemistry.validity` with the same options
    ions : (symbol, number of atoms, oxidation state) of one choice that makes the composition
        neutral and balanced, else neutral, else comes closest to neutral; empty if an element has
        no oxidation state
    reason : in words
    """

    formula: str
    states: str
    neutral: bool
    balanced: bool
    ions: tuple[tuple[str, int, int], ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.formula}: {self.reason} [{self.states}]"

    __repr__ = __str__  # what a notebook shows


def explain(
    formula: object, oxidation_states: object = "smact14", *, mixed_valence: bool = False
) -> Explanation:
    """Oxidation states that make a formula neutral and balanced, or why there are none.

    Among several assignments the likeliest is shown: each atom's oxidation state counts with its
    share of the reports on that element in ICSD 2024 (shipped with SMACT). States outside the
    chosen set are never used.

    Parameters
    ----------
    formula : str, pymatgen Composition or (85,) array of amounts
        Whole amounts, divided by their common divisor: from 0 to 255 then.
    oxidation_states, mixed_valence :
        As in `matgan.chemistry.validity.charge_neutral`.

    Returns
    -------
    Explanation
        `print(explain("BaTiO3"))` gives
        "BaTiO3: Ba²⁺ Ti⁴⁺ 3 O²⁻, neutral and balanced [smact14]".

    Raises
    ------
    CompositionError
        The formula cannot be read, or holds a fractional amount.
    ValueError
        Unknown oxidation states.
    """
    table = oxidation.oxidation_states(oxidation_states)
    try:
        counts = composition.reduced_counts(composition.amounts(formula))
    except CompositionError as error:
        given = error.formula if isinstance(formula, np.ndarray) else formula
        raise CompositionError(error.reason, given) from None
    written = composition.formula(counts)
    eneg = electronegativities()
    elements = np.flatnonzero(counts)
    elements = elements[np.argsort(eneg[elements], kind="stable")]
    sites = [(int(e), int(counts[e])) for e in elements]

    def verdict(neutral: bool, balanced: bool, ions, reason: str) -> Explanation:
        return Explanation(written, table.name, neutral, balanced, tuple(ions), reason)

    if len(sites) == 1:
        symbol = ELEMENTS[sites[0][0]]
        return verdict(True, True, [(symbol, sites[0][1], 0)], "a single element passes")
    if missing := [ELEMENTS[e] for e, _ in sites if not table.states[e]]:
        return verdict(False, False, [], f"no oxidation state is known for {', '.join(missing)}")
    if mixed_valence and mixed_valence_tried(elements[None], counts[elements][None], table)[0]:
        several = has_mixed_valence()
        apart = [[(e, 1)] * n if several[e] else [(e, n)] for e, n in sites]
        sites = [site for group in apart for site in group]
    if ions := _balanced_ions(sites, table):
        return verdict(True, True, ions, f"{_written(ions)}, neutral and balanced")
    charges = _assignments([(e, n, table.states[e]) for e, n in sites])
    nearest = min(charges, key=lambda q: (abs(q), -charges[q][0]))
    ions = _ions(sites, charges[nearest][1])
    if nearest == 0:
        return verdict(True, False, ions, f"{_written(ions)} is neutral, but {_clash(ions)}")
    reason = f"no choice is neutral; the nearest, {_written(ions)}, has the charge {nearest:+d}"
    return verdict(False, False, ions, reason)


def _assignments(sites) -> dict[int, tuple[float, tuple[int, ...]]]:
    """Total charges of sites (element, atoms, allowed states): the likeliest states of each.

    The value is (log-likelihood, states).
    """
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for element, atoms, states in sites:
        reached: dict[int, tuple[float, tuple[int, ...]]] = {}
        for charge, (score, chosen) in best.items():
            for state in states:
                total = charge + atoms * state
                rated = score + atoms * _log_share(element, state)
                if total not in reached or rated > reached[total][0]:
                    reached[total] = (rated, (*chosen, state))
        best = reached
    return best


@cache
def _log_share(element: int, state: int) -> float:
    """Log of the share of an element's reports that have a state; half a report where none has."""
    counts = {s: n for (symbol, s), n in reports().items() if symbol == ELEMENTS[element]}
    return math.log(max(counts.get(state, 0), 0.5) / max(sum(counts.values()), 1))


def _balanced_ions(sites, table: OxidationStates):
    """Ions of the best neutral and balanced choice, None if there is none.

    Sites come by rising electronegativity: cations up to some value of it, anions above.
    """
    eneg = electronegativities()
    if any(np.isnan(eneg[e]) for e, _ in sites):
        return None
    best = None
    for limit in sorted({eneg[e] for e, _ in sites}):
        allowed = [
            (e, n, [s for s in table.states[e] if (s >= 0 if eneg[e] <= limit else s <= 0)])
            for e, n in sites
        ]
        found = _assignments(allowed).get(0)
        if found and (best is None or found[0] > best[0]):
            best = found
    return best and _ions(sites, best[1])


def _ions(sites, states) -> list[tuple[str, int, int]]:
    """(symbol, atoms, state) of each ion, equal ones taken together."""
    ions = sorted((e, s, n) for (e, n), s in zip(sites, states, strict=True))
    place = {e: i for i, (e, _) in enumerate(sites)}
    ions.sort(key=lambda ion: place[ion[0]])
    return [
        (ELEMENTS[e], sum(n for *_, n in same), s)
        for (e, s), same in groupby(ions, key=lambda ion: ion[:2])
    ]


def _written(ions) -> str:
    return " ".join(
        (f"{atoms} " if atoms > 1 else "") + _ion(symbol, state) for symbol, atoms, state in ions
    )


def _ion(symbol: str, state: int) -> str:
    size = "" if abs(state) == 1 else str(abs(state)).translate(_SUPERSCRIPTS)
    return symbol + size + ("⁺" if state > 0 else "⁻" if state < 0 else "")


def _clash(ions) -> str:
    """Which pair of ions makes a choice of states unbalanced."""
    eneg = {symbol: electronegativities()[ELEMENTS.index(symbol)] for symbol, *_ in ions}
    for symbol, value in eneg.items():
        if np.isnan(value):
            return f"{symbol} has no electronegativity"
    cation = max((ion for ion in ions if ion[2] > 0), key=lambda ion: eneg[ion[0]])
    anion = min((ion for ion in ions if ion[2] < 0), key=lambda ion: eneg[ion[0]])
    return (
        f"{_ion(cation[0], cation[2])} ({eneg[cation[0]]:.2f}) is not less electronegative "
        f"than {_ion(anion[0], anion[2])} ({eneg[anion[0]]:.2f})"
    )
