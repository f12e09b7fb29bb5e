"""Powder data of CIFs, made by the dictionary's description."""

import numpy as np
import pytest

from matgan.powder.formats.cif import read_cif
from matgan.powder.patterns import PatternError

WAVES = (
    "loop_\n_diffrn_radiation_wavelength\n_diffrn_radiation_wavelength_wt\n1.5444 0.5\n1.5406 1.0\n"
)
LOOP = "loop_\n_pd_proc_2theta_corrected\n_pd_meas_counts_total\n10.0 5(2)\n10.5 6(2)\n11.0 .\n"
TEXTS = "_a 'it''s a word'\n_b\n;\nloop_\n_pd_meas_counts_total 1 2\n;\n_c \"two words\" # end\n"


def test_a_loop():
    (scan,) = read_cif(f"data_a\n{TEXTS}{WAVES}{LOOP}".encode())
    np.testing.assert_array_equal(scan.axis, [10, 10.5, 11])
    np.testing.assert_array_equal(scan.intensity, [5, 6, np.nan])
    assert (scan.unit, scan.wavelength) == ("degree", 1.5406)


def test_the_first_wavelength_where_no_weight_is_known():
    unknown = WAVES.replace("1.5444 0.5", "1.5406 .").replace("1.5406 1.0", "1.5444 ?")
    (scan,) = read_cif(f"data_a\n{unknown}{LOOP}".encode())
    assert scan.wavelength == 1.5406


def test_a_range():
    items = "_pd_meas_2theta_range_min 10\n_pd_meas_2theta_range_inc 0.5\n"
    items += "_diffrn_radiation_wavelength 0.7\n"
    (scan,) = read_cif(f"data_a\n{items}loop_\n_pd_meas_intensity_total\n5 6\n7\n".encode())
    np.testing.assert_array_equal(scan.axis, [10, 10.5, 11])
    np.testing.assert_array_equal(scan.intensity, [5, 6, 7])
    assert scan.wavelength == 0.7


def test_q_and_several_blocks():
    second = LOOP.replace("_pd_proc_2theta_corrected", "_pd_proc_recip_len_Q")
    one, two = read_cif(f"data_a\n{LOOP}\ndata_b\n{second}".encode())
    assert (one.unit, two.unit) == ("degree", "1/Å")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_a\n_cell_length_a 5.0\n", "CIF without a powder pattern"),
        (f"data_a\n{LOOP}12.0\n", "4 angles and 3 intensities"),
        (f"data_a\n{LOOP}12.0 x\n", "a value of the CIF is 'x'"),
        (
            "data_a\nloop_\n_pd_meas_time_of_flight\n_pd_meas_counts_total\n1 2\n3 4\n",
            "times of flight",
        ),
    ],
)
def test_what_is_no_pattern_is_refused(text, message):
    with pytest.raises(PatternError, match=message):
        read_cif(text.encode())
