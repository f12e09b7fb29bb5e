"""Group, period and block of the elements: what an element table may have learned."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from matgan.chemistry.elements import ELEMENTS
from matgan.representation.features import magpie_table

BLOCKS = ("s", "p", "d", "f")


@lru_cache(maxsize=1)
def periodic_table() -> pd.DataFrame:
    """The 85 elements in the periodic table, La and Ac in the f block, Lu below Y.

    Returns
    -------
    DataFrame, index `element` by atomic number
        number; period; group: "1" to "18", or "lanthanide" and "actinide" for the f block, whose
        members are alike in another way than a column's are; block: "s", "p", "d" or "f".
    """
    magpie = magpie_table().loc[list(ELEMENTS), ["Number", "Row", "Column"]].astype(int)
    table = magpie.set_axis(["number", "period", "group"], axis=1)
    lanthanide, actinide = table["number"].between(57, 70), table["number"].between(89, 102)
    table["block"] = "d"
    table.loc[table["group"] <= 2, "block"] = "s"
    table.loc[table["group"] >= 13, "block"] = "p"
    table.loc[lanthanide | actinide, "block"] = "f"
    table["group"] = table["group"].astype(str).mask(lanthanide, "lanthanide")
    table["group"] = table["group"].mask(actinide, "actinide")
    return table


def by_block() -> list[str]:
    """The element symbols by block, then by group, then by period: the order of heat maps."""
    table = periodic_table()
    group = table["group"].replace({"lanthanide": "3", "actinide": "3"}).astype(int)
    order = table.assign(block=table["block"].map(BLOCKS.index), group=group)
    # along the f block the neighbours are alike, elsewhere those in a column
    order["group"] = order["group"].where(table["block"] != "f", table["period"])
    return list(order.sort_values(["block", "group", "number"]).index)
