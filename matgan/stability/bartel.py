"""The test of Bartel et al. (npj Comput. Mater. 6, 97, 2020): which compounds are stable.

85,014 compounds of the Materials Project, each predicted by a model that learned from the other
four fifths. The predicted energies make a hull of their own, and the distances to it are compared
with the calculated ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from matgan.data.compounds import load_mp_stability
from matgan.data.splits import Split, random_generator
from matgan.stability.hull import Hull
from matgan.stability.quality import stability_scores

FOLDS = 5
# What is printed: the models that learned energies in Figures 2 to 4, CGCNN in a figure of its own
# (Fig7.png of github.com/CJBartel/TestStabilityML, commit 4559c918), two digits each; those that
# learned distances in that repository's ml_data/Ed/allMP/*/ml_results.json. Energies in eV/atom.
_PRINTED = """
learned   model    mae_energy  mae     f1     false_positives  where
energy    ElFrac   0.23        0.14    0.50   0.38             Figures 2-4
energy    Meredig  0.17        0.14    0.55   0.38             Figures 2-4
energy    Magpie   0.13        0.12    0.57   0.35             Figures 2-4
energy    AutoMat  0.12        0.13    0.54   0.25             Figures 2-4
energy    ElemNet  0.10        0.10    0.60   0.37             Figures 2-4
energy    Roost    0.06        0.06    0.72   0.25             Figures 2-4
energy    CGCNN    0.03        0.04    0.75   0.17             Fig7.png
distance  AutoMat  nan         0.0844  0.644  0.154            ml_results.json
distance  ElemNet  nan         0.0755  0.694  0.212            ml_results.json
distance  Roost    nan         0.0694  0.725  0.184            ml_results.json
"""


def printed_scores() -> pd.DataFrame:
    """What the authors report: a row for each of ten models.

    Returns
    -------
    DataFrame: learned ("energy" or "distance", what the model was taught), model, mae_energy and
    mae (of the distance) in eV/atom, f1, false_positives, where (it is printed)
    """
    rows = [line.split(maxsplit=6) for line in _PRINTED.strip().splitlines()]
    table = pd.DataFrame(rows[1:], columns=rows[0])
    numbers = ["mae_energy", "mae", "f1", "false_positives"]
    return table.assign(**table[numbers].astype(float))


def own_hull_scores(
    compositions: Iterable, distance: np.ndarray, energies: np.ndarray
) -> dict[str, float]:
    """Scores of predicted formation energies by the hull that they make themselves.

    Parameters
    ----------
    compositions : n, all of the data set, in any form that `matgan.amounts_matrix` takes
    distance : (n,) calculated ones to the hull of the others, eV/atom
    energies : (n,) predicted, each by a model that did not learn the compound
    """
    return stability_scores(distance, Hull(compositions, energies).own_distances())


def published_scores(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Scores of the authors' own predictions, computed here: a row for each of `printed_scores`.

    Parameters
    ----------
    table : of `matgan.data.compounds.load_mp_stability`; None: it is read

    Returns
    -------
    DataFrame: learned, model, mae_energy and those of `stability_scores`
    """
    table = load_mp_stability() if table is None else table
    distance, rows = table["distance"].to_numpy(), []
    for learned, model in printed_scores()[["learned", "model"]].itertuples(index=False):
        row: dict[str, object] = {"learned": learned, "model": model}
        if learned == "energy":
            energies = table[f"Ef_{model}"].to_numpy()
            row["mae_energy"] = float(np.abs(energies - table["target"]).mean())
            rows.append(row | own_hull_scores(table["formula"], distance, energies))
        else:
            rows.append(row | stability_scores(distance, table[f"Ed_{model}"].to_numpy()))
    return pd.DataFrame(rows)


def folds(n: int, seed: int = 0, validation: float = 0.1) -> Iterator[Split]:
    """Five splits of n rows: each row is in the test part of one of them.

    Parameters
    ----------
    n : rows
    seed : of the order; the authors do not give theirs
    validation : share of the rows that are not tested, for those who stop by it
    """
    order = random_generator(seed, FOLDS).permutation(n)
    for test in np.array_split(order, FOLDS):
        rest = order[~np.isin(order, test)]
        held = round(validation * len(rest))
        yield Split(rest[held:], rest[:held], test)
