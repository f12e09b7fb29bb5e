"""The element table against the data and against pymatgen."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from pymatgen.core import Element

from matgan import ELEMENTS
from matgan.chemistry.elements import (
    BLOCKS,
    ELEMENT_INDEX,
    FORMULA_ORDER,
    N_ELEMENTS,
    OTHER_ELEMENTS,
    by_block,
    periodic_table,
)


def symbols(formula: str) -> set[str]:
    return set(re.findall("[A-Z][a-z]?", formula))


def test_elements_are_those_of_the_data_that_are_not_too_rare(oqmd_raw):
    compounds = Counter(s for f in oqmd_raw["formula"] for s in symbols(f))
    assert len(compounds) == 86
    rare = {symbol: n for symbol, n in compounds.items() if n < 10}
    assert rare == {"Kr": 4}
    assert set(ELEMENTS) == set(compounds) - set(rare)


def test_every_element_is_left_after_the_curation(oqmd):
    left = set().union(*map(symbols, oqmd["formula"]))
    assert left == set(ELEMENTS)


def test_elements_are_ordered_by_atomic_number():
    numbers = [Element(symbol).Z for symbol in ELEMENTS]
    assert len(numbers) == N_ELEMENTS == 85
    assert numbers == sorted(set(numbers))
    assert all(ELEMENTS[index] == symbol for symbol, index in ELEMENT_INDEX.items())
    assert len(ELEMENT_INDEX) == 85


def test_the_elements_and_the_others_are_the_periodic_table():
    assert {Element.from_Z(z).symbol for z in range(1, 119)} == set(ELEMENTS) | OTHER_ELEMENTS
    assert not set(ELEMENTS) & OTHER_ELEMENTS


def test_formula_order_follows_electronegativity():
    assert list(FORMULA_ORDER) == sorted(ELEMENTS, key=lambda s: (Element(s).X, s))


# --- the periodic table ---------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ELEMENTS)
def test_as_pymatgen_has_it(symbol):
    element = pytest.importorskip("pymatgen.core").Element(symbol)
    row = periodic_table().loc[symbol]
    assert (row["number"], row["period"]) == (element.Z, element.row)
    assert row["block"] == element.block
    if row["block"] == "f":
        kind = "lanthanide" if element.is_lanthanoid else "actinide"
        assert row["group"] == kind
    else:
        assert row["group"] == str(element.group)


def test_blocks_are_in_one_piece_and_columns_within_them():
    order = by_block()
    assert sorted(order) == sorted(ELEMENTS)
    blocks = periodic_table().loc[order, "block"].tolist()
    assert list(dict.fromkeys(blocks)) == list(BLOCKS)
    assert sum(a != b for a, b in pairwise(blocks)) == len(BLOCKS) - 1
    text = " ".join(order)
    for column in ("Li Na K Rb Cs", "F Cl Br I", "Cu Ag Au", "Sc Y Lu", "La Ce Pr", "Th Pa U"):
        assert column in text
