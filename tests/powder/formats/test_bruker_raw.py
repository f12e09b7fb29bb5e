"""Bruker's .raw: a real file of version 4; versions 1, 2 and 3 made by their description."""

import struct

import numpy as np
import pytest

from matgan import read_pattern
from matgan.powder.formats.bruker_raw import read_raw
from matgan.powder.patterns import PatternError

COUNTS = np.array([5, 6, 7, 8], "<f4")


def put(size, **fields):
    """Bytes of a header; at_8="d 1.5" puts the double 1.5 at byte 8, at_0="b text" a text."""
    header = bytearray(size)
    for place, what in fields.items():
        form, _, value = what.partition(" ")
        at = int(place.removeprefix("at_"))
        if form == "b":
            header[at : at + len(value)] = value.encode()
        else:
            number = float(value) if form in "fd" else int(value)
            struct.pack_into("<" + form, header, at, number)
    return bytes(header)


def version_1(n=4):
    one = put(
        156, at_0="b RAW ", at_4=f"I {n}", at_8="f 2", at_12="f 0.5", at_24="f 10",
        at_72="f 1.788965", at_152="I 1",
    )  # fmt: skip
    return one + COUNTS.tobytes() + one.replace(*LAST) + COUNTS.tobytes()


LAST = (struct.pack("<I", 1), struct.pack("<I", 0))


def version_2(n=4):
    head = put(256, at_0="b RAW2", at_4="H 1", at_188="b Co", at_190="f 1.788965")
    part = put(60, at_0="H 60", at_2=f"H {n}", at_8="f 2", at_12="f 0.5", at_16="f 10")
    return head + part + COUNTS.tobytes()


def version_3(n=4, kind=0):
    head = put(712, at_0="b RAW1.01", at_12="I 1", at_608="b Co", at_624="d 1.788965")
    part = put(
        304, at_0="I 304", at_4=f"I {n}", at_16="d 10", at_176="d 0.5", at_192="f 2",
        at_196=f"I {kind}", at_252="I 4", at_256="I 40",
    )  # fmt: skip
    return head + part + bytes(40) + COUNTS.tobytes()


def version_4(n=4):
    head = put(61, at_0="b RAW4.00")
    tube = put(120, at_0="I 30", at_4="I 120", at_80="d 1.788965", at_116="b Co")
    part = put(
        160, at_32="b Locked Coupled", at_72="d 10", at_80="d 0.5", at_88=f"I {n}", at_92="f 2",
        at_136="I 4", at_140="I 12",
    )  # fmt: skip
    return head + tube + part + bytes(12) + COUNTS.tobytes()


MAKERS = [version_1, version_2, version_3, version_4]


@pytest.mark.parametrize("make", MAKERS)
def test_every_version(make):
    scans = read_raw(make())
    assert len(scans) == (2 if make is version_1 else 1)
    for scan in scans:
        np.testing.assert_array_equal(scan.axis, [10, 10.5, 11, 11.5])
        np.testing.assert_array_equal(scan.intensity, COUNTS)
        assert scan.wavelength == pytest.approx(1.788965, abs=1e-6)
        assert scan.seconds == 2


def test_a_real_file_of_version_4(measured_files):
    """Values by another reader (geddes 1.0.1); rutile (TiO2) has its strongest line at 27.45°."""
    pattern = read_pattern(measured_files / "bruker_raw4.raw")
    assert len(pattern) == 1647
    assert pattern.two_theta[[0, -1]] == pytest.approx([10, 70.041142], abs=1e-6)
    assert tuple(pattern.intensity[[0, -1]]) == (557, 328)
    assert pattern.wavelength == 1.5406
    strongest = pattern.two_theta[pattern.intensity.argmax()]
    assert strongest == pytest.approx(27.45, abs=0.05)


@pytest.mark.parametrize("make", MAKERS)
def test_numbers_of_points_that_cannot_be_are_refused(make):
    promised = 60_000 if make is version_2 else 4_000_000_000
    with pytest.raises(PatternError, match=r"are believed|do not fit"):
        read_raw(make(promised))


@pytest.mark.parametrize("make", MAKERS)
def test_a_file_that_ends_too_early_is_refused(make):
    whole = make()
    for n in range(9, len(whole)):
        with pytest.raises(PatternError):
            read_raw(whole[:n] if make is not version_1 else whole[: n - n // 2])


def test_other_scans_are_no_pattern():
    with pytest.raises(PatternError, match="no range over 2θ"):
        read_raw(version_3(kind=3))
