"""What every notebook keeps to: no outputs, commented parameters, short cells, known profiles."""

import ast
import io
import os
import re
import tokenize
from pathlib import Path
from unittest import mock

import nbformat
import papermill
import pytest
import yaml

from matgan import execute
from matgan.composition import amounts_matrix, whole_counts
from matgan.training_run import TrainingData, save_training_data

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("[0-9][0-9]_*.ipynb"))
PROFILES = yaml.safe_load((FOLDER / "profiles.yaml").read_text(encoding="utf-8"))
MAX_LINES = 18  # of code in a cell; what is longer lives in the package
NO_CODE = re.compile(r"""[\s()\[\]{},]*(f?".*",?)?""")  # brackets, or a text, alone on a line

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_or_solution = pytest.mark.parametrize(
    "path", NOTEBOOKS + SOLUTIONS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_the_notebooks_are_numbered_without_a_gap():
    assert [path.name[:2] for path in NOTEBOOKS] == [
        f"{n:02}" for n in range(1, len(NOTEBOOKS) + 1)
    ]


@each_or_solution
def test_it_is_valid_and_holds_no_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook.metadata
    for cell in cells(path, "code"):
        assert cell.outputs == [], cell.source
        assert cell.execution_count is None, cell.source


@each_or_solution
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


@each_or_solution
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


# --- solutions of the exercises -------------------------------------------------------------------


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_the_solutions_answer_each_exercise_and_run(path, oqmd, tmp_path):
    """They belong to a notebook, repeat its questions word for word, and run to the end."""
    asked = nbformat.read(FOLDER / path.name, as_version=4).cells[-1].source
    questions = re.findall(r"^\d\. (.+)$", asked.partition("### Exercises")[2], flags=re.M)
    answered = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert questions
    assert [question for question in questions if f"*{question}*" not in answered] == []
    counts = whole_counts(amounts_matrix(oqmd["formula"][:3000]))
    save_training_data(tmp_path / "data" / "oqmd.npz", TrainingData(counts[:400], counts[400:]))
    environment = {"PYTHONPATH": str(FOLDER.parent), "MATGAN_DEVICE": "cpu"}
    with mock.patch.dict(os.environ, environment):
        papermill.execute_notebook(
            path,
            tmp_path / path.name,
            {"run_dir": str(tmp_path), "iterations": 2} if has_parameters(path) else {},
            kernel_name="python3",
            cwd=path.parent,
            progress_bar=False,
        )


def has_parameters(path):
    return any("parameters" in cell.metadata.get("tags", []) for cell in cells(path, "code"))
