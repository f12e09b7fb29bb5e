"""GSAS's powder data (.gsa, .gsas, .fxye, .raw): BANK lines of angles in hundredths of a degree.

After the GSAS manual (Larson and Von Dreele, LAUR 86-748), chapter on powder data: constant steps
(CONST), types STD, ESD, FXY and FXYE. Time-of-flight banks (RALF, SLOG, TIME_MAP, LPSD, LOG6) and
energies (EDS) have no 2θ and are refused.
"""

from __future__ import annotations

import re

import numpy as np

from matgan.powder.formats.scan import Scan, count, number, numbers, steps, words_of
from matgan.powder.formats.text import as_text, wavelength_told
from matgan.powder.patterns import PatternError

BANK = re.compile(rb"^BANK\s+\d+\s+\d+", re.MULTILINE)
_LEAST_SHARE = 0.95  # of the promised points: files that end a few short are in use


def read_gsas(data: bytes) -> list[Scan]:
    """The banks of a GSAS file.

    Raises
    ------
    PatternError
        Banks without 2θ, damaged numbers, or fewer points than a bank promises.
    """
    header: list[str] = []
    banks: list[tuple[list[str], list[str]]] = []
    for line in as_text(data.translate(None, b"\0\x1a")).splitlines():
        if line.startswith("BANK"):
            banks.append((line.split(), []))
        elif line.startswith("#") or not banks:
            header.append(line)
        elif line.strip():
            banks[-1][1].append(line)
    told = wavelength_told("\n".join(header))
    return [_bank(words, rows, told) for words, rows in banks]


def _bank(words: list[str], rows: list[str], wavelength: float | None) -> Scan:
    if len(words) < 5:
        raise PatternError(f"its line {' '.join(words)!r} describes no bank")
    n, binning = count(words[2], "number of points"), words[4].upper()
    kind = words[-1].upper() if re.fullmatch("[A-Za-z]+", words[-1]) else "STD"
    kind = "STD" if kind == binning and not kind.startswith("FXY") else kind
    if not binning.startswith(("CONS", "COND", "FXY")):
        what = "energies" if binning == "EDS" else "times of flight"
        raise PatternError(f"its bank {words[1]} has {what} ({binning}), no 2θ")
    notes = [f"GSAS {kind}, hundredths of a degree"]
    if kind in ("FXY", "FXYE"):
        columns = 2 + (kind == "FXYE")
        values = numbers(words_of(" ".join(rows)))
        if len(values) < _LEAST_SHARE * columns * n or len(values) % columns:
            raise PatternError(f"bank {words[1]} promises {n} points, has {len(values)} numbers")
        table = values.reshape(-1, columns)
        return Scan(table[:, 0], table[:, 1], "centidegree", wavelength, notes)
    if kind == "STD":
        counts = _fields(rows, n, 8, 2)
    elif kind == "ESD":
        counts = _fields(rows, 2 * n, 8, 0)[::2]
    else:
        raise PatternError(f"its bank {words[1]} has the type {kind}, which is not read")
    if len(counts) < n:
        notes.append(f"{len(counts)} of {n} points are there")
    start, step = (number(word, "a number of the BANK line") for word in words[5:7])
    counts = np.where(counts == 0, np.nan, counts)  # GSAS: not measured
    return Scan(steps(start, step, len(counts)), counts, "centidegree", wavelength, notes)


def _fields(rows: list[str], n: int, width: int, skipped: int) -> np.ndarray:
    """n numbers of fixed width, the first `skipped` characters of each left out.

    Programs also write them parted by blanks, without regard for the width.
    """
    fixed = [
        row[i + skipped : i + width].strip()
        for row in (row.rstrip() for row in rows)
        for i in range(0, len(row), width)
    ]
    free = words_of(" ".join(rows))
    words = free if len(free) == n else fixed
    while len(words) > n and not words[-1]:
        words.pop()
    if len(words) < _LEAST_SHARE * n:
        raise PatternError(f"its bank promises {n} numbers and has {len(words)}")
    return numbers(words[:n])
