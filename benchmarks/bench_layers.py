"""Speed of two layers while they learn, beside torch's own: halving, and periodic convolutions.

    python benchmarks/bench_layers.py [--repeats 10]

CPU milliseconds of one thread, forwards and backwards, the least of the repeats.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn

from matgan.microstructure.networks import PeriodicConv3d
from matgan.powder.networks import Halve


def milliseconds(layer: nn.Module, x: Tensor, repeats: int) -> float:
    """CPU time of a step, after one."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        layer(x).sum().backward()
        times.append(time.process_time() - start)
        x.grad = None
    return 1e3 * min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    own = nn.Conv3d(16, 16, 3, padding=1, padding_mode="circular", bias=False)
    peers = {
        "halving (128, 32, 425), MaxPool1d": (Halve(), nn.MaxPool1d(2), (128, 32, 425)),
        "convolution (8, 16, 21³), circular padding": (
            PeriodicConv3d(16, 16), own, (8, 16, 21, 21, 21)
        ),
    }  # fmt: skip
    for name, (ours, theirs, shape) in peers.items():
        x = torch.randn(shape, requires_grad=True)
        mine, other = (milliseconds(layer, x, options.repeats) for layer in (ours, theirs))
        print(f"{name}: ours {mine:.1f} ms, torch's {other:.1f} ms, {other / mine:.1f} times ours")


if __name__ == "__main__":
    main()
