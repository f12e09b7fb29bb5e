"""Why a composition is charge-neutral and balanced, or why it is not, for a reader."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from scipy import optimize

from matgan.chemistry import composition, oxidation
from matgan.chemistry.composition import CompositionError
from matgan.chemistry.elements import ELEMENTS
from matgan.chemistry.notation import whole_ratios
from matgan.chemistry.oxidation import (
    OxidationStates,
    electronegativities,
    has_mean_state,
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
        no oxidation state. Numbers are fractions where the composition or mean states ask for it.
    reason : in words
    """

    formula: str
    states: str
    neutral: bool
    balanced: bool
    ions: tuple[tuple[str, float, int], ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.formula}: {self.reason} [{self.states}]"

    __repr__ = __str__  # what a notebook shows


def explain(
    formula: object,
    oxidation_states: object = "icsd24",
    *,
    mixed_valence: bool | str = False,
    fractional: str = "scale",
    suspicious: str = "raise",
) -> Explanation:
    """Oxidation states that make a formula neutral and balanced, or why there are none.

    Among several assignments the likeliest is shown: each element's oxidation state counts with its
    share of the reports on that element in ICSD 2024 (shipped with SMACT), where its atoms differ
    the mean of theirs. States outside the chosen set are never used. The default set is another
    one than that of the rates, the paper's list: with "smact14" BaBiO3 would have Bi⁺ and O⁻.

    Parameters
    ----------
    formula : str, pymatgen Composition or (85,) array of amounts
        Whole amounts, divided by their common divisor: from 0 to 255 then. Or fractions.
    oxidation_states, mixed_valence, fractional, suspicious :
        As in `matgan.chemistry.validity.charge_neutral`.

    Returns
    -------
    Explanation
        `print(explain("BaTiO3"))` gives
        "BaTiO3: Ba²⁺ Ti⁴⁺ 3 O²⁻, neutral and balanced [icsd24]".

    Raises
    ------
    CompositionError
        The formula cannot be read.
    ValueError
        Unknown oxidation states, or value of mixed_valence, fractional or suspicious.
    """
    table = oxidation.oxidation_states(oxidation_states)
    check_options(mixed_valence, fractional)
    amounts = composition.amounts(formula, suspicious)
    if split := bool((np.abs(amounts - np.rint(amounts)) > composition.ROUNDING * amounts).any()):
        numbers = amounts
    else:
        try:
            numbers = composition.reduced_counts(amounts)
        except CompositionError as error:
            given = error.formula if isinstance(formula, np.ndarray) else formula
            raise CompositionError(error.reason, given) from None
    eneg = electronegativities()
    elements = np.flatnonzero(numbers)
    elements = elements[np.argsort(eneg[elements], kind="stable")]
    sites = [(int(e), numbers[e].item()) for e in elements]

    def verdict(neutral: bool, balanced: bool, ions, reason: str) -> Explanation:
        written = composition.formula(numbers)
        return Explanation(written, table.name, neutral, balanced, tuple(ions), reason)

    if len(sites) == 1:
        symbol = ELEMENTS[sites[0][0]]
        return verdict(True, True, [(symbol, sites[0][1], 0)], "a single element passes")
    if missing := [ELEMENTS[e] for e, _ in sites if not table.states[e]]:
        return verdict(False, False, [], f"no oxidation state is known for {', '.join(missing)}")
    if split or mixed_valence == "mean":
        ratio, exists = whole_ratios(numbers[None].astype(float))
        linear = split and (fractional == "linear" or not exists[0])
        may_mix = has_mean_state() if mixed_valence == "mean" else has_mixed_valence()
        may_mix = (may_mix & (mixed_valence is not False)) | linear
        if not linear:  # 0.333 as 1/3
            scale = sum(n for _, n in sites) / ratio[0].sum()
            sites = [(e, ratio[0, e] * scale) for e, _ in sites]
        balanced_ions = _best([_mean_states(sites, table, may_mix, v) for v in _limits(sites)])
        charge, ions = _mean_states(sites, table, may_mix, None)[1:]
    else:
        tried = mixed_valence_tried(elements[None], numbers[elements][None], table)[0]
        if mixed_valence and tried:
            several = has_mixed_valence()
            apart = [[(e, 1)] * n if several[e] else [(e, n)] for e, n in sites]
            sites = [site for group in apart for site in group]
        balanced_ions = _balanced_ions(sites, table)
        charges = _assignments([(e, n, table.states[e]) for e, n in sites])
        charge = min(charges, key=lambda q: (abs(q), -charges[q][0]))
        ions = _ions(sites, charges[charge][1])
    if balanced_ions:
        text = f"{_written(balanced_ions)}, neutral and balanced"
        return verdict(True, True, balanced_ions, text)
    if charge == 0:
        return verdict(True, False, ions, f"{_written(ions)} is neutral, but {_clash(ions)}")
    reason = f"no choice is neutral; the nearest, {_written(ions)}, has the charge {charge:+.4g}"
    return verdict(False, False, ions, reason)


def written_ions(
    counts: np.ndarray,
    oxidation_states: object = "icsd24",
    usual: object = oxidation.USUAL_STATES,
) -> tuple[list[str], np.ndarray]:
    """Ions that make each of many compositions neutral and balanced, rare ones only where needed.

    Several times as fast as `explain`, which reads a formula and says why not, too.

    Parameters
    ----------
    counts : (n, 85) whole numbers, reduced
    oxidation_states : as for `explain`
    usual : states that are tried before, in the same forms; by default those that 1% or more of the
        reports on their element in ICSD 2024 have, so that Zr⁺ gives way wherever Zr⁴⁺ balances

    Returns
    -------
    texts : n such as "Ba²⁺ Ti⁴⁺ 3 O²⁻", the likeliest as in `explain`: of usual states where these
        balance, else of all states, neutral where none balances; "" where no choice is neutral. A
        single element has the state 0.
    rare : (n,) bool, whether no choice of usual states balances
    """
    first, then = (oxidation.oxidation_states(name) for name in (usual, oxidation_states))
    texts, rare = [], np.zeros(len(counts), dtype=bool)
    for i, row in enumerate(counts):
        elements = np.flatnonzero(row)
        elements = elements[np.argsort(electronegativities()[elements], kind="stable")]
        sites = list(zip(elements.tolist(), row[elements].tolist(), strict=True))
        if len(sites) == 1:
            texts.append(_written([(ELEMENTS[sites[0][0]], sites[0][1], 0)]))
            continue
        ions = _balanced_ions(sites, first)
        rare[i] = not ions
        ions = ions or _balanced_ions(sites, then)
        if not ions and all(then.states[e] for e, _ in sites):
            found = _assignments([(e, n, then.states[e]) for e, n in sites]).get(0)
            ions = found and _ions(sites, found[1])
        texts.append(_written(ions) if ions else "")
    return texts, rare


def check_options(mixed_valence: bool | str, fractional: str) -> None:
    """ValueError if one of the options of `explain` and `charge_neutral` is none."""
    if mixed_valence not in (False, True, "mean"):
        raise ValueError(f"mixed_valence must be False, True or 'mean', not {mixed_valence!r}")
    if fractional not in ("scale", "linear"):
        raise ValueError(f"fractional must be 'scale' or 'linear', not {fractional!r}")


def _limits(sites) -> list[float]:
    """Electronegativities up to which elements may be cations, none where one is not known."""
    values = [float(electronegativities()[e]) for e, _ in sites]
    return [] if np.isnan(values).any() else sorted(set(values))


def _best(found: list[tuple[float, float, list]]) -> list | None:
    """Ions of the likeliest of some choices (log-likelihood, charge, ions) that are neutral."""
    neutral = [choice for choice in found if choice[1] == 0]
    return max(neutral, key=lambda choice: choice[0])[2] if neutral else None


def _mean_states(sites, table: OxidationStates, may_mix, limit: float | None):
    """(log-likelihood, charge, ions) of the choice of mean states with the least charge.

    A mixed-integer programme: how many atoms of each element have each state, all of them one
    state, or, where the element may mix, any states of one sign.
    """
    eneg = electronegativities()
    columns: list[tuple[int, int]] = []  # site and state of each number of atoms
    groups: list[tuple[int, range]] = []  # site and columns of each choice
    for i, (e, _) in enumerate(sites):
        states = table.states[e]
        if limit is not None:
            states = tuple(s for s in states if (s >= 0 if eneg[e] <= limit else s <= 0))
        key = np.sign if may_mix[e] else int
        for _, same in groupby(sorted(states), key=key):
            alike = [(i, state) for state in same]
            groups.append((i, range(len(columns), len(columns) + len(alike))))
            columns += alike
    n, m = len(columns), len(groups)
    if {i for i, _ in groups} != set(range(len(sites))):
        return -np.inf, np.inf, []
    rows = np.zeros((m + len(sites), n + m + 1))  # atoms, choices, size of the charge
    for g, (i, members) in enumerate(groups):
        rows[g, members.start : members.stop] = 1
        rows[g, n + g] = -sites[i][1]
        rows[m + i, n + g] = 1
    charge = np.array([state for _, state in columns] + [0] * (m + 1), dtype=float)
    size = np.eye(n + m + 1)[-1]
    total = np.r_[np.zeros(m), np.ones(len(sites))]
    constraints = [
        optimize.LinearConstraint(rows, total, total),
        optimize.LinearConstraint(np.array([size - charge, size + charge]), 0, np.inf),
    ]
    whole = np.r_[np.zeros(n), np.ones(m), 0]
    least = optimize.milp(size, constraints=constraints, integrality=whole)
    unit = 1e-7 * sum(atoms for _, atoms in sites)
    score = [_log_share(sites[i][0], state) / sites[i][1] for i, state in columns]
    bounds = optimize.Bounds(0, np.r_[np.full(n + m, np.inf), least.fun if least.fun > unit else 0])
    weights = -np.r_[score, np.zeros(m + 1)]
    found = optimize.milp(weights, constraints=constraints, integrality=whole, bounds=bounds).x
    ions = [
        (ELEMENTS[sites[i][0]], float(f"{atoms:.8g}"), state)
        for (i, state), atoms in zip(columns, found, strict=False)
        if atoms > 10 * unit
    ]
    left = float(charge @ found)
    return -weights @ found, 0.0 if abs(left) <= 10 * unit else left, ions


def _assignments(sites) -> dict[int, tuple[float, tuple[int, ...]]]:
    """Total charges of sites (element, atoms, allowed states): the likeliest states of each.

    The value is (log-likelihood, states).
    """
    total: Counter[int] = Counter()
    for element, atoms, _ in sites:
        total[element] += atoms
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for element, atoms, states in sites:
        reached: dict[int, tuple[float, tuple[int, ...]]] = {}
        for charge, (score, chosen) in best.items():
            for state in states:
                to = charge + atoms * state
                rated = score + atoms / total[element] * _log_share(element, state)
                if to not in reached or rated > reached[to][0]:
                    reached[to] = (rated, (*chosen, state))
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
        f"{atoms:.4g} ".removeprefix("1 ") + _ion(symbol, state) for symbol, atoms, state in ions
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
