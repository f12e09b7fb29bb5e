"""From text to amounts: one formula, or many at once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from matgan.chemistry.elements import ATOMIC_NUMBER, ELEMENT_INDEX
from matgan.chemistry.notation import MOLECULE, NUMBER, NotationError, plain, suspicion

TOO_MUCH = 1e15  # above this, float64 no longer holds every whole number

_TERM = re.compile(rf"([A-Z][a-z]?)({NUMBER})?")
_PIECE = re.compile(r"[A-Z][a-z]?[0-9.]*|\n|[^A-Z\n]+")  # a term, a line end, anything else
_ODD = re.compile("[A-Z][a-z]?0[0-9]+|(?!O[0-9])[A-Z][a-z]?[1-9]0[1-9]|H20")  # may be a slip
_ODD_ALONE = re.compile("[A-Z][a-z]?(?:[0-9]{3,4}|20)")  # may be one where nothing else stands
_TOKEN = re.compile(rf"([A-Z][a-z]?)({NUMBER})?|({NUMBER})|([(\[{{])|([)\]}}])|(·)|(\S)")
_PLAINER = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_MARKS = re.compile(rf"II|\.[0-9]*(?:\.[0-9]+)?{MOLECULE}")
_ISOTOPES = {"D": "H", "T": "H"}


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
            shown = " ".join(repr(formula).split())  # a table shows itself in many lines
            where.append(f"formula {shown if len(shown) <= 80 else shown[:77] + '...'}")
        super().__init__(f"{', '.join(where)}: {reason}" if where else reason)

    def __reduce__(self):
        return type(self), (self.reason, self.formula, self.row, self.index)


class Read(NamedTuple):
    """Formulas that were read.

    Attributes
    ----------
    amounts : (number of good formulas, number of elements) float64 array
    bad : (row, formula, reason) of those that are no composition, in order
    doubtful : the same of those that were read, but hardly mean what they say, in order
    """

    amounts: np.ndarray
    bad: list[tuple[int, object, str]]
    doubtful: list[tuple[int, object, str]]


def parse_all(formulas: list, elements: Mapping[str, int] = ELEMENT_INDEX) -> Read:
    """Amounts of those of n formulas that are a composition, and what is wrong with the others.

    One search through all of the text, in which each distinct term ("Fe2") is read once. Formulas
    that hold anything but terms, such as brackets, and those that look odd are parsed one by one.

    Parameters
    ----------
    formulas : n formulas or pymatgen `Composition` objects, or anything else, which is bad
    elements : symbol -> column
    """
    text, one_by_one = _lines(formulas)
    pieces = _PIECE.findall(text)
    codes, distinct = pd.factorize(np.array(pieces, dtype=object))
    element, amount = np.full(len(distinct), -1), np.zeros(len(distinct))
    odd_alone = np.zeros(len(distinct), dtype=bool)
    for i, piece in enumerate(distinct):
        if (term := _TERM.fullmatch(piece)) and not _ODD.fullmatch(piece):
            element[i] = elements.get(term[1], -1)
            amount[i] = float(term[2] or 1)
            odd_alone[i] = amount[i] >= 20 and _ODD_ALONE.fullmatch(piece)
    element[~((amount > 0) & (amount < TOO_MUCH))] = -1

    is_end = (distinct == "\n")[codes]
    row = np.cumsum(is_end) - is_end  # of each piece
    n_pieces = np.bincount(row, minlength=len(formulas))
    one_by_one |= n_pieces == 1  # an empty line
    odd = row[odd_alone[codes]]
    one_by_one[odd[n_pieces[odd] == 2]] = True
    one_by_one[row[(element[codes] < 0) & ~is_end]] = True
    one_by_one |= _in_capitals(codes, distinct, row, len(formulas))
    one_by_one[_marked(text)] = True
    bad, doubtful, parsed = [], [], []
    for i in np.flatnonzero(one_by_one).tolist():
        try:
            terms, doubt = parse(formulas[i], elements)
        except CompositionError as error:
            bad.append((i, formulas[i], error.reason))
            continue
        parsed += [(i, *term) for term in terms]
        if doubt:
            doubtful.append((i, formulas[i], doubt))
    good = np.ones(len(formulas), dtype=bool)
    good[[i for i, *_ in bad]] = False
    out, to = np.zeros((good.sum(), len(elements))), np.cumsum(good) - 1
    # add.at, not assignment: an element may stand twice in a formula
    read = ~is_end & ~one_by_one[row]
    np.add.at(out, (to[row[read]], element[codes[read]]), amount[codes[read]])
    for i, index, n in parsed:
        out[to[i], index] += n
    return Read(out, bad, doubtful)


def _lines(formulas: list) -> tuple[str, np.ndarray]:
    """One line for each of n formulas, empty for those (n,) that are no text of one line."""
    if formulas and all(type(f) is str for f in formulas):
        text = "\n".join(formulas) + "\n"
        if text.count("\n") == len(formulas):
            return text, np.zeros(len(formulas), dtype=bool)
    alone = np.array([not isinstance(f, str) or "\n" in f for f in formulas], dtype=bool)
    lines = ("" if odd else f for f, odd in zip(formulas, alone, strict=True))
    return "".join(f"{line}\n" for line in lines), alone


def _in_capitals(codes, distinct, row, n: int) -> np.ndarray:
    """Which of n rows have no small letter, and two capitals side by side: SIO2 or KNO3."""
    out = np.zeros(n, dtype=bool)
    bare = np.array([len(piece) == 1 and piece != "\n" for piece in distinct], dtype=bool)
    if bare.any():
        out[row[bare[codes]]] = True
        out[row[np.array([piece[1:2].islower() for piece in distinct])[codes]]] = False
    return out


def _marked(text: str) -> np.ndarray:
    """Numbers of the lines that read otherwise as terms: CuSO4.5H2O, FeIIO."""
    marked = "." in text or "II" in text
    found = [match.start() for match in _MARKS.finditer(text)] if marked else []
    if not found:
        return np.zeros(0, dtype=int)
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return np.searchsorted(np.flatnonzero(characters == ord("\n")), found)


def is_composition(thing: object) -> bool:
    """Whether something is a pymatgen `Composition`, as far as can be told without pymatgen."""
    return callable(getattr(thing, "get_el_amt_dict", None))


def parse(
    formula: object, elements: Mapping[str, int] = ELEMENT_INDEX
) -> tuple[list[tuple[int, float]], str | None]:
    """(column, amount) of every term of a formula or pymatgen `Composition`, and a doubt or None.

    An element may come twice. The doubt is why the formula hardly means what it says.
    """
    out = []
    terms, doubt = _expand(formula)
    for symbol, amount in terms:
        index = elements.get(_ISOTOPES.get(symbol, symbol))
        if index is None:
            raise CompositionError(_why_not(symbol, len(elements)), formula)
        if not 0 < amount < TOO_MUCH:
            raise CompositionError(f"{symbol} has the amount {amount:g}", formula)
        out.append((index, amount))
    if not out:
        raise CompositionError("the composition is empty", formula)
    return out, doubt


def _why_not(symbol: str, n: int) -> str:
    if symbol in ATOMIC_NUMBER and n == len(ELEMENT_INDEX):
        return f"{symbol} is not one of the {n} elements of this study"
    if symbol in ATOMIC_NUMBER:
        return f"{symbol} is not one of the {n} elements of the table"
    unknown = f"unknown element symbol {symbol!r}"
    if symbol[1:] in ("x", "y", "z") and symbol[0] in ATOMIC_NUMBER:
        return f"{unknown} (if {symbol[1]} is a variable, give its value)"
    return unknown


def _expand(formula: object) -> tuple[list[tuple[str, float]], str | None]:
    """Terms of a formula in any notation, brackets multiplied out, and a doubt.

    Checks from left to right and multiplies by the numbers before the parts of a hydrate, then
    multiplies from right to left: one step per token at any depth.
    """
    if not isinstance(formula, str):
        if is_composition(formula):
            return list(formula.get_el_amt_dict().items()), None  # type: ignore[attr-defined]
        missing = isinstance(formula, float) and math.isnan(formula)
        what = "NaN (a missing value)" if missing else type(formula).__name__
        raise CompositionError(f"a formula must be a string, not {what}", formula)
    try:
        text, doubt = plain(formula if formula.isascii() else formula.translate(_PLAINER))
    except NotationError as error:
        raise CompositionError(str(error), formula) from None
    if not text:
        raise CompositionError("the formula is empty", formula)
    terms, factors, number = [], [1.0], 1.0
    for kind, symbol, amount in reversed(_tokens(text, formula)):
        if kind == "element":
            terms.append((symbol, number * factors[-1] * amount))
        elif kind == "close":
            factors.append(number * factors[-1])
        elif kind == "open":
            factors.pop()
        number = amount if kind == "number" else 1.0
    odd = len(terms) == 1 or "0" in text or "D" in text or "T" in text or text.isupper()
    return terms[::-1], doubt or (suspicion(text) if odd else None)


def _tokens(text: str, formula: object) -> list[tuple[str, str, float]]:
    """(kind, symbol, amount) of the tokens of a formula in plain notation.

    Numbers that stand before are multiplied in: in 2CaO·3(H2O·CO2) the amount of each O is 3.
    """
    tokens: list[tuple[str, str, float]] = []
    before, lead = "open", 1.0
    outer = [1.0]  # the number before each open bracket
    # white space separates: "Fe2 3" is not Fe23
    for symbol, attached, number, opening, closing, dot, other in _TOKEN.findall(text):
        if symbol:
            tokens.append(("element", symbol, lead * float(attached) if attached else lead))
            before = "number" if attached else "element"
        elif number and before in ("element", "close"):
            tokens.append(("number", "", float(number)))
            before = "number"
        elif number:
            if before not in ("open", "dot") or "·" not in text:
                raise CompositionError(f"the number {number[:20]} follows no element", formula)
            lead, before = outer[-1] * float(number), "lead"
        elif opening:
            tokens.append(("open", "", 1.0))
            outer.append(lead)
            before = "open"
        elif other:
            raise CompositionError(_unexpected(text, formula), formula)
        elif closing and len(outer) == 1:
            raise CompositionError("a closing bracket without an opening one", formula)
        elif before in ("open", "dot", "lead"):
            empty = "a pair of brackets is empty" if closing else f"nothing stands before a {dot}"
            raise CompositionError(empty, formula)
        else:
            lead = outer.pop() if closing else outer[-1]
            before = "close" if closing else "dot"
            tokens.append((before, "", 1.0))
    if before in ("dot", "lead"):
        raise CompositionError("nothing follows the ·", formula)
    if len(outer) > 1:
        raise CompositionError("an opening bracket without a closing one", formula)
    return tokens


def _unexpected(text: str, formula: object) -> str:
    at = next(token.start() for token in _TOKEN.finditer(text) if token.lastindex == 7)
    shown = "" if text == formula or len(text) > 60 else f" of {text!r}"
    hint = ""
    if text[at] == "," and text[at + 1 : at + 2].isdecimal():
        hint = ": write a decimal point"
    elif text[at] in "+-":
        hint = ": write a charge as ^{3+}, an oxidation state as (III)"
    return f"unexpected {text[at]!r} at character {at + 1}{shown}{hint}"
