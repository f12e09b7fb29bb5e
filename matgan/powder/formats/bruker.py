"""Bruker's .brml (a zip archive of XML) and .uxd (text)."""

from __future__ import annotations

import re

import numpy as np

from matgan.powder.formats.archive import Archive, parse_xml, text_of
from matgan.powder.formats.scan import Scan, known_wavelength, number, numbers, steps, words_of
from matgan.powder.formats.text import as_text
from matgan.powder.patterns import PatternError

_RAW_DATA = re.compile(r"(?:.*[/\\])?Experiment(\d{1,9})[/\\]RawData(\d{1,9})\.xml", re.IGNORECASE)
_BLANK = -9999.0  # of a point that was not measured


def read_brml(archive: Archive) -> list[Scan]:
    """The scans over 2θ of a .brml file.

    Columns are found by the views that the file declares: the axis TwoTheta and the recorded
    counts, which hold the factor of an absorber already.

    Raises
    ------
    PatternError
        Damaged XML, or no scan over 2θ.
    """
    found = ((_RAW_DATA.fullmatch(name), name) for name in archive.names)
    scans: list[Scan] = []
    for _, _, name in sorted((int(m[1]), int(m[2]), name) for m, name in found if m):
        root = parse_xml(archive.read(name))
        anode = text_of(root, ".//TubeMaterial")
        told = root.find(".//WaveLengthAlpha1")
        length = known_wavelength("" if told is None else told.get("Value", ""), anode)
        for route in root.iter("DataRoute"):
            if route.get("RouteFlag", "Measured") == "Measured" and (scan := _route(route)):
                scan.wavelength = length
                scans.append(scan)
    if not scans:
        raise PatternError("it holds no scan over 2θ")
    return scans


def _route(route) -> Scan | None:
    rows = [datum.text.split(",") for datum in route.iter("Datum") if datum.text]
    axis = counts = time = None
    for view in route.iter("RawDataView"):
        first = view.get("Start", "")
        if not re.fullmatch(r"[0-9]{1,4}", first):
            continue
        if view.get("LogicName") == "MeasuredTime":
            time = int(first)
        fields = [field.get("AxisId") for field in view.iter("FieldDefinitions")]
        if "TwoTheta" in fields:
            axis = int(first) + fields.index("TwoTheta")
        if view.find("Recording") is not None and counts is None:
            counts = int(first)
    if axis is None or counts is None or not rows:
        return None
    width = max(axis, counts, time or 0) + 1
    if any(len(row) < width for row in rows):
        raise PatternError(f"a row of its data has fewer than {width} columns")
    angle, intensity = (numbers([row[i] for row in rows]) for i in (axis, counts))
    intensity = np.where(intensity == _BLANK, np.nan, intensity)
    times = numbers([row[time] for row in rows]) if time is not None else np.zeros(1)
    seconds = float(times[0]) if np.ptp(times) == 0 and times[0] > 0 else None
    return Scan(angle, intensity, "degree", notes=["Bruker .brml"], seconds=seconds)


def read_uxd(data: bytes) -> list[Scan]:
    """The ranges of a .uxd file.

    Raises
    ------
    PatternError
        Numbers before a range is described, a damaged number, or no range.
    """
    scans: list[Scan] = []
    header: dict[str, str] = {}
    words: list[str] = []
    columns = 0  # of the range that is being read

    def end() -> None:
        if columns:
            scans.append(_range(header, words, columns))

    for place, line in enumerate(as_text(data).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(";"):
            continue
        if line.startswith("_"):
            name, _, value = line.partition("=")
            if columns:
                end()
                words, columns = [], 0
            if re.fullmatch(r"_(2THETA)?(COUNTS|CPS)(TIME)?", name):
                columns = 1 + name.startswith("_2THETA") + name.endswith("TIME")
                header["columns"] = name
            elif name in ("_D-I", "_2THETA-I"):
                header["columns"] = ""  # a list of peaks follows
            else:
                header[name] = value.strip().strip("'\"")
        elif columns:
            words += words_of(line.replace(",", " "))
        elif header.get("columns") != "":
            raise PatternError(f"line {place} has numbers before a range is described")
    end()
    if not scans:
        raise PatternError("it holds no range")
    return scans


def _range(header: dict[str, str], words: list[str], columns: int) -> Scan:
    if not words or len(words) % columns:
        raise PatternError(f"a range has {len(words)} numbers in rows of {columns}")
    table = numbers(words).reshape(-1, columns)
    if header["columns"].startswith("_2THETA"):
        axis, intensity = table[:, 0], table[:, 1]
    else:
        start = header.get("_START") or header.get("_2THETA", "")
        intensity = table[:, 0]
        axis = steps(
            number(start, "_START"),
            number(header.get("_STEPSIZE", ""), "_STEPSIZE"),
            len(intensity),
        )
    seconds = None
    if "CPS" not in header["columns"] and "_STEPTIME" in header:
        seconds = number(header["_STEPTIME"], "_STEPTIME")
    length = known_wavelength(header.get("_WL1", ""), header.get("_ANODE", ""))
    if length and header.get("_WL_UNIT", "A").lower() == "nm":
        length *= 10
    return Scan(axis, intensity, "degree", length, ["Bruker .uxd"], seconds)
