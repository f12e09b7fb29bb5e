"""Augmented patterns: none of it is the pattern itself, symmetry stays, each effect by itself."""

import dataclasses

import numpy as np
import pytest
from known_structures import NACL, QUARTZ, RUTILE, some
from pymatgen.core import Lattice, Structure

from matgan.crystals.cells import reciprocal_basis
from matgan.powder import augmentation
from matgan.powder.patterns import Instrument, pattern
from matgan.powder.reflections import reflections

SHARP = Instrument(step=0.05, fwhm=0.1)
NOTHING = augmentation.Augmentation(
    strain_mean=0,
    strain=0,
    shape=0,
    fwhm=(0.1, 0.1),
    size=0,
    microstrain=0,
    eta=(0.5, 0.5),
    ka2=0,
    mixed=0,
    zero=0,
    displacement=0,
    texture=0,
    thermal=0,
    site=0,
    hump=0,
    slope=0,
    floor=0,
    second_phase=0,
    counts=(1e9, 1e9),
    cut=0,
)


@pytest.fixture(scope="module")
def crystals():
    return augmentation.Crystals(some(), SHARP)


def draw(crystals, seed=0, i=1, **options):
    rng = np.random.default_rng(seed)
    return crystals.draw(i, rng, dataclasses.replace(NOTHING, **options))


def without_floor(intensity):
    """The flat background that is always drawn goes."""
    intensity = intensity - np.median(intensity)
    return intensity / intensity.max()


@pytest.mark.parametrize("i", [0, 1, 2])
def test_without_augmentation_it_is_the_pattern(crystals, i):
    plain = pattern(*some()[i], SHARP)
    assert without_floor(draw(crystals, i=i)) == pytest.approx(without_floor(plain), abs=0.02)


def test_a_seed_gives_the_same_pattern_and_another_another(crystals):
    options = augmentation.Augmentation()
    one, two = (crystals.draw(1, np.random.default_rng(5), options) for _ in range(2))
    assert (one == two).all()
    other = crystals.draw(1, np.random.default_rng(6), options)
    assert np.abs(one - other).max() > 0.05
    assert one.dtype == np.float32
    assert one.shape == SHARP.two_theta.shape
    assert one.max() == 1
    assert one.min() >= 0


def test_strain_moves_peaks_as_braggs_law_says(crystals):
    stretched = draw(crystals, i=0, strain_mean=0.02)
    strongest = SHARP.two_theta[stretched.argmax()]
    spacing = 5.64 * 1.02 / 2  # the 200 reflection of rock salt
    assert strongest == pytest.approx(2 * np.degrees(np.arcsin(1.54056 / (2 * spacing))), abs=0.05)


def test_thermal_motion_weakens_lines_by_debye_and_waller(crystals):
    """exp(-2B s²) with s = sin θ / λ = 1 / 2d: one B for all, most where the angle is large."""
    for seed in range(3):
        options = dataclasses.replace(NOTHING, thermal=10.0)
        _, plain, _, _ = crystals._sticks(1, np.random.default_rng(seed), NOTHING)
        angles, warm, _, _ = crystals._sticks(1, np.random.default_rng(seed), options)
        seen = plain > 0
        s = np.sin(np.radians(angles[seen] / 2)) / SHARP.wavelength
        b = -np.log(warm[seen] / plain[seen]) / (2 * s**2)
        assert 0 < b[0] < 10
        assert b == pytest.approx(b[0], rel=1e-6)


def test_allowed_strains_split_no_family():
    """A cubic crystal stays cubic, a tetragonal one keeps a = b, a hexagonal one 120°."""
    for structure, group in ((NACL, "cubic"), (RUTILE, "tetragonal"), (QUARTZ, "trigonal")):
        one = some((structure,), (1,))
        basis = reciprocal_basis(one.cell[0])
        strains = augmentation.allowed_strains(basis, augmentation.point_group(*one[0]))
        for strain in np.random.default_rng(0).normal(0, 0.01, (5, 6)):
            metric = basis @ basis.T + np.tensordot(strain, strains, 1)
            lengths = np.sqrt(np.diag(metric))
            cosine = metric[0, 1] / (lengths[0] * lengths[1])
            assert lengths[0] == pytest.approx(lengths[1], rel=1e-6)
            assert cosine == pytest.approx(0.5 if group == "trigonal" else 0, abs=1e-6)
            if group == "cubic":
                assert lengths[2] == pytest.approx(lengths[0], rel=1e-6)
    triclinic = Structure(Lattice.from_parameters(4, 5, 6, 80, 95, 100), ["Na"], [[0, 0, 0]])
    one = some((triclinic,), (2,))
    strains = augmentation.allowed_strains(
        reciprocal_basis(one.cell[0]), augmentation.point_group(*one[0])
    )
    assert np.linalg.matrix_rank(strains.reshape(6, 9), tol=1e-6) == 6  # nothing is forbidden


@pytest.mark.parametrize(
    ("structure", "multiplicities"),
    [
        # International Tables A: 4/mmm, m-3m and -3m1 with their special planes
        (RUTILE, {(1, 1, 0): 4, (1, 0, 1): 8, (2, 0, 0): 4, (1, 1, 1): 8, (2, 1, 1): 16}),
        (NACL, {(2, 0, 0): 6, (1, 1, 1): 8, (2, 2, 0): 12, (3, 1, 1): 24, (4, 2, 0): 24}),
        (QUARTZ, {(1, 0, 0): 6, (1, 0, 1): 6, (0, 1, 1): 6, (1, 1, 0): 6, (0, 0, 3): 2}),
    ],
    ids=["rutile", "rock salt", "quartz"],
)
def test_families_have_the_multiplicities_of_the_point_group(structure, multiplicities):
    one = some((structure,), (1,))
    found = reflections(*one[0], 0.1, 1.2)
    family = augmentation.families(found.hkl, augmentation.point_group(*one[0]))
    row = {tuple(sign * plane): i for i, plane in enumerate(found.hkl) for sign in (1, -1)}
    for plane, multiplicity in multiplicities.items():
        members = family == family[row[plane]]
        assert 2 * members.sum() == multiplicity, plane  # half of space is listed
        assert np.ptp(found.length[members]) < 1e-9
        assert np.ptp(found.strength[members]) < 1e-4 * found.strength[members].max() + 1e-6


def test_equivalent_reflections_keep_equal_strengths(crystals):
    """All of a rock salt line changes by one factor: the line of 24 planes as much as that of 6."""
    options = dataclasses.replace(NOTHING, site=0.3)
    _, plain, _, _ = crystals._sticks(0, np.random.default_rng(0), NOTHING)
    _, drawn, _, _ = crystals._sticks(0, np.random.default_rng(0), options)
    factor = np.log(drawn / plain)
    family = crystals.family[crystals.first[0] : crystals.first[1]]
    each = [factor[family == number] for number in np.unique(family)]
    assert max(np.ptp(one) for one in each) < 1e-6
    assert np.std([one[0] for one in each]) > 0.1


def test_texture_favours_one_axis_and_nothing_without_spread():
    hkl = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    metric = np.eye(3) / 16
    length = np.sqrt(np.einsum("ri,ij,rj->r", hkl, metric, hkl))
    rng = np.random.default_rng(1)
    assert augmentation.march_dollase(hkl, metric, length, rng, 0) == pytest.approx(1)
    drawn = np.array([augmentation.march_dollase(hkl, metric, length, rng, 0.5) for _ in range(50)])
    assert (drawn > 0).all()
    assert drawn.std(0).min() > 0.05


def test_texture_keeps_the_mean_over_all_directions():
    """March's distribution is normalised: over the sphere its mean is one (Dollase 1986)."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(200_000, 3))
    length = np.linalg.norm(directions, axis=1)
    for seed in range(3):
        factor = augmentation.march_dollase(
            directions, np.eye(3), length, np.random.default_rng(seed), 0.3
        )
        assert factor.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"fwhm": (0.4, 0.4)},
        {"size": 2.0},
        {"microstrain": 3.0},
        {"eta": (0.0, 0.0)},
        {"ka2": 1},
        {"mixed": 1},
        {"zero": 0.3},
        {"displacement": 0.3},
        {"texture": 1.0},
        {"thermal": 10.0},
        {"site": 1.0},
        {"hump": 1.0},
        {"slope": 1.0},
        {"floor": 0.5},
        {"second_phase": 1},
        {"counts": (50, 50)},
        {"cut": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_effect_changes_the_pattern(crystals, options):
    changed = [np.abs(draw(crystals, seed, **options) - draw(crystals, seed)).max()
               for seed in range(5)]  # fmt: skip
    assert max(changed) > 0.03


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--epochs", "0"], ValueError, "epochs must be 1 or more, not 0"),
        (["--epochs", "-1"], ValueError, "epochs must be 1 or more"),
        (["--seed", "-1"], ValueError, "seed must be 0 or more"),
        (["--learning-rate", "0"], ValueError, "learning_rate must be above 0"),
        (["--structures", "-5"], SystemExit, "--structures must be 0 or more, not -5"),
        (["--steps", "-1"], SystemExit, "--steps must be 0 or more, not -1"),
        (["--start", "nowhere.safetensors"], FileNotFoundError, "nowhere"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused_before_it_starts(
    words, error, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(augmentation, "load_structures", lambda: pytest.fail("it started"))
    with pytest.raises(error) as caught:
        augmentation.train_command(["--out", str(tmp_path / "out"), *words])
    assert message in f"{caught.value} {capsys.readouterr().err}"
    assert not (tmp_path / "out").exists()
