"""The claims table of the README, written from the published run and never by hand.

    python -m matgan.study.claims

reads figures/claims_*.csv, which the notebooks make, and rewrites the table in README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from matgan.files import replacing
from matgan.study.run import PROJECT

START, END = "<!-- claims: written by python -m matgan.study.claims -->", "<!-- end of claims -->"


def claims(folder: Path) -> pd.DataFrame:
    """Every claim, from the claims_*.csv in a folder: their columns, all text, and notebook.

    Raises
    ------
    FileNotFoundError
        The folder holds no claims_*.csv.
    """
    files = sorted(folder.glob("claims_*.csv"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no claims_*.csv: bash run_all.sh --publish")
    tables = [
        pd.read_csv(file, dtype=str, keep_default_na=False).assign(
            notebook=file.stem.removeprefix("claims_")
        )
        for file in files
    ]
    return pd.concat(tables, ignore_index=True).fillna("")


def claims_table(figures: Path) -> str:
    """Markdown table of every claim: what the paper says, what was found here, the control.

    Raises
    ------
    FileNotFoundError
        `figures` holds no claims_*.csv.
    """
    table = claims(figures)
    rows = [list(table.columns), *table.to_numpy().tolist()]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(table.columns) + "|")
    return "\n".join(lines)


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


def main() -> None:
    """Rewrite the table in README.md."""
    description = "Rewrite the claims table of README.md from figures/claims_*.csv."
    argparse.ArgumentParser(
        prog="python -m matgan.study.claims", description=description
    ).parse_args()
    path = PROJECT / "README.md"
    text = with_claims(path.read_text(), claims_table(PROJECT / "figures"))
    with replacing(path) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    main()
