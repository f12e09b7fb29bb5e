"""What every notebook keeps to: no outputs, commented parameters, short cells, known profiles."""

import ast
import io
import re
import tokenize
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import yaml
from IPython.display import display

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.data.sources import SourceUnavailable
from matgan.data.training_set import TrainingData, save_training_data
from matgan.study import plan

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("[0-9][0-9]_*.ipynb"))
PROFILES = yaml.safe_load((FOLDER / "profiles.yaml").read_text(encoding="utf-8"))
MAX_LINES = 15  # of code in a cell, imports aside; what is longer lives in the package
NO_CODE = re.compile(r"""[\s()\[\]{},]*(f?".*",?)?""")  # brackets, or a text, alone on a line

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_or_solution = pytest.mark.parametrize(
    "path", NOTEBOOKS + SOLUTIONS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def whole_text(path):
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def exercises(path):
    """Text of each exercise by its number."""
    listed = whole_text(path).partition("### Exercises")[2]
    return dict(re.findall(r"^(\d)\. (.+)$", listed, flags=re.M))


def test_the_notebooks_are_numbered_by_part():
    """The first digit is the part, and a new part is a new ten: 05 is followed by 11."""
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert len(set(numbers)) == len(numbers)
    assert all(part in "01234" and lesson != "0" for part, lesson in numbers), numbers


@each
def test_the_index_of_the_lessons_has_it(path):
    """In notebooks/README.md, with its reading time within two minutes."""
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| \[{path.stem}\]\({path.name}\) \|.* \| (\d+) \+ [\d.]+ \|", index, re.M)
    assert row, f"notebooks/README.md lacks {path.name}"
    said = re.search(r"^\*Reading: (\d+) minutes", whole_text(path), flags=re.M)[1]
    assert abs(int(row[1]) - int(said)) <= 2


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
def test_it_reads_as_a_lesson(path):
    """Question, claim, measure and control come first; claims, reading, quiz, exercises last.

    No verdict is typed: `Claims` computes it.
    """
    first = cells(path, "markdown")[0]
    opening = re.findall(r"^\*\*([\w ]+)\.?\*\*", first.source, flags=re.M)
    asked = ["Question", r"What the \w+ claims?", "What we measure", "Controls?"]
    assert len(opening) == len(asked) and all(map(re.fullmatch, asked, opening)), opening
    assert len(exercises(path)) >= 2
    assert list(exercises(path)) == [str(n + 1) for n in range(len(exercises(path)))]
    last = ["## Result", "### How to read this", "### Quiz", "### Exercises"]
    headings = re.findall(r"^(#+ .+)$", whole_text(path), flags=re.M)
    assert headings[-4:] == last
    code = "\n".join(cell.source for cell in cells(path, "code"))
    assert "claims = Claims(run)" in code and "claims.table()" in code
    assert not re.search(r"\*\*Verdict|\bverdict =|\braise SystemExit", code + whole_text(path))


def asked(path):
    """Calls of `ask` by their question."""
    code = ast.parse("\n".join(cell.source for cell in cells(path, "code")))
    calls = [n for n in ast.walk(code) if isinstance(n, ast.Call)]
    asks = [call for call in calls if ast.unparse(call.func) == "ask"]
    return {ast.literal_eval(call.args[0]): call for call in asks}


@each
def test_it_has_a_quiz_that_the_solution_answers(path):
    questions = asked(path)
    assert 2 <= len(questions) <= 3
    assert list(asked(FOLDER / "solutions" / path.name)) == list(questions)


@each
def test_the_reading_time_below_the_title_is_true(path):
    """At 200 words of text and 30 lines of code a minute."""
    said = re.search(r"^\*Reading: (\d+) minutes\. Running: .+\*$", whole_text(path), flags=re.M)
    words = len(re.findall(r"\w+", whole_text(path)))
    lines = sum(len(cell.source.splitlines()) for cell in cells(path, "code"))
    assert int(said[1]) == pytest.approx(words / 200 + lines / 30, rel=0.3)


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
        imports = {
            number
            for node in ast.parse(cell.source).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for number in range(node.lineno, node.end_lineno + 1)
        }
        numbered = enumerate(cell.source.splitlines(), 1)
        lines = [x for n, x in numbered if n not in imports and not NO_CODE.fullmatch(x)]
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


@pytest.mark.parametrize("profile", ["smoke", "laptop", "full"])
def test_every_profile_fits_the_notebooks(profile):
    planned = plan.plan(FOLDER, profile)
    assert [notebook.path for notebook in planned] == NOTEBOOKS
    names = {path.stem for path in NOTEBOOKS} | {"all"}
    assert set(PROFILES[profile]) <= names, "parameters of a notebook that is not there"


# --- solutions of the exercises -------------------------------------------------------------------


@each
def test_each_exercise_has_a_solution(path):
    """Under its number, with the question word for word."""
    solution = FOLDER / "solutions" / path.name
    assert solution in SOLUTIONS, f"notebooks/solutions lacks {path.name}"
    text = whole_text(solution)
    solved = re.findall(r"^## (\d)\. .+\n\n\*(.+)\*$", text, flags=re.M)
    assert dict(solved) == exercises(path)


SMALL = {
    "iterations": 2,
    "repeats": 1,
    "rows": 600,
    "samples": 300,
    "epochs": 1,
}  # where a solution has it


def run_cells(path, parameters):
    """Run a notebook's code here, which a kernel of its own would load everything anew for."""
    names = {"__name__": "__main__", "display": display}
    for cell in cells(path, "code"):
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        if last:
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
            if hasattr(value, "_repr_html_"):
                value._repr_html_()  # a notebook would show it
        if "parameters" in cell.metadata.get("tags", []):
            names |= parameters


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_the_solutions_run(path, oqmd, mp_compositions, tmp_path, monkeypatch, capsys):
    for name, table in {"oqmd": oqmd, "mp": mp_compositions}.items():
        counts = whole_counts(amounts_matrix(table["formula"][:3000]))
        save_training_data(
            tmp_path / "data" / f"{name}.npz", TrainingData(counts[:2400], counts[2400:])
        )
    parameters = {name: value for name, value in SMALL.items() if name in parameters_of(path)}
    if "run_dir" in parameters_of(path):
        parameters["run_dir"] = str(tmp_path)
    monkeypatch.setenv("MATGAN_DEVICE", "cpu")
    monkeypatch.chdir(path.parent)
    try:
        run_cells(path, parameters)
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    finally:
        plt.close("all")
    printed = capsys.readouterr().out
    for question in asked(path):
        assert f"{question}\nRight." in printed, question


def parameters_of(path):
    tagged = [c.source for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
    return {line.target.id for line in ast.parse("\n".join(tagged)).body}
