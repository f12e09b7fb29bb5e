"""The data sets of the paper's own authors, as their repository holds them (Hu et al. 2020).

Our larger sets are other snapshots: an error on them is comparable with the paper's in kind, not in
value. These are the very data of its Table 4 and Figure 5b.
"""

from __future__ import annotations

import pandas as pd

from matgan.chemistry.composition import amounts_matrix, formulas, whole_counts
from matgan.data.compounds import load_oqmd
from matgan.data.sources import read_csv
from matgan.data.splits import random_parts
from matgan.data.training_set import TrainingData


def load_paper_oqmd() -> pd.DataFrame:
    """Their OQMD compositions, with the energies that our OQMD has for them.

    Returns
    -------
    DataFrame of 251,368 rows: formula (reduced), target (lowest formation energy of the formula in
    the OQMD of `load_oqmd`, eV/atom; NaN for the 1.4% that it lacks). Their file has no energies.
    """
    table = read_csv("hu2020_oqmd", None, {"formulas": "str"})
    written = formulas(amounts_matrix(table["formulas"]))
    known = load_oqmd().set_index("formula")["target"]
    return pd.DataFrame({"formula": written, "target": known.reindex(written).to_numpy()})


def load_paper_gap() -> pd.DataFrame:
    """Their Materials Project band gaps: 30,186 rows, of which 10,310 repeat a formula.

    Returns
    -------
    DataFrame: formula (as published), target (gap in eV).
    """
    table = read_csv("hu2020_mp_gap", None, {"formulas": "str", "bandgap": "float"})
    return table.rename(columns={"formulas": "formula", "bandgap": "target"})


def load_paper_supercon() -> pd.DataFrame:
    """Their superconductors: 11,471 rows, all above 1 K.

    Returns
    -------
    DataFrame: formula (as published), target (Tc in K).
    """
    table = read_csv("hu2020_supercon", None, {"composition": "str", "Tc": "float"})
    return table.rename(columns={"composition": "formula", "Tc": "target"})


def paper_training_set(seed: int = 0) -> TrainingData:
    """Their OQMD compositions as a WGAN reads them, a tenth drawn at random to test.

    Their counts are at most 5; the test part is ours, since they publish none.
    """
    table = read_csv("hu2020_oqmd", None, {"formulas": "str"})
    counts = whole_counts(amounts_matrix(table["formulas"]))
    parts = random_parts(len(counts), seed=seed)
    return TrainingData(counts[parts == "train"], counts[parts == "test"])
