"""Splits into training, validation and test rows, and the groups that should stay together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from matgan.chemistry.composition import amounts_matrix, fractions
from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS


@dataclass(frozen=True)
class Split:
    """Row numbers of one split, each part in random order."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def limited(self, n: int) -> Split:
        """The same test rows, n of the others; smaller n are subsets of larger ones.

        For learning curves: training and validation rows keep their ratio.
        """
        total = len(self.train) + len(self.validation)
        if not 2 <= n <= total:
            raise ValueError(f"n must be from 2 to {total}, not {n}")
        n_validation = min(max(1, round(n * len(self.validation) / total)), n - 1)
        n_train = min(n - n_validation, len(self.train))
        return replace(self, train=self.train[:n_train], validation=self.validation[: n - n_train])


def random_splits(
    n: int, repeats: int, seed: int = 0, test: float = 0.1, validation: float = 0.1
) -> list[Split]:
    """Random splits of n rows, as in the paper (Hu et al. 2020: 10% to test).

    Parameters
    ----------
    n, repeats : int
    seed : repeat r depends on seed and r only
    test : share of all rows
    validation : share of the rows that are not for testing

    Notes
    -----
    Rows with one formula may fall on both sides: for such data use `grouped_splits` with
    `compositions`.
    """
    return grouped_splits(np.arange(n), repeats, seed, test, validation)


def grouped_splits(
    groups: ArrayLike, repeats: int, seed: int = 0, test: float = 0.1, validation: float = 0.1
) -> list[Split]:
    """Splits that keep groups whole: no group has rows in more than one part.

    Parameters
    ----------
    groups : (n,) labels of any kind, such as `chemical_systems`
    repeats, seed, test, validation : as `random_splits`

    Notes
    -----
    Groups in random order go to the test part until it holds its share of the rows, then to the
    validation part, so that either may exceed its share by less than one group.

    Raises
    ------
    ValueError
        A label is missing, or the groups are too few or too unequal: a part would stay empty.
    """
    for name, share in (("test", test), ("validation", validation)):
        if not 0 < share < 1:
            raise ValueError(f"{name} must lie between 0 and 1, not {share}")
    codes = pd.factorize(np.asarray(groups))[0]
    if not len(codes) or (codes < 0).any():
        raise ValueError("groups must be labels of one row or more, none of them missing")
    sizes = np.bincount(codes)
    splits = []
    for repeat in range(repeats):
        random = random_generator(seed, repeat)
        order = random.permutation(len(sizes))
        before = np.cumsum(sizes[order]) - sizes[order]  # rows in the groups drawn earlier
        n_test = round(test * len(codes))
        n_held = n_test + round(validation * (len(codes) - n_test))
        part_of_group = np.empty(len(sizes), dtype=int)
        part_of_group[order] = np.where(before < n_test, 2, np.where(before < n_held, 1, 0))
        rows = random.permutation(len(codes))
        part = part_of_group[codes[rows]]
        split = Split(*(rows[part == p] for p in (0, 1, 2)))
        if not (len(split.train) and len(split.validation) and len(split.test)):
            raise ValueError(
                f"repeat {repeat} leaves a part empty: {len(sizes)} groups, "
                f"the largest of {sizes.max()} of {len(codes)} rows"
            )
        splits.append(split)
    return splits


def unseen_elements(
    amounts: np.ndarray, folds: int = 10, seed: int = 0, validation: float = 0.1
) -> list[Split]:
    """Splits that test on elements of which no compound is trained on.

    Each element is held out once. A fold tests on the compounds that hold one of its elements or
    more, and trains on all others.

    Parameters
    ----------
    amounts : (n, 85)
    folds : parts of the elements, as equal as can be; elements of no compound belong to none
    seed : of the parts and of the order of the rows
    validation : share of the rows that are not for testing, at random

    Raises
    ------
    ValueError
        Fewer elements than folds, or a fold that leaves a part empty.
    """
    there: np.ndarray = np.asarray(amounts) > 0
    elements = random_generator(seed).permutation(np.flatnonzero(there.any(0)))
    if not 2 <= folds <= len(elements):
        raise ValueError(f"folds must be from 2 to {len(elements)} elements, not {folds}")
    splits = []
    for fold, held in enumerate(np.array_split(elements, folds)):
        rows = random_generator(seed, fold).permutation(len(there))
        tested = there[rows][:, held].any(axis=1)
        test, others = rows[tested], rows[~tested]
        n_validation = round(validation * len(others))
        split = Split(others[n_validation:], others[:n_validation], test)
        if not (len(split.train) and len(split.validation) and len(split.test)):
            raise ValueError(f"fold {fold} of {folds} leaves a part empty")
        splits.append(split)
    return splits


def published_split(parts: Sequence[str], seed: int = 0, validation: float = 0.1) -> Split:
    """A split given row by row as "train", "val" and "test".

    Without "val" rows, that share of the training rows is drawn at random for validation.
    """
    parts = np.asarray(parts)
    if unknown := set(parts.tolist()) - {"train", "val", "test"}:
        raise ValueError(f"parts must be 'train', 'val' or 'test', not {sorted(unknown)[0]!r}")
    random = random_generator(seed)
    train, held, test = (
        random.permutation(np.flatnonzero(parts == p)) for p in ("train", "val", "test")
    )
    if not len(held):
        n = max(1, round(len(train) * validation))
        held, train = train[:n], train[n:]
    return Split(train, held, test)


def random_generator(seed: int, *further: int) -> np.random.Generator:
    """NumPy's generator for a seed of any size, and numbers that tell its draws apart.

    Raises
    ------
    ValueError
        The seed is no whole number from 0 up. None is none: a split must come again.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, not {seed!r}")
    return np.random.default_rng([int(seed), *further] if further else int(seed))


# --- a part for each row --------------------------------------------------------------------------


def random_parts(n: int, test: float = 0.1, seed: int = 0) -> np.ndarray:
    """(n,) array of "train" and "test", the test part drawn at random by seed.

    Parameters
    ----------
    n : number of rows
    test : share of the test part
    seed : of the draw

    Raises
    ------
    ValueError
        `test` does not lie between 0 and 1.
    """
    if not 0 < test < 1:
        raise ValueError(f"the share of the test part must lie between 0 and 1, not {test}")
    parts = np.full(n, "train", dtype=object)
    order = random_generator(seed).permutation(n)
    parts[order[: round(n * test)]] = "test"
    return parts


def grouped_parts(
    groups: ArrayLike,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    largest: float = 1.0,
) -> np.ndarray:
    """(n,) array of "train", "val" and "test" in which equal groups stay together.

    Whole groups in random order fill the parts up to their share of the rows.

    Parameters
    ----------
    groups : (n,) labels of any kind
    shares : of train, val and test
    seed : of the order
    largest : groups with more than this share of all rows come first, into "train": one of them
        could make up most of a small part
    """
    _, group, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = random_generator(seed).permutation(len(sizes))
    order = order[np.argsort(sizes[order] <= largest * len(group), kind="stable")]
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    limits = np.cumsum(shares)[:-1] / sum(shares) * len(group)
    part = np.empty(len(sizes), dtype=int)
    part[order] = np.searchsorted(limits, middle)
    return np.array(["train", "val", "test"], dtype=object)[part[group]]


# --- groups ---------------------------------------------------------------------------------------


# each takes n compositions in any form that `amounts_matrix` takes


def chemical_systems(compounds: Iterable) -> np.ndarray:
    """Chemical system of each of n compositions: (n,) str such as "As-Fe-K"."""
    symbols = np.array(ELEMENTS)
    present = amounts_matrix(compounds) > 0
    return np.array(["-".join(sorted(symbols[row])) for row in present], dtype=object)


def compositions(compounds: Iterable, digits: int = 6) -> np.ndarray:
    """Number of each of n compositions: (n,) int, equal where all atomic fractions are.

    FeO, Fe2O2 and Fe0.5O0.5 get the same number. Fractions are rounded to `digits`.
    """
    whole = np.rint(fractions(compounds) * 10**digits).astype(np.uint64)
    # of a million different rows two get the same 64-bit number with a probability of about 1e-7
    code = np.random.default_rng(0).integers(2**64, size=N_ELEMENTS, dtype=np.uint64)
    return pd.factorize(whole @ code)[0]


def near_duplicate_families(compounds: Iterable, tolerance: float = 0.01) -> np.ndarray:
    """Family of near-duplicates of each of n compositions: (n,) int.

    Two compositions are near-duplicates where no element's atomic fraction differs by more than
    `tolerance`, be the element in both or in one of them: YBa2Cu3O7 and YBa2Cu2.9Zn0.1O7 are
    (0.1 of 13 atoms), La2CuO4 and La1.85Sr0.15CuO4 are not (0.15 of 7). A family is what a chain
    of near-duplicates connects (single linkage), so that a doping series in small steps is one
    family however far its ends are apart.
    """
    shares = fractions(compounds)
    pairs = cKDTree(shares).query_pairs(tolerance + 1e-9, p=np.inf, output_type="ndarray")
    edges = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(shares),) * 2)
    return connected_components(edges, directed=False)[1]


def one_element_swaps(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is left of each composition once one of its elements is taken out.

    Two compositions with a remainder in common become each other when one element is replaced.

    Parameters
    ----------
    counts : (n, 85) whole numbers, all rows different

    Returns
    -------
    rows, remainders : (m,) int arrays, one entry for each element of each composition: the row of
        the composition, and the number of the remainder, which holds the amount that was taken
    """
    rows, elements = np.nonzero(counts)
    taken = counts[rows, elements].astype(np.uint64)
    # each composition as a sum of random 64-bit numbers: two remainders get the same one by chance
    # with a probability of about 1e-7 among a million
    code = np.random.default_rng(0).integers(2**64, size=N_ELEMENTS + 1, dtype=np.uint64)
    part, whole = taken * code[elements], np.zeros(len(counts), dtype=np.uint64)
    np.add.at(whole, rows, part)
    return rows, pd.factorize(whole[rows] - part + taken * code[-1])[0]


def share_of_known_groups(test: np.ndarray, groups: np.ndarray) -> float:
    """Share of the test rows whose group, such as a chemical system, a training row has too.

    Parameters
    ----------
    test : (n,) bool; the other rows are for training
    groups : (n,) of each row, as `chemical_systems` gives them
    """
    codes = pd.factorize(np.asarray(groups))[0]
    return float(np.isin(codes[test], codes[~test]).mean())


def share_one_element_apart(test: np.ndarray, swaps: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of the test compositions that one replaced element turns into a training composition.

    Parameters
    ----------
    test : (n,) bool; the other rows are for training
    swaps : of the n compositions, from `one_element_swaps`
    """
    rows, remainders = swaps
    trained = np.zeros(remainders.max() + 1, dtype=bool)
    trained[remainders[~test[rows]]] = True
    near = np.zeros(len(test), dtype=bool)
    near[rows[trained[remainders]]] = True
    return float(near[test].mean())
