"""Run the notebooks in order, without a browser: `python -m matgan run --help`.

Each notebook runs with papermill in a kernel of its own, under the parameters of a profile
(notebooks/profiles.yaml). Running again goes on after the notebooks that already finished with the
same source, parameters and package. Exit status: 0 done, 1 a notebook failed, 2 wrong use or a
run directory in use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
import papermill
from filelock import FileLock, Timeout
from nbclient.exceptions import DeadKernelError

from matgan.data.sources import SourceUnavailable, fetch
from matgan.files import atomic_file, half_written
from matgan.learning.compute import DeviceError, device
from matgan.study.plan import Notebook, fingerprint, plan
from matgan.study.run import (
    MANIFEST,
    PROJECT,
    RunError,
    read_manifest,
    update_manifest,
)


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
        prog="python -m matgan run",
        description="Run the notebooks of the study in order. `bash run_all.sh` with the same "
        "options makes the environment first.",
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
        help="copy figures into figures/, tables and manifest into results/ at the end",
    )
    add("--report", action="store_true", help="build a web site of the run, site/index.html")
    add("--list", action="store_true", help="show notebooks, parameters and state; run nothing")
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    if not text:  # Path("") would be the current folder
        raise argparse.ArgumentTypeError("the name is empty (an unset variable?)")
    return Path(text)


# --- what is done ------------------------------------------------------------------------------


def _is_done(notebook: Notebook, run_dir: Path, manifest: dict) -> bool:
    entry = manifest["notebooks"].get(notebook.name, {})
    files = [f"{notebook.name}.ipynb", *entry.get("files", [])]
    return (
        entry.get("status") == "ok"
        and entry.get("fingerprint") == fingerprint(notebook, manifest)
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
        _publish(run_dir, publish)
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
    before = read_manifest(run_dir)
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
        "fingerprint": fingerprint(notebook, before),
        "results": fingerprint(notebook, before, drawing=False),
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


def _publish(run_dir: Path, project: Path) -> None:
    """Pictures and maps into figures/, tables and the manifest into results/."""
    for target, pattern in (
        ("figures", "figures/*.png"),
        ("figures", "figures/*.html"),
        ("results/tables", "tables/*.csv"),
        ("results", MANIFEST),
    ):
        (project / target).mkdir(parents=True, exist_ok=True)
        for file in run_dir.glob(pattern):
            with atomic_file(project / target / file.name) as copy:
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
