"""From compositions to amounts, to the count matrix of Figure 1, and back to formulas."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from matgan.chemistry.elements import ELEMENT_INDEX, ELEMENTS, FORMULA_ORDER, N_ELEMENTS
from matgan.chemistry.inputs import Compositions, SuspiciousFormula, check_suspicious
from matgan.chemistry.notation import suspicion
from matgan.chemistry.parsing import TOO_MUCH, CompositionError, parse

__all__ = [
    "MAX_COUNT",
    "CompositionError",
    "among",
    "amounts",
    "amounts_matrix",
    "count_matrix",
    "formula",
    "formulas",
    "fractions",
    "keys",
    "reduced",
    "reduced_counts",
    "whole_counts",
]

MAX_COUNT = 8  # columns of the paper's matrix: 1 to 8 atoms of an element per formula unit
LARGEST_COUNT = 255  # that uint8 holds; generators and curated data stay at 8 and below

ROUNDING = 1e-9  # relative; what brackets multiply out is off by some 1e-16
_ORDER = np.array([ELEMENT_INDEX[symbol] for symbol in FORMULA_ORDER])


def amounts(composition: object, suspicious: str = "raise") -> np.ndarray:
    """Amount of each element in one composition.

    Brackets of all kinds, fractional amounts, repeated elements, white space, hydrates, charges,
    oxidation states, isotopes of hydrogen, LaTeX, HTML and Unicode subscripts are understood; the
    page "Formulas" of the documentation says how, and what is refused.

    Parameters
    ----------
    composition : str, pymatgen Composition or (85,) array
        For example "Ba0.4K0.6Fe2As2", "Fe2(SO4)3", "TiO₂" or "CuSO4·5H2O".
    suspicious : {"raise", "warn", "allow"}
        What to do with a formula that hardly means what it says, such as "Sr04", "Tl2212" or
        "SIO2": refuse it with the reason, read it with a warning, or read it.

    Returns
    -------
    (85,) float64 array
        Atoms per formula unit, in the order of `matgan.ELEMENTS`, as written (not reduced).

    Raises
    ------
    CompositionError
        Neither of these, empty, an unknown symbol, an element outside the 85, an amount that is
        zero, negative or not a number, unbalanced parentheses, two meanings.
    ValueError
        Unknown value of suspicious.
    """
    check_suspicious(suspicious)
    if isinstance(composition, np.ndarray):
        if composition.shape != (N_ELEMENTS,):
            shape = composition.shape
            raise CompositionError(f"amounts must have shape ({N_ELEMENTS},), not {shape}")
        try:
            return amounts_matrix(composition[None])[0]
        except CompositionError as error:
            raise CompositionError(error.reason) from None
    out = np.zeros(N_ELEMENTS)
    terms, doubt = parse(composition)
    if doubt and suspicious == "raise":
        raise CompositionError(doubt, composition)
    if doubt and suspicious == "warn":
        warnings.warn(f"formula {composition!r}: {doubt}", SuspiciousFormula, stacklevel=2)
    for index, amount in terms:
        out[index] += amount
    return out


def amounts_matrix(
    compositions: Iterable,
    on_error: str = "raise",
    suspicious: str = "raise",
    *,
    report: bool = False,
) -> Any:
    """Amounts of n compositions, in whatever form they come.

    Every function of the package that takes compositions takes them in these forms.

    Parameters
    ----------
    compositions : n formulas or pymatgen `Composition` objects, or amounts
        A list, Series, array (n,) or (n, 1), DataFrame with one column, generator or other
        iterable; an array (n, 85) in the order of `matgan.ELEMENTS`; a DataFrame whose columns are
        the 85 symbols, in any order.
    on_error : {"raise", "nan", "drop"}
        What to do with a row that is no composition: stop with an error, fill its row with NaN, or
        leave its row out.
    suspicious : {"raise", "warn", "allow"}
        What to do with a formula that hardly means what it says, such as "Sr04", "Tl2212" or
        "SIO2": count it as no composition, read it with a `SuspiciousFormula` warning, or read it.
    report : bool
        Say which rows these are, and why.

    Returns
    -------
    (n, 85) float64 array
        One row for each composition, in order. With report=True a pair: this array and a DataFrame
        of the bad rows: row (0-based), index (its label in a Series or DataFrame, else the row),
        formula and reason.

    Raises
    ------
    CompositionError
        With on_error="raise": the first bad row, its formula and the reason. Always: a single
        formula, a set, a dict, masked entries, more than one column.
    ValueError
        Unknown value of on_error or suspicious.
    """
    given = Compositions(compositions, on_error, suspicious)
    rows, good = given.read()
    out = good.astype(float, copy=given.amounts is not None)
    if on_error == "nan" and len(rows) < len(given):
        out = np.full((len(given), N_ELEMENTS), np.nan)
        out[rows] = good
    return (out, given.report()) if report else out


def fractions(
    compositions: Iterable, on_error: str = "raise", suspicious: str = "raise"
) -> np.ndarray:
    """Atomic fractions x_e = n_e / Σ n_e, which sum to 1: (n, 85) float64.

    Parameters, rows and errors are those of `amounts_matrix`.
    """
    out = amounts_matrix(compositions, on_error, suspicious)
    return out / out.sum(axis=1, keepdims=True)


# --- counts ---------------------------------------------------------------------------------------


def count_matrix(compositions: Iterable) -> np.ndarray:
    """One-hot count matrix of each composition (Hu et al. 2020, Figure 1).

    Parameters
    ----------
    compositions : as `amounts_matrix` takes them, or the amounts (85,) of one
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
    counts = whole_counts(compositions)
    return (counts[..., None] == np.arange(1, MAX_COUNT + 1, dtype=np.uint8)).astype(np.uint8)


def whole_counts(compositions: Iterable, max_count: int = MAX_COUNT) -> np.ndarray:
    """Amounts as integers, checked.

    Parameters
    ----------
    compositions : as `amounts_matrix` takes them, or the amounts (85,) of one
        What differs from a whole number by rounding only, as the 7.000000000000001 of
        (Fe0.07)100 does, counts as whole. Rows of an array may be empty.
    max_count : largest amount allowed, at most 255

    Returns
    -------
    (n, 85) or (85,) uint8 array, not copied where it was given as such

    Raises
    ------
    CompositionError
        No composition, a fractional amount or one above max_count: names the first such row, its
        formula where it has one, and the element.
    """
    return _whole_counts(compositions, max_count, reduce=False)


def reduced_counts(compositions: Iterable) -> np.ndarray:
    """Counts of the reduced formulas, from 0 to 255: otherwise as `whole_counts`."""
    counts = _whole_counts(compositions, LARGEST_COUNT, reduce=True)
    return reduced(counts if counts.ndim == 2 else counts[None]).reshape(counts.shape)


def _whole_counts(compositions: Iterable, max_count: int, reduce: bool) -> np.ndarray:
    single = isinstance(compositions, np.ndarray) and compositions.shape == (N_ELEMENTS,)
    given = Compositions(compositions[None] if single else compositions)  # type: ignore[index]
    values = given.amounts
    if values is None:
        _, values = given.read()
    counts, bad = as_counts(values, max_count, reduce)
    try:
        given.refuse(bad)
    except CompositionError as error:
        if single:
            raise CompositionError(error.reason, error.formula) from None
        raise
    return counts[0] if single else counts


def as_counts(
    values: np.ndarray, max_count: int = LARGEST_COUNT, reduce: bool = False
) -> tuple[np.ndarray, Iterator[tuple[int, str | None, str]]]:
    """Amounts (n, 85) as uint8, and the rows that are no counts, for `Compositions.refuse`.

    Parameters
    ----------
    values : (n, 85) array of numbers
    max_count : largest amount allowed, at most 255
    reduce : whole rows with a larger amount are divided by their common divisor first
    """
    if values.dtype == np.uint8 and max_count >= LARGEST_COUNT:
        return values, iter(())
    whole, wrong = values, values < 0
    if values.dtype.kind == "f":
        whole = np.rint(values)
        off = whole != values  # NaN differs from itself, so it is caught here
        if off.any():
            wrong[off] |= ~(np.abs(whole[off] - values[off]) <= ROUNDING * whole[off])
    above = whole > max_count
    if reduce and above.any():
        fits = above.any(axis=1) & ~(wrong | (whole >= TOO_MUCH)).any(axis=1)
        rows = np.flatnonzero(fits)
        divided = reduced(whole[rows].astype(np.int64))
        whole = whole.copy()
        whole[rows], above[rows] = divided, divided > max_count
    wrong |= above
    if not wrong.any():
        return whole.astype(np.uint8, copy=False), iter(())
    return np.where(wrong, 0, whole).astype(np.uint8), _why_no_counts(values, wrong, max_count)


def _why_no_counts(values: np.ndarray, wrong: np.ndarray, max_count: int) -> Iterator:
    """(row, formula or None, reason) for each row of amounts with an entry that is wrong."""
    for row in np.flatnonzero(wrong.any(axis=1)).tolist():
        element = int(wrong[row].argmax())
        amounts = values[row]
        writable = ((amounts >= 0) & (amounts < TOO_MUCH)).all()
        yield (
            row,
            _texts(amounts[None])[0] if writable else None,
            f"{ELEMENTS[element]} has the amount {amounts[element]:.15g}, "
            f"but counts must be whole numbers from 0 to {max_count}",
        )


# --- formulas -------------------------------------------------------------------------------------


def formula(composition: object, suspicious: str = "raise") -> str:
    """Reduced formula of one composition, elements by rising electronegativity.

    Whole amounts are divided by their greatest common divisor (Na2O2 is written NaO: unlike
    pymatgen, peroxides and diatomic gases are no exception); fractional ones are left as given.

    Parameters
    ----------
    composition, suspicious : as `amounts` takes them

    Returns
    -------
    str
        For example "KZn2Ru". `amounts(formula(a))` is proportional to a. What would look like a
        slip has its numbers written out: "S1I1O2.0", since "SIO2" is refused.

    Raises
    ------
    CompositionError
        Wrong shape, no element at all, a negative or non-finite amount.
    """
    values = amounts(composition, suspicious)
    if getattr(composition, "dtype", None) in (np.float16, np.float32):
        values = values.astype(composition.dtype)  # type: ignore[attr-defined]
    return _texts(reduced(values[None]))[0]


def formulas(
    compositions: Iterable, on_error: str = "raise", suspicious: str = "raise"
) -> list[str]:
    """Reduced formulas of n compositions: `formula` for all of them, much faster.

    Parameters, rows and errors are those of `amounts_matrix`; with on_error="nan" None stands for
    a row that is no composition.
    """
    given = Compositions(compositions, on_error, suspicious)
    out = np.empty(len(given), dtype=object)
    rows, amounts = given.read()
    out[rows] = _texts(reduced(amounts))
    return given.finish(out).tolist()


def reduced(amounts: np.ndarray) -> np.ndarray:
    """Amounts (n, 85) of the reduced formulas: whole rows over their greatest common divisor.

    Rows with a fractional amount stay as they are. Same shape and dtype.
    """
    values = np.asarray(amounts)
    if values.dtype.kind != "f":
        return values // np.maximum(np.gcd.reduce(values, axis=1), 1)[:, None]
    whole = (values == np.rint(values)).all(axis=1)
    divisor = np.ones(len(values), dtype=np.int64)
    divisor[whole] = np.maximum(np.gcd.reduce(values[whole].astype(np.int64), axis=1), 1)
    return (values / divisor[:, None]).astype(values.dtype, copy=False)


def _texts(amounts: np.ndarray) -> list[str]:
    """Formulas of amounts (n, 85), none of them negative or too large, as they are."""
    rows, order = np.nonzero(amounts[:, _ORDER])
    parts = amounts[rows, _ORDER[order]]
    # numbers of single precision are written as such: 0.6, not 0.6000000238418579
    parts = parts.tolist() if parts.dtype.itemsize == 8 or parts.dtype.kind != "f" else list(parts)
    pieces = [
        symbol if amount == 1 else symbol + _written(amount)
        for symbol, amount in zip((FORMULA_ORDER[o] for o in order.tolist()), parts, strict=True)
    ]
    ends = np.cumsum(np.bincount(rows, minlength=len(amounts))).tolist()
    starts = [0, *ends]
    texts = ["".join(pieces[start:end]) for start, end in zip(starts, ends, strict=False)]
    large = amounts.size and amounts.max() > 100
    odd = [i for i, text in enumerate(texts) if text.isupper() or (large and "0" in text)]
    odd = [i for i in odd if suspicion(texts[i])]  # S1I1O2, for SIO2 is refused
    if amounts.dtype.kind == "f":  # Li1.5H2.0O1, for Li1.5H2O would be Li·5H2O
        odd += [i for i, text in enumerate(texts) if text.endswith("H2O") and "." in text]
    for i in odd:
        texts[i] = "".join(_explicit(piece) for piece in pieces[starts[i] : ends[i]])
    return texts


def _explicit(piece: str) -> str:
    """A term that can be taken for nothing else: S1 for S, Mn204.0 for Mn204."""
    return piece if "." in piece else f"{piece}1" if piece.isalpha() else f"{piece}.0"


def _written(amount: float) -> str:
    if amount == int(amount):
        return str(int(amount))
    return np.format_float_positional(amount, trim="-")  # never 1e-05, which is no formula


# --- equal compositions ---------------------------------------------------------------------------


def keys(compositions: Iterable) -> np.ndarray:
    """One value for each composition, equal where the reduced counts are: (n,) array of bytes.

    Keys are returned as they are: whoever compares with many known compositions again and again
    computes theirs once.

    Parameters
    ----------
    compositions : as `amounts_matrix` takes them, or keys

    Raises
    ------
    CompositionError
        No composition, or an amount that is no whole number, reduced from 0 to 255; names the row.
    """
    if isinstance(compositions, np.ndarray) and compositions.dtype.kind == "S":
        return compositions
    whole = reduced_counts(compositions)
    return np.ascontiguousarray(whole).view(f"S{N_ELEMENTS}").ravel()


def among(compositions: Iterable, known: Iterable) -> np.ndarray:
    """Which compositions are among the known ones: (n,) bool. Both as `keys` takes them."""
    distinct, place = np.unique(keys(compositions), return_inverse=True)
    known = keys(known)
    found = np.zeros(len(distinct), dtype=bool)
    if len(distinct):
        # np.isin would sort the known ones, which are many
        at = np.searchsorted(distinct, known).clip(max=len(distinct) - 1)
        found[at[distinct[at] == known]] = True
    return found[place]
