"""Rigaku's .ras and .asc (text) and .rasx (a zip archive of tables and XML)."""

from __future__ import annotations

import re

import numpy as np

from matgan.powder.formats.archive import Archive, parse_xml, text_of
from matgan.powder.formats.scan import (
    Scan,
    check_count,
    count,
    known_wavelength,
    number,
    numbers,
    steps,
    words_of,
)
from matgan.powder.formats.text import as_text
from matgan.powder.patterns import PatternError

_KEY = re.compile(r'\*([A-Z][\w-]*)\s+"(.*)"')
_PROFILE = re.compile(r"((?:.*[/\\])?Data(\d{1,9})[/\\])Profile(\d{1,9})\.txt", re.IGNORECASE)


def read_ras(data: bytes) -> list[Scan]:
    """The scans over 2θ of a .ras file.

    Raises
    ------
    PatternError
        No scan over 2θ, or a row that is damaged or missing.
    """
    lines = iter(as_text(data).splitlines())
    header: dict[str, str] = {}
    scans = []
    for line in lines:
        line = line.strip()
        if found := _KEY.match(line):
            header[found[1]] = found[2].strip()
        elif line == "*RAS_HEADER_START":
            header = {}
        elif line == "*RAS_INT_START":
            rows = []
            for row in lines:
                if row.startswith("*"):
                    break
                rows.append(row)
            if scan := _scan(rows, header.get("MEAS_SCAN_AXIS_X_INTERNAL", ""), ".ras"):
                length = header.get("HW_XG_WAVE_LENGTH_ALPHA1", "")
                scan.wavelength = known_wavelength(length, header.get("HW_XG_TARGET_NAME", ""))
                told = count(header.get("MEAS_DATA_COUNT", "0"), "MEAS_DATA_COUNT")
                if told > len(scan.axis):
                    raise PatternError(f"it ends after {len(scan.axis)} of {told} points")
                scans.append(scan)
    if not scans:
        raise PatternError("it holds no scan over 2θ")
    return scans


def read_asc(data: bytes) -> list[Scan]:
    """The groups of an .asc or .dat file: counts in rows behind *START, *STEP and *COUNT.

    Raises
    ------
    PatternError
        No group, a damaged number, or fewer counts than a group promises.
    """
    scans: list[Scan] = []
    header: dict[str, str] = {}
    words: list[str] = []
    for line in [*as_text(data).splitlines(), "*END"]:
        name, _, value = line.strip().partition("=")
        if name.startswith("*END") and words:
            n = count(header.get("*COUNT", ""), "*COUNT")
            if len(words) < n:
                raise PatternError(f"a group promises {n} points and has {len(words)}")
            start, step = (number(header.get(key, ""), key) for key in ("*START", "*STEP"))
            length = known_wavelength(header.get("*WAVE_LENGTH1", ""), header.get("*TARGET", ""))
            angles = steps(start, step, n)
            scans.append(Scan(angles, numbers(words[:n]), "degree", length, ["Rigaku .asc"]))
            words = []
        elif line.startswith("*"):
            header[name.strip()] = value.strip()
        elif "*COUNT" in header:
            words += words_of(line.replace(",", " "))
    if not scans:
        raise PatternError("it holds no group of counts")
    return scans


def read_rasx(archive: Archive) -> list[Scan]:
    """The scans over 2θ of a .rasx file.

    Raises
    ------
    PatternError
        As `read_ras`; a map.
    """
    found = ((_PROFILE.fullmatch(name), name) for name in archive.names)
    profiles = sorted((int(m[2]), int(m[3]), m[1], name) for m, name in found if m)
    scans = []
    for number_of_data, profile, folder, name in profiles:
        header = None
        told = f"{folder}MesurementConditions{profile}.xml"
        if told in archive.names:
            header = parse_xml(archive.read(told))
            if header.find("RSMInformation") is not None and len(profiles) > 1:
                raise PatternError("it holds a map (RSM), not a powder pattern")
        rows = as_text(archive.read(name)).splitlines()
        scan = _scan(
            rows, text_of(header, "ScanInformation/AxisName"), f".rasx, scan {number_of_data}"
        )
        if scan:
            generator = "HWConfigurations/XrayGenerator"
            length = text_of(header, f"{generator}/WavelengthKalpha1")
            scan.wavelength = known_wavelength(length, text_of(header, f"{generator}/TargetName"))
            scans.append(scan)
    if not scans:
        raise PatternError("it holds no scan over 2θ")
    return scans


def _scan(rows: list[str], axis: str, name: str) -> Scan | None:
    """Rows of angle, intensity and attenuation; None where the axis is another than 2θ."""
    if axis and not re.search(r"two|2", axis.lower()):
        return None
    kept = [row.split() for row in rows if row.strip() and not row.lstrip().startswith("#")]
    check_count(len(kept))
    if any(len(row) not in (2, 3) for row in kept):
        bad = next(i for i, row in enumerate(kept) if len(row) not in (2, 3))
        raise PatternError(f"row {bad + 1} of its table is {' '.join(kept[bad])[:60]!r}")
    angle, counts = (numbers([row[i] for row in kept]) for i in (0, 1))
    factor = numbers([row[2] if len(row) > 2 else "1" for row in kept])
    notes = [f"Rigaku {name}"]
    if (factor != 1).any():
        counts = counts * factor
        notes.append("intensities times the attenuator's factor")
    return Scan(angle, np.asarray(counts), "degree", notes=notes)
