"""The paper's network on OQMD's size: seconds per epoch against scikit-learn's MLPRegressor and
against a plain loop with torch's layers and autograd.

    python benchmarks/bench_regression.py [rows]

Same widths, batch size and optimiser, one thread, processor time, random numbers as data. Then
five repeats side by side against one after the other, which says when batching them pays.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
import warnings
from itertools import pairwise

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor

from matgan.learning.regressor import FullyConnectedRegressor, fit_repeats

HIDDEN, EPOCHS = (256, 128, 64, 32), 2


def seconds(function, *arguments) -> float:
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def plain_epoch(X: torch.Tensor, y: torch.Tensor, batch: int) -> None:
    """One epoch of the same network, with torch's layers, autograd and fused Adam."""
    widths = [X.shape[1], *HIDDEN]
    layers = [
        part for a, b in pairwise(widths) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())
    ]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[-1], 1))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
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
    ours = FullyConnectedRegressor(HIDDEN, epochs=EPOCHS, input_scaling=None, device="cpu")
    peer = MLPRegressor(hidden_layer_sizes=HIDDEN, max_iter=EPOCHS, random_state=0)

    tensors = torch.from_numpy(X), torch.from_numpy(y)
    for batch in (64, 256, 1024):
        ours.set_params(batch_size=batch, validation_fraction=0)
        peer.set_params(batch_size=batch)
        mine = min(seconds(ours.fit, X, y) for _ in range(3)) / EPOCHS
        theirs = min(seconds(peer.fit, X, y) for _ in range(2)) / EPOCHS
        plain = min(seconds(plain_epoch, *tensors, batch) for _ in range(3))
        print(
            f"{n:,} rows, batch {batch:4d}: matgan {mine:.2f} s/epoch, "
            f"scikit-learn {theirs:.2f} (ratio {theirs / mine:.2f}), "
            f"torch with autograd {plain:.2f} (ratio {plain / mine:.2f})"
        )

    orders = [rng.permutation(n)[: n // 20] for _ in range(5)]
    rows, validation = [o[100:] for o in orders], [o[:100] for o in orders]
    for batch in (16, 64, 256):
        ours.set_params(batch_size=batch)
        both = [
            min(seconds(fit_repeats, ours, X, y, rows, validation, None, how) for _ in range(2))
            for how in (True, False)
        ]
        print(
            f"5 repeats of {len(rows[0]):,} rows, batch {batch:3d}: side by side {both[0]:.2f} s, "
            f"one by one {both[1]:.2f} s, ratio {both[1] / both[0]:.2f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
