"""What a function that takes compositions can be given: one door for all of them.

Formulas and pymatgen `Composition` objects, also mixed, as a list, tuple, Series, array (n,) or
(n, 1), DataFrame with one column, generator or any other iterable. Or amounts: an array (n, 85),
rows of 85 numbers, or a DataFrame whose columns are the 85 element symbols, in any order. Or a list
with the attribute `counts` (n, 85), such as a generator's samples, whose text is then not read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from matgan.chemistry.elements import ELEMENT_INDEX, ELEMENTS, N_ELEMENTS
from matgan.chemistry.parsing import TOO_MUCH, CompositionError, is_composition, parse_all

ON_ERROR = ("raise", "nan", "drop")
SUSPICIOUS = ("raise", "warn", "allow")


class SuspiciousFormula(UserWarning):
    """A formula that can be read, but hardly means what it says: "Sr04", "Tl2212", "SIO2"."""


def check_suspicious(value: str) -> None:
    """ValueError if it is none of "raise", "warn", "allow"."""
    if value not in SUSPICIOUS:
        raise ValueError(f"suspicious must be 'raise', 'warn' or 'allow', not {value!r}")


class Compositions:
    """Compositions as they were given, read part by part, and an account of what is none.

    A function with one result for each composition is written as ::

        given = Compositions(compositions, on_error)
        out = np.empty(len(given))
        for rows, amounts in given.parts(size):
            out[rows] = ...
        return given.finish(out)

    Parameters
    ----------
    compositions : see the module
    on_error : {"raise", "nan", "drop"}
        A row that is no composition is an error, or has NaN as its result, or is left out.
    suspicious : {"raise", "warn", "allow"}
        A formula that can be read, but hardly means what it says, counts as no composition; or is
        read with a warning, or without.
    elements : symbol -> column, the 85 first
        Others are no compositions.

    Attributes
    ----------
    formulas : what was given as formulas, (n,) or empty
    amounts : what was given as amounts, (n, 85) of any numeric dtype and not yet checked, or None
    index : of the Series or DataFrame given, or None
    good : (n,) bool, the rows not refused so far

    Raises
    ------
    CompositionError
        Nothing that holds compositions: a single formula, a set, a dict, masked entries, rows of
        unequal length, a table of other columns; names the type.
    ValueError
        Unknown value of on_error or suspicious.
    """

    def __init__(
        self,
        compositions: Iterable,
        on_error: str = "raise",
        suspicious: str = "raise",
        elements: Mapping[str, int] = ELEMENT_INDEX,
    ):
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error must be 'raise', 'nan' or 'drop', not {on_error!r}")
        check_suspicious(suspicious)
        self.on_error, self.suspicious, self._elements = on_error, suspicious, elements
        self.index = None
        if isinstance(compositions, pd.DataFrame | pd.Series):
            self.index = compositions.index
        self.formulas, self.amounts = _taken(compositions)
        n = len(self.formulas if self.amounts is None else self.amounts)
        self.good = np.ones(n, dtype=bool)
        self._bad: list[tuple[int, object, object, str]] = []

    def __len__(self) -> int:
        return len(self.good)

    def read(self, start: int = 0, stop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers (m,) and amounts (m, 85) of the good ones among the rows start to stop.

        Formulas have a column for each of `elements`. Each amount is finite and not negative, and
        no row is empty. Amounts given as an array keep their dtype, and where all are good they are
        this array, not a copy.
        """
        part = slice(start, len(self) if stop is None else min(stop, len(self)))
        if self.amounts is None:
            amounts, bad, doubtful = parse_all(self.formulas[part], self._elements)
            if doubtful and self.suspicious == "raise":
                read = np.ones(part.stop - part.start, dtype=bool)
                read[[row for row, *_ in bad]] = False
                amounts = amounts[~np.isin(np.flatnonzero(read), [row for row, *_ in doubtful])]
                bad = sorted(bad + doubtful, key=lambda found: found[0])
            elif doubtful and self.suspicious == "warn":
                row, formula, reason = doubtful[0]
                more = f"; {len(doubtful) - 1} more" if len(doubtful) > 1 else ""
                text = f"row {start + row}, formula {formula!r}: {reason}{more}"
                warnings.warn(text, SuspiciousFormula, stacklevel=3)
        else:
            amounts = self.amounts[part]
            bad = _wrong_rows(amounts)
        self.refuse((start + row, formula, reason) for row, formula, reason in bad)
        good = self.good[part]
        if self.amounts is not None and bad:
            amounts = amounts[good]
        return start + np.flatnonzero(good), amounts

    def parts(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What `read` gives, `size` rows at a time."""
        for start in range(0, len(self), size):
            yield self.read(start, start + size)

    def refuse(self, bad: Iterable[tuple[int, object, str]]) -> None:
        """Take note of rows that are no composition: (row, formula or None, reason) of each.

        Raises
        ------
        CompositionError
            With on_error="raise": the first of them.
        """
        for row, formula, reason in bad:
            if self.formulas:
                formula = self.formulas[row]
            label = None if self.index is None else self.index[[row]].tolist()[0]
            if self.on_error == "raise":
                raise CompositionError(reason, formula, row, label)
            self.good[row] = False
            self._bad.append((row, row if self.index is None else label, formula, reason))

    def finish(self, values: np.ndarray) -> Any:
        """The results (n, …) with those of refused rows replaced or left out.

        With on_error="nan" these are NaN, None in an array of objects, and pandas.NA in one of
        bool, which becomes a pandas BooleanArray for it.
        """
        if self.on_error == "drop":
            return values[self.good]
        if self.on_error == "nan" and values.dtype == bool:
            return pd.arrays.BooleanArray(values, ~self.good)
        if not self.good.all():
            values[~self.good] = None if values.dtype == object else np.nan
        return values

    def report(self) -> pd.DataFrame:
        """The refused rows: row (0-based), index (its label; the row without one), formula, reason.

        A row of amounts has the formula None where it cannot be written as one.
        """
        columns = ["row", "index", "formula", "reason"]
        table = pd.DataFrame(sorted(self._bad, key=lambda bad: bad[0]), columns=columns)
        return table.astype({"row": int})


def _taken(given) -> tuple[list, np.ndarray | None]:
    """The formulas (n,) and the amounts (n, 85) of what was given; one of them may be missing."""
    kind = type(given).__name__
    if isinstance(given, str | bytes):
        raise CompositionError(f"expected a list of compositions, not the single string {given!r}")
    if is_composition(given):
        raise CompositionError(f"expected a list of compositions, not a single {kind}: {given}")
    if isinstance(given, Mapping | set | frozenset):
        raise CompositionError(f"expected compositions in order, such as a list, not a {kind}")
    if isinstance(given, list) and isinstance(getattr(given, "counts", None), np.ndarray):
        return given, given.counts  # type: ignore[attr-defined]
    if isinstance(given, pd.DataFrame):
        return _of_table(given)
    if isinstance(given, pd.Series):
        return _of_list(given.tolist())
    if np.ma.is_masked(given):
        row = int(np.argwhere(np.ma.getmaskarray(given))[0][0])
        raise CompositionError("masked entries are no compositions: leave them out", row=row)
    if hasattr(given, "__array__"):
        return _of_array(np.asarray(given))
    if not isinstance(given, Iterable):
        raise CompositionError(f"expected a list of compositions, not {kind}")
    return _of_list(list(given))


def _of_table(table: pd.DataFrame) -> tuple[list, np.ndarray | None]:
    n = table.shape[1]
    if n == 1:
        return _of_list(table.iloc[:, 0].tolist())
    numeric = [is_numeric_dtype(t) and not is_bool_dtype(t) for t in table.dtypes]
    if n == N_ELEMENTS and set(table.columns) == set(ELEMENTS):
        if not all(numeric):
            column = table.columns[numeric.index(False)]
            raise CompositionError(
                f"amounts must be numbers, but column {column} holds {table.dtypes[column]}"
            )
        table = table[list(ELEMENTS)]  # by name, in whatever order they stand
        if all(isinstance(t, np.dtype) for t in table.dtypes):
            return [], table.to_numpy()
        return [], table.to_numpy(dtype=float, na_value=np.nan)
    if n and all(numeric):
        raise CompositionError(
            f"the columns of a table of amounts must be the {N_ELEMENTS} element symbols, "
            f"not {n} columns such as {table.columns[0]!r}"
        )
    raise CompositionError(f"expected one column of formulas, not a table of {n} columns")


def _of_array(array: np.ndarray) -> tuple[list, np.ndarray | None]:
    of_numbers = array.dtype.kind in "biufc"
    if array.ndim == 2 and array.shape[1] == N_ELEMENTS:
        if array.dtype.kind not in "iuf":
            raise CompositionError(f"amounts must be numbers, not {array.dtype}")
        return [], array
    if array.shape == (0,):
        return [], None
    if of_numbers:
        raise CompositionError(f"amounts must have shape (n, {N_ELEMENTS}), not {array.shape}")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise CompositionError(
            f"expected one column of formulas, not an array of shape {array.shape}"
        )
    return _of_list(array.tolist())


def _of_list(items: list) -> tuple[list, np.ndarray | None]:
    """Formulas; or rows of one formula, or of 85 amounts, if all of them are lists."""
    if not items or not all(isinstance(item, list | tuple | np.ndarray) for item in items):
        return items, None
    widths = [np.size(item) if isinstance(item, np.ndarray) else len(item) for item in items]
    odd = next((row for row, width in enumerate(widths) if width != widths[0]), 0)
    if widths[odd] != widths[0] or widths[0] not in (1, N_ELEMENTS):
        raise CompositionError(
            f"expected one column of formulas, or {N_ELEMENTS} amounts in each row, "
            f"not a {type(items[odd]).__name__} of {widths[odd]}",
            row=odd,
        )
    for row, item in enumerate(items):
        if np.ma.is_masked(item):
            raise CompositionError("masked entries are no compositions: leave them out", row=row)
    if widths[0] == 1:
        return [item.item() if isinstance(item, np.ndarray) else item[0] for item in items], None
    return _of_array(np.array(items))


def _wrong_rows(amounts: np.ndarray) -> list[tuple[int, None, str]]:
    """Rows of amounts (n, 85) that are no composition, as for `Compositions.refuse`."""
    bad = empty = np.logical_not(amounts.any(axis=1))  # NaN counts as something
    if amounts.dtype.kind != "u" or amounts.dtype.itemsize == 8:
        with np.errstate(over="ignore"):  # half precision has no such number
            wrong = ~((amounts >= 0) & (amounts < TOO_MUCH))
        bad = empty | wrong.any(axis=1)
    out: list[tuple[int, None, str]] = []
    for row in np.flatnonzero(bad).tolist():
        if empty[row]:
            out.append((row, None, "the composition is empty"))
        else:
            element = int(wrong[row].argmax())
            reason = f"{ELEMENTS[element]} has the amount {amounts[row, element]:g}"
            out.append((row, None, reason))
    return out
