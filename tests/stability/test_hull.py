import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from scipy.optimize import linprog

from matgan import CompositionError
from matgan.chemistry.composition import amounts_matrix, fractions
from matgan.stability import hull as module
from matgan.stability.hull import Hull, HullError, hull, hull_distance


def by_pymatgen(formulas, energies, row):
    """Energy above pymatgen's hull of the other compounds of the same elements."""
    own = Composition(formulas[row])
    entries = [PDEntry(Composition({element: 1}), 0.0) for element in own.elements]
    for other, (formula, energy) in enumerate(zip(formulas, energies, strict=True)):
        composition = Composition(formula)
        if other != row and set(composition.elements) <= set(own.elements):
            entries.append(PDEntry(composition, energy * composition.num_atoms))
    return energies[row] - PhaseDiagram(entries).get_hull_energy_per_atom(own)


def by_highs(shares, energies, row):
    """The same linear programme for scipy's HiGHS."""
    elements = np.flatnonzero(shares[row])
    inside = (np.delete(shares, elements, axis=1) == 0).all(axis=1)
    inside[row] = False
    matrix = np.vstack([shares[inside][:, elements], np.eye(len(elements))]).T
    cost = np.r_[energies[inside], np.zeros(len(elements))]
    return energies[row] - linprog(cost, A_eq=matrix, b_eq=shares[row, elements]).fun


@pytest.fixture(scope="module")
def systems(oqmd_raw):
    """Compounds of 40 elements chosen at random, in which some thousand systems are complete."""
    raw = oqmd_raw[oqmd_raw["target"].abs() <= 5].sample(40_000, random_state=0)
    amounts, bad = amounts_matrix(raw["formula"], on_error="drop", report=True)
    kept = np.ones(len(raw), dtype=bool)
    kept[bad["row"].to_numpy(dtype=int)] = False
    return raw["formula"][kept].tolist(), raw["target"][kept].to_numpy(), amounts


def test_distances_are_those_of_pymatgen(systems):
    formulas, energies, amounts = systems
    distances = hull_distance(amounts, energies)
    rows = np.random.default_rng(1).choice(len(energies), 60, replace=False)
    for row in rows:
        present = amounts[row] > 0
        near = np.flatnonzero((amounts[:, ~present] == 0).all(axis=1))
        place = int(np.flatnonzero(near == row)[0])
        expected = by_pymatgen([formulas[i] for i in near], energies[near], place)
        assert distances[row] == pytest.approx(expected, abs=1e-9)


def test_distances_are_those_of_a_general_solver(systems):
    _, energies, amounts = systems
    distances, shares = hull_distance(amounts, energies), fractions(amounts)
    for row in np.random.default_rng(2).choice(len(energies), 100, replace=False):
        assert distances[row] == pytest.approx(by_highs(shares, energies, row), abs=1e-9)


@pytest.mark.slow
def test_thousands_of_distances_are_those_of_pymatgen(oqmd_raw):
    raw = oqmd_raw[oqmd_raw["target"].abs() <= 5]
    chosen = {"Li", "Na", "Fe", "Mn", "Ti", "O", "S", "P", "Al"}
    raw = raw[[set(map(str, Composition(f).elements)) <= chosen for f in raw["formula"]]]
    formulas, energies = raw["formula"].tolist(), raw["target"].to_numpy()
    distances = hull_distance(formulas, energies)
    assert len(formulas) > 1000
    for row in range(len(formulas)):
        assert distances[row] == pytest.approx(by_pymatgen(formulas, energies, row), abs=1e-9)


def test_a_hull_by_hand():
    """Li2O at -2 and a peroxide below the line from it to oxygen, an oxide above it."""
    formulas, energies = ["Li2O", "LiO", "LiO3"], [-2.0, -1.6, -0.7]
    # LiO (x = 1/2) alone: 3/4 of Li2O and oxygen -1.5; LiO3: half LiO and oxygen -0.8
    # Li2O (x = 2/3): two thirds of LiO and lithium, -1.6 * 2/3
    np.testing.assert_allclose(
        hull_distance(formulas, energies), [-2 + 1.6 / 1.5, -1.6 + 1.5, -0.7 + 0.8]
    )
    made = hull(formulas, energies)
    mixture = made.mixture(["LiO3", "LiO", "Li3O2"])
    assert made.written(mixture)[1] == "1 LiO"
    assert sorted(made.written(mixture)[0].split(" + ")) == ["0.5 LiO", "0.5 O"]
    assert sorted(made.written(mixture)[2].split(" + ")) == ["0.4 LiO", "0.6 Li2O"]
    np.testing.assert_allclose(mixture.amounts.sum(axis=1), 1)
    np.testing.assert_allclose(made.energy(["LiO3", "Li", "NaCl"]), [-0.8, 0, 0])
    assert hull_distance(["LiO3"], [-0.9], against=made) == pytest.approx([-0.1])


def test_a_mixture_has_the_composition_and_the_energy_of_the_hull(systems):
    _, energies, amounts = systems
    made, asked = Hull(amounts, energies), amounts[:300]
    mixture, shares = made.mixture(asked), fractions(amounts)
    pure = np.eye(85)
    for row, own in enumerate(fractions(asked)):
        parts = [
            (a, pure[-1 - r] if r < 0 else shares[r], 0.0 if r < 0 else energies[r])
            for a, r in zip(mixture.amounts[row], mixture.rows[row], strict=True)
            if a > 0
        ]
        np.testing.assert_allclose(sum(a * x for a, x, _ in parts), own, atol=1e-9)
        assert sum(a * e for a, _, e in parts) == pytest.approx(made.energy(asked)[row], abs=1e-9)


def test_long_programmes_end_at_the_optimum():
    """With 20 elements some take more than 50 steps, and then go on by Bland's rule."""
    rng = np.random.default_rng(4)
    shares, wanted = np.zeros((500, 85)), np.zeros((40, 85))
    shares[:, :20] = rng.dirichlet(np.ones(20), 500)
    energies = -rng.random(500)
    wanted[:, :20] = rng.dirichlet(np.ones(20), 40)
    found = hull(shares, energies)
    for x, energy in zip(wanted, found.energy(wanted), strict=True):
        matrix = np.vstack([shares[:, :20], np.eye(20)]).T
        cost = np.r_[energies, np.zeros(20)]
        assert energy == pytest.approx(linprog(cost, A_eq=matrix, b_eq=x[:20]).fun, abs=1e-9)
    assert found.mixture(wanted).rows.shape == (40, 20)  # no wider than the elements


@pytest.mark.parametrize("steepest", [0, 50], ids=["Bland's rule alone", "as it ships"])
@pytest.mark.parametrize("seed", [11, 66, 67])
def test_degenerate_programmes_end_at_the_optimum(monkeypatch, seed, steepest):
    """Compositions of sixteenths and few energies, so many ties.

    With these seeds Bland's rule goes round for ever where compounds enter before elements.
    """
    monkeypatch.setattr(module, "_STEEPEST", steepest)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(16, np.full(10, 0.1), 40)
    energies = -rng.integers(0, 4, 40).astype(float)
    wanted = np.vstack([counts, counts + counts[::-1]])
    wanted = wanted[(wanted > 0).all(axis=1)]
    made = hull(np.pad(counts, ((0, 0), (0, 75))), energies)
    found = made.energy(np.pad(wanted, ((0, 0), (0, 75))))
    matrix, cost = np.vstack([counts / 16, np.eye(10)]).T, np.r_[energies, np.zeros(10)]
    for x, energy in zip(wanted / wanted.sum(axis=1, keepdims=True), found, strict=True):
        assert energy == pytest.approx(linprog(cost, A_eq=matrix, b_eq=x).fun, abs=1e-9)


def test_a_hull_that_is_not_reached_is_an_error_with_its_row(monkeypatch):
    formulas, energies = ["Li2O", "NaCl", "LiO", "LiO3"], [-2.0, np.nan, -1.6, -0.7]
    made = hull(formulas, energies)
    monkeypatch.setattr(module, "_PIVOTS", 1)
    for asked in (made.energy, made.mixture):
        with pytest.raises(HullError, match="row 1: the hull was not reached in 1 pivots"):
            asked(["TiO2", "LiO3"])
    with pytest.raises(HullError, match="row 0: the hull was not reached"):
        made.distance(["LiO3"], [-0.9])
    with pytest.raises(HullError, match="row 2: the hull was not reached"):
        hull_distance(["NaCl", "KI", "LiO3", "Li2O", "LiO"], [-2.0, -1.0, -0.7, -2.0, -1.6])


def test_each_row_alone_is_left_out_of_its_own_hull():
    """Of duplicates the other one stays; without both, Li2O stands against LiO and lithium."""
    formulas, energies = ["Li2O", "Li2O", "LiO"], [-2.0, -2.0, -1.0]
    np.testing.assert_allclose(hull_distance(formulas, energies), [0, 0, 0.5], atol=1e-12)
    made = hull(formulas, energies)
    without = energies - made.energy(formulas, others=True)
    np.testing.assert_allclose(without, [-2 + 2 / 3, -2 + 2 / 3, 0.5])
    np.testing.assert_allclose(without, made.energies - made.energy(made.amounts, others=True))


def test_of_equal_compositions_the_lower_one_competes():
    """Rutile and anatase; then two entries of one energy, which touch each other's hull."""
    distances = hull_distance(["TiO2", "Ti2O4", "TiO"], [-3.2, -3.1, -1.0])
    np.testing.assert_allclose(distances[:2], [-0.1, 0.1])
    np.testing.assert_allclose(hull_distance(["TiO2", "Ti2O4"], [-3.2, -3.2]), 0, atol=1e-12)


def test_a_composition_is_left_out_of_its_own_hull(systems):
    """As a hull of the others would say, entries twice included, and as own distances do."""
    _, energies, amounts = systems
    amounts, energies = np.vstack([amounts[:3000], 2 * amounts[:2]]), energies[:3002].copy()
    energies[3000:] = energies[:2] - 0.1
    made = Hull(amounts, energies)
    below = made.energy(amounts[:300], others=True)
    np.testing.assert_allclose(energies[2:300] - below[2:], made.own_distances()[2:300], atol=1e-12)
    others = Hull(amounts[1:3000], energies[1:3000])
    assert below[0] == pytest.approx(others.energy(amounts[:1])[0], abs=1e-12)
    assert 0 not in made.mixture(amounts[:1], others=True).rows
    assert made.energy(amounts[:1])[0] <= energies[3000] < below[0] + 1


def test_elements_have_the_energy_zero():
    assert hull_distance(["Ti", "Ti", "TiO2"], [0.0, 0.3, 1.0]).tolist() == [0.0, 0.3, 1.0]
    assert Hull([], []).energy(["TiO2"]).tolist() == [0]
    assert hull_distance([], []).shape == (0,)


def test_what_is_not_known_is_no_part_of_the_hull():
    """Without Li2O, LiO stands against LiO3 and lithium: two thirds of -0.7."""
    distances = hull_distance(["LiO", "Li2O", "LiO3"], [-1.6, np.nan, -0.7])
    np.testing.assert_allclose(distances, [-1.6 + 0.7 * 2 / 3, np.nan, 0.1])


def test_order_and_multiples_do_not_matter(systems):
    _, energies, amounts = systems
    amounts, energies = amounts[:5000], energies[:5000]
    order = np.random.default_rng(0).permutation(5000)
    first = hull_distance(amounts, energies)
    np.testing.assert_allclose(
        hull_distance(3 * amounts[order], energies[order]), first[order], atol=1e-9
    )


def test_many_elements(monkeypatch):
    """Nine elements, and the way of more elements than subsets are looked up for."""
    formulas = ["LiNaKRbCsFClBrI", "LiF", "NaCl", "KBr", "CsI", "RbF", "LiNaF2", "TiO2"]
    energies = [-1.0, -3.1, -2.1, -2.0, -1.8, -2.8, -2.7, -3.0]
    found = hull_distance(formulas, energies)
    assert found[0] == pytest.approx(by_highs(fractions(formulas), np.array(energies), 0))
    wide = ["LiNaKRbCsFClBrIMgCaSrBa", *formulas[1:]]
    found = hull_distance(wide, energies)
    assert found[0] == pytest.approx(by_highs(fractions(wide), np.array(energies), 0))


@pytest.mark.parametrize(
    ("formulas", "energies", "error", "why"),
    [
        (["TiO2"], [-3.0, 1.0], HullError, r"energies must be \(1,\)"),
        (["TiO2", "TiO"], [-3.0, np.inf], HullError, "row 1: the energy is inf"),
        (["TiO2", "TiQq"], [-3.0, 1.0], CompositionError, "TiQq"),
    ],
)
def test_what_makes_no_hull_is_named(formulas, energies, error, why):
    with pytest.raises(error, match=why):
        hull_distance(formulas, energies)


@pytest.mark.parametrize("against", [["TiO2"], (["TiO2"], [-3.0]), "TiO2"])
def test_what_is_no_hull_to_compare_with_is_named(against):
    with pytest.raises(HullError, match=r"must be a hull, as hull\(.* makes it, not .*TiO2"):
        hull_distance(["TiO"], [-3.0], against=against)


def test_systems_have_different_numbers(systems):
    present = np.unique(systems[2] > 0, axis=0)
    assert len(np.unique(module._systems(present))) == len(present)
