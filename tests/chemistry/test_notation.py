"""How people write formulas: each case with its right value, or its clear error.

Most stand for a public report; the right values are by hand, by pymatgen or by chempy.
"""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_formulas import FORMULAS, as_dict, as_row
from pymatgen.core import Composition

from matgan import ELEMENTS
from matgan.chemistry.composition import CompositionError, amounts, amounts_matrix, formula
from matgan.chemistry.inputs import SuspiciousFormula
from matgan.chemistry.notation import plain, suspicion
from matgan.data.sources import SourceUnavailable, read_csv, wheel_table

READ = {
    "hydrates": """
        CuSO4·5H2O = Cu S O9 H10 | CuSO4•5H2O = Cu S O9 H10 | CuSO4⋅5 H2O = Cu S O9 H10
        CuSO4∙5H2O = Cu S O9 H10 | CuSO4*5H2O = Cu S O9 H10 | Al₂O₃·3H₂O = Al2 O6 H6
        CaSO4·0.5H2O = Ca S O4.5 H | CaSO4·½H2O = Ca S O4.5 H | CaSO4·1½H2O = Ca S O5.5 H3
        MgCl2 * 6 H2O = Mg Cl2 H12 O6 | MgCl2 x 6 H2O = Mg Cl2 H12 O6
        LiBr*(H2O)18 = Li Br H36 O18 | CaSO4·H2O = Ca S O5 H2 | K[Al(SO4)2·12H2O] = K Al S2 O20 H24
        CuSO4·3H2O·NH3 = Cu S O7 H9 N | LaCl3·3CH3OH = La Cl3 C3 H12 O3
    """,
    "a full stop that can only be a hydrate": """
        Zn(NO3)2.6H2O = Zn N2 O12 H12 | CuSO4.5H2O = Cu S O9 H10 | Na2CO3.10H2O = Na2 C O13 H20
        CaCl2.2H2O = Ca Cl2 H4 O2 | CoCl2.6NH3 = Co Cl2 N6 H18 | CuSO4.5D2O = Cu S O9 H10
        CaSO4.0.5H2O = Ca S O4.5 H | Na0.3CoO2.1.3H2O = Na0.3 Co O3.3 H2.6 | CaSO4.H2O = Ca S O5 H2
        CuSO4.3H2O.NH3 = Cu S O7 H9 N | MgO.Al2O3 = Mg Al2 O4 | (CuSO4.5H2O)2 = Cu2 S2 O18 H20
    """,
    "a full stop that is a decimal point": """
        V2O4.05H2O = V2 O5.05 H2 | NdU0.5H2O = Nd U0.5 H2 O
        Gd1Ba2Cu3.96Fe0.04H2O8 = Gd Ba2 Cu3.96 Fe0.04 H2 O8
        Na0.35CoO2(H2O)1.3 = Na0.35 Co O3.3 H2.6 | CuSO4.5 = Cu S O4.5
    """,
    "numbers before the parts": """
        3CaO·Al2O3·6H2O = Ca3 Al2 O12 H12 | 0.7Li2S·0.3P2S5 = Li1.4 P0.6 S2.2
        2CaO·3(H2O·CO2)2 = Ca2 O20 H12 C6 | 3Al2O3·2SiO2 = Al6 Si2 O13
    """,
    "brackets": """
        (NH4)2[FeCl5(H2O)] = N2 H10 Fe Cl5 O | K4[Fe(CN)6] = K4 Fe C6 N6 | {[(H)2]2}2 = H8
        (Bi2(Mg0.667Nb1.333)O7)((Bi2(Mg0.667Nb1.333)O7)0.9(SrCO3)0.1) =
            Bi3.8 Mg1.2673 Nb2.5327 O13.6 Sr0.1 C0.1
    """,
    "charges": """
        Fe3+ = Fe | Na+ = Na | O2- = O | Ca++ = Ca | Hg22+ = Hg2 | C60- = C60 | Fe^3+ = Fe
        Fe³⁺ = Fe | Fe+3 = Fe | NO3- = N O3 | NH4+ = N H4 | H3O+ = H3 O | OH- = O H | MnO4- = Mn O4
        SO42- = S O4 | PO43- = P O4 | Cr2O72- = Cr2 O7 | SO4 2- = S O4 | SO4-2 = S O4
        SO4^{2-} = S O4 | SO₄²⁻ = S O4 | SO4(2-) = S O4 | (SO4)2- = S O4 | CO3−2 = C O3
        [Fe(CN)6]4- = Fe C6 N6 | [Fe(CN)6]^{4-} = Fe C6 N6 | Fe[CN]6-3 = Fe C6 N6
        Ag[NH3]+2 = Ag N H3 | [Cu(H2O)6]²⁺ = Cu H12 O6 | Al(OH)4- = Al O4 H4
    """,
    "oxidation states": """
        Fe(III)2O3 = Fe2 O3 | FeIIFeIII2O4 = Fe3 O4 | Fe^{II}Fe^{III}2O4 = Fe3 O4
        Fe(II,III)3O4 = Fe3 O4 | MnIIO = Mn O | Pb(IV)O2 = Pb O2 | Fe(2+)O = Fe O
        Li+1Mn+3.5O-2 = Li Mn O | Fe³⁺₂O²⁻₃ = Fe2 O3 | Li^+Mn^{3+}O_2 = Li Mn O2
        K2Mo(VI)O4 = K2 Mo O4
    """,
    "elements that look like states": """
        VI3 = V I3 | CsVI3 = Cs V I3 | Cs(Pb)(I)3 = Cs Pb I3 | VIr = V Ir
    """,
    "exponents": """
        Nb O1.9 S1e-1 = Nb O1.9 S0.1 | Na1e5Cl = Na100000 Cl | Fe1.5E-3O = Fe0.0015 O
        Fe0.00009Ni0.99991 = Fe0.00009 Ni0.99991
    """,
    "isotopes": """
        D2O = H2 O | LiD = Li H | Ca(OD)2 = Ca O2 H2 | T2O = H2 O | HDO = H2 O | ND3 = N H3
        ²H2O = H2 O | ^{57}Fe2O3 = Fe2 O3 | DCl = H Cl
    """,
    "endohedral": "Dy3N@C80 = Dy3 N C80 | Li@C60 = Li C60 | Sc3N @ C80 = Sc3 N C80",
    "LaTeX": r"""
        Fe_2O_3 = Fe2 O3 | Fe$_2$O$_3$ = Fe2 O3 | $\mathrm{Fe_2O_3}$ = Fe2 O3
        Fe$_{2}$O$_{3}$ = Fe2 O3 | $\rm YBa_2Cu_3O_{6.95}$ = Y Ba2 Cu3 O6.95
        \ce{CuSO4 * 5H2O} = Cu S O9 H10 | CuSO$_4 \cdot$ 5H$_2$O = Cu S O9 H10
        $\mathrm{SO_4^{2-}}$ = S O4 | $\text{Ba}_{0.4}\text{K}_{0.6}$Fe$_2$ = Ba0.4 K0.6 Fe2
        La\textsubscript{2}CuO\textsubscript{4} = La2 Cu O4 | \(TiO_2\) = Ti O2
    """,
    "HTML": """
        Fe<sub>2</sub>O<sub>3</sub> = Fe2 O3 | SO<sub>4</sub><sup>2-</sup> = S O4
        CuSO<sub>4</sub>&middot;5H<sub>2</sub>O = Cu S O9 H10 | <i>Ca</i>CO<SUB>3</SUB> = Ca C O3
        Fe<sup>3+</sup><sub>2</sub>O<sub>3</sub> = Fe2 O3
    """,
    "quotes": """
        "(Li2S)0.7 (P2S5)0.3" = Li1.4 S2.2 P0.6 | 'TiO2' = Ti O2 | “TiO2” = Ti O2 | `NaCl` = Na Cl
        «KCl» = K Cl
    """,
    "states of matter": "NaCl(s) = Na Cl | Na+(aq) = Na | CO2(g) = C O2 | Ca(OH)2(aq) = Ca O2 H2",
    "letters that are what they say": """
        CO2 = C O2 | CS2 = C S2 | HF = H F | BN = B N | KNO3 = K N O3 | YBO3 = Y B O3 | YB6 = Y B6
        KSCN = K S C N | COF2 = C O F2 | VI3 = V I3 | UC = U C | BP = B P | H2SO4 = H2 S O4
        CaBi 2 = Ca Bi2 | PO4 = P O4 | LiNO3 = Li N O3 | CHCl3 = C H Cl3 | Si136 = Si136
        B105 = B105 | C60 = C60 | S18 = S18 | Hg29 = Hg29 | K20 = K20 | Cu20Sn6 = Cu20 Sn6
        Na10Si102 = Na10 Si102
        Ba7Al64O103 = Ba7 Al64 O103 | IN3 = I N3 | CSNO3 = C S N O3 | CS3N = C S3 N
    """,
}  # fmt: skip


def cases():
    for kind, lines in READ.items():
        for case in re.split(r"\s*\|\s*|\n(?!\s+Bi3.8)\s*", lines.strip()):
            text, _, right = case.partition(" = ") if " = " in case else case.partition(" =\n")
            yield pytest.param(text.strip(), right, id=f"{kind}: {text.strip()}")


def by_hand(terms):
    return {s: float(n or 1) for s, n in re.findall(r"([A-Z][a-z]?)([0-9.]*)", terms)}


@pytest.mark.parametrize(("text", "right"), cases())
def test_is_read_as_a_chemist_reads_it(text, right):
    assert as_dict(amounts(text)) == pytest.approx(by_hand(right), rel=1e-12)
    np.testing.assert_array_equal(amounts_matrix(["NaCl", text, "KCl"])[1], amounts(text))


SUSPICIOUS = {
    # a number with a leading zero
    "(Ba0.6Sr04)TiO3": "04 starts with a zero: is 0.4 meant, or the letter O",
    "LiFeP04": "04 starts with a zero",
    "BaTi03": "03 starts with a zero",
    # nicknames of superconductors, and zeros for the letter O
    "Tl2212": "2,212 atoms of one element: is it a nickname",
    "Bi2212": "2,212 atoms",
    "NiSO4·6H20": "H20 is 20 atoms of hydrogen: is H2O meant",
    "CuSO4.5H20": "H20 is 20 atoms of hydrogen",
    "Y123": "123 atoms",
    "Hg1223": "1,223 atoms",
    "La214": "214 atoms",
    "Fe203": "203 atoms of one element: .*letter O",
    "B203": "203 atoms",
    "H20": "is H2O meant",
    "Cu20": "is Cu2O meant",
    "LiMn204": "Mn204 stands beside no oxygen: is Mn2O4 meant",
    "La1.85Sr0.15Cu104": "is Cu1O4 meant",
    "INF": "INF is an abbreviation",
    "YBCO": "YBCO is an abbreviation",
    "KDP": "KDP is an abbreviation",
    # capitals for small letters
    "SIO2": "is SiO2 meant",
    "CU2O": "is Cu2O meant",
    "PB": "is Pb meant",
    "NI": "is Ni meant",
    "BI2O3": "is Bi2O3 meant",
    "SNO2": "is SnO2 meant",
    "CSI": "is CsI meant",
    "HFO2": "is HfO2 meant",
    "IN2O3": "is In2O3 meant",
    "CDS": "is CdS meant",
    "ND2O3": "is Nd2O3 meant",
    "NIO": "is NiO meant",
    "BaTIO3": "TI may be Ti",
    "Sr4V2.7TI0.3O9.51": "TI may be Ti",  # as in SuperCon
    # above the line
    "TiO²": "the superscript 2 is no charge",
    "Cu(I)2O": r"\(I\) may be an oxidation state or an element",
}


@pytest.mark.parametrize("text", SUSPICIOUS)
def test_what_hardly_means_what_it_says_is_refused_with_the_reason(text):
    with pytest.raises(CompositionError, match=SUSPICIOUS[text]) as error:
        amounts(text)
    assert error.value.formula == text
    with pytest.raises(CompositionError, match=f"^row 1, formula {re.escape(repr(text))}: "):
        amounts_matrix(["NaCl", text])
    read = amounts(text, suspicious="allow")
    with pytest.warns(SuspiciousFormula, match=SUSPICIOUS[text]):
        np.testing.assert_array_equal(amounts(text, suspicious="warn"), read)


def test_suspicious_rows_are_refused_read_with_one_warning_or_read():
    texts = pd.Series(["NaCl", "Sr04", "Qq", "SIO2", "TiO2"], index=list("abcde"))
    rows, bad = amounts_matrix(texts, "nan", report=True)
    assert bad["index"].tolist() == ["b", "c", "d"]
    assert np.isnan(rows[[1, 2, 3]]).all()
    np.testing.assert_array_equal(rows[[0, 4]], [as_row(Na=1, Cl=1), as_row(Ti=1, O=2)])
    read = [as_row(Na=1, Cl=1), as_row(Sr=4), as_row(S=1, I=1, O=2), as_row(Ti=1, O=2)]
    for first in (["Sr04", "Qq"], ["Qq", "Sr04"]):  # the first bad row is named, of either kind
        with pytest.raises(CompositionError, match=f"^row 0, formula '{first[0]}'"):
            amounts_matrix(first)
    with pytest.warns(SuspiciousFormula, match=r"^row 1, formula 'Sr04': .*; 1 more$") as warned:
        rows, bad = amounts_matrix(texts, "drop", "warn", report=True)
    assert len(warned) == 1 and bad["index"].tolist() == ["c"]
    np.testing.assert_array_equal(rows, read)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(amounts_matrix(texts, "drop", "allow"), read)
        assert formula("Sr04", suspicious="allow") == "Sr"
    for wrong in (
        lambda: amounts("NaCl", "ignore"),
        lambda: amounts_matrix(["NaCl"], "drop", "no"),
    ):
        with pytest.raises(ValueError, match="suspicious must be 'raise', 'warn' or 'allow', not"):
            wrong()


REFUSED = {
    # two meanings
    "Na0.3CoO2.1H2O": "'2.1' before a molecule may be a decimal or a hydrate: write ·",
    "Fe3+2O2-3": "unexpected '\\+' at character 4 .*write a charge as",
    "YBa2Cu3O6+0.95": r"'6\+0.95' may be atoms or a charge",
    "Bi2Sr2CaCu2O8+0.2": r"'8\+0.2' may be atoms or a charge",
    "C6H12-": "'12-' may be atoms or a charge: write the charge as",
    "B1Sr2Ca3Cu4O2N+3": r"'\+3' may be atoms or a charge",  # 2N + 3 oxygen atoms, as in SuperCon
    "Hg0.3Pb0.7Sr1.75La0.25Cu1O4+2": r"'4\+2' may be atoms or a charge",
    "FeIIMnIVO3": "look alike",
    # variables
    "MgCl2·xH2O": "x is a variable: give its value",
    "Ca1-xEuxBi2Ta2O9": "x is a variable",
    "YBa2Cu3O7-δ": "δ is a variable",
    "YBa2Cu3O7-d": "d is a variable",
    "FeOx": r"unknown element symbol 'Ox' \(if x is a variable, give its value\)",
    # other notations
    "SrTiO3:Pr,Al": "unexpected ':' at character 7",
    "ZnSe0,5S0,5": "unexpected ',' at character 6: write a decimal point",
    "Ga,65As": "unexpected ',' at character 3: write a decimal point",
    "Na+Cl-": r"unexpected '\+' at character 3 .*write a charge as \^\{3\+\}",
    "Pb-Sn": "unexpected '-' at character 3: write a charge",
    "Sm1Ba-1Cu3O6.94": "unexpected '-' at character 6",  # as in SuperCon
    "A2D2O7": "unknown element symbol 'A'",
    "RE2O3": "unknown element symbol 'R'",
    "NACL": "unknown element symbol 'A'",
    # broken
    "CuSO4·": "nothing follows the ·",
    "CuSO4·5": "nothing follows the ·",
    "·5H2O": "nothing stands before a ·",
    "CuSO4··5H2O": "nothing stands before a ·",
    "(CuSO4·)2": "a pair of brackets is empty",
    "@C60": "unexpected '@'",
    "^{2+}Fe": "the charge 2\\+ stands before the formula",
    "Fe^{x}": "the superscript 'x' is no charge",
    "Fe1e-400O": "Fe has the amount 0",
    "Fe1e-40000O": "Fe has the amount 0",
    "O1e400": "formula 'O1e400': the amount 1e400 is too large",
    "TiO2.5E+1000": r"formula 'TiO2.5E\+1000': the amount 2.5E\+1000 is too large",
    "O1e20": r"O has the amount 1e\+20",
    "+": r"unexpected '\+'",
    '""': "unexpected '\"'",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(text):
    for suspicious in ("raise", "warn", "allow"):
        with pytest.raises(CompositionError, match=REFUSED[text]) as error:
            amounts(text, suspicious)
        assert error.value.formula == text


# --- invariants -----------------------------------------------------------------------------------


def subscripts(text):
    return text.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


@given(FORMULAS)
def test_every_notation_of_a_formula_is_the_same_formula(text_and_amounts):
    text, _ = text_and_amounts
    row = amounts(text, "allow")
    number = r"(?<=[A-Za-z)])([0-9.]+)"
    latex = re.sub(number, r"_{\1}", text)
    for other in (
        f'"{text}"',
        f"${latex}$",
        rf"\mathrm{{{latex}}}",
        re.sub(number, r"<sub>\1</sub>", text),
        subscripts(text),
        f"[{text}]^{{2+}}",
    ):
        np.testing.assert_allclose(amounts(other, "allow"), row, rtol=1e-12)


@given(FORMULAS, FORMULAS, st.integers(1, 12))
def test_parts_add_up_and_the_order_does_not_matter(one, other, n):
    both = amounts(one[0], "allow") + n * amounts(other[0], "allow")
    for text in (
        f"{one[0]}·{n}({other[0]})",
        f"{n}({other[0]}) * {one[0]}",
        f"{one[0]}({other[0]}){n}",
    ):
        np.testing.assert_allclose(amounts(text, "allow"), both, rtol=1e-12)


@given(FORMULAS)
def test_the_formula_of_the_amounts_is_a_fixed_point(text_and_amounts):
    written = formula(text_and_amounts[0], "allow")
    assert formula(written, "allow") == written
    assert plain(written) == (written, None)


# --- real data ------------------------------------------------------------------------------------

TABLES = ["matbench/mp_e_form", "matbench/mp_gap", "matbench/expt_gap", "matbench/expt_is_metal"]


def names(source):
    try:
        if "/" in source:
            return wheel_table(source)["formula"]
        column = {"hu2020_supercon": "composition", "supercon": "name"}.get(source, "formulas")
        return read_csv(source, None, {column: "str"})[column]
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


@pytest.mark.parametrize(
    "source", [*TABLES, "hu2020_oqmd", "hu2020_mp_gap", "hu2020_supercon", "supercon"]
)
def test_no_real_formula_is_suspicious(source):
    """But the four of SuperCon that have TI for Ti; and each is read as it is without a look."""
    texts = names(source)
    strict, bad = amounts_matrix(texts, "drop", report=True)
    loose, still_bad = amounts_matrix(texts, "drop", "allow", report=True)
    odd = set(bad["row"]) - set(still_bad["row"])
    assert {texts.iloc[row] for row in odd} == {
        "supercon": {
            "Sr4V2.7TI0.3O9.51",
            "Sr4V2.85TI0.15O9.6",
            "Ba1V0.8TI0.2S3",
            "Sr4V2.82TI0.18O9.47",
        }
    }.get(source, set())
    assert len(still_bad) < 0.005 * len(texts)
    if not odd:
        np.testing.assert_array_equal(strict, loose)


def test_no_formula_of_oqmd_is_suspicious(oqmd_raw):
    texts = oqmd_raw["formula"]
    _, bad = amounts_matrix(texts, "drop", report=True)
    assert bad["reason"].str.startswith("Kr is not one").all()
    assert not texts.sample(5000, random_state=1).map(suspicion).any()


def test_pymatgen_agrees_where_it_reads_a_notation_at_all():
    agreed = 0
    for text, _ in (case.values for case in cases()):  # noqa: PD011
        try:
            theirs = Composition(text)
        except Exception:  # of many kinds
            continue
        symbols = {"D": "H", "T": "H"}
        theirs = [(symbols.get(e.symbol, e.symbol), n) for e, n in theirs.items()]
        if all(symbol in ELEMENTS for symbol, _ in theirs):
            same = as_dict(amounts(text)) == pytest.approx(dict(theirs), rel=1e-6)
            agreed += same
            # it takes the full stop of a hydrate for a decimal point, and states for iodine
            assert same or re.search(r"\.[0-9]*\.?[0-9]*(H2O|D2O|NH3)|HDO|[0-9][+-]|I", text), text
    assert agreed > 40
