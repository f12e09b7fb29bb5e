"""Which compositions are known, where, and which known ones are nearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from matgan.chemistry.composition import amounts_matrix, formulas, fractions
from matgan.chemistry.elements import N_ELEMENTS
from matgan.data.compounds import load_mp_compositions, load_mp_gap, load_oqmd, load_supercon
from matgan.data.splits import compositions
from matgan.learning.compute import compiled

SAME = 1e-5  # compositions whose distance is smaller are one: float32 keeps seven digits


class KnownCompositions:
    """Compositions of several data sets, searched by the distance between compositions.

    The distance of two compositions with the atomic fractions x and y is ½ Σ |x_e - y_e|: the
    share of the atoms that must be replaced to make one of the other. It is 0 for FeO and Fe2O2
    and 1 without a common element.

    Parameters
    ----------
    tables : the compositions of each data set, by its name, in any form that
        `matgan.chemistry.composition.amounts_matrix` takes

    Attributes
    ----------
    names : of the data sets
    amounts : (m, 85), of the m distinct compositions
    row : (m,) int, where each of them comes first in the tables end to end
    member : (m, data sets) bool, which of them hold it
    """

    def __init__(self, tables: Mapping[str, Iterable]):
        self.names = tuple(tables)
        amounts = [amounts_matrix(table) for table in tables.values()]
        stacked = np.concatenate([np.zeros((0, N_ELEMENTS)), *amounts])
        number = compositions(stacked)
        first = np.unique(number, return_index=True)[1]
        place, order = _places(stacked[first])
        self.row, self.amounts = first[order], stacked[first][order]
        self.member = np.zeros((len(first), len(self.names)), dtype=bool)
        start = 0
        for column, part in enumerate(amounts):
            self.member[place[number[start : start + len(part)]], column] = True
            start += len(part)
        self._dense = np.ascontiguousarray(fractions(self.amounts).astype(np.float32).T)
        elements, rows = np.nonzero(self._dense)
        self._rows, self._shares = rows.astype(np.int32), self._dense[elements, rows]
        self._starts = np.searchsorted(elements, np.arange(N_ELEMENTS + 1))

    def __len__(self) -> int:
        return len(self.member)

    def formulas(self, which: np.ndarray) -> list[str]:
        """Formulas of known compositions by their numbers; "" for -1."""
        texts = np.full(len(which), "", dtype=object)
        texts[which >= 0] = formulas(self.amounts[which[which >= 0]])
        return texts.tolist()

    def nearest(self, asked: Iterable, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest known compositions of each of n.

        Parameters
        ----------
        asked : n compositions, as `amounts_matrix` takes them
        k : 1 or more

        Returns
        -------
        which : (n, k) int, numbers of known compositions, nearest first and the first of equally
            near ones; -1 where fewer than k have an element in common
        distance : (n, k) float32, 1 there

        Raises
        ------
        ValueError
            k is less than 1.
        """
        if k < 1:
            raise ValueError(f"k must be 1 or more, not {k}")
        shares = fractions(asked).astype(np.float32)
        return _nearest(shares, self._starts, self._rows, self._shares, self._dense, k)

    def where(self, which: np.ndarray, distance: np.ndarray) -> list[str]:
        """Names of the data sets that hold each of n compositions, given what is nearest (n, k)."""
        member = self.member[which[:, 0]] & (distance[:, :1] < SAME)
        patterns, number = np.unique(member, axis=0, return_inverse=True)
        texts = [", ".join(np.array(self.names)[one]) for one in patterns]
        return [texts[i] for i in number.tolist()]


def _places(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each row, and rows by place: by their rarest elements.

    What is found one after the other lies side by side then, which saves a third of the time.
    """
    present = amounts > 0
    rarity = np.argsort(np.argsort(present.sum(axis=0)))
    rarest = np.sort(np.where(present, rarity, N_ELEMENTS), axis=1)[:, :3]
    order = np.lexsort(rarest.T[::-1])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place, order


@lru_cache(maxsize=1)
def all_known() -> KnownCompositions:
    """The compounds of OQMD, of the Materials Project and of SuperCon, as the study curates them.

    Raises
    ------
    SourceUnavailable
        The data are not to hand and cannot be downloaded.
    """
    mp = [*load_mp_compositions()["formula"], *load_mp_gap()["formula"]]
    tables = {
        "OQMD": load_oqmd()["formula"],
        "Materials Project": mp,
        "SuperCon": load_supercon("all")["formula"],
    }
    return KnownCompositions(tables)


@compiled
def _nearest(shares, starts, rows, known, dense, k):
    """The k rows with the largest common share Σ min(x_e, y_e), as `KnownCompositions.nearest`.

    Elements come by their number of rows, the rarest first. A row with none of those done so far
    shares at most the rest of x: once that is less than the k-th best share, only rows found so
    far can be among the k nearest, and of them only those that may still reach that share.
    """
    n, n_rows = len(shares), dense.shape[1]
    which = np.full((n, k), -1, dtype=np.int64)
    best = np.zeros((n, k), dtype=np.float32)
    common = np.zeros(n_rows, dtype=np.float32)
    found = np.empty(n_rows, dtype=np.int32)
    n_with = starts[1:] - starts[:-1]
    for i in range(n):
        own = np.flatnonzero(shares[i])
        own = own[np.argsort(n_with[own], kind="mergesort")]
        n_found, left, closed = 0, np.float32(shares[i].sum()), False
        for e in own:
            share = shares[i, e]
            if closed:
                for j in range(n_found):
                    common[found[j]] += min(share, dense[e, found[j]])
            else:
                for at in range(starts[e], starts[e + 1]):
                    row = rows[at]
                    if common[row] == 0:
                        found[n_found] = row
                        n_found += 1
                    common[row] += min(share, known[at])
            left -= share
            _insert_all(common, found, n_found, which[i], best[i])
            least = best[i, k - 1] - np.float32(1e-5)  # rounding must lose no row
            if left < least:
                closed, kept = True, 0
                for j in range(n_found):
                    row = found[j]
                    if common[row] + left >= least:
                        found[kept] = row
                        kept += 1
                    else:
                        common[row] = 0
                n_found = kept
        for j in range(n_found):
            common[found[j]] = 0
    return which, np.maximum(np.float32(0), np.float32(1) - best)


@compiled
def _insert_all(common, found, n_found, which, best):
    """The k rows of the largest common share, the first of equal ones, into `which` and `best`."""
    k = len(which)
    which[:], best[:] = -1, 0
    for at in range(n_found):
        row = found[at]
        share, j = common[row], k
        while j > 0 and (share > best[j - 1] or (share == best[j - 1] and row < which[j - 1])):
            j -= 1
        if j < k:
            for right in range(k - 1, j, -1):
                best[right], which[right] = best[right - 1], which[right - 1]
            best[j], which[j] = share, row
