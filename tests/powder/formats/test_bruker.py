"""Bruker's .brml (a real file, beside its own rows) and .uxd (hand-made, in its four forms)."""

import re
import zipfile

import numpy as np
import pytest

from matgan import read_pattern
from matgan.powder.formats.bruker import read_uxd
from matgan.powder.patterns import PatternError

HEAD = "; made\n_FILEVERSION=2\n_WL1={wl}\n_WL_UNIT='{unit}'\n_ANODE='Mo'\n_DRIVE='COUPLED'\n"
RANGE = "_STEPTIME=2.0\n_STEPSIZE=0.5\n_START=10.0\n_2THETA=10.0\n"


def test_a_real_brml(measured_files):
    pattern = read_pattern(measured_files / "bruker.brml")
    with zipfile.ZipFile(measured_files / "bruker.brml") as archive:
        text = archive.read("Experiment0/RawData0.xml").decode()
    rows = np.array([row.split(",") for row in re.findall("<Datum>(.*?)</Datum>", text)], float)
    np.testing.assert_array_equal(pattern.two_theta, rows[:, 2])
    np.testing.assert_array_equal(pattern.intensity, rows[:, 4])
    assert pattern.wavelength == 1.5406


@pytest.mark.parametrize(
    "data",
    ["_COUNTS\n 5 6\n 7\n", "_CPS\n5, 6, 7\n", "_2THETACOUNTS\n10 5\n10.5 6\n11 7\n",
     "_2THETACOUNTSTIME\n10 5 1\n10.5 6 1\n11 7 1\n"],
)  # fmt: skip
def test_uxd(data):
    (scan,) = read_uxd((HEAD.format(wl=0.7093, unit="A") + RANGE + data).encode())
    np.testing.assert_array_equal(scan.axis, [10, 10.5, 11])
    np.testing.assert_array_equal(scan.intensity, [5, 6, 7])
    assert scan.wavelength == 0.7093
    assert scan.seconds == (None if "CPS" in data else 2)


def test_uxd_of_two_ranges_in_nm():
    ranges = RANGE + "_COUNTS\n5 6 7\n" + RANGE.replace("10.0", "20.0") + "_COUNTS\n8 9\n"
    one, two = read_uxd((HEAD.format(wl=0.07093, unit="nm") + ranges).encode())
    assert (one.axis[0], len(one.axis), two.axis[0], len(two.axis)) == (10, 3, 20, 2)
    assert one.wavelength == pytest.approx(0.7093)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "1 2 3\n", "line 7 has numbers before a range"),
        (HEAD, "no range"),
        (HEAD + RANGE + "_2THETACOUNTS\n10 5 11\n", "3 numbers in rows of 2"),
        (HEAD + "_STEPSIZE=0\n_START=10\n_COUNTS\n5 6\n", "in steps of 0"),
        (HEAD + RANGE + "_COUNTS\n5 six\n", "value 2 is 'six'"),
    ],
)
def test_what_is_no_pattern_is_refused(text, message):
    with pytest.raises(PatternError, match=message):
        read_uxd(text.format(wl=1.54, unit="A").encode())
