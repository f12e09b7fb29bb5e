"""Feature sets of compositions as scikit-learn transformers: one-hot, Magpie, pooled tables.

Each takes n compositions in any form that `matgan.chemistry.composition.amounts_matrix` takes,
fractional amounts included, and gives an (n, d) matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from matgan.chemistry.composition import fractions
from matgan.chemistry.elements import ATOMIC_NUMBER, ELEMENT_INDEX, ELEMENTS, N_ELEMENTS
from matgan.chemistry.inputs import Compositions
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

_PART = 50_000  # compositions read at a time
_CHUNK_NUMBERS = 2**18  # features computed at a time: temporary arrays stay in the cache


class _CompositionFeatures(TransformerMixin, BaseEstimator):
    """What the transformers share: reading compositions, chunks, rows that are left out."""

    on_error: str
    suspicious: str
    dtype: Any
    _columns_of: Mapping[str, int] = ELEMENT_INDEX  # elements that have features

    def fit(self, X, y=None):
        """Check the parameters. X holds compositions; they are read by `transform` only.

        An iterator is left alone, so that `fit_transform` reads it once.
        """
        if not isinstance(X, Iterator):
            given = Compositions(X, self.on_error, self.suspicious)
            self.n_features_in_ = 1 if given.amounts is None else N_ELEMENTS
        else:
            self.n_features_in_ = 1
        if self.on_error == "nan" and np.dtype(self.dtype).kind != "f":
            raise ValueError(f"on_error='nan' needs a dtype with NaN, not {np.dtype(self.dtype)}")
        self._prepare()
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X) -> np.ndarray:
        """Features of n compositions: (n, d) array of `dtype`, one row for each, in order.

        With on_error="nan" or "drop" the attribute `refused_` says afterwards which rows were no
        compositions: a DataFrame with the columns row, index, formula and reason.

        Raises
        ------
        CompositionError
            With on_error="raise": the first row that is no composition of the 85 elements (for
            element tables: of those that the table has, too), or has no such features; its formula
            and the reason.
        """
        check_is_fitted(self)
        given = Compositions(X, self.on_error, self.suspicious, self._columns_of)
        width = len(self.get_feature_names_out())
        out = np.empty((len(given), width), dtype=self.dtype)
        wide = out.dtype if out.dtype in (np.float32, np.float64) else np.dtype(float)
        step = max(1, _CHUNK_NUMBERS // width)
        for rows, amounts in given.parts(_PART):
            if not amounts[:, N_ELEMENTS:].any():  # as nearly always
                amounts = amounts[:, :N_ELEMENTS]
            if bad := self._without_features(amounts):
                given.refuse((rows[i], None, reason) for i, reason in bad)
                rows, amounts = rows[given.good[rows]], amounts[given.good[rows]]
            for start in range(0, len(rows), step):
                chunk = slice(start, start + step)
                values = self._features(amounts[chunk].astype(float, copy=False), wide)
                if wide == out.dtype:
                    out[rows[chunk]] = values
                else:
                    out[rows[chunk]], bad = self._narrowed(values, out.dtype)
                    given.refuse((rows[chunk][i], None, reason) for i, reason in bad)
        self.refused_ = given.report()
        out = given.finish(out)
        if len(out) == len(given) or given.index is None:
            return out
        if _get_output_config("transform", self)["dense"] == "pandas":
            index = given.index[given.good]  # scikit-learn would take the index of all rows
            return pd.DataFrame(out, index=index, columns=self.get_feature_names_out())
        return out

    def _prepare(self) -> None:
        """What `fit` has to do. Nothing, where no table is to be looked up."""

    def _without_features(self, amounts: np.ndarray) -> list[tuple[int, str]]:
        """Rows of the amounts that have no such features, each with the reason."""
        return []

    def _narrowed(self, values: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, Iterable]:
        """Features in an integer or half-precision dtype, and the rows that it cannot hold."""
        with np.errstate(all="ignore"):
            out = (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)
        lost = np.isinf(out) if dtype.kind == "f" else ~np.isclose(out, values, rtol=1e-9, atol=0)
        bad = []
        for i in np.flatnonzero(lost.any(axis=1)).tolist():
            column = int(lost[i].argmax())
            name = self.get_feature_names_out()[column]
            bad.append((i, f"{dtype} cannot hold {name} = {values[i, column]:.15g}"))
        return out, bad

    def __sklearn_is_fitted__(self) -> bool:
        return True  # stateless: nothing is learned from the data

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


class OneHot(_CompositionFeatures):
    """Amount of each of the 85 elements: the one-hot matrix of Figure 1, summed over its counts.

    Equation 5 (C = Σ n_e T_e) is a linear map of these columns.

    Parameters
    ----------
    fractions : bool
        Atomic fractions, which sum to 1, in place of the amounts as written.
    dtype : numpy dtype of the output
        A composition with an amount that it cannot hold (0.4 or 300 as uint8) is refused.
    on_error : {"raise", "nan", "drop"}
        What to do with a row that is refused: stop with an error, fill its row with NaN, or leave
        it out. See `refused_`.
    suspicious : {"raise", "warn", "allow"}
        Whether a formula that hardly means what it says ("Sr04") is refused, read with a warning,
        or read.

    Notes
    -----
    `transform` gives (n, 85); the columns are named by element.
    """

    def __init__(
        self,
        fractions: bool = False,
        dtype=np.float64,
        on_error: str = "raise",
        suspicious: str = "raise",
    ):
        self.fractions = fractions
        self.dtype = dtype
        self.on_error = on_error
        self.suspicious = suspicious

    def _features(self, amounts: np.ndarray, dtype: np.dtype) -> np.ndarray:
        return fractions(amounts) if self.fractions else amounts

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


class Magpie(_CompositionFeatures):
    """Magpie's 132 features: six statistics of 22 element properties (Hu et al. 2020, Table 1).

    Minimum, maximum, range, mean, average absolute deviation from the mean, and mode (the value of
    the most plentiful element, the smallest one on a tie); mean and deviation are weighted by
    atomic fraction. Columns are named as matminer names them, "MagpieData minimum Number", and
    come in its order.

    Equal to matminer 0.10.1's `ElementProperty.from_preset("magpie")`, with `impute_nan` either
    way, for every composition of the 85 elements up to rounding (relative 1e-9), since the two
    element tables agree on them: see `magpie_table`, which has He, Ne, Ar, Kr, Po, At, Rn, Fr, Ra,
    Am, Cm and Bk too: formulas may hold them. `benchmarks/bench_magpie.py` measures the speed.

    Parameters
    ----------
    dtype : numpy dtype of the output; float32 halves the 354 MB of 335,000 formulas
    on_error, suspicious :
        As for `OneHot`.
    """

    def __init__(self, dtype=np.float64, on_error: str = "raise", suspicious: str = "raise"):
        self.dtype = dtype
        self.on_error = on_error
        self.suspicious = suspicious

    @property
    def _columns_of(self) -> Mapping[str, int]:  # type: ignore[override]
        return _with_others(magpie_table())

    def _features(self, amounts: np.ndarray, dtype: np.dtype) -> np.ndarray:
        # (n, 22 × 6)
        return element_statistics(
            amounts, _magpie_values()[: amounts.shape[1]], tuple(MAGPIE_STATISTICS.values()), dtype
        ).reshape(len(amounts), -1)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """(132,) array of names such as "MagpieData minimum Number"."""
        properties = magpie_table().columns
        names = [f"MagpieData {s} {p}" for p in properties for s in MAGPIE_STATISTICS]
        return np.array(names, dtype=object)


@lru_cache(maxsize=1)
def _magpie_values() -> np.ndarray:
    return magpie_table().loc[list(_with_others(magpie_table()))].to_numpy()


def _with_others(table: pd.DataFrame) -> dict[str, int]:
    """symbol -> column of the 85 elements, then of the others that a table has, by number."""
    others = [s for s in ATOMIC_NUMBER if s not in ELEMENT_INDEX and s in table.index]
    return ELEMENT_INDEX | {symbol: N_ELEMENTS + i for i, symbol in enumerate(others)}


# --- any element table --------------------------------------------------------------------------


class PooledEmbedding(_CompositionFeatures):
    """A composition's vector from the vectors of its elements.

    Parameters
    ----------
    table : str, DataFrame or (85, d) array
        A name of `list_embeddings()`; elements by dimensions; or T in the order of
        `matgan.ELEMENTS`. Formulas may hold elements outside the 85 that a DataFrame has.
    pool : str or list of str
        "sum": C = Σ n_e T_e with the amounts n_e as written (Hu et al. 2020, Equation 5); "mean",
        "var", "std" or "avg_dev": weighted by atomic fraction; "min", "max", "range" or "mode":
        see `representation.pooling`. Several, as ["sum", "mean"] or "sum+mean", stand side by side.
    missing : {"error", "mean"}
        An element that the table lacks, or of which it has only some numbers, raises an error when
        a formula holds it; or each missing number is replaced by its column's mean over those of
        the 85 elements that have it.
    dtype : numpy dtype of the output
    on_error, suspicious :
        As for `OneHot`; a row with an element that the table lacks is refused like one that is no
        composition.

    Attributes
    ----------
    table_ : (85 + m, d) array, NaN where the table has no number (missing="error"); the m rows of
        other elements come last, by atomic number
    missing_ : tuple of the elements among the 85 whose row is absent or incomplete
    """

    def __init__(
        self,
        table,
        pool: str | Sequence[str] = "sum",
        missing: str = "error",
        dtype=np.float64,
        on_error: str = "raise",
        suspicious: str = "raise",
    ):
        self.table = table
        self.pool = pool
        self.missing = missing
        self.dtype = dtype
        self.on_error = on_error
        self.suspicious = suspicious

    def _pools(self) -> tuple[str, ...]:
        names = self.pool.split("+") if isinstance(self.pool, str) else self.pool
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            names = tuple(name.strip() for name in names)
            if names and set(names) <= set(STATISTICS) and len(set(names)) == len(names):
                return names
        raise ValueError(
            f"pool must be one or several of {', '.join(STATISTICS)}, each once, "
            f"as 'sum+mean' or ['sum', 'mean'], not {self.pool!r}"
        )

    def _prepare(self):
        self._pools()
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
        self._columns_of = _with_others(table)
        if len(odd := table.columns[[t.kind not in "biuf" for t in table.dtypes]]):
            raise ValueError(f"table {self._name!r} has no numbers in column {odd[0]!r}")
        table = table.reindex(list(self._columns_of)).astype(float)
        if not table.shape[1]:
            raise ValueError(f"table {self._name!r} has no columns")
        if len(infinite := table.index[np.isinf(table).any(axis=1)]):
            raise ValueError(f"table {self._name!r} has an infinite number for {infinite[0]}")
        incomplete = table.iloc[:N_ELEMENTS].isna().any(axis=1)
        if incomplete.all():
            raise ValueError(
                f"table {self._name!r} has a complete row for none of the 85 elements; "
                "its index must be their symbols"
            )
        self.missing_ = tuple(incomplete.index[incomplete])
        if self.missing == "mean":
            table = table.fillna(table.iloc[:N_ELEMENTS].mean())
        self.table_ = table.to_numpy()
        self._columns = [str(column) for column in table.columns]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "table_")

    def _without_features(self, amounts: np.ndarray) -> list[tuple[int, str]]:
        gaps = np.isnan(self.table_[: amounts.shape[1]])
        lacking = (amounts > 0) & gaps.any(axis=1)
        bad = []
        for row in np.flatnonzero(lacking.any(axis=1)).tolist():
            element = int(lacking[row].argmax())
            has = "no row" if gaps[element].all() else "an incomplete row"
            reason = (
                f"table {self._name!r} has {has} for {list(self._columns_of)[element]} "
                '(missing="mean" would fill it with the mean over the other elements)'
            )
            bad.append((row, reason))
        return bad

    def _features(self, amounts: np.ndarray, dtype: np.dtype) -> np.ndarray:
        # rows of a table with gaps are NaN only where no formula here has the element
        table = self.table_[: amounts.shape[1]]
        pooled = element_statistics(amounts, table, self._pools(), dtype)
        return pooled.reshape(len(amounts), -1)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names such as "mat2vec sum 17": table, pool, column."""
        check_is_fitted(self)
        names = [
            f"{self._name} {pool} {column}" for column in self._columns for pool in self._pools()
        ]
        return np.array(names, dtype=object)
