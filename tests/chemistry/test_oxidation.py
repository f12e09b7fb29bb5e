"""Oxidation states against the tables that SMACT ships, read here by other means."""

import json
from pathlib import Path

import numpy as np
import pytest
import smact
from pymatgen.core import Element
from smact.screening import MIXED_VALENCE_ELEMENTS, ICSD24FilterConfig

from matgan import ELEMENTS
from matgan.chemistry.composition import amounts
from matgan.chemistry.oxidation import (
    SETS,
    OxidationStates,
    electronegativities,
    has_mixed_valence,
    mixed_valence_tried,
    oxidation_states,
    reports,
)
from matgan.chemistry.validity import charge_neutral, explain

DATA = Path(smact.__file__).parent / "data"
FILES = {
    "smact14": "oxidation_states.txt",
    "icsd16": "oxidation_states_icsd.txt",
    "icsd24": "oxidation_states_icsd24_filtered.txt",
    "pymatgen_sp": "oxidation_states_SP.txt",
    "wiki": "oxidation_states_wiki.txt",
}


def read(file: str) -> dict[str, set[int]]:
    lines = [line.split() for line in (DATA / file).read_text(encoding="utf-8").splitlines()]
    return {line[0]: {int(s) for s in line[1:]} for line in lines if line and line[0][0] != "#"}


@pytest.mark.parametrize("name", FILES)
def test_a_set_is_what_stands_in_smacts_file(name):
    ours, theirs = oxidation_states(name), read(FILES[name])
    assert ours.name == name
    for symbol in ELEMENTS:
        assert set(ours[symbol]) == theirs.get(symbol, set()), symbol


def test_the_consensus_set_has_three_reports_or_more():
    ours = oxidation_states("icsd24-consensus")
    for symbol in ELEMENTS:
        known = {s for (e, s), n in reports().items() if e == symbol and n >= 3 and s != 0}
        assert set(ours[symbol]) == known, symbol
    assert ours.states != oxidation_states("icsd24").states
    assert oxidation_states(ICSD24FilterConfig()).states == ours.states
    strict = oxidation_states(ICSD24FilterConfig(consensus=500))
    assert all(set(a) <= set(b) for a, b in zip(strict.states, ours.states, strict=True))
    assert strict.name != ours.name and sum(map(len, strict.states)) < sum(map(len, ours.states))


def test_reports_are_those_of_icsd():
    file = DATA / "oxidation_states_icsd24_counts.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    theirs = {(r["element"], r["oxidation_state"]): r["results_count"] for r in rows}
    assert {key: n for key, n in reports().items() if n} == {k: n for k, n in theirs.items() if n}
    assert max(reports(), key=reports().get) == ("O", -2)


def test_known_states_of_the_list_of_2014():
    # BaTiO3, Fe3O4, KMnO4, a peroxide: as every textbook has them
    table = oxidation_states()
    assert table["Ba"] == (2,) and table["Ti"][-1] == 4 and {2, 3} <= set(table["Fe"])
    assert 7 in table["Mn"] and {-1, -2} <= set(table["O"])
    assert set(SETS) == {*FILES, "icsd24-consensus"}


def test_a_set_goes_through_as_it_is():
    table = oxidation_states("icsd16")
    assert oxidation_states(table) is table
    mine = oxidation_states({"Na": [1], "Cl": {-1}, "Kr": [2], "Fe": np.array([2, 3])})
    assert isinstance(mine, OxidationStates) and mine.name == "user's table"
    assert (mine["Na"], mine["Cl"], mine["Fe"], mine["O"]) == ((1,), (-1,), (2, 3), ())


def test_a_file_in_smacts_format(tmp_path):
    file = tmp_path / "states.txt"
    file.write_text("# my states\nLi +1\n\nFe +2 +3  # two\nO -2\nXe\n", encoding="utf-8")
    for path in (file, str(file)):
        table = oxidation_states(path)
        assert (table["Li"], table["Fe"], table["O"], table["Xe"]) == ((1,), (2, 3), (-2,), ())
        assert table.name == str(file)
    theirs = oxidation_states(DATA / FILES["smact14"])
    assert [set(s) for s in theirs.states] == [set(s) for s in oxidation_states().states]


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ("smact15", "unknown set of oxidation states 'smact15': not one of smact14"),
        (None, "not NoneType"),
        ({"Xy": [1]}, "'Xy', which is no element"),
        ({"Fe": [2.5]}, "Fe has the oxidation state 2.5"),
        ({"Fe": [True]}, "Fe has the oxidation state True"),
        ({"Fe": [200]}, "from -20 to 20"),
        ({"Fe": "2 3"}, "Fe must be a list"),
        ({"Fe": 2}, "Fe must be a list, not 2"),
    ],
)
def test_bad_states_are_named_by_every_function(states, message):
    for function in (
        oxidation_states,
        lambda s: charge_neutral(["NaCl"], s),
        lambda s: explain("NaCl", s),
    ):
        with pytest.raises(ValueError, match=message):
            function(states)


def test_a_bad_file_is_named_with_its_line(tmp_path):
    file = tmp_path / "states.txt"
    file.write_text("# mine\nFe +2 +3\nO two\n")
    with pytest.raises(ValueError, match=r"states.txt, line 3: 'O two'"):
        oxidation_states(file)


def test_electronegativities_are_paulings():
    ours = dict(zip(ELEMENTS, electronegativities(), strict=True))
    assert [s for s, value in ours.items() if np.isnan(value)] == ["Pm"]
    assert (ours["F"], ours["O"], ours["Cs"]) == (3.98, 3.44, 0.79)
    differ = {s for s in ELEMENTS if s != "Pm" and abs(ours[s] - Element(s).X) > 0.05}
    # SMACT and pymatgen have other editions of the scale for these
    assert differ == set("Tc Tb Lu W Pt Au Hg Tl Pb Bi U Np".split())


def test_mixed_valence_is_tried_for_smacts_elements_up_to_a_million_combinations():
    several = has_mixed_valence()
    assert {ELEMENTS[i] for i in np.flatnonzero(several)} == set(MIXED_VALENCE_ELEMENTS) & {
        *ELEMENTS
    }
    table = oxidation_states()

    def tried(formula):
        row = amounts(formula)
        elements = np.flatnonzero(row)
        states = [len(table.states[e]) ** (row[e] if several[e] else 1) for e in elements]
        expected = several[elements].any() and np.prod(states) <= 1_000_000
        found = mixed_valence_tried(elements[None], row[elements][None], table).item()
        assert found == expected, formula
        return found

    assert tried("Fe3O4") and not tried("NaCl")
    table = oxidation_states({"Fe": [2, 3], "O": [-2]})
    assert tried("Fe19O4") and not tried("Fe20O4")  # 2^19 and 2^20 of them
