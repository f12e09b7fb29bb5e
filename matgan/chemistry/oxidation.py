"""Oxidation states and electronegativities of the 85 elements, as SMACT has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from smact import Element
from smact.screening import MIXED_VALENCE_ELEMENTS, ICSD24FilterConfig
from smact.utils.oxidation import ICSD24OxStatesFilter

from matgan.chemistry.elements import ELEMENT_INDEX, ELEMENTS, OTHER_ELEMENTS

# name here -> attribute of smact.Element
_SMACT_SETS = {
    "smact14": "oxidation_states_smact14",
    "icsd16": "oxidation_states_icsd16",
    "icsd24": "oxidation_states_icsd24",
    "pymatgen_sp": "oxidation_states_sp",
    "wiki": "oxidation_states_wiki",
}
SETS = (*_SMACT_SETS, "icsd24-consensus")

# states that 1% or more of the reports on their element in ICSD 2024 have, of those in "icsd24"
USUAL_STATES = ICSD24FilterConfig(consensus=6, commonality=1.0)

# elements that hold two oxidation states in one compound, beyond SMACT's list, each with a compound
# (Robin and Day, Adv. Inorg. Chem. Radiochem. 1967, 10, 247; Greenwood and Earnshaw, 1997)
ALSO_MIXED = {
    "Ga": "GaCl2", "Ge": "Ge5F12", "As": "As2O4", "Te": "Te2O5", "In": "In2Cl3", "Tl": "TlCl2",
    "Pb": "Pb3O4", "Pr": "Pr6O11", "Tb": "Tb4O7", "Sm": "Sm3S4", "Tm": "Tm5Se6", "Ta": "Ta6Cl15",
    "Pt": "NaPt3O4",
}  # fmt: skip

_MIXED_VALENCE_LIMIT = 1_000_000  # combinations of states that SMACT is willing to try
_LARGEST_STATE = 20  # no element is known beyond +9; a larger number is a typing mistake


@dataclass(frozen=True)
class OxidationStates:
    """Oxidation states that each element may take.

    Attributes
    ----------
    name : what the set is called in messages
    states : 85 tuples of int, in the order of `matgan.ELEMENTS`; empty where none is known
    """

    name: str
    states: tuple[tuple[int, ...], ...]

    def __getitem__(self, symbol: str) -> tuple[int, ...]:
        return self.states[ELEMENT_INDEX[symbol]]


def oxidation_states(source: object = "smact14") -> OxidationStates:
    """Oxidation states by the name of a set, a table or a file.

    Parameters
    ----------
    source : str, mapping, path, ICSD24FilterConfig or OxidationStates
        - "smact14" (compiled for SMACT in 2014; the list of the paper's rule), "icsd16", "icsd24"
          (more than 5 reports in ICSD 2024), "pymatgen_sp", "wiki": the sets of SMACT (Davies et
          al., J. Open Source Softw. 2019, 4, 1361) under its names. "wiki" includes state 0 for
          most elements, so that nearly everything is neutral.
        - "icsd24-consensus": what `smact_validity` takes if no set is named, states with at least
          3 reports in ICSD 2024. Not the same as "icsd24". Other limits: pass a
          `smact.screening.ICSD24FilterConfig`.
        - a mapping from symbol to whole numbers, {"Na": [1], "Cl": [-1]}; elements that are not in
          it have no state.
        - the path of a text file in SMACT's format: a line "Fe +2 +3" for each element, "#" starts
          a comment.

    Returns
    -------
    OxidationStates

    Raises
    ------
    ValueError
        Neither a known name nor a file; a symbol that is no element, or a state that is not a
        whole number from -20 to 20: names it, and the line of the file.
    """
    if isinstance(source, OxidationStates):
        return source
    if isinstance(source, ICSD24FilterConfig):
        return _icsd24_filtered(source)
    if isinstance(source, Mapping):
        return OxidationStates("user's table", _checked(source))
    if not isinstance(source, str | PathLike):
        raise ValueError(
            "oxidation_states must be a name, a table {symbol: states} or a file, "
            f"not {type(source).__name__}"
        )
    name = fspath(source)
    if name == "icsd24-consensus":
        return _icsd24_filtered(ICSD24FilterConfig())
    if name in _SMACT_SETS:
        return _smact_set(name)
    if Path(name).is_file():
        return OxidationStates(name, _checked(_read(Path(name))))
    raise ValueError(
        f"unknown set of oxidation states {name!r}: not one of {', '.join(SETS)}, and no such file"
    )


@lru_cache
def _smact_set(name: str) -> OxidationStates:
    states = [getattr(Element(symbol), _SMACT_SETS[name]) for symbol in ELEMENTS]
    return OxidationStates(name, tuple(tuple(s or ()) for s in states))


@lru_cache
def _icsd24_filtered(config: ICSD24FilterConfig) -> OxidationStates:
    table = ICSD24OxStatesFilter().filter(config.consensus, config.include_zero, config.commonality)
    rows = zip(table["element"], table["oxidation_state"], strict=True)
    states = {symbol: tuple(int(s) for s in str(listed).split()) for symbol, listed in rows}
    name = "icsd24-consensus" if config == ICSD24FilterConfig() else repr(config)
    return OxidationStates(name, tuple(states.get(symbol, ()) for symbol in ELEMENTS))


def _read(path: Path) -> dict[str, list[int]]:
    table = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        symbol, *states = line.partition("#")[0].split() or [""]
        if not symbol:
            continue
        try:
            table[symbol] = [int(state) for state in states]
        except ValueError:
            raise ValueError(f"{path}, line {number}: {line.strip()!r} is no 'Fe +2 +3'") from None
    return table


def _checked(table: Mapping[str, Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    for symbol, states in table.items():
        if symbol not in ELEMENT_INDEX and symbol not in OTHER_ELEMENTS:
            raise ValueError(f"oxidation states of {symbol!r}, which is no element")
        if isinstance(states, str) or not isinstance(states, Sequence | set | np.ndarray):
            raise ValueError(f"oxidation states of {symbol} must be a list, not {states!r}")
        for state in states:
            whole = isinstance(state, int | np.integer) and not isinstance(state, bool)
            if not whole or abs(state) > _LARGEST_STATE:
                raise ValueError(
                    f"{symbol} has the oxidation state {state!r}, "
                    f"but states are whole numbers from -{_LARGEST_STATE} to {_LARGEST_STATE}"
                )
    return tuple(tuple(int(s) for s in table.get(symbol, ())) for symbol in ELEMENTS)


@lru_cache
def electronegativities() -> np.ndarray:
    """Pauling electronegativities as SMACT has them: (85,) float64, NaN for promethium."""
    values = [Element(symbol).pauling_eneg for symbol in ELEMENTS]
    return np.array([np.nan if value is None else value for value in values])


@lru_cache
def has_mixed_valence() -> np.ndarray:
    """(85,) bool: elements that SMACT lets take several oxidation states in one compound."""
    return np.isin(ELEMENTS, sorted(MIXED_VALENCE_ELEMENTS))


@lru_cache
def has_mean_state() -> np.ndarray:
    """(85,) bool: elements whose mean oxidation state may be fractional, SMACT's and ALSO_MIXED."""
    return has_mixed_valence() | np.isin(ELEMENTS, list(ALSO_MIXED))


def mean_states(states: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of the mean state of atoms in several states of one sign: [(-2, -1), (3, 5)]."""
    signs = ([s for s in states if s < 0], [0] * (0 in states), [s for s in states if s > 0])
    return [(min(some), max(some)) for some in signs if some]


def fraction_cancels(
    elements, amounts, table: OxidationStates, balanced: bool, may_mix: np.ndarray
) -> bool:
    """Whether the charges of one composition can add up to zero; a single element passes.

    Parameters
    ----------
    elements, amounts : (k,) arrays
        By rising electronegativity.
    table : OxidationStates
    balanced : no cation may be as electronegative as an anion
    may_mix : (85,) bool array
        Elements that may have a mean state.
    """
    if len(elements) == 1:
        return True
    eneg = electronegativities()[elements]
    if balanced and np.isnan(eneg).any():
        return False
    for limit in np.unique(eneg) if balanced else [None]:
        ranges = []
        for e, value in zip(elements, eneg, strict=True):
            allowed = [
                s
                for s in table.states[e]
                if limit is None or (s >= 0 if value <= limit else s <= 0)
            ]
            ranges.append(mean_states(allowed) if may_mix[e] else [(s, s) for s in allowed])
        if _cancels(amounts.tolist(), ranges):
            return True
    return False


def _cancels(amounts: list, ranges: list[list[tuple[int, int]]]) -> bool:
    """Whether Σ n q = 0 for some q in one of the ranges of each element: unions of intervals."""
    error = 1e-9 * sum(amounts)
    least = [
        min((n * low for low, _ in some), default=np.inf)
        for n, some in zip(amounts, ranges, strict=True)
    ]
    most = [
        max((n * high for _, high in some), default=-np.inf)
        for n, some in zip(amounts, ranges, strict=True)
    ]
    reached = [(0, 0)]
    for i, (n, some) in enumerate(zip(amounts, ranges, strict=True)):
        down, up = sum(least[i + 1 :]), sum(most[i + 1 :])  # what is still to come
        sums = sorted((a + n * low, b + n * high) for a, b in reached for low, high in some)
        reached = []
        for a, b in sums:
            if a + down > error or b + up < -error:
                continue
            if reached and a <= reached[-1][1]:
                reached[-1] = (reached[-1][0], max(b, reached[-1][1]))
            else:
                reached.append((a, b))
    return bool(reached)


def mixed_valence_tried(elements, amounts, table: OxidationStates) -> np.ndarray:
    """Whether SMACT would try mixed valence: an element allows it, not too many combinations.

    Parameters
    ----------
    elements, amounts : (n, k) int arrays
        Elements of each composition and how many atoms of each.
    table : OxidationStates

    Returns
    -------
    (n,) bool array
    """
    several = has_mixed_valence()[elements]
    n_states = np.array([len(states) for states in table.states], dtype=float)[elements]
    combinations = np.where(several, n_states**amounts, n_states).prod(axis=1)
    return several.any(axis=1) & (combinations <= _MIXED_VALENCE_LIMIT)


@lru_cache
def reports() -> dict[tuple[str, int], int]:
    """Reports of each (symbol, oxidation state) in ICSD 2024, as SMACT ships them."""
    table = ICSD24OxStatesFilter().ox_states_df
    columns = (table["element"], table["oxidation_state"], table["results_count"])
    return {(symbol, int(state)): int(n) for symbol, state, n in zip(*columns, strict=True)}
