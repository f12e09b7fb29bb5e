"""Charge neutrality and electronegativity balance: the peer is SMACT itself."""

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_formulas import as_row, random_counts
from pymatgen.core import Composition
from smact.screening import ICSD24FilterConfig, smact_validity

from matgan import ELEMENTS
from matgan.chemistry import validity
from matgan.chemistry.composition import CompositionError, amounts, amounts_matrix, formulas
from matgan.chemistry.explanation import explain
from matgan.chemistry.oxidation import (
    ALSO_MIXED,
    electronegativities,
    has_mean_state,
    oxidation_states,
)
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced

JUDGES = {False: charge_neutral, True: electronegativity_balanced}
SETS = ("smact14", "icsd16", "icsd24", "pymatgen_sp", "wiki", "icsd24-consensus")


def smact_says(compositions, balanced, states="smact14", **options):
    options = {"include_alloys": False} | options
    if states == "icsd24-consensus":
        states = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SMACT's opinion of the set "wiki"
        return [
            smact_validity(f, use_pauling_test=balanced, oxidation_states_set=states, **options)
            for f in compositions
        ]


def disagreements(compositions, balanced, states="smact14", **options):
    ours = JUDGES[balanced](compositions, states, **options)
    theirs = smact_says(compositions, balanced, states, **options)
    return [
        (f, o, t) for f, o, t in zip(compositions, ours.tolist(), theirs, strict=True) if o != t
    ]


# --- the verdicts of SMACT ----------------------------------------------------------------------


@pytest.mark.parametrize("balanced", [False, True])
def test_verdict_is_smacts(oqmd, mp_compositions, balanced):
    sample = [
        *oqmd["formula"].sample(3000, random_state=1),
        *mp_compositions["formula"].sample(3000, random_state=1),
        *formulas(random_counts(3000)),
    ]
    assert disagreements(sample, balanced) == []


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("states", SETS[1:])
def test_verdict_is_smacts_for_every_set(mp_compositions, states, balanced):
    sample = [
        *mp_compositions["formula"].sample(400, random_state=2),
        *formulas(random_counts(400, seed=2)),
    ]
    assert disagreements(sample, balanced, states) == []


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"include_alloys": True},
        {"check_metallicity": True},
        {"check_metallicity": True, "metallicity_threshold": 0.5},
        {"include_alloys": True, "check_metallicity": True, "metallicity_threshold": 0.6},
    ],
)
def test_verdict_is_smacts_with_its_options(oqmd, mp_compositions, options, balanced):
    sample = [
        *oqmd["formula"].sample(200, random_state=3),
        *mp_compositions["formula"].sample(200, random_state=3),
        *formulas(random_counts(200, seed=3)),
    ]
    assert disagreements(sample, balanced, "icsd24", **options) == []


@pytest.mark.parametrize("states", ["smact14", "icsd24-consensus"])
def test_mixed_valence_is_smacts(oqmd, mp_compositions, states):
    sample = [
        *(f for f in oqmd["formula"].sample(400, random_state=4)),
        *(f for f in mp_compositions["formula"].sample(400, random_state=4)),
        "Fe3O4",
        "YBa2Cu3O7",
        "Mn8O7",  # beyond SMACT's million combinations
    ]
    several = re.compile(r"(Fe|Mn|Co|Cu|Ni|V|Ti|Cr|Nb|Mo|W|Re|Ru|Os|Pd|Ag|Au|Sn|Sb|Bi|Ce|Eu|Yb|U)")
    # SMACT needs seconds for many atoms of mixed valence
    sample = [f for f in sample if (several.search(f) and amounts(f).max() <= 4) or f == "Mn8O7"]
    assert len(sample) > 150
    for balanced in (False, True):
        assert disagreements(sample, balanced, states, mixed_valence=True) == []


def test_a_file_of_states_is_read_as_smact_reads_it(tmp_path):
    file = tmp_path / "states.txt"
    file.write_text("# my states\nLi +1\nFe +2 +3\nO -2\nXe\n")
    sample = ["Li2O", "LiO", "FeO", "Fe2O3", "Fe3O4", "LiFeO2", "LiXe", "NaO"]
    assert disagreements(sample, True, str(file)) == []
    table = {"Li": [1], "Fe": [2, 3], "O": [-2], "Xe": []}
    expected = [True, False, True, True, False, True, False, False]
    assert charge_neutral(sample, table).tolist() == expected
    assert charge_neutral(sample, file).tolist() == expected


def test_a_filter_of_icsd24_is_smacts():
    config = ICSD24FilterConfig(consensus=50, commonality="medium", include_zero=True)
    sample = formulas(random_counts(500, seed=5))
    theirs = [smact_validity(f, icsd_filter=config, include_alloys=False) for f in sample]
    assert electronegativity_balanced(sample, config).tolist() == theirs
    default = electronegativity_balanced(sample, ICSD24FilterConfig())
    assert (default == electronegativity_balanced(sample, "icsd24-consensus")).all()
    assert (default != electronegativity_balanced(sample, "icsd24")).any()


@pytest.mark.slow
@pytest.mark.parametrize("balanced", [False, True])
def test_verdict_is_smacts_on_all_compounds(oqmd, mp_compositions, balanced):
    everything = [*oqmd["formula"], *mp_compositions["formula"]]
    assert disagreements(everything, balanced) == []


@pytest.mark.slow
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("part", range(10))
def test_verdict_is_smacts_on_millions_of_random_compositions(part, balanced):
    # in parts, so that a run that was stopped can go on with -k; counts as drawn, not reduced
    counts = random_counts(250_000, seed=100 + part)
    written = ["".join(f"{ELEMENTS[e]}{row[e]}" for e in np.flatnonzero(row)) for row in counts]
    ours, theirs = JUDGES[balanced](counts), smact_says(written, balanced)
    assert [written[i] for i in np.flatnonzero(ours != theirs)] == []


# --- an independent reference where SMACT is too slow -------------------------------------------


def reference(counts, balanced):
    """Sets of total charges, for every limit between cations and anions in turn."""
    eneg = electronegativities()
    table = oxidation_states("smact14")
    elements = np.flatnonzero(counts)
    limits = sorted(set(eneg[elements])) if balanced else [None]
    for limit in limits:
        totals = {0}
        for e in elements:
            states = table.states[e]
            if limit is not None:
                states = [s for s in states if (s > 0) == (eneg[e] <= limit)]
            totals = {t + int(counts[e]) * s for t in totals for s in states}
        if 0 in totals:
            return not (balanced and np.isnan(eneg[elements]).any())
    return False


@pytest.mark.parametrize("balanced", [False, True])
def test_many_elements_and_large_counts(balanced):
    rng = np.random.default_rng(7)
    rows = np.zeros((400, 85), dtype=np.uint8)
    for row in rows:  # up to 22 elements; only some rows hold enough anions
        chosen = rng.choice(85, rng.integers(1, 20), False)
        row[chosen] = rng.integers(1, 40, len(chosen))
        row[[ELEMENTS.index(s) for s in ("Li", "O", "F")]] = rng.integers(1, 256, 3)
    ours = JUDGES[balanced](rows)
    assert ours.tolist() == [reference(row, balanced) for row in rows]
    assert 0.1 < ours.mean() < 0.9


def test_all_85_elements_at_once():
    # not balanced: promethium has no electronegativity
    everything = np.full((1, 85), 255)
    everything[0, 0] = 254
    assert charge_neutral(everything).item() is reference(everything[0], False)
    assert not electronegativity_balanced(everything).item()


# --- rules by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "neutral", "balanced"),
    [
        ("NaCl", True, True),
        ("NaCl2", False, False),  # Na +1 or -1; Cl at least -1
        ("BaTiO3", True, True),
        ("Fe3O4", False, False),  # one state for all atoms of an element
        ("TiAl", True, False),  # Ti is -1 at least, and Al is more electronegative
        ("SeC", True, False),  # a tie: both 2.55
        ("PmCl3", True, False),  # no electronegativity
        ("Pm", True, True),  # a single element passes
        ("O2", True, True),
    ],
)
def test_by_hand(formula, neutral, balanced):
    assert charge_neutral([formula]).item() is neutral
    assert electronegativity_balanced([formula]).item() is balanced


def test_state_zero_is_neither_cation_nor_anion():
    table = {"Na": [1], "Cl": [-1], "Au": [0], "Fe": [0]}
    # gold (2.54) lies between sodium and chlorine; iron and gold hold no charge at all
    assert electronegativity_balanced(["NaAuCl", "FeAu", "NaAu"], table).tolist() == [
        True,
        True,
        False,
    ]


def test_alloys():
    sample = ["TiAl", "GeSb", "Ti3SiC2", "PmAl", "Fe"]
    table = {"Ti": [4]}
    assert charge_neutral(sample, table).tolist() == [False, False, False, False, True]
    assert charge_neutral(sample, table, include_alloys=True).tolist() == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_unreduced_counts():
    sample = ["Ti2O4", "TiO2", "O2", "Fe6O8"]
    assert charge_neutral(sample).tolist() == [True, True, True, False]
    # an irreducible ratio is asked for: the rule of the paper's authors
    assert charge_neutral(sample, reduce=False).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("states", "neutral", "balanced"),
    [("smact14", 0.581, 0.435), ("icsd24", 0.392, 0.284), ("wiki", 0.933, 0.887)],
)
def test_rates_on_oqmd(oqmd, states, neutral, balanced):
    counts = amounts_matrix(oqmd["formula"])
    assert charge_neutral(counts, states).mean() == pytest.approx(neutral, abs=6e-4)
    assert electronegativity_balanced(counts, states).mean() == pytest.approx(balanced, abs=6e-4)


compositions = st.dictionaries(st.integers(0, 84), st.integers(1, 8), min_size=1, max_size=5).map(
    lambda counts: np.bincount(list(counts), list(counts.values()), 85).astype(int)
)


@given(compositions, st.integers(2, 20))
def test_invariants(counts, factor):
    both = np.stack([counts, factor * counts])
    neutral, balanced = charge_neutral(both), electronegativity_balanced(both)
    assert neutral[0] == neutral[1]
    assert balanced[0] == balanced[1]
    assert neutral[0] >= balanced[0]
    assert charge_neutral(both, mixed_valence=True)[0] >= neutral[0]
    assert electronegativity_balanced(both, mixed_valence=True)[0] >= balanced[0]


# --- fractional amounts and mean states -----------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "one_state", "mixed", "linear"),
    [
        ("LiNi0.5Mn1.5O4", True, True, True),  # Li2NiMn3O8: Li⁺ Ni²⁺ Mn⁴⁺
        ("Li6.4La3Zr1.4Ta0.6O12", True, True, True),
        ("Bi2Mg0.667Nb1.333O7", True, True, True),  # thirds
        ("Li0.333La0.556TiO3", True, True, True),  # 1/3 and 5/9
        ("Li0.33La0.56TiO3", False, True, True),  # two decimals are what they say
        ("Na0.5Cl0.5", True, True, True),
        ("Na0.5Cl", False, False, False),
        ("Fe0.95O", False, True, True),  # Fe²⁺ and Fe³⁺
        ("YBa2Cu3O6.95", False, True, True),  # Cu²⁺ and Cu³⁺
        ("Ba0.4K0.6Fe2As2", False, True, True),
        ("Zr0.85Y0.15O1.93", False, False, True),  # 1.925, rounded; Zr⁴⁺ alone does not do
        ("Zr0.85Y0.15O1.925", True, True, True),
        ("Mg0.3", True, True, True),  # a single element passes
        ("Na0.1234567Cl0.1234567", True, True, True),  # no ratio, as linear
        ("Na0.1234567Cl0.2234567", False, False, False),
    ],
)
def test_fractional_compositions_by_hand(formula, one_state, mixed, linear):
    sets = {"oxidation_states": "icsd24"}
    assert charge_neutral([formula], **sets).item() is one_state
    assert electronegativity_balanced([formula], **sets).item() is one_state
    assert charge_neutral([formula], mixed_valence=True, **sets).item() is mixed
    assert charge_neutral([formula], fractional="linear", **sets).item() is linear
    row = amounts(formula)
    assert charge_neutral(row[None], **sets).item() is one_state
    assert charge_neutral([formula, "NaCl", "NaCl2", formula], **sets).tolist() == [
        one_state, True, False, one_state,
    ]  # fmt: skip


MIXED = "Pb3O4 Cs2SbCl6 Sm3S4 Pr6O11 Fe7S8 Fe3O4 GaCl2 Ge5F12 As2O4 Te2O5 In2Cl3 TlCl2".split()
MIXED += "Tb4O7 Tm5Se6 Ta6Cl15 NaPt3O4 Mn3O4 Eu3S4".split()


@pytest.mark.parametrize("states", ["smact14", "icsd24"])
def test_mean_states_of_known_compounds(states):
    """Robin and Day 1967; each element beyond SMACT's list has its compound here."""
    assert set(ALSO_MIXED.values()) <= set(MIXED)
    assert charge_neutral(MIXED, states, mixed_valence="mean").all()
    assert electronegativity_balanced(MIXED, states, mixed_valence="mean").all()
    # and what no mixing makes neutral
    wrong = ["NaCl2", "CaF3", "LiO2", "Al2O", "ZnCl"]
    assert not charge_neutral(wrong, "icsd24", mixed_valence="mean").any()


def test_the_largest_count_is_one_that_is_judged():
    """255 sodium for 253 chlorine and an oxygen: no common divisor, and neutral."""
    irreducible, twice = "Na255Cl253O", "Na510Cl506O2"
    assert charge_neutral([irreducible, twice]).tolist() == [True, True]
    assert charge_neutral([irreducible, twice], reduce=False).tolist() == [True, False]


def test_which_elements_may_mix_in_fractional_compositions():
    """Iron by either option; lead, which SMACT does not mix, by its mean state only."""
    halves = ["Fe1.5O2", "Pb1.5O2", "Na0.5Cl0.5"]
    for mixing, expected in {
        False: [False, False, True], True: [True, False, True], "mean": [True, True, True],
    }.items():  # fmt: skip
        assert charge_neutral(halves, mixed_valence=mixing).tolist() == expected


def within_means(counts, balanced, states, mixing):
    """By brute force: every state of the elements that do not mix, both ends of the others."""
    eneg = electronegativities()
    elements = np.flatnonzero(counts)
    if balanced and np.isnan(eneg[elements]).any():
        return False
    for limit in sorted(set(eneg[elements])) if balanced else [None]:
        choices = []
        for e in elements:
            up = limit is None or eneg[e] <= limit
            down = limit is None or eneg[e] > limit
            some = [s for s in states.states[e] if (s >= 0 and up) or (s <= 0 and down)]
            if mixing[e]:
                signs = [[s for s in some if np.sign(s) == sign] for sign in (-1, 0, 1)]
                choices.append([(min(s), max(s)) for s in signs if s])
            else:
                choices.append([(s, s) for s in some])
        for choice in itertools.product(*choices):
            low, high = (counts[elements] @ np.array([c[end] for c in choice]) for end in (0, 1))
            if low <= 1e-9 and high >= -1e-9:
                return True
    return False


@pytest.mark.parametrize("balanced", [False, True])
def test_mean_states_against_brute_force(balanced):
    table = oxidation_states("icsd24")
    sample = random_counts(600, seed=11)
    sample = sample[((sample > 0).sum(axis=1) > 1) & ((sample > 0).sum(axis=1) < 5)]
    found = JUDGES[balanced](sample, "icsd24", mixed_valence="mean")
    expected = [within_means(row.astype(int), balanced, table, has_mean_state()) for row in sample]
    assert found.tolist() == expected
    halves = sample / 2  # split, or one half of whole numbers
    split = (halves % 1 != 0).any(axis=1)
    linear = JUDGES[balanced](halves, "icsd24", fractional="linear")
    every = np.ones(85, dtype=bool)
    expected = [within_means(row, balanced, table, every) for row in halves[split]]
    assert linear[split].tolist() == expected and 0.1 < np.mean(expected) < 0.9


fractions_of = st.dictionaries(st.integers(0, 84), st.integers(1, 8), min_size=2, max_size=4)


@given(fractions_of, st.sampled_from([2, 4, 5, 8, 10, 16, 3, 7]))
def test_fractions_are_judged_as_the_whole_numbers_they_stand_for(counts, divisor):
    whole = np.bincount(list(counts), list(counts.values()), 85)
    both = np.stack([whole, np.round(whole / divisor, 12)])
    for judge in JUDGES.values():
        assert len(set(judge(both).tolist())) == 1
        assert len(set(judge(np.round(both, 3)).tolist())) == 1 or divisor == 16


def test_options_that_are_none_are_named():
    for judge in (*JUDGES.values(), lambda X, **how: explain(X[0], **how)):
        with pytest.raises(
            ValueError, match="mixed_valence must be False, True or 'mean', not 'no'"
        ):
            judge(["NaCl"], mixed_valence="no")
        with pytest.raises(ValueError, match="fractional must be 'scale' or 'linear', not 'cut'"):
            judge(["NaCl"], fractional="cut")


# --- inputs ---------------------------------------------------------------------------------------


def test_kinds_of_input(oqmd):
    sample = oqmd["formula"].head(200)
    counts = amounts_matrix(sample)
    expected = charge_neutral(counts.astype(np.uint8))
    for same in (sample, list(sample), sample.to_numpy(), iter(sample), counts, counts.tolist()):
        assert (charge_neutral(same) == expected).all()
    assert charge_neutral([]).shape == charge_neutral(np.zeros((0, 85))).shape == (0,)


def test_columns_of_a_table_are_read_by_name():
    counts = amounts_matrix(["NaCl", "NaCl2", "Fe2O3"]).astype(int)
    table = pd.DataFrame(counts, columns=list(ELEMENTS))
    assert charge_neutral(table[list(ELEMENTS[::-1])]).tolist() == [True, False, True]
    assert charge_neutral([Composition("NaCl"), "NaCl2"]).tolist() == [True, False]
    with pytest.raises(CompositionError, match="85 element symbols"):
        charge_neutral(pd.DataFrame(counts))
    with pytest.raises(CompositionError, match="row 1: masked"):
        charge_neutral(np.ma.masked_equal(counts, 2))


def test_counts_are_judged_after_the_division():
    # 30 C, 150 H, 1 O: within the limit; what SMACT says of it
    large = ["C60H300O2", "Na300Cl300", "Mg300O150", "O300"]
    assert charge_neutral(large).tolist() == smact_says(large, False)
    assert charge_neutral(large[1:], reduce=False).tolist() == [False, False, True]
    assert charge_neutral(["(Fe0.07)100O8", "Fe7O8"]).tolist() == [False, False]
    assert charge_neutral(["(Fe0.29)100O29", "(Na0.07)100Cl7"]).tolist() == [True, True]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_rows_without_a_verdict(monkeypatch, chunk):
    monkeypatch.setattr(validity, "_CHUNK", chunk)
    sample = pd.Series(["NaCl", "Qq", "H2Q0.5O", "NaCl2", np.nan, "CH300", "KrF2", "O"])
    nothing = sample.index.isin([1, 2, 4, 5, 6])
    for judge in JUDGES.values():
        found = judge(sample, on_error="nan")
        assert found.dtype == "boolean"
        assert (found.isna() == nothing).all()
        assert found[~nothing].tolist() == judge(sample, on_error="drop").tolist()
        assert judge(sample, on_error="drop").tolist() == [True, False, True]
        assert judge(["NaCl"], on_error="nan").dtype == "boolean"  # whatever the rows are
        table = sample.to_frame("formula")
        assert table[found]["formula"].tolist() == ["NaCl", "O"]  # NA selects nothing
        with pytest.raises(ValueError, match="not 'ignore'"):
            judge(sample, on_error="ignore")
    rows = np.array([as_row(Na=1, Cl=1), as_row(), as_row(Na=0.5, Cl=1), as_row(Fe=-0.5)])
    assert charge_neutral(rows, on_error="nan").isna().tolist() == [False, True, False, True]


def test_many_rows_are_judged_in_parts(monkeypatch, oqmd):
    sample = amounts_matrix(oqmd["formula"].sample(1000, random_state=8))
    expected = {bal: judge(sample) for bal, judge in JUDGES.items()}
    monkeypatch.setattr(validity, "_CHUNK", 37)
    monkeypatch.setattr(validity, "_WORD_SPAN", 5)
    monkeypatch.setattr(validity, "_LONG_BITS", 100)
    for balanced, judge in JUDGES.items():
        assert (judge(sample) == expected[balanced]).all()
    sample[700, 3] = -1
    with pytest.raises(CompositionError, match=r"row 700.*B has the amount -1"):
        charge_neutral(sample)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (-0.5, "B has the amount -0.5"),
        (-1.0, "B has the amount -1"),
        (np.nan, "B has the amount nan"),
        (256.0, "formula .*: B has the amount 256, but counts must be whole numbers from 0 to 255"),
    ],
)
def test_bad_amounts(bad, message):
    counts = np.ones((3, 85))
    counts[1, 3] = bad
    for judge in JUDGES.values():
        with pytest.raises(CompositionError, match=message) as error:
            judge(counts)
        assert error.value.row == 1


@pytest.mark.parametrize(
    ("compositions", "message"),
    [
        (np.ones((2, 84)), r"\(n, 85\), not \(2, 84\)"),
        (np.ones(85), r"shape \(n, 85\), not \(85,\)"),
        (np.eye(85)[:3] * [[1], [0], [1]], "row 1: the composition is empty"),
        (["NaCl", "NaXy"], "row 1, formula 'NaXy': unknown element symbol 'Xy'"),
        (["NaCl", np.nan], "row 1.*missing value"),
        ("NaCl", "not the single string 'NaCl'"),
        ([np.nan], "row 0.*missing value"),
        (pd.DataFrame({"formula": [np.nan]}), "row 0.*missing value"),
        ({"NaCl"}, "not a set"),
        ([{"Na": 1}], "row 0.*must be a string, not dict"),
        (["CH300"], "row 0, formula 'CH300': H has the amount 300"),
    ],
)
def test_bad_compositions(compositions, message):
    with pytest.raises(ValueError, match=message):
        charge_neutral(compositions)
