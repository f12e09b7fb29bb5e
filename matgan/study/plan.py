"""Which notebooks run with which parameters, and what their results depend on."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from matgan.study.fingerprint import digest as modules_digest
from matgan.study.fingerprint import reached
from matgan.study.run import LONG, RunError

DRAWING = (".figures", ".interactive", ".style")  # modules that only draw


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
        No notebooks there, unknown profile, notebook or parameter, or a value of another type
        than the default's; names it.
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
    for name, _ in overrides:
        if not any(name in declared for declared in defaults.values()):
            raise RunError(f"no notebook to run declares the parameter {name!r}")
    notebooks = []
    for path in paths:
        chosen = {**profiles[profile]["all"], **profiles[profile].get(path.stem, {})}
        chosen |= {name: _value(text) for name, text in overrides if name in defaults[path]}
        chosen["profile"] = profile
        _check(path.name, chosen, defaults[path])
        notebooks.append(Notebook(path, chosen))
    return notebooks


def _declared(path: Path) -> dict:
    """Names and defaults of the cell tagged `parameters`; None for a default that is computed."""
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise RunError(f"{path.name} needs one cell tagged `parameters`, it has {len(cells)}")
    declared = {}
    for line in ast.parse(cells[0].source).body:
        if isinstance(line, ast.Assign | ast.AnnAssign):
            target = line.targets[0] if isinstance(line, ast.Assign) else line.target
            try:
                declared[ast.unparse(target)] = ast.literal_eval(line.value or "None")
            except ValueError:
                declared[ast.unparse(target)] = None
    return declared


def _check(notebook: str, parameters: dict, declared: dict) -> None:
    for name in ("run_dir", *parameters):
        if name not in declared:
            raise RunError(f"{notebook} declares no parameter {name!r} in its `parameters` cell")
    for name, value in parameters.items():
        default = declared[name]
        fits = isinstance(value, type(default)) and isinstance(value, bool) == isinstance(
            default, bool
        )
        whole = isinstance(default, float) and type(value) is int
        if not (default is None or value is None or fits or whole):
            kind = type(default).__name__
            raise RunError(f"{notebook}: the parameter {name!r} is of type {kind}, not {value!r}")


def _value(text: str) -> object:
    """A plain Python literal, true, false or null; anything else is a string."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def fingerprint(notebook: Notebook, manifest: dict, drawing: bool = True) -> str:
    """SHA-256 of all that decides a notebook's results.

    Its cells, its parameters, the modules that it reaches by imports (with the pretrained weights
    that these read), the kept tables that it reads, and what decided the results of the notebooks
    whose files it reads (`made_by`).

    Parameters
    ----------
    notebook : with the parameters it will get
    manifest : of the run
    drawing : with the modules that only draw; no later notebook depends on them
    """
    digest = hashlib.sha256()
    cells = nbformat.read(notebook.path, as_version=4).cells
    digest.update(json.dumps([[cell.cell_type, cell.source] for cell in cells]).encode())
    digest.update(json.dumps(notebook.parameters, sort_keys=True).encode())
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    modules = {m for m in reached(code) if drawing or not m.endswith(DRAWING)}
    digest.update(modules_digest(modules).encode())
    for table in sorted(set(re.findall(r"""\.kept\(["']([\w.-]+)["']""", code))):
        path = LONG / f"{table}.csv"
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    for earlier in sorted(set(re.findall(r"""made_by=["'](\w+)["']""", code))):
        digest.update(manifest["notebooks"].get(earlier, {}).get("results", "").encode())
    return digest.hexdigest()
