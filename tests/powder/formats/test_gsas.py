"""GSAS's banks, made by the manual's description."""

import numpy as np
import pytest

from matgan.powder.formats.gsas import read_gsas
from matgan.powder.patterns import PatternError

TITLE = "a title\n# wavelength = 0.4139\n"


@pytest.mark.parametrize(
    "bank",
    [
        "BANK 1 3 1 CONST 1000 50 0 0 STD\n 1   220 1   214 1   219\n",
        "BANK 1 3 1 CONST 1000 50 0 0\n     220     214     219\n",
        "BANK 1 3 1 CONST 1000 50 0 0 ESD\n   220.0     1.0   214.0     1.0   219.0     1.0\n",
        "BANK 1 3 3 CONST 1000 50 0 0 FXYE\n1000 220 1\n1050 214 1\n1100 219 1\n",
        "BANK 1 3 3 CONST 1000 50 0 0 FXY\n1000 220\n1050 214\n1100 219\n",
        "BANK 1 3 3 CONS 1000 50 0 0 FXYE\n1000 220 1\n1050 214 1\n1100 219 1\n",
        "BANK 1 3 1 CONST 1000.0 50.0 0 0 ESD\n220 1 214 1 219 1\n",
    ],
)
def test_every_type(bank):
    (scan,) = read_gsas((TITLE + bank).encode())
    np.testing.assert_allclose(scan.axis, [1000, 1050, 1100])
    np.testing.assert_array_equal(scan.intensity, [220, 214, 219])
    assert (scan.unit, scan.wavelength) == ("centidegree", 0.4139)


def test_what_old_files_have():
    """Bytes of memory in the title, zeros where nothing was measured, the end left out."""
    rows = "".join(f"{i:8d}" for i in (5, 0, 7, *range(100, 195)))
    (scan,) = read_gsas(b"title \0\x02\xf0\nBANK 1 100 10 CONST 1000 50 0 0\n" + rows.encode())
    np.testing.assert_array_equal(scan.intensity[:4], [5, np.nan, 7, 100])
    assert len(scan.axis) == 98
    assert "98 of 100 points are there" in scan.notes


@pytest.mark.parametrize(
    ("bank", "message"),
    [
        ("BANK 1 3 1 RALF 1000 50 0 0 ALT\n1 2 3\n", "times of flight"),
        ("BANK 1 3 1 SLOG 1000 50 0 0 FXYE\n1 2 3\n", "times of flight"),
        ("BANK 1 3 1 EDS 1 1 0 0\n1 2 3\n", "energies"),
        ("BANK 1 1000000000000 1 CONST 1000 50 0 0\n1 2 3\n", "are believed"),
        ("BANK 1 4 1 CONST 1000 50 0 0\n       1       2       3\n", "4 numbers and has 3"),
        ("BANK 1 4 4 CONST 1000 50 0 0 FXYE\n1000 1 1\n", "4 points, has 3 numbers"),
        ("BANK 1 3\n", "describes no bank"),
        ("BANK 1 3 1 CONST 1000 x 0 0\n       1       2       3\n", "'x', no number"),
    ],
)
def test_what_is_no_pattern_is_refused(bank, message):
    with pytest.raises(PatternError, match=message):
        read_gsas((TITLE + bank).encode())
