"""The parts of the site's pages that are made of a run and of the package: tables and the gallery.

Each function gives the text of one part, HTML or Markdown; the pages in docs/ include them.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import yaml
from nbformat import NotebookNode

from matgan.data.sources import sources
from matgan.study.claims import COLUMNS, VERDICTS, read_claims, row_id
from matgan.study.run import PROJECT, read_manifest

PACKAGE = PROJECT / "matgan"
_SHOWN = [*COLUMNS[:-1], "notebook"]
_DEFINES = (ast.FunctionDef, ast.ClassDef)

# --- notebooks ------------------------------------------------------------------------------------


def _title(notebook: NotebookNode) -> str:
    return next((text for text in map(_heading, notebook.cells) if text), "")


def _heading(cell: NotebookNode) -> str:
    """The last heading in a cell of text; empty where there is none."""
    found = re.findall(r"^#+ (.+)$", cell.source, re.M) if cell.cell_type == "markdown" else []
    return found[-1] if found else ""


def notebooks_table(run_dir: Path, read: dict[str, NotebookNode]) -> str:
    """A line for each executed notebook: how it ended, how long it took; above, what ran it."""
    manifest = read_manifest(run_dir)["notebooks"]
    lines = ["| notebook | ended | minutes | memory, GB |", "|---|---|---|---|"]
    facts = set()
    for name, notebook in read.items():
        entry = manifest.get(name, {})
        seconds, memory = entry.get("wall_seconds"), entry.get("peak_memory_mb")
        minutes = "" if seconds is None else f"{seconds / 60:.1f}"
        size = "" if memory is None else f"{memory / 1000:.1f}"
        title = _title(notebook) or name
        state = entry.get("status", "unknown")
        lines.append(f"| [{title}](notebooks/{name}.ipynb) | {state} | {minutes} | {size} |")
        commit = entry.get("commit", "unknown")[:10]
        profile = entry.get("parameters", {}).get("profile", "unknown")
        where = entry.get("device_name", "unknown device")
        facts.add(f"profile {profile}, commit `{commit}`, {where}")
    for path in sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if path.stem not in read:
            lines.append(f"| {path.stem} | not run | | |")
    return "\n".join([f"Run `{run_dir.name}`: {'; '.join(sorted(facts))}.", "", *lines])


# --- claims ---------------------------------------------------------------------------------------


def claims_of(run_dir: Path) -> pd.DataFrame:
    """Every claim of a run; none where no notebook has written any."""
    try:
        return read_claims(run_dir / "tables")
    except FileNotFoundError:
        return pd.DataFrame(columns=_SHOWN)


def verdicts(table: pd.DataFrame) -> str:
    """How many claims got each verdict, in one sentence."""
    if table.empty:
        return "No claim has been tested: no notebook of this run has written its claims."
    counts = table["verdict"].value_counts()
    found = "; ".join(f"{counts[kind]} {kind}" for kind in VERDICTS if kind in counts)
    return (
        f"**{len(table)} claims** stand in [the table](claims.md){f' ({found})' if found else ''}."
    )


def _kind(verdict: str) -> str:
    """CSS class of a verdict: its words before a colon."""
    return verdict.partition(":")[0].replace(" ", "-") if verdict in VERDICTS else "other"


def claims_table(table: pd.DataFrame, read: dict[str, NotebookNode]) -> str:
    """The table as HTML: each claim a link to its row in the notebook, each verdict a colour."""
    columns = [column for column in _SHOWN if column in table]
    by_number = {name[:2]: name for name in read}
    written = {name: _html_outputs(notebook) for name, notebook in read.items()}
    lines = []
    for row in table.to_dict("records"):
        cells = {column: html.escape(row[column]) for column in columns}
        name = by_number.get(row["notebook"])
        if name:
            place = row_id(row["claim"])
            address = f"notebooks/{name}.html" + f"#{place}" * (f'id="{place}"' in written[name])
            cells["claim"] = f'<a href="{address}">{cells["claim"]}</a>'
            cells["notebook"] = f'<a href="notebooks/{name}.html">{row["notebook"]}</a>'
        kind = _kind(row["verdict"])
        cells["verdict"] = f'<span class="verdict {kind}">{cells["verdict"]}</span>'
        lines.append("<tr>" + _cells(cells.values()))
    return _sortable(columns, lines)


def _cells(cells: Iterable[object]) -> str:
    return "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _sortable(columns: Iterable[str], rows: list[str], kind: str = "") -> str:
    """A table whose columns' names are buttons, which docs/_static/tables.js answers."""
    head = "".join(f"<th><button>{column}</button></th>" for column in columns)
    lines = [f'<div class="wide"><table class="{f"sortable {kind}".strip()}">']
    lines += [f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows, "</tbody></table></div>"]
    return "\n".join([*lines, '<script src="_static/tables.js"></script>'])


# --- candidates -----------------------------------------------------------------------------------


def candidates_table(run_dir: Path) -> str:
    """The candidates that notebook 13 wrote, as HTML with a field to search; or how to get some."""
    path = run_dir / "tables" / "stable_candidates.csv"
    if not path.is_file():
        return "<p>This run has none: <code>python -m matgan jobs run stable-compounds</code></p>"
    columns = [
        "compound",
        "P(stable)",
        "eV/atom above the hull",
        "90% interval",
        "it competes with",
    ]
    columns += ["oxidation states", "nearest known", "OQMD's compounds in the system"]
    lines = []
    for row in pd.read_csv(path, keep_default_na=False).to_dict("records"):
        ends = (row["hull_distance_low"], row["hull_distance_high"])
        cells = [lowered(row["formula"]), f"{row['stable_probability']:.3f}"]
        cells += [_signed(row["hull_distance"]), " to ".join(map(_signed, ends))]
        cells += [lowered(row["competing_phases"]), row["oxidation_states"]]
        cells += [lowered(row["nearest"]), row["known_in_system"]]
        elements = " ".join(re.findall("[A-Z][a-z]?", row["formula"]))
        lines.append(f'<tr data-elements="{elements}">' + _cells(cells))
    field = '<p><input class="search-rows" type="search" placeholder="Li O -F, or any text"'
    field += ' aria-label="search"><span class="rows-shown"></span></p>'
    return f"{field}\n{_sortable(columns, lines, 'searched')}"


def representations_tables(run_dir: Path) -> str:
    """What notebook 11 found of routes, and of pairs of them, in Markdown; or how to get some."""
    folder = run_dir / "tables"
    if not (folder / "small_data_ranks.csv").is_file():
        return "This run has none: `python -m matgan jobs run small-data-trees`, then notebook 11."
    lines = ["| route | tasks | errors over CrabNet's | mean place |", "|---|---|---|---|"]
    for row in pd.read_csv(folder / "small_data_ranks.csv").to_dict("records"):
        lines.append(
            f"| {row['route']} | {row['tasks']} | {row['ratio']:.2f} | {row['rank']:.1f} |"
        )
    lines += ["", "| | over | tasks | error (95% interval over tasks) |", "|---|---|---|---|"]
    for row in pd.read_csv(folder / "small_data_pairs.csv").to_dict("records"):
        if row["tasks"]:
            found = f"{row['error of a over b']:.3f}"
            if row["low"] == row["low"]:  # one task has no interval
                found += f" ({row['low']:.3f} to {row['high']:.3f})"
            lines.append(f"| {row['a']} | {row['b']} | {row['tasks']} | {found} |")
    return "\n".join(lines)


def lowered(formulas: str) -> str:
    """Formulas in a text with the numbers behind their elements lowered, as HTML."""
    return re.sub(r"(?<=[A-Za-z])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", html.escape(formulas))


def _signed(number: float) -> str:
    return f"{number:.3f}".replace("-", "−")


def statements_table(table: pd.DataFrame) -> str:
    """What the papers state, in their order, with the claims that test it and their verdicts.

    Reads docs/statements.yaml. A claim of a notebook that is not in the run is "not in this run".

    Raises
    ------
    ValueError
        A statement with neither claims nor words, or one that names a claim twice.
    """
    found = dict(zip(table["claim"], table["verdict"], strict=True))
    lines = []
    for paper in statements():
        lines += [f"## {paper['source']}", ""]
        lines += ["| where | what it says | here |", "|---|---|---|"]
        for one in paper["statements"]:
            named = one.get("claims", [])
            if not (named or one.get("here")) or len(set(named)) < len(named):
                raise ValueError(f"docs/statements.yaml: {one['says']!r} is tested by {named}")
            here = [one["here"]] if "here" in one else []
            here += [f"{claim}: **{found.get(claim, 'not in this run')}**" for claim in named]
            cells = (one["where"], one["says"], "<br>".join(here))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def statements() -> list[dict]:
    """What docs/statements.yaml holds: a source and its statements for each paper."""
    return yaml.safe_load((PROJECT / "docs" / "statements.yaml").read_text(encoding="utf-8"))


def _html_outputs(notebook: NotebookNode) -> str:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return "\n".join(output.get("data", {}).get("text/html", "") for output in outputs)


# --- figures --------------------------------------------------------------------------------------


def first_figure(figures: Path) -> str:
    """The figure that README.md opens with, as this run has drawn it; empty where it has not."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"!\[([^\]]*)\]\(figures/([\w.-]+\.png)\)", readme)
    if not found or not (figures / found[2]).is_file():
        return ""
    text = html.escape(found[1])
    return f'<p><img src="figures/{found[2]}" alt="{text}"><br><i>{text}</i></p>'


def gallery(figures: Path, read: dict[str, NotebookNode]) -> Iterator[str]:
    """A grid of the run's figures, in their order, each with what stands before it."""
    left = {path.stem for path in figures.glob("*.png")}
    yield '<div class="gallery">'
    for notebook, pattern, heading, text in _captions(read):
        for name in sorted(name for name in left if re.fullmatch(pattern, name)):
            left.remove(name)
            yield _shown(
                name, f'<a href="notebooks/{notebook}.html">{html.escape(heading)}</a>', text
            )
    for name in sorted(left):  # drawn by a notebook that is not in this run
        yield _shown(name, html.escape(name.replace("_", " ")), "")
    yield "</div>"
    for path in sorted(figures.glob("*.html")):
        name = html.escape(path.stem)
        yield f'<p><a href="figures/{name}.html">Interactive: {name}</a></p>'


def _shown(name: str, title: str, text: str) -> str:
    name = html.escape(name)
    image = f'<img src="figures/{name}.png" alt="{name.replace("_", " ")}" loading="lazy">'
    caption = f"<figcaption><b>{title}</b> {html.escape(text)}</figcaption>"
    return f'<figure><a href="figures/{name}.png">{image}</a>{caption}</figure>'


def _captions(read: dict[str, NotebookNode]) -> Iterator[tuple[str, str, str, str]]:
    """Notebook, pattern of the name, heading and sentence before it, for each figure drawn."""
    for notebook, content in read.items():
        heading = text = ""
        for cell in content.cells:
            if cell.cell_type == "markdown":
                heading = _heading(cell) or heading
                text = _sentences(cell.source)
            elif cell.cell_type == "code":
                for pattern in drawn(cell.source):
                    yield notebook, pattern, heading, text


def _sentences(markdown: str, most: int = 2) -> str:
    """The first sentences of the last paragraph; empty where that is a heading, list or table."""
    last = markdown.strip().split("\n\n")[-1].replace("\n", " ")
    if not last or last[0] in "#|-`<":
        return ""
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", re.sub(r"[*`]", "", last))
    return " ".join(re.split(r"(?<=[.?!:]) (?=[A-Z])", plain)[:most])


def drawn(code: str) -> Iterator[str]:
    """Patterns of the names that a cell gives to run.figure(figure, name)."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a cell with a magic
        return
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run.figure" and node.args[1:]:
            name = node.args[1]
            if isinstance(name, ast.JoinedStr):
                yield "".join(map(_pattern, ast.iter_child_nodes(name)))
            elif isinstance(name, ast.Constant):
                yield _pattern(name)
            else:  # a variable: it stands for one of the texts in the cell
                yield "|".join(_pattern(n) for n in nodes if isinstance(n, ast.Constant))


def _pattern(node: ast.AST) -> str:
    return re.escape(str(node.value)) if isinstance(node, ast.Constant) else r"[\w.-]+"


# --- data and API ---------------------------------------------------------------------------------


def data_cards() -> str:
    """Where each source of the data comes from, its licence and how to cite it."""
    parts = []
    for source in sources().to_dict("records"):
        where = source["address"] or f"others: `python -m matgan rebuild {source['name']}`"
        where = f"<{where}>" if where.startswith("https:") else where
        parts += [f"## {source['name']}", ""]
        parts += [f"- file: `{source['file']}`", f"- from: {where}"]
        parts += [f"- licence: {source['licence']}", f"- cite: {source['citation']}"]
        parts += [f"- SHA-256: `{source['sha256']}`", ""]
    return "\n".join(parts)


def rooms_of_package() -> dict[str, list[str]]:
    """Modules of each room, and those that stand beside the rooms, each a room of its own."""
    rooms: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.stem.startswith("__"):
            names = path.relative_to(PACKAGE).with_suffix("").parts
            rooms.setdefault(names[0], []).append(".".join(("matgan", *names)))
    return rooms


def room_page(room: str, modules: list[str]) -> str:
    """The page of a room: what Sphinx reads from the docstrings of its modules."""
    parts = [f"# {room}"]
    for module in modules:
        name = module.removeprefix(f"matgan.{room}.").removeprefix("matgan.")
        parts += [f"## {name}", f"`{module}`"]
        parts += [f"```{{eval-rst}}\n.. automodule:: {module}\n```"]
    return "\n\n".join(parts) + "\n"


def face_table() -> str:
    """The names that `from matgan import …` gives, each with the first sentence about it."""
    lines = ["| name | what it is |", "|---|---|"]
    for node in ast.walk(_tree("matgan.__init__")):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("matgan."):
            defined = {n.name: n for n in _tree(node.module).body if isinstance(n, _DEFINES)}
            for name in (alias.name for alias in node.names):
                about = _about(defined[name]) if name in defined else "a constant"
                lines.append(f"| {{py:obj}}`{name} <{node.module}.{name}>` | {about} |")
    return "\n".join(lines)


def modules_table(rooms: dict[str, list[str]]) -> str:
    """The first sentence of each module."""
    lines = ["| module | what it is |", "|---|---|"]
    for module in [module for modules in rooms.values() for module in modules]:
        lines.append(f"| {{py:mod}}`{module}` | {_about(_tree(module))} |")
    return "\n".join(lines)


def _tree(module: str | None) -> ast.Module:
    path = PROJECT.joinpath(*(module or "").split(".")).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _about(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or " ").splitlines()[0].rstrip(":")
