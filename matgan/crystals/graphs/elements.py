"""The 92 numbers by which CGCNN knows an element: nine properties, each cut into intervals.

Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018), supplement, Table S2: of each property an
element has a 1 in the interval that its value falls into and 0 in the others; a value that is not
known gives zeros. Values: pymatgen's periodic table; covalent radii of Cordero et al., Dalton
Trans. 2008, 2832. The authors' values are others here and there: of the 100 elements of their file
89% of the intervals are these (all groups, periods, blocks and ionization energies).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

ELEMENT_FEATURES = 92
# property -> first and last end of ten intervals; logarithms of eV and cm³/mol as in the paper
_INTERVALS = {
    "electronegativity": (0.5, 4.0),
    "covalent_radius": (25.0, 250.0),  # pm
    "log_ionization": (1.3, 3.3),
    "affinity": (-3.0, 3.7),  # eV
    "log_volume": (1.5, 4.3),
}
_NOBLE = (2, 10, 18, 36, 54, 86, 118)  # the atomic number that ends each period


@lru_cache(maxsize=1)
def element_properties() -> pd.DataFrame:
    """Properties of the elements up to lawrencium.

    Returns
    -------
    DataFrame, index number (1 to 103): element; group (1 to 18, 0: a lanthanide or an actinide);
    period; block; valence (electrons outside of filled shells, f electrons not counted);
    electronegativity (Pauling); covalent_radius (pm); ionization and affinity (eV); volume
    (cm³/mol). NaN: not known.
    """
    table = pd.read_csv(Path(__file__).with_name("elements.csv"), index_col="number")
    places = [_place(z) for z in table.index]
    columns = ["group", "period", "block", "valence"]
    return table.join(pd.DataFrame(places, table.index, columns))


@lru_cache(maxsize=1)
def element_features() -> np.ndarray:
    """(104, 92) float32 array of zeros and ones, row Z for the atomic number; row 0 is empty.

    In this order: group (19, the first for f elements), period (7), electronegativity (10),
    covalent radius (10), valence electrons (12), logarithm of the first ionization energy (10),
    electron affinity (10), block (4), logarithm of the atomic volume (10).
    """
    table = element_properties()
    logs = {f"log_{name}": np.log(table[name]) for name in ("ionization", "volume")}
    table = table.assign(**logs)
    blocks = table["block"].map("spdf".index).to_numpy()
    columns = [
        _one_hot(table["group"].to_numpy(), 19),
        _one_hot(table["period"].to_numpy() - 1, 7),
        _intervals(table, "electronegativity"),
        _intervals(table, "covalent_radius"),
        _one_hot(table["valence"].to_numpy() - 1, 12),
        _intervals(table, "log_ionization"),
        _intervals(table, "affinity"),
        _one_hot(blocks, 4),
        _intervals(table, "log_volume"),
    ]
    features = np.zeros((table.index.max() + 1, ELEMENT_FEATURES), dtype=np.float32)
    features[table.index] = np.concatenate(columns, axis=1)
    return features


def _place(z: int) -> tuple[int, int, str, int]:
    """Group, period, block and valence electrons of an atomic number."""
    period = next(i for i, last in enumerate(_NOBLE) if z <= last)
    past = z - (_NOBLE[period - 1] if period else 0)  # electrons outside of the noble gas
    before_end = _NOBLE[period] - z
    if z == 2:
        return 18, 1, "s", 2
    if past <= 2:
        return past, period + 1, "s", past
    if before_end <= 5:
        return 18 - before_end, period + 1, "p", 8 - before_end
    if period >= 5 and past <= 16:  # lanthanum to ytterbium, actinium to nobelium
        return 0, period + 1, "f", 2
    group = 12 - (before_end - 6)
    return group, period + 1, "d", group


def _one_hot(places: np.ndarray, n: int) -> np.ndarray:
    return np.arange(n) == places[:, None]


def _intervals(table: pd.DataFrame, name: str) -> np.ndarray:
    values, (low, high) = table[name].to_numpy(float), _INTERVALS[name]
    known = np.isfinite(values)
    places = np.full(len(values), -1)
    places[known] = np.clip((values[known] - low) / (high - low) * 10, 0, 9)
    return _one_hot(places, 10)
