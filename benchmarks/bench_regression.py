"""The paper's network on OQMD's size: seconds per epoch against a plain loop over torch's layers,
and against scikit-learn's MLPRegressor.

    python benchmarks/bench_regression.py [rows]

Same widths, batch size and optimiser, one thread, processor time (the least of some turns, taken
in turn), random numbers as data. A ratio above 1 says that ours is faster. Then bfloat16, and five
repeats side by side against one after the other.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor

from matgan.learning.regressor import FullyConnectedRegressor, fit_repeats

HIDDEN, EPOCHS, TURNS = (256, 128, 64, 32), 2, 3


def least(*jobs: Callable[[], object]) -> list[float]:
    """Seconds of processor time of each job: the least of its turns, which go round."""
    seconds = np.empty((TURNS, len(jobs)))
    for turn in range(TURNS):
        for i, job in enumerate(jobs):
            start = time.process_time()
            job()
            seconds[turn, i] = time.process_time() - start
    return seconds.min(axis=0).tolist()


def plain_loop(X: torch.Tensor, y: torch.Tensor, batch: int) -> None:
    """The same network in torch's layers, as a tutorial would train it."""
    widths = [X.shape[1], *HIDDEN]
    layers = [
        part for a, b in pairwise(widths) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())
    ]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[-1], 1))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(X)).split(batch):
            loss = (network(X[rows])[:, 0] - y[rows]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def main(n: int = 100_000) -> None:
    warnings.simplefilter("ignore")  # that two epochs are too few
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 85)).astype(np.float32)
    y = X[:, 0] * X[:, 1]
    settings = {"epochs": EPOCHS, "input_scaling": None, "device": "cpu"}
    ours = FullyConnectedRegressor(HIDDEN, validation_fraction=0, **settings)
    coarse = FullyConnectedRegressor(
        HIDDEN, validation_fraction=0, precision="bfloat16", **settings
    )
    peer = MLPRegressor(hidden_layer_sizes=HIDDEN, max_iter=EPOCHS, random_state=0)

    tensors = torch.from_numpy(X), torch.from_numpy(y)
    for batch in (64, 256, 1024):
        for model in (ours, coarse, peer):
            model.set_params(batch_size=batch)
        mine, plain, theirs, half = least(
            lambda: ours.fit(X, y),
            lambda batch=batch: plain_loop(*tensors, batch),
            lambda: peer.fit(X, y),
            lambda: coarse.fit(X, y),
        )
        print(
            f"{n:,} rows, batch {batch:4d}: matgan {mine / EPOCHS:.2f} s/epoch, "
            f"plain loop {plain / EPOCHS:.2f} (ratio {plain / mine:.2f}), "
            f"scikit-learn {theirs / EPOCHS:.2f} (ratio {theirs / mine:.2f}), "
            f"bfloat16 {half / EPOCHS:.2f} ({mine / half:.2f} times as fast)",
            flush=True,
        )

    orders = [rng.permutation(n)[: n // 20] for _ in range(5)]
    rows, validation = [o[100:] for o in orders], [o[:100] for o in orders]
    for batch in (16, 64, 256):
        ours.set_params(batch_size=batch)

        def one_by_one() -> None:
            for row, held in zip(rows, validation, strict=True):
                fit_repeats(ours, X, y, [row], [held])

        together, alone = least(lambda: fit_repeats(ours, X, y, rows, validation), one_by_one)
        print(
            f"5 repeats of {len(rows[0]):,} rows, batch {batch:3d}: side by side {together:.2f} s, "
            f"one by one {alone:.2f} s, ratio {alone / together:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
