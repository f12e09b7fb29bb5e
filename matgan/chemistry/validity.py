"""Charge neutrality and electronegativity balance of many compositions at once.

The rule is that of `smact.screening.smact_validity` (Davies et al., Chem 2016, 1, 617): each
element takes one of its oxidation states; a composition is neutral if some choice makes the charges
add up to zero, and balanced if some neutral choice also has every cation less electronegative than
every anion. SMACT tries all choices for one composition. Here the total charges that can be reached
are the bits of one integer, shifted by each possible charge of the next element, for all
compositions together.

Fractional amounts are judged as ratios of whole numbers, since the rule does not depend on the
scale; a mean oxidation state of an element is a range of charges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np

from matgan.chemistry.composition import LARGEST_COUNT, ROUNDING, as_counts
from matgan.chemistry.explanation import Explanation, check_options, explain
from matgan.chemistry.inputs import Compositions
from matgan.chemistry.metallicity import is_metal, metallicity
from matgan.chemistry.notation import whole_ratios
from matgan.chemistry.oxidation import (
    OxidationStates,
    electronegativities,
    fraction_cancels,
    has_mean_state,
    has_mixed_valence,
    mean_states,
    mixed_valence_tried,
    oxidation_states,
)

__all__ = ["Explanation", "charge_neutral", "electronegativity_balanced", "explain"]

_CHUNK = 100_000  # compositions at a time
_WORD_SPAN = 31  # charges from -31 to 31 fit the bits of a machine word
_LONG_BITS = 400_000_000  # bits of longer sets of charges at a time, at most
_NO_CHARGE = 1 << 40  # fills the columns of a table of charges


def charge_neutral(
    compositions: Iterable,
    oxidation_states: object = "smact14",
    *,
    on_error: str = "raise",
    suspicious: str = "raise",
    include_alloys: bool = False,
    check_metallicity: bool = False,
    metallicity_threshold: float = 0.7,
    mixed_valence: bool | str = False,
    fractional: str = "scale",
    reduce: bool = True,
) -> Any:
    """Which compositions can be charge-neutral.

    The same verdict as `smact_validity(..., use_pauling_test=False)` with the same options. The
    defaults are the rule of Hu et al. 2020, Figure 5b: SMACT's list of 2014, and no exception for
    alloys (SMACT itself counts them as valid by default).

    Parameters
    ----------
    compositions : n formulas, Composition objects or rows of amounts
        In any form that `matgan.chemistry.composition.amounts_matrix` takes. Whole numbers,
        reduced from 0 to 255, or fractions (which SMACT cuts off): see `fractional`.
    oxidation_states : str, mapping or path
        See `oxidation.oxidation_states`. A composition with an element that has no state
        is not neutral.
    on_error : {"raise", "nan", "drop"}
        What to do with a row that is no such composition: stop with an error, answer it with
        pandas.NA, or leave it out. `amounts_matrix` reports which rows are no compositions.
    suspicious : {"raise", "warn", "allow"}
        What to do with a formula that hardly means what it says ("Sr04"): see `amounts_matrix`.
    include_alloys : bool
        Compositions of metals only pass. `metallicity.is_metal` says which are: Ge and Sb
        are, Pm is not.
    check_metallicity : bool
        Compositions pass whose `metallicity.metallicity` reaches metallicity_threshold.
    mixed_valence : bool or "mean"
        True: atoms of the elements in `oxidation.has_mixed_valence` may differ in oxidation
        state, if SMACT would try it: no more than a million combinations. This depends on the
        counts after division by their common divisor, as in SMACT. "mean": the mean state of each
        element in `oxidation.has_mean_state`, which are more (Pb, Sm, Pr, …), may have any value
        between its lowest and highest positive state, or between its negative ones. So the cell
        may be larger than the formula unit: Cs2SbCl6 has Sb³⁺ and Sb⁵⁺.
    fractional : {"scale", "linear"}
        How fractional amounts are judged. "scale": as the ratios of whole numbers of
        `notation.whole_ratios`, by the rule above, so that LiNi0.5Mn1.5O4 is Li2NiMn3O8; where
        mixed_valence is given, elements of mixed valence have mean states as above. What is no
        such ratio is judged as by "linear": each element may have a mean state.
    reduce : bool
        Counts with a common divisor are divided by it, as in `smact_validity`. False: they fail,
        as in the code of the paper's authors, which takes only irreducible ratios.

    Returns
    -------
    (n,) bool array, in order; with on_error="nan" a pandas BooleanArray, whose NA a DataFrame takes
    for False where it selects rows. Single elements pass.

    Raises
    ------
    CompositionError
        Not a composition: wrong width, NaN, a negative or too large amount, an empty row, a formula
        that cannot be read; names the row.
    ValueError
        Unknown oxidation states, or value of on_error, suspicious, mixed_valence or fractional.
    """
    return _judge(
        Compositions(compositions, on_error, suspicious),
        oxidation_states,
        balanced=False,
        include_alloys=include_alloys,
        metallicity_threshold=metallicity_threshold if check_metallicity else np.inf,
        mixed_valence=mixed_valence,
        fractional=fractional,
        reduce=reduce,
    )


def electronegativity_balanced(
    compositions: Iterable,
    oxidation_states: object = "smact14",
    *,
    on_error: str = "raise",
    suspicious: str = "raise",
    include_alloys: bool = False,
    check_metallicity: bool = False,
    metallicity_threshold: float = 0.7,
    mixed_valence: bool | str = False,
    fractional: str = "scale",
    reduce: bool = True,
) -> Any:
    """Which compositions can be charge-neutral with anions more electronegative than cations.

    The same verdict as `smact_validity(..., use_pauling_test=True)` with the same options: one
    choice of oxidation states makes the composition neutral and every cation less electronegative
    than every anion (equal is not less; state 0 is neither). A compound of promethium, which has
    no electronegativity in SMACT, is never balanced.

    Parameters, returned array and errors are those of `charge_neutral`.
    """
    return _judge(
        Compositions(compositions, on_error, suspicious),
        oxidation_states,
        balanced=True,
        include_alloys=include_alloys,
        metallicity_threshold=metallicity_threshold if check_metallicity else np.inf,
        mixed_valence=mixed_valence,
        fractional=fractional,
        reduce=reduce,
    )


def _judge(
    given: Compositions,
    states,
    *,
    balanced: bool,
    include_alloys: bool,
    metallicity_threshold: float,
    mixed_valence: bool | str,
    fractional: str,
    reduce: bool,
):
    table = oxidation_states(states)
    check_options(mixed_valence, fractional)
    may_mix = has_mean_state() if mixed_valence == "mean" else has_mixed_valence()
    may_mix = may_mix & (mixed_valence is not False)

    def passes(elements, amounts):
        out = np.zeros(len(elements), dtype=bool)
        if include_alloys:
            out |= is_metal()[elements].all(axis=1)
        if metallicity_threshold < np.inf:
            out |= metallicity(elements, amounts) >= metallicity_threshold
        return out

    verdict = np.zeros(len(given), dtype=bool)
    for part, whole in given.parts(_CHUNK):
        counts, bad = as_counts(whole, LARGEST_COUNT, reduce=True)
        bad = list(bad)
        split = _split_rows(whole) if bad else np.zeros(len(whole), dtype=bool)
        given.refuse((part[row], formula, reason) for row, formula, reason in bad if not split[row])
        if split.any():
            counts[split] = 0
            numbers, exist = whole_ratios(whole[split].astype(float, copy=False))
            for row, number, exists in zip(np.flatnonzero(split), numbers, exist, strict=True):
                linear = fractional == "linear" or not exists
                elements, amounts = _sorted(whole[row] if linear else number)
                verdict[part[row]] = passes(elements[None], amounts[None])[0] or fraction_cancels(
                    elements, amounts, table, balanced, may_mix | linear
                )
        for rows, elements, amounts in _by_number_of_elements(counts):
            if elements.shape[1] == 0:  # refused, or judged already
                continue
            divisor = np.gcd.reduce(amounts, axis=1)
            amounts = amounts // divisor[:, None]
            if elements.shape[1] == 1:
                verdict[part[rows]] = True
                continue
            passed = _reaches_zero(elements, amounts, table, balanced)
            if mixed_valence:
                again = ~passed
                if mixed_valence != "mean":
                    again &= mixed_valence_tried(elements, amounts, table)
                passed[again] = _reaches_zero(
                    elements[again], amounts[again], table, balanced, mixed_valence
                )
            if not reduce:
                # larger counts were divided already, to fit
                passed &= (divisor == 1) & (whole[rows].max(axis=1) <= LARGEST_COUNT)
            verdict[part[rows]] = passed | passes(elements, amounts)
    return given.finish(verdict)


def _split_rows(amounts: np.ndarray) -> np.ndarray:
    """Which rows hold an amount that is no whole number, and none that is no amount: (n,) bool."""
    if amounts.dtype.kind != "f":
        return np.zeros(len(amounts), dtype=bool)
    rows = np.unique(np.flatnonzero(np.rint(amounts) != amounts) // amounts.shape[1])
    some = amounts[rows]
    off = np.abs(np.rint(some) - some) > ROUNDING * some
    out = np.zeros(len(amounts), dtype=bool)
    out[rows] = off.any(axis=1) & (some >= 0).all(axis=1)
    return out


def _sorted(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elements of one composition by rising electronegativity, and their amounts: (k,) both."""
    elements = np.flatnonzero(amounts)
    elements = elements[np.argsort(electronegativities()[elements], kind="stable")]
    return elements, amounts[elements]


def _by_number_of_elements(counts):
    """Rows of counts that hold k elements, for each k: their index, elements and amounts.

    Yields (m,) int, (m, k) int, (m, k) int; the elements by rising electronegativity, those
    without one last.
    """
    rank = np.argsort(electronegativities(), kind="stable")
    place = np.argsort(rank)
    rows, elements = np.nonzero(counts != 0)
    coded = place[elements] * (LARGEST_COUNT + 1) + counts[rows, elements]
    n_elements = np.bincount(rows, minlength=len(counts))
    ends = np.cumsum(n_elements)
    for k in np.unique(n_elements):
        chosen = np.flatnonzero(n_elements == k)
        sorted_codes = np.sort(coded[(ends[chosen] - k)[:, None] + np.arange(k)], axis=1)
        places, amounts = np.divmod(sorted_codes, LARGEST_COUNT + 1)
        yield chosen, rank[places], amounts


def _reaches_zero(
    elements, amounts, table: OxidationStates, balanced: bool, mixed: bool | str = False
):
    """Whether charges of the elements (n, k) can add up to zero (and be balanced): (n,) bool."""
    if not len(elements):
        return np.zeros(0, dtype=bool)
    pairs, kind = np.unique(elements * (LARGEST_COUNT + 1) + amounts, return_inverse=True)
    kind = kind.reshape(elements.shape)
    pairs = np.divmod(pairs, LARGEST_COUNT + 1)
    if balanced:
        positive = _charges(
            *pairs, [[s for s in states if s >= 0] for states in table.states], mixed
        )
        negative = _charges(
            *pairs, [[s for s in states if s <= 0] for states in table.states], mixed
        )
        eneg = electronegativities()[elements]
    else:
        positive = negative = _charges(*pairs, table.states, mixed)
    most = np.where(positive != _NO_CHARGE, positive, 0).max(axis=0, initial=0)[kind].sum(axis=1)
    least = np.where(negative != _NO_CHARGE, -negative, 0).max(axis=0, initial=0)[kind].sum(axis=1)
    # a sum further from zero than all anions, or all cations, together never gets back to it
    span = np.minimum(most, least)
    out = np.empty(len(elements), dtype=bool)
    for rows in _by_span(span):
        widest = int(span[rows].max())
        if balanced:
            out[rows] = _balance(kind[rows], positive, negative, eneg[rows], widest)
        else:
            out[rows] = _cancel(kind[rows], positive, widest)
    return out


def _by_span(span) -> Iterator[np.ndarray]:
    """Indices of rows that are computed together: the short spans, which fit a machine word, first.

    Few rows have a long span; the sets of charges of those are Python integers.
    """
    short = span <= _WORD_SPAN
    if short.any():
        yield np.flatnonzero(short)
    long = np.flatnonzero(~short)
    if len(long):
        step = max(1, _LONG_BITS // int(span[long].max()))
        for start in range(0, len(long), step):
            yield long[start : start + step]


def _charges(elements, amounts, states, mixed: bool | str) -> np.ndarray:
    """Charges that `amounts` atoms of `elements` (both (m,)) can have together.

    (c, m) int64 array, columns filled up with _NO_CHARGE.
    """
    several = has_mean_state() if mixed == "mean" else has_mixed_valence()
    columns = []
    for element, amount in zip(elements.tolist(), amounts.tolist(), strict=True):
        if mixed == "mean" and several[element]:
            ranges = mean_states(states[element])
            sums = {q for low, high in ranges for q in range(amount * low, amount * high + 1)}
        elif mixed and several[element]:
            sums = {0}
            for _ in range(amount):
                sums = {total + state for total in sums for state in states[element]}
        else:
            sums = {amount * state for state in states[element]}
        columns.append(sorted(sums))
    return np.array(list(zip_longest(*columns, fillvalue=_NO_CHARGE)), dtype=np.int64).reshape(
        -1, len(columns)
    )


def _start(n: int, zero: int, width: int) -> np.ndarray:
    """n sets of charges that hold only charge 0, which is bit `zero` of `width` bits."""
    return np.full(n, 1 << zero, dtype=np.uint64 if width <= 64 else object)


def _add(sums, charges, kind, width: int) -> np.ndarray:
    """The sums that become possible with one of the charges of column `kind` (n,): bits, (n,)."""
    out = np.zeros_like(sums)
    for charge in charges:
        # what is shifted by the full width, as _NO_CHARGE is, leaves nothing
        up = charge.clip(0, width).astype(sums.dtype)
        down = (-charge).clip(0, width).astype(sums.dtype)
        out |= (sums << up[kind]) >> down[kind]
    return out & ((1 << width) - 1)


def _cancel(kind, charges, span: int) -> np.ndarray:
    """Whether one charge of each of the columns `kind` (n, k) can be chosen with sum zero: (n,)."""
    width = 2 * span + 1
    sums = _start(len(kind), span, width)
    for j in range(kind.shape[1]):
        sums = _add(sums, charges, kind[:, j], width)
    return (sums >> span & 1).astype(bool)


def _balance(kind, positive, negative, eneg, span: int) -> np.ndarray:
    """As `_cancel`, with no cation as electronegative as an anion: (n,) bool.

    The elements come by rising electronegativity (n, k): up to some element charges are positive
    or zero, from there on negative or zero. That element must be more electronegative than the one
    before it, so that no cation ties with an anion.
    """
    width = span + 1
    cations = _start(len(kind), 0, width)  # sums as long as no anion has come
    mixed = np.zeros_like(cations)  # sums of cations and anions; below zero there is no way back
    for j in range(kind.shape[1]):
        if j:
            mixed |= cations * (eneg[:, j] > eneg[:, j - 1])
        mixed = _add(mixed, negative, kind[:, j], width)
        cations = _add(cations, positive, kind[:, j], width)
    return ((cations | mixed) & 1).astype(bool) & ~np.isnan(eneg).any(axis=1)
