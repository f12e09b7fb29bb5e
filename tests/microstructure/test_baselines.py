"""Baselines against SciPy, brute-force convolutions and functions that they must learn."""

import numpy as np
import pytest
from scipy import ndimage

from matgan.microstructure import baselines, mechanics
from matgan.microstructure.examples import move, moved
from matgan.microstructure.generation import Collection
from matgan.microstructure.statistics import two_point, voigt_reuss

PAIR = mechanics.two_phases(50)


@pytest.fixture(scope="module")
def volumes():
    return Collection(9).volumes(range(60))


def test_places_between_bounds_go_both_ways():
    fraction = np.array([0.0, 0.3, 0.7, 1.0])
    upper, lower = voigt_reuss(fraction, PAIR)
    c11 = lower + np.array([0, 0.25, 0.5, 0]) * (upper - lower)
    found = baselines.between_bounds(c11, fraction, PAIR)
    assert found == pytest.approx([0, 0.25, 0.5, 0])
    assert baselines.from_bounds(found, fraction, PAIR) == pytest.approx(c11)


def test_a_cubic_in_the_fraction_is_numpys(volumes):
    fraction = baselines.volume_fraction(volumes)
    assert fraction == pytest.approx([volume.mean() for volume in volumes])
    y = np.exp(3 * fraction) + np.random.default_rng(0).normal(0, 0.1, len(fraction))
    found = baselines.fraction_polynomial(3).fit(volumes, y).predict(volumes)
    expected = np.polyval(np.polyfit(fraction, y, 3), fraction)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_two_point_regression_learns_what_is_in_the_statistics():
    """A number that the statistics hold is learned; the fraction alone does not tell it."""
    volumes = Collection(9).volumes(range(300))
    y = two_point(volumes)[:, 1, 0, 0] - baselines.volume_fraction(volumes) ** 2
    train, test = slice(0, 260), slice(260, None)
    model = baselines.two_point_regression(30, 1).fit(volumes[train], y[train])
    error = np.abs(model.predict(volumes[test]) - y[test]).mean()
    control = baselines.fraction_polynomial(3).fit(volumes[train], y[train])
    assert error < 0.5 * np.abs(control.predict(volumes[test]) - y[test]).mean()


def test_symmetric_vectors_are_the_same_for_a_moved_volume(volumes):
    rng = np.random.default_rng(0)
    others = np.stack([moved(volume, move(volume, rng)) for volume in volumes])
    found, same = (baselines._symmetric_vectors(of) for of in (volumes, others))
    np.testing.assert_allclose(found, same, atol=1e-6)
    plain = baselines._half_vectors(others) - baselines._half_vectors(volumes)
    assert np.abs(plain).max() > 0.01
    first = volumes[:1].swapaxes(1, 2)  # another axis is that of the load
    assert np.abs(baselines._symmetric_vectors(first) - found[:1]).max() > 0.01


def test_half_of_the_statistics_are_all_of_them():
    """What is left out is there with the opposite sign of the vector."""
    volume = np.random.default_rng(0).random((6, 6, 6)) < 0.5
    full, half = two_point(volume), two_point(volume)[: 6 // 2 + 1]
    for place in np.ndindex(6, 6, 6):
        opposite = tuple(-np.array(place) % 6)
        kept = place if place[0] < len(half) else opposite
        assert half[kept] == pytest.approx(full[place])
    assert baselines._half_statistics(volume[None]).shape == (1, 4 * 36)


def test_weights_are_powers_of_the_length_of_the_vector():
    """Of each vector by hand, the shorter way round; the vector 0 counts as one voxel."""
    statistics = baselines._half_vectors(np.random.default_rng(0).random((2, 5, 5, 5)) < 0.5)
    for power in (0, 1, 3):
        found = baselines._over_length(statistics, power).reshape(statistics.shape)
        for place in np.ndindex(*statistics.shape[1:]):
            length = np.sqrt(sum(min(i, 5 - i) ** 2 for i in place))
            expected = statistics[(slice(None), *place)] / max(length, 1) ** power
            np.testing.assert_allclose(found[(slice(None), *place)], expected, rtol=1e-5)


@pytest.mark.parametrize(("vector", "powers"), [(1, (2, 3)), (5, (0,))])
def test_the_power_is_chosen_by_what_decides(vector, powers):
    """Of what short vectors tell a high power, of what long ones tell none."""
    volumes = Collection(11).volumes(range(240))
    statistics = two_point(volumes)
    across = (statistics[:, 0, vector, 0] + statistics[:, 0, 0, vector]) / 2  # axes alike
    y = statistics[:, vector, 0, 0] + across - 2 * baselines.volume_fraction(volumes) ** 2
    train, test = slice(0, 200), slice(200, None)
    model = baselines.short_vector_regression().fit(volumes[train], y[train])
    assert baselines.chosen_power(model) in powers
    error = np.abs(model.predict(volumes[test]) - y[test]).mean()
    control = baselines.two_point_regression().fit(volumes[train], y[train])
    error_of_control = np.abs(control.predict(volumes[test]) - y[test]).mean()
    assert error < (0.7 if vector == 1 else 1.2) * error_of_control


def test_phase_means_are_means(volumes):
    fields = np.random.default_rng(0).random(volumes.shape)
    found = baselines.PhaseMeans().fit(volumes, fields).predict(volumes)
    assert found[volumes] == pytest.approx(fields[volumes].mean())
    assert found[~volumes] == pytest.approx(fields[~volumes].mean())


@pytest.mark.parametrize("size", [8, 9])
def test_mks_finds_the_kernel_of_a_convolution(size):
    """Fields made by SciPy's periodic convolution with a kernel that is not symmetric."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 3))
    kernel -= kernel.mean()
    volumes = rng.random((80, size, size, size)) < 0.5
    fields = np.stack([1 + ndimage.convolve(v.astype(float), kernel, mode="wrap") for v in volumes])
    mks = baselines.MKS().fit(volumes[:60], fields[:60])
    np.testing.assert_allclose(mks.predict(volumes[60:]), fields[60:], atol=1e-6)
    space = np.roll(mks.in_space((size,) * 3), (1, 1, 1), (0, 1, 2))[:3, :3, :3]
    np.testing.assert_allclose(space, kernel, atol=1e-6)


def test_mks_is_better_than_phase_means_on_strains():
    volumes = Collection(9, (0.2, 0.8)).volumes(range(60))
    pair = mechanics.two_phases(3)
    fields = np.stack([mechanics.solve(volume, pair).strain[0] for volume in volumes])
    errors = []
    for model in (baselines.MKS(), baselines.PhaseMeans()):
        found = model.fit(volumes[:45], fields[:45]).predict(volumes[45:])
        errors.append(np.abs(found - fields[45:]).mean())
    assert errors[0] < 0.5 * errors[1]
