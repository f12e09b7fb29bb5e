"""Long computations: named, resumable, side by side; each leaves a table and its provenance.

A job is cut into pieces that need nothing of each other, such as one training each. What a piece
found is kept at once under runs/jobs, so that a job that was killed goes on with the pieces that
are missing; trainings keep their checkpoints there. After every piece the table of those that are
done is written to results/long/NAME.csv and how it was made to NAME.json. Where runs/jobs lacks a
piece that the table has, as in a fresh clone, its rows are taken from the table.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from matgan.data.sources import SOURCES
from matgan.files import atomic_file
from matgan.study.fingerprint import decides, digest, reached, versions
from matgan.study.jobs.pieces import LOCK, Piece, do_piece, do_piece_of
from matgan.study.run import LONG, PROJECT, RunError, hash_of_kept, read_table

# with a list JOBS
MODULES = tuple(
    f"matgan.study.jobs.{part}.{name}"
    for part, names in {
        "paper": ("wgan", "table4", "elements", "compositions_seen", "generators"),
        "compositions": (
            "benchmark",
            "predict",
            "encoders",
            "tasks",
            "leaderboards",
            "transfer",
            "elemnet",
            "semi_supervised",
        ),
        "uncertainty": ("uncertainty", "active_learning", "explanations"),
        "stability": ("stable", "neighbourhoods", "published", "unseen", "systems", "bartel"),
        "powder": ("material", "patterns", "properties", "latent", "lattice", "measured"),
        "microstructure": (
            "labels",
            "homogenisation",
            "localisation",
            "images",
            "absorption",
            "design",
            "transfer",
            "reconstruction",
        ),
        "crystals": (
            "descriptors",
            "structures",
            "sites",
            "site_ranking",
            "graphs",
            "moduli",
            "energies",
        ),
    }.items()
    for name in names
)
WORK = PROJECT / "runs" / "jobs"  # checkpoints and what pieces found


@dataclass(frozen=True)
class Job:
    """One long computation.

    Attributes
    ----------
    name : of its table in results/long and of its folder
    what : one line for a reader
    core_hours : estimate for all pieces on one core of a current server
    pieces : gives key -> function, in the order in which they should run. A function takes a folder
        of its own and gives rows of the table. It must be one that a process can be sent:
        defined in a module, its arguments bound by functools.partial.
    leaves_files : whether pieces leave files in their folders that other jobs need, or the keys of
        those that do; of these a piece of which only the rows are left is done again
    last : keys of the pieces that need what the others leave
    reads : jobs whose tables in results/long decide something here, such as searched rates
    """

    name: str
    what: str
    core_hours: float
    pieces: Callable[[], dict[str, Piece]]
    leaves_files: bool | frozenset[str] = False
    last: frozenset[str] = frozenset()
    reads: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Of the code that the job reaches, the weights, the hashes of the data, what it reads."""
        code = digest(decides(reached(f"import {self.pieces.__module__}")))
        tables = "".join(map(hash_of_kept, self.reads))
        return hashlib.sha256((code + tables).encode()).hexdigest() if self.reads else code


def known_jobs() -> dict[str, Job]:
    """Every job by its name; those that need a package which is not here are said to be left out.

    A machine that only trains lacks what other jobs need.
    """
    jobs: list[Job] = []
    for module in MODULES:
        try:
            jobs += importlib.import_module(module).JOBS
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "matgan":
                raise
            print(f"without the jobs of {module}: it needs {error.name}", file=sys.stderr)
    return {job.name: job for job in jobs}


def finished(job: Job) -> dict[str, dict]:
    """What the finished pieces left: key -> facts, among them rows; in the order of the pieces."""
    done = {}
    for key in job.pieces():
        path = WORK / job.name / key / "done.json"
        if path.is_file():
            done[key] = json.loads(path.read_text(encoding="utf-8"))
    return done


def take_over(job: Job) -> list[str]:
    """Finish the pieces that only the table in results/long has, with its rows; their keys.

    A piece that was begun here is left as it is.

    Raises
    ------
    RunError
        The table has not as many rows as its pieces left.
    """
    path = LONG / f"{job.name}.json"
    if job.leaves_files is True or not path.is_file():
        return []
    pieces, taken = job.pieces().keys() - (job.leaves_files or ()), []
    WORK.mkdir(parents=True, exist_ok=True)
    with FileLock(WORK / f".{job.name}.lock"):  # another call may write the table
        for key, facts in () if _anew(job).is_file() else pieces_of_table(path):
            there = WORK / job.name / key
            if key not in pieces or (there / "done.json").exists() or (there / LOCK).exists():
                continue
            there.mkdir(parents=True, exist_ok=True)
            with atomic_file(there / "done.json") as file:
                file.write(json.dumps(facts, default=float).encode())
            taken.append(key)
    return taken


def pieces_of_table(path: Path) -> Iterator[tuple[str, dict]]:
    """Key and facts, rows included, of each piece that a table's provenance (`path`) counts."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    facts_of = kept.get("pieces", {})
    counts = [facts.get("rows") for facts in facts_of.values()]
    if not counts or None in counts:  # made before pieces counted their rows
        return
    table = read_table(path.with_suffix(".csv")) if sum(counts) else pd.DataFrame()
    if len(table) != sum(counts):
        raise RunError(
            f"{path.with_suffix('.csv')} has {len(table)} rows, its pieces left {sum(counts)}: "
            "restore both files, or start anew with --fresh"
        )
    for (key, facts), count, end in zip(facts_of.items(), counts, np.cumsum(counts), strict=True):
        rows = table.iloc[end - count : end].to_dict("records")
        # every column in every row: the columns keep their order
        facts.setdefault("fingerprint", kept.get("fingerprint", ""))
        facts |= {"rows": [{k: None if pd.isna(v) else v for k, v in r.items()} for r in rows]}
        yield key, facts


def state(job: Job) -> tuple[str, int, int]:
    """What `jobs list` says of a job: "done", "stale", "partly" or "missing"; pieces done, of all.

    The published table decides; "stale" means that code which the job reaches has changed since a
    piece was done, or that something else made the table, before there was the job.
    """
    total = len(job.pieces())
    path = LONG / f"{job.name}.json"
    if not path.is_file():
        return "missing", len(finished(job)), total
    provenance = json.loads(path.read_text(encoding="utf-8"))
    done = len(provenance.get("pieces", ()))  # none: made before it was a job
    if provenance.get("fingerprint") != job.fingerprint:
        return "stale", done, total
    return ("done" if done >= total else "partly"), done, total


def stale_jobs() -> dict[str, str]:
    """Jobs that are not done by the present code and data, and what `jobs list` says of them."""
    states = {name: state(job)[0] for name, job in known_jobs().items()}
    return {name: known for name, known in states.items() if known != "done"}


def run_job(
    job: Job,
    workers: int = 1,
    scheduler: str | None = None,
    hours: float = float("inf"),
    fresh: bool = False,
) -> bool:
    """Do the pieces that are missing, and write the table after each.

    Parameters
    ----------
    job : what to compute
    workers : pieces at a time on this machine, one thread each
    scheduler : address of a Dask scheduler; its workers do the pieces, and see the same folder
    hours : no piece starts after so many
    fresh : forget what earlier runs found, finished or not

    Returns
    -------
    bool : whether every piece is done

    Notes
    -----
    Several calls may work on one job at the same time: a piece that another one has is left to it.
    A table in results/long is replaced when as many of the pieces are there as it holds. Pieces of
    other code are kept, and the job stays "stale", until it is run with `fresh`.
    """
    if fresh:
        shutil.rmtree(WORK / job.name, ignore_errors=True)
        (WORK / job.name).mkdir(parents=True)
        _anew(job).touch()
    elif taken := take_over(job):
        print(f"{job.name}: {len(taken)} pieces taken from {LONG / job.name}.csv", flush=True)
    pieces = job.pieces()
    done = finished(job)
    todo = {key: piece for key, piece in pieces.items() if key not in done}
    started, deadline = time.monotonic(), time.monotonic() + 3600 * hours
    code, published = job.fingerprint, _published(job)
    needed = min(len(published), len(pieces))  # some may be called otherwise now
    if done.keys() - published and len(done) >= needed:
        _write(job)
    run = _on_cluster(scheduler) if scheduler else _on_this_machine(workers)
    first = {key: piece for key, piece in todo.items() if key not in job.last}
    last = {key: piece for key, piece in todo.items() if key in job.last}
    for key in chain.from_iterable(
        run(WORK / job.name, part, deadline, code) for part in (first, last) if part
    ):
        facts = finished(job)
        if len(facts) >= needed:
            _write(job)
        spent = sum(fact["seconds"] for fact in facts.values()) / 3600
        left = spent / len(facts) * (len(pieces) - len(facts))
        print(
            f"{job.name}: {key} done, {len(facts)} of {len(pieces)} pieces, "
            f"{(time.monotonic() - started) / 3600:.2f} h so far, about {left:.2f} core-hours left",
            flush=True,
        )
    return len(finished(job)) == len(pieces)


def _anew(job: Job) -> Path:
    """There while a job that was started anew must not go on from the published table."""
    return WORK / job.name / "anew"


def _published(job: Job) -> set[str]:
    """The pieces that the table in results/long holds: all where it does not say which."""
    path = LONG / f"{job.name}.json"
    if not path.is_file():
        return set()
    kept = json.loads(path.read_text(encoding="utf-8"))
    if "pieces" not in kept:
        return set(job.pieces()) if kept.get("complete", True) else set()
    return set(kept["pieces"])


# of the folder, the pieces, the deadline and the fingerprint of the code
Runner = Callable[[Path, dict[str, Piece], float, str], Iterator[str]]


def _on_this_machine(workers: int) -> Runner:
    def run(work: Path, todo: dict[str, Piece], deadline: float, code: str) -> Iterator[str]:
        from joblib import Parallel, delayed

        here = os.getpid()
        calls = (delayed(do_piece_of)(here, work, *item, deadline, code) for item in todo.items())
        keys = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(calls)
        yield from (key for key in keys if key)

    return run


def _on_cluster(address: str) -> Runner:
    def run(work: Path, todo: dict[str, Piece], deadline: float, code: str) -> Iterator[str]:
        from dask.distributed import Client, as_completed

        with Client(address) as client:
            # a deadline by this machine's clock means nothing on another
            futures = [
                client.submit(do_piece, work, *item, float("inf"), code, pure=False)
                for item in todo.items()
            ]
            for future in as_completed(futures):
                if key := future.result():
                    yield key
                if time.monotonic() > deadline:
                    client.cancel(futures)
                    return

    return run


def _write(job: Job) -> None:
    """Write the table of the finished pieces; another call may have finished some in between."""
    with FileLock(WORK / f".{job.name}.lock"):
        _write_table(job, finished(job))


def _write_table(job: Job, done: dict[str, dict]) -> None:
    rows = [row for facts in done.values() for row in facts["rows"]]
    total, codes = len(job.pieces()), {facts.get("fingerprint", "") for facts in done.values()}
    provenance = {
        "job": job.name,
        "what": job.what,
        "command": f"python -m matgan jobs run {job.name}",
        "commit": sorted({facts.get("commit", "") for facts in done.values()}),
        "device": sorted({facts["device"] for facts in done.values()}),
        "seeds": sorted({row["seed"] for row in rows if row.get("seed") is not None}),
        "complete": len(done) == total,
        "pieces_in_all": total,
        "core_hours": round(sum(facts["seconds"] for facts in done.values()) / 3600, 3),
        "fingerprint": codes.pop() if len(codes) == 1 else "several",
        "python": sys.version.split()[0],
        "packages": versions(),
        "data": {source.file: source.sha256 for source in SOURCES.values()},
        "pieces": {key: facts | {"rows": len(facts["rows"])} for key, facts in done.items()},
    }
    LONG.mkdir(parents=True, exist_ok=True)
    with atomic_file(LONG / f"{job.name}.csv") as file:
        pd.DataFrame(rows).to_csv(file, index=False, lineterminator="\n")
    with atomic_file(LONG / f"{job.name}.json") as file:
        file.write((json.dumps(provenance, indent=1) + "\n").encode())
    _anew(job).unlink(missing_ok=True)
