"""Explanations agree with the verdicts, add up, and read as a chemist writes."""

import itertools

import numpy as np
import pytest
from known_formulas import random_counts
from pymatgen.core import Composition

from matgan import ELEMENTS
from matgan.chemistry.composition import CompositionError, amounts, formulas
from matgan.chemistry.explanation import Explanation, explain
from matgan.chemistry.oxidation import electronegativities, oxidation_states, reports
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced


@pytest.mark.parametrize("states", ["smact14", "wiki", "pymatgen_sp"])
@pytest.mark.parametrize("mixed_valence", [False, True])
def test_an_explanation_agrees_with_the_verdict_and_adds_up(mp_compositions, states, mixed_valence):
    sample = [
        *mp_compositions["formula"].sample(150, random_state=9),
        *formulas(random_counts(150, seed=9)),
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
            assert charge == 0
        if len(said.ions) > 1:
            assert all(state in table[symbol] for symbol, _, state in said.ions)
            shown = np.zeros(85)
            for symbol, atoms, _ in said.ions:
                shown[ELEMENTS.index(symbol)] += atoms
            assert formulas(shown[None]) == [f]
        if b:
            for (c, _, up), (a, _, down) in itertools.product(said.ions, repeat=2):
                assert not (up > 0 > down and eneg[c] >= eneg[a])


@pytest.mark.parametrize(
    ("formula", "options", "text"),
    [
        ("BaTiO3", {}, "BaTiO3: Ba²⁺ Ti⁴⁺ 3 O²⁻, neutral and balanced [smact14]"),
        ("Fe6O8", {"mixed_valence": True}, "Fe3O4: Fe²⁺ 2 Fe³⁺ 4 O²⁻, neutral and balanced"),
        ("LiF2", {}, "LiF2: no choice is neutral; the nearest, Li⁺ 2 F⁻, has the charge -1"),
        ("TiAl", {}, "Ti⁻ Al⁺ is neutral, but Al⁺ (1.61) is not less electronegative than Ti⁻"),
        ("PmCl3", {}, "is neutral, but Pm has no electronegativity"),
        ("TcO2", {"oxidation_states": "pymatgen_sp"}, "no oxidation state is known for Tc"),
        ("Fe2", {}, "Fe: a single element passes"),
    ],
)
def test_explanations_to_read(formula, options, text):
    assert text in str(explain(formula, **options))


def test_explain_wants_whole_amounts():
    with pytest.raises(CompositionError, match=r"whole numbers"):
        explain("Fe0.95O")


def likeliest(sites, states):
    """By brute force: the neutral choice with the most reports in ICSD, each atom counted."""
    share = {}
    for symbol in {symbol for symbol, _ in sites}:
        known = {s: n for (e, s), n in reports().items() if e == symbol}
        share[symbol] = {s: max(n, 0.5) / sum(known.values()) for s, n in known.items()}
    best = None
    for choice in itertools.product(*(states[symbol] for symbol, _ in sites)):
        if sum(n * s for (_, n), s in zip(sites, choice, strict=True)) == 0:
            score = sum(
                n * np.log(share[e].get(s, 0.5 / sum(share[e])))
                for (e, n), s in zip(sites, choice, strict=True)
            )
            best = max(best or (score, choice), (score, choice))
    return best and best[1]


@pytest.mark.parametrize(
    "formula",
    ["Fe2O3", "MnO2", "K2Cr2O7", "V2O5", "SnS", "PbO2", "CuO", "NiO", "Li2MnCo3O8", "Mn3CrP4"],
)
def test_the_likeliest_assignment_is_shown(formula):
    said = explain(formula)
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
