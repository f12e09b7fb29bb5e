"""Bruker's and Siemens' binary .raw: "RAW " (DIFFRAC-AT 1), RAW2, RAW1.01 (version 3), RAW4.00.

Layouts follow the appendix of the DIFFRAC plus XCH manual (2002) for the first three; the fourth
has no published description, only what other readers found.
"""

from __future__ import annotations

import struct

import numpy as np

from matgan.powder.formats.scan import Scan, check_count, known_wavelength, steps
from matgan.powder.patterns import PatternError

MAGIC = (b"RAW ", b"RAW2", b"RAW1.01", b"RAW4.00")
_MOST_RANGES = 10_000
# types of scan in RAW1.01 that move the detector: coupled, uncoupled, detector
_OVER_TWO_THETA = (0, 1, 2)


def read_raw(data: bytes) -> list[Scan]:
    """The ranges over 2θ of a .raw file.

    Raises
    ------
    PatternError
        Another format of that name, a file that ends too early, or no range over 2θ.
    """
    reader = next(
        (r for magic, r in zip(MAGIC, _READERS, strict=True) if data.startswith(magic)), None
    )
    if reader is None:
        raise PatternError("it is no .raw of Bruker or Siemens; export it as .xy")
    scans = reader(data)
    if not scans:
        raise PatternError("it holds no range over 2θ")
    return scans


def _take(data: bytes, form: str, place: int):
    """One number (little endian) at a place."""
    if place < 0 or place + struct.calcsize(form) > len(data):
        raise PatternError(f"it ends at byte {len(data)}, where byte {place} is needed")
    return struct.unpack_from("<" + form, data, place)[0]


def _floats(data: bytes, place: int, n: int, stride: int = 4) -> np.ndarray:
    """(n,) array of float32, one each `stride` bytes."""
    check_count(n)
    if stride < 4 or place < 0 or place + n * stride > len(data):
        raise PatternError(f"it ends at byte {len(data)}, {n} points from {place} do not fit")
    raw = np.frombuffer(data, np.uint8, n * stride, place).reshape(n, stride)[:, :4]
    with np.errstate(invalid="ignore"):  # damaged numbers
        return np.ascontiguousarray(raw).view("<f4")[:, 0].astype(float)


def _text(data: bytes, place: int, n: int) -> str:
    return data[place : place + n].split(b"\0")[0].decode("latin-1").strip()


def _version_1(data: bytes) -> list[Scan]:
    scans: list[Scan] = []
    place, following = 4, 1
    while following and len(scans) < _MOST_RANGES:
        if data[place : place + 4] == b"RAW ":  # some files repeat the mark at each range
            place += 4
        n = _take(data, "I", place)
        seconds, step = _take(data, "f", place + 4), _take(data, "f", place + 8)
        start, length = _take(data, "f", place + 20), _take(data, "f", place + 68)
        following = _take(data, "I", place + 148)
        counts = _floats(data, place + 152, n)
        scans.append(_scan(start, step, counts, length, "", seconds, "RAW version 1"))
        place += 152 + 4 * n
    return scans


def _version_2(data: bytes) -> list[Scan]:
    n_ranges = _take(data, "H", 4)
    anode, length = _text(data, 188, 2), _take(data, "f", 190)
    scans, place = [], 256
    for _ in range(n_ranges):
        size, n = _take(data, "H", place), _take(data, "H", place + 2)
        if size < 24:
            raise PatternError(f"a header of {size} bytes is too short for a range")
        seconds, step, start = (_take(data, "f", place + at) for at in (8, 12, 16))
        counts = _floats(data, place + size, n)
        scans.append(_scan(start, step, counts, length, anode, seconds, "RAW version 2"))
        place += size + 4 * n
    return scans


def _version_3(data: bytes) -> list[Scan]:
    n_ranges = _take(data, "I", 12)
    anode, length = _text(data, 608, 4), _take(data, "d", 624)
    scans, place = [], 712
    for _ in range(min(n_ranges, _MOST_RANGES)):
        size, n = _take(data, "I", place), _take(data, "I", place + 4)
        start, step = _take(data, "d", place + 16), _take(data, "d", place + 176)
        seconds, kind = _take(data, "f", place + 192), _take(data, "I", place + 196)
        record, extra = _take(data, "I", place + 252), _take(data, "I", place + 256)
        if size < 260 or record < 4 or record > 1000:
            raise PatternError(f"a range with a header of {size} bytes and points of {record}")
        first = place + size + extra
        counts = _floats(data, first, n, record)
        if kind in _OVER_TWO_THETA:
            name = "RAW version 3 (1.01)"
            scans.append(_scan(start, step, counts, length, anode, seconds, name))
        place = first + n * record
    return scans


def _version_4(data: bytes) -> list[Scan]:
    scans: list[Scan] = []
    anode, length, place = "", 0.0, 61
    while place + 4 <= len(data) and len(scans) < _MOST_RANGES:
        kind = _take(data, "I", place)
        if kind not in (0, 160):
            size = _take(data, "I", place + 4)
            if size < 8:
                raise PatternError(f"a segment of {size} bytes at byte {place}")
            if kind == 30:
                length, anode = _take(data, "d", place + 80), _text(data, place + 116, 4)
            place += size
            continue
        name = _text(data, place + 32, 24)
        start, step = _take(data, "d", place + 72), _take(data, "d", place + 80)
        n, seconds = _take(data, "I", place + 88), _take(data, "f", place + 92)
        record, size = _take(data, "I", place + 136), _take(data, "I", place + 140)
        first = place + 160 + size
        counts = _floats(data, first, n, record)
        if any(word in name.lower() for word in ("coupled", "2theta", "detector", "psd")):
            title = f"RAW version 4, {name}"
            scans.append(_scan(start, step, counts, length, anode, seconds, title))
        place = first + n * record
    return scans


_READERS = (_version_1, _version_2, _version_3, _version_4)


def _scan(start, step, counts, length, anode, seconds, name) -> Scan:
    return Scan(
        steps(start, step, len(counts)),
        counts,
        "degree",
        known_wavelength(length, anode),
        [f"Bruker {name}"],
        float(seconds) if 0 < seconds < 1e6 else None,
    )
