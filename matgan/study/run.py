"""One run of the study: its folder, seeds, device, tables, figures and manifest.

A run directory holds tables/, figures/, checkpoints/, the executed notebooks and manifest.json,
which says what made them: commit, package versions, data hashes, seeds, device, times, and the
SHA-256 of each file. What a cell run by hand, in JupyterLab, tells of itself is kept apart from
what `run_all.sh` has run.
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

from matgan.data import sources
from matgan.files import atomic_file, sha256, share
from matgan.learning.compute import device

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANIFEST = "manifest.json"
SECTIONS = ("notebooks", "by_hand")  # of the manifest: whole runs; cells run by hand
RUNNING = "MATGAN_RUNNING"  # set by `run_all.sh` for its kernels: the folder that it has locked
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
    by_hand: bool = False  # in JupyterLab: its facts say nothing of what `run_all.sh` has run
    _opened: float = field(default_factory=time.monotonic, repr=False)

    def path(self, *parts: str) -> Path:
        """Path inside the run directory for what this notebook writes; its folder is made.

        A file, or all files of a folder, for the manifest.

        Raises
        ------
        ValueError
            The path leads out of the run directory.
        """
        path = self._inside(*parts)
        self._made(path)
        return path

    def _inside(self, *parts: str) -> Path:
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
        path = self._inside(*parts)
        if not path.exists():
            raise NotYetMade(
                f"{'/'.join(parts)} is not in {self.folder}: run {made_by} first, with the same "
                f"--profile and --run-dir (bash run_all.sh --only {made_by[:2]})"
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
        return table

    def read_table(self, name: str, made_by: str) -> pd.DataFrame:
        """Read tables/NAME.csv, exactly as written; an index comes back as a column.

        Raises
        ------
        NotYetMade
            The table is not there; names the notebook to run first (`made_by`).
        """
        return read_table(self.find("tables", f"{_plain(name)}.csv", made_by=made_by))

    def kept(self, name: str) -> pd.DataFrame:
        """Read results/long/NAME.csv, the table of a long computation that this run does not redo.

        What made it (results/long/NAME.json: commit, command, seeds, device, time) comes in
        `.attrs["provenance"]`, and its SHA-256 goes into the manifest; "" where it is not there.

        Raises
        ------
        NotYetMade
            The table or its provenance is not there; names the command that makes both.
        """
        table, provenance = (LONG / f"{_plain(name)}.{kind}" for kind in ("csv", "json"))
        self.record(kept={**self._entry().get("kept", {}), name: hash_of_kept(name)})
        for path in (table, provenance):
            if not path.is_file():
                raise NotYetMade(
                    f"there is no {path.relative_to(PROJECT)}: `python -m matgan jobs run {name}` "
                    "makes it (`python -m matgan jobs list` says how long it takes)"
                )
        kept = read_table(table)
        kept.attrs["name"] = name
        kept.attrs["provenance"] = json.loads(provenance.read_text(encoding="utf-8"))
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

    def checkpoint(self, name: str) -> Path:
        """Path checkpoints/NOTEBOOK/NAME for weights and training states.

        A training has its folder for itself, so no two notebooks share one.
        """
        return self.path("checkpoints", self.notebook, name)

    def record(self, **facts: object) -> None:
        """Merge facts about this notebook into manifest.json, with its time and memory so far."""
        so_far = {
            "seconds": round(time.monotonic() - self._opened, 1),
            "peak_memory_mb": round(_peak_memory_mb()),
            "data": dict(sorted(sources.READ.items())),
        }
        update_manifest(self.folder, self.notebook, {**so_far, **facts}, part=self._part)

    @property
    def _part(self) -> str:
        return "by_hand" if self.by_hand else "notebooks"

    def _entry(self) -> dict:
        return read_manifest(self.folder).get(self._part, {}).get(self.notebook, {})

    def _made(self, path: Path) -> None:
        relative = path.relative_to(self.folder).as_posix()
        if relative not in (known := self._entry().get("files", [])):
            self.record(files=sorted([*known, relative]))


def open_run(run_dir: str | os.PathLike[str], notebook: str, seed: int = 0) -> Run:
    """Open a run directory for one notebook: seed everything, start its entry in the manifest.

    Parameters
    ----------
    run_dir : folder of the run, made if it is not there
    notebook : name of the notebook, for example "02_wgan_training"
    seed : given to `set_seed`

    Raises
    ------
    BusyError
        `run_all.sh` is running there.
    """
    set_seed(seed)
    folder = Path(run_dir).resolve()
    by_hand = os.environ.get(RUNNING) != str(folder)
    if by_hand:
        share(folder)  # until the kernel ends
    run = Run(folder, notebook, seed, device(), by_hand)
    facts = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "device": run.device,
        "device_name": _device_name(run.device),
        **git_state(),
    }
    update_manifest(run.folder, notebook, facts, fresh=True, part=run._part)
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
        for entry in [*manifest["notebooks"].values(), *manifest.get("by_hand", {}).values()]:
            for name, kind in (("files", list), ("outputs", dict), ("kept", dict)):
                if not isinstance(entry.get(name, kind()), kind):
                    raise TypeError(f"{name} is no {kind.__name__}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path} is no manifest of a run, or is damaged: choose another folder, or delete it, "
            "and the run starts from its first notebook"
        ) from error
    return manifest


def update_manifest(
    run_dir: Path, notebook: str, facts: dict, *, fresh: bool = False, part: str = "notebooks"
) -> None:
    """Merge facts into one notebook's entry of manifest.json, or with `fresh` replace the entry.

    Several processes may do so at once: a lock file orders them.

    Parameters
    ----------
    run_dir, notebook, facts, fresh : as above
    part : "notebooks", run as a whole, or "by_hand"
    """
    path = Path(run_dir) / MANIFEST
    with FileLock(path.with_name(".manifest.lock")):
        manifest = read_manifest(run_dir)
        entries = manifest.setdefault(part, {})
        if fresh:
            key, environment = _environment()
            manifest.setdefault("environments", {})[key] = environment
            entries[notebook] = {"environment": key}
        entries[notebook] = {**entries.get(notebook, {}), **facts}
        manifest[part] = dict(sorted(entries.items()))
        used = {e.get("environment") for p in SECTIONS for e in manifest.get(p, {}).values()}
        made = manifest.get("environments", {})
        manifest["environments"] = {key: made[key] for key in made if key in used}
        with atomic_file(path) as file:
            text = json.dumps(manifest, indent=2, ensure_ascii=False, default=_as_plain)
            file.write(f"{text}\n".encode())


def written(run_dir: Path, entry: dict) -> dict[str, str]:
    """SHA-256 of each file that a notebook has written: path in the run directory -> digits.

    Parameters
    ----------
    run_dir : folder of the run
    entry : of the notebook in the manifest; its `files` name files and whole folders
    """
    found = {}
    for name in entry.get("files", []):
        place = run_dir / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not path.name.startswith("."):
                found[path.relative_to(run_dir).as_posix()] = sha256(path)
    return found


def damaged(run_dir: Path, entry: dict) -> dict[str, str]:
    """Files of a notebook that are not what it wrote: path -> "missing" or "changed"."""
    return {
        name: "changed" if (run_dir / name).is_file() else "missing"
        for name, digits in entry.get("outputs", {}).items()
        if not (run_dir / name).is_file() or sha256(run_dir / name) != digits
    }


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
def _environment() -> tuple[str, dict]:
    """What a notebook runs on, and a short name of it."""
    installed = {d.name: d.version for d in importlib.metadata.distributions()}
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": dict(sorted(installed.items(), key=lambda item: item[0].lower())),
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12], facts


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


def read_table(path: Path) -> pd.DataFrame:
    """A table of a run or a job as it was written: every digit; only an empty field is a gap.

    ("NaN" and "Na" are formulas.)
    """
    return pd.read_csv(path, float_precision="round_trip", keep_default_na=False, na_values=[""])


def hash_of_kept(name: str) -> str:
    """SHA-256 of the table of a long computation, or "" where it is not there."""
    path = LONG / f"{_plain(name)}.csv"
    return sha256(path) if path.is_file() else ""


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ValueError(f"{name!r} is no name for a file: use letters, digits, '_', '-' and '.'")
    return name
