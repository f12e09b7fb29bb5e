"""The command of the long computations: `python -m matgan jobs list`, `… run NAME`, `… check`."""

from __future__ import annotations

import argparse
import os
import time

from matgan.study.jobs.check import check_job
from matgan.study.jobs.runner import Job, known_jobs, run_job, state
from matgan.study.run import RunError


def main(arguments: list[str] | None = None) -> int:
    """`python -m matgan jobs`: 0 when all that was asked for is done, 1 when something is left.

    `check` gives 1 when a piece that was done anew differs from what the table holds.
    """
    parser = argparse.ArgumentParser(
        prog="python -m matgan jobs", description="Long computations behind results/long."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every job: done, stale, partly or missing, and its estimate")
    run = commands.add_parser("run", help="do what is missing of one or more jobs")
    run.add_argument("names", nargs="*", metavar="NAME")
    run.add_argument("--all", action="store_true", help="every job that is not done")
    run.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="pieces at a time")
    run.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, tcp://host:port")
    run.add_argument("--hours", type=float, default=float("inf"), help="start nothing after these")
    run.add_argument("--fresh", action="store_true", help="forget what is there and start anew")
    check = commands.add_parser(
        "check", help="do a piece of a job anew, by today's code, and compare with its table"
    )
    check.add_argument("names", nargs="*", metavar="NAME")
    check.add_argument("--all", action="store_true", help="every job that has a table")
    check.add_argument("--seconds", type=float, default=60.0, help="the longest piece to do anew")
    options = parser.parse_args(arguments)
    jobs = known_jobs()
    if options.command == "list":
        _print_list(jobs)
        return 0
    names = list(jobs) if options.all else options.names
    if unknown := [name for name in names if name not in jobs]:
        raise RunError(f"there is no job {unknown[0]!r}; there are {', '.join(jobs)}")
    if not names:
        raise RunError(f"name a job, or --all; there are {', '.join(jobs)}")
    chosen = [jobs[name] for name in names]
    return (_check if options.command == "check" else _run)(chosen, options)


def _run(chosen: list[Job], options: argparse.Namespace) -> int:
    if options.workers < 1:
        raise RunError(f"--workers must be 1 or more, not {options.workers}")
    if not options.hours > 0:
        raise RunError(f"--hours must be above 0, not {options.hours:g}")
    end = time.monotonic() + 3600 * options.hours
    try:
        complete = [
            run_job(
                job,
                options.workers,
                options.scheduler,
                max(0.0, (end - time.monotonic()) / 3600),
                options.fresh,
            )
            for job in chosen
            if not options.all or state(job)[0] != "done"
        ]
    except KeyboardInterrupt:
        told = "Interrupted. The same command goes on with what is missing."
        raise KeyboardInterrupt(told) from None
    return 0 if all(complete) else 1


def _check(chosen: list[Job], options: argparse.Namespace) -> int:
    if not options.seconds > 0:
        raise RunError(f"--seconds must be above 0, not {options.seconds:g}")
    differs = False
    for job in chosen:
        found = check_job(job, options.seconds)
        if found.verdict == "not checked" and options.all and not found.piece:
            continue
        differs |= found.verdict == "differs"
        line = (
            f"{job.name:28} {found.verdict:12} {found.seconds:4.0f} s  {found.piece:44} {found.why}"
        )
        print(line, flush=True)
    return int(differs)


def _print_list(jobs: dict[str, Job]) -> None:
    for job in jobs.values():
        word, done, total = state(job)
        left = job.core_hours * (total - done) / total
        hours = "" if word == "done" else f"about {left:.1f} of {job.core_hours:g} core-hours left"
        if word == "stale" and done == total:
            hours = f"{job.core_hours:g} core-hours with --fresh"
        print(f"{job.name:28} {word:8} {done:>3} of {total:<3} {hours:32} {job.what}")
