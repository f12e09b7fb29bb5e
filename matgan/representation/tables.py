"""Element tables: published ones, those of this study, and random ones as controls."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open

from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS
from matgan.data.sources import WHEEL_DATA, SourceCorrupt, fetch
from matgan.data.splits import random_generator
from matgan.files import PRETRAINED


@dataclass(frozen=True)
class PublishedTable:
    """An element table of the crabnet wheel. `elements`: complete rows among the study's 85."""

    file: str
    dims: int
    elements: int
    citation: str


_PACKED = "as packed by Wang et al., npj Comput. Mater. 7, 77 (2021)"

PUBLISHED = {
    "mat2vec": PublishedTable(
        "mat2vec", 200, 85, "Tshitoyan et al., Nature 571, 95 (2019): words of abstracts"
    ),
    "skipatom": PublishedTable(
        "skipatom_20201009_induced",
        200,
        85,
        "Antunes, Grau-Crespo and Butler, npj Comput. Mater. 8, 44 (2022): neighbours in crystals",
    ),
    "oliynyk": PublishedTable(
        "oliynyk", 44, 75, "Oliynyk et al., Chem. Mater. 28, 7324 (2016): element properties"
    ),
    "jarvis": PublishedTable(
        "jarvis",
        438,
        78,
        "Choudhary, DeCost and Tavazza, Phys. Rev. Mater. 2, 083801 (2018): chemical descriptors",
    ),
    "magpie": PublishedTable(
        "magpie", 22, 85, "Ward et al., npj Comput. Mater. 2, 16028 (2016): element properties"
    ),
    "onehot": PublishedTable("onehot", 118, 85, f"unit vectors by atomic number, {_PACKED}"),
    "random_200": PublishedTable(
        "random_200", 200, 83, f"random numbers, {_PACKED}; one row 'GaGe' for Ga and Ge"
    ),
}


def list_embeddings() -> pd.DataFrame:
    """Element tables that `load_embedding` knows by name.

    Returns
    -------
    DataFrame: name, dims (columns), elements (complete rows among the study's 85), citation.
    Published tables first, then the trained ones of this study. Needs no source file.
    """
    rows = [(name, t.dims, t.elements, t.citation) for name, t in PUBLISHED.items()]
    for path in sorted(PRETRAINED.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            # a file may hold weights only, or a critic without T
            dims = file.get_slice("T").get_shape()[1] if "T" in file.keys() else 0  # noqa: SIM118
            if dims:
                about = (file.metadata() or {}).get("citation", "trained in this study")
                rows.append((path.stem, dims, N_ELEMENTS, about))
    return pd.DataFrame(rows, columns=["name", "dims", "elements", "citation"])


def load_embedding(name: str) -> pd.DataFrame:
    """An element table by name.

    Parameters
    ----------
    name : str
        A name of `list_embeddings()`, for example "mat2vec" or "wgan-oqmd".

    Returns
    -------
    DataFrame, index `element` (symbols), one column for each dimension, float64
        A published table has the rows of its file in the file's order, which may include elements
        outside the 85, lack some of them, or have gaps (NaN); a trained one has the 85 by atomic
        number. `.attrs` holds name and citation. `to_csv` writes the format of custom tables that
        other packages read (first column `element`).

    Raises
    ------
    ValueError
        Unknown name; lists those that exist. Or trained weights whose critic has no T.
    SourceUnavailable
        A published table, and the file that holds it cannot be had.
    SourceCorrupt
        The file has not the expected content.
    """
    path = PRETRAINED / f"{name}.safetensors"
    if name in PUBLISHED:
        table, citation = _read_published(PUBLISHED[name]), PUBLISHED[name].citation
    elif path.parent == PRETRAINED and path.is_file():
        table, citation = _read_trained(path)
    else:
        known = ", ".join(list_embeddings()["name"])
        raise ValueError(f"unknown embedding {name!r}; there are {known}")
    table.attrs.update(name=name, citation=citation)
    return table


def _read_published(published: PublishedTable) -> pd.DataFrame:
    member = f"{WHEEL_DATA}element_properties/{published.file}.csv"
    with zipfile.ZipFile(fetch("crabnet")) as wheel, wheel.open(member) as file:
        # only an empty cell is a gap: "Na" or "NaN" never is
        table = pd.read_csv(file, index_col=0, keep_default_na=False, na_values=[""])
    table = table.astype(float).rename_axis("element")
    complete = table.reindex(list(ELEMENTS)).notna().all(axis=1).sum()
    if table.shape[1] != published.dims or complete != published.elements:
        raise SourceCorrupt(f"{member} has {table.shape[1]} columns, {complete} of 85 elements")
    return table


def _read_trained(path: Path) -> tuple[pd.DataFrame, str]:
    with safe_open(path, framework="numpy") as file:
        if "T" not in file.keys():  # noqa: SIM118
            raise SourceCorrupt(f"{path.name} holds no tensor 'T'")
        values = file.get_tensor("T").astype(float)
        citation = (file.metadata() or {}).get("citation", "trained in this study")
    if values.ndim == 2 and not values.shape[1]:
        raise ValueError(f"{path.name}: its critic has no element table T")
    if values.ndim != 2 or len(values) != N_ELEMENTS or not np.isfinite(values).all():
        raise SourceCorrupt(
            f"{path.name}: T must be finite and ({N_ELEMENTS}, d), not {values.shape}"
        )
    return trained_table(values), citation


def trained_table(T: np.ndarray) -> pd.DataFrame:
    """A matrix T (85, d) as an element table: symbols as index `element`, columns "0" to d - 1."""
    index = pd.Index(ELEMENTS, name="element")
    return pd.DataFrame(np.asarray(T, float), index, [str(i) for i in range(np.shape(T)[1])])


def random_embedding(like: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Random table of the same shape and scale as another: the control for what it learned.

    Parameters
    ----------
    like : DataFrame, elements by dimensions
    seed : int

    Returns
    -------
    DataFrame with the index and columns of `like`
        Independent normal numbers of mean 0, with the root mean square of all of its entries. (For
        a table whose columns differ in unit, such as Oliynyk's, that one scale says little.)

    Raises
    ------
    ValueError
        No DataFrame, or a seed that is no whole number from 0 up.
    """
    if not isinstance(like, pd.DataFrame):
        raise ValueError(f"like must be a DataFrame, such as load_embedding gives, not {like!r}")
    scale = float(np.sqrt(np.nanmean(np.square(like.to_numpy(float)))))
    values = random_generator(seed).normal(0.0, scale, like.shape)
    table = pd.DataFrame(values, like.index, like.columns)
    table.attrs["name"] = f"random like {like.attrs.get('name', 'a table')}, seed {seed}"
    return table


def permuted_embedding(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same rows handed to other elements: the control with a table's own numbers.

    A random table has another effective rank than a trained one; this one has the same singular
    values, only no chemistry.

    Parameters
    ----------
    table : DataFrame, elements by dimensions
    seed : int

    Returns
    -------
    DataFrame with the index and columns of `table`
    """
    order = random_generator(seed).permutation(len(table))
    permuted = pd.DataFrame(table.to_numpy()[order], table.index, table.columns)
    permuted.attrs["name"] = f"{table.attrs.get('name', 'a table')}, rows permuted, seed {seed}"
    return permuted
