"""One thread of torch against two, for the networks of powder patterns.

    python benchmarks/bench_threads.py [STEPS]

Prints wall and processor time of a training step of 32 patterns, for each number of threads in
turn and three times over, with the machine's load: on a machine that others use too, threads wait
for each other. On two cores with a load of 17 a step of the FCN took 0.4 to 0.5 s with one thread
and 6.5 to 8.2 s with two, one of the T-encoder 0.6 to 0.8 s and 5.4 to 5.8 s (the first
repeat aside). `run_all.sh` sets one thread on up to four cores.
"""

import os
import sys
import time

import numpy as np
import torch

from matgan.learning.fit import Fit, classification_loss, train
from matgan.powder.classifier import class_counts
from matgan.powder.networks import FCN, LABELS, TEncoder
from matgan.powder.patterns import Stored

N_POINTS, BATCH = 850, 32


def main(steps: int) -> None:
    rng, counts = np.random.default_rng(0), class_counts()
    codes = rng.integers(0, 256, (steps * BATCH, N_POINTS), dtype=np.uint8)
    classes = np.stack([rng.integers(0, n, len(codes)) for n in counts.values()], axis=1)
    source, loss = Stored(codes, classes), classification_loss(LABELS)
    networks = {"FCN": FCN(N_POINTS, counts), "T-encoder": TEncoder(N_POINTS, counts, patch=17)}
    fit = Fit(epochs=1, batch_size=BATCH)
    for name, network in networks.items():
        for repeat in range(3):
            for threads in (1, 2):
                torch.set_num_threads(threads)
                wall, processor = time.perf_counter(), time.process_time()
                train(network, source, loss, fit)
                wall = (time.perf_counter() - wall) / steps
                processor = (time.process_time() - processor) / steps
                print(
                    f"{name:10} {threads} thread(s)  {wall * 1e3:6.0f} ms wall  "
                    f"{processor * 1e3:6.0f} ms processor  repeat {repeat}  "
                    f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
                    flush=True,
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
