"""The study's data sets: curated, reduced, split."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from matgan.chemistry.composition import (
    MAX_COUNT,
    amounts_matrix,
    formulas,
    reduced,
    reduced_counts,
    whole_counts,
)
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.data.sources import SourceCorrupt, SourceUnavailable, read_csv, sources, wheel_table
from matgan.data.splits import compositions, random_parts
from matgan.data.training_set import TrainingData

__all__ = [
    "PUBLISHED_MODELS",
    "SUPERCON_SUBSETS",
    "SourceCorrupt",
    "SourceUnavailable",
    "curate_oqmd",
    "load_matbench_gap_folds",
    "load_mp_compositions",
    "load_mp_gap",
    "load_mp_stability",
    "load_oqmd",
    "load_supercon",
    "one_element_apart",
    "read_oqmd",
    "sources",
    "superconductor_family",
    "training_data",
]

# --- OQMD ---------------------------------------------------------------------------------------


def read_oqmd() -> pd.DataFrame:
    """The OQMD formation energies as published, not curated.

    Returns
    -------
    DataFrame of 341,700 rows: formula, target (formation energy, eV/atom), part (the published
    split: "train", "val" or "test").
    """
    parts = ("train", "val", "test")
    tables = [wheel_table(f"benchmark_data/OQMD_Formation_Enthalpy/{p}") for p in parts]
    return pd.concat(
        [table.assign(part=part) for table, part in zip(tables, parts, strict=True)],
        ignore_index=True,
    )


def curate_oqmd(
    raw: pd.DataFrame, max_count: int = MAX_COUNT, n_sigma: float = 5.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curation of the OQMD compounds (Hu et al. 2020).

    Parameters
    ----------
    raw : DataFrame with formula, target (eV/atom) and any further columns
    max_count : largest amount of an element in the reduced formula
    n_sigma : formation energies further than this many standard deviations from the mean go

    Returns
    -------
    compounds : DataFrame, formulas reduced, one row each, in the order of `raw`
    funnel : DataFrame with a row for each step: step, removed, left
    """
    steps = [("as published", 0, len(raw))]

    def keep(table: pd.DataFrame, mask: np.ndarray, step: str) -> pd.DataFrame:
        kept = table[mask]
        steps.append((step, len(table) - len(kept), len(kept)))
        return kept

    amounts, bad = amounts_matrix(raw["formula"], on_error="drop", report=True)
    good = np.ones(len(raw), dtype=bool)
    good[bad["row"].to_numpy(dtype=int)] = False
    table = keep(raw.reset_index(drop=True), good, "not a composition of the 85 elements")
    counts = reduced(amounts)
    table = table.assign(formula=formulas(counts), at=np.arange(len(table)))
    best = table.sort_values("target", kind="stable").drop_duplicates("formula").index
    table = keep(table, table.index.isin(best), "not the lowest energy of its formula")
    table = keep(table, (counts[table["at"]] > 0).sum(1) > 1, "a single element")
    deviation = (table["target"] - table["target"].mean()).abs()
    within = deviation <= n_sigma * table["target"].std()
    table = keep(table, within, f"formation energy beyond {n_sigma:g} σ")
    small = counts[table["at"]].max(1) <= max_count
    table = keep(table, small, f"an amount above {max_count} in the reduced formula")
    funnel = pd.DataFrame(steps, columns=["step", "removed", "left"])
    return table.drop(columns="at").reset_index(drop=True), funnel


def load_oqmd(split: str = "random", seed: int = 0, test_fraction: float = 0.1) -> pd.DataFrame:
    """Curated OQMD compounds with formation energies.

    Parameters
    ----------
    split : {"random", "crabnet"}
        A random split by seed, as in the paper, or the published fixed one (train, val, test).
    seed : of the random split
    test_fraction : share of the random test part (the paper: 10%)

    Returns
    -------
    DataFrame of 335,833 rows: formula (reduced), target (formation energy, eV/atom), split.

    Raises
    ------
    ValueError
        Unknown split, or a test_fraction that is no share.
    """
    if split not in ("random", "crabnet"):
        raise ValueError(f"split must be 'random' or 'crabnet', not {split!r}")
    table, _ = curate_oqmd(read_oqmd())
    parts = table["part"] if split == "crabnet" else random_parts(len(table), test_fraction, seed)
    return table[["formula", "target"]].assign(split=parts)


def one_element_apart(compounds: Iterable, others: Iterable) -> np.ndarray:
    """Which compositions become one of the others when a single element is replaced.

    Parameters
    ----------
    compounds : n compositions of whole amounts, as `amounts_matrix` takes them
    others : m of them

    Returns
    -------
    (n,) bool array
        True where some other composition has the same amounts of all elements but one, and a
        different element with the amount of that one.
    """
    counts, others = (reduced_counts(some) for some in (compounds, others))
    known: dict[bytes, set[int]] = {}  # a composition without one element -> the elements there
    for rest, element in _without_each_element(others):
        known.setdefault(rest, set()).add(element)
    found = np.zeros(len(counts), dtype=bool)
    rows = np.repeat(np.arange(len(counts)), np.count_nonzero(counts, axis=1))
    for row, (rest, element) in zip(rows, _without_each_element(counts), strict=True):
        found[row] |= not known.get(rest, {element}) <= {element}
    return found


def _without_each_element(counts: np.ndarray):
    """(key of the other elements and the amount of this one, this element), row by row."""
    rows, elements = np.nonzero(counts)
    left = counts[rows]
    amounts = left[np.arange(len(rows)), elements]
    left[np.arange(len(rows)), elements] = 0
    keys = np.column_stack([left, amounts])
    return ((key.tobytes(), element) for key, element in zip(keys, elements.tolist(), strict=True))


# of formation energies, and of distances to the hull learned directly: `load_mp_stability`
PUBLISHED_MODELS = {
    "Ef": ("ElFrac", "Meredig", "Magpie", "AutoMat", "ElemNet", "Roost", "CGCNN"),
    "Ed": ("AutoMat", "ElemNet", "Roost"),
}

# --- Materials Project --------------------------------------------------------------------------


def load_mp_gap(
    duplicates: str = "median", seed: int = 0, test_fraction: float = 0.1
) -> pd.DataFrame:
    """Materials Project band gaps (PBE) of non-metals, one row per formula.

    The table has no energies, so the stable polymorph of a formula cannot be picked.

    Parameters
    ----------
    duplicates : {"median", "mean", "min", "max", "drop"}
        The gap of a formula that several non-metallic entries share; "drop" leaves it out.
    seed, test_fraction : of the random split

    Returns
    -------
    DataFrame: formula (reduced), target (band gap in eV, above 0), split.

    Raises
    ------
    ValueError
        Unknown rule for duplicates.
    """
    how = ("median", "mean", "min", "max", "drop")
    if duplicates not in how:
        raise ValueError(f"duplicates must be one of {', '.join(how)}, not {duplicates!r}")
    raw = wheel_table("matbench/mp_gap")
    raw = raw[raw["target"] > 0]
    table = raw.assign(formula=formulas(raw["formula"])).groupby("formula", sort=False)
    if duplicates == "drop":
        out = table["target"].mean()[table.size() == 1].reset_index()
    else:
        out = table["target"].agg(duplicates).reset_index()
    return out.assign(split=random_parts(len(out), test_fraction, seed))


def load_matbench_gap_folds() -> list[pd.DataFrame]:
    """The five folds of Matbench's Materials Project band gaps, metals included.

    One row for each formula of a fold, so that no formula is in two parts of it, as packed for
    CrabNet (Wang et al., npj Comput. Mater. 7, 77, 2021).

    Returns
    -------
    list of five DataFrames: formula (as published), target (gap in eV, 0 for metals), split
    ("train", "val" or "test").
    """
    parts = ("train", "val", "test")
    return [
        pd.concat(
            [wheel_table(f"matbench_cv/mp_gap/{p}{fold}").assign(split=p) for p in parts],
            ignore_index=True,
        )
        for fold in range(5)
    ]


def load_mp_compositions(seed: int = 0, test_fraction: float = 0.1) -> pd.DataFrame:
    """Distinct Materials Project compounds for training a second generator.

    At least two elements, amounts up to 8 in the reduced formula, as for OQMD.

    Returns
    -------
    DataFrame: formula (reduced), target (lowest formation energy of the formula, eV/atom), split.
    """
    table, _ = curate_oqmd(wheel_table("matbench/mp_e_form"), n_sigma=np.inf)
    return table.assign(split=random_parts(len(table), test_fraction, seed))


def training_data(name: str, seed: int = 0) -> TrainingData:
    """What the generators of a data set learn from and what is held out, as notebook 1 has it.

    Parameters
    ----------
    name : "oqmd" or "mp" (Materials Project compositions)
    seed : of the random split; 0 is that of the pretrained weights

    Raises
    ------
    ValueError
        Another name.
    """
    if name not in ("oqmd", "mp"):
        raise ValueError(f"the data sets are oqmd and mp, not {name!r}")
    table = load_oqmd(seed=seed) if name == "oqmd" else load_mp_compositions(seed)
    counts, test = whole_counts(amounts_matrix(table["formula"])), table["split"] == "test"
    return TrainingData(counts[~test], counts[test])


def load_mp_stability() -> pd.DataFrame:
    """Compounds of the Materials Project with published predictions of their energies.

    Bartel et al., npj Comput. Mater. 6, 97 (2020): every prediction is of a compound that the
    model had not learned from.

    Returns
    -------
    DataFrame, 85,014 rows, in eV/atom: formula, split ("train", "val" or "test"), target (the
    formation energy), distance (to the hull of the others), and the predicted formation energies
    of seven models, Ef_ElFrac to Ef_CGCNN (which saw structures), and distances of three that
    learned them directly, Ed_AutoMat, Ed_ElemNet and Ed_Roost.
    """
    models = [f"{kind}_{name}" for kind, names in PUBLISHED_MODELS.items() for name in names]
    numbers = dict.fromkeys(["Ef", "Ed_published", *models], "float")
    table = read_csv("mp_stability", None, {"formula": "str", "part": "str"} | numbers)
    names = {"part": "split", "Ef": "target", "Ed_published": "distance"}
    return table.rename(columns=names)


# --- SuperCon -----------------------------------------------------------------------------------

SUPERCON_SUBSETS = {"all": -np.inf, "tc>0": 0.0, "tc>10": 10.0}

_HEAVY = "D or T, whose Tc is not that of hydrogen"
_PNICTOGENS_CHALCOGENS = [ELEMENT_INDEX[s] for s in ("P", "As", "Sb", "Bi", "S", "Se", "Te")]


def load_supercon(
    subset: str = "tc>0",
    split: str = "random",
    seed: int = 0,
    test_fraction: float = 0.1,
) -> pd.DataFrame:
    """Superconductors with their critical temperature and class.

    Rows whose formula cannot be read (as "Y2C2Br0.5!1.5"), is suspicious, or holds an element
    outside the 85 or a heavy isotope of hydrogen, whose Tc is another one, are left out and listed
    in `.attrs["dropped"]` as (row, formula, reason).

    Parameters
    ----------
    subset : {"tc>0", "tc>10", "all"}
        "all" includes the rows with Tc = 0, which means that none was reported.
    split : {"random", "published"}
        By seed, or the fixed split of the JARVIS leaderboard.
    seed, test_fraction : of the random split

    Returns
    -------
    DataFrame: formula (as published), target (Tc in K), family ("cuprate", "iron-based" or
    "other"), row (0-based in the source), split. A formula may come several times with different
    Tc; the random split keeps all its rows on one side.

    Raises
    ------
    ValueError
        Unknown subset or split.
    SourceUnavailable, SourceCorrupt
        As `matgan.data.sources.fetch`.
    """
    if subset not in SUPERCON_SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(SUPERCON_SUBSETS)}, not {subset!r}")
    if split not in ("random", "published"):
        raise ValueError(f"split must be 'random' or 'published', not {split!r}")
    raw = read_csv("supercon", None, {"name": "str", "Tc": "float"})
    heavy = raw["name"].str.contains("[DT](?![a-z])")
    amounts, bad = amounts_matrix(raw["name"][~heavy], on_error="drop", report=True)
    reasons = pd.Series(
        dict.fromkeys(raw.index[heavy], _HEAVY)
        | dict(zip(bad["index"], bad["reason"], strict=True))
    ).sort_index()
    table = raw.drop(index=reasons.index).rename(columns={"name": "formula", "Tc": "target"})
    table = table.assign(family=superconductor_family(amounts), row=table.index)
    composition = compositions(amounts)
    wanted = (table["target"] > SUPERCON_SUBSETS[subset]).to_numpy()
    table, composition = table[wanted], pd.factorize(composition[wanted])[0]
    if split == "published":
        published = read_csv("supercon_split", None, {"row": "int", "part": "str"})
        parts = published.set_index("row")["part"]
        table = table.assign(split=parts[table["row"]].to_numpy())
    else:
        groups = random_parts(composition.max() + 1, test_fraction, seed)
        table = table.assign(split=groups[composition])
    table = table.reset_index(drop=True)
    names = raw["name"][reasons.index]
    table.attrs["dropped"] = list(zip(reasons.index, names, reasons, strict=True))
    return table


def superconductor_family(compounds: Iterable) -> np.ndarray:
    """Family of each superconductor, by its elements.

    "iron-based": iron with a pnictogen (P, As, Sb, Bi) or a chalcogen other than oxygen (S, Se,
    Te); "cuprate": copper and oxygen; "other". Where both rules hold (iron pnictides doped with
    copper, cuprates doped with iron) the more plentiful of iron and copper decides.

    Parameters
    ----------
    compounds : n compositions, as `amounts_matrix` takes them

    Returns
    -------
    (n,) array of str
    """
    amounts = amounts_matrix(compounds)
    iron, copper, oxygen = (amounts[:, ELEMENT_INDEX[s]] for s in ("Fe", "Cu", "O"))
    iron_based = (iron > 0) & (amounts[:, _PNICTOGENS_CHALCOGENS] > 0).any(1)
    cuprate = (copper > 0) & (oxygen > 0)
    iron_based &= ~cuprate | (iron > copper)
    return np.select([iron_based, cuprate], ["iron-based", "cuprate"], "other")
