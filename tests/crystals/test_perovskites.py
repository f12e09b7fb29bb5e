import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Element

from matgan.crystals import perovskites as pv
from matgan.data.sources import SourceUnavailable


@pytest.fixture(scope="module")
def published():
    try:
        return pv.load_ye2018()
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


@pytest.fixture(scope="module")
def found(crystals):
    return {name: pv.find_family(crystals, name) for name in pv.FAMILIES}


def test_sites_are_those_that_are_named_for_a_cation():
    charges = {"Ca": 2, "Ti": 4, "Y": 3, "Al": 3, "Au": 3, "Nd": 3, "Pm": 3}
    assert pv.assign_sites({"Ti": 1, "Ca": 1}, charges) == {"A": {"Ca": 1.0}, "B": {"Ti": 1}}
    # gold is larger than aluminium, and named for B only
    assert pv.assign_sites({"Au": 1, "Al": 1}, charges) == {"A": {"Al": 1.0}, "B": {"Au": 1}}
    assert pv.assign_sites({"Pm": 1, "Al": 1}, charges) is None


def test_where_both_ways_are_allowed_the_larger_cations_are_on_a():
    charges = {"Mg": 2, "Y": 3, "Al": 3, "Nd": 3, "Sc": 3}
    sites = pv.assign_sites({"Nd": 0.25, "Y": 0.75, "Al": 1}, charges)
    assert sites == {"A": {"Nd": 0.25, "Y": 0.75}, "B": {"Al": 1.0}}
    # the mean of a shared site counts, not its largest cation
    sites = pv.assign_sites({"Nd": 0.5, "Al": 0.5, "Y": 1}, charges)
    assert sites == {"A": {"Y": 1.0}, "B": {"Nd": 0.5, "Al": 0.5}}


@pytest.mark.parametrize(
    "cations",
    [{"Ca": 2}, {"Ca": 1, "Ti": 2}, {"Ca": 0.5, "Ti": 1.5}, {"Ca": 1, "Y": 0.5, "Al": 0.4}],
)
def test_what_is_no_perovskite_is_refused(cations):
    with pytest.raises(ValueError, match="one cation a site, or one and a pair"):
        pv.assign_sites(cations, dict.fromkeys(cations, 3))


def test_an_energy_by_hand(published):
    """Sm2Y6Ga8O24 from the numbers in the two files: the lowest of five, above the oxides."""
    oxides = 2 * -332.235363 / 16 + 6 * -364.529840 / 16 + 8 * -60.356990 / 4
    row = published.set_index("formula").loc["SmY3(GaO3)4"]
    assert row["energy"] == pytest.approx((-298.722313 - oxides) / 40, abs=1e-6)
    assert row["range"] == pytest.approx((298.722313 - 298.688729) / 40, abs=1e-6)
    assert (row["A"], row["B"], row["entries"]) == ("Sm0.25Y0.75", "Ga", 5)


def test_no_atom_is_lost_between_formula_and_sites(published, found):
    for table, family in ((published, "perovskite"), *((t, n) for n, t in found.items())):
        of = pv.FAMILIES[family]
        for row in table.to_dict("records"):
            total = Composition({"O": of.oxygen})
            for site, n in of.sites.items():
                total += Composition({e: n * x for e, x in Composition(row[site]).items()})
            formula, _ = total.get_integer_formula_and_factor()
            assert formula == Composition(row["formula"]).reduced_formula


def test_how_many_compounds_there_are(published, found):
    assert len(published) == published["formula"].nunique() == 582
    assert published.attrs["dropped"] == {
        "no neutral charges among the binary oxides": 93,
        "a cation that the source names for no site": 83,
    }
    assert {name: len(table) for name, table in found.items()} == {"perovskite": 169, "garnet": 45}


def test_unmixed_compounds_and_what_is_left_out_of_them(published):
    unmixed = pv.load_ye2018(mixed=False)
    whole = published[~published["A"].str.contains("0") & ~published["B"].str.contains("0")]
    pd.testing.assert_frame_equal(unmixed, whole.reset_index(drop=True))
    left = sum(unmixed.attrs["dropped"].values())
    assert len(unmixed) == 213 and left == 86 < sum(published.attrs["dropped"].values())


def test_wyckoff_positions_agree_with_the_rule_of_size(found):
    """Nothing of a radius enters Pnma's sites: 4c has the larger cation in nine of ten."""
    table = found["perovskite"]
    assert (table["r_A"] > table["r_B"]).mean() > 0.9
    assert table.set_index("formula").loc["SrSnO3", ["A", "B"]].tolist() == ["Sr", "Sn"]


def test_sites_of_garnets_have_eight_six_and_four_oxygens(found, crystals):
    table = found["garnet"].set_index("id")
    assert table.loc["mp-3050", ["C", "A", "D"]].tolist() == ["Y", "Al", "Al"]  # YAG
    row = table[(table["A"] != table["D"]) & (table["C"] != table["D"])].iloc[0]
    place = int(np.flatnonzero(crystals.table["id"] == row.name)[0])
    structure = crystals.structure(place)
    for site, n in (("C", 8), ("A", 6), ("D", 4)):
        atom = next(s for s in structure if s.specie.symbol == row[site])
        near = sorted(
            x.nn_distance for x in structure.get_neighbors(atom, 4) if x.specie.symbol == "O"
        )
        assert near[n] > near[n - 1] + 0.3, site  # a gap behind the last neighbour


def test_descriptors_of_a_shared_site_are_means():
    sites = {"A": {"Sm": 0.25, "Y": 0.75}, "B": {"Ga": 1.0}}
    described = pv.describe_sites(sites, {"Sm": 3, "Y": 3, "Ga": 3})
    assert described["X_A"] == pytest.approx(0.25 * Element("Sm").X + 0.75 * Element("Y").X)
    assert described["r_A"] == pytest.approx(0.25 * 0.958 + 0.75 * 0.9)
    assert list(described) == ["X_A", "r_A", "X_B", "r_B"]


def test_elements_on_sites_add_up_to_one(published):
    shares, names = pv.elements_of_sites(published)
    assert shares.shape == (582, len(names))
    on_a = np.array([name.startswith("A ") for name in names])
    assert np.allclose(shares[:, on_a].sum(1), 1) and np.allclose(shares[:, ~on_a].sum(1), 1)
    assert shares[0, names.index("A Sm")] == 0.25
    held, symbols = pv.cations_of(published)
    assert [s for s, there in zip(symbols, held[0], strict=True) if there] == ["Ga", "Sm", "Y"]
