"""A long computation and the person who watches it: progress, Ctrl-C, memory that is full."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import torch


class Diverged(RuntimeError):
    """A loss became NaN or infinite; names the step."""


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
