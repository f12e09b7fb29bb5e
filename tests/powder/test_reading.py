"""read_pattern: every format by its content, units, wavelengths, and what is refused."""

import io
import os
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from damaged_files import PATTERN_FILES, damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from known_structures import NACL

from matgan import classify, read_pattern, simulate_pattern
from matgan.powder.patterns import Instrument
from matgan.powder.reading import PatternError, read_scans

X, Y = np.arange(10, 20, 0.5), np.arange(20.0) + 1


def written(tmp_path, x, y, header="", name="a.xy"):
    path = tmp_path / name
    np.savetxt(path, np.column_stack([x, y]), header=header, comments="")
    return path


def test_a_file_comes_back_as_it_was(tmp_path):
    pattern = read_pattern(written(tmp_path, X, Y))
    np.testing.assert_array_equal(pattern.two_theta, X)
    np.testing.assert_array_equal(pattern.intensity, Y)
    assert pattern.wavelength is None
    assert pattern.source == "a.xy; text"
    assert len(pattern) == 20


@pytest.mark.parametrize(
    ("name", "n", "ends", "wavelength"),
    [
        ("MnO.xy", 9001, (10, 100), None),
        ("MnO2.xy", 9001, (10, 100), None),
        ("Mn2O3.xy", 9001, (10, 100), None),
        ("TiO2.xy", 9001, (10, 100), None),
        ("eva_export.xy", 28, (5.0001, 5.2743), 1.54056),
        ("header_line.xy", 1876, (5, 80), None),
        ("synchrotron.dat", 730, (2.084, 5), None),
        ("synchrotron_plain.xye", 74, (2.038, 2.33), None),
        ("synchrotron_header.xye", 575, (0.5, 1.0731031250), 0.414581),
        ("bruker.brml", 2469, (9.998839261, 60.012776015), 1.5406),
        ("bruker_raw4.raw", 1647, (10, 70.041142), 1.5406),
        ("panalytical_1.xrdml", 7181, (5.00835563, 124.99526689), 1.540598),
        ("panalytical_2.xrdml", 5027, (4.00656514, 69.99936587), 1.540598),
        ("rigaku.rasx", 2851, (3, 60), 1.540593),
    ],
)
def test_every_file_at_hand(measured_files, name, n, ends, wavelength):
    pattern = read_pattern(measured_files / name)
    assert len(pattern) == n
    assert pattern.two_theta[[0, -1]] == pytest.approx(ends, abs=1e-6)
    assert pattern.wavelength == wavelength
    assert (np.diff(pattern.two_theta) > 0).all()


def test_every_file_at_hand_is_in_that_list(measured_files):
    listed = test_every_file_at_hand.pytestmark[0].args[1]
    assert {row[0] for row in listed} == set(os.listdir(measured_files))


# --- units and wavelengths ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["q_nm^-1 I", "# q (1/nm), intensity", "q[nm-1];counts", "#   q_nm^-1    I"]
)
def test_the_name_of_a_column_tells_its_unit(tmp_path, header):
    q = 40 * np.pi * np.sin(np.radians(X / 2)) / 0.7093
    path = written(tmp_path, q, Y, f"# Wavelength: 0.07093 nm\n{header}")
    pattern = read_pattern(path)
    assert pattern.two_theta == pytest.approx(X)
    assert pattern.wavelength == pytest.approx(0.7093)
    assert "axis converted from 1/nm to 2θ" in pattern.source


def test_q_without_a_wavelength_is_on_coppers_scale(tmp_path):
    q = 4 * np.pi * np.sin(np.radians(X / 2)) / 1.54056
    pattern = read_pattern(written(tmp_path, q, Y), unit="1/Å")
    assert pattern.two_theta == pytest.approx(X)
    assert pattern.wavelength == 1.54056


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("# Wavelength: 1.0332e-10 m", 1.0332),
        ("# Wavelength: 3.20179e-11\n#   2th_deg   I", 0.320179),  # pyFAI
        ("# Wavelength: 0.0", None),
        ("LaB6.tif: 2-thet\n2-Theta Angle (Degrees)\n\n  20", None),  # Fit2D's .chi
        ("# lambda = 0.15406 nm", 1.5406),
        ("# wavelength [A] 1.7889", 1.7889),
        ("# K-Alpha1 wavelength,1.540598", 1.540598),
        ('# Anode: "Mo"', 0.7093),
        ("# Radiation: Cu Kα", 1.54056),
        ("# X-ray tube CuKa1", 1.54056),
        ("# detector Lambda 750K", None),
        ("# Target: Ag", 0.559421),
        ("Anode material,Co", 1.78896),
        ("# nothing", None),
    ],
)
def test_the_header_tells_the_wavelength(tmp_path, header, expected):
    assert read_pattern(written(tmp_path, X, Y, header)).wavelength == expected


def test_the_caller_overrules_the_file(tmp_path):
    path = written(tmp_path, X, Y, "# wavelength = 0.7093")
    pattern = read_pattern(path, wavelength="CuKa")
    assert pattern.wavelength == pytest.approx(1.54184, abs=1e-5)
    assert "not the file's 0.7093 Å" in pattern.source


def test_the_wavelength_follows_from_2theta_and_d(tmp_path):
    d = 1.2398 / (2 * np.sin(np.radians(X / 2)))
    table = np.column_stack([np.zeros(20), X, d, Y])
    path = tmp_path / "a.dat"
    np.savetxt(path, table, fmt="%.5f", header="frame twotheta dspacing intensity", comments="")
    pattern = read_pattern(path)
    np.testing.assert_array_equal(pattern.intensity, Y)
    assert pattern.wavelength == pytest.approx(1.2398, abs=1e-4)


def test_counts_of_different_times_become_rates(tmp_path):
    ranges = (
        f"_DRIVE='COUPLED'\n_STEPTIME={seconds}\n_STEPSIZE=0.5\n_START={start}\n_COUNTS\n"
        + " ".join(str(100 * seconds) for _ in range(20))
        for seconds, start in ((1, 10), (4, 18))
    )
    path = tmp_path / "a.uxd"
    path.write_text("_FILEVERSION=2\n" + "\n".join(ranges))
    pattern = read_pattern(path)
    assert len(pattern) == 36
    np.testing.assert_array_equal(pattern.intensity, 100)


# --- one pattern in many dresses: one answer -----------------------------------------------------

SALT = simulate_pattern(NACL, Instrument(6, 89, 0.02))


def table(x, y, form="%.5f %.6f", header=""):
    """Bytes of a table of text."""
    rows = "\n".join(form % row for row in zip(x, y, strict=True))
    return f"{header}\n{rows}\n".encode()


def two_ranges(x, y):
    return np.r_[x[:2500], x[2000:]], np.r_[y[:2500], y[2000:]]


def gsas(x, y):
    rows = "\n".join(f"{100 * a:.4f} {1e4 * b:.4f} 1" for a, b in zip(x, y, strict=True))
    return f"salt\nBANK 1 {len(x)} {len(x)} CONST 600 2 0 0 FXYE\n{rows}\n".encode()


X_SALT, Y_SALT = SALT
SINE = np.sin(np.radians(X_SALT / 2))
DRESSES = {
    "falling": table(X_SALT[::-1], Y_SALT[::-1]),
    "decimal commas": table(X_SALT, Y_SALT, "%.2f;%.6f").replace(b".", b","),
    "angles rounded until neighbours are equal": table(X_SALT, Y_SALT, "%.1f %.6f"),
    "two ranges that overlap": table(*two_ranges(X_SALT, Y_SALT)),
    "three frames": table(np.tile(X_SALT, 3), np.tile(Y_SALT, 3)),
    "q in 1/nm": table(40 * np.pi / 1.54056 * SINE, Y_SALT, header="q_nm^-1 I"),
    "q in 1/Å": table(4 * np.pi / 1.54056 * SINE, Y_SALT, header="q(1/A) I"),
    "d": table(1.54056 / 2 / SINE, Y_SALT, "%.9f,%.6f", "d (Å),counts"),
    "molybdenum": table(
        2 * np.degrees(np.arcsin(SINE * 0.7093 / 1.54056)), Y_SALT, header="# Anode: Mo"
    ),
    "GSAS": gsas(X_SALT, Y_SALT),
    "gaps of a detector": table(
        X_SALT, np.where((X_SALT % 20 < 0.3) & (X_SALT > 20), -1, Y_SALT + 0.2)
    ),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_a_pattern_in_any_dress_is_the_same_crystal(tmp_path, dress):
    path = tmp_path / "salt.dat"
    path.write_bytes(DRESSES[dress])
    found = classify(read_pattern(path))
    assert found.space_group["space_group"][0] == 225
    assert found.space_group["probability"][0] > 0.6


def test_a_list_of_lines_is_no_pattern(tmp_path):
    path = tmp_path / "sticks.xy"
    path.write_bytes(table(np.linspace(20, 80, 15), np.arange(15) + 1))
    with pytest.raises(PatternError, match=r"less than 0\.5° apart"):
        classify(read_pattern(path))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wavelength": 0.15406}, "0.15406 is Cu Kα in nm; in Å it is 1.5406"),
        ({"wavelength": "Kryptonite"}, "no wavelength is called 'Kryptonite'"),
        ({"wavelength": -1}, "wavelength is -1"),
        ({"unit": "furlong"}, "no unit 'furlong'"),
        ({"unit": "1/Å"}, "points are left"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    path = written(tmp_path, np.arange(10, 90, 0.5), np.arange(160.0) + 1)
    with pytest.raises(PatternError, match=message) as error:
        read_pattern(path, **options)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no table of numbers"),
        (b"RAW_1.06Powdat" + bytes(100), "STOE"),
        (b"\x89HDF\r\n" + bytes(100), "HDF5"),
        (b"PK\x05\x06" + bytes(18), "archive"),
        (bytes(1000), "no text"),
        (b"<html></html>", "<html>"),
        (b"data_x\n_cell_length_a 5\n", "CIF without a powder pattern"),
        (b"energy (keV), counts\n10,5\n11,6\n", "energy"),
        (b"1 2 3 4 5 6 7 8\n" * 20, "8 columns without names"),
    ],
)
def test_files_that_hold_no_pattern(tmp_path, content, message):
    path = tmp_path / "a.xy"
    path.write_bytes(content)
    with pytest.raises(PatternError, match=message):
        read_pattern(path)


@pytest.mark.parametrize("path", ["", None, 5, b"a.xy"])
def test_what_is_no_path_is_named(path):
    with pytest.raises(PatternError, match=f"path of a pattern's file is needed, not {path!r}"):
        read_pattern(path)


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match=r"nothing\.xy"):
        read_pattern(tmp_path / "nothing.xy")


# --- damaged files: the one error, and bounded memory ---------------------------------------------

STARTS = [
    b"RAW ", b"RAW2", b"RAW1.01\0", b"RAW4.00\0", b"PK\x03\x04", b"<xrdMeasurements>",
    b"*RAS_DATA_START\n*RAS_INT_START\n", b"_FILEVERSION=2\n_DRIVE='x'\n_COUNTS\n",
    b"title\nBANK 1 5 1 CONST 1000 5 0 0 STD\n", b"data_a\nloop_\n_pd_meas_counts_total\n",
    b"10,5 20\n", b"2theta;I\n", b"",
]  # fmt: skip


def survives(data):
    """Read these bytes; anything but a result or a PatternError is a fault."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.raw")
        path.write_bytes(data)
        try:
            pattern = read_pattern(path)
        except PatternError:
            return
    assert np.isfinite(pattern.two_theta).all() and np.isfinite(pattern.intensity).all()


@settings(max_examples=300)
@given(st.sampled_from(STARTS), st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_random_bytes(start, rest):
    survives(start + rest)


def test_the_small_files_are_whole():
    for data in PATTERN_FILES:
        assert sum(len(scan.axis) for scan in read_scans(data)) == 12


def every_file(folder):
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_damaged_files(measured_files):
    for data in damaged(every_file(measured_files), 60, seed=0):
        survives(data)


def test_damaged_small_files():
    for data in damaged(PATTERN_FILES, 800, seed=0):
        survives(data)


@pytest.mark.slow
def test_thousands_of_damaged_files(measured_files):
    for data in damaged(every_file(measured_files), 5000, seed=1):
        survives(data)
    for data in damaged(PATTERN_FILES, 100_000, seed=2):
        survives(data)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(st.sampled_from(STARTS), st.binary(max_size=2000) | st.text(max_size=500).map(str.encode))
def test_many_random_bytes(start, rest):
    survives(start + rest)


def test_a_promise_of_many_points_takes_no_memory():
    promise = b"t\nBANK 1 1000000000000 1 CONST 1000 5 0 0 FXYE\n1 2 3\n"
    assert peak_of_refusing(promise, "are believed") < 1_000_000


def peak_of_refusing(data, message):
    """Bytes of memory at most while these are refused."""
    tracemalloc.start()
    try:
        with pytest.raises(PatternError, match=message):
            read_scans(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bombs_are_refused_in_bounded_memory():
    """Much in little, as either archive, and a text of nothing but line ends."""
    for name in ("Data0/Profile0.txt", "Experiment0/RawData0.xml"):
        buffer = io.BytesIO()
        with (
            zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(name, "w", force_zip64=True) as member,
        ):
            for _ in range(110):
                member.write(bytes(1_000_000))
        data = buffer.getvalue()
        assert len(data) < 200_000
        assert peak_of_refusing(data, "unpacks to more") < 3e8
    assert peak_of_refusing(b"1 2\n" * 5_000_000, "are believed") < 1e8
