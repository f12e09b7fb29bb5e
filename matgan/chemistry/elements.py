"""The 85 elements of the study, their index, and the order in which formulas are written."""

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

# Real elements that the study leaves out, so that an error can tell them from a typing mistake.
OTHER_ELEMENTS: frozenset[str] = frozenset(
    """
    He Ne Ar Kr Po At Rn Fr Ra Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
    Mc Lv Ts Og
    """.split()
)

# Chemists write a formula by rising Pauling electronegativity, equal values by symbol (KZn2Ru,
# TiO2). A test derives this order from pymatgen's electronegativities.
FORMULA_ORDER: tuple[str, ...] = tuple(
    """
    Cs K  Rb Ba Na Sr Li Ca Ac La Tb Yb Ce Pm Pr Nd Sm Eu Gd Dy Y  Ho Er Tm Lu Pu Hf Th Mg
    Zr Np Sc U  Pa Ta Ti Mn Be Nb Al Tl V  Zn Cr Cd In Ga Fe Co Cu Re Si Tc Ni Ag Sn Hg Ge
    Bi B  Sb Te Mo As P  H  Ir Os Pd Ru Pt Rh Pb W  Au C  Se S  Xe I  Br N  Cl O  F
    """.split()
)
