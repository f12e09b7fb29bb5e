"""What a generator gives: formulas with their counts, and what became of its samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd


@dataclass
class Outcomes:
    """What became of the samples of a generator.

    Attributes
    ----------
    empty : no element at all
    single : one element only
    undecodable : see `matgan.wgan.decoding.decode`
    unwanted : compositions that were not of the kind asked for
    kept : the rest
    """

    empty: int = 0
    single: int = 0
    undecodable: int = 0
    unwanted: int = 0
    kept: int = 0

    @property
    def drawn(self) -> int:
        """Samples drawn, whatever became of them."""
        return self.empty + self.single + self.undecodable + self.unwanted + self.kept

    @property
    def accepted(self) -> float:
        """Share of the compositions that were of the kind asked for; NaN where there were none."""
        compositions = self.kept + self.unwanted
        return self.kept / compositions if compositions else float("nan")

    @property
    def table(self) -> pd.DataFrame:
        """A row for each outcome: samples and share of all."""
        names = ("kept", "unwanted", "single", "empty", "undecodable")
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
    """

    def __init__(
        self,
        formulas: Iterable[str] = (),
        counts: np.ndarray | None = None,
        outcomes: Outcomes | None = None,
    ):
        super().__init__(formulas)
        self.outcomes = outcomes or Outcomes()
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
