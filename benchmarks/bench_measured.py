"""Patterns a second of the batch simulator beside today's, on the same structures.

    python benchmarks/bench_measured.py [STRUCTURES]

Both in one run, one process, one thread: processor times on a CPU. Where there is a CUDA device,
the batch simulator runs there, too: wall times.
"""

import sys
import time

import numpy as np
import torch

from matgan.crystals.structures import load_structures
from matgan.powder.augmentation import Augmentation, Crystals
from matgan.powder.background import INSTRUMENT
from matgan.powder.measured.conditions import Variation
from matgan.powder.measured.preparation import reflection_lists
from matgan.powder.measured.simulation import Simulator


def speed(simulator: Simulator, batch: int, batches: int, clock=time.process_time) -> float:
    """Patterns a second, warm."""
    rng = np.random.default_rng(0)
    for seed in range(batches + 1):
        if seed == 1:
            started = clock()
        patterns = simulator.patterns(rng.integers(len(simulator), size=batch), seed)
    patterns[0, 0].item()  # waits for the device
    return batches * batch / (clock() - started)


def main(n: int) -> None:
    torch.set_num_threads(1)
    crystals = load_structures()
    chosen = crystals.take(np.random.default_rng(0).choice(crystals.rows("train"), n, False))

    one_by_one, rng = Crystals(chosen, INSTRUMENT), np.random.default_rng(0)
    one_by_one.draw(0, rng, Augmentation())
    started = time.process_time()
    for i in range(n):
        one_by_one.draw(i, rng, Augmentation())
    before = n / (time.process_time() - started)
    print(f"augmentation.Crystals, one at a time      {before:8.0f} patterns a second")

    lists = reflection_lists(chosen)
    for removed in (False, True):
        simulator = Simulator(lists, Variation(removed=removed))
        for batch in (64, 256):
            now = speed(simulator, batch, max(4, 2 * n // batch))
            what = f"batches of {batch}" + (", background removed" if removed else "")
            print(f"{what:40}  {now:8.0f}, {now / before:.1f} times")
    if torch.cuda.is_available():
        simulator = Simulator(lists, Variation(), "cuda")
        now = speed(simulator, 1024, 50, time.perf_counter)
        print(f"on {torch.cuda.get_device_name()}, batches of 1024  {now:8.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
