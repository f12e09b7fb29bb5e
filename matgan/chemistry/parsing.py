"""From text to amounts: one formula, or many at once."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd

from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS, OTHER_ELEMENTS

TOO_MUCH = 1e15  # above this, float64 no longer holds every whole number

_NUMBER = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"
_TERM = re.compile(rf"([A-Z][a-z]?)({_NUMBER})?")
_PIECE = re.compile(r"[A-Z][a-z]?[0-9.]*|\n|[^A-Z\n]+")  # a term, a line end, anything else
_TOKEN = re.compile(
    rf"(?P<element>[A-Z][a-z]?)|(?P<number>{_NUMBER})|(?P<open>\()|(?P<close>\))|\s+"
)
_PLAINER = str.maketrans("₀₁₂₃₄₅₆₇₈₉[]{}", "0123456789()()")


class CompositionError(ValueError):
    """A formula or a row of amounts that is no composition of the 85 elements.

    Attributes
    ----------
    formula : the formula (or the object given in its place), None if only amounts are known
    row : its 0-based position in the list or matrix, None for a single formula
    index : its label, where a Series or DataFrame was given
    reason : what is wrong with it
    """

    def __init__(
        self, reason: str, formula: object = None, row: int | None = None, index: object = None
    ):
        self.reason, self.formula, self.row, self.index = reason, formula, row, index
        where = [] if row is None else [f"row {row}"]
        if index is not None and not (isinstance(index, int) and index == row):
            where = [f"row {row} (index {index!r})"]
        if formula is not None:
            shown = repr(formula)
            where.append(f"formula {shown if len(shown) <= 80 else shown[:77] + '...'}")
        super().__init__(f"{', '.join(where)}: {reason}" if where else reason)

    def __reduce__(self):
        return type(self), (self.reason, self.formula, self.row, self.index)


def parse_all(formulas: list) -> tuple[np.ndarray, list[tuple[int, object, str]]]:
    """Amounts of those of n formulas that are a composition, and what is wrong with the others.

    One search through all of the text, in which each distinct term ("Fe2") is read once. Formulas
    that hold anything but terms, such as brackets, are parsed one by one.

    Returns
    -------
    amounts : (number of good formulas, 85) float64 array
    bad : list of (row, formula, reason), in order
    """
    one_by_one = np.array([not isinstance(f, str) or "\n" in f for f in formulas], dtype=bool)
    lines = ("" if alone else f for f, alone in zip(formulas, one_by_one, strict=True))
    pieces = _PIECE.findall("".join(f"{line}\n" for line in lines))
    codes, distinct = pd.factorize(np.array(pieces, dtype=object))
    element, amount = np.full(len(distinct), -1), np.zeros(len(distinct))
    for i, piece in enumerate(distinct):
        if term := _TERM.fullmatch(piece):
            element[i] = ELEMENT_INDEX.get(term[1], -1)
            amount[i] = float(term[2] or 1)
    element[~((amount > 0) & (amount < TOO_MUCH))] = -1

    is_end = (distinct == "\n")[codes]
    row = np.cumsum(is_end) - is_end  # of each piece
    one_by_one |= np.bincount(row, minlength=len(formulas)) == 1  # an empty line
    one_by_one[row[(element[codes] < 0) & ~is_end]] = True
    bad, parsed = [], []
    for i in np.flatnonzero(one_by_one).tolist():
        try:
            parsed += [(i, *term) for term in parse(formulas[i])]
        except CompositionError as error:
            bad.append((i, formulas[i], error.reason))
    good = np.ones(len(formulas), dtype=bool)
    good[[i for i, *_ in bad]] = False
    out, to = np.zeros((good.sum(), N_ELEMENTS)), np.cumsum(good) - 1
    # add.at, not assignment: an element may stand twice in a formula
    read = ~is_end & ~one_by_one[row]
    np.add.at(out, (to[row[read]], element[codes[read]]), amount[codes[read]])
    for i, index, n in parsed:
        out[to[i], index] += n
    return out, bad


def is_composition(thing: object) -> bool:
    """Whether something is a pymatgen `Composition`, as far as can be told without pymatgen."""
    return callable(getattr(thing, "get_el_amt_dict", None))


def parse(formula: object) -> list[tuple[int, float]]:
    """(element index, amount) of every term of a formula or pymatgen `Composition`.

    An element may come twice.
    """
    out = []
    for symbol, amount in _expand(formula):
        index = ELEMENT_INDEX.get(symbol)
        if index is None:
            raise CompositionError(_why_not(symbol), formula)
        if not 0 < amount < TOO_MUCH:
            raise CompositionError(f"{symbol} has the amount {amount:g}", formula)
        out.append((index, amount))
    if not out:
        raise CompositionError("the composition is empty", formula)
    return out


def _why_not(symbol: str) -> str:
    if symbol in OTHER_ELEMENTS:
        return f"{symbol} is not one of the 85 elements of this study"
    return f"unknown element symbol {symbol!r}"


def _expand(formula: object) -> list[tuple[str, float]]:
    """Terms of a formula with brackets, white space or Unicode subscripts, brackets multiplied out.

    Checks from left to right, then multiplies from right to left: one step per token at any depth.
    """
    if is_composition(formula):
        return list(formula.get_el_amt_dict().items())  # type: ignore[attr-defined]
    if not isinstance(formula, str):
        missing = isinstance(formula, float) and math.isnan(formula)
        what = "NaN (a missing value)" if missing else type(formula).__name__
        raise CompositionError(f"a formula must be a string, not {what}", formula)
    text = formula.translate(_PLAINER).rstrip()
    if not text:
        raise CompositionError("the formula is empty", formula)
    tokens, at, depth, before = [], 0, 0, "open"
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise CompositionError(f"unexpected {text[at]!r} at character {at + 1}", formula)
        at, kind = token.end(), token.lastgroup
        if kind is None:  # white space separates: "Fe2 3" is not Fe23
            continue
        if kind == "number" and before in ("open", "number"):
            raise CompositionError(f"the number {token[0][:20]} follows no element", formula)
        if kind == "close" and depth == 0:
            raise CompositionError("a closing bracket without an opening one", formula)
        if kind == "close" and before == "open":
            raise CompositionError("a pair of brackets is empty", formula)
        depth += (kind == "open") - (kind == "close")
        before = kind
        tokens.append((kind, token[0]))
    if depth:
        raise CompositionError("an opening bracket without a closing one", formula)
    terms, factors, number = [], [1.0], 1.0
    for kind, written in reversed(tokens):
        if kind == "element":
            terms.append((written, number * factors[-1]))
        elif kind == "close":
            factors.append(number * factors[-1])
        elif kind == "open":
            factors.pop()
        number = float(written) if kind == "number" else 1.0
    return terms[::-1]
