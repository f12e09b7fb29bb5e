"""Feature sets of formulas as scikit-learn transformers: one-hot, Magpie, pooled element tables.

Each takes a sequence of n formula strings (a list, a Series, an array (n,) or (n, 1), a DataFrame
with one column), fractional amounts included, and gives an (n, d) matrix.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from matgan.chemistry.composition import CompositionError, amounts_matrix
from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS
from matgan.chemistry.parsing import formula_list
from matgan.representation.pooling import STATISTICS, element_statistics
from matgan.representation.tables import list_embeddings, load_embedding, random_embedding

__all__ = [
    "Magpie",
    "OneHot",
    "PooledEmbedding",
    "list_embeddings",
    "load_embedding",
    "magpie_table",
    "random_embedding",
]

_CHUNK_NUMBERS = 2**18  # features computed at a time: temporary arrays stay in the cache


class _FormulaFeatures(TransformerMixin, BaseEstimator):
    """What the transformers share: reading formulas, chunks, names of the columns."""

    def fit(self, X, y=None):
        """Check the parameters. X is a sequence of formulas; they are read by `transform` only."""
        formula_list(X)
        self._prepare()
        self.n_features_in_ = 1
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X) -> np.ndarray:
        """Features of n formulas: (n, d) array of `dtype`.

        Raises
        ------
        CompositionError
            A formula that is no composition of the 85 elements: names it, its row and the reason.
        """
        check_is_fitted(self)
        formulas = formula_list(X)
        amounts = amounts_matrix(formulas)
        self._check(amounts, formulas)
        width = len(self.get_feature_names_out())
        out = np.empty((len(amounts), width), dtype=self.dtype)
        step = max(1, _CHUNK_NUMBERS // width)
        for start in range(0, len(amounts), step):
            out[start : start + step] = self._features(amounts[start : start + step])
        return out

    def _prepare(self) -> None:
        """What `fit` has to do. Nothing, where no table is to be looked up."""

    def _check(self, amounts: np.ndarray, formulas: list) -> None:
        """Raise an error for compositions without features."""

    def __sklearn_is_fitted__(self) -> bool:
        return True  # stateless: nothing is learned from the data

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


class OneHot(_FormulaFeatures):
    """Amount of each of the 85 elements: the one-hot matrix of Figure 1, summed over its counts.

    Equation 5 (C = Σ n_e T_e) is a linear map of these columns.

    Parameters
    ----------
    fractions : bool
        Atomic fractions, which sum to 1, in place of the amounts as written.
    dtype : numpy dtype of the output

    Notes
    -----
    `transform` gives (n, 85); the columns are named by element.
    """

    def __init__(self, fractions: bool = False, dtype=np.float64):
        self.fractions = fractions
        self.dtype = dtype

    def _features(self, amounts: np.ndarray) -> np.ndarray:
        return amounts / amounts.sum(axis=1, keepdims=True) if self.fractions else amounts

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """(85,) array: the element symbols."""
        return np.array(ELEMENTS, dtype=object)


# --- Magpie --------------------------------------------------------------------------------------

# matminer's names and ours
MAGPIE_STATISTICS = {
    "minimum": "min",
    "maximum": "max",
    "range": "range",
    "mean": "mean",
    "avg_dev": "avg_dev",
    "mode": "mode",
}


@lru_cache(maxsize=1)
def magpie_table() -> pd.DataFrame:
    """The 22 Magpie properties (Hu et al. 2020, Table 1) of 97 elements, as SMACT ships them.

    Returns
    -------
    DataFrame, index `element` (H to Bk by atomic number), 22 columns. Masses in u, melting points
    in K, covalent radii in pm, volumes in Å³/atom, band gaps in eV, moments in μB/atom.

    Notes
    -----
    Compared with matminer 0.10.1's `MagpieData`, cell by cell: the 85 elements of this study are
    equal in every property. Ten cells of elements outside the 85 differ, gaps that either package
    fills with its own average: He (MeltingT, Electronegativity), Ne, Ar (Electronegativity), At
    (SpaceGroupNumber), Rn (Electronegativity, SpaceGroupNumber), Fr (MeltingT, SpaceGroupNumber),
    Bk (CovalentRadius). A test repeats the comparison.
    Source: Ward et al., npj Comput. Mater. 2, 16028 (2016).
    """
    smact = find_spec("smact")  # found, not imported
    if smact is None or smact.origin is None:
        raise ModuleNotFoundError("Magpie's table comes with the package smact: install it")
    path = Path(smact.origin).parent / "data" / "magpie.csv"
    table = pd.read_csv(path, index_col="element", na_filter=False)
    return table.astype(float)


class Magpie(_FormulaFeatures):
    """Magpie's 132 features: six statistics of 22 element properties (Hu et al. 2020, Table 1).

    Minimum, maximum, range, mean, average absolute deviation from the mean, and mode (the value of
    the most plentiful element, the smallest one on a tie); mean and deviation are weighted by
    atomic fraction. Columns are named as matminer names them, "MagpieData minimum Number", and
    come in its order.

    Equal to matminer 0.10.1's `ElementProperty.from_preset("magpie")`, with `impute_nan` either
    way, for every composition of the 85 elements up to rounding (relative 1e-9), since the two
    element tables agree on them: see `magpie_table`. `benchmarks/bench_magpie.py` measures
    the speed against it.

    Parameters
    ----------
    dtype : numpy dtype of the output; float32 halves the 354 MB of 335,000 formulas
    """

    def __init__(self, dtype=np.float64):
        self.dtype = dtype

    def _features(self, amounts: np.ndarray) -> np.ndarray:
        # (n, 22 × 6)
        return element_statistics(
            amounts, _magpie_values(), tuple(MAGPIE_STATISTICS.values()), self.dtype
        ).reshape(len(amounts), -1)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """(132,) array of names such as "MagpieData minimum Number"."""
        properties = magpie_table().columns
        names = [f"MagpieData {s} {p}" for p in properties for s in MAGPIE_STATISTICS]
        return np.array(names, dtype=object)


@lru_cache(maxsize=1)
def _magpie_values() -> np.ndarray:
    return magpie_table().loc[list(ELEMENTS)].to_numpy()


# --- any element table --------------------------------------------------------------------------


class PooledEmbedding(_FormulaFeatures):
    """A composition's vector from the vectors of its elements.

    Parameters
    ----------
    table : str, DataFrame or (85, d) array
        A name of `list_embeddings()`; elements by dimensions; or T in the order of
        `matgan.ELEMENTS`. Rows of elements outside the 85 are ignored.
    pool : str
        "sum": C = Σ n_e T_e with the amounts n_e as written (Hu et al. 2020, Equation 5); "mean",
        "var" or "avg_dev": weighted by atomic fraction; "min", "max", "range" or "mode": see
        `representation.pooling`. Several joined by "+", such as "sum+mean", stand side by side.
    missing : {"error", "mean"}
        An element that the table lacks, or of which it has only some numbers, raises an error when
        a formula holds it; or each missing number is replaced by its column's mean over those of
        the 85 elements that have it.
    dtype : numpy dtype of the output

    Attributes
    ----------
    table_ : (85, d) array, NaN where the table has no number (missing="error")
    missing_ : tuple of the elements among the 85 whose row is absent or incomplete
    """

    def __init__(self, table, pool: str = "sum", missing: str = "error", dtype=np.float64):
        self.table = table
        self.pool = pool
        self.missing = missing
        self.dtype = dtype

    def _prepare(self):
        unknown = set(self.pool.split("+")) - set(STATISTICS)
        if unknown:
            raise ValueError(
                f"pool must be some of {', '.join(STATISTICS)} joined by '+', not {self.pool!r}"
            )
        if self.missing not in ("error", "mean"):
            raise ValueError(f"missing must be 'error' or 'mean', not {self.missing!r}")
        table = self.table
        if isinstance(table, str):
            table = load_embedding(table)
        elif isinstance(table, np.ndarray):
            if table.ndim != 2 or len(table) != N_ELEMENTS:
                raise ValueError(f"table must have shape ({N_ELEMENTS}, d), not {table.shape}")
            table = pd.DataFrame(table, index=list(ELEMENTS))
        elif not isinstance(table, pd.DataFrame):
            kind = type(table).__name__
            raise ValueError(f"table must be a name, a DataFrame or an array, not {kind}")
        self._name = table.attrs.get("name", "table")
        if table.index.has_duplicates:
            twice = table.index[table.index.duplicated()][0]
            raise ValueError(f"table {self._name!r} has more than one row for {twice}")
        table = table.reindex(list(ELEMENTS)).astype(float)
        incomplete = table.isna().any(axis=1)
        if incomplete.all():
            raise ValueError(
                f"table {self._name!r} has a complete row for none of the 85 elements; "
                "its index must be their symbols"
            )
        self.missing_ = tuple(table.index[incomplete])
        if self.missing == "mean":
            table = table.fillna(table.mean())
        self.table_ = table.to_numpy()
        self._columns = [str(column) for column in table.columns]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "table_")

    def _check(self, amounts: np.ndarray, formulas: list) -> None:
        gaps = np.isnan(self.table_)
        bad = (amounts > 0) & gaps.any(axis=1)
        if not bad.any():
            return
        row, element = (int(i) for i in np.argwhere(bad)[0])
        has = "no row" if gaps[element].all() else "an incomplete row"
        raise CompositionError(
            f"table {self._name!r} has {has} for {ELEMENTS[element]} "
            '(missing="mean" would fill it with the mean over the other elements)',
            formulas[row],
            row,
        )

    def _features(self, amounts: np.ndarray) -> np.ndarray:
        # rows of a table with gaps are NaN only where no formula here has the element
        pools = tuple(self.pool.split("+"))
        return element_statistics(amounts, self.table_, pools, self.dtype).reshape(len(amounts), -1)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names such as "mat2vec sum 17": table, pool, column."""
        check_is_fitted(self)
        pools = self.pool.split("+")
        names = [f"{self._name} {pool} {column}" for column in self._columns for pool in pools]
        return np.array(names, dtype=object)
