"""Patterns drawn in batches, beside today's simulator, sums in plain NumPy, and pybaselines."""

import dataclasses
import math

import numpy as np
import pybaselines
import pytest
import torch

from matgan.powder.augmentation import families, point_group
from matgan.powder.augmentation import march_dollase as one_by_one
from matgan.powder.background import INSTRUMENT, line_width
from matgan.powder.measured import simulation
from matgan.powder.measured.conditions import ANODES, UNVARIED, Variation, draw_conditions
from matgan.powder.measured.preparation import reflection_lists
from matgan.powder.measured.simulation import POINTS, Simulator
from matgan.powder.patterns import CU_KA1, KALPHA, Instrument, pattern, pseudo_voigt

GRID = INSTRUMENT.two_theta


@pytest.fixture(scope="module")
def some(crystals):
    """A few structures of every crystal system."""
    groups = crystals.table["space_group"].to_numpy()
    limits = ((1, 2), (3, 15), (16, 74), (75, 142), (143, 167), (168, 194), (195, 230))
    rows = [np.flatnonzero((groups >= a) & (groups <= b))[:3] for a, b in limits]
    return crystals.take(np.concatenate(rows))


@pytest.fixture(scope="module")
def lists(some):
    return reflection_lists(some)


def drawn(lists, seed=0, **changes):
    """Lines without background and noise under given conditions, as NumPy; the sticks, too."""
    variation = dataclasses.replace(UNVARIED, **changes)
    simulator = Simulator(lists, variation)
    rng = torch.Generator().manual_seed(seed)
    taken = draw_conditions(len(lists), variation, rng)
    return simulator, taken, simulator.lines(torch.arange(len(lists)), taken, rng).numpy()


def test_the_grid_is_that_of_the_networks():
    assert np.allclose(simulation.START + simulation.STEP * np.arange(POINTS), GRID)
    assert simulation.COPPER == CU_KA1
    assert tuple(KALPHA[name][0] for name in ("Cu", "Co", "Mo", "Fe", "Cr")) == ANODES


def test_nothing_varied_is_todays_pattern(some, lists):
    """The same pattern to half a percent of the maximum; lists that are full lack weak lines."""
    _, _, found = drawn(lists)
    instrument = Instrument(start=4.98, stop=89.98, step=0.01, fwhm=0.2, eta=0.5)
    wide = []
    for one, y in zip(some, found, strict=True):
        exact = pattern(*one, instrument).reshape(-1, 5).mean(1)  # over each step of the grid
        wide.append(np.abs(exact / exact.max() - y).max())
    full = (lists.strength > 0).all(1)
    assert 2 < full.sum() < 7
    assert np.array(wide)[~full].max() < 0.005
    assert max(wide) < 0.08


def test_profiles_are_the_sum_of_their_reflections():
    rng = np.random.default_rng(0)
    angles, areas = rng.uniform(5, 90, (3, 40)), rng.exponential(1, (3, 40))
    widths, eta = rng.uniform(0.1, 0.5, (3, 40)), np.array([0.0, 0.5, 1.0])
    areas[:, -1] = 0
    found = simulation.profiles(
        *(torch.from_numpy(x).float() for x in (angles, areas, widths, eta))
    ).numpy()
    fine = GRID[:, None] + np.linspace(-0.02, 0.02, 5)  # the mean over a step
    for i in range(3):
        exact = sum(
            a * pseudo_voigt(fine - x, w, eta[i]).mean(1)
            for x, a, w in zip(angles[i], areas[i], widths[i], strict=True)
        )
        assert np.abs(found[i] - exact).max() < 0.04 * exact.max()


@pytest.mark.parametrize("width", [0.2, 0.4, 1.5])
def test_lines_are_as_wide_as_asked(width):
    angles, areas = torch.tensor([[40.0]]), torch.tensor([[1.0]])
    found = simulation.profiles(angles, areas, torch.tensor([[width]]), torch.tensor([0.3]))
    assert line_width(GRID, found[0].double().numpy()) == pytest.approx(width, rel=0.06)
    assert found.sum() * simulation.STEP == pytest.approx(1, rel=0.03)


def test_strain_moves_lines_by_braggs_law(lists):
    """All lengths 1% larger: sin θ 1% smaller."""
    rows = torch.arange(len(lists))
    rng = torch.Generator().manual_seed(0)
    before, after = (
        Simulator(lists, UNVARIED)._sticks(rows, draw_conditions(len(lists), variation, rng), rng)
        for variation in (UNVARIED, dataclasses.replace(UNVARIED, strain_mean=0.01))
    )
    used = (before[1] > 0) & (after[1] > 0)
    sines = [np.sin(np.radians(angles[used].numpy() / 2)) for angles, _, _ in (before, after)]
    assert np.allclose(sines[0] / sines[1], 1.01, atol=1e-4)


def test_strain_of_the_shape_keeps_the_symmetry(lists):
    """A cubic lattice stays one: every line moves by the same share; a triclinic one does not."""
    angles, areas, _ = Simulator(lists, UNVARIED)._sticks(
        torch.arange(len(lists)),
        draw_conditions(
            len(lists),
            dataclasses.replace(UNVARIED, shape=0.01),
            torch.Generator().manual_seed(1),
        ),
        torch.Generator().manual_seed(2),
    )
    plain, _, _ = Simulator(lists, UNVARIED)._sticks(
        torch.arange(len(lists)),
        draw_conditions(len(lists), UNVARIED, torch.Generator().manual_seed(1)),
        torch.Generator().manual_seed(2),
    )
    ratio = (torch.sin(angles * math.pi / 360) / torch.sin(plain * math.pi / 360)).numpy()
    for system, uneven in ((6, False), (0, True)):
        for i in np.flatnonzero(lists.classes[:, 0] == system):
            spread = np.ptp(ratio[i][areas[i].numpy() > 0])
            assert (spread > 2e-3) == uneven, (system, spread)


def test_texture_is_the_mean_over_each_family(some, lists):
    simulator, taken, _ = drawn(lists, texture=0.5)
    hkl, metric = simulator.hkl.float(), simulator.basis @ simulator.basis.mT
    length = ((hkl @ metric) * hkl).sum(2).clamp_min(1e-8).sqrt()
    rotations = simulator.operations[simulator.laue].float()
    along = simulator._along(hkl, length, metric, rotations, taken.axis)
    found = simulation.march_dollase(along, taken.r[:, None, None]).mean(2).numpy()

    class Fixed:  # what `augmentation.march_dollase` draws, with the given axis and r
        def __init__(self, i):
            self.i = i

        def integers(self, *_):
            return taken.axis[self.i].numpy()

        def normal(self, *_):
            return float(taken.r[self.i].log())

    for i, (cell, numbers, frac) in enumerate(some):
        rotations = point_group(cell, numbers, frac)
        own = lists.hkl[i][lists.strength[i] > 0][:20].astype(int)
        images = np.concatenate([own @ r for r in rotations])
        g = metric[i].double().numpy()
        lengths = np.sqrt(np.einsum("ni,ij,nj->n", images, g, images))
        every = one_by_one(images, g, lengths, Fixed(i), 1.0)
        family = families(images, rotations)
        mean = np.bincount(family, every) / np.bincount(family)
        expected = mean[family[: len(own)]]
        assert np.allclose(found[i][lists.strength[i] > 0][:20], expected, rtol=1e-3)


def test_k_alpha_2_stands_beside_k_alpha_1_with_half_its_area(lists):
    simulator, taken, _ = drawn(lists, ka2=1.0)
    angles, areas, _ = simulator._sticks(torch.arange(len(lists)), taken, torch.Generator())
    m = angles.shape[1] // 2
    used = (areas[:, :m] > 0) & (areas[:, m:] > 0)
    first, second = (np.radians(x[used].numpy() / 2) for x in (angles[:, :m], angles[:, m:]))
    assert np.allclose(np.sin(second) / np.sin(first), KALPHA["Cu"][1] / CU_KA1, atol=1e-4)
    assert np.allclose(areas[:, m:][used] / areas[:, :m][used], 0.5, atol=0.01)


def test_other_anodes_have_their_lines_in_coppers_places(lists):
    """Positions do not depend on the anode; a degree of molybdenum's is wider in copper's."""
    simulator, taken, _ = drawn(lists)
    taken.wavelength[:] = KALPHA["Mo"][0]
    rows, rng = torch.arange(len(lists)), torch.Generator().manual_seed(0)
    angles, areas, widths = simulator._sticks(rows, taken, rng)
    taken.wavelength[:] = CU_KA1
    plain, _, own = simulator._sticks(rows, taken, rng)
    used = areas > 0
    assert torch.allclose(angles[used], plain[used], atol=1e-3)
    assert ((widths[used] > 1.9 * own[used]) & (widths[used] < 4 * own[used])).all()
    taken.wavelength[:] = KALPHA["Cr"][0]
    longest = simulator._sticks(rows, taken, rng)
    spacing = CU_KA1 / 2 / np.sin(np.radians(longest[0][longest[1] > 0].numpy() / 2))
    assert spacing.min() > KALPHA["Cr"][0] / 2  # no line beyond 180° of chromium


def test_shifts_are_those_of_the_zero_and_of_the_sample(lists):
    simulator, taken, _ = drawn(lists)
    rows, rng = torch.arange(len(lists)), torch.Generator()
    plain, areas, _ = simulator._sticks(rows, taken, rng)
    taken.zero[:] = 0.1
    taken.displacement[:] = 0.05
    moved, _, _ = simulator._sticks(rows, taken, rng)
    expected = 0.1 + 0.05 * torch.cos(plain * math.pi / 360)
    assert torch.allclose((moved - plain)[areas > 0], expected[areas > 0], atol=1e-3)


def test_small_crystallites_and_strain_widen_by_their_laws(lists):
    simulator, taken, _ = drawn(lists)
    rows, rng = torch.arange(len(lists)), torch.Generator()
    taken.size[:], taken.micro[:] = 0.3, 0.4
    angles, areas, widths = simulator._sticks(rows, taken, rng)
    theta = angles * math.pi / 360
    expected = (0.2**2 + (0.3 / theta.cos()) ** 2 + (0.4 * theta.tan()) ** 2).sqrt()
    assert torch.allclose(widths[areas > 0], expected[areas > 0], rtol=1e-3)


def test_noise_has_the_deviation_of_its_counts():
    lines = torch.full((4, POINTS), 0.5)
    taken = draw_conditions(4, UNVARIED, torch.Generator().manual_seed(0))
    taken.counts[:] = 200.0
    rng = torch.Generator().manual_seed(1)
    found = simulation.as_taken(lines, taken, rng, removed=False).numpy()
    # a maximum of 1 at the end: the ratio of deviation and mean is what is left
    assert found.std(1) / found.mean(1) == pytest.approx(1 / np.sqrt(100), rel=0.1)
    taken.counts[:], taken.electronic[:] = math.inf, 0.05
    found = simulation.as_taken(lines, taken, rng, removed=False).numpy()
    assert found.std(1) / found.mean(1) == pytest.approx(0.1, rel=0.1)


def test_what_was_not_measured_is_nothing(lists):
    _, taken, lines = drawn(lists)
    taken.low[:], taken.high[:] = 0.1, 0.7
    for removed in (False, True):
        found = simulation.as_taken(torch.from_numpy(lines), taken, torch.Generator(), removed)
        assert not found[:, :170].any() and not found[:, 1190:].any()
        assert (found.amax(1) == 1).all()


def test_a_second_phase_is_the_next_pattern(lists):
    _, taken, plain = drawn(lists)
    taken.impurity[:] = 0.5
    simulator, rng = Simulator(lists, UNVARIED), torch.Generator().manual_seed(0)
    mixed = simulator.lines(torch.arange(len(lists)), taken, rng).numpy()
    expected = plain + 0.5 * np.roll(plain, 1, axis=0)
    assert np.allclose(mixed, expected / expected.max(1, keepdims=True), atol=1e-5)


def test_the_background_is_that_of_pybaselines(lists):
    _, _, lines = drawn(lists)
    under = np.exp(-np.linspace(0, 3, POINTS)) + 0.2
    first, last = 100, 1500  # measured
    ends = (torch.full((len(lists), 1), end) for end in (first, last))
    found = simulation.snip(torch.from_numpy(lines + under).float(), *ends).numpy()
    span = slice(first, last + 1)
    fitter = pybaselines.Baseline(GRID[span])
    for row, one in zip(lines + under, found, strict=True):
        theirs, _ = fitter.snip(row[span], max_half_window=simulation.WINDOW, decreasing=True)
        assert np.abs(one[span] - theirs)[160:-160].max() < 0.02  # the ends are drawn on otherwise


def test_the_same_seed_gives_the_same_patterns(lists):
    simulator, rows = Simulator(lists, Variation()), np.arange(len(lists))
    first, again, other = (simulator.patterns(rows, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (len(lists), POINTS) and first.isfinite().all()
    assert (first >= 0).all() and (first.amax(1) == 1).all()


@pytest.mark.cuda
def test_a_device_draws_the_same_kind_of_patterns(lists):
    rows = np.arange(len(lists))
    here, there = (Simulator(lists, UNVARIED, name).patterns(rows, 0) for name in ("cpu", "cuda"))
    assert torch.allclose(here, there.cpu(), atol=2e-3)
