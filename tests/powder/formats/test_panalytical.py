"""PANalytical's .xrdml: real files by their own header, hand-made ones by the schema."""

import numpy as np
import pytest

from matgan import read_pattern
from matgan.powder.formats.panalytical import read_xrdml
from matgan.powder.patterns import PatternError

SCAN = (
    '<scan scanAxis="Gonio"><dataPoints><positions axis="2Theta" unit="deg">{positions}'
    "</positions>{rest}</dataPoints></scan>"
)
ENDS = "<startPosition>10</startPosition><endPosition>12</endPosition>"


def made(*scans, kind="Scan", intended="K-Alpha 1"):
    """An .xrdml of these scans."""
    return (
        '<?xml version="1.0"?><xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/2.1">'
        f'<xrdMeasurement measurementType="{kind}"><usedWavelength intended="{intended}">'
        "<kAlpha1>0.7093</kAlpha1><kBeta>0.6323</kBeta></usedWavelength>"
        + "".join(scans)
        + "</xrdMeasurement></xrdMeasurements>"
    ).encode()


@pytest.mark.parametrize(
    ("name", "n", "ends", "first_and_last"),
    [
        ("panalytical_1.xrdml", 7181, (5.00835563, 124.99526689), (1678, 113)),
        ("panalytical_2.xrdml", 5027, (4.00656514, 69.99936587), (1305, 171)),
    ],
)
def test_real_files(measured_files, name, n, ends, first_and_last):
    pattern = read_pattern(measured_files / name)
    assert len(pattern) == n
    assert pattern.two_theta[[0, -1]] == pytest.approx(ends, abs=1e-9)
    assert tuple(pattern.intensity[[0, -1]]) == first_and_last
    assert np.ptp(np.diff(pattern.two_theta)) < 1e-9
    assert pattern.wavelength == 1.540598


def test_counts_are_multiplied_by_the_attenuation():
    rest = (
        "<commonCountingTime>2</commonCountingTime><counts>1 2 3</counts>"
        "<beamAttenuationFactors>1 188 1</beamAttenuationFactors>"
    )
    (scan,) = read_xrdml(made(SCAN.format(positions=ENDS, rest=rest)))
    np.testing.assert_array_equal(scan.axis, [10, 11, 12])
    np.testing.assert_array_equal(scan.intensity, [1, 376, 3])
    assert (scan.wavelength, scan.seconds) == (0.7093, 2)


def test_listed_positions_times_and_lines():
    listed = "<listPositions>10 10.5 12</listPositions>"
    rest = "<countingTimes>1 2 4</countingTimes><intensities>4 4 4</intensities>"
    (scan,) = read_xrdml(made(SCAN.format(positions=listed, rest=rest), intended="K-Beta"))
    np.testing.assert_array_equal(scan.axis, [10, 10.5, 12])
    np.testing.assert_array_equal(scan.intensity, [4, 2, 1])
    assert scan.wavelength == 0.6323


STILL = SCAN.format(positions="<commonPosition>10</commonPosition>", rest="<counts>1 2 3</counts>")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (made(STILL), "no scan over 2θ"),
        (made(STILL, kind="Area measurement"), "holds a map"),
        (b"<svg></svg>", "<svg>, not the <xrdMeasurements>"),
        (made(SCAN.format(positions=ENDS, rest="<counts>1 2 x</counts>")), "value 3 is 'x'"),
        (made(SCAN.format(positions="", rest="<counts>1 2</counts>")), "startPosition is ''"),
        (
            made(
                SCAN.format(
                    positions="<listPositions>1 2</listPositions>", rest="<counts>1</counts>"
                )
            ),
            "2 angles and 1 intensities",
        ),
    ],
)
def test_what_is_no_pattern_is_refused(data, message):
    with pytest.raises(PatternError, match=message):
        read_xrdml(data)
