"""One run of the study: its folder, seeds, device, tables, figures and manifest.

A run directory holds tables/, figures/, checkpoints/, the executed notebooks and manifest.json,
which says what made them: commit, package versions, data hashes, seeds, device, times.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import random
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from filelock import FileLock

from matgan.data.sources import SOURCES
from matgan.files import atomic_file
from matgan.learning.compute import device

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANIFEST = "manifest.json"
PROJECT = Path(__file__).resolve().parent.parent.parent
LONG = PROJECT / "results" / "long"  # tables of long computations, each with its provenance


class RunError(Exception):
    """What is asked of a run cannot be done; the message says why."""

    status = 2  # of a command: wrong use


class NotYetMade(FileNotFoundError):
    """A file that an earlier notebook, or a long computation, makes and has not made yet."""


@dataclass
class Run:
    """A run directory as one notebook sees it; made by `open_run`."""

    folder: Path
    notebook: str
    seed: int
    device: str
    _opened: float = field(default_factory=time.monotonic, repr=False)

    def path(self, *parts: str) -> Path:
        """Path inside the run directory; the folder that holds it is made.

        Raises
        ------
        ValueError
            The path leads out of the run directory.
        """
        path = self.folder.joinpath(*parts)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"{'/'.join(parts)!r} leads out of the run directory {self.folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def find(self, *parts: str, made_by: str) -> Path:
        """Path of a file that the earlier notebook `made_by` has made.

        Raises
        ------
        NotYetMade
            The file is not there; names the notebook to run first (`made_by`).
        """
        path = self.path(*parts)
        if not path.exists():
            raise NotYetMade(
                f"{'/'.join(parts)} is not in {self.folder}: run {made_by} first, with the same "
                f"run directory (bash run_all.sh --only {made_by[:2]})"
            )
        return path

    def table(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write a table to tables/NAME.csv and return it, so that the cell shows it.

        Numbers are written so that reading gives the same floats; the same table gives the same
        bytes. An index that has a name is written as a column, another is not.
        """
        path = self.path("tables", f"{_plain(name)}.csv")
        named = all(level is not None for level in table.index.names)
        with atomic_file(path) as file:
            table.to_csv(file, index=named, lineterminator="\n")
        self._made(path)
        return table

    def read_table(self, name: str, made_by: str) -> pd.DataFrame:
        """Read tables/NAME.csv, exactly as written; an index comes back as a column.

        Raises
        ------
        NotYetMade
            The table is not there; names the notebook to run first (`made_by`).
        """
        return _read(self.find("tables", f"{_plain(name)}.csv", made_by=made_by))

    def kept(self, name: str) -> pd.DataFrame:
        """Read results/long/NAME.csv, the table of a long computation that this run does not redo.

        What made it (results/long/NAME.json: commit, command, seeds, device, time) comes in
        `.attrs["provenance"]`, and its SHA-256 goes into the manifest.

        Raises
        ------
        NotYetMade
            The table or its provenance is not there; names the command that makes both.
        """
        table, provenance = (LONG / f"{_plain(name)}.{kind}" for kind in ("csv", "json"))
        for path in (table, provenance):
            if not path.is_file():
                raise NotYetMade(
                    f"there is no {path.relative_to(PROJECT)}: `python -m matgan jobs run {name}` "
                    "makes it (`python -m matgan jobs list` says how long it takes)"
                )
        kept = _read(table)
        kept.attrs["name"] = name
        kept.attrs["provenance"] = json.loads(provenance.read_text(encoding="utf-8"))
        known = read_manifest(self.folder)["notebooks"].get(self.notebook, {}).get("kept", {})
        self.record(kept={**known, name: hashlib.sha256(table.read_bytes()).hexdigest()})
        return kept

    def figure(self, figure: Figure, name: str) -> None:
        """Write a figure to figures/NAME.png (150 dpi) and figures/NAME.svg, without dates."""
        import matplotlib as mpl

        for kind in ("png", "svg"):
            path = self.path("figures", f"{_plain(name)}.{kind}")
            metadata = {"Software": None} if kind == "png" else {"Date": None}
            # the salt makes the SVG's ids the same in every run
            with mpl.rc_context({"svg.hashsalt": "matgan"}), atomic_file(path) as file:
                figure.savefig(file, format=kind, dpi=150, bbox_inches="tight", metadata=metadata)
            self._made(path)

    def checkpoint(self, name: str) -> Path:
        """Path checkpoints/NAME for weights and training states."""
        return self.path("checkpoints", name)

    def record(self, **facts: object) -> None:
        """Merge facts about this notebook into manifest.json, with its time and memory so far."""
        so_far = {
            "seconds": round(time.monotonic() - self._opened, 1),
            "peak_memory_mb": round(_peak_memory_mb()),
        }
        update_manifest(self.folder, self.notebook, {**so_far, **facts})

    def _made(self, path: Path) -> None:
        relative = path.relative_to(self.folder).as_posix()
        entry = read_manifest(self.folder)["notebooks"].get(self.notebook, {})
        self.record(files=sorted({*entry.get("files", []), relative}))


def open_run(run_dir: str | os.PathLike[str], notebook: str, seed: int = 0) -> Run:
    """Open a run directory for one notebook: seed everything, start its entry in the manifest.

    Parameters
    ----------
    run_dir : folder of the run, made if it is not there
    notebook : name of the notebook, for example "02_wgan_training"
    seed : given to `set_seed`
    """
    set_seed(seed)
    run = Run(Path(run_dir).resolve(), notebook, seed, device())
    run.folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "device": run.device,
        "device_name": _device_name(run.device),
        **git_state(),
    }
    update_manifest(run.folder, notebook, facts, fresh=True)
    return run


def set_seed(seed: int) -> None:
    """Seed Python's, NumPy's and torch's random numbers."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that use NumPy's global state
    torch.manual_seed(seed)


# --- the manifest -------------------------------------------------------------------------------


def read_manifest(run_dir: Path) -> dict:
    """Content of a run's manifest.json; without a file, an empty manifest.

    Raises
    ------
    RunError
        The file is no manifest; names it.
    """
    path = Path(run_dir) / MANIFEST
    if not path.exists():
        return {"notebooks": {}}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(entry, dict) for entry in manifest["notebooks"].values()):
            raise TypeError("an entry is no object")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path} is no manifest of a run, or is damaged: choose another folder, or delete it, "
            "and the run starts from its first notebook"
        ) from error
    return manifest


def update_manifest(run_dir: Path, notebook: str, facts: dict, *, fresh: bool = False) -> None:
    """Merge facts into one notebook's entry of manifest.json, or with `fresh` replace the entry.

    Several processes may do so at once: a lock file orders them.
    """
    path = Path(run_dir) / MANIFEST
    with FileLock(path.with_name(".manifest.lock")):
        manifest = read_manifest(run_dir)
        if fresh or "packages" not in manifest:
            manifest.update(_environment())
        entry = {} if fresh else manifest["notebooks"].get(notebook, {})
        manifest["notebooks"][notebook] = {**entry, **facts}
        manifest["notebooks"] = dict(sorted(manifest["notebooks"].items()))
        with atomic_file(path) as file:
            text = json.dumps(manifest, indent=2, ensure_ascii=False, default=_as_plain)
            file.write(f"{text}\n".encode())


def git_state() -> dict:
    """Commit of the checkout that holds this package, and whether files but results differ from it.

    Empty where there is no checkout or no git.
    """
    if not (PROJECT / ".git").exists():
        return {}

    def git(*words: str) -> str:
        command = ["git", "-C", str(PROJECT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        changes = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
        return {"commit": git("rev-parse", "HEAD").strip(), "changed": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return {}


@cache
def _environment() -> dict:
    installed = {d.name: d.version for d in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": dict(sorted(installed.items(), key=lambda item: item[0].lower())),
        "data": {source.file: source.sha256 for source in SOURCES.values()},
    }


def _device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return platform.processor() or platform.machine()


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)  # macOS counts bytes, Linux KiB


def _as_plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be written to the manifest")


# --- tables and names ----------------------------------------------------------------------------


def origin(kept: pd.DataFrame) -> str:
    """A line of Markdown on a table of `Run.kept`: what it holds, what made it, how to redo it."""
    facts = kept.attrs["provenance"]

    def listed(name: str, length: int | None = None) -> str:
        values = facts[name] if isinstance(facts[name], list) else [facts[name]]
        return ", ".join(str(value)[:length] for value in values)

    made = f"commit {listed('commit', 7)}, {listed('device')}"
    if "pieces" in facts and not facts["complete"]:
        made += f", {len(facts['pieces'])} of {facts['pieces_in_all']} pieces"
    command = f"`python -m matgan jobs run {kept.attrs['name']}` computes it"
    return f"Kept, not computed here: {facts['what']} ({made}). {command}."


def _read(path: Path) -> pd.DataFrame:
    # "NaN" and "Na" are formulas; only an empty field is a gap
    return pd.read_csv(path, float_precision="round_trip", keep_default_na=False, na_values=[""])


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ValueError(f"{name!r} is no name for a file: use letters, digits, '_', '-' and '.'")
    return name
