"""A long computation: where it runs, its learning rate, its progress, Ctrl-C, full memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import Literal, get_args

import numpy as np
import torch

Precision = Literal["float32", "bfloat16"]  # of the matrix products of a training
DEVICES = ("auto", "cpu", "cuda")
_MOST_JOBS = 4  # side by side: each holds its own features in memory
RISE = 0.2  # share of the steps in which a learning rate rises before it falls


class DeviceError(ValueError):
    """A device that is not known, or not there; says who asked for it."""


class Diverged(RuntimeError):
    """A loss became NaN or infinite; names the step."""


def device(choice: str = "auto") -> str:
    """Device to compute on: "cpu" or "cuda".

    Parameters
    ----------
    choice : {"auto", "cpu", "cuda"}
        "auto": what the environment variable `MATGAN_DEVICE` names; without it CUDA where there
        is a device, else the processor.

    Raises
    ------
    DeviceError
        Another name, or CUDA where torch finds none.
    """
    asked_by = "device"
    if choice == "auto" and os.environ.get("MATGAN_DEVICE"):
        asked_by, choice = "MATGAN_DEVICE", os.environ["MATGAN_DEVICE"]
    if choice not in DEVICES:
        raise DeviceError(f"{asked_by} must be 'auto', 'cpu' or 'cuda', not {choice!r}")
    if choice == "cpu":
        return "cpu"
    found = torch.cuda.is_available()
    if choice == "cuda" and not found:
        why = "" if torch.version.cuda else f": torch {torch.__version__} is a build for the CPU"
        raise DeviceError(f"{asked_by} is 'cuda', but torch finds no CUDA device{why}")
    return "cuda" if found else "cpu"


def fast_precision(where: str) -> Precision:
    """The precision in which a device multiplies matrices fastest.

    A processor without instructions for bfloat16 takes five times as long in it as in float32.

    Parameters
    ----------
    where : {"cpu", "cuda"}
    """
    if where == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # these two have no public name
        has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if has else "float32"


def compiled(function: Callable, **options) -> Callable:
    """A function compiled by numba, and kept on disk where that can be written.

    Parameters
    ----------
    function : in the part of Python that numba knows
    options : of `numba.njit`
    """
    import numba

    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside the package nor in a home folder
        return numba.njit(**options)(function)


def vectorised(function: Callable, **options) -> Callable:
    """`compiled`, with an order of sums and products that allows vectors; inf and NaN stay such."""
    fast = {"contract", "reassoc", "nsz", "arcp"}
    return compiled(function, fastmath=fast, error_model="numpy", **options)


@contextlib.contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Results below 1e-38 are 0 on the processor, in this thread.

    A product with such a number takes many times as long as another. Gaussians far from their
    centre are some, and averages of gradients that have become 0.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


Schedule = Literal["constant", "linear", "one-cycle", "warm-up"]


def learning_rate(schedule: Schedule, step: int, steps: int) -> float:
    """Share of the highest learning rate that a step takes.

    Parameters
    ----------
    schedule : {"constant", "linear", "one-cycle", "warm-up"}
        "linear": from 1 down to 0. "one-cycle": from 5% up to 1 over the first fifth of the steps,
        then half a cosine down to 0.1% (Smith 2018). "warm-up": the same shape, from the first
        step's part of the rise and down to 0; with it a few epochs can be made at twice to three
        times the rate without diverging.
    step : number of steps done, from 0
    steps : number of all steps

    Raises
    ------
    ValueError
        Another schedule.
    """
    done = step / steps
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 - done
    if schedule == "one-cycle":
        if done < RISE:
            return 0.05 + 0.95 * done / RISE
        return 0.5 * (1 + float(np.cos(np.pi * (done - RISE) / (1 - RISE)))) + 1e-3
    if schedule == "warm-up":
        rise = RISE * steps
        if step < rise:
            return (step + 1) / (rise + 1)
        return (1 + float(np.cos(np.pi * (step - rise) / (steps - rise)))) / 2
    raise ValueError(f"schedule must be one of {', '.join(get_args(Schedule))}, not {schedule!r}")


@torch.no_grad()
def follow(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Move a moving average of a network's weights a little towards the newest ones, in place.

    Parameters
    ----------
    average, network : of one kind; what is no floating-point number is copied
    decay : share of the average that stays
    """
    old, new = (list(part.state_dict().values()) for part in (average, network))
    real = [value.is_floating_point() for value in old]
    torch._foreach_lerp_(list(compress(old, real)), list(compress(new, real)), 1 - decay)
    for value, newest, is_real in zip(old, new, real, strict=True):
        if not is_real:
            value.copy_(newest)


def on_all_cores(job: Callable, arguments: Iterable[tuple], device: str) -> Iterator:
    """job(*a) for each a of the arguments, in their order, side by side on a CPU.

    The networks here are too small for one of them to gain much from a second core. Each job has
    one thread, so results do not depend on the number of cores. The jobs are threads, up to four;
    `joblib.parallel_config` chooses processes or the workers of a cluster instead.

    Parameters
    ----------
    job : draws its random numbers from generators of its own
    arguments : one tuple for each call
    device : "cpu" or "cuda", where jobs run one after the other

    Returns
    -------
    iterator over the results; an error of a job is raised at its place
    """
    if device == "cuda":
        yield from (job(*a) for a in arguments)
        return
    import joblib

    run = joblib.Parallel(
        min(joblib.cpu_count(), _MOST_JOBS), prefer="threads", return_as="generator"
    )
    threads = torch.get_num_threads()
    try:
        yield from run(joblib.delayed(_on_one_thread)(job, a) for a in arguments)
    finally:
        torch.set_num_threads(threads)


def _on_one_thread(job: Callable, arguments: tuple):
    torch.set_num_threads(1)
    return job(*arguments)


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is remembered until the iteration is complete; a second one interrupts at once.

    Gives a function that says whether it was pressed. Outside the main thread, which alone
    receives signals, that is never.
    """
    pressed = False

    def remember(signum, frame):
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def progress_bar(total: int, batch_size: int = 0) -> Iterator[Callable[[dict], None]]:
    """A bar of `total` iterations, to be given to a training as `progress`.

    It is called with a dict: "iteration", the number done, and whatever else is worth seeing.
    Lines on standard error where tqdm is not installed.

    Raises
    ------
    torch.OutOfMemoryError
        From inside the block, with the advice to choose a batch_size below the given one.
    """
    with _memory_advice(batch_size):
        try:
            from tqdm.auto import tqdm
        except ImportError:
            yield lambda now: print(json.dumps(now), file=sys.stderr)
            return
        with tqdm(total=total, unit="it", mininterval=2) as bar:

            def show(now: dict) -> None:
                seen = (
                    f"{name.replace('_', ' ')} {value:.4g}"
                    for name, value in now.items()
                    if name != "iteration"
                )
                bar.set_postfix_str(", ".join(seen), refresh=False)
                bar.update(now["iteration"] - bar.n)

            yield show


@contextlib.contextmanager
def _memory_advice(batch_size: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise torch.OutOfMemoryError(
            f"the device's memory is full with batch_size = {batch_size}: choose a smaller "
            f"batch_size, end other programs on the device, or use the CPU ({error})"
        ) from error
