"""Tables of text as people have them."""

import numpy as np
import pytest

from matgan.powder.formats.text import read_text
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
    ],
)
def test_a_table_in_any_dress(text):
    (scan,) = read_text(text.encode())
    np.testing.assert_array_equal(scan.axis, [10.5, 11])
    np.testing.assert_array_equal(scan.intensity, [100, 200])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table"),
        ("10 1\n10.1 2x\n10.2 3\n", "line 2: '2x' is no number"),
        ("10 1\n10.1\n10.2 3\n", "line 2 has one number"),
        ("10,02,2157,5\n10,04,2100,5\n10,06,2100,5\n", "between and within numbers"),
    ],
)
def test_what_cannot_be_understood_is_refused(text, message):
    with pytest.raises(PatternError, match=message):
        read_text(text.encode())
