"""The job of structure prediction: what its pieces cover."""

import numpy as np
import pytest

from matgan.crystals.prototypes import Group, Question
from matgan.study.jobs.crystals.structures import JOBS, SCALES, STRUCTURE_SEEDS, best_scale, shares


def test_there_are_controls_and_a_piece_for_each_seed():
    assert list(JOBS[0].pieces()) == [
        "controls",
        *(f"seed{seed}" for seed in range(STRUCTURE_SEEDS)),
    ]


def test_shares_count_unknown_prototypes_among_all():
    group = Group((1, 1), np.arange(3), np.ones((3, 2), int), np.array([0, 1, 1]), ["a", "b"])
    elements = np.ones((4, 2), int)
    asked = {
        "test": [
            Question((1, 1), elements[:3], ["b", "a", "x"]),
            Question((1, 9), elements[:1], ["y"]),
        ]
    }

    def popular(group, elements):
        return np.tile(np.log(group.counts), (len(elements), 1))

    every, known = shares("popularity", popular, 0, {(1, 1): group}, asked)
    assert (every["structures"], every["top_1"], every["top_5"]) == (4, 0.25, 0.5)
    assert (known["structures"], known["top_1"], known["top_5"]) == (2, 0.5, 1.0)


def test_the_scale_of_a_control_is_the_best_and_not_an_end():
    assert best_scale(lambda scale: -abs(scale - 2.1)) == 2.0
    with pytest.raises(ValueError, match="at an end"):
        best_scale(lambda scale: scale)
    assert list(SCALES) == sorted(SCALES)
