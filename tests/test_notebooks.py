"""What every notebook keeps to: no outputs, commented parameters, short cells, known profiles."""

import ast
import io
import re
import tokenize
from pathlib import Path

import nbformat
import pytest
import yaml

from matgan import execute

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
PROFILES = yaml.safe_load((FOLDER / "profiles.yaml").read_text(encoding="utf-8"))
MAX_LINES = 18  # of code in a cell; what is longer lives in the package
NO_CODE = re.compile(r"""[\s()\[\]{},]*(f?".*",?)?""")  # brackets, or a text, alone on a line

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_the_notebooks_are_numbered_without_a_gap():
    assert [path.name[:2] for path in NOTEBOOKS] == [
        f"{n:02}" for n in range(1, len(NOTEBOOKS) + 1)
    ]


@each
def test_it_is_valid_and_holds_no_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook.metadata
    for cell in cells(path, "code"):
        assert cell.outputs == [], cell.source
        assert cell.execution_count is None, cell.source


@each
def test_it_opens_with_a_title(path):
    assert nbformat.read(path, as_version=4).cells[0].source.startswith("# ")


@each
def test_its_parameters_are_typed_and_commented(path):
    tagged = [c.source for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    tokens = tokenize.generate_tokens(io.StringIO(tagged[0]).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    for line in ast.parse(tagged[0]).body:
        assert isinstance(line, ast.AnnAssign), ast.unparse(line)
        ast.literal_eval(line.value)  # papermill passes plain literals
        assert commented & {line.lineno - 1, *range(line.lineno, line.end_lineno + 1)}, (
            f"{line.target.id} has no comment"
        )


@each
def test_its_code_cells_are_short(path):
    for cell in cells(path, "code"):
        lines = [line for line in cell.source.splitlines() if not NO_CODE.fullmatch(line)]
        assert len(lines) <= MAX_LINES, cell.source


@each
def test_its_run_is_opened_under_its_own_name(path):
    source = "\n".join(cell.source for cell in cells(path, "code"))
    opened = [
        call.args[1].value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("open_run")
    ]
    assert opened == [path.stem]


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_every_profile_fits_the_notebooks(profile):
    planned = execute.plan(FOLDER, profile)
    assert [notebook.path for notebook in planned] == NOTEBOOKS
    names = {path.stem for path in NOTEBOOKS} | {"all"}
    assert set(PROFILES[profile]) <= names, "parameters of a notebook that is not there"
