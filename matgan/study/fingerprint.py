"""What a notebook's or a job's code depends on: the modules that it reaches by imports.

A result is current while its fingerprint is: a changed label of a figure makes one notebook run
again, not all of them, and a comment none. Imports are read from the source, so those inside of
functions count too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import io
import sys
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matgan.files import PRETRAINED

PACKAGE = Path(__file__).resolve().parent.parent

DRAWING = (".figures", ".interactive", ".style")  # modules that only draw
RECORDING = ("study.run", "study.fingerprint", "study.jobs.runner")  # of jobs and notebooks

# Modules that read pretrained files, and which
WEIGHTS = {
    "wgan.generator": "wgan-*",
    "generated.models": "wgan-*",
    "representation.tables": "wgan-*",
    "powder.classifier": "xrd-*",
    "properties.models": "predict-*",
    "properties.distilled": "distilled-*",
    "crystals.substitution": "structures-*",
    "study.jobs.compositions.transfer": "encoder-*",
    "study.jobs.microstructure.design": "microstructure-gan",
}

# What computes numbers: another version may give others
PACKAGES = (
    "botorch",
    "cma",
    "numba",
    "numpy",
    "openTSNE",
    "pandas",
    "pybaselines",
    "pymatgen",
    "scikit-learn",
)
PACKAGES += ("scipy", "smact", "spglib", "torch")

_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute numbers, as far as they are installed."""
    found = {"python": "{}.{}".format(*sys.version_info)}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def reached(code: str) -> set[str]:
    """Modules of this package that a source imports, directly or through others.

    Parameters
    ----------
    code : Python source, for example all code cells of a notebook

    Returns
    -------
    set of names such as "wgan.training"
    """
    found: set[str] = set()
    todo = list(_imported(code))
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _needs(name)
    return found


def decides(modules: Iterable[str]) -> set[str]:
    """Those of some modules that decide numbers: not what draws, runs or records."""
    return {m for m in modules if not m.endswith(DRAWING) and m not in RECORDING}


def digest(modules: Iterable[str]) -> str:
    """SHA-256 of the code of modules, and of the pretrained files and tables that they read."""
    total = hashlib.sha256()
    for name in sorted(modules):
        paths = [_path(name)]
        if name in WEIGHTS:
            paths += sorted(PRETRAINED.glob(WEIGHTS[name] + ".safetensors"))
        source = paths[0].read_text(encoding="utf-8")
        paths += [table for table in _tables() if f'"{table.name}"' in source]
        for path in paths:
            total.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
            if path == paths[0]:
                total.update(hashlib.sha256(code_alone(source).encode()).digest())
            else:
                total.update(_sha256(path, path.stat().st_size, path.stat().st_mtime_ns))
    return total.hexdigest()


@cache
def code_alone(source: str) -> str:
    """A module's source without comments and docstrings, and without the lines that were theirs.

    A docstring that is all of a body becomes "pass".
    """
    lines: list[str | None] = list(source.split("\n"))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start[0] - 1, token.start[1]
            lines[row] = token.line[:column].rstrip() or None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            first, last = text.lineno - 1, text.end_lineno or text.lineno
            before = source.split("\n")[first].encode()[: text.col_offset].decode()
            lines[first:last] = [None] * (last - first)
            if len(node.body) == 1 and not isinstance(node, ast.Module):
                lines[first] = before + "pass"
    return "\n".join(line for line in lines if line is not None)


@cache
def _sha256(path: Path, size: int, changed: int) -> bytes:
    """Of a file that is as large and was changed when the caller says."""
    return hashlib.sha256(path.read_bytes()).digest()


@cache
def _tables() -> list[Path]:
    """The package's own tables, such as the hashes of the data."""
    return sorted(PACKAGE.rglob("*.csv"))


@cache
def _needs(name: str) -> frozenset[str]:
    return frozenset(_imported(_path(name).read_text(encoding="utf-8")))


def _path(name: str) -> Path:
    return PACKAGE.joinpath(*name.split(".")).with_suffix(".py")


@cache
def _face() -> dict[str, str]:
    """Public name of the package -> the module that it comes from."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: (node.module or "").removeprefix("matgan.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("matgan.")
        for alias in node.names
    }


def _imported(code: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "matgan":  # any name of the face may be used
                    names |= set(_face().values())
                names.add(alias.name.removeprefix("matgan."))
        elif isinstance(node, ast.ImportFrom) and node.module == "matgan":
            for alias in node.names:
                names |= {alias.name, _face().get(alias.name, alias.name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("matgan."):
            module = (node.module or "").removeprefix("matgan.")
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return {name for name in names if _path(name).is_file()}
