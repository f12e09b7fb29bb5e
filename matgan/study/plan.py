"""Which notebooks run with which parameters and cells, and what their results depend on."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from matgan.data.sources import SourceUnavailable, fetch
from matgan.files import half_written, sha256
from matgan.study.fingerprint import decides, reached, versions
from matgan.study.fingerprint import digest as modules_digest
from matgan.study.run import MANIFEST, RunError, damaged, hash_of_kept, read_manifest

DONE, NEW = "done", "not run yet"  # states of a notebook in a run directory
LARGEST = 2**32 - 1  # of a whole number: the largest seed
LEFT_EMPTY = (".lock", ".manifest.lock")  # left in a folder by a run that wrote nothing


@dataclass
class Notebook:
    """One notebook with the parameters it will get (without run_dir, which fixes no result)."""

    path: Path
    parameters: dict

    @property
    def name(self) -> str:
        """Name of the file without its ending, for example "01_data_curation"."""
        return self.path.stem


def plan(
    folder: Path, profile: str, only: Sequence[str] = (), overrides: Sequence[Sequence[str]] = ()
) -> list[Notebook]:
    """The notebooks to run, in order, each with its parameters.

    Parameters
    ----------
    folder : the notebooks and profiles.yaml
    profile : name of a profile in that file
    only : numbers or names; empty for all
    overrides : (name, value as text) pairs, for the notebooks that declare the name

    Raises
    ------
    RunError
        No notebooks there, unknown profile, notebook or parameter, or a value that makes no
        sense (`Parameter.fault`); names it.
    """
    if not (folder / "profiles.yaml").is_file():
        raise RunError(f"there are no notebooks in {folder}: run this in a checkout of matgan")
    profiles = yaml.safe_load((folder / "profiles.yaml").read_text(encoding="utf-8"))
    if profile not in profiles:
        raise RunError(f"unknown profile {profile!r}; there are {', '.join(profiles)}")
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    for wanted in only:
        if not any(wanted in (path.stem, path.stem[:2]) for path in found):
            names = ", ".join(path.stem for path in found)
            raise RunError(f"there is no notebook {wanted!r}; there are {names}")
    paths = [p for p in found if not only or p.stem in only or p.stem[:2] in only]
    defaults = {path: _declared(path) for path in paths}
    for name, value in overrides:
        if name in ("profile", "run_dir"):
            raise RunError(f"-p {name} does nothing: give --{name.replace('_', '-')} {value}")
        if not any(name in declared for declared in defaults.values()):
            raise RunError(f"no notebook to run declares the parameter {name!r}")
    notebooks = []
    for path in paths:
        chosen = {**profiles[profile]["all"], **profiles[profile].get(path.stem, {})}
        chosen |= {name: _value(text) for name, text in overrides if name in defaults[path]}
        chosen["profile"] = profile
        _check(path, chosen, defaults[path])
        notebooks.append(Notebook(path, chosen))
    return notebooks


@dataclass(frozen=True)
class Parameter:
    """A line of the cell tagged `parameters`: its default, and the comment that says what it is."""

    default: object  # None for one that is computed
    comment: str

    def fault(self, value: object) -> str:
        """What is wrong with a value, or an empty string.

        Whole numbers are 1 or more, or 0 where that is the default or the comment says what 0
        means; other numbers are finite and above 0, and a share is below 1. A list has the types
        of the default's entries, and is empty only where the default is.
        """
        if self.default is None:
            return ""
        if isinstance(self.default, list) and isinstance(value, list):
            if self.default and not value:
                return "an empty list"
            kinds = self.default or [""]
            faults = (min((self._one(k, v) for k in kinds), key=len) for v in value)
            return next(filter(None, faults), "")
        return self._one(self.default, value)

    def _one(self, default: object, value: object) -> str:
        whole = isinstance(default, float) and type(value) is int
        if type(value) is not type(default) and not whole:
            return f"of type {type(default).__name__}, not {value!r}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        if not math.isfinite(value):
            return f"a finite number, not {value!r}"
        if isinstance(default, int):
            least = 0 if default == 0 or "0:" in self.comment else 1
            return "" if least <= value <= LARGEST else f"{least} to {LARGEST:,}, not {value!r}"
        if value <= 0:
            return f"above 0, not {value!r}"
        if "share" in self.comment and value >= 1:
            return f"below 1, not {value!r}"
        return ""


def _declared(path: Path) -> dict[str, Parameter]:
    """Names of the cell tagged `parameters`, with their defaults and comments."""
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise RunError(f"{path.name} needs one cell tagged `parameters`, it has {len(cells)}")
    declared = {}
    lines = cells[0].source.splitlines()
    for line in ast.parse(cells[0].source).body:
        if isinstance(line, ast.Assign | ast.AnnAssign):
            target = line.targets[0] if isinstance(line, ast.Assign) else line.target
            try:
                default = ast.literal_eval(line.value or "None")
            except ValueError:
                default = None
            comment = lines[(line.end_lineno or 1) - 1].partition("#")[2]
            declared[ast.unparse(target)] = Parameter(default, comment)
    return declared


def _check(notebook: Path, parameters: dict, declared: dict[str, Parameter]) -> None:
    for name in ("run_dir", *parameters):
        if name not in declared:
            raise RunError(
                f"{notebook.name} declares no parameter {name!r} in its `parameters` cell"
            )
    for name, value in parameters.items():
        fault = declared[name].fault(value)
        is_folder = declared[name].comment.startswith(" folder of")
        if is_folder and not fault and value and not (notebook.parent / value).is_dir():
            fault = f"a folder, seen from {notebook.parent}, not {value!r}"
        if fault:
            raise RunError(f"{notebook.name}: the parameter {name!r} must be {fault}")


def _value(text: str) -> object:
    """A plain Python literal, true, false or null; anything else is a string."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def fingerprint(notebook: Notebook, manifest: dict, drawing: bool = True) -> str:
    """SHA-256 of all that decides a notebook's results.

    Its cells, its parameters and what is in the folders that they name, the modules that it reaches
    by imports (with the pretrained weights that these read), the versions of the packages that
    compute, and what decided the results of the notebooks whose files it reads (`made_by`): their
    kept tables, too. Its own are known when it has read them: see `state`.

    Parameters
    ----------
    notebook : with the parameters it will get
    manifest : of the run
    drawing : with the modules that only draw or record; no later notebook depends on them
    """
    digest = hashlib.sha256()
    cells = nbformat.read(notebook.path, as_version=4).cells
    digest.update(json.dumps([[cell.cell_type, cell.source] for cell in cells]).encode())
    digest.update(json.dumps([notebook.parameters, versions()], sort_keys=True).encode())
    digest.update(json.dumps(_named(notebook), sort_keys=True).encode())
    modules = reached(_code(notebook))
    digest.update(modules_digest(modules if drawing else decides(modules)).encode())
    for earlier in reads(notebook):
        entry = manifest["notebooks"].get(earlier, {})
        facts = [entry.get("results", ""), entry.get("kept", {})]
        digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def reads(notebook: Notebook) -> list[str]:
    """Names of the notebooks whose files a notebook reads."""
    return sorted(set(re.findall(r"""made_by=["'](\w+)["']""", _code(notebook))))


def next_one(left: Sequence[Notebook], busy: Iterable[Notebook]) -> Notebook | None:
    """The first of those left that reads no file of another one that is left or running."""
    undone = {notebook.name for notebook in (*left, *busy)}
    return next((n for n in left if undone.isdisjoint(reads(n))), None)


def _code(notebook: Notebook) -> str:
    cells = nbformat.read(notebook.path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def _named(notebook: Notebook) -> dict[str, str]:
    """SHA-256 of the files in the folders that parameters name, by their paths."""
    found = {}
    for value in notebook.parameters.values():
        if not isinstance(value, str) or not value:
            continue
        folder = notebook.path.parent / value
        if folder.is_dir():
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    found[str(path.relative_to(folder))] = sha256(path)
    return found


# --- what is done -------------------------------------------------------------------------------


def state(notebook: Notebook, run_dir: Path, manifest: dict) -> str:
    """`DONE`, `NEW` (never run), or why a notebook has to run again."""
    entry = manifest["notebooks"].get(notebook.name, {})
    if entry.get("status") != "ok":
        return "it did not finish" if "status" in entry else NEW
    if "outputs" not in entry:
        return "the hashes of its files were not recorded"
    if entry.get("fingerprint") != fingerprint(notebook, manifest):
        return "its cells, parameters, code, packages or what it reads changed"
    if bad := damaged(run_dir, entry):
        return ", ".join(f"{name} is {how}" for name, how in bad.items())
    kept = entry.get("kept", {})
    if changed := [name for name, known in kept.items() if hash_of_kept(name) != known]:
        return f"results/long has another {', '.join(changed)}"
    return DONE


def unsound(notebook: Notebook, run_dir: Path, manifest: dict) -> str:
    """What is wrong with the files of others that a notebook reads, and what helps; or ""."""
    for earlier in reads(notebook):
        for name, how in damaged(run_dir, manifest["notebooks"].get(earlier, {})).items():
            return (
                f"{notebook.name} reads files of {earlier}, and {name} is {how} since: the same "
                f"command with --only {earlier[:2]} makes it again"
            )
    return ""


def check_folder(run_dir: Path, force: bool) -> None:
    """A folder with anything in it must be that of a run: else RunError, if nothing is forced."""
    if run_dir.exists() and not run_dir.is_dir():
        raise RunError(f"{run_dir} is a file")
    if force or not run_dir.is_dir() or (run_dir / MANIFEST).exists():
        return
    others = sorted(path.name for path in run_dir.iterdir() if path.name not in LEFT_EMPTY)
    if others:
        raise RunError(
            f"{run_dir} is no folder of a run, and holds {', '.join(others[:3])}: choose another "
            "--run-dir, or give --force to write into it"
        )


def remove_half_written(run_dir: Path) -> None:
    """Remove what a run that was killed while it wrote has left; the caller holds the lock."""
    if read_manifest(run_dir)["notebooks"]:  # else the folder may be anyone's
        for file in half_written(run_dir):
            file.unlink(missing_ok=True)


def set_aside(run_dir: Path, entry: dict) -> None:
    """Rename damaged checkpoints, with those beside them: a training would refuse to go on."""
    bad = [run_dir / name for name in damaged(run_dir, entry) if name.startswith("checkpoints/")]
    for name in entry.get("outputs", {}):
        path = run_dir / name
        if path.is_file() and path.parent in {file.parent for file in bad}:
            os.replace(path, path.with_name(f"{path.name}.damaged"))


# --- cells whose data cannot be had ---------------------------------------------------------------


def without_unreachable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook; a cell tagged needs-SOURCE only says "not run" if that source cannot be had."""
    reasons: dict[str, str] = {}
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("needs-"):
                name = tag.removeprefix("needs-")
                if name not in reasons:
                    reasons[name] = _why_not_reachable(name)
                if reasons[name]:
                    cell.source = f"print({f'not run: {reasons[name]}'!r})"
    return notebook


def _why_not_reachable(source: str) -> str:
    try:
        fetch(source)
    except SourceUnavailable as error:
        return str(error)
    return ""
