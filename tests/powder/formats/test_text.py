"""Tables of text as people have them."""

import numpy as np
import pytest

from matgan.powder.formats.text import _axis, read_text, wavelength_told
from matgan.powder.patterns import PatternError


@pytest.mark.parametrize(
    "text",
    [
        "10.5 100\n11 200\n",
        "10.5\t100\n11\t200\n",
        "10.5,100\n11,200\n",
        "10.5, 100\n11, 200\n",
        "10.5;100\n11;200\n",
        "10,5 100\n11,0 200\n",
        "10,5\t100,0\n11,0\t200\n",
        "10,5;100\r\n11,0;200\r\n",
        "# a header\n10.5 100 3\n11 200 4\n",
        "2theta,intensity\n10.5,100\n11,200\n",
        "1.05E+01  1.0D+02\n 1.1e1 2e2",
        "/* scan\n 3 lines\n*/\n10.5 100\n11 200\n",
        '"10.5","100"\n"11","200"\n',
        '"10,5","100"\n"11","200"\n',
        ",two_theta,intensity\n0,10.5,100\n1,11,200\n",
        "I;2Theta\n100;10,5\n200;11\n",
        "2Theta [°],Intensität\n10.5,100\n11,200\n",
        "[Scan points]\nAngle,Intensity\n10.5,100\n11,200\n",
        "Position [°2Th.]\tCounts\n10.5\t100\n11\t200\n",
        "5 90 0.02\n10.5 100\n11 200\n",
        "2\n10.5 100\n11 200\n",
        "10.5 100 # first\n11 200 # second\n",
        "time theta 2theta counts\n0 5 10.5 100\n1 5.5 11 200\n",
    ],
)
def test_a_table_in_any_dress(text):
    (scan,) = read_text(text.encode())
    np.testing.assert_array_equal(scan.axis, [10.5, 11])
    np.testing.assert_array_equal(scan.intensity, [100, 200])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("2theta", "degree"), ("2-Theta (deg)", "degree"), ("TwoTheta", "degree"),
        ("tth", "degree"), ("2θ/°", "degree"), ("Angle", "degree"), ("x", "degree"),
        ("2th_deg", "degree"), ("2th_rad", "radian"),
        ("q_nm^-1", "1/nm"), ("q (nm⁻¹)", "1/nm"), ("Q(1/nm)", "1/nm"),
        ("q_A^-1", "1/Å"), ("Q", "1/Å"), ("q [1/Å]", "1/Å"), ("Q (Angstrom-1)", "1/Å"),
        ("d", "Å"), ("d-spacing", "Å"), ("d (Å)", "Å"), ("dspacing [A]", "Å"), ("d_nm", "nm"),
        ("date", None), ("data", None), ("quality", None), ("intensity", None), ("frame", None),
    ],
)  # fmt: skip
def test_names_of_axes(name, unit):
    assert _axis(name.lower()) == unit


@pytest.mark.parametrize(
    "remark",
    ["# Q range 0.5 to 7", "# d spacing was calibrated with LaB6 before", "# theta offset 0.1"],
)
def test_a_remark_names_no_columns(remark):
    (scan,) = read_text(f"{remark}\n10.5 100\n11 200\n".encode())
    assert scan.unit is None


@pytest.mark.parametrize(
    ("header", "wavelength"),
    [
        ("K-Alpha1: 1.54060", 1.5406), ("K-Alpha 1: 1.54060", 1.5406),
        ("Wavelength (K-Alpha 1): 1.5406", 1.5406), ("lambda 1 = 1.5406", 1.5406),
        ("K-Alpha1 wavelength [Å],1.540598", 1.540598), ("lambda = 0.15406 nm", 1.5406),
        ("Wavelength=1.5406E-10", 1.5406), ("wavelength 1 Å", 1.0), ("wavelength: 1.0", 1.0),
        ("Used wavelength,K-Alpha 1\nAnode material,Cu", 1.54056),
        ("Kα2/Kα1 ratio: 0.5\nAnode: Cu", 1.54056), ("Anode: Mo", 0.7093),
        ("wavelength = 15.0 keV", None), ("wavelength 2", None), ("a scan", None),
    ],
)  # fmt: skip
def test_the_wavelength_in_words(header, wavelength):
    assert wavelength_told(header) == (wavelength and pytest.approx(wavelength, abs=5e-6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table"),
        ("10 1\n10.1 2x\n10.2 3\n", "line 2: '2x' is no number"),
        ("10 1\n10.1 2\n10.2\n", "line 3 has one number"),
        ("10 1\n10.1 2\n10.2.3 3\n", "line 3 is no row of numbers"),
        ("10.1;1,5\n10.2;2,5\n", "which is the decimal sign"),
        ("10,02,2157,5\n10,04,2100,5\n10,06,2100,5\n", "between and within numbers"),
    ],
)
def test_what_cannot_be_understood_is_refused(text, message):
    with pytest.raises(PatternError, match=message):
        read_text(text.encode())
