"""What a header promises is checked before memory is taken."""

import numpy as np
import pytest

from matgan.powder.formats.scan import check_count, steps
from matgan.powder.patterns import PatternError


def test_steps():
    np.testing.assert_array_equal(steps(5, 0.5, 3), [5, 5.5, 6])


@pytest.mark.parametrize(("start", "step"), [(5, 0), (np.nan, 1), (5, np.inf)])
def test_no_scan_is_refused(start, step):
    with pytest.raises(PatternError, match="a scan from"):
        steps(start, step, 3)


@pytest.mark.parametrize("n", [10**12, -1])
def test_a_number_of_points_that_cannot_be(n):
    with pytest.raises(PatternError, match="are believed"):
        check_count(n)
