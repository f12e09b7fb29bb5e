"""From a formula to amounts, to the count matrix of Figure 1, and back to a formula."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from matgan.chemistry.elements import ELEMENT_INDEX, ELEMENTS, FORMULA_ORDER, N_ELEMENTS
from matgan.chemistry.parsing import TOO_MUCH, CompositionError, parse, parse_all

__all__ = [
    "MAX_COUNT",
    "CompositionError",
    "amounts",
    "amounts_matrix",
    "count_matrix",
    "formula",
    "formulas",
    "reduced",
    "whole_counts",
]

MAX_COUNT = 8  # columns of the paper's matrix: 1 to 8 atoms of an element per formula unit

_ORDER = np.array([ELEMENT_INDEX[symbol] for symbol in FORMULA_ORDER])


def amounts(formula: str) -> np.ndarray:
    """Amount of each element in a formula.

    Parentheses (nested, also written as square or curly brackets), fractional amounts,
    repeated elements, white space and Unicode subscripts are understood.

    Parameters
    ----------
    formula : str
        For example "Ba0.4K0.6Fe2As2", "Fe2(SO4)3" or "TiO₂".

    Returns
    -------
    (85,) float64 array
        Atoms per formula unit, in the order of `matgan.ELEMENTS`, as written (not reduced).

    Raises
    ------
    CompositionError
        Not a string, empty, an unknown symbol, an element outside the 85, an amount that is
        zero, negative or not a number, unbalanced parentheses.
    """
    out = np.zeros(N_ELEMENTS)
    for index, amount in parse(formula):
        out[index] += amount
    return out


def amounts_matrix(formulas: Iterable[str], on_error: str = "raise"):
    """Amounts of a list of n formulas.

    Parameters
    ----------
    formulas : iterable of n str
    on_error : {"raise", "drop", "report"}
        What to do with a formula that is no composition: stop with an error, leave its row
        out, or leave it out and report it.

    Returns
    -------
    (n, 85) float64 array
        One row for each good formula, in order. With on_error="report" a pair: this array and
        a DataFrame of the bad ones with the columns row (0-based), formula and reason.

    Raises
    ------
    CompositionError
        With on_error="raise": the first bad formula, its row and the reason.
    ValueError
        Unknown value of on_error; a single string in place of a list.
    """
    if on_error not in ("raise", "drop", "report"):
        raise ValueError(f"on_error must be 'raise', 'drop' or 'report', not {on_error!r}")
    if isinstance(formulas, str):
        raise ValueError(f"formulas must be a list of formulas, not the single string {formulas!r}")
    out, bad = parse_all(list(formulas))
    if bad and on_error == "raise":
        row, formula, reason = bad[0]
        raise CompositionError(reason, formula, row)
    if on_error == "report":
        return out, pd.DataFrame(bad, columns=["row", "formula", "reason"])
    return out


def count_matrix(amounts: np.ndarray) -> np.ndarray:
    """One-hot count matrix of each composition (Hu et al. 2020, Figure 1).

    Parameters
    ----------
    amounts : (n, 85) or (85,) array
        Atoms of each element per formula unit: whole numbers from 0 to 8.

    Returns
    -------
    (n, 85, 8) or (85, 8) uint8 array
        Entry [i, e, k - 1] is 1 where composition i holds k atoms of element e.

    Raises
    ------
    CompositionError
        An amount is not a whole number from 0 to 8; names the first such row and element.
    """
    counts = whole_counts(amounts)
    return (counts[..., None] == np.arange(1, MAX_COUNT + 1, dtype=np.uint8)).astype(np.uint8)


def whole_counts(amounts: np.ndarray, max_count: int = MAX_COUNT) -> np.ndarray:
    """Amounts as integers, checked.

    Parameters
    ----------
    amounts : (n, 85) or (85,) array of numbers
    max_count : largest amount allowed, at most 255

    Returns
    -------
    uint8 array of the same shape

    Raises
    ------
    CompositionError
        Wrong width, not a number, negative, fractional or above max_count: names the first such
        row, its formula where it has one, and the element.
    """
    values = np.asarray(amounts)
    if values.ndim not in (1, 2) or values.shape[-1] != N_ELEMENTS:
        raise CompositionError(
            f"amounts must have shape (n, {N_ELEMENTS}) or ({N_ELEMENTS},), not {values.shape}"
        )
    if values.dtype.kind not in "iuf":
        raise CompositionError(f"amounts must be numbers, not {values.dtype}")
    wrong = (values < 0) | (values > max_count)
    if values.dtype.kind == "f":
        wrong |= values != np.rint(values)  # NaN differs from itself, so it is caught here
    if wrong.any():
        *row, element = (int(i) for i in np.argwhere(wrong)[0])
        amount = values[(*row, element)]
        bad = values[tuple(row)]
        written = formula(bad) if ((bad >= 0) & (bad < TOO_MUCH)).all() else None
        raise CompositionError(
            f"{ELEMENTS[element]} has the amount {amount:g}, "
            f"but counts must be whole numbers from 0 to {max_count}",
            written,
            row[0] if row else None,
        )
    return values.astype(np.uint8)


def formula(amounts: np.ndarray) -> str:
    """Reduced formula of one composition, elements by rising electronegativity.

    Whole amounts are divided by their greatest common divisor (Na2O2 is written NaO: unlike
    pymatgen, peroxides and diatomic gases are no exception); fractional ones are left as given.

    Parameters
    ----------
    amounts : (85,) array of numbers

    Returns
    -------
    str
        For example "KZn2Ru". `amounts(formula(a))` is proportional to a.

    Raises
    ------
    CompositionError
        Wrong shape, no element at all, a negative or non-finite amount.
    """
    values = np.asarray(amounts)
    if values.shape != (N_ELEMENTS,):
        raise CompositionError(f"amounts must have shape ({N_ELEMENTS},), not {values.shape}")
    try:
        return formulas(values[None])[0]
    except CompositionError as error:
        raise CompositionError(error.reason) from None


def formulas(amounts: np.ndarray) -> list[str]:
    """Reduced formulas of n compositions: `formula` for a whole matrix, much faster.

    Parameters
    ----------
    amounts : (n, 85) array of numbers

    Returns
    -------
    list of n str

    Raises
    ------
    CompositionError
        As `formula`; names the first bad row.
    """
    values = np.asarray(amounts)
    if values.ndim != 2 or values.shape[1] != N_ELEMENTS:
        raise CompositionError(f"amounts must have shape (n, {N_ELEMENTS}), not {values.shape}")
    if values.dtype.kind not in "iuf":
        raise CompositionError(f"amounts must be numbers, not {values.dtype}")
    wrong = ~((values >= 0) & (values < TOO_MUCH))
    if wrong.any():
        row, element = (int(i) for i in np.argwhere(wrong)[0])
        reason = f"{ELEMENTS[element]} has the amount {values[row, element]:g}"
        raise CompositionError(reason, row=row)
    per_row = np.count_nonzero(values, axis=1)
    if len(empty := np.flatnonzero(per_row == 0)):
        raise CompositionError("the composition is empty", row=int(empty[0]))
    values = reduced(values)
    rows, order = np.nonzero(values[:, _ORDER])
    parts = values[rows, _ORDER[order]].tolist()
    pieces = [
        symbol if amount == 1 else symbol + _written(amount)
        for symbol, amount in zip((FORMULA_ORDER[o] for o in order.tolist()), parts, strict=True)
    ]
    ends = np.cumsum(per_row).tolist()
    return ["".join(pieces[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def reduced(amounts: np.ndarray) -> np.ndarray:
    """Amounts (n, 85) of the reduced formulas: whole rows over their greatest common divisor.

    Rows with a fractional amount stay as they are. Same shape; integer in, integer out.
    """
    values = np.asarray(amounts)
    if values.dtype.kind != "f":
        return values // np.maximum(np.gcd.reduce(values, axis=1), 1)[:, None]
    whole = (values == np.rint(values)).all(axis=1)
    divisor = np.ones(len(values), dtype=np.int64)
    divisor[whole] = np.maximum(np.gcd.reduce(values[whole].astype(np.int64), axis=1), 1)
    return values / divisor[:, None]


def _written(amount: float) -> str:
    if amount == int(amount):
        return str(int(amount))
    return np.format_float_positional(amount, trim="-")  # never 1e-05, which is no formula
