"""Formulas with their amounts worked out beside them, for the tests of several modules."""

import re
from collections.abc import Callable
from itertools import chain

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from pymatgen.core import Composition

from matgan import ELEMENTS


def as_dict(row: np.ndarray) -> dict[str, float]:
    return {ELEMENTS[i]: float(row[i]) for i in np.flatnonzero(row)}


def as_row(**amounts_of: float) -> np.ndarray:
    row = np.zeros(85)
    for symbol, amount in amounts_of.items():
        row[ELEMENTS.index(symbol)] = amount
    return row


def pymatgen_row(text: str) -> np.ndarray:
    return as_row(**{e.symbol: n for e, n in Composition(text).items()})


def random_counts(n, seed=0):
    """1 to 5 elements of any kind, small counts mostly, also unreduced ones."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((n, 85), dtype=np.uint8)
    for row in counts:
        chosen = rng.choice(85, rng.choice([1, 2, 3, 4, 5], p=[0.05, 0.3, 0.45, 0.15, 0.05]), False)
        row[chosen] = rng.integers(1, rng.choice([3, 9, 13]), len(chosen))
    return counts


def spaced(text: str) -> str:
    """The same formula with white space between its symbols and numbers: no fast path."""
    return " ".join(re.findall(r"[A-Z][a-z]?|[0-9.]+|\S", text))


NUMBERS = st.one_of(
    st.just(("", 1.0)),
    st.integers(1, 12).map(lambda n: (str(n), float(n))),
    st.integers(1, 9999).map(lambda n: (f"{n / 1000:g}", n / 1000)),
    st.sampled_from([(".25", 0.25), ("2.", 2.0), ("0.70", 0.7), ("1.50", 1.5)]),
)
TERMS = st.tuples(st.sampled_from(ELEMENTS), NUMBERS).map(
    lambda term: (term[0] + term[1][0], {term[0]: term[1][1]})
)


def join(parts):
    """(text, amounts) of parts that follow each other."""
    total: dict[str, float] = {}
    for _, contents in parts:
        for symbol, amount in contents.items():
            total[symbol] = total.get(symbol, 0.0) + amount
    return "".join(text for text, _ in parts), total


def bracket(inner_and_number):
    """(text, amounts) of a bracket with a factor."""
    (text, contents), (written, factor) = inner_and_number
    return f"({text}){written}", {s: amount * factor for s, amount in contents.items()}


# what means something else to a chemist: oxidation states, a hydrate with a full stop
OTHERWISE = re.compile(r"II|\w\([IV]+\)|\.\d*(H2O|NH3)")
# formulas with their amounts worked out beside them: brackets in brackets, repeated elements
FORMULAS = st.lists(
    st.recursive(
        TERMS,
        lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=4).map(join), NUMBERS).map(
            bracket
        ),
        max_leaves=12,
    ),
    min_size=1,
    max_size=6,
).map(join)
FORMULAS = FORMULAS.filter(lambda formula: not OTHERWISE.search(formula[0]))
PLAIN_FORMULAS = st.lists(TERMS, min_size=1, max_size=12).map(join)
PLAIN_FORMULAS = PLAIN_FORMULAS.filter(lambda formula: not OTHERWISE.search(formula[0]))


# --- forms in which compositions may be given -----------------------------------------------------


class Carries(list):
    """A list that holds counts beside its formulas, as a generator's samples do."""

    def __init__(self, texts, counts):
        super().__init__(texts)
        self.counts = counts


def forms(texts: list[str], rows: np.ndarray) -> dict[str, Callable]:
    """Makers of the same compositions in every form, by name: n formulas and amounts (n, 85)."""
    labels = [f"label {i}" for i in range(len(texts))]
    table = pd.DataFrame(rows, columns=list(ELEMENTS), index=labels)
    compositions = np.empty(len(texts), dtype=object)
    compositions[:] = [Composition(text) for text in texts]
    mixed = [Composition(text) if i % 2 else text for i, text in enumerate(texts)]
    return {
        "list": lambda: list(texts),
        "tuple": lambda: tuple(texts),
        "iterator": lambda: iter(texts),
        "generator": lambda: (text for text in texts),
        "chain": lambda: chain(texts[:1], texts[1:]),
        "dict values": lambda: dict(enumerate(texts)).values(),
        "one-element lists": lambda: [[text] for text in texts],
        "one-element arrays": lambda: [np.array([text], dtype=object) for text in texts],
        "array of str": lambda: np.array(texts),
        "array of objects": lambda: np.array(texts, dtype=object),
        "column of an array": lambda: np.array(texts)[:, None],
        "array without masked entries": lambda: np.ma.array(texts),
        "Index": lambda: pd.Index(texts),
        "Series": lambda: pd.Series(texts, index=labels),
        "Series with equal labels": lambda: pd.Series(texts, index=[7] * len(texts)),
        "Series of pandas strings": lambda: pd.Series(texts, dtype="string"),
        "Series of categories": lambda: pd.Series(texts, dtype="category"),
        "DataFrame of one column": lambda: pd.DataFrame({"x": texts}, index=labels),
        "Composition objects": lambda: compositions.tolist(),
        "array of Composition objects": lambda: compositions,
        "formulas and Composition objects": lambda: pd.Series(mixed, index=labels),
        "amounts": lambda: rows,
        "amounts as lists": lambda: rows.tolist(),
        "amounts row by row": lambda: iter(rows),
        "table of amounts": lambda: table,
        "table in another order": lambda: table[list(ELEMENTS[::-1])],
        "table of nullable numbers": lambda: table.astype("Float64"),
        "list with counts": lambda: Carries(["not read again"] * len(texts), rows),
    }
