"""Tables of text: .xy, .xye, .dat, .csv and their kin, with or without a header.

Columns may be parted by blanks, tabs, commas or semicolons; a decimal comma is understood where
it cannot be a separator. A header may name the columns, the wavelength or the anode.
"""

from __future__ import annotations

import re

import numpy as np

from matgan.powder.formats.scan import Scan, check_count
from matgan.powder.patterns import KALPHA, PatternError

_COMMENT = re.compile(r"""\s*(?:[#;'"!%*/]|//|_|data_|loop_)""")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][+-]?\d+)?")
_MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "--", "inf", "+inf", "-inf", "?", "."}
# names of columns and the units they tell, the best axis first
_AXES = (
    (r"(2|two)[\s_*-]*(θ|th|theta).*rad.*", "radian"),
    (r".*(2|two)[\s_*-]*(θ|th|theta).*|tth.*", "degree"),
    (r"q.*(nm|nanom).*", "1/nm"),
    (r"q\b.*|q[\s_(\[/]*(1/)?(å|a|angstrom)\b.*|q[\s_]*val.*|q_a.*|momentum.*", "1/Å"),
    (r"d\b.*nm.*|d_nm", "nm"),
    (r"d([\s_-]*spac\w*)?([\s_(\[/,]+(å|a|angstrom)\b.*)?|d[\s_-]*val.*", "Å"),
    (r"pos(ition)?\b.*|angle.*|theta|θ|x", "degree"),
)
_NO_AXIS = re.compile(
    r"r_m*|radius.*|energy.*|.*\bkev\b.*|tof.*|time.*of.*flight.*|channel.*|omega.*|phi.*|chi\b.*"
)
_COUNTS = re.compile(r"i\b.*|int.*|counts?\b.*|cps.*|y(obs)?\b|signal.*", re.IGNORECASE)
_UNIT = r"nm|pm|m\b|å|a\b|angstrom"
_NUMBERED = rf"[12]\b(?![.\d]|\s*(?:{_UNIT}))"  # as in "K-Alpha 1": no length
_WAVELENGTH = re.compile(
    r"(?:wave\s*-?length|lambda|λ|\bwl1?|k[-_ ]?alpha1?|kα1?)"
    rf"(?:(?!ratio)[^\d\n]|\b{_NUMBERED}){{0,40}}?[\s:=,(\"']"
    rf"\s*(?!{_NUMBERED})(\d*\.?\d+(?:e[+-]?\d+)?)(?!\.?\d|\s*k?ev)[\s\"']*({_UNIT})?",
    re.IGNORECASE,
)
_ANODE = re.compile(
    r"\b(?:anode|target)\w*(?:[ _-]?material)?[^\w\n]{1,5}(cr|fe|co|cu|mo|ag)\b|"
    r"\b(cr|fe|co|cu|mo|ag)[ _-]?k[ _-]?(?:α|alpha|a)[ _-]?1?\b",
    re.IGNORECASE,
)
_CELLS = re.compile(r"[^\s;,]+")
_WIDEST = 6  # columns of a table without names
_TO_ANGSTROM = {"nm": 10.0, "pm": 0.01, "m": 1e10, "å": 1, "a": 1, "angstrom": 1, "": 1}


def read_text(data: bytes) -> list[Scan]:
    """The table in a text file.

    Raises
    ------
    PatternError
        No table, a damaged line (with its number), or commas that cannot be understood.
    """
    check_count(data.count(b"\n"))
    header, rows = _parted(as_text(data).splitlines())
    table = _table(rows)
    names = _names(header, table.shape[1])
    axis, unit, counts, notes = _columns(names, table)
    told = wavelength_told("\n".join(header))
    if told is None and (told := _from_bragg(names, table)):
        notes.append(f"wavelength {told} Å, from the columns of 2θ and d")
    return [Scan(table[:, axis], table[:, counts], unit, told, ["text", *notes])]


def as_text(data: bytes) -> str:
    """Text of a file: UTF-8, UTF-16 with its mark, else Latin-1."""
    if b"\0" in data[:4000] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise PatternError("it is no text, and of no format that is known")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def wavelength_told(header: str) -> float | None:
    """Wavelength (Å) in the words of a header: a number, or the Kα1 of an anode."""
    header = header[:50_000]
    if found := _WAVELENGTH.search(header):
        value, unit = float(found[1]), (found[2] or "").lower()
        value *= _TO_ANGSTROM["m" if not unit and value < 1e-7 else unit]  # pyFAI writes metres
        if 0.01 < value < 20:
            return round(value, 9)
    if found := _ANODE.search(header):
        return KALPHA[(found[1] or found[2]).capitalize()][0]
    return None


def _parted(lines: list[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """Header lines, and numbered lines of the table."""
    header: list[str] = []
    rows: list[tuple[int, str]] = []
    inside = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if re.match(r'\s*"[+-]?[\d.]', line):  # numbers in quotes
            line = re.sub(r'"\s*[,;\t]\s*"', ";", line).replace('"', "")
        if "/*" in line:
            inside = True
        if inside or _COMMENT.match(line):
            if len(rows) == 0:
                header.append(line)
            inside = inside and "*/" not in line
            continue
        first = re.split(r"[\s;,]+", line.strip(), maxsplit=1)
        if _NUMBER.fullmatch(first[0]) or first[0].lower() in _MISSING - {""}:
            rows.append((number, line))
        elif not rows:
            header.append(line)
        elif re.match(r"\s*[+-]?\.?\d", line):
            raise PatternError(f"line {number} is no row of numbers: {line.strip()[:60]!r}")
    # a title may begin with a number; start, stop and step, or a count, may stand before the table
    while len(rows) > 2 and len(_CELLS.findall(rows[0][1])) != len(_CELLS.findall(rows[1][1])):
        header.append(rows.pop(0)[1])
    if len(rows) < 2:
        raise PatternError("it holds no table of numbers")
    return header, rows


def _table(rows: list[tuple[int, str]]) -> np.ndarray:
    """(n, columns) array of the rows, NaN where there is no number."""
    split = _separator([line for _, line in rows])
    cells = [[cell.strip() for cell in split(line)] for _, line in rows]
    width = max(2, int(np.median([len(row) for row in cells])))
    table = np.full((len(rows), width), np.nan)
    for i, (row, (number, line)) in enumerate(zip(cells, rows, strict=True)):
        if len(row) < 2:
            raise PatternError(f"line {number} has one number: {line.strip()[:60]!r}")
        for j, cell in enumerate(row[:width]):
            if _NUMBER.fullmatch(cell):
                table[i, j] = float(cell.lower().replace("d", "e"))
            elif cell.lower() not in _MISSING and j < 2:
                raise PatternError(f"line {number}: {cell[:30]!r} is no number")
    return table


def _separator(lines: list[str]):
    """A function that parts a line of the table into its cells."""
    text = "\n".join(line.strip() for line in lines)
    comma, point = "," in text, "." in text
    sign = ";" if ";" in text else "\t" if "\t" in text else None
    if not comma:
        return lambda line: line.strip().split(sign)
    blank = re.search(r"[^\s,;][ \t]+[^\s,;]", text) is not None
    if not point and (sign or blank):  # the comma stands in the numbers
        return lambda line: line.strip().replace(",", ".").split(sign)
    if sign:
        raise PatternError(f"points and commas, parted by {sign!r}: which is the decimal sign?")
    cells = [line.strip().rstrip(",").split(",") for line in lines]
    firsts = [row[0] for row in cells]
    if not point and min(map(len, cells)) > 2 and len(set(firsts)) < 0.5 * len(firsts):
        raise PatternError("its commas stand between and within numbers: part columns by ';'")
    if blank:  # commas here and there beside blanks
        return lambda line: re.split(r"[\s,]+", line.strip().rstrip(","))
    return lambda line: line.strip().split(",")


def _names(header: list[str], width: int) -> list[str]:
    """Names of the columns: the words of the last line of the header that begins with an axis."""
    for line in reversed(header[-5:]):
        words = line.strip("\r\n ").lstrip("#'!%*/ ")
        loose: list[str] = []
        for sign in (";", "\t", ",", r"\s{2,}", r"\s+"):
            cells = [cell.strip(" \"'").lower() for cell in re.split(sign, words)]
            if "s" in sign:
                cells = [cell for cell in cells if cell]
            if any(map(_NUMBER.fullmatch, cells)):  # a remark, no names
                continue
            if len(cells) == width and any(map(_axis, cells)):
                return cells
            if 1 < len(cells) <= width + 2 and (_axis(cells[0]) or _NO_AXIS.fullmatch(cells[0])):
                loose = loose or cells[:width]
        if loose:
            return loose
    return []


def _axis(name: str) -> str | None:
    """Unit of a column of this name, or None if it is no axis."""
    return next((unit for words, unit in _AXES if re.fullmatch(words, _plain(name))), None)


def _plain(name: str) -> str:
    return name.replace("^", "").replace("⁻¹", "-1").strip()


def _columns(names: list[str], table: np.ndarray) -> tuple[int, str | None, int, list[str]]:
    """Columns of the axis and of the intensity, the unit, and what was decided."""
    width = table.shape[1]
    if not names:
        if width > _WIDEST:
            raise PatternError(f"it has {width} columns without names: keep angle and intensity")
        return 0, None, 1, [f"the first two of {width} columns"] if width > 3 else []
    found = (
        (i, unit)
        for words, unit in _AXES
        for i, name in enumerate(names)
        if re.fullmatch(words, _plain(name))
    )
    axis, unit = next(found, (-1, ""))
    if axis < 0:
        raise PatternError(f"its columns are {', '.join(names[:8])}: no 2θ, q or d among them")
    rest = [i for i in range(len(names)) if i != axis]
    counts = next((i for i in rest if _COUNTS.fullmatch(names[i])), None)
    if counts is None:
        counts = min(axis + 1, width - 1)
    if counts == axis:
        raise PatternError(f"no column of intensities beside {names[axis]!r}")
    notes = [f"columns {names[axis]!r} and {(names[counts:] or ['?'])[0]!r}"]
    if names[axis] in ("theta", "θ"):
        notes.append(f"{names[axis]!r} taken as 2θ")
    return axis, unit if names[axis] != "x" else None, counts, notes


def _from_bragg(names: list[str], table: np.ndarray) -> float | None:
    """Wavelength (Å) where the table has 2θ and d beside each other: λ = 2 d sin θ."""
    units = [_axis(name) for name in names]
    if "degree" not in units or "Å" not in units:
        return None
    lengths = (
        2 * table[:, units.index("Å")] * np.sin(np.radians(table[:, units.index("degree")] / 2))
    )
    lengths = lengths[np.isfinite(lengths)]
    middle = float(np.median(lengths)) if len(lengths) else 0.0
    same = middle > 0 and np.quantile(np.abs(lengths / middle - 1), 0.9) < 1e-3
    return round(middle, 5) if same else None
