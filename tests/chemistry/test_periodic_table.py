from itertools import pairwise

import pytest

from matgan import ELEMENTS
from matgan.chemistry.periodic_table import BLOCKS, by_block, periodic_table


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
