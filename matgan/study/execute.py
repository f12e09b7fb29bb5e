"""Run the notebooks in order, without a browser: `python -m matgan run --help`.

Each notebook runs with papermill in a kernel of its own, under the parameters of a profile
(notebooks/profiles.yaml). Running again goes on after the notebooks that already finished with the
same source, parameters and package. Exit status: 0 done, 1 a notebook failed, 2 wrong use or a
run directory in use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError

from matgan.files import BusyError, atomic_file, locked, sha256
from matgan.learning.compute import DeviceError, device
from matgan.study.jobs.runner import stale_jobs
from matgan.study.plan import (
    DONE,
    NEW,
    Notebook,
    check_folder,
    fingerprint,
    next_one,
    plan,
    remove_half_written,
    set_aside,
    state,
    unsound,
    without_unreachable,
)
from matgan.study.run import (
    MANIFEST,
    PROJECT,
    RUNNING,
    RunError,
    read_manifest,
    update_manifest,
    written,
)

ALLOWANCES = ("laptop", "parameters", "stale-jobs")  # published in spite of, and said
EVIDENCE = (
    ("figures", "figures/*.png"),
    ("figures", "figures/*.html"),
    ("results/tables", "tables/*.csv"),
)
INTERRUPTED = "\nInterrupted. The same command goes on after the last notebook that was done."


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
        check_folder(run_dir, options.force)
        if options.publish:  # before hours are spent
            _refuse(_faults_of_plan(profile, stale_jobs(), options.allow))
        with locked(run_dir):
            status = _run_all(notebooks, run_dir, options.force, options.workers)
            if options.publish and not status:
                publish(run_dir, project, profile, options.allow)
            if options.report:
                from matgan.study.site import build_site  # only a report needs what it imports

                print(f"Site: {build_site(run_dir)}")
            return status
    except BusyError:
        print(
            f"Another run is using {run_dir}, or JupyterLab has a notebook of it open: wait for "
            "it, shut its kernel down, or choose another --run-dir."
        )
        return 2
    except (RunError, DeviceError) as error:
        print(error)
        return 2
    except OSError as error:  # a read-only or full disk
        print(f"The run cannot go on: {error}")
        return 1
    except KeyboardInterrupt:
        print(INTERRUPTED)
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
    add("--workers", type=_number, default=1, metavar="N", help="notebooks at a time (default: 1)")
    add("--run-dir", type=_folder, metavar="DIR", help="where results go (default: runs/PROFILE)")
    add(
        "--publish",
        action="store_true",
        help="copy figures into figures/, tables and manifest into results/ at the end, if all "
        "notebooks ran under the profile full on one commit and every job is current",
    )
    add(
        "--allow",
        nargs="+",
        choices=ALLOWANCES,
        default=[],
        help="what else may be published; the published manifest tells",
    )
    add("--report", action="store_true", help="build a web site of the run, site/index.html")
    add("--list", action="store_true", help="show notebooks, parameters and state; run nothing")
    return parser.parse_args(arguments)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"1 or more, not {text!r}")
    return int(text)


def _folder(text: str) -> Path:
    if not text:  # Path("") would be the current folder
        raise argparse.ArgumentTypeError("the name is empty (an unset variable?)")
    return Path(text)


# --- running it -----------------------------------------------------------------------------------


def _run_all(notebooks: list[Notebook], run_dir: Path, force: bool, workers: int) -> int:
    _prepare_environment()
    remove_half_written(run_dir)
    rows = {notebook.name: ["not run", ""] for notebook in notebooks}
    left, busy = list(notebooks), dict[Future[tuple[str, float]], Notebook]()
    os.environ[RUNNING] = str(run_dir)
    with ThreadPoolExecutor(workers) as pool:
        try:
            while left or busy:
                while len(busy) < workers and (notebook := next_one(left, busy.values())):
                    left.remove(notebook)
                    manifest = read_manifest(run_dir)
                    known = state(notebook, run_dir, manifest)
                    if not force and known == DONE:
                        seconds = manifest["notebooks"][notebook.name]["wall_seconds"]
                        rows[notebook.name] = ["skipped (already done)", f"({_clock(seconds)})"]
                        continue
                    again = f" again: {known}" if known not in (DONE, NEW) else ""
                    number = f"[{notebooks.index(notebook) + 1}/{len(notebooks)}]"
                    print(f"{number} {notebook.name}{again}", flush=True)
                    given = (notebook, run_dir, manifest, workers == 1)
                    busy[pool.submit(_attempt, *given) if workers > 1 else _here(*given)] = notebook
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    notebook, (failure, seconds) = busy.pop(future), future.result()
                    rows[notebook.name] = ["failed" if failure else "ok", _clock(seconds)]
                    if failure:
                        print(failure, flush=True)
                        left.clear()
        except KeyboardInterrupt:
            if busy:  # in threads, which know no interrupt: their kernels end with this process
                print(INTERRUPTED, flush=True)
                os._exit(130)
            raise
        finally:
            del os.environ[RUNNING]
    print()
    for name, (result, clock) in rows.items():
        print(f"  {name:32} {result:24} {clock:>8}")
    print(f"Results: {run_dir} (executed notebooks, tables, figures, manifest.json)")
    return int(any(result == "failed" for result, _ in rows.values()))


def _attempt(notebook: Notebook, run_dir: Path, manifest: dict, alone: bool) -> tuple[str, float]:
    """Execute a notebook: an empty string, or what to tell about its failure; seconds."""
    set_aside(run_dir, manifest["notebooks"].get(notebook.name, {}))
    start = time.monotonic()
    failure = unsound(notebook, run_dir, manifest) or _run_one(notebook, run_dir, alone)
    return failure, time.monotonic() - start


def _here(*given) -> Future[tuple[str, float]]:
    """The same in this thread, which an interrupt stops, kernel and all."""
    future: Future[tuple[str, float]] = Future()
    future.set_result(_attempt(*given))
    return future


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


def _run_one(notebook: Notebook, run_dir: Path, alone: bool) -> str:
    """Execute a notebook; returns an empty string, or what to tell about its failure.

    One that runs alone may draw its progress on a terminal.
    """
    result = run_dir / f"{notebook.name}.ipynb"
    running = run_dir / f"{notebook.name}.running.ipynb"
    update_manifest(run_dir, notebook.name, {"status": "started"}, fresh=True)
    before = read_manifest(run_dir)
    facts: dict[str, object] = {
        "fingerprint": fingerprint(notebook, before),
        "results": fingerprint(notebook, before, drawing=False),
        "parameters": notebook.parameters,
    }
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
            # on a terminal only: a bar, and the progress of long cells
            progress_bar={"desc": notebook.name, "disable": None} if alone else False,
            stderr_file=sys.stderr if alone and sys.stderr.isatty() else None,
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
    entry = read_manifest(run_dir)["notebooks"].get(notebook.name, {})
    files = [result.name, *entry.get("files", [])]
    facts |= {
        "status": "failed" if failure else "ok",
        "wall_seconds": round(time.monotonic() - start, 1),
        "outputs": written(run_dir, {"files": files}),
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


def _print_list(notebooks: list[Notebook], run_dir: Path) -> None:
    manifest = read_manifest(run_dir)
    for notebook in notebooks:
        known = state(notebook, run_dir, manifest)
        print(f"{notebook.name:32} {known if known == DONE else f'to run: {known}'}")
        for name, value in notebook.parameters.items():
            print(f"    {name} = {value!r}")
    print(f"Run directory: {run_dir}")


# --- publishing ---------------------------------------------------------------------------------


def publish(run_dir: Path, project: Path, profile: str, allowed: Sequence[str] = ()) -> None:
    """Pictures and maps into figures/, tables and the manifest into results/: all, or no file.

    The published manifest tells, under "published", the profile, the commit, what was allowed
    beyond the rule, which jobs were not current, and the SHA-256 of every file. What an earlier
    publication wrote and this run does not is removed.

    Raises
    ------
    RunError
        The run is no evidence: of the profile smoke, or of laptop without its allowance; a notebook
        that is not done, or whose outputs are not what it wrote; several commits, or changes to
        one; parameters of their own, or jobs that are not current, without their allowances.
    """
    notebooks = plan(project / "notebooks", profile)
    manifest, stale = read_manifest(run_dir), stale_jobs()
    entries = {n.name: manifest["notebooks"].get(n.name, {}) for n in notebooks}
    _refuse(_faults_of_plan(profile, stale, allowed))
    _refuse(_faults_of_run(notebooks, run_dir, manifest, allowed))
    files = {
        f"{folder}/{file.name}": file
        for folder, pattern in EVIDENCE
        for file in sorted(run_dir.glob(pattern))
        if any(
            file.relative_to(run_dir).as_posix() in entry["outputs"] for entry in entries.values()
        )
    }
    manifest = {"environments": manifest["environments"], "notebooks": entries}
    manifest["published"] = {
        "profile": profile,
        "commit": entries[notebooks[0].name]["commit"],
        "allowed": sorted(allowed),
        "stale_jobs": stale,
        "files": {name: sha256(file) for name, file in files.items()},
    }
    before = read_manifest(project / "results").get("published", {}).get("files", {})
    with ExitStack() as stack:  # all are written, then all are renamed
        for name, file in files.items():
            stack.enter_context(atomic_file(project / name)).write(file.read_bytes())
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        stack.enter_context(atomic_file(project / "results" / MANIFEST)).write(text.encode())
    for name in before.keys() - files.keys():
        if (old := project / name).is_file() and sha256(old) == before[name]:
            old.unlink()


def _refuse(faults: Iterable[str]) -> None:
    if faults := list(faults):
        raise RunError("Nothing is published:\n" + "\n".join(f"  {fault}" for fault in faults))


def _faults_of_plan(profile: str, stale: dict[str, str], allowed: Sequence[str]) -> Iterator[str]:
    if profile != "full" and profile not in allowed:
        allow = f" (--allow {profile})" if profile in ALLOWANCES else ""
        yield f"the profile is {profile}, not full{allow}"
    if stale and "stale-jobs" not in allowed:
        yield f"jobs that are not current: {', '.join(stale)} (--allow stale-jobs)"


def _faults_of_run(
    notebooks: list[Notebook], run_dir: Path, manifest: dict, allowed: Sequence[str]
) -> Iterator[str]:
    commits, changed = set(), []
    for notebook in notebooks:
        entry = manifest["notebooks"].get(notebook.name, {})
        given = entry.get("parameters", notebook.parameters)
        others = sorted(n for n in given if given[n] != notebook.parameters.get(n))
        if "profile" in others:
            yield f"{notebook.name} ran under the profile {given['profile']}"
        elif others and "parameters" not in allowed:
            yield f"{notebook.name} has other parameters, {', '.join(others)} (--allow parameters)"
        known = state(Notebook(notebook.path, given), run_dir, manifest)
        if known != DONE:
            yield f"{notebook.name}: {known}"
        elif entry.get("changed", True):
            changed.append(notebook.name)
        commits.add(entry.get("commit", "none")[:7])
    if len(commits) > 1 or "none" in commits:
        yield f"the commits are {', '.join(sorted(commits))}: --force runs all notebooks on one"
    if changed:
        yield f"files differed from the commit when {', '.join(changed)} ran: commit, then --force"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
