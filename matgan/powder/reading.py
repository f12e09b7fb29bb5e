"""Read a measured powder pattern from a file: `pattern = read_pattern("scan.xy")`.

A pattern comes with what was decided on the way (`Pattern.source`): which reader, unit and
wavelength, and which points were left out, averaged or put in order. What cannot be meant is
refused with the reason.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matgan.powder.formats.archive import Archive
from matgan.powder.formats.arrays import tidy, to_two_theta, unit_name
from matgan.powder.formats.bruker import read_brml, read_uxd
from matgan.powder.formats.bruker_raw import MAGIC, read_raw
from matgan.powder.formats.cif import read_cif
from matgan.powder.formats.gsas import BANK, read_gsas
from matgan.powder.formats.panalytical import read_xrdml
from matgan.powder.formats.rigaku import read_asc, read_ras, read_rasx
from matgan.powder.formats.scan import MOST_BYTES, Scan
from matgan.powder.formats.text import as_text, read_text
from matgan.powder.patterns import CU_KA1, PatternError, wavelength_in_angstrom

__all__ = ["Pattern", "PatternError", "read_pattern", "tidy", "to_two_theta"]

# files that people take for patterns, by their first bytes
_FOREIGN = {
    b"RAW_1.06": "a STOE .raw",
    b"\x89HDF": "an HDF5 or NeXus file",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
}


@dataclass(frozen=True)
class Pattern:
    """A measured powder pattern.

    Attributes
    ----------
    two_theta : (n,) float64 array, degrees, increasing
    intensity : (n,) float64 array, in the file's unit, background included
    wavelength : Å, as the file or the reader's caller says; None: not known
    source : how it was read, and what was left out, averaged or put in order
    """

    two_theta: np.ndarray
    intensity: np.ndarray
    wavelength: float | None = None
    source: str = ""

    def __len__(self) -> int:
        return len(self.two_theta)


def read_pattern(
    path: str | Path, unit: str | None = None, wavelength: float | str | None = None
) -> Pattern:
    """A measured powder pattern from a file.

    Parameters
    ----------
    path : of the file; docs/patterns.md lists the formats
    unit : of the axis: "degree" (2θ), "1/Å" or "1/nm" (q), "Å" or "nm" (d), "centidegree",
        "radian"; by default what the file's header or column name says, else degrees
    wavelength : Å or a name such as "CuKa1"; it overrules the file's

    Raises
    ------
    PatternError
        The file is damaged or holds no pattern; a unit or wavelength that cannot be. Says the
        file, and the line where there is one. Or `path` is empty, or none.
    OSError
        The file cannot be opened.
    """
    if not isinstance(path, str | os.PathLike) or path == "":  # Path("") is the folder we are in
        raise PatternError(f"the path of a pattern's file is needed, not {path!r}")
    path = Path(path)
    about = path.stat()
    if about.st_size > MOST_BYTES:
        raise PatternError(f"{path} has {about.st_size} bytes: more than any pattern")
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise PatternError(f"{path} is no file but a device or pipe")
    try:
        return _pattern(read_scans(path.read_bytes()), path.name, unit, wavelength)
    except PatternError as error:
        raise PatternError(f"{path}: {error}") from error


def read_scans(data: bytes) -> list[Scan]:
    """The scans in the bytes of a file, whose format is told by its content.

    Raises
    ------
    PatternError
        As `read_pattern`.
    """
    if data.startswith(b"PK"):
        archive = Archive(data)
        if any("rawdata" in name.lower() for name in archive.names):
            return read_brml(archive)
        if any("/profile" in name.lower() for name in archive.names):
            return read_rasx(archive)
        raise PatternError("it is an archive (a spreadsheet?) without a pattern that is known")
    if data.startswith(MAGIC):
        return read_raw(data)
    for start, name in _FOREIGN.items():
        if data.startswith(start):
            raise PatternError(f"it is {name}, which is not read: export it as .xy")
    if BANK.search(data):
        return read_gsas(data)
    text = as_text(data)
    head = text[:20_000].lstrip()
    if head.startswith("<"):
        return read_xrdml(data)
    if "*RAS_" in head:
        return read_ras(data)
    if re.search(r"^\*COUNT\s*=", text, re.MULTILINE):
        return read_asc(data)
    if re.search(r"^_FILEVERSION", head, re.MULTILINE):
        return read_uxd(data)
    if re.search(r"^data_", head, re.MULTILINE | re.IGNORECASE) and re.search(
        r"^[ \t]*_\w", text, re.MULTILINE
    ):
        return read_cif(data)
    return read_text(data)


def _pattern(scans: list[Scan], name: str, unit, wavelength) -> Pattern:
    told = {scan.wavelength for scan in scans if scan.wavelength is not None}
    notes = list(dict.fromkeys(note for scan in scans for note in scan.notes))
    if wavelength is None and len(told) > 1:
        raise PatternError(f"its ranges have different wavelengths, {sorted(told)} Å: give one")
    if wavelength is not None and told:
        notes.append(f"wavelength as given, not the file's {', '.join(map(str, sorted(told)))} Å")
    given = wavelength if wavelength is not None else next(iter(told), None)
    units = [unit_name(unit or scan.unit or "degree") for scan in scans]
    axes = [to_two_theta(scan.axis, u, given) for scan, u in zip(scans, units, strict=True)]
    largest = max((np.nanmax(a) for a in axes if np.isfinite(a).any()), default=180.0)
    length = None if given is None else wavelength_in_angstrom(given, largest)
    if set(units) - {"degree"}:
        notes.append(f"axis converted from {', '.join(sorted(set(units)))} to 2θ")
        if length is None and set(units) - {"degree", "centidegree", "radian"}:
            length = CU_KA1
            notes.append("its angles are those of Cu Kα1")
    counts = [scan.intensity for scan in scans]
    seconds = [scan.seconds for scan in scans]
    if None not in seconds and len(set(seconds)) > 1:
        notes.append("counts per second, as the time differs between ranges")
        counts = [y / s for y, s in zip(counts, seconds, strict=True)]
    unit_told = unit is not None or any(scan.unit for scan in scans)
    angle, intensity, more = tidy(np.concatenate(axes), np.concatenate(counts), unit_told)
    return Pattern(angle, intensity, length, "; ".join([name, *notes, *more]))
