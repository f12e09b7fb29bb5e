"""Statistics over the elements of each composition, for many compositions and columns at once."""

from __future__ import annotations

from functools import cached_property

import numpy as np

STATISTICS = ("sum", "mean", "min", "max", "range", "var", "std", "avg_dev", "mode")


def element_statistics(
    amounts: np.ndarray, table: np.ndarray, statistics: tuple[str, ...], dtype=np.float64
) -> np.ndarray:
    """Statistics of an element table over the elements of each composition.

    Parameters
    ----------
    amounts : (n, 85) array, at least one amount above 0 in each row
    table : (85, d) array, row T_e for element e
    statistics : names out of
        "sum": Σ n_e T_e with the amounts n_e as given (Hu et al. 2020, Equation 5);
        "mean": Σ x_e T_e with the atomic fractions x_e; "var": Σ x_e (T_e - mean)²; "std":
        its root; "avg_dev": Σ x_e |T_e - mean|; "min", "max", "range": over the elements present;
        "mode": value of the most plentiful element, the smallest one where several are (as in
        Magpie: an amount within a relative 1e-5 of the largest ties with it, and elements with
        the same value are not added up)
    dtype : of the output; computed in float64

    Returns
    -------
    (n, d, number of statistics) array
    """
    of = _Statistics(amounts, table)
    block = np.empty((*of.sum.shape, len(statistics)), dtype=dtype)
    for i, name in enumerate(statistics):
        block[:, :, i] = getattr(of, name)
    out = np.empty_like(block)
    out[of.order] = block
    return out


class _Statistics:
    """Each statistic as an (n, d) array, rows sorted by their number of elements, largest first.

    Then the compositions that have a j-th element are the first m_j rows, and a statistic is a
    few operations on such slices for each j, without a loop over compositions.
    """

    def __init__(self, amounts: np.ndarray, table: np.ndarray):
        present = amounts > 0
        per_row = np.count_nonzero(present, axis=1)
        self.order = np.argsort(-per_row, kind="stable")
        per_row = per_row[self.order]
        entries = np.flatnonzero(present[self.order])  # much faster than nonzero of numbers
        starts = np.cumsum(per_row) - per_row
        # for each j, of the first m_j rows: the j-th elements' vectors (m_j, d), amounts (m_j, 1)
        self.terms: list[tuple[np.ndarray, np.ndarray]] = []
        for j in range(per_row.max(initial=0)):
            m = np.count_nonzero(per_row > j)
            element = entries[starts[:m] + j] % amounts.shape[1]
            self.terms.append((table[element], amounts[self.order[:m], element, None]))
        self.atoms = amounts.sum(axis=1)[self.order, None]
        self.largest = amounts.max(axis=1)[self.order, None]

    @cached_property
    def sum(self) -> np.ndarray:
        total = np.zeros((len(self.atoms), self.terms[0][0].shape[1]))
        for vectors, amounts in self.terms:
            total[: len(vectors)] += vectors * amounts
        return total

    @cached_property
    def mean(self) -> np.ndarray:
        return self.sum / self.atoms

    @cached_property
    def min(self) -> np.ndarray:
        return self._extreme(np.minimum)

    @cached_property
    def max(self) -> np.ndarray:
        return self._extreme(np.maximum)

    def _extreme(self, ufunc: np.ufunc) -> np.ndarray:
        best = self.terms[0][0].copy()
        for vectors, _ in self.terms[1:]:
            ufunc(best[: len(vectors)], vectors, out=best[: len(vectors)])
        return best

    @property
    def range(self) -> np.ndarray:
        return self.max - self.min

    @property
    def var(self) -> np.ndarray:
        return self._average_deviation(np.square)

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self.var)

    @property
    def avg_dev(self) -> np.ndarray:
        return self._average_deviation(np.abs)

    def _average_deviation(self, size: np.ufunc) -> np.ndarray:
        total = np.zeros_like(self.mean)
        for vectors, amounts in self.terms:
            deviation = vectors - self.mean[: len(vectors)]
            size(deviation, out=deviation)
            deviation *= amounts
            total[: len(vectors)] += deviation
        total /= self.atoms
        return total

    @property
    def mode(self) -> np.ndarray:
        least = self.largest - (1e-8 + 1e-5 * self.largest)
        mode = np.full_like(self.sum, np.inf)
        for vectors, amounts in self.terms:
            m = len(vectors)
            fewer = np.where(amounts >= least[:m], 0.0, np.inf)  # added to what is no mode
            np.minimum(mode[:m], vectors + fewer, out=mode[:m])
        return mode
