"""The door: every command is there, errors become one line, and nothing heavy loads before."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import matgan
from matgan import __main__ as door
from matgan.study.run import RunError

ROOT = Path(__file__).parent.parent.parent


def matgan_command(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "matgan", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def failing(monkeypatch):
    """A command `fail`, which raises what it is told to raise."""

    def install(error):
        def fail(arguments):
            raise error

        monkeypatch.setitem(door.COMMANDS, "fail", door.Command("matgan.files", "", "fail"))
        monkeypatch.setattr(importlib.import_module("matgan.files"), "fail", fail, raising=False)

    return install


def test_help_lists_every_command_in_a_line_and_loads_nothing_heavy():
    done = matgan_command("--help")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    named = [line.split()[0] for line in lines if not line.startswith("  python")]
    assert named == list(door.COMMANDS)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    for example in (line.split()[3] for line in lines if line.startswith("  python")):
        assert example in door.COMMANDS
    code = "import sys, matgan.__main__ as door\ntry:\n    door.main(['--help'])\n"
    code += "finally:\n    print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stderr.split())
    assert "matgan.__main__" in loaded
    assert not {"numpy", "pandas", "scipy", "sklearn", "torch", "pymatgen", "smact"} & loaded


@pytest.mark.parametrize("name", door.COMMANDS)
def test_each_command_has_its_own_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        door.main([name, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m matgan {name} ")
    assert "\n\n" in printed, "says what it does"


@pytest.mark.parametrize("name", door.COMMANDS)
def test_an_unknown_option_is_wrong_use(name, capsys):
    with pytest.raises(SystemExit) as ended:
        door.main([name, "--no-such-option"])
    assert ended.value.code == 2
    assert f"matgan {name}: error" in capsys.readouterr().err


def test_an_unknown_command_is_wrong_use(capsys):
    assert door.main(["trian"]) == 2
    assert "unknown command 'trian' (did you mean train?)" in capsys.readouterr().err
    assert door.main([]) == 2
    assert "usage: python -m matgan COMMAND" in capsys.readouterr().err


def test_the_version(capsys):
    assert door.main(["--version"]) == 0
    assert capsys.readouterr().out == f"matgan {matgan.__version__}\n"


# --- how a command ends ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("n must not\nbe negative"), "ValueError: n must not be negative"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (matgan.chemistry.parsing.CompositionError("Xx"), "CompositionError: Xx"),
        (
            ModuleNotFoundError("No module named 'papermill'", name="papermill"),
            "fail needs the package papermill, which is not installed: "
            "pip install '.[notebooks,docs,design,cluster]' brings what goes beyond the face",
        ),
    ],
)
def test_an_error_that_says_what_is_wrong_is_one_line(error, line, failing, capsys):
    failing(error)
    assert door.main(["fail"]) == 1
    assert capsys.readouterr().err == f"{line}\n"


def test_the_hint_for_a_missing_package_names_every_extra_that_a_command_may_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].keys() - {"test", "dev"}
    hint = door._one_line("jobs", ModuleNotFoundError("", name="botorch"))
    assert sorted(re.search(r"\.\[(.*)\]", hint)[1].split(",")) == sorted(extras)


def test_what_cannot_be_asked_of_a_run_is_wrong_use(failing, capsys):
    failing(RunError("there is no job 'x'"))
    assert door.main(["fail"]) == 2
    assert capsys.readouterr().err == "RunError: there is no job 'x'\n"


@pytest.mark.parametrize(
    "error", [KeyError("T"), TypeError(), ModuleNotFoundError("", name="matgan.nowhere")]
)
def test_a_bug_shows_its_traceback(error, failing):
    failing(error)
    with pytest.raises(type(error)):
        door.main(["fail"])


def test_the_traceback_of_a_named_error_can_be_had(failing, monkeypatch):
    failing(ValueError("which line?"))
    monkeypatch.setenv("MATGAN_TRACEBACK", "1")
    with pytest.raises(ValueError, match="which line"):
        door.main(["fail"])


@pytest.mark.parametrize(
    ("message", "line"), [("", "Interrupted."), ("go on: again", "go on: again")]
)
def test_an_interrupt_is_130(message, line, failing, capsys):
    failing(KeyboardInterrupt(*filter(None, [message])))
    assert door.main(["fail"]) == 130
    assert capsys.readouterr().err == f"\n{line}\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_letter_shows_its_code(encoding):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    code = "from matgan import __main__ as door; door.main(['--help']); print('\u2026 \u207a')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(rb"\u2026 \u207a" + b"\n")


def test_a_reader_that_has_enough_ends_it_without_a_word():
    command = f"{sys.executable} -m matgan sample 30000 --generator wgan-mp | head -2"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("formula\n")
    assert done.stderr == ""


def test_a_command_in_a_shell_ends_with_its_status(tmp_path):
    done = matgan_command("sample", "5", "--generator", tmp_path / "no")
    assert done.returncode == 1
    assert done.stderr.startswith("FileNotFoundError: no generator")
    assert done.stderr.count("\n") == 1


def test_no_other_module_is_a_program():
    """`if __name__ == "__main__"` stands in __main__.py alone."""
    for path in (ROOT / "matgan").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        programs = [
            n for n in ast.walk(tree) if isinstance(n, ast.If) and "__name__" in ast.unparse(n.test)
        ]
        assert not programs or path.name == "__main__.py", path
