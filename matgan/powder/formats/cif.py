"""Powder data in a CIF, by the dictionary of the IUCr (pdCIF: Toby, 2003)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from matgan.powder.formats.scan import MOST_POINTS, Scan, known_wavelength, number, steps
from matgan.powder.formats.text import as_text
from matgan.powder.patterns import PatternError

# names of the axis with their units, and of the intensity, each in order of preference
_AXES = {
    "_pd_proc_2theta_corrected": "degree",
    "_pd_meas_2theta_corrected": "degree",
    "_pd_meas_2theta_scan": "degree",
    "_pd_proc_recip_len_q": "1/Å",
    "_pd_proc_d_spacing": "Å",
}
_COUNTS = (
    "_pd_meas_counts_total", "_pd_meas_intensity_total", "_pd_meas_counts_net",
    "_pd_meas_intensity_net", "_pd_proc_intensity_total", "_pd_proc_intensity_net",
    "_pd_calc_intensity_total", "_pd_calc_intensity_net",
)  # fmt: skip
_RANGES = ("_pd_proc_2theta_range", "_pd_meas_2theta_range")
_TOKEN = re.compile(
    r"""^;(?P<text>.*?)^;|'(?P<one>[^\n]*?)'(?=\s|$)|"(?P<two>[^\n]*?)"(?=\s|$)|\#[^\n]*|"""
    r"""(?P<word>[^\s'"#;]\S*|;\S*|\S+)""",
    re.MULTILINE | re.DOTALL,
)


def read_cif(data: bytes) -> list[Scan]:
    """The powder patterns of a CIF, one for each data block that has one.

    Raises
    ------
    PatternError
        No powder data; times of flight only; lengths that do not fit.
    """
    scans = []
    items: dict[str, list[str]] = {}
    for name, values in (*_items(as_text(data)), ("data_", [])):
        if name.startswith("data_"):
            if scan := _scan(items):
                scans.append(scan)
            # the radiation may stand in an earlier block
            items = {k: v for k, v in items.items() if k.startswith("_diffrn_radiation")}
        else:
            items[name] = values
    if not scans:
        raise PatternError(
            "it is a CIF without a powder pattern (_pd_meas… or _pd_proc… over 2θ, d or q); "
            "simulate_pattern computes one from a structure"
        )
    return scans


def _items(text: str) -> Iterator[tuple[str, list[str]]]:
    """Names with their values, of single items and of loops; data_… with none."""
    names: list[str] = []
    values: list[str] = []
    in_loop = False
    for found in _TOKEN.finditer(text):
        word = found["word"]
        low = word.lower() if word else ""
        if low == "loop_" or low.startswith(("data_", "_")):
            if values or low == "loop_" or low.startswith("data_") or not in_loop:
                yield from _columns(names, values)
                names, values = [], []
                in_loop = low == "loop_"
            if low.startswith("_"):
                names.append(low)
            elif low != "loop_":
                yield low, []
        elif len(values) > 20 * MOST_POINTS:
            raise PatternError(f"it holds more than {MOST_POINTS} points")
        elif found[0][0] != "#":
            values.append(
                next((v for v in (found["text"], found["one"], found["two"]) if v), word or "")
            )
    yield from _columns(names, values)


def _columns(names: list[str], values: list[str]) -> Iterator[tuple[str, list[str]]]:
    for i, name in enumerate(names):
        yield name, values[i :: len(names)]


def _scan(items: dict[str, list[str]]) -> Scan | None:
    counts = next((name for name in _COUNTS if len(items.get(name, ())) > 1), None)
    if counts is None:
        return None
    intensity = np.array([_value(word) for word in items[counts]])
    axis = next((name for name in _AXES if len(items.get(name, ())) > 1), None)
    notes = [f"CIF, {counts}"]
    if counts.startswith("_pd_calc"):
        notes.append("calculated, not measured")
    if items.get("_diffrn_radiation_probe") == ["neutron"]:
        notes.append("neutrons, not X-rays")
    lengths = items.get("_diffrn_radiation_wavelength", [])
    weights = [_value(word) for word in items.get("_diffrn_radiation_wavelength_wt", [])]
    same = len(weights) == len(lengths) > 1
    first = int(np.nan_to_num(weights, nan=-1.0).argmax()) if same else 0
    told = known_wavelength(_value(lengths[first])) if lengths else None
    if axis is not None:
        places = np.array([_value(word) for word in items[axis]])
        return Scan(places, intensity, _AXES[axis], told, [*notes, axis])
    for name in _RANGES:
        ends = [items.get(f"{name}_{part}") for part in ("min", "inc")]
        if all(ends):
            start, step = (_value(end[0]) for end in ends if end)
            places = steps(start, step, len(intensity))
            return Scan(places, intensity, "degree", told, [*notes, name])
    if "_pd_meas_time_of_flight" in items:
        raise PatternError("it has times of flight, no 2θ")
    return None


def _value(word: str) -> float:
    """A number, its uncertainty in brackets left out; NaN for "." and "?"."""
    plain = word.partition("(")[0].strip()
    return np.nan if plain in ("", ".", "?") else number(plain, "a value of the CIF")
