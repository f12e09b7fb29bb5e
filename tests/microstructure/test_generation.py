"""Generated microstructures against closed formulas and brute force."""

import dataclasses

import numpy as np
import pytest

from matgan.microstructure import generation
from matgan.microstructure.generation import Collection, Morphology, microstructure

GAUSSIAN = Morphology("gaussian", (24, 20, 25), 0.5, (2.0, 1.0, 3.0))


@pytest.mark.parametrize(
    "morphology",
    [
        GAUSSIAN,
        Morphology("ring", (30, 31), 0.3, (8.0, 8.0)),
        Morphology("noise", (9, 10, 11), 0.123),
        Morphology("spheres", (16, 16, 16), 0.7, centres=12),
        Morphology("noise", (5, 5), 0.0),
        Morphology("noise", (5, 5), 1.0),
    ],
    ids=lambda r: f"{r.kind}-{r.fraction}",
)
def test_the_fraction_is_exact_and_the_seed_decides(morphology):
    one = microstructure(morphology, [3, 1])
    assert one.shape == morphology.shape and one.dtype == bool
    assert one.sum() == round(morphology.fraction * one.size)
    np.testing.assert_array_equal(one, microstructure(morphology, [3, 1]))
    if 0 < morphology.fraction < 1:
        assert (one != microstructure(morphology, [3, 2])).any()


def test_the_covariance_of_a_gaussian_field_is_the_one_that_was_asked_for():
    """Measured by products of shifted fields, along every axis, for odd and even shapes."""
    rng = np.random.default_rng(0)
    draw = (GAUSSIAN.kind, GAUSSIAN.shape, GAUSSIAN.lengths, rng)
    fields = np.stack([generation.gaussian_field(*draw) for _ in range(60)])
    assert fields.var() == pytest.approx(1, abs=0.03)
    for axis, length in enumerate(GAUSSIAN.lengths):
        for shift in (1, 2, 4):
            found = (fields * np.roll(fields, shift, axis + 1)).mean()
            assert found == pytest.approx(np.exp(-(shift**2) / 2 / length**2), abs=0.04)


def test_a_thresholded_gaussian_field_keeps_the_arcsine_law():
    """Both voxels in the second phase: 1/4 + asin(ρ)/2π at a half (Sheppard 1899)."""
    volumes = [microstructure(GAUSSIAN, [0, i]) for i in range(60)]
    for shift in (1, 3):
        rho = np.exp(-(shift**2) / 2 / GAUSSIAN.lengths[2] ** 2)
        found = np.mean([(v & np.roll(v, shift, 2)).mean() for v in volumes])
        assert found == pytest.approx(1 / 4 + np.arcsin(rho) / 2 / np.pi, abs=0.01)


def test_a_ring_has_the_wavelength_that_was_asked_for():
    field = generation.gaussian_field("ring", (48, 48), (8, 8), np.random.default_rng(0))
    power = np.abs(np.fft.fft2(field)) ** 2
    rows, columns = np.meshgrid(*[np.fft.fftfreq(48)] * 2, indexing="ij")
    assert np.average(1 / np.hypot(rows, columns).clip(1e-9), weights=power) == pytest.approx(
        8, rel=0.05
    )


def test_distances_to_centres_are_periodic():
    """Against all 27 images of every centre."""
    centres = np.random.default_rng(0).random((4, 3))
    shape = np.array([6, 7, 8])
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 1, 3)
    points = ((centres + images) * shape).reshape(-1, 3)
    found = generation.distance_to_nearest(tuple(shape), centres)
    for place in np.ndindex(*shape):
        expected = np.linalg.norm(points - (np.array(place) + 0.5), axis=1).min()
        assert found[place] == pytest.approx(expected)


def test_overlapping_spheres_cover_as_much_as_poisson_says():
    """A share 1 - exp(-nv/V) for n random spheres of volume v; near to it for n fixed."""
    shape, n = (24, 24, 24), 20
    covered, expected = [], []
    for seed in range(20):
        distance = generation.distance_to_nearest(shape, np.random.default_rng(seed).random((n, 3)))
        covered.append((distance < 4.5).mean())
        expected.append(1 - np.exp(-n * 4 / 3 * np.pi * 4.5**3 / distance.size))
    assert np.mean(covered) == pytest.approx(np.mean(expected), abs=0.02)


def test_a_collection_is_made_again_from_its_seed():
    """Hashes as they were when this test was written: the labels belong to these volumes."""
    collection = Collection(27)
    table = collection.table(range(6))
    hashes = "146b3c07cb01 fcdc0fcc1acc 0c230cd12b75 8e84b9bffa2e 91c4937560ec b31714cf66e2"
    assert table["sha256"].str[:12].tolist() == hashes.split()
    assert (table["fraction"].between(0.25, 0.75)).all()
    np.testing.assert_array_equal(collection.volumes([4, 2])[0], collection.volume(4))
    other = dataclasses.replace(collection, seed=1).table([0])
    assert other["sha256"][0] != table["sha256"][0]


def test_a_collection_holds_every_kind_and_fractions_as_asked():
    morphologies = [Collection(21, (0.1, 0.9)).morphology(i) for i in range(400)]
    kinds = [morphology.kind for morphology in morphologies]
    assert {kind: kinds.count(kind) > 20 for kind in set(kinds)} == dict.fromkeys(
        ("gaussian", "ring", "spheres", "noise"), True
    )
    fractions = [morphology.fraction for morphology in morphologies]
    assert 0.1 <= min(fractions) < 0.13 and 0.87 < max(fractions) <= 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "foam"}, "kind must be one of gaussian, ring, noise, spheres"),
        ({"fraction": 1.2}, "fraction must be in"),
        ({"fraction": float("nan")}, "fraction must be in"),
        ({"shape": (4,)}, "shape must be two or three"),
        ({"lengths": (1.0,)}, "lengths must be above 0"),
        ({"lengths": (1.0, 0.0, 2.0)}, "lengths must be above 0"),
        ({"lengths": (1.0, np.inf, 2.0)}, "lengths must be above 0"),
        ({"kind": "ring", "lengths": (100.0,) * 3}, "no wave of"),
        ({"kind": "spheres"}, "at least one centre"),
    ],
)
def test_what_makes_no_sense_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(GAUSSIAN, **change)


def test_hashes_tell_shapes_apart():
    flat = np.zeros((2, 8), dtype=bool)
    assert generation.volume_hash(flat) != generation.volume_hash(flat.T)
    assert generation.volume_hash(flat) == generation.volume_hash(flat.astype(np.uint8))
