"""The 85 elements of the study, the order in which formulas name them, the periodic table."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# The elements of the OQMD compounds that are left after the curation of `matgan.data.compounds`:
# 86 elements occur, krypton in four compounds only, too few to learn from. The paper's
# snapshot of OQMD gives 85 elements too (Hu et al. 2020).
# By atomic number: row e of every matrix of this package belongs to ELEMENTS[e].
ELEMENTS: tuple[str, ...] = tuple(
    """
    H  Li Be B  C  N  O  F  Na Mg Al Si P  S  Cl K  Ca Sc Ti V  Cr Mn Fe Co Ni Cu Zn Ga Ge
    As Se Br Rb Sr Y  Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I  Xe Cs Ba La Ce Pr Nd Pm Sm
    Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W  Re Os Ir Pt Au Hg Tl Pb Bi Ac Th Pa U  Np Pu
    """.split()
)

N_ELEMENTS = len(ELEMENTS)

ELEMENT_INDEX: dict[str, int] = {symbol: index for index, symbol in enumerate(ELEMENTS)}

_BY_NUMBER = """
    H  He Li Be B  C  N  O  F  Ne Na Mg Al Si P  S  Cl Ar K  Ca Sc Ti V  Cr Mn Fe Co Ni Cu Zn
    Ga Ge As Se Br Kr Rb Sr Y  Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I  Xe Cs Ba La Ce Pr Nd
    Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W  Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th
    Pa U  Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
    """.split()
ATOMIC_NUMBER: dict[str, int] = {symbol: z for z, symbol in enumerate(_BY_NUMBER, 1)}

# Real elements that the study leaves out, so that an error can tell them from a typing mistake.
OTHER_ELEMENTS: frozenset[str] = frozenset(_BY_NUMBER) - set(ELEMENTS)

# Chemists write a formula by rising Pauling electronegativity, equal values by symbol (KZn2Ru,
# TiO2). A test derives this order from pymatgen's electronegativities.
FORMULA_ORDER: tuple[str, ...] = tuple(
    """
    Cs K  Rb Ba Na Sr Li Ca Ac La Tb Yb Ce Pm Pr Nd Sm Eu Gd Dy Y  Ho Er Tm Lu Pu Hf Th Mg
    Zr Np Sc U  Pa Ta Ti Mn Be Nb Al Tl V  Zn Cr Cd In Ga Fe Co Cu Re Si Tc Ni Ag Sn Hg Ge
    Bi B  Sb Te Mo As P  H  Ir Os Pd Ru Pt Rh Pb W  Au C  Se S  Xe I  Br N  Cl O  F
    """.split()
)

# --- the periodic table ---------------------------------------------------------------------------


BLOCKS = ("s", "p", "d", "f")

_ROWS = (  # as it hangs on the wall; a dot is an empty place, the last two rows are the f block
    "H . . . . . . . . . . . . . . . . He",
    "Li Be . . . . . . . . . . B C N O F Ne",
    "Na Mg . . . . . . . . . . Al Si P S Cl Ar",
    "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr",
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
    "Cs Ba La Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi . . .",
    ". . Ac . . . . . . . . . . . . . . .",
    ". . . Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu .",
    ". . . Th Pa U Np Pu . . . . . . . . . .",
)
# Symbol -> (column, row) of its place, from 0.
PLACE: dict[str, tuple[int, int]] = {
    symbol: (column, row)
    for row, symbols in enumerate(_ROWS)
    for column, symbol in enumerate(symbols.split())
    if symbol != "."
}


@lru_cache(maxsize=1)
def periodic_table() -> pd.DataFrame:
    """The 85 elements in the periodic table, La and Ac in the f block, Lu below Y.

    Returns
    -------
    DataFrame, index `element` by atomic number
        number; period; group: "1" to "18", or "lanthanide" and "actinide" for the f block, whose
        members are alike in another way than a column's are; block: "s", "p", "d" or "f".
    """
    import pandas as pd  # not for those who only ask for the symbols

    rows = []
    for symbol in ELEMENTS:
        column, row = PLACE[symbol]
        period = row + 1 if row < 7 else row - 1
        if symbol in ("La", "Ac") or (row >= 7 and symbol != "Lu"):
            group, block = ("lanthanide" if period == 6 else "actinide"), "f"
        else:
            group = "3" if symbol == "Lu" else str(column + 1)
            block = "s" if int(group) <= 2 else "p" if int(group) >= 13 else "d"
        rows.append((ATOMIC_NUMBER[symbol], period, group, block))
    index = pd.Index(ELEMENTS, name="element")
    return pd.DataFrame(rows, index, ["number", "period", "group", "block"])


def by_block() -> list[str]:
    """The element symbols by block, then by group, then by period: the order of heat maps."""
    table = periodic_table()
    group = table["group"].replace({"lanthanide": "3", "actinide": "3"}).astype(int)
    order = table.assign(block=table["block"].map(BLOCKS.index), group=group)
    # along the f block the neighbours are alike, elsewhere those in a column
    order["group"] = order["group"].where(table["block"] != "f", table["period"])
    return list(order.sort_values(["block", "group", "number"]).index)
