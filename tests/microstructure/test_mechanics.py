"""The solver against laminates in closed form and finite elements assembled here."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from matgan.microstructure import mechanics
from matgan.microstructure.generation import Collection, Morphology, microstructure
from matgan.microstructure.mechanics import Isotropic, effective_c11, effective_stiffness, solve
from matgan.microstructure.statistics import hashin_shtrikman, voigt_reuss

PAIR = mechanics.two_phases(50)
OTHERS = (Isotropic(2.0, 0.1), Isotropic(30.0, 0.4))  # with different Poisson's ratios
NOISE = np.random.default_rng(0).random((3, 4, 5)) < 0.5
CORNERS = np.array(list(np.ndindex(2, 2, 2)))


def strain_matrix(place):
    """(6, 24) strain at a place of a unit cube from its corners' displacements, trilinear."""
    matrix = np.zeros((6, 24))
    for a, corner in enumerate(CORNERS):
        weight = np.where(corner, place, 1 - place)
        x, y, z = ((2 * corner[i] - 1) * np.delete(weight, i).prod() for i in range(3))
        columns = [[x, 0, 0], [0, y, 0], [0, 0, z], [0, z, y], [z, 0, x], [y, x, 0]]
        matrix[:, 3 * a : 3 * a + 3] = columns
    return matrix


def finite_elements(phases, materials, load, points):
    """Strain at the middle of each voxel, and C · load, by assembled trilinear elements."""
    at = [strain_matrix(place) for place in points]
    n, nodes = phases.size, np.arange(phases.size).reshape(phases.shape)
    rows, columns, values, right = [], [], [], np.zeros(3 * n)
    stress, places = np.zeros(6), []
    for voxel in np.ndindex(*phases.shape):
        corners = [nodes[tuple((voxel + c) % phases.shape)] for c in CORNERS]
        places.append(np.add.outer(3 * np.array(corners), np.arange(3)).ravel())
        C = materials[int(phases[voxel])].matrix()
        own = sum(b.T @ C @ b for b in at) / len(at)
        rows += [np.repeat(places[-1], 24)]
        columns += [np.tile(places[-1], 24)]
        values += [own.ravel()]
        np.add.at(right, places[-1], -sum(b.T @ C @ load for b in at) / len(at))
    stiffness = coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    ).tocsr()
    # one corner is held; a tiny spring stops what reduced integration lets move freely
    free = np.arange(3, 3 * n)
    held = stiffness[free][:, free] + 1e-9 * coo_matrix((np.ones(3 * n - 3), [free - 3] * 2))
    u = np.zeros(3 * n)
    u[free] = spsolve(held.tocsc(), right[free])
    middle = strain_matrix(np.full(3, 0.5))
    strain = np.array([middle @ u[place] + load for place in places])
    for voxel, place in zip(np.ndindex(*phases.shape), places, strict=True):
        C = materials[int(phases[voxel])].matrix()
        stress += sum(C @ (b @ u[place] + load) for b in at) / len(at) / n
    return strain.T.reshape(6, *phases.shape), stress


GAUSS = 0.5 + np.array([-1, 1])[np.array(list(np.ndindex(2, 2, 2)))] / np.sqrt(12)


def laminate(pair, share):
    """C11 across the layers, C22 and C12 along them (Postma 1955), the first axis across."""
    lame, shear = (np.array([getattr(m, name) for m in pair]) for name in ("lame", "shear"))
    stiff, weights = lame + 2 * shear, np.array([1 - share, share])
    across = 1 / (weights @ (1 / stiff))
    ratio = weights @ (lame / stiff)
    along = weights @ (4 * shear * (lame + shear) / stiff) + ratio**2 * across
    return across, along, ratio * across, 1 / (weights @ (1 / shear)), weights @ shear


@pytest.mark.parametrize("pair", [PAIR, OTHERS], ids=["contrast 50", "other ratios"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_laminates_are_exact(pair, axis):
    shape = np.array([4, 5, 6])
    phases = np.zeros(shape, dtype=bool)
    np.moveaxis(phases, axis, 0)[:2] = True
    C = effective_stiffness(phases, pair, 1e-9)
    across, along, sideways, slip, shear = laminate(pair, 2 / shape[axis])
    j, k = (axis + 1) % 3, (axis + 2) % 3
    assert C[axis, axis] == pytest.approx(across, rel=1e-9)
    assert C[j, j] == pytest.approx(along, rel=1e-9)
    assert C[axis, k] == pytest.approx(sideways, rel=1e-9)
    assert C[3 + j, 3 + j] == pytest.approx(slip, rel=1e-9)  # shear of the planes axis and k
    assert C[3 + axis, 3 + axis] == pytest.approx(shear, rel=1e-9)


@pytest.mark.parametrize("load", np.eye(6)[[0, 2, 4]], ids=["xx", "zz", "xz"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 3, 3)])
def test_strains_are_those_of_assembled_elements(load, shape):
    """Of elements with one point of integration: Willot's scheme, built another way."""
    phases = np.random.default_rng(1).random(shape) < 0.5
    found = solve(phases, OTHERS, load, 1e-10)
    strain, stress = finite_elements(phases, OTHERS, load, [np.full(3, 0.5)])
    np.testing.assert_allclose(found.strain, strain, atol=1e-6)
    np.testing.assert_allclose(found.stress, stress, atol=1e-6)


def test_full_elements_come_from_above_and_meet_it_on_finer_grids():
    """Eight points of integration overestimate every stiffness; one point does less."""
    phases = np.zeros((3, 3, 3), dtype=bool)
    phases[0, :2, :2] = phases[2, 2, 2] = phases[1, 0, 2] = True
    gaps = []
    for factor in (1, 3):
        fine = mechanics.refined(phases, factor)
        _, full = finite_elements(fine, mechanics.two_phases(10), np.eye(6)[0], GAUSS)
        gaps.append(full[0] / effective_c11(fine, mechanics.two_phases(10)) - 1)
    assert 0 < gaps[1] < 0.5 * gaps[0]


def test_the_stiffness_is_symmetric_positive_and_within_its_bounds():
    volumes = Collection(15)
    for number in range(4):
        phases = volumes.volume(number)
        C = effective_stiffness(phases, OTHERS, 1e-8)
        np.testing.assert_allclose(C, C.T, atol=1e-6 * C[0, 0])
        share = phases.mean()
        upper = (1 - share) * OTHERS[0].matrix() + share * OTHERS[1].matrix()
        inverse = [np.linalg.inv(m.matrix()) for m in OTHERS]
        lower = np.linalg.inv((1 - share) * inverse[0] + share * inverse[1])
        assert np.linalg.eigvalsh(upper - C).min() > 0
        assert np.linalg.eigvalsh(C - lower).min() > 0
        high, low = voigt_reuss(share, OTHERS)
        assert low == pytest.approx(lower[0, 0]) and high == pytest.approx(upper[0, 0])


def test_an_isotropic_mixture_keeps_to_hashin_and_shtrikman():
    pair = mechanics.two_phases(10)
    for fraction in (0.3, 0.6):
        phases = microstructure(Morphology("gaussian", (27, 27, 27), fraction, (2, 2, 2)), [0])
        means = np.mean([solve(phases, pair, e).stress[i] for i, e in enumerate(np.eye(6)[:3])])
        upper, lower = hashin_shtrikman(fraction, pair)
        assert lower < means < upper


def test_axes_and_origin_do_not_matter():
    C = effective_stiffness(NOISE, PAIR, 1e-8)
    turned = effective_stiffness(NOISE.transpose(1, 2, 0), PAIR, 1e-8)
    order = [1, 2, 0, 4, 5, 3]
    np.testing.assert_allclose(turned, C[np.ix_(order, order)], atol=1e-6)
    rolled = np.roll(NOISE, (1, 2, 3), (0, 1, 2))
    np.testing.assert_allclose(effective_stiffness(rolled, PAIR, 1e-8), C, atol=1e-6)


def test_the_energy_is_that_of_the_means():
    """Hill's lemma; the mean strain is the load."""
    load = np.array([0.5, -0.2, 0.1, 0.3, -0.4, 0.7])
    found = solve(NOISE, OTHERS, load, 1e-9)
    np.testing.assert_allclose(found.strain.mean((1, 2, 3)), load, atol=1e-12)
    matrices = np.stack([m.matrix() for m in OTHERS])[NOISE.astype(int)]
    energy = np.einsum("iabc,abcij,jabc->abc", found.strain, matrices, found.strain).mean()
    assert energy == pytest.approx(found.stress @ load, rel=1e-8)


def test_one_material_alone_strains_as_the_load_and_needs_no_iteration():
    found = solve(np.ones((3, 2, 4), dtype=bool), PAIR)
    assert found.iterations == 0
    assert found.stress[0] == pytest.approx(PAIR[1].uniaxial)
    assert np.ptp(found.strain, axis=(1, 2, 3)).max() == 0
    still = solve(NOISE, PAIR, np.zeros(6))
    assert still.iterations == 0 and not still.strain.any()


def test_a_tolerance_is_one_of_the_stiffness():
    """At the default tolerance C11 is within a millionth of where it ends."""
    phases = Collection(15).volume(1)
    for contrast in (10, 50, 1 / 50):
        pair = mechanics.two_phases(contrast)
        assert effective_c11(phases, pair) == pytest.approx(
            effective_c11(phases, pair, 1e-10), rel=1e-6
        )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Isotropic(0.0), "Young's modulus must be above 0"),
        (lambda: Isotropic(1.0, 0.5), "Poisson's ratio must be between"),
        (lambda: solve(np.zeros((3, 3)), PAIR), r"phases must be \(n1, n2, n3\)"),
        (lambda: solve(np.full((3, 3, 3), 2), PAIR), "whole numbers from 0 to 1"),
        (lambda: solve(np.full((3, 3, 3), 0.5), PAIR), "whole numbers from 0 to 1"),
        (lambda: solve(np.full((3, 3, 3), np.nan), PAIR), "whole numbers from 0 to 1"),
        (lambda: solve(NOISE, PAIR, (1.0, 0, 0)), "the load must be six finite strains"),
        (lambda: solve(NOISE, PAIR, [np.nan] * 6), "the load must be six finite strains"),
    ],
)
def test_what_makes_no_sense_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_what_does_not_converge_is_said():
    with pytest.raises(RuntimeError, match="not converged after 2 iterations"):
        solve(NOISE, PAIR, most=2)
