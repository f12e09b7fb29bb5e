"""Explanations agree with the verdicts, add up, and read as a chemist writes."""

import itertools
import re

import numpy as np
import pytest
from known_formulas import random_counts
from pymatgen.core import Composition

from matgan import ELEMENTS
from matgan.chemistry.composition import CompositionError, amounts, formulas, reduced_counts
from matgan.chemistry.explanation import Explanation, explain, written_ions
from matgan.chemistry.oxidation import electronegativities, oxidation_states, reports
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced


@pytest.mark.parametrize("states", ["smact14", "wiki", "pymatgen_sp"])
@pytest.mark.parametrize("mixed_valence", [False, True, "mean"])
def test_an_explanation_agrees_with_the_verdict_and_adds_up(mp_compositions, states, mixed_valence):
    n = 15 if mixed_valence == "mean" else 150  # some 50 ms each
    sample = [
        *mp_compositions["formula"].sample(n, random_state=9),
        *formulas(random_counts(n, seed=9)),
    ]
    options = {"oxidation_states": states, "mixed_valence": mixed_valence}
    neutral, balanced = (
        judge(sample, **options) for judge in (charge_neutral, electronegativity_balanced)
    )
    table = oxidation_states(states)
    eneg = dict(zip(ELEMENTS, electronegativities(), strict=True))
    for f, n, b in zip(sample, neutral, balanced, strict=True):
        said = explain(f, **options)
        assert (said.neutral, said.balanced) == (n, b), f
        charge = sum(atoms * state for _, atoms, state in said.ions)
        if n:
            assert charge == pytest.approx(0, abs=1e-5)
        if len(said.ions) > 1:
            assert all(state in table[symbol] for symbol, _, state in said.ions)
            shown = np.zeros(85)
            for symbol, atoms, _ in said.ions:
                shown[ELEMENTS.index(symbol)] += atoms
            assert formulas(np.round(shown, 4)[None]) == [f]
        if b:
            for (c, _, up), (a, _, down) in itertools.product(said.ions, repeat=2):
                assert not (up > 0 > down and eneg[c] >= eneg[a])


MEAN = {"mixed_valence": "mean"}
PAPER = {"oxidation_states": "smact14"}


@pytest.mark.parametrize(
    ("formula", "options", "text"),
    [
        ("BaTiO3", {}, "BaTiO3: Ba²⁺ Ti⁴⁺ 3 O²⁻, neutral and balanced [icsd24]"),
        # what a chemist says of pyrite, arsenopyrite, chalcopyrite and barium bismuthate
        ("FeS2", {}, "FeS2: Fe²⁺ 2 S⁻, neutral and balanced"),
        ("FeAsS", {}, "FeAsS: Fe³⁺ As⁻ S²⁻, neutral and balanced"),
        ("CuFeS2", {}, "Fe³⁺ Cu⁺ 2 S²⁻, neutral and balanced"),
        ("BaBiO3", {}, "BaBiO3: Ba²⁺ Bi⁴⁺ 3 O²⁻, neutral and balanced"),
        ("BaBiO3", MEAN, "Ba²⁺ 0.5 Bi³⁺ 0.5 Bi⁵⁺ 3 O²⁻, neutral and balanced"),
        (
            "BaBiO3",
            PAPER,
            "Ba²⁺ Bi⁺ 3 O⁻, neutral and balanced [smact14]",
        ),
        # mixed valence beyond SMACT's list, or in a cell of several formula units
        ("Pb3O4", MEAN, "2 Pb²⁺ Pb⁴⁺ 4 O²⁻, neutral and balanced"),
        ("Cs2SbCl6", MEAN, "2 Cs⁺ 0.5 Sb³⁺ 0.5 Sb⁵⁺ 6 Cl⁻, neutral and balanced"),
        ("Sm3S4", MEAN, "Sm²⁺ 2 Sm³⁺ 4 S²⁻, neutral and balanced"),
        ("Pr6O11", MEAN, "2 Pr³⁺ 4 Pr⁴⁺ 11 O²⁻, neutral and balanced"),
        ("Fe7S8", MEAN, "5 Fe²⁺ 2 Fe³⁺ 8 S²⁻, neutral and balanced"),
        ("NaCl2", MEAN, "no choice is neutral; the nearest, Na⁺ 2 Cl⁻, has the charge -1"),
        # fractions
        ("LiNi0.5Mn1.5O4", {}, "Li⁺ 1.5 Mn⁴⁺ 0.5 Ni²⁺ 4 O²⁻, neutral and balanced"),
        ("Bi2Mg0.667Nb1.333O7", {}, "0.6667 Mg²⁺ 1.333 Nb⁵⁺ 2 Bi³⁺ 7 O²⁻, neutral and balanced"),
        ("La1.85Sr0.15CuO4", {}, "has the charge -0.15"),
        ("La1.85Sr0.15CuO4", {"mixed_valence": True}, " 0.85 Cu²⁺ 0.15 Cu³⁺ 4 O²⁻, neutral and"),
        ("YBa2Cu3O6.95", {"mixed_valence": True}, " Y³⁺ 2.1 Cu²⁺ 0.9 Cu³⁺ 6.95 O²⁻, neutral"),
        ("Fe0.123456789O0.2", {}, "Fe³⁺"),  # no ratio: any mean state
        ("Fe0.5", {}, "a single element passes"),
        ("Fe6O8", {"mixed_valence": True}, "Fe3O4: Fe²⁺ 2 Fe³⁺ 4 O²⁻, neutral and balanced"),
        (
            "LiF2",
            PAPER,
            "LiF2: no choice is neutral; the nearest, Li⁺ 2 F⁻, has the charge -1",
        ),
        (
            "TiAl",
            PAPER,
            "Ti⁻ Al⁺ is neutral, but Al⁺ (1.61) is not less electronegative than Ti⁻",
        ),
        ("PmCl3", PAPER, "is neutral, but Pm has no electronegativity"),
        ("TcO2", {"oxidation_states": "pymatgen_sp"}, "no oxidation state is known for Tc"),
        ("Fe2", {}, "Fe: a single element passes"),
    ],
)
def test_explanations_to_read(formula, options, text):
    assert text in str(explain(formula, **options))


@pytest.mark.parametrize("states", ["smact14", "icsd24"])
@pytest.mark.parametrize(
    "options", [{}, {"mixed_valence": True}, MEAN, {"fractional": "linear"}], ids=str
)
def test_an_explanation_of_fractions_or_mean_states_agrees_with_the_verdict(options, states):
    sample = [
        "LiNi0.5Mn1.5O4", "La1.85Sr0.15CuO4", "YBa2Cu3O6.95", "Bi2Mg0.667Nb1.333O7", "Na0.5Cl",
        "Fe0.95O", "Li0.333La0.556TiO3", "Ba0.4K0.6Fe2As2", "TiAl0.5", "Ti0.1234567Al", "PmCl2.5",
        "Pb3O4", "Fe7S8", "Cs2SbCl6", "NaCl2", "Mg0.31TiN0.5", "Li6.4La3Zr1.4Ta0.6O12", "Au0.3Cl",
    ]  # fmt: skip
    options = {"oxidation_states": states} | options
    neutral, balanced = (
        judge(sample, **options) for judge in (charge_neutral, electronegativity_balanced)
    )
    assert 4 < balanced.sum() < neutral.sum() + 1 < len(sample)
    table = oxidation_states(states)
    for f, n, b in zip(sample, neutral, balanced, strict=True):
        said = explain(f, **options)
        assert (said.neutral, said.balanced) == (n, b), f
        charge = sum(atoms * state for _, atoms, state in said.ions)
        assert (abs(charge) < 1e-5) == n or not said.ions
        assert all(state in table[symbol] for symbol, _, state in said.ions)
        shown = np.zeros(85)
        for symbol, atoms, _ in said.ions:
            shown[ELEMENTS.index(symbol)] += atoms
        if said.ions:
            np.testing.assert_allclose(shown, amounts(f), rtol=2e-3)


def likeliest(sites, states):
    """By brute force: the neutral choice with the most reports in ICSD, each element counted."""
    share = {}
    for symbol in {symbol for symbol, _ in sites}:
        known = {s: n for (e, s), n in reports().items() if e == symbol}
        share[symbol] = {s: max(n, 0.5) / sum(known.values()) for s, n in known.items()}
    best = None
    for choice in itertools.product(*(states[symbol] for symbol, _ in sites)):
        if sum(n * s for (_, n), s in zip(sites, choice, strict=True)) == 0:
            score = sum(np.log(share[e][s]) for (e, _), s in zip(sites, choice, strict=True))
            best = max(best or (score, choice), (score, choice))
    return best and best[1]


@pytest.mark.parametrize(
    "formula",
    "Fe2O3 MnO2 K2Cr2O7 V2O5 SnS PbO2 CuO NiO Li2MnCo3O8 Mn3CrP4 FeS2".split(),
)
def test_the_likeliest_assignment_is_shown(formula):
    said = explain(formula, "smact14")
    sites = [(symbol, int(n)) for symbol, n in Composition(formula).reduced_composition.items()]
    sites = [(symbol.symbol, n) for symbol, n in sites]
    expected = dict(
        zip((s for s, _ in sites), likeliest(sites, oxidation_states("smact14")), strict=True)
    )
    assert {symbol: state for symbol, _, state in said.ions} == expected


@pytest.mark.parametrize("formula", ["BaTiO3", "NaCl2", "C60H300O2", "(Fe0.07)100O7"])
def test_a_formula_a_composition_and_its_amounts_are_explained_alike(formula):
    said = explain(formula)
    assert isinstance(said, Explanation)
    assert explain(amounts(formula)) == explain(np.rint(amounts(formula)).astype(int)) == said
    assert explain(Composition(formula)) == said
    assert repr(said) == str(said)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["NaCl"], "must be a string, not list"),
        ("NaQq", "unknown element symbol 'Qq'"),
        (np.ones(84), r"shape \(85,\), not \(84,\)"),
        (np.zeros(85), "the composition is empty"),
        ("CH300", "formula 'CH300': H has the amount 300"),
    ],
)
def test_what_cannot_be_explained_is_named(given, message):
    with pytest.raises(CompositionError, match=message):
        explain(given)


@pytest.mark.parametrize("states", ["icsd24", "smact14"])
def test_many_compositions_have_the_ions_that_explain_names(states, mp_compositions):
    formulas = [*mp_compositions["formula"][:300], "Xe", "NaCl2", "PmXe"]
    ions, rare = written_ions(reduced_counts(formulas), states, usual=states)
    for formula, text in zip(formulas, ions, strict=True):
        said = explain(formula, states)
        neutral = said.reason.split(", neutral and")[0].split(" is neutral, but")[0]
        if len(said.ions) > 1:
            assert text == (neutral if said.neutral else "")
    assert ions[-3:] == ["Xe⁰", "", ""] and rare[-3:].tolist() == [False, True, True]


def pymatgens_ions(formula):
    """States of pymatgen's likeliest guess, if each element has one: by frequencies of its own."""
    guesses = Composition(formula).oxi_state_guesses(max_sites=-1)
    whole = guesses and all(float(state).is_integer() for state in guesses[0].values())
    return {symbol: int(state) for symbol, state in guesses[0].items()} if whole else None


def states_of(text):
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
    ions = re.findall(r"([A-Z][a-z]?)([⁰¹²³⁴⁵⁶⁷⁸⁹]*)([⁺⁻])", text)
    return {s: (1 if sign == "⁺" else -1) * int(n.translate(digits) or 1) for s, n, sign in ions}


def test_usual_states_are_those_that_pymatgen_finds_likeliest(mp_compositions):
    known = """BaTiO3 LiFePO4 MgAl2O4 CaCO3 Na2SO4 ZrSiO4 Li2ZrO3 La2Zr2O7 CaF2 KNbO3 Y3Al5O12
        LiCoO2 NaCl ZnS SnO2 CuInS2 Cs2NaBiCl6 CsPbI3 SrTiO3 LaMnO3 NdFeO3 Ca5P3O12F Li7La3Zr2O12
        Na3PS4 ThO2 UO2 HfO2 CeO2 Bi2Te3 Ag2S BN AlN Mg2SiO4 KH2PO4 LiNbO3 YVO4 CaWO4 PbMoO4"""
    formulas = known.split()
    ions, rare = written_ions(reduced_counts(formulas))
    assert not rare.any()
    found = dict(zip(formulas, map(states_of, ions), strict=True))
    assert found == {formula: pymatgens_ions(formula) for formula in formulas}
    drawn = mp_compositions["formula"].sample(150, random_state=0).tolist()
    ions, rare = written_ions(reduced_counts(drawn))
    usual = {f: text for f, text, flag in zip(drawn, ions, rare, strict=True) if not flag}
    peer = {formula: pymatgens_ions(formula) for formula in usual}
    same = [states_of(text) == peer[f] for f, text in usual.items() if peer[f]]
    assert len(same) > 60 and np.mean(same) > 0.9


def test_only_rare_states_are_flagged():
    formulas = ["Li3CeZrO3", "Li2ZrO3", "BaO2", "BaO", "NaCl2", "Xe"]
    ions, rare = written_ions(reduced_counts(formulas))
    expected = ["3 Li⁺ Ce²⁺ Zr⁺ 3 O²⁻", "2 Li⁺ Zr⁴⁺ 3 O²⁻", "Ba²⁺ 2 O⁻", "Ba²⁺ O²⁻", "", "Xe⁰"]
    assert ions == expected and rare.tolist() == [True, False, True, False, True, False]
