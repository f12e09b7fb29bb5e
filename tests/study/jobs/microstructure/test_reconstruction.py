import pickle

import numpy as np
import pandas as pd
import pytest

from matgan.microstructure.reconstruction import (
    SAMPLES,
    TextureNetwork,
    random_convolutions,
    sample,
)
from matgan.study.jobs.microstructure import reconstruction as job


def test_an_image_comes_back_from_its_text():
    image = sample("discs", 24, 0)
    np.testing.assert_array_equal(job.image_of_text(job.packed_text(image)), image)


def test_a_shifted_copy_is_told():
    image = sample("discs", 24, 0)
    moved = job.error_row(np.roll(image, (5, 9), (0, 1)), image)
    assert moved["copy"] == pytest.approx(1) and moved["two_point"] == pytest.approx(0, abs=1e-9)
    other = job.error_row(sample("discs", 24, 1), image)
    assert other["copy"] < 0.8 and other["two_point"] > 1


def test_rows_of_a_short_synthesis():
    network = TextureNetwork(random_convolutions(0), job.MEAN, ("conv1_1",))
    rows = job.synthesis_rows(network, "layers", 0, (4, 12), 24)
    assert [row["evaluations"] for row in rows] == [4, 12]
    assert rows[1]["loss"] < rows[0]["loss"]
    for row in rows:
        found = job.image_of_text(row["image"])
        assert found.mean() == row["fraction"] and 0 < row["clustered"] < 1
        assert job.error_row(found, sample("layers", 24, 0))["two_point"] == row["two_point"]
    curve = job.loss_curve(rows[1]["losses"])
    assert list(curve.index) == [1, 2, 5, 10, 12] and curve.is_monotonic_decreasing
    assert curve[12] == pytest.approx(rows[1]["loss"], rel=0.01)


@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_starts_from_the_noise_that_the_sample_was_made_of(kind):
    """Of that noise, three kinds have a copy of 0.7 and more, with phases only of 0.8 and more."""
    network = TextureNetwork(random_convolutions(0), job.MEAN, ("conv1_1",))
    for seed in (0, 1):
        rows = job.control_rows(kind, seed, 48)
        assert [row["method"] for row in rows] == [job.GAUSSIAN, job.SURROGATE, job.OTHER_SAMPLE]
        assert len({row["fraction"] for row in rows}) == 1
        assert rows[1]["two_point"] < rows[0]["two_point"]
        (first,) = job.synthesis_rows(network, kind, seed, (1,), 48)
        assert max(row["copy"] for row in (rows[0], rows[2], first)) < 0.6
        assert rows[1]["copy"] < 0.7


def test_differences_and_changes_are_by_sample():
    rows = []
    for kind, extra, number in (("a", 0.0, 10), ("b", 1.0, 20)):  # b needs twice as many
        for seed in (0, 1):
            rows += [(kind, seed, job.VGG, number, 2.0 + seed)]
            rows += [(kind, seed, job.GAUSSIAN, 0, 5.0 + extra)]
        rows += [(kind, 0, job.VGG, 2 * number, 1.9 + 0.2 * extra)]
    table = pd.DataFrame(rows, columns=["kind", "seed", "method", "evaluations", "e"])
    found = job.difference_by_kind(table, "e", job.GAUSSIAN)
    assert {kind: list(d) for kind, d in found.items()} == {"a": [-3, -2], "b": [-4, -3]}
    changes = job.changes_when_longer(table, job.VGG, "e")  # two kinds do not cancel
    assert changes.to_dict() == pytest.approx({"a": -0.05, "b": 0.05})
    assert job.changes_when_longer(job.shorter(table), job.VGG, "e").empty
    controls = table[table["method"] == job.GAUSSIAN]
    assert job.shorter(controls).equals(controls)


def test_a_kind_is_settled_where_longer_syntheses_could_not_change_what_is_said():
    errors = {  # of VGG19, of VGG19 after twice as many evaluations, of the control
        "ahead": ([50.0, 50.2], [49.5, 49.7], [80.0, 80.1]),
        "moves": ([50.0, 50.2], [48.0, 48.2], [80.0, 80.1]),  # by 4%
        "near": ([50.0, 50.01], [49.5, 49.51], [50.8, 50.82]),  # by more than half of the lead
        "level": ([5.0, 6.0], [5.2, 6.2], [5.6, 5.8]),  # the interval holds 0 with either
        "levels out": ([5.0, 5.01], [5.2, 6.2], [5.6, 5.62]),  # only later
    }
    rows = [
        (kind, seed, method, evaluations, of[seed])
        for kind, parts in errors.items()
        for method, evaluations, of in zip(
            (job.VGG, job.VGG, job.GAUSSIAN), (10, 20, 0), parts, strict=True
        )
        for seed in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["kind", "seed", "method", "evaluations", "e"])
    settled = job.settled_by_kind(table, "e", job.GAUSSIAN)
    assert [kind for kind, is_so in settled.items() if is_so] == ["ahead", "level"]
    assert not any(job.settled_by_kind(job.shorter(table), "e", job.GAUSSIAN).values())


def test_of_several_controls_the_better_one_counts_for_each_kind():
    rows = []
    for seed in (0, 1):
        for kind, first, second in (("a", 5.0, 3.0), ("b", 4.0, 6.0)):
            rows += [(kind, seed, job.VGG, 10, 2.0 + seed)]
            rows += [(kind, seed, job.GAUSSIAN, 0, first), (kind, seed, job.SURROGATE, 0, second)]
    table = pd.DataFrame(rows, columns=["kind", "seed", "method", "evaluations", "e"])
    both = job.GAUSSIAN, job.SURROGATE
    found = job.difference_by_kind(table, "e", *both)
    assert {kind: list(d) for kind, d in found.items()} == {"a": [-1, 0], "b": [-2, -1]}
    one_is_missing = table[table["method"] != job.SURROGATE]
    assert all(
        np.isnan(d).all() for d in job.difference_by_kind(one_is_missing, "e", *both).values()
    )


def test_every_piece_can_be_sent_to_a_process():
    pieces = job.JOBS[0].pieces()
    assert len(pieces) == 15
    pickle.loads(pickle.dumps(pieces))
