"""Examples of microstructures: symmetries that the solver keeps, neighbourhoods by brute force."""

import numpy as np
import pytest
import torch

from matgan.microstructure import examples, mechanics
from matgan.microstructure.mechanics import solve

PAIR = mechanics.two_phases(10)
PHASES = np.random.default_rng(0).random((5, 4, 4)) < 0.5


@pytest.mark.parametrize("seed", range(6))
def test_a_symmetry_keeps_c11_and_moves_the_strain_as_the_voxels(seed):
    choice = examples.move(PHASES, np.random.default_rng(seed))
    before = solve(PHASES, PAIR, tolerance=1e-9)
    after = solve(examples.moved(PHASES, choice), PAIR, tolerance=1e-9)
    assert after.stress[0] == pytest.approx(before.stress[0], rel=1e-9)
    np.testing.assert_allclose(after.strain[0], examples.moved(before.strain[0], choice), atol=1e-7)


def test_another_order_of_the_axes_would_not_keep_c11():
    before, after = (solve(p, PAIR).stress[0] for p in (PHASES, PHASES.transpose(1, 0, 2)))
    assert abs(after / before - 1) > 1e-3


def test_all_symmetries_are_drawn():
    rng = np.random.default_rng(0)
    drawn = {examples.move(PHASES, rng) for _ in range(5000)}
    assert len({choice[3:] for choice in drawn}) == 16
    assert len({choice[:3] for choice in drawn}) == PHASES.size


def test_batches_repeat_themselves_and_hold_both_phases():
    phases = np.random.default_rng(1).random((6, 5, 5, 5)) < 0.5
    moving = examples.Volumes(phases, np.arange(6), moving=True)
    (one,), values = moving.batch(np.array([4, 1]), [0, 1])
    assert values.flatten().tolist() == [4, 1]
    assert set(one.unique().tolist()) == {-1, 1}
    assert (one.mean((1, 2, 3)).numpy() + 1) / 2 == pytest.approx(phases[[4, 1]].mean((1, 2, 3)))
    assert (one == moving.batch(np.array([4, 1]), [0, 1])[0][0]).all()
    assert (one != moving.batch(np.array([4, 1]), [0, 2])[0][0]).any()
    still = examples.Volumes(phases, np.arange(6)).batch(np.array([2]), [0])[0][0]
    np.testing.assert_array_equal(still[0] > 0, phases[2])


def test_fields_move_with_their_volumes():
    phases = np.random.default_rng(1).random((6, 5, 5, 5)) < 0.5
    source = examples.Fields(phases, phases.astype(np.float16), moving=True)
    (volumes,), fields = source.batch(np.arange(6), [3])
    np.testing.assert_array_equal(volumes > 0, fields > 0.5)
    assert fields.dtype.is_floating_point and len(source) == 6


def test_neighbourhoods_are_those_around_the_voxel():
    """Fields hold each voxel's number, by which the place is known again."""
    phases = np.random.default_rng(1).random((3, 12, 12, 12)) < 0.5
    fields = np.arange(phases.size, dtype=float).reshape(phases.shape)
    (patches,), values = examples.Neighbourhoods(phases, fields, 7).batch(np.array([0, 2]), [0])
    assert patches.shape == (14, 11, 11, 11)
    for patch, value in zip(patches.numpy() > 0, values.numpy(), strict=True):
        row, *place = np.unravel_index(int(value), phases.shape)
        for offset in ((0, 0, 0), (5, -5, 2), (-3, 4, 5)):
            there = tuple((np.array(place) + offset) % 12)
            assert patch[tuple(np.array(offset) + 5)] == phases[(row, *there)]


def test_neighbourhoods_in_parts_are_the_batch():
    phases = np.random.default_rng(1).random((3, 12, 12, 12)) < 0.5
    source = examples.Neighbourhoods(phases, phases.astype(float).cumsum(3), 7)
    rows = np.array([0, 2])
    (whole,), values = source.batch(rows, [4])
    parts = list(source.parts(rows, [4], 5))
    assert [len(found) for _, found in parts] == [5, 5, 4]
    torch.testing.assert_close(torch.cat([patches for (patches,), _ in parts]), whole)
    torch.testing.assert_close(torch.cat([found for _, found in parts]), values)
