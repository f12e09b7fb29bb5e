"""Simulated patterns: pymatgen's peaks with the same profile, the profile itself, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_structures import NACL, QUARTZ, RUTILE, some
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.integrate import trapezoid

from matgan.crystals.structures import StructureError
from matgan.powder import patterns
from matgan.powder.patterns import Instrument, PatternError

TOLERANCE = 1e-3  # of the maximum


def direct_sum(angles, areas, grid, fwhm, eta):
    """Every profile at every point, without a transform."""
    widths = np.broadcast_to(fwhm, np.shape(angles))
    total = np.zeros(len(grid))
    for angle, area, width in zip(angles, areas, widths, strict=True):
        total += area * patterns.pseudo_voigt(grid - angle, width, eta)
    return total / total.max()


def pymatgens(structure, instrument):
    """XRDCalculator's peaks, a degree beyond the ends as well, broadened by the direct sum."""
    ends = (max(instrument.start - 1, 0), instrument.stop + 1)
    peaks = XRDCalculator(instrument.wavelength).get_pattern(structure, two_theta_range=ends)
    return direct_sum(peaks.x, peaks.y, instrument.two_theta, instrument.fwhm, instrument.eta)


@pytest.mark.parametrize("structure", [NACL, RUTILE, QUARTZ], ids=["NaCl", "rutile", "quartz"])
@pytest.mark.parametrize(
    "instrument",
    [Instrument(), Instrument(10, 60, 0.05, fwhm=0.2, eta=0), Instrument(step=0.01, eta=1)],
    ids=["default", "gauss", "lorentz"],
)
def test_known_structures_are_pymatgens(structure, instrument):
    two_theta, ours = patterns.simulate_pattern(structure, instrument)
    np.testing.assert_array_equal(two_theta, instrument.two_theta)
    assert ours.max() == 1
    assert ours == pytest.approx(pymatgens(structure, instrument), abs=TOLERANCE)


def worst_difference(crystals, n, seed):
    rows = np.random.default_rng(seed).choice(len(crystals), n, replace=False)
    worst = 0.0
    for row in rows:
        difference = patterns.pattern(*crystals[row]) - pymatgens(
            crystals.structure(row), Instrument()
        )
        worst = max(worst, float(np.abs(difference).max()))
    return worst


def test_real_structures_are_pymatgens(crystals):
    assert worst_difference(crystals, 40, seed=0) < TOLERANCE


@pytest.mark.slow
def test_thousands_of_real_structures_are_pymatgens(crystals):
    assert worst_difference(crystals, 3000, seed=1) < TOLERANCE


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_broadening_is_the_sum_of_the_profiles(seed, eta):
    rng = np.random.default_rng(seed)
    angles, areas = rng.uniform(6, 89, 20), rng.uniform(0.1, 1, 20)
    instrument = Instrument(eta=eta)
    ours = patterns.broaden(angles, areas, instrument)
    whole = direct_sum(angles, areas, instrument.two_theta, instrument.fwhm, eta)
    assert ours == pytest.approx(whole, abs=TOLERANCE)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_mixture_of_widths_stands_for_each_width(seed):
    rng = np.random.default_rng(seed)
    angles, areas = rng.uniform(6, 89, 10), rng.uniform(0.1, 1, 10)
    widths = rng.uniform(0.1, 0.6, 10)
    instrument = Instrument()
    ours = patterns.broaden(angles, areas, instrument, widths)
    whole = direct_sum(angles, areas, instrument.two_theta, widths, instrument.eta)
    assert ours == pytest.approx(whole, abs=0.02)  # two widths 15% apart make one between them


@pytest.mark.parametrize("eta", [0, 0.5, 1])
def test_the_profile_has_its_width_and_area(eta):
    x = np.linspace(-500, 500, 2_000_001)
    profile = patterns.pseudo_voigt(x, 0.4, eta)
    assert trapezoid(profile, x) == pytest.approx(1, abs=1e-3)
    height = patterns.pseudo_voigt(np.array(0.0), 0.4, eta)
    assert patterns.pseudo_voigt(np.array(0.2), 0.4, eta) == pytest.approx(height / 2)


def test_ka2_adds_a_half_as_strong_line_at_a_larger_angle():
    """A strong reflection at high angle, where the two lines are apart (by Bragg's law)."""
    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.431), ["Si"], [[0, 0, 0]])
    instrument = Instrument(86, 90, 0.005, ka2=True, fwhm=0.05, eta=0)
    ours = patterns.simulate_pattern(silicon, instrument)[1]
    spacing = 5.431 / np.sqrt(24)  # the 422 reflection
    for wavelength, height in ((1.54056, 1.0), (1.54439, 0.5)):
        angle = 2 * np.degrees(np.arcsin(wavelength / (2 * spacing)))
        found = np.interp(angle, instrument.two_theta, ours)
        assert found == pytest.approx(height, abs=0.01)


@pytest.mark.parametrize("anode", ["Cr", "Fe", "Co", "Cu", "Mo", "Ag"])
def test_wavelengths_are_pymatgens(anode):
    for line in ("Ka", "Ka1", "Ka2"):
        expected = XRDCalculator(f"{anode}{line}").wavelength
        assert patterns.wavelength_in_angstrom(f"{anode}{line}") == pytest.approx(
            expected, abs=1e-5
        )
        assert Instrument(wavelength=f"{anode}{line}").wavelength == pytest.approx(
            expected, abs=1e-5
        )
    assert patterns.wavelength_in_angstrom(f"{anode} Kα1") == patterns.KALPHA[anode][0]


@pytest.mark.parametrize("anode", ["Cr", "Co", "Mo", "Ag"])
def test_ka2_of_every_anode_is_where_pymatgen_has_it(anode):
    """Two patterns of pymatgen, one for each line, the second half as strong."""
    instrument = Instrument(40, 90, 0.02, wavelength=f"{anode}Ka1", ka2=True, fwhm=0.05)
    angles, areas = [], []
    for line, weight in (("Ka1", 1), ("Ka2", 0.5)):
        peaks = XRDCalculator(f"{anode}{line}").get_pattern(
            NACL, scaled=False, two_theta_range=(39, 91)
        )
        angles += list(peaks.x)
        areas += list(weight * np.array(peaks.y))
    whole = direct_sum(angles, areas, instrument.two_theta, 0.05, instrument.eta)
    assert patterns.simulate_pattern(NACL, instrument)[1] == pytest.approx(whole, abs=TOLERANCE)


def test_ka2_of_molybdenum_by_hand():
    """The 600 reflection of NaCl: 2 asin(3 · 0.71359 / 5.64) = 44.61°."""
    instrument = Instrument(44, 45, 0.002, wavelength=0.7093, ka2=True, fwhm=0.02, eta=0)
    two_theta, ours = patterns.simulate_pattern(NACL, instrument)
    second = two_theta > 44.5
    expected = 2 * np.degrees(np.arcsin(3 * 0.71359 / NACL.lattice.a))
    assert two_theta[second][ours[second].argmax()] == pytest.approx(expected, abs=0.002)
    assert expected == pytest.approx(44.61, abs=0.005)


@pytest.mark.parametrize("wavelength", [1.5418, 0.4133, 1.5])
def test_ka2_needs_the_ka1_of_an_anode(wavelength):
    with pytest.raises(PatternError, match="ka2 needs the Kα1 of Cr"):
        patterns.simulate_pattern(NACL, Instrument(wavelength=wavelength, ka2=True))


DISORDERED = [
    Structure(Lattice.cubic(3.8), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]]),
    Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.3), [{"Fe": 0.98}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ),
    Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.95), [{"Ba": 0.6, "Sr": 0.3}, {"Ti4+": 0.9, "Zr4+": 0.1}, "O2-"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
    ),
    Structure(
        Lattice.from_parameters(5, 6, 7, 80, 95, 102),
        [{"Li": 0.3}, {"Li": 0.7, "Na": 0.1}, {"S": 0.5, "Se": 0.4, "Te": 0.1}, "Br"],
        [[0.1, 0.2, 0.3], [0.4, 0.9, 0.2], [0.6, 0.5, 0.55], [0.05, 0.7, 0.8]],
    ),
]  # fmt: skip


@pytest.mark.parametrize("structure", DISORDERED)
def test_partly_occupied_structures_are_pymatgens(structure):
    ours = patterns.simulate_pattern(structure)[1]
    assert ours == pytest.approx(pymatgens(structure, Instrument()), abs=TOLERANCE)


def test_full_occupancy_changes_nothing():
    full = np.ones(some().first[1])
    np.testing.assert_array_equal(
        patterns.pattern(*some()[0], occupancy=full), patterns.pattern(*some()[0])
    )


def test_files_and_ase_atoms_give_the_same_pattern(tmp_path):
    expected = patterns.simulate_pattern(QUARTZ)[1]
    QUARTZ.to(str(tmp_path / "a.cif"))
    for same in (str(tmp_path / "a.cif"), AseAtomsAdaptor.get_atoms(QUARTZ)):
        assert patterns.simulate_pattern(same)[1] == pytest.approx(expected, abs=1e-4)


def test_ka2_has_no_line_where_its_wavelength_is_too_long():
    polonium = np.array([4.5, 4.5, 4.5, 90, 90, 90.0]), np.array([84]), np.zeros((1, 3))
    one, two = (
        patterns.pattern(*polonium, Instrument(stop=175, ka2=both)) for both in (False, True)
    )
    assert two[-100:].max() < one[-100:].max() + 0.01


def test_the_pattern_does_not_depend_on_the_choice_of_cell():
    small, large = RUTILE, RUTILE.copy()
    large.make_supercell([[2, 0, 0], [1, 1, 0], [0, 0, 1]])
    large.translate_sites(range(len(large)), [0.13, 0.29, 0.41])
    expected = patterns.simulate_pattern(small)[1]
    assert patterns.simulate_pattern(large)[1] == pytest.approx(expected, abs=1e-5)
    order = np.random.default_rng(0).permutation(len(small))
    shuffled = Structure.from_sites([small[i] for i in order])
    assert patterns.simulate_pattern(shuffled)[1] == pytest.approx(expected, abs=1e-6)


def test_a_hard_synchrotron_wavelength_is_no_slip():
    """80 keV, 0.1541 Å, is used at small angles only."""
    assert Instrument(1, 20, 0.01, wavelength=0.1541).wavelength == 0.1541


# --- many -----------------------------------------------------------------------------------------


def test_codes_keep_weak_peaks():
    intensity = np.array([0, 1e-5, 1e-3, 0.1, 0.5, 1])
    back = patterns.decode_pattern(patterns.encode_pattern(intensity))
    assert np.sqrt(back) == pytest.approx(np.sqrt(intensity), abs=0.5 / 255 + 1e-6)


def test_patterns_are_computed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path))
    seen = []
    codes = patterns.patterns(some(), progress=seen.append)
    assert seen == [1, 2, 3]
    assert codes.shape == (3, 4250)
    expected = [patterns.encode_pattern(patterns.pattern(*crystal)) for crystal in some()]
    assert (codes == expected).all()
    again = patterns.patterns(some(), progress=seen.append)
    assert seen == [1, 2, 3]
    assert (again == codes).all()
    other = patterns.patterns(some(), Instrument(step=0.05))
    assert other.shape == (3, 1700)
    assert len(list((tmp_path / "patterns").glob("*.npy"))) == 2


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The cached file of three patterns, and what they are."""
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path))
    codes = np.array(patterns.patterns(some()))
    (path,) = (tmp_path / "patterns").glob("*.npy")
    return path, codes


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-500] + bytes(500)),
        lambda path: path.write_bytes(path.read_bytes()[:-500]),
        lambda path: path.write_bytes(b""),
        lambda path: np.save(path, np.zeros((3, 10), np.uint8)),
        lambda path: path.with_name(f"{path.name}.sha256").unlink(),
    ],
)
def test_a_damaged_cache_is_named_and_healed(cached, caplog, damage):
    path, codes = cached
    damage(path)
    np.testing.assert_array_equal(patterns.patterns(some()), codes)
    assert f"{path} has not the SHA-256 it was written with" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(patterns.patterns(some()), codes)
    assert not caplog.text


def test_another_pymatgen_computes_anew(cached, monkeypatch):
    path, _ = cached
    monkeypatch.setattr(patterns, "version", lambda package: "1900.1.1")
    patterns.patterns(some())
    assert len(list(path.parent.glob("*.npy"))) == 2


def test_what_a_killed_computation_left_is_removed(cached):
    path, _ = cached
    left = path.with_name(f".{path.name}.99999999.tmp")
    left.write_bytes(bytes(100))
    path.unlink()
    patterns.patterns(some())
    assert not left.exists()


def test_a_structure_that_fails_is_named_and_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path))
    tiny = Structure(Lattice.cubic(0.5), ["H"], [[0, 0, 0]])
    with pytest.raises(PatternError, match=r"structure mp-2: no reflection between 5"):
        patterns.patterns(some((NACL, tiny), (225, 221)))
    assert list((tmp_path / "patterns").iterdir()) == []


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 90, "stop": 5}, "2θ from 90 to 5"),
        ({"stop": 180}, "to 180"),
        ({"step": 0}, "a step of 0"),
        ({"step": -0.02}, "a step of -0.02"),
        ({"step": 50}, "a step of 50"),
        ({"step": 1e-6}, "a step of 1e-06"),  # it would take gigabytes
        ({"fwhm": 0}, "fwhm 0"),
        ({"eta": 1.5}, "eta 1.5"),
        ({"wavelength": 0.15406}, "0.15406 is Cu Kα in nm; in Å it is 1.5406"),
        ({"wavelength": 0.0709}, "0.0709 is Mo Kα in nm"),
        ({"wavelength": 154.06}, "154.06 is Cu Kα in pm"),
        ({"wavelength": 0}, "wavelength is 0"),
        ({"wavelength": float("nan")}, "wavelength is nan"),
        ({"wavelength": True}, "wavelength is True"),
        ({"wavelength": 0.001}, "0.001 Å is none of a powder pattern"),
        ({"wavelength": "UKa"}, "no wavelength is called 'UKa'"),
    ],
)
def test_a_wrong_grid_or_profile_is_named(options, message):
    with pytest.raises(PatternError, match=message):
        Instrument(**options)


@pytest.mark.parametrize(
    ("cell", "numbers", "message"),
    [
        ([5, -5, 5, 90, 90, 90], [11], "all positive"),
        ([5, 5, 5, 90, 90], [11], "three lengths"),
        ([5, 5, 5, 30, 30, 120], [11], "span no cell"),
        ([5, 5, 5, 90, 90, np.nan], [11], "all positive"),
        ([5, 5, 5, 90, 90, 90], [0], "atomic number 0"),
        ([5, 5, 5, 90, 90, 90], [150], "atomic number 150"),
        ([5, 5, 5, 90, 90, 90], [], r"m > 0"),
        ([5, 5, 5, 90, 200, 90], [11], "span no cell"),
        ([5, 5, 5, 90, 90, 90], [11.7], "not whole numbers"),
        ([5, 5, 5, 90, 90, 90], ["Na"], "not whole numbers"),
        ([2000, 2000, 2000, 90, 90, 90], [11], "too large"),
        ([1e20, 5, 5, 90, 90, 90], [11], "too large"),  # whole numbers would wrap
        ([3e19, 3e19, 3e19, 90, 90, 90], [11], "too large"),
        ([1e300, 5, 5, 90, 90, 90], [11], "too large"),
        ([1e13, 1e13, 1e13, 90, 90, 90], [11], "too large"),
        ([40_000, 5, 5, 90, 90, 90], [11], "too large"),  # beyond int16
        ([5, 5, 5, 90, 90, 90], [11, 17], "the atoms 0, 1 are in one place"),
    ],
)
def test_a_structure_that_cannot_be_is_named(cell, numbers, message):
    with pytest.raises(StructureError, match=message):
        patterns.pattern(np.array(cell), np.array(numbers), np.zeros((len(numbers), 3)))
