"""The claims of a document, each with its number here, a control, a rule and the verdict it gives.

A notebook collects them:

    claims = Claims(run)
    claims.add("T beats one-hot on MP gaps", paper="0.467 against 0.484 eV (Table 4)",
               here=Number("T", 0.42, 0.41, 0.43), control=Number("one-hot", 0.46, 0.45, 0.47),
               rule="lower than one-hot, Holm p < 0.05", holds=[p < 0.05 and difference < 0],
               repeats=10)
    claims.table()

No verdict is typed: it follows from `holds`, the parts of the rule, and from whether the repeats
and the convergence suffice for one. `python -m matgan claims` writes the README's short table from
the published run.
"""

from __future__ import annotations

import argparse
import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from matgan.files import atomic_file
from matgan.learning.statistics import Interval
from matgan.study.run import PROJECT, Run

HOLDS, IN_PART, FAILS = "holds", "holds in part", "does not hold"
TOO_FEW, NOT_CONVERGED = "not decided: too few repeats", "not decided: not converged"
NOT_RUN = "not run"
VERDICTS = (HOLDS, IN_PART, FAILS, TOO_FEW, NOT_CONVERGED, NOT_RUN)
NEEDED = 10  # repeats that a verdict on anything trained or drawn asks for

COLUMNS = ["claim", "paper", "here", "control", "rule", "verdict", "repeats", "headline"]
START, END = "<!-- claims: written by python -m matgan claims -->", "<!-- end of claims -->"
_COLOURS = {HOLDS: "#d6f0d6", IN_PART: "#fff2cc", FAILS: "#f8d7d7"}


@dataclass(frozen=True)
class Number:
    """One number of a claim, with its interval where it has one.

    Attributes
    ----------
    label : whose number it is, such as "one-hot"
    value, low, high : the number and the ends of its interval; NaN: no interval
    form : format of the text, such as ".1%"
    ends : what low and high are: a 95% "interval", in parentheses, or the "range" of some values,
        in brackets
    """

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    form: str = ".3g"
    ends: str = "interval"

    @classmethod
    def span(cls, label: str, values: ArrayLike, form: str = ".3g") -> Number:
        """The mean of some values, such as those of a few trainings; of two or more their range."""
        each = np.asarray(values, dtype=float)
        if len(each) < 2:
            return cls(label, each.mean(), form=form)
        return cls(label, each.mean(), each.min(), each.max(), form, "range")

    @classmethod
    def of(cls, label: str, interval: Interval, form: str = ".3g") -> Number:
        """From an interval of `matgan.learning.statistics`."""
        return cls(label, interval.mean, interval.low, interval.high, form)

    def __str__(self) -> str:
        text = f"{self.value:{self.form}}"
        if not (math.isnan(self.low) or math.isnan(self.high)):
            first, last = "[]" if self.ends == "range" else "()"
            text += f" {first}{self.low:{self.form}} to {self.high:{self.form}}{last}"
        return f"{self.label} {text}".strip()


Shown = Number | str | Iterable[Number | str]
Converged = bool | Sequence[bool] | None  # of all parts together, or of each


def verdict(
    holds: Sequence[bool | None], repeats: int, needed: int = NEEDED, converged: Converged = None
) -> str:
    """What the parts of a rule say, once there is enough behind them to say anything.

    Parameters
    ----------
    holds : whether each part of the rule holds; None where it was not run
    repeats, needed : independent repeats behind the numbers, and how many the rule asks for
    converged : whether longer training could not decide otherwise: it was tried, and changed too
        little to matter; None where nothing was trained. A bound on an error that each training of
        one network reached (notebooks 11, 12, 41) stands without. One for each part of `holds`, or
        one for all.

    Returns
    -------
    str, one of `VERDICTS`. Parts that were not run count for nothing beside others, but a claim of
    which a part was not run holds in part at most. A claim with a part that holds and one that does
    not, both converged, holds in part, whatever becomes of the others.

    Raises
    ------
    ValueError
        There are not as many values in `converged` as parts.
    """
    ran = [bool(part) for part in holds if part is not None]
    if not ran:
        return NOT_RUN
    if not _is_decided(holds, converged):
        return NOT_CONVERGED
    if repeats < needed:
        return TOO_FEW
    if all(ran) and len(ran) == len(holds):
        return HOLDS
    return IN_PART if any(ran) else FAILS


def _is_decided(holds: Sequence[bool | None], converged: Converged) -> bool:
    if converged is None or isinstance(converged, bool | np.bool_):
        return converged is None or bool(converged)
    parts = [
        (part, stays) for part, stays in zip(holds, converged, strict=True) if part is not None
    ]
    hit, missed = (
        any(stays and bool(part) is one for part, stays in parts) for one in (True, False)
    )
    return all(stays for _, stays in parts) or (hit and (missed or len(parts) < len(holds)))


class Claims:
    """The claims of one notebook, in the order in which they are added."""

    def __init__(self, run: Run):
        self.run = run
        self.rows: list[dict] = []
        self.numbers: list[dict] = []

    def add(
        self,
        claim: str,
        *,
        paper: str,
        here: Shown,
        control: Shown = (),
        rule: str,
        holds: Sequence[bool | None],
        repeats: int = 1,
        needed: int = NEEDED,
        converged: Converged = None,
        headline: str = "",
    ) -> str:
        """Add a claim, or replace the one of that name; returns its verdict.

        Parameters
        ----------
        claim : what is claimed, with the unit of its numbers
        paper : what the document says, and where
        here, control : numbers (kept as numbers) or texts, one or several
        rule : what must be true for the claim to hold, written before the run
        holds, repeats, needed, converged : see `verdict`; a count of what is there, which no
            repeat can change, has needed=1
        headline : a short form of the claim for the README's table; empty: not there

        Raises
        ------
        ValueError
            The rule has no part.
        """
        if not holds:
            raise ValueError(f"the rule of {claim!r} has no part that could hold")
        self.numbers = [number for number in self.numbers if number["claim"] != claim]
        row: dict[str, object] = {"claim": claim, "paper": paper}
        for role, shown in (("here", here), ("control", control)):
            parts = [shown] if isinstance(shown, Number | str) else list(shown)
            row[role] = ", ".join(map(str, parts))
            self.numbers += [
                {"claim": claim, "role": role, "label": n.label}
                | {"value": n.value, "low": n.low, "high": n.high, "ends": n.ends}
                for n in parts
                if isinstance(n, Number)
            ]
        found = verdict(holds, repeats, needed, converged)
        row |= {"rule": rule, "verdict": found, "repeats": repeats, "headline": headline}
        places = [i for i, other in enumerate(self.rows) if other["claim"] == claim]
        if places:  # a cell that is run again
            self.rows[places[0]] = row
        else:
            self.rows.append(row)
        return found

    def not_run(self, claim: str, *, paper: str, why: str, headline: str = "") -> None:
        """Add a claim that this run says nothing about, and why."""
        why = f"not run: {why}"
        self.add(claim, paper=paper, here=why, rule="", holds=[None], headline=headline)

    def table(self) -> ClaimsTable:
        """Write tables/claims_NN.csv and claims_NN_numbers.csv of the run; shown in a notebook."""
        name = f"claims_{self.run.notebook[:2]}"
        table = pd.DataFrame(self.rows, columns=COLUMNS)
        self.run.table(table, name)
        columns = ["claim", "role", "label", "value", "low", "high", "ends"]
        self.run.table(pd.DataFrame(self.numbers, columns=columns), f"{name}_numbers")
        return ClaimsTable(table)


@dataclass(frozen=True)
class ClaimsTable:
    """Claims as a notebook shows them: an anchor for each row, a colour for each verdict."""

    rows: pd.DataFrame

    def __str__(self) -> str:
        """How many claims got each verdict, such as "2 of 5 hold; 3 do not hold"."""
        counts = self.rows["verdict"].value_counts()
        parts = [f"{verdict}: {counts[verdict]}" for verdict in VERDICTS if verdict in counts]
        return f"{len(self.rows)} claims. {'; '.join(parts)}."

    def _repr_html_(self) -> str:
        shown = ["claim", "paper", "here", "control", "rule", "verdict"]
        head = "".join(f"<th>{column}</th>" for column in shown)
        lines = []
        for row in self.rows.to_dict("records"):
            colour = _COLOURS.get(row["verdict"], "#eeeeee")
            cells = [f"<td>{html.escape(str(row[column]))}</td>" for column in shown]
            cells[-1] = cells[-1].replace("<td>", f'<td style="background: {colour}; color: #222">')
            lines.append(f'<tr id="{row_id(row["claim"])}">{"".join(cells)}</tr>')
        body = "\n".join(lines)
        table = (
            f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
        )
        return f"{table}\n<p>{html.escape(str(self))}</p>"


def row_id(claim: str) -> str:
    """Id of a claim's row in the executed notebook, such as "claim-t-beats-one-hot"."""
    return "claim-" + re.sub(r"[^a-z0-9]+", "-", claim[:60].lower()).strip("-")


# --- all claims of a run ------------------------------------------------------------------------


def read_claims(folder: Path) -> pd.DataFrame:
    """Every claim, from the claims_NN.csv in a folder: their columns, all text, and notebook.

    Raises
    ------
    FileNotFoundError
        The folder holds none.
    """
    files = sorted(folder.glob("claims_[0-9][0-9].csv"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no claims_NN.csv: bash run_all.sh --publish")
    tables = [
        pd.read_csv(file, dtype=str, keep_default_na=False).assign(
            notebook=file.stem.removeprefix("claims_")
        )
        for file in files
    ]
    return pd.concat(tables, ignore_index=True).fillna("")


def headline_table(folder: Path) -> str:
    """Markdown table of the claims with a headline: what the paper says, what was found here.

    Raises
    ------
    FileNotFoundError
        `folder` holds no claims_NN.csv.
    """
    table = read_claims(folder)
    table = table[table["headline"] != ""].assign(claim=table["headline"])
    columns = ["claim", "paper", "here", "control", "verdict"]
    rows = [columns, ["---"] * len(columns), *table[columns].to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def with_claims(readme: str, table: str) -> str:
    """The README with the text between its two claims marks replaced.

    Raises
    ------
    ValueError
        A mark is missing.
    """
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"README.md lacks the marks {START!r} and {END!r}")
    return f"{before}{START}\n{table}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the table in README.md from the published run."""
    description = "Rewrite the claims table of README.md from results/tables/claims_*.csv."
    prog = "python -m matgan claims"
    argparse.ArgumentParser(prog=prog, description=description).parse_args(arguments)
    path = PROJECT / "README.md"
    text = with_claims(path.read_text("utf-8"), headline_table(PROJECT / "results" / "tables"))
    with atomic_file(path) as file:
        file.write(text.encode())
    return 0
