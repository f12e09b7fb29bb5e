"""Formulas in any container, read fast."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from matgan.composition import CompositionError, amounts_matrix
from matgan.elements import N_ELEMENTS

_TOKEN = re.compile(r"[A-Z][a-z]?[0-9.]*|\n")  # a term such as Fe2, or a line end


def formula_list(X) -> list:
    """Formulas as a list: from a list, Series, array (n,) or (n, 1), or one-column DataFrame.

    Raises
    ------
    ValueError
        A single string; more than one column.
    """
    if isinstance(X, str):
        raise ValueError(f"expected a sequence of formulas, got the single string {X!r}")
    if isinstance(X, pd.DataFrame):
        X = X.to_numpy(dtype=object)
    shape = np.shape(X) if isinstance(X, np.ndarray) else None
    if shape is not None and len(shape) == 2 and shape[1] == 1:
        X = X[:, 0]
    elif shape is not None and len(shape) != 1:
        raise ValueError(f"expected one column of formulas, got an array of shape {shape}")
    formulas = X.tolist() if isinstance(X, np.ndarray) else list(X)
    if formulas and isinstance(formulas[0], (list, tuple, np.ndarray)):  # [["TiO2"], ["NaCl"]]
        return formula_list(np.array(formulas, dtype=object))
    return formulas


def read_amounts(formulas: list) -> np.ndarray:
    """`amounts_matrix`, several times faster for many formulas without brackets or spaces.

    One search through all of the text; each distinct token ("Fe2") is read once. Whatever looks
    unusual goes to `amounts_matrix` itself, for its result or its error.
    """
    if not formulas or not all(type(formula) is str for formula in formulas):
        return amounts_matrix(formulas)
    text = "\n".join(formulas) + "\n"
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text:
        return amounts_matrix(formulas)
    codes, distinct = pd.factorize(np.array(tokens, dtype=object))
    ends = (distinct == "\n")[codes]
    if ends.sum() != len(formulas) or ends[0] or (ends[1:] & ends[:-1]).any():
        return amounts_matrix(formulas)  # a line end within a formula, or an empty formula
    one_each = np.zeros((len(distinct), N_ELEMENTS))
    try:
        one_each[distinct != "\n"] = amounts_matrix(distinct[distinct != "\n"])
    except CompositionError:
        return amounts_matrix(formulas)  # names the formula, not the token
    rows, codes = np.cumsum(ends)[~ends], codes[~ends]
    out = np.zeros((len(formulas), N_ELEMENTS))
    np.add.at(out, (rows, one_each.argmax(axis=1)[codes]), one_each.max(axis=1)[codes])
    return out
