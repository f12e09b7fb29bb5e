"""Rigaku's .rasx on a real file, .ras and .asc on hand-made ones."""

import io
import zipfile

import numpy as np
import pytest

from matgan import read_pattern
from matgan.powder.formats.archive import Archive
from matgan.powder.formats.rigaku import read_asc, read_ras, read_rasx
from matgan.powder.patterns import PatternError

RAS = """*RAS_DATA_START
*RAS_HEADER_START
*HW_XG_TARGET_NAME "Co"
*HW_XG_WAVE_LENGTH_ALPHA1 "1.788965"
*MEAS_DATA_COUNT "3.0000000000"
*MEAS_SCAN_AXIS_X_INTERNAL "TwoThetaOmega"
*RAS_HEADER_END
*RAS_INT_START
26.50 51.5 1.0000
26.54 45.5 1.0000
26.58 40.5 2.0000
*RAS_INT_END
*RAS_DATA_END
"""


def test_a_real_rasx(measured_files):
    pattern = read_pattern(measured_files / "rigaku.rasx")
    with zipfile.ZipFile(measured_files / "rigaku.rasx") as archive:
        text = archive.read("Data0/Profile0.txt").decode("utf-8-sig")
    angle, counts, _ = np.loadtxt(io.StringIO(text)).T
    np.testing.assert_array_equal(pattern.two_theta, angle)
    np.testing.assert_array_equal(pattern.intensity, counts)
    assert len(pattern) == 2851
    assert pattern.wavelength == 1.540593


def test_ras():
    (scan,) = read_ras(RAS.encode())
    np.testing.assert_array_equal(scan.axis, [26.5, 26.54, 26.58])
    np.testing.assert_array_equal(scan.intensity, [51.5, 45.5, 81])
    assert scan.wavelength == 1.788965
    two = read_ras((RAS + RAS.replace("26.", "56.")).encode())
    assert [s.axis[0] for s in two] == [26.5, 56.5]


def test_a_ras_without_a_wavelength_has_its_anodes():
    (scan,) = read_ras(RAS.replace("1.788965", "").encode())
    assert scan.wavelength == 1.78896


ASC = """*TYPE = Raw
*TARGET = Mo
*GROUP_COUNT = 2
*BEGIN
*START = 10.0
*STEP = 0.5
*COUNT = 5
 1048, 1162, 1108, 1163
 1071
*END
*BEGIN
*START = 20.0
*STEP = 0.5
*COUNT = 2
 3, 4
*END
*EOF
"""


def test_asc():
    one, two = read_asc(ASC.encode())
    np.testing.assert_array_equal(one.axis, [10, 10.5, 11, 11.5, 12])
    np.testing.assert_array_equal(one.intensity, [1048, 1162, 1108, 1163, 1071])
    np.testing.assert_array_equal((two.axis, two.intensity), ([20, 20.5], [3, 4]))
    assert one.wavelength == 0.7093
    with pytest.raises(PatternError, match="promises 9 points and has 5"):
        read_asc(ASC.replace("COUNT = 5", "COUNT = 9").encode())
    with pytest.raises(PatternError, match="no group"):
        read_asc(b"*COUNT = 5\n")


def rasx(**members):
    """An archive, with the slashes of its names written as __."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_txt", ".txt"), content)
    return Archive(buffer.getvalue())


def test_scans_come_in_the_order_of_their_numbers():
    table = "{0}.0\t5\t1\r\n{0}.1\t6\t1\r\n"
    members = {f"Data{i}__Profile{i}_txt": table.format(10 + i) for i in (0, 10, 2)}
    assert [scan.axis[0] for scan in read_rasx(rasx(**members))] == [10, 12, 20]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RAS.replace("TwoThetaOmega", "Omega"), "no scan over 2θ"),
        (RAS.replace("26.54 45.5 1.0000", "26.54"), "row 2 of its table is '26.54'"),
        (RAS.replace("45.5", "45,5"), "value 2 is '45,5'"),
        (RAS.partition("26.54")[0], "ends after 1 of 3 points"),
    ],
)
def test_what_is_no_pattern_is_refused(text, message):
    with pytest.raises(PatternError, match=message):
        read_ras(text.encode())
