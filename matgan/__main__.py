"""The one door to everything that is a command: `python -m matgan --help`.

A command is a `main(arguments) -> int | None` of some module, which is imported only when its
command is given. Exit status: 0 done, 1 a named error, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from importlib import import_module

import matgan

PROG = "python -m matgan"


@dataclass(frozen=True)
class Command:
    """Where a command's function is, and what it does in a line."""

    module: str
    summary: str
    function: str = "main"


GROUPS = {
    "Use what is trained": {
        "predict": Command(
            "matgan.properties.prediction", "properties of compositions, with intervals"
        ),
        "screen": Command(
            "matgan.properties.candidates", "stable new compounds among all compositions, by blocks"
        ),
        "sample": Command("matgan.wgan.generator", "new compositions from a generator, as CSV"),
        "classify": Command(
            "matgan.powder.classifier",
            "crystal system and space group of a powder pattern",
            "classify_command",
        ),
    },
    "Run the study": {
        "run": Command("matgan.study.execute", "the notebooks, in order: bash run_all.sh calls it"),
        "rebuild": Command("matgan.data.derived", "derived files of data, from public sources"),
        "jobs": Command("matgan.study.jobs.command", "the long computations behind results/long"),
        "submission": Command(
            "matgan.study.jobs.compositions.submission", "files for the public leaderboards"
        ),
        "claims": Command("matgan.study.claims", "write the README's table of claims from a run"),
    },
    "Train": {
        "train": Command("matgan.wgan.training", "a WGAN on compositions; resumable"),
        "sweep": Command("matgan.generated.sweep", "many short WGANs: which setting learns?"),
        "cgcnn": Command(
            "matgan.crystals.graphs.cgcnn", "a crystal graph network on formation energies"
        ),
        "train-properties": Command(
            "matgan.properties.training",
            "the models of predict: energies, gaps, critical temperatures",
        ),
        "train-distilled": Command(
            "matgan.properties.distilled", "a small network for screen --small, taught by predict's"
        ),
        "train-patterns": Command(
            "matgan.powder.augmentation", "the classifier of powder patterns", "train_command"
        ),
        "prepare-patterns": Command(
            "matgan.powder.measured.preparation",
            "what a training for measured patterns reads, in one file",
            "prepare_command",
        ),
        "evaluate-patterns": Command(
            "matgan.powder.minerals", "what a classifier of patterns reaches", "evaluate_command"
        ),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}

EXAMPLES = """\
Examples:
  python -m matgan sample 1000 --contain Li O --balanced --out new.csv
  python -m matgan predict new.csv --out answers.csv
  python -m matgan classify pattern.xy
  python -m matgan run --profile smoke

python -m matgan COMMAND --help lists the options of a command. After
`pip install .`, matgan COMMAND is the same. MATGAN_DEVICE=cpu or cuda chooses the device,
MATGAN_DATA names a folder that is searched for data first, MATGAN_TRACEBACK=1 shows where in the
code an error arose.
"""


def help_text() -> str:
    """What `python -m matgan --help` prints."""
    lines = [f"usage: {PROG} COMMAND [options]", ""]
    for group, commands in GROUPS.items():
        lines += [f"{group}:", *(f"  {name:18} {c.summary}" for name, c in commands.items()), ""]
    return "\n".join(lines) + "\n" + EXAMPLES


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter shows its code
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if name == "--version":
        print(f"matgan {matgan.__version__}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        print(f"unknown command {name!r}{guess}" if name else help_text(), file=sys.stderr)
        if name:
            print(f"{PROG} --help lists the commands", file=sys.stderr)
        return 2
    return run(name, rest)


def run(name: str, arguments: list[str]) -> int:
    """Run a command by its name: an error that says what is wrong becomes one line and status 1."""
    try:
        command = COMMANDS[name]
        return getattr(import_module(command.module), command.function)(arguments) or 0
    except KeyboardInterrupt as stopped:
        print(f"\n{str(stopped) or 'Interrupted.'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, say `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("MATGAN_TRACEBACK") or not _says_what_is_wrong(error):
            raise
        print(_one_line(name, error), file=sys.stderr)
        return getattr(error, "status", 1)


def _says_what_is_wrong(error: Exception) -> bool:
    """Whether the message is for the user; any other error is a bug, and shows its traceback."""
    if isinstance(error, ModuleNotFoundError):
        return not (error.name or "matgan").startswith("matgan")
    ours = type(error).__module__.startswith("matgan.")
    return ours or isinstance(error, OSError | RuntimeError | ValueError)


def _one_line(command: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        extras = "pip install '.[notebooks,docs,design,cluster]' brings what goes beyond the face"
        return f"{command} needs the package {error.name}, which is not installed: {extras}"
    return f"{type(error).__name__}: {' '.join(str(error).splitlines())}"


if __name__ == "__main__":
    sys.exit(main())
