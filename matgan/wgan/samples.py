"""From a generator's output, soft or one-hot, to formulas; and what became of its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd

from matgan.chemistry.composition import MAX_COUNT, keys
from matgan.chemistry.elements import N_ELEMENTS
from matgan.wgan.wishes import Wanted, is_known

RULES = ("threshold", "argmax", "sum")


def decode(
    matrix: np.ndarray, rule: str = "threshold", threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of each element from count matrices with entries between 0 and 1.

    Hu et al. 2020 do not say how the sigmoid output of Table 3 becomes a formula. An entry counts
    as set if it reaches the threshold. The rules differ in what two set entries in one element's
    row mean:

    - "threshold": no composition; the whole sample is undecodable. The strictest rule, and the
      only one under which decoding is the inverse of `matgan.chemistry.composition.count_matrix`.
    - "argmax": the larger one holds (the smaller count, where they are equal).
    - "sum": both hold, and the counts add up. So does the function of the authors' published code
      (github.com/Chilitiantian/code, init/load_data.py, reduce_molecule, threshold 1 - tolerance),
      which writes the element once for each entry.

    The three agree on one-hot matrices.

    Parameters
    ----------
    matrix : (n, 85, 8) array
    rule : {"threshold", "argmax", "sum"}
    threshold : above 0, at most 1

    Returns
    -------
    counts : (n, 85) uint8, all zero where nothing is set and where the sample is undecodable
    undecodable : (n,) bool, also true where an entry is not a number

    Raises
    ------
    ValueError
        An unknown rule, a threshold or a shape that is none of those above.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie above 0 and not above 1, not {threshold!r}")
    matrix = np.asarray(matrix)
    if matrix.ndim != 3 or matrix.shape[1:] != (N_ELEMENTS, MAX_COUNT):
        raise ValueError(f"matrix must have shape (n, {N_ELEMENTS}, {MAX_COUNT}): {matrix.shape}")
    entries = matrix >= threshold  # (n, 85, 8)
    undecodable = np.isnan(matrix).any(axis=(1, 2))
    if rule == "argmax":
        counts = np.where(entries.any(axis=2), matrix.argmax(axis=2) + 1, 0)
    else:
        counts = entries @ np.arange(1, MAX_COUNT + 1, dtype=np.uint8)
        if rule == "threshold":
            undecodable |= (entries.sum(axis=2) > 1).any(axis=1)
    counts = counts.astype(np.uint8)
    counts[undecodable] = 0
    return counts, undecodable


@dataclass
class Outcomes:
    """What became of the samples of a generator.

    Attributes
    ----------
    empty : no element at all
    single : one element only
    undecodable : see `decode`
    unwanted : compositions whose elements, numbers or charges were not those asked for. Where these
        are drawn on request, what did not become a composition of the kind.
    known, repeated, outside : compositions that were not new, not the first of their kind, or had a
        property outside of its range, if that was asked
    kept : the rest
    of_kind : of as many free samples, how many are not unwanted; an estimate where compositions
        were drawn on request
    """

    empty: int = 0
    single: int = 0
    undecodable: int = 0
    unwanted: int = 0
    known: int = 0
    repeated: int = 0
    outside: int = 0
    kept: int = 0
    of_kind: float = 0.0

    @property
    def compositions(self) -> int:
        """Samples that were compositions."""
        return self.unwanted + self.known + self.repeated + self.outside + self.kept

    @property
    def drawn(self) -> int:
        """Samples drawn, whatever became of them."""
        return self.empty + self.single + self.undecodable + self.compositions

    @property
    def accepted(self) -> float:
        """Share of free compositions that are of the kind asked for; NaN where there were none."""
        return self.of_kind / self.compositions if self.compositions else float("nan")

    @property
    def table(self) -> pd.DataFrame:
        """A row for each outcome: samples and share of all."""
        names = ("kept", "unwanted", "known", "repeated", "outside")
        names += ("single", "empty", "undecodable")
        numbers = [getattr(self, name) for name in names]
        shares = [number / self.drawn if self.drawn else float("nan") for number in numbers]
        return pd.DataFrame({"outcome": names, "samples": numbers, "share": shares})

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Formulas(list):
    """A list of formulas that keeps the counts that it was written from.

    Whatever takes compositions uses the counts and does not read the formulas again. Slices and
    sums of such lists are such lists.

    Attributes
    ----------
    counts : (n, 85) uint8, read-only; None once the list has been changed
    outcomes : what became of the samples behind it; all zero for a slice
    seed : of these samples; None for a slice or a sum
    """

    def __init__(
        self,
        formulas: Iterable[str] = (),
        counts: np.ndarray | None = None,
        outcomes: Outcomes | None = None,
        seed: int | None = None,
    ):
        super().__init__(formulas)
        self.outcomes, self.seed = outcomes or Outcomes(), seed
        self._written, self._counts = list(self), None
        if counts is not None:
            if len(counts) != len(self):
                raise ValueError(f"{len(counts)} rows of counts for {len(self)} formulas")
            self._counts = counts.view()
            self._counts.flags.writeable = False

    @property
    def counts(self) -> np.ndarray | None:
        return self._counts if self == self._written else None  # fast: the same objects

    def __getitem__(self, at):
        part, counts = super().__getitem__(at), self.counts
        if not isinstance(at, slice):
            return part
        return Formulas(part, None if counts is None else counts[at])

    def __add__(self, other):
        joined = super().__add__(other)
        if not isinstance(other, Formulas):
            return joined
        parts = self.counts, other.counts
        counts = None if any(part is None for part in parts) else np.concatenate(parts)
        return Formulas(joined, counts, self.outcomes + other.outcomes)


class TooFewSamples(RuntimeError):
    """A generator gives too few compositions of the kind that was asked for.

    Attributes
    ----------
    found : the formulas that it did give; None where they were handed out already
    outcomes : what became of all samples
    """

    def __init__(self, n: int, n_found: int, outcomes: Outcomes, found: Formulas | None = None):
        self.found, self.outcomes = found, outcomes
        why = outcomes.table[1:].set_index("outcome")["samples"]
        listed = ", ".join(f"{number:,} {name}" for name, number in why.items() if number)
        super().__init__(
            f"{n_found:,} of {n:,} formulas in {outcomes.drawn:,} samples"
            + (f": {listed}" if listed else "")
        )


def sifted(
    counts: np.ndarray, became: Outcomes, wanted: Wanted, seen: set[bytes]
) -> tuple[np.ndarray, Outcomes]:
    """Those of a batch (m, 85) that are new, not seen so far and of the wanted properties.

    Which are not is added to `became`, and those that are to `seen` where each is wanted once.
    """
    judges: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = []
    if len(wanted.known):
        judges.append(("known", lambda some: ~is_known(some, wanted.known)))
    if wanted.unique:
        judges.append(("repeated", lambda some: _first(some, seen)))
    judges += [("outside", one.has) for one in wanted.properties]
    for name, judge in judges:
        good = judge(counts)
        setattr(became, name, getattr(became, name) + int((~good).sum()))
        counts = counts[good]
    became.kept = len(counts)
    return counts, became


def _first(counts: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """Which compositions were not seen; they are, from now on."""
    good = np.zeros(len(counts), dtype=bool)
    for row, key in enumerate(keys(counts).tolist()):
        if key not in seen:
            seen.add(key)
            good[row] = True
    return good
