"""A long computation and the person who watches it: progress and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading

from matgan.config import Config


@contextlib.contextmanager
def deferred_interrupt():
    """Ctrl-C is remembered until the iteration is complete; a second one interrupts at once."""
    pressed = False

    def remember(signum, frame):
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals reach the main thread only
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def progress_bar(config: Config):
    """A bar with both losses and images per second, to be given to `train` as `progress`.

    Lines on standard error where tqdm is not installed.
    """
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield lambda now: print(json.dumps(now), file=sys.stderr)
        return
    with tqdm(total=config.iterations, unit="it", mininterval=2) as bar:

        def show(now: dict) -> None:
            bar.set_postfix_str(
                f"critic {now['critic_loss']:.3g}, generator {now['generator_loss']:.3g}, "
                f"{now['images_per_second']:.0f} images/s",
                refresh=False,
            )
            bar.update(now["iteration"] - bar.n)

        yield show
