"""One row of answers for each composition: what is predicted, its valence, what is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from matgan import files
from matgan.chemistry.composition import formulas, reduced
from matgan.chemistry.explanation import explain, written_ions
from matgan.chemistry.inputs import Compositions
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
from matgan.learning.compute import deferred_interrupt
from matgan.properties.known import all_known
from matgan.properties.models import PROPERTIES, pretrained
from matgan.properties.stability import columns as stability_columns

_MOST = 1000  # nearest compositions that may be asked for
_PART = 2048  # compositions at a time, about two seconds
_UNLIKELY = 0.05  # a probability below which people are shown no value
GATES = {"band_gap": "metal_probability", "critical_temperature": "superconductor_probability"}


class PredictionError(ValueError):
    """A file that cannot be predicted from: a column that is missing or would be lost; names it."""


def predict(
    compositions: Iterable,
    properties: Sequence[str] | None = None,
    *,
    nearest: int = 3,
    stability: bool = False,
    on_error: str = "raise",
    suspicious: str = "raise",
    progress: bool = False,
) -> pd.DataFrame:
    """What is known and what is predicted of each composition, a row for each.

    Parameters
    ----------
    compositions : n compositions in any form that `matgan.amounts_matrix` takes
    properties : one or some of "formation_energy", "band_gap" and "critical_temperature"; None: all
    nearest : how many of the nearest known compositions are named, up to 1,000 or as many as are
        known; 0: none, and whether one is known is left out too, so that no data set is needed
    stability : whether the distance to OQMD's hull is told, too; OQMD is needed
    on_error : {"raise", "nan", "drop"}
        A row that is no composition is an error, is empty, or is left out.
    suspicious : {"raise", "warn", "allow"}
        What to do with a formula that hardly means what it says, such as Sr04, as for
        `matgan.amounts_matrix`.
    progress : whether a bar shows how far it is

    Returns
    -------
    DataFrame
        With the index that was given. `formula`: reduced. For each property NAME its median, the
        ends of its 90% interval `NAME_low` and `NAME_high`, and `NAME_outside`: the composition
        holds an element, or a pair of elements, that training lacked, and the interval may not
        hold. `formation_energy` in eV/atom. `metal_probability`, then `band_gap` (PBE, eV) in case
        it is none. `superconductor_probability` (that SuperCon reports a critical temperature),
        then `critical_temperature` (K) in case it does. `neutral` and `balanced` by SMACT's rules
        and `oxidation_states` that make it so. `known_in`: the data sets that hold it, "" for a
        new one. `nearest_1`, `distance_1`, …: the nearest known compositions and the share of the
        atoms that differs. With stability=True `hull_distance` (eV/atom above the hull of OQMD's
        other compositions, below it if negative), `hull_distance_low` and `hull_distance_high`,
        `stable_probability`, and the `competing_phases` with their shares of the atoms.

    Raises
    ------
    CompositionError
        With on_error="raise": the first row that is no composition.
    ValueError
        Unknown properties; `nearest` is no whole number from 0 to 1,000.
    SourceUnavailable
        The known compositions are not to hand; with nearest=0 and stability=False they are not
        needed.

    Notes
    -----
    The models are small (`matgan/pretrained/PROPERTIES.md` is their card). Intervals are
    calibrated on chemical systems that the networks did not see.
    """
    if isinstance(properties, str):  # a text is a sequence, too, of its letters
        properties = [properties]
    names = list(PROPERTIES) if properties is None else list(properties)
    if unknown := [name for name in names if name not in PROPERTIES]:
        raise ValueError(f"the properties are {', '.join(PROPERTIES)}, not {unknown[0]!r}")
    if isinstance(nearest, bool) or not (isinstance(nearest, Integral) and 0 <= nearest <= _MOST):
        raise ValueError(f"nearest must be a whole number from 0 to {_MOST}, not {nearest!r}")
    given = Compositions(compositions, on_error, suspicious)
    index = pd.RangeIndex(len(given)) if given.index is None else given.index
    parts = []
    with tqdm(total=len(given), unit="compositions", disable=not progress) as bar:
        for rows, amounts in given.parts(_PART):
            with deferred_interrupt() as interrupted:  # compiled code does not survive a signal
                parts.append(_answers(amounts, names, nearest, stability).set_index(rows))
            if interrupted():
                raise KeyboardInterrupt
            bar.update(min(_PART, len(given) - bar.n))
    if not parts:
        parts = [_answers(np.zeros((0, 85)), names, nearest, stability)]
    table = pd.concat(parts)
    kept = np.flatnonzero(given.good) if on_error == "drop" else np.arange(len(given))
    table = table.reindex(kept)
    table.index = index[kept]
    if on_error == "nan":
        report = given.report()
        table["error"] = ""
        table.iloc[report["row"].to_numpy(), -1] = report["reason"].to_numpy()
    return table


def _answers(
    amounts: np.ndarray, names: Sequence[str], nearest: int, stability: bool
) -> pd.DataFrame:
    """The table of `predict` for good compositions, (n, 85) amounts."""
    columns: dict[str, object] = {"formula": formulas(amounts)}
    energies = None
    for name in names:
        found = pretrained(name).predict(amounts)
        value, low, high = found.value, found.low, found.high
        if name == "formation_energy":  # 0 for an element, by definition
            energies, element = found, (amounts > 0).sum(axis=1) == 1
            value, low, high = (np.where(element, 0.0, numbers) for numbers in (value, low, high))
        if gate := GATES.get(name):
            columns[gate] = 1 - found.probability if name == "band_gap" else found.probability
        columns |= {name: value, f"{name}_low": low, f"{name}_high": high}
        columns[f"{name}_outside"] = found.outside
    neutral = columns["neutral"] = charge_neutral(amounts)
    columns["balanced"] = electronegativity_balanced(amounts)
    columns["oxidation_states"] = _states(amounts, neutral)
    if nearest:
        known = all_known()
        which, distance = known.nearest(amounts, min(nearest, len(known)))
        columns["known_in"] = known.where(which, distance)
        for k in range(which.shape[1]):
            columns[f"nearest_{k + 1}"] = known.formulas(which[:, k])
            columns[f"distance_{k + 1}"] = distance[:, k]
    table = pd.DataFrame(columns)
    return pd.concat([table, stability_columns(amounts, energies)], axis=1) if stability else table


def _states(amounts: np.ndarray, neutral: np.ndarray) -> list[str]:
    """Ions of each neutral composition: of ICSD's states where these are neutral, or of SMACT's."""
    texts = np.full(len(amounts), "", dtype=object)
    whole = neutral & (amounts == np.rint(amounts)).all(axis=1)
    counts = reduced(amounts)
    for states in ("icsd24", "smact14"):
        left = np.flatnonzero(whole & (texts == ""))
        texts[left] = written_ions(counts[left].astype(int), states, usual=states)[0]
        for row in np.flatnonzero(neutral & ~whole & (texts == "")):
            found = explain(amounts[row], states)
            texts[row] = found.reason.split(", neutral")[0] if found.balanced else ""
    return texts.tolist()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The answers of `predict` as short texts for people: a row for each composition."""
    return pd.DataFrame([_summary(row) for row in table.to_dict("records")], index=table.index)


def _summary(row: dict) -> dict[str, str]:
    """The texts of one row of answers; of a row without answers, why there are none."""
    if row.get("error"):
        return {"composition": row["error"]}
    texts = {"composition": row["formula"]}
    for name in (name for name in PROPERTIES if name in row):
        of = PROPERTIES[name]
        if gate := GATES.get(name):
            texts[gate.replace("_", " ")] = f"{row[gate]:.0%}"
            there = 1 - row[gate] if name == "band_gap" else row[gate]
            if there < _UNLIKELY:
                texts[f"{of.title} ({of.unit})"] = "none expected"
                continue
        text = f"{row[name]:.3g} ({row[f'{name}_low']:.3g} to {row[f'{name}_high']:.3g})"
        doubt = ", outside of what was learned" if row[f"{name}_outside"] else ""
        texts[f"{of.title} ({of.unit})"] = text + doubt
    if "hull_distance" in row:
        ends = f"{row['hull_distance_low']:.3g} to {row['hull_distance_high']:.3g}"
        texts["above the hull (eV/atom)"] = f"{row['hull_distance']:.3g} ({ends})"
        texts["stable"] = f"{row['stable_probability']:.0%}"
        texts["competes with"] = row["competing_phases"]
    verdict = "neutral and balanced" if row["balanced"] else "neutral" if row["neutral"] else "no"
    texts["charge-neutral"] = " ".join(filter(None, (verdict, row["oxidation_states"])))
    if "known_in" in row:
        texts["known in"] = row["known_in"] or "none: new"
        for k in range(1, sum(name.startswith("nearest_") for name in row) + 1):
            formula, away = row[f"nearest_{k}"], row[f"distance_{k}"]
            texts[f"nearest {k}"] = f"{formula} ({away:.0%} of the atoms differ)" if formula else ""
    return texts


def predict_file(
    path: str | Path,
    out: str | Path,
    column: str = "formula",
    properties: Sequence[str] | None = None,
    *,
    nearest: int = 3,
    stability: bool = False,
    progress: bool = False,
) -> tuple[int, int]:
    """The answers of `predict` beside the columns of a CSV file, in a new file.

    Read and written in parts: the memory needed does not depend on the length of the file. Rows
    that are no composition keep their place; the column `error` says why they have no answers.

    Parameters
    ----------
    path, out : CSV files; `out` appears whole or not at all, and may be compressed (.csv.gz)
    column : the one that holds compositions
    properties, nearest, stability, progress : as for `predict`

    Returns
    -------
    int, int : rows of the file, and how many of them are no compositions

    Raises
    ------
    FileNotFoundError
    PredictionError
        The file is no CSV table, lacks the column, or has a column of the same name as an answer;
        `out` is the same file.
    ValueError
        `out` ends neither in .csv nor in .csv.gz.
    """
    if Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
        raise PredictionError(f"{out} is the file that is read: name another one")
    rows = refused = 0
    try:
        with (
            files.csv_file(out) as text,
            pd.read_csv(path, chunksize=_PART, dtype=str, keep_default_na=False) as parts,
            tqdm(unit="compositions", disable=not progress) as bar,
        ):
            for part in parts:
                if column not in part:
                    there = ", ".join(map(str, part.columns))
                    hint = " (commas must stand between columns)" if part.shape[1] == 1 else ""
                    raise PredictionError(f"{path} has no column {column!r}; it has {there}{hint}")
                found = predict(
                    part[column], properties, nearest=nearest, stability=stability, on_error="nan"
                )
                found = found.rename(columns={"formula": "reduced_formula"})
                if both := [name for name in found if name in part]:
                    raise PredictionError(
                        f"{path} has a column {both[0]!r}, as the answers have: rename it"
                    )
                pd.concat([part, found], axis=1).to_csv(
                    text, index=False, header=not rows, float_format="%.5g", mode="wb"
                )
                rows += len(part)
                refused += int((found["error"] != "").sum())
                bar.update(len(part))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise PredictionError(f"{path} is no CSV table in UTF-8: {error}") from None
    return rows, refused


def main(words: Sequence[str] | None = None) -> None:
    """The command `predict`: answers for a CSV file, or for formulas that are given."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan predict",
        description="Energy, gap, critical temperature, valence and known neighbours.",
        epilog="python -m matgan predict new.csv --out answers.csv; python -m matgan predict TiO2",
    )
    add = parser.add_argument
    add("what", nargs="+", help="a CSV file, or formulas")
    add("--out", type=Path, metavar="FILE", help=".csv or .csv.gz; needed for a file")
    add("--column", default="formula", help="of the file (default: formula)")
    add("--properties", nargs="+", choices=list(PROPERTIES), metavar="NAME", help="default: all")
    add("--nearest", type=int, default=3, help="known compositions named; 0: no data are needed")
    add("--stability", action="store_true", help="the distance to OQMD's hull, too")
    options = parser.parse_args(words)
    one = options.what[0]
    if len(options.what) == 1 and (one.endswith((".csv", ".csv.gz")) or Path(one).is_file()):
        if options.out is None:
            parser.error("a file needs --out FILE")
        rows, refused = predict_file(
            one, options.out, options.column, options.properties,
            nearest=options.nearest, stability=options.stability, progress=sys.stderr.isatty(),
        )  # fmt: skip
        bad = f", {refused:,} of them no compositions (column error)" if refused else ""
        print(f"{rows:,} rows in {options.out}{bad}", file=sys.stderr)
        return
    table = predict(
        options.what, options.properties, nearest=options.nearest, stability=options.stability
    )
    if options.out:
        with files.csv_file(options.out) as file:
            table.to_csv(file, index=False, float_format="%.5g", mode="wb")
    else:
        print(summary(table).set_index("composition").T.to_string())
