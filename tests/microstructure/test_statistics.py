"""Statistics of microstructures against brute force and extreme mixtures in closed form."""

import numpy as np
import pytest

from matgan.microstructure import statistics
from matgan.microstructure.mechanics import Isotropic, two_phases

PHASES = np.random.default_rng(0).random((3, 4, 5)) < 0.4


@pytest.mark.parametrize("phases", [PHASES, PHASES[0]], ids=["3-D", "2-D"])
def test_two_point_statistics_count_pairs(phases):
    found = statistics.two_point(phases)
    for vector in np.ndindex(*phases.shape):
        count = sum(
            phases[place] and phases[tuple(np.add(place, vector) % phases.shape)]
            for place in np.ndindex(*phases.shape)
        )
        assert found[vector] == pytest.approx(count / phases.size)


def test_two_point_statistics_of_many_volumes_are_those_of_each():
    many = np.random.default_rng(1).random((3, 4, 4, 4)) < 0.5
    np.testing.assert_allclose(
        statistics.two_point(many), [statistics.two_point(one) for one in many]
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lineal_paths_count_lines(axis):
    phases = np.random.default_rng(2).random((4, 5, 6)) < 0.8
    found = statistics.lineal_path(phases, axis)
    assert len(found) == phases.shape[axis]
    for length in range(1, phases.shape[axis] + 1):
        count = 0
        for place in np.ndindex(*phases.shape):
            line = [list(place) for _ in range(length)]
            for step, voxel in enumerate(line):
                voxel[axis] = (voxel[axis] + step) % phases.shape[axis]
            count += all(phases[tuple(voxel)] for voxel in line)
        assert found[length - 1] == pytest.approx(count / phases.size)
    np.testing.assert_array_equal(statistics.lineal_path(phases, axis, 2), found[:2])


def test_many_images_keep_their_axes_apart():
    many = np.random.default_rng(3).random((2, 3, 5, 6)) < 0.6
    two, path = (
        statistics.two_point(many, 2),
        statistics.lineal_path(many, 1, 4, dimensions=2),
    )
    assert two.shape == many.shape and path.shape == (2, 3, 4)
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(two[place], statistics.two_point(many[place]))
        np.testing.assert_array_equal(path[place], statistics.lineal_path(many[place], 1, 4))
    np.testing.assert_array_equal(path, statistics.lineal_path(many, -1, 4, dimensions=2))


@pytest.mark.parametrize("shape", [(8, 9), (4, 5, 6)], ids=["2-D", "3-D"])
def test_radial_means_average_over_vectors_of_a_length(shape):
    values = np.random.default_rng(4).random(shape)
    found = statistics.radial_mean(values)
    assert len(found) == min(shape) // 2 + 1 and found[0] == values.flat[0]
    for r in range(len(found)):
        nearest = [np.minimum(p, np.subtract(shape, p)) for p in np.ndindex(*shape)]
        ring = [
            v for v, p in zip(values.flat, nearest, strict=True) if round(np.hypot.reduce(p)) == r
        ]
        assert found[r] == pytest.approx(np.mean(ring))
    stack = np.stack([values, 2 * values])
    np.testing.assert_allclose(
        statistics.radial_mean(stack, 1, len(shape)), np.outer([1, 2], found[:2])
    )


def test_a_length_that_no_vector_has_is_refused():
    values = np.random.default_rng(4).random((6, 8))
    assert np.isfinite(statistics.radial_mean(values, 5)).all()  # hypot(3, 4)
    with pytest.raises(ValueError, match=r"at most 5 for \(6, 8\), not 6"):
        statistics.radial_mean(values, 6)


def test_bounds_meet_at_the_pure_phases_and_keep_their_order():
    pair = two_phases(50)
    fractions = np.linspace(0, 1, 11)
    voigt, reuss = statistics.voigt_reuss(fractions, pair)
    upper, lower = statistics.hashin_shtrikman(fractions, pair)
    for bound in (voigt, reuss, upper, lower):
        assert bound[[0, -1]] == pytest.approx([pair[0].uniaxial, pair[1].uniaxial])
    inner = slice(1, -1)
    assert (reuss[inner] < lower[inner]).all() and (upper[inner] < voigt[inner]).all()
    assert (lower[inner] < upper[inner]).all()
    swapped = statistics.hashin_shtrikman(1 - fractions, pair[::-1])
    np.testing.assert_allclose(swapped, (upper, lower))


def test_the_stiffer_in_shear_where_bulk_moduli_are_equal():
    pair = (Isotropic(0.75, 0.25), Isotropic(1.5, 0.0))
    assert pair[0].bulk == pair[1].bulk and pair[0].shear < pair[1].shear
    for materials in (pair, pair[::-1]):
        upper, lower = statistics.hashin_shtrikman(0.5, materials)
        assert upper > lower


def test_equal_shear_moduli_give_hills_exact_bulk_modulus():
    """Both bounds meet there: K + 4μ/3 is averaged harmonically (Hill 1963)."""
    shear = 1.0
    bulks = (1.0, 6.0)
    pair = tuple(
        Isotropic(9 * K * shear / (3 * K + shear), (3 * K - 2 * shear) / 2 / (3 * K + shear))
        for K in bulks
    )
    exact = 1 / (0.7 / (bulks[0] + 4 / 3) + 0.3 / (bulks[1] + 4 / 3))
    assert statistics.hashin_shtrikman(0.3, pair) == pytest.approx((exact, exact))


def test_the_bounds_of_the_shear_modulus_are_those_of_hashin_and_shtrikman():
    """Their formula as printed: G1 + v2 / (1/(G2 - G1) + 6 (K1 + 2 G1) v1 / 5 G1 (3 K1 + 4 G1))."""
    pair = (Isotropic(1.0, 0.2), Isotropic(10.0, 0.3))
    ends = []
    for (one, two), v2 in ((pair, 0.4), (pair[::-1], 0.6)):
        K1, G1, v1 = one.bulk, one.shear, 1 - v2
        K = K1 + v2 / (1 / (two.bulk - K1) + 3 * v1 / (3 * K1 + 4 * G1))
        G = G1 + v2 / (1 / (two.shear - G1) + 6 * (K1 + 2 * G1) * v1 / (5 * G1 * (3 * K1 + 4 * G1)))
        ends.append(K + 4 / 3 * G)
    assert statistics.hashin_shtrikman(0.4, pair) == pytest.approx(ends[::-1])


def test_materials_that_cross_are_refused():
    with pytest.raises(ValueError, match="neither material is the stiffer"):
        statistics.hashin_shtrikman(0.5, (Isotropic(1.0, 0.45), Isotropic(1.1, 0.0)))
