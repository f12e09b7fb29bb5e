"""Which generated compositions are kept: what a user can ask for, by filtering."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS, OTHER_ELEMENTS
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced


@dataclass(frozen=True)
class Wanted:
    """Which of the generated compositions are kept.

    Attributes
    ----------
    only : elements that a composition may hold; None: all
    contain : elements that it must hold
    n_elements : how many elements it must hold, one number or several; None: at least two
    neutral, balanced : whether it must be charge-neutral, or neutral and balanced
    oxidation_states : for these two, as in `matgan.chemistry.validity.charge_neutral`
    """

    only: Iterable[str] | None = None
    contain: Iterable[str] = ()
    n_elements: int | Iterable[int] | None = None
    neutral: bool = False
    balanced: bool = False
    oxidation_states: object = "smact14"

    def __post_init__(self):
        for name in ("only", "contain"):
            symbols = getattr(self, name)
            if symbols is not None:
                object.__setattr__(self, name, _symbols(symbols, name))
        n = self.n_elements
        if n is not None:
            n = (n,) if isinstance(n, int | np.integer) else tuple(n)
            if not n or min(n) < 2:
                raise ValueError(f"n_elements must be 2 or more, not {self.n_elements!r}")
            object.__setattr__(self, "n_elements", n)
        if self.only is not None:
            if missing := set(self.contain) - set(self.only):
                raise ValueError(f"contain asks for {', '.join(sorted(missing))}, only excludes it")
            if len(self.only) < 2:
                raise ValueError("only must leave two elements or more")

    def kept(self, counts: np.ndarray) -> np.ndarray:
        """Which compositions (n, 85) are of this kind: (n,) bool."""
        present = counts > 0
        good = np.ones(len(counts), dtype=bool)
        if self.only is not None:
            allowed = np.isin(np.arange(N_ELEMENTS), [ELEMENT_INDEX[s] for s in self.only])
            good &= ~present[:, ~allowed].any(axis=1)
        for symbol in self.contain:
            good &= present[:, ELEMENT_INDEX[symbol]]
        if self.n_elements is not None:
            good &= np.isin(present.sum(axis=1), np.asarray(self.n_elements))
        for asked, judge in (
            (self.neutral, charge_neutral),
            (self.balanced, electronegativity_balanced),
        ):
            if asked:
                good[good] = judge(counts[good], self.oxidation_states)
        return good


def _symbols(symbols: Iterable[str], name: str) -> tuple[str, ...]:
    symbols = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    for symbol in symbols:
        if symbol not in ELEMENT_INDEX:
            known = symbol in OTHER_ELEMENTS
            why = "is not one of the 85 elements of this study" if known else "is no element"
            raise ValueError(f"{name}: {symbol!r} {why}")
    return symbols
