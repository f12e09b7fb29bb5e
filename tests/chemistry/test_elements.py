"""The element table against the data and against pymatgen."""

import re
from collections import Counter

from pymatgen.core import Element

from matgan import ELEMENTS
from matgan.chemistry.elements import ELEMENT_INDEX, FORMULA_ORDER, N_ELEMENTS, OTHER_ELEMENTS


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
