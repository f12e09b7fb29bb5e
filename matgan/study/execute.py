"""Run the notebooks in order, without a browser: `python -m matgan.study.execute --help`.

Each notebook runs with papermill in a kernel of its own, under the parameters of a profile
(notebooks/profiles.yaml). Running again goes on after the notebooks that already finished with the
same source, parameters and package. Exit status: 0 done, 1 a notebook failed, 2 wrong use or a
run directory in use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import yaml
from filelock import FileLock, Timeout
from nbclient.exceptions import DeadKernelError

from matgan.data.sources import SourceUnavailable, fetch
from matgan.files import atomic_file, half_written
from matgan.learning.compute import DeviceError, device
from matgan.study.run import LONG, PROJECT, RunError, read_manifest, update_manifest

PACKAGE = Path(__file__).resolve().parent.parent


@dataclass
class Notebook:
    """One notebook with the parameters it will get (without run_dir, which fixes no result)."""

    path: Path
    parameters: dict

    @property
    def name(self) -> str:
        """Name of the file without its ending, for example "01_data_curation"."""
        return self.path.stem


def main(arguments: list[str] | None = None, project: Path = PROJECT) -> int:
    """Run the notebooks of a project as the command line says; returns the exit status."""
    options = _options(arguments)
    try:
        profile = options.profile or ("full" if device() == "cuda" else "laptop")
        notebooks = plan(project / "notebooks", profile, options.only, options.parameter)
        run_dir = (options.run_dir or project / "runs" / profile).resolve()
        if options.list:
            _print_list(notebooks, run_dir)
            return 0
        run_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(run_dir / ".lock", timeout=0):
            status = _run_all(notebooks, run_dir, options.force, options.publish and project)
            if options.report:
                from matgan.study.site import build_site  # only a report needs what it imports

                print(f"Site: {build_site(run_dir)}")
            return status
    except Timeout:
        print(f"Another run is using {run_dir}: wait for it or choose another --run-dir.")
        return 2
    except (RunError, DeviceError) as error:
        print(error)
        return 2
    except OSError as error:  # a read-only or full disk
        print(f"The run cannot go on: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Running the same command again goes on after the last notebook done.")
        return 130


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bash run_all.sh", description="Run the notebooks of the study in order."
    )
    add = parser.add_argument
    add("--profile", help="smoke, laptop or full (default: full with CUDA, else laptop)")
    add("--only", nargs="+", metavar="NN", default=[], help="only these notebooks, e.g. 02 03")
    add("--force", action="store_true", help="run what is already done once more")
    add(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of the notebooks that declare it; may be given several times",
    )
    add("--run-dir", type=_folder, metavar="DIR", help="where results go (default: runs/PROFILE)")
    add(
        "--publish",
        action="store_true",
        help="copy figures and tables into figures/ at the end",
    )
    add("--report", action="store_true", help="build a web site of the run, site/index.html")
    add("--list", action="store_true", help="show notebooks, parameters and state; run nothing")
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    if not text:  # Path("") would be the current folder
        raise argparse.ArgumentTypeError("the name is empty (an unset variable?)")
    return Path(text)


# --- what to run ----------------------------------------------------------------------------------


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
        Unknown profile, notebook or parameter, or a value of another type than the default's;
        names it.
    """
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


def fingerprint(notebook: Notebook, earlier: list[str]) -> str:
    """SHA-256 of all that decides a notebook's results.

    Its cells, its parameters, the tables of long computations that it reads, the package (with its
    pretrained weights), and the fingerprints of the notebooks before it.
    """
    digest = hashlib.sha256()
    cells = nbformat.read(notebook.path, as_version=4).cells
    digest.update(json.dumps([[cell.cell_type, cell.source] for cell in cells]).encode())
    digest.update(json.dumps(notebook.parameters, sort_keys=True).encode())
    for name in sorted(set(re.findall(r'\bkept\("([\w.-]+)"', "\n".join(c.source for c in cells)))):
        table = LONG / f"{name}.csv"
        digest.update(table.read_bytes() if table.is_file() else b"")
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(" ".join(earlier).encode())
    return digest.hexdigest()


def _fingerprint_in(notebook: Notebook, manifest: dict) -> str:
    entries = manifest["notebooks"]
    earlier = [name for name in sorted(entries) if name < notebook.name]
    return fingerprint(notebook, [entries[name].get("fingerprint", "") for name in earlier])


def _is_done(notebook: Notebook, run_dir: Path, manifest: dict) -> bool:
    entry = manifest["notebooks"].get(notebook.name, {})
    files = [f"{notebook.name}.ipynb", *entry.get("files", [])]
    return (
        entry.get("status") == "ok"
        and entry.get("fingerprint") == _fingerprint_in(notebook, manifest)
        and all((run_dir / file).exists() for file in files)
    )


# --- running it -----------------------------------------------------------------------------------


def _run_all(notebooks: list[Notebook], run_dir: Path, force: bool, publish: Path | None) -> int:
    _prepare_environment()
    _remove_half_written(run_dir)
    rows = [[notebook.name, "not run", ""] for notebook in notebooks]
    for number, (notebook, row) in enumerate(zip(notebooks, rows, strict=True), 1):
        manifest = read_manifest(run_dir)
        if not force and _is_done(notebook, run_dir, manifest):
            row[1] = "skipped (already done)"
            row[2] = f"({_clock(manifest['notebooks'][notebook.name]['wall_seconds'])})"
            continue
        print(f"[{number}/{len(notebooks)}] {notebook.name}", flush=True)
        start = time.monotonic()
        failure = _run_one(notebook, run_dir)
        row[1], row[2] = "failed" if failure else "ok", _clock(time.monotonic() - start)
        if failure:
            print(failure)
            break
    failed = any(row[1] == "failed" for row in rows)
    if publish and not failed:
        _publish(run_dir, publish / "figures")
    print()
    for name, result, clock in rows:
        print(f"  {name:32} {result:24} {clock:>8}")
    print(f"Results: {run_dir} (executed notebooks, tables, figures, manifest.json)")
    return int(failed)


def _remove_half_written(run_dir: Path) -> None:
    """Remove what a run that was killed while it wrote has left; the caller holds the lock."""
    if read_manifest(run_dir)["notebooks"]:  # else the folder may be anyone's
        for file in half_written(run_dir):
            file.unlink(missing_ok=True)


def _prepare_environment() -> None:
    """What the kernels need from the environment, whatever folder the command was given in."""
    for name in ("MATGAN_DATA", "MATGAN_CACHE"):  # kernels start in notebooks/
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).resolve())
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    # the kernel python3 of this environment, not one of the same name in the home folder
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    # On a few shared cores, torch's threads wait for each other more than they work: two threads
    # were several times slower than one.
    if device() == "cpu" and (os.cpu_count() or 1) <= 4:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def _run_one(notebook: Notebook, run_dir: Path) -> str:
    """Execute a notebook; returns an empty string, or what to tell about its failure."""
    result = run_dir / f"{notebook.name}.ipynb"
    running = run_dir / f"{notebook.name}.running.ipynb"
    update_manifest(run_dir, notebook.name, {"status": "started"}, fresh=True)
    mark = _fingerprint_in(notebook, read_manifest(run_dir))
    start = time.monotonic()
    failure = ""
    try:
        papermill.execute_notebook(
            without_unreachable(nbformat.read(notebook.path, as_version=4)),
            # papermill formats paths with str.format
            str(running).replace("{", "{{").replace("}", "}}"),
            {**notebook.parameters, "run_dir": str(run_dir)},
            kernel_name="python3",
            language="python",
            extra_arguments=["--log-level=50"],  # a kernel's own log says nothing to a reader
            cwd=notebook.path.parent,
            progress_bar={"desc": notebook.name, "disable": None},  # a bar on a terminal only
            stderr_file=sys.stderr if sys.stderr.isatty() else None,  # progress of long cells
        )
    except papermill.PapermillExecutionError as error:
        message = f"{error.ename}: {error.evalue.strip()[:2000]}"
        if error.ename == "OutOfMemoryError":
            message += "\nThe GPU's memory is full: a smaller batch_size (-p batch_size N, where "
            message += "the notebook has it) or MATGAN_DEVICE=cpu helps."
        failure = _tell(notebook, result, f"In [{error.exec_count}]", error.source, message)
    except DeadKernelError:
        message = "The kernel died: out of memory, or killed from outside."
        failure = _tell(notebook, result, *_last_started(running), message)
    finally:
        if running.exists():
            os.replace(running, result)
    facts = {
        "status": "failed" if failure else "ok",
        "wall_seconds": round(time.monotonic() - start, 1),
        "fingerprint": mark,
        "parameters": notebook.parameters,
    }
    update_manifest(run_dir, notebook.name, facts)
    return failure


def _tell(notebook: Notebook, result: Path, cell: str, source: str, message: str) -> str:
    lines = source.strip().splitlines()
    shown = [f"    {line}" for line in lines[:4]] + ["    …"] * (len(lines) > 4)
    return "\n".join(
        [
            f"{notebook.name} failed in cell {cell}:",
            *shown,
            message,
            f"The executed notebook, with the whole traceback: {result}",
            "When the cause is mended, the same command goes on from this notebook.",
        ]
    )


def _last_started(path: Path) -> tuple[str, str]:
    """Label and source of the code cell that ran last."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    started = [cell for cell in cells if cell.metadata.papermill.get("start_time")] or cells[:1]
    return f"In [{len(started)}]", started[-1].source


def _publish(run_dir: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    published = ("figures/*.png", "figures/*.html", "tables/*.csv")
    for file in [file for pattern in published for file in run_dir.glob(pattern)]:
        with atomic_file(target / file.name) as copy:
            copy.write(file.read_bytes())


def _print_list(notebooks: list[Notebook], run_dir: Path) -> None:
    manifest = read_manifest(run_dir)
    for notebook in notebooks:
        state = "done" if _is_done(notebook, run_dir, manifest) else "to run"
        print(f"{notebook.name:32} {state}")
        for name, value in notebook.parameters.items():
            print(f"    {name} = {value!r}")
    print(f"Run directory: {run_dir}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    sys.exit(main())

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
