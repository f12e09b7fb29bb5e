"""PANalytical's .xrdml, by its published schema (versions 1.x and 2.x)."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from matgan.powder.formats.archive import parse_xml, text_of
from matgan.powder.formats.scan import Scan, known_wavelength, number, numbers, words_of
from matgan.powder.patterns import PatternError

_LINES = {"K-Beta": "kBeta", "K-Alpha 2": "kAlpha2"}  # others: kAlpha1


def read_xrdml(data: bytes) -> list[Scan]:
    """The scans over 2θ of an .xrdml file.

    Counts of schema 2.x are multiplied by the attenuation of the beam, as `intensities` of 1.x
    already are.

    Raises
    ------
    PatternError
        Damaged XML, another document, a map, or no scan over 2θ.
    """
    root = parse_xml(data)
    if root.tag != "xrdMeasurements":
        raise PatternError(f"its XML is <{root.tag}>, not the <xrdMeasurements> of .xrdml")
    scans: list[Scan] = []
    for measurement in root.iter("xrdMeasurement"):
        kind = measurement.get("measurementType", "")
        if "area" in kind.lower() or "pole" in kind.lower():
            raise PatternError(f"it holds a map ({kind}), not a powder pattern")
        scans += _scans(measurement)
    if not scans:
        raise PatternError("it holds no scan over 2θ")
    return scans


def _scans(measurement: Element) -> list[Scan]:
    used = measurement.find("usedWavelength")
    line = _LINES.get("" if used is None else used.get("intended", ""), "kAlpha1")
    anode = text_of(measurement, ".//anodeMaterial")
    wavelength = known_wavelength(text_of(used, line), anode)
    found = []
    for points in measurement.iter("dataPoints"):
        listed = next((e for e in points if e.tag in ("intensities", "counts")), None)
        if listed is None or not (listed.text or "").strip():
            continue
        intensity = numbers(words_of(listed.text or ""))
        axis = _two_theta(points, len(intensity))
        if axis is None:
            continue
        seconds = text_of(points, "commonCountingTime")
        times = words_of(text_of(points, "countingTimes"))
        notes = ["PANalytical .xrdml"]
        if listed.tag == "counts":
            factors = words_of(text_of(points, "beamAttenuationFactors"))
            if factors and len(factors) != len(intensity):
                raise PatternError(f"{len(factors)} attenuation factors, {len(intensity)} counts")
            if factors:
                intensity = intensity * numbers(factors)
                notes.append("counts times the beam's attenuation")
        if times and len(times) == len(intensity):
            intensity = intensity / np.where(numbers(times) > 0, numbers(times), np.nan)
            notes.append("counts per second, as the time differs between points")
        time = number(seconds, "commonCountingTime") if seconds and not times else None
        found.append(Scan(axis, intensity, "degree", wavelength, notes, time))
    return found


def _two_theta(points: Element, n: int) -> np.ndarray | None:
    """(n,) angles, or None where 2θ does not move."""
    positions = next((e for e in points.iter("positions") if e.get("axis") == "2Theta"), None)
    if positions is None or positions.find("commonPosition") is not None:
        return None
    listed = words_of(text_of(positions, "listPositions"))
    if listed:
        return numbers(listed)
    first, last = (
        number(text_of(positions, name), name) for name in ("startPosition", "endPosition")
    )
    return np.linspace(first, last, n)
